//! A chain that is read much more often than it is written: what it says of seats and notes is
//! remembered until the next write, since every node asks at every look.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chain::{Chain, ChainError, ChainLimits, Commitment, DevChain, Head, Metagraph, Weights};
use wire::{BlockNumber, Hotkey, Keypair, Netuid, Uid};

use super::forger::Forger;

/// A chain with one subnet, as far as it is remembered.
pub(super) struct QuickChain {
    chain: DevChain,
    known: Mutex<Known>,
    /// Who announces something else than its node says.
    forgers: Vec<Arc<Forger>>,
}

#[derive(Default)]
struct Known {
    metagraph: Option<Metagraph>,
    notes: Option<Vec<(Hotkey, Commitment)>>,
}

impl QuickChain {
    /// Nothing is known yet.
    pub(super) fn new(chain: DevChain, forgers: Vec<Arc<Forger>>) -> Self {
        Self { chain, known: Mutex::default(), forgers }
    }

    /// Leaves a note as it is, whoever does.
    pub(super) fn commit_unchanged(
        &self,
        netuid: Netuid,
        hotkey: &Keypair,
        note: &[u8],
    ) -> Result<(), ChainError> {
        self.forget();
        self.chain.commit(netuid, hotkey, note)
    }

    /// Gives `hotkey` this much stake.
    pub(super) fn set_stake(&self, hotkey: Hotkey, stake_rao: u64) -> Result<(), ChainError> {
        self.forget();
        self.chain.set_stake(hotkey, stake_rao)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        *self.known() = Known::default();
    }
}

impl Chain for QuickChain {
    fn head(&self) -> Result<Head, ChainError> {
        self.chain.head()
    }

    fn block_time_ms(&self, block: BlockNumber) -> Result<Option<u64>, ChainError> {
        self.chain.block_time_ms(block)
    }

    fn wait_for_block(&self, block: BlockNumber, timeout: Duration) -> Result<Head, ChainError> {
        self.chain.wait_for_block(block, timeout)
    }

    fn limits(&self) -> Result<ChainLimits, ChainError> {
        self.chain.limits()
    }

    fn register(&self, netuid: Netuid, hotkey: &Keypair) -> Result<Uid, ChainError> {
        self.forget();
        self.chain.register(netuid, hotkey)
    }

    fn uid_of(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Uid>, ChainError> {
        self.chain.uid_of(netuid, hotkey)
    }

    fn commit(&self, netuid: Netuid, hotkey: &Keypair, note: &[u8]) -> Result<(), ChainError> {
        let is_of = |forger: &&Arc<Forger>| forger.keypair.hotkey() == hotkey.hotkey();
        match self.forgers.iter().find(is_of) {
            Some(forger) => self.commit_unchanged(netuid, hotkey, &forger.announce(note)),
            None => self.commit_unchanged(netuid, hotkey, note),
        }
    }

    fn commitment(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Commitment>, ChainError> {
        self.chain.commitment(netuid, hotkey)
    }

    fn commitments(&self, netuid: Netuid) -> Result<Vec<(Hotkey, Commitment)>, ChainError> {
        if let Some(notes) = &self.known().notes {
            return Ok(notes.clone());
        }
        let notes = self.chain.commitments(netuid)?;
        self.known().notes = Some(notes.clone());
        Ok(notes)
    }

    fn commitments_in(
        &self,
        netuid: Netuid,
        hotkey: Hotkey,
        blocks: RangeInclusive<BlockNumber>,
    ) -> Result<Vec<Commitment>, ChainError> {
        self.chain.commitments_in(netuid, hotkey, blocks)
    }

    fn metagraph(&self, netuid: Netuid) -> Result<Metagraph, ChainError> {
        if let Some(metagraph) = &self.known().metagraph {
            return Ok(metagraph.clone());
        }
        let metagraph = self.chain.metagraph(netuid)?;
        self.known().metagraph = Some(metagraph.clone());
        Ok(metagraph)
    }

    fn stakes_at(
        &self,
        netuid: Netuid,
        block: BlockNumber,
    ) -> Result<Vec<(Hotkey, u64)>, ChainError> {
        self.chain.stakes_at(netuid, block)
    }

    fn set_weights(
        &self,
        netuid: Netuid,
        hotkey: &Keypair,
        shares: &[(Uid, u16)],
        version_key: u64,
    ) -> Result<(), ChainError> {
        self.forget();
        self.chain.set_weights(netuid, hotkey, shares, version_key)
    }

    fn weights(&self, netuid: Netuid, uid: Uid) -> Result<Option<Weights>, ChainError> {
        self.chain.weights(netuid, uid)
    }
}
