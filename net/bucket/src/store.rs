//! The bucket: a thin, bounded, typed shell over an object store.
//!
//! A put is all or nothing: a folder's object is written beside its place, flushed to the disk,
//! moved there and its folder flushed, so that neither a crash nor a power cut leaves half of one
//! under a key, and a put that returned is there for good.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};

use crate::{BucketError, KeyPrefix, ObjectKey, Place};

/// Objects that one listing returns at most; a window has a few hundred.
const LIST_OBJECTS_MAX: usize = 1 << 16;

/// A bucket. Clones share it.
#[derive(Clone, Debug)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    place: Place,
}

/// What a put does with an object that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// Leaves it, and fails with [`BucketError::Exists`].
    Create,
    /// Replaces it at once; readers see the old one or the new one.
    Overwrite,
}

/// How much of a stranger's object is read, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest object; a larger one is refused before its body is read.
    pub bytes_max: u64,
    /// Time for the whole read.
    pub timeout: Duration,
}

/// An object as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: ObjectKey,
    /// Its size.
    pub bytes: u64,
    /// When the storage took it, in milliseconds since 1970.
    pub modified_ms: u64,
}

impl Bucket {
    /// Opens a bucket that exists: a folder's path, `file:///path` or `memory:`.
    ///
    /// # Errors
    /// The text is no place, or there is no such folder.
    pub fn open(place: &str) -> Result<Self, BucketError> {
        Self::at(place.parse()?)
    }

    /// As [`Bucket::open`], but makes the folder first: for a node's own bucket.
    ///
    /// # Errors
    /// The text is no place, or the folder cannot be made.
    pub fn create(place: &str) -> Result<Self, BucketError> {
        let place: Place = place.parse()?;
        if let Place::Folder(path) = &place {
            std::fs::create_dir_all(path).map_err(|source| {
                let source = Box::new(source);
                let source = object_store::Error::Generic { store: "folder", source };
                BucketError::of_storage(source, &place, None)
            })?;
        }
        Self::at(place)
    }

    /// A new, empty bucket in memory.
    pub fn memory() -> Self {
        Self { store: Arc::new(InMemory::new()), place: Place::Memory }
    }

