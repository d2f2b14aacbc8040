//! SwiGLU on host cores, by tiles of tokens.

use rayon::prelude::*;

use super::simd::{exp, run};

/// Tokens per tile.
const TILE_TOKENS: usize = 8;

pub(crate) fn forward(gate_up: &[f32], y: &mut [f32], f: usize) {
    y.par_chunks_mut(TILE_TOKENS * f).zip(gate_up.par_chunks(TILE_TOKENS * 2 * f)).for_each(
        |(y, gate_up)| {
            run(
                #[inline(always)]
                || {
                    for (y, gate_up) in y.chunks_exact_mut(f).zip(gate_up.chunks_exact(2 * f)) {
                        let (gate, up) = gate_up.split_at(f);
                        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
                            *y = g * sigmoid(*g) * u;
                        }
                    }
                },
            );
        },
    );
}

pub(crate) fn backward(gate_up: &mut [f32], dy: &[f32], f: usize) {
    gate_up.par_chunks_mut(TILE_TOKENS * 2 * f).zip(dy.par_chunks(TILE_TOKENS * f)).for_each(
        |(gate_up, dy)| {
            run(
                #[inline(always)]
                || {
                    for (gate_up, dy) in gate_up.chunks_exact_mut(2 * f).zip(dy.chunks_exact(f)) {
                        let (gate, up) = gate_up.split_at_mut(f);
                        for ((g, u), dy) in gate.iter_mut().zip(up).zip(dy) {
                            let s = sigmoid(*g);
                            let silu = *g * s;
                            // silu' = s + silu * (1 - s)
                            *g = dy * *u * silu.mul_add(1.0 - s, s);
                            *u = dy * silu;
                        }
                    }
                },
            );
        },
    );
}

/// `1 / (1 + e^-x)`; `exp` is clamped so that it never overflows to infinity.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}
