//! Rotary positions (Su et al. 2021) in interleaved pairs, in place on packed bf16 rows: values
//! (2i, 2i + 1) of a head turn by the angle of their position. A thread of `rows` turns four pairs.

use crate::activation::Activation;
use crate::rows;
use crate::simt::*;

kernel! {
    /// Turns the first `turned` values, a multiple of 8, of each row of `qkv[tokens, row]`. The
    /// position of a row is its index modulo `seq`; `cos_sin` is `[seq, head_dim]`, a row being
    /// cosines, then sines; `sign` is 1, or -1 to turn back.
    pub fn rope_bf16(
        qkv: Global<Bf16>, cos_sin: Global<f32>, row: u32, turned: u32, head_dim: u32, seq: u32,
        sign: f32,
    ) {
        let (token, column) = rows::place();
        if column < turned {
            let at = token * row as usize + column as usize;
            // Neither is zero, but a division that might fail is none that a kernel may have.
            let position = (token as u32).checked_rem(seq).unwrap_or(0);
            let angles = position as usize * head_dim as usize;
            let half = (head_dim / 2) as usize;
            let mut values = Bf16::ld8(qkv, at);
            unroll!(pair in 4 {
                let value = (column + 2 * pair as u32).checked_rem(head_dim).unwrap_or(0);
                let place = angles + value as usize / 2;
                let (cos, sin) = (cos_sin.ld(place), cos_sin.ld(place + half) * sign);
                let (a, b) = (values[2 * pair], values[2 * pair + 1]);
                values[2 * pair] = fma(a, cos, -(b * sin));
                values[2 * pair + 1] = fma(a, sin, b * cos);
            });
            Bf16::st8(qkv, at, values);
        }
    }
}
