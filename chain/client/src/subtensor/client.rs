//! [`Chain`] on Bittensor: what nodes ask, in the words of its runtime.
//!
//! Everything is read from finalized blocks, so that what a node saw once stays, and all nodes see
//! the same. Votes and notes are signed by the hotkey, which needs no money; a seat is bought by a
//! coldkey, which a node does not have.

mod seat_sale;

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use subxt::dynamic::Value;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::utils::AccountId32;
use wire::{BlockNumber, Hotkey, Keypair, Netuid, Uid};

use super::call::SUBTENSOR;
use super::description::odd;
use super::rpc::{Rpc, bytes_of_hex};
use super::sender::Sender;
use super::state::{BlockHash, State};
use super::submission::{Patience, submit};
use super::{Call, FIELD_BYTES_MAX, FIELDS_MAX, Refusal, note_of};
use crate::clock::wait_for_block;
use crate::{
    COMMITMENTS_MAX, Chain, ChainError, ChainLimits, Clock, Commitment, Head, Metagraph, Neuron,
    Weights, stakes_of, votes,
};

/// A head older than this is another node's business, if there is one.
const STALE_MS: u64 = 180_000;

/// How this node uses the chain.
#[derive(Clone, Debug)]
pub struct SubtensorOptions {
    /// The subnet whose limits count.
    pub netuid: Netuid,
    /// Between two looks for a new block.
    pub look: Duration,
    /// For which a transaction is waited, in all.
    pub patience: Duration,
    /// Who buys seats, and for how much at most; on a node, nobody.
    pub payer: Option<(Keypair, u64)>,
}

/// A subnet in one look.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct TheirMetagraph {
    hotkeys: Vec<AccountId32>,
    validator_permit: Vec<bool>,
    last_update: Vec<u64>,
    block_at_registration: Vec<u64>,
    total_stake: Vec<u64>,
}

/// A note with the block in which it was left.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Registration {
    block: u32,
    info: Value,
}

/// A finalized block.
#[derive(Clone)]
struct Seen {
    head: Head,
    hash: BlockHash,
    /// When it was asked for.
    at_ms: u64,
}

/// Bittensor, seen through one or several nodes of it.
pub struct Subtensor {
    state: State,
    options: SubtensorOptions,
    clock: Arc<dyn Clock>,
    seen: Mutex<Option<Seen>>,
    /// Held while a transaction is in flight.
    sending: Mutex<()>,
}

impl Subtensor {
    /// The chain that `rpc` leads to.
    pub fn new(rpc: Arc<dyn Rpc>, options: SubtensorOptions, clock: Arc<dyn Clock>) -> Self {
        let (seen, sending) = (Mutex::default(), Mutex::default());
        Self { state: State::new(rpc), options, clock, seen, sending }
    }

    /// Version of the runtime at the newest finalized block.
    ///
    /// # Errors
    /// The chain is out of reach, or its runtime lacks names that this program speaks.
    pub fn spec_version(&self) -> Result<u32, ChainError> {
        Ok(self.state.runtime(&self.newest()?.hash)?.spec_version)
    }

    /// Hash of the chain's first block, as `0x..`.
    ///
    /// # Errors
    /// The chain is out of reach.
    pub fn genesis(&self) -> Result<String, ChainError> {
        self.state.hash(0)
    }

    /// Whether the subnet takes sealed votes only.
    ///
    /// # Errors
    /// The chain is out of reach.
    pub fn takes_sealed_votes(&self, netuid: Netuid) -> Result<bool, ChainError> {
        let (at, item) = (self.newest()?.hash, (SUBTENSOR, "CommitRevealWeightsEnabled"));
        Ok(self.state.stored(&at, item, &[of_netuid(netuid)])?.unwrap_or(false))
    }

    /// Refuses a subnet that does not exist: most of what is stored of one has a value anyway.
    fn check_subnet(&self, at: &BlockHash, netuid: Netuid) -> Result<(), ChainError> {
        match self.state.stored(at, (SUBTENSOR, "NetworksAdded"), &[of_netuid(netuid)])? {
            Some(true) => Ok(()),
            _ => Err(ChainError::Refused { refusal: Refusal::NoSubnet }),
        }
    }

