//! Whole-buffer streams: fill, add, scale. A thread has eight values, so
//! that a warp moves whole lines; the last thread of an odd length goes value by value. Buffers
//! start on 16 bytes.

use crate::activation::Activation;
use crate::simt::*;

/// Threads of a block.
pub const THREADS: u32 = 256;

/// Values of a thread.
const SHARE: u64 = 8;

/// Blocks for `len` values.
///
/// # Panics
/// When they are more than a grid holds, at 4 Ti values.
#[cfg(not(target_arch = "nvptx64"))]
pub fn blocks(len: usize) -> u32 {
    u32::try_from(len.div_ceil((THREADS as u64 * SHARE) as usize)).expect("a grid of this length")
}

/// The first value of this thread.
#[inline(always)]
fn first() -> u64 {
    (block_idx() as u64 * block_dim() as u64 + thread_idx() as u64) * SHARE
}

/// `y[i] = change(x[i], y[i])` for this thread's values; what `change` ignores is not read.
#[inline(always)]
fn zip<A: Activation, B: Activation>(
    x: Global<A>,
    y: Global<B>,
    len: u64,
    change: impl Fn(f32, f32) -> f32,
) {
    let at = first();
    if at + SHARE <= len {
        let (xs, mut ys) = (A::ld8(x, at as usize), B::ld8(y, at as usize));
        unroll!(i in 8 { ys[i] = change(xs[i], ys[i]); });
        B::st8(y, at as usize, ys);
        return;
    }
    let mut i = at;
    while i < len {
        let value = change(x.ld(i as usize).widen(), y.ld(i as usize).widen());
        y.st(i as usize, B::round(value));
        i += 1;
    }
}

kernel! {
    /// `y[i] = value`.
    pub fn fill_f32(y: Global<f32>, value: f32, len: u64) {
        zip(y, y, len, |_, _| value);
    }

    /// [`fill_f32`] in bf16.
    pub fn fill_bf16(y: Global<Bf16>, value: f32, len: u64) {
        zip(y, y, len, |_, _| value);
    }

    /// `y[i] += x[i]`.
    pub fn add_f32(x: Global<f32>, y: Global<f32>, len: u64) {
        zip(x, y, len, |x, y| y + x);
    }

    /// [`add_f32`] in bf16: the sum is rounded.
    pub fn add_bf16(x: Global<Bf16>, y: Global<Bf16>, len: u64) {
        zip(x, y, len, |x, y| y + x);
    }

    /// `y[i] *= factor`.
    pub fn scale_f32(y: Global<f32>, factor: f32, len: u64) {
        zip(y, y, len, |_, y| y * factor);
    }

    /// [`scale_f32`] in bf16: the product is rounded.
    pub fn scale_bf16(y: Global<Bf16>, factor: f32, len: u64) {
        zip(y, y, len, |_, y| y * factor);
    }
}
