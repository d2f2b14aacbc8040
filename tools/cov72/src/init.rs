//! `cov72 init`: a network, on this machine's dev chain or on Bittensor, and the folder of a node
//! of it: a commented configuration, and on a dev chain a fresh key and a seat.

mod bittensor;
mod node_file;
mod plan;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bucket::Credentials;
use chain::{Blocks, Chain, DevChain, DevChainOptions, SystemClock};
use clap::{Args, ValueEnum};
use runtime::dataset::Dataset;
use wire::{Keypair, Netuid, Note, Role, SignedRun};

use crate::attack::Plot;
use crate::config::{Config, absolute};
use crate::failure::Failure;
use crate::node::setup;
use crate::train::{RunFolder, dataset, describe, refuse_unasked};
use bittensor::{Bittensor, BittensorArgs};
pub(crate) use plan::NetworkPlan;
use plan::{ON_BITTENSOR, ON_DEV_CHAIN, Pace};

/// The subnet of a network that `init` makes.
const NETUID: Netuid = Netuid(72);
/// 10^-9 of a token.
const RAO: u64 = 1_000_000_000;

/// A validator's stake on a dev chain, in tokens.
const STAKE: u64 = 1_000;

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
  cov72 init --network net --preset m1 --data shards/          a network only, on prepared data

  cov72 init --network net --chain subtensor --netuid 3 \\
    --endpoint wss://test.finney.opentensor.ai:443 --wallet main --hotkey judge \\
    --preset m1 --data shards/ --dir net/judge --role validator \\
    --bucket 's3://judge?endpoint=https://HOST' --read-key read.toml    the same on Bittensor
  cov72 init --network net --dir net/alice --wallet main --hotkey alice \\
    --bucket 's3://alice?endpoint=https://HOST' --read-key alice.toml";

/// Make a network, on this machine or on Bittensor, and a node of it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// Folder of the network: run description, chain, data; made if it is not there
    #[arg(long, value_name = "DIR")]
    network: PathBuf,
    /// Folder of a new node
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// What the node does
    #[arg(long, value_enum, default_value_t = RoleArg::Miner)]
    role: RoleArg,
    /// A validator's stake on a dev chain, in tokens [default: 1000]
    #[arg(long, value_name = "TOKENS")]
    stake: Option<u64>,
    /// The node's bucket: a folder, or s3://BUCKET/PREFIX?endpoint=URL&region=R with the writing
    /// key pair in COV72_S3_ACCESS_KEY and COV72_S3_SECRET_KEY [default: `bucket` in --dir]
    #[arg(long, value_name = "PLACE")]
    bucket: Option<String>,
    /// File with access_key and secret_key that may read an S3 bucket and nothing else; published
    #[arg(long, value_name = "FILE.toml")]
    read_key: Option<PathBuf>,
    #[command(flatten)]
    plan: NetworkPlan,
    #[command(flatten)]
    bittensor: BittensorArgs,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleArg {
    Miner,
    Validator,
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
    /// The run's shards, where the network's folder names none.
    pub(crate) data: Option<&'a Path>,
    /// The model that the run starts from, where the network's folder names none.
    pub(crate) genesis: Option<&'a Path>,
}

