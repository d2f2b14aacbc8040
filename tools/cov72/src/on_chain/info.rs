//! `cov72 chain info`: whether a chain answers, how far it is, what it allows.

use chain::{Chain, Clock, SystemClock, tao};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Site, Where};
use crate::config::ChainKind;
use crate::failure::Failure;
use crate::stdout;

const EXAMPLES: &str = "\
Examples:
  cov72 chain info --config net/alice/run.toml
  cov72 chain info --endpoint wss://entrypoint-finney.opentensor.ai:443 --netuid 3";

/// Look at a chain.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ChainArgs {
    #[command(subcommand)]
    command: ChainCommand,
}

#[derive(Debug, Subcommand)]
enum ChainCommand {
    /// Show head, clock, runtime and limits
    #[command(after_help = EXAMPLES)]
    Info(InfoArgs),
}

#[derive(Args, Debug)]
struct InfoArgs {
    #[command(flatten)]
    place: Where,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// The contract of `chain info --json`: other tools rely on these keys.
#[derive(Serialize)]
struct Info {
    netuid: u16,
    block: u64,
    /// By how much this machine's clock is ahead of the newest finalized block's.
    clock_ahead_ms: i64,
    seats_max: u16,
    commitment_bytes_max: usize,
    weights_every_blocks: u64,
    /// What there is of it on Bittensor only.
    bittensor: Option<Bittensor>,
}

#[derive(Serialize)]
struct Bittensor {
    genesis: String,
    spec_version: u32,
    seat_price_rao: u64,
    /// Whether the subnet takes sealed votes only, which cov72 cannot make.
    sealed_votes: bool,
}

/// Runs the command.
pub(crate) fn run(args: &ChainArgs) -> Result<(), Failure> {
    let ChainCommand::Info(args) = &args.command;
    let site = args.place.site()?;
    let info = match site.place.kind {
        ChainKind::Dev => read(&site, &*site.chain()?)?,
        ChainKind::Subtensor => {
            let chain = site.subtensor(None)?;
            let bittensor = Bittensor {
                genesis: chain.genesis()?,
                spec_version: chain.spec_version()?,
                seat_price_rao: chain.seat_price_rao(site.netuid)?,
                sealed_votes: chain.takes_sealed_votes(site.netuid)?,
            };
            Info { bittensor: Some(bittensor), ..read(&site, &chain)? }
        }
    };
    if args.json {
        return stdout::print_json(&info);
    }
    stdout::print(|out| {
        writeln!(out, "netuid               {}", info.netuid)?;
        writeln!(out, "block                {}", info.block)?;
        writeln!(out, "clock ahead of it    {:.1} s", info.clock_ahead_ms as f64 / 1_000.0)?;
        writeln!(out, "seats                {} at most", info.seats_max)?;
        writeln!(out, "note                 {} bytes at most", info.commitment_bytes_max)?;
        writeln!(out, "votes                every {} blocks", info.weights_every_blocks)?;
        let Some(bittensor) = &info.bittensor else { return Ok(()) };
        let votes = match bittensor.sealed_votes {
            true => "sealed only, which cov72 cannot make",
            false => "open",
        };
        writeln!(out, "votes are            {votes}")?;
        writeln!(out, "a seat costs         {}", tao(bittensor.seat_price_rao))?;
        writeln!(out, "runtime              spec version {}", bittensor.spec_version)?;
        writeln!(out, "genesis              {}", bittensor.genesis)
    })
}

fn read(site: &Site, chain: &dyn Chain) -> Result<Info, Failure> {
    let (head, limits) = (chain.head()?, chain.limits()?);
    Ok(Info {
        netuid: site.netuid.0,
        block: head.number.0,
        clock_ahead_ms: SystemClock.now_ms() as i64 - head.timestamp_ms as i64,
        seats_max: limits.seats_max,
        commitment_bytes_max: limits.commitment_bytes_max,
        weights_every_blocks: limits.weights_every_blocks,
        bittensor: None,
    })
}
