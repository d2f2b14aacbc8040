//! The record that a node leaves of each window: one line of JSON, the source of all that is shown.
//!
//! Keys name their units. A terminal, a web page and a post-mortem read the same lines; nothing is
//! displayed that is not recorded here.

use serde::{Deserialize, Serialize};

use crate::protocol::WINDOW_RECORD_VERSION;
use crate::{Rejection, RunId, StateRoot, Uid, Window};

/// What a node does in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Trains and contributes.
    Miner,
    /// Judges contributions and publishes manifests.
    Validator,
}

/// Where the time of a window went, in seconds. Phases that overlap others count in full, so the
/// sum may exceed the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// Inner steps.
    pub train_s: f64,
    /// From pseudo-gradient to codes.
    pub compress_s: f64,
    /// Upload of the own contribution.
    pub put_s: f64,
    /// Download of the round's contributions, each checked as it arrives.
    pub gather_s: f64,
    /// From bytes to checked values, where that is not done while they arrive.
    pub decode_s: f64,
    /// Aggregation and outer step, from the bytes of checked contributions.
    pub outer_s: f64,
    /// State root.
    pub root_s: f64,
    /// Checkpoint, as far as training waited for it.
    pub checkpoint_s: f64,
    /// Waiting for the chain or for others.
    pub wait_s: f64,
    /// What none of the above covers; absent in records of version 1.
    #[serde(default)]
    pub other_s: f64,
}

impl Phases {
    /// Seconds in which the model advanced: inner steps and outer step.
    pub fn compute_s(&self) -> f64 {
        self.train_s + self.outer_s
    }

    /// Seconds of all phases together.
    pub fn total_s(&self) -> f64 {
        let exchange_s = self.compress_s + self.put_s + self.gather_s + self.decode_s;
        let own_s = self.root_s + self.checkpoint_s + self.other_s;
        self.compute_s() + exchange_s + own_s + self.wait_s
    }

    /// Seconds that were neither training nor spent on storage or on others: what taking part in a
    /// network costs a node of its own time.
    pub fn overhead_s(&self) -> f64 {
        self.total_s() - self.train_s - self.put_s - self.gather_s - self.wait_s
    }
}

/// A contribution that did not count, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// Whose it was.
    pub uid: Uid,
    /// Why.
    pub reason: Rejection,
}

/// One window of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowRecord {
    /// Version of this record, [`WINDOW_RECORD_VERSION`].
    pub version: u16,
    /// The run.
    pub run: RunId,
    /// The window.
    pub window: Window,
    /// The node.
    pub uid: Uid,
    /// What it does in the run.
    pub role: Role,
    /// Time by phase.
    pub phases: Phases,
    /// Inner steps taken in this window.
    pub inner_steps: u64,
    /// Tokens trained on in this window.
    pub tokens: u64,
    /// Mean loss of the first inner step, in nats per token; none without inner steps.
    pub loss_first: Option<f64>,
    /// Mean loss of the last inner step.
    pub loss_last: Option<f64>,
    /// Bytes uploaded.
    pub up_bytes: u64,
    /// Bytes downloaded.
    pub down_bytes: u64,
    /// Whose contributions the outer step applied, in uid order.
    pub accepted: Vec<Uid>,
    /// Whose did not count, and why.
    pub rejected: Vec<Rejected>,
    /// State root before the outer step.
    pub parent_root: StateRoot,
    /// State root after it.
    pub root: StateRoot,
}

impl WindowRecord {
    /// A record in which nothing has happened yet.
    pub fn new(run: RunId, window: Window, uid: Uid, role: Role, parent_root: StateRoot) -> Self {
        Self {
            version: WINDOW_RECORD_VERSION,
            run,
            window,
            uid,
            role,
            phases: Phases::default(),
            inner_steps: 0,
            tokens: 0,
            loss_first: None,
            loss_last: None,
            up_bytes: 0,
            down_bytes: 0,
            accepted: Vec::new(),
            rejected: Vec::new(),
            parent_root,
            root: parent_root,
        }
    }

    /// The record as one line, with its line feed.
    pub fn to_line(&self) -> String {
        let line = serde_json::to_string(self).expect("a record has string keys only");
        line + "\n"
    }

    /// Reads one line back.
    ///
    /// # Errors
    /// The line is not a record; the message says which key.
    pub fn from_line(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> WindowRecord {
        let (run, root) = (RunId([1; 32]), StateRoot([2; 32]));
        let mut record = WindowRecord::new(run, Window(7), Uid(3), Role::Miner, root);
        record.phases.train_s = 1.25;
        record.phases.put_s = 0.5;
        record.phases.wait_s = 0.25;
        record.accepted = vec![Uid(3)];
        let reason = Rejection::Late { late_ms: 120 };
        record.rejected = vec![Rejected { uid: Uid(4), reason }];
        record.loss_first = Some(5.545_177_444_479_562);
        record
    }

    #[test]
    fn a_record_is_one_line_that_reads_back() {
        let line = record().to_line();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(WindowRecord::from_line(&line).unwrap(), record());
    }

    #[test]
    fn reasons_are_recorded_by_code_with_their_value() {
        let line = record().to_line();
        assert!(line.contains(r#""reason":{"code":"late","late_ms":120}"#), "{line}");
    }

    #[test]
    fn compute_is_a_share_of_the_total() {
        let phases = record().phases;
        assert_eq!(phases.compute_s(), 1.25);
        assert_eq!(phases.total_s(), 2.0);
        assert_eq!(phases.overhead_s(), 0.0);
        let phases = Phases { outer_s: 0.25, other_s: 0.5, ..phases };
        assert_eq!((phases.total_s(), phases.overhead_s()), (2.75, 0.75));
    }
}
