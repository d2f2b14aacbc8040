//! Rotary positions on a GPU.

use kernels::rope::rope_bf16;
use kernels::rows;

use super::{Gpu, Span, extent};

/// Turns the first `heads` heads of rows of `row` values; `sign` is 1 forward and -1 backward.
pub(crate) fn rotate(
    gpu: &Gpu,
    cos_sin: Span<'_>,
    qkv: Span<'_>,
    row: usize,
    heads: usize,
    head_dim: usize,
    seq: usize,
    sign: f32,
) {
    assert!(row.is_multiple_of(8), "rope on a GPU: rows of {row} values are no eights");
    let (tokens, turned) = (extent(qkv.len() / row), extent(heads * head_dim));
    let kernel = rope_bf16 {
        qkv: qkv.bf16(gpu),
        cos_sin: cos_sin.plain(gpu),
        row: extent(row),
        turned,
        head_dim: extent(head_dim),
        seq: extent(seq),
        sign,
    };
    gpu.launch(rows::launch(tokens, turned), &kernel);
}
