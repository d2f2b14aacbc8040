//! What a chain refuses or fails at, each with the caller's next move.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;
use wire::{BlockNumber, ForeignText, Hotkey, Netuid, Uid};

use crate::money::tao;
use crate::subtensor::Refusal;
use crate::wallet::{WalletFault, ss58};

/// Why the chain did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The hotkey has no seat.
    #[error("hotkey {hotkey} has no seat on netuid {netuid}: take one with cov72 register")]
    NotRegistered {
        /// The subnet.
        netuid: Netuid,
        /// Who asked.
        hotkey: Hotkey,
    },
    /// The hotkey has no seat where seats are sold.
    #[error(
        "hotkey {} has no seat on netuid {netuid}, where one costs {} now: buy it with cov72 \
             register",
        ss58(*.hotkey), tao(*.price_rao)
    )]
    SeatForSale {
        /// The subnet.
        netuid: Netuid,
        /// Who asked.
        hotkey: Hotkey,
        /// What a seat costs, in RAO.
        price_rao: u64,
    },
    /// The hotkey had a seat, and has it no more.
    #[error(
        "hotkey {} lost its seat, uid {uid} of netuid {netuid}, by block {block}; everything here \
             is kept: buy a seat anew with cov72 register, then start the same command",
        ss58(*.hotkey)
    )]
    SeatLost {
        /// The subnet.
        netuid: Netuid,
        /// Whose seat it was.
        hotkey: Hotkey,
        /// The seat.
        uid: Uid,
        /// The block at which it was found out.
        block: BlockNumber,
    },
    /// The coldkey has less than a seat costs.
    #[error(
        "coldkey {} needs {} for a seat and a little for the fee, but has {}: send it the rest",
        ss58(*.coldkey), tao(*.needs_rao), tao(*.has_rao)
    )]
    BalanceTooLow {
        /// Who would pay.
        coldkey: Hotkey,
        /// What a seat costs, in RAO.
        needs_rao: u64,
        /// What it has, in RAO.
        has_rao: u64,
    },
    /// All seats are taken.
    #[error(
        "all {seats_max} seats of netuid {netuid} are taken: wait for one, or use another netuid"
    )]
    SeatsTaken {
        /// The subnet.
        netuid: Netuid,
        /// How many seats it has.
        seats_max: u16,
    },
    /// A note that is too long.
    #[error("a commitment of {bytes} bytes exceeds the chain's {bytes_max}: shorten it")]
    CommitmentTooLarge {
        /// Its length.
        bytes: usize,
        /// The chain's limit.
        bytes_max: usize,
    },
    /// Votes that come too soon after the last ones.
    #[error(
        "uid {uid} set weights at block {last_update}: set them again from block {next_block} on"
    )]
    WeightsTooOften {
        /// The validator.
        uid: Uid,
        /// When it voted last.
        last_update: BlockNumber,
        /// When it may again.
        next_block: BlockNumber,
    },
    /// Votes of somebody whose votes do not count.
    #[error("uid {uid} has no validator permit on netuid {netuid}: add stake to its hotkey")]
    NoPermit {
        /// The subnet.
        netuid: Netuid,
        /// Who asked.
        uid: Uid,
    },
    /// Votes for a uid that nobody has.
    #[error("nobody has uid {uid} on netuid {netuid}: read the metagraph again")]
    UnknownUid {
        /// The subnet.
        netuid: Netuid,
        /// The uid.
        uid: Uid,
    },
    /// Two votes for one uid.
    #[error("the weights name uid {uid} twice: add them up first")]
    DuplicateUid {
        /// The uid.
        uid: Uid,
    },
    /// A block that did not come.
    #[error("block {wanted} did not come within {} s, the head is {head}: check the chain's clock",
        .after.as_secs_f64())]
    BlockTimeout {
        /// The block that was waited for.
        wanted: BlockNumber,
        /// The head when waiting ended.
        head: BlockNumber,
        /// How long it took.
        after: Duration,
    },
    /// This machine's clock is before the chain's beginning.
    #[error("this clock is {behind_ms} ms before the chain's first block: set the machine's time")]
    ClockBehind {
        /// By how much.
        behind_ms: u64,
    },
    /// Blocks that the clock makes cannot be made on demand.
    #[error(
        "this chain makes a block every {block_ms} ms: wait, or create it with blocks on demand"
    )]
    BlocksByClock {
        /// Time between two blocks.
        block_ms: u64,
    },
    /// Block time of zero.
    #[error("a chain cannot make a block every 0 ms: give a block time, or blocks on demand")]
    NoBlockTime,
    /// The chain's runtime lost or renamed something.
    #[error("the chain's runtime has no {name}: update cov72 to one made for this runtime")]
    NoSuchName {
        /// Kind, pallet and name.
        name: String,
    },
    /// The chain's runtime takes other arguments.
    #[error(
        "the chain's runtime takes other arguments for {call} ({fault}): update cov72 to one \
             made for this runtime"
    )]
    OtherArguments {
        /// Kind, pallet and name.
        call: String,
        /// Where they differ.
        fault: String,
    },
    /// No node of the chain answers.
    #[error("no node of the chain answers ({fault}): check the connection and the endpoints")]
    Unreachable {
        /// What happened last.
        fault: ForeignText,
    },
    /// A node of another chain.
    #[error(
        "{endpoint} belongs to the chain with genesis {found}, but this network's is {wanted}: \
             correct its endpoints or its genesis"
    )]
    OtherChain {
        /// The node.
        endpoint: String,
        /// The configured genesis.
        wanted: String,
        /// The genesis there.
        found: String,
    },
    /// A node's answer that does not read.
    #[error(
        "the chain's node answered {what} with what does not read ({fault}): name another \
             endpoint first"
    )]
    Answer {
        /// The question.
        what: String,
        /// What is wrong.
        fault: ForeignText,
    },
    /// The chain's rules refuse.
    #[error("{refusal}")]
    Refused {
        /// Why, and what to do.
        refusal: Refusal,
    },
    /// A transaction of which it is not known whether it took effect.
    #[error("a transaction is in no block up to {seen} after {} s: look whether it took effect \
             before sending it again", .after.as_secs_f64())]
    Unsettled {
        /// The newest block that was searched.
        seen: u64,
        /// How long it took.
        after: Duration,
    },
    /// A wallet's file that cannot be used.
    #[error("{} {fault}", .path.display())]
    Wallet {
        /// The file.
        path: PathBuf,
        /// What is the matter, and what to do.
        fault: WalletFault,
    },
    /// There is no chain in this place.
    #[error("{} is not there: create the dev chain first, or correct its path", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file was made by a newer or an older program.
    #[error("{} has schema {found}, this program knows {known}: use the cov72 that made it, or \
             delete it to start a new chain", .path.display())]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema known here.
        known: i64,
    },
    /// The file is something else.
    #[error("{} is not a dev chain: choose another path", .path.display())]
    NotAChain {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{} is damaged: restore it, or delete it to start a new chain", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Other processes keep it locked.
    #[error("{} stays locked by another process: end that process, then try again",
        .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// No space is left.
    #[error("the disk of {} is full: free space, then try again", .path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing is not allowed.
    #[error("{} cannot be opened: give this user read and write permission there", .path.display())]
    Permission {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that the storage reports.
    #[error("{} failed: {source}; run cov72 doctor", .path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What it reports.
        source: rusqlite::Error,
    },
}

impl ChainError {
    /// The next move for an error of SQLite on the file at `path`.
    pub(crate) fn of_sqlite(source: rusqlite::Error, path: &Path) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Permission { path }
            }
            Some(ErrorCode::NotADatabase) => Self::NotAChain { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path },
            _ => Self::Storage { path, source },
        }
    }
}
