//! Trains honestly and puts one huge value into every tensor, which pulls its norm, and with it the
//! whole step, up. So far above the median it does not count.

use wire::{SparseTensor, Window};

use super::Attack;
use super::remake::set_code;

/// How many times larger than the largest honest value.
const FACTOR: f32 = 1e4;

pub(super) struct NormBomb;

impl Attack for NormBomb {
    fn update(
        &mut self,
        _: Window,
        own: &[SparseTensor],
        _: Option<Vec<SparseTensor>>,
    ) -> Vec<SparseTensor> {
        own.iter().map(bomb).collect()
    }
}

/// The first value takes a code of its own; those that had it take the next smaller one.
fn bomb(tensor: &SparseTensor) -> SparseTensor {
    let shape = tensor.shape();
    let mut codebook = tensor.codebook();
    let largest = codebook.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    codebook[3] = FACTOR * largest.max(1e-6);
    let mut codes = vec![0; shape.code_bytes()];
    for chunk in 0..shape.chunks() {
        for i in 0..shape.k() {
            let code = if (chunk, i) == (0, 0) { 3 } else { tensor.code(chunk, i).min(2) };
            set_code(shape, &mut codes, (chunk, i), code);
        }
    }
    let indices = tensor.indices().to_vec();
    SparseTensor::new(shape, codebook, indices, codes).expect("as sound as before")
}
