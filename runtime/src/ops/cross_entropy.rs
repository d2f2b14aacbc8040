//! LM head and cross-entropy in one: logits exist for one chunk of tokens at a time and become
//! their own gradient in place, so memory does not grow with the vocabulary times the batch.
//!
//! With several ranks each holds rows `vocab_start..vocab_start + v_local` of the head; they
//! exchange per token the largest logit, the sum of exponentials, the target's logit, and dx.

use std::ops::RangeInclusive;

use super::linear;
use crate::collective::Collective;
use crate::cpu::cross_entropy as cpu;
use crate::cuda::cross_entropy as cuda;
use crate::{Buffer, Device, Storage, View, ViewMut};

/// A target that does not count.
pub const IGNORE: u32 = u32::MAX;
const _: () = assert!(IGNORE == kernels::cross_entropy::IGNORE);

/// Most logits that exist at once, 32 MiB of f32: the head is packed and its gradient read and
/// written once per chunk, which costs more than logits that leave the last-level cache.
const LOGITS_MAX: usize = 8 << 20;
/// Fewest and most tokens of a chunk.
const CHUNK_TOKENS: RangeInclusive<usize> = 32..=1024;
/// Most logits at once on a GPU, 1 GiB of bf16: products of fewer rows would not fill it.
const LOGITS_MAX_GPU: usize = 512 << 20;

/// Sum of the losses (natural log) over the targets that count, and how many do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSum {
    /// Sum over tokens of `-ln softmax(logits)[target]`.
    pub sum: f64,
    /// Targets other than [`IGNORE`].
    pub count: usize,
}

impl LossSum {
    /// Loss per token that counts; NaN if none does.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

/// Memory of one chunk, planned once for a head of `v_local` rows.
#[derive(Debug)]
pub struct Scratch {
    chunk_tokens: usize,
    v_local: usize,
    /// `[chunk_tokens, v_local]`.
    logits: Buffer<f32>,
    /// `[chunk_tokens]`.
    max: Buffer<f32>,
    /// Of each chunk `[2][tokens of the chunk]`: sums of exponentials, then target logits.
    sums: Buffer<f32>,
}

impl Scratch {
    /// Memory for at most `t` tokens and `v_local` rows of the head.
    pub fn new(dev: &Device, t: usize, v_local: usize) -> Self {
        let chunk_tokens = chunk_tokens(dev.storage(), t, v_local);
        Self {
            chunk_tokens,
            v_local,
            logits: dev.alloc_activations(chunk_tokens * v_local),
            max: dev.alloc(chunk_tokens),
            sums: dev.alloc(2 * t),
        }
    }

    /// Bytes that [`Scratch::new`] will ask a device of that kind for.
    pub fn planned_bytes(storage: Storage, t: usize, v_local: usize) -> usize {
        let chunk_tokens = chunk_tokens(storage, t, v_local);
        let sums = size_of::<f32>() * (chunk_tokens + 2 * t);
        storage.activation_bytes() * chunk_tokens * v_local + sums
    }

