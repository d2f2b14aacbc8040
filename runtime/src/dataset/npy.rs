//! Flat `.npy` arrays of little-endian `u32` or `u64`, or of `u8`: mapped to read, streamed to
//! write.
//!
//! A file is the magic `\x93NUMPY`, a version, the header's length, a Python dict literal padded to
//! 64 bytes, then the values. The dict is read by a strict parser that accepts what numpy writes
//! and nothing more; its length is bounded before a byte of it is read.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::DatasetError;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Bytes before the values in files written here: room for any length, a multiple of 64.
const HEADER_BYTES: usize = 128;
/// Longest header read: numpy's own limit is 10,000.
const HEADER_BYTES_MAX: usize = 10_000;
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// An integer that an array may hold.
pub trait NpyValue: bytemuck::Pod {
    /// Its name in a header.
    const DESCR: &'static str;
}

impl NpyValue for u8 {
    const DESCR: &'static str = "|u1";
}

impl NpyValue for u32 {
    const DESCR: &'static str = "<u4";
}

impl NpyValue for u64 {
    const DESCR: &'static str = "<u8";
}

/// A mapped array `[len]`.
#[derive(Debug)]
pub struct NpyArray<T> {
    map: Mmap,
    values_start: usize,
    value: PhantomData<T>,
}

impl<T: NpyValue> NpyArray<T> {
    /// Maps the array at `path`.
    ///
    /// # Errors
    /// The file is missing, its header is not that of a 1-D C-order array of `T`, or its size is
    /// not what the header says.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let mut file = File::open(path).map_err(|e| DatasetError::io("read", path, e))?;
        let found_bytes = file.metadata().map_err(|e| DatasetError::io("read", path, e))?.len();
        let (text, values_start) =
            read_header(&mut file).map_err(|why| header_error::<T>(path, why))?;
        let len = parse_header(&text, T::DESCR).map_err(|why| header_error::<T>(path, why))?;
        let value_bytes = size_of::<T>() as u64;
        let expected_bytes = len
            .checked_mul(value_bytes)
            .and_then(|bytes| bytes.checked_add(values_start as u64))
            .ok_or_else(|| header_error::<T>(path, format!("{len} values do not fit a file")))?;
        if found_bytes != expected_bytes {
            let path = path.to_path_buf();
            return Err(DatasetError::Length { path, expected_bytes, found_bytes });
        }
        // SAFETY: shards are only ever replaced by renaming a whole file over them, so nobody
        // changes or shortens this file while it is mapped.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| DatasetError::io("map", path, e))?;
        if bytemuck::try_cast_slice::<u8, T>(&map[values_start..]).is_err() {
            return Err(header_error::<T>(path, format!("values start at byte {values_start}")));
        }
        Ok(Self { map, values_start, value: PhantomData })
    }

    /// Byte of the file that the values begin at.
    pub(super) fn values_start(&self) -> u64 {
        self.values_start as u64
    }

    /// The values.
    pub fn values(&self) -> &[T] {
        bytemuck::cast_slice(&self.map[self.values_start..])
    }
}

fn header_error<T: NpyValue>(path: &Path, why: String) -> DatasetError {
    DatasetError::Header { path: path.to_path_buf(), kind: T::DESCR, why }
}

/// Reads magic, version and header text; returns the text and where the values start.
fn read_header(file: &mut File) -> Result<(String, usize), String> {
    let too_short = |_| "it ends within its header".to_string();
    let mut lead = [0; 8];
    file.read_exact(&mut lead).map_err(too_short)?;
    if &lead[..6] != MAGIC {
        return Err("it does not start like a .npy file".to_string());
    }
    let (text_bytes, lead_bytes) = match lead[6] {
        1 => {
            let mut length = [0; 2];
            file.read_exact(&mut length).map_err(too_short)?;
            (u16::from_le_bytes(length) as usize, 10)
        }
        2 | 3 => {
            let mut length = [0; 4];
            file.read_exact(&mut length).map_err(too_short)?;
            (u32::from_le_bytes(length) as usize, 12)
        }
        version => return Err(format!("its .npy version is {version}")),
    };
    if text_bytes > HEADER_BYTES_MAX {
        return Err(format!("its header claims {text_bytes} bytes"));
    }
    let mut text = vec![0; text_bytes];
    file.read_exact(&mut text).map_err(too_short)?;
    let text = String::from_utf8(text).map_err(|_| "its header is no text".to_string())?;
    Ok((text, lead_bytes + text_bytes))
}

