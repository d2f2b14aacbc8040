//! How a run trains: the numbers of the inner optimizer and of SparseLoCo, as typed choices.
//!
//! They are part of the run description, so all nodes share them. Numbers are f64 as written and
//! are rounded once, to f32, where they meet the parameters. Steps are inner steps unless said
//! otherwise.

use serde::{Deserialize, Serialize};

use crate::IndexCodec;
use crate::model_spec::positive;

/// What a miner does in one window, before it compresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inner {
    /// Inner steps in one window, `H`.
    pub steps: u64,
    /// Samples in one inner step.
    pub batch_samples: u64,
    /// Global L2 norm to which the gradient is clipped.
    pub clip_norm: f64,
    /// The update rule.
    pub optimizer: Optimizer,
    /// The learning rate over inner steps.
    pub schedule: Schedule,
}

/// The inner update rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimizer {
    /// Adam with decoupled weight decay, on every parameter.
    #[serde(rename = "adamw")]
    AdamW {
        /// Learning rate that the schedule scales.
        learning_rate: f64,
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        eps: f64,
        /// Decoupled weight decay.
        weight_decay: f64,
    },
}

/// Learning rate as a multiple of the optimizer's, over inner steps taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// The same rate throughout.
    Constant {},
    /// Linear from `start_factor` to 1, then half a cosine down to `floor_factor`.
    WarmupCosine {
        /// Factor at step 0.
        start_factor: f64,
        /// Steps of the linear part.
        warmup_steps: u64,
        /// Steps from the top of the cosine to its floor.
        cosine_steps: u64,
        /// Factor at the end.
        floor_factor: f64,
        /// A stretch in which the schedule stands still.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flat: Option<Flat>,
    },
    /// Linear from `start_factor` to `peak_factor`, then linear to `floor_factor`.
    Anneal {
        /// Factor at step 0.
        start_factor: f64,
        /// Steps of the rise.
        warmup_steps: u64,
        /// Factor at the top.
        peak_factor: f64,
        /// Steps of the fall.
        decay_steps: u64,
        /// Factor at the end.
        floor_factor: f64,
    },
}

/// A stretch of inner steps in which the learning rate does not move; the rest comes that much
/// later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flat {
    /// First step of the stretch.
    pub start_step: u64,
    /// Its length.
    pub steps: u64,
}

/// What becomes of the pseudo-gradients: compression, aggregation, the outer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outer {
    /// Outer learning rate: `shared -= alpha * aggregate`.
    pub alpha: f64,
    /// Decay of the residual: `residual = beta * residual + pseudo-gradient`.
    pub beta: f64,
    /// Values kept of each chunk; what a short chunk keeps is
    /// [`Tiling::k_eff`](crate::Tiling::k_eff).
    pub k: usize,
    /// How indices are written.
    pub index_codec: IndexCodec,
    /// How kept values become two bits.
    pub quantiser: Quantiser,
    /// How contributions become one update.
    pub aggregation: Aggregation,
}

/// How the kept values of a tensor become 2-bit codes and a codebook. Decoding is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantiser {
    /// Four bins 1.5 standard deviations wide around the mean, as the published run.
    Published,
    /// The codebook that minimises the squared error (Lloyd and Max).
    LloydMax,
}

/// The divisor of the mean over contributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// The number of peers that sent the coordinate, as the published run.
    Contributors,
    /// The number of peers in the round, as the papers.
    All,
}

impl Inner {
    /// The first rule that the numbers break, as `(key, rule)`.
    pub fn broken_rule(&self) -> Option<(&'static str, &'static str)> {
        let Optimizer::AdamW { learning_rate, beta1, beta2, eps, weight_decay } = self.optimizer;
        let rules = [
            (self.steps > 0, "inner.steps", "at least 1"),
            (self.batch_samples > 0, "inner.batch_samples", "at least 1"),
            (positive(self.clip_norm), "inner.clip_norm", "above 0"),
            (positive(learning_rate), "inner.optimizer.learning_rate", "above 0"),
            ((0.0..1.0).contains(&beta1), "inner.optimizer.beta1", "in [0, 1)"),
            ((0.0..1.0).contains(&beta2), "inner.optimizer.beta2", "in [0, 1)"),
            (positive(eps), "inner.optimizer.eps", "above 0"),
            (
                weight_decay.is_finite() && weight_decay >= 0.0,
                "inner.optimizer.weight_decay",
                "at least 0",
            ),
            (self.schedule.is_sound(), "inner.schedule", "made of factors in [0, 1]"),
        ];
        rules.into_iter().find(|(holds, _, _)| !holds).map(|(_, key, rule)| (key, rule))
    }
}

impl Schedule {
    fn is_sound(&self) -> bool {
        let unit = |factors: &[f64]| factors.iter().all(|factor| (0.0..=1.0).contains(factor));
        match *self {
            Schedule::Constant {} => true,
            Schedule::WarmupCosine { start_factor, floor_factor, .. } => {
                unit(&[start_factor, floor_factor])
            }
            Schedule::Anneal { start_factor, peak_factor, floor_factor, .. } => {
                unit(&[start_factor, peak_factor, floor_factor])
            }
        }
    }
}

impl Outer {
    /// The first rule that the numbers break, as `(key, rule)`.
    pub fn broken_rule(&self) -> Option<(&'static str, &'static str)> {
        let rules = [
            (positive(self.alpha), "outer.alpha", "above 0"),
            ((0.0..=1.0).contains(&self.beta), "outer.beta", "in [0, 1]"),
            ((1..=4096).contains(&self.k), "outer.k", "from 1 to 4096"),
        ];
        rules.into_iter().find(|(holds, _, _)| !holds).map(|(_, key, rule)| (key, rule))
    }
}
