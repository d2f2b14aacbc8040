//! Forward attention for Hopper, in the schedule of FlashAttention-3 (Shah et al. 2024). One
//! warpgroup has the copy engine fetch tiles of keys and values into two rings; each of the others
//! has 64 queries. Scores of one tile are multiplied while the softmax of the tile before and its
//! product with the values are under way, and the warpgroups take turns, so that one multiplies
//! while another exponentiates.
//!
//! Keys come from the first on, as in `forward`, which see for why.

#[cfg(not(target_arch = "nvptx64"))]
use super::Shape;
use super::softmax::{Scores, Softmax, hide};
use super::warpgroup::{PANEL, Sums, times, times_rows};
use super::{Packed, score_scale2};
use crate::simt::*;

/// Queries of a warpgroup.
const QUERIES: u32 = 64;
/// Tiles of keys, and of values, that are there or under way.
const STAGES: u32 = 2;

/// Shared memory of a block: queries (later the output), keys, values, barriers. `D16` is
/// head_dim / 16, `K16` the keys of a tile / 16.
struct Areas<const D16: usize, const K16: usize, const CONSUMERS: u32>;

impl<const D16: usize, const K16: usize, const CONSUMERS: u32> Areas<D16, K16, CONSUMERS> {
    const WIDTH: u32 = 16 * D16 as u32;
    const KEYS: u32 = 16 * K16 as u32;
    const OF_QUERIES: u32 = QUERIES * Self::WIDTH * 2;
    const OF_TILE: u32 = Self::KEYS * Self::WIDTH * 2;
    const TILES: u32 = CONSUMERS * Self::OF_QUERIES;
    const BARRIERS: u32 = Self::TILES + 2 * STAGES * Self::OF_TILE;
    #[cfg(not(target_arch = "nvptx64"))]
    const ALL: u32 = Self::BARRIERS + 8 * (1 + 4 * STAGES);

    /// Queries of a warpgroup.
    #[inline(always)]
    fn queries(consumer: u32) -> Shared<Bf16> {
        Shared::at(consumer * Self::OF_QUERIES, QUERIES * Self::WIDTH)
    }

    /// Says that all queries are there.
    #[inline(always)]
    fn queries_full() -> Mbarrier {
        Mbarrier::at(Self::BARRIERS)
    }

    /// Keys (0) or values (1).
    #[inline(always)]
    fn ring(which: u32) -> Ring {
        Ring {
            start: Self::TILES + which * STAGES * Self::OF_TILE,
            len: Self::KEYS * Self::WIDTH,
            full: Mbarrier::at(Self::BARRIERS + 8 * (1 + which * 2 * STAGES)),
        }
    }
}

/// Tiles that are filled and used in turn. Turn `n` takes stage `n % STAGES`.
#[derive(Clone, Copy)]
struct Ring {
    start: u32,
    /// Values of a tile.
    len: u32,
    /// One barrier a stage, then as many that say that it is empty.
    full: Mbarrier,
}

impl Ring {
    /// `users` warps will release each tile.
    #[inline(always)]
    fn init(self, users: u32) {
        let mut stage = 0;
        while stage < STAGES {
            self.full.nth(stage).init(1);
            self.full.nth(STAGES + stage).init(users);
            stage += 1;
        }
    }

    #[inline(always)]
    fn tile(self, turn: u32) -> Shared<Bf16> {
        Shared::at(self.start + turn % STAGES * self.len * 2, self.len)
    }

    /// Waits until the tile of this turn is there.
    #[inline(always)]
    fn wait(self, turn: u32) {
        self.full.nth(turn % STAGES).wait(turn / STAGES % 2);
    }

    /// This warp is done with the tile of this turn.
    #[inline(always)]
    fn release(self, turn: u32) {
        if lane() == 0 {
            self.full.nth(STAGES + turn % STAGES).arrive();
        }
    }

    /// Waits until all are done with the tile that was there, and fetches the next: rows from
    /// `row` of a sequence, `D4` panels of columns from `column` on.
    #[inline(always)]
    fn fetch<const D4: usize>(self, turn: u32, map: TensorMap, [column, row, batch]: [u32; 3]) {
        self.full.nth(STAGES + turn % STAGES).wait((turn / STAGES + 1) % 2);
        let full = self.full.nth(turn % STAGES);
        full.arrive_expect_tx(self.len * 2);
        fetch::<D4>(map, self.tile(turn), self.len / D4 as u32, [column, row, batch], full);
    }
}

