//! Global memory: a pointer. Lengths are the host's affair; the device has only addresses.

use core::mem::size_of;

use super::Argument;
use crate::simt::Element;

/// Values in global memory.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Global<T>(*mut T);

impl<T: Element> Argument for Global<T> {
    type Raw = *mut T;

    #[inline(always)]
    fn from_raw(raw: *mut T, _: impl FnOnce() -> u64) -> Self {
        Self(raw)
    }
}

/// Values moved as one access of 4, 8 or 16 bytes.
#[derive(Clone, Copy)]
#[repr(C, align(4))]
struct Aligned4<V>(V);
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Aligned8<V>(V);
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Aligned16<V>(V);

impl<T: Element> Global<T> {
    #[inline(always)]
    pub fn ld(self, i: usize) -> T {
        // SAFETY: in bounds, which the emulator checks for every launch of the tests.
        unsafe { *self.0.add(i) }
    }

    #[inline(always)]
    pub fn st(self, i: usize, value: T) {
        // SAFETY: as in `ld`.
        unsafe { *self.0.add(i) = value }
    }

    #[inline(always)]
    pub fn ld2(self, i: usize) -> [T; 2] {
        self.load(i)
    }

    #[inline(always)]
    pub fn ld4(self, i: usize) -> [T; 4] {
        self.load(i)
    }

    #[inline(always)]
    pub fn ld8(self, i: usize) -> [T; 8] {
        self.load(i)
    }

    #[inline(always)]
    pub fn st2(self, i: usize, values: [T; 2]) {
        self.store(i, values)
    }

    #[inline(always)]
    pub fn st4(self, i: usize, values: [T; 4]) {
        self.store(i, values)
    }

    #[inline(always)]
    pub fn st8(self, i: usize, values: [T; 8]) {
        self.store(i, values)
    }

    #[inline(always)]
    pub fn ld16b(self, i: usize) -> [u32; 4] {
        // SAFETY: in bounds and aligned to 16 bytes, which the emulator checks.
        unsafe { (*self.address(i).cast::<Aligned16<[u32; 4]>>()).0 }
    }

    #[inline(always)]
    pub fn st16b(self, i: usize, words: [u32; 4]) {
        // SAFETY: as in `ld16b`.
        unsafe { *self.address(i).cast::<Aligned16<[u32; 4]>>() = Aligned16(words) }
    }

    #[inline(always)]
    pub fn slice(self, from: usize, _len: usize) -> Self {
        Self(self.address(from))
    }

    #[inline(always)]
    pub(crate) fn address(self, i: usize) -> *mut T {
        // SAFETY: within the same memory, or at its end.
        unsafe { self.0.add(i) }
    }

    #[inline(always)]
    fn load<V: Copy>(self, i: usize) -> V {
        let at = self.address(i);
        // SAFETY: in bounds and aligned to the size of the access, which the emulator checks.
        unsafe {
            match size_of::<V>() {
                16 => (*at.cast::<Aligned16<V>>()).0,
                8 => (*at.cast::<Aligned8<V>>()).0,
                4 => (*at.cast::<Aligned4<V>>()).0,
                _ => *at.cast::<V>(),
            }
        }
    }

    #[inline(always)]
    fn store<V: Copy>(self, i: usize, values: V) {
        let at = self.address(i);
        // SAFETY: as in `load`.
        unsafe {
            match size_of::<V>() {
                16 => *at.cast::<Aligned16<V>>() = Aligned16(values),
                8 => *at.cast::<Aligned8<V>>() = Aligned8(values),
                4 => *at.cast::<Aligned4<V>>() = Aligned4(values),
                _ => *at.cast::<V>() = values,
            }
        }
    }
}
