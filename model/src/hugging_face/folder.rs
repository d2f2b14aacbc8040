//! A model in our own form: `model.json` says what it is, `params.safetensors` holds its
//! parameters, f32, under our own names; beside them the tokenizer, if there is one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use safetensors::SafeTensorError;
use safetensors::tensor::View;
use serde::{Deserialize, Serialize};
use wire::ModelSpec;

use super::error::{InteropError, io};

/// Says what a folder holds.
pub const MODEL_FILE: &str = "model.json";
pub(super) const PARAMS_FILE: &str = "params.safetensors";
/// Changing this breaks every imported model.
const FORMAT: u32 = 1;

/// How parameters are stored elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dtype {
    /// As they are trained.
    #[serde(rename = "float32")]
    F32,
    /// Rounded to 8 bits of precision, ties to even.
    #[serde(rename = "bfloat16")]
    Bf16,
    /// Rounded to 11 bits of precision; what exceeds 65,504 becomes infinite.
    #[serde(rename = "float16")]
    F16,
}

impl Dtype {
    /// As configurations name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }
}

/// What [`MODEL_FILE`] says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFolder {
    format: u32,
    /// Dimensions.
    pub model: ModelSpec,
    /// How the parameters were stored where they come from; all are f32 here.
    pub dtype: Dtype,
}

impl ModelFolder {
    pub(super) fn new(model: ModelSpec, dtype: Dtype) -> Self {
        Self { format: FORMAT, model, dtype }
    }

    /// Reads what the model in `dir` is.
    ///
    /// # Errors
    /// There is none, or it is of a later format.
    pub fn read(dir: &Path) -> Result<Self, InteropError> {
        let path = dir.join(MODEL_FILE);
        let damaged = |reason: String| InteropError::Damaged { path: path.clone(), reason };
        let text = std::fs::read(&path).map_err(io("read", &path))?;
        let folder: Self = serde_json::from_slice(&text)
            .map_err(|error| damaged(format!("it cannot be read: {error}")))?;
        if folder.format != FORMAT {
            let reason = format!("it has format {}, this program reads {FORMAT}", folder.format);
            return Err(damaged(reason));
        }
        match folder.model.broken_rule() {
            Some((key, rule)) => Err(damaged(format!("{key} must be {rule}"))),
            None => Ok(folder),
        }
    }

    /// Where the parameters of the model in `dir` lie.
    pub fn params(dir: &Path) -> PathBuf {
        dir.join(PARAMS_FILE)
    }
}

/// Writes tensors to a safetensors file, each asked for its values when it is its turn. The
/// library's views cannot fail, so they leave what went wrong in `failure`.
pub(super) fn save<N: AsRef<str> + Ord + fmt::Display, V: View>(
    path: &Path,
    views: impl IntoIterator<Item = (N, V)>,
    failure: &RefCell<Option<InteropError>>,
) -> Result<(), InteropError> {
    // Readers of older versions refuse files that do not say this.
    let info = HashMap::from([("format".to_string(), "pt".to_string())]);
    let saved = safetensors::serialize_to_file(views, Some(info), path);
    if let Some(failure) = failure.take() {
        return Err(failure);
    }
    saved.map_err(|error| match error {
        SafeTensorError::IoError(source) => io("write", path)(source),
        other => io("write", path)(std::io::Error::other(other)),
    })?;
    // The library makes files that nobody but their owner reads; models are for others.
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).map_err(io("write", path))
}

/// A folder that is seen under its name only once all of it is on the disk.
pub(super) struct NewFolder {
    out: PathBuf,
    temporary: PathBuf,
}

impl NewFolder {
    /// Makes a temporary folder beside `out`, which must not be there; what an earlier attempt left
    /// is removed.
    pub(super) fn new(out: &Path) -> Result<Self, InteropError> {
        if out.exists() {
            return Err(InteropError::Occupied { path: out.to_path_buf() });
        }
        let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let temporary = out.with_file_name(format!(".{name}.new"));
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).map_err(io("remove", &temporary))?;
        }
        std::fs::create_dir_all(&temporary).map_err(io("make", &temporary))?;
        Ok(Self { out: out.to_path_buf(), temporary })
    }

    /// A file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.temporary.join(name)
    }

    /// Writes a small file.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), InteropError> {
        let path = self.path(name);
        let write = || File::create(&path)?.write_all(bytes);
        write().map_err(io("write", &path))
    }

    /// Flushes everything to the disk and gives the folder its name.
    pub(super) fn finish(self) -> Result<(), InteropError> {
        let sync = |path: &Path| {
            File::open(path).and_then(|file| file.sync_all()).map_err(io("flush", path))
        };
        let list = std::fs::read_dir(&self.temporary).map_err(io("list", &self.temporary))?;
        for entry in list {
            sync(&entry.map_err(io("list", &self.temporary))?.path())?;
        }
        sync(&self.temporary)?;
        std::fs::rename(&self.temporary, &self.out).map_err(io("rename", &self.temporary))?;
        let parent = self.out.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync(parent.unwrap_or(Path::new(".")))
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        // Gone already if it was finished; what failed has said why.
        let _ = std::fs::remove_dir_all(&self.temporary);
    }
}
