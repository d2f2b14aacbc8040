//! The configuration of a node: a preset, over it a TOML file, over it the command line.
//!
//! The file is walked against the preset's own table, so that an unknown key or a value of the
//! wrong kind is named with its line and, where one is near, the key that was meant.

mod chain_place;
mod file;
mod new_run;

use std::path::{Path, PathBuf};

use model::{MicroBatch, Preset};
use runtime::Compute;
use runtime::dataset::loader::Reading;
use serde::{Deserialize, Serialize};
use wire::{Documents, Genesis, Inner, ModelSpec, Objective, Outer, RunDescription, SignedRun};

use crate::attack::Plot;
use crate::device::DeviceName;
use crate::failure::Failure;
pub(crate) use chain_place::{ChainKind, ChainPlace};
pub(crate) use new_run::NewRun;

/// Windows of a node in a network that is not told when to stop.
pub(crate) const WINDOWS_WITHOUT_END: u64 = i64::MAX as u64;

/// The same place, whatever the working folder is later.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::io("find", path, &error))
}

/// Most ranks that share a GPU.
const TP_MAX_ON_ONE_GPU: usize = 8;

/// Every number that a run is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What the run is called; also the folder under `runs/` where none is given.
    pub(crate) name: String,
    /// The preset that was started from.
    pub(crate) preset: String,
    /// Decides the initial parameters.
    pub(crate) seed: u64,
    /// Windows to train, counted from the start of the run.
    pub(crate) windows: u64,
    /// What counts towards the loss.
    #[serde(default)]
    pub(crate) objective: Objective,
    /// What the borders between documents mean.
    #[serde(default)]
    pub(crate) documents: Documents,
    /// The model.
    pub(crate) model: ModelSpec,
    /// The inner loop.
    pub(crate) inner: Inner,
    /// SparseLoCo and the outer step.
    pub(crate) outer: Outer,
    /// This node's own affairs. Only `tp` and `compute` show in the bits of its inner steps.
    pub(crate) node: Node,
    /// The network to join, if any.
    pub(crate) network: Network,
    /// The chain of that network.
    #[serde(default)]
    pub(crate) chain: ChainPlace,
}

/// Where a node finds its network. What all nodes of a run share comes from its description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    /// The signed run description; empty to train alone.
    pub(crate) run: PathBuf,
    /// File of the dev chain, unless `chain.kind` names another.
    pub(crate) chain: PathBuf,
    /// The subnet.
    pub(crate) netuid: u16,
    /// This node's own bucket; empty for the folder `bucket` in the run folder.
    pub(crate) bucket: String,
    /// File of the key pair that writes to an S3 bucket; empty for the environment's.
    pub(crate) write_key: PathBuf,
    /// File of the key pair that others read an S3 bucket with. It is published: it must be for
    /// this one bucket, and for reading only.
    pub(crate) read_key: PathBuf,
    /// File of storage faults to make on purpose; empty for none.
    pub(crate) faults: PathBuf,
    /// How a miner cheats on purpose; empty for an honest one.
    pub(crate) attack: String,
    /// Milliseconds between two looks at chain and buckets.
    pub(crate) poll_ms: u64,
    /// Windows between two checkpoints that a validator publishes.
    pub(crate) checkpoint_every: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            run: PathBuf::new(),
            chain: PathBuf::new(),
            netuid: 72,
            bucket: String::new(),
            write_key: PathBuf::new(),
            read_key: PathBuf::new(),
            faults: PathBuf::new(),
            attack: String::new(),
            poll_ms: 200,
            checkpoint_every: 10,
        }
    }
}

/// What concerns one node only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// Run folder; empty for `runs/<name>`.
    pub(crate) dir: PathBuf,
    /// Folder of shards; empty for the built-in synthetic corpus.
    pub(crate) data: PathBuf,
    /// Folder of the model that the run starts from, if it starts from one: of an imported model,
    /// of a run, or of one of its checkpoints.
    #[serde(default)]
    pub(crate) genesis: PathBuf,
    /// Where to train: `cpu`, `cuda`, `cuda:1` and so on, or for tests `emulated`.
    pub(crate) device: String,
    /// Host threads; 0 for one per core.
    pub(crate) threads: usize,
    /// Tensor-parallel ranks.
    pub(crate) tp: usize,
    /// How matrix products read their factors: `f32`, the same bits on every machine, or `bf16`,
    /// the same bits on every run of one machine.
    #[serde(default)]
    pub(crate) compute: Compute,
    /// Samples in one micro-batch.
    pub(crate) micro_batch_samples: usize,
    /// Layers, from the first on, whose activations are computed again on the way back instead of
    /// kept: the same bits in less memory.
    #[serde(default)]
    pub(crate) recompute_layers: usize,
    /// Whether a GPU records a micro-batch once in a window and plays it for the others, which
    /// spares the host the launches.
    #[serde(default)]
    pub(crate) record: bool,
    /// How shards are read ahead of training: the same samples in each way.
    #[serde(default)]
    pub(crate) reading: Reading,
}

