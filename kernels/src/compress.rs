//! SparseLoCo's compression: `m = beta * residual + (shared - local)`, and of each chunk of `m` the
//! `k` largest magnitudes, equals going to the lower index; bit for bit what
//! `runtime/src/ops/compress.rs` says.
//!
//! Each tensor is read once. The `k`-th largest of the threads' largest values is a threshold that
//! at least `k` values reach; at `k` = 64, of 4,096 values in no particular order, 88 do. Those are
//! collected in index order and each counts how many are larger. Where too many reach it, the
//! threshold is bisected, at worst down to the key at which ties decide.

mod order;

use crate::simt::*;
use crate::tile::{THREADS, TILE_SIDE, Tile, piece, refuse};

use order::{CELLS_BYTES, Order};

/// Most values that are ranked against one another.
const CANDIDATES_MAX: u32 = 256;

/// Layout of shared memory, in bytes.
const MAXIMA: u32 = 0;
const CELLS: u32 = MAXIMA + THREADS * 4;
const BRACKET: u32 = CELLS + 2 * CELLS_BYTES;
const KEPT: u32 = BRACKET + 16;
const CANDIDATES: u32 = KEPT + 2 * THREADS / WARP * 4;

/// Bytes of shared memory of the selection.
pub const SHARED_BYTES: u32 = CANDIDATES + CANDIDATES_MAX * 8;

/// Values that a thread holds.
const HELD: usize = 32;

/// Key of infinity. A key is a value's bits without the sign: keys order as magnitudes do.
const KEY_INFINITE: u32 = 0x7f80_0000;

#[inline(always)]
fn key_of(value: f32) -> u32 {
    value.to_bits() & 0x7fff_ffff
}

/// The four tensors of a selection.
#[derive(Clone, Copy)]
struct Tensors {
    shared: Global<f32>,
    local: Global<f32>,
    residual: Global<f32>,
    m: Global<f32>,
}

impl Tensors {
    /// Four neighbours of each of the three that are read.
    #[inline(always)]
    fn ld4<const WIDE: bool>(self, tile: Tile, index: u32) -> [[f32; 4]; 3] {
        [
            tile.ld4::<WIDE>(self.shared, index),
            tile.ld4::<WIDE>(self.local, index),
            tile.ld4::<WIDE>(self.residual, index),
        ]
    }
}

/// Where the kept of one chunk go.
#[derive(Clone, Copy)]
struct Kept {
    indices: Global<u16>,
    values: Global<f32>,
    first: usize,
}

impl Kept {
    #[inline(always)]
    fn st(self, place: u32, index: u32, value: f32) {
        self.indices.st(self.first + place as usize, index as u16);
        self.values.st(self.first + place as usize, value);
    }
}

#[inline(always)]
fn select<const WIDE: bool>(
    tensors: Tensors,
    beta: f32,
    tile: Tile,
    k: u32,
    kept: Kept,
    first_bad: Global<u32>,
) {
    let m = update::<WIDE>(tensors, beta, tile);
    let mut largest = 0;
    unroll!(j in 32 { largest = largest.max(key_of(m[j])); });
    if largest >= KEY_INFINITE {
        let mut bad = 0;
        unroll!(j in 32 { bad |= u32::from(key_of(m[j]) >= KEY_INFINITE) << j; });
        refuse(first_bad, tile, bad);
    }
    // At least k keys reach `low`, fewer reach `high`.
    let [mut low, mut high] = bracket(largest, k);
    if high > KEY_INFINITE {
        return;
    }
    let held = Held { m, present: if WIDE { u32::MAX } else { tile.present() } };
    let mut key = low;
    let mut turn = 0;
    loop {
        let reached = Order::new(held.reaching(key), cells(turn));
        turn ^= 1;
        if reached.total < k {
            high = key;
        } else if reached.total <= CANDIDATES_MAX {
            return keep_largest(&m, &reached, k, kept);
        } else {
            low = key;
        }
        if high - low <= 1 {
            break;
        }
        // Many chunks are mostly zero.
        key = if low == 0 { 1 } else { low + (high - low) / 2 };
    }
    keep_with_ties(&held, [low, high], turn, k, kept);
}

/// Shared memory for one ordering: two take turns, so that one barrier for each is enough.
#[inline(always)]
fn cells(turn: u32) -> Shared<u32> {
    Shared::at(CELLS + turn * CELLS_BYTES, 32)
}

