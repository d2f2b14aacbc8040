//! RMS normalisation (Zhang and Sennrich 2019) with the residual sum before it: `y = x * r * w`,
//! `r = 1 / sqrt(mean x^2 + eps)`. Rows are tokens of `d` values, a multiple of 8 up to 8,192; the
//! formulas and their roundings are those of `runtime/src/cpu/rms_norm.rs`.
//!
//! A block holds a row in registers, so memory is read once. Gains' gradients are summed in two
//! stages whose order depends on the number of tokens alone, never on the device.

use crate::activation::Activation;
use crate::simt::*;

/// Blocks of the backward pass, and partial sums of dw: a constant, for the sums depend on it.
pub const PARTS: u32 = 264;

/// Bytes of shared memory of the row kernels.
pub const SHARED_BYTES: u32 = 2 * 32 * 4;

/// Pieces of 8 values that a thread holds.
const PIECES: usize = 2;

/// Threads of the row kernels for rows of `d` values.
///
/// # Panics
/// When `d` is no multiple of 8 from 8 to 8,192.
#[cfg(not(target_arch = "nvptx64"))]
pub fn threads(d: u32) -> u32 {
    assert!(d.is_multiple_of(8) && (8..=8_192).contains(&d), "rows of {d} values");
    d.div_ceil(8 * PIECES as u32).next_multiple_of(WARP)
}

/// The first value of piece `p` of this thread.
#[inline(always)]
fn place(p: usize) -> u32 {
    (p as u32 * block_dim() + thread_idx()) * 8
}

#[inline(always)]
fn forward_row<T: Activation, const HAS_DELTA: bool>(
    x: Global<T>,
    delta: Global<T>,
    w: Global<T>,
    sum: Global<T>,
    y: Global<T>,
    rstd: Global<f32>,
    d: u32,
    eps: f32,
) {
    let row = block_idx() as usize * d as usize;
    let mut held = [[0.0_f32; 8]; PIECES];
    unroll!(p in 2 {
        let at = place(p);
        if at < d {
            let here = row + at as usize;
            held[p] = T::ld8(x, here);
            if HAS_DELTA {
                let other = T::ld8(delta, here);
                unroll!(i in 8 { held[p][i] += other[i]; });
                T::st8(sum, here, held[p]);
            }
        }
    });
    let mut squares = 0.0;
    unroll!(p in 2 { unroll!(i in 8 { squares = fma(held[p][i], held[p][i], squares); }); });
    let squares = block_sum(squares, Shared::at(0, 32));
    let r = 1.0 / sqrt(squares / d as f32 + eps);
    if thread_idx() == 0 {
        rstd.st(block_idx() as usize, r);
    }
    unroll!(p in 2 {
        let at = place(p);
        if at < d {
            let gains = T::ld8(w, at as usize);
            let mut scaled = [0.0_f32; 8];
            unroll!(i in 8 { scaled[i] = held[p][i] * r * gains[i]; });
            T::st8(y, row + at as usize, scaled);
        }
    });
}

/// With g = dy * w: `dx += r * g - x * r^3 * mean(g * x)`, `dw = sum_t dy * x * r`.
#[inline(always)]
fn backward_rows<T: Activation>(
    dy: Global<T>,
    x: Global<T>,
    w: Global<T>,
    rstd: Global<f32>,
    dx: Global<T>,
    partials: Global<f32>,
    tokens: u32,
    d: u32,
) {
    let mut gains = [[0.0_f32; 8]; PIECES];
    let mut dw = [[0.0_f32; 8]; PIECES];
    unroll!(p in 2 {
        if place(p) < d {
            gains[p] = T::ld8(w, place(p) as usize);
        }
    });
    let mut token = block_idx();
    // Two scratch rows in turn, so that one barrier per token is enough.
    let mut turn = 0;
    while token < tokens {
        let row = token as usize * d as usize;
        let mut xs = [[0.0_f32; 8]; PIECES];
        let mut dys = [[0.0_f32; 8]; PIECES];
        let mut products = 0.0;
        unroll!(p in 2 {
            if place(p) < d {
                xs[p] = T::ld8(x, row + place(p) as usize);
                dys[p] = T::ld8(dy, row + place(p) as usize);
            }
            unroll!(i in 8 { products = fma(dys[p][i] * gains[p][i], xs[p][i], products); });
        });
        let products = block_sum(products, Shared::at(turn * 128, 32));
        let r = rstd.ld(token as usize);
        let projection = products * r * r * r / d as f32;
        unroll!(p in 2 {
            if place(p) < d {
                let mut sums = T::ld8(dx, row + place(p) as usize);
                unroll!(i in 8 {
                    sums[i] += fma(dys[p][i] * gains[p][i], r, -(xs[p][i] * projection));
                    dw[p][i] = fma(dys[p][i], xs[p][i] * r, dw[p][i]);
                });
                T::st8(dx, row + place(p) as usize, sums);
            }
        });
        turn ^= 1;
        token += grid_dim();
    }
    unroll!(p in 2 {
        if place(p) < d {
            f32::st8(partials, block_idx() as usize * d as usize + place(p) as usize, dw[p]);
        }
    });
}

