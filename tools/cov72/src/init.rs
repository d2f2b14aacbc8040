//! `cov72 init`: a network on this machine's dev chain, and the folder of a node of it: a commented
//! configuration, a fresh key, a seat.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bucket::Credentials;
use chain::{Blocks, Chain, DevChain, DevChainOptions, SystemClock};
use clap::{Args, ValueEnum};
use runtime::dataset::Dataset;
use wire::{BlockNumber, Keypair, Netuid, Note, Objective, Role, SignedRun, Windows};

use crate::attack::Plot;
use crate::config::{Config, NewRun};
use crate::failure::Failure;
use crate::node::setup;
use crate::train::{RunFolder, dataset, describe, refuse_unasked};

/// The subnet of a network that `init` makes.
const NETUID: Netuid = Netuid(72);
/// 10^-9 of a token.
const RAO: u64 = 1_000_000_000;

/// Time that validators have to publish, in milliseconds.
const JUDGE_MS: u64 = 3_000;
/// Where the network's data lies, if it is not its own synthetic corpus.
const DATA_PLACE: &str = "data.path";
/// Where the model lies that the network started from, if it started from one.
const GENESIS_PLACE: &str = "genesis.path";
/// A node's published key pair.
const READ_KEY: &str = "read-key.toml";

const EXAMPLES: &str = "\
Examples:
  cov72 init --network net --dir net/judge --role validator    a new network and its first validator
  cov72 init --network net --dir net/alice                     a miner of the same network
  cov72 init --network net --preset m1 --data shards/          a network only, on prepared data";

/// Make a network on this machine, and a node of it: configuration and a fresh key.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// Folder of the network: run description, dev chain, data; made if it is not there
    #[arg(long, value_name = "DIR")]
    network: PathBuf,
    /// Folder of a new node
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// What the node does
    #[arg(long, value_enum, default_value_t = RoleArg::Miner)]
    role: RoleArg,
    /// A validator's stake, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 1_000)]
    stake: u64,
    /// The node's bucket: a folder, or s3://BUCKET/PREFIX?endpoint=URL&region=R with the writing
    /// key pair in COV72_S3_ACCESS_KEY and COV72_S3_SECRET_KEY [default: `bucket` in --dir]
    #[arg(long, value_name = "PLACE")]
    bucket: Option<String>,
    /// File with access_key and secret_key that may read an S3 bucket and nothing else; published
    #[arg(long, value_name = "FILE.toml")]
    read_key: Option<PathBuf>,
    #[command(flatten)]
    plan: NetworkPlan,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleArg {
    Miner,
    Validator,
}

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
    /// everybody has delivered ends at once
    #[arg(long, value_name = "S", default_value_t = 120)]
    pub(crate) window_s: u64,
    /// Milliseconds between two blocks of a new network's chain
    #[arg(long, value_name = "MS", default_value_t = 250)]
    pub(crate) block_ms: u64,
}

impl NetworkPlan {
    /// The run that is asked for, by flags or in the file.
    fn asked(&self) -> Result<NewRun, Failure> {
        let (preset, objective) = (self.preset.clone(), self.objective);
        NewRun { preset, objective, from: self.from.clone() }.or_in(self.model.as_deref())
    }
}

/// A network's folder.
pub(crate) struct NetworkFolder {
    dir: PathBuf,
}

/// A node to be made.
pub(crate) struct NodePlan<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) role: Role,
    /// In 10^-9 of a token.
    pub(crate) stake_rao: u64,
    pub(crate) bucket: Option<&'a str>,
    /// What others read an S3 bucket with.
    pub(crate) read_key: Option<&'a Credentials>,
    /// Storage faults to make on purpose.
    pub(crate) faults: Option<&'a Path>,
    /// How the node cheats on purpose.
    pub(crate) attack: Option<&'a Plot>,
    pub(crate) threads: usize,
}

/// Runs the command.
pub(crate) fn run(args: &InitArgs) -> Result<(), Failure> {
    let network = match NetworkFolder::open(&args.network) {
        Some(network) => network,
        None => {
            let network = NetworkFolder::create(&args.network, &args.plan)?;
            eprintln!("made a network in {}", args.network.display());
            network
        }
    };
    let Some(dir) = &args.dir else { return Ok(()) };
    let role = match args.role {
        RoleArg::Miner => Role::Miner,
        RoleArg::Validator => Role::Validator,
    };
    let stake_rao = args.stake.saturating_mul(RAO);
    let bucket = args.bucket.as_deref();
    let read_key = args.read_key.as_deref().map(Credentials::from_file).transpose()?;
    let read_key = read_key.as_ref();
    let plan =
        NodePlan { dir, role, stake_rao, bucket, read_key, faults: None, attack: None, threads: 0 };
    let uid = network.add(&plan)?;
    let (config, command) = (dir.join("run.toml"), command_of(role));
    eprintln!("uid {uid}; start it with: cov72 {command} --config {}", config.display());
    Ok(())
}

