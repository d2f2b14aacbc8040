//! Softmax statistics and gradients of a chunk of logits on a GPU.

use kernels::cross_entropy::{
    SHARED_BYTES, softmax_gradient_bf16, softmax_rebase, softmax_statistics_bf16, threads,
};
use kernels::simt::Launch;

use super::array::Memory;
use super::{Gpu, Span, blocks, extent};

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

/// What one rank of a split vocabulary found its largest logits to be.
pub(crate) struct OwnMax<'a> {
    gpu: &'a Gpu,
    max: Memory,
}

impl<'a> OwnMax<'a> {
    /// Keeps them, before those of all ranks take their place.
    pub(crate) fn of(gpu: &'a Gpu, max: Span<'_>) -> Self {
        let held = gpu.allocate(max.bytes());
        gpu.attempt(|driver| driver.copy(max.address(gpu), held.address(), max.bytes()));
        Self { gpu, max: held }
    }

    /// Makes `sum` and `target_logit` relative to the largest of all ranks.
    pub(crate) fn rebase(
        &self,
        max: Span<'_>,
        targets: Span<'_>,
        vocab_start: u32,
        v: usize,
        sum: Span<'_>,
        target_logit: Span<'_>,
    ) {
        const THREADS: u32 = 128;
        let gpu = self.gpu;
        let kernel = softmax_rebase {
            own_max: self.max.global(),
            max: max.plain(gpu),
            targets: targets.plain(gpu),
            sum: sum.plain(gpu),
            target_logit: target_logit.plain(gpu),
            vocab_start,
            v: extent(v),
            tokens: extent(targets.len()),
        };
        gpu.launch(Launch::new(blocks(targets.len(), THREADS), THREADS, 0), &kernel);
    }
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