impl Node {
    /// The first key that shows in the bits of inner steps and differs from what it was, with the
    /// value it was and the value it is: a run that goes on with it would not end as it began.
    pub(crate) fn contradiction(&self, was: &Node) -> Option<(&'static str, String, String)> {
        if self.tp != was.tp {
            return Some(("node.tp", was.tp.to_string(), self.tp.to_string()));
        }
        let kind = |node: &Node| DeviceName::parse(&node.device).map(DeviceName::kind).ok();
        if kind(self) != kind(was) {
            let quoted = |node: &Node| format!("{:?}", node.device);
            return Some(("node.device", quoted(was), quoted(self)));
        }
        let names = [was, self].map(|node| format!("{:?}", node.compute.name()));
        let [was, is] = names;
        (was != is).then_some(("node.compute", was, is))
    }
}

impl Config {
    /// The configuration that `preset` stands for.
    pub(crate) fn from_preset(preset: &Preset) -> Self {
        Self {
            name: preset.name.to_string(),
            preset: preset.name.to_string(),
            seed: 0,
            windows: preset.windows,
            objective: Objective::Pretrain,
            documents: Documents::default(),
            model: preset.model.clone(),
            inner: preset.inner.clone(),
            outer: preset.outer.clone(),
            node: Node {
                dir: PathBuf::new(),
                data: PathBuf::new(),
                genesis: PathBuf::new(),
                device: "cpu".to_string(),
                threads: 0,
                tp: 1,
                compute: Compute::F32,
                micro_batch_samples: 1,
                recompute_layers: 0,
                record: false,
                reading: Reading::Ring,
            },
            network: Network::default(),
            chain: ChainPlace::default(),
        }
    }

    /// The configuration of a node of the network that the file at `path` names, and the network's
    /// run; none if it names no network.
    pub(crate) fn of_network(path: &Path) -> Result<Option<(Self, RunDescription)>, Failure> {
        let table: toml::Table = read(path)?.parse().unwrap_or_default();
        let named = table.get("network").and_then(|network| network.get("run")?.as_str());
        let Some(named) = named.filter(|named| !named.is_empty()) else { return Ok(None) };
        let run = read_run(Path::new(named))?;
        let mut config = Self::of_run(&run).overlaid(path)?;
        if config.node.dir.as_os_str().is_empty() {
            config.node.dir = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        }
        Ok(Some((config, run)))
    }

    /// What `run` says, with the defaults of a node.
    fn of_run(run: &RunDescription) -> Self {
        let preset = model::preset("nano").expect("the default preset");
        Self {
            name: run.name.clone(),
            preset: run.name.clone(),
            seed: run.seed,
            windows: WINDOWS_WITHOUT_END,
            objective: run.objective,
            documents: run.documents,
            model: run.model.clone(),
            inner: run.inner.clone(),
            outer: run.outer.clone(),
            ..Self::from_preset(&preset)
        }
    }

    /// The preset called `name`, or a refusal that lists those there are.
    pub(crate) fn named(name: &str) -> Result<Self, Failure> {
        let found = model::preset(name).ok_or_else(|| {
            let names: Vec<_> = model::preset_names().collect();
            Failure::usage(format!("no preset is called {name:?}; there are {}", names.join(", ")))
        })?;
        Ok(Self::from_preset(&found))
    }

    /// This configuration with what the TOML file at `path` says in its place.
    pub(crate) fn overlaid(self, path: &Path) -> Result<Self, Failure> {
        let text = read(path)?;
        file::overlay(self, &text).map_err(|found| {
            Failure::usage(format!("{}:{}: {}", path.display(), found.line, found.what))
        })
    }

