//! What may lie in global and shared memory: plain numbers of 1, 2, 4 or 8 bytes.

/// A plain number in device memory, aligned to its size.
///
/// # Safety
/// Every bit pattern is a value, and the size is 1, 2, 4 or 8 bytes without padding.
pub unsafe trait Element: Copy + Send + Sync + 'static {}

macro_rules! elements {
    ($($number:ty)*) => { $(
        // SAFETY: a primitive number of one of the sizes, all of whose bit patterns are values.
        unsafe impl Element for $number {}
    )* };
}
elements!(u8 u16 u32 u64 i8 i16 i32 i64 f32 f64);

// SAFETY: a transparent `u16`.
unsafe impl Element for super::Bf16 {}
