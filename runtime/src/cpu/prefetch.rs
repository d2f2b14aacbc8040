//! Asking for memory ahead of its use. A tile's rows lie far apart, in runs too short for the
//! hardware to foresee: without this, chunk-wise passes wait for memory most of their time.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Starts to load `values` into the second-level cache; does nothing where that cannot be asked
/// for.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(LINE / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: prefetching is a hint that reads nothing into the program and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, LINE);
}