    /// The newest finalized block, asked for anew if the last look is long ago.
    fn newest(&self) -> Result<Seen, ChainError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.clock.now_ms();
        let look_ms = self.options.look.as_millis() as u64;
        if let Some(seen) = seen.as_ref().filter(|seen| now_ms.saturating_sub(seen.at_ms) < look_ms)
        {
            return Ok(seen.clone());
        }
        let mut newest = self.look(now_ms, seen.as_ref())?;
        if now_ms.saturating_sub(newest.head.timestamp_ms) > STALE_MS
            && self.state.rpc().move_on()
            && let Ok(other) = self.look(now_ms, None)
            && other.head.number > newest.head.number
        {
            newest = other;
        }
        *seen = Some(newest.clone());
        Ok(newest)
    }

    fn look(&self, at_ms: u64, before: Option<&Seen>) -> Result<Seen, ChainError> {
        let hash = self.state.finalized()?;
        if let Some(before) = before.filter(|before| before.hash == hash) {
            return Ok(Seen { at_ms, ..before.clone() });
        }
        let number = self.state.number_of(&hash)?;
        let timestamp_ms = self.time_ms(&hash)?;
        Ok(Seen { head: Head { number: BlockNumber(number), timestamp_ms }, hash, at_ms })
    }

    fn time_ms(&self, at: &BlockHash) -> Result<u64, ChainError> {
        let time = self.state.stored(at, ("Timestamp", "Now"), &[])?;
        time.ok_or_else(|| odd("Timestamp.Now", &"nothing"))
    }

    /// A number that the subnet has, which has a value on every subnet.
    fn number(&self, at: &BlockHash, name: &str, netuid: Netuid) -> Result<u64, ChainError> {
        let found = self.state.stored(at, (SUBTENSOR, name), &[of_netuid(netuid)])?;
        found.ok_or_else(|| odd(name, &"nothing"))
    }

    /// Brings `call` onto the chain, signed by `key`.
    fn send(&self, call: &Call, key: &Keypair) -> Result<(), ChainError> {
        let _alone = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = Sender { state: &self.state, call, key };
        let patience = Patience { look: self.options.look, total: self.options.patience };
        let done = submit(&sender, &*self.clock, patience);
        // Whoever looks next sees the block that holds it.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
        done
    }

    fn note_at(
        &self,
        at: &BlockHash,
        netuid: Netuid,
        hotkey: Hotkey,
    ) -> Result<Option<Commitment>, ChainError> {
        let keys = [of_netuid(netuid), Value::from_bytes(hotkey.0)];
        let found = self.state.stored(at, ("Commitments", "CommitmentOf"), &keys)?;
        Ok(found.map(commitment))
    }

    /// All seats at a block, in uid order.
    fn neurons_at(&self, at: &BlockHash, netuid: Netuid) -> Result<Vec<Neuron>, ChainError> {
        let question = ("SubnetInfoRuntimeApi", "get_metagraph");
        let answer =
            self.state.question::<Option<TheirMetagraph>>(at, question, vec![of_netuid(netuid)]);
        let theirs = match answer? {
            Some(Some(theirs)) => theirs,
            Some(None) | None => self.seats_one_by_one(at, netuid)?,
        };
        if theirs.hotkeys.is_empty() {
            self.check_subnet(at, netuid)?;
        }
        let seat = |(at, hotkey): (usize, &AccountId32)| {
            let number = |list: &[u64]| BlockNumber(list.get(at).copied().unwrap_or(0));
            Neuron {
                uid: Uid(at as u16),
                hotkey: Hotkey(hotkey.0),
                stake_rao: theirs.total_stake.get(at).copied().unwrap_or(0),
                registered_block: number(&theirs.block_at_registration),
                last_update: number(&theirs.last_update),
                validator_permit: theirs.validator_permit.get(at).copied().unwrap_or(false),
            }
        };
        let hotkeys = theirs.hotkeys.iter().take(u16::MAX.into()).enumerate();
        Ok(hotkeys.map(seat).collect())
    }

    /// The seats by single items, for runtimes that give no subnet in one look. Stake is that on
    /// this subnet only.
    fn seats_one_by_one(
        &self,
        at: &BlockHash,
        netuid: Netuid,
    ) -> Result<TheirMetagraph, ChainError> {
        let subnet = of_netuid(netuid);
        let list = |name| self.state.stored(at, (SUBTENSOR, name), std::slice::from_ref(&subnet));
        let seats = self.number(at, "SubnetworkN", netuid)?.min(u16::MAX.into()) as u16;
        let uids: Vec<_> =
            (0..seats).map(|uid| vec![subnet.clone(), Value::u128(uid.into())]).collect();
        let hotkeys: Vec<(usize, AccountId32)> =
            self.state.stored_of(at, (SUBTENSOR, "Keys"), &uids)?;
        let since: Vec<(usize, u64)> =
            self.state.stored_of(at, (SUBTENSOR, "BlockAtRegistration"), &uids)?;
        let owners: Vec<_> = hotkeys
            .iter()
            .map(|(_, hotkey)| vec![Value::from_bytes(hotkey.0), subnet.clone()])
            .collect();
        let stakes: Vec<(usize, u64)> =
            self.state.stored_of(at, (SUBTENSOR, "TotalHotkeyAlpha"), &owners)?;
        let spread = |found: Vec<(usize, u64)>| {
            let mut all = vec![0; seats.into()];
            found.into_iter().for_each(|(at, value)| all[at] = value);
            all
        };
        if hotkeys.len() != usize::from(seats) {
            return Err(odd("SubtensorModule.Keys", &"a seat without a hotkey"));
        }
        Ok(TheirMetagraph {
            hotkeys: hotkeys.into_iter().map(|(_, hotkey)| hotkey).collect(),
            validator_permit: self
                .state
                .stored(at, (SUBTENSOR, "ValidatorPermit"), std::slice::from_ref(&subnet))?
                .unwrap_or_default(),
            last_update: list("LastUpdate")?.unwrap_or_default(),
            block_at_registration: spread(since),
            total_stake: spread(stakes),
        })
    }
}

