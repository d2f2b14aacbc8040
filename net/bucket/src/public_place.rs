//! What a peer publishes on chain so that everyone can read its bucket: the place, and a key pair
//! that may read this one bucket and nothing else.
//!
//! Text: `1 ACCESS SECRET PLACE`, with `- -` where the place needs no key. Changing this breaks
//! every commitment. The text comes from strangers: bounded, parsed once, and never a path with
//! `..`.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use crate::{BucketError, Credentials, Place};

/// Longest text of a public place, in bytes; what a chain commitment may hold.
pub const PUBLIC_PLACE_BYTES_MAX: usize = 512;
const VERSION: &str = "1";

/// A bucket that everyone may read. Its key pair is public by intent: `Display` prints it, for the
/// commitment; `Debug`, for logs, does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicPlace {
    place: Place,
    read_key: Option<Credentials>,
}

impl PublicPlace {
    /// A place and, for S3, the key pair that may read it.
    ///
    /// # Errors
    /// The place is memory, or a folder whose path is relative or holds `..`; an S3 place lacks its
    /// key; or the text would be too long.
    pub fn new(place: Place, read_key: Option<Credentials>) -> Result<Self, BucketError> {
        let refuse = |what: &str| Err(BucketError::Place { what: what.to_string() });
        match &place {
            Place::Memory => return refuse("memory: is of one process and cannot be published"),
            Place::Folder(path) if !is_plain(path) => {
                return refuse("a published folder is an absolute path without '..'");
            }
            Place::Folder(_) if read_key.is_some() => return refuse("a folder needs no key"),
            Place::S3(_) if read_key.is_none() => {
                return refuse("a published S3 bucket needs a key that may read it");
            }
            Place::Folder(_) | Place::S3(_) => {}
        }
        let public = Self { place, read_key };
        if public.to_string().len() > PUBLIC_PLACE_BYTES_MAX {
            return refuse("a published place with its key has at most 512 bytes");
        }
        Ok(public)
    }

    /// Where the bucket is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The key pair that reads it.
    pub fn read_key(&self) -> Option<&Credentials> {
        self.read_key.as_ref()
    }

    /// Whether it only means something on this machine or its own network. On a chain shared with
    /// strangers such a place is to be refused: it would make this node ask its own neighbours.
    pub fn is_local(&self) -> bool {
        match &self.place {
            Place::Folder(_) | Place::Memory => true,
            Place::S3(place) => place.is_local(),
        }
    }
}

/// Whether a path is absolute, printable, and says where it leads.
fn is_plain(path: &Path) -> bool {
    let Some(text) = path.to_str() else { return false };
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    path.is_absolute()
        && !text.chars().any(char::is_control)
        && path.components().all(plain)
        && !text.split('/').any(|part| part == "." || part == "..")
}

impl fmt::Display for PublicPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.read_key {
            Some(key) => {
                write!(f, "{VERSION} {} {} ", key.access_key(), key.secret().reveal())?;
            }
            None => write!(f, "{VERSION} - - ")?,
        }
        self.place.fmt(f)
    }
}

impl FromStr for PublicPlace {
    type Err = BucketError;

    fn from_str(text: &str) -> Result<Self, BucketError> {
        let refuse = || BucketError::Place {
            what: "a published place reads: 1 ACCESS SECRET PLACE, in at most 512 bytes".into(),
        };
        if text.len() > PUBLIC_PLACE_BYTES_MAX {
            return Err(refuse());
        }
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().ok_or_else(refuse);
        if word()? != VERSION {
            return Err(refuse());
        }
        let read_key = match (word()?, word()?) {
            ("-", "-") => None,
            (access, secret) => Some(Credentials::new(access, secret)?),
        };
        let public = Self::new(word()?.parse()?, read_key)?;
        if public.to_string() == text { Ok(public) } else { Err(refuse()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S3: &str = "s3://bucket/a?region=auto&endpoint=https://r2.example.org";

    #[test]
    fn a_public_place_reads_back_from_its_text() {
        for text in [format!("1 AKIA s3cr3t/+= {S3}"), "1 - - /data/peer 7/bucket".to_string()] {
            let public: PublicPlace = text.parse().unwrap();
            assert_eq!(public.to_string(), text);
        }
    }

    #[test]
    fn a_strangers_text_is_taken_only_as_it_would_be_printed() {
        for text in [
            "",
            "1",
            "1 - -",
            "1 - - memory:",
            "1 - - relative/path",
            "1 - - /data/../etc",
            "1 - - /data/./etc",
            "1 - - /data/\u{7}",
            "1 - - file:///data",
            "1 AKIA secret /data",
            "2 - - /data",
            &format!("1 - - {S3}"),
            &format!("1 AKIA  {S3}"),
            &format!("1 - - /{}", "a".repeat(600)),
        ] {
            assert!(text.parse::<PublicPlace>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let public: PublicPlace = format!("1 AKIA s3cr3t {S3}").parse().unwrap();
        assert!(!format!("{public:?}").contains("s3cr3t"));
        assert!(!public.is_local() && "1 - - /data".parse::<PublicPlace>().unwrap().is_local());
    }
}
