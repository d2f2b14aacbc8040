//! SparseLoCo's aggregation and outer step: sparse updates of many peers, each scaled by its clip,
//! are summed in the order given, and `shared -= alpha * mean`; bit for bit what
//! `runtime/src/ops/aggregate.rs` says.
//!
//! A block sums one chunk in shared memory, peer after peer with a barrier between them, while its
//! parameters are on their way; they are read and written once. A peer's indices are unique within
//! a chunk, so its threads never meet. The clip's scales are made on the host, from what the codes
//! count, and come multiplied into the codebooks.

use crate::simt::*;
use crate::tile::{CHUNK_LEN_MAX, THREADS, TILE_SIDE, Tile, piece, refuse};

/// Bytes of shared memory of a block: sums, and how many peers each is of.
pub const SHARED_BYTES: u32 = CHUNK_LEN_MAX * 4 + CHUNK_LEN_MAX * 2;

/// Peers whose updates are asked for together.
const BATCH: u32 = 8;

/// The updates of all peers.
#[derive(Clone, Copy)]
struct Updates {
    indices: Global<u16>,
    codes: Global<u8>,
    entries: Global<f32>,
    peers: u32,
    k: u32,
}

impl Updates {
    /// Index and value `i` that a peer sent of this block's chunk.
    #[inline(always)]
    fn ld(self, peer: u32, i: u32) -> (u32, f32) {
        let chunk = peer as usize * grid_dim() as usize + block_idx() as usize;
        let index = self.indices.ld(chunk * self.k as usize + i as usize);
        let byte = self.codes.ld(chunk * self.k.div_ceil(4) as usize + (i / 4) as usize);
        let code = byte >> (i % 4 * 2) & 3;
        (u32::from(index), self.entries.ld(peer as usize * 4 + usize::from(code)))
    }
}

/// Sums over one chunk.
#[derive(Clone, Copy)]
struct Sums {
    sums: Shared<f32>,
    counts: Shared<u16>,
}

impl Sums {
    /// The block's, all zero.
    #[inline(always)]
    fn zeroed() -> Self {
        let sums = Shared::<f32>::at(0, CHUNK_LEN_MAX);
        let counts = Shared::<u16>::at(CHUNK_LEN_MAX * 4, CHUNK_LEN_MAX);
        unroll!(i in 8 { sums.st16b(piece(i), [0; 4]); });
        unroll!(i in 4 { counts.st16b(2 * piece(i), [0; 4]); });
        sync_threads();
        Self { sums, counts }
    }

    #[inline(always)]
    fn add(self, (index, value): (u32, f32)) {
        // No index reaches beyond; were one to, it would hurt no other block's memory.
        let index = index % CHUNK_LEN_MAX;
        self.sums.st(index, self.sums.ld(index) + value);
        self.counts.st(index, self.counts.ld(index) + 1);
    }

    /// Adds the updates of all peers to the block's chunk, in order.
    #[inline(always)]
    fn add_all(self, updates: Updates) {
        if updates.k <= THREADS {
            self.add_in_batches(updates);
        } else {
            self.add_one_by_one(updates);
        }
    }

    /// A value of each peer for a thread, asked for ahead of the sums.
    #[inline(always)]
    fn add_in_batches(self, updates: Updates) {
        let has_value = thread_idx() < updates.k;
        let mut first = 0;
        while first < updates.peers {
            let mut ahead = [(0, 0.0); BATCH as usize];
            unroll!(b in 8 {
                if first + (b as u32) < updates.peers && has_value {
                    ahead[b] = updates.ld(first + b as u32, thread_idx());
                }
            });
            unroll!(b in 8 {
                if first + (b as u32) < updates.peers {
                    if has_value {
                        self.add(ahead[b]);
                    }
                    sync_threads();
                }
            });
            first += BATCH;
        }
    }

    #[inline(always)]
    fn add_one_by_one(self, updates: Updates) {
        let mut peer = 0;
        while peer < updates.peers {
            let mut i = thread_idx();
            while i < updates.k {
                self.add(updates.ld(peer, i));
                i += THREADS;
            }
            sync_threads();
            peer += 1;
        }
    }

