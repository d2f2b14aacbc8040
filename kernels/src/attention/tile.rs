//! Tiles of attention in shared memory, and the products that a warp makes of them with
//! `mma.sync`. A tile holds rows (tokens) of one head, `16 * W` values each, `W` squares of 16 by
//! 16 across. Pieces of 16 bytes are permuted within 128 so that a column of them falls on all
//! banks.

use super::softmax::Scores;
use crate::simt::*;

/// Rows of one head in global memory.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) values: Global<Bf16>,
    /// First value of the first row.
    pub(super) first: usize,
    /// Values from one row to the next.
    pub(super) stride: u32,
    /// Rows that there are.
    pub(super) count: u32,
}

impl Rows {
    /// First value of row `row`.
    #[inline(always)]
    pub(super) fn at(self, row: u32) -> usize {
        self.first + (row as u64 * self.stride as u64) as usize
    }
}

/// 16 by 16 sums of a warp: two products side by side, as [`Scores`] has them.
pub(super) type Square = [[f32; 4]; 2];

impl<const N: usize> Scores for [Square; N] {
    const SQUARES: usize = N;

    #[inline(always)]
    fn get(&self, n: usize, half: usize, i: usize) -> f32 {
        self[n][half][i]
    }

    #[inline(always)]
    fn set(&mut self, n: usize, half: usize, i: usize, value: f32) {
        self[n][half][i] = value;
    }
}

/// A tile in shared memory.
#[derive(Clone, Copy)]
pub(super) struct Tile<const W: usize>(Shared<Bf16>);

impl<const W: usize> Tile<W> {
    /// Values of a row.
    const WIDTH: u32 = 16 * W as u32;
    /// Pieces of 16 bytes of a row.
    const PIECES: u32 = 2 * W as u32;

    /// Bytes of `rows` rows.
    pub(super) const fn bytes(rows: u32) -> u32 {
        rows * Self::WIDTH * 2
    }

    /// The tile of `rows` rows, `offset_bytes` into shared memory.
    #[inline(always)]
    pub(super) fn at(offset_bytes: u32, rows: u32) -> Self {
        Self(Shared::at(offset_bytes, rows * Self::WIDTH))
    }

    /// The value where piece `piece` of `row` starts.
    #[inline(always)]
    fn place(row: u32, piece: u32) -> u32 {
        row * Self::WIDTH + (piece ^ (row & 7)) * 8
    }

    /// Starts to copy rows `from..from + 16 * R` of `rows`, a share by each of `THREADS` threads.
    /// What lies past the last row becomes zeros: as keys they are masked, as values, queries and
    /// gradients they add nothing.
    #[inline(always)]
    pub(super) fn fetch<const R: usize, const THREADS: u32>(self, rows: Rows, from: u32) {
        let mut i = 0;
        while i < 16 * R as u32 * Self::PIECES / THREADS {
            let at = i * THREADS + thread_idx();
            let (row, piece) = (at / Self::PIECES, at % Self::PIECES);
            let valid_bytes = if from + row < rows.count { 16 } else { 0 };
            let source = rows.at((from + row).min(rows.count - 1)) + piece as usize * 8;
            cp_async16_zfill(self.0, Self::place(row, piece), rows.values, source, valid_bytes);
            i += 1;
        }
    }

    /// Square (`row`, `column`), in units of squares, as a left factor.
    #[inline(always)]
    pub(super) fn left(self, row: u32, column: u32) -> [u32; 4] {
        self.0.ldmatrix_x4(Self::place(row * 16 + lane() % 16, column * 2 + lane() / 16))
    }

    /// Square (`row`, `column`) transposed, as two right factors: rows of the tile are columns of
    /// the product.
    #[inline(always)]
    pub(super) fn right_by_rows(self, row: u32, column: u32) -> [[u32; 2]; 2] {
        let (row, column) = (row * 16 + lane() % 8 + lane() / 16 * 8, column * 2 + lane() / 8 % 2);
        let [a, b, c, d] = self.0.ldmatrix_x4(Self::place(row, column));
        [[a, b], [c, d]]
    }

    /// Square (`row`, `column`) as two right factors: rows of the tile are summed over.
    #[inline(always)]
    pub(super) fn right(self, row: u32, column: u32) -> [[u32; 2]; 2] {
        let at = Self::place(row * 16 + lane() % 16, column * 2 + lane() / 16);
        let [a, b, c, d] = self.0.ldmatrix_x4_trans(at);
        [[a, b], [c, d]]
    }

