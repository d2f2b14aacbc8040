//! A network on Bittensor: which nodes of the chain and which subnet, asked before anything is
//! made, and kept in the network's folder, so that only its first node must be told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chain::subtensor::Subtensor;
use chain::wallet::{read_address, read_key, ss58};
use chain::{Chain, tao};
use clap::Args;
use serde::{Deserialize, Serialize};
use wire::{Hotkey, Keypair, Netuid, Uid};

use crate::config::{ChainKind, ChainPlace, absolute};
use crate::failure::Failure;
use crate::on_chain::{KeyName, ask_password};
use crate::train::replace_file;

/// Where a network's folder says that it is on Bittensor.
const FILE: &str = "chain.toml";

/// Bittensor in place of a dev chain.
#[derive(Args, Debug)]
#[command(next_help_heading = "Bittensor")]
pub(super) struct BittensorArgs {
    /// The chain of a new network; one that is there knows its own [default: dev]
    #[arg(long, value_enum)]
    chain: Option<ChainKind>,
    /// The subnet
    #[arg(long, value_name = "N")]
    netuid: Option<u16>,
    /// A node of Bittensor, wss://HOST:PORT; several times for several, of which the first that
    /// answers is asked
    #[arg(long, value_name = "URL")]
    endpoint: Vec<String>,
    /// Hash of the chain's first block, 0x.. [default: what --endpoint says]
    #[arg(long, value_name = "HASH")]
    genesis: Option<String>,
    #[command(flatten)]
    key: KeyName,
}

/// What a network's folder keeps of its chain.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    netuid: u16,
    endpoints: Vec<String>,
    genesis: String,
}

/// A subnet of Bittensor that answered, and whose hotkey is at hand.
pub(super) struct Bittensor {
    pub(super) netuid: Netuid,
    pub(super) place: ChainPlace,
    pub(super) chain: Arc<Subtensor>,
    hotkey: Hotkey,
    /// What a seat costs now, in RAO.
    price_rao: u64,
}

impl BittensorArgs {
    /// The subnet that the network in `network` is on, or is to be on; none on a dev chain.
    pub(super) fn find(&self, network: &Path) -> Result<Option<Bittensor>, Failure> {
        let kept = Kept::read(network)?;
        let other = |is: &str| {
            Failure::usage(format!(
                "the network in {} is on {is}; leave out --chain, or give another --network",
                network.display()
            ))
        };
        let is_dev = network.join("chain.sqlite").exists();
        match (self.chain, &kept) {
            (Some(ChainKind::Dev), Some(_)) => return Err(other("Bittensor")),
            (Some(ChainKind::Subtensor), None) if is_dev => {
                return Err(other("a dev chain"));
            }
            (None | Some(ChainKind::Dev), None) if self.says_more() => {
                return Err(Failure::usage(
                    "--netuid, --endpoint, --genesis, --wallets, --wallet and --hotkey are for \
                     Bittensor; add --chain subtensor",
                ));
            }
            (None, None) if network.join("run.json").exists() && !is_dev => {
                return Err(Failure::usage(format!(
                    "{} holds a run and no word of its chain; add --chain subtensor, --netuid N \
                     and --endpoint URL",
                    network.display()
                )));
            }
            (None | Some(ChainKind::Dev), None) => return Ok(None),
            (None | Some(ChainKind::Subtensor), _) => {}
        }
        self.ask(kept).map(Some)
    }

    fn says_more(&self) -> bool {
        let of_chain = self.netuid.is_some() || self.genesis.is_some();
        of_chain || !self.endpoint.is_empty() || self.key.is_given()
    }