/// Fetches `D4` panels of `panel_len` values.
#[inline(always)]
fn fetch<const D4: usize>(
    map: TensorMap,
    to: Shared<Bf16>,
    panel_len: u32,
    [column, row, batch]: [u32; 3],
    full: Mbarrier,
) {
    let mut panel = 0;
    while panel < D4 as u32 {
        let at = [column + panel * PANEL, row, batch].map(|at| at as i32);
        map.load(to, panel * panel_len, at, full);
        panel += 1;
    }
}

/// What a warpgroup works on.
#[derive(Clone, Copy)]
struct Work<const D16: usize> {
    packed: Packed<D16>,
    head: u32,
    batch: u32,
    /// First query of the block.
    first: u32,
    /// Tiles of keys that its queries see.
    tiles: u32,
}

impl<const D16: usize> Work<D16> {
    #[inline(always)]
    fn new(packed: Packed<D16>, queries: u32, keys: u32) -> Self {
        // Queries with the most keys start first, or the last blocks would run alone.
        let first = (grid_dim_y() - 1 - block_idx_y()) * queries;
        let tiles = (first + queries).min(packed.seq).div_ceil(keys);
        Self { packed, head: block_idx(), batch: block_idx_z(), first, tiles }
    }
}

/// The one thread that tells the copy engine what to fetch. Keys run a tile ahead of values, as
/// they are used.
#[inline(always)]
fn produce<const D16: usize, const D4: usize, const K16: usize, const CONSUMERS: u32>(
    work: Work<D16>,
    q_map: TensorMap,
    kv_map: TensorMap,
) {
    let (packed, batch) = (work.packed, work.batch);
    let width = 16 * D16 as u32;
    let full = Areas::<D16, K16, CONSUMERS>::queries_full();
    full.arrive_expect_tx(Areas::<D16, K16, CONSUMERS>::TILES);
    let mut consumer = 0;
    while consumer < CONSUMERS {
        let to = Areas::<D16, K16, CONSUMERS>::queries(consumer);
        let at = [work.head * width, work.first + consumer * QUERIES, batch];
        fetch::<D4>(q_map, to, QUERIES * PANEL, at, full);
        consumer += 1;
    }
    let [keys, values] = [0, 1].map(Areas::<D16, K16, CONSUMERS>::ring);
    let key = packed.heads + packed.kv_head(work.head);
    let [k_column, v_column] = [key, key + packed.kv_heads].map(|head| head * width);
    let row = |tile: u32| tile * 16 * K16 as u32;
    keys.fetch::<D4>(0, kv_map, [k_column, 0, batch]);
    let mut tile = 0;
    while tile < work.tiles {
        if tile + 1 < work.tiles {
            keys.fetch::<D4>(tile + 1, kv_map, [k_column, row(tile + 1), batch]);
        }
        values.fetch::<D4>(tile, kv_map, [v_column, row(tile), batch]);
        tile += 1;
    }
}

/// A warpgroup with 64 queries.
#[inline(always)]
fn consume<
    const D16: usize,
    const D4: usize,
    const K16: usize,
    const PANEL_BYTES: u32,
    const CONSUMERS: u32,
    S: Sums,
    O: Sums,
>(
    work: Work<D16>,
    consumer: u32,
    out_map: TensorMap,
    lse: Global<f32>,
) {
    let q = Areas::<D16, K16, CONSUMERS>::queries(consumer);
    let [keys, values] = [0, 1].map(Areas::<D16, K16, CONSUMERS>::ring);
    let first_of_warp = work.first + consumer * QUERIES + warp() % 4 * 16;
    let mut softmax = Softmax::new(score_scale2::<D16>());
    let (mut scores, mut sums) = (S::zero(), O::zero());
    let mut weights = [[0; 4]; K16];
    Areas::<D16, K16, CONSUMERS>::queries_full().wait(0);
    keys.wait(0);
    wgmma_fence();
    times_rows::<S, D4>(&mut scores, q, keys.tile(0));
    wgmma_commit();
    wgmma_wait::<0>();
    scores.settle();
    keys.release(0);
    hide_later::<S, K16>(&mut scores, first_of_warp, 0);
    softmax.weigh(&mut scores);
    values.wait(0);
    take(&mut weights, &scores);
    turn::start::<CONSUMERS>(consumer, work.tiles);
    let mut tile = 1;
    while tile < work.tiles {
        keys.wait(tile);
        turn::wait(consumer);
        wgmma_fence();
        times_rows::<S, D4>(&mut scores, q, keys.tile(tile));
        wgmma_commit();
        times::<O, K16, PANEL_BYTES>(&mut sums, &weights, values.tile(tile - 1));
        wgmma_commit();
        turn::pass::<CONSUMERS>(consumer, tile + 1 == work.tiles);
        wgmma_wait::<1>();
        scores.settle();
        keys.release(tile);
        hide_later::<S, K16>(&mut scores, first_of_warp, tile);
        let factors = softmax.weigh(&mut scores);
        // The assembler sinks the softmax below the wait for the products, which then wait for
        // nothing, unless a loop stands between them: this wait is one, and it is due anyway.
        values.wait(tile);
        wgmma_wait::<0>();
        sums.settle();
        values.release(tile - 1);
        take(&mut weights, &scores);
        sums.scale(factors);
        tile += 1;
    }
    wgmma_fence();
    times::<O, K16, PANEL_BYTES>(&mut sums, &weights, values.tile(work.tiles - 1));
    wgmma_commit();
    wgmma_wait::<0>();
    sums.settle();
    let (shares, logs) = softmax.finish();
    sums.scale(shares);
    store_out(work, consumer, q, &sums, out_map);
    store_logs(work, first_of_warp, logs, lse);
}

