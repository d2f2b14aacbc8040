//! Trains honestly and sends it several times as large, to count for more than others. The outer
//! step cuts it to the median norm; the measurement does not, and shows the loss that so large a
//! step leads to.

use wire::{SparseTensor, Window};

use super::Attack;
use super::remake::scaled;

pub(super) struct Scaled(pub(super) f32);

impl Attack for Scaled {
    fn update(
        &mut self,
        _: Window,
        own: &[SparseTensor],
        _: Option<Vec<SparseTensor>>,
    ) -> Vec<SparseTensor> {
        scaled(own, self.0)
    }
}
