//! Lines of bounded length: a packed file of a few kilobytes may unpack to a line without end.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use super::unpack::Unpacked;
use super::{Place, RowsError};

/// UTF-8's mark at the beginning of a file, which is no part of the first line.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The lines of one file that are not blank.
pub(super) struct Lines {
    path: PathBuf,
    from: Unpacked,
    bytes_max: usize,
    held: Vec<u8>,
    line: u64,
}

impl Lines {
    pub(super) fn open(path: &Path, bytes_max: usize) -> Result<Self, RowsError> {
        let from = Unpacked::open(path)?;
        Ok(Self { path: path.to_path_buf(), from, bytes_max, held: Vec::new(), line: 0 })
    }

    /// The next line and its number, from 1; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>, RowsError> {
        loop {
            self.held.clear();
            let room = self.bytes_max as u64 + 1;
            let mut bounded = self.from.bytes.by_ref().take(room);
            let read = bounded.read_until(b'\n', &mut self.held);
            if read.map_err(|e| RowsError::io(&self.path, e))? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if self.held.last() == Some(&b'\n') {
                self.held.pop();
            } else if self.held.len() > self.bytes_max {
                let (path, place) = (self.path.clone(), Place::Line(self.line));
                return Err(RowsError::TooLong { path, place, bytes_max: self.bytes_max });
            }
            if self.line == 1 && self.held.starts_with(BYTE_ORDER_MARK) {
                self.held.drain(..BYTE_ORDER_MARK.len());
            }
            if !self.held.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some((self.line, &self.held)))
    }

    /// Number of the last line, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn read_bytes(&self) -> u64 {
        self.from.read_bytes()
    }
}
