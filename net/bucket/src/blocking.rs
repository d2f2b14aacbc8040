//! The same bucket for callers without an async runtime, such as the training loop.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::runtime::Runtime;

use crate::{
    Body, BucketError, Fetch, FetchFault, KeyPrefix, Limits, ObjectInfo, ObjectKey, Place, PutMode,
    Sources, Spool, Spooled,
};

/// A [`Bucket`](crate::Bucket) with one thread of its own to drive it. Clones share both. Must not
/// be used from inside an async runtime.
#[derive(Clone, Debug)]
pub struct Bucket {
    bucket: crate::Bucket,
    runtime: Arc<Runtime>,
}

impl Bucket {
    /// Drives `bucket` from one thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new(bucket: crate::Bucket) -> Result<Self, BucketError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bucket")
            .enable_all()
            .build()
            .map_err(|source| BucketError::Runtime { source })?;
        Ok(Self { bucket, runtime: Arc::new(runtime) })
    }

    /// As [`crate::Bucket::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(place: &str) -> Result<Self, BucketError> {
        Self::new(crate::Bucket::open(place)?)
    }

    /// As [`crate::Bucket::create`].
    ///
    /// # Errors
    /// As there.
    pub fn create(place: &str) -> Result<Self, BucketError> {
        Self::new(crate::Bucket::create(place)?)
    }

    /// The bucket itself.
    pub fn inner(&self) -> &crate::Bucket {
        &self.bucket
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        self.bucket.place()
    }

    /// As [`crate::Bucket::put`].
    ///
    /// # Errors
    /// As there.
    pub fn put(
        &self,
        key: &ObjectKey,
        body: impl Into<Body>,
        mode: PutMode,
    ) -> Result<(), BucketError> {
        self.runtime.block_on(self.bucket.put(key, body, mode))
    }

    /// As [`crate::Bucket::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, key: &ObjectKey, limits: Limits) -> Result<Bytes, BucketError> {
        self.runtime.block_on(self.bucket.get(key, limits))
    }

    /// As [`crate::Bucket::get_range`].
    ///
    /// # Errors
    /// As there.
    pub fn get_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        timeout: Duration,
    ) -> Result<Bytes, BucketError> {
        self.runtime.block_on(self.bucket.get_range(key, range, timeout))
    }

    /// As [`crate::Bucket::head`].
    ///
    /// # Errors
    /// As there.
    pub fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, BucketError> {
        self.runtime.block_on(self.bucket.head(key))
    }

    /// As [`crate::Bucket::list`].
    ///
    /// # Errors
    /// As there.
    pub fn list(&self, prefix: &KeyPrefix) -> Result<Vec<ObjectInfo>, BucketError> {
        self.runtime.block_on(self.bucket.list(prefix))
    }

    /// As [`crate::Bucket::delete`].
    ///
    /// # Errors
    /// As there.
    pub fn delete(&self, key: &ObjectKey) -> Result<(), BucketError> {
        self.runtime.block_on(self.bucket.delete(key))
    }

    /// As [`crate::fetch_all`]. The objects come as the iterator is asked for them; the next ones
    /// arrive meanwhile. Dropping it ends all requests.
    pub fn fetch_all(
        &self,
        spool: &Spool,
        requests: Vec<Fetch>,
        deadline: Instant,
    ) -> impl Iterator<Item = (usize, Result<Spooled, FetchFault>)> + use<> {
        self.drive(crate::fetch_all(spool, requests, deadline.into()))
    }

    /// As [`crate::download`].
    pub fn download(
        &self,
        sources: Sources,
        key: ObjectKey,
        bytes: u64,
        deadline: Instant,
    ) -> impl Iterator<Item = Result<Bytes, FetchFault>> + use<> {
        self.drive(crate::download(sources, key, bytes, deadline.into()))
    }

    /// Another bucket, driven by this one's thread.
    pub fn beside(&self, bucket: crate::Bucket) -> Self {
        Self { bucket, runtime: self.runtime.clone() }
    }

    /// Polls a stream on the bucket's thread, one item ahead of the caller.
    fn drive<T: Send + 'static, S: Stream<Item = T> + Send + 'static>(
        &self,
        stream: S,
    ) -> impl Iterator<Item = T> + use<T, S> {
        let (items, mut arrived) = tokio::sync::mpsc::channel(1);
        self.runtime.spawn(async move {
            let mut stream = std::pin::pin!(stream);
            loop {
                let item = tokio::select! {
                    item = stream.next() => item,
                    () = items.closed() => None,
                };
                let Some(item) = item else { return };
                if items.send(item).await.is_err() {
                    return;
                }
            }
        });
        let runtime = self.runtime.clone();
        std::iter::from_fn(move || {
            // The thread lives for as long as someone waits for it.
            let _alive = &runtime;
            arrived.blocking_recv()
        })
    }
}
