//! A storage that misbehaves as its plan says, around one that does not.
//!
//! It keeps what the plan needs: how often each operation was made on each object, when an object
//! was first there, and what a list last said. Time is tokio's, so that a test may stop it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::Instant;
use wire::ForeignText;

use crate::answer::Refusal;
use crate::fault_plan::{Fault, FaultPlan, Operation};
use crate::{Bucket, faulty_body};

const STORE: &str = "faulty";

/// The decorated store. Clones share it.
#[derive(Clone)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    parts: Option<Arc<dyn MultipartStore>>,
    plan: Arc<FaultPlan>,
    seed: u64,
    seen: Arc<Mutex<Seen>>,
}

/// What the plan's rules depend on.
#[derive(Default)]
struct Seen {
    operations: HashMap<(Operation, Path), u64>,
    /// When an object was first there, and lookups since.
    objects: HashMap<Path, (Instant, u64)>,
    lists: HashMap<Option<Path>, Vec<ObjectMeta>>,
}

impl Bucket {
    /// The same bucket with faults on purpose. The seed decides which operations they befall, and
    /// the pauses between retries.
    pub fn with_faults(self, plan: FaultPlan, seed: u64) -> Self {
        let store = FaultyStore {
            inner: self.store,
            parts: self.parts.clone(),
            plan: Arc::new(plan),
            seed,
            seen: Arc::default(),
        };
        let mut pace = self.pace;
        pace.jitter_seed = seed;
        let parts = self.parts.map(|_| Arc::new(store.clone()) as Arc<dyn MultipartStore>);
        Self { store: Arc::new(store), parts, place: self.place, pace }
    }
}

impl FaultyStore {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The faults of this operation. Those that end it before it begins have their effect here.
    async fn begin(&self, operation: Operation, path: &Path) -> Result<Vec<Fault>> {
        let count = {
            let mut seen = self.seen();
            let count = seen.operations.entry((operation, path.clone())).or_default();
            *count += 1;
            *count
        };
        let faults: Vec<_> = self.plan.faults(self.seed, operation, path, count).cloned().collect();
        for fault in &faults {
            match fault {
                Fault::TooManyRequests { retry_after_ms } => {
                    return Err(refusal(429, "TooManyRequests", *retry_after_ms));
                }
                Fault::InternalError {} => return Err(refusal(500, "InternalError", None)),
                Fault::Unavailable { retry_after_ms } => {
                    return Err(refusal(503, "SlowDown", *retry_after_ms));
                }
                Fault::Unreachable {} => {
                    let source = io::Error::from(io::ErrorKind::ConnectionRefused);
                    return Err(generic(HttpError::new(HttpErrorKind::Connect, source)));
                }
                Fault::Hang {} => std::future::pending::<()>().await,
                Fault::DiskFull {} => {
                    return Err(generic(io::Error::from(io::ErrorKind::StorageFull)));
                }
                _ => {}
            }
        }
        Ok(faults)
    }

    /// A put that was carried out: the object is there now, and perhaps nobody hears of it.
    fn end_put<T>(&self, faults: &[Fault], path: &Path, done: T) -> Result<T> {
        self.seen().objects.entry(path.clone()).or_insert((Instant::now(), 0));
        if faults.contains(&Fault::LostAnswer {}) {
            let source = io::Error::from(io::ErrorKind::ConnectionReset);
            return Err(generic(HttpError::new(HttpErrorKind::Interrupted, source)));
        }
        Ok(done)
    }

    /// Whether an object that is there is not seen yet. Each call is a lookup.
    fn is_hidden(&self, faults: &[Fault], path: &Path) -> bool {
        let mut seen = self.seen();
        let (since, lookups) =
            seen.objects.entry(path.clone()).or_insert_with(|| (Instant::now(), 0));
        *lookups += 1;
        faults.iter().any(|fault| match fault {
            Fault::LateVisibility { delay_ms, lookups: needed } => {
                since.elapsed() < Duration::from_millis(*delay_ms) || *lookups <= *needed
            }
            _ => false,
        })
    }

