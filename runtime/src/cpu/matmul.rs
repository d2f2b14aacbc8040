//! Matrix products: `C (+)= A * B` in f32, C row-major, the factors too or transposed.
//!
//! C is cut in tiles; a tile packs its pieces of A and B into panels in the thread's own memory,
//! where they may become bf16, and runs a micro-kernel over them. The products of one value of C
//! are added in pieces of `DEPTH`, in order, whatever tile it lies in. Own code because `gemm` and
//! alike allocate in every call, and split k by the caches of the machine, which changes the bits
//! between machines.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod bf16;
mod direct;
pub(crate) mod kernel;
pub(crate) mod pack;
mod pairs;
#[cfg(test)]
mod tests;
mod tile;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::scratch::{Area, with_scratch};
use super::shared::SharedMut;
use crate::Compute;
use bf16::Widened;
pub(crate) use direct::direct;
use kernel::{COLS_MAX, Plain, ROWS, Strided};
use tile::{DEPTH, PIECE_ROWS, Tile};

/// Rows of the largest tile. A tile packs its columns of B once, so it should be tall.
const TILE_ROWS: usize = 512;
/// Tiles per thread that C is cut into at least, where it has so many pieces of rows: fewer would
/// leave a thread idle at the end, more would pack the same values more often.
const TILES_PER_THREAD: usize = 4;

/// Columns of a tile per row, where rows are few: what is packed of B then stays in the first-level
/// cache until it is multiplied, and all threads have tiles. A is packed again for each tile, hence
/// wider tiles where there is more of it.
const COLS_PER_ROW: usize = 4;

/// A matrix in a slice: value (i, j) at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after another.
    pub(crate) fn rows(values: &'a [f32], row_stride: usize) -> Self {
        Self { values, row_stride, col_stride: 1 }
    }

    /// The same values with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self { row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    fn assert_holds(&self, rows: usize, cols: usize) {
        assert!(self.row_stride == 1 || self.col_stride == 1, "rows or columns lie side by side");
        let last = (rows - 1) * self.row_stride + (cols - 1) * self.col_stride;
        assert!(last < self.values.len(), "a factor is shorter than {rows} x {cols}");
    }
}

/// `c[m, n] (+)= a[m, k] * b[k, n]` with C row-major and contiguous, in parallel, the factors read
/// as `compute` says.
pub(crate) fn matmul(
    dims: (usize, usize, usize),
    c: &mut [f32],
    a: Matrix<'_>,
    b: Matrix<'_>,
    accumulate: bool,
    compute: Compute,
) {
    tiled(dims, c, a, b, accumulate, |tile| match compute {
        Compute::F32 => pulp::Arch::new().dispatch(WithPlain(tile)),
        Compute::Bf16 => bf16_tile(tile),
    });
}

/// Whether this machine has instructions for bf16.
pub(crate) fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let native = avx512::available();
    #[cfg(not(target_arch = "x86_64"))]
    let native = false;
    native
}

/// As [`super::peak::f32_operations`], with the instructions that products in bf16 are made of.
pub(crate) fn bf16_operations(rounds: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if avx512::available() {
        // SAFETY: the machine has the instructions, as just asked.
        return unsafe { avx512::operations(rounds) };
    }
    super::peak::f32_operations(rounds)
}

fn bf16_tile(tile: Tile<'_>) {
    #[cfg(target_arch = "x86_64")]
    if avx512::available() {
        // SAFETY: the machine has the instructions, as just asked; `tiled` made the tile.
        return unsafe { avx512::multiply(tile) };
    }
    pulp::Arch::new().dispatch(WithWidened(tile));
}

/// A tile to compute from factors as they are.
struct WithPlain<'a>(Tile<'a>);

impl WithSimd for WithPlain<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: `tiled` made the tile.
        unsafe { self.0.multiply(Plain(simd)) }
    }
}

/// A tile to compute from factors rounded to bf16, without instructions for them.
struct WithWidened<'a>(Tile<'a>);

impl WithSimd for WithWidened<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: `tiled` made the tile.
        unsafe { self.0.multiply(Widened(simd)) }
    }
}

/// Cuts C in tiles, each of which `multiply` computes: whole, sound for [`Tile::multiply`], and
/// nobody else's.
fn tiled(
    (m, n, k): (usize, usize, usize),
    c: &mut [f32],
    a: Matrix<'_>,
    b: Matrix<'_>,
    accumulate: bool,
    multiply: impl Fn(Tile<'_>) + Sync,
) {
    assert!(c.len() == m * n, "a product of {m} x {n} does not fit {} values", c.len());
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !accumulate {
            c.fill(0.0);
        }
        return;
    }
    a.assert_holds(m, k);
    b.assert_holds(k, n);
    let (tile_rows, tile_cols) = tile_shape(m, n);
    let tiles_across = n.div_ceil(tile_cols);
    let c = SharedMut::new(c);
    (0..m.div_ceil(tile_rows) * tiles_across).into_par_iter().with_max_len(1).for_each(|t| {
        let (row, col) = (t / tiles_across * tile_rows, t % tiles_across * tile_cols);
        let (m, n_tile) = (tile_rows.min(m - row), tile_cols.min(n - col));
        let depth = DEPTH.min(k);
        let a_len = m.min(PIECE_ROWS).next_multiple_of(ROWS) * depth;
        let b_len = n_tile.next_multiple_of(COLS_MAX) * depth;
        with_scratch(Area::Panels, a_len + b_len, |panels| {
            let (a_panels, b_panels) = panels.split_at_mut(a_len);
            multiply(Tile {
                m,
                n: n_tile,
                k,
                c: c.at(row * n + col, (m - 1) * n + n_tile),
                c_stride: n,
                a: strided(&a.values[row * a.row_stride..], a.row_stride, a.col_stride),
                b: strided(&b.values[col * b.col_stride..], b.col_stride, b.row_stride),
                accumulate,
                a_panels,
                b_panels,
            });
        });
    });
}

fn strided(values: &[f32], outer: usize, depth: usize) -> Strided {
    Strided { start: values.as_ptr(), outer, depth }
}

/// Columns of the largest tile: as many as leave their packed piece of B room beside A and C in a
/// second-level cache, of which machines with AVX-512 have 1 MiB and others half.
fn tile_cols_max() -> usize {
    #[cfg(target_arch = "x86_64")]
    if pulp::x86::V4::is_available() {
        return 512;
    }
    256
}

/// Rows and columns of a tile of C: near the largest, but enough tiles for all threads where C has
/// as many pieces of rows, and all about the same size.
fn tile_shape(m: usize, n: usize) -> (usize, usize) {
    let cols_max = tile_cols_max().min((COLS_PER_ROW * m).next_multiple_of(COLS_MAX));
    let across = n.div_ceil(cols_max);
    let tile_cols = n.div_ceil(across).next_multiple_of(COLS_MAX);
    let wanted = (TILES_PER_THREAD * rayon::current_num_threads()).div_ceil(across);
    let down = m.div_ceil(TILE_ROWS).max(wanted.min(m.div_ceil(PIECE_ROWS)));
    (m.div_ceil(down).next_multiple_of(ROWS), tile_cols)
}
