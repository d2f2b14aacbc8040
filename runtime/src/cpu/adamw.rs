//! AdamW on host cores: one pass over parameters, gradients and both moments.

use rayon::prelude::*;

use super::simd::run;
use crate::ops::adamw::Hyper;

/// Values per tile: four streams of 32 KiB.
const TILE: usize = 8192;

/// The step's constants, each rounded once from f64.
#[derive(Clone, Copy)]
struct Rates {
    decay: f32,
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    step_size: f32,
    root_correction: f32,
    eps: f32,
    grad_scale: f32,
}

impl Rates {
    fn new(hyper: &Hyper, step_number: u64, grad_scale: f32) -> Self {
        let power = |beta: f32| f64::from(beta).powf(step_number as f64);
        let lr = f64::from(hyper.lr);
        Self {
            decay: (1.0 - lr * f64::from(hyper.weight_decay)) as f32,
            beta1: hyper.beta1,
            beta2: hyper.beta2,
            rest1: (1.0 - f64::from(hyper.beta1)) as f32,
            rest2: (1.0 - f64::from(hyper.beta2)) as f32,
            step_size: (lr / (1.0 - power(hyper.beta1))) as f32,
            root_correction: (1.0 / (1.0 - power(hyper.beta2)).sqrt()) as f32,
            eps: hyper.eps,
            grad_scale,
        }
    }
}

pub(crate) fn step(
    params: &mut [f32],
    grads: &[f32],
    m: &mut [f32],
    v: &mut [f32],
    hyper: &Hyper,
    step_number: u64,
    grad_scale: f32,
) {
    let rates = Rates::new(hyper, step_number, grad_scale);
    params
        .par_chunks_mut(TILE)
        .zip(grads.par_chunks(TILE))
        .zip(m.par_chunks_mut(TILE))
        .zip(v.par_chunks_mut(TILE))
        .for_each(|(((params, grads), m), v)| {
            run(
                #[inline(always)]
                || tile(params, grads, m, v, rates),
            )
        });
}

#[inline(always)]
fn tile(params: &mut [f32], grads: &[f32], m: &mut [f32], v: &mut [f32], r: Rates) {
    for (((p, g), m), v) in params.iter_mut().zip(grads).zip(m).zip(v) {
        let g = g * r.grad_scale;
        *m = r.beta1.mul_add(*m, r.rest1 * g);
        *v = r.beta2.mul_add(*v, r.rest2 * g * g);
        let denominator = v.sqrt().mul_add(r.root_correction, r.eps);
        *p = p.mul_add(r.decay, -(r.step_size * *m / denominator));
    }
}