/// The command that runs a node of this role.
pub(crate) fn command_of(role: Role) -> &'static str {
    match role {
        Role::Miner => "train",
        Role::Validator => "validate",
    }
}

impl NetworkFolder {
    /// The network in `dir`, if there is one.
    pub(crate) fn open(dir: &Path) -> Option<Self> {
        let dir = std::path::absolute(dir).ok()?;
        dir.join("run.json").exists().then_some(Self { dir })
    }

    /// Makes chain, data and signed run description, the description last.
    pub(crate) fn create(dir: &Path, plan: &NetworkPlan) -> Result<Self, Failure> {
        let asked = plan.asked()?;
        let mut config = asked.config()?;
        if let Some(path) = &plan.model {
            config = config.overlaid(path)?;
        }
        if let Some(from) = &plan.from {
            config.node.genesis =
                std::path::absolute(from).map_err(|error| Failure::io("find", from, &error))?;
        }
        config.seed = plan.seed;
        config.inner.steps = plan.inner_steps.unwrap_or(config.inner.steps);
        if let Some(data) = &plan.data {
            config.node.data.clone_from(data);
        }
        config.check()?;
        if plan.block_ms == 0 || plan.window_s == 0 {
            return Err(Failure::usage("--block-ms and --window-s must be at least 1"));
        }
        std::fs::create_dir_all(dir).map_err(|error| Failure::io("make", dir, &error))?;
        let dir = std::path::absolute(dir).map_err(|error| Failure::io("find", dir, &error))?;
        let owner = RunFolder::claim(&dir)?;
        let blocks = Blocks::EveryMs(plan.block_ms);
        let options = DevChainOptions { blocks, ..DevChainOptions::default() };
        let chain = DevChain::create(&dir.join("chain.sqlite"), options, Arc::new(SystemClock))?;
        let data: Dataset = dataset(&config, &dir)?;
        refuse_unasked(&config, asked.objective, &data)?;
        let keypair = owner.keypair()?;
        // Its seat takes what validators give to nobody.
        chain.register(NETUID, &keypair)?;
        let mut run = describe(&config, &data, keypair.hotkey(), None)?;
        run.windows = Windows {
            first_block: BlockNumber(chain.head()?.number.0 + 1),
            blocks_per_window: (1_000 * plan.window_s / plan.block_ms).max(1),
            judge_blocks: (JUDGE_MS / plan.block_ms).max(2),
        };
        if plan.data.is_some() {
            let place = std::path::absolute(data.dir());
            let place = place.map_err(|error| Failure::io("find", data.dir(), &error))?;
            owner.replace(DATA_PLACE, place.display().to_string().as_bytes())?;
        }
        let genesis = config.node.genesis.display().to_string();
        owner.replace(GENESIS_PLACE, genesis.as_bytes())?;
        owner.keep_run(&SignedRun::sign(run, &keypair)?)?;
        Ok(Self { dir })
    }

    /// Makes a node's folder and takes its seat.
    pub(crate) fn add(&self, plan: &NodePlan<'_>) -> Result<wire::Uid, Failure> {
        let folder = RunFolder::claim(plan.dir)?;
        let path = folder.path("run.toml");
        if path.exists() {
            return Err(Failure::precondition(format!(
                "{} is there already; start that node, or use another --dir",
                path.display()
            )));
        }
        if let Some(key) = plan.read_key {
            let (access, secret) = (key.access_key(), key.secret().reveal());
            let text = format!("access_key = \"{access}\"\nsecret_key = \"{secret}\"\n");
            folder.replace(READ_KEY, text.as_bytes())?;
        }
        folder.replace("run.toml", self.toml(plan, &folder)?.as_bytes())?;
        self.seat(plan, &folder, &path).inspect_err(|_| {
            // Without a seat there is no node; the same command may be tried again.
            let _ = std::fs::remove_file(&path);
        })
    }

