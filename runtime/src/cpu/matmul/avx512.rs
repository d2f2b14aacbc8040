//! AVX512-BF16: `vdpbf16ps` adds 32 products of bf16 to 16 sums of f32.
//!
//! Per sum it adds the odd product, then the even one, each with one rounding; denormals count as
//! zero (Intel, Software Developer's Manual, VDPBF16PS).

use std::arch::x86_64::*;
use std::hint::black_box;

use pulp::x86::V4;

use super::super::peak::CHAINS;
use super::kernel::Strided;
use super::pack::avx512::{Pair, pack};
use super::pairs::{Dot, LANES, Paired};
use super::tile::Tile;

/// Whether the machine has AVX512-BF16, and all of AVX-512 that `multiply` is compiled with.
#[inline]
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512bf16") && V4::is_available()
}

/// Computes a tile.
///
/// # Safety
/// The machine has what [`available`] asks for; and as for [`Tile::multiply`].
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16,fma,bmi2,lzcnt")]
pub(super) unsafe fn multiply(tile: Tile<'_>) {
    // SAFETY: the caller's promise.
    unsafe { tile.multiply(Paired(Native(()))) }
}

/// As [`super::super::peak::f32_operations`], in bf16: a product adds two pairs per lane.
///
/// # Safety
/// The machine has what [`available`] asks for.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn operations(rounds: usize) -> usize {
    let (factor, mut sums) =
        (Native(()).splat(black_box(0x3f80_3f7f)), [_mm512_setzero_ps(); CHAINS]);
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = Native(()).add(*sum, factor, factor);
        }
    }
    black_box(sums);
    4 * LANES * CHAINS * rounds
}

/// Made in this file only, inside functions that are compiled with the features it stands for. Its
/// methods are not marked with them, because only then they may always inline.
#[derive(Clone, Copy)]
struct Native(());

impl Dot for Native {
    type Sums = __m512;
    type Pairs = __m512bh;

    #[inline(always)]
    unsafe fn pack<const WIDTH: usize>(
        self,
        from: Strided,
        outer: usize,
        depth: usize,
        panels: &mut [f32],
    ) {
        // SAFETY: the caller's promise; a `Native` is proof of AVX512-BF16.
        unsafe { pack::<Pair, WIDTH>(from, outer, depth, panels) }
    }

    #[inline(always)]
    fn sums(self, values: &[f32; LANES]) -> __m512 {
        // SAFETY: a `Native` is proof of AVX512-BF16; the array is 64 readable bytes.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn splat(self, pair: u32) -> __m512bh {
        // SAFETY: as above; both are 512 bits without meaning of their own.
        unsafe { std::mem::transmute(_mm512_set1_epi32(pair.cast_signed())) }
    }

    #[inline(always)]
    fn load(self, pairs: &[u32; LANES]) -> __m512bh {
        // SAFETY: as above; the array is 64 readable bytes.
        unsafe { std::mem::transmute(_mm512_loadu_si512(pairs.as_ptr().cast())) }
    }

    #[inline(always)]
    fn add(self, sums: __m512, a: __m512bh, b: __m512bh) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_dpbf16_ps(sums, a, b) }
    }

    #[inline(always)]
    fn join(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn values(self, sums: __m512) -> [f32; LANES] {
        // SAFETY: both are 16 f32.
        unsafe { std::mem::transmute(sums) }
    }
}
