//! What can go wrong with a bucket, each with the caller's next move.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Action, ObjectKey, Place};

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
    /// Reading, writing or listing is not allowed to this user or key.
    #[error("{place} does not let us {action}: give this user or key permission to {action} there")]
    Permission {
        /// The bucket.
        place: Place,
        /// What was attempted.
        action: Action,
    },
    /// The folder is not there, or is a file.
    #[error("{place} is not a folder: create it, or correct the bucket's path")]
    NoFolder {
        /// The bucket.
        place: Place,
    },
    /// A URL of a kind that no bucket has.
    #[error(
        "no bucket is of kind \"{scheme}\": use a folder's path, file:///path, s3://.. or memory:"
    )]
    Scheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// A place that cannot be one.
    #[error("this is not the place of a bucket: {what}")]
    Place {
        /// What a place must be.
        what: String,
    },
    /// An S3 place without a key pair.
    #[error("{place} needs a key: set COV72_S3_ACCESS_KEY and COV72_S3_SECRET_KEY")]
    NoKey {
        /// The bucket.
        place: Place,
    },
    /// Half a key pair, or text that is none.
    #[error("{from} must both hold 1 to 128 visible characters: set both or neither")]
    Key {
        /// Where it was looked for.
        from: String,
    },
    /// A key file that cannot be used.
    #[error("cannot use the key file {}: {what}", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        what: String,
    },
    /// A fault plan that cannot be read.
    #[error("the fault plan cannot be used: {what}")]
    FaultPlan {
        /// Line and reason.
        what: String,
    },
    /// Nothing answers there.
    #[error("cannot reach {place}: {what}; check the endpoint's host and port, then the network")]
    Unreachable {
        /// The bucket.
        place: Place,
        /// What the system says.
        what: String,
    },
    /// The service does not know the key, or it does not fit its secret half.
    #[error("{place} does not know this key: check both halves of the key pair, or make a new one")]
    WrongKey {
        /// The bucket.
        place: Place,
    },
    /// There is no such bucket.
    #[error("{place} does not exist: create the bucket, or correct its name")]
    NoBucket {
        /// The bucket.
        place: Place,
    },
    /// Requests are signed for another region.
    #[error("{place} is in another region: correct region= in the bucket's place")]
    Region {
        /// The bucket.
        place: Place,
    },
    /// The service's clock and ours are too far apart for signatures to hold.
    #[error(
        "the clock of this machine is too far from that of {place}: set it, for example by NTP"
    )]
    ClockSkew {
        /// The bucket.
        place: Place,
    },
    /// The service is busy or broken for now, after every attempt.
    #[error("{place} answers {answer}: try again later, or another source")]
    Unavailable {
        /// The bucket.
        place: Place,
        /// Status and code.
        answer: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// A body that ended before its length.
    #[error(
        "object {key} ended after {bytes} of {bytes_expected} bytes: try again, or another source"
    )]
    Truncated {
        /// The object.
        key: ObjectKey,
        /// What came.
        bytes: u64,
        /// What was announced.
        bytes_expected: u64,
    },
    /// What was read cannot be kept on this machine.
    #[error("cannot keep what was read: {source}; make room")]
    Keep {
        /// What the operating system said.
        source: io::Error,
    },
    /// Anything else that the storage reports.
    #[error("{place} failed: {what}; run cov72 doctor")]
    Storage {
        /// The bucket.
        place: Place,
        /// The cause.
        what: String,
        /// All that it reports.
        source: Box<object_store::Error>,
    },
}

impl BucketError {
    /// Whether the same request may succeed if it is made again.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Truncated { .. }
        )
    }

    /// How long the storage asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_and_what_to_do() {
        let place = || "s3://bucket?region=eu-west-1".parse::<Place>().unwrap();
        let of = |error: BucketError| error.to_string();
        assert_eq!(
            of(BucketError::DiskFull { place: Place::Folder("/b".into()) }),
            "the disk of /b is full: free space, then run the command again with --resume"
        );
        assert_eq!(
            of(BucketError::Permission { place: place(), action: Action::Write }),
            "s3://bucket?region=eu-west-1 does not let us write: give this user or key permission \
             to write there"
        );
        assert_eq!(
            of(BucketError::NoKey { place: place() }),
            "s3://bucket?region=eu-west-1 needs a key: set COV72_S3_ACCESS_KEY and \
             COV72_S3_SECRET_KEY"
        );
        let what = "Connection refused (os error 111)".to_string();
        assert_eq!(
            of(BucketError::Unreachable { place: place(), what }),
            "cannot reach s3://bucket?region=eu-west-1: Connection refused (os error 111); check \
             the endpoint's host and port, then the network"
        );
        assert_eq!(
            of(BucketError::ClockSkew { place: place() }),
            "the clock of this machine is too far from that of s3://bucket?region=eu-west-1: set \
             it, for example by NTP"
        );
    }
}
