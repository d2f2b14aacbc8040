//! Gradients of keys and values with `mma.sync`. A block has 64 keys of one key-value head and
//! walks all queries that see them, head after head of the group, so that dK and dV stay in
//! registers and every sum has one order. Scores are made transposed, 16 keys a warp: weights and
//! their gradients are then left factors as they are.
//!
//! With P = exp(S - lse) and delta = rowsum(dO * O): dV = P' dO, dS = P * (dO V' - delta),
//! dK = dS' Q (Dao et al. 2022, algorithm 4).

#[cfg(not(target_arch = "nvptx64"))]
use super::Shape;
use super::softmax::{Scores, hide_transposed};
use super::tile::{Square, Tile, times, times_rows};
use super::{Packed, score_scale, score_scale2};
use crate::simt::*;

/// Keys of a block, in squares.
const K16: usize = 4;
/// Keys of a block.
const KEYS: u32 = 16 * K16 as u32;

/// Shared memory of a block: keys, values, two stages of queries with their gradients, and per
/// query the log-sum-exp in powers of two and delta.
struct Areas<const D16: usize, const Q16: usize>;

impl<const D16: usize, const Q16: usize> Areas<D16, Q16> {
    const KEYS: u32 = Tile::<D16>::bytes(KEYS);
    const QUERIES: u32 = 16 * Q16 as u32;
    const TILE: u32 = Tile::<D16>::bytes(Self::QUERIES);
    const PER_QUERY: u32 = 2 * Self::KEYS + 4 * Self::TILE;
    #[cfg(not(target_arch = "nvptx64"))]
    const ALL: u32 = Self::PER_QUERY + 4 * Self::QUERIES * 4;

    /// Queries and their gradients, in turn `turn`.
    #[inline(always)]
    fn stage(turn: u32) -> [Tile<D16>; 2] {
        let start = 2 * Self::KEYS + (turn & 1) * 2 * Self::TILE;
        [start, start + Self::TILE].map(|at| Tile::at(at, Self::QUERIES))
    }

    /// Log-sum-exps of the queries in turn `turn`, then their deltas.
    #[inline(always)]
    fn per_query(turn: u32) -> Shared<f32> {
        let bytes = 2 * Self::QUERIES * 4;
        Shared::at(Self::PER_QUERY + (turn & 1) * bytes, 2 * Self::QUERIES)
    }
}

/// What the block reads of the queries.
#[derive(Clone, Copy)]
struct Queries<const D16: usize> {
    qkv: Global<Bf16>,
    dout: Global<Bf16>,
    lse: Global<f32>,
    delta: Global<f32>,
    packed: Packed<D16>,
    batch: u32,
}

impl<const D16: usize> Queries<D16> {
    /// Starts to copy the queries from `first` on of a head, and their gradients.
    #[inline(always)]
    fn fetch<const Q16: usize, const THREADS: u32>(self, turn: u32, head: u32, first: u32) {
        let [q, dout] = Areas::<D16, Q16>::stage(turn);
        q.fetch::<Q16, THREADS>(self.packed.q_rows(self.qkv, self.batch, head), first);
        dout.fetch::<Q16, THREADS>(self.packed.out_rows(self.dout, self.batch, head), first);
        cp_async_commit();
    }

    /// The value that this thread keeps in place `thread_idx()` of `per_query`. Past the end it is
    /// zero: those weights are one, and their gradients nothing.
    #[inline(always)]
    fn per_query<const Q16: usize>(self, head: u32, first: u32) -> f32 {
        let (queries, place) = (16 * Q16 as u32, thread_idx());
        let query = first + place % queries;
        if place >= 2 * queries || query >= self.packed.seq {
            return 0.0;
        }
        let at = self.packed.per_query(self.batch, head) + query as usize;
        if place < queries {
            self.lse.ld(at) * core::f32::consts::LOG2_E
        } else {
            self.delta.ld(at)
        }
    }
}

