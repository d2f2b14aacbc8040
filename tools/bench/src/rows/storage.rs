//! What the network's rows share: a bucket on a loopback server, objects in it, a runtime, and the
//! plain client that they are held against.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bucket::{Bucket, Bytes, Credentials, Fetch, Limits, ObjectKey, PutMode, Sources, Spool};
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::signer::Signer;
use tokio::runtime::Runtime;
use wire::{Digest, RunId, Window};

use crate::BenchError;
use crate::loopback::{BUCKET, Link, Loopback};
use crate::machine;

/// Longer than any transfer takes.
const HOUR: Duration = Duration::from_secs(3_600);
/// Objects that the plain client fetches at once.
const PEER_AT_ONCE: usize = 8;

/// A bucket, its server and what is in it.
pub(super) struct Storage {
    /// The server, if it is this process's own.
    server: Option<Loopback>,
    pub(super) bucket: Bucket,
    pub(super) spool: Spool,
    pub(super) runtime: Runtime,
    pub(super) objects: Vec<Fetch>,
    /// Where a plain client finds each object.
    urls: Vec<String>,
    signer: Option<AmazonS3>,
    client: reqwest::Client,
    /// Served objects and the spool; removed with this.
    _folder: tempfile::TempDir,
}

impl Storage {
    /// An empty bucket on a server of this process, and a runtime of so many threads.
    pub(super) fn start(threads: usize) -> Result<Self, BenchError> {
        let failed = |error| BenchError::temporary("make a folder in", error);
        let folder = tempfile::tempdir().map_err(failed)?;
        let served = folder.path().join("served");
        std::fs::create_dir(&served).map_err(failed)?;
        let server = Loopback::start(&served).map_err(failed)?;
        let place = format!("s3://{BUCKET}?endpoint={}&path_style=true", server.url());
        let key = Credentials::new("bench-access", "bench-secret")?;
        let bucket = Bucket::open_with(&place.parse()?, &key)?;
        Self::with(threads, folder, bucket, Some(server), None)
    }

    /// A part of the bucket of the S3 server that `ci/s3` started, if it did.
    pub(super) fn on_s3(threads: usize) -> Result<Option<Self>, BenchError> {
        let variable = |name: &str| std::env::var(format!("COV72_TEST_S3{name}")).ok();
        let found =
            [variable(""), variable("_BUCKET"), variable("_ACCESS_KEY"), variable("_SECRET_KEY")];
        let [Some(endpoint), Some(name), Some(access), Some(secret)] = found else {
            return Ok(None);
        };
        let place = format!("s3://{name}/bench?endpoint={endpoint}&path_style=true");
        let key = Credentials::new(&access, &secret)?;
        let bucket = Bucket::open_with(&place.parse()?, &key)?;
        // The library's own client, which signs and is never asked to fetch, wants one of these.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let signer = AmazonS3Builder::new()
            .with_bucket_name(name)
            .with_region("auto")
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_access_key_id(access)
            .with_secret_access_key(secret)
            .build()
            .map_err(|error| BenchError::Server(error.to_string()))?;
        let folder = tempfile::tempdir();
        let folder = folder.map_err(|error| BenchError::temporary("make a folder in", error))?;
        Self::with(threads, folder, bucket, None, Some(signer)).map(Some)
    }

