//! A text file in pieces of bounded size, so that a file may be larger than memory.
//!
//! A piece ends with a line where it can, and never within a UTF-8 character, so that cutting
//! hardly changes how a tokenizer sees the text.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

const PIECE_BYTES: usize = 4 << 20;

/// The pieces of one file, in order.
#[derive(Debug)]
pub(super) struct TextPieces<R> {
    from: R,
    piece_bytes: usize,
    /// The piece handed out last, then what was read beyond it.
    held: Vec<u8>,
    /// Bytes of `held` that were handed out.
    piece_end: usize,
    /// Offset in the file of `held`.
    offset: u64,
}

impl TextPieces<File> {
    /// The pieces from `offset` on, which is 0 or where a piece ended before: where a piece ends
    /// hangs on the bytes behind its beginning alone, so that these are the same pieces.
    pub(super) fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { offset, ..Self::new(file, PIECE_BYTES) })
    }
}

impl<R: Read> TextPieces<R> {
    fn new(from: R, piece_bytes: usize) -> Self {
        Self { from, piece_bytes, held: Vec::new(), piece_end: 0, offset: 0 }
    }

    /// The next piece and its offset within the file; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        self.held.drain(..self.piece_end);
        self.offset += self.piece_end as u64;
        let wanted = (self.piece_bytes - self.held.len()) as u64;
        let read = self.from.by_ref().take(wanted).read_to_end(&mut self.held)? as u64;
        // Short of what was wanted means the end of the file: nothing is left to cut for.
        self.piece_end = if read < wanted { self.held.len() } else { cut(&self.held) };
        Ok((self.piece_end > 0).then(|| (self.offset, &self.held[..self.piece_end])))
    }
}

/// Where to cut a full buffer: behind its last line, else before its last character, which may be
/// partial.
fn cut(held: &[u8]) -> usize {
    if let Some(newline) = held.iter().rposition(|&byte| byte == b'\n') {
        return newline + 1;
    }
    let is_start = |byte: u8| byte & 0b1100_0000 != 0b1000_0000;
    match held.iter().rposition(|&byte| is_start(byte)) {
        Some(start) if start > 0 => start,
        _ => held.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &[u8], piece_bytes: usize) -> Vec<(u64, Vec<u8>)> {
        let mut pieces = TextPieces::new(text, piece_bytes);
        let mut all = Vec::new();
        while let Some((offset, piece)) = pieces.next().unwrap() {
            all.push((offset, piece.to_vec()));
        }
        all
    }

    #[test]
    fn pieces_end_with_lines_and_add_up_to_the_text() {
        let found = pieces(b"one\ntwo\nthree", 6);
        let expected: [(u64, &[u8]); 3] = [(0, b"one\n"), (4, b"two\n"), (8, b"three")];
        assert_eq!(found.len(), 3);
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!((found.0, found.1.as_slice()), expected);
        }
    }

    #[test]
    fn characters_are_never_cut() {
        let text = "ähéß€😀日本語".repeat(20);
        for piece_bytes in 5..40 {
            let found = pieces(text.as_bytes(), piece_bytes);
            assert!(found.iter().all(|(_, piece)| std::str::from_utf8(piece).is_ok()));
            assert_eq!(found.concat_pieces(), text.as_bytes());
        }
    }

    #[test]
    fn bytes_that_are_no_text_still_come_whole() {
        let bytes = vec![0x80; 100];
        assert_eq!(pieces(&bytes, 7).concat_pieces(), bytes);
        assert!(pieces(b"", 7).is_empty());
    }

    trait Concat {
        fn concat_pieces(&self) -> Vec<u8>;
    }

    impl Concat for Vec<(u64, Vec<u8>)> {
        fn concat_pieces(&self) -> Vec<u8> {
            self.iter().flat_map(|(_, piece)| piece.clone()).collect()
        }
    }
}
