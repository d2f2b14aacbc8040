//! LM head and cross-entropy in one: logits exist for one chunk of tokens at a time and become
//! their own gradient in place, so memory does not grow with the vocabulary times the batch.
//!
//! With several ranks each holds rows `vocab_start..vocab_start + v_local` of the head; they
//! exchange per token the largest logit, the sum of exponentials, the target's logit, and dx.

use super::linear;
use crate::collective::Collective;
use crate::cpu::cross_entropy as cpu;
use crate::{Buffer, Device, View, ViewMut};

/// A target that does not count.
pub const IGNORE: u32 = u32::MAX;

/// Most logits that exist at once, 32 MiB of f32: the head is packed and its gradient read and
/// written once per chunk, which costs more than logits that leave the last-level cache.
const LOGITS_MAX: usize = 8 << 20;
/// Fewest and most tokens of a chunk.
const CHUNK_TOKENS: std::ops::RangeInclusive<usize> = 32..=1024;

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
    /// `[2][tokens of the chunk]`: sums of exponentials, then target logits.
    sums: Buffer<f32>,
}

impl Scratch {
    /// Memory for at most `t` tokens at once and `v_local` rows of the head.
    pub fn new(dev: &Device, t: usize, v_local: usize) -> Self {
        let chunk_tokens = chunk_tokens(t, v_local);
        Self {
            chunk_tokens,
            v_local,
            logits: dev.alloc(chunk_tokens * v_local),
            max: dev.alloc(chunk_tokens),
            sums: dev.alloc(2 * chunk_tokens),
        }
    }

    /// Bytes that [`Scratch::new`] will ask for.
    pub fn planned_bytes(t: usize, v_local: usize) -> usize {
        size_of::<f32>() * chunk_tokens(t, v_local) * (v_local + 3)
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.logits.bytes() + self.max.bytes() + self.sums.bytes()
    }
}

fn chunk_tokens(t: usize, v_local: usize) -> usize {
    let wanted = LOGITS_MAX / v_local.max(1);
    wanted.clamp(*CHUNK_TOKENS.start(), *CHUNK_TOKENS.end()).min(t.max(1))
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
    let mut total = LossSum::default();
    for first in (0..targets.len()).step_by(scratch.chunk_tokens) {
        let last = targets.len().min(first + scratch.chunk_tokens);
        let (x, targets) = (x.slice(first * d..last * d), targets.slice(first..last));
        softmax_chunk(dev, comm, x, w, vocab_start, targets, scratch, &mut total);
    }
    total
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
    mut dx: ViewMut<'_, f32>,
    mut dw: ViewMut<'_, f32>,
    scratch: &mut Scratch,
) -> LossSum {
    let d = check(x, w, targets, scratch);
    super::assert_len("dx", dx.len(), x.len());
    super::assert_len("dw", dw.len(), w.len());
    let mut total = LossSum::default();
    for first in (0..targets.len()).step_by(scratch.chunk_tokens) {
        let last = targets.len().min(first + scratch.chunk_tokens);
        let tokens = last - first;
        let (x, targets) = (x.slice(first * d..last * d), targets.slice(first..last));
        softmax_chunk(dev, comm, x, w, vocab_start, targets, scratch, &mut total);
        let mut logits = scratch.logits.slice_mut(0..tokens * scratch.v_local);
        let sum = scratch.sums.slice(0..tokens);
        match dev {
            Device::Cpu(_) => dev.install(|| {
                let (logits, sum) = (logits.reborrow().on_host(), sum.on_host());
                cpu::gradients(logits, sum, targets.on_host(), vocab_start, grad_scale);
            }),
        }
        let mut dx = dx.reborrow().slice(first * d..last * d);
        linear::backward_input(dev, logits.as_view(), w, dx.reborrow(), tokens, false);
        linear::backward_weight(dev, logits.as_view(), x, dw.reborrow(), tokens);
        if comm.world() > 1 {
            comm.all_reduce_sum(dx);
        }
    }
    total
}

/// Checks lengths and returns d.
fn check(x: View<'_, f32>, w: View<'_, f32>, targets: View<'_, u32>, scratch: &Scratch) -> usize {
    let d = super::row_len("x", x.len(), targets.len());
    super::assert_len("w", w.len(), scratch.v_local * d);
    d
}

/// Leaves the chunk's exponentials in `scratch.logits`, their sums in `scratch.sums`, and adds the
/// chunk's losses to `total`, in the order of its tokens.
fn softmax_chunk(
    dev: &Device,
    comm: &dyn Collective,
    x: View<'_, f32>,
    w: View<'_, f32>,
    vocab_start: u32,
    targets: View<'_, u32>,
    scratch: &mut Scratch,
    total: &mut LossSum,
) {
    let tokens = targets.len();
    let mut logits = scratch.logits.slice_mut(0..tokens * scratch.v_local);
    linear::forward(dev, x, w, logits.reborrow(), tokens);
    let mut max = scratch.max.slice_mut(0..tokens);
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let (logits, max) = (logits.as_view().on_host(), max.reborrow().on_host());
            cpu::row_max(logits, max, scratch.v_local);
        }),
    }
    if comm.world() > 1 {
        comm.all_reduce_max(max.reborrow());
    }
    let mut sums = scratch.sums.slice_mut(0..2 * tokens);
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let (sum, target_logit) = sums.reborrow().split_at(tokens);
            let (sum, target_logit) = (sum.on_host(), target_logit.on_host());
            let (logits, max) = (logits.on_host(), max.as_view().on_host());
            cpu::exponentials(logits, max, targets.on_host(), vocab_start, sum, target_logit);
        }),
    }
    if comm.world() > 1 {
        comm.all_reduce_sum(sums.reborrow());
    }
    match dev {
        Device::Cpu(_) => {
            let (sum, target_logit) = sums.split_at(tokens);
            let (sum, target_logit) = (sum.on_host(), target_logit.on_host());
            for (i, target) in targets.on_host().iter().enumerate() {
                if *target != IGNORE {
                    total.sum += f64::from(sum[i]).ln() - f64::from(target_logit[i]);
                    total.count += 1;
                }
            }
        }
    }
}
