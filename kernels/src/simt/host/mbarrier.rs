//! mbarrier: a barrier in shared memory that counts arrivals and bytes. A phase ends when both
//! counts are met; a wait names the parity of the phase that it waits for.

use std::panic::Location;

use super::block::Block;
use super::clock::{Clock, MBARRIERS, MBARRIERS_MAX, Stamp};
use super::fault::{Caller, FaultKind, fail};
use super::here::here;

/// An initialised mbarrier.
pub(super) struct MbarrierState {
    pub(super) offset: u32,
    arrivals: u32,
    pub(super) pending: u32,
    /// Bytes expected and not delivered; below zero while a copy is early.
    pub(super) bytes: i64,
    /// Phases that have ended.
    phases: u32,
    /// What those who arrived know.
    known: Clock,
    /// What those knew who ended the last phase.
    published: Clock,
    waiting: Vec<u32>,
    initialised: Option<Stamp>,
}

impl MbarrierState {
    /// The phase that is under way, from one.
    pub(super) fn phase(&self) -> u32 {
        self.phases + 1
    }
}

/// A barrier of 8 bytes in shared memory. One thread initialises it, fences, and a barrier of the
/// block lets the others see it.
#[derive(Clone, Copy)]
pub struct Mbarrier(u32);

impl Mbarrier {
    /// The barrier `offset_bytes` into the block's shared memory.
    #[inline(always)]
    #[track_caller]
    pub fn at(offset_bytes: u32) -> Self {
        check_place(offset_bytes, Location::caller());
        Self(offset_bytes)
    }

    /// The `i`-th barrier from this one, each 8 bytes after the other.
    #[inline(always)]
    #[track_caller]
    pub fn nth(self, i: u32) -> Self {
        check_place(self.0 + 8 * i, Location::caller());
        Self(self.0 + 8 * i)
    }

    /// Each phase takes `arrivals` arrivals. Follow with [`fence_mbarrier_init`].
    #[track_caller]
    pub fn init(self, arrivals: u32) {
        let (here, caller) = (here(), Location::caller());
        here.with(|block| {
            let initialised = block.order.as_mut().map(|order| {
                order.set_mbarrier(self.0, here.thread);
                order.now(here.thread)
            });
            if block.mbarriers.iter().any(|known| known.offset == self.0) {
                let what = format!("mbarrier at byte {} is initialised twice", self.0);
                fail(FaultKind::Protocol, caller, what);
            }
            if block.mbarriers.len() == MBARRIERS_MAX || arrivals == 0 {
                let what = format!("{arrivals} arrivals, or more than {MBARRIERS_MAX} mbarriers");
                fail(FaultKind::Protocol, caller, what);
            }
            block.mbarriers.push(MbarrierState {
                offset: self.0,
                arrivals,
                pending: arrivals,
                bytes: 0,
                phases: 0,
                known: Clock::ZERO,
                published: Clock::ZERO,
                waiting: Vec::new(),
                initialised,
            });
        });
    }

    /// Counts this thread; what it did before is ordered before whoever waits for the phase.
    #[track_caller]
    pub fn arrive(self) {
        self.count(0, Location::caller());
    }

    /// [`Mbarrier::arrive`], and the phase waits for `bytes` more bytes of copies.
    #[track_caller]
    pub fn arrive_expect_tx(self, bytes: u32) {
        self.count(bytes, Location::caller());
    }

    fn count(self, bytes: u32, caller: Caller) {
        let here = here();
        here.with(|block| {
            if block.is_left_out(caller) {
                return;
            }
            let index = self.find(block, caller);
            let state = &mut block.mbarriers[index];
            if state.pending == 0 {
                let what = format!("mbarrier at byte {}: one arrival too many", self.0);
                fail(FaultKind::Protocol, caller, what);
            }
            state.pending -= 1;
            state.bytes += i64::from(bytes);
            if let Some(order) = &mut block.order {
                order.publish_lane(here.thread, &mut state.known);
            }
            end_phase(block, index);
        });
    }

    /// Waits until the phase of this parity has ended: 0 for the first, 1 for the second, and so
    /// on. The parity before the first counts as ended.
    #[track_caller]
    pub fn wait(self, parity: u32) {
        let (here, caller) = (here(), Location::caller());
        let has_ended = here.with(|block| {
            if block.is_left_out(caller) {
                return true;
            }
            let index = self.find(block, caller);
            let state = &mut block.mbarriers[index];
            if state.phases & 1 == parity & 1 {
                state.waiting.push(here.thread);
                block.put_to_sleep(here.thread);
                return false;
            }
            if let Some(order) = &mut block.order {
                order.acquire_lane(here.thread, &state.published);
            }
            true
        });
        if !has_ended {
            here.suspend("Mbarrier::wait", caller);
        }
    }

    /// Index of the barrier among those of the block, which it also has among the clocks.
    pub(super) fn find(self, block: &Block, caller: Caller) -> usize {
        let at = block.mbarriers.iter().position(|state| state.offset == self.0);
        let Some(index) = at else {
            let what = format!("mbarrier at byte {} before its init", self.0);
            fail(FaultKind::Protocol, caller, what);
        };
        let initialised = block.mbarriers[index].initialised;
        if let (Some(order), Some(event)) = (&block.order, initialised)
            && !order.has_seen(here().thread, event)
        {
            let (at, by) = (self.0, event.thread());
            let what = format!("mbarrier at byte {at} races with its init by thread {by}");
            fail(FaultKind::Race, caller, what);
        }
        index
    }

    /// As [`Mbarrier::find`], for the copy engine, which needs a fence after the init.
    pub(super) fn find_for_copy(self, block: &Block, caller: Caller) -> usize {
        let index = self.find(block, caller);
        if let Some(order) = &block.order
            && !order.is_fenced(self.0, here().thread)
        {
            let what = format!("mbarrier at byte {}: no fence_mbarrier_init before", self.0);
            fail(FaultKind::ProxyFence, caller, what);
        }
        index
    }
}

#[inline(always)]
fn check_place(offset: u32, caller: Caller) {
    let have = here().with(|block| block.shared.len());
    if !offset.is_multiple_of(8) {
        fail(FaultKind::Misaligned, caller, format!("mbarrier at byte {offset}"));
    }
    if offset + 8 > have {
        let what = format!("mbarrier at byte {offset} of {have} shared bytes");
        fail(FaultKind::OutOfBounds, caller, what);
    }
}

/// `bytes` bytes of a copy have landed.
pub(super) fn complete_bytes(block: &mut Block, index: usize, bytes: u32) {
    block.mbarriers[index].bytes -= i64::from(bytes);
    end_phase(block, index);
}

fn end_phase(block: &mut Block, index: usize) {
    let state = &mut block.mbarriers[index];
    if state.pending > 0 || state.bytes != 0 {
        return;
    }
    state.pending = state.arrivals;
    state.phases += 1;
    if block.order.is_some() {
        state.known.learn(MBARRIERS + index, state.phases);
        state.published.clone_from(&state.known);
    }
    let waiting = std::mem::take(&mut state.waiting);
    for thread in waiting {
        if let Some(order) = &mut block.order {
            order.acquire_lane(thread, &block.mbarriers[index].published);
        }
        block.wake(thread);
    }
}

/// Makes initialised mbarriers visible to the copy engine; a barrier of the block follows.
#[inline(always)]
#[track_caller]
pub fn fence_mbarrier_init() {
    super::fence_proxy_async();
}
