//! The kernel for instructions that add two bf16 products at once to each of 16 f32 sums.
//!
//! A panel holds pairs of steps of k: `[depth / 2 rounded up][width]` words whose lower half is the
//! even step and whose upper half the odd one, zero past an odd depth. Which instruction it is, and
//! how panels are packed, is left to [`Dot`], so that a model of it can test everything else on any
//! machine.

use super::kernel::{COLS_MAX, Kernel, ROWS, Strided};

/// Sums of one vector.
pub(super) const LANES: usize = 16;

/// An instruction that adds products of pairs.
pub(super) trait Dot: Copy {
    /// 16 f32 sums.
    type Sums: Copy;
    /// 16 pairs of bf16.
    type Pairs: Copy;

    /// Rounds and packs `outer` rows of `from`, `depth` steps each, into panels of `WIDTH`.
    ///
    /// # Safety
    /// `from` is readable for all (i, k) with `i < outer`, `k < depth`; one of its strides is 1.
    unsafe fn pack<const WIDTH: usize>(
        self,
        from: Strided,
        outer: usize,
        depth: usize,
        panels: &mut [f32],
    );

    /// Values as sums.
    fn sums(self, values: &[f32; LANES]) -> Self::Sums;

    /// The same pair 16 times.
    fn splat(self, pair: u32) -> Self::Pairs;

    /// 16 pairs from memory.
    fn load(self, pairs: &[u32; LANES]) -> Self::Pairs;

    /// `sums[i] + a[i].0 * b[i].0 + a[i].1 * b[i].1`, in an order of the instruction's own.
    fn add(self, sums: Self::Sums, a: Self::Pairs, b: Self::Pairs) -> Self::Sums;

    /// `a[i] + b[i]`.
    fn join(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;

    /// The sums as values.
    fn values(self, sums: Self::Sums) -> [f32; LANES];
}

/// Factors in pairs of bf16.
#[derive(Clone, Copy)]
pub(super) struct Paired<D>(pub(super) D);

impl<D: Dot> Kernel for Paired<D> {
    const COLS: usize = 2 * LANES;

    fn panel_len(self, depth: usize) -> usize {
        depth.div_ceil(2)
    }

    #[inline(always)]
    unsafe fn pack_rows(self, from: Strided, outer: usize, depth: usize, panels: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { self.0.pack::<ROWS>(from, outer, depth, panels) }
    }

    #[inline(always)]
    unsafe fn pack_cols(self, from: Strided, outer: usize, depth: usize, panels: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { self.0.pack::<COLS_MAX>(from, outer, depth, panels) }
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
        let pairs = depth.div_ceil(2);
        // SAFETY: a packed panel of `depth` steps holds these words; f32 and u32 align alike.
        let (a, b) = unsafe {
            let a: *const [u32; ROWS] = a.cast();
            let b: *const [[u32; LANES]; 2] = b.cast();
            (std::slice::from_raw_parts(a, pairs), std::slice::from_raw_parts(b, pairs))
        };
        // SAFETY: the caller's promise, passed on with `rows` as a constant.
        unsafe {
            match rows {
                1 => fixed::<D, 1>(self.0, width, a, b, c, c_stride, accumulate),
                2 => fixed::<D, 2>(self.0, width, a, b, c, c_stride, accumulate),
                3 => fixed::<D, 3>(self.0, width, a, b, c, c_stride, accumulate),
                4 => fixed::<D, 4>(self.0, width, a, b, c, c_stride, accumulate),
                5 => fixed::<D, 5>(self.0, width, a, b, c, c_stride, accumulate),
                _ => fixed::<D, 6>(self.0, width, a, b, c, c_stride, accumulate),
            }
        }
    }
}

/// # Safety
/// For `i < R` and `j < width`, `c` is writable at `i * c_stride + j` and touched by nobody else.
#[inline(always)]
unsafe fn fixed<D: Dot, const R: usize>(
    dot: D,
    width: usize,
    a: &[[u32; ROWS]],
    b: &[[[u32; LANES]; 2]],
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
) {
    let mut sums = [[dot.sums(&[0.0; LANES]); 2]; R];
    for (a, b) in a.iter().zip(b) {
        let b = [dot.load(&b[0]), dot.load(&b[1])];
        for i in 0..R {
            let factor = dot.splat(a[i]);
            sums[i][0] = dot.add(sums[i][0], factor, b[0]);
            sums[i][1] = dot.add(sums[i][1], factor, b[1]);
        }
    }
    for i in 0..R {
        for half in 0..2 {
            let (sums, first) = (sums[i][half], half * LANES);
            let count = width.saturating_sub(first).min(LANES);
            // SAFETY: these `count` values of row i of C are the caller's to write.
            let place = unsafe {
                std::slice::from_raw_parts_mut(c.add(i * c_stride + first.min(width)), count)
            };
            if let Ok(place) = <&mut [f32; LANES]>::try_from(&mut *place) {
                let sums = if accumulate { dot.join(dot.sums(place), sums) } else { sums };
                *place = dot.values(sums);
            } else {
                for (place, value) in place.iter_mut().zip(dot.values(sums)) {
                    *place = if accumulate { *place + value } else { value };
                }
            }
        }
    }
}
