//! Writing one object, all or nothing.
//!
//! A folder's object is written beside its place, flushed to the disk, moved there and its folder
//! flushed; an S3 service shows an object once it has all of it. So neither a crash nor a power cut
//! leaves half of one under a key, and a put that returned is there for good. Large objects go in
//! parts, each retried by itself; parts of an upload that fails are removed.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, PutPayload};
use tokio::task::JoinSet;

use crate::store::path_of;
use crate::{Action, Body, Bucket, BucketError, Limits, ObjectKey};

/// Largest object that goes in one request.
const WHOLE_BYTES_MAX: u64 = 64 << 20;
/// Bounds of a part; S3 takes 5 MiB to 5 GiB, and at most 10,000 of them.
const PART_BYTES_MIN: u64 = 16 << 20;
const PART_BYTES_MAX: u64 = 64 << 20;
/// Parts that an object has as long as the bounds of one allow it.
const PARTS_AIM: u64 = 64;
/// Parts on their way at once.
const PARTS_IN_FLIGHT: usize = 4;

/// What a put does with an object that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// Leaves it, and fails with [`BucketError::Exists`]. For an object above 64 MiB this is
    /// checked before its upload, not at its end.
    Create,
    /// Replaces it at once; readers see the old one or the new one.
    Overwrite,
}

