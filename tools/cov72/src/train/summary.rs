//! The end of a run, for a person and for a program. Every number comes from the window records.

use std::fmt::Write;
use std::path::PathBuf;

use model::{MemoryPlan, file_memory, peak_memory};
use serde::Serialize;
use wire::{Objective, Phases, StateRoot};

use super::journal::Journal;
use super::progress::{human, human_bytes};

/// The contract of `train --json`: other tools rely on these keys.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) preset: String,
    pub(super) params: usize,
    pub(super) objective: Objective,
    pub(super) windows: u64,
    pub(super) inner_steps: u64,
    /// Tokens that count towards the loss: of answers, where only these do.
    pub(super) tokens: u64,
    /// Nats per token in the first and in the last inner step of the run.
    pub(super) loss_first: f64,
    pub(super) loss_last: f64,
    /// Nats per token that nobody can go below, where it is known.
    pub(super) entropy: Option<f64>,
    /// Bytes of all contributions, and of the same pseudo-gradients in fp32.
    pub(super) payload_bytes: u64,
    pub(super) dense_bytes: u64,
    pub(super) compression: f64,
    pub(super) tokens_per_s: f64,
    /// Share of the windows' time in which the model advanced.
    pub(super) compute_share: f64,
    pub(super) state_root: StateRoot,
    pub(super) checkpoint: PathBuf,
}

/// What a summary needs besides the journal.
pub(super) struct Facts {
    pub(super) preset: String,
    pub(super) params: usize,
    pub(super) objective: Objective,
    pub(super) entropy: Option<f64>,
    pub(super) state_root: StateRoot,
    pub(super) checkpoint: PathBuf,
}

impl Summary {
    /// Adds the windows of `journal` up.
    pub(super) fn new(facts: Facts, journal: &Journal) -> Self {
        let sum = |value: fn(&wire::WindowRecord) -> u64| journal.windows.iter().map(value).sum();
        let windows = journal.windows.len() as u64;
        let (tokens, payload_bytes): (u64, u64) = (sum(|w| w.tokens), sum(|w| w.up_bytes));
        let dense_bytes = windows * (facts.params * size_of::<f32>()) as u64;
        let total_s: f64 = journal.windows.iter().map(|w| w.phases.total_s()).sum();
        let compute_s: f64 = journal.windows.iter().map(|w| w.phases.compute_s()).sum();
        let losses = || journal.steps.iter().flat_map(|window| window.loss_nats.iter().copied());
        Self {
            preset: facts.preset,
            params: facts.params,
            objective: facts.objective,
            windows,
            inner_steps: sum(|w| w.inner_steps),
            tokens,
            loss_first: losses().next().unwrap_or(f64::NAN),
            loss_last: losses().next_back().unwrap_or(f64::NAN),
            entropy: facts.entropy,
            payload_bytes,
            dense_bytes,
            compression: dense_bytes as f64 / payload_bytes.max(1) as f64,
            tokens_per_s: tokens as f64 / total_s.max(1e-9),
            compute_share: compute_s / total_s.max(1e-9),
            state_root: facts.state_root,
            checkpoint: facts.checkpoint,
        }
    }

    /// The summary for a person; `resume` and `picture` are what to type and look at next.
    pub(super) fn text(&self, name: &str, resume: &str, picture: &str) -> String {
        let mut text = String::new();
        let mut row = |key: &str, value: String| {
            let _ = writeln!(text, "  {key:<12} {value}");
        };
        let floor = self.entropy.map_or(String::new(), |entropy| {
            format!(", corpus entropy {entropy:.3}: {:.3} above it", self.loss_last - entropy)
        });
        let what = match self.objective {
            Objective::Pretrain => "token",
            Objective::Sft => "answer token",
        };
        let (first, last) = (self.loss_first, self.loss_last);
        row("loss", format!("{first:.3} -> {last:.3} nats/{what}{floor}"));
        row(
            "trained",
            format!(
                "{} parameters on {} {what}s in {} windows of {} inner steps, {} of them a second",
                human(self.params as f64),
                human(self.tokens as f64),
                self.windows,
                self.inner_steps / self.windows.max(1),
                human(self.tokens_per_s)
            ),
        );
        row(
            "sent",
            format!(
                "{} instead of {} in fp32: {:.0}x smaller",
                human_bytes(self.payload_bytes),
                human_bytes(self.dense_bytes),
                self.compression
            ),
        );
        row("not computing", format!("{:.2} % of the time", 100.0 * (1.0 - self.compute_share)));
        row("state root", self.state_root.to_string());
        row("checkpoint", self.checkpoint.display().to_string());
        row("picture", picture.to_string());
        format!("\n{name} is trained\n{text}\nnext: {resume}\n")
    }
}

/// Where the time and the memory of a run went, for `--verbose`.
pub(super) fn details(journal: &Journal, plan: &MemoryPlan) -> String {
    let mut sum = Phases::default();
    for Phases {
        train_s,
        compress_s,
        put_s,
        gather_s,
        decode_s,
        outer_s,
        root_s,
        checkpoint_s,
        wait_s,
        other_s,
    } in journal.windows.iter().map(|window| window.phases)
    {
        sum.train_s += train_s;
        sum.compress_s += compress_s;
        sum.put_s += put_s;
        sum.gather_s += gather_s;
        sum.decode_s += decode_s;
        sum.outer_s += outer_s;
        sum.root_s += root_s;
        sum.checkpoint_s += checkpoint_s;
        sum.wait_s += wait_s;
        sum.other_s += other_s;
    }
    let bytes = |bytes: usize| human_bytes(bytes as u64);
    let peak = peak_memory().zip(file_memory()).map_or("not known".to_string(), |(peak, files)| {
        let times = peak as f64 / plan.host() as f64;
        format!("{} ({times:.2}x of planned), {} of it mapped files", bytes(peak), bytes(files))
    });
    let planned = match plan.gpu() {
        0 => bytes(plan.host()),
        on_gpu => format!("{} and {} on the GPU", bytes(plan.host()), bytes(on_gpu)),
    };
    format!(
        "  seconds      train {:.2}, compress {:.3}, put {:.3}, gather {:.3}, decode {:.3}, \
         outer {:.3}, root {:.3}, checkpoint {:.3}, wait {:.3}, other {:.3}\n  \
         memory       planned {planned}: inner {}, round {}, activations {}; peak {peak}",
        sum.train_s,
        sum.compress_s,
        sum.put_s,
        sum.gather_s,
        sum.decode_s,
        sum.outer_s,
        sum.root_s,
        sum.checkpoint_s,
        sum.wait_s,
        sum.other_s,
        bytes(plan.inner),
        bytes(plan.round),
        bytes(plan.activations),
    )
}
