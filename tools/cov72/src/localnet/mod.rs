//! `cov72 localnet`: a whole network on this machine, one process per node, each with a folder, a
//! bucket, a key and a configuration that an operator could have written.
//!
//! This process only starts, watches and stops the others; all it knows of them it reads from
//! their records, as anybody could.

mod events;
mod nodes;
mod report;
pub(crate) mod standings;
mod view;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bucket::{Credentials, Place};
use clap::Args;
use wire::Role;

use crate::attack::{AttackBy, Plot};
use crate::config::absolute;
use crate::failure::Failure;
use crate::init::{NetworkFolder, NetworkPlan, NodePlan};
use crate::node::setup;
use crate::train::{RunFolder, stop_on_interrupt};
use events::{Event, PeerAtWindow};
use nodes::Nodes;
use standings::StandingRow;
use view::View;

/// Stake of the first validator, in 10^-9 of a token; each further one has a little less.
const STAKE_RAO: u64 = 1_000_000_000_000;
/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  cov72 localnet                                   four miners, one validator, ten windows
  cov72 localnet --peers 4 --validators 2 --windows 20 --join 3@5 --kill 1@8 --restart 1@11
  cov72 localnet --peers 6 --windows 30 --attack lazy@4 --attack sign-flip@5
  cov72 localnet --json > result.json              one object about all nodes on stdout";

/// Run a whole network on this machine: one process per node, real buckets, a dev chain.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LocalnetArgs {
    /// Miners, numbered from 0
    #[arg(long, value_name = "N", default_value_t = 4)]
    peers: u16,
    /// Validators, which are numbered on behind the miners
    #[arg(long, value_name = "N", default_value_t = 1)]
    validators: u16,
    /// Windows (outer steps)
    #[arg(long, value_name = "N", default_value_t = 10)]
    windows: u64,
    /// Folder of the network; must be new
    #[arg(long, value_name = "RUN", default_value = "runs/localnet")]
    dir: PathBuf,
    /// Start PEER only when window WINDOW has begun; may be given several times
    #[arg(long, value_name = "PEER@WINDOW")]
    join: Vec<PeerAtWindow>,
    /// Kill PEER (as by kill -9) in window WINDOW; may be given several times
    #[arg(long, value_name = "PEER@WINDOW")]
    kill: Vec<PeerAtWindow>,
    /// Start PEER again in window WINDOW; may be given several times
    #[arg(long, value_name = "PEER@WINDOW")]
    restart: Vec<PeerAtWindow>,
    /// Let PEER cheat in this way; may be given several times, a way that takes several peers once
    /// for each of them
    #[arg(long, value_name = "KIND@PEER")]
    attack: Vec<AttackBy>,
    /// Keep all buckets on an S3 service: s3://BUCKET?endpoint=URL&path_style=true, each node under
    /// a prefix of its own; the key pair is that of COV72_S3_ACCESS_KEY and COV72_S3_SECRET_KEY
    #[arg(long, value_name = "URL")]
    s3: Option<String>,
    /// Make storage fail on purpose, as this file plans it
    #[arg(long, value_name = "FILE.toml")]
    faults: Option<PathBuf>,
    /// Print one JSON object on stdout at the end, and nothing else there
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: NetworkPlan,
}

/// Runs the command.
pub(crate) fn run(args: &LocalnetArgs) -> Result<(), Failure> {
    let stop = stop_on_interrupt()?;
    let mut events = plan(args)?;
    let mut means = Means::of(args)?;
    let network = make_network(args)?;
    let mut nodes = Nodes::new(&args.dir, args.peers, args.validators, args.windows);
    means.plots = plots(args, &nodes)?;
    for node in 0..args.peers + args.validators {
        if !events.iter().any(|event| event.is_join_of(node)) {
            start(args, &network, &means, &mut nodes, node)?;
        }
    }
    let mut view = View::new(args.windows);
    while nodes.any_running() || !events.is_empty() {
        if stop.load(Ordering::Relaxed) {
            nodes.stop_all();
            view.close();
            return Err(Failure::interrupted(format!(
                "stopped; what the nodes did lies in {}",
                args.dir.display()
            )));
        }
        std::thread::sleep(LOOK);
        nodes.look()?;
        let window = nodes.window();
        let (due, later): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|event| event.window <= window || nodes.is_over());
        events = later;
        for event in due {
            view.say(&event.to_string());
            match event.kind {
                events::Kind::Kill => nodes.kill(event.peer),
                _ => start(args, &network, &means, &mut nodes, event.peer)?,
            }
        }
        view.show(&nodes);
    }
    nodes.look()?;
    view.close();
    let report = report::Report::new(&nodes, args.windows, standings(args, &nodes)?);
    eprintln!("{}", report.table());
    if args.json {
        println!("{}", report.json());
    }
    report.verdict(&args.dir)
}

/// Where the miners stand by the first validator that judged anything.
fn standings(args: &LocalnetArgs, nodes: &Nodes) -> Result<Vec<StandingRow>, Failure> {
    let attack_of = |uid| {
        let peer = nodes.all.iter().position(|node| node.uid == Some(uid))?;
        let attack = args.attack.iter().find(|attack| usize::from(attack.peer) == peer)?;
        Some(attack.kind.name())
    };
    for dir in nodes.validators() {
        let mut rows = standings::standings_in(dir)?;
        if !rows.is_empty() {
            rows.iter_mut().for_each(|row| row.attack = attack_of(row.uid));
            return Ok(rows);
        }
    }
    Ok(Vec::new())
}

