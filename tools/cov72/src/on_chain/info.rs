//! `cov72 chain info`: whether a chain answers, how far it is, what it allows.

use chain::{Chain, Clock, SystemClock};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Where, tao};
use crate::config::ChainKind;
use crate::failure::Failure;
use crate::stdout;

const EXAMPLES: &str = "\
Examples:
  cov72 chain info --config net/alice/run.toml
  cov72 chain info --endpoint wss://entrypoint-finney.opentensor.ai:443 --netuid 3";

/// Look at a chain.
#[derive(Args, Debug)]
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
    block: u64,
    /// By how much this machine's clock is ahead of the newest block's.
    clock_ahead_ms: i64,
    seats_max: u16,
    commitment_bytes_max: usize,
    weights_every_blocks: u64,
    /// On Bittensor only, as the next.
    spec_version: Option<u32>,
    seat_price_rao: Option<u64>,
}

/// Runs the command.
pub(crate) fn run(args: &ChainArgs) -> Result<(), Failure> {
    let ChainCommand::Info(args) = &args.command;
    let info = match args.place.place()?.0.kind {
        ChainKind::Dev => read(&*args.place.open()?.0)?,
        ChainKind::Subtensor => {
            let (chain, netuid) = args.place.subtensor(None)?;
            let spec_version = Some(chain.spec_version()?);
            let seat_price_rao = Some(chain.seat_price_rao(netuid)?);
            Info { spec_version, seat_price_rao, ..read(&chain)? }
        }
    };
    if args.json {
        return stdout::print_json(&info);
    }
    stdout::print(|out| {
        writeln!(out, "block                {}", info.block)?;
        writeln!(out, "clock ahead of it    {:.1} s", info.clock_ahead_ms as f64 / 1_000.0)?;
        writeln!(out, "seats                {}", info.seats_max)?;
        writeln!(out, "note                 {} bytes at most", info.commitment_bytes_max)?;
        writeln!(out, "weights              every {} blocks", info.weights_every_blocks)?;
        if let Some((spec, price)) = info.spec_version.zip(info.seat_price_rao) {
            writeln!(out, "runtime              spec version {spec}")?;
            writeln!(out, "a seat costs         {}", tao(price))?;
        }
        Ok(())
    })
}

fn read(chain: &dyn Chain) -> Result<Info, Failure> {
    let (head, limits) = (chain.head()?, chain.limits()?);
    Ok(Info {
        block: head.number.0,
        clock_ahead_ms: SystemClock.now_ms() as i64 - head.timestamp_ms as i64,
        seats_max: limits.seats_max,
        commitment_bytes_max: limits.commitment_bytes_max,
        weights_every_blocks: limits.weights_every_blocks,
        spec_version: None,
        seat_price_rao: None,
    })
}
