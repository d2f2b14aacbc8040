//! A chain in one SQLite file, shared by every process on the machine that opens it.
//!
//! Blocks come either by the clock, counted from a genesis time stored in the file so that all
//! processes agree, or on demand, so that a run on one machine never waits. There is no money:
//! registration is free and stake is given. Signatures are not checked: whoever can write the file
//! is trusted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{OptionalExtension, Row, Transaction};
use wire::{BlockNumber, Hotkey, Keypair, Netuid, Uid};

use crate::ledger::{Ledger, Settings};
use crate::{Chain, ChainError, ChainLimits, Clock, Commitment, Head, Metagraph, Neuron, Weights};

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
            transaction.execute(update, [blocks as i64]).map_err(|e| self.ledger.sql(e))?;
            self.head_in(transaction)
        })
    }

    /// Gives `hotkey` this much stake on every subnet; with any at all its weights count.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_stake(&self, hotkey: Hotkey, stake_rao: u64) -> Result<(), ChainError> {
        self.ledger.write(|transaction| {
            let upsert = "INSERT INTO stakes VALUES (?1, ?2)
                          ON CONFLICT (hotkey) DO UPDATE SET stake_rao = excluded.stake_rao";
            let stake_rao = i64::try_from(stake_rao).unwrap_or(i64::MAX);
            let done = transaction.execute(upsert, (hotkey.0, stake_rao));
            done.map(drop).map_err(|source| self.ledger.sql(source))
        })
    }

    fn head_in(&self, transaction: &Transaction<'_>) -> Result<Head, ChainError> {
        let number = match self.options().blocks {
            Blocks::EveryMs(block_ms) => {
                let (now_ms, genesis_ms) = (self.clock.now_ms(), self.settings.genesis_ms);
                if now_ms < genesis_ms {
                    return Err(ChainError::ClockBehind { behind_ms: genesis_ms - now_ms });
                }
                1 + (now_ms - genesis_ms) / block_ms
            }
            Blocks::OnDemand => {
                let select = "SELECT head FROM settings";
                let head = transaction.query_row(select, [], |row| row.get::<_, i64>(0));
                head.map_err(|source| self.ledger.sql(source))? as u64
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

    fn seat_in(
        &self,
        transaction: &Transaction<'_>,
        netuid: Netuid,
        hotkey: Hotkey,
    ) -> Result<Option<Uid>, ChainError> {
        let select = "SELECT uid FROM neurons WHERE netuid = ?1 AND hotkey = ?2";
        let uid = transaction.query_row(select, (netuid.0, hotkey.0), |row| row.get(0)).optional();
        uid.map(|uid| uid.map(Uid)).map_err(|source| self.ledger.sql(source))
    }

    fn neurons_in(
        &self,
        transaction: &Transaction<'_>,
        netuid: Netuid,
    ) -> Result<Vec<Neuron>, ChainError> {
        let select = "SELECT uid, hotkey, coalesce(stake_rao, 0), registered_block, last_update
                      FROM neurons LEFT JOIN stakes USING (hotkey)
                      WHERE netuid = ?1 ORDER BY uid";
        let read = || {
            let mut statement = transaction.prepare_cached(select)?;
            statement.query_map([netuid.0], neuron_of_row)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|source| self.ledger.sql(source))
    }

    /// Takes the lowest free seat.
    fn seat_newcomer(
        &self,
        transaction: &Transaction<'_>,
        netuid: Netuid,
        hotkey: Hotkey,
    ) -> Result<Uid, ChainError> {
        let taken = self.neurons_in(transaction, netuid)?;
        let free = taken.iter().zip(0..).position(|(neuron, uid)| neuron.uid != Uid(uid));
        let free = free.unwrap_or(taken.len());
        let seats_max = self.options().seats_max;
        if free >= usize::from(seats_max) {
            return Err(ChainError::SeatsTaken { netuid, seats_max });
        }
        let block = self.head_in(transaction)?.number;
        let insert = "INSERT INTO neurons (netuid, uid, hotkey, registered_block)
                      VALUES (?1, ?2, ?3, ?4)";
        let values = (netuid.0, free as i64, hotkey.0, block.0 as i64);
        transaction.execute(insert, values).map_err(|source| self.ledger.sql(source))?;
        Ok(Uid(free as u16))
    }

    /// Checks that this hotkey may vote so, in the order in which Bittensor does.
    fn check_vote(
        &self,
        neurons: &[Neuron],
        netuid: Netuid,
        hotkey: Hotkey,
        shares: &[(Uid, u16)],
        head: BlockNumber,
    ) -> Result<Uid, ChainError> {
        let voter = neurons.iter().find(|neuron| neuron.hotkey == hotkey);
        let voter = voter.ok_or(ChainError::NotRegistered { netuid, hotkey })?;
        let (uid, last_update) = (voter.uid, voter.last_update);
        let next_block = BlockNumber(last_update.0 + self.options().weights_every_blocks);
        if last_update.0 > 0 && head < next_block {
            return Err(ChainError::WeightsTooOften { uid, last_update, next_block });
        }
        let only_itself = matches!(shares, [(target, _)] if *target == uid);
        if !voter.validator_permit && !only_itself {
            return Err(ChainError::NoPermit { netuid, uid });
        }
        let mut seen = std::collections::HashSet::new();
        for (uid, _) in shares.iter().copied() {
            if !seen.insert(uid) {
                return Err(ChainError::DuplicateUid { uid });
            }
            if !neurons.iter().any(|neuron| neuron.uid == uid) {
                return Err(ChainError::UnknownUid { netuid, uid });
            }
        }
        Ok(uid)
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
        let deadline_ms = self.clock.now_ms().saturating_add(timeout.as_millis() as u64);
        loop {
            let head = self.head()?;
            if head.number >= block {
                return Ok(head);
            }
            let now_ms = self.clock.now_ms();
            if now_ms >= deadline_ms {
                let (wanted, head, after) = (block, head.number, timeout);
                return Err(ChainError::BlockTimeout { wanted, head, after });
            }
            let pause = match self.options().blocks {
                Blocks::OnDemand => POLL,
                Blocks::EveryMs(_) => {
                    Duration::from_millis(self.time_ms(block).saturating_sub(now_ms).max(1))
                }
            };
            self.clock.sleep(pause.min(Duration::from_millis(deadline_ms - now_ms)));
        }
    }

    fn limits(&self) -> Result<ChainLimits, ChainError> {
        let DevChainOptions { commitment_bytes_max, seats_max, weights_every_blocks, .. } =
            self.options();
        Ok(ChainLimits { commitment_bytes_max, seats_max, weights_every_blocks })
    }

    fn register(&self, netuid: Netuid, hotkey: &Keypair) -> Result<Uid, ChainError> {
        let hotkey = hotkey.hotkey();
        self.ledger.write(|transaction| match self.seat_in(transaction, netuid, hotkey)? {
            Some(uid) => Ok(uid),
            None => self.seat_newcomer(transaction, netuid, hotkey),
        })
    }

    fn uid_of(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Uid>, ChainError> {
        self.ledger.read(|transaction| self.seat_in(transaction, netuid, hotkey))
    }

    fn commit(&self, netuid: Netuid, hotkey: &Keypair, note: &[u8]) -> Result<(), ChainError> {
        let (bytes, bytes_max) = (note.len(), self.options().commitment_bytes_max);
        if bytes > bytes_max {
            return Err(ChainError::CommitmentTooLarge { bytes, bytes_max });
        }
        let hotkey = hotkey.hotkey();
        self.ledger.write(|transaction| {
            if self.seat_in(transaction, netuid, hotkey)?.is_none() {
                return Err(ChainError::NotRegistered { netuid, hotkey });
            }
            let block = self.head_in(transaction)?.number;
            let upsert = "INSERT INTO commitments VALUES (?1, ?2, ?3, ?4)
                          ON CONFLICT (netuid, hotkey)
                          DO UPDATE SET block = excluded.block, note = excluded.note";
            let values = (netuid.0, hotkey.0, block.0 as i64, note);
            let done = transaction.execute(upsert, values);
            done.map(drop).map_err(|source| self.ledger.sql(source))
        })
    }

    fn commitment(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Commitment>, ChainError> {
        self.ledger.read(|transaction| {
            let select = "SELECT block, note FROM commitments WHERE netuid = ?1 AND hotkey = ?2";
            let note = transaction.query_row(select, (netuid.0, hotkey.0), |row| {
                Ok(Commitment { block: block_of(row, 0)?, bytes: row.get(1)? })
            });
            note.optional().map_err(|source| self.ledger.sql(source))
        })
    }

    fn metagraph(&self, netuid: Netuid) -> Result<Metagraph, ChainError> {
        self.ledger.read(|transaction| {
            let block = self.head_in(transaction)?.number;
            Ok(Metagraph { block, neurons: self.neurons_in(transaction, netuid)? })
        })
    }

    fn set_weights(
        &self,
        netuid: Netuid,
        hotkey: &Keypair,
        shares: &[(Uid, u16)],
        version_key: u64,
    ) -> Result<(), ChainError> {
        self.ledger.write(|transaction| {
            let head = self.head_in(transaction)?.number;
            let neurons = self.neurons_in(transaction, netuid)?;
            let uid = self.check_vote(&neurons, netuid, hotkey.hotkey(), shares, head)?;
            let write = || {
                let delete = "DELETE FROM weights WHERE netuid = ?1 AND uid = ?2";
                transaction.execute(delete, (netuid.0, uid.0))?;
                let insert = "INSERT INTO weights VALUES (?1, ?2, ?3, ?4)";
                let mut insert = transaction.prepare_cached(insert)?;
                for (target, share) in shares {
                    insert.execute((netuid.0, uid.0, target.0, share))?;
                }
                let update = "UPDATE neurons SET last_update = ?3, version_key = ?4
                              WHERE netuid = ?1 AND uid = ?2";
                let values = (netuid.0, uid.0, head.0 as i64, version_key as i64);
                transaction.execute(update, values)
            };
            write().map(drop).map_err(|source| self.ledger.sql(source))
        })
    }

    fn weights(&self, netuid: Netuid, uid: Uid) -> Result<Option<Weights>, ChainError> {
        let read = |transaction: &Transaction<'_>| {
            let select = "SELECT last_update, version_key FROM neurons
                          WHERE netuid = ?1 AND uid = ?2 AND last_update > 0";
            let voted = transaction.query_row(select, (netuid.0, uid.0), |row| {
                Ok((block_of(row, 0)?, row.get::<_, i64>(1)? as u64))
            });
            let Some((block, version_key)) = voted.optional()? else { return Ok(None) };
            let select = "SELECT target, share FROM weights
                          WHERE netuid = ?1 AND uid = ?2 ORDER BY target";
            let mut statement = transaction.prepare_cached(select)?;
            let shares = statement
                .query_map((netuid.0, uid.0), |row| Ok((Uid(row.get(0)?), row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            Ok(Some(Weights { block, version_key, shares }))
        };
        self.ledger.read(|transaction| read(transaction).map_err(|source| self.ledger.sql(source)))
    }
}

fn new_settings(options: DevChainOptions, clock: &dyn Clock) -> Result<Settings, ChainError> {
    if options.blocks == Blocks::EveryMs(0) {
        return Err(ChainError::NoBlockTime);
    }
    Ok(Settings { genesis_ms: clock.now_ms(), options })
}

fn neuron_of_row(row: &Row<'_>) -> rusqlite::Result<Neuron> {
    let stake_rao = row.get::<_, i64>(2)? as u64;
    Ok(Neuron {
        uid: Uid(row.get(0)?),
        hotkey: Hotkey(row.get(1)?),
        stake_rao,
        registered_block: block_of(row, 3)?,
        last_update: block_of(row, 4)?,
        validator_permit: stake_rao > 0,
    })
}

fn block_of(row: &Row<'_>, column: usize) -> rusqlite::Result<BlockNumber> {
    Ok(BlockNumber(row.get::<_, i64>(column)? as u64))
}
