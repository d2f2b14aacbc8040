//! What layers pass on: f32 or bf16 in memory, f32 in registers, eight neighbours at a time.

use crate::simt::{Bf16, Element, Global, bf16x2, unpack_bf16x2};

/// A number that activations are stored as.
pub trait Activation: Element {
    /// The value in f32.
    fn widen(self) -> f32;

    /// The nearest value.
    fn round(value: f32) -> Self;

    /// Eight values from `i` on; `i` is a multiple of 8.
    fn ld8(from: Global<Self>, i: usize) -> [f32; 8];

    /// Sets eight values from `i` on; `i` is a multiple of 8.
    fn st8(to: Global<Self>, i: usize, values: [f32; 8]);
}

impl Activation for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn round(value: f32) -> f32 {
        value
    }

    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    fn ld8(from: Global<f32>, i: usize) -> [f32; 8] {
        let [a, b, c, d] = from.ld4(i);
        let [e, f, g, h] = from.ld4(i + 4);
        [a, b, c, d, e, f, g, h]
    }

    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    fn st8(to: Global<f32>, i: usize, [a, b, c, d, e, f, g, h]: [f32; 8]) {
        to.st4(i, [a, b, c, d]);
        to.st4(i + 4, [e, f, g, h]);
    }
}

impl Activation for Bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn round(value: f32) -> Bf16 {
        Bf16::from_f32(value)
    }

    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    fn ld8(from: Global<Bf16>, i: usize) -> [f32; 8] {
        let [ab, cd, ef, gh] = from.ld16b(i);
        let ([a, b], [c, d]) = (unpack_bf16x2(ab), unpack_bf16x2(cd));
        let ([e, f], [g, h]) = (unpack_bf16x2(ef), unpack_bf16x2(gh));
        [a, b, c, d, e, f, g, h]
    }

    #[inline(always)]
    #[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
    fn st8(to: Global<Bf16>, i: usize, [a, b, c, d, e, f, g, h]: [f32; 8]) {
        to.st16b(i, [bf16x2(a, b), bf16x2(c, d), bf16x2(e, f), bf16x2(g, h)]);
    }
}
