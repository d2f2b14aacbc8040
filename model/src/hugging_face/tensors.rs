//! Reading safetensors a tensor at a time: the header is checked in full before anything of the
//! size that it claims is allocated.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata};
use serde::Deserialize;
use wire::Shape;

use super::error::{InteropError, io};

/// Largest header, as the library that everybody writes them with has it.
const HEADER_BYTES_MAX: u64 = 100_000_000;
/// Largest index of a model in several files.
const INDEX_BYTES_MAX: u64 = 64 << 20;
const LENGTH_BYTES: u64 = 8;
const INDEX: &str = "model.safetensors.index.json";
const WHOLE: &str = "model.safetensors";

/// One file, of which the header has been read.
pub(super) struct TensorFile {
    path: PathBuf,
    file: File,
    header: Metadata,
    /// Where the first value lies.
    start: u64,
}

impl TensorFile {
    /// Reads the header. Tensors that overlap, leave gaps, have another size than their extents
    /// call for, or end elsewhere than the file does are refused here.
    pub(super) fn open(path: &Path) -> Result<Self, InteropError> {
        let damaged = |reason: String| InteropError::Damaged { path: path.to_path_buf(), reason };
        let mut file = File::open(path).map_err(io("open", path))?;
        let bytes = file.metadata().map_err(io("look at", path))?.len();
        let mut length = [0; LENGTH_BYTES as usize];
        if bytes < LENGTH_BYTES {
            return Err(damaged(format!("it has {bytes} bytes, which is no safetensors file")));
        }
        file.read_exact(&mut length).map_err(io("read", path))?;
        let length = u64::from_le_bytes(length);
        let rest = bytes - LENGTH_BYTES;
        if length > rest.min(HEADER_BYTES_MAX) {
            return Err(damaged(format!("it claims a header of {length} bytes, and has {rest}")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(io("read", path))?;
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|error| damaged(format!("its header cannot be read: {error}")))?;
        let (claimed, found) = (header.data_len() as u64, rest - length);
        if claimed != found {
            let reason = format!("its header claims {claimed} bytes of values, it has {found}");
            return Err(damaged(reason));
        }
        Ok(Self { path: path.to_path_buf(), file, header, start: LENGTH_BYTES + length })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.header.tensors().into_keys()
    }

    /// The values of a tensor, which must have these extents, as f32.
    pub(super) fn read(&self, name: &str, shape: Shape) -> Result<Vec<f32>, InteropError> {
        let path = || self.path.clone();
        let no_tensor = || InteropError::NoTensor { path: path(), tensor: name.to_string() };
        let info = self.header.info(name).ok_or_else(no_tensor)?;
        let is_known = matches!(info.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16);
        if info.shape != shape.extents() || !is_known {
            return Err(InteropError::OtherTensor {
                path: path(),
                tensor: name.to_string(),
                found: format!("{:?} {:?}", info.dtype, info.shape),
                expected: format!("F32, BF16 or F16 {:?}", shape.extents()),
            });
        }
        let at = self.start + info.data_offsets.0 as u64;
        let fill =
            |bytes: &mut [u8]| self.file.read_exact_at(bytes, at).map_err(io("read", &self.path));
        // Files are little-endian, as is every machine that this runs on.
        if info.dtype == Dtype::F32 {
            let mut values = vec![0.0_f32; shape.len()];
            fill(bytemuck::cast_slice_mut(&mut values))?;
            return Ok(values);
        }
        let mut halves = vec![0_u16; shape.len()];
        fill(bytemuck::cast_slice_mut(&mut halves))?;
        let wide: fn(u16) -> f32 = match info.dtype {
            Dtype::BF16 => |bits| bf16::from_bits(bits).to_f32(),
            _ => |bits| f16::from_bits(bits).to_f32(),
        };
        Ok(halves.into_iter().map(wide).collect())
    }

    /// The type of a tensor.
    pub(super) fn dtype(&self, name: &str) -> Option<Dtype> {
        self.header.info(name).map(|info| info.dtype)
    }
}

/// `model.safetensors`, or several files and an index that says which tensor is where.
pub(super) struct TensorFolder {
    path: PathBuf,
    files: BTreeMap<String, TensorFile>,
    /// Which file a tensor is in.
    places: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl TensorFolder {
    /// Opens all files of a model and reads their headers.
    pub(super) fn open(dir: &Path) -> Result<Self, InteropError> {
        let index = dir.join(INDEX);
        if !index.exists() {
            let file = TensorFile::open(&dir.join(WHOLE))?;
            let places = file.names().map(|name| (name, WHOLE.to_string())).collect();
            let files = BTreeMap::from([(WHOLE.to_string(), file)]);
            return Ok(Self { path: dir.to_path_buf(), files, places });
        }
        let damaged = |reason: String| InteropError::Damaged { path: index.clone(), reason };
        let bytes = std::fs::metadata(&index).map_err(io("look at", &index))?.len();
        if bytes > INDEX_BYTES_MAX {
            return Err(damaged(format!("an index of {bytes} bytes is none")));
        }
        let text = std::fs::read(&index).map_err(io("read", &index))?;
        let Index { weight_map: places } = serde_json::from_slice(&text)
            .map_err(|error| damaged(format!("it cannot be read: {error}")))?;
        let mut files = BTreeMap::new();
        for name in places.values() {
            // An index is a stranger's: it names files of this folder and no others.
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return Err(damaged(format!("it names a file outside of its folder: {name:?}")));
            }
            if !files.contains_key(name) {
                files.insert(name.clone(), TensorFile::open(&dir.join(name))?);
            }
        }
        Ok(Self { path: dir.to_path_buf(), files, places })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    pub(super) fn read(&self, name: &str, shape: Shape) -> Result<Vec<f32>, InteropError> {
        self.file(name)?.read(name, shape)
    }

    pub(super) fn dtype(&self, name: &str) -> Result<Option<Dtype>, InteropError> {
        Ok(self.file(name)?.dtype(name))
    }

    fn file(&self, name: &str) -> Result<&TensorFile, InteropError> {
        let no_tensor =
            || InteropError::NoTensor { path: self.path.clone(), tensor: name.to_string() };
        Ok(&self.files[self.places.get(name).ok_or_else(no_tensor)?])
    }
}
