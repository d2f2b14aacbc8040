//! Fetching a list of promised objects at once, within one budget of memory and by one deadline.
//!
//! Each object's BLAKE3 is computed while it arrives and compared with the promised one; bytes that
//! do not fit are thrown away and asked for from the next source. A fault is a value beside the
//! others: nothing that a peer stores or withholds ends the gather.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wire::Digest;

use crate::ObjectKey;
use crate::download::{FetchFault, RANGE_BYTES, RANGES_IN_FLIGHT, Sources, download};

/// Objects that are fetched at once, if the budget holds so many.
const OBJECTS_IN_FLIGHT: usize = 16;
/// The budget is counted in units of so many bytes.
const UNIT_BYTES: u64 = 4 << 10;

/// One promised object.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Its key in every source.
    pub key: ObjectKey,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of the whole object.
    pub hash: Digest,
    /// Where it may lie.
    pub sources: Sources,
}

/// An object that is what was promised, with its share of the budget until it is handed over.
pub(crate) struct Held {
    bytes: Bytes,
    share: OwnedSemaphorePermit,
}

impl Held {
    /// The object, which from now on is the caller's to account for.
    pub(crate) fn hand_over(self) -> Bytes {
        drop(self.share);
        self.bytes
    }
}

/// Fetches all `requests`, several at once, and yields each with its index as it is done, in no
/// order. What is on its way or waits to be yielded holds at most `in_flight_bytes_max` bytes,
/// except that an object larger than that goes alone; what was yielded is the caller's. What has
/// not arrived by `deadline` is [`FetchFault::Late`]. Nothing happens while the stream is not
/// polled.
pub fn fetch_all(
    requests: Vec<Fetch>,
    in_flight_bytes_max: u64,
    deadline: Instant,
) -> impl Stream<Item = (usize, Result<Bytes, FetchFault>)> + Send {
    let held = fetch_held(requests, in_flight_bytes_max, deadline);
    held.map(|(index, held)| (index, held.map(Held::hand_over)))
}

/// As [`fetch_all`], each object counting against the budget until it is taken out of its hold.
pub(crate) fn fetch_held(
    requests: Vec<Fetch>,
    in_flight_bytes_max: u64,
    deadline: Instant,
) -> impl Stream<Item = (usize, Result<Held, FetchFault>)> + Send {
    let units = in_flight_bytes_max.div_ceil(UNIT_BYTES).clamp(1, u64::from(u32::MAX)) as u32;
    let budget = Arc::new(Semaphore::new(units as usize));
    let fetches = futures::stream::iter(requests.into_iter().enumerate());
    let fetches = fetches.map(move |(index, request)| {
        let budget = budget.clone();
        async move {
            let of_budget =
                held_bytes(request.bytes).div_ceil(UNIT_BYTES).min(u64::from(units)) as u32;
            let work = async {
                let share =
                    budget.acquire_many_owned(of_budget).await.map_err(|_| FetchFault::Late)?;
                let bytes = fetch(&request, deadline).await?;
                Ok(Held { bytes, share })
            };
            let fetched = tokio::time::timeout_at(deadline, work).await;
            (index, fetched.unwrap_or(Err(FetchFault::Late)))
        }
    });
    fetches.buffer_unordered(OBJECTS_IN_FLIGHT)
}

/// What fetching an object holds at most: its ranges, and what they are put together in. An object
/// of one range is that range.
fn held_bytes(bytes: u64) -> u64 {
    let ranges = bytes.min(RANGE_BYTES * RANGES_IN_FLIGHT as u64);
    if bytes <= RANGE_BYTES { bytes } else { bytes.saturating_add(ranges) }
}

/// One object, whole and checked. Every source may be wrong once.
async fn fetch(request: &Fetch, deadline: Instant) -> Result<Bytes, FetchFault> {
    let mut found = Digest(*blake3::hash(&[]).as_bytes());
    if request.bytes == 0 && found == request.hash {
        return Ok(Bytes::new());
    }
    for _ in 0..=request.sources.len() {
        let (bytes, hash) = collect(request, deadline).await?;
        if hash == request.hash {
            return Ok(bytes);
        }
        found = hash;
        request.sources.turn();
    }
    Err(FetchFault::Hash { found })
}

/// The bytes of one download and their hash.
async fn collect(request: &Fetch, deadline: Instant) -> Result<(Bytes, Digest), FetchFault> {
    let mut pieces =
        std::pin::pin!(download(request.sources.clone(), request.key, request.bytes, deadline));
    let mut hasher = blake3::Hasher::new();
    let mut body = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        hasher.update(&piece);
        if piece.len() as u64 == request.bytes {
            return Ok((piece, Digest(*hasher.finalize().as_bytes())));
        }
        if body.capacity() == 0 {
            body.reserve(request.bytes as usize);
        }
        body.extend_from_slice(&piece);
    }
    Ok((body.freeze(), Digest(*hasher.finalize().as_bytes())))
}
