//! Reading a checkpoint back, believing nothing that its hashes do not confirm.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use runtime::Buffer;
use safetensors::SafeTensors;
use wire::{Digest, Layout};

use super::{FORMAT, FileEntry, INDEX, Index, Progress, Snapshot};

/// The file of the shared parameters.
const PARAMS: &str = "params.safetensors";

/// Why a checkpoint folder cannot be used.
pub(super) enum Unusable {
    /// Something in it is missing or not what was written.
    Damaged(String),
    /// It is whole, but of a model with other tensors.
    OtherModel { found: usize },
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Unusable::Damaged(reason)
    }
}

/// Reads the checkpoint at `path` into `into`.
pub(super) fn read(
    path: &Path,
    layout: &Layout,
    into: &mut Snapshot,
) -> Result<Progress, Unusable> {
    let index = read_index(&path.join(INDEX))?;
    if index.layout != layout.hash() {
        let found = index.files.first().map_or(Ok(0), |entry| values_in(path, entry))?;
        return Err(Unusable::OtherModel { found });
    }
    let read = |name: &str, buffer: &mut Buffer<f32>| -> Result<(), String> {
        let name = format!("{name}.safetensors");
        let entry = index
            .files
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| format!("{INDEX} does not list {name}"))?;
        read_file(path, entry, layout, buffer)
    };
    let mut moments = into.moments.write().unwrap_or_else(PoisonError::into_inner);
    read("first_moment", &mut moments.first)?;
    read("second_moment", &mut moments.second)?;
    read("params", &mut lock(&into.shared))?;
    read("residual", &mut lock(&into.residual))?;
    into.progress = index.progress.clone();
    Ok(index.progress)
}

/// Where the parameters of the checkpoint at `path` lie, in a file that matches its hash.
pub(super) fn params(path: &Path, layout: &Layout) -> Result<(PathBuf, Progress), String> {
    let index = read_index(&path.join(INDEX))?;
    if index.layout != layout.hash() {
        return Err(format!("{} is of another model", path.display()));
    }
    let entry = index.files.iter().find(|entry| entry.name == PARAMS);
    let entry = entry.ok_or_else(|| format!("{INDEX} does not list {PARAMS}"))?;
    let file = path.join(PARAMS);
    let mut hasher = blake3::Hasher::new();
    File::open(&file)
        .and_then(|mut file| std::io::copy(&mut file, &mut hasher))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    if Digest(*hasher.finalize().as_bytes()) != entry.blake3 {
        return Err(format!("{} does not match its hash", file.display()));
    }
    Ok((file, index.progress))
}

/// Values that a file of f32 tensors holds: what its header, whose length comes first, leaves.
fn values_in(dir: &Path, entry: &FileEntry) -> Result<usize, String> {
    let mut header = [0; 8];
    File::open(dir.join(&entry.name))
        .and_then(|mut file| file.read_exact(&mut header))
        .map_err(|error| format!("{}: {error}", entry.name))?;
    let rest = entry.bytes.saturating_sub(u64::from_le_bytes(header).saturating_add(8));
    Ok(rest as usize / size_of::<f32>())
}

fn lock(vector: &RwLock<Buffer<f32>>) -> std::sync::RwLockWriteGuard<'_, Buffer<f32>> {
    vector.write().unwrap_or_else(PoisonError::into_inner)
}

fn read_index(path: &Path) -> Result<Index, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{INDEX}: {error}"))?;
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default();
    let hash = lines.next().unwrap_or_default();
    if blake3::hash(line.as_bytes()).to_string() != hash {
        return Err(format!("{INDEX} does not match its hash"));
    }
    let index: Index = serde_json::from_str(line).map_err(|error| format!("{INDEX}: {error}"))?;
    if index.format != FORMAT {
        return Err(format!("{INDEX} has format {}, this program reads {FORMAT}", index.format));
    }
    Ok(index)
}

fn read_file(
    dir: &Path,
    entry: &FileEntry,
    layout: &Layout,
    buffer: &mut Buffer<f32>,
) -> Result<(), String> {
    let name = &entry.name;
    let path = dir.join(name);
    let found = std::fs::metadata(&path).map_err(|error| format!("{name}: {error}"))?.len();
    if found != entry.bytes {
        return Err(format!("{name} has {found} bytes instead of {}", entry.bytes));
    }
    let bytes = std::fs::read(&path).map_err(|error| format!("{name}: {error}"))?;
    if Digest(*blake3::hash(&bytes).as_bytes()) != entry.blake3 {
        return Err(format!("{name} does not match its hash"));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format!("{name}: {error}"))?;
    let values = buffer.as_host_mut().ok_or("checkpoints are read into the host's memory")?;
    for tensor in layout.tensors() {
        let view = file.tensor(&tensor.name).map_err(|error| format!("{name}: {error}"))?;
        let into: &mut [u8] = bytemuck::cast_slice_mut(&mut values[tensor.range()]);
        if view.data().len() != into.len() {
            return Err(format!("{name}: {} has another length", tensor.name));
        }
        into.copy_from_slice(view.data());
    }
    Ok(())
}