/// `D16` is head_dim / 16 and `Q16` the queries of a tile / 16. Of a head too wide for the
/// registers of a warp, each of D16 / PART warps sums `PART` squares and makes all the scores.
#[inline(always)]
fn gradient_kv<const D16: usize, const Q16: usize, const PART: usize, const THREADS: u32>(
    of: Queries<D16>,
    dqkv: Global<Bf16>,
) {
    let queries = 16 * Q16 as u32;
    let (kv_head, batch, packed) = (block_idx(), of.batch, of.packed);
    // The first keys are seen by the most queries, and start first.
    let first_key = block_idx_y() * KEYS;
    let [k, v] = [0, Areas::<D16, Q16>::KEYS].map(|at| Tile::<D16>::at(at, KEYS));
    let [k_rows, v_rows] = packed.kv_rows(of.qkv, batch, kv_head);
    k.fetch::<K16, THREADS>(k_rows, first_key);
    v.fetch::<K16, THREADS>(v_rows, first_key);
    let group = packed.group();
    let (mut head, mut first) = (kv_head * group, first_key);
    let last_head = head + group;
    of.fetch::<Q16, THREADS>(0, head, first);
    let per_query = Areas::<D16, Q16>::per_query(0);
    if thread_idx() < 2 * queries {
        per_query.st(thread_idx(), of.per_query::<Q16>(head, first));
    }
    let (row, column) = (warp() % K16 as u32, warp() / K16 as u32 * PART as u32);
    let mut dk = [[[0.0; 4]; 2]; PART];
    let mut dv = [[[0.0; 4]; 2]; PART];
    let mut turn = 0;
    while head < last_head {
        // This turn's tiles are there for all, and all are done with the other stage.
        cp_async_wait::<0>();
        sync_threads();
        let (next_head, next) = match first + queries {
            next if next < packed.seq => (head, next),
            _ => (head + 1, first_key),
        };
        let mut ahead = 0.0;
        if next_head < last_head {
            of.fetch::<Q16, THREADS>(turn + 1, next_head, next);
            ahead = of.per_query::<Q16>(next_head, next);
        }
        let [q, dout] = Areas::<D16, Q16>::stage(turn);
        let per_query = Areas::<D16, Q16>::per_query(turn);
        let mut weights: [Square; Q16] = [[[0.0; 4]; 2]; Q16];
        times_rows(&mut weights, |column| k.left(row, column as u32), q);
        if first < first_key + KEYS {
            hide_transposed(&mut weights, first as i32 - (first_key + 16 * row) as i32);
        }
        let lse2: [_; Q16] = of_columns(per_query);
        weights.each(|score, n, half, i| {
            exp2(fma(score, score_scale2::<D16>(), -lse2[n][half][i % 2]))
        });
        times(&mut dv, &weights, dout, column);
        let mut gradients: [Square; Q16] = [[[0.0; 4]; 2]; Q16];
        times_rows(&mut gradients, |column| v.left(row, column as u32), dout);
        let delta: [_; Q16] = of_columns(per_query.slice(queries, queries));
        gradients
            .each(|gradient, n, half, i| weights[n][half][i] * (gradient - delta[n][half][i % 2]));
        times(&mut dk, &gradients, q, column);
        if thread_idx() < 2 * queries {
            Areas::<D16, Q16>::per_query(turn + 1).st(thread_idx(), ahead);
        }
        (head, first, turn) = (next_head, next, turn + 1);
    }
    sync_threads();
    dk.scale([score_scale::<D16>(); 2]);
    let [dk_rows, dv_rows] = packed.kv_rows(dqkv, batch, kv_head);
    k.store(row, &dk, dk_rows, first_key + 16 * row, column);
    v.store(row, &dv, dv_rows, first_key + 16 * row, column);
}

/// The values that belong to this lane's two columns of each half of each square.
#[inline(always)]
fn of_columns<const N: usize>(values: Shared<f32>) -> [[[f32; 2]; 2]; N] {
    let mut columns = [[[0.0; 2]; 2]; N];
    let mut n = 0;
    while n < 2 * N {
        columns[n / 2][n % 2] = values.ld2(8 * n as u32 + lane() % 4 * 2);
        n += 1;
    }
    columns
}

macro_rules! kernels {
    ($($name:ident:
        $head_dim:literal, $queries:literal, $part:literal, $threads:literal, $blocks:literal;
    )*) => {
        kernel! { $(
            /// The key and value columns of `dqkv`, from `qkv`, `dout[t, heads * head_dim]`, and
            /// `lse` and `delta[batch, heads, seq]`. Launch it by [`launch`].
            pub fn $name(
                qkv: Global<Bf16>, dout: Global<Bf16>, lse: Global<f32>, delta: Global<f32>,
                dqkv: Global<Bf16>, seq: u32, heads: u32, kv_heads: u32,
            ) bounds($threads, $blocks) {
                let (packed, batch) = (Packed { seq, heads, kv_heads }, block_idx_z());
                let queries = Queries { qkv, dout, lse, delta, packed, batch };
                gradient_kv::<{ $head_dim / 16 }, { $queries / 16 }, { $part / 16 }, $threads>(
                    queries, dqkv,
                );
            }
        )* }

        /// How to launch the kernel of this head_dim.
        ///
        /// # Panics
        /// When there is none.
        #[cfg(not(target_arch = "nvptx64"))]
        pub fn launch(shape: &Shape) -> Launch {
            let (threads, shared_bytes) = match shape.head_dim {
                $($head_dim => ($threads, Areas::<{ $head_dim / 16 }, { $queries / 16 }>::ALL),)*
                other => panic!("no attention kernel for a head_dim of {other}"),
            };
            let tiles = shape.seq.div_ceil(KEYS);
            Launch::grid([shape.kv_heads, tiles, shape.batch], threads, shared_bytes)
        }
    };
}
kernels! {
    attention_gradient_kv_64: 64, 64, 64, 128, 2;
    attention_gradient_kv_128: 128, 32, 128, 128, 2;
    attention_gradient_kv_256: 256, 32, 128, 256, 1;
}
