//! The micro-kernel in f32, and what any other must be: a tile of at most `ROWS` x `2 * lanes` of C
//! stays in registers while k runs.
//!
//! Each value of C is one chain of fused multiply-adds in the order of k, so its bits do not depend
//! on the shape of the tile or on the width of the vectors.

use pulp::Simd;

use super::pack::pack;

/// Rows of C that one call keeps in registers: 6 x 2 vectors leave 4 of 16 registers for operands.
pub(crate) const ROWS: usize = 6;

/// Widest tile of any instruction set, in values.
pub(crate) const COLS_MAX: usize = 32;

/// Columns of C that one call keeps in registers.
pub(crate) const fn cols<S: Simd>() -> usize {
    2 * S::F32_LANES
}

/// A factor of the product in memory: value (i, k) at `start + i * outer + k * depth`.
#[derive(Clone, Copy)]
pub(crate) struct Strided {
    pub(crate) start: *const f32,
    pub(crate) outer: usize,
    pub(crate) depth: usize,
}

/// One way to multiply packed panels: what they hold, and how a tile of C comes of two of them.
pub(crate) trait Kernel: Copy {
    /// Columns of C that one call keeps in registers, at most [`COLS_MAX`].
    const COLS: usize;

    /// Values of memory that a panel takes per row, for `depth` steps of k.
    fn panel_len(self, depth: usize) -> usize {
        depth
    }

    /// Packs `outer` rows of A, `depth` steps each, into panels of [`ROWS`] that [`Kernel::tile`]
    /// reads.
    ///
    /// # Safety
    /// `from` is readable for all (i, k) with `i < outer`, `k < depth`; one of its strides is 1.
    unsafe fn pack_rows(self, from: Strided, outer: usize, depth: usize, panels: &mut [f32]);

    /// Packs `outer` columns of B into panels of [`Kernel::COLS`].
    ///
    /// # Safety
    /// As for [`Kernel::pack_rows`].
    unsafe fn pack_cols(self, from: Strided, outer: usize, depth: usize, panels: &mut [f32]);

    /// `c[i, j] (+)= sum_k a[i, k] * b[k, j]` for `rows` x `width` values of two packed panels.
    ///
    /// # Safety
    /// `a` and `b` are packed panels of `depth` steps, `1 <= rows <= ROWS`,
    /// `1 <= width <= COLS`. For `i < rows` and `j < width`, `c` is writable at
    /// `i * c_stride + j` and touched by nobody else.
    unsafe fn tile(
        self,
        rows: usize,
        width: usize,
        depth: usize,
        a: *const f32,
        b: *const f32,
        c: *mut f32,
        c_stride: usize,
        accumulate: bool,
    );
}

/// Factors as they are, in f32.
#[derive(Clone, Copy)]
pub(crate) struct Plain<S>(pub(crate) S);

impl<S: Simd> Kernel for Plain<S> {
    const COLS: usize = cols::<S>();

    #[inline(always)]
    unsafe fn pack_rows(self, from: Strided, outer: usize, depth: usize, panels: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { pack(self.0, from, outer, depth, ROWS, panels) }
    }

    #[inline(always)]
    unsafe fn pack_cols(self, from: Strided, outer: usize, depth: usize, panels: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { pack(self.0, from, outer, depth, Self::COLS, panels) }
    }

    #[inline(always)]
    unsafe fn tile(
        self,
        rows: usize,
        width: usize,
        depth: usize,
        a: *const f32,
        b: *const f32,
        c: *mut f32,
        c_stride: usize,
        accumulate: bool,
    ) {
        let a = Strided { start: a, outer: 1, depth: ROWS };
        // SAFETY: the caller's promise: full panels, `[depth][ROWS]` and `[depth][COLS]`.
        unsafe { tile(self.0, rows, width, depth, a, b, Self::COLS, c, c_stride, accumulate) }
    }
}

/// `c[i, j] (+)= sum_k a[i, k] * b[k, j]` for `rows` x `width` values.
///
/// # Safety
/// For `i < rows`, `k < depth`, `j < width`: `a` is readable at (i, k), `c` is writable at
/// `i * c_stride + j` and touched by nobody else, and `b` is readable for `cols::<S>()` values from
/// `k * b_depth`. `1 <= rows <= ROWS`, `width <= cols::<S>()`.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd>(
    simd: S,
    rows: usize,
    width: usize,
    depth: usize,
    a: Strided,
    b: *const f32,
    b_depth: usize,
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
) {
    // SAFETY: the caller's promise, passed on with `rows` as a constant.
    unsafe {
        match rows {
            1 => fixed::<S, 1>(simd, width, depth, a, b, b_depth, c, c_stride, accumulate),
            2 => fixed::<S, 2>(simd, width, depth, a, b, b_depth, c, c_stride, accumulate),
            3 => fixed::<S, 3>(simd, width, depth, a, b, b_depth, c, c_stride, accumulate),
            4 => fixed::<S, 4>(simd, width, depth, a, b, b_depth, c, c_stride, accumulate),
            5 => fixed::<S, 5>(simd, width, depth, a, b, b_depth, c, c_stride, accumulate),
            _ => fixed::<S, 6>(simd, width, depth, a, b, b_depth, c, c_stride, accumulate),
        }
    }
}

#[inline(always)]
unsafe fn fixed<S: Simd, const R: usize>(
    simd: S,
    width: usize,
    depth: usize,
    a: Strided,
    b: *const f32,
    b_depth: usize,
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
) {
    let lanes = S::F32_LANES;
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; 2]; R];
    for k in 0..depth {
        // SAFETY: the caller vouches for `b` at row k over the full tile width and `a` at (i, k).
        unsafe {
            let row = b.add(k * b_depth);
            let b0 = row.cast::<S::f32s>().read_unaligned();
            let b1 = row.add(lanes).cast::<S::f32s>().read_unaligned();
            for i in 0..R {
                let factor = simd.splat_f32s(*a.start.add(i * a.outer + k * a.depth));
                sums[i][0] = simd.mul_add_f32s(factor, b0, sums[i][0]);
                sums[i][1] = simd.mul_add_f32s(factor, b1, sums[i][1]);
            }
        }
    }
    if width == 2 * lanes {
        for i in 0..R {
            for half in 0..2 {
                // SAFETY: the full width of row i of C is the caller's to write.
                unsafe {
                    let place = c.add(i * c_stride + half * lanes).cast::<S::f32s>();
                    let mut value = sums[i][half];
                    if accumulate {
                        value = simd.add_f32s(place.read_unaligned(), value);
                    }
                    place.write_unaligned(value);
                }
            }
        }
    } else {
        let sums: &[[S::f32s; 2]] = &sums;
        let sums: &[f32] = bytemuck::cast_slice(sums.as_flattened());
        for i in 0..R {
            for j in 0..width {
                // SAFETY: the first `width` values of row i of C are the caller's to write.
                unsafe {
                    let place = c.add(i * c_stride + j);
                    let value = sums[i * 2 * lanes + j];
                    *place = if accumulate { *place + value } else { value };
                }
            }
        }
    }
}
