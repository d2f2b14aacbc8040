//! What a new network is like: its model and training numbers, its data, and how long things take.

use std::path::PathBuf;

use clap::Args;
use wire::{BlockNumber, Objective, Windows};

use crate::config::{Config, NewRun, absolute};
use crate::failure::Failure;

/// How long things take in a network that is not told otherwise.
pub(super) struct Pace {
    pub(super) block_ms: u64,
    window_s: u64,
    /// Time that validators have to publish.
    judge_s: u64,
}

pub(super) const ON_DEV_CHAIN: Pace = Pace { block_ms: 250, window_s: 120, judge_s: 3 };
/// A word on the chain takes about five blocks there until all have read it.
pub(super) const ON_BITTENSOR: Pace = Pace { block_ms: 12_000, window_s: 1_200, judge_s: 120 };

/// What a new network is like.
#[derive(Args, Clone, Debug)]
pub(crate) struct NetworkPlan {
    /// Model and training numbers of a new network
    /// [default: nano]
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
    /// What counts towards a new network's loss: `pretrain`, every token, or `sft`, answers only
    /// [default: pretrain]
    #[arg(long, value_name = "pretrain|sft")]
    pub(crate) objective: Option<Objective>,
    /// Start a new network from this model: a folder that `cov72 import` made, a run, or one of its
    /// checkpoints
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// TOML file over the preset, for a new network
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) model: Option<PathBuf>,
    /// Inner steps in one window of a new network
    #[arg(long, value_name = "H")]
    pub(crate) inner_steps: Option<u64>,
    /// Decides a new network's initial parameters
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Shards that a new network trains on [default: a synthetic corpus]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Seconds after which a window of a new network takes no more contributions; one in which
    /// everybody has delivered ends at once [default: 120; on Bittensor 1200]
    #[arg(long, value_name = "S")]
    pub(crate) window_s: Option<u64>,
    /// Seconds that validators of a new network have to publish [default: 3; on Bittensor 120]
    #[arg(long, value_name = "S")]
    pub(crate) judge_s: Option<u64>,
    /// Milliseconds between two blocks of a new network's chain [default: 250; on Bittensor 12000]
    #[arg(long, value_name = "MS")]
    pub(crate) block_ms: Option<u64>,
}

impl NetworkPlan {
    /// The run that is asked for, by flags or in the file.
    pub(super) fn asked(&self) -> Result<NewRun, Failure> {
        let (preset, objective) = (self.preset.clone(), self.objective);
        NewRun { preset, objective, from: self.from.clone() }.or_in(self.model.as_deref())
    }

    /// The configuration that the network starts with.
    pub(super) fn config(&self, asked: &NewRun) -> Result<Config, Failure> {
        let mut config = asked.config()?;
        if let Some(path) = &self.model {
            config = config.overlaid(path)?;
        }
        if let Some(from) = &self.from {
            config.node.genesis = absolute(from)?;
        }
        config.seed = self.seed;
        config.inner.steps = self.inner_steps.unwrap_or(config.inner.steps);
        if let Some(data) = &self.data {
            config.node.data.clone_from(data);
        }
        config.check()?;
        Ok(config)
    }

    /// What was asked for, and else `usual`.
    pub(super) fn pace(&self, usual: &Pace) -> Result<Pace, Failure> {
        let block_ms = self.block_ms.unwrap_or(usual.block_ms);
        let window_s = self.window_s.unwrap_or(usual.window_s);
        if block_ms == 0 || window_s == 0 {
            return Err(Failure::usage("--block-ms and --window-s must be at least 1"));
        }
        Ok(Pace { block_ms, window_s, judge_s: self.judge_s.unwrap_or(usual.judge_s) })
    }
}

impl Pace {
    /// Windows from the block after `head` on.
    pub(super) fn windows(&self, head: BlockNumber) -> Windows {
        let blocks = |seconds: u64| seconds.saturating_mul(1_000) / self.block_ms;
        Windows {
            first_block: BlockNumber(head.0 + 1),
            blocks_per_window: blocks(self.window_s).max(1),
            judge_blocks: blocks(self.judge_s).max(2),
        }
    }
}