kernel! {
    /// `y[t, d]` and `rstd[t]` of `x[t, d]` and gains `w[d]`. A block per token.
    pub fn rms_norm_forward_f32(
        x: Global<f32>, w: Global<f32>, y: Global<f32>, rstd: Global<f32>, d: u32, eps: f32,
    ) {
        forward_row::<f32, false>(x, x, w, x, y, rstd, d, eps);
    }

    /// [`rms_norm_forward_f32`] in bf16.
    pub fn rms_norm_forward_bf16(
        x: Global<Bf16>, w: Global<Bf16>, y: Global<Bf16>, rstd: Global<f32>, d: u32, eps: f32,
    ) {
        forward_row::<Bf16, false>(x, x, w, x, y, rstd, d, eps);
    }

    /// `sum[t, d] = x[t, d] + delta[t, d]`, then [`rms_norm_forward_f32`] of the sum.
    pub fn rms_norm_forward_residual_f32(
        x: Global<f32>, delta: Global<f32>, w: Global<f32>, sum: Global<f32>, y: Global<f32>,
        rstd: Global<f32>, d: u32, eps: f32,
    ) {
        forward_row::<f32, true>(x, delta, w, sum, y, rstd, d, eps);
    }

    /// [`rms_norm_forward_residual_f32`] in bf16; the norm is of the sum before it is rounded.
    pub fn rms_norm_forward_residual_bf16(
        x: Global<Bf16>, delta: Global<Bf16>, w: Global<Bf16>, sum: Global<Bf16>, y: Global<Bf16>,
        rstd: Global<f32>, d: u32, eps: f32,
    ) {
        forward_row::<Bf16, true>(x, delta, w, sum, y, rstd, d, eps);
    }

    /// Adds to `dx[t, d]`, and writes a row of `partials[blocks, d]` per block; at most [`PARTS`]
    /// blocks, each with every so many tokens.
    pub fn rms_norm_backward_f32(
        dy: Global<f32>, x: Global<f32>, w: Global<f32>, rstd: Global<f32>, dx: Global<f32>,
        partials: Global<f32>, tokens: u32, d: u32,
    ) bounds(512, 1) {
        backward_rows::<f32>(dy, x, w, rstd, dx, partials, tokens, d);
    }

    /// [`rms_norm_backward_f32`] in bf16.
    pub fn rms_norm_backward_bf16(
        dy: Global<Bf16>, x: Global<Bf16>, w: Global<Bf16>, rstd: Global<f32>, dx: Global<Bf16>,
        partials: Global<f32>, tokens: u32, d: u32,
    ) bounds(512, 1) {
        backward_rows::<Bf16>(dy, x, w, rstd, dx, partials, tokens, d);
    }

    /// Adds the rows of `partials[parts, d]` to `dw[d]`, in order. A thread per value.
    pub fn rms_norm_backward_gains(
        partials: Global<f32>, dw: Global<f32>, parts: u32, d: u32,
    ) {
        let i = block_idx() * block_dim() + thread_idx();
        if i < d {
            let mut sum = dw.ld(i as usize);
            let mut part = 0;
            while part < parts {
                sum += partials.ld(part as usize * d as usize + i as usize);
                part += 1;
            }
            dw.st(i as usize, sum);
        }
    }
}
