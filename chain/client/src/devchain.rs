//! A chain in one SQLite file, shared by every process on the machine that opens it.
//!
//! Blocks come either by the clock, counted from a genesis time stored in the file so that all
//! processes agree, or on demand, so that a run on one machine never waits. There is no money:
//! registration is free and stake is given. Signatures are not checked: whoever can write the file
//! is trusted.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Transaction;
use wire::{BlockNumber, Hotkey, Keypair, Netuid, Uid};

use crate::clock::wait_for_block;
use crate::ledger::{Fault, Ledger, Settings};
use crate::{Chain, ChainError, ChainLimits, Clock, Commitment, Head, Metagraph, Weights};
use crate::{notes, seats, stakes_of, votes};

/// Nominal time between blocks on demand, so that timestamps grow as on a real chain.
const ON_DEMAND_BLOCK_MS: u64 = 12_000;

/// How often a wait looks for blocks that another process makes.
const POLL: Duration = Duration::from_millis(20);

/// Where blocks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// From the clock, one every so many milliseconds.
    EveryMs(u64),
    /// From [`DevChain::advance`].
    OnDemand,
}

/// What is fixed when a dev chain is created. Whoever opens it later gets what was fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevChainOptions {
    /// Where blocks come from.
    pub blocks: Blocks,
    /// Longest commitment.
    pub commitment_bytes_max: usize,
    /// Seats per subnet.
    pub seats_max: u16,
    /// Blocks between two settings of weights by one validator.
    pub weights_every_blocks: u64,
}

/// Blocks on demand and the limits of a Bittensor subnet.
impl Default for DevChainOptions {
    fn default() -> Self {
        Self {
            blocks: Blocks::OnDemand,
            commitment_bytes_max: 384,
            seats_max: 256,
            weights_every_blocks: 100,
        }
    }
}

/// The embedded chain.
pub struct DevChain {
    ledger: Ledger,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl DevChain {
    /// Opens the chain in the file `path`, making it if there is none; `options` count only then.
    ///
    /// # Errors
    /// The file is something else, is of a newer schema, or cannot be written.
    pub fn create(
        path: &Path,
        options: DevChainOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ChainError> {
        let settings = new_settings(options, &*clock)?;
        let (ledger, settings) = Ledger::create(path, settings)?;
        Ok(Self { ledger, settings, clock })
    }

    /// Opens the chain in the file `path`.
    ///
    /// # Errors
    /// There is none, or it is of a newer schema, or it cannot be written.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, ChainError> {
        let (ledger, settings) = Ledger::open(path)?;
        Ok(Self { ledger, settings, clock })
    }

    /// A chain that lives as long as this value and is seen by this process only.
    ///
    /// # Errors
    /// The options ask for blocks in no time.
    pub fn in_memory(options: DevChainOptions, clock: Arc<dyn Clock>) -> Result<Self, ChainError> {
        let settings = new_settings(options, &*clock)?;
        Ok(Self { ledger: Ledger::in_memory(settings)?, settings, clock })
    }

    /// What was fixed when the chain was created.
    pub fn options(&self) -> DevChainOptions {
        self.settings.options
    }

    /// Makes `blocks` more blocks, for all processes.
    ///
    /// # Errors
    /// This chain's blocks come from the clock.
    pub fn advance(&self, blocks: u64) -> Result<Head, ChainError> {
        if let Blocks::EveryMs(block_ms) = self.options().blocks {
            return Err(ChainError::BlocksByClock { block_ms });
        }
        self.ledger.write(|transaction| {
            let update = "UPDATE settings SET head = head + ?1";
            transaction.execute(update, [blocks as i64])?;
            self.head_in(transaction)
        })
    }

    /// Gives `hotkey` this much stake on every subnet; with any at all its weights count.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_stake(&self, hotkey: Hotkey, stake_rao: u64) -> Result<(), ChainError> {
        self.ledger.write(|transaction| {
            let block = self.head_in(transaction)?.number;
            let stake_rao = i64::try_from(stake_rao).unwrap_or(i64::MAX);
            let upsert = "INSERT OR REPLACE INTO stakes VALUES (?1, ?2, ?3)";
            transaction.execute(upsert, (hotkey.0, block.0 as i64, stake_rao))?;
            Ok(())
        })
    }

    fn head_in(&self, transaction: &Transaction<'_>) -> Result<Head, Fault> {
        let number = match self.options().blocks {
            Blocks::EveryMs(block_ms) => {
                let (now_ms, genesis_ms) = (self.clock.now_ms(), self.settings.genesis_ms);
                if now_ms < genesis_ms {
                    return Err(ChainError::ClockBehind { behind_ms: genesis_ms - now_ms }.into());
                }
                1 + (now_ms - genesis_ms) / block_ms
            }
            Blocks::OnDemand => {
                let select = "SELECT head FROM settings";
                transaction.query_row(select, [], |row| row.get::<_, i64>(0))? as u64
            }
        };
        let number = BlockNumber(number);
        Ok(Head { number, timestamp_ms: self.time_ms(number) })
    }

    /// Block 1 is made at the genesis time, and each later one a block time after the one before.
    fn time_ms(&self, block: BlockNumber) -> u64 {
        let block_ms = match self.options().blocks {
            Blocks::EveryMs(block_ms) => block_ms,
            Blocks::OnDemand => ON_DEMAND_BLOCK_MS,
        };
        let since_ms = block.0.saturating_sub(1).saturating_mul(block_ms);
        self.settings.genesis_ms.saturating_add(since_ms)
    }
}

