//! The end of a simulation, for a person and for a program.

use std::fmt::Write;

use serde::Serialize;
use wire::{StateRoot, Window};

use super::history::Events;
use super::stage::Stage;
use crate::attack::Kind;
use crate::failure::Failure;
use crate::localnet::standings::{self, StandingRow};
use crate::validate::Archive;

/// The contract of `sim --json`: other tools rely on these keys.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Whether nothing was violated.
    pub(super) agree: bool,
    pub(super) seed: u64,
    pub(super) windows: u64,
    /// Virtual time that passed.
    pub(super) virtual_s: f64,
    pub(super) history_blake3: String,
    pub(super) violations: Vec<String>,
    /// The command that gives the same history again.
    pub(super) replay: String,
    pub(super) nodes: Vec<NodeReport>,
    /// Where the miners stand, by the first validator that judged anything.
    pub(super) standings: Vec<StandingRow>,
}

/// One node.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NodeReport {
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) honest: bool,
    /// How often it was started.
    pub(super) lives: u32,
    /// Windows that it reported.
    pub(super) windows: u64,
    /// The first of them.
    pub(super) joined_at: Option<u64>,
    /// The newest root that it reported.
    pub(super) state_root: Option<StateRoot>,
}

impl Report {
    /// What `events` say of the nodes of `stage`.
    pub(super) fn new(
        stage: &Stage,
        events: &Events,
        crooks: &[usize],
        lives: &[u32],
        virtual_s: f64,
        replay: String,
    ) -> Result<Self, Failure> {
        let nodes = (0..lives.len()).map(|index| {
            let mut records = events.records.iter().filter(|(of, _)| *of == index);
            let (first, last) = (records.clone().next(), records.clone().next_back());
            NodeReport {
                name: stage.name(index),
                role: if stage.judges(index) { "validator" } else { "miner" },
                honest: !crooks.contains(&index),
                lives: lives[index],
                windows: records.by_ref().count() as u64,
                joined_at: first.map(|(_, record)| record.window.0),
                state_root: last.map(|(_, record)| record.root),
            }
        });
        Ok(Self {
            agree: events.violations.is_empty(),
            seed: stage.seed,
            windows: stage.scale.windows,
            virtual_s,
            history_blake3: events.hash(),
            violations: events.violations.clone(),
            replay,
            nodes: nodes.collect(),
            standings: standings_of(stage)?,
        })
    }

    /// The table and the verdict, for a person.
    pub(super) fn text(&self) -> String {
        let mut text = String::from("node  role       lives  windows  joined at  state root\n");
        for node in &self.nodes {
            let joined = node.joined_at.map_or("-".to_string(), |window| (window + 1).to_string());
            let root = node.state_root.map_or("-".to_string(), |root| root.to_string());
            let _ = writeln!(
                text,
                "{:<5} {:<10} {:>5}  {:>7}  {:>9}  {}{}",
                node.name,
                node.role,
                node.lives,
                node.windows,
                joined,
                root.get(..16).unwrap_or("-"),
                if node.honest { "" } else { "  (lies)" },
            );
        }
        text += &standings::table(&self.standings);
        text + &self.verdict()
    }

    /// The verdict alone; with what to type if there is something to look into.
    pub(super) fn verdict(&self) -> String {
        let Self { seed, windows, virtual_s, history_blake3, .. } = self;
        let mut text = format!(
            "seed {seed}: {} windows in {virtual_s:.0} virtual s, history {history_blake3}\n",
            windows
        );
        for violation in &self.violations {
            let _ = writeln!(text, "seed {seed}: {violation}");
        }
        if !self.agree {
            let _ = writeln!(text, "replay: {}", self.replay);
        }
        text
    }
}

fn standings_of(stage: &Stage) -> Result<Vec<StandingRow>, Failure> {
    for archive in &stage.archives {
        let mut rows = standings::standings(&archive.judgements(Window(0))?)?;
        if !rows.is_empty() {
            for row in &mut rows {
                row.attack = stage.attack_of(row.uid).map(Kind::name);
            }
            return Ok(rows);
        }
    }
    Ok(Vec::new())
}