    /// What [`loss_sum`] adds up of `t` tokens, and the tokens of a chunk.
    pub(super) fn losses(&self, t: usize) -> (View<'_, f32>, usize) {
        (self.sums.slice(0..2 * t), self.chunk_tokens)
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.logits.bytes() + self.max.bytes() + self.sums.bytes()
    }
}

fn chunk_tokens(storage: Storage, t: usize, v_local: usize) -> usize {
    let (logits_max, bounds) = match storage {
        Storage::Host => (LOGITS_MAX, CHUNK_TOKENS),
        Storage::Gpu => (LOGITS_MAX_GPU, 1..=usize::MAX),
    };
    (logits_max / v_local.max(1)).clamp(*bounds.start(), *bounds.end()).min(t.max(1))
}

/// Loss of `x[t, d]` against `targets[t]` under the head `w[v_local, d]`, without gradients.
pub fn forward(
    dev: &Device,
    comm: &dyn Collective,
    x: View<'_, f32>,
    w: View<'_, f32>,
    vocab_start: u32,
    targets: View<'_, u32>,
    scratch: &mut Scratch,
) -> LossSum {
    let d = check(x, w, targets, scratch);
    for first in (0..targets.len()).step_by(scratch.chunk_tokens) {
        let last = targets.len().min(first + scratch.chunk_tokens);
        let (x, targets) = (x.slice(first * d..last * d), targets.slice(first..last));
        softmax_chunk(dev, comm, x, w, vocab_start, targets, scratch, first);
    }
    loss_sum(dev, targets, scratch)
}

/// Loss as [`forward`], and its gradient times `grad_scale` (1 / count for the mean):
/// `dx[t, d]` is overwritten (summed over ranks), `dw[v_local, d]` is added to. The gradient of the
/// logits is `(softmax - onehot) * grad_scale`, zero for targets that do not count.
pub fn forward_backward(
    dev: &Device,
    comm: &dyn Collective,
    x: View<'_, f32>,
    w: View<'_, f32>,
    vocab_start: u32,
    targets: View<'_, u32>,
    grad_scale: f32,
    dx: ViewMut<'_, f32>,
    dw: ViewMut<'_, f32>,
    scratch: &mut Scratch,
) -> LossSum {
    backward(dev, comm, x, w, vocab_start, targets, grad_scale, dx, dw, scratch);
    loss_sum(dev, targets, scratch)
}

/// [`forward_backward`] without the loss, which is left in `scratch` for [`loss_sum`], or for a
/// [`Ledger`](super::ledger::Ledger).
pub fn backward(
    dev: &Device,
    comm: &dyn Collective,
    x: View<'_, f32>,
    w: View<'_, f32>,
    vocab_start: u32,
    targets: View<'_, u32>,
    grad_scale: f32,
    mut dx: ViewMut<'_, f32>,
    mut dw: ViewMut<'_, f32>,
    scratch: &mut Scratch,
) {
    let d = check(x, w, targets, scratch);
    super::assert_len("dx", dx.len(), x.len());
    super::assert_len("dw", dw.len(), w.len());
    for first in (0..targets.len()).step_by(scratch.chunk_tokens) {
        let last = targets.len().min(first + scratch.chunk_tokens);
        let tokens = last - first;
        let (x, targets) = (x.slice(first * d..last * d), targets.slice(first..last));
        softmax_chunk(dev, comm, x, w, vocab_start, targets, scratch, first);
        let mut logits = scratch.logits.slice_mut(0..tokens * scratch.v_local);
        let sum = scratch.sums.slice(2 * first..2 * first + tokens);
        match dev {
            Device::Cpu(_) => dev.install(|| {
                let (logits, sum) = (logits.reborrow().on_host(), sum.on_host());
                cpu::gradients(logits, sum, targets.on_host(), vocab_start, grad_scale);
            }),
            Device::Gpu(gpu) => {
                let (logits, max) = (logits.reborrow().on_gpu(), scratch.max.view().on_gpu());
                let (sum, targets) = (sum.on_gpu(), targets.on_gpu());
                cuda::gradients(gpu, logits, targets, vocab_start, max, sum, grad_scale);
            }
        }
        let mut dx = dx.reborrow().slice(first * d..last * d);
        linear::backward_input(dev, logits.as_view(), w, dx.reborrow(), tokens, false);
        linear::backward_weight(dev, logits.as_view(), x, dw.reborrow(), tokens);
        if comm.world() > 1 {
            comm.all_reduce_sum(dx);
        }
    }
}

/// Checks lengths and returns d.
fn check(x: View<'_, f32>, w: View<'_, f32>, targets: View<'_, u32>, scratch: &Scratch) -> usize {
    let d = super::row_len("x", x.len(), targets.len());
    super::assert_len("w", w.len(), scratch.v_local * d);
    assert!(2 * targets.len() <= scratch.sums.len(), "a scratch for {} tokens", targets.len());
    d
}

/// Leaves the chunk's largest logits in `scratch.max`, sums of exponentials and target logits in
/// its place in `scratch.sums`, and in `scratch.logits` the exponentials, or on a GPU the logits.
fn softmax_chunk(
    dev: &Device,
    comm: &dyn Collective,
    x: View<'_, f32>,
    w: View<'_, f32>,
    vocab_start: u32,
    targets: View<'_, u32>,
    scratch: &mut Scratch,
    first: usize,
) {
    let tokens = targets.len();
    let mut logits = scratch.logits.slice_mut(0..tokens * scratch.v_local);
    linear::forward(dev, x, w, logits.reborrow(), tokens);
    let mut max = scratch.max.slice_mut(0..tokens);
    let mut sums = scratch.sums.slice_mut(2 * first..2 * (first + tokens));
    if let Device::Gpu(gpu) = dev {
        let (sum, target_logit) = sums.reborrow().split_at(tokens);
        let (logits, targets) = (logits.on_gpu(), targets.on_gpu());
        let (sum, target_logit) = (sum.on_gpu(), target_logit.on_gpu());
        let found = max.reborrow().on_gpu();
        cuda::statistics(gpu, logits, targets, vocab_start, found, sum, target_logit);
        if comm.world() > 1 {
            let own_max = cuda::OwnMax::of(gpu, found);
            comm.all_reduce_max(max.reborrow());
            let max = max.on_gpu();
            own_max.rebase(max, targets, vocab_start, scratch.v_local, sum, target_logit);
            comm.all_reduce_sum(sums);
        }
        return;
    }
    dev.install(|| {
        let (logits, max) = (logits.as_view().on_host(), max.reborrow().on_host());
        cpu::row_max(logits, max, scratch.v_local);
    });
    if comm.world() > 1 {
        comm.all_reduce_max(max.reborrow());
    }
    dev.install(|| {
        let (sum, target_logit) = sums.reborrow().split_at(tokens);
        let (sum, target_logit) = (sum.on_host(), target_logit.on_host());
        let (logits, max) = (logits.on_host(), max.as_view().on_host());
        cpu::exponentials(logits, max, targets.on_host(), vocab_start, sum, target_logit);
    });
    if comm.world() > 1 {
        comm.all_reduce_sum(sums);
    }
}

/// Adds up what the chunks left in `scratch`, in the order of the tokens; waits for a GPU.
pub fn loss_sum(dev: &Device, targets: View<'_, u32>, scratch: &Scratch) -> LossSum {
    let sums = scratch.sums.slice(0..2 * targets.len());
    match dev {
        Device::Cpu(_) => add_losses(sums.on_host(), targets.on_host(), scratch.chunk_tokens),
        Device::Gpu(gpu) => {
            let (sums, targets) = (sums.on_gpu().to_vec(gpu), targets.on_gpu().to_vec(gpu));
            add_losses(&sums, &targets, scratch.chunk_tokens)
        }
    }
}

fn add_losses(sums: &[f32], targets: &[u32], chunk_tokens: usize) -> LossSum {
    let mut total = LossSum::default();
    for (sums, targets) in sums.chunks(2 * chunk_tokens).zip(targets.chunks(chunk_tokens)) {
        let (sum, target_logit) = sums.split_at(targets.len());
        for (i, target) in targets.iter().enumerate() {
            if *target != IGNORE {
                total.sum += f64::from(sum[i]).ln() - f64::from(target_logit[i]);
                total.count += 1;
            }
        }
    }
    total
}
