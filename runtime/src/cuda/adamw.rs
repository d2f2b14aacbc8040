//! AdamW on a GPU: the bits of the CPU.

use kernels::adamw::{SHARE, THREADS, adamw_f32};
use kernels::simt::Launch;

use super::{Gpu, Span, blocks};
use crate::ops::adamw::Rates;

pub(crate) fn step(
    gpu: &Gpu,
    params: Span<'_>,
    grads: Span<'_>,
    m: Span<'_>,
    v: Span<'_>,
    rates: &Rates,
) {
    let kernel = adamw_f32 {
        params: params.plain(gpu),
        rounded: params.bf16(gpu),
        grads: grads.plain(gpu),
        m: m.plain(gpu),
        v: v.plain(gpu),
        len: params.len() as u64,
        decay: rates.decay,
        beta1: rates.beta1,
        rest1: rates.rest1,
        beta2: rates.beta2,
        rest2: rates.rest2,
        step_size: rates.step_size,
        root_correction: rates.root_correction,
        eps: rates.eps,
        grad_scale: rates.grad_scale,
    };
    gpu.launch(Launch::new(blocks(params.len(), SHARE), THREADS, 0), &kernel);
}
