//! The same bucket for callers without an async runtime, such as the training loop.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::{BucketError, KeyPrefix, Limits, ObjectInfo, ObjectKey, Place, PutMode};

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
    pub fn put(&self, key: &ObjectKey, body: Bytes, mode: PutMode) -> Result<(), BucketError> {
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
}
