//! One AdamW step (Loshchilov and Hutter 2019) in the order of operations, and with the roundings,
//! of `runtime/src/cpu/adamw.rs`: both give the same bits. The bf16 copy that matrix products read
//! is written in the same pass. A thread has four values.

use crate::simt::*;

/// Threads of a block.
pub const THREADS: u32 = 256;

/// Values of a block.
pub const SHARE: u32 = THREADS * 4;

kernel! {
    /// `m = beta1 m + rest1 g; v = beta2 v + rest2 g^2;
    /// p = decay p - step_size m / (root_correction sqrt(v) + eps)`, g being
    /// `grad_scale * grads[i]`; `rounded[i]` is p in bf16.
    pub fn adamw_f32(
        params: Global<f32>, rounded: Global<Bf16>, grads: Global<f32>, m: Global<f32>,
        v: Global<f32>, len: u64, decay: f32, beta1: f32, rest1: f32, beta2: f32, rest2: f32,
        step_size: f32, root_correction: f32, eps: f32, grad_scale: f32,
    ) {
        let at = block_idx() as u64 * SHARE as u64 + thread_idx() as u64 * 4;
        let update = |p: f32, g: f32, m: f32, v: f32| {
            let g = g * grad_scale;
            let m = fma(beta1, m, rest1 * g);
            let v = fma(beta2, v, rest2 * g * g);
            let denominator = fma(sqrt(v), root_correction, eps);
            (fma(p, decay, -(step_size * m / denominator)), m, v)
        };
        if at + 4 <= len {
            let at = at as usize;
            let (mut p, g) = (params.ld4(at), grads.ld4(at));
            let (mut first, mut second) = (m.ld4(at), v.ld4(at));
            unroll!(i in 4 {
                (p[i], first[i], second[i]) = update(p[i], g[i], first[i], second[i]);
            });
            params.st4(at, p);
            m.st4(at, first);
            v.st4(at, second);
            let [low, high] = [bf16x2(p[0], p[1]), bf16x2(p[2], p[3])];
            let halves = [low as u16, (low >> 16) as u16, high as u16, (high >> 16) as u16];
            rounded.st4(at, [Bf16(halves[0]), Bf16(halves[1]), Bf16(halves[2]), Bf16(halves[3])]);
            return;
        }
        let mut i = at as usize;
        while (i as u64) < len {
            let (p, first, second) = update(params.ld(i), grads.ld(i), m.ld(i), v.ld(i));
            params.st(i, p);
            m.st(i, first);
            v.st(i, second);
            rounded.st(i, Bf16::from_f32(p));
            i += 1;
        }
    }
}
