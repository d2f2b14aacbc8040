//! `cov72 localnet`: a whole network on this machine, one process per node, each with a folder, a
//! bucket, a key and a configuration that an operator could have written.
//!
//! This process only starts, watches and stops the others; all it knows of them it reads from
//! their records, as anybody could.

mod events;
mod nodes;
mod report;
mod view;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use wire::Role;

use crate::failure::Failure;
use crate::init::{NetworkFolder, NetworkPlan, NodePlan};
use crate::train::stop_on_interrupt;
use events::{Event, PeerAtWindow};
use nodes::Nodes;
use view::View;

/// Stake of the first validator, in 10^-9 of a token; each further one has a little less.
const STAKE_RAO: u64 = 1_000_000_000_000;
/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  cov72 localnet                                   four miners, one validator, ten windows
  cov72 localnet --peers 4 --validators 2 --windows 20 --join 3@5 --kill 1@8 --restart 1@11
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
    let network = make_network(args)?;
    let mut nodes = Nodes::new(&args.dir, args.peers, args.validators, args.windows);
    let threads = threads_per_node(args.peers);
    for node in 0..args.peers + args.validators {
        if !events.iter().any(|event| event.is_join_of(node)) {
            start(args, &network, &mut nodes, node, threads)?;
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
                _ => start(args, &network, &mut nodes, event.peer, threads)?,
            }
        }
        view.show(&nodes);
    }
    nodes.look()?;
    view.close();
    let report = report::Report::new(&nodes, args.windows);
    eprintln!("{}", report.table());
    if args.json {
        println!("{}", report.json());
    }
    report.verdict(&args.dir)
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
    nodes: &mut Nodes,
    node: u16,
    threads: usize,
) -> Result<(), Failure> {
    let role = if node < args.peers { Role::Miner } else { Role::Validator };
    let dir = nodes.dir(node).to_path_buf();
    if !Path::new(&dir).join("run.toml").exists() {
        let stake_rao = STAKE_RAO - u64::from(node);
        let plan = NodePlan { dir: &dir, role, stake_rao, bucket: None, threads };
        nodes.seated(node, network.add(&plan)?);
    }
    nodes.start(node)
}

/// Cores are shared by the miners; a validator needs little.
fn threads_per_node(peers: u16) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / usize::from(peers)).max(1)
}
