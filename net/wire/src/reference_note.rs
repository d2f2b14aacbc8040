//! The note that nodes of the reference implementation leave on the chain: the key pair that reads
//! their bucket, in 128 characters. It is read here, never written.
//!
//! account (32) | access key (32) | secret key (64); the bucket has the account's name. All of it
//! is published on purpose, and is meant for reading only.

/// Characters of a note.
const NOTE_CHARS: usize = 128;
const ACCOUNT_CHARS: usize = 32;
const ACCESS_KEY_CHARS: usize = 32;

/// Where a node of the reference implementation keeps its bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceNote {
    /// The storage account, and the bucket's name.
    pub account: String,
    /// Names the key that reads it.
    pub access_key: String,
    /// Its other half.
    pub secret_key: String,
}

impl ReferenceNote {
    /// Reads such a note; none if it has another length, or anything but letters and digits, of
    /// which keys and accounts are made.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if text.len() != NOTE_CHARS || !is_plain {
            return None;
        }
        let (account, keys) = text.split_at(ACCOUNT_CHARS);
        let (access_key, secret_key) = keys.split_at(ACCESS_KEY_CHARS);
        let [account, access_key, secret_key] =
            [account, access_key, secret_key].map(str::to_string);
        Some(Self { account, access_key, secret_key })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Note;

    fn note() -> String {
        ["a0".repeat(16), "B1".repeat(16), "c2".repeat(32)].concat()
    }

    #[test]
    fn the_three_parts_are_read_in_their_order() {
        let read = ReferenceNote::parse(note().as_bytes()).unwrap();
        assert_eq!(read.account, "a0".repeat(16));
        assert_eq!(read.access_key, "B1".repeat(16));
        assert_eq!(read.secret_key, "c2".repeat(32));
    }

    #[test]
    fn another_length_or_anything_that_is_no_key_is_none() {
        assert_eq!(ReferenceNote::parse(&note().as_bytes()[1..]), None);
        assert_eq!(ReferenceNote::parse(format!("{}x", note()).as_bytes()), None);
        for odd in ["/", "\u{1b}", " ", "\0", "?"] {
            assert_eq!(ReferenceNote::parse(note().replacen('a', odd, 1).as_bytes()), None);
        }
        let split = format!("{}é{}", &note()[..31], &note()[33..]);
        assert_eq!((split.len(), ReferenceNote::parse(split.as_bytes())), (NOTE_CHARS, None));
    }

    #[test]
    fn neither_kind_of_note_passes_for_the_other() {
        assert!(Note::parse(note().as_bytes()).is_err());
        let ours = Note { place: "x".repeat(NOTE_CHARS - 73), manifest: None }.to_bytes().unwrap();
        assert_eq!((ours.len(), ReferenceNote::parse(&ours)), (NOTE_CHARS, None));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: [u8; NOTE_CHARS], length in 0..=NOTE_CHARS) {
            let _ = ReferenceNote::parse(&bytes[..length]);
        }
    }
}
