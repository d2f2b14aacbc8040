//! AdamW on host cores: one pass over parameters, gradients and both moments.

use rayon::prelude::*;

use super::simd::run;
use crate::ops::adamw::Rates;

/// Values per tile: four streams of 32 KiB.
const TILE: usize = 8192;

pub(crate) fn step(
    params: &mut [f32],
    grads: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    rates: Rates,
    grad_scale: f32,
) {
    params
        .par_chunks_mut(TILE)
        .zip(grads.par_chunks(TILE))
        .zip(m.par_chunks_mut(TILE))
        .zip(v.par_chunks_mut(TILE))
        .for_each(|(((params, grads), m), v)| {
            run(
                #[inline(always)]
                || tile(params, grads, m, v, rates, grad_scale),
            )
        });
}

#[inline(always)]
fn tile(
    params: &mut [f32],
    grads: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    r: Rates,
    grad_scale: f32,
) {
    for (((p, g), m), v) in params.iter_mut().zip(grads).zip(m).zip(v) {
        let g = g * grad_scale;
        *m = r.beta1.mul_add(*m, r.rest1 * g);
        *v = r.beta2.mul_add(*v, r.rest2 * g * g);
        let denominator = v.sqrt().mul_add(r.root_correction, r.eps);
        *p = p.mul_add(r.decay, -(r.step_size * *m / denominator));
    }
}