    /// What the chain says, by what is given and else what was kept.
    fn ask(&self, kept: Option<Kept>) -> Result<Bittensor, Failure> {
        let of_network = kept.as_ref().map(|kept| kept.netuid);
        let netuid = match (self.netuid, of_network) {
            (Some(asked), Some(kept)) if asked != kept => {
                return Err(Failure::usage(format!(
                    "--netuid {asked} is not that of the network, which is on {kept}; leave it out"
                )));
            }
            (asked, kept) => asked.or(kept).map(Netuid),
        };
        let (endpoints, genesis) =
            kept.map(|kept| (kept.endpoints, kept.genesis)).unwrap_or_default();
        let endpoints = if self.endpoint.is_empty() { endpoints } else { self.endpoint.clone() };
        let Some(netuid) = netuid.filter(|_| !endpoints.is_empty()) else {
            return Err(Failure::usage(
                "--chain subtensor needs --netuid N and --endpoint URL, such as \
                 wss://entrypoint-finney.opentensor.ai:443",
            ));
        };
        let file = absolute(&self.key.path()?)?;
        let hotkey = read_address(&file)?;
        let genesis = self.genesis.clone().unwrap_or(genesis);
        let kind = ChainKind::Subtensor;
        let place = ChainPlace { kind, endpoints, genesis, hotkey: file, ..ChainPlace::default() };
        let chain = Arc::new(place.subtensor(netuid, None)?);
        let price_rao = chain.seat_price_rao(netuid)?;
        let genesis = chain.genesis()?;
        if place.genesis.is_empty() {
            eprintln!("this chain's genesis is {genesis}: compare it with what others see");
        }
        if chain.takes_sealed_votes(netuid)? {
            eprintln!(
                "netuid {netuid} takes sealed votes only, which cov72 cannot make: validators of \
                 this network will judge, and pay nobody"
            );
        }
        let place = ChainPlace { genesis, ..place };
        Ok(Bittensor { netuid, place, chain, hotkey, price_rao })
    }
}

impl Bittensor {
    /// The key that signs a new network's run.
    pub(super) fn owner(&self) -> Result<Keypair, Failure> {
        Ok(read_key(&self.place.hotkey, &ask_password)?)
    }

    /// Leaves word of the chain in the folder of a network that has none yet.
    pub(super) fn keep(&self, network: &Path) -> Result<(), Failure> {
        if Kept::path(network).exists() {
            return Ok(());
        }
        let ChainPlace { endpoints, genesis, .. } = self.place.clone();
        let kept = Kept { netuid: self.netuid.0, endpoints, genesis };
        let text = toml::to_string(&kept).expect("plain data");
        let text = format!("# Where on Bittensor this network is; for cov72 init.\n{text}");
        replace_file(network, FILE, text.as_bytes())
    }

    /// Says whether the node of `config` has a seat, and else how it gets one; seats are bought by
    /// a coldkey, which is not asked for here.
    pub(super) fn tell_seat(&self, config: &Path) -> Result<(), Failure> {
        let (netuid, address) = (self.netuid, ss58(self.hotkey));
        match self.chain.uid_of(netuid, self.hotkey)? {
            Some(Uid(uid)) => eprintln!("{address} has uid {uid} on netuid {netuid}"),
            None => eprintln!(
                "{address} has no seat on netuid {netuid}; one costs {} now. Buy it with: \
                 cov72 register --config {}",
                tao(self.price_rao),
                config.display()
            ),
        }
        Ok(())
    }

    /// The section `[chain]` of a node's file.
    pub(super) fn section(&self) -> String {
        let ChainPlace { endpoints, genesis, hotkey, look_ms, .. } = &self.place;
        format!(
            "[chain]\n\
             # Bittensor, through nodes of it: the first that answers is asked.\n\
             kind = \"subtensor\"\n\
             endpoints = {endpoints}\n\
             # Hash of the chain's first block: a node of another chain is refused.\n\
             genesis = {genesis}\n\
             # This node's hotkey in a wallet. The coldkey is not needed here.\n\
             hotkey = {hotkey}\n\
             # Milliseconds between two looks for a new block.\n\
             look_ms = {look_ms}\n",
            endpoints = toml::Value::from(endpoints.clone()),
            genesis = toml::Value::from(genesis.as_str()),
            hotkey = toml::Value::from(hotkey.display().to_string()),
        )
    }
}

impl Kept {
    fn path(network: &Path) -> PathBuf {
        network.join(FILE)
    }

    fn read(network: &Path) -> Result<Option<Self>, Failure> {
        let path = Self::path(network);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| Failure::io("read", &path, &error))?,
        };
        toml::from_str(&text).map(Some).map_err(|error| {
            Failure::damaged(format!(
                "{} does not read: {}; delete it, and give --chain subtensor again",
                path.display(),
                error.message()
            ))
        })
    }
}