    /// Writes a square of bf16 to (`row`, `column`).
    #[inline(always)]
    fn put(self, row: u32, column: u32, square: &Square) {
        let words = self.0.cast::<u32>();
        let (g, t) = (lane() / 4, lane() % 4);
        let mut n = 0;
        while n < 2 {
            let piece = column * 2 + n as u32;
            let [a, b, c, d] = square[n];
            words.st(Self::place(row * 16 + g, piece) / 2 + t, bf16x2(a, b));
            words.st(Self::place(row * 16 + g + 8, piece) / 2 + t, bf16x2(c, d));
            n += 1;
        }
    }

    /// Writes 16 rows of this warp to rows `from..` of `rows`, as far as there are, by way of rows
    /// `16 * row..` of this tile, which are the warp's alone.
    #[inline(always)]
    pub(super) fn store<const N: usize>(
        self,
        row: u32,
        squares: &[Square; N],
        rows: Rows,
        from: u32,
        column: u32,
    ) {
        sync_warp();
        let mut n = 0;
        while n < N {
            self.put(row, column + n as u32, &squares[n]);
            n += 1;
        }
        sync_warp();
        let pieces = 2 * N as u32;
        let mut i = 0;
        while i < 16 * pieces / WARP {
            let at = i * WARP + lane();
            let (r, piece) = (at / pieces, column * 2 + at % pieces);
            let words = self.0.ld16b(Self::place(row * 16 + r, piece));
            if from + r < rows.count {
                rows.values.st16b(rows.at(from + r) + piece as usize * 8, words);
            }
            i += 1;
        }
    }
}

/// 16 rows of a tile as left factors: in registers while the head is narrow enough to leave others
/// for the sums, or read again each time.
#[derive(Clone, Copy)]
pub(super) struct Held<const W: usize> {
    words: [[u32; 4]; W],
    tile: Tile<W>,
    row: u32,
}

impl<const W: usize> Held<W> {
    const IN_REGISTERS: bool = W <= 8;

    /// Row `row`, in units of squares, of a tile.
    #[inline(always)]
    pub(super) fn of(tile: Tile<W>, row: u32) -> Self {
        let mut words = [[0; 4]; W];
        let mut column = 0;
        while Self::IN_REGISTERS && column < W {
            words[column] = tile.left(row, column as u32);
            column += 1;
        }
        Self { words, tile, row }
    }

    #[inline(always)]
    pub(super) fn get(&self, column: usize) -> [u32; 4] {
        if Self::IN_REGISTERS {
            self.words[column]
        } else {
            self.tile.left(self.row, column as u32)
        }
    }
}

/// `sums[n] += left * tile[n]'`: 16 rows of the left factor, whose square `k` is `left(k)`, times
/// `16 * N` rows of the tile.
#[inline(always)]
pub(super) fn times_rows<const W: usize, const N: usize>(
    sums: &mut [Square; N],
    left: impl Fn(usize) -> [u32; 4],
    tile: Tile<W>,
) {
    let mut k = 0;
    while k < W {
        let a = left(k);
        let mut n = 0;
        while n < N {
            let [b, c] = tile.right_by_rows(n as u32, k as u32);
            mma_m16n8k16(&mut sums[n][0], a, b);
            mma_m16n8k16(&mut sums[n][1], a, c);
            n += 1;
        }
        k += 1;
    }
}

/// `sums[n] += left * tile[.., n]`: 16 rows of `16 * K` values, rounded to bf16, times the tile's
/// `16 * K` rows, of which squares `column..column + N` across.
#[inline(always)]
pub(super) fn times<const W: usize, const K: usize, const N: usize>(
    sums: &mut [Square; N],
    left: &[Square; K],
    tile: Tile<W>,
    column: u32,
) {
    let mut k = 0;
    while k < K {
        let a = left.as_left(k);
        let mut n = 0;
        while n < N {
            let [b, c] = tile.right(k as u32, column + n as u32);
            mma_m16n8k16(&mut sums[n][0], a, b);
            mma_m16n8k16(&mut sums[n][1], a, c);
            n += 1;
        }
        k += 1;
    }
}
