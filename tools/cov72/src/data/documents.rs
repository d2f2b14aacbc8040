//! All documents of all files, in pieces, in order, from the beginning or from anywhere a piece
//! began before.
//!
//! A row is one piece. A text file is one document in pieces of a few megabytes, and a last, empty
//! one that ends it.

use std::fs::File;

use runtime::dataset::rows::{self, Format, NotUtf8, Place, Rows, RowsError, Selection};
use serde::{Deserialize, Serialize};

use super::inputs::{Input, ReadArgs, unreadable};
use super::text::TextPieces;
use crate::failure::Failure;

/// Where a piece began, and how many of its tokens were used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    /// File, counted from 0.
    pub(super) input: usize,
    /// Row that reading the piece began at; 0 in a text file.
    pub(super) row: u64,
    /// Byte within a text file; 0 elsewhere.
    pub(super) offset: u64,
    /// Tokens of the piece.
    pub(super) tokens: usize,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    /// Documents with text.
    pub(super) documents: u64,
    /// Documents without: null or empty. They leave no token.
    pub(super) empty_documents: u64,
    /// Rows, or runs of bytes of text files, that were no UTF-8.
    pub(super) not_utf8: u64,
    /// Bytes of text.
    pub(super) text_bytes: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.documents += more.documents;
        self.empty_documents += more.empty_documents;
        self.not_utf8 += more.not_utf8;
        self.text_bytes += more.text_bytes;
    }
}

/// A document, or part of one.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) cursor: Cursor,
    pub(super) text: Vec<u8>,
    pub(super) begins: bool,
    pub(super) ends: bool,
    /// What it adds to the counts.
    pub(super) counts: Counts,
    /// Bytes of all files that lie behind reading, for progress.
    pub(super) read_bytes: u64,
    /// Line or row, where it is one.
    pub(super) place: Option<Place>,
}

/// The pieces of all documents.
pub(super) struct Documents {
    inputs: Vec<Input>,
    column: String,
    not_utf8: NotUtf8,
    /// Whether text files are read as bytes, whatever they are.
    takes_bytes: bool,
    at: Cursor,
    open: Option<Open>,
    /// Bytes of the files before the open one.
    passed_bytes: u64,
}

enum Open {
    Text(TextPieces<File>),
    Rows(Rows),
}

impl Documents {
    /// The documents of `inputs` from `at` on.
    pub(super) fn new(inputs: &[Input], how: &ReadArgs, takes_bytes: bool, at: Cursor) -> Self {
        Self {
            passed_bytes: inputs.iter().take(at.input).map(|input| input.bytes).sum(),
            inputs: inputs.to_vec(),
            column: how.column.clone(),
            not_utf8: how.utf8.into(),
            takes_bytes,
            at,
            open: None,
        }
    }

