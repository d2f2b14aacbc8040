//! What every node of a network is: a seat on the chain, a bucket of its own, a copy of the shared
//! parameters, and the rounds that change them.
//!
//! Nodes share nothing but chain and buckets. Everything here waits on tokio's clock and on nothing
//! else, so the same code runs in a process of its own and in the simulation's virtual time.

mod catch_up;
mod checkpoints;
mod course;
mod directory;
mod first_params;
mod follow;
mod gather;
mod manifests;
mod others;
mod past;
mod replica;
mod rounds;
pub(crate) mod setup;
mod trail;
mod voice;
mod word;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bucket::{Body, Bucket, ObjectKey, PutMode, Spool};
use chain::{Chain, ChainError};
use wire::{
    Announcement, BlockNumber, BodyShape, Digest, Keypair, Layout, ManifestRef, Netuid, Note,
    RunDescription, RunId, Uid, Window,
};

use crate::failure::Failure;
pub(crate) use checkpoints::{Publisher, newest_checkpoint};
use course::Course;
pub(crate) use directory::{Directory, Opener, Seat};
pub(crate) use first_params::FirstParams;
pub(crate) use gather::{Contribution, merge};
pub(crate) use replica::{Replica, read, write};
pub(crate) use rounds::Outcome;
pub(crate) use trail::Trail;
pub(crate) use voice::Voice;
use word::Electors;

/// How long a node waits, and how often it looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two looks at the chain or at somebody's bucket.
    pub(crate) poll: Duration,
    /// For one request to a bucket, before what its size takes.
    pub(crate) request: Duration,
}

impl Pace {
    /// The time that reading `bytes` may take: a slow link's 128 KiB a second, and the request.
    pub(crate) fn read_time(&self, bytes: u64) -> Duration {
        self.request + Duration::from_millis(bytes / 128)
    }
}

/// What a node is made of.
pub(crate) struct Parts {
    pub(crate) run: RunDescription,
    pub(crate) first: FirstParams,
    pub(crate) layout: Layout,
    pub(crate) keypair: Keypair,
    pub(crate) netuid: Netuid,
    pub(crate) chain: Arc<dyn Chain>,
    /// The node's own bucket.
    pub(crate) bucket: Bucket,
    /// The same, as others find it.
    pub(crate) place: String,
    pub(crate) opener: Opener,
    /// Where fetched objects lie until they are used.
    pub(crate) spool: Spool,
    pub(crate) pace: Pace,
    pub(crate) voice: Arc<dyn Voice>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// A node with its seat.
pub(crate) struct Node {
    pub(crate) run: RunDescription,
    pub(crate) run_id: RunId,
    first: FirstParams,
    pub(crate) layout: Layout,
    pub(crate) shape: BodyShape,
    pub(crate) keypair: Keypair,
    pub(crate) uid: Uid,
    pub(crate) bucket: Bucket,
    pub(crate) spool: Spool,
    pub(crate) pace: Pace,
    pub(crate) voice: Arc<dyn Voice>,
    pub(crate) directory: Directory,
    netuid: Netuid,
    chain: Arc<dyn Chain>,
    place: String,
    stop: Arc<AtomicBool>,
    /// Newest block seen; a chain that goes back is waited for.
    head: BlockNumber,
    /// Whether the chain is behind that block now.
    is_behind_itself: bool,
    /// The newest manifest that this node announced.
    announced: Option<Announcement>,
    /// Whose manifests count in the window that is open.
    electors: Electors,
    /// What counted, and what cannot.
    course: Course,
    /// Checkpoints that hold another state than they claim.
    bad_checkpoints: HashSet<Digest>,
    /// Windows that passed without this node's part.
    pub(crate) trail: Trail,
    /// Bytes read from buckets since this was last asked.
    down_bytes: u64,
}

impl Node {
    /// Takes a seat and says on the chain where the bucket is.
    pub(crate) async fn join(parts: Parts) -> Result<Self, Failure> {
        let hotkey = parts.keypair.hotkey();
        let uid = parts.chain.register(parts.netuid, &parts.keypair)?;
        let shape = BodyShape::new(&parts.layout, parts.run.outer.k, parts.run.outer.index_codec);
        let course = Course::new(parts.run.genesis_root);
        let electors = Electors::of(parts.run.windows.first());
        let mut node = Self {
            run_id: parts.run.id(),
            run: parts.run,
            first: parts.first,
            layout: parts.layout,
            shape,
            keypair: parts.keypair,
            uid,
            bucket: parts.bucket,
            spool: parts.spool,
            pace: parts.pace,
            voice: parts.voice,
            directory: Directory::new(parts.opener),
            netuid: parts.netuid,
            chain: parts.chain,
            place: parts.place,
            stop: parts.stop,
            head: BlockNumber(0),
            is_behind_itself: false,
            announced: None,
            electors,
            course,
            bad_checkpoints: HashSet::new(),
            trail: Trail::new(),
            down_bytes: 0,
        };
        let kept = node.chain.commitment(node.netuid, hotkey)?;
        let kept = kept.and_then(|note| Note::parse(&note.bytes).ok());
        node.announced = kept.as_ref().and_then(|note| note.manifest);
        // A note that says the same is not left again: it announces nothing.
        if kept.as_ref().is_none_or(|note| note.place != node.place) {
            if kept.is_some() {
                node.voice.say(
                    "this hotkey's bucket was another one until now; if another node runs with \
                     the same key, stop one of the two",
                );
            }
            node.keep_note()?;
        }
        node.refresh()?;
        Ok(node)
    }

