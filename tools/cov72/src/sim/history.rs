//! What happened in a simulation, one line per event, and its hash: the same for the same seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::{StateRoot, Window, WindowRecord};

use super::clock::VirtualClock;

/// The history of one simulation. Clones share it.
#[derive(Clone)]
pub(super) struct History {
    clock: VirtualClock,
    events: Arc<Mutex<Events>>,
}

/// What is kept.
#[derive(Default)]
pub(super) struct Events {
    hasher: blake3::Hasher,
    /// All lines.
    pub(super) lines: Vec<String>,
    /// What must not have happened.
    pub(super) violations: Vec<String>,
    /// Records of all nodes, in the order in which they were made.
    pub(super) records: Vec<(usize, WindowRecord)>,
    /// The root that every window came to, and who said so first.
    pub(super) roots: BTreeMap<u64, (StateRoot, String)>,
    /// Windows that some node saw the end of.
    pub(super) front: u64,
}

impl History {
    /// Nothing happened yet.
    pub(super) fn new(clock: VirtualClock) -> Self {
        Self { clock, events: Arc::default() }
    }

    /// Something happened to `who`.
    pub(super) fn add(&self, who: &str, what: &str) {
        let line = format!("{:>9} {who:<4} {what}\n", self.clock.since_ms());
        let mut events = self.events();
        events.hasher.update(line.as_bytes());
        events.lines.push(line);
    }

    /// Something happened that must not.
    pub(super) fn violation(&self, who: &str, what: &str) {
        self.add(who, &format!("VIOLATION: {what}"));
        let at_ms = self.clock.since_ms();
        self.events().violations.push(format!("at {at_ms} ms, {who}: {what}"));
    }

    /// What is kept, to read or to change.
    pub(super) fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest window that node `index` recorded, in this life or an earlier one.
    pub(super) fn last_recorded(&self, index: usize) -> Option<Window> {
        let events = self.events();
        let records = events.records.iter().filter(|(of, _)| *of == index);
        records.map(|(_, record)| record.window).max()
    }

    /// Windows that some node saw the end of.
    pub(super) fn front(&self) -> u64 {
        self.events().front
    }
}

impl Events {
    /// BLAKE3 of all lines.
    pub(super) fn hash(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}
