//! Where ranks of one process wait for one another. A rank that is gone closes it for good: the
//! others panic instead of waiting for ever.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A gate that opens when all have come.
#[derive(Debug)]
pub(super) struct Gate {
    ranks: usize,
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    generation: u64,
    closed: bool,
}

impl Gate {
    pub(super) fn new(ranks: usize) -> Self {
        Self { ranks, state: Mutex::default(), opened: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once every rank has come.
    ///
    /// # Panics
    /// One of them is gone.
    pub(super) fn pass(&self) {
        let mut state = self.state();
        assert!(!state.closed, "another rank of the group is gone");
        let generation = state.generation;
        state.waiting += 1;
        if state.waiting == self.ranks {
            state.waiting = 0;
            state.generation += 1;
            self.opened.notify_all();
            return;
        }
        while state.generation == generation {
            // A rank may leave as soon as the last exchange is over, before the others wake.
            assert!(!state.closed, "another rank of the group is gone");
            state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A rank is gone.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.opened.notify_all();
    }
}