    /// Announces a manifest that lies in the bucket already.
    pub(crate) fn announce(&mut self, window: Window, hash: Digest) -> Result<(), Failure> {
        let parent_root = self.course.state;
        self.announced = Some(Announcement { window, hash, parent_root });
        self.keep_note()
    }

    /// The newest manifest that this node announced, in this life or an earlier one.
    pub(crate) fn announced(&self) -> Option<ManifestRef> {
        let Announcement { window, hash, .. } = self.announced?;
        Some(ManifestRef { window, validator: self.keypair.hotkey(), hash })
    }

    /// Who gets what nobody is to have: the run's owner, or this node itself, whose weights for
    /// itself count nothing, where the owner has no seat.
    pub(crate) fn burn_uid(&self) -> Uid {
        let owner = self.directory.seats().find(|seat| seat.hotkey == self.run.owner);
        owner.map_or(self.uid, |seat| seat.uid)
    }

    /// Sets this validator's weights on the chain.
    ///
    /// # Errors
    /// As [`Chain::set_weights`].
    pub(crate) fn set_weights(
        &self,
        votes: &[(Uid, u16)],
        version_key: u64,
    ) -> Result<(), ChainError> {
        self.chain.set_weights(self.netuid, &self.keypair, votes, version_key)
    }

    fn keep_note(&self) -> Result<(), Failure> {
        let note = Note { place: self.place.clone(), manifest: self.announced };
        let bytes = note.to_bytes().map_err(|fault| {
            Failure::usage(format!("network.bucket is no place to tell others: {fault}"))
        })?;
        match self.chain.commit(self.netuid, &self.keypair, &bytes) {
            Err(ChainError::NotRegistered { .. }) => Err(self.seat_lost(self.head).into()),
            done => Ok(done?),
        }
    }

    fn seat_lost(&self, block: BlockNumber) -> ChainError {
        let (netuid, hotkey, uid) = (self.netuid, self.keypair.hotkey(), self.uid);
        ChainError::SeatLost { netuid, hotkey, uid, block }
    }

    /// Reads head and seats from the chain.
    pub(crate) fn refresh(&mut self) -> Result<BlockNumber, Failure> {
        Ok(self.read_chain()?)
    }

    fn read_chain(&mut self) -> Result<BlockNumber, ChainError> {
        let head = self.chain.head()?.number;
        if head < self.head {
            let (seen, now) = (self.head, head);
            if !self.is_behind_itself {
                self.voice.say(&format!("the chain went back from block {seen} to {now}; waiting"));
            }
            self.is_behind_itself = true;
            return Ok(self.head);
        }
        (self.head, self.is_behind_itself) = (head, false);
        let (metagraph, notes) =
            (self.chain.metagraph(self.netuid)?, self.chain.commitments(self.netuid)?);
        self.directory.update(&metagraph, notes);
        // A seat under another uid is another seat: samples and votes go by uid.
        let own = self.directory.seats().find(|seat| seat.hotkey == self.keypair.hotkey());
        match own.is_some_and(|seat| seat.uid == self.uid) {
            true => Ok(head),
            false => Err(self.seat_lost(metagraph.block)),
        }
    }

    /// The newest block seen.
    pub(crate) fn head(&self) -> BlockNumber {
        self.head
    }

    /// The newest manifest that counted, as far as this node followed.
    pub(crate) fn last(&self) -> Option<ManifestRef> {
        self.course.last
    }

    /// When `block` was or will be made, in milliseconds since 1970, if the chain knows.
    pub(crate) fn block_time_ms(&self, block: BlockNumber) -> Option<u64> {
        self.chain.block_time_ms(block).ok().flatten()
    }

    /// Waits for a while, then reads the chain again.
    ///
    /// # Errors
    /// The node is asked to stop, has lost its seat, or the chain fails for longer than it may.
    pub(crate) async fn pause(&mut self) -> Result<BlockNumber, Failure> {
        const TRIES: u32 = 20;
        let mut tried = 0;
        loop {
            tokio::time::sleep(self.pace.poll).await;
            if self.asked_to_stop() {
                return Err(Failure::interrupted("stopped; the same command goes on from here"));
            }
            match self.read_chain() {
                Err(error @ (ChainError::Damaged { .. } | ChainError::SeatLost { .. })) => {
                    return Err(error.into());
                }
                Err(error) if tried >= TRIES => return Err(error.into()),
                Err(error) => {
                    tried += 1;
                    self.voice.say(&format!("{error}; trying again"));
                }
                Ok(head) => return Ok(head),
            }
        }
    }

    /// Whether somebody asked the node to stop.
    pub(crate) fn asked_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The flag itself, for whoever computes for long.
    pub(crate) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Puts an object into the node's own bucket, trying until `deadline`; whether it got there.
    pub(crate) async fn put_until(
        &mut self,
        key: &ObjectKey,
        body: impl Into<Body>,
        deadline: BlockNumber,
    ) -> Result<bool, Failure> {
        let body = body.into();
        loop {
            let time = self.pace.read_time(body.len());
            let put = self.bucket.put(key, body.clone(), PutMode::Overwrite);
            let fault = match tokio::time::timeout(time, put).await {
                Ok(Ok(())) => return Ok(true),
                Ok(Err(error @ bucket::BucketError::DiskFull { .. })) => return Err(error.into()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", time.as_secs_f64()),
            };
            if self.head >= deadline {
                self.voice.say(&format!("{key} could not be put in time: {fault}"));
                return Ok(false);
            }
            self.voice.say(&format!("{key} could not be put: {fault}; trying again"));
            self.pause().await?;
        }
    }

    /// Bytes read from buckets since this was last asked.
    pub(crate) fn take_down_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.down_bytes)
    }
}