    fn with(
        threads: usize,
        folder: tempfile::TempDir,
        bucket: Bucket,
        server: Option<Loopback>,
        signer: Option<AmazonS3>,
    ) -> Result<Self, BenchError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .map_err(|error| BenchError::temporary("start threads beside", error))?;
        let (spool, client) = (Spool::new(folder.path()), client()?);
        let (objects, urls) = (Vec::new(), Vec::new());
        Ok(Self { server, bucket, spool, runtime, objects, urls, signer, client, _folder: folder })
    }

    /// The key of an object by number: a short one, since s3s-fs has room for no longer ones in an
    /// upload in parts.
    fn key(number: usize) -> ObjectKey {
        ObjectKey::checkpoint(RunId([7; 32]), Window(0), number as u32)
    }

    /// Stores one more object.
    pub(super) fn add(&mut self, body: &[&[u8]]) -> Result<(), BenchError> {
        let key = Self::key(self.objects.len());
        let mut hasher = blake3::Hasher::new();
        for piece in body {
            hasher.update(piece);
        }
        let bytes = body.iter().map(|piece| piece.len() as u64).sum();
        let hash = Some(Digest(*hasher.finalize().as_bytes()));
        let url = match (&self.server, &self.signer) {
            (Some(server), _) => {
                let failed = |error| BenchError::temporary("write a file in", error);
                let mut file = File::create(server.file(&key.to_string())).map_err(failed)?;
                body.iter().try_for_each(|piece| file.write_all(piece)).map_err(failed)?;
                format!("{}/{BUCKET}/{key}", server.url())
            }
            (None, Some(signer)) => {
                let put = self.bucket.put(&key, Bytes::from(body.concat()), PutMode::Overwrite);
                self.runtime.block_on(put)?;
                let path = format!("bench/{key}").into();
                let url = signer.signed_url(reqwest::Method::GET, &path, HOUR);
                let url = self.runtime.block_on(url);
                url.map_err(|error| BenchError::Server(error.to_string()))?.to_string()
            }
            (None, None) => unreachable!("a server of our own, or one that checks signatures"),
        };
        self.urls.push(url);
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

    /// From now on transfers of this process's own server pass this link.
    pub(super) fn set(&self, link: Link) {
        if let Some(server) = &self.server {
            server.set(link);
        }
    }

    /// Processor seconds of this process so far, without those of its server.
    pub(super) fn cpu_s(&self) -> f64 {
        machine::process_cpu_s() - self.server.as_ref().map_or(0.0, Loopback::cpu_s)
    }

    /// Puts `body` as a node does, and not as one of the objects to fetch.
    pub(super) fn put(&self, body: &Bytes) -> Result<(), BenchError> {
        let (key, mode) = (Self::key(usize::from(u8::MAX)), PutMode::Overwrite);
        Ok(self.runtime.block_on(self.bucket.put(&key, body.clone(), mode))?)
    }

    /// Whether the object that was put last is `body`.
    pub(super) fn holds(&self, body: &Bytes) -> Result<bool, BenchError> {
        let key = Self::key(usize::from(u8::MAX));
        let limits = Limits { bytes_max: body.len() as u64, timeout: HOUR };
        Ok(self.runtime.block_on(self.bucket.get(&key, limits))? == *body)
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
        let gets = self.urls.iter().map(|url| {
            let get = self.client.get(url).send();
            async move {
                let got = get.await?.error_for_status()?.bytes().await?;
                Ok::<_, reqwest::Error>(got.len() as u64)
            }
        });
        let gets: Vec<_> = gets.collect();
        let gets = futures::stream::iter(gets).buffer_unordered(PEER_AT_ONCE);
        let bytes: Vec<u64> = self.runtime.block_on(gets.try_collect())?;
        assert_eq!(bytes.iter().sum::<u64>(), self.bytes(), "the plain client has it all");
        Ok(since.elapsed().as_secs_f64())
    }

    /// Seconds in which a plain client has put `body` in pieces of `piece_bytes`, `at_once` of
    /// them, unsigned: only this process's own server takes that.
    pub(super) fn plain_put_s(
        &self,
        body: &Bytes,
        piece_bytes: usize,
        at_once: usize,
    ) -> Result<Option<f64>, BenchError> {
        let Some(server) = &self.server else { return Ok(None) };
        let since = Instant::now();
        let puts = (0..body.len().div_ceil(piece_bytes)).map(|at| {
            let piece = body.slice(at * piece_bytes..((at + 1) * piece_bytes).min(body.len()));
            let url = format!("{}/{BUCKET}/plain-{at}", server.url());
            let put = self.client.put(url).body(piece).send();
            async move { put.await?.error_for_status().map(drop) }
        });
        let puts: Vec<_> = puts.collect();
        let puts = futures::stream::iter(puts).buffer_unordered(at_once);
        self.runtime.block_on(puts.try_collect::<Vec<()>>())?;
        Ok(Some(since.elapsed().as_secs_f64()))
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