/// What happens when, or a refusal that says which argument is wrong.
fn plan(args: &LocalnetArgs) -> Result<Vec<Event>, Failure> {
    if args.peers == 0 || args.validators == 0 {
        return Err(Failure::usage(
            "a network needs at least one miner (--peers) and one validator (--validators)",
        ));
    }
    let of = |kind: events::Kind, all: &[PeerAtWindow]| -> Vec<Event> {
        all.iter().map(|at| Event { kind, peer: at.peer, window: at.window }).collect()
    };
    let mut events = of(events::Kind::Join, &args.join);
    events.extend(of(events::Kind::Kill, &args.kill));
    events.extend(of(events::Kind::Restart, &args.restart));
    events.sort_by_key(|event| event.window);
    if let Some(attack) = args.attack.iter().find(|attack| attack.peer >= args.peers) {
        return Err(Failure::usage(format!(
            "--attack {}@{}: miners are numbered 0 to {}",
            attack.kind.name(),
            attack.peer,
            args.peers - 1
        )));
    }
    for event in &events {
        let known = event.peer < args.peers + args.validators;
        if !known || event.window > args.windows {
            return Err(Failure::usage(format!(
                "{event}: nodes are numbered 0 to {}, windows 1 to {}",
                args.peers + args.validators - 1,
                args.windows
            )));
        }
    }
    Ok(events)
}

fn make_network(args: &LocalnetArgs) -> Result<NetworkFolder, Failure> {
    if NetworkFolder::open(&args.dir).is_some() {
        return Err(Failure::precondition(format!(
            "{} holds a network already; remove it, or use another --dir",
            args.dir.display()
        )));
    }
    NetworkFolder::create(&args.dir, &args.network)
}

/// Starts a node, making its folder if it has none.
fn start(
    args: &LocalnetArgs,
    network: &NetworkFolder,
    means: &Means,
    nodes: &mut Nodes,
    node: u16,
) -> Result<(), Failure> {
    let role = if node < args.peers { Role::Miner } else { Role::Validator };
    let dir = nodes.dir(node).to_path_buf();
    if !Path::new(&dir).join("run.toml").exists() {
        let stake_rao = STAKE_RAO - u64::from(node);
        let bucket = means.place_of(node);
        let plan = NodePlan {
            dir: &dir,
            role,
            stake_rao,
            bucket: bucket.as_deref(),
            read_key: means.read_key.as_ref(),
            faults: means.faults.as_deref(),
            attack: means.plots.get(&node),
            threads: threads_per_node(args.peers),
            data: None,
            genesis: None,
        };
        nodes.seated(node, network.add(&plan)?);
    }
    nodes.start(node)
}

/// How each node cheats that does, with the keys of all who cheat together. Before any node runs,
/// and holds its folder.
fn plots(args: &LocalnetArgs, nodes: &Nodes) -> Result<BTreeMap<u16, Plot>, Failure> {
    let plot = |own: &AttackBy| {
        let allies = args.attack.iter().filter(|attack| attack.kind == own.kind);
        let hotkey =
            |attack: &AttackBy| Ok(RunFolder::claim(nodes.dir(attack.peer))?.keypair()?.hotkey());
        let allies = match own.kind.peers() {
            1 => Vec::new(),
            _ => allies.map(hotkey).collect::<Result<_, Failure>>()?,
        };
        Ok((own.peer, Plot { kind: own.kind, allies }))
    };
    args.attack.iter().map(plot).collect()
}

/// What nodes are made with: where their buckets are, and how they cheat.
#[derive(Default)]
struct Means {
    /// An S3 place without a prefix, split where the prefix goes.
    s3: Option<(String, String)>,
    read_key: Option<Credentials>,
    faults: Option<PathBuf>,
    plots: BTreeMap<u16, Plot>,
}

impl Means {
    /// What the arguments ask for, or a refusal before anything is made.
    fn of(args: &LocalnetArgs) -> Result<Self, Failure> {
        let faults = args.faults.as_deref().map(|file| {
            setup::faults(file)?;
            absolute(file)
        });
        let faults = faults.transpose()?;
        let Some(url) = &args.s3 else { return Ok(Self { faults, ..Self::default() }) };
        let Place::S3(place) = url.parse()? else {
            return Err(Failure::usage(format!("--s3 {url} does not begin with s3://")));
        };
        if !place.is_local() {
            return Err(Failure::usage(
                "--s3 is for a service on this machine, since every node publishes the key pair it \
                 is read with; give a node on another service a key of its own by cov72 init",
            ));
        }
        let read_key = Credentials::from_env()?;
        let (bucket, query) = url.split_once('?').unwrap_or((url, ""));
        let s3 = Some((bucket.trim_end_matches('/').to_string(), query.to_string()));
        Ok(Self { s3, read_key, faults, plots: BTreeMap::new() })
    }

    fn place_of(&self, node: u16) -> Option<String> {
        let (bucket, query) = self.s3.as_ref()?;
        Some(format!("{bucket}/n{node}?{query}"))
    }
}

/// Cores are shared by the miners; a validator needs little.
fn threads_per_node(peers: u16) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / usize::from(peers)).max(1)
}
