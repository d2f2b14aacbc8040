//! A mutable slice that several tiles write at once, each its own places.
//!
//! Tiles of a row-major matrix that are narrower than a row interleave in memory, so no split into
//! slices describes them. That two tiles never touch the same value is the caller's to prove.

use std::marker::PhantomData;

/// Exclusive access to a slice, shared among tiles that agree to touch different values.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<'a> {
    start: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a `&mut [f32]` whose users promise to touch disjoint values.
unsafe impl Send for SharedMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedMut<'_> {}

impl<'a> SharedMut<'a> {
    pub(crate) fn new(values: &'a mut [f32]) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len(), borrow: PhantomData }
    }

    /// The values `first..first + len`.
    ///
    /// # Safety
    /// No other tile holds or makes a slice or writes through a pointer that overlaps this range
    /// for as long as the result lives.
    #[expect(clippy::mut_from_ref, reason = "the caller proves that ranges do not overlap")]
    pub(crate) unsafe fn slice_mut(&self, first: usize, len: usize) -> &mut [f32] {
        assert!(first <= self.len && len <= self.len - first, "a tile reaches past its buffer");
        // SAFETY: in bounds by the assertion, not aliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), len) }
    }

    /// A pointer to value `first` after checking that `first..first + extent` lies inside.
    pub(crate) fn at(&self, first: usize, extent: usize) -> *mut f32 {
        assert!(first <= self.len && extent <= self.len - first, "a tile reaches past its buffer");
        // SAFETY: in bounds by the assertion.
        unsafe { self.start.add(first) }
    }
}
