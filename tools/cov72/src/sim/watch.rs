//! Who listens to one simulated node, and compares what it reports with what all others did.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::{StateRoot, Uid, WindowRecord};

use super::history::History;
use super::liar::Lie;
use crate::node::Voice;

/// What a liar may get for what did not arrive in time, or for having failed to deliver too often
/// before, and an honest peer too.
const ARRIVAL: [&str; 5] = ["missing", "late", "unreachable", "duplicate", "barred"];
/// What becomes of the honest, too: there may be more peers than places, and the marks of a model
/// that learns nothing are noise. Whether marks are right is the gallery's question.
const MERIT: [&str; 2] = ["outranked", "excluded"];

/// Seats that lie, each with how, and with the seat that it takes its objects from; all others are
/// honest.
pub(super) type Liars = Mutex<Vec<(Uid, Lie, Option<Uid>)>>;

/// The ear at one node.
pub(super) struct Watcher {
    pub(super) history: History,
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) honest: bool,
    /// Whether objects may be damaged on their way, so that honest ones are refused too.
    pub(super) faulty: bool,
    pub(super) liars: Arc<Liars>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The window reported last, and the root after it.
    last: Option<(u64, StateRoot)>,
    /// Tensor in which a bit was flipped and not mended yet.
    flipped: Option<String>,
    /// Whether a step was taken since then, by which it should have been noticed.
    stepped: bool,
}

impl Watcher {
    /// Listens to a node that just starts.
    pub(super) fn new(
        history: History,
        (index, name): (usize, String),
        honest: bool,
        faulty: bool,
        liars: Arc<Liars>,
    ) -> Self {
        Self { history, index, name, honest, faulty, liars, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bit of `tensor` was flipped.
    pub(super) fn flipped(&self, tensor: &str) {
        self.history.add(&self.name, &format!("a bit of {tensor} flips"));
        let mut state = self.state();
        (state.flipped, state.stepped) = (Some(tensor.to_string()), false);
    }

    /// The tensor in which a bit was flipped, if nobody noticed yet and somebody could.
    pub(super) fn unmended(&self) -> Option<String> {
        let state = self.state();
        state.flipped.clone().filter(|_| state.stepped)
    }

    /// Takes the node's record of a window.
    pub(super) fn record(&self, record: WindowRecord) {
        let window = record.window.0;
        let uids: Vec<_> = record.accepted.iter().map(ToString::to_string).collect();
        let rejected: Vec<_> =
            record.rejected.iter().map(|r| format!("{}:{}", r.uid, r.reason.code())).collect();
        self.history.add(
            &self.name,
            &format!(
                "window {} root {} accepted [{}] rejected [{}]",
                window + 1,
                &record.root.to_string()[..16],
                uids.join(" "),
                rejected.join(" ")
            ),
        );
        if self.honest {
            self.check(&record);
        }
        let mut events = self.history.events();
        events.front = events.front.max(window + 1);
        events.records.push((self.index, record));
    }

    fn check(&self, record: &WindowRecord) {
        let window = record.window.0;
        let violation = |what: &str| self.history.violation(&self.name, what);
        let known = {
            let mut events = self.history.events();
            let entry = events.roots.entry(window);
            entry.or_insert_with(|| (record.root, self.name.clone())).clone()
        };
        if known.0 != record.root {
            let (root, by) = known;
            violation(&format!("window {}: root {}, {by} has {root}", window + 1, record.root));
        }
        if record.accepted.is_empty() && record.root != record.parent_root {
            violation(&format!("window {}: nothing counts, and the root changed", window + 1));
        }
        let before = self.state().last.replace((window, record.root));
        match before {
            Some((last, _)) if last >= window => {
                violation(&format!("window {} comes after window {}", window + 1, last + 1));
            }
            Some((last, root)) if last + 1 == window && root != record.parent_root => {
                let from = record.parent_root;
                violation(&format!("window {} begins with {from}, not {root}", window + 1));
            }
            _ => {}
        }
        self.check_verdicts(record);
    }

    fn check_verdicts(&self, record: &WindowRecord) {
        let window = record.window.0 + 1;
        let liars = self.liars.lock().unwrap_or_else(PoisonError::into_inner);
        let lie = |uid| liars.iter().find(|(of, ..)| *of == uid).map(|(_, lie, _)| *lie);
        for (uid, lie, victim) in liars.iter().filter(|(uid, ..)| record.accepted.contains(uid)) {
            // Whose victim did not arrive is not known for a thief.
            let is_known = *lie != Lie::Resigned
                || victim.is_some_and(|victim| record.accepted.contains(&victim));
            if is_known {
                let what = format!("window {window}: the {lie:?} of uid {uid} counts");
                self.history.violation(&self.name, &what);
            }
        }
        for rejected in &record.rejected {
            let (uid, code) = (rejected.uid, rejected.reason.code());
            let expected = match lie(uid) {
                _ if ARRIVAL.contains(&code) || self.faulty => true,
                None if MERIT.contains(&code) => true,
                Some(lie) => lie.codes().contains(&code),
                None => false,
            };
            if !expected {
                let who = lie(uid).map_or("honest".to_string(), |lie| format!("{lie:?}"));
                self.history.violation(
                    &self.name,
                    &format!("window {window}: uid {uid} ({who}) is refused as {code}"),
                );
            }
        }
    }
}

impl Voice for Watcher {
    fn say(&self, text: &str) {
        self.history.add(&self.name, text);
        let mut state = self.state();
        // Where nobody delivers the state before, a node goes to a later one, and never learns
        // which of its tensors was wrong.
        let is_noticed = |tensor: &String| {
            (text.contains("taking them anew") && text.contains(tensor.as_str()))
                || text.contains("led this node to another state")
        };
        if state.flipped.as_ref().is_some_and(is_noticed) {
            state.flipped = None;
        }
    }

    fn doing(&self, _: &str) {}

    fn evidence(&self, first: &[u8], second: &[u8]) {
        let hashes = [first, second].map(|object| blake3::hash(object).to_hex());
        self.history.add(&self.name, &format!("evidence {} {}", hashes[0], hashes[1]));
    }
}
