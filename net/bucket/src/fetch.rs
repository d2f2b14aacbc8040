//! Fetching a list of promised objects at once, into a spool and by one deadline.
//!
//! Each object's BLAKE3 is computed while it arrives and compared with the promised one; bytes that
//! do not fit are thrown away and asked for from the next source. A fault is a value beside the
//! others: nothing that a peer stores or withholds ends the gather.

use futures::{Stream, StreamExt};
use tokio::time::Instant;
use wire::Digest;

use crate::download::{FetchFault, Sources};
use crate::{ObjectKey, Spool, Spooled};

/// Objects that are fetched at once, if the budget holds so many.
const OBJECTS_IN_FLIGHT: usize = 16;

/// One promised object.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Its key in every source.
    pub key: ObjectKey,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of the whole object, where that is promised too.
    pub hash: Option<Digest>,
    /// Where it may lie.
    pub sources: Sources,
}

/// Fetches all `requests` into `spool`, several at once, and yields each with its index as it is
/// done, in no order. What has not arrived by `deadline` is [`FetchFault::Late`]. Nothing happens
/// while the stream is not polled.
pub fn fetch_all(
    spool: &Spool,
    requests: Vec<Fetch>,
    deadline: Instant,
) -> impl Stream<Item = (usize, Result<Spooled, FetchFault>)> + Send + use<> {
    let spool = spool.clone();
    let fetches = requests.into_iter().enumerate().map(move |(index, request)| {
        let spool = spool.clone();
        async move { (index, spool.fetch(&request, deadline).await) }
    });
    futures::stream::iter(fetches).buffer_unordered(OBJECTS_IN_FLIGHT)
}
