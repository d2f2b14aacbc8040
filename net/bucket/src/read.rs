//! Reading one object, whole or a range of it, within the caller's bounds: its size is known before
//! its body is read, and a body that ends early or does not end is an error, not data.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::{GetOptions, GetResult, GetResultPayload};

use crate::store::path_of;
use crate::{Action, Bucket, BucketError, Limits, ObjectKey};

/// What takes the bytes of a body as they come.
pub(crate) trait Sink: Send + 'static {
    /// The next piece.
    fn take(&mut self, piece: &[u8]) -> io::Result<()>;
}

/// All of a body in memory.
impl Sink for BytesMut {
    fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        self.extend_from_slice(piece);
        Ok(())
    }
}

/// Where the bytes of a range went, and the size that the storage gives for the whole object.
pub(crate) struct Part<S> {
    pub(crate) sink: S,
    pub(crate) object_bytes: u64,
}

impl Bucket {
    /// Reads a whole object. For large ones, [`Spool::fetch`](crate::Spool::fetch) reads ranges in
    /// parallel.
    ///
    /// # Errors
    /// There is none, it is larger than the limit (its body is then not read), or time ran out.
    pub async fn get(&self, key: &ObjectKey, limits: Limits) -> Result<Bytes, BucketError> {
        let label = key.to_string();
        let get = |_| async {
            let object = self.begin(key, GetOptions::default()).await?;
            let bytes = object.meta.size;
            if bytes > limits.bytes_max {
                return Err(BucketError::TooLarge {
                    key: *key,
                    bytes,
                    bytes_max: limits.bytes_max,
                });
            }
            let sink = BytesMut::with_capacity(bytes as usize);
            let body = self.read_body(key, object, sink);
            Ok(self.within(self.pace.time_for(bytes), body).await?.freeze())
        };
        self.within(limits.timeout, self.pace.retry(&label, get)).await
    }

    /// Reads bytes `range` of an object.
    ///
    /// # Errors
    /// There is no such object, it does not have the whole range, or time ran out.
    pub async fn get_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        timeout: Duration,
    ) -> Result<Bytes, BucketError> {
        let out_of_range = || BucketError::Range { key: *key, start: range.start, end: range.end };
        if range.is_empty() {
            return Err(out_of_range());
        }
        let label = key.to_string();
        let get = |_| async {
            // The size first, since storages differ in what they make of a range beyond the end.
            if self.head(key).await?.bytes < range.end {
                return Err(out_of_range());
            }
            let sink = BytesMut::with_capacity((range.end - range.start) as usize);
            Ok(self.read_part(key, range.clone(), sink).await?.sink.freeze())
        };
        self.within(timeout, self.pace.retry(&label, get)).await
    }

    /// One attempt at a range that the object is believed to have. The bytes may be fewer where the
    /// object ends before the range does.
    pub(crate) async fn read_part<S: Sink>(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        sink: S,
    ) -> Result<Part<S>, BucketError> {
        let limit = self.pace.time_for(range.end - range.start);
        self.within(limit, async {
            let options = GetOptions { range: Some(range.clone().into()), ..Default::default() };
            let object = self.begin(key, options).await?;
            let object_bytes = object.meta.size;
            if object.range.start != range.start || object.range.end > range.end {
                return Err(BucketError::Range { key: *key, start: range.start, end: range.end });
            }
            Ok(Part { sink: self.read_body(key, object, sink).await?, object_bytes })
        })
        .await
    }

    async fn begin(&self, key: &ObjectKey, options: GetOptions) -> Result<GetResult, BucketError> {
        self.within(self.pace.base, async {
            let object = self.store.get_opts(&path_of(key), options).await;
            object.map_err(|source| self.error(source, Action::Read, key))
        })
        .await
    }

    /// Gives a body to `sink`, giving up as soon as it exceeds the length that was announced.
    async fn read_body<S: Sink>(
        &self,
        key: &ObjectKey,
        object: GetResult,
        mut sink: S,
    ) -> Result<S, BucketError> {
        let bytes_expected = object.range.end - object.range.start;
        let mut bytes = 0;
        match object.payload {
            GetResultPayload::File(file, _) => {
                let read = move || read_file(file, object.range, sink);
                let read = tokio::task::spawn_blocking(read).await;
                let read = read.unwrap_or_else(|stopped| Err(stopped.into()));
                (bytes, sink) = read.map_err(|source| self.io_error(source, key))??;
            }
            GetResultPayload::Stream(mut stream) => {
                while let Some(piece) = stream.next().await {
                    let piece = piece.map_err(|source| self.error(source, Action::Read, key))?;
                    bytes += piece.len() as u64;
                    if bytes > bytes_expected {
                        let bytes_max = bytes_expected;
                        return Err(BucketError::TooLarge { key: *key, bytes, bytes_max });
                    }
                    sink.take(&piece).map_err(|source| BucketError::Keep { source })?;
                }
            }
        }
        if bytes < bytes_expected {
            return Err(BucketError::Truncated { key: *key, bytes, bytes_expected });
        }
        Ok(sink)
    }
}

/// Gives a range of a file to `sink`, in pieces that the processor's cache holds; how much there
/// was. The library's stream would take it in pieces of 8 KiB.
fn read_file<S: Sink>(
    mut file: File,
    range: Range<u64>,
    mut sink: S,
) -> io::Result<Result<(u64, S), BucketError>> {
    const PIECE_BYTES: u64 = 256 << 10;
    let bytes = range.end - range.start;
    file.seek(SeekFrom::Start(range.start))?;
    let mut piece = vec![0; bytes.min(PIECE_BYTES) as usize];
    let mut left = bytes;
    while left > 0 {
        let next = left.min(piece.len() as u64) as usize;
        let read = file.read(&mut piece[..next])?;
        if read == 0 {
            break;
        }
        if let Err(source) = sink.take(&piece[..read]) {
            return Ok(Err(BucketError::Keep { source }));
        }
        left -= read as u64;
    }
    Ok(Ok((bytes - left, sink)))
}
