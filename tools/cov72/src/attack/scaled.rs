//! Trains honestly and sends it several times as large, to count for more than others. The outer
//! step would cut it to the median norm; so far above the median it does not count at all.

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