    /// A bucket over a store of the caller's, such as one of a simulation.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, place: Place::Memory }
    }

    fn at(place: Place) -> Result<Self, BucketError> {
        let Place::Folder(path) = &place else { return Ok(Self::memory()) };
        if !path.is_dir() {
            return Err(BucketError::NoFolder { place });
        }
        let store = LocalFileSystem::new_with_prefix(path)
            .map_err(|source| BucketError::of_storage(source, &place, None))?;
        Ok(Self { store: Arc::new(store.with_fsync(true)), place })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Writes a whole object, all or nothing; when this returns it is durable.
    ///
    /// # Errors
    /// Something has the key already and `mode` is [`PutMode::Create`]; the disk is full; access is
    /// refused.
    pub async fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
        mode: PutMode,
    ) -> Result<(), BucketError> {
        let mode = match mode {
            PutMode::Create => object_store::PutMode::Create,
            PutMode::Overwrite => object_store::PutMode::Overwrite,
        };
        let (path, body) = (path_of(key), PutPayload::from_bytes(body));
        let put = self.store.put_opts(&path, body, mode.into()).await;
        put.map(drop).map_err(|source| self.error(source, key))
    }

    /// Reads a whole object.
    ///
    /// # Errors
    /// There is none, it is larger than the limit (its body is then not read), or time ran out.
    pub async fn get(&self, key: &ObjectKey, limits: Limits) -> Result<Bytes, BucketError> {
        self.within(limits.timeout, async {
            let object = self.store.get(&path_of(key)).await;
            let object = object.map_err(|source| self.error(source, key))?;
            self.read_bounded(key, object, limits.bytes_max).await
        })
        .await
    }

    /// Reads bytes `range` of an object.
    ///
    /// # Errors
    /// There is no such object, it does not have the whole range, or time ran out.
    pub async fn get_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        timeout: Duration,
    ) -> Result<Bytes, BucketError> {
        let out_of_range = BucketError::Range { key: *key, start: range.start, end: range.end };
        if range.is_empty() {
            return Err(out_of_range);
        }
        self.within(timeout, async {
            // The size first, since storages differ in what they make of a range beyond the end.
            if self.head(key).await?.bytes < range.end {
                return Err(out_of_range);
            }
            let options = GetOptions { range: Some(range.clone().into()), ..Default::default() };
            let object = self.store.get_opts(&path_of(key), options).await;
            let object = object.map_err(|source| self.error(source, key))?;
            let bytes_max = range.end - range.start;
            let bytes = self.read_stream(key, object, bytes_max).await?;
            if bytes.len() as u64 == bytes_max { Ok(bytes) } else { Err(out_of_range) }
        })
        .await
    }

    /// Size and time of an object.
    ///
    /// # Errors
    /// There is none, or the storage fails.
    pub async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, BucketError> {
        let meta = self.store.head(&path_of(key)).await;
        meta.map(|meta| info_of(*key, &meta)).map_err(|source| self.error(source, key))
    }

    /// All objects under `prefix`, in the order of their keys. Names that are not keys are left
    /// out.
    ///
    /// # Errors
    /// The storage fails, or holds more objects there than anyone could have put in good faith.
    pub async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<ObjectInfo>, BucketError> {
        let text = prefix.to_string();
        let found = self.store.list(Some(&Path::from(text.as_str())));
        let readable = found.filter(|object| std::future::ready(!has_unreadable_name(object)));
        let bounded = readable.take(LIST_OBJECTS_MAX + 1).try_collect::<Vec<_>>().await;
        let metas = bounded.map_err(|source| BucketError::of_storage(source, &self.place, None))?;
        if metas.len() > LIST_OBJECTS_MAX {
            let (place, objects_max) = (self.place.clone(), LIST_OBJECTS_MAX);
            return Err(BucketError::TooMany { place, prefix: text, objects_max });
        }
        let keyed = |meta: &ObjectMeta| {
            let key = meta.location.as_ref().parse().ok()?;
            Some(info_of(key, meta))
        };
        let mut objects: Vec<_> = metas.iter().filter_map(keyed).collect();
        objects.sort_by_key(|object| object.key.to_string());
        Ok(objects)
    }

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// The storage fails or refuses access.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), BucketError> {
        match self.store.delete(&path_of(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.error(source, key)),
        }
    }

    async fn read_bounded(
        &self,
        key: &ObjectKey,
        object: GetResult,
        bytes_max: u64,
    ) -> Result<Bytes, BucketError> {
        if object.meta.size > bytes_max {
            return Err(BucketError::TooLarge { key: *key, bytes: object.meta.size, bytes_max });
        }
        self.read_stream(key, object, bytes_max).await
    }

    /// Collects a body, giving up as soon as it exceeds the bound whatever its size was said to be.
    async fn read_stream(
        &self,
        key: &ObjectKey,
        object: GetResult,
        bytes_max: u64,
    ) -> Result<Bytes, BucketError> {
        let mut body = BytesMut::with_capacity(object.meta.size.min(bytes_max) as usize);
        let mut stream = object.into_stream();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|source| self.error(source, key))?;
            let bytes = (body.len() + piece.len()) as u64;
            if bytes > bytes_max {
                return Err(BucketError::TooLarge { key: *key, bytes, bytes_max });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    async fn within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, BucketError>>,
    ) -> Result<T, BucketError> {
        match tokio::time::timeout(timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(BucketError::TimedOut { place: self.place.clone(), after: timeout }),
        }
    }

    fn error(&self, source: object_store::Error, key: &ObjectKey) -> BucketError {
        BucketError::of_storage(source, &self.place, Some(key))
    }
}

/// Whether this is a name that storages do not even spell; whoever put it there cannot stop us.
fn has_unreadable_name(object: &object_store::Result<ObjectMeta>) -> bool {
    matches!(object, Err(object_store::Error::InvalidPath { .. }))
}

fn path_of(key: &ObjectKey) -> Path {
    Path::from(key.to_string())
}

fn info_of(key: ObjectKey, meta: &ObjectMeta) -> ObjectInfo {
    let modified_ms = meta.last_modified.timestamp_millis().max(0) as u64;
    ObjectInfo { key, bytes: meta.size, modified_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_is_given_up_at_its_deadline() {
        let bucket = Bucket::memory();
        let hang = std::future::pending::<Result<(), BucketError>>();
        let done = bucket.within(Duration::from_millis(5), hang).await;
        assert!(matches!(done, Err(BucketError::TimedOut { .. })), "{done:?}");
    }
}
