//! The chain as nodes see it: one clock, one list of peers, small public notes, votes.
//!
//! [`Chain`] is the trait; [`DevChain`] is a chain in one SQLite file, for which nothing needs to
//! be installed. Calls block: a node makes a handful per window. A client of a remote chain keeps
//! its async runtime to itself.

mod clock;
mod devchain;
mod error;
mod ledger;
mod money;
mod notes;
mod seats;
pub mod subtensor;
mod votes;
pub mod wallet;

use std::ops::RangeInclusive;
use std::time::Duration;

pub use clock::{Clock, ManualClock, SystemClock};
pub use devchain::{Blocks, DevChain, DevChainOptions};
pub use error::ChainError;
pub use money::{rao_of, tao};
use wire::{BlockNumber, Hotkey, Keypair, Netuid, Uid};

/// Most notes that [`Chain::commitments_in`] returns; whoever leaves more in those blocks is not
/// heard any more.
pub const COMMITMENTS_MAX: usize = 256;

/// The newest block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its height, at least 1.
    pub number: BlockNumber,
    /// When the chain made it, in milliseconds since 1970, by the chain's clock.
    pub timestamp_ms: u64,
}

/// One seat of a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neuron {
    /// The seat.
    pub uid: Uid,
    /// Who sits there.
    pub hotkey: Hotkey,
    /// Stake behind it, in 10^-9 of a token.
    pub stake_rao: u64,
    /// When it was registered.
    pub registered_block: BlockNumber,
    /// When it last set weights. If never, block 0; on Bittensor that of its registration, from
    /// which the rate of votes counts there.
    pub last_update: BlockNumber,
    /// Whether its weights count.
    pub validator_permit: bool,
}

/// A subnet's seats at one block, in uid order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metagraph {
    /// The block at which it was read.
    pub block: BlockNumber,
    /// The seats taken.
    pub neurons: Vec<Neuron>,
}

/// The stake behind each of those whose weights count.
fn stakes_of(neurons: &[Neuron]) -> Vec<(Hotkey, u64)> {
    let validators = neurons.iter().filter(|neuron| neuron.validator_permit);
    validators.map(|neuron| (neuron.hotkey, neuron.stake_rao)).collect()
}

/// A note that a hotkey left on the chain. A new one takes the place of the old, which stays in the
/// chain's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// When it was made.
    pub block: BlockNumber,
    /// What it says. Written by a stranger: parse it as such.
    pub bytes: Vec<u8>,
}

/// A validator's votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// When they were set.
    pub block: BlockNumber,
    /// Version of the rules by which they were made.
    pub version_key: u64,
    /// Share of each uid, relative to the sum; in uid order.
    pub shares: Vec<(Uid, u16)>,
}

/// What the chain allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainLimits {
    /// Longest commitment.
    pub commitment_bytes_max: usize,
    /// Seats of a subnet.
    pub seats_max: u16,
    /// Blocks between two settings of weights by one validator.
    pub weights_every_blocks: u64,
}

/// A chain. Every implementation passes the conformance suite in `tests/conformance`.
///
/// All methods fail with [`ChainError`] when the chain cannot be reached or its state is damaged;
/// below only the further reasons are named.
pub trait Chain: Send + Sync {
    /// The newest block.
    ///
    /// # Errors
    /// The local clock is behind the chain's first block.
    fn head(&self) -> Result<Head, ChainError>;

    /// When `block` was or will be made, as far as the chain knows: none for a block to come whose
    /// time is open.
    ///
    /// # Errors
    /// The chain is out of reach.
    fn block_time_ms(&self, block: BlockNumber) -> Result<Option<u64>, ChainError>;

    /// Waits until the head is `block` or later.
    ///
    /// # Errors
    /// The block did not come within `timeout`.
    fn wait_for_block(&self, block: BlockNumber, timeout: Duration) -> Result<Head, ChainError>;

    /// What the chain allows.
    ///
    /// # Errors
    /// The chain is out of reach.
    fn limits(&self) -> Result<ChainLimits, ChainError>;

    /// Takes a seat; whoever has one keeps it, and pays nothing.
    ///
    /// # Errors
    /// All seats are taken.
    fn register(&self, netuid: Netuid, hotkey: &Keypair) -> Result<Uid, ChainError>;

    /// The seat of `hotkey`, if it has one.
    ///
    /// # Errors
    /// The chain is out of reach.
    fn uid_of(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Uid>, ChainError>;

    /// Leaves a note under the hotkey, replacing the previous one.
    ///
    /// # Errors
    /// The hotkey has no seat, or the note is longer than
    /// [`ChainLimits::commitment_bytes_max`].
    fn commit(&self, netuid: Netuid, hotkey: &Keypair, note: &[u8]) -> Result<(), ChainError>;

    /// The note of `hotkey`, if it left one.
    ///
    /// # Errors
    /// The chain is out of reach.
    fn commitment(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Commitment>, ChainError>;

    /// The notes of all hotkeys that left one on this subnet, by hotkey.
    ///
    /// # Errors
    /// The chain is out of reach.
    fn commitments(&self, netuid: Netuid) -> Result<Vec<(Hotkey, Commitment)>, ChainError>;

    /// The first [`COMMITMENTS_MAX`] notes that `hotkey` left in `blocks`, oldest first; blocks to
    /// come hold none.
    ///
    /// What was returned once is returned ever after, in the same place; later notes come behind
    /// it. Of several in one block a chain may keep the last only, if its blocks are not seen
    /// before they are whole.
    ///
    /// # Errors
    /// The chain is out of reach, or keeps no blocks that far back.
    fn commitments_in(
        &self,
        netuid: Netuid,
        hotkey: Hotkey,
        blocks: RangeInclusive<BlockNumber>,
    ) -> Result<Vec<Commitment>, ChainError>;

    /// All seats of a subnet.
    ///
    /// # Errors
    /// The chain is out of reach.
    fn metagraph(&self, netuid: Netuid) -> Result<Metagraph, ChainError>;

    /// Who had a validator permit at the end of `block`, with its stake in 10^-9 of a token, in uid
    /// order: the same whenever it is asked, once the head is past `block`.
    ///
    /// # Errors
    /// The chain is out of reach, or keeps no blocks that far back.
    fn stakes_at(
        &self,
        netuid: Netuid,
        block: BlockNumber,
    ) -> Result<Vec<(Hotkey, u64)>, ChainError>;

    /// Votes, replacing this validator's previous votes.
    ///
    /// # Errors
    /// The hotkey has no seat or no permit, its last votes are too recent, or the votes name a uid
    /// twice or one that nobody has.
    fn set_weights(
        &self,
        netuid: Netuid,
        hotkey: &Keypair,
        shares: &[(Uid, u16)],
        version_key: u64,
    ) -> Result<(), ChainError>;

    /// The votes of the validator on seat `uid`, if it ever voted.
    ///
    /// # Errors
    /// The chain is out of reach.
    fn weights(&self, netuid: Netuid, uid: Uid) -> Result<Option<Weights>, ChainError>;
}
