//! The lane that runs on this OS thread. Kernels call free functions as on the device; those find
//! their block here. A lane never changes its OS thread.

use std::cell::Cell;
use std::ptr::null_mut;

use super::block::Block;
use super::fault::Caller;

thread_local! {
    static RUNNING: Cell<Here> = const { Cell::new(Here { block: null_mut(), thread: 0 }) };
}

/// A lane and its block.
#[derive(Clone, Copy)]
pub(super) struct Here {
    block: *mut Block,
    /// Thread of the block.
    pub(super) thread: u32,
}

/// The running lane.
///
/// # Panics
/// Outside of a kernel.
#[inline(always)]
pub(super) fn here() -> Here {
    let here = RUNNING.get();
    assert!(!here.block.is_null(), "a word of the vocabulary was called outside of a kernel");
    here
}

impl Here {
    /// Makes `thread` of `block` the running lane of this OS thread; the block must stay in place
    /// until [`Here::leave`].
    #[inline(always)]
    pub(super) fn enter(block: *mut Block, thread: u32) {
        RUNNING.set(Here { block, thread });
    }

    /// No lane runs any more.
    pub(super) fn leave() {
        RUNNING.set(Here { block: null_mut(), thread: 0 });
    }

    /// This lane's warp.
    #[inline(always)]
    pub(super) fn warp(self) -> usize {
        self.thread as usize / 32
    }

    /// This lane's place in its warp.
    #[inline(always)]
    pub(super) fn lane(self) -> usize {
        self.thread as usize % 32
    }

    /// This lane's bit in sets of lanes.
    #[inline(always)]
    pub(super) fn bit(self) -> u32 {
        1 << (self.thread % 32)
    }

    /// Looks at, or changes, the block. `look` neither suspends nor calls this again.
    #[inline(always)]
    pub(super) fn with<R>(self, look: impl FnOnce(&mut Block) -> R) -> R {
        // SAFETY: the scheduler entered a block that outlives its lanes, all lanes of a block run
        // on this OS thread, and no reference to it lives across a suspension or a nested call.
        look(unsafe { &mut *self.block })
    }

    /// Lets others run until this lane is runnable again. The lane's bit was cleared before.
    #[inline(always)]
    pub(super) fn suspend(self, what: &'static str, caller: Caller) {
        let yielder = self.with(|block| {
            let lane = &mut block.lanes[self.thread as usize];
            lane.wait = Some((what, caller));
            lane.yielder
        });
        yielder.suspend();
    }
}
