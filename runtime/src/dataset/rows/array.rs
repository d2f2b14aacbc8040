//! The objects of one JSON array, cut out one at a time, so that the array may be larger than
//! memory. Only brackets and strings are looked at here; the JSON parser judges each object.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use super::lines::BYTE_ORDER_MARK;
use super::unpack::Unpacked;
use super::{Place, RowsError};

/// The elements of an array.
pub(super) struct Elements {
    path: PathBuf,
    from: Unpacked,
    bytes_max: usize,
    held: Vec<u8>,
    /// Elements handed out.
    row: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeArray,
    Within,
    Ended,
}

impl Elements {
    pub(super) fn open(path: &Path, bytes_max: usize) -> Result<Self, RowsError> {
        let from = Unpacked::open(path)?;
        let (path, held, state) = (path.to_path_buf(), Vec::new(), State::BeforeArray);
        Ok(Self { path, from, bytes_max, held, row: 0, state })
    }

    /// The text of the next element; `None` at the end of the array.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, RowsError> {
        if self.state == State::BeforeArray {
            self.enter()?;
        }
        if self.state == State::Ended {
            return Ok(None);
        }
        let first = self.skip_blank()?;
        match (first, self.row) {
            (Some(b']'), _) => return self.end(),
            (Some(b','), row) if row > 0 => {}
            (Some(byte), 0) => self.held.push(byte),
            (Some(_), _) => return Err(self.refuse("no comma between it and the row before")),
            (None, _) => return Err(self.refuse("the file ends within the array")),
        }
        if self.held.is_empty() {
            let byte = self.skip_blank()?;
            self.held.extend(byte);
        }
        if self.held.first() != Some(&b'{') {
            return Err(self.refuse("it is no object"));
        }
        self.rest_of_object()?;
        self.row += 1;
        Ok(Some(&self.held))
    }

    fn enter(&mut self) -> Result<(), RowsError> {
        let mut first = self.skip_blank()?;
        if first == Some(BYTE_ORDER_MARK[0]) {
            self.byte()?;
            self.byte()?;
            first = self.skip_blank()?;
        }
        if first != Some(b'[') {
            return Err(self.refuse(
                "the file is no array of objects; if it has an object a line, name it .jsonl",
            ));
        }
        self.state = State::Within;
        Ok(())
    }

    fn end(&mut self) -> Result<Option<&[u8]>, RowsError> {
        self.state = State::Ended;
        match self.skip_blank()? {
            None => Ok(None),
            Some(_) => Err(self.refuse("there is more behind the end of the array")),
        }
    }

    /// Extends `held`, which is `{`, to the bracket that closes it.
    fn rest_of_object(&mut self) -> Result<(), RowsError> {
        let (mut depth, mut in_string, mut escaped) = (1_usize, false, false);
        while depth > 0 {
            let chunk = self.from.bytes.fill_buf().map_err(|e| RowsError::io(&self.path, e))?;
            if chunk.is_empty() {
                return Err(self.refuse("the file ends within it"));
            }
            let mut used = 0;
            for &byte in chunk {
                used += 1;
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if in_string => escaped = true,
                    b'"' => in_string = !in_string,
                    b'{' | b'[' if !in_string => depth += 1,
                    b'}' | b']' if !in_string => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            if self.held.len() + used > self.bytes_max {
                let (path, place) = (self.path.clone(), Place::Row(self.row));
                return Err(RowsError::TooLong { path, place, bytes_max: self.bytes_max });
            }
            self.held.extend_from_slice(&chunk[..used]);
            self.from.bytes.consume(used);
        }
        Ok(())
    }

    /// The next byte that is no blank, `held` emptied.
    fn skip_blank(&mut self) -> Result<Option<u8>, RowsError> {
        self.held.clear();
        loop {
            match self.byte()? {
                Some(b' ' | b'\t' | b'\r' | b'\n') => {}
                other => return Ok(other),
            }
        }
    }

    fn byte(&mut self) -> Result<Option<u8>, RowsError> {
        let mut byte = [0];
        let read = self.from.bytes.read(&mut byte).map_err(|e| RowsError::io(&self.path, e))?;
        Ok((read > 0).then_some(byte[0]))
    }

    fn refuse(&self, why: &str) -> RowsError {
        let (path, place) = (self.path.clone(), Place::Row(self.row));
        RowsError::Row { path, place, why: why.to_string() }
    }

    pub(super) fn read_bytes(&self) -> u64 {
        self.from.read_bytes()
    }
}
