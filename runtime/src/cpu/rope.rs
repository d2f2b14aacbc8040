//! Rotary positions on host cores, in place, by tiles of tokens.

use rayon::prelude::*;

use super::simd::run;

/// Tokens per tile.
const TILE_TOKENS: usize = 8;

/// Rotates pairs (2i, 2i + 1) of the first `heads` heads of each row by its position's angles;
/// `sign` is 1 forward and -1 backward. `cos_sin` is `[seq][head_dim]`: cosines, then sines.
pub(crate) fn rotate(
    cos_sin: &[f32],
    qkv: &mut [f32],
    row_len: usize,
    heads: usize,
    head_dim: usize,
    seq: usize,
    sign: f32,
) {
    qkv.par_chunks_mut(TILE_TOKENS * row_len).enumerate().for_each(|(tile, rows)| {
        run(
            #[inline(always)]
            || {
                for (r, row) in rows.chunks_exact_mut(row_len).enumerate() {
                    let position = (tile * TILE_TOKENS + r) % seq;
                    let angles = &cos_sin[position * head_dim..(position + 1) * head_dim];
                    let (cos, sin) = angles.split_at(head_dim / 2);
                    for head in row[..heads * head_dim].chunks_exact_mut(head_dim) {
                        let (pairs, _) = head.as_chunks_mut::<2>();
                        for ((pair, cos), sin) in pairs.iter_mut().zip(cos).zip(sin) {
                            let sin = sin * sign;
                            let [a, b] = *pair;
                            *pair = [a.mul_add(*cos, -(b * sin)), a.mul_add(sin, b * *cos)];
                        }
                    }
                }
            },
        );
    });
}
