//! The study's result: settings, and per method the loss, the bytes, and both against dense DiLoCo.

use std::fmt::Write as _;

use serde::Serialize;

use super::method::Method;
use super::study::{Outcome, Study};
use crate::BenchError;
use crate::machine::Machine;

#[derive(Serialize)]
pub(super) struct Report {
    machine: Machine,
    params: usize,
    layers: usize,
    d_model: usize,
    ffn: usize,
    tied: bool,
    seq_tokens: usize,
    peers: usize,
    windows: u64,
    inner_steps: u32,
    /// Tokens that a peer trains on in one inner step.
    peer_step_tokens: usize,
    train_bytes: usize,
    seed: u64,
    threads: usize,
    methods: Vec<Line>,
    #[serde(skip)]
    dense_bytes: u64,
    #[serde(skip)]
    best_dense_loss: f64,
}

/// One method.
#[derive(Serialize)]
struct Line {
    method: &'static str,
    validation_loss_nats_per_byte: f64,
    sent_bytes_per_peer: u64,
    /// How many times fewer bytes than a dense f32 pseudo-gradient per window.
    dense_f32_ratio: f64,
    /// Loss over the better of the dense DiLoCo runs.
    diloco_loss_ratio: f64,
    seconds: f64,
}

impl Report {
    pub(super) fn new(study: &Study<'_>) -> Result<Self, BenchError> {
        let params = model::layout_of(&study.spec)?.params();
        Ok(Self {
            machine: Machine::this(),
            params,
            layers: study.spec.layers,
            d_model: study.spec.d_model,
            ffn: study.spec.ffn,
            tied: study.spec.tied,
            seq_tokens: study.spec.seq_len,
            peers: study.peers,
            windows: study.windows,
            inner_steps: study.inner_steps,
            peer_step_tokens: study.sequences * study.spec.seq_len,
            train_bytes: study.corpus.train_bytes(),
            seed: study.seed,
            threads: study.threads,
            methods: Vec::new(),
            dense_bytes: study.windows * (params * size_of::<f32>()) as u64,
            best_dense_loss: f64::INFINITY,
        })
    }

    /// Adds a method; ratios of all are then against the best dense DiLoCo so far.
    pub(super) fn push(&mut self, name: &'static str, method: Method, outcome: &Outcome) {
        if method.is_dense_diloco() {
            self.best_dense_loss = self.best_dense_loss.min(outcome.loss);
        }
        self.methods.push(Line {
            method: name,
            validation_loss_nats_per_byte: outcome.loss,
            sent_bytes_per_peer: outcome.sent_bytes,
            dense_f32_ratio: self.dense_bytes as f64 / outcome.sent_bytes as f64,
            diloco_loss_ratio: f64::NAN,
            seconds: outcome.seconds,
        });
        for line in &mut self.methods {
            line.diloco_loss_ratio = line.validation_loss_nats_per_byte / self.best_dense_loss;
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain numbers and strings")
    }

    pub(super) fn markdown(&self) -> String {
        let mut out = String::from(
            "| method | validation loss, nats/byte | bytes sent per peer | fewer than dense f32 | \
             loss / dense DiLoCo |\n|---|---|---|---|---|\n",
        );
        for line in &self.methods {
            let Line { method, validation_loss_nats_per_byte: loss, .. } = line;
            let (sent, fewer) = (line.sent_bytes_per_peer, line.dense_f32_ratio);
            let ratio = line.diloco_loss_ratio;
            writeln!(out, "| {method} | {loss:.4} | {sent} | {fewer:.2}x | {ratio:.4} |")
                .expect("a string takes all that is written");
        }
        out
    }
}
