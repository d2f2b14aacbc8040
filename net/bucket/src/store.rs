//! The bucket: a thin, bounded, typed shell over an object store. Here: opening, sizes, lists,
//! deletion; `read` and `upload` hold the rest.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use futures::{Stream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::{Action, BucketError, Credentials, KeyPrefix, ObjectKey, Pace, Place, PublicPlace};

/// Objects that one listing returns at most; a window has a few hundred.
const LIST_OBJECTS_MAX: usize = 1 << 16;

/// A bucket. Clones share it.
#[derive(Clone)]
pub struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The same store, where it takes an object in parts.
    pub(crate) parts: Option<Arc<dyn MultipartStore>>,
    pub(crate) place: Place,
    pub(crate) pace: Pace,
}

/// How much of a stranger's object is read, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest object; a larger one is refused before its body is read.
    pub bytes_max: u64,
    /// Time for the whole read, retries included.
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

impl fmt::Debug for Bucket {
    /// The place alone: what is below holds keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.place)
    }
}

impl Bucket {
    /// Opens a bucket that exists: a folder's path, `file:///path`, `memory:`, or `s3://..` with
    /// the key pair of the environment. Nothing is sent to an S3 service yet; [`Bucket::check`]
    /// does.
    ///
    /// # Errors
    /// The text is no place, there is no such folder, or the key of an S3 place is not set.
    pub fn open(place: &str) -> Result<Self, BucketError> {
        Self::at(place.parse()?, None)
    }