impl Bucket {
    /// Writes a whole object, all or nothing; when this returns it is durable. Of a large body that
    /// does not lie in memory no more than a few parts are read at once.
    ///
    /// # Errors
    /// Something has the key already and `mode` is [`PutMode::Create`]; the disk is full; access is
    /// refused; the storage still fails after every attempt.
    pub async fn put(
        &self,
        key: &ObjectKey,
        body: impl Into<Body>,
        mode: PutMode,
    ) -> Result<(), BucketError> {
        let body = body.into();
        if body.len() <= WHOLE_BYTES_MAX {
            let body = self.slice(key, &body, 0..body.len()).await?;
            return self.put_whole(key, body, mode).await;
        }
        if mode == PutMode::Create {
            match self.head(key).await {
                Ok(_) => return Err(BucketError::Exists { place: self.place.clone(), key: *key }),
                Err(BucketError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match &self.parts {
            Some(parts) => self.put_in_parts(parts, key, &body).await,
            None => self.pace.retry(path_of(key).as_ref(), |_| self.put_in_turn(key, &body)).await,
        }
    }

    async fn slice(
        &self,
        key: &ObjectKey,
        body: &Body,
        range: Range<u64>,
    ) -> Result<Bytes, BucketError> {
        body.slice(range).await.map_err(|source| self.io_error(source, key))
    }

    /// One attempt at a large object where parts cannot be retried, as in a folder: one part after
    /// the other beside its place, then moved there.
    async fn put_in_turn(&self, key: &ObjectKey, body: &Body) -> Result<(), BucketError> {
        let path = path_of(key);
        let failed = |source| self.error(source, Action::Write, key);
        let mut upload =
            self.store.put_multipart_opts(&path, Default::default()).await.map_err(failed)?;
        let sent = self.within(self.pace.time_for(body.len()), async {
            for range in ranges(body.len()) {
                let piece = self.slice(key, body, range).await?;
                upload.put_part(piece.into()).await.map_err(failed)?;
            }
            upload.complete().await.map(drop).map_err(failed)
        });
        let sent = sent.await;
        if sent.is_err() {
            // The upload's own error is the one to report.
            let _ = upload.abort().await;
        }
        sent
    }

    async fn put_whole(
        &self,
        key: &ObjectKey,
        body: Bytes,
        mode: PutMode,
    ) -> Result<(), BucketError> {
        let store_mode = match mode {
            PutMode::Create => object_store::PutMode::Create,
            PutMode::Overwrite => object_store::PutMode::Overwrite,
        };
        let path = path_of(key);
        let limit = self.pace.time_for(body.len() as u64);
        let put = |attempt| {
            let (mode, body) = (store_mode.clone(), body.clone());
            let path = &path;
            async move {
                let put = self.within(limit, async {
                    let payload = PutPayload::from_bytes(body.clone());
                    let put = self.store.put_opts(path, payload, mode.into()).await;
                    put.map(drop).map_err(|source| self.error(source, Action::Write, key))
                });
                match put.await {
                    // An attempt before this one may have succeeded without our hearing of it.
                    Err(exists @ BucketError::Exists { .. }) if attempt > 0 => {
                        if self.holds(key, &body).await? { Ok(()) } else { Err(exists) }
                    }
                    done => done,
                }
            }
        };
        self.pace.retry(path.as_ref(), put).await
    }

    /// Whether the object is exactly this.
    async fn holds(&self, key: &ObjectKey, body: &Bytes) -> Result<bool, BucketError> {
        let bytes_max = body.len() as u64;
        let limits = Limits { bytes_max, timeout: self.pace.time_for(bytes_max) };
        match self.get(key, limits).await {
            Ok(there) => Ok(there == body),
            Err(BucketError::TooLarge { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn put_in_parts(
        &self,
        parts: &Arc<dyn MultipartStore>,
        key: &ObjectKey,
        body: &Body,
    ) -> Result<(), BucketError> {
        let path = path_of(key);
        let begin = |_| {
            self.within(self.pace.base, async {
                let id = parts.create_multipart(&path).await;
                id.map_err(|source| self.error(source, Action::Write, key))
            })
        };
        let id = self.pace.retry(path.as_ref(), begin).await?;
        let mut orphans =
            Orphans { parts: parts.clone(), path: path.clone(), id: Some(id.clone()) };
        let sent = self.send_parts(parts, key, &id, body).await;
        let done = match sent {
            Ok(sent) => self.finish(parts, key, &id, sent, body.len()).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => orphans.id = None,
            Err(_) => orphans.remove().await,
        }
        done
    }

    /// Puts the parts, a few at once, each with retries of its own, and on a task of its own:
    /// checksums take about as long as a fast network.
    async fn send_parts(
        &self,
        parts: &Arc<dyn MultipartStore>,
        key: &ObjectKey,
        id: &MultipartId,
        body: &Body,
    ) -> Result<Vec<PartId>, BucketError> {
        let mut waiting = ranges(body.len()).enumerate();
        let (mut sending, mut sent) = (JoinSet::new(), Vec::new());
        loop {
            while sending.len() < PARTS_IN_FLIGHT
                && let Some((at, range)) = waiting.next()
            {
                let (bucket, parts, key) = (self.clone(), parts.clone(), *key);
                let (id, body) = (id.clone(), body.clone());
                sending.spawn(async move {
                    let part = bucket.send_part(&parts, &key, &id, at, &body, range).await;
                    part.map(|part| (at, part))
                });
            }
            let Some(done) = sending.join_next().await else { break };
            sent.push(done.unwrap_or_else(|stopped| resume_unwind(stopped.into_panic()))?);
        }
        sent.sort_by_key(|(at, _)| *at);
        Ok(sent.into_iter().map(|(_, part)| part).collect())
    }

    async fn send_part(
        &self,
        parts: &Arc<dyn MultipartStore>,
        key: &ObjectKey,
        id: &MultipartId,
        at: usize,
        body: &Body,
        range: Range<u64>,
    ) -> Result<PartId, BucketError> {
        let path = path_of(key);
        let limit = self.pace.time_for(range.end - range.start);
        let piece = self.slice(key, body, range).await?;
        let send = |_| {
            self.within(limit, async {
                let payload = PutPayload::from_bytes(piece.clone());
                let part = parts.put_part(&path, id, at, payload).await;
                part.map_err(|source| self.error(source, Action::Write, key))
            })
        };
        self.pace.retry(&format!("{path} part {at}"), send).await
    }

    async fn finish(
        &self,
        parts: &Arc<dyn MultipartStore>,
        key: &ObjectKey,
        id: &MultipartId,
        sent: Vec<PartId>,
        bytes: u64,
    ) -> Result<(), BucketError> {
        let path = &path_of(key);
        let limit = self.pace.time_for(bytes);
        let finish = |attempt| {
            let sent = sent.clone();
            async move {
                let finish = self.within(limit, async {
                    let done = parts.complete_multipart(path, id, sent).await;
                    done.map(drop).map_err(|source| self.error(source, Action::Write, key))
                });
                match finish.await {
                    // The upload is unknown once an attempt that we heard nothing of finished it.
                    Err(gone @ BucketError::NotFound { .. }) if attempt > 0 => {
                        if self.head(key).await?.bytes == bytes { Ok(()) } else { Err(gone) }
                    }
                    done => done,
                }
            }
        };
        self.pace.retry(path.as_ref(), finish).await
    }
}

/// Size of all parts but the last, which may be smaller; R2 wants them equal.
fn part_bytes(object_bytes: u64) -> u64 {
    let aim = object_bytes.div_ceil(PARTS_AIM).next_multiple_of(1 << 20);
    aim.clamp(PART_BYTES_MIN, PART_BYTES_MAX)
}

/// Where the parts of an object lie in it.
fn ranges(object_bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let part_bytes = part_bytes(object_bytes);
    let starts = (0..object_bytes.div_ceil(part_bytes)).map(move |at| at * part_bytes);
    starts.map(move |start| start..(start + part_bytes).min(object_bytes))
}

/// An upload that is not finished. Its parts are stored, and paid for, until they are removed.
struct Orphans {
    parts: Arc<dyn MultipartStore>,
    path: Path,
    id: Option<MultipartId>,
}

impl Orphans {
    async fn remove(&mut self) {
        if let Some(id) = self.id.take() {
            // The upload's own error is the one to report; a bucket's lifecycle rule is the second
            // line for what is left.
            let _ = self.parts.abort_multipart(&self.path, &id).await;
        }
    }
}

impl Drop for Orphans {
    /// The caller dropped the upload midway.
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (parts, path) = (self.parts.clone(), self.path.clone());
            runtime.spawn(async move { parts.abort_multipart(&path, &id).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_within_the_bounds_of_the_service() {
        for (object_mib, part_mib) in [(65, 16), (1_024, 16), (2_048, 32), (100_000, 64)] {
            assert_eq!(part_bytes(object_mib << 20), part_mib << 20, "{object_mib} MiB");
        }
        // 10,000 parts of the largest size hold 640 GB.
        assert_eq!(part_bytes(1_025 << 20), 17 << 20);
    }
}
