//! Gradients of queries with `mma.sync`: the forward pass's walk over keys and values once more,
//! with dQ in registers, so that no sum crosses blocks. That scores and their gradients are made a
//! second time, two products in seven, is the price of sums that have one order.
//!
//! With P = exp(S - lse) and delta = rowsum(dO * O): dS = P * (dO V' - delta), dQ = dS K.

#[cfg(not(target_arch = "nvptx64"))]
use super::Shape;
use super::softmax::{Scores, hide};
use super::tile::{Square, Tile, times, times_rows};
use super::{Packed, score_scale, score_scale2};
use crate::simt::*;

/// Queries of a block, in squares.
const Q16: usize = 4;
/// Queries of a block.
const QUERIES: u32 = 16 * Q16 as u32;
/// Threads of a block: a warp for 16 queries.
const THREADS: u32 = WARP * Q16 as u32;

/// Shared memory of a block: queries, their gradients, and two stages of keys and values.
struct Areas<const D16: usize, const K16: usize>;

impl<const D16: usize, const K16: usize> Areas<D16, K16> {
    const KEYS: u32 = 16 * K16 as u32;
    const TILE: u32 = Tile::<D16>::bytes(Self::KEYS);
    const QUERIES: u32 = Tile::<D16>::bytes(QUERIES);
    #[cfg(not(target_arch = "nvptx64"))]
    const ALL: u32 = 2 * Self::QUERIES + 4 * Self::TILE;

    /// Keys and values number `tile`.
    #[inline(always)]
    fn stage(tile: u32) -> [Tile<D16>; 2] {
        let start = 2 * Self::QUERIES + (tile & 1) * 2 * Self::TILE;
        [start, start + Self::TILE].map(|at| Tile::at(at, Self::KEYS))
    }
}

/// `D16` is head_dim / 16, `K16` the keys of a tile / 16.
#[inline(always)]
fn gradient_q<const D16: usize, const K16: usize>(
    qkv: Global<Bf16>,
    dout: Global<Bf16>,
    lse: Global<f32>,
    delta: Global<f32>,
    dqkv: Global<Bf16>,
    packed: Packed<D16>,
) {
    let keys = 16 * K16 as u32;
    // Queries with the most keys start first.
    let first = (grid_dim_y() - 1 - block_idx_y()) * QUERIES;
    let (head, batch) = (block_idx(), block_idx_z());
    let [k_rows, v_rows] = packed.kv_rows(qkv, batch, packed.kv_head(head));
    let fetch = |tile: u32| {
        let [k, v] = Areas::<D16, K16>::stage(tile);
        k.fetch::<K16, THREADS>(k_rows, tile * keys);
        v.fetch::<K16, THREADS>(v_rows, tile * keys);
        cp_async_commit();
    };
    let [q, dout_tile] = [0, Areas::<D16, K16>::QUERIES].map(|at| Tile::<D16>::at(at, QUERIES));
    q.fetch::<Q16, THREADS>(packed.q_rows(qkv, batch, head), first);
    dout_tile.fetch::<Q16, THREADS>(packed.out_rows(dout, batch, head), first);
    fetch(0);
    let first_of_warp = first + 16 * warp();
    let [lse, delta] = [lse, delta].map(|values| {
        let at = packed.per_query(batch, head);
        [0, 8].map(|h| {
            let query = first_of_warp + lane() / 4 + h;
            if query < packed.seq { values.ld(at + query as usize) } else { 0.0 }
        })
    });
    let lse2 = lse.map(|lse| lse * core::f32::consts::LOG2_E);
    let mut dq = [[[0.0; 4]; 2]; D16];
    let tiles = (first + QUERIES).min(packed.seq).div_ceil(keys);
    let mut tile = 0;
    while tile < tiles {
        // This tile is there for all, and all are done with the other stage.
        cp_async_wait::<0>();
        sync_threads();
        if tile + 1 < tiles {
            fetch(tile + 1);
        }
        let [k, v] = Areas::<D16, K16>::stage(tile);
        let mut scores: [Square; K16] = [[[0.0; 4]; 2]; K16];
        times_rows(&mut scores, |column| q.left(warp(), column as u32), k);
        if (tile + 1) * keys > first_of_warp {
            hide(&mut scores, first_of_warp as i32 - (tile * keys) as i32);
        }
        let mut gradients: [Square; K16] = [[[0.0; 4]; 2]; K16];
        times_rows(&mut gradients, |column| dout_tile.left(warp(), column as u32), v);
        gradients.each(|gradient, n, half, i| {
            let score = scores[n][half][i];
            let weight = exp2(fma(score, score_scale2::<D16>(), -lse2[i / 2]));
            weight * (gradient - delta[i / 2])
        });
        times(&mut dq, &gradients, k, 0);
        tile += 1;
    }
    dq.scale([score_scale::<D16>(); 2]);
    q.store(warp(), &dq, packed.q_rows(dqkv, batch, head), first_of_warp, 0);
}

macro_rules! kernels {
    ($($name:ident: $head_dim:literal, $keys:literal, $blocks:literal;)*) => {
        kernel! { $(
            /// The query columns of `dqkv`, from `qkv`, `dout[t, heads * head_dim]`, and `lse` and
            /// `delta[batch, heads, seq]`. Launch it by [`launch`].
            pub fn $name(
                qkv: Global<Bf16>, dout: Global<Bf16>, lse: Global<f32>, delta: Global<f32>,
                dqkv: Global<Bf16>, seq: u32, heads: u32, kv_heads: u32,
            ) bounds(128, $blocks) {
                let packed = Packed { seq, heads, kv_heads };
                gradient_q::<{ $head_dim / 16 }, { $keys / 16 }>(
                    qkv, dout, lse, delta, dqkv, packed,
                );
            }
        )* }

        /// How to launch the kernel of this head_dim.
        ///
        /// # Panics
        /// When there is none.
        #[cfg(not(target_arch = "nvptx64"))]
        pub fn launch(shape: &Shape) -> Launch {
            let shared_bytes = match shape.head_dim {
                $($head_dim => Areas::<{ $head_dim / 16 }, { $keys / 16 }>::ALL,)*
                other => panic!("no attention kernel for a head_dim of {other}"),
            };
            let tiles = shape.seq.div_ceil(QUERIES);
            Launch::grid([shape.heads, tiles, shape.batch], THREADS, shared_bytes)
        }
    };
}
kernels! {
    attention_gradient_q_64: 64, 64, 2;
    attention_gradient_q_128: 128, 64, 2;
    attention_gradient_q_256: 256, 16, 1;
}
