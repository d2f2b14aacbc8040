//! `cov72 metagraph`: who sits on a subnet.

use std::collections::HashMap;

use clap::Args;
use serde::Serialize;
use wire::{Hotkey, ReferenceNote};

use super::Where;
use crate::failure::Failure;
use crate::stdout;

const EXAMPLES: &str = "\
Examples:
  cov72 metagraph --config net/alice/run.toml
  cov72 metagraph --endpoint wss://entrypoint-finney.opentensor.ai:443 --netuid 3 --json";

/// Show the seats of a subnet: who, stake, since when, last vote.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MetagraphArgs {
    #[command(flatten)]
    place: Where,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// The contract of `metagraph --json`: other tools rely on these keys.
#[derive(Serialize)]
struct Seats {
    netuid: u16,
    block: u64,
    seats: Vec<Seat>,
}

#[derive(Serialize)]
struct Seat {
    uid: u16,
    hotkey: Hotkey,
    address: String,
    stake_rao: u64,
    registered_block: u64,
    /// Block of its last vote; if it never voted 0, or on Bittensor that of its registration.
    last_update_block: u64,
    validator: bool,
    /// The bucket that its note names in the reference implementation's way.
    reference_bucket: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &MetagraphArgs) -> Result<(), Failure> {
    let site = args.place.site()?;
    let (chain, netuid) = (site.chain()?, site.netuid);
    let metagraph = chain.metagraph(netuid)?;
    let foreign: HashMap<_, _> = chain
        .commitments(netuid)?
        .into_iter()
        .filter_map(|(hotkey, note)| Some((hotkey, ReferenceNote::parse(&note.bytes)?.account)))
        .collect();
    let seat = |neuron: &chain::Neuron| Seat {
        uid: neuron.uid.0,
        hotkey: neuron.hotkey,
        address: chain::wallet::ss58(neuron.hotkey),
        stake_rao: neuron.stake_rao,
        registered_block: neuron.registered_block.0,
        last_update_block: neuron.last_update.0,
        validator: neuron.validator_permit,
        reference_bucket: foreign.get(&neuron.hotkey).cloned(),
    };
    let seats: Vec<_> = metagraph.neurons.iter().map(seat).collect();
    if args.json {
        let block = metagraph.block.0;
        return stdout::print_json(&Seats { netuid: netuid.0, block, seats });
    }
    stdout::print(|out| {
        writeln!(
            out,
            "{:>5}  {:<48}  {:>24}  {:>10}  {:>10}  role",
            "uid", "address", "stake", "since", "last vote"
        )?;
        for seat in &seats {
            let role = if seat.validator { "validator" } else { "miner" };
            let (uid, address, stake) = (seat.uid, &seat.address, chain::tao(seat.stake_rao));
            let (since, last) = (seat.registered_block, seat.last_update_block);
            let bucket = seat.reference_bucket.as_ref();
            let bucket = bucket.map_or(String::new(), |name| format!(", reference bucket {name}"));
            writeln!(
                out,
                "{uid:>5}  {address:<48}  {stake:>24}  {since:>10}  {last:>10}  {role}{bucket}"
            )?;
        }
        Ok(())
    })
}
