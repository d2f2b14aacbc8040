//! RMS normalisation on host cores. A row is a token; tiles are runs of rows.

use rayon::prelude::*;

use super::simd::{dot, run};
use crate::ops::rms_norm::PARTS;

/// Tokens per tile of the forward pass.
const TILE_TOKENS: usize = 16;

pub(crate) fn forward(x: &[f32], w: &[f32], eps: f32, y: &mut [f32], rstd: &mut [f32]) {
    let tile = TILE_TOKENS * w.len();
    y.par_chunks_mut(tile).zip(rstd.par_chunks_mut(TILE_TOKENS)).zip(x.par_chunks(tile)).for_each(
        |((y, rstd), x)| {
            run(
                #[inline(always)]
                || rows(x, w, eps, y, rstd),
            )
        },
    );
}

pub(crate) fn forward_residual(
    x: &[f32],
    delta: &[f32],
    w: &[f32],
    eps: f32,
    sum: &mut [f32],
    y: &mut [f32],
    rstd: &mut [f32],
) {
    let tile = TILE_TOKENS * w.len();
    y.par_chunks_mut(tile)
        .zip(rstd.par_chunks_mut(TILE_TOKENS))
        .zip(sum.par_chunks_mut(tile))
        .zip(x.par_chunks(tile).zip(delta.par_chunks(tile)))
        .for_each(|(((y, rstd), sum), (x, delta))| {
            run(
                #[inline(always)]
                || {
                    for ((sum, x), delta) in sum.iter_mut().zip(x).zip(delta) {
                        *sum = x + delta;
                    }
                    rows(sum, w, eps, y, rstd);
                },
            );
        });
}

#[inline(always)]
fn rows(x: &[f32], w: &[f32], eps: f32, y: &mut [f32], rstd: &mut [f32]) {
    let d = w.len();
    for ((x, y), rstd) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(rstd) {
        let r = 1.0 / (dot(x, x) / d as f32 + eps).sqrt();
        *rstd = r;
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * r * w;
        }
    }
}

/// Each of `PARTS` runs of tokens sums its share of dw in `partials`; shares are added in order.
pub(crate) fn backward(
    dy: &[f32],
    x: &[f32],
    w: &[f32],
    rstd: &[f32],
    dx: &mut [f32],
    dw: &mut [f32],
    partials: &mut [f32],
) {
    let d = w.len();
    let tokens = rstd.len().div_ceil(PARTS).max(1);
    let parts = rstd.len().div_ceil(tokens);
    partials[..parts * d]
        .par_chunks_mut(d)
        .zip(dx.par_chunks_mut(tokens * d))
        .zip(dy.par_chunks(tokens * d).zip(x.par_chunks(tokens * d)))
        .zip(rstd.par_chunks(tokens))
        .for_each(|(((partial, dx), (dy, x)), rstd)| {
            run(
                #[inline(always)]
                || {
                    partial.fill(0.0);
                    backward_rows(dy, x, w, rstd, dx, partial);
                },
            );
        });
    run(
        #[inline(always)]
        || {
            for partial in partials[..parts * d].chunks_exact(d) {
                for (dw, partial) in dw.iter_mut().zip(partial) {
                    *dw += partial;
                }
            }
        },
    );
}

/// With g = dy * w: `dx += r * g - x * r^3 * mean(g * x)`, `dw += dy * x * r`.
#[inline(always)]
fn backward_rows(dy: &[f32], x: &[f32], w: &[f32], rstd: &[f32], dx: &mut [f32], dw: &mut [f32]) {
    let d = w.len();
    let rows = dy.chunks_exact(d).zip(x.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(rstd);
    for (((dy, x), dx), r) in rows {
        let projection = weighted_dot(dy, w, x) * r * r * r / d as f32;
        for i in 0..d {
            dx[i] += (dy[i] * w[i]).mul_add(*r, -(x[i] * projection));
            dw[i] = dy[i].mul_add(x[i] * r, dw[i]);
        }
    }
}

/// `sum dy * w * x`.
#[inline(always)]
fn weighted_dot(dy: &[f32], w: &[f32], x: &[f32]) -> f32 {
    use super::simd::{LANES, sum_lanes};
    let mut lanes = [0.0_f32; LANES];
    let whole = dy.len() / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        let (dy, w, x) = (&dy[at..at + LANES], &w[at..at + LANES], &x[at..at + LANES]);
        for i in 0..LANES {
            lanes[i] = (dy[i] * w[i]).mul_add(x[i], lanes[i]);
        }
    }
    for i in whole..dy.len() {
        lanes[i - whole] = (dy[i] * w[i]).mul_add(x[i], lanes[i - whole]);
    }
    sum_lanes(lanes)
}
