//! Bytes that lie somewhere, in memory or in a file, and are read where they are needed: so that a
//! window's contributions take no more memory than the part that is being worked on.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::Digest;

/// Pieces in which long stretches are read.
const PIECE_BYTES: u64 = 1 << 20;

/// Something with bytes at offsets, which do not change.
pub trait ReadAt: Send + Sync {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// Fills `into` from offset `at`.
    ///
    /// # Errors
    /// There are not so many bytes, or whatever holds them fails.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()>;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let behind = usize::try_from(at).ok().and_then(|at| self.get(at..));
        let found = behind.and_then(|behind| behind.get(..into.len()));
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        self[..].len() as u64
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self[..].read_at(at, into)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        (**self).read_at(at, into)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        (**self).read_at(at, into)
    }
}

/// BLAKE3 of a stretch of bytes.
///
/// # Errors
/// As [`ReadAt::read_at`].
pub fn hash_of(source: &(impl ReadAt + ?Sized), stretch: Range<u64>) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = Vec::new();
    let mut at = stretch.start;
    while at < stretch.end {
        piece.resize((stretch.end - at).min(PIECE_BYTES) as usize, 0);
        source.read_at(at, &mut piece)?;
        hasher.update(&piece);
        at += piece.len() as u64;
    }
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// Stretches of several sources, one behind the other, as one.
#[derive(Clone, Debug)]
pub struct Joined<S> {
    /// Where each stretch ends in the whole, its source, and where it begins there.
    stretches: Vec<(u64, S, u64)>,
}

impl<S: ReadAt> Joined<S> {
    /// These stretches in this order.
    pub fn new(stretches: impl IntoIterator<Item = (S, Range<u64>)>) -> Self {
        let mut end = 0;
        let ended = |(source, stretch): (S, Range<u64>)| {
            end += stretch.end - stretch.start;
            (end, source, stretch.start)
        };
        Self { stretches: stretches.into_iter().map(ended).collect() }
    }
}

impl<S: ReadAt> ReadAt for Joined<S> {
    fn len(&self) -> u64 {
        self.stretches.last().map_or(0, |(end, ..)| *end)
    }

    fn read_at(&self, mut at: u64, mut into: &mut [u8]) -> io::Result<()> {
        let first = self.stretches.partition_point(|(end, ..)| *end <= at);
        let mut start = if first == 0 { 0 } else { self.stretches[first - 1].0 };
        for (end, source, from) in &self.stretches[first..] {
            let bytes = into.len().min((end - at) as usize);
            let (here, rest) = into.split_at_mut(bytes);
            source.read_at(from + (at - start), here)?;
            (into, at, start) = (rest, *end, *end);
            if into.is_empty() {
                return Ok(());
            }
        }
        if into.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_read_as_one_wherever_a_read_begins_and_ends() {
        let bytes: Vec<u8> = (0..50).collect();
        let source = &bytes[..];
        let joined =
            Joined::new([(source, 3..7), (source, 0..0), (source, 20..31), (source, 5..6)]);
        let whole = [&bytes[3..7], &bytes[20..31], &bytes[5..6]].concat();
        assert_eq!(joined.len(), 16);
        for start in 0..=16 {
            for end in start..=16 {
                let mut into = vec![0; end - start];
                joined.read_at(start as u64, &mut into).unwrap();
                assert_eq!(into, whole[start..end], "{start}..{end}");
            }
            let mut more = vec![0; 17 - start];
            assert!(joined.read_at(start as u64, &mut more).is_err(), "{start}");
        }
    }

    #[test]
    fn a_stretch_hashes_as_its_bytes_do() {
        let bytes: Vec<u8> = (0..3 << 20).map(|at| (at >> 7) as u8).collect();
        let expected = Digest(*blake3::hash(&bytes[5..(3 << 20) - 1]).as_bytes());
        assert_eq!(hash_of(&bytes[..], 5..(3 << 20) - 1).unwrap(), expected);
        assert!(hash_of(&bytes[..], 0..(3 << 20) + 1).is_err());
    }
}