/// Number of values, from `{'descr': '<u4', 'fortran_order': False, 'shape': (5,), }`.
fn parse_header(text: &str, descr: &str) -> Result<u64, String> {
    let body = text
        .trim_end()
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .ok_or("its header is no dict")?;
    let (mut has_descr, mut has_order, mut len) = (false, false, None);
    let mut rest = body.trim();
    while !rest.is_empty() {
        let (key, value) = rest.split_once(':').ok_or("its header is no dict")?;
        let value = value.trim_start();
        let value_end = match value.find(')') {
            Some(end) if value.starts_with('(') => end + 1,
            _ => value.find(',').unwrap_or(value.len()),
        };
        let (value, tail) = value.split_at(value_end);
        match (key.trim(), value.trim()) {
            ("'descr'", value) if value.trim_matches('\'') == descr => has_descr = true,
            ("'descr'", value) => return Err(format!("its values are {}", value.escape_debug())),
            ("'fortran_order'", "False") => has_order = true,
            ("'fortran_order'", _) => return Err("it is not in C order".to_string()),
            ("'shape'", value) => len = Some(parse_shape(value)?),
            (key, _) => return Err(format!("its header has the key {}", key.escape_debug())),
        }
        rest = tail.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    match len {
        Some(len) if has_descr && has_order => Ok(len),
        _ => Err("its header lacks a key".to_string()),
    }
}

/// `(5,)` to 5.
fn parse_shape(value: &str) -> Result<u64, String> {
    let refuse = || format!("its shape is {}, not one-dimensional", value.escape_debug());
    let digits = value.strip_prefix('(').and_then(|text| text.strip_suffix(",)"));
    digits.ok_or_else(refuse)?.trim().parse().map_err(|_| refuse())
}

/// An array being written: values stream to `NAME.partial`, which takes its name once complete.
#[derive(Debug)]
pub struct NpyWriter<T> {
    file: BufWriter<File>,
    path: PathBuf,
    partial: PathBuf,
    len: u64,
    value: PhantomData<T>,
}

impl<T: NpyValue> NpyWriter<T> {
    /// Starts the array that will be at `path`.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(path: &Path) -> Result<Self, DatasetError> {
        let partial = path.with_extension("npy.partial");
        let file = File::create(&partial).map_err(|e| DatasetError::io("create", &partial, e))?;
        let mut file = BufWriter::with_capacity(WRITE_BUFFER_BYTES, file);
        file.write_all(&[0; HEADER_BYTES]).map_err(|e| DatasetError::io("write", &partial, e))?;
        Ok(Self { file, path: path.to_path_buf(), partial, len: 0, value: PhantomData })
    }

    /// Appends values.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn write(&mut self, values: &[T]) -> Result<(), DatasetError> {
        self.len += values.len() as u64;
        self.file
            .write_all(bytemuck::cast_slice(values))
            .map_err(|e| DatasetError::io("write", &self.partial, e))
    }

    /// Number of values so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the header, flushes to the disk itself, and gives the file its name.
    ///
    /// # Errors
    /// The disk is full or failing; the file then keeps its `.partial` name.
    pub fn finish(self) -> Result<(), DatasetError> {
        let Self { file, path, partial, len, .. } = self;
        let failed = |e| DatasetError::io("write", &partial, e);
        let mut file = file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        file.write_all(&header(T::DESCR, len)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&partial, &path).map_err(|e| DatasetError::io("rename", &partial, e))?;
        sync_folder_of(&path)
    }
}

/// Makes a rename within the folder of `path` survive a power cut.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), DatasetError> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| DatasetError::io("flush", dir, e))
}

