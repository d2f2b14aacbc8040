//! The products that a warpgroup makes with `wgmma` of tiles in shared memory. A tile has rows of
//! one head in panels of 64 columns (128 bytes, swizzled as the copy engine and wgmma agree), one
//! panel behind the other.

use super::softmax::Scores;
use crate::simt::*;

/// Columns of a panel.
pub(super) const PANEL: u32 = 64;

/// An accumulator of whatever width: [`Accumulator`] has these width by width.
pub(super) trait Sums: Scores {
    fn zero() -> Self;

    /// To read the values, after the wait for the last product.
    fn settle(&mut self);

    fn mma_ss<A: OperandLayout, B: OperandLayout, const I: u32, const J: u32>(
        &mut self,
        a: Operand<A, I>,
        b: Operand<B, J>,
        accumulate: bool,
    );

    fn mma_rs<B: OperandLayout, const J: u32>(&mut self, a: [u32; 4], b: Operand<B, J>);
}

macro_rules! widths {
    ($($registers:literal)*) => { $(
        impl Scores for Accumulator<$registers> {
            const SQUARES: usize = $registers / 8;

            #[inline(always)]
            fn get(&self, n: usize, half: usize, i: usize) -> f32 {
                self.get(8 * n + 4 * half + i)
            }

            #[inline(always)]
            fn set(&mut self, n: usize, half: usize, i: usize, value: f32) {
                self.set(8 * n + 4 * half + i, value);
            }
        }

        impl Sums for Accumulator<$registers> {
            #[inline(always)]
            fn zero() -> Self {
                Self::zero()
            }

            #[inline(always)]
            fn settle(&mut self) {
                self.settle();
            }

            #[inline(always)]
            fn mma_ss<A: OperandLayout, B: OperandLayout, const I: u32, const J: u32>(
                &mut self,
                a: Operand<A, I>,
                b: Operand<B, J>,
                accumulate: bool,
            ) {
                self.mma_ss(a, b, accumulate);
            }

            #[inline(always)]
            fn mma_rs<B: OperandLayout, const J: u32>(&mut self, a: [u32; 4], b: Operand<B, J>) {
                self.mma_rs(a, b, true);
            }
        }
    )* };
}
widths!(32 40 64 128);

/// `sums = left * right'` over `D4` panels: 64 rows at `left`, and at `right` as many rows as the
/// sums have columns. The caller fences, commits and waits.
#[inline(always)]
pub(super) fn times_rows<S: Sums, const D4: usize>(
    sums: &mut S,
    left: Shared<Bf16>,
    right: Shared<Bf16>,
) {
    let mut panel = 0;
    while panel < D4 {
        let rows = 16 * S::SQUARES as u32;
        let a = Operand::<KMajor<128>>::at(left, panel as u32 * 64 * PANEL);
        let b = Operand::<KMajor<128>>::at(right, panel as u32 * rows * PANEL);
        sums.mma_ss(a, b, panel > 0);
        sums.mma_ss(a.step::<32>(), b.step::<32>(), true);
        sums.mma_ss(a.step::<64>(), b.step::<64>(), true);
        sums.mma_ss(a.step::<96>(), b.step::<96>(), true);
        panel += 1;
    }
}

/// `sums += left * right`: `left` is squares of weights in registers, 64 rows of `16 * K`, `right`
/// a tile of `16 * K` rows whose panels are `BYTES` bytes. The caller fences, commits and waits.
#[inline(always)]
pub(super) fn times<S: Sums, const K: usize, const BYTES: u32>(
    sums: &mut S,
    left: &[[u32; 4]; K],
    right: Shared<Bf16>,
) {
    const ROWS_16: u32 = 16 * PANEL * 2;
    let b = Operand::<MnMajor<128, BYTES>>::at(right, 0);
    unroll!(k in 8 {
        if k < K {
            sums.mma_rs(left[k], b.step::<{ k as u32 * ROWS_16 }>());
        }
    });
}
