//! What the network's rows share: a bucket on a loopback server, objects in it, a runtime, and the
//! plain client that they are held against.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bucket::{Bucket, Bytes, Credentials, Fetch, ObjectKey, PutMode, Sources, Spool};
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Runtime;
use wire::{Digest, Hotkey, RunId, Window};

use crate::BenchError;
use crate::loopback::{BUCKET, Loopback};

/// Longer than any transfer takes.
const HOUR: Duration = Duration::from_secs(3_600);
/// Objects that the plain client fetches at once.
const PEER_AT_ONCE: usize = 8;

/// A bucket, its server and what is in it.
pub(super) struct Storage {
    pub(super) server: Loopback,
    pub(super) bucket: Bucket,
    pub(super) spool: Spool,
    pub(super) runtime: Runtime,
    pub(super) objects: Vec<Fetch>,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Storage {
    /// An empty one, with runtime threads as many as `threads`.
    pub(super) fn start(threads: usize) -> Result<Self, BenchError> {
        let failed = |error| BenchError::temporary("make a folder in", error);
        let folder = tempfile::tempdir().map_err(failed)?;
        let served = folder.path().join("served");
        std::fs::create_dir(&served).map_err(failed)?;
        let server = Loopback::start(&served).map_err(failed)?;
        let place = format!("s3://{BUCKET}?endpoint={}&path_style=true", server.url());
        let key = Credentials::new("bench-access", "bench-secret")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .map_err(failed)?;
        Ok(Self {
            server,
            bucket: Bucket::open_with(&place.parse()?, &key)?,
            spool: Spool::new(folder.path()),
            runtime,
            objects: Vec::new(),
            client: client()?,
            _folder: folder,
        })
    }

    /// The key of an object by number.
    fn key(number: usize) -> ObjectKey {
        ObjectKey::contribution(RunId([7; 32]), Window(0), Hotkey([number as u8; 32]))
    }

    /// Stores one more object, of these pieces.
    pub(super) fn add<'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), BenchError> {
        let failed = |error| BenchError::temporary("write a file in", error);
        let key = Self::key(self.objects.len());
        let mut file = File::create(self.server.file(&key.to_string())).map_err(failed)?;
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        for piece in pieces {
            file.write_all(piece).map_err(failed)?;
            hasher.update(piece);
            bytes += piece.len() as u64;
        }
        let hash = Some(Digest(*hasher.finalize().as_bytes()));
        let sources = Sources::new([self.bucket.clone()]);
        self.objects.push(Fetch { key, bytes, hash, sources });
        Ok(())
    }

    /// Bytes of all objects.
    pub(super) fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }

    /// Until when a transfer may take.
    pub(super) fn deadline() -> tokio::time::Instant {
        tokio::time::Instant::now() + HOUR
    }

    /// Puts `body` as a node does, and not as one of the objects to fetch.
    pub(super) fn put(&self, body: &Bytes) -> Result<(), BenchError> {
        let (key, mode) = (Self::key(usize::from(u8::MAX)), PutMode::Overwrite);
        Ok(self.runtime.block_on(self.bucket.put(&key, body.clone(), mode))?)
    }

    /// Whether the object that was put last is `body`.
    pub(super) fn holds(&self, body: &Bytes) -> bool {
        let file = self.server.file(&Self::key(usize::from(u8::MAX)).to_string());
        std::fs::read(file).is_ok_and(|there| there == *body)
    }

    /// Fetches all objects as a node does, checks them, and lets go of them.
    pub(super) fn fetch_all(&self) -> Result<(), BenchError> {
        let fetch = bucket::fetch_all(&self.spool, self.objects.clone(), Self::deadline());
        self.runtime
            .block_on(fetch.map(|(_, object)| object.map(drop)).try_collect::<Vec<()>>())?;
        Ok(())
    }

    /// Seconds in which a plain client has all objects in memory, several at once, unchecked.
    pub(super) fn plain_fetch_s(&self) -> Result<f64, BenchError> {
        let since = Instant::now();
        let url = |object: &Fetch| format!("{}/{BUCKET}/{}", self.server.url(), object.key);
        let gets = self.objects.iter().map(|object| {
            let get = self.client.get(url(object)).send();
            async move { Ok::<_, reqwest::Error>(get.await?.bytes().await?.len() as u64) }
        });
        let gets: Vec<_> = gets.collect();
        let gets = futures::stream::iter(gets).buffer_unordered(PEER_AT_ONCE);
        let bytes: Vec<u64> = self.runtime.block_on(gets.try_collect())?;
        assert_eq!(bytes.iter().sum::<u64>(), self.bytes(), "the plain client has it all");
        Ok(since.elapsed().as_secs_f64())
    }

    /// Seconds in which a plain client has put `body` in pieces of `piece_bytes`, `at_once` of
    /// them.
    pub(super) fn plain_put_s(
        &self,
        body: &Bytes,
        piece_bytes: usize,
        at_once: usize,
    ) -> Result<f64, BenchError> {
        let since = Instant::now();
        let puts = (0..body.len().div_ceil(piece_bytes)).map(|at| {
            let piece = body.slice(at * piece_bytes..((at + 1) * piece_bytes).min(body.len()));
            let url = format!("{}/{BUCKET}/plain-{at}", self.server.url());
            let put = self.client.put(url).body(piece).send();
            async move { put.await?.error_for_status().map(drop) }
        });
        let puts: Vec<_> = puts.collect();
        let puts = futures::stream::iter(puts).buffer_unordered(at_once);
        self.runtime.block_on(puts.try_collect::<Vec<()>>())?;
        Ok(since.elapsed().as_secs_f64())
    }
}

/// A client for `http` alone.
fn client() -> Result<reqwest::Client, BenchError> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|error| BenchError::Server(error.to_string()))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(reqwest::Client::builder().http1_only().tls_backend_preconfigured(tls).build()?)
}
