//! Softmax, loss and gradient of one chunk of logits on host cores, a row per token.

use rayon::prelude::*;

use super::simd::{LANES, exp, max_lanes, run, sum_lanes};
use crate::ops::cross_entropy::IGNORE;

/// Largest logit of each row.
pub(crate) fn row_max(logits: &[f32], max: &mut [f32], v: usize) {
    max.par_iter_mut().zip(logits.par_chunks(v)).for_each(|(max, row)| {
        *max = run(
            #[inline(always)]
            || largest(row),
        );
    });
}

#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    rest.iter().fold(max_lanes(lanes), |a, b| a.max(*b))
}

/// In place `exp(logit - max)`; their sum, and the target's `logit - max` where this rank holds it
/// (else 0).
pub(crate) fn exponentials(
    logits: &mut [f32],
    max: &[f32],
    targets: &[u32],
    vocab_start: u32,
    sum: &mut [f32],
    target_logit: &mut [f32],
) {
    let v = logits.len() / targets.len();
    logits
        .par_chunks_mut(v)
        .zip(max)
        .zip(targets)
        .zip(sum.par_iter_mut().zip(target_logit))
        .for_each(|(((row, max), target), (sum, target_logit))| {
            let local = target.wrapping_sub(vocab_start) as usize;
            *target_logit = row.get(local).map_or(0.0, |logit| logit - max);
            *sum = run(
                #[inline(always)]
                || exponentials_of_row(row, *max),
            );
        });
}

#[inline(always)]
fn exponentials_of_row(row: &mut [f32], max: f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] - max);
            lanes[i] += chunk[i];
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *value = exp(*value - max);
        *lane += *value;
    }
    sum_lanes(lanes)
}

/// In place `(softmax - onehot) * grad_scale` from the exponentials and their sum over all ranks.
pub(crate) fn gradients(
    exponentials: &mut [f32],
    sum: &[f32],
    targets: &[u32],
    vocab_start: u32,
    grad_scale: f32,
) {
    let v = exponentials.len() / targets.len();
    exponentials.par_chunks_mut(v).zip(sum).zip(targets).for_each(|((row, sum), target)| {
        if *target == IGNORE {
            row.fill(0.0);
            return;
        }
        let factor = grad_scale / sum;
        run(
            #[inline(always)]
            || {
                for value in row.iter_mut() {
                    *value *= factor;
                }
            },
        );
        if let Some(value) = row.get_mut(target.wrapping_sub(vocab_start) as usize) {
            *value -= grad_scale;
        }
    });
}