/// Runs the command.
pub(crate) fn run(args: &InitArgs) -> Result<(), Failure> {
    let bittensor = args.bittensor.find(&args.network)?;
    if bittensor.is_some() && args.stake.is_some() {
        return Err(Failure::usage(
            "--stake is for a dev chain; on Bittensor it is the coldkey that stakes: leave it out",
        ));
    }
    let network = match NetworkFolder::open(&args.network) {
        Some(network) => network,
        None => {
            let network = match &bittensor {
                Some(bittensor) => NetworkFolder::create_on(&args.network, &args.plan, bittensor)?,
                None => NetworkFolder::create(&args.network, &args.plan)?,
            };
            eprintln!("made a network in {}", args.network.display());
            network
        }
    };
    if let Some(bittensor) = &bittensor {
        bittensor.keep(&network.dir)?;
    }
    let Some(dir) = &args.dir else { return Ok(()) };
    let read_key = args.read_key.as_deref().map(Credentials::from_file).transpose()?;
    let plan = NodePlan {
        dir,
        role: match args.role {
            RoleArg::Miner => Role::Miner,
            RoleArg::Validator => Role::Validator,
        },
        stake_rao: args.stake.unwrap_or(STAKE).saturating_mul(RAO),
        bucket: args.bucket.as_deref(),
        read_key: read_key.as_ref(),
        faults: None,
        attack: None,
        threads: 0,
        data: args.plan.data.as_deref(),
        genesis: args.plan.from.as_deref(),
    };
    let config = dir.join("run.toml");
    match &bittensor {
        Some(bittensor) => {
            network.add_on(&plan, bittensor)?;
            bittensor.tell_seat(&config)?;
        }
        None => eprint!("uid {}; ", network.add(&plan)?),
    }
    eprintln!("start it with: cov72 {} --config {}", command_of(plan.role), config.display());
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

    /// Makes a network on a dev chain of its own.
    pub(crate) fn create(dir: &Path, plan: &NetworkPlan) -> Result<Self, Failure> {
        let pace = plan.pace(&ON_DEV_CHAIN)?;
        Self::make(dir, plan, &pace, |folder| {
            let blocks = Blocks::EveryMs(pace.block_ms);
            let options = DevChainOptions { blocks, ..DevChainOptions::default() };
            let file = folder.path("chain.sqlite");
            let chain = DevChain::create(&file, options, Arc::new(SystemClock))?;
            let keypair = folder.keypair()?;
            // Its seat takes what validators give to nobody.
            chain.register(NETUID, &keypair)?;
            Ok((keypair, Arc::new(chain)))
        })
    }

    /// Makes a network on Bittensor, whose run the hotkey there owns.
    fn create_on(dir: &Path, plan: &NetworkPlan, on: &Bittensor) -> Result<Self, Failure> {
        let pace = plan.pace(&ON_BITTENSOR)?;
        let keypair = on.owner()?;
        Self::make(dir, plan, &pace, |_| Ok((keypair, on.chain.clone())))
    }

    /// Makes data, chain and signed run description, the description last. `on_chain` tells who
    /// owns the run, and on which chain its windows are counted.
    fn make(
        dir: &Path,
        plan: &NetworkPlan,
        pace: &Pace,
        on_chain: impl FnOnce(&RunFolder) -> Result<(Keypair, Arc<dyn Chain>), Failure>,
    ) -> Result<Self, Failure> {
        let asked = plan.asked()?;
        let config = plan.config(&asked)?;
        std::fs::create_dir_all(dir).map_err(|error| Failure::io("make", dir, &error))?;
        let dir = absolute(dir)?;
        let folder = RunFolder::claim(&dir)?;
        let data: Dataset = dataset(&config, &dir)?;
        refuse_unasked(&config, asked.objective, &data)?;
        let (keypair, chain) = on_chain(&folder)?;
        let mut run = describe(&config, &data, keypair.hotkey(), None)?;
        // Drawing the first parameters took its time.
        run.windows = pace.windows(chain.head()?.number);
        if plan.data.is_some() {
            folder.replace(DATA_PLACE, absolute(data.dir())?.display().to_string().as_bytes())?;
        }
        let genesis = config.node.genesis.display().to_string();
        folder.replace(GENESIS_PLACE, genesis.as_bytes())?;
        folder.keep_run(&SignedRun::sign(run, &keypair)?)?;
        Ok(Self { dir })
    }

    /// Makes a node's folder and takes its seat.
    pub(crate) fn add(&self, plan: &NodePlan<'_>) -> Result<wire::Uid, Failure> {
        let (folder, path) = self.write(plan, None)?;
        self.seat(plan, &folder, &path).inspect_err(|_| take_back(&path))
    }

    /// Makes a node's folder; its seat is bought elsewhere, and it leaves its note itself.
    fn add_on(&self, plan: &NodePlan<'_>, on: &Bittensor) -> Result<(), Failure> {
        let (_, path) = self.write(plan, Some(on))?;
        check_note(&path, on).inspect_err(|_| take_back(&path))
    }

    /// Writes the configuration of a new node, and tells where.
    fn write(
        &self,
        plan: &NodePlan<'_>,
        on: Option<&Bittensor>,
    ) -> Result<(RunFolder, PathBuf), Failure> {
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
        folder.replace("run.toml", self.toml(plan, &folder, on)?.as_bytes())?;
        Ok((folder, path))
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
        let (_, note) = note_of(path)?;
        // So that others look for its bucket from the first window on.
        chain.commit(NETUID, &keypair, &note)?;
        Ok(uid)
    }
}

/// Removes the configuration of what became no node; the same command may be tried again.
fn take_back(path: &Path) {
    let _ = std::fs::remove_file(path);
}

/// Checks that the chain takes the note of the node whose configuration lies at `path`.
fn check_note(path: &Path, on: &Bittensor) -> Result<(), Failure> {
    let (config, note) = note_of(path)?;
    let (bytes, most) = (note.len(), on.chain.limits()?.commitment_bytes_max);
    if bytes > most {
        return Err(Failure::usage(format!(
            "--bucket and --read-key make a note of {bytes} bytes, and the chain takes {most}; \
             give shorter names"
        )));
    }
    if !config.network.bucket.contains(':') {
        eprintln!(
            "the bucket is a folder, which nobody beyond this machine can read; for strangers \
             give --bucket s3://.. and --read-key FILE.toml"
        );
    }
    Ok(())
}

/// The configuration at `path`, and the note that tells others where that node's bucket is.
fn note_of(path: &Path) -> Result<(Config, Vec<u8>), Failure> {
    let Some((config, _)) = Config::of_network(path)? else {
        return Err(Failure::ours(format!("{} names no network", path.display())));
    };
    let place = setup::own_bucket(&config)?.public.to_string();
    let note = Note { place, manifest: None };
    let bytes = note
        .to_bytes()
        .map_err(|fault| Failure::usage(format!("--bucket is no place to tell others: {fault}")))?;
    Ok((config, bytes))
}
