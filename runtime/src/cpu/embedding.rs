//! Embedding rows on host cores.

use rayon::prelude::*;

use super::simd::run;

/// Tokens per tile of the gather.
const TILE_TOKENS: usize = 32;
/// Vocabulary rows per tile of the scatter: each tile reads all tokens and adds its own rows.
const TILE_VOCAB: usize = 512;

pub(crate) fn forward(tokens: &[u32], table: &[f32], vocab_start: u32, out: &mut [f32], d: usize) {
    out.par_chunks_mut(TILE_TOKENS * d).zip(tokens.par_chunks(TILE_TOKENS)).for_each(
        |(out, tokens)| {
            for (row, token) in out.chunks_exact_mut(d).zip(tokens) {
                let local = token.wrapping_sub(vocab_start) as usize;
                match table.get(local.saturating_mul(d)..(local + 1).saturating_mul(d)) {
                    Some(from) => row.copy_from_slice(from),
                    None => row.fill(0.0),
                }
            }
        },
    );
}

/// Adds the tokens of one vocabulary row in their order, whichever thread owns the row.
pub(crate) fn backward(
    tokens: &[u32],
    dout: &[f32],
    vocab_start: u32,
    dtable: &mut [f32],
    d: usize,
) {
    dtable.par_chunks_mut(TILE_VOCAB * d).enumerate().for_each(|(tile, rows)| {
        let first = vocab_start as usize + tile * TILE_VOCAB;
        let mine = first..first + rows.len() / d;
        run(
            #[inline(always)]
            || {
                for (token, from) in tokens.iter().zip(dout.chunks_exact(d)) {
                    if mine.contains(&(*token as usize)) {
                        let row = (*token as usize - first) * d;
                        for (to, from) in rows[row..row + d].iter_mut().zip(from) {
                            *to += from;
                        }
                    }
                }
            },
        );
    });
}
