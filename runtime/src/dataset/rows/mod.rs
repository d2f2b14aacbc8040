//! Documents as rows: `.jsonl`, `.json` (an array of objects), each also `.gz` or `.zst`, and
//! `.parquet`, all as JSON objects, one at a time.
//!
//! The files are strangers': a line, an object or a window of a decompressor has a bound, and what
//! breaks it is an error that names the file and the line or row. Lists and structs of parquet come
//! as JSON lists and objects, its bytes as base64, its decimals and dates as text.

mod array;
mod error;
mod lines;
mod table;
mod unpack;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use error::{Place, RowsError};

/// Longest line of a `.jsonl`, and longest object of a `.json`, in bytes.
pub const ROW_BYTES_MAX: usize = 256 << 20;

/// A row: its columns by name.
pub type Row = Map<String, Value>;

/// What to do with a row that is no UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotUtf8 {
    /// It is an error.
    #[default]
    Refuse,
    /// Each bad sequence becomes U+FFFD.
    Replace,
    /// The row is left out.
    Skip,
}

/// Which rows to read, and what of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    /// The columns; none means all. A row of a text format may lack one, a parquet file may not.
    pub columns: &'a [&'a str],
    /// Rows to pass over, without looking into them where the format allows it.
    pub first_row: u64,
    /// What to do with a row that is no UTF-8.
    pub not_utf8: NotUtf8,
}

/// The formats, by the end of a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object a line.
    Lines,
    /// One array of objects.
    Array,
    /// Parquet.
    Table,
}

impl Format {
    /// The format of the file at `path`, by its name; `None` for others.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let packed = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
        match packed.unwrap_or(&name).rsplit_once('.')?.1 {
            "jsonl" | "ndjson" => Some(Self::Lines),
            "json" => Some(Self::Array),
            "parquet" if packed.is_none() => Some(Self::Table),
            _ => None,
        }
    }
}

/// The rows of one file, in order. The first error is the last item.
pub struct Rows {
    path: PathBuf,
    from: Source,
    columns: Vec<String>,
    not_utf8: NotUtf8,
    not_utf8_rows: u64,
    /// Rows handed out or passed over.
    next_row: u64,
    failed: bool,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("path", &self.path).finish_non_exhaustive()
    }
}

enum Source {
    Lines(lines::Lines),
    Array(array::Elements),
    Table(table::Table),
}

/// All rows of the file at `path`.
///
/// # Errors
/// The file is missing, of an unknown format, or damaged at its beginning (or end, for parquet).
pub fn open(path: &Path) -> Result<Rows, RowsError> {
    open_selected(path, Selection::default())
}

/// The selected rows of the file at `path`.
///
/// # Errors
/// As [`open`]; a parquet file lacks a selected column; there are fewer rows than to pass over.
pub fn open_selected(path: &Path, selection: Selection<'_>) -> Result<Rows, RowsError> {
    let format = Format::of(path).ok_or_else(|| RowsError::Format { path: path.to_path_buf() })?;
    let mut passed = 0;
    let from = match format {
        Format::Lines => Source::Lines(lines::Lines::open(path, ROW_BYTES_MAX)?),
        Format::Array => Source::Array(array::Elements::open(path, ROW_BYTES_MAX)?),
        Format::Table => {
            let table = table::Table::open(path, selection.columns, selection.first_row)?;
            passed = table.first_row();
            Source::Table(table)
        }
    };
    let mut rows = Rows {
        path: path.to_path_buf(),
        from,
        columns: selection.columns.iter().map(|name| (*name).to_string()).collect(),
        not_utf8: selection.not_utf8,
        not_utf8_rows: 0,
        next_row: passed,
        failed: false,
    };
    while rows.next_row < selection.first_row {
        if !rows.pass_over()? {
            let (path, rows) = (rows.path, rows.next_row);
            return Err(RowsError::Fewer { path, rows, wanted: selection.first_row });
        }
    }
    Ok(rows)
}

/// Names of the columns of the file at `path`: those of a parquet file, those of the first row
/// otherwise. Empty where there is no row.
///
/// # Errors
/// As [`open`], or the first row is damaged.
pub fn columns(path: &Path) -> Result<Vec<String>, RowsError> {
    let mut rows = open(path)?;
    if let Source::Table(table) = &rows.from {
        return Ok(table.columns().to_vec());
    }
    let first = rows.next().transpose()?;
    Ok(first.map(|row| row.keys().cloned().collect()).unwrap_or_default())
}

