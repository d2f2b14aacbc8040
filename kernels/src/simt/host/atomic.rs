//! Atomics on global and shared words.

use std::panic::Location;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::fault::Caller;
use super::here::here;
use super::order::{Access, Actor};
use super::shared::{accept, check_outgoing};
use super::{Global, Shared, memory};

impl Global<u32> {
    /// Adds to value `i`; returns what it was. Orders nothing.
    #[track_caller]
    pub fn atomic_add(self, i: usize, value: u32) -> u32 {
        memory::word(self.check(i, 1, Location::caller())).fetch_add(value, Relaxed)
    }

    /// Raises value `i` to `value`; returns what it was. Orders nothing.
    #[track_caller]
    pub fn atomic_max(self, i: usize, value: u32) -> u32 {
        memory::word(self.check(i, 1, Location::caller())).fetch_max(value, Relaxed)
    }

    /// Sets bits of value `i`; returns what it was. Orders nothing.
    #[track_caller]
    pub fn atomic_or(self, i: usize, bits: u32) -> u32 {
        memory::word(self.check(i, 1, Location::caller())).fetch_or(bits, Relaxed)
    }

    /// [`Global::atomic_add`] that publishes what this thread did, and sees what those did who
    /// came before: the ticket by which the last block of a grid knows that it is the last.
    #[track_caller]
    pub fn atomic_add_acq_rel(self, i: usize, value: u32) -> u32 {
        here().with(|block| block.has_synchronised = true);
        memory::word(self.check(i, 1, Location::caller())).fetch_add(value, AcqRel)
    }

    /// Value `i`, and what was done before it was released. There is no waiting for another block:
    /// the device promises no order in which blocks run.
    #[track_caller]
    pub fn ld_acquire(self, i: usize) -> u32 {
        here().with(|block| block.has_synchronised = true);
        memory::word(self.check(i, 1, Location::caller())).load(Acquire)
    }

    /// Sets value `i`, after all that this thread did.
    #[track_caller]
    pub fn st_release(self, i: usize, value: u32) {
        memory::word(self.check(i, 1, Location::caller())).store(value, Release);
    }
}

impl Global<f32> {
    /// Adds to value `i`; returns what it was. The order of additions is nobody's to choose, so
    /// sums of more than two differ from run to run.
    #[track_caller]
    pub fn atomic_add(self, i: usize, value: f32) -> f32 {
        add_f32(self.check(i, 1, Location::caller()), value)
    }
}

/// Adds to the f32 at `address`; returns what it was.
pub(super) fn add_f32(address: u64, value: f32) -> f32 {
    let word = memory::word(address);
    let mut before = word.load(Relaxed);
    loop {
        let sum = (f32::from_bits(before) + value).to_bits();
        match word.compare_exchange_weak(before, sum, Relaxed, Relaxed) {
            Ok(_) => return f32::from_bits(before),
            Err(now) => before = now,
        }
    }
}

impl Shared<u32> {
    /// Adds to value `i`; returns what it was.
    #[track_caller]
    pub fn atomic_add(self, i: u32, value: u32) -> u32 {
        self.fetch(i, Location::caller(), |before| before.wrapping_add(value))
    }

    /// Raises value `i` to `value`; returns what it was.
    #[track_caller]
    pub fn atomic_max(self, i: u32, value: u32) -> u32 {
        self.fetch(i, Location::caller(), |before| before.max(value))
    }

    /// Sets bits of value `i`; returns what it was.
    #[track_caller]
    pub fn atomic_or(self, i: u32, bits: u32) -> u32 {
        self.fetch(i, Location::caller(), |before| before | bits)
    }

    fn fetch(self, i: u32, caller: Caller, next: impl FnOnce(u32) -> u32) -> u32 {
        let (here, offset) = (here(), self.check(i, 1, caller));
        here.with(|block| {
            check_outgoing(block, offset, 4, caller);
            if let Some(order) = &mut block.order {
                let touched = order.touch(offset, 4, Access::Atomic, Actor::Lane(here.thread));
                accept(touched, "atomic", caller);
            }
            let before: u32 = block.shared.load(offset);
            block.shared.store(offset, next(before));
            before
        })
    }
}
