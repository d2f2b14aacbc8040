//! Softmax statistics and gradients of a chunk of logits on a GPU.

use kernels::cross_entropy::{
    SHARED_BYTES, softmax_gradient_bf16, softmax_statistics_bf16, threads,
};
use kernels::simt::Launch;

use super::{Gpu, Span, extent};

/// Of each row of `logits[t, v]` the largest, the sum of `exp(logit - max)`, and the target's
/// `logit - max`, 0 where this rank does not hold it.
pub(crate) fn statistics(
    gpu: &Gpu,
    logits: Span<'_>,
    targets: Span<'_>,
    vocab_start: u32,
    max: Span<'_>,
    sum: Span<'_>,
    target_logit: Span<'_>,
) {
    let v = extent(logits.len() / targets.len());
    let kernel = softmax_statistics_bf16 {
        logits: logits.bf16(gpu),
        targets: targets.plain(gpu),
        max: max.plain(gpu),
        sum: sum.plain(gpu),
        target_logit: target_logit.plain(gpu),
        vocab_start,
        v,
    };
    gpu.launch(Launch::new(extent(targets.len()), threads(v), SHARED_BYTES), &kernel);
}

/// In place `(softmax - onehot) * grad_scale`.
pub(crate) fn gradients(
    gpu: &Gpu,
    logits: Span<'_>,
    targets: Span<'_>,
    vocab_start: u32,
    max: Span<'_>,
    sum: Span<'_>,
    grad_scale: f32,
) {
    let v = extent(logits.len() / targets.len());
    let kernel = softmax_gradient_bf16 {
        logits: logits.bf16(gpu),
        targets: targets.plain(gpu),
        max: max.plain(gpu),
        sum: sum.plain(gpu),
        vocab_start,
        v,
        scale: grad_scale,
    };
    gpu.launch(Launch::new(extent(targets.len()), threads(v), 0), &kernel);
}
