//! Where fetched objects lie until they are used: small ones in memory, as long as there are few,
//! all others in files without a name, which are gone with whoever holds them, kill -9 included.
//!
//! So a window's contributions take disk, and of memory no more than a piece of each range that is
//! on its way. Nothing here is flushed: what a crash loses is fetched again.

use std::fs::File;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::{Content, ReadAt};

use crate::BucketError;
use crate::download::{FetchFault, RANGE_BYTES, RANGES_IN_FLIGHT, ranges};
use crate::fetch::Fetch;
use crate::strip::{self, Strip};

/// Bytes of objects that stay in memory, together.
const KEPT_BYTES: u64 = 32 << 20;
/// Bytes that are on their way at once.
const IN_FLIGHT_BYTES: u64 = 128 << 20;
/// Budgets are counted in units of so many bytes.
const UNIT_BYTES: u64 = 4 << 10;

/// A place for fetched objects, with budgets of memory that all fetches into it share. Clones are
/// the same place.
#[derive(Clone, Debug)]
pub struct Spool {
    dir: Arc<PathBuf>,
    kept: Arc<Semaphore>,
    in_flight: Arc<Semaphore>,
    in_flight_units: u32,
}

impl Spool {
    /// A spool whose files lie in the folder `dir`.
    pub fn new(dir: &Path) -> Self {
        Self::with_budgets(dir, KEPT_BYTES, IN_FLIGHT_BYTES)
    }

    /// As [`Spool::new`], with so many bytes of objects in memory, and so many on their way; an
    /// object that needs more than the latter goes alone.
    pub fn with_budgets(dir: &Path, kept_bytes: u64, in_flight_bytes: u64) -> Self {
        let in_flight_units = units(in_flight_bytes).max(1);
        Self {
            dir: Arc::new(dir.to_path_buf()),
            kept: Arc::new(Semaphore::new((kept_bytes / UNIT_BYTES) as usize)),
            in_flight: Arc::new(Semaphore::new(in_flight_units as usize)),
            in_flight_units,
        }
    }

    /// Fetches one object, hashed while it arrives; every source may be wrong once. An object that
    /// is promised by its length alone is taken as it is found.
    ///
    /// # Errors
    /// No source has what was promised until `deadline`; or the spool has no room for it.
    pub async fn fetch(&self, request: &Fetch, deadline: Instant) -> Result<Spooled, FetchFault> {
        let work = async {
            let on_its_way = request.bytes.min(RANGE_BYTES * RANGES_IN_FLIGHT as u64);
            let share = units(on_its_way).min(self.in_flight_units);
            let share = self.in_flight.acquire_many(share).await;
            let _share = share.map_err(|_| FetchFault::Late)?;
            self.fetch_from_any(request).await
        };
        tokio::time::timeout_at(deadline, work).await.unwrap_or(Err(FetchFault::Late))
    }

    async fn fetch_from_any(&self, request: &Fetch) -> Result<Spooled, FetchFault> {
        let wanted = |content: Content| request.hash.is_none_or(|hash| hash == content.hash);
        let nothing = Spooled::from(Bytes::new());
        if request.bytes == 0 && wanted(nothing.content) {
            return Ok(nothing);
        }
        let mut found = nothing.content.hash;
        for _ in 0..=request.sources.len() {
            let object = self.collect(request).await?;
            if wanted(object.content) {
                return Ok(object);
            }
            found = object.content.hash;
            request.sources.turn();
        }
        Err(FetchFault::Hash { found })
    }