/// Hides the keys of a tile that come after a query of this warp, if there are any.
#[inline(always)]
fn hide_later<S: Scores, const K16: usize>(scores: &mut S, first_of_warp: u32, tile: u32) {
    let keys = 16 * K16 as u32;
    if (tile + 1) * keys > first_of_warp {
        hide(scores, first_of_warp as i32 - (tile * keys) as i32);
    }
}

/// Scores become left factors.
#[inline(always)]
fn take<S: Scores, const K: usize>(weights: &mut [[u32; 4]; K], scores: &S) {
    let mut k = 0;
    while k < K {
        weights[k] = scores.as_left(k);
        k += 1;
    }
}

/// Hands 64 rows of output to the copy engine, by way of where the queries were.
#[inline(always)]
fn store_out<const D16: usize, O: Sums>(
    work: Work<D16>,
    consumer: u32,
    staging: Shared<Bf16>,
    out: &O,
    out_map: TensorMap,
) {
    let row = warp() % 4 * 16 + lane() % 16;
    let mut n = 0;
    while n < D16 {
        let (panel, column) = (n as u32 / 4, n as u32 % 4 * 16 + lane() / 16 * 8);
        let at = panel * QUERIES * PANEL + swizzled_128b(row, column);
        staging.stmatrix_x4(at, out.as_left(n));
        n += 1;
    }
    fence_proxy_async();
    bar_sync(turn::STORE + consumer, WARPGROUP);
    if warp().is_multiple_of(4) && elect_one() {
        let column = work.head * 16 * D16 as u32;
        let row = work.first + consumer * QUERIES;
        let mut panel = 0;
        while panel < D16 as u32 / 4 {
            let at = [column + panel * PANEL, row, work.batch].map(|at| at as i32);
            out_map.store(staging, panel * QUERIES * PANEL, at);
            panel += 1;
        }
        bulk_commit();
        bulk_wait::<0>();
    }
}

#[inline(always)]
fn store_logs<const D16: usize>(
    work: Work<D16>,
    first_of_warp: u32,
    logs: [f32; 2],
    lse: Global<f32>,
) {
    if lane().is_multiple_of(4) {
        let row = first_of_warp + lane() / 4;
        let at = work.packed.per_query(work.batch, work.head);
        if row < work.packed.seq {
            lse.st(at + row as usize, logs[0]);
        }
        if row + 8 < work.packed.seq {
            lse.st(at + row as usize + 8, logs[1]);
        }
    }
}

/// Warpgroups take turns to issue products: each waits at a barrier of its own, at which the one
/// before it arrives.
mod turn {
    use crate::simt::*;

    /// First of the barriers at which a warpgroup alone waits, before its output is stored.
    pub(super) const STORE: u32 = 8;
    const FIRST: u32 = 1;

    /// The last lets the first go, if there will be turns: one for each of `tiles` but the first.
    #[inline(always)]
    pub(super) fn start<const CONSUMERS: u32>(consumer: u32, tiles: u32) {
        if consumer == CONSUMERS - 1 && tiles > 1 {
            bar_arrive(FIRST, 2 * WARPGROUP);
        }
    }

    /// Waits for this warpgroup's turn.
    #[inline(always)]
    pub(super) fn wait(consumer: u32) {
        bar_sync(FIRST + consumer, 2 * WARPGROUP);
    }