    /// The next piece; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, Failure> {
        while self.at.input < self.inputs.len() {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.open()?,
            };
            let piece = match &mut open {
                Open::Text(pieces) => self.next_text(pieces)?,
                Open::Rows(rows) => self.next_row(rows)?,
            };
            match piece {
                // The piece that ends a text file has no text.
                Some(piece) if piece.place.is_some() || !piece.text.is_empty() => {
                    self.open = Some(open);
                    return Ok(Some(piece));
                }
                last => {
                    self.passed_bytes += self.inputs[self.at.input].bytes;
                    self.at = Cursor { input: self.at.input + 1, ..Cursor::default() };
                    if last.is_some() {
                        return Ok(last);
                    }
                }
            }
        }
        Ok(None)
    }

    fn open(&self) -> Result<Open, Failure> {
        let Input { path, has_rows, .. } = &self.inputs[self.at.input];
        if !has_rows {
            let pieces = TextPieces::open(path, self.at.offset);
            return Ok(Open::Text(pieces.map_err(|e| unreadable(path, e))?));
        }
        // In rows of text the other columns cost nothing, and are what an error lists.
        let column = [self.column.as_str()];
        let columns = if Format::of(path) == Some(Format::Table) { &column[..] } else { &[] };
        let selection = Selection { columns, first_row: self.at.row, not_utf8: self.not_utf8 };
        Ok(Open::Rows(rows::open_selected(path, selection)?))
    }

    fn next_text(&mut self, pieces: &mut TextPieces<File>) -> Result<Option<Piece>, Failure> {
        let path = &self.inputs[self.at.input].path;
        let next = pieces.next().map_err(|e| unreadable(path, e))?;
        let (offset, raw) = next.unwrap_or((self.at.offset, &[]));
        let cursor = Cursor { offset, tokens: 0, ..self.at };
        self.at.offset = offset + raw.len() as u64;
        let is_end = raw.is_empty();
        let is_empty = is_end && offset == 0;
        let (text, not_utf8) = self.mended(raw);
        let counts = Counts {
            documents: u64::from(is_end && !is_empty),
            empty_documents: u64::from(is_empty),
            not_utf8,
            text_bytes: raw.len() as u64,
        };
        // What mending emptied must not look like the end.
        let text = if text.is_empty() && !is_end { b"\n".to_vec() } else { text };
        Ok(Some(Piece {
            cursor,
            text,
            begins: offset == 0 && !is_empty,
            ends: is_end && !is_empty,
            counts,
            read_bytes: self.passed_bytes + self.at.offset,
            place: None,
        }))
    }

    /// Text without what is no UTF-8, as was asked for, and how many runs of it there were.
    fn mended(&self, raw: &[u8]) -> (Vec<u8>, u64) {
        if self.takes_bytes || self.not_utf8 == NotUtf8::Refuse {
            return (raw.to_vec(), 0);
        }
        let (mut text, mut runs) = (Vec::with_capacity(raw.len()), 0);
        for chunk in raw.utf8_chunks() {
            text.extend_from_slice(chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                runs += 1;
                if self.not_utf8 == NotUtf8::Replace {
                    text.extend_from_slice("\u{FFFD}".as_bytes());
                }
            }
        }
        (text, runs)
    }

    fn next_row(&mut self, rows: &mut Rows) -> Result<Option<Piece>, Failure> {
        let (row, not_utf8_before) = (rows.next_row(), rows.not_utf8_rows());
        let cursor = Cursor { row, tokens: 0, ..self.at };
        let next = rows.next().transpose()?;
        self.at.row = rows.next_row();
        let not_utf8 = rows.not_utf8_rows() - not_utf8_before;
        let Some(mut found) = next else {
            // Rows that were left out at the end of a file still count.
            return Ok((not_utf8 > 0).then(|| Piece {
                cursor,
                text: Vec::new(),
                begins: false,
                ends: false,
                counts: Counts { not_utf8, ..Counts::default() },
                read_bytes: self.passed_bytes + rows.read_bytes(),
                place: None,
            }));
        };
        let text = match found.remove(&self.column) {
            Some(serde_json::Value::String(text)) => text.into_bytes(),
            Some(serde_json::Value::Null) => Vec::new(),
            Some(_) => {
                let column = self.column.escape_debug();
                return Err(rows.error(format!("its {column} is no text")).into());
            }
            None => return Err(self.no_column(rows, &found).into()),
        };
        let has_text = !text.is_empty();
        let counts = Counts {
            documents: u64::from(has_text),
            empty_documents: u64::from(!has_text),
            not_utf8,
            text_bytes: text.len() as u64,
        };
        let read_bytes = self.passed_bytes + rows.read_bytes();
        let (begins, ends, place) = (has_text, has_text, Some(rows.place()));
        Ok(Some(Piece { cursor, text, begins, ends, counts, read_bytes, place }))
    }

    fn no_column(&self, rows: &Rows, found: &rows::Row) -> RowsError {
        let path = self.inputs[self.at.input].path.clone();
        let present = found.keys().cloned().collect();
        let column = format!("{} in {}", self.column, rows.place());
        RowsError::NoColumn { path, column, present }
    }
}
