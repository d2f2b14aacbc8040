//! What can be typed after `cov72 train`, and the configuration that it amounts to.

use std::path::PathBuf;

use clap::Args;
use runtime::Compute;
use wire::{Objective, RunDescription};

use super::folder;
use crate::config::{Config, NewRun, Node};
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  cov72 train                                a small model on built-in data, a minute or so
  cov72 train --resume --windows 60          the same run, thirty windows more
  cov72 train --preset m12 --data shards/    another model, on shards made by `cov72 data prepare`
  cov72 train --objective sft --from runs/nano --data talks/   learn answers, not prompts
  cov72 train --config run.toml --json       all numbers from a file, one JSON object on stdout
  cov72 train --config node/run.toml         a miner of a network; see `cov72 init`";

/// Train a model with SparseLoCo through real windows: inner steps, compress, put, gather, outer
/// step.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrainArgs {
    /// Model and training numbers to start from: nano, m1, m12, s15, 150m, 512m, 1b, 8b or 72b
    /// [default: nano]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// What counts towards the loss: `pretrain`, every token, or `sft`, answers only, on shards of
    /// `cov72 data chat` [default: pretrain]
    #[arg(long, value_name = "pretrain|sft")]
    objective: Option<Objective>,
    /// Start from this model: a folder that `cov72 import` made, a run, or one of its checkpoints
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// TOML file over the preset; flags go over the file
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Windows (outer steps) to have trained in the end, counted from the start of the run
    #[arg(long, value_name = "N")]
    windows: Option<u64>,
    /// Inner steps in one window
    #[arg(long, value_name = "H")]
    inner_steps: Option<u64>,
    /// Decides the initial parameters
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Run folder: checkpoints, bucket, chain, records, picture [default: runs/NAME]
    #[arg(long, value_name = "RUN")]
    dir: Option<PathBuf>,
    /// Folder of shards made by `cov72 data prepare` [default: a synthetic corpus of known entropy]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to compute [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Host threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Tensor-parallel ranks
    #[arg(long, value_name = "N")]
    tp: Option<usize>,
    /// How matrix products read their factors: f32, the same bits everywhere, or bf16, rounded
    /// and faster where the processor has AVX512-BF16 [default: f32]
    #[arg(long, value_name = "f32|bf16")]
    compute: Option<Compute>,
    /// Go on with the run in the run folder
    #[arg(long)]
    pub(super) resume: bool,
    /// Print one JSON object on stdout at the end, and nothing else there
    #[arg(long)]
    pub(super) json: bool,
    /// Say more: memory planned and used, phases of the windows
    #[arg(long, short)]
    pub(super) verbose: bool,
}

impl TrainArgs {
    /// The configuration: preset, or on `--resume` what the run was started with; over it the file;
    /// over it the flags.
    ///
    /// With a file that names a network, its run takes the place of preset and kept configuration.
    pub(super) fn resolve(&self) -> Result<(Config, Option<RunDescription>), Failure> {
        let network = self.config.as_deref().map(Config::of_network).transpose()?.flatten();
        let (mut config, resumed, run) = match network {
            Some((config, run)) => (config, None, Some(run)),
            None => {
                let (config, resumed) = self.alone()?;
                (config, resumed, None)
            }
        };
        if let Some(preset) = &self.preset {
            config.preset.clone_from(preset);
        }
        set(&mut config.objective, &self.objective);
        let from = self.from.as_ref().and_then(|from| std::path::absolute(from).ok());
        set(&mut config.node.genesis, &from);
        set(&mut config.windows, &self.windows);
        set(&mut config.inner.steps, &self.inner_steps);
        set(&mut config.seed, &self.seed);
        set(&mut config.node.dir, &self.dir);
        let data = self.data.as_ref().and_then(|data| std::path::absolute(data).ok());
        set(&mut config.node.data, &data);
        set(&mut config.node.device, &self.device);
        set(&mut config.node.threads, &self.threads);
        set(&mut config.node.tp, &self.tp);
        set(&mut config.node.compute, &self.compute);
        config.check()?;
        let contradiction = resumed.and_then(|was| config.node.contradiction(&was));
        if let Some((key, was, is)) = contradiction {
            return Err(Failure::usage(format!(
                "{key} = {is} contradicts the run in {}, where it is {was}; leave it out to go on, \
                 or use another --dir",
                config.dir().display()
            )));
        }
        Ok((config, run))
    }

    /// The configuration of a run on this machine and, on `--resume`, what the node was before.
    fn alone(&self) -> Result<(Config, Option<Node>), Failure> {
        let config = match self.resume {
            true => Config::complete(&folder::config_path(&self.resumed_dir()?))?,
            false => self.asked()?.config()?,
        };
        let resumed = self.resume.then(|| config.node.clone());
        let config = match &self.config {
            Some(path) => config.overlaid(path)?,
            None => config,
        };
        Ok((config, resumed))
    }

    /// The run that is asked for, by flags or in the file.
    pub(super) fn asked(&self) -> Result<NewRun, Failure> {
        let (preset, objective) = (self.preset.clone(), self.objective);
        NewRun { preset, objective, from: self.from.clone() }.or_in(self.config.as_deref())
    }

    /// The folder to resume, which flags and file may name without all the rest.
    fn resumed_dir(&self) -> Result<PathBuf, Failure> {
        let mut named = self.asked()?.config()?;
        if let Some(path) = &self.config {
            named = named.overlaid(path)?;
        }
        set(&mut named.node.dir, &self.dir);
        let dir = named.dir();
        if folder::config_path(&dir).exists() {
            return Ok(dir);
        }
        let dir = dir.display();
        Err(Failure::precondition(format!(
            "there is nothing to resume in {dir}; leave out --resume to start a run there, or name \
             its folder with --dir"
        )))
    }
}

fn set<T: Clone>(value: &mut T, given: &Option<T>) {
    if let Some(given) = given {
        value.clone_from(given);
    }
}