    /// Lets the next one go, if it has a turn to come.
    #[inline(always)]
    pub(super) fn pass<const CONSUMERS: u32>(consumer: u32, is_last: bool) {
        let is_end = consumer == CONSUMERS - 1;
        if !(is_end && is_last) {
            bar_arrive(FIRST + if is_end { 0 } else { consumer + 1 }, 2 * WARPGROUP);
        }
    }
}

macro_rules! kernels {
    ($($name:ident:
        $head_dim:literal, $keys:literal, $consumers:literal, $lower:literal, $raise:literal,
        $threads:literal;
    )*) => {
        kernel! { $(
            /// Output rows behind `out_map` and `lse[batch, heads, seq]` (natural logarithm) of the
            /// packed rows behind `q_map` and `kv_map`. Launch it by [`launch`], with [`maps`].
            pub fn $name(
                q_map: TensorMap, kv_map: TensorMap, out_map: TensorMap, lse: Global<f32>,
                seq: u32, heads: u32, kv_heads: u32,
            ) bounds($threads, 1) {
                const D16: usize = $head_dim / 16;
                const K16: usize = $keys / 16;
                let work = Work::<D16>::new(
                    Packed { seq, heads, kv_heads },
                    QUERIES * $consumers,
                    $keys,
                );
                if thread_idx() == 0 {
                    Areas::<D16, K16, $consumers>::queries_full().init(1);
                    Areas::<D16, K16, $consumers>::ring(0).init(4 * $consumers);
                    Areas::<D16, K16, $consumers>::ring(1).init(4 * $consumers);
                    fence_mbarrier_init();
                }
                sync_threads();
                let group = warpgroup();
                if group == 0 {
                    lower_registers::<$lower>();
                    if shfl_idx(warp(), 0) == 0 && elect_one() {
                        produce::<D16, { D16 / 4 }, K16, $consumers>(work, q_map, kv_map);
                    }
                } else {
                    raise_registers::<$raise>();
                    consume::<
                        D16, { D16 / 4 }, K16, { $keys * PANEL * 2 }, $consumers,
                        Accumulator<{ $keys / 2 }>, Accumulator<{ $head_dim / 2 }>,
                    >(work, group - 1, out_map, lse);
                }
            }
        )* }

        /// Queries and threads of a block, keys of a tile, shared bytes.
        #[cfg(not(target_arch = "nvptx64"))]
        fn sizes(shape: &Shape) -> [u32; 4] {
            match shape.head_dim {
                $($head_dim => [
                    QUERIES * $consumers,
                    $threads,
                    $keys,
                    Areas::<{ $head_dim / 16 }, { $keys / 16 }, $consumers>::ALL,
                ],)*
                other => panic!("no attention kernel for a head_dim of {other}"),
            }
        }
    };
}
kernels! {
    attention_forward_hopper_64: 64, 128, 3, 32, 160, 512;
    attention_forward_hopper_128: 128, 128, 2, 24, 240, 384;
    attention_forward_hopper_256: 256, 80, 2, 24, 240, 384;
}

/// How to launch the kernel of this head_dim.
///
/// # Panics
/// When there is none.
#[cfg(not(target_arch = "nvptx64"))]
pub fn launch(shape: &Shape) -> Launch {
    let [queries, threads, _, shared_bytes] = sizes(shape);
    let tiles = shape.seq.div_ceil(queries);
    Launch::grid([shape.heads, tiles, shape.batch], threads, shared_bytes)
}

/// `q_map`, `kv_map` and `out_map`, for packed rows and output rows.
///
/// # Panics
/// When there is no kernel of this head_dim, or the memory does not hold the shape.
#[cfg(not(target_arch = "nvptx64"))]
pub fn maps(shape: &Shape, qkv: Global<Bf16>, out: Global<Bf16>) -> [TensorMap; 3] {
    let [_, _, keys, _] = sizes(shape);
    let map = |memory, heads: u32, rows: u32| {
        let width = heads * shape.head_dim;
        let row_bytes = u64::from(width) * 2;
        let strides = [row_bytes, row_bytes * u64::from(shape.seq)];
        let extents = [width, shape.seq, shape.batch];
        TensorMap::new(memory, extents, &strides, [PANEL, rows, 1], Swizzle::B128)
    };
    let across = shape.heads + 2 * shape.kv_heads;
    [map(qkv, across, QUERIES), map(qkv, across, keys), map(out, shape.heads, QUERIES)]
}
