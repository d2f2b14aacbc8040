//! Rows of a parquet file. Row groups before the first row asked for are never decoded, and of the
//! others only the columns that are.
//!
//! The decoder panics on some damaged files; a stranger's file must not end the program, so that a
//! panic in it becomes an error like any other.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::{Place, Row, RowsError};

/// A parquet file being read.
pub(super) struct Table {
    path: PathBuf,
    rows: RowIter<'static>,
    columns: Vec<String>,
    first_row: u64,
    next_row: u64,
    rows_in_all: u64,
    file_bytes: u64,
}

impl Table {
    /// Reads from the row group that holds row `first_row`.
    pub(super) fn open(path: &Path, wanted: &[&str], first_row: u64) -> Result<Self, RowsError> {
        let file = File::open(path).map_err(|e| RowsError::io(path, e))?;
        let file_bytes = file.metadata().map_err(|e| RowsError::io(path, e))?.len();
        guarded(path, || Self::begin(path, file, wanted, first_row, file_bytes))?
    }

    fn begin(
        path: &Path,
        file: File,
        wanted: &[&str],
        first_row: u64,
        file_bytes: u64,
    ) -> Result<Self, RowsError> {
        let failed = |e: ParquetError| damaged(path, e);
        let again = file.try_clone().map_err(|e| RowsError::io(path, e))?;
        let reader = SerializedFileReader::new(file).map_err(failed)?;
        let metadata = reader.metadata();
        let schema = metadata.file_metadata().schema();
        let columns: Vec<String> =
            schema.get_fields().iter().map(|field| field.name().to_string()).collect();
        let projection = project(path, schema, wanted, &columns)?;
        let groups = metadata.row_groups();
        let counts: Vec<u64> = groups.iter().map(|group| group.num_rows().max(0) as u64).collect();
        let rows_in_all = counts.iter().fold(0_u64, |sum, rows| sum.saturating_add(*rows));
        let (mut passed_groups, mut passed_rows) = (0, 0);
        while counts.get(passed_groups).is_some_and(|rows| passed_rows + rows <= first_row) {
            passed_rows += counts[passed_groups];
            passed_groups += 1;
        }
        let options = ReadOptionsBuilder::new()
            .with_predicate(Box::new(move |_, group| group >= passed_groups))
            .build();
        let reader = SerializedFileReader::new_with_options(again, options).map_err(failed)?;
        let rows = RowIter::from_file_into(Box::new(reader)).project(projection).map_err(failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            rows,
            columns,
            first_row: passed_rows,
            next_row: passed_rows,
            rows_in_all,
            file_bytes,
        })
    }

    /// Names of all columns of the file.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The row that reading began at.
    pub(super) fn first_row(&self) -> u64 {
        self.first_row
    }

    pub(super) fn next(&mut self) -> Result<Option<Row>, RowsError> {
        let (path, rows) = (&self.path, &mut self.rows);
        let row = match guarded(path, || rows.next())? {
            Some(Ok(row)) => row,
            Some(Err(error)) => return Err(self.refuse(error)),
            None if self.next_row < self.rows_in_all => {
                let promised = self.rows_in_all;
                return Err(self.refuse(format!("the file ends where it promises {promised} rows")));
            }
            None => return Ok(None),
        };
        self.next_row += 1;
        match row.to_json_value() {
            serde_json::Value::Object(row) => Ok(Some(row)),
            other => Err(self.refuse(format!("it came as {other}"))),
        }
    }

    /// A guess from the share of rows: where the bytes of a row lie, only the decoder knows.
    pub(super) fn read_bytes(&self) -> u64 {
        let share = self.next_row as f64 / self.rows_in_all.max(1) as f64;
        (self.file_bytes as f64 * share) as u64
    }

    fn refuse(&self, why: impl std::fmt::Display) -> RowsError {
        let (path, place) = (self.path.clone(), Place::Row(self.next_row));
        RowsError::Row { path, place, why: why.to_string() }
    }
}

/// The schema of the wanted columns alone; `None` for all.
fn project(
    path: &Path,
    schema: &Type,
    wanted: &[&str],
    present: &[String],
) -> Result<Option<Type>, RowsError> {
    if let Some(absent) = wanted.iter().find(|name| !present.iter().any(|has| has == *name)) {
        return Err(RowsError::NoColumn {
            path: path.to_path_buf(),
            column: (*absent).to_string(),
            present: present.to_vec(),
        });
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    let fields = schema.get_fields().iter().filter(|field| wanted.contains(&field.name()));
    let projection = Type::group_type_builder(schema.name())
        .with_fields(fields.cloned().collect())
        .build()
        .map_err(|e| damaged(path, e))?;
    Ok(Some(projection))
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> RowsError {
    RowsError::Table { path: path.to_path_buf(), why: why.to_string() }
}

/// Runs the decoder. After an error nothing of it is used again.
fn guarded<T>(path: &Path, decode: impl FnOnce() -> T) -> Result<T, RowsError> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|panic| {
        let said = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
        damaged(path, said.unwrap_or_else(|| "the decoder gave up".to_string()))
    })
}
