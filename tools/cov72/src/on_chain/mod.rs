//! The commands that look at a chain, or take a seat on it.

mod info;
mod metagraph;
mod register;
mod wallet;

use std::path::PathBuf;
use std::sync::Arc;

use chain::{Chain, subtensor::Subtensor};
use clap::Args;
use wire::{Keypair, Netuid};

use crate::config::{ChainKind, ChainPlace, Config};
use crate::failure::Failure;
pub(crate) use info::{ChainArgs, run as info};
pub(crate) use metagraph::{MetagraphArgs, run as metagraph};
pub(crate) use register::{RegisterArgs, run as register};
pub(crate) use wallet::{WalletArgs, run as wallet};

/// RAO in a TAO.
const RAO: f64 = 1e9;

/// Which chain a command is about.
#[derive(Args, Debug)]
struct Where {
    /// Configuration of a node, whose network's chain it is
    #[arg(long, value_name = "FILE.toml", conflicts_with = "endpoint")]
    config: Option<PathBuf>,
    /// A node of Bittensor, wss://HOST:PORT; may be given several times
    #[arg(long, value_name = "URL")]
    endpoint: Vec<String>,
    /// Hash of the chain's first block, 0x..: a node of another chain is refused
    #[arg(long, value_name = "HASH", default_value = "")]
    genesis: String,
    /// The subnet [default: that of --config]
    #[arg(long, value_name = "N")]
    netuid: Option<u16>,
}

impl Where {
    /// Place and subnet, and the configuration if one is named.
    fn place(&self) -> Result<(ChainPlace, Netuid, Option<Config>), Failure> {
        if let Some(path) = &self.config {
            let Some((config, _)) = Config::of_network(path)? else {
                return Err(Failure::usage(format!(
                    "{} names no network; give the run.toml of one of its nodes, or --endpoint",
                    path.display()
                )));
            };
            let netuid = Netuid(self.netuid.unwrap_or(config.network.netuid));
            return Ok((config.chain.clone(), netuid, Some(config)));
        }
        let Some(netuid) = self.netuid else {
            return Err(Failure::usage("--netuid is missing; name the subnet, or a --config"));
        };
        let (endpoints, genesis) = (self.endpoint.clone(), self.genesis.clone());
        let kind = ChainKind::Subtensor;
        let place = ChainPlace { kind, endpoints, genesis, ..ChainPlace::default() };
        Ok((place, Netuid(netuid), None))
    }

    /// Either chain.
    fn open(&self) -> Result<(Arc<dyn Chain>, Netuid), Failure> {
        let (place, netuid, config) = self.place()?;
        match config {
            Some(config) => Ok((config.open_chain()?, netuid)),
            None => Ok((Arc::new(place.subtensor(netuid, None)?), netuid)),
        }
    }

    /// Bittensor only.
    fn subtensor(&self, payer: Option<(Keypair, u64)>) -> Result<(Subtensor, Netuid), Failure> {
        let (place, netuid, _) = self.place()?;
        match place.kind {
            ChainKind::Subtensor => Ok((place.subtensor(netuid, payer)?, netuid)),
            ChainKind::Dev => Err(Failure::usage(
                "this network is on a dev chain, which takes whoever comes; there is nothing to \
                 do here",
            )),
        }
    }
}

fn tao(rao: u64) -> String {
    format!("{:.9} TAO", rao as f64 / RAO)
}
