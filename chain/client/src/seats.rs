//! Who sits where on each subnet of the dev chain.

use rusqlite::{OptionalExtension, Row, Transaction};
use wire::{BlockNumber, Hotkey, Netuid, Uid};

use crate::ledger::{Fault, block_of};
use crate::{ChainError, Neuron};

/// The seat of `hotkey`, if it has one.
pub(crate) fn find(
    transaction: &Transaction<'_>,
    netuid: Netuid,
    hotkey: Hotkey,
) -> rusqlite::Result<Option<Uid>> {
    let select = "SELECT uid FROM neurons WHERE netuid = ?1 AND hotkey = ?2";
    transaction.query_row(select, (netuid.0, hotkey.0), |row| Ok(Uid(row.get(0)?))).optional()
}

/// Takes the lowest free seat for a newcomer.
pub(crate) fn take(
    transaction: &Transaction<'_>,
    netuid: Netuid,
    hotkey: Hotkey,
    block: BlockNumber,
    seats_max: u16,
) -> Result<Uid, Fault> {
    let taken = neurons(transaction, netuid)?;
    let gap = taken.iter().zip(0..).position(|(neuron, uid)| neuron.uid != Uid(uid));
    let free = gap.unwrap_or(taken.len());
    if free >= usize::from(seats_max) {
        return Err(ChainError::SeatsTaken { netuid, seats_max }.into());
    }
    let uid = Uid(free as u16);
    let insert = "INSERT INTO neurons (netuid, uid, hotkey, registered_block)
                  VALUES (?1, ?2, ?3, ?4)";
    transaction.execute(insert, (netuid.0, uid.0, hotkey.0, block.0 as i64))?;
    Ok(uid)
}

/// All seats taken, in uid order.
pub(crate) fn neurons(
    transaction: &Transaction<'_>,
    netuid: Netuid,
) -> rusqlite::Result<Vec<Neuron>> {
    neurons_at(transaction, netuid, BlockNumber(u64::MAX))
}

/// Those taken at the end of `block`, with the stakes of that time, in uid order.
pub(crate) fn neurons_at(
    transaction: &Transaction<'_>,
    netuid: Netuid,
    block: BlockNumber,
) -> rusqlite::Result<Vec<Neuron>> {
    let select = "SELECT uid, hotkey,
                      coalesce((SELECT stake_rao FROM stakes
                                WHERE stakes.hotkey = neurons.hotkey AND block <= ?2
                                ORDER BY block DESC LIMIT 1), 0),
                      registered_block, last_update
                  FROM neurons WHERE netuid = ?1 AND registered_block <= ?2 ORDER BY uid";
    let block = i64::try_from(block.0).unwrap_or(i64::MAX);
    transaction.prepare_cached(select)?.query_map((netuid.0, block), neuron_of_row)?.collect()
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
