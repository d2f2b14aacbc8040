//! Embedding rows on a GPU.

use kernels::embedding::{
    BACKWARD_COLUMNS, BACKWARD_SHARED_BYTES, BACKWARD_THREADS, embedding_backward_bf16,
    embedding_forward_bf16,
};
use kernels::rows;
use kernels::simt::Launch;

use super::{Gpu, Span, blocks, extent};

pub(crate) fn forward(
    gpu: &Gpu,
    tokens: Span<'_>,
    table: Span<'_>,
    vocab_start: u32,
    out: Span<'_>,
    d: usize,
) {
    let kernel = embedding_forward_bf16 {
        tokens: tokens.plain(gpu),
        table: table.bf16(gpu),
        out: out.bf16(gpu),
        vocab_start,
        vocab: extent(table.len() / d),
        d: extent(d),
    };
    gpu.launch(rows::launch(extent(tokens.len()), extent(d)), &kernel);
}

pub(crate) fn backward(
    gpu: &Gpu,
    tokens: Span<'_>,
    dout: Span<'_>,
    vocab_start: u32,
    dtable: Span<'_>,
    d: usize,
) {
    assert!(d.is_multiple_of(8), "embedding on a GPU: rows of {d} values are no eights");
    let kernel = embedding_backward_bf16 {
        tokens: tokens.plain(gpu),
        dout: dout.bf16(gpu),
        dtable: dtable.plain(gpu),
        vocab_start,
        vocab: extent(dtable.len() / d),
        t: extent(tokens.len()),
        d: extent(d),
    };
    let grid = [extent(tokens.len()), blocks(d, BACKWARD_COLUMNS), 1];
    gpu.launch(Launch::grid(grid, BACKWARD_THREADS, BACKWARD_SHARED_BYTES), &kernel);
}
