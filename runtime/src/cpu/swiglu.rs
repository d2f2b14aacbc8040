//! SwiGLU on host cores, by tiles of tokens.

use rayon::prelude::*;

use super::simd::{LANES, exp, run};

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
                        let (gates, gate_rest) = gate.as_chunks_mut::<LANES>();
                        let (ups, up_rest) = up.as_chunks_mut::<LANES>();
                        let (dys, dy_rest) = dy.as_chunks::<LANES>();
                        for ((gate, up), dy) in gates.iter_mut().zip(ups).zip(dys) {
                            let (mut d_gate, mut d_up) = ([0.0; LANES], [0.0; LANES]);
                            for i in 0..LANES {
                                (d_gate[i], d_up[i]) = gradient(gate[i], up[i], dy[i]);
                            }
                            (*gate, *up) = (d_gate, d_up);
                        }
                        for ((gate, up), dy) in gate_rest.iter_mut().zip(up_rest).zip(dy_rest) {
                            (*gate, *up) = gradient(*gate, *up, *dy);
                        }
                    }
                },
            );
        },
    );
}

/// Gradients of gate and up: `silu'(x) = s + silu(x) * (1 - s)` with s the sigmoid.
#[inline(always)]
fn gradient(gate: f32, up: f32, dy: f32) -> (f32, f32) {
    let s = sigmoid(gate);
    let silu = gate * s;
    (dy * up * silu.mul_add(1.0 - s, s), dy * silu)
}

/// `1 / (1 + e^-x)`; `exp` is clamped so that it never overflows to infinity.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}
