//! Attention on a GPU: kernels for tensor cores where the heads are as wide as they take, Hopper's
//! own where it is one, and plain ones for other heads.

use kernels::attention::{Shape as Extents, delta, forward, gradient_kv, gradient_q, hopper};
use kernels::plain_attention::{
    HEAD_DIM_MAX, ROWS, THREADS, plain_attention_backward_keys, plain_attention_backward_queries,
    plain_attention_forward,
};
use kernels::simt::Launch;

use super::{Gpu, Span, blocks, extent};
use crate::ops::attention::Shape;

/// The GPUs that Hopper's kernels are for.
const HOPPER: (u32, u32) = (9, 0);

fn extents(shape: Shape) -> Extents {
    let [batch, seq, heads, kv_heads, head_dim] =
        [shape.batch, shape.seq, shape.heads, shape.kv_heads, shape.head_dim].map(extent);
    Extents { batch, seq, heads, kv_heads, head_dim }
}

/// Launches the kernel of a family that is for heads of that many values.
macro_rules! launch {
    ($gpu:ident, $family:ident, $extents:expr, { $($head_dim:literal: $kernel:ident),* }
     $arguments:tt) => {
        match $extents.head_dim {
            $($head_dim => {
                let kernel = launch!(@ $family, $kernel, $arguments);
                $gpu.launch($family::launch($extents), &kernel)
            })*
            other => unreachable!("heads of {other} values"),
        }
    };
    (@ $family:ident, $kernel:ident, { $($name:ident $(: $value:expr)?),* }) => {
        $family::$kernel { $($name $(: $value)?),* }
    };
}

pub(crate) fn forward(gpu: &Gpu, shape: Shape, qkv: Span<'_>, out: Span<'_>, lse: Span<'_>) {
    let extents = &extents(shape);
    let Extents { seq, heads, kv_heads, head_dim, .. } = *extents;
    let (qkv, out, lse) = (qkv.bf16(gpu), out.bf16(gpu), lse.plain(gpu));
    if !matches!(head_dim, 64 | 128 | 256) {
        let scale = scale(shape);
        let kernel =
            plain_attention_forward { qkv, out, lse, seq, heads, kv_heads, head_dim, scale };
        return gpu.launch(plain_launch(shape, shape.heads), &kernel);
    }
    if gpu.facts().compute_capability == HOPPER {
        let [q_map, kv_map, out_map] = hopper::maps(extents, qkv, out);
        return launch!(gpu, hopper, extents, {
            64: attention_forward_hopper_64,
            128: attention_forward_hopper_128,
            256: attention_forward_hopper_256
        } { q_map, kv_map, out_map, lse, seq, heads, kv_heads });
    }
    launch!(gpu, forward, extents, {
        64: attention_forward_64, 128: attention_forward_128, 256: attention_forward_256
    } { qkv, out, lse, seq, heads, kv_heads });
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
    let extents = &extents(shape);
    let Extents { seq, heads, kv_heads, head_dim, .. } = *extents;
    if !matches!(head_dim, 64 | 128 | 256) {
        return plain_backward(gpu, shape, qkv, out, dout, lse, dqkv);
    }
    let (qkv, out, dout) = (qkv.bf16(gpu), out.bf16(gpu), dout.bf16(gpu));
    let (lse, dqkv) = (lse.plain(gpu), dqkv.bf16(gpu));
    let deltas = gpu.allocate(deltas_len(shape) * size_of::<f32>());
    let delta = deltas.global();
    launch!(gpu, delta, extents, {
        64: attention_delta_64, 128: attention_delta_128, 256: attention_delta_256
    } { out, dout, delta, seq, heads });
    launch!(gpu, gradient_kv, extents, {
        64: attention_gradient_kv_64, 128: attention_gradient_kv_128, 256: attention_gradient_kv_256
    } { qkv, dout, lse, delta, dqkv, seq, heads, kv_heads });
    launch!(gpu, gradient_q, extents, {
        64: attention_gradient_q_64, 128: attention_gradient_q_128, 256: attention_gradient_q_256
    } { qkv, dout, lse, delta, dqkv, seq, heads, kv_heads });
}

/// Values that the backward pass keeps per query while it runs.
pub(crate) fn deltas_len(shape: Shape) -> usize {
    shape.lse_len()
}

fn scale(shape: Shape) -> f32 {
    (1.0 / (shape.head_dim as f64).sqrt()) as f32
}

/// A block per few rows of each of `heads` heads.
fn plain_launch(shape: Shape, heads: usize) -> Launch {
    let head_dim = extent(shape.head_dim);
    assert!(head_dim <= HEAD_DIM_MAX, "attention on a GPU: heads of {head_dim} values");
    let grid = [blocks(shape.seq, ROWS), extent(heads), extent(shape.batch)];
    Launch::grid(grid, THREADS, 0)
}

fn plain_backward(
    gpu: &Gpu,
    shape: Shape,
    qkv: Span<'_>,
    out: Span<'_>,
    dout: Span<'_>,
    lse: Span<'_>,
    dqkv: Span<'_>,
) {
    let Extents { seq, heads, kv_heads, head_dim, .. } = extents(shape);
    let (qkv, out, dout) = (qkv.bf16(gpu), out.bf16(gpu), dout.bf16(gpu));
    let (lse, dqkv, scale) = (lse.plain(gpu), dqkv.bf16(gpu), scale(shape));
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
    gpu.launch(plain_launch(shape, shape.heads), &queries);
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
    gpu.launch(plain_launch(shape, shape.kv_heads), &keys);
}
