//! A miner alone on its machine: its own contribution is the round, read back from the bucket and
//! checked like a stranger's, and the chain makes a block whenever a window is done.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bucket::{Bucket, BucketError, Bytes, Limits, ObjectKey, PutMode, Spooled};
use chain::{Blocks, Chain, DevChain, DevChainOptions, SystemClock};
use model::sparseloco::CheckedBody;
use tokio::time::Instant;
use wire::contribution::HEADER_BYTES;
use wire::{
    BodyShape, Expected, Header, Keypair, Layout, Netuid, PartFault, Rejected, Rejection,
    RunDescription, Uid, Window, WindowRecord,
};

use super::folder::RunFolder;
use super::rounds::Sent;
use crate::failure::Failure;
use crate::node::{Replica, Voice};

/// The one subnet of a chain that is this machine's own.
const NETUID: Netuid = Netuid(72);
/// Time for one read from a bucket.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Bucket, chain and what both need to know of the run.
pub(crate) struct Alone {
    bucket: Bucket,
    chain: DevChain,
    keypair: Keypair,
    uid: Uid,
    run: RunDescription,
    shape: BodyShape,
    window: Window,
    stop: Arc<AtomicBool>,
    voice: Arc<dyn Voice>,
}

impl Alone {
    /// Opens the folder's bucket and chain, which are made where they are not there, and takes a
    /// seat.
    pub(super) fn open_folder(
        folder: &RunFolder,
        run: &RunDescription,
        layout: &Layout,
        keypair: Keypair,
        stop: Arc<AtomicBool>,
        voice: Arc<dyn Voice>,
    ) -> Result<Self, Failure> {
        let bucket = Bucket::create(&folder.path("bucket").display().to_string())?;
        let options = DevChainOptions { blocks: Blocks::OnDemand, ..DevChainOptions::default() };
        let clock = Arc::new(SystemClock);
        let chain = DevChain::create(&folder.path("chain.sqlite"), options, clock)?;
        let uid = chain.register(NETUID, &keypair)?;
        let shape = BodyShape::new(layout, run.outer.k, run.outer.index_codec);
        let (run, window) = (run.clone(), Window(0));
        Ok(Self { bucket, chain, keypair, uid, run, shape, window, stop, voice })
    }

    pub(super) fn uid(&self) -> Uid {
        self.uid
    }

    pub(super) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    pub(super) fn signs(&self) -> (&RunDescription, &BodyShape, &Keypair) {
        (&self.run, &self.shape, &self.keypair)
    }

    /// Goes on with window `window`.
    pub(super) fn resume(&mut self, window: u64) {
        self.window = Window(window);
    }

    pub(super) fn open(&self) -> Window {
        self.window
    }

    pub(super) async fn put(&self, sent: &Sent) -> Result<(), Failure> {
        let key = self.key(sent.window);
        Ok(self.bucket.put(&key, sent.object.clone(), PutMode::Overwrite).await?)
    }

    /// Gathers the round and takes the outer step.
    pub(super) async fn close(
        &self,
        replica: &mut Replica,
        sent: &Sent,
        record: &mut WindowRecord,
    ) -> Result<bool, Failure> {
        self.voice.doing("gathering");
        let clock = Instant::now();
        let limits = Limits { bytes_max: self.shape.object_bytes(), timeout: READ_TIMEOUT };
        let fetched = match self.bucket.get(&self.key(sent.window), limits).await {
            Ok(object) => Ok(object),
            Err(BucketError::NotFound { .. }) => Err(Rejection::Missing {}),
            Err(error) => return Err(error.into()),
        };
        record.phases.gather_s = clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        let checked = fetched.and_then(|object| {
            record.down_bytes = object.len() as u64;
            self.check(sent, object)
        });
        record.phases.decode_s = clock.elapsed().as_secs_f64();
        let counted = checked.is_ok();
        match checked {
            Ok(body) => self.step(replica, body, record)?,
            Err(reason) => {
                self.voice.say(&format!("uid {} does not count: {reason}", self.uid));
                record.rejected.push(Rejected { uid: self.uid, reason });
            }
        }
        Ok(counted)
    }

    fn step(
        &self,
        replica: &mut Replica,
        body: CheckedBody<Spooled>,
        record: &mut WindowRecord,
    ) -> Result<(), Failure> {
        self.voice.doing("outer step");
        let clock = Instant::now();
        let report = replica.step(&[(self.uid, body)])?;
        for skipped in &report.skipped {
            let name = replica.names(&[skipped.tensor]);
            self.voice.say(&format!("{name} is left as it was: the step is not finite"));
        }
        record.accepted = report.uids;
        record.phases.outer_s = clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        replica.hash();
        record.phases.root_s = clock.elapsed().as_secs_f64();
        Ok(())
    }

    fn check(&self, sent: &Sent, object: Bytes) -> Result<CheckedBody<Spooled>, Rejection> {
        let samples = self.run.inner.steps * self.run.inner.batch_samples;
        let header = Header::parse(&object)?;
        let verified = header.verify(&Expected {
            run: self.run.id(),
            window: sent.window,
            uid: self.uid,
            hotkey: self.keypair.hotkey(),
            parent_root: sent.parent_root,
            samples: samples..=samples,
            shape: &self.shape,
        })?;
        header.verify_samples(sent.sample_digest)?;
        verified.body(&object[HEADER_BYTES..])?;
        let object = Spooled::from(object);
        CheckedBody::check(&self.shape, object, HEADER_BYTES as u64).map_err(|fault| match fault {
            PartFault::Rejected(reason) => reason,
            PartFault::Unreadable(error) => unreachable!("it lies in memory: {error}"),
        })
    }

    /// The window is over: the next one begins at once. A chain that is ahead already, because this
    /// window was trained before a kill, stays as it is.
    pub(super) fn next(&mut self, window: Window) -> Result<(), Failure> {
        self.window = Window(window.0 + 1);
        let end = self.run.windows.first_block.0 + self.window.0;
        let head = self.chain.head()?.number.0;
        if head < end {
            self.chain.advance(end - head)?;
        }
        Ok(())
    }

    fn key(&self, window: Window) -> ObjectKey {
        ObjectKey::contribution(self.run.id(), window, self.keypair.hotkey())
    }
}
