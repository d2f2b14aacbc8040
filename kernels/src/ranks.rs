//! What tensor-parallel ranks exchange when they share a GPU: values of all ranks, folded in the
//! order of the ranks, into every rank's memory. A thread has one value of each rank.

use crate::activation::Activation;
use crate::simt::*;

/// Most ranks that share a GPU.
pub const RANKS_MAX: usize = 8;

/// Threads of a block.
pub const THREADS: u32 = 256;

/// `x[r][i] = fold over r of x[r][i]` for the first `ranks` of the arrays.
#[inline(always)]
fn fold<T: Activation>(x: [Global<T>; 8], ranks: u32, len: u64, combine: impl Fn(f32, f32) -> f32) {
    let at = block_idx() as u64 * block_dim() as u64 + thread_idx() as u64;
    if at < len {
        let i = at as usize;
        let mut value = x[0].ld(i).widen();
        unroll!(r in 8 {
            if r != 0 && (r as u32) < ranks {
                value = combine(value, x[r].ld(i).widen());
            }
        });
        unroll!(r in 8 {
            if (r as u32) < ranks {
                x[r].st(i, T::round(value));
            }
        });
    }
}

kernel! {
    /// Every rank's `x[len]` becomes the sum of all; arguments from `ranks` on are not touched.
    pub fn ranks_sum_f32(
        x0: Global<f32>, x1: Global<f32>, x2: Global<f32>, x3: Global<f32>, x4: Global<f32>,
        x5: Global<f32>, x6: Global<f32>, x7: Global<f32>, ranks: u32, len: u64,
    ) {
        fold([x0, x1, x2, x3, x4, x5, x6, x7], ranks, len, |a, b| a + b);
    }

    /// [`ranks_sum_f32`] in bf16: summed in f32, rounded once.
    pub fn ranks_sum_bf16(
        x0: Global<Bf16>, x1: Global<Bf16>, x2: Global<Bf16>, x3: Global<Bf16>, x4: Global<Bf16>,
        x5: Global<Bf16>, x6: Global<Bf16>, x7: Global<Bf16>, ranks: u32, len: u64,
    ) {
        fold([x0, x1, x2, x3, x4, x5, x6, x7], ranks, len, |a, b| a + b);
    }

    /// Every rank's `x[len]` becomes the largest of all.
    pub fn ranks_max_f32(
        x0: Global<f32>, x1: Global<f32>, x2: Global<f32>, x3: Global<f32>, x4: Global<f32>,
        x5: Global<f32>, x6: Global<f32>, x7: Global<f32>, ranks: u32, len: u64,
    ) {
        fold([x0, x1, x2, x3, x4, x5, x6, x7], ranks, len, f32::max);
    }
}
