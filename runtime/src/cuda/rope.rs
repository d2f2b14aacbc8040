//! Rotary positions on a GPU.

use kernels::rope::{THREADS, rope_bf16};
use kernels::simt::Launch;

use super::{Gpu, Span, blocks, extent};

/// Turns the first `heads` heads of rows of `row` values; `sign` is 1 forward and -1 backward.
pub(crate) fn rotate(
    gpu: &Gpu,
    cos_sin: Span<'_>,
    rows: Span<'_>,
    row: usize,
    heads: usize,
    head_dim: usize,
    seq: usize,
    sign: f32,
) {
    let (tokens, turned) = (rows.len() / row, heads * head_dim);
    let aligned = row.is_multiple_of(8) && turned.is_multiple_of(8);
    assert!(aligned, "rope on a GPU: rows of {row} values, of which {turned} turn, are no eights");
    let kernel = rope_bf16 {
        qkv: rows.bf16(gpu),
        cos_sin: cos_sin.plain(gpu),
        tokens: extent(tokens),
        row: extent(row),
        turned: extent(turned),
        head_dim: extent(head_dim),
        seq: extent(seq),
        sign,
    };
    gpu.launch(Launch::new(blocks(tokens * turned / 8, THREADS), THREADS, 0), &kernel);
}
