//! Places in index order: which of the block's hits come before those of a thread.

use crate::simt::*;

/// Bytes of shared memory that one ordering takes.
pub(super) const CELLS_BYTES: u32 = 32 * 4;

/// The block's hits in index order, as one thread sees them.
#[derive(Clone, Copy)]
pub(super) struct Order {
    /// The thread's hits: bit `4 i + e` is value `e` of piece `i`.
    hits: u32,
    /// Hits of this warp's lower lanes, a byte for each piece: the even pieces, the odd ones.
    lanes_before: [u32; 2],
    /// Hits in all that comes before this warp's piece `i`.
    warps_before: [u32; 8],
    /// Hits of the block.
    pub(super) total: u32,
}

impl Order {
    /// Orders the hits of all threads; `cells` holds 32 counts, and is free for use again two
    /// barriers later.
    #[inline(always)]
    pub(super) fn new(hits: u32, cells: Shared<u32>) -> Self {
        // A count in each four bits, then in each byte: a warp's piece has at most 128 hits.
        let pairs = hits - (hits >> 1 & 0x5555_5555);
        let counts = (pairs & 0x3333_3333) + (pairs >> 2 & 0x3333_3333);
        let own = [counts & 0x0f0f_0f0f, counts >> 4 & 0x0f0f_0f0f];
        let through = [sum_through(own[0]), sum_through(own[1])];
        let all = [shfl_idx(through[0], 31), shfl_idx(through[1], 31)];
        if lane() < 8 {
            let pieces = if lane().is_multiple_of(2) { all[0] } else { all[1] };
            cells.st(4 * lane() + warp(), pieces >> (lane() / 2 * 8) & 0xff);
        }
        sync_threads();
        let cell = cells.ld(lane());
        let cells_through = sum_through(cell);
        let mut warps_before = [0; 8];
        unroll!(i in 8 {
            warps_before[i] = shfl_idx(cells_through - cell, 4 * i as u32 + warp());
        });
        Self {
            hits,
            lanes_before: [through[0] - own[0], through[1] - own[1]],
            warps_before,
            total: uniform(shfl_idx(cells_through, 31)),
        }
    }

    /// Hits before value `e` of piece `i` of this thread.
    #[inline(always)]
    pub(super) fn before(&self, i: usize, e: usize) -> u32 {
        let in_piece = self.hits >> (4 * i) & ((1 << e) - 1);
        let in_warp = self.lanes_before[i % 2] >> (i / 2 * 8) & 0xff;
        self.warps_before[i] + in_warp + in_piece.count_ones()
    }

    /// Whether value `e` of piece `i` of this thread is one.
    #[inline(always)]
    pub(super) fn hits(&self, i: usize, e: usize) -> bool {
        self.hits >> (4 * i + e) & 1 != 0
    }
}

/// Sum over this lane and those below it.
#[inline(always)]
fn sum_through(mut value: u32) -> u32 {
    let mut by = 1;
    while by < WARP {
        let below = shfl_up(value, by);
        if lane() >= by {
            value += below;
        }
        by *= 2;
    }
    value
}
