//! Matrix products in f32: `C (+)= A * B` for operands of any stride, C row-major.
//!
//! C is cut in tiles by its shape alone; a tile packs its pieces of A and B into panels in the
//! thread's own memory and runs the micro-kernel over them. The products of one value of C are
//! added in pieces of `DEPTH`, in order. Own code because `gemm` and its peers allocate in every
//! call, and split k by the caches of the machine, which changes the bits between machines.

pub(crate) mod kernel;
pub(crate) mod pack;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::scratch::{Area, with_scratch};
use super::shared::SharedMut;
use kernel::{COLS_MAX, ROWS, Strided, cols, tile};

/// Steps of k between two additions to C.
const DEPTH: usize = 256;
/// Rows and columns of the largest tile: its two packed pieces fill half of a 1 MiB L2 cache.
const TILE_ROWS: usize = 192;
const TILE_COLS: usize = 256;

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
        let last = (rows - 1) * self.row_stride + (cols - 1) * self.col_stride;
        assert!(last < self.values.len(), "a factor is shorter than {rows} x {cols}");
    }
}

/// `c[m, n] (+)= a[m, k] * b[k, n]` with C row-major and contiguous, in parallel.
pub(crate) fn matmul(
    m: usize,
    n: usize,
    k: usize,
    c: &mut [f32],
    a: Matrix<'_>,
    b: Matrix<'_>,
    accumulate: bool,
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
        let c_first = row * n + col;
        let depth = DEPTH.min(k);
        let a_len = m.next_multiple_of(ROWS) * depth;
        let b_len = n_tile.next_multiple_of(COLS_MAX) * depth;
        with_scratch(Area::Panels, a_len + b_len, |panels| {
            let (a_panels, b_panels) = panels.split_at_mut(a_len);
            let job = Tile {
                m,
                n: n_tile,
                k,
                c: c.at(c_first, (m - 1) * n + n_tile),
                c_stride: n,
                a: strided(&a.values[row * a.row_stride..], a.row_stride, a.col_stride),
                b: strided(&b.values[col * b.col_stride..], b.col_stride, b.row_stride),
                accumulate,
                a_panels,
                b_panels,
            };
            pulp::Arch::new().dispatch(job);
        });
    });
}

fn strided(values: &[f32], outer: usize, depth: usize) -> Strided {
    Strided { start: values.as_ptr(), outer, depth }
}

/// Rows and columns of a tile of C, from its shape only: near the largest, but at least 16 tiles
/// where C is large enough for tiles of 96 rows, and all about the same size.
fn tile_shape(m: usize, n: usize) -> (usize, usize) {
    let across = n.div_ceil(TILE_COLS);
    let tile_cols = n.div_ceil(across).next_multiple_of(COLS_MAX);
    let wanted = 16_usize.div_ceil(across);
    let down = m.div_ceil(TILE_ROWS).max(wanted.min(m.div_ceil(96)));
    (m.div_ceil(down).next_multiple_of(ROWS), tile_cols)
}

/// One tile of C, whose pointers were checked when it was made.
struct Tile<'a> {
    m: usize,
    n: usize,
    k: usize,
    c: *mut f32,
    c_stride: usize,
    a: Strided,
    b: Strided,
    accumulate: bool,
    a_panels: &'a mut [f32],
    b_panels: &'a mut [f32],
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for k0 in (0..self.k).step_by(DEPTH) {
            let depth = DEPTH.min(self.k - k0);
            // SAFETY: `matmul` checked that both factors hold the whole tile for all of k, and gave
            // this tile of C to nobody else.
            unsafe {
                pack::pack(simd, skip(self.a, k0), self.m, depth, ROWS, self.a_panels);
                pack::pack(simd, skip(self.b, k0), self.n, depth, cols::<S>(), self.b_panels);
                self.panels(simd, depth, self.accumulate || k0 > 0);
            }
        }
    }
}

impl Tile<'_> {
    /// Multiplies the packed pieces: one panel of B stays in L1 while all of A passes.
    ///
    /// # Safety
    /// C is this tile's alone; the panels are packed for `depth`.
    #[inline(always)]
    unsafe fn panels<S: Simd>(&self, simd: S, depth: usize, add: bool) {
        let width = cols::<S>();
        let (a, b): (&[f32], &[f32]) = (self.a_panels, self.b_panels);
        for (jp, b) in b.chunks_exact(width * depth).take(self.n.div_ceil(width)).enumerate() {
            let j = jp * width;
            for (ip, a) in a.chunks_exact(ROWS * depth).take(self.m.div_ceil(ROWS)).enumerate() {
                let i = ip * ROWS;
                let a = Strided { start: a.as_ptr(), outer: 1, depth: ROWS };
                // SAFETY: panels are full; C holds rows i.. and columns j.. of this tile.
                unsafe {
                    let c = self.c.add(i * self.c_stride + j);
                    let (rows, cols) = (ROWS.min(self.m - i), width.min(self.n - j));
                    let (b, stride) = (b.as_ptr(), self.c_stride);
                    tile(simd, rows, cols, depth, a, b, width, c, stride, add);
                }
            }
        }
    }
}

/// The same factor from step `k0` on.
///
/// # Safety
/// The factor has a step `k0`.
#[inline(always)]
unsafe fn skip(factor: Strided, k0: usize) -> Strided {
    // SAFETY: the caller's promise.
    Strided { start: unsafe { factor.start.add(k0 * factor.depth) }, ..factor }
}

/// `c[m, n] (+)= a[m, k] * b[k, n]` on this thread, reading the factors where they lie. For small
/// products inside a larger tile, where packing would not pay.
///
/// # Safety
/// For `i < m`, `k < depth`, `j < n`: `a` is readable at (i, k), `b` at `k * b_depth + j`, and `c`
/// is writable at `i * c_stride + j` and touched by nobody else. `tail` holds `depth * COLS_MAX`.
#[inline(always)]
pub(crate) unsafe fn direct<S: Simd>(
    simd: S,
    (m, n, depth): (usize, usize, usize),
    c: *mut f32,
    c_stride: usize,
    a: Strided,
    (b, b_depth): (*const f32, usize),
    accumulate: bool,
    tail: &mut [f32],
) {
    let width = cols::<S>();
    for j in (0..n).step_by(width) {
        let cols = width.min(n - j);
        // SAFETY: column j exists; a partial panel is copied so that full vectors can be read.
        let (b, b_depth) = unsafe {
            if cols == width {
                (b.add(j), b_depth)
            } else {
                let from = Strided { start: b.add(j), outer: 1, depth: b_depth };
                pack::pack(simd, from, cols, depth, width, tail);
                (tail.as_ptr(), width)
            }
        };
        for i in (0..m).step_by(ROWS) {
            // SAFETY: the caller's promise for rows i.. of A and C.
            unsafe {
                let a = Strided { start: a.start.add(i * a.outer), ..a };
                let c = c.add(i * c_stride + j);
                let rows = ROWS.min(m - i);
                tile(simd, rows, cols, depth, a, b, b_depth, c, c_stride, accumulate);
            }
        }
    }
}
