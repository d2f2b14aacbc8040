//! The end of a network: one row per node for a person, one object for a program.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use wire::{Role, StateRoot, Uid};

use super::nodes::{NodeProcess, Nodes};
use super::standings::{self, StandingRow};
use crate::failure::Failure;
use crate::train::human_bytes;

/// The contract of `localnet --json`: other tools rely on these keys.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether all nodes hold the same state, and held the same one after every window that two of
    /// them recorded.
    agree: bool,
    windows: u64,
    nodes: Vec<Row>,
    /// Where the miners stand, by the first validator that judged.
    standings: Vec<StandingRow>,
    /// Nodes that failed, by name.
    #[serde(skip)]
    failed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    uid: Option<Uid>,
    role: Role,
    /// Windows recorded.
    windows: u64,
    state_root: Option<StateRoot>,
    /// The first window recorded, counted from 1.
    joined_at: Option<u64>,
    /// Own contributions that counted; of a validator, those in the manifests it followed.
    accepted: u64,
    /// Own contributions that did not; of a validator, those of all miners.
    rejected: Vec<RejectedRow>,
    bytes_up: u64,
    bytes_down: u64,
    compute_share: f64,
    /// Of a miner: neither training nor network nor waiting.
    overhead_share: f64,
    tokens_per_s: f64,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    loss_last: Option<f64>,
    /// Whether its process ran to the end of the network.
    #[serde(skip)]
    whole: bool,
}

#[derive(Debug, Serialize)]
struct RejectedRow {
    /// Counted from 1.
    window: u64,
    uid: Uid,
    /// The rejection's code.
    reason: &'static str,
    /// Its sentence.
    detail: String,
}

impl Report {
    /// What the nodes' records say.
    pub(super) fn new(nodes: &Nodes, windows: u64, standings: Vec<StandingRow>) -> Self {
        let rows: Vec<_> = nodes.all.iter().map(Row::new).collect();
        let failed =
            nodes.all.iter().filter(|node| node.ended.is_some_and(|status| !status.success()));
        let failed = failed.map(|node| format!("{}: {}", node.name(), node.said)).collect();
        Self { agree: agree(nodes, &rows, windows), windows, nodes: rows, standings, failed }
    }

    /// The object for a program.
    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }

    /// The table for a person.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let head = ["node", "uid", "windows", "joined", "loss", "counted", "rejected"];
        let _ = writeln!(
            text,
            "{:<13} {:>4} {:>8} {:>7} {:>7} {:>8} {:>9} {:>9} {:>9} {:>8} {:>9}  state root",
            head[0],
            head[1],
            head[2],
            head[3],
            head[4],
            head[5],
            head[6],
            "up",
            "down",
            "compute",
            "overhead"
        );
        for row in &self.nodes {
            let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_string());
            let _ = writeln!(
                text,
                "{:<13} {:>4} {:>8} {:>7} {:>7} {:>8} {:>9} {:>9} {:>9} {:>6.1} % {:>7.2} %  {}",
                row.name,
                or_dash(row.uid.map(|uid| uid.to_string())),
                row.windows,
                or_dash(row.joined_at.map(|window| window.to_string())),
                or_dash(row.loss_last.map(|loss| format!("{loss:.3}"))),
                row.accepted,
                row.rejected.len(),
                human_bytes(row.bytes_up),
                human_bytes(row.bytes_down),
                100.0 * row.compute_share,
                100.0 * row.overhead_share,
                or_dash(row.state_root.map(|root| root.to_string()[..12].to_string())),
            );
        }
        if !self.standings.is_empty() {
            text += "\n";
            text += &standings::table(&self.standings);
            text += "\n";
        }
        let verdict = match self.agree {
            true => "All nodes hold the same parameters, bit for bit.",
            false => "The nodes do NOT agree.",
        };
        text + verdict
    }

    /// Success only if all nodes agree and none failed.
    pub(super) fn verdict(&self, dir: &Path) -> Result<(), Failure> {
        if let Some(first) = self.failed.first() {
            let log = dir.display();
            return Err(Failure::ours(format!("a node failed: {first}; see the logs in {log}")));
        }
        if self.agree {
            return Ok(());
        }
        let dir = dir.display();
        Err(Failure::ours(format!("the nodes' states differ; compare windows.jsonl in {dir}")))
    }
}

impl Row {
    fn new(node: &NodeProcess) -> Self {
        let records = || node.records.values();
        let counted = |record: &&wire::WindowRecord| record.accepted.contains(&record.uid);
        let validator = node.role == Role::Validator;
        let rejected = records().flat_map(|record| {
            let own = record.rejected.iter().filter(move |r| validator || r.uid == record.uid);
            own.map(|r| RejectedRow {
                window: record.window.0 + 1,
                uid: r.uid,
                reason: r.reason.code(),
                detail: r.reason.to_string(),
            })
        });
        let total_s: f64 = records().map(|record| record.phases.total_s()).sum();
        let compute_s: f64 = records().map(|record| record.phases.compute_s()).sum();
        let overhead_s: f64 = records().map(|record| record.phases.overhead_s()).sum();
        let tokens: u64 = records().map(|record| record.tokens).sum();
        Self {
            uid: node.uid,
            role: node.role,
            windows: node.records.len() as u64,
            state_root: records().next_back().map(|record| record.root),
            joined_at: node.records.keys().next().map(|window| window + 1),
            accepted: match validator {
                true => records().map(|record| record.accepted.len() as u64).sum(),
                false => records().filter(counted).count() as u64,
            },
            rejected: rejected.collect(),
            bytes_up: records().map(|record| record.up_bytes).sum(),
            bytes_down: records().map(|record| record.down_bytes).sum(),
            compute_share: compute_s / total_s.max(1e-9),
            overhead_share: overhead_s / total_s.max(1e-9),
            tokens_per_s: tokens as f64 / total_s.max(1e-9),
            name: node.name(),
            loss_last: records().filter_map(|record| record.loss_last).next_back(),
            whole: node.ended.is_some_and(|status| status.success()),
        }
    }
}

/// Whether nobody ever recorded another state than the others, and all that ran to the end hold
/// the state of the last window.
fn agree(nodes: &Nodes, rows: &[Row], windows: u64) -> bool {
    let same = (0..windows).all(|window| {
        let mut roots = nodes.all.iter().filter_map(|node| Some(node.records.get(&window)?.root));
        let first = roots.next();
        roots.all(|root| Some(root) == first)
    });
    let mut ends = rows.iter().filter(|row| row.whole).map(|row| row.state_root);
    let first = ends.next().flatten();
    same && first.is_some() && ends.all(|root| root == first)
}