    /// As [`Bucket::open`], with a key pair at hand.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(place: &Place, credentials: &Credentials) -> Result<Self, BucketError> {
        Self::at(place.clone(), Some(credentials))
    }

    /// Opens another peer's bucket as that peer published it, to read.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn open_public(public: &PublicPlace) -> Result<Self, BucketError> {
        Self::at(public.place().clone(), public.read_key())
    }

    /// As [`Bucket::open`], but makes the folder first: for a node's own bucket. An S3 bucket is
    /// made by its owner.
    ///
    /// # Errors
    /// The text is no place, or the folder cannot be made.
    pub fn create(place: &str) -> Result<Self, BucketError> {
        let place: Place = place.parse()?;
        if let Place::Folder(path) = &place {
            std::fs::create_dir_all(path).map_err(|source| {
                let source = Box::new(source);
                let source = object_store::Error::Generic { store: "folder", source };
                BucketError::of_storage(source, &place, Action::Write, None)
            })?;
        }
        Self::at(place, None)
    }

    /// A new, empty bucket in memory.
    pub fn memory() -> Self {
        let store = Arc::new(InMemory::new());
        let parts: Arc<dyn MultipartStore> = store.clone();
        Self { store, parts: Some(parts), place: Place::Memory, pace: Pace::default() }
    }

    /// A bucket over a store of the caller's, such as one of a simulation.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, parts: None, place: Place::Memory, pace: Pace::default() }
    }

    fn at(place: Place, credentials: Option<&Credentials>) -> Result<Self, BucketError> {
        let pace = Pace::default();
        let failed = |source| BucketError::of_storage(source, &place, Action::Read, None);
        match &place {
            Place::Memory => Ok(Self::memory()),
            Place::Folder(path) if !path.is_dir() => Err(BucketError::NoFolder { place }),
            Place::Folder(path) => {
                let store = LocalFileSystem::new_with_prefix(path).map_err(failed)?;
                Ok(Self { store: Arc::new(store.with_fsync(true)), parts: None, place, pace })
            }
            Place::S3(s3) => {
                let found = match credentials {
                    Some(given) => Some(given.clone()),
                    None => Credentials::from_env()?,
                };
                let no_key = || BucketError::NoKey { place: place.clone() };
                let store = crate::s3::open(s3, &found.ok_or_else(no_key)?).map_err(failed)?;
                Ok(Self { store: store.clone(), parts: Some(store), place, pace })
            }
        }
    }

    /// The same bucket with other time limits and retries.
    pub fn with_pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// Its time limits and retries.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Asks the storage for the start of its list, so that a wrong key, endpoint, name or clock is
    /// known before a run starts. S3 names its reason in answer to a list, not to a head.
    ///
    /// # Errors
    /// Whatever is wrong.
    pub async fn check(&self) -> Result<(), BucketError> {
        let first = || async { self.next_listed(&mut self.store.list(None)).await };
        self.pace.retry("check", |_| first()).await.map(drop)
    }

    /// Size and time of an object.
    ///
    /// # Errors
    /// There is none, or the storage fails.
    pub async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, BucketError> {
        let path = path_of(key);
        let head = |_| {
            self.within(self.pace.base, async {
                let meta = self.store.head(&path).await;
                let meta = meta.map_err(|source| self.error(source, Action::Read, key))?;
                Ok(info_of(*key, &meta))
            })
        };
        self.pace.retry(path.as_ref(), head).await
    }

    /// All objects under `prefix`, in the order of their keys. Names that are not keys are left
    /// out.
    ///
    /// # Errors
    /// The storage fails, or holds more objects there than anyone could have put in good faith.
    pub async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<ObjectInfo>, BucketError> {
        let text = prefix.to_string();
        let path = Path::from(text.as_str());
        let list = |_| async {
            let mut found = self.store.list(Some(&path));
            let mut metas = Vec::new();
            while let Some(meta) = self.next_listed(&mut found).await? {
                metas.push(meta);
                if metas.len() > LIST_OBJECTS_MAX {
                    let (place, prefix) = (self.place.clone(), text.clone());
                    let objects_max = LIST_OBJECTS_MAX;
                    return Err(BucketError::TooMany { place, prefix, objects_max });
                }
            }
            Ok(metas)
        };
        let metas: Vec<ObjectMeta> = self.pace.retry(&text, list).await?;
        let keyed = |meta: &ObjectMeta| {
            let key = meta.location.as_ref().parse().ok()?;
            Some(info_of(key, meta))
        };
        let mut objects: Vec<_> = metas.iter().filter_map(keyed).collect();
        objects.sort_by_key(|object| object.key.to_string());
        Ok(objects)
    }

    /// The next entry of a list whose name can be read; whoever put another one there cannot stop
    /// us.
    async fn next_listed(
        &self,
        found: &mut (impl Stream<Item = object_store::Result<ObjectMeta>> + Unpin + Send),
    ) -> Result<Option<ObjectMeta>, BucketError> {
        self.within(self.pace.base, async {
            loop {
                match found.next().await {
                    Some(Err(object_store::Error::InvalidPath { .. })) => {}
                    Some(Err(source)) => {
                        let error =
                            BucketError::of_storage(source, &self.place, Action::List, None);
                        return Err(error);
                    }
                    Some(Ok(meta)) => return Ok(Some(meta)),
                    None => return Ok(None),
                }
            }
        })
        .await
    }

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// The storage fails or refuses access.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), BucketError> {
        let path = path_of(key);
        let delete = |_| {
            self.within(self.pace.base, async {
                match self.store.delete(&path).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(source) => Err(self.error(source, Action::Write, key)),
                }
            })
        };
        self.pace.retry(path.as_ref(), delete).await
    }

    /// Gives `work` so much time.
    pub(crate) async fn within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, BucketError>>,
    ) -> Result<T, BucketError> {
        match tokio::time::timeout(timeout, work).await {
            Ok(done) => done,
            Err(_) => Err(BucketError::TimedOut { place: self.place.clone(), after: timeout }),
        }
    }

    pub(crate) fn error(
        &self,
        source: object_store::Error,
        action: Action,
        key: &ObjectKey,
    ) -> BucketError {
        BucketError::of_storage(source, &self.place, action, Some(key))
    }

    /// An error of this machine's own reading of a folder.
    pub(crate) fn io_error(&self, source: io::Error, key: &ObjectKey) -> BucketError {
        let source = object_store::Error::Generic { store: "folder", source: Box::new(source) };
        self.error(source, Action::Read, key)
    }
}

pub(crate) fn path_of(key: &ObjectKey) -> Path {
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