/// This thread's values of `m`, which it writes; zeros beyond the chunk's end.
#[inline(always)]
fn update<const WIDE: bool>(tensors: Tensors, beta: f32, tile: Tile) -> [f32; HELD] {
    let mut m = [0.0; HELD];
    if WIDE {
        // All loads of a half stand before its first use, and all stores after the last load.
        unroll!(half in 2 {
            let mut inputs = [[[0.0; 4]; 3]; 4];
            unroll!(q in 4 { inputs[q] = tensors.ld4::<WIDE>(tile, piece(4 * half + q)); });
            unroll!(q in 4 { unroll!(e in 4 {
                m[16 * half + 4 * q + e] = fed_back(beta, inputs[q], e);
            }); });
        });
        unroll!(i in 8 {
            let four = [m[4 * i], m[4 * i + 1], m[4 * i + 2], m[4 * i + 3]];
            tile.st4::<WIDE>(tensors.m, piece(i), four);
        });
    } else {
        // Piece by piece, for offsets that are no multiples of anything take registers.
        unroll!(i in 8 {
            let inputs = tensors.ld4::<WIDE>(tile, piece(i));
            unroll!(e in 4 {
                if tile.holds(piece(i) + e as u32) {
                    m[4 * i + e] = fed_back(beta, inputs, e);
                }
            });
            let four = [m[4 * i], m[4 * i + 1], m[4 * i + 2], m[4 * i + 3]];
            tile.st4::<WIDE>(tensors.m, piece(i), four);
        });
    }
    m
}

#[inline(always)]
fn fed_back(beta: f32, [shared, local, residual]: [[f32; 4]; 3], e: usize) -> f32 {
    beta * residual[e] + (shared[e] - local[e])
}

/// What a thread holds of a finite chunk.
struct Held {
    m: [f32; HELD],
    present: u32,
}

impl Held {
    /// The values whose key is at least `key`, a bit for each.
    #[inline(always)]
    fn reaching(&self, key: u32) -> u32 {
        let bound = f32::from_bits(key);
        let mut hits = 0;
        unroll!(j in 32 { hits |= u32::from(self.m[j].abs() >= bound) << j; });
        hits & self.present
    }
}

/// A key that at least `k` values reach, for `k` threads each have one that does, and one above all
/// keys. The last bits of a key give way to the thread, so that no two are equal.
#[inline(always)]
fn bracket(largest: u32, k: u32) -> [u32; 2] {
    let maxima = Shared::<u32>::at(MAXIMA, THREADS);
    let own = largest & !(THREADS - 1) | thread_idx();
    maxima.st(thread_idx(), own);
    sync_threads();
    let (mut above, mut j) = (0, 0);
    while j < THREADS {
        let four = maxima.ld4(j);
        unroll!(e in 4 { above += u32::from(four[e] > own); });
        j += 4;
    }
    let bracket = Shared::<u32>::at(BRACKET, 2);
    if above + 1 == k {
        bracket.st(0, own & !(THREADS - 1));
    }
    if above == 0 {
        bracket.st(1, (own | (THREADS - 1)) + 1);
    }
    sync_threads();
    let low = if k <= THREADS { bracket.ld(0) } else { 0 };
    [uniform(low), uniform(bracket.ld(1))]
}

/// A value and its index as one number: of two, the larger magnitude is above, of equals the lower
/// index.
#[inline(always)]
fn candidate(value: f32, index: u32) -> u64 {
    u64::from(key_of(value)) << 13
        | u64::from((0xfff - index) << 1)
        | u64::from(value.to_bits() >> 31)
}

/// Index and value of a candidate.
#[inline(always)]
fn taken_apart(candidate: u64) -> (u32, f32) {
    let (key, rest) = ((candidate >> 13) as u32, candidate as u32 & 0x1fff);
    (0xfff - (rest >> 1), f32::from_bits(key | rest << 31))
}

/// Keeps the `k` largest of the values that were reached.
#[inline(always)]
fn keep_largest(m: &[f32; HELD], reached: &Order, k: u32, kept: Kept) {
    let candidates = Shared::<u64>::at(CANDIDATES, CANDIDATES_MAX);
    unroll!(i in 8 {
        unroll!(e in 4 {
            if reached.hits(i, e) {
                let candidate = candidate(m[4 * i + e], piece(i) + e as u32);
                candidates.st(reached.before(i, e), candidate);
            }
        });
    });
    sync_threads();
    let ballots = Shared::<u32>::at(KEPT, 2 * THREADS / WARP);
    let mut own = [0; 2];
    let mut votes = [0; 2];
    unroll!(half in 2 {
        let at = half as u32 * THREADS + thread_idx();
        // All threads count, also those without a candidate: the loop is the block's.
        let mut above = k;
        if at < reached.total {
            own[half] = candidates.ld(at);
            above = 0;
        }
        let end = if half as u32 * THREADS < reached.total { reached.total } else { 0 };
        let mut j = 0;
        while j < end {
            above += u32::from(candidates.ld(j) > own[half]);
            j += 1;
        }
        votes[half] = ballot(above < k);
        if lane() == 0 {
            ballots.st(at / WARP, votes[half]);
        }
    });
    sync_threads();
    unroll!(half in 2 {
        if votes[half] >> lane() & 1 != 0 {
            let mut place = (votes[half] & ((1 << lane()) - 1)).count_ones();
            let mut before = 0;
            while before < half as u32 * (THREADS / WARP) + warp() {
                place += ballots.ld(before).count_ones();
                before += 1;
            }
            let (index, value) = taken_apart(own[half]);
            kept.st(place, index, value);
        }
    });
}

