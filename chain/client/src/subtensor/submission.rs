//! One call, signed and sent until a finalized block holds it, and never twice.
//!
//! At most one transaction of a key is in flight. Sending the same bytes again is harmless: they
//! carry a nonce, which the chain takes once. A second signature is made only when the first
//! transaction can surely not take effect any more: its time has passed in finalized blocks, or the
//! runtime that it was signed for is gone. So a lost answer costs time and never a double.

use std::time::Duration;

use super::Refusal;
use super::rpc::RpcFault;
use crate::{ChainError, Clock};

/// Blocks during which a signed transaction may take effect. A power of two, as the chain wants.
pub const MORTAL_BLOCKS: u64 = 64;
/// Most signatures for one call.
const SIGNATURES_MAX: u32 = 4;
/// Blocks without the transaction after which the same bytes are sent again.
const SEND_AGAIN_BLOCKS: u64 = 3;

/// A finalized block, and the runtime that makes the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// Version of the runtime.
    pub spec_version: u32,
}

/// What became of a transaction that a block holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Done,
    /// The runtime refused it.
    Refused(Refusal),
}

/// The chain as far as sending needs it.
pub trait Ledger {
    /// The newest finalized block.
    ///
    /// # Errors
    /// The chain is out of reach.
    fn mark(&self) -> Result<Mark, ChainError>;

    /// The bytes of the call, signed with the nonce that the key has at `from`, for the blocks
    /// after it.
    ///
    /// # Errors
    /// The chain is out of reach, or has no such call.
    fn sign(&self, from: Mark) -> Result<Vec<u8>, ChainError>;

    /// Hands a transaction to the pool.
    ///
    /// # Errors
    /// The pool refuses it, or nobody answers.
    fn send(&self, transaction: &[u8]) -> Result<(), RpcFault>;

    /// What became of `transaction` in the finalized block `number`, if it is there.
    ///
    /// # Errors
    /// The chain is out of reach.
    fn find(&self, transaction: &[u8], number: u64) -> Result<Option<Outcome>, ChainError>;
}

/// How long to wait, and how often to look.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between two looks.
    pub look: Duration,
    /// In all.
    pub total: Duration,
}

/// What is to be done with a transaction that is not in any finalized block yet.
enum Fate {
    Landed(Outcome),
    /// It can never take effect.
    Dead,
}

/// Brings the call of `ledger` onto the chain.
///
/// # Errors
/// The chain refuses the call, or patience ends: then the caller cannot know whether it took
/// effect later, and must look before it calls again.
pub fn submit(
    ledger: &dyn Ledger,
    clock: &dyn Clock,
    patience: Patience,
) -> Result<(), ChainError> {
    let end_ms = clock.now_ms().saturating_add(patience.total.as_millis() as u64);
    let mut last = None;
    for _ in 0..SIGNATURES_MAX {
        let from = again(clock, patience, end_ms, || ledger.mark())?;
        let transaction = again(clock, patience, end_ms, || ledger.sign(from))?;
        if let Err(fault) = ledger.send(&transaction) {
            match refusal(&fault) {
                None | Some(Refusal::AlreadyThere) => {}
                // It never entered a pool, so signing anew cannot double it.
                Some(refused) if refused.signs_anew() => {
                    last = Some(refused);
                    clock.sleep(patience.look);
                    continue;
                }
                Some(refusal) => return Err(ChainError::Refused { refusal }),
            }
        }
        match watch(ledger, clock, patience, end_ms, &transaction, from)? {
            Fate::Landed(Outcome::Done) => return Ok(()),
            Fate::Landed(Outcome::Refused(refusal)) => return Err(ChainError::Refused { refusal }),
            Fate::Dead => last = Some(Refusal::Outdated),
        }
    }
    Err(ChainError::Refused { refusal: last.unwrap_or(Refusal::Outdated) })
}

/// Looks into each finalized block after `from` until one holds the transaction, or none can.
fn watch(
    ledger: &dyn Ledger,
    clock: &dyn Clock,
    patience: Patience,
    end_ms: u64,
    transaction: &[u8],
    from: Mark,
) -> Result<Fate, ChainError> {
    let (mut seen, mut sent) = (from.number, from.number);
    let unsettled = |error, seen| match error {
        ChainError::Unreachable { .. } => ChainError::Unsettled { seen, after: patience.total },
        other => other,
    };
    loop {
        let now = again(clock, patience, end_ms, || ledger.mark());
        let now = now.map_err(|error| unsettled(error, seen))?;
        while seen < now.number {
            let next = seen + 1;
            let found = again(clock, patience, end_ms, || ledger.find(transaction, next));
            if let Some(outcome) = found.map_err(|error| unsettled(error, seen))? {
                return Ok(Fate::Landed(outcome));
            }
            seen = next;
        }
        let is_old = seen >= from.number + MORTAL_BLOCKS;
        if is_old || (seen == now.number && now.spec_version != from.spec_version) {
            return Ok(Fate::Dead);
        }
        if seen >= sent + SEND_AGAIN_BLOCKS {
            // Whatever comes of it, only a block tells what became of the transaction.
            let _ = ledger.send(transaction);
            sent = seen;
        }
        if clock.now_ms() >= end_ms {
            return Err(ChainError::Unsettled { seen, after: patience.total });
        }
        clock.sleep(patience.look);
    }
}

/// Tries until the chain is in reach, or patience ends.
fn again<T>(
    clock: &dyn Clock,
    patience: Patience,
    end_ms: u64,
    work: impl Fn() -> Result<T, ChainError>,
) -> Result<T, ChainError> {
    loop {
        match work() {
            Err(ChainError::Unreachable { .. }) if clock.now_ms() < end_ms => {
                clock.sleep(patience.look);
            }
            done => return done,
        }
    }
}

fn refusal(fault: &RpcFault) -> Option<Refusal> {
    match fault {
        RpcFault::Refused { code, text } => Some(Refusal::of_pool(*code, text)),
        RpcFault::Lost(_) | RpcFault::OtherChain { .. } => None,
    }
}