    /// Reads a complete configuration, as [`Config::to_toml`] wrote it.
    pub(crate) fn complete(path: &Path) -> Result<Self, Failure> {
        toml::from_str(&read(path)?).map_err(|error| {
            Failure::damaged(format!("{} does not read: {}", path.display(), error.message()))
        })
    }

    /// All of it as TOML.
    pub(crate) fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is plain data")
    }

    /// Where the first parameters of a run with this configuration come from.
    pub(crate) fn genesis(&self) -> Genesis {
        match self.node.genesis.as_os_str().is_empty() {
            true => Genesis::Drawn,
            false => Genesis::Given,
        }
    }

    /// What one pass goes through.
    pub(crate) fn micro_batch(&self) -> MicroBatch {
        let tokens = self.node.micro_batch_samples * wire::protocol::SAMPLE_TOKENS;
        let recomputed_layers = self.node.recompute_layers;
        let document_masks = self.documents.masks;
        MicroBatch { sequences: tokens / self.model.seq_len, recomputed_layers, document_masks }
    }

    /// Where to train.
    pub(crate) fn device(&self) -> Result<DeviceName, Failure> {
        DeviceName::parse(&self.node.device)
    }

    /// Host threads to use.
    pub(crate) fn threads(&self) -> usize {
        match self.node.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            asked => asked,
        }
    }

    /// The run folder.
    pub(crate) fn dir(&self) -> PathBuf {
        if self.node.dir.as_os_str().is_empty() {
            Path::new("runs").join(&self.name)
        } else {
            self.node.dir.clone()
        }
    }

    /// How to cheat, if that is asked for.
    pub(crate) fn plot(&self) -> Result<Option<Plot>, Failure> {
        let attack = &self.network.attack;
        let plot = (!attack.is_empty()).then(|| attack.parse()).transpose();
        plot.map_err(|error: String| Failure::usage(format!("network.attack: {error}")))
    }

    /// Refuses numbers that no run can have, naming the key.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let broken = self.model.broken_rule().or(self.inner.broken_rule());
        if let Some((key, rule)) = broken.or(self.outer.broken_rule()) {
            return Err(Failure::usage(format!("{key} must be {rule}")));
        }
        let refuse = |key: &str, value: usize, rule: &str| {
            Err(Failure::usage(format!("{key} = {value}, but it must be {rule}")))
        };
        let (seq_len, batch) = (self.model.seq_len, self.inner.batch_samples as usize);
        if seq_len == 0 || !wire::protocol::SAMPLE_TOKENS.is_multiple_of(seq_len) {
            return refuse("model.seq_len", seq_len, "a divisor of the 2,048 tokens of a sample");
        }
        let micro = self.node.micro_batch_samples;
        if micro == 0 || !batch.is_multiple_of(micro) {
            let rule = "a divisor of inner.batch_samples";
            return refuse("node.micro_batch_samples", micro, rule);
        }
        if self.windows == 0 {
            return refuse("windows", 0, "at least 1");
        }
        if self.network.poll_ms == 0 {
            return refuse("network.poll_ms", 0, "at least 1");
        }
        if self.network.checkpoint_every == 0 {
            return refuse("network.checkpoint_every", 0, "at least 1");
        }
        if self.node.tp == 0 {
            return refuse("node.tp", 0, "at least 1");
        }
        if self.documents.train_eos && self.objective == Objective::Sft {
            return Err(Failure::usage(
                "documents.train_eos is for texts: of conversations the loss mask says what \
                 counts, and the token that ends an answer always does; leave it out",
            ));
        }
        let device = self.device()?;
        if self.documents.masks && device != DeviceName::Cpu {
            return Err(model::ModelError::MasksOnGpu.into());
        }
        if matches!(device, DeviceName::Cuda(_)) && self.node.tp != 1 {
            let rule = format!("1 on {device}: one process trains on one GPU");
            return refuse("node.tp", self.node.tp, &rule);
        }
        if device == DeviceName::Emulated && self.node.tp > TP_MAX_ON_ONE_GPU {
            return refuse("node.tp", self.node.tp, "at most 8 on an emulated GPU");
        }
        Ok(())
    }
}

/// Reads a signed run description.
pub(crate) fn read_run(path: &Path) -> Result<RunDescription, Failure> {
    let text = std::fs::read(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    let signed = SignedRun::parse(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(signed.into_document())
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}
