//! bf16: the upper half of an f32. Arithmetic happens in f32; this is how values are stored.

use super::bf16x2;

/// A bf16 by its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl Bf16 {
    /// The nearest bf16, of two equally near ones the even; NaN becomes 0x7fff.
    #[inline(always)]
    pub fn from_f32(value: f32) -> Self {
        Self(bf16x2(value, 0.0) as u16)
    }

    /// The same value as f32.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }
}

/// The two values of a packed pair: low half first.
#[inline(always)]
pub fn unpack_bf16x2(pair: u32) -> [f32; 2] {
    [f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000)]
}
