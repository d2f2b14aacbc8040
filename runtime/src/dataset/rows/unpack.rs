//! A file as its unpacked bytes: gzip and zstd by the end of its name, with the packed bytes
//! counted for progress.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::RowsError;

const BUFFER_BYTES: usize = 1 << 18;
/// Largest window that a zstd frame may ask memory for: 128 MiB, the default of its own command.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Unpacked bytes, and how many packed ones they took.
pub(super) struct Unpacked {
    pub(super) bytes: Box<dyn BufRead + Send>,
    read_bytes: Arc<AtomicU64>,
}

impl Unpacked {
    pub(super) fn open(path: &Path) -> Result<Self, RowsError> {
        let failed = |e| RowsError::io(path, e);
        let file = File::open(path).map_err(failed)?;
        let read_bytes = Arc::new(AtomicU64::new(0));
        let counted = Counted { file, read_bytes: read_bytes.clone() };
        let extension = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        let bytes: Box<dyn BufRead + Send> = match extension.to_ascii_lowercase().as_str() {
            "gz" => buffered(flate2::read::MultiGzDecoder::new(counted)),
            "zst" => {
                let mut decoder = zstd::stream::read::Decoder::new(counted).map_err(failed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
                buffered(decoder)
            }
            _ => buffered(counted),
        };
        Ok(Self { bytes, read_bytes })
    }

    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }
}

fn buffered(from: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, from))
}

struct Counted {
    file: File,
    read_bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
