//! What carries a lane: a coroutine with a stack of its own, switched by a few instructions.

use std::num::NonZero;
use std::ptr::null;

use corosensei::stack::{DefaultStack, Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult};

/// Tops of stacks are shifted by this many bytes from lane to lane: on page boundaries, the hot
/// frames of all lanes would share one set of the cache.
const COLOUR_BYTES: usize = 448;
const PAGE_BYTES: usize = 4096;

/// The memory of one lane's stack, with a guard page below.
pub(super) struct LaneStack {
    memory: DefaultStack,
    shift: usize,
}

impl LaneStack {
    pub(super) fn new(bytes: usize) -> Self {
        let memory = DefaultStack::new(bytes).expect("memory for the stack of a lane");
        Self { memory, shift: 0 }
    }
}

// SAFETY: base and limit lie within one mapping that lives as long as `self`; the shift is below a
// page, keeps the alignment of 16, and stacks are many pages long.
unsafe impl Stack for LaneStack {
    fn base(&self) -> StackPointer {
        NonZero::new(self.memory.base().get() - self.shift).expect("a stack is not at zero")
    }

    fn limit(&self) -> StackPointer {
        self.memory.limit()
    }
}

/// The way back from a lane to the scheduler.
#[derive(Clone, Copy)]
pub(super) struct Yielder(*const corosensei::Yielder<(), ()>);

impl Yielder {
    pub(super) const NONE: Self = Self(null());

    /// Returns to the scheduler until it resumes the lane.
    #[inline(always)]
    pub(super) fn suspend(self) {
        // SAFETY: the coroutine that this belongs to is running: only it calls this.
        unsafe { (*self.0).suspend(()) }
    }
}

/// A lane on its stack.
pub(super) struct Carrier(Coroutine<(), (), (), LaneStack>);

impl Carrier {
    /// A lane that runs `main` when first resumed.
    ///
    /// # Safety
    /// What `main` borrows lives until the carrier is finished, and `main` does not unwind.
    pub(super) unsafe fn new(
        mut stack: LaneStack,
        lane: usize,
        main: impl FnOnce(Yielder),
    ) -> Self {
        stack.shift = lane * COLOUR_BYTES % PAGE_BYTES / 64 * 64;
        // SAFETY: the caller answers for the borrows of `main`.
        Self(unsafe {
            Coroutine::with_stack_unchecked(
                stack,
                move |yielder: &corosensei::Yielder<(), ()>, ()| main(Yielder(yielder)),
            )
        })
    }

    /// Runs the lane until it suspends (false) or ends (true).
    #[inline(always)]
    pub(super) fn resume(&mut self) -> bool {
        matches!(self.0.resume(()), CoroutineResult::Return(()))
    }

    /// The lane has returned.
    pub(super) fn has_ended(&self) -> bool {
        self.0.done()
    }

    /// Takes the stack back, whether the lane has ended or not.
    pub(super) fn finish(mut self) -> LaneStack {
        if !self.0.done() {
            // SAFETY: kernels own nothing that has a destructor: the vocabulary has no such type.
            unsafe { self.0.force_reset() };
        }
        self.0.into_stack()
    }
}
