//! What validators of the dev chain vote, and who may vote what.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Transaction};
use wire::{BlockNumber, Netuid, Uid};

use crate::ledger::block_of;
use crate::{ChainError, Neuron, Weights};

/// Checks that `voter` may vote so at block `head`, in the order in which Bittensor does.
pub(crate) fn check(
    neurons: &[Neuron],
    voter: Neuron,
    netuid: Netuid,
    shares: &[(Uid, u16)],
    head: BlockNumber,
    every_blocks: u64,
) -> Result<(), ChainError> {
    let (uid, last_update) = (voter.uid, voter.last_update);
    let next_block = BlockNumber(last_update.0 + every_blocks);
    if last_update.0 > 0 && head < next_block {
        return Err(ChainError::WeightsTooOften { uid, last_update, next_block });
    }
    let only_itself = matches!(shares, [(target, _)] if *target == uid);
    if !voter.validator_permit && !only_itself {
        return Err(ChainError::NoPermit { netuid, uid });
    }
    let known: HashSet<_> = neurons.iter().map(|neuron| neuron.uid).collect();
    let mut seen = HashSet::new();
    for (uid, _) in shares.iter().copied() {
        if !seen.insert(uid) {
            return Err(ChainError::DuplicateUid { uid });
        }
        if !known.contains(&uid) {
            return Err(ChainError::UnknownUid { netuid, uid });
        }
    }
    Ok(())
}

/// Replaces all votes of the validator on seat `uid`.
pub(crate) fn replace(
    transaction: &Transaction<'_>,
    netuid: Netuid,
    uid: Uid,
    votes: &Weights,
) -> rusqlite::Result<()> {
    let delete = "DELETE FROM weights WHERE netuid = ?1 AND uid = ?2";
    transaction.execute(delete, (netuid.0, uid.0))?;
    let mut insert = transaction.prepare_cached("INSERT INTO weights VALUES (?1, ?2, ?3, ?4)")?;
    for (target, share) in &votes.shares {
        insert.execute((netuid.0, uid.0, target.0, share))?;
    }
    let update = "UPDATE neurons SET last_update = ?3, version_key = ?4
                  WHERE netuid = ?1 AND uid = ?2";
    let values = (netuid.0, uid.0, votes.block.0 as i64, votes.version_key as i64);
    transaction.execute(update, values)?;
    Ok(())
}

/// The votes of the validator on seat `uid`, if it ever voted.
pub(crate) fn find(
    transaction: &Transaction<'_>,
    netuid: Netuid,
    uid: Uid,
) -> rusqlite::Result<Option<Weights>> {
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
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Weights { block, version_key, shares }))
}
