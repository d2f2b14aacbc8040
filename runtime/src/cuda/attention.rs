//! Attention on a GPU.

use kernels::plain_attention::{
    HEAD_DIM_MAX, ROWS, THREADS, plain_attention_backward_keys, plain_attention_backward_queries,
    plain_attention_forward,
};
use kernels::simt::Launch;

use super::{Gpu, Span, blocks, extent};
use crate::ops::attention::Shape;

/// Numbers that kernels take.
struct Extents {
    seq: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    scale: f32,
}

impl Extents {
    fn new(shape: Shape) -> Self {
        let head_dim = extent(shape.head_dim);
        assert!(head_dim <= HEAD_DIM_MAX, "attention on a GPU: heads of {head_dim} values");
        Self {
            seq: extent(shape.seq),
            heads: extent(shape.heads),
            kv_heads: extent(shape.kv_heads),
            head_dim,
            scale: (1.0 / f64::from(head_dim).sqrt()) as f32,
        }
    }
}

/// A block per few rows of each of `heads` heads.
fn launch(shape: Shape, heads: usize) -> Launch {
    let grid = [blocks(shape.seq, ROWS), extent(heads), extent(shape.batch)];
    Launch::grid(grid, THREADS, 0)
}

pub(crate) fn forward(gpu: &Gpu, shape: Shape, qkv: Span<'_>, out: Span<'_>, lse: Span<'_>) {
    let Extents { seq, heads, kv_heads, head_dim, scale } = Extents::new(shape);
    let (qkv, out, lse) = (qkv.bf16(gpu), out.bf16(gpu), lse.plain(gpu));
    let kernel = plain_attention_forward { qkv, out, lse, seq, heads, kv_heads, head_dim, scale };
    gpu.launch(launch(shape, shape.heads), &kernel);
}

pub(crate) fn backward(
    gpu: &Gpu,
    shape: Shape,
    qkv: Span<'_>,
    out: Span<'_>,
    dout: Span<'_>,
    lse: Span<'_>,
    dqkv: Span<'_>,
) {
    let Extents { seq, heads, kv_heads, head_dim, scale } = Extents::new(shape);
    let (qkv, out, dout) = (qkv.bf16(gpu), out.bf16(gpu), dout.bf16(gpu));
    let (lse, dqkv) = (lse.plain(gpu), dqkv.bf16(gpu));
    let queries = plain_attention_backward_queries {
        qkv,
        out,
        dout,
        lse,
        dqkv,
        seq,
        heads,
        kv_heads,
        head_dim,
        scale,
    };
    gpu.launch(launch(shape, shape.heads), &queries);
    let keys = plain_attention_backward_keys {
        qkv,
        out,
        dout,
        lse,
        dqkv,
        seq,
        heads,
        kv_heads,
        head_dim,
        scale,
    };
    gpu.launch(launch(shape, shape.kv_heads), &keys);
}