impl Chain for Subtensor {
    fn head(&self) -> Result<Head, ChainError> {
        Ok(self.newest()?.head)
    }

    fn block_time_ms(&self, block: BlockNumber) -> Result<Option<u64>, ChainError> {
        match block <= self.newest()?.head.number {
            true => self.time_ms(&self.state.hash(block.0)?).map(Some),
            false => Ok(None),
        }
    }

    fn wait_for_block(&self, block: BlockNumber, timeout: Duration) -> Result<Head, ChainError> {
        let pause = self.options.look.max(Duration::from_millis(1));
        wait_for_block(self, &*self.clock, block, timeout, |_| pause)
    }

    fn limits(&self) -> Result<ChainLimits, ChainError> {
        let (at, netuid) = (self.newest()?.hash, self.options.netuid);
        let seats_max = self.number(&at, "MaxAllowedUids", netuid)?;
        Ok(ChainLimits {
            commitment_bytes_max: FIELDS_MAX * FIELD_BYTES_MAX,
            seats_max: u16::try_from(seats_max).unwrap_or(u16::MAX),
            weights_every_blocks: self.number(&at, "WeightsSetRateLimit", netuid)?,
        })
    }

    fn register(&self, netuid: Netuid, hotkey: &Keypair) -> Result<Uid, ChainError> {
        self.buy_seat(netuid, hotkey.hotkey())
    }

