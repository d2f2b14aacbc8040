//! What hotkeys say on the dev chain, and said before: notes in the order in which they were left.

use std::ops::RangeInclusive;

use rusqlite::{OptionalExtension, Row, Transaction};
use wire::{BlockNumber, Hotkey, Netuid};

use crate::ledger::block_of;
use crate::{COMMITMENTS_MAX, Commitment};

/// Leaves a note after all that are there.
pub(crate) fn add(
    transaction: &Transaction<'_>,
    netuid: Netuid,
    hotkey: Hotkey,
    note: &Commitment,
) -> rusqlite::Result<()> {
    let insert = "INSERT INTO commitments VALUES (?1, ?2, ?3, ?4)";
    transaction.execute(insert, (netuid.0, hotkey.0, note.block.0 as i64, &note.bytes))?;
    Ok(())
}

/// The newest note of `hotkey`, if it left one.
pub(crate) fn newest_of(
    transaction: &Transaction<'_>,
    netuid: Netuid,
    hotkey: Hotkey,
) -> rusqlite::Result<Option<Commitment>> {
    let select = "SELECT block, note FROM commitments WHERE netuid = ?1 AND hotkey = ?2
                  ORDER BY rowid DESC LIMIT 1";
    transaction.query_row(select, (netuid.0, hotkey.0), note_of_row).optional()
}

/// The newest note of everybody who left one, by hotkey.
pub(crate) fn newest(
    transaction: &Transaction<'_>,
    netuid: Netuid,
) -> rusqlite::Result<Vec<(Hotkey, Commitment)>> {
    let select = "SELECT block, note, hotkey, max(rowid) FROM commitments WHERE netuid = ?1
                  GROUP BY hotkey ORDER BY hotkey";
    let mut statement = transaction.prepare_cached(select)?;
    let notes = statement.query_map([netuid.0], |row| Ok((Hotkey(row.get(2)?), note_of_row(row)?)));
    notes?.collect()
}

/// The oldest notes that `hotkey` left in `blocks`, oldest first.
pub(crate) fn left_in(
    transaction: &Transaction<'_>,
    netuid: Netuid,
    hotkey: Hotkey,
    blocks: RangeInclusive<BlockNumber>,
) -> rusqlite::Result<Vec<Commitment>> {
    let select = "SELECT block, note FROM commitments WHERE netuid = ?1 AND hotkey = ?2
                  AND block BETWEEN ?3 AND ?4 ORDER BY rowid LIMIT ?5";
    let ends = [blocks.start(), blocks.end()].map(|block| i64::try_from(block.0));
    let [first, last] = ends.map(|end| end.unwrap_or(i64::MAX));
    let values = (netuid.0, hotkey.0, first, last, COMMITMENTS_MAX as i64);
    transaction.prepare_cached(select)?.query_map(values, note_of_row)?.collect()
}

fn note_of_row(row: &Row<'_>) -> rusqlite::Result<Commitment> {
    Ok(Commitment { block: block_of(row, 0)?, bytes: row.get(1)? })
}
