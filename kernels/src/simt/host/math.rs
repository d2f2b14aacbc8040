//! Arithmetic. What is approximate on the device (`exp2`, `log2`, `rcp`, `rsqrt`: about 2 units in
//! the last place, subnormals as zero) is exact here: compare kernels that use it by tolerance.

/// Square root, correctly rounded.
#[inline(always)]
pub fn sqrt(x: f32) -> f32 {
    x.sqrt()
}

/// Square root in f64, correctly rounded.
#[inline(always)]
pub fn sqrt_f64(x: f64) -> f64 {
    x.sqrt()
}

/// `a * b + c` with one rounding.
#[inline(always)]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

/// 2^x, approximately.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    x.exp2()
}

/// Logarithm to base 2, approximately.
#[inline(always)]
pub fn log2(x: f32) -> f32 {
    x.log2()
}

/// 1 / x, approximately.
#[inline(always)]
pub fn rcp(x: f32) -> f32 {
    1.0 / x
}

/// 1 / sqrt(x), approximately.
#[inline(always)]
pub fn rsqrt(x: f32) -> f32 {
    1.0 / x.sqrt()
}

/// The nearest integer, of two equally near ones the even; the ends of i32 beyond them, 0 for NaN.
#[inline(always)]
pub fn round_to_i32(x: f32) -> i32 {
    x.round_ties_even() as i32
}

/// Two f32 as bf16 in one word, `low` in the low half; rounding as in `Bf16::from_f32`.
#[inline(always)]
pub fn bf16x2(low: f32, high: f32) -> u32 {
    round_to_bf16(low) | round_to_bf16(high) << 16
}

#[inline(always)]
fn round_to_bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() { 0x7fff } else { (bits + 0x7fff + (bits >> 16 & 1)) >> 16 }
}
