//! Global memory: an address and a length that every access is checked against.

use std::marker::PhantomData;
use std::panic::Location;

use super::fault::{Caller, FaultKind, fail};
use super::memory;
use super::owners::{self, Touch};
use crate::simt::{Argument, Element, Parameter, Value};

/// Values in global memory, on whichever device; the launcher checks whose they are.
pub struct Global<T> {
    address: u64,
    len: usize,
    values: PhantomData<fn() -> T>,
}

impl<T> Clone for Global<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Global<T> {}

impl<T> std::fmt::Debug for Global<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values at {:#x}", self.len, self.address)
    }
}

impl<T: Element> Argument for Global<T> {
    const SHAPE: Parameter = Parameter::of_bytes(8);

    fn value(&self) -> Value {
        Value::Memory { address: self.address, bytes: (self.len * size_of::<T>()) as u64 }
    }
}

impl<T: Element> Global<T> {
    const SIZE: usize = size_of::<T>();

    /// `len` values at an address of some device.
    pub fn new(address: u64, len: usize) -> Self {
        Self { address, len, values: PhantomData }
    }

    /// Value `i`.
    #[inline(always)]
    #[track_caller]
    pub fn ld(self, i: usize) -> T {
        let at = self.check(i, 1, Location::caller());
        owners::touch(at, Self::SIZE, Touch::Read, Location::caller());
        memory::read(at)
    }

    /// Sets value `i`.
    #[inline(always)]
    #[track_caller]
    pub fn st(self, i: usize, value: T) {
        let at = self.check(i, 1, Location::caller());
        owners::touch(at, Self::SIZE, Touch::Write, Location::caller());
        memory::write(at, value);
    }

    /// Two values from `i` on, as one access; aligned to it.
    #[inline(always)]
    #[track_caller]
    pub fn ld2(self, i: usize) -> [T; 2] {
        self.load(i, Location::caller())
    }

    /// Four values from `i` on, as one access; aligned to it.
    #[inline(always)]
    #[track_caller]
    pub fn ld4(self, i: usize) -> [T; 4] {
        self.load(i, Location::caller())
    }

    /// Eight values from `i` on, as one access; aligned to it. Values of 1 or 2 bytes.
    #[inline(always)]
    #[track_caller]
    pub fn ld8(self, i: usize) -> [T; 8] {
        self.load(i, Location::caller())
    }

    /// Sets two values from `i` on, as one access; aligned to it.
    #[inline(always)]
    #[track_caller]
    pub fn st2(self, i: usize, values: [T; 2]) {
        self.store(i, values, Location::caller());
    }

    /// Sets four values from `i` on, as one access; aligned to it.
    #[inline(always)]
    #[track_caller]
    pub fn st4(self, i: usize, values: [T; 4]) {
        self.store(i, values, Location::caller());
    }

    /// Sets eight values from `i` on, as one access; aligned to it. Values of 1 or 2 bytes.
    #[inline(always)]
    #[track_caller]
    pub fn st8(self, i: usize, values: [T; 8]) {
        self.store(i, values, Location::caller());
    }

    /// The 16 bytes from value `i` on, as one access.
    #[inline(always)]
    #[track_caller]
    pub fn ld16b(self, i: usize) -> [u32; 4] {
        let at = self.check(i, 16 / Self::SIZE, Location::caller());
        owners::touch(at, 16, Touch::Read, Location::caller());
        std::array::from_fn(|word| memory::read(at + 4 * word as u64))
    }

    /// Sets the 16 bytes from value `i` on, as one access.
    #[inline(always)]
    #[track_caller]
    pub fn st16b(self, i: usize, words: [u32; 4]) {
        let at = self.check(i, 16 / Self::SIZE, Location::caller());
        owners::touch(at, 16, Touch::Write, Location::caller());
        for (word, value) in words.into_iter().enumerate() {
            memory::write(at + 4 * word as u64, value);
        }
    }

    /// `len` of the values, from value `from` on.
    #[inline(always)]
    #[track_caller]
    pub fn slice(self, from: usize, len: usize) -> Self {
        self.check_bounds(from, len, Location::caller());
        Self { address: self.address + (from * Self::SIZE) as u64, len, values: PhantomData }
    }

    #[inline(always)]
    fn load<const N: usize>(self, i: usize, caller: Caller) -> [T; N] {
        let at = self.check(i, N, caller);
        owners::touch(at, N * Self::SIZE, Touch::Read, caller);
        std::array::from_fn(|n| memory::read(at + (n * Self::SIZE) as u64))
    }

    #[inline(always)]
    fn store<const N: usize>(self, i: usize, values: [T; N], caller: Caller) {
        let at = self.check(i, N, caller);
        owners::touch(at, N * Self::SIZE, Touch::Write, caller);
        for (n, value) in values.into_iter().enumerate() {
            memory::write(at + (n * Self::SIZE) as u64, value);
        }
    }

    /// Address of value `i`, `len` values being in bounds, no more than 16 bytes, and aligned to
    /// their size together.
    #[inline(always)]
    pub(super) fn check(self, i: usize, len: usize, caller: Caller) -> u64 {
        self.check_bounds(i, len, caller);
        let at = self.address + (i * Self::SIZE) as u64;
        let bytes = (len * Self::SIZE) as u64;
        if at & (bytes - 1) != 0 || bytes > 16 {
            refuse_misaligned(i, bytes, caller);
        }
        at
    }

    /// As [`Global::check`], for a run of any length on 16 bytes.
    pub(super) fn check_run(self, i: usize, len: usize, caller: Caller) -> u64 {
        self.check_bounds(i, len, caller);
        let at = self.address + (i * Self::SIZE) as u64;
        if at & 15 != 0 {
            refuse_misaligned(i, 16, caller);
        }
        at
    }

    #[inline(always)]
    fn check_bounds(self, i: usize, len: usize, caller: Caller) {
        if i.checked_add(len).is_none_or(|end| end > self.len) {
            refuse_bounds(i, len, self.len, caller);
        }
    }
}

#[cold]
#[inline(never)]
fn refuse_bounds(i: usize, len: usize, have: usize, caller: Caller) -> ! {
    let end = i as u128 + len as u128;
    fail(FaultKind::OutOfBounds, caller, format!("global values {i}..{end} of {have}"))
}

#[cold]
#[inline(never)]
fn refuse_misaligned(i: usize, bytes: u64, caller: Caller) -> ! {
    let what = format!("{bytes}-byte access to global memory at value {i}");
    fail(FaultKind::Misaligned, caller, what)
}