impl Chain for DevChain {
    fn head(&self) -> Result<Head, ChainError> {
        self.ledger.read(|transaction| self.head_in(transaction))
    }

    fn block_time_ms(&self, block: BlockNumber) -> Result<Option<u64>, ChainError> {
        let by_clock = matches!(self.options().blocks, Blocks::EveryMs(_));
        let known = by_clock || block <= self.head()?.number;
        Ok(known.then(|| self.time_ms(block)))
    }

    fn wait_for_block(&self, block: BlockNumber, timeout: Duration) -> Result<Head, ChainError> {
        wait_for_block(self, &*self.clock, block, timeout, |now_ms| match self.options().blocks {
            Blocks::OnDemand => POLL,
            Blocks::EveryMs(_) => {
                Duration::from_millis(self.time_ms(block).saturating_sub(now_ms).max(1))
            }
        })
    }

    fn limits(&self) -> Result<ChainLimits, ChainError> {
        let DevChainOptions { commitment_bytes_max, seats_max, weights_every_blocks, .. } =
            self.options();
        Ok(ChainLimits { commitment_bytes_max, seats_max, weights_every_blocks })
    }

    fn register(&self, netuid: Netuid, hotkey: &Keypair) -> Result<Uid, ChainError> {
        let (hotkey, seats_max) = (hotkey.hotkey(), self.options().seats_max);
        self.ledger.write(|transaction| match seats::find(transaction, netuid, hotkey)? {
            Some(uid) => Ok(uid),
            None => {
                let block = self.head_in(transaction)?.number;
                seats::take(transaction, netuid, hotkey, block, seats_max)
            }
        })
    }

    fn uid_of(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Uid>, ChainError> {
        self.ledger.read(|transaction| Ok(seats::find(transaction, netuid, hotkey)?))
    }

    fn commit(&self, netuid: Netuid, hotkey: &Keypair, note: &[u8]) -> Result<(), ChainError> {
        let (bytes, bytes_max) = (note.len(), self.options().commitment_bytes_max);
        if bytes > bytes_max {
            return Err(ChainError::CommitmentTooLarge { bytes, bytes_max });
        }
        let hotkey = hotkey.hotkey();
        self.ledger.write(|transaction| {
            if seats::find(transaction, netuid, hotkey)?.is_none() {
                return Err(ChainError::NotRegistered { netuid, hotkey }.into());
            }
            let block = self.head_in(transaction)?.number;
            Ok(notes::add(transaction, netuid, hotkey, &Commitment { block, bytes: note.into() })?)
        })
    }

    fn commitment(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Commitment>, ChainError> {
        self.ledger.read(|transaction| Ok(notes::newest_of(transaction, netuid, hotkey)?))
    }

    fn commitments(&self, netuid: Netuid) -> Result<Vec<(Hotkey, Commitment)>, ChainError> {
        self.ledger.read(|transaction| Ok(notes::newest(transaction, netuid)?))
    }

    fn commitments_in(
        &self,
        netuid: Netuid,
        hotkey: Hotkey,
        blocks: RangeInclusive<BlockNumber>,
    ) -> Result<Vec<Commitment>, ChainError> {
        self.ledger.read(|transaction| Ok(notes::left_in(transaction, netuid, hotkey, blocks)?))
    }

    fn metagraph(&self, netuid: Netuid) -> Result<Metagraph, ChainError> {
        self.ledger.read(|transaction| {
            let block = self.head_in(transaction)?.number;
            Ok(Metagraph { block, neurons: seats::neurons(transaction, netuid)? })
        })
    }

    fn stakes_at(
        &self,
        netuid: Netuid,
        block: BlockNumber,
    ) -> Result<Vec<(Hotkey, u64)>, ChainError> {
        let neurons =
            self.ledger.read(|transaction| Ok(seats::neurons_at(transaction, netuid, block)?))?;
        Ok(stakes_of(&neurons))
    }

    fn set_weights(
        &self,
        netuid: Netuid,
        hotkey: &Keypair,
        shares: &[(Uid, u16)],
        version_key: u64,
    ) -> Result<(), ChainError> {
        let (hotkey, every) = (hotkey.hotkey(), self.options().weights_every_blocks);
        self.ledger.write(|transaction| {
            let head = self.head_in(transaction)?.number;
            let neurons = seats::neurons(transaction, netuid)?;
            let voter = neurons.iter().find(|neuron| neuron.hotkey == hotkey);
            let voter = *voter.ok_or(ChainError::NotRegistered { netuid, hotkey })?;
            votes::check(&neurons, voter, netuid, shares, head, every)?;
            let votes = Weights { block: head, version_key, shares: shares.to_vec() };
            Ok(votes::replace(transaction, netuid, voter.uid, &votes)?)
        })
    }

    fn weights(&self, netuid: Netuid, uid: Uid) -> Result<Option<Weights>, ChainError> {
        self.ledger.read(|transaction| Ok(votes::find(transaction, netuid, uid)?))
    }
}

fn new_settings(options: DevChainOptions, clock: &dyn Clock) -> Result<Settings, ChainError> {
    if options.blocks == Blocks::EveryMs(0) {
        return Err(ChainError::NoBlockTime);
    }
    Ok(Settings { genesis_ms: clock.now_ms(), options })
}