    fn uid_of(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Uid>, ChainError> {
        let keys = [of_netuid(netuid), Value::from_bytes(hotkey.0)];
        let uid = self.state.stored(&self.newest()?.hash, (SUBTENSOR, "Uids"), &keys)?;
        Ok(uid.map(Uid))
    }

    fn commit(&self, netuid: Netuid, hotkey: &Keypair, note: &[u8]) -> Result<(), ChainError> {
        let call = Call::set_commitment(netuid, note)?;
        let no_seat = || ChainError::NotRegistered { netuid, hotkey: hotkey.hotkey() };
        if self.uid_of(netuid, hotkey.hotkey())?.is_none() {
            return Err(no_seat());
        }
        self.send(&call, hotkey).map_err(|error| match error {
            ChainError::Refused { refusal: Refusal::NotRegistered } => no_seat(),
            other => other,
        })
    }

    fn commitment(&self, netuid: Netuid, hotkey: Hotkey) -> Result<Option<Commitment>, ChainError> {
        self.note_at(&self.newest()?.hash, netuid, hotkey)
    }

    fn commitments(&self, netuid: Netuid) -> Result<Vec<(Hotkey, Commitment)>, ChainError> {
        let (at, item) = (self.newest()?.hash, ("Commitments", "CommitmentOf"));
        let runtime = self.state.runtime(&at)?;
        // The subnet comes first in the key and is not hashed; of the key of a hotkey, only the
        // end is the hotkey.
        let keys = [of_netuid(netuid), Value::from_bytes([0; 32])];
        let (key, ..) = runtime.item(item.0, item.1, &keys)?;
        let prefix = &key[..32 + size_of::<u16>()];
        let found = self.state.stored_below::<Registration>(&at, item, prefix)?;
        let mut notes = Vec::with_capacity(found.len());
        for (key, left) in found {
            let hotkey = key.last_chunk::<32>().ok_or_else(|| odd("CommitmentOf", &"its key"))?;
            notes.push((Hotkey(*hotkey), commitment(left)));
        }
        notes.sort_by_key(|(hotkey, _)| *hotkey);
        Ok(notes)
    }

    /// Walks back from note to note: each names its own block, and the state before that block
    /// holds the one that it replaced.
    fn commitments_in(
        &self,
        netuid: Netuid,
        hotkey: Hotkey,
        blocks: RangeInclusive<BlockNumber>,
    ) -> Result<Vec<Commitment>, ChainError> {
        let first = blocks.start().0.max(1);
        let mut last = blocks.end().0.min(self.newest()?.head.number.0);
        let mut notes = std::collections::VecDeque::new();
        while last >= first {
            let Some(note) = self.note_at(&self.state.hash(last)?, netuid, hotkey)? else { break };
            let left = note.block.0;
            if left < first || left > last {
                break;
            }
            notes.push_front(note);
            notes.truncate(COMMITMENTS_MAX);
            last = left - 1;
        }
        Ok(notes.into())
    }

    fn metagraph(&self, netuid: Netuid) -> Result<Metagraph, ChainError> {
        let newest = self.newest()?;
        Ok(Metagraph { block: newest.head.number, neurons: self.neurons_at(&newest.hash, netuid)? })
    }

    fn stakes_at(
        &self,
        netuid: Netuid,
        block: BlockNumber,
    ) -> Result<Vec<(Hotkey, u64)>, ChainError> {
        let neurons = self.neurons_at(&self.state.hash(block.0)?, netuid)?;
        Ok(stakes_of(&neurons))
    }

    fn set_weights(
        &self,
        netuid: Netuid,
        hotkey: &Keypair,
        shares: &[(Uid, u16)],
        version_key: u64,
    ) -> Result<(), ChainError> {
        let (metagraph, key) = (self.metagraph(netuid)?, hotkey.hotkey());
        let every = self.number(&self.newest()?.hash, "WeightsSetRateLimit", netuid)?;
        let voter = metagraph.neurons.iter().find(|neuron| neuron.hotkey == key);
        let voter = *voter.ok_or(ChainError::NotRegistered { netuid, hotkey: key })?;
        if self.takes_sealed_votes(netuid)? {
            return Err(ChainError::Refused { refusal: Refusal::CommitReveal });
        }
        votes::check(&metagraph.neurons, voter, netuid, shares, metagraph.block, every)?;
        self.send(&Call::set_weights(netuid, shares, version_key), hotkey).map_err(|error| {
            match error {
                ChainError::Refused { refusal: Refusal::NotRegistered } => {
                    ChainError::NotRegistered { netuid, hotkey: key }
                }
                ChainError::Refused { refusal: Refusal::NoPermit } => {
                    ChainError::NoPermit { netuid, uid: voter.uid }
                }
                other => other,
            }
        })
    }

    /// The chain keeps no version key with a vote: it is the one that the subnet demands now.
    fn weights(&self, netuid: Netuid, uid: Uid) -> Result<Option<Weights>, ChainError> {
        let (at, subnet) = (self.newest()?.hash, of_netuid(netuid));
        let keys = [subnet.clone(), Value::u128(uid.0.into())];
        let shares = self.state.stored::<Vec<(u16, u16)>>(&at, (SUBTENSOR, "Weights"), &keys)?;
        let votes: Vec<u64> =
            self.state.stored(&at, (SUBTENSOR, "LastUpdate"), &[subnet])?.unwrap_or_default();
        let mut shares: Vec<_> =
            shares.unwrap_or_default().into_iter().map(|(uid, share)| (Uid(uid), share)).collect();
        shares.sort_unstable();
        let block = BlockNumber(votes.get(usize::from(uid.0)).copied().unwrap_or(0));
        if shares.is_empty() || block.0 == 0 {
            return Ok(None);
        }
        let version_key = self.number(&at, "WeightsVersionKey", netuid)?;
        Ok(Some(Weights { block, version_key, shares }))
    }
}

fn of_netuid(netuid: Netuid) -> Value {
    Value::u128(netuid.0.into())
}

/// A note that is none of ours has no bytes of ours.
fn commitment(left: Registration) -> Commitment {
    let bytes = note_of(&left.info).unwrap_or_default();
    Commitment { block: BlockNumber(left.block.into()), bytes }
}

/// The 32 bytes of a hash that a node spells.
pub(super) fn hash_of(text: &serde_json::Value) -> Result<[u8; 32], ChainError> {
    let bytes = bytes_of_hex(text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| odd("a block's hash", &text))
}
