//! `cov72 register`: buys a seat on a subnet of Bittensor for a hotkey, or prints the call that
//! does, for a coldkey that is elsewhere.

use std::path::{Path, PathBuf};

use chain::subtensor::Subtensor;
use chain::wallet::{read_address, read_key, ss58};
use chain::{Chain, rao_of, tao};
use clap::Args;
use wire::{Hotkey, Netuid, Uid};

use super::wallet::KeyName;
use super::{Site, Where, ask_password};
use crate::config::ChainKind;
use crate::failure::Failure;
use crate::stdout;

const EXAMPLES: &str = "\
Examples:
  cov72 register --config net/alice/run.toml --max-burn 0.5 --print    the call, to sign elsewhere
  cov72 register --endpoint wss://test.finney.opentensor.ai:443 --netuid 3 --hotkey alice";

/// Buy a seat on a subnet of Bittensor. What it costs is burned; the wallet's coldkey pays.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    key: KeyName,
    /// File of the coldkey that pays [default: that of the wallet]; better not on this machine: see
    /// --print
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    coldkey: Option<PathBuf>,
    /// Most that the seat may cost [default: what it costs now]
    #[arg(long, value_name = "TAO", value_parser = amount)]
    max_burn: Option<u64>,
    /// Print the call instead of sending it
    #[arg(long)]
    print: bool,
}

fn amount(text: &str) -> Result<u64, String> {
    rao_of(text).ok_or_else(|| "give an amount such as 0.5, with at most 9 decimals".to_string())
}

/// Runs the command.
pub(crate) fn run(args: &RegisterArgs) -> Result<(), Failure> {
    let site = args.place.site()?;
    if site.place.kind == ChainKind::Dev {
        return Err(Failure::usage(
            "this network is on a dev chain, where whoever comes has a seat; start the node",
        ));
    }
    let (file, netuid) = (hotkey_file(args, &site)?, site.netuid);
    let hotkey = read_address(&file)?;
    let chain = site.subtensor(None)?;
    let price_rao = chain.seat_price_rao(netuid)?;
    if let Some(uid) = chain.uid_of(netuid, hotkey)? {
        eprintln!("{} has its seat on netuid {netuid} already", ss58(hotkey));
        return show(uid);
    }
    let price_max_rao = args.max_burn.unwrap_or(price_rao);
    if args.print {
        eprintln!("a seat costs {} now; sign this with the coldkey:", tao(price_rao));
        return print_call(&chain, netuid, hotkey, price_max_rao);
    }
    if price_max_rao < price_rao {
        return Err(Failure::refused(format!(
            "a seat on netuid {netuid} costs {} now, more than the {} of --max-burn; wait, or pay \
             more",
            tao(price_rao),
            tao(price_max_rao)
        )));
    }
    let payer = read_key(&coldkey_file(args, &file)?, &ask_password)?;
    eprintln!("a seat on netuid {netuid} costs {} now, which is burned", tao(price_rao));
    let chain = site.subtensor(Some((payer, price_max_rao)))?;
    show(chain.buy_seat(netuid, hotkey)?)
}

fn show(Uid(uid): Uid) -> Result<(), Failure> {
    stdout::print(|out| writeln!(out, "uid {uid}"))
}

/// The hotkey that is named, or else that of the node.
fn hotkey_file(args: &RegisterArgs, site: &Site) -> Result<PathBuf, Failure> {
    let of_node = site.config.as_ref().map(|config| &config.chain.hotkey);
    match of_node.filter(|file| !file.as_os_str().is_empty() && !args.key.is_given()) {
        Some(file) => Ok(file.clone()),
        None => args.key.path(),
    }
}

/// The coldkey that is named, or else that of the hotkey's wallet.
fn coldkey_file(args: &RegisterArgs, hotkey: &Path) -> Result<PathBuf, Failure> {
    if let Some(file) = &args.coldkey {
        return Ok(file.clone());
    }
    let folder = hotkey.parent().filter(|folder| folder.ends_with("hotkeys"));
    let file = folder.and_then(Path::parent).map(|wallet| wallet.join("coldkey"));
    file.filter(|file| file.exists()).ok_or_else(|| {
        Failure::precondition(format!(
            "the wallet of {} holds no coldkey here; name one by --coldkey FILE, or give --print \
             and sign the call where it is",
            hotkey.display()
        ))
    })
}

fn print_call(
    chain: &Subtensor,
    netuid: Netuid,
    hotkey: Hotkey,
    price_max_rao: u64,
) -> Result<(), Failure> {
    let (call, bytes) = chain.seat_call(netuid, hotkey, price_max_rao)?;
    let (pallet, name) = call.names();
    stdout::print(|out| {
        writeln!(out, "call         {pallet}.{name}")?;
        writeln!(out, "netuid       {netuid}")?;
        writeln!(out, "hotkey       {}", ss58(hotkey))?;
        if name == "register_limit" {
            writeln!(out, "limit_price  {price_max_rao} RAO")?;
        }
        writeln!(out, "bytes        0x{}", hex::encode(bytes))
    })
}
