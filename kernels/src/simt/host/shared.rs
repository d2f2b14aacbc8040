//! Shared memory: bytes of the block, seen through typed windows whose length every access is
//! checked against. It starts as 0xff bytes, which read as NaN.

use std::marker::PhantomData;
use std::panic::Location;
use std::ptr;

use super::fault::{Caller, FaultKind, fail};
use super::here::here;
use super::order::{Access, Actor, Cause, Conflict};
use crate::simt::Element;

/// Address of the window's first byte. Not zero, so that an offset is not taken for an address.
pub(super) const WINDOW: u32 = 1024;

/// The bytes of a block.
pub(super) struct SharedMemory(Vec<u8>);

impl SharedMemory {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn reset(&mut self, bytes: u32) {
        self.0.clear();
        self.0.resize(bytes as usize, 0xff);
    }

    pub(super) fn len(&self) -> u32 {
        self.0.len() as u32
    }

    #[inline(always)]
    pub(super) fn bytes(&mut self, offset: u32, len: u32) -> &mut [u8] {
        &mut self.0[offset as usize..(offset + len) as usize]
    }

    /// Reads a number, or an array of numbers.
    #[inline(always)]
    pub(super) fn load<V: Copy>(&mut self, offset: u32) -> V {
        let bytes = self.bytes(offset, size_of::<V>() as u32);
        // SAFETY: as many bytes as V has; V is an `Element` or an array of them, so any bits do.
        unsafe { ptr::read_unaligned(bytes.as_ptr().cast::<V>()) }
    }

    /// Writes a number, or an array of numbers.
    #[inline(always)]
    pub(super) fn store<V: Copy>(&mut self, offset: u32, value: V) {
        let bytes = self.bytes(offset, size_of::<V>() as u32);
        // SAFETY: as many bytes as V has.
        unsafe { ptr::write_unaligned(bytes.as_mut_ptr().cast::<V>(), value) }
    }
}

/// Values in shared memory: a window of the block's dynamic shared memory.
pub struct Shared<T> {
    offset: u32,
    len: u32,
    values: PhantomData<T>,
}

impl<T> Clone for Shared<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T: Element> Shared<T> {
    const SIZE: u32 = size_of::<T>() as u32;

    /// The window of `len` values, `offset_bytes` into the block's shared memory. Windows may
    /// overlap; the accesses through them are checked, not the windows.
    #[inline(always)]
    #[track_caller]
    pub fn at(offset_bytes: u32, len: u32) -> Self {
        let caller = Location::caller();
        let end = u64::from(offset_bytes) + u64::from(len) * u64::from(Self::SIZE);
        let have = here().with(|block| block.shared.len());
        if end > u64::from(have) {
            let what = format!("window {offset_bytes}..{end} of {have} shared bytes");
            fail(FaultKind::OutOfBounds, caller, what);
        }
        if !offset_bytes.is_multiple_of(Self::SIZE) {
            let what = format!("window of {}-byte values at byte {offset_bytes}", Self::SIZE);
            fail(FaultKind::Misaligned, caller, what);
        }
        Self { offset: offset_bytes, len, values: PhantomData }
    }

    /// `len` of the values, from value `from` on.
    #[inline(always)]
    #[track_caller]
    pub fn slice(self, from: u32, len: u32) -> Self {
        self.check_bounds(from, len, Location::caller());
        Self { offset: self.offset + from * Self::SIZE, len, values: PhantomData }
    }

    /// The same bytes as values of another type.
    #[inline(always)]
    #[track_caller]
    pub fn cast<U: Element>(self) -> Shared<U> {
        let len = self.len * Self::SIZE / Shared::<U>::SIZE;
        if !self.offset.is_multiple_of(Shared::<U>::SIZE) {
            let what = format!("{}-byte values at byte {}", Shared::<U>::SIZE, self.offset);
            fail(FaultKind::Misaligned, Location::caller(), what);
        }
        Shared { offset: self.offset, len, values: PhantomData }
    }

    /// Shared address of value `i`, for descriptors.
    #[inline(always)]
    #[track_caller]
    pub fn address(self, i: u32) -> u32 {
        self.check_bounds(i, 0, Location::caller());
        WINDOW + self.offset + i * Self::SIZE
    }

    /// Value `i`.
    #[inline(always)]
    #[track_caller]
    pub fn ld(self, i: u32) -> T {
        self.load(i, 1, Location::caller())
    }

    /// Sets value `i`.
    #[inline(always)]
    #[track_caller]
    pub fn st(self, i: u32, value: T) {
        self.store(i, 1, value, Location::caller());
    }

    /// The 16 bytes from value `i` on, as one access.
    #[inline(always)]
    #[track_caller]
    pub fn ld16b(self, i: u32) -> [u32; 4] {
        self.load(i, 16 / Self::SIZE, Location::caller())
    }

    /// Sets the 16 bytes from value `i` on, as one access.
    #[inline(always)]
    #[track_caller]
    pub fn st16b(self, i: u32, words: [u32; 4]) {
        self.store(i, 16 / Self::SIZE, words, Location::caller());
    }

    #[inline(always)]
    fn load<V: Copy>(self, i: u32, len: u32, caller: Caller) -> V {
        let offset = self.check(i, len, caller);
        let here = here();
        here.with(|block| {
            if let Some(order) = &mut block.order {
                let actor = Actor::Lane(here.thread);
                let touched = order.touch(offset, len * Self::SIZE, Access::Read, actor);
                accept(touched, "read", caller);
            }
            block.shared.load(offset)
        })
    }

