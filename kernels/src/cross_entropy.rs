//! Softmax, loss and gradient of a chunk of bf16 logits `[t, v]`, a block per row, v a multiple of
//! 8. What ranks of a split vocabulary exchange lies between the two kernels.

use crate::activation::Activation;
use crate::simt::*;

/// A target that does not count.
pub const IGNORE: u32 = u32::MAX;

/// Bytes of shared memory of [`softmax_statistics_bf16`].
pub const SHARED_BYTES: u32 = 2 * 32 * 4;

const LOG2_E: f32 = core::f32::consts::LOG2_E;

/// Threads for rows of `v` values.
///
/// # Panics
/// When `v` is zero or no multiple of 8.
#[cfg(not(target_arch = "nvptx64"))]
pub fn threads(v: u32) -> u32 {
    assert!(v > 0 && v.is_multiple_of(8), "rows of {v} logits");
    (v / 8).next_multiple_of(WARP).clamp(WARP, 1024)
}

/// Largest over the threads of a block; NaN loses against a number.
#[inline(always)]
fn block_max(value: f32, scratch: Shared<f32>) -> f32 {
    let value = warp_max(value);
    if lane() == 0 {
        scratch.st(warp(), value);
    }
    sync_threads();
    let share = if lane() < block_dim() / WARP { scratch.ld(lane()) } else { f32::NEG_INFINITY };
    warp_max(share)
}

kernel! {
    /// Of each row its largest logit, `sum exp(logit - max)`, and the target's `logit - max`, 0
    /// where the target is not in `vocab_start..vocab_start + v`.
    pub fn softmax_statistics_bf16(
        logits: Global<Bf16>, targets: Global<u32>, max: Global<f32>, sum: Global<f32>,
        target_logit: Global<f32>, vocab_start: u32, v: u32,
    ) {
        let row = block_idx() as usize * v as usize;
        // Largest so far and the sum of exponentials below it, of this thread's values.
        let (mut largest, mut total) = (f32::NEG_INFINITY, 0.0_f32);
        let mut at = thread_idx() * 8;
        while at < v {
            let values = Bf16::ld8(logits, row + at as usize);
            let mut above = largest;
            unroll!(i in 8 { above = above.max(values[i]); });
            // Where nothing is above -inf yet, the difference would be no number.
            let base = if above == f32::NEG_INFINITY { 0.0 } else { above };
            total *= exp2((largest - base) * LOG2_E);
            unroll!(i in 8 { total += exp2((values[i] - base) * LOG2_E); });
            largest = above;
            at += block_dim() * 8;
        }
        let row_max = block_max(largest, Shared::at(0, 32));
        let base = if row_max == f32::NEG_INFINITY { 0.0 } else { row_max };
        let row_sum = block_sum(total * exp2((largest - base) * LOG2_E), Shared::at(128, 32));
        if thread_idx() == 0 {
            let token = block_idx() as usize;
            let local = targets.ld(token).wrapping_sub(vocab_start);
            let mut difference = 0.0;
            if local < v {
                difference = logits.ld(row + local as usize).to_f32() - row_max;
            }
            max.st(token, row_max);
            sum.st(token, row_sum);
            target_logit.st(token, difference);
        }
    }

    /// What [`softmax_statistics_bf16`] found, as differences from another `max[t]`, that of all
    /// ranks of a split vocabulary, instead of this rank's `own_max[t]`. A thread per row.
    pub fn softmax_rebase(
        own_max: Global<f32>, max: Global<f32>, targets: Global<u32>, sum: Global<f32>,
        target_logit: Global<f32>, vocab_start: u32, v: u32, tokens: u32,
    ) {
        let i = block_idx() * block_dim() + thread_idx();
        if i < tokens {
            let token = i as usize;
            let above = own_max.ld(token) - max.ld(token);
            sum.st(token, sum.ld(token) * exp2(above * LOG2_E));
            if targets.ld(token).wrapping_sub(vocab_start) < v {
                target_logit.st(token, target_logit.ld(token) + above);
            }
        }
    }

    /// In place `(softmax - onehot) * scale`, zero where the target is [`IGNORE`].
    pub fn softmax_gradient_bf16(
        logits: Global<Bf16>, targets: Global<u32>, max: Global<f32>, sum: Global<f32>,
        vocab_start: u32, v: u32, scale: f32,
    ) {
        let token = block_idx() as usize;
        let row = token * v as usize;
        let target = targets.ld(token);
        let local = target.wrapping_sub(vocab_start);
        let base = max.ld(token);
        let factor = scale / sum.ld(token);
        let mut at = thread_idx() * 8;
        while at < v {
            let mut values = [0.0_f32; 8];
            if target != IGNORE {
                values = Bf16::ld8(logits, row + at as usize);
                unroll!(i in 8 {
                    values[i] = exp2((values[i] - base) * LOG2_E) * factor;
                    if at + i as u32 == local {
                        values[i] -= scale;
                    }
                });
            }
            Bf16::st8(logits, row + at as usize, values);
            at += block_dim() * 8;
        }
    }
}
