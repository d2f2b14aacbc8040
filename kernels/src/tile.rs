//! Chunks of SparseLoCo: tiles of at most 64 by 64 of a matrix `[rows, cols]`, by row. One block of
//! threads works on one chunk and holds it, 32 values a thread.
//!
//! Piece `i` of a thread is the four values from `512 i + 4 thread` on, so that a warp reads whole
//! lines and the order of values is the order of (piece, warp, lane, value).

use crate::simt::*;

/// Threads of a block that works on a chunk.
pub const THREADS: u32 = 128;

/// Most values of a chunk.
pub const CHUNK_LEN_MAX: u32 = 4_096;

/// Sides of the tiles that `*_tiles` kernels are for; they move 16 bytes at a time, so every tensor
/// starts on 16 bytes.
pub const TILE_SIDE: u32 = 64;

/// Index in the chunk of the first of four values of piece `i`, of 8, of this thread.
#[inline(always)]
pub(crate) fn piece(i: usize) -> u32 {
    4 * (i as u32 * THREADS + thread_idx())
}

/// Where one chunk lies in its matrix.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// Its first value.
    start: usize,
    cols: u32,
    tile_cols: u32,
    /// Values in it.
    len: u32,
}

impl Tile {
    /// Chunk `chunk` of a matrix of `cols` columns.
    #[inline(always)]
    pub(crate) fn new(chunk: u32, cols: u32, tile_rows: u32, tile_cols: u32) -> Self {
        // Never zero; said so that no division needs a check.
        let tile_cols = tile_cols.max(1);
        let tiles = (cols / tile_cols).max(1);
        let band = (chunk / tiles) as usize * tile_rows as usize * cols as usize;
        let start = band + (chunk % tiles * tile_cols) as usize;
        Self { start, cols, tile_cols, len: tile_rows * tile_cols }
    }

    /// Offset in the matrix of value `index` of the chunk.
    #[inline(always)]
    pub(crate) fn offset(self, index: u32) -> usize {
        let (row, col) = (index / self.tile_cols, index % self.tile_cols);
        self.start + row as usize * self.cols as usize + col as usize
    }

    /// Whether the chunk has a value `index`.
    #[inline(always)]
    pub(crate) fn holds(self, index: u32) -> bool {
        index < self.len
    }

    /// Which of this thread's values the chunk has: bit `4 i + e` for value `e` of piece `i`.
    #[inline(always)]
    pub(crate) fn present(self) -> u32 {
        let mut present = 0;
        unroll!(i in 8 { unroll!(e in 4 {
            present |= u32::from(self.holds(piece(i) + e as u32)) << (4 * i + e);
        }); });
        present
    }

    /// Four values from `index` on, a multiple of 4; zeros beyond the end. `WIDE` is for tiles of
    /// [`TILE_SIDE`].
    #[inline(always)]
    pub(crate) fn ld4<const WIDE: bool>(self, from: Global<f32>, index: u32) -> [f32; 4] {
        if WIDE {
            return from.ld4(self.offset(index));
        }
        let mut values = [0.0; 4];
        unroll!(e in 4 {
            if self.holds(index + e as u32) {
                values[e] = from.ld(self.offset(index + e as u32));
            }
        });
        values
    }

    /// Sets four values from `index` on; what is beyond the end goes nowhere.
    #[inline(always)]
    pub(crate) fn st4<const WIDE: bool>(self, to: Global<f32>, index: u32, values: [f32; 4]) {
        if WIDE {
            return to.st4(self.offset(index), values);
        }
        unroll!(e in 4 {
            if self.holds(index + e as u32) {
                to.st(self.offset(index + e as u32), values[e]);
            }
        });
    }
}

/// Notes which of this thread's values of a chunk are not finite, bit `4 i + e` being value `e` of
/// piece `i`. `first_bad` was zero; it becomes the complement of the first such offset.
#[inline(always)]
pub(crate) fn refuse(first_bad: Global<u32>, tile: Tile, bad: u32) {
    if bad != 0 {
        let first = bad.trailing_zeros();
        let offset = tile.offset(piece(first as usize / 4) + first % 4);
        first_bad.atomic_max(0, !(offset as u32));
    }
}

/// First value that is not finite, by the word in which kernels note it.
#[cfg(not(target_arch = "nvptx64"))]
pub fn first_non_finite(word: u32) -> Option<usize> {
    (word != 0).then_some(!word as usize)
}
