//! Buckets of a simulation, and the line from whoever asks to whoever owns: slow at times, cut
//! while the network is split, dated by the virtual clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chain::Clock;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::clock::VirtualClock;
use super::draw::Draw;
use super::forger::Forger;
use super::liar::Liar;

/// Usual time of half a request, in milliseconds.
const LATENCY_MS: (u64, u64) = (10, 150);
/// Share of requests that take much longer, and how long.
const STALL_SHARE: f64 = 0.02;
const STALL_MS: (u64, u64) = (1_000, 8_000);

/// What lies between all nodes.
pub(super) struct Net {
    clock: VirtualClock,
    vaults: Vec<Vault>,
    weather: Mutex<Weather>,
}

/// One node's objects, and when each was put.
#[derive(Default)]
struct Vault {
    store: InMemory,
    times_ms: Mutex<BTreeMap<Path, u64>>,
}

struct Weather {
    draw: Draw,
    /// Which side of a split each node is on.
    sides: Vec<bool>,
}

impl Net {
    /// A sound network between `nodes` nodes with empty buckets.
    pub(super) fn new(nodes: usize, seed: u64, clock: VirtualClock) -> Self {
        let draw = Draw::new(seed, "weather");
        let weather = Mutex::new(Weather { draw, sides: vec![false; nodes] });
        Self { clock, vaults: (0..nodes).map(|_| Vault::default()).collect(), weather }
    }

    /// From now on nodes of one side do not reach buckets of the other.
    pub(super) fn split(&self, sides: Vec<bool>) {
        lock(&self.weather).sides = sides;
    }

    /// Everybody reaches everybody.
    pub(super) fn heal(&self) {
        lock(&self.weather).sides.fill(false);
    }

    /// Nodes.
    pub(super) fn nodes(&self) -> usize {
        self.vaults.len()
    }

    /// Replaces an object in its owner's bucket.
    pub(super) async fn overwrite(&self, owner: usize, path: &Path, text: Vec<u8>) {
        let vault = &self.vaults[owner];
        let put = vault.store.put_opts(path, text.into(), PutOptions::default()).await;
        put.expect("memory takes everything");
        lock(&vault.times_ms).insert(path.clone(), self.clock.now_ms());
    }

    /// An object as its owner put it.
    pub(super) async fn look(&self, owner: usize, path: &Path) -> Option<Vec<u8>> {
        let object = self.vaults[owner].store.get_opts(path, GetOptions::default()).await.ok()?;
        object.bytes().await.ok().map(|bytes| bytes.to_vec())
    }
}

/// An object's bytes in one piece.
pub(super) fn joined(payload: &PutPayload) -> Vec<u8> {
    payload.iter().flat_map(|piece| piece.iter().copied()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bucket of one node as another sees it.
#[derive(Clone)]
pub(super) struct Line {
    net: Arc<Net>,
    asker: usize,
    owner: usize,
    /// Puts something else than it is told to.
    crook: Option<Crook>,
}

/// Who puts something else into its own bucket than its node made.
#[derive(Clone)]
pub(super) enum Crook {
    Liar(Arc<Liar>),
    Forger(Arc<Forger>),
}

impl Line {
    /// The bucket of `owner`, as `asker` sees it.
    pub(super) fn new(net: &Arc<Net>, asker: usize, owner: usize) -> Self {
        Self { net: Arc::clone(net), asker, owner, crook: None }
    }

    /// The own bucket of `owner`, who may be a crook.
    pub(super) fn own(net: &Arc<Net>, owner: usize, crook: Option<Crook>) -> Self {
        Self { net: Arc::clone(net), asker: owner, owner, crook }
    }

    /// A number that no other line has.
    pub(super) fn number(&self) -> u64 {
        (self.asker * self.net.nodes() + self.owner) as u64
    }

    fn vault(&self) -> &Vault {
        &self.net.vaults[self.owner]
    }

    /// One way of a request.
    async fn travel(&self) {
        let pause_ms = {
            let Weather { draw, sides } = &mut *lock(&self.net.weather);
            let stalls = draw.chance(STALL_SHARE);
            let (low, high) = if stalls { STALL_MS } else { LATENCY_MS };
            (sides[self.asker] == sides[self.owner]).then(|| draw.between(low, high))
        };
        match pause_ms {
            Some(pause_ms) => tokio::time::sleep(Duration::from_millis(pause_ms)).await,
            None => std::future::pending().await,
        }
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let time_ms = lock(&self.vault().times_ms).get(&meta.location).copied().unwrap_or(0);
        let time = std::time::UNIX_EPOCH + Duration::from_millis(time_ms);
        meta.last_modified = time.into();
        meta
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.asker, self.owner)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({self})")
    }
}

#[async_trait]
impl ObjectStore for Line {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let payload = match &self.crook {
            Some(Crook::Liar(liar)) => liar.instead(&self.net, path, payload).await,
            Some(Crook::Forger(forger)) => forger.instead(path, payload),
            None => payload,
        };
        self.travel().await;
        let put = self.vault().store.put_opts(path, payload, options).await?;
        lock(&self.vault().times_ms).insert(path.clone(), self.net.clock.now_ms());
        self.travel().await;
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.vault().store.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.travel().await;
        let mut found = self.vault().store.get_opts(path, options).await?;
        self.travel().await;
        found.meta = self.dated(found.meta);
        Ok(found)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.vault().store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let line = self.clone();
        let listed = self.vault().store.list(prefix);
        listed.map(move |meta| meta.map(|meta| line.dated(meta))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.vault().store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.vault().store.copy_opts(from, to, options).await
    }
}
