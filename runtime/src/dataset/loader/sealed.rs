//! A shard's file as it was when it was opened, so that another one under its name, or a change of
//! it, is noticed.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::dataset::{DatasetError, SAMPLE_TOKENS, Shard};

/// Bytes of a sample.
pub(super) const SAMPLE_BYTES: usize = SAMPLE_TOKENS * size_of::<u32>();

/// An open file and what it looked like.
#[derive(Debug)]
pub(super) struct SealedFile {
    path: PathBuf,
    pub(super) file: File,
    values_start: u64,
    seal: Seal,
    is_writable: bool,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seal {
    file: (u64, u64),
    bytes: u64,
    modified: Option<SystemTime>,
}

impl SealedFile {
    /// Opens the tokens of `shard`.
    pub(super) fn open(shard: &Shard) -> Result<Self, DatasetError> {
        let path = shard.path();
        let file = File::open(path).map_err(|e| DatasetError::io("read", path, e))?;
        let metadata = file.metadata().map_err(|e| DatasetError::io("read", path, e))?;
        let values_start = shard.values_start();
        let seal = Seal::of(&metadata);
        let is_writable = is_writable(&metadata);
        let sealed = Self { path: path.to_path_buf(), file, values_start, seal, is_writable };
        let needed = values_start + shard.samples() * SAMPLE_BYTES as u64;
        if metadata.len() < needed {
            return Err(sealed.changed(format!("has {} bytes, not {needed}", metadata.len())));
        }
        Ok(sealed)
    }

    /// Checks that the file of this name is still the one that was opened, and as it was.
    pub(super) fn check(&self) -> Result<(), DatasetError> {
        let metadata = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(self.changed("is gone".to_string()));
            }
            Err(e) => return Err(DatasetError::io("read", &self.path, e)),
        };
        let (now, before) = (Seal::of(&metadata), self.seal);
        if now.bytes != before.bytes {
            return Err(self.changed(format!("has {} bytes, not {}", now.bytes, before.bytes)));
        }
        if now.file != before.file {
            return Err(self.changed("was replaced by another file".to_string()));
        }
        if now != before {
            return Err(self.changed("was written to".to_string()));
        }
        Ok(())
    }

    /// Whether anybody had the right to write to it when it was opened.
    pub(super) fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Where sample `sample` begins.
    pub(super) fn offset(&self, sample: u64) -> u64 {
        self.values_start + sample * SAMPLE_BYTES as u64
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn changed(&self, what: String) -> DatasetError {
        DatasetError::Changed { path: self.path.clone(), what }
    }

    /// Reads one sample, `[2048]`, the plain way.
    pub(super) fn read(&self, sample: u64, into: &mut [u32]) -> Result<(), DatasetError> {
        let bytes = bytemuck::cast_slice_mut(into);
        read_at(&self.file, bytes, self.offset(sample)).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                // Cut off since the round began: what it is now says more.
                let cut = self.changed(format!("ends within sample {sample}"));
                self.check().err().unwrap_or(cut)
            }
            _ => DatasetError::io("read", &self.path, e),
        })
    }
}

#[cfg(unix)]
fn is_writable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o222 != 0
}

#[cfg(not(unix))]
fn is_writable(metadata: &Metadata) -> bool {
    !metadata.permissions().readonly()
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, offset)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, into: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(into)
}

impl Seal {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let file = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let file = (0, 0);
        Self { file, bytes: metadata.len(), modified: metadata.modified().ok() }
    }
}
