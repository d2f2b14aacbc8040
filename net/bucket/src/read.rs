//! Reading one object, whole or a range of it, within the caller's bounds: its size is known before
//! its body is read, and a body that ends early or does not end is an error, not data.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::{GetOptions, GetResult, GetResultPayload};

use crate::store::path_of;
use crate::{Action, Bucket, BucketError, Limits, ObjectKey};

/// Bytes of an object, and the size that the storage gives for the whole of it.
pub(crate) struct Part {
    pub(crate) bytes: Bytes,
    pub(crate) object_bytes: u64,
}

impl Bucket {
    /// Reads a whole object. For large ones, [`Bucket::download`] reads ranges in parallel.
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
            self.within(self.pace.time_for(bytes), self.read_body(key, object)).await
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
            Ok(self.read_part(key, range.clone()).await?.bytes)
        };
        self.within(timeout, self.pace.retry(&label, get)).await
    }

    /// One attempt at a range that the object is believed to have. The bytes may be fewer where the
    /// object ends before the range does.
    pub(crate) async fn read_part(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<Part, BucketError> {
        let limit = self.pace.time_for(range.end - range.start);
        self.within(limit, async {
            let options = GetOptions { range: Some(range.clone().into()), ..Default::default() };
            let object = self.begin(key, options).await?;
            let object_bytes = object.meta.size;
            if object.range.start != range.start || object.range.end > range.end {
                return Err(BucketError::Range { key: *key, start: range.start, end: range.end });
            }
            Ok(Part { bytes: self.read_body(key, object).await?, object_bytes })
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

    /// Collects a body, giving up as soon as it exceeds the length that was announced.
    async fn read_body(&self, key: &ObjectKey, object: GetResult) -> Result<Bytes, BucketError> {
        let bytes_expected = object.range.end - object.range.start;
        let bytes = match object.payload {
            GetResultPayload::File(file, _) => {
                let read = tokio::task::spawn_blocking(move || read_file(file, object.range));
                let read = read.await.unwrap_or_else(|stopped| Err(stopped.into()));
                read.map_err(|source| self.io_error(source, key))?
            }
            GetResultPayload::Stream(mut stream) => {
                let mut body = BytesMut::with_capacity(bytes_expected as usize);
                while let Some(piece) = stream.next().await {
                    let piece = piece.map_err(|source| self.error(source, Action::Read, key))?;
                    let bytes = (body.len() + piece.len()) as u64;
                    if bytes > bytes_expected {
                        let bytes_max = bytes_expected;
                        return Err(BucketError::TooLarge { key: *key, bytes, bytes_max });
                    }
                    body.extend_from_slice(&piece);
                }
                body.freeze()
            }
        };
        if (bytes.len() as u64) < bytes_expected {
            let bytes = bytes.len() as u64;
            return Err(BucketError::Truncated { key: *key, bytes, bytes_expected });
        }
        Ok(bytes)
    }
}

/// One read of the whole range; the library's stream would take it in pieces of 8 KiB.
fn read_file(mut file: File, range: Range<u64>) -> std::io::Result<Bytes> {
    let bytes = range.end - range.start;
    file.seek(SeekFrom::Start(range.start))?;
    let mut body = Vec::with_capacity(bytes as usize);
    file.take(bytes).read_to_end(&mut body)?;
    Ok(body.into())
}
