//! Which chain a network is on, and how a node gets there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chain::subtensor::{Connection, Subtensor, SubtensorOptions};
use chain::{Chain, DevChain, SystemClock};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use wire::{Keypair, Netuid};

use super::Config;
use crate::failure::Failure;
use crate::on_chain::ask_password;

/// Time for one question to a node of the chain.
const REQUEST: Duration = Duration::from_secs(20);
/// For which a transaction is waited.
const PATIENCE: Duration = Duration::from_secs(900);

/// A kind of chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChainKind {
    /// A file that processes of one machine share; `network.chain` names it.
    Dev,
    /// Bittensor.
    Subtensor,
}

/// Where the chain is. All but `kind` counts on Bittensor only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChainPlace {
    /// Which chain.
    pub(crate) kind: ChainKind,
    /// Nodes of it, `wss://..`; the first that answers is asked.
    pub(crate) endpoints: Vec<String>,
    /// Hash of the chain's first block, `0x..`; empty to take that of the first node.
    pub(crate) genesis: String,
    /// File of the node's hotkey in a wallet.
    pub(crate) hotkey: PathBuf,
    /// Milliseconds between two looks for a new block.
    pub(crate) look_ms: u64,
}

impl Default for ChainPlace {
    fn default() -> Self {
        Self {
            kind: ChainKind::Dev,
            endpoints: Vec::new(),
            genesis: String::new(),
            hotkey: PathBuf::new(),
            look_ms: 2_000,
        }
    }
}

impl ChainPlace {
    /// Bittensor by its endpoints; `payer` buys seats for so many RAO at most.
    pub(crate) fn subtensor(
        &self,
        netuid: Netuid,
        payer: Option<(Keypair, u64)>,
    ) -> Result<Subtensor, Failure> {
        if self.endpoints.is_empty() {
            return Err(Failure::usage(
                "chain.endpoints names no node of Bittensor; add one, such as \
                 \"wss://entrypoint-finney.opentensor.ai:443\"",
            ));
        }
        let is_socket = |url: &&String| url.starts_with("wss://") || url.starts_with("ws://");
        if let Some(other) = self.endpoints.iter().find(|url| !is_socket(url)) {
            return Err(Failure::usage(format!("{other:?} must begin with wss:// or ws://")));
        }
        let genesis = (!self.genesis.is_empty()).then(|| self.genesis.to_lowercase());
        let is_hash = |hash: &str| {
            let digits = hash.strip_prefix("0x").unwrap_or_default();
            digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if let Some(other) = genesis.as_deref().filter(|genesis| !is_hash(genesis)) {
            return Err(Failure::usage(format!(
                "{other:?} is no genesis; give 0x and 64 hex digits, as cov72 chain info shows it"
            )));
        }
        let connection = Connection::new(self.endpoints.clone(), genesis, REQUEST)
            .map_err(|error| Failure::ours(format!("cannot start threads: {error}")))?;
        let look = Duration::from_millis(self.look_ms.max(1));
        let options = SubtensorOptions { netuid, look, patience: PATIENCE, payer };
        Ok(Subtensor::new(Arc::new(connection), options, Arc::new(SystemClock)))
    }
}

impl Config {
    /// The chain of the network.
    pub(crate) fn open_chain(&self) -> Result<Arc<dyn Chain>, Failure> {
        Ok(match self.chain.kind {
            ChainKind::Dev => Arc::new(DevChain::open(&self.network.chain, Arc::new(SystemClock))?),
            ChainKind::Subtensor => {
                Arc::new(self.chain.subtensor(Netuid(self.network.netuid), None)?)
            }
        })
    }

    /// The hotkey that a wallet holds for this node; none on a dev chain, where the run folder
    /// holds one.
    pub(crate) fn wallet_key(&self) -> Result<Option<Keypair>, Failure> {
        let file = &self.chain.hotkey;
        match (self.chain.kind, file.as_os_str().is_empty()) {
            (ChainKind::Dev, _) => Ok(None),
            (ChainKind::Subtensor, true) => Err(Failure::usage(
                "chain.hotkey names no key; make one with cov72 wallet create, and give its file",
            )),
            (ChainKind::Subtensor, false) => {
                Ok(Some(chain::wallet::read_key(file, &ask_password)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<ChainPlace, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_place_needs_only_what_it_says() {
        let place = place("kind = \"subtensor\"\nendpoints = [\"wss://a\", \"wss://b\"]").unwrap();
        assert_eq!((place.kind, place.endpoints.len()), (ChainKind::Subtensor, 2));
        assert_eq!(place.look_ms, ChainPlace::default().look_ms);
    }

    #[test]
    fn what_leads_nowhere_is_refused_before_a_connection_is_made() {
        assert!(place("kind = \"ether\"").is_err());
        let refused = |endpoints: &[&str]| {
            let endpoints = endpoints.iter().map(|url| url.to_string()).collect();
            let place = ChainPlace { endpoints, ..ChainPlace::default() };
            place.subtensor(Netuid(1), None).map(drop).unwrap_err()
        };
        let none = refused(&[]);
        assert_eq!(none.exit, 2);
        assert!(none.message.contains("chain.endpoints"), "{}", none.message);
        assert!(refused(&["https://a"]).message.contains("wss://"));
    }
}
