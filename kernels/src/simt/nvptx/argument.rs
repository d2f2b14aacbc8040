//! How arguments cross the entry: only primitives and raw pointers do, and tensor maps as bytes.

/// A type that may be an argument of a kernel.
pub trait Argument: Copy {
    /// What the entry declares.
    type Raw;

    /// The argument from what the entry received; `address` is the address of the parameter.
    fn from_raw(raw: Self::Raw, address: impl FnOnce() -> u64) -> Self;
}

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl Argument for $number {
            type Raw = $number;

            #[inline(always)]
            fn from_raw(raw: $number, _: impl FnOnce() -> u64) -> $number {
                raw
            }
        }
    )* };
}
numbers!(u32 i32 f32 u64 i64 f64);
