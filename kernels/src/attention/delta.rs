//! `delta = sum_i dout[i] * out[i]` for every query: what the softmax takes off the gradient of
//! each of its weights. Eight lanes share a row, in pieces of 16 bytes.

#[cfg(not(target_arch = "nvptx64"))]
use super::Shape;
use super::{Packed, tile::Rows};
use crate::simt::*;

/// Threads of a block.
const THREADS: u32 = 256;
/// Lanes that share a row.
const SHARE: u32 = 8;
/// Queries of a block.
const QUERIES: u32 = THREADS / SHARE;

#[inline(always)]
fn delta_of<const D16: usize>(
    out: Global<Bf16>,
    dout: Global<Bf16>,
    delta: Global<f32>,
    packed: Packed<D16>,
) {
    let (head, batch) = (block_idx(), block_idx_z());
    let query = block_idx_y() * QUERIES + thread_idx() / SHARE;
    let [out, dout] = [out, dout].map(|values| packed.out_rows(values, batch, head));
    // All lanes take part in the sum, so those past the end repeat the last row.
    let row = query.min(packed.seq - 1);
    let mut sum = 0.0;
    let mut piece = 0;
    while piece < D16 / 4 {
        let column = (thread_idx() % SHARE + piece as u32 * SHARE) * 8;
        let [a, b] =
            [out, dout].map(|rows: Rows| rows.values.ld16b(rows.at(row) + column as usize));
        let mut i = 0;
        while i < 4 {
            let ([a, b], [c, d]) = (unpack_bf16x2(a[i]), unpack_bf16x2(b[i]));
            sum = fma(b, d, fma(a, c, sum));
            i += 1;
        }
        piece += 1;
    }
    sum += shfl_xor_f32(sum, 4);
    sum += shfl_xor_f32(sum, 2);
    sum += shfl_xor_f32(sum, 1);
    if query < packed.seq && thread_idx().is_multiple_of(SHARE) {
        delta.st(packed.per_query(batch, head) + query as usize, sum);
    }
}

macro_rules! kernels {
    ($($name:ident: $head_dim:literal;)*) => {
        kernel! { $(
            /// `delta[batch, heads, seq]` of `out` and `dout[t, heads * head_dim]`. Launch it by
            /// [`launch`].
            pub fn $name(
                out: Global<Bf16>, dout: Global<Bf16>, delta: Global<f32>, seq: u32, heads: u32,
            ) bounds(256, 4) {
                let packed = Packed { seq, heads, kv_heads: heads };
                delta_of::<{ $head_dim / 16 }>(out, dout, delta, packed);
            }
        )* }
    };
}
kernels! {
    attention_delta_64: 64;
    attention_delta_128: 128;
    attention_delta_256: 256;
}

/// How to launch them.
#[cfg(not(target_arch = "nvptx64"))]
pub fn launch(shape: &Shape) -> Launch {
    Launch::grid([shape.heads, shape.seq.div_ceil(QUERIES), shape.batch], THREADS, 0)
}