    /// The list that this call shows: faults are those of the list, and of each object for its own
    /// visibility.
    async fn listed(self, prefix: Option<Path>) -> Result<Vec<ObjectMeta>> {
        let at = prefix.clone().unwrap_or_default();
        let faults = self.begin(Operation::List, &at).await?;
        if faults.contains(&Fault::StaleList {}) {
            return Ok(self.seen().lists.get(&prefix).cloned().unwrap_or_default());
        }
        let mut metas: Vec<ObjectMeta> = self.inner.list(prefix.as_ref()).try_collect().await?;
        metas.retain(|meta| {
            let own = self.plan.faults(self.seed, Operation::List, &meta.location, 1);
            !self.is_hidden(&own.cloned().collect::<Vec<_>>(), &meta.location)
        });
        metas.iter_mut().for_each(|meta| skew(&faults, meta));
        self.seen().lists.insert(prefix, metas.clone());
        Ok(metas)
    }

    fn parts(&self) -> Result<&Arc<dyn MultipartStore>> {
        let operation = || "upload in parts".to_string();
        self.parts.as_ref().ok_or_else(|| Error::NotImplemented {
            operation: operation(),
            implementer: self.to_string(),
        })
    }
}

fn skew(faults: &[Fault], meta: &mut ObjectMeta) {
    for fault in faults {
        if let Fault::ClockSkew { shift_ms } = fault {
            let shift = Duration::from_millis(shift_ms.unsigned_abs());
            let modified = meta.last_modified;
            meta.last_modified = if *shift_ms < 0 { modified - shift } else { modified + shift };
        }
    }
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: STORE, source: Box::new(source) }
}

fn refusal(status: u16, code: &str, retry_after_ms: Option<u64>) -> Error {
    generic(Refusal {
        status,
        code: ForeignText::new(code),
        message: ForeignText::new(""),
        retry_after: retry_after_ms.map(Duration::from_millis),
    })
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let faults = self.begin(Operation::Put, location).await?;
        let done = self.inner.put_opts(location, payload, opts).await?;
        self.end_put(&faults, location, done)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.begin(Operation::Put, location).await?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { Operation::Head } else { Operation::Get };
        let faults = self.begin(operation, location).await?;
        let mut object = self.inner.get_opts(location, options).await?;
        if self.is_hidden(&faults, location) {
            let source = io::Error::from(io::ErrorKind::NotFound).into();
            return Err(Error::NotFound { path: location.to_string(), source });
        }
        skew(&faults, &mut object.meta);
        Ok(faulty_body::of(object, &faults))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let allowed = locations.then(move |location| {
            let store = store.clone();
            async move {
                let location = location?;
                store.begin(Operation::Delete, &location).await?;
                Ok(location)
            }
        });
        self.inner.delete_stream(allowed.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.clone().listed(prefix.cloned());
        let entries = futures::stream::once(listed)
            .map_ok(|metas| futures::stream::iter(metas.into_iter().map(Ok)));
        entries.try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.begin(Operation::List, &prefix.cloned().unwrap_or_default()).await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.begin(Operation::Put, to).await?;
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for FaultyStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.create_multipart_opts(path, PutMultipartOptions::default()).await
    }

    async fn create_multipart_opts(
        &self,
        path: &Path,
        opts: PutMultipartOptions,
    ) -> Result<MultipartId> {
        self.begin(Operation::Put, path).await?;
        self.parts()?.create_multipart_opts(path, opts).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        self.begin(Operation::Put, path).await?;
        self.parts()?.put_part(path, id, part_idx, data).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let faults = self.begin(Operation::Put, path).await?;
        let done = self.parts()?.complete_multipart(path, id, parts).await?;
        self.end_put(&faults, path, done)
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.begin(Operation::Delete, path).await?;
        self.parts()?.abort_multipart(path, id).await
    }
}
