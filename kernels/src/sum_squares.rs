//! `sum x^2` in f64, for the norm of a gradient. A block sums a fixed run of values, one more block
//! adds the blocks' sums: the order depends on the length alone, never on the device.

use crate::simt::*;

/// Values that a block of [`sum_squares_of_runs`] sums.
pub const RUN: usize = 1 << 16;

/// Threads of a block of either kernel.
pub const THREADS: u32 = 256;

/// Bytes of shared memory of either kernel.
pub const SHARED_BYTES: u32 = 32 * 8;

/// [`warp_sum`] in f64: the same tree.
#[inline(always)]
fn warp_sum_f64(mut value: f64) -> f64 {
    let mut apart = 16;
    while apart > 0 {
        let bits = value.to_bits();
        let (low, high) = (shfl_xor(bits as u32, apart), shfl_xor((bits >> 32) as u32, apart));
        value += f64::from_bits(low as u64 | (high as u64) << 32);
        apart /= 2;
    }
    value
}

/// [`block_sum`] in f64.
#[inline(always)]
pub(crate) fn block_sum_f64(value: f64, scratch: Shared<f64>) -> f64 {
    let value = warp_sum_f64(value);
    if lane() == 0 {
        scratch.st(warp(), value);
    }
    sync_threads();
    let share = if lane() < block_dim() / WARP { scratch.ld(lane()) } else { 0.0 };
    warp_sum_f64(share)
}

kernel! {
    /// `partials[block] = sum x^2` over the block's run of `x[len]`.
    pub fn sum_squares_of_runs(x: Global<f32>, partials: Global<f64>, len: u64) {
        let start = block_idx() as u64 * RUN as u64;
        let end = if start + RUN as u64 <= len { start + RUN as u64 } else { len };
        let mut sum = 0.0_f64;
        let mut at = start + thread_idx() as u64 * 4;
        while at < end {
            let mut values = [0.0_f32; 4];
            if at + 4 <= end {
                values = x.ld4(at as usize);
            } else {
                unroll!(i in 4 {
                    if at + (i as u64) < end {
                        values[i] = x.ld(at as usize + i);
                    }
                });
            }
            unroll!(i in 4 { sum += values[i] as f64 * values[i] as f64; });
            at += THREADS as u64 * 4;
        }
        let sum = block_sum_f64(sum, Shared::at(0, 32));
        if thread_idx() == 0 {
            partials.st(block_idx() as usize, sum);
        }
    }

    /// `sum[0]` = the sum of `partials[len]`. One block.
    pub fn sum_of_partials(partials: Global<f64>, sum: Global<f64>, len: u32) {
        let mut share = 0.0_f64;
        let mut i = thread_idx();
        while i < len {
            share += partials.ld(i as usize);
            i += THREADS;
        }
        let total = block_sum_f64(share, Shared::at(0, 32));
        if thread_idx() == 0 {
            sum.st(0, total);
        }
    }
}