    #[inline(always)]
    fn store<V: Copy>(self, i: u32, len: u32, value: V, caller: Caller) {
        let offset = self.check(i, len, caller);
        let here = here();
        here.with(|block| {
            let bytes = len * Self::SIZE;
            if !block.outgoing.is_empty() {
                check_outgoing(block, offset, bytes, caller);
            }
            if let Some(order) = &mut block.order {
                let touched = order.touch(offset, bytes, Access::Write, Actor::Lane(here.thread));
                accept(touched, "write", caller);
            }
            block.shared.store(offset, value);
        });
    }

    /// The offset of value `i` in the block's shared memory, `len` values being in bounds and
    /// aligned to their size together.
    #[inline(always)]
    pub(super) fn check(self, i: u32, len: u32, caller: Caller) -> u32 {
        self.check_bounds(i, len, caller);
        let (offset, bytes) = (self.offset + i * Self::SIZE, len * Self::SIZE);
        if offset & (bytes - 1) != 0 {
            refuse_misaligned(offset, bytes, caller);
        }
        offset
    }

    /// As [`Shared::check`], for any length and an alignment in bytes.
    pub(super) fn check_range(self, i: u32, len: u32, align: u32, caller: Caller) -> u32 {
        self.check_bounds(i, len, caller);
        let offset = self.offset + i * Self::SIZE;
        if !offset.is_multiple_of(align) {
            refuse_misaligned(offset, align, caller);
        }
        offset
    }

    #[inline(always)]
    fn check_bounds(self, i: u32, len: u32, caller: Caller) {
        if i.checked_add(len).is_none_or(|end| end > self.len) {
            refuse_bounds(i, len, self.len, caller);
        }
    }
}

macro_rules! vectors {
    ($($number:ty)*) => { $(
        impl Shared<$number> {
            /// Two values from `i` on, as one access.
            #[inline(always)]
            #[track_caller]
            pub fn ld2(self, i: u32) -> [$number; 2] {
                self.load(i, 2, Location::caller())
            }

            /// Four values from `i` on, as one access.
            #[inline(always)]
            #[track_caller]
            pub fn ld4(self, i: u32) -> [$number; 4] {
                self.load(i, 4, Location::caller())
            }

            /// Sets two values from `i` on, as one access.
            #[inline(always)]
            #[track_caller]
            pub fn st2(self, i: u32, values: [$number; 2]) {
                self.store(i, 2, values, Location::caller());
            }

            /// Sets four values from `i` on, as one access.
            #[inline(always)]
            #[track_caller]
            pub fn st4(self, i: u32, values: [$number; 4]) {
                self.store(i, 4, values, Location::caller());
            }
        }
    )* };
}
vectors!(u32 i32 f32);

#[cold]
#[inline(never)]
fn refuse_bounds(i: u32, len: u32, have: u32, caller: Caller) -> ! {
    let end = u64::from(i) + u64::from(len);
    fail(FaultKind::OutOfBounds, caller, format!("shared values {i}..{end} of {have}"))
}

#[cold]
#[inline(never)]
fn refuse_misaligned(offset: u32, bytes: u32, caller: Caller) -> ! {
    let what = format!("{bytes}-byte access to shared memory at byte {offset}");
    fail(FaultKind::Misaligned, caller, what)
}

/// Nothing that the copy engine still reads is overwritten.
#[cold]
pub(super) fn check_outgoing(block: &super::block::Block, offset: u32, bytes: u32, caller: Caller) {
    for (thread, store) in &block.outgoing {
        if offset < store.from + store.bytes && store.from < offset + bytes {
            let what = format!(
                "write to shared byte {offset}, which a store of thread {thread} still reads"
            );
            fail(FaultKind::InFlight, caller, what);
        }
    }
}

/// Goes on where the access is in order.
#[inline(always)]
pub(super) fn accept(touched: Result<(), Conflict>, verb: &'static str, caller: Caller) {
    if let Err(conflict) = touched {
        refuse(conflict, verb, caller);
    }
}

#[cold]
#[inline(never)]
fn refuse(Conflict { byte, cause }: Conflict, verb: &'static str, caller: Caller) -> ! {
    let place = format!("{verb} of shared byte {byte}");
    let whose = |stamp: super::clock::Stamp| match stamp.lane {
        super::clock::SEVERAL => format!("warp {}", stamp.component),
        _ => format!("thread {}", stamp.thread()),
    };
    let (kind, what) = match cause {
        Cause::NeverWritten => (FaultKind::Uninitialised, format!("{place}, never written")),
        Cause::Mbarrier => (FaultKind::Protocol, format!("{place}, where an mbarrier lies")),
        Cause::InFlight { issuer } => (
            FaultKind::InFlight,
            format!("{place}, to which a copy of thread {issuer} is under way"),
        ),
        Cause::Landing => {
            (FaultKind::Race, format!("{place}, whose copy this thread has not waited for"))
        }
        Cause::Write(by) => {
            (FaultKind::Race, format!("{place} races with a write by {}", whose(by)))
        }
        Cause::Atomic(by) => {
            (FaultKind::Race, format!("{place} races with an atomic by {}", whose(by)))
        }
        Cause::Read(by) => (FaultKind::Race, format!("{place} races with a read by {}", whose(by))),
        Cause::Product { warpgroup } => (
            FaultKind::InFlight,
            format!("{place}, which a wgmma of warpgroup {warpgroup} still reads"),
        ),
        Cause::Unfenced(by) => (
            FaultKind::ProxyFence,
            format!("{place}, written by {} without a proxy fence that comes before", whose(by)),
        ),
    };
    fail(kind, caller, what)
}
