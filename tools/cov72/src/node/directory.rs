//! Who is on the subnet, where their buckets are, and what they announced: the chain's seats and
//! notes, parsed once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bucket::{Bucket, BucketError};
use chain::{Commitment, Metagraph};
use wire::{Announcement, BlockNumber, Hotkey, Note, NoteFault, Uid};

/// How a place that a stranger named becomes a bucket.
pub(crate) type Opener = Arc<dyn Fn(&str) -> Result<Bucket, BucketError> + Send + Sync>;

/// One seat, and what its owner says.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) uid: Uid,
    pub(crate) hotkey: Hotkey,
    pub(crate) stake_rao: u64,
    /// When it was taken.
    pub(crate) registered_block: BlockNumber,
    /// Whether its manifests count.
    pub(crate) validator: bool,
    /// When the note was left, and what it says.
    pub(crate) note: Option<(BlockNumber, Result<Note, NoteFault>)>,
}

impl Seat {
    /// The manifest it announced last, and when.
    pub(crate) fn newest(&self) -> Option<(Announcement, BlockNumber)> {
        let (block, note) = self.note.as_ref()?;
        Some((note.as_ref().ok()?.manifest?, *block))
    }
}

/// All seats, by uid.
pub(crate) struct Directory {
    seats: BTreeMap<Uid, Seat>,
    opener: Opener,
    buckets: BTreeMap<Hotkey, (String, Option<Bucket>)>,
}

impl Directory {
    /// Nobody is known yet.
    pub(crate) fn new(opener: Opener) -> Self {
        Self { seats: BTreeMap::new(), opener, buckets: BTreeMap::new() }
    }

    /// Takes what the chain says.
    pub(crate) fn update(&mut self, metagraph: &Metagraph, notes: Vec<(Hotkey, Commitment)>) {
        let notes: BTreeMap<_, _> = notes.into_iter().collect();
        let seat = |neuron: &chain::Neuron| {
            let note = notes.get(&neuron.hotkey);
            let note = note.map(|note| (note.block, Note::parse(&note.bytes)));
            let (uid, hotkey) = (neuron.uid, neuron.hotkey);
            let (stake_rao, validator) = (neuron.stake_rao, neuron.validator_permit);
            let registered_block = neuron.registered_block;
            (uid, Seat { uid, hotkey, stake_rao, registered_block, validator, note })
        };
        self.seats = metagraph.neurons.iter().map(seat).collect();
    }

    /// All seats, in uid order.
    pub(crate) fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.seats.values()
    }

    /// The seat of `uid`.
    pub(crate) fn seat(&self, uid: Uid) -> Option<&Seat> {
        self.seats.get(&uid)
    }

    /// When `hotkey` left its note, if it has a seat and left one.
    pub(crate) fn noted(&self, hotkey: Hotkey) -> Option<BlockNumber> {
        let seat = self.seats.values().find(|seat| seat.hotkey == hotkey)?;
        seat.note.as_ref().map(|(block, _)| *block)
    }

    /// Validators, the one with the most stake first.
    pub(crate) fn validators(&self) -> Vec<&Seat> {
        let mut validators: Vec<_> = self.seats().filter(|seat| seat.validator).collect();
        validators.sort_by_key(|seat| (std::cmp::Reverse(seat.stake_rao), seat.hotkey));
        validators
    }

    /// Validators that announced something within `blocks` of the latest announcement of all, the
    /// one with the most stake first. The others are silent, and nobody can wait for their word.
    pub(crate) fn active(&self, blocks: u64) -> Vec<&Seat> {
        let mut validators = self.validators();
        let block = |seat: &Seat| seat.newest().map(|(_, block)| block);
        let latest = validators.iter().filter_map(|seat| block(seat)).max();
        validators.retain(|seat| {
            let block = block(seat).zip(latest);
            block.is_some_and(|(block, latest)| block.0.saturating_add(blocks) >= latest.0)
        });
        validators
    }

    /// The bucket of `hotkey`, if its note names one that opens.
    pub(crate) fn bucket(&mut self, hotkey: Hotkey) -> Option<Bucket> {
        let seat = self.seats.values().find(|seat| seat.hotkey == hotkey)?;
        let place = &seat.note.as_ref()?.1.as_ref().ok()?.place;
        match self.buckets.get(&hotkey) {
            Some((known, Some(bucket))) if known == place => Some(bucket.clone()),
            _ => {
                let opened = (self.opener)(place).ok();
                self.buckets.insert(hotkey, (place.clone(), opened.clone()));
                opened
            }
        }
    }

    /// Buckets that may hold what validators publish: `first`'s, then the others' by stake.
    pub(crate) fn mirrors(&mut self, first: Hotkey) -> Vec<Bucket> {
        let others: Vec<_> = self.validators().iter().map(|seat| seat.hotkey).collect();
        let others = others.into_iter().filter(|hotkey| *hotkey != first);
        let order: Vec<_> = std::iter::once(first).chain(others).collect();
        order.into_iter().filter_map(|hotkey| self.bucket(hotkey)).collect()
    }
}
