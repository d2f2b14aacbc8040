//! A node's dealings with bucket and chain: put the own contribution, gather what counts, and check
//! every byte of it like a stranger's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bucket::blocking::Bucket;
use bucket::{BucketError, Bytes, Limits, ObjectKey, PutMode};
use chain::{Blocks, Chain, DevChain, DevChainOptions, SystemClock};
use wire::contribution;
use wire::{
    BodyShape, Claims, Expected, Header, Keypair, Layout, Netuid, Rejected, Rejection,
    RunDescription, SampleDigest, SparseTensor, StateRoot, Uid, Window, WindowRecord,
};

use super::folder::RunFolder;
use crate::failure::Failure;

/// The one subnet of a chain that is this machine's own.
const NETUID: Netuid = Netuid(72);
/// Time for one read from a bucket.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Bucket, chain and what both need to know of the run.
pub(super) struct Exchange {
    bucket: Bucket,
    chain: DevChain,
    keypair: Keypair,
    uid: Uid,
    run: RunDescription,
    shape: BodyShape,
}

/// A contribution as it was put.
pub(super) struct Sent {
    pub(super) object: Bytes,
    sample_digest: SampleDigest,
    parent_root: StateRoot,
}

/// A contribution that counts, decoded.
pub(super) type Accepted = (Uid, Vec<SparseTensor>);

impl Exchange {
    /// Opens the folder's bucket and chain, which are made where they are not there, and takes a
    /// seat.
    pub(super) fn open(
        folder: &RunFolder,
        run: &RunDescription,
        layout: &Layout,
        keypair: Keypair,
    ) -> Result<Self, Failure> {
        let bucket = Bucket::create(&folder.path("bucket").display().to_string())?;
        let options = DevChainOptions { blocks: Blocks::OnDemand, ..DevChainOptions::default() };
        let clock = Arc::new(SystemClock);
        let chain = DevChain::create(&folder.path("chain.sqlite"), options, clock)?;
        let uid = chain.register(NETUID, &keypair)?;
        let shape = BodyShape::new(layout, run.outer.k, run.outer.index_codec);
        Ok(Self { bucket, chain, keypair, uid, run: run.clone(), shape })
    }

    /// This node's seat.
    pub(super) fn uid(&self) -> Uid {
        self.uid
    }

    /// Signs an update of all tensors, trained on `sample_count` samples with that digest.
    pub(super) fn encode(
        &self,
        window: Window,
        parent_root: StateRoot,
        sample_count: usize,
        sample_digest: SampleDigest,
        update: &[SparseTensor],
    ) -> Sent {
        let claims = Claims {
            run: self.run.id(),
            window,
            uid: self.uid,
            layout: self.shape.layout(),
            parent_root,
            sample_digest,
            sample_count: sample_count as u64,
            tokens: (sample_count * wire::protocol::SAMPLE_TOKENS) as u64,
            k: self.run.outer.k as u32,
            index_codec: self.run.outer.index_codec,
        };
        let object = contribution::encode(&claims, update, &self.keypair);
        Sent { object: object.into(), sample_digest, parent_root }
    }

    /// Puts the own contribution. When this returns it is there for good.
    pub(super) fn put(&self, window: Window, sent: &Sent) -> Result<(), Failure> {
        let key = ObjectKey::contribution(self.run.id(), window, self.keypair.hotkey());
        Ok(self.bucket.put(&key, sent.object.clone(), PutMode::Overwrite)?)
    }

    /// The round's contributions that count, in uid order; the others are in the record with their
    /// reasons.
    pub(super) fn gather(
        &self,
        sent: &Sent,
        record: &mut WindowRecord,
    ) -> Result<Vec<Accepted>, Failure> {
        let clock = Instant::now();
        let key = ObjectKey::contribution(self.run.id(), record.window, self.keypair.hotkey());
        let limits = Limits { bytes_max: self.shape.object_bytes(), timeout: READ_TIMEOUT };
        let fetched = match self.bucket.get(&key, limits) {
            Ok(object) => Ok(object),
            Err(BucketError::NotFound { .. }) => Err(Rejection::Missing {}),
            Err(error) => return Err(error.into()),
        };
        record.phases.gather_s = clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        let decoded = fetched.and_then(|object| {
            record.down_bytes = object.len() as u64;
            self.decode(record.window, sent, &object)
        });
        record.phases.decode_s = clock.elapsed().as_secs_f64();
        match decoded {
            Ok(update) => Ok(vec![(self.uid, update)]),
            Err(reason) => {
                record.rejected.push(Rejected { uid: self.uid, reason });
                Ok(Vec::new())
            }
        }
    }

    fn decode(
        &self,
        window: Window,
        sent: &Sent,
        object: &[u8],
    ) -> Result<Vec<SparseTensor>, Rejection> {
        let samples = self.run.inner.steps * self.run.inner.batch_samples;
        let header = Header::parse(object)?;
        let verified = header.verify(&Expected {
            run: self.run.id(),
            window,
            uid: self.uid,
            hotkey: self.keypair.hotkey(),
            parent_root: sent.parent_root,
            samples: samples..=samples,
            shape: &self.shape,
        })?;
        header.verify_samples(sent.sample_digest)?;
        Ok(verified.body(&object[contribution::HEADER_BYTES..])?.decode()?.tensors)
    }

    /// The window is over: on a chain of this machine's own, the next one begins at once. A chain
    /// that is ahead already, because this window was trained before a kill, stays as it is.
    pub(super) fn close_window(&self, window: Window) -> Result<(), Failure> {
        let end = self.run.windows.first_block.0 + window.0 + 1;
        let head = self.chain.head()?.number.0;
        if head < end {
            self.chain.advance(end - head)?;
        }
        Ok(())
    }
}
