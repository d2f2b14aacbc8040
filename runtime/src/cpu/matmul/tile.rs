//! One tile of C: packs its pieces of both factors, range of k by range of k, and multiplies them.
//!
//! B's piece is packed once per range of k and stays in the second-level cache, while A passes in
//! pieces of `PIECE_ROWS`: a tile may be as tall as balance between threads allows.

use super::kernel::{Kernel, ROWS, Strided};

/// Steps of k between two additions to C.
pub(super) const DEPTH: usize = 256;
/// Rows of A that are packed at once: with 256 columns of B, two thirds of a 512 KiB cache.
pub(super) const PIECE_ROWS: usize = 96;

/// One tile of C, whose pointers were checked when it was made.
pub(super) struct Tile<'a> {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) c: *mut f32,
    pub(super) c_stride: usize,
    pub(super) a: Strided,
    pub(super) b: Strided,
    pub(super) accumulate: bool,
    pub(super) a_panels: &'a mut [f32],
    pub(super) b_panels: &'a mut [f32],
}

impl Tile<'_> {
    /// Computes the tile.
    ///
    /// # Safety
    /// Both factors are readable for the whole tile and all of k, C is this tile's alone, and the
    /// panels are as long as those that `tiled` lends.
    #[inline(always)]
    pub(super) unsafe fn multiply<K: Kernel>(mut self, kernel: K) {
        for k0 in (0..self.k).step_by(DEPTH) {
            let depth = DEPTH.min(self.k - k0);
            // SAFETY: the caller's promise; the factor has a step k0.
            unsafe { kernel.pack_cols(skip(self.b, k0), self.n, depth, self.b_panels) };
            for row in (0..self.m).step_by(PIECE_ROWS) {
                // SAFETY: the caller's promise; both pieces of B and A are packed for `depth`.
                unsafe { self.piece(kernel, row, k0, depth) };
            }
        }
    }

    /// Packs rows `row..` of A and multiplies them with all of B's piece: one panel of B stays in
    /// the first-level cache while all of A's piece passes.
    ///
    /// # Safety
    /// As for [`Tile::multiply`], with B packed for `depth` steps from `k0`.
    #[inline(always)]
    unsafe fn piece<K: Kernel>(&mut self, kernel: K, row: usize, k0: usize, depth: usize) {
        let m = PIECE_ROWS.min(self.m - row);
        let add = self.accumulate || k0 > 0;
        let (a_len, b_len) = (ROWS * kernel.panel_len(depth), K::COLS * kernel.panel_len(depth));
        // SAFETY: the caller's promise; the factor has row `row` and step `k0`.
        unsafe {
            let a = skip(self.a, k0);
            let a = Strided { start: a.start.add(row * a.outer), ..a };
            kernel.pack_rows(a, m, depth, self.a_panels);
        }
        let (a, b): (&[f32], &[f32]) = (self.a_panels, self.b_panels);
        for (jp, b) in b.chunks_exact(b_len).take(self.n.div_ceil(K::COLS)).enumerate() {
            let j = jp * K::COLS;
            for (ip, a) in a.chunks_exact(a_len).take(m.div_ceil(ROWS)).enumerate() {
                let i = ip * ROWS;
                // SAFETY: panels are full; C holds rows row + i.. and columns j.. of this tile.
                unsafe {
                    let c = self.c.add((row + i) * self.c_stride + j);
                    let (rows, cols) = (ROWS.min(m - i), K::COLS.min(self.n - j));
                    let (a, b) = (a.as_ptr(), b.as_ptr());
                    kernel.tile(rows, cols, depth, a, b, c, self.c_stride, add);
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
