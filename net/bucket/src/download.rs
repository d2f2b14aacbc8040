//! Downloading one object of known size: in ranges, several at once, each retried by itself and
//! from every source that has the object.
//!
//! Sources are the owner's bucket and any mirror; the bytes of all are a stranger's until the
//! caller has checked the hash.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wire::Digest;

use crate::read::Sink;
use crate::{Bucket, BucketError, ObjectKey};

/// Length of all ranges but the last.
pub(crate) const RANGE_BYTES: u64 = 8 << 20;
/// Ranges of one object that are on their way at once.
pub(crate) const RANGES_IN_FLIGHT: usize = 4;

/// Why an object that was promised could not be fetched: a verdict on the object and its sources.
#[derive(Debug, thiserror::Error)]
pub enum FetchFault {
    /// No source has it.
    #[error("no source has it")]
    Missing,
    /// Time ran out.
    #[error("it had not arrived by the deadline")]
    Late,
    /// The object has another size than was promised.
    #[error("it has {bytes} bytes instead of {bytes_expected}")]
    Length {
        /// Its size.
        bytes: u64,
        /// The promised one.
        bytes_expected: u64,
    },
    /// The bytes of every source have another hash than was promised.
    #[error("its bytes hash to {found}")]
    Hash {
        /// BLAKE3 of what the last source gave.
        found: Digest,
    },
    /// The last error of the last source.
    #[error("{0}")]
    Source(BucketError),
    /// It could not be kept: no verdict on anybody, the machine's own fault.
    #[error("cannot keep a fetched object in {}: {source}; make room there", .dir.display())]
    Spool {
        /// The spool's folder.
        dir: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Where the same object may lie, in the order in which they are asked. Clones share what was
/// learned of which one answers.
#[derive(Clone, Debug)]
pub struct Sources {
    buckets: Arc<[Bucket]>,
    /// The source that answered last.
    preferred: Arc<AtomicUsize>,
}

impl Sources {
    /// The owner's bucket first, then mirrors.
    pub fn new(buckets: impl IntoIterator<Item = Bucket>) -> Self {
        Self { buckets: buckets.into_iter().collect(), preferred: Arc::default() }
    }

    /// Turns to another source, because what the present one gave is not what was promised.
    pub(crate) fn turn(&self) {
        self.preferred.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// One range of an object of `bytes` bytes, from whichever source gives it first; each attempt
    /// gives it to a sink of its own.
    pub(crate) async fn read<S: Sink>(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        bytes: u64,
        sink: impl Fn() -> S,
    ) -> Result<S, FetchFault> {
        let mut last = FetchFault::Missing;
        let rounds = self.buckets.iter().map(|bucket| bucket.pace().attempts_max).max();
        let label = format!("{key} from {}", range.start);
        for round in 0..rounds.unwrap_or(0) {
            let (mut retry_after, mut may_pass) = (None, false);
            for _ in 0..self.len() {
                let at = self.preferred.load(Ordering::Relaxed);
                let bucket = &self.buckets[at % self.len()];
                let fault = match bucket.read_part(key, range.clone(), sink()).await {
                    Ok(part) if part.object_bytes == bytes => return Ok(part.sink),
                    Ok(part) => {
                        FetchFault::Length { bytes: part.object_bytes, bytes_expected: bytes }
                    }
                    Err(BucketError::NotFound { .. }) => FetchFault::Missing,
                    Err(error @ BucketError::Keep { .. }) => return Err(FetchFault::Source(error)),
                    Err(error) => {
                        retry_after = error.retry_after().max(retry_after);
                        may_pass |= error.is_transient();
                        FetchFault::Source(error)
                    }
                };
                // Whoever else failed with the same source has turned from it already.
                let next = at.wrapping_add(1);
                let (order, preferred) = (Ordering::Relaxed, &self.preferred);
                let _ = preferred.compare_exchange(at, next, order, order);
                last = worse(last, fault);
            }
            // An object may still become visible, or whole.
            may_pass |= !matches!(last, FetchFault::Source(_));
            if round + 1 == rounds.unwrap_or(0) || !may_pass {
                break;
            }
            // With a mirror to turn to, nobody waits for as long as one source would like.
            let asked = retry_after.filter(|_| self.len() == 1);
            let pause = self.buckets[0].pace().pause_after(round, &label, asked);
            tokio::time::sleep(pause).await;
        }
        Err(last)
    }
}

/// The fault that says more: a source that has the object, or may have it, over one that has not.
fn worse(last: FetchFault, fault: FetchFault) -> FetchFault {
    if matches!(fault, FetchFault::Missing) { last } else { fault }
}

/// The ranges of an object of `bytes` bytes, in order.
pub(crate) fn ranges(bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let starts = (0..bytes.div_ceil(RANGE_BYTES)).map(|at| at * RANGE_BYTES);
    starts.map(move |start| start..(start + RANGE_BYTES).min(bytes))
}
