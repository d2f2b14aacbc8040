//! Where a bucket is, as an operator writes it: a folder's path, a `file://` URL, `memory:`, or
//! `s3://bucket/prefix?endpoint=..&region=..&path_style=..`. It never holds a key.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{BucketError, S3Place};

/// Where a bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder on this machine.
    Folder(PathBuf),
    /// A bucket of an S3 service, such as R2.
    S3(Box<S3Place>),
    /// This process, for as long as it lives; each such bucket is one of its own.
    Memory,
}

impl FromStr for Place {
    type Err = BucketError;

    fn from_str(text: &str) -> Result<Self, BucketError> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        match text.split_once("://") {
            Some(("s3", _)) => text.parse().map(|place| Self::S3(Box::new(place))),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(path.into())),
            Some((scheme, _)) => Err(BucketError::Scheme { scheme: scheme.to_string() }),
            None if text.is_empty() => Err(BucketError::Scheme { scheme: String::new() }),
            None => Ok(Self::Folder(text.into())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::S3(place) => place.fmt(f),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_as_an_operator_writes_them() {
        let folder = |path: &str| Place::Folder(path.into());
        assert_eq!("memory:".parse::<Place>().unwrap(), Place::Memory);
        assert_eq!("runs/nano/bucket".parse::<Place>().unwrap(), folder("runs/nano/bucket"));
        assert_eq!("file:///data/b".parse::<Place>().unwrap(), folder("/data/b"));
        let s3 = "s3://bucket?region=us-east-1";
        assert_eq!(s3.parse::<Place>().unwrap().to_string(), s3);
    }

    #[test]
    fn schemes_that_are_not_known_are_named() {
        let error = "ftp://host/bucket".parse::<Place>().unwrap_err();
        assert!(error.to_string().contains("ftp"), "{error}");
        assert!("".parse::<Place>().is_err());
    }
}
