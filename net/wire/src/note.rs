//! The note that each node keeps on the chain: where its bucket is and, of a validator, which
//! manifests it published last.
//!
//! version (1 byte, 3) | window of the newest manifest (u64; all ones for none) | its hash (32) |
//! the state that it starts from (32) | place (UTF-8). Earlier notes are the chain's to keep.

use crate::{Digest, ForeignText, StateRoot, Window};

/// Version of the note. Changing this breaks every node's finding of the others.
const VERSION: u8 = 3;
const FIXED_BYTES: usize = 1 + 8 + 32 + 32;
const NO_WINDOW: u64 = u64::MAX;

/// Longest place, in bytes. Changing this breaks notes that no longer fit a commitment.
pub const PLACE_BYTES_MAX: usize = 311;

/// A manifest, as its validator announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The window that it closes.
    pub window: Window,
    /// Its hash as a document.
    pub hash: Digest,
    /// The state that it starts from.
    pub parent_root: StateRoot,
}

/// What a node says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its bucket, as whoever opens buckets spells it. A stranger's text: parse it as such.
    pub place: String,
    /// The newest manifest it published.
    pub manifest: Option<Announcement>,
}

/// Why some bytes are no note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// It is of a version that this program does not know, or no note at all.
    #[error("the note begins with {found:?} instead of version {VERSION}")]
    Version {
        /// The first byte, if there is one.
        found: Option<u8>,
    },
    /// It ends too early, or goes on for too long.
    #[error("the note has {bytes} bytes")]
    Length {
        /// Its length.
        bytes: usize,
    },
    /// The place is not text, or holds control characters.
    #[error("the note's place is \"{place}\"")]
    Place {
        /// What is there, made harmless.
        place: ForeignText,
    },
}

impl Note {
    /// The note as bytes.
    ///
    /// # Errors
    /// The place is too long, or not printable.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NoteFault> {
        let (nothing, no_window) = (Digest([0; 32]), Window(NO_WINDOW));
        let parent_root = StateRoot(nothing.0);
        let none = Announcement { window: no_window, hash: nothing, parent_root };
        let newest = self.manifest.unwrap_or(none);
        let fields: [&[u8]; 5] = [
            &[VERSION],
            &newest.window.0.to_le_bytes(),
            &newest.hash.0,
            &newest.parent_root.0,
            self.place.as_bytes(),
        ];
        let bytes = fields.concat();
        Self::parse(&bytes)?;
        Ok(bytes)
    }

    /// Reads a note.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteFault> {
        let found = bytes.first().copied();
        if found != Some(VERSION) {
            return Err(NoteFault::Version { found });
        }
        let length = FIXED_BYTES..=FIXED_BYTES + PLACE_BYTES_MAX;
        if !length.contains(&bytes.len()) {
            return Err(NoteFault::Length { bytes: bytes.len() });
        }
        let (fixed, place) = bytes.split_at(FIXED_BYTES);
        let window = u64::from_le_bytes(fixed[1..9].try_into().expect("eight bytes"));
        let digest = |at: usize| Digest(fixed[at..at + 32].try_into().expect("thirty-two bytes"));
        let text = std::str::from_utf8(place).ok();
        let text = text.filter(|text| !text.chars().any(char::is_control));
        let Some(text) = text else {
            return Err(NoteFault::Place { place: ForeignText::from_bytes(place) });
        };
        let manifest = (window != NO_WINDOW).then(|| {
            let (hash, parent_root) = (digest(9), StateRoot(digest(41).0));
            Announcement { window: Window(window), hash, parent_root }
        });
        Ok(Self { place: text.to_string(), manifest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_note_with_the_longest_place_fits_a_commitment_and_reads_back() {
        let (hash, parent_root) = (Digest([9; 32]), StateRoot([8; 32]));
        for manifest in [None, Some(Announcement { window: Window(7), hash, parent_root })] {
            let note = Note { place: "x".repeat(PLACE_BYTES_MAX), manifest };
            let bytes = note.to_bytes().unwrap();
            assert!(bytes.len() <= 384);
            assert_eq!(Note::parse(&bytes), Ok(note));
        }
    }

    #[test]
    fn what_is_no_note_is_refused_by_reason() {
        let note = |place: &str| Note { place: place.into(), manifest: None };
        assert_eq!(Note::parse(&[]), Err(NoteFault::Version { found: None }));
        assert_eq!(Note::parse(&[1; 50]), Err(NoteFault::Version { found: Some(1) }));
        assert_eq!(Note::parse(&[3; 9]), Err(NoteFault::Length { bytes: 9 }));
        let long = note(&"x".repeat(PLACE_BYTES_MAX + 1)).to_bytes();
        assert!(matches!(long, Err(NoteFault::Length { .. })));
        assert!(matches!(note("a\u{1b}[2J").to_bytes(), Err(NoteFault::Place { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            let _ = Note::parse(&[&[VERSION], &bytes[..]].concat());
        }
    }
}
