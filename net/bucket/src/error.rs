//! What can go wrong with a bucket, each with the caller's next move.

use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::{ObjectKey, Place};

/// Why a bucket did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// No object has this key.
    #[error("{place} has no object {key}: wait for its owner, or ask for another window")]
    NotFound {
        /// The bucket.
        place: Place,
        /// The object.
        key: ObjectKey,
    },
    /// A put that must create found something there.
    #[error("{place} already has an object {key}: read it, or put with overwrite")]
    Exists {
        /// The bucket.
        place: Place,
        /// The object.
        key: ObjectKey,
    },
    /// The object is larger than the caller is ready to read; none of it was.
    #[error("object {key} has {bytes} bytes, more than the {bytes_max} it may have: reject it")]
    TooLarge {
        /// The object.
        key: ObjectKey,
        /// Its size.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// A range that the object does not have.
    #[error("object {key} does not have bytes {start} to {end}: check its length first")]
    Range {
        /// The object.
        key: ObjectKey,
        /// First byte asked for.
        start: u64,
        /// The byte behind the last one asked for.
        end: u64,
    },
    /// The deadline passed.
    #[error("{place} did not answer within {} s: try again, or another source",
        .after.as_secs_f64())]
    TimedOut {
        /// The bucket.
        place: Place,
        /// How long it had.
        after: Duration,
    },
    /// A prefix holds more objects than the caller is ready to list.
    #[error(
        "{place} lists more than {objects_max} objects under {prefix}: ask its owner to clean up"
    )]
    TooMany {
        /// The bucket.
        place: Place,
        /// What was listed.
        prefix: String,
        /// The bound.
        objects_max: usize,
    },
    /// No space is left.
    #[error("the disk of {place} is full: free space, then run the command again with --resume")]
    DiskFull {
        /// The bucket.
        place: Place,
    },
    /// Reading or writing is not allowed.
    #[error("{place} refuses access: give this user read and write permission there")]
    Permission {
        /// The bucket.
        place: Place,
    },
    /// The folder is not there, or is a file.
    #[error("{place} is not a folder: create it, or correct the bucket's path")]
    NoFolder {
        /// The bucket.
        place: Place,
    },
    /// A URL of a kind that no bucket has.
    #[error("no bucket is of kind \"{scheme}\": use a folder's path, file:///path or memory:")]
    Scheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// The runtime that drives a blocking bucket did not start.
    #[error("cannot start the thread that drives the bucket: {source}; raise the thread limit")]
    Runtime {
        /// What the system says.
        source: io::Error,
    },
    /// Anything else that the storage reports.
    #[error("{place} failed: {source}; run cov72 doctor")]
    Storage {
        /// The bucket.
        place: Place,
        /// What it reports.
        source: object_store::Error,
    },
}

impl BucketError {
    /// The next move for an error of the storage; `key` is the object it happened to.
    pub(crate) fn of_storage(
        source: object_store::Error,
        place: &Place,
        key: Option<&ObjectKey>,
    ) -> Self {
        let place = place.clone();
        match (&source, key) {
            (object_store::Error::NotFound { .. }, Some(key)) => {
                Self::NotFound { place, key: *key }
            }
            (object_store::Error::AlreadyExists { .. }, Some(key)) => {
                Self::Exists { place, key: *key }
            }
            (object_store::Error::PermissionDenied { .. }, _) => Self::Permission { place },
            (object_store::Error::Unauthenticated { .. }, _) => Self::Permission { place },
            _ => match io_kind(&source) {
                Some(kind) => Self::of_io(kind, place, source),
                None => Self::Storage { place, source },
            },
        }
    }

    fn of_io(kind: ErrorKind, place: Place, source: object_store::Error) -> Self {
        match kind {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { place },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::Permission { place }
            }
            ErrorKind::NotADirectory => Self::NoFolder { place },
            _ => Self::Storage { place, source },
        }
    }
}

/// The system's error at the bottom of a storage error, if it is one.
fn io_kind(error: &object_store::Error) -> Option<ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_io(kind: ErrorKind) -> BucketError {
        let source = Box::new(io::Error::from(kind));
        let source = object_store::Error::Generic { store: "folder", source };
        BucketError::of_storage(source, &Place::Folder("/b".into()), None)
    }

    #[test]
    fn a_full_disk_and_a_missing_permission_are_told_apart() {
        assert!(matches!(of_io(ErrorKind::StorageFull), BucketError::DiskFull { .. }));
        assert!(matches!(of_io(ErrorKind::QuotaExceeded), BucketError::DiskFull { .. }));
        assert!(matches!(of_io(ErrorKind::PermissionDenied), BucketError::Permission { .. }));
        assert!(matches!(of_io(ErrorKind::BrokenPipe), BucketError::Storage { .. }));
    }

    #[test]
    fn an_error_says_where_and_what_to_do() {
        let error = of_io(ErrorKind::StorageFull).to_string();
        assert_eq!(
            error,
            "the disk of /b is full: free space, then run the command again with --resume"
        );
    }
}