impl Rows {
    /// Number of the row that comes next, from 0. Rows that were left out count, too.
    pub fn next_row(&self) -> u64 {
        self.next_row
    }

    /// Rows that were no UTF-8 so far, replaced or left out.
    pub fn not_utf8_rows(&self) -> u64 {
        self.not_utf8_rows
    }

    /// How far reading got within the file, in bytes as they lie on disk, for progress.
    pub fn read_bytes(&self) -> u64 {
        match &self.from {
            Source::Lines(lines) => lines.read_bytes(),
            Source::Array(elements) => elements.read_bytes(),
            Source::Table(table) => table.read_bytes(),
        }
    }

    /// Where the last row handed out lies.
    pub fn place(&self) -> Place {
        match &self.from {
            Source::Lines(lines) => Place::Line(lines.line()),
            _ => Place::Row(self.next_row.saturating_sub(1)),
        }
    }

    /// An error about the last row.
    pub fn error(&self, why: impl std::fmt::Display) -> RowsError {
        let (path, place) = (self.path.clone(), self.place());
        RowsError::Row { path, place, why: why.to_string() }
    }

    /// Passes over one row; false at the end.
    fn pass_over(&mut self) -> Result<bool, RowsError> {
        let more = match &mut self.from {
            Source::Lines(lines) => lines.next()?.is_some(),
            Source::Array(elements) => elements.next()?.is_some(),
            Source::Table(table) => table.next()?.is_some(),
        };
        self.next_row += u64::from(more);
        Ok(more)
    }

    fn read(&mut self) -> Result<Option<Row>, RowsError> {
        loop {
            let (not_utf8, place) = (self.not_utf8, self.next_row);
            let found = match &mut self.from {
                Source::Table(table) => {
                    let row = table.next()?;
                    self.next_row += u64::from(row.is_some());
                    return Ok(row);
                }
                Source::Lines(lines) => match lines.next()? {
                    None => return Ok(None),
                    Some((line, text)) => parse(text, not_utf8, &self.path, Place::Line(line))?,
                },
                Source::Array(elements) => match elements.next()? {
                    None => return Ok(None),
                    Some(text) => parse(text, not_utf8, &self.path, Place::Row(place))?,
                },
            };
            self.next_row += 1;
            self.not_utf8_rows += u64::from(!matches!(found, Parsed::Clean(_)));
            match found {
                Parsed::Clean(row) | Parsed::Mended(row) => return Ok(Some(self.selected(row))),
                Parsed::LeftOut => {}
            }
        }
    }

    fn selected(&self, mut row: Row) -> Row {
        if !self.columns.is_empty() {
            row.retain(|name, _| self.columns.contains(name));
        }
        row
    }
}

impl Iterator for Rows {
    type Item = Result<Row, RowsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// A row of a text format.
enum Parsed {
    Clean(Row),
    Mended(Row),
    LeftOut,
}

fn parse(text: &[u8], not_utf8: NotUtf8, path: &Path, place: Place) -> Result<Parsed, RowsError> {
    let refuse = |why: String| RowsError::Row { path: path.to_path_buf(), place, why };
    let object = |text: &str| match serde_json::from_str(text) {
        Ok(row) => Ok(row),
        // Line numbers of the parser are within the row: they would contradict the place.
        Err(error) => Err(refuse(match error.to_string().rsplit_once(" at line ") {
            Some((why, _)) => format!("{why} (byte {} of it)", error.column()),
            None => error.to_string(),
        })),
    };
    match (std::str::from_utf8(text), not_utf8) {
        (Ok(text), _) => Ok(Parsed::Clean(object(text)?)),
        (Err(_), NotUtf8::Skip) => Ok(Parsed::LeftOut),
        (Err(_), NotUtf8::Replace) => Ok(Parsed::Mended(object(&String::from_utf8_lossy(text))?)),
        (Err(error), NotUtf8::Refuse) => {
            Err(RowsError::NotUtf8 { path: path.to_path_buf(), place, offset: error.valid_up_to() })
        }
    }
}

#[cfg(test)]
mod tests;
