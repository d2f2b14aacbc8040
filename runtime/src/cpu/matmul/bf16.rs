//! bf16: the upper half of an f32. Rounding to it, and the kernel for machines without bf16
//! instructions, which reads rounded values as the f32 that they still are.

use pulp::Simd;

use super::kernel::{Kernel, Plain, ROWS, Strided, cols};

/// The bits of `x` rounded to bf16, to nearest with ties to even, in the upper half; the lower is
/// zero. Values beyond the largest bf16 round to infinity, NaN stays NaN.
#[inline(always)]
pub(super) fn rounded_bits(x: u32) -> u32 {
    const UPPER: u32 = 0xffff_0000;
    const QUIET: u32 = 0x0040_0000;
    const INFINITY: u32 = 0x7f80_0000;
    let rounded = x.wrapping_add(0x7fff + ((x >> 16) & 1));
    let is_nan = x & 0x7fff_ffff > INFINITY;
    (if is_nan { x | QUIET } else { rounded }) & UPPER
}

/// Factors rounded to bf16 and widened again: products are exact and sums as of [`Plain`].
#[derive(Clone, Copy)]
pub(super) struct Widened<S>(pub(super) S);

impl<S: Simd> Kernel for Widened<S> {
    const COLS: usize = cols::<S>();

    #[inline(always)]
    unsafe fn pack_rows(self, from: Strided, outer: usize, depth: usize, panels: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { Plain(self.0).pack_rows(from, outer, depth, panels) };
        round(&mut panels[..outer.next_multiple_of(ROWS) * depth]);
    }

    #[inline(always)]
    unsafe fn pack_cols(self, from: Strided, outer: usize, depth: usize, panels: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { Plain(self.0).pack_cols(from, outer, depth, panels) };
        round(&mut panels[..outer.next_multiple_of(Self::COLS) * depth]);
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
        // SAFETY: the caller's promise, passed on.
        unsafe { Plain(self.0).tile(rows, width, depth, a, b, c, c_stride, accumulate) }
    }
}

#[inline(always)]
fn round(panels: &mut [f32]) {
    for value in panels {
        *value = f32::from_bits(rounded_bits(value.to_bits()));
    }
}
