//! What can go wrong with a file of rows. Each sentence names the file, the place and the remedy.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where in a file something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line, from 1, as editors count.
    Line(u64),
    /// A row, from 0.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// An error of a file of rows.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// A name that says nothing about the format.
    #[error(
        "{} is no .jsonl, .json, .jsonl.gz, .jsonl.zst or .parquet; rename it by what it holds, or \
         read it as plain text with --text", .path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused, or the compressed bytes are damaged.
    #[error("cannot read {}: {source}; copy it again", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system or the decompressor said.
        source: std::io::Error,
    },
    /// A row that is none.
    #[error("{}: {place}: {why}; mend or remove it", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// What is wrong.
        why: String,
    },
    /// A row that is no UTF-8.
    #[error(
        "{}: {place}: no UTF-8 at byte {offset} of it; convert the file, or use --utf8 replace or \
         --utf8 skip", .path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// First bad byte within the row.
        offset: usize,
    },
    /// A row longer than memory should hold.
    #[error(
        "{}: {place}: longer than {bytes_max} bytes, the most a row may have; split it",
        .path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// The bound.
        bytes_max: usize,
    },
    /// A parquet file that is damaged.
    #[error("{} is no whole parquet file: {why}; copy it again", .path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A column that is not there.
    #[error(
        "{} has no column {}; it has: {}", .path.display(), .column.escape_debug(), list(.present)
    )]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The one asked for.
        column: String,
        /// Those there are.
        present: Vec<String>,
    },
    /// The file was longer when it was read before.
    #[error(
        "{} has {rows} rows where row {wanted} was reached before; it changed: start anew in \
         another folder", .path.display()
    )]
    Fewer {
        /// The file.
        path: PathBuf,
        /// Its rows.
        rows: u64,
        /// The row to go on from.
        wanted: u64,
    },
}

impl RowsError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }
}

/// Names of a stranger's columns: escaped, and not without end.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 40;
    let shown = names.iter().take(SHOWN).map(|name| {
        let name: String = name.chars().take(60).collect();
        name.escape_debug().to_string()
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".to_string(),
        1..=SHOWN => shown,
        more => format!("{shown} and {} more", more - SHOWN),
    }
}
