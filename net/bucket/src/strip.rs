//! One range of an object on its way into a file: each piece is written and hashed as it arrives,
//! while the processor's cache still holds it.
//!
//! Ranges are whole subtrees of BLAKE3's tree: they may come in any order, on any thread, and their
//! hashes are joined to the object's in the end.

use std::fs::File;
use std::io;
use std::sync::Arc;

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use wire::Digest;

use crate::download::RANGE_BYTES;
use crate::read::Sink;

// Only then is every range but the last a subtree.
const _: () = assert!(RANGE_BYTES.is_power_of_two() && RANGE_BYTES >= blake3::CHUNK_LEN as u64);

/// One range, as far as it has arrived.
pub(crate) struct Strip {
    file: Arc<File>,
    start: u64,
    end: u64,
    hasher: Hasher,
}

impl Strip {
    /// The range of `file` that begins at `start`, a multiple of [`RANGE_BYTES`].
    pub(crate) fn new(file: &Arc<File>, start: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(start);
        Self { file: Arc::clone(file), start, end: start, hasher }
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }
}

impl Sink for Strip {
    fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        write_file_at(&self.file, self.end, piece)?;
        self.end += piece.len() as u64;
        self.hasher.update(piece);
        Ok(())
    }
}

/// The hash of the object whose ranges these are, in order; there is at least one.
pub(crate) fn hash_of(strips: &[Strip]) -> Digest {
    let hash = match strips {
        [whole] => whole.hasher.finalize(),
        several => {
            let [left, right] = halves(several);
            merge_subtrees_root(&left, &right, Mode::Hash)
        }
    };
    Digest(*hash.as_bytes())
}

fn value_of(strips: &[Strip]) -> ChainingValue {
    match strips {
        [one] => one.hasher.finalize_non_root(),
        several => {
            let [left, right] = halves(several);
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        }
    }
}

/// Both children of the tree over at least two strips; the left one is full.
fn halves(strips: &[Strip]) -> [ChainingValue; 2] {
    let (left, right) = strips.split_at(strips.len().next_power_of_two() / 2);
    [value_of(left), value_of(right)]
}

#[cfg(unix)]
fn write_file_at(file: &File, at: u64, piece: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, piece, at)
}

#[cfg(windows)]
fn write_file_at(file: &File, mut at: u64, mut piece: &[u8]) -> io::Result<()> {
    while !piece.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, piece, at)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            bytes => (at, piece) = (at + bytes as u64, &piece[bytes..]),
        }
    }
    Ok(())
}
