//! The commands that look at a chain or take a seat on it, and the keys they do it with.

mod info;
mod metagraph;
mod password;
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
pub(crate) use password::{ask_password, ask_secret};
pub(crate) use register::{RegisterArgs, run as register};
pub(crate) use wallet::{KeyName, WalletArgs, run as wallet};

/// Which chain a command is about.
#[derive(Args, Debug)]
struct Where {
    /// Configuration of a node, whose network's chain it is
    #[arg(long, value_name = "FILE.toml", conflicts_with_all = ["endpoint", "genesis"])]
    config: Option<PathBuf>,
    /// A node of Bittensor, wss://HOST:PORT; may be given several times
    #[arg(long, value_name = "URL")]
    endpoint: Vec<String>,
    /// Hash of the chain's first block, 0x..: a node of another chain is refused
    #[arg(long, value_name = "HASH")]
    genesis: Option<String>,
    /// The subnet [default: that of --config]
    #[arg(long, value_name = "N")]
    netuid: Option<u16>,
}

/// A subnet of a chain.
struct Site {
    /// Of the node whose network it is, if one was named.
    config: Option<Config>,
    place: ChainPlace,
    netuid: Netuid,
}

impl Where {
    fn site(&self) -> Result<Site, Failure> {
        if let Some(path) = &self.config {
            let Some((config, _)) = Config::of_network(path)? else {
                return Err(Failure::usage(format!(
                    "{} names no network; give the run.toml of one of its nodes, or --endpoint",
                    path.display()
                )));
            };
            let netuid = Netuid(self.netuid.unwrap_or(config.network.netuid));
            return Ok(Site { place: config.chain.clone(), netuid, config: Some(config) });
        }
        let Some(netuid) = self.netuid.filter(|_| !self.endpoint.is_empty()) else {
            return Err(Failure::usage(
                "no chain is named; give --config FILE.toml of a node, or --endpoint URL of \
                 Bittensor and --netuid N",
            ));
        };
        let (endpoints, genesis) =
            (self.endpoint.clone(), self.genesis.clone().unwrap_or_default());
        let kind = ChainKind::Subtensor;
        let place = ChainPlace { kind, endpoints, genesis, ..ChainPlace::default() };
        Ok(Site { config: None, place, netuid: Netuid(netuid) })
    }
}

impl Site {
    /// Either chain.
    fn chain(&self) -> Result<Arc<dyn Chain>, Failure> {
        match &self.config {
            Some(config) => config.open_chain(),
            None => Ok(Arc::new(self.subtensor(None)?)),
        }
    }

    /// Bittensor; `payer` buys seats for so many RAO at most.
    fn subtensor(&self, payer: Option<(Keypair, u64)>) -> Result<Subtensor, Failure> {
        self.place.subtensor(self.netuid, payer)
    }
}