    /// The bytes of one download.
    async fn collect(&self, request: &Fetch) -> Result<Spooled, FetchFault> {
        let Fetch { key, bytes, ref sources, .. } = *request;
        let share = match units(bytes) {
            share if bytes <= RANGE_BYTES => self.kept.clone().try_acquire_many_owned(share).ok(),
            _ => None,
        };
        if let Some(share) = share {
            // An object of one range is that range.
            let memory = || BytesMut::with_capacity(bytes as usize);
            let whole = sources.read(&key, 0..bytes, bytes, memory).await?;
            return Ok(Spooled::in_memory(whole.freeze(), Some(share)));
        }
        let failed = |source| FetchFault::Spool { dir: self.dir.to_path_buf(), source };
        let file = Arc::new(tempfile::tempfile_in(&*self.dir).map_err(failed)?);
        let strips = read_into(&file, request).await.map_err(|fault| match fault {
            FetchFault::Source(BucketError::Keep { source }) => failed(source),
            fault => fault,
        })?;
        let content = Content { hash: strip::hash_of(&strips), bytes };
        Ok(Spooled { content, lies: Lies::InFile(file) })
    }
}

/// Reads all ranges of an object into `file`, a few at once, each on a task of its own: hashing and
/// writing take about as long as a fast network.
async fn read_into(file: &Arc<File>, request: &Fetch) -> Result<Vec<Strip>, FetchFault> {
    let Fetch { key, bytes, ref sources, .. } = *request;
    let mut waiting = ranges(bytes);
    let (mut reading, mut strips) = (JoinSet::new(), Vec::new());
    loop {
        while reading.len() < RANGES_IN_FLIGHT
            && let Some(range) = waiting.next()
        {
            let (sources, file) = (sources.clone(), file.clone());
            reading.spawn(async move {
                let strip = || Strip::new(&file, range.start);
                sources.read(&key, range.clone(), bytes, strip).await
            });
        }
        let Some(read) = reading.join_next().await else { break };
        strips.push(read.unwrap_or_else(|stopped| resume_unwind(stopped.into_panic()))?);
    }
    strips.sort_by_key(Strip::start);
    Ok(strips)
}

/// Does what takes long on a thread of its own, where it holds up nobody, and the rest at once.
pub(crate) async fn aside<T: Send + 'static>(
    is_long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if !is_long {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}

fn units(bytes: u64) -> u32 {
    bytes.div_ceil(UNIT_BYTES).min(u64::from(u32::MAX)) as u32
}

/// An object in a spool, or one that lay in memory anyway. Clones are the same object.
#[derive(Clone, Debug)]
pub struct Spooled {
    content: Content,
    lies: Lies,
}

#[derive(Clone, Debug)]
enum Lies {
    InMemory { bytes: Bytes, _share: Option<Arc<OwnedSemaphorePermit>> },
    InFile(Arc<File>),
}

impl Spooled {
    fn in_memory(bytes: Bytes, share: Option<OwnedSemaphorePermit>) -> Self {
        let content = Content::of(&bytes);
        Self { content, lies: Lies::InMemory { bytes, _share: share.map(Arc::new) } }
    }

    /// What it is.
    pub fn content(&self) -> Content {
        self.content
    }

    /// Gives it to `work`: at once if it is small, else on a thread of its own, where reading and
    /// computing hold up nobody.
    pub async fn examine<T: Send + 'static>(
        self,
        work: impl FnOnce(Self) -> T + Send + 'static,
    ) -> T {
        aside(self.content.bytes > RANGE_BYTES, move || work(self)).await
    }

    /// All of it in memory.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        match &self.lies {
            Lies::InMemory { bytes, .. } => Ok(bytes.clone()),
            Lies::InFile(_) => {
                let mut bytes = vec![0; self.content.bytes as usize];
                self.read_at(0, &mut bytes)?;
                Ok(bytes.into())
            }
        }
    }
}

impl From<Bytes> for Spooled {
    fn from(bytes: Bytes) -> Self {
        Self::in_memory(bytes, None)
    }
}

impl ReadAt for Spooled {
    fn len(&self) -> u64 {
        self.content.bytes
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        match &self.lies {
            Lies::InMemory { bytes, .. } => bytes[..].read_at(at, into),
            Lies::InFile(file) => read_file_at(file, at, into),
        }
    }
}

#[cfg(unix)]
fn read_file_at(file: &File, at: u64, into: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, at)
}

#[cfg(windows)]
fn read_file_at(file: &File, mut at: u64, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, into, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => (at, into) = (at + bytes as u64, &mut into[bytes..]),
        }
    }
    Ok(())
}