/// Keeps all whose key reaches `high`, fewer than `k`, and of those that reach only `low`, where
/// all keys are equal, the first.
#[inline(always)]
fn keep_with_ties(held: &Held, [low, high]: [u32; 2], turn: u32, k: u32, kept: Kept) {
    let above_hits = held.reaching(high);
    let above = Order::new(above_hits, cells(turn));
    let equal = Order::new(held.reaching(low) & !above_hits, cells(turn ^ 1));
    let equals_kept = k - above.total;
    unroll!(i in 8 {
        unroll!(e in 4 {
            let equals = equal.before(i, e);
            if above.hits(i, e) || equal.hits(i, e) && equals < equals_kept {
                let place = above.before(i, e) + equals.min(equals_kept);
                kept.st(place, piece(i) + e as u32, held.m[4 * i + e]);
            }
        });
    });
}

kernel! {
    /// Writes `m[rows, cols]`, and of each tile of 64 by 64 the `k` largest, 1 to 4,096 of them:
    /// `indices` in the tile, ascending, and `values`, both `[tiles, k]`. A block of [`THREADS`]
    /// for each tile. Where `m` is not finite, `first_bad` says so
    /// ([`first_non_finite`](crate::tile::first_non_finite)) and the tile's kept are not written.
    pub fn compress_select_tiles(
        shared: Global<f32>, local: Global<f32>, residual: Global<f32>, m: Global<f32>,
        indices: Global<u16>, values: Global<f32>, first_bad: Global<u32>, cols: u32, k: u32,
        beta: f32,
    ) bounds(128, 4) {
        let tile = Tile::new(block_idx(), cols, TILE_SIDE, TILE_SIDE);
        let kept = Kept { indices, values, first: block_idx() as usize * k as usize };
        select::<true>(Tensors { shared, local, residual, m }, beta, tile, k, kept, first_bad);
    }

    /// [`compress_select_tiles`] for tiles of any shape, and tensors that start anywhere.
    pub fn compress_select(
        shared: Global<f32>, local: Global<f32>, residual: Global<f32>, m: Global<f32>,
        indices: Global<u16>, values: Global<f32>, first_bad: Global<u32>, cols: u32,
        tile_rows: u32, tile_cols: u32, k: u32, beta: f32,
    ) bounds(128, 4) {
        let tile = Tile::new(block_idx(), cols, tile_rows, tile_cols);
        let kept = Kept { indices, values, first: block_idx() as usize * k as usize };
        select::<false>(Tensors { shared, local, residual, m }, beta, tile, k, kept, first_bad);
    }

    /// `m[indices] -= codebook[codes]`: takes what is sent from `m`. `indices[chunks, k]`, `codes`
    /// four to a byte, each chunk from a new byte; `kept` is `chunks * k`. A thread per kept value.
    pub fn compress_subtract_sent(
        m: Global<f32>, indices: Global<u16>, codes: Global<u8>, code0: f32, code1: f32,
        code2: f32, code3: f32, cols: u32, tile_rows: u32, tile_cols: u32, k: u32, kept: u32,
    ) {
        let at = block_idx() * block_dim() + thread_idx();
        if at < kept {
            let k = k.max(1);
            let (chunk, i) = (at / k, at % k);
            let byte = codes.ld(chunk as usize * k.div_ceil(4) as usize + (i / 4) as usize);
            let code = u32::from(byte) >> (i % 4 * 2);
            let [even, odd] = if code & 2 == 0 { [code0, code1] } else { [code2, code3] };
            let sent = if code & 1 == 0 { even } else { odd };
            let tile = Tile::new(chunk, cols, tile_rows, tile_cols);
            let place = tile.offset(u32::from(indices.ld(at as usize)));
            m.st(place, m.ld(place) - sent);
        }
    }
}
