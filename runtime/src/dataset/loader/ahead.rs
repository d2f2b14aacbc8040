//! What lies between the reader and its takers: a ring of samples, `[ahead_max]` of `[2048]`.
//!
//! Sample `position` lies in slot `position % ahead_max` from when it is put until all takers took
//! it. The reader waits for slots, takers wait for samples, and both hear when the other ended.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::{DatasetError, LoaderOptions, LoaderReport, SAMPLE_TOKENS};

/// The samples read ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    positions: usize,
    takers: usize,
    ahead_min: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    slots: Vec<Slot>,
    /// All positions before this one were let go.
    released: usize,
    /// All positions before this one were asked of the reader.
    asked: usize,
    pace: Pace,
    last_release: Option<Instant>,
    taken: u64,
    waited: u64,
    failed: Option<Arc<DatasetError>>,
    /// Whether nobody takes any more.
    is_stopped: bool,
    /// Whether nobody reads any more.
    has_ended: bool,
}

#[derive(Debug)]
struct Slot {
    tokens: Box<[u32]>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Free, or being read into.
    Empty,
    /// Holds a sample for so many takers.
    Ready(usize),
    /// All took it, but not yet one before it.
    Spent,
}

impl Ahead {
    pub(super) fn new(positions: usize, options: LoaderOptions) -> Self {
        let (ahead_min, takers) = (options.ahead_min.max(1), options.takers.max(1));
        let ahead_max = options.ahead_max.max(ahead_min);
        let slot =
            || Slot { tokens: vec![0; SAMPLE_TOKENS].into_boxed_slice(), stage: Stage::Empty };
        let slots = (0..ahead_max.min(positions.max(1))).map(|_| slot()).collect();
        let state = State {
            slots,
            released: 0,
            asked: 0,
            pace: Pace::default(),
            last_release: None,
            taken: 0,
            waited: 0,
            failed: None,
            is_stopped: false,
            has_ended: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self { positions, takers, ahead_min, state, changed }
    }

    /// The state, also after a taker panicked: what it holds is whole between calls.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Positions to read next, at most `most`, once there is room for them; `None` at the end.
    pub(super) fn wanted(&self, most: usize) -> Option<Range<usize>> {
        let mut state = self.lock();
        loop {
            if state.is_stopped || state.asked == self.positions {
                return None;
            }
            let ahead = state.pace.ahead(self.ahead_min, state.slots.len());
            let end = (state.released + ahead).min(self.positions).min(state.asked + most);
            if state.asked < end {
                let wanted = state.asked..end;
                state.asked = end;
                return Some(wanted);
            }
            state = self.wait(state);
        }
    }

    /// Takes in a sample that was wanted.
    pub(super) fn put(&self, position: usize, tokens: &[u32]) {
        let mut state = self.lock();
        let at = position % state.slots.len();
        state.slots[at].tokens.copy_from_slice(tokens);
        state.slots[at].stage = Stage::Ready(self.takers);
        self.changed.notify_all();
    }

    /// Notes how long a round of reads took.
    pub(super) fn fetched(&self, took: Duration) {
        self.lock().pace.round(took);
    }

    /// Ends with an error.
    pub(super) fn fail(&self, error: DatasetError) {
        self.lock().failed = Some(Arc::new(error));
        self.changed.notify_all();
    }

    /// Tells the reader that nobody takes any more.
    pub(super) fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn take(
        &self,
        position: usize,
        into: &mut [u32],
    ) -> Result<bool, Arc<DatasetError>> {
        assert!(position < self.positions, "position {position} of {}", self.positions);
        let mut state = self.lock();
        let mut has_waited = false;
        loop {
            if position < state.released {
                return Ok(false);
            }
            let at = position % state.slots.len();
            // Positions that share a slot are never asked of the reader at once.
            let stage = if position < state.asked { state.slots[at].stage } else { Stage::Empty };
            match stage {
                Stage::Ready(takers) => {
                    into.copy_from_slice(&state.slots[at].tokens);
                    let left = takers - 1;
                    state.slots[at].stage =
                        if left > 0 { Stage::Ready(left) } else { Stage::Spent };
                    state.taken += 1;
                    state.waited += u64::from(has_waited);
                    self.release(&mut state);
                    return Ok(true);
                }
                Stage::Spent => return Ok(false),
                Stage::Empty => {}
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            // Without a reader the caller reads for itself.
            if state.has_ended {
                return Ok(false);
            }
            has_waited = true;
            state = self.wait(state);
        }
    }

    /// Lets go what all have taken, in order.
    fn release(&self, state: &mut State) {
        let before = state.released;
        while state.released < state.asked {
            let at = state.released % state.slots.len();
            if state.slots[at].stage != Stage::Spent {
                break;
            }
            state.slots[at].stage = Stage::Empty;
            state.released += 1;
        }
        if state.released == before {
            return;
        }
        let now = Instant::now();
        if let Some(last) = state.last_release.replace(now) {
            let count = (state.released - before) as u32;
            state.pace.interval(now.duration_since(last) / count);
        }
        self.changed.notify_all();
    }

    pub(super) fn report(&self) -> LoaderReport {
        let state = self.lock();
        let ahead = state.pace.ahead(self.ahead_min, state.slots.len());
        LoaderReport { taken: state.taken, waited: state.waited, ahead }
    }
}

/// Tells takers that the reader ended, be it by a panic.
pub(super) struct Ending<'a>(pub(super) &'a Ahead);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.lock().has_ended = true;
        self.0.changed.notify_all();
    }
}
