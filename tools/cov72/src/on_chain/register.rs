//! `cov72 register`: buys a seat on a subnet of Bittensor for a hotkey, or prints the call that
//! does, for a coldkey that is elsewhere.

use std::path::PathBuf;

use chain::Chain;
use chain::wallet::{read_hotkey, ss58};
use clap::Args;
use wire::Uid;

use super::{RAO, Where, tao};
use crate::failure::Failure;
use crate::stdout;

const EXAMPLES: &str = "\
Examples:
  cov72 register --config net/alice/run.toml --max-burn 0.5 --print    the call, to sign elsewhere
  cov72 register --endpoint wss://test.finney.opentensor.ai:443 --netuid 3 --max-burn 0.5 --hotkey hot --coldkey cold";

/// Buy a seat on a subnet. What it costs is burned; the coldkey pays.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    place: Where,
    /// File of the hotkey in a wallet [default: chain.hotkey of --config]
    #[arg(long, value_name = "FILE")]
    hotkey: Option<PathBuf>,
    /// File of the coldkey that pays, without password; better not on this machine: see --print
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    coldkey: Option<PathBuf>,
    /// Most that the seat may cost [default: what it costs now]
    #[arg(long, value_name = "TAO")]
    max_burn: Option<f64>,
    /// Print the call instead of sending it
    #[arg(long)]
    print: bool,
}

/// Runs the command.
pub(crate) fn run(args: &RegisterArgs) -> Result<(), Failure> {
    let named = match (&args.hotkey, args.place.place()?.2) {
        (Some(file), _) => Some(read_hotkey(file)?),
        (None, Some(config)) => config.wallet_key()?,
        (None, None) => None,
    };
    let Some(hotkey) = named else {
        return Err(Failure::usage(
            "no hotkey is named; give --hotkey FILE, as cov72 wallet create makes one",
        ));
    };
    let limit_rao = args.max_burn.map(|tao| (tao * RAO) as u64);
    let (chain, netuid) = args.place.subtensor(None)?;
    let price_rao = chain.seat_price_rao(netuid)?;
    let price_max_rao = limit_rao.unwrap_or(price_rao);
    if let Some(Uid(uid)) = chain.uid_of(netuid, hotkey.hotkey())? {
        eprintln!("{} has uid {uid} on netuid {netuid} already", ss58(hotkey.hotkey()));
        return Ok(());
    }
    if args.print {
        let (call, bytes) = chain.seat_call(netuid, hotkey.hotkey(), price_max_rao)?;
        let (pallet, name) = call.names();
        eprintln!("a seat on netuid {netuid} costs {} now; sign with the coldkey:", tao(price_rao));
        return stdout::print(|out| {
            writeln!(out, "call    {pallet}.{name}")?;
            writeln!(out, "netuid  {netuid}")?;
            writeln!(out, "hotkey  {}", ss58(hotkey.hotkey()))?;
            if name == "register_limit" {
                writeln!(out, "limit   {price_max_rao} RAO")?;
            }
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(out, "bytes   0x{digits}")
        });
    }
    let Some(coldkey) = &args.coldkey else {
        return Err(Failure::usage(
            "no coldkey is named; give --coldkey FILE, or --print to sign the call elsewhere",
        ));
    };
    let payer = read_hotkey(coldkey)?;
    eprintln!(
        "a seat on netuid {netuid} costs {}; paying up to {}",
        tao(price_rao),
        tao(price_max_rao)
    );
    let (chain, _) = args.place.subtensor(Some((payer, price_max_rao)))?;
    let Uid(uid) = chain.register(netuid, &hotkey)?;
    eprintln!("{} has uid {uid} on netuid {netuid}", ss58(hotkey.hotkey()));
    Ok(())
}
