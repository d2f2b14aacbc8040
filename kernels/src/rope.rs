//! Rotary positions (Su et al. 2021) in interleaved pairs, in place on packed bf16 rows: values
//! (2i, 2i + 1) of a head turn by the angle of their position. A thread turns four pairs.

use crate::activation::Activation;
use crate::simt::*;

/// Threads of a block.
pub const THREADS: u32 = 256;

kernel! {
    /// Turns the first `turned` values, a multiple of 8, of each of the `tokens` rows of
    /// `qkv[tokens, row]`. The position of a row is its index modulo `seq`; `cos_sin` is
    /// `[seq, head_dim]`, a row being cosines, then sines; `sign` is 1, or -1 to turn back.
    pub fn rope_bf16(
        qkv: Global<Bf16>, cos_sin: Global<f32>, tokens: u32, row: u32, turned: u32, head_dim: u32,
        seq: u32, sign: f32,
    ) {
        let shares = turned / 8;
        let share = block_idx() as u64 * block_dim() as u64 + thread_idx() as u64;
        let token = (share / shares as u64) as u32;
        if token < tokens {
            let column = (share % shares as u64) as u32 * 8;
            let at = token as usize * row as usize + column as usize;
            let angles = (token % seq) as usize * head_dim as usize;
            let half = (head_dim / 2) as usize;
            let mut values = Bf16::ld8(qkv, at);
            unroll!(pair in 4 {
                let place = angles + ((column + 2 * pair as u32) % head_dim) as usize / 2;
                let (cos, sin) = (cos_sin.ld(place), cos_sin.ld(place + half) * sign);
                let (a, b) = (values[2 * pair], values[2 * pair + 1]);
                values[2 * pair] = fma(a, cos, -(b * sin));
                values[2 * pair + 1] = fma(a, sin, b * cos);
            });
            Bf16::st8(qkv, at, values);
        }
    }
}