    /// Four steps, from `index` on.
    #[inline(always)]
    fn steps(self, index: u32, rule: Rule) -> [f32; 4] {
        let sums = self.sums.ld4(index);
        let counts = self.counts.cast::<u64>().ld(index / 4);
        let mut steps = [0.0; 4];
        unroll!(e in 4 {
            let count = (counts >> (16 * e)) as u16;
            let divisor = if rule.divisor > 0 { rule.divisor } else { u32::from(count.max(1)) };
            steps[e] = rule.alpha * (sums[e] / divisor as f32);
        });
        steps
    }
}

/// What becomes of a sum.
#[derive(Clone, Copy)]
struct Rule {
    alpha: f32,
    /// What all sums are divided by; 0 for each by its count.
    divisor: u32,
}

#[inline(always)]
fn step<const WIDE: bool>(shared: Global<f32>, tile: Tile, updates: Updates, rule: Rule) {
    let mut params = [[0.0; 4]; 8];
    if WIDE {
        unroll!(i in 8 { params[i] = tile.ld4::<WIDE>(shared, piece(i)); });
    }
    let sums = Sums::zeroed();
    sums.add_all(updates);
    unroll!(i in 8 {
        if !WIDE {
            params[i] = tile.ld4::<WIDE>(shared, piece(i));
        }
        let steps = sums.steps(piece(i), rule);
        unroll!(e in 4 { params[i][e] -= steps[e]; });
        tile.st4::<WIDE>(shared, piece(i), params[i]);
    });
}

kernel! {
    /// `shared[rows, cols] -= alpha * sum / divisor`, the sum being over the values that the peers
    /// sent of a coordinate, and `divisor`, where it is 0, their number. A block of [`THREADS`] for
    /// each tile of 64 by 64.
    ///
    /// `indices[peers, tiles, k]`; `codes[peers, tiles, ceil(k / 4)]`, four to a byte; what they
    /// stand for, `entries[peers, 4]`; at most 65,535 peers. Nothing happens where `first_bad` is
    /// not zero.
    pub fn aggregate_tiles(
        shared: Global<f32>, indices: Global<u16>, codes: Global<u8>, entries: Global<f32>,
        first_bad: Global<u32>, cols: u32, k: u32, peers: u32, divisor: u32, alpha: f32,
    ) bounds(128, 5) {
        if first_bad.ld(0) == 0 {
            let tile = Tile::new(block_idx(), cols, TILE_SIDE, TILE_SIDE);
            let updates = Updates { indices, codes, entries, peers, k };
            step::<true>(shared, tile, updates, Rule { alpha, divisor });
        }
    }

    /// [`aggregate_tiles`] for tiles of any shape, and a tensor that starts anywhere.
    pub fn aggregate(
        shared: Global<f32>, indices: Global<u16>, codes: Global<u8>, entries: Global<f32>,
        first_bad: Global<u32>, cols: u32, tile_rows: u32, tile_cols: u32, k: u32, peers: u32,
        divisor: u32, alpha: f32,
    ) bounds(128, 6) {
        if first_bad.ld(0) == 0 {
            let tile = Tile::new(block_idx(), cols, tile_rows, tile_cols);
            let updates = Updates { indices, codes, entries, peers, k };
            step::<false>(shared, tile, updates, Rule { alpha, divisor });
        }
    }

    /// Notes in `first_bad` the first step of [`aggregate`] that would not be finite. Only entries
    /// whose sum may exceed what f32 holds need this first.
    pub fn aggregate_check(
        indices: Global<u16>, codes: Global<u8>, entries: Global<f32>, first_bad: Global<u32>,
        cols: u32, tile_rows: u32, tile_cols: u32, k: u32, peers: u32, divisor: u32, alpha: f32,
    ) bounds(128, 6) {
        let tile = Tile::new(block_idx(), cols, tile_rows, tile_cols);
        let sums = Sums::zeroed();
        sums.add_all(Updates { indices, codes, entries, peers, k });
        let mut bad = 0;
        unroll!(i in 8 {
            let steps = sums.steps(piece(i), Rule { alpha, divisor });
            unroll!(e in 4 { bad |= u32::from(!steps[e].is_finite()) << (4 * i + e); });
        });
        refuse(first_bad, tile, bad & tile.present());
    }
}