    /// Takes the seat of the node whose configuration lies at `path`.
    fn seat(
        &self,
        plan: &NodePlan<'_>,
        folder: &RunFolder,
        path: &Path,
    ) -> Result<wire::Uid, Failure> {
        let keypair = folder.keypair()?;
        let chain = DevChain::open(&self.dir.join("chain.sqlite"), Arc::new(SystemClock))?;
        let uid = chain.register(NETUID, &keypair)?;
        if plan.role == Role::Validator {
            chain.set_stake(keypair.hotkey(), plan.stake_rao)?;
        }
        let Some((config, _)) = Config::of_network(path)? else {
            return Err(Failure::ours(format!("{} names no network", path.display())));
        };
        self.leave_note(&config, &keypair, &chain)?;
        Ok(uid)
    }

    /// Says where the node's bucket is, so that others look for it from the first window on.
    fn leave_note(
        &self,
        config: &Config,
        keypair: &Keypair,
        chain: &DevChain,
    ) -> Result<(), Failure> {
        let place = setup::own_bucket(config)?.public.to_string();
        let note = Note { place, manifest: None };
        let bytes = note.to_bytes().map_err(|fault| {
            Failure::usage(format!("--bucket is no place to tell others: {fault}"))
        })?;
        Ok(chain.commit(NETUID, keypair, &bytes)?)
    }

    fn toml(&self, plan: &NodePlan<'_>, folder: &RunFolder) -> Result<String, Failure> {
        let quoted = |path: &Path| toml::Value::from(path.display().to_string()).to_string();
        let named = std::fs::read_to_string(self.dir.join(DATA_PLACE)).unwrap_or_default();
        let data = match named.trim() {
            "" => self.dir.join("data"),
            named => PathBuf::from(named),
        };
        let genesis = std::fs::read_to_string(self.dir.join(GENESIS_PLACE)).unwrap_or_default();
        let bucket = toml::Value::from(plan.bucket.unwrap_or_default()).to_string();
        let read_key = match plan.read_key {
            Some(_) => std::path::absolute(folder.path(READ_KEY))
                .map_err(|error| Failure::io("find", folder.dir(), &error))?,
            None => PathBuf::new(),
        };
        Ok(format!(
            "# A {role} of the network in {dir}.\n\
             # Model and training numbers are those of the run; they need not be repeated here.\n\
             \n\
             [network]\n\
             # The signed run description, the dev chain's file, and the subnet on it.\n\
             run = {run}\n\
             chain = {chain}\n\
             netuid = {netuid}\n\
             # This node's own bucket; empty for the folder `bucket` beside this file.\n\
             bucket = {bucket}\n\
             # Files of key pairs for an S3 bucket: one to write with (empty: the\n\
             # environment's), and one that is published for others to read with.\n\
             write_key = \"\"\n\
             read_key = {read_key}\n\
             # Storage faults to make on purpose, for tests.\n\
             faults = {faults}\n\
             # How to cheat on purpose, for tests.\n\
             attack = {attack}\n\
             # Milliseconds between two looks at chain and buckets.\n\
             poll_ms = 200\n\
             # Windows between two checkpoints that a validator publishes.\n\
             checkpoint_every = 10\n\
             \n\
             # A network on Bittensor instead: its nodes, and this node's hotkey in a wallet.\n\
             # [chain]\n\
             # kind = \"subtensor\"\n\
             # endpoints = [\"wss://entrypoint-finney.opentensor.ai:443\"]\n\
             # hotkey = \"/home/me/.bittensor/wallets/default/hotkeys/alice\"\n\
             \n\
             [node]\n\
             # Shards of the run's data, and host threads (0: one per core).\n\
             data = {data}\n\
             threads = {threads}\n\
             # The model that the run starts from, if it starts from one.\n\
             genesis = {genesis}\n",
            role = if plan.role == Role::Miner { "miner" } else { "validator" },
            dir = self.dir.display(),
            run = quoted(&self.dir.join("run.json")),
            chain = quoted(&self.dir.join("chain.sqlite")),
            netuid = NETUID,
            read_key = quoted(&read_key),
            faults = quoted(plan.faults.unwrap_or(Path::new(""))),
            attack = toml::Value::from(plan.attack.map(Plot::to_string).unwrap_or_default()),
            data = quoted(&data),
            genesis = toml::Value::from(genesis.trim()),
            threads = plan.threads,
        ))
    }
}
