//! Multiply-adds in registers only: what no matrix product on this machine can exceed.

use std::hint::black_box;

use pulp::{Simd, WithSimd};

/// Independent chains: enough for two units and a latency of 4 to 6.
pub(crate) const CHAINS: usize = 12;

/// Does `rounds` multiply-adds per lane and chain in f32; how many operations, a multiply-add being
/// two.
pub(crate) fn f32_operations(rounds: usize) -> usize {
    pulp::Arch::new().dispatch(Chains(rounds))
}

struct Chains(usize);

impl WithSimd for Chains {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let [factor, term] = [0.999_9, 1e-4].map(|x| simd.splat_f32s(black_box(x)));
        let mut sums = [simd.splat_f32s(black_box(1.0)); CHAINS];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, term);
            }
        }
        black_box(sums);
        2 * S::F32_LANES * CHAINS * self.0
    }
}
