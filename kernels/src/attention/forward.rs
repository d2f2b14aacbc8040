//! Forward attention with `mma.sync`, for sm_80 and later. A block has 64 queries of one head, 16 a
//! warp, and walks the keys from the first on, so that every row meets a finite score at once and
//! needs no guard against a peak of minus infinity. Two stages of keys and values: one in use, the
//! other under way.

#[cfg(not(target_arch = "nvptx64"))]
use super::Shape;
use super::softmax::{Scores, Softmax, hide};
use super::tile::{Held, Square, Tile, times, times_rows};
use super::{Packed, score_scale2};
use crate::simt::*;

/// Queries of a block, in squares.
const Q16: usize = 4;
/// Queries of a block.
const QUERIES: u32 = 16 * Q16 as u32;
/// Threads of a block: a warp for 16 queries.
const THREADS: u32 = WARP * Q16 as u32;

/// Shared memory of a block, in bytes.
struct Areas<const D16: usize, const K16: usize>;

impl<const D16: usize, const K16: usize> Areas<D16, K16> {
    const TILE: u32 = Tile::<D16>::bytes(16 * K16 as u32);
    const QUERIES: u32 = Tile::<D16>::bytes(QUERIES);
    #[cfg(not(target_arch = "nvptx64"))]
    const ALL: u32 = Self::QUERIES + 4 * Self::TILE;

    /// Keys and values number `tile`.
    #[inline(always)]
    fn stage(tile: u32) -> [Tile<D16>; 2] {
        let start = Self::QUERIES + (tile & 1) * 2 * Self::TILE;
        [start, start + Self::TILE].map(|at| Tile::at(at, 16 * K16 as u32))
    }
}

/// `D16` is head_dim / 16, `K16` the keys of a tile / 16.
#[inline(always)]
fn forward<const D16: usize, const K16: usize>(
    qkv: Global<Bf16>,
    out: Global<Bf16>,
    lse: Global<f32>,
    packed: Packed<D16>,
) {
    let keys = 16 * K16 as u32;
    // Queries with the most keys start first, or the last blocks would run alone.
    let first = (grid_dim_y() - 1 - block_idx_y()) * QUERIES;
    let (head, batch) = (block_idx(), block_idx_z());
    let [k_rows, v_rows] = packed.kv_rows(qkv, batch, packed.kv_head(head));
    let fetch = |tile: u32| {
        let [k, v] = Areas::<D16, K16>::stage(tile);
        k.fetch::<K16, THREADS>(k_rows, tile * keys);
        v.fetch::<K16, THREADS>(v_rows, tile * keys);
        cp_async_commit();
    };
    let q = Tile::<D16>::at(0, QUERIES);
    q.fetch::<Q16, THREADS>(packed.q_rows(qkv, batch, head), first);
    cp_async_commit();
    fetch(0);
    cp_async_wait::<1>();
    sync_threads();
    let held = Held::of(q, warp());
    let mut sums = [[[0.0; 4]; 2]; D16];
    let mut softmax = Softmax::new(score_scale2::<D16>());
    let first_of_warp = first + 16 * warp();
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
        times_rows(&mut scores, |column| held.get(column), k);
        if (tile + 1) * keys > first_of_warp {
            hide(&mut scores, first_of_warp as i32 - (tile * keys) as i32);
        }
        let factors = softmax.weigh(&mut scores);
        sums.scale(factors);
        times(&mut sums, &scores, v, 0);
        tile += 1;
    }
    let (shares, logs) = softmax.finish();
    sums.scale(shares);
    q.store(warp(), &sums, packed.out_rows(out, batch, head), first_of_warp, 0);
    if lane().is_multiple_of(4) {
        let (row, at) = (first_of_warp + lane() / 4, packed.per_query(batch, head));
        if row < packed.seq {
            lse.st(at + row as usize, logs[0]);
        }
        if row + 8 < packed.seq {
            lse.st(at + row as usize + 8, logs[1]);
        }
    }
}

macro_rules! kernels {
    ($($name:ident: $head_dim:literal, $keys:literal, $blocks:literal;)*) => {
        kernel! { $(
            /// `out[t, heads * head_dim]` and `lse[batch, heads, seq]` (natural logarithm) of
            /// `qkv[t, (heads + 2 * kv_heads) * head_dim]`. Launch it by [`launch`].
            pub fn $name(
                qkv: Global<Bf16>, out: Global<Bf16>, lse: Global<f32>,
                seq: u32, heads: u32, kv_heads: u32,
            ) bounds(128, $blocks) {
                let packed = Packed { seq, heads, kv_heads };
                forward::<{ $head_dim / 16 }, { $keys / 16 }>(qkv, out, lse, packed);
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
    attention_forward_64: 64, 64, 3;
    attention_forward_128: 128, 64, 2;
    attention_forward_256: 256, 32, 2;
}