/// Version 1.0 header of a 1-D array, exactly [`HEADER_BYTES`] long.
fn header(descr: &str, len: u64) -> [u8; HEADER_BYTES] {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({len},), }}");
    let mut bytes = [b' '; HEADER_BYTES];
    bytes[..6].copy_from_slice(MAGIC);
    bytes[6..8].copy_from_slice(&[1, 0]);
    bytes[8..10].copy_from_slice(&(HEADER_BYTES as u16 - 10).to_le_bytes());
    bytes[10..10 + dict.len()].copy_from_slice(dict.as_bytes());
    bytes[HEADER_BYTES - 1] = b'\n';
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(values: &[u32]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let mut writer = NpyWriter::<u32>::create(&path).unwrap();
        writer.write(values).unwrap();
        writer.finish().unwrap();
        (dir, path)
    }

    #[test]
    fn what_is_written_is_read() {
        let values: Vec<u32> = (0..5000).map(|i| i * 77).collect();
        let (_dir, path) = written(&values);
        assert_eq!(NpyArray::<u32>::open(&path).unwrap().values(), values);
        assert!(!path.with_extension("npy.partial").exists());
    }

    #[test]
    fn an_unfinished_file_never_takes_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let mut writer = NpyWriter::<u32>::create(&path).unwrap();
        writer.write(&[1, 2, 3]).unwrap();
        drop(writer);
        assert!(matches!(NpyArray::<u32>::open(&path), Err(DatasetError::Missing { .. })));
    }

    #[test]
    fn headers_as_numpy_writes_them_are_understood() {
        let text = "{'descr': '<u4', 'fortran_order': False, 'shape': (2048,), }         \n";
        assert_eq!(parse_header(text, "<u4"), Ok(2048));
        let reordered = "{'shape': (7,), 'fortran_order': False, 'descr': '<u8'}\n";
        assert_eq!(parse_header(reordered, "<u8"), Ok(7));
    }

    #[test]
    fn every_other_header_is_refused() {
        for text in [
            "",
            "{}",
            "{'descr': '>u4', 'fortran_order': False, 'shape': (1,), }",
            "{'descr': '<u4', 'fortran_order': True, 'shape': (1,), }",
            "{'descr': '<u4', 'fortran_order': False, 'shape': (1, 2), }",
            "{'descr': '<u4', 'fortran_order': False, 'shape': (), }",
            "{'descr': '<u4', 'fortran_order': False, 'shape': (-1,), }",
            "{'descr': '<u4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
            "{'descr': '<u4', 'fortran_order': False, }",
            "{'descr': '<u4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
            "{'descr': [('a', '<u4')], 'fortran_order': False, 'shape': (1,), }",
        ] {
            assert!(parse_header(text, "<u4").is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_of_another_length_than_its_header_says_is_refused() {
        let (_dir, path) = written(&[1, 2, 3]);
        let whole = std::fs::read(&path).unwrap();
        for bytes in [&whole[..whole.len() - 1], &[&whole[..], &[0]].concat()] {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(NpyArray::<u32>::open(&path), Err(DatasetError::Length { .. })));
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_in_its_header_is_refused() {
        let (_dir, path) = written(&[1]);
        let whole = std::fs::read(&path).unwrap();
        for end in 0..HEADER_BYTES {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(matches!(NpyArray::<u32>::open(&path), Err(DatasetError::Header { .. })));
        }
    }

    #[test]
    fn lengths_that_overflow_are_refused_before_mapping() {
        let (_dir, path) = written(&[1]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[..HEADER_BYTES].copy_from_slice(&header("<u4", u64::MAX));
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(NpyArray::<u32>::open(&path), Err(DatasetError::Header { .. })));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(0u8.., 0..300)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.npy");
            std::fs::write(&path, [MAGIC.as_slice(), &bytes].concat()).unwrap();
            let _ = NpyArray::<u64>::open(&path);
        }

        #[test]
        fn no_header_text_makes_the_parser_panic(text in "[{}'(),:a-z0-9<_ ]{0,80}") {
            let _ = parse_header(&text, "<u4");
        }
    }
}
