//! Trains honestly and sends the opposite, which undoes what others learned. Caught by the loss,
//! which rises.

use wire::{SparseTensor, Window};

use super::Attack;
use super::remake::scaled;

pub(super) struct SignFlip;

impl Attack for SignFlip {
    fn update(
        &mut self,
        _: Window,
        own: &[SparseTensor],
        _: Option<Vec<SparseTensor>>,
    ) -> Vec<SparseTensor> {
        scaled(own, -1.0)
    }
}
