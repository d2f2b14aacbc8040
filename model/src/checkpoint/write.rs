//! Writing a checkpoint: temporary folder, hashes, sync, rename, prune.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, mpsc};

use runtime::Buffer;
use safetensors::tensor::{Dtype, TensorView};
use wire::{Digest, Layout};

use super::{FORMAT, FileEntry, INDEX, Index, PREFIX, Snapshot};
use crate::ModelError;

/// Makes an [`ModelError::Io`] out of what the system says.
pub(super) fn io<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> ModelError + use<'a> {
    move |source| ModelError::Io { action, path: path.to_path_buf(), source }
}

/// Writes one checkpoint; sends on `held` once every vector is locked. The moments go first and are
/// let go first, for the next window's first update waits for them.
pub(super) fn write(
    dir: &Path,
    layout: &Layout,
    snapshot: &Snapshot,
    held: &mpsc::Sender<()>,
) -> Result<PathBuf, ModelError> {
    let moments = lock(&snapshot.moments);
    let shared = lock(&snapshot.shared);
    let residual = lock(&snapshot.residual);
    let _ = held.send(());

    let name = format!("{PREFIX}{:08}", snapshot.progress.windows);
    let (path, temporary) = (dir.join(&name), dir.join(format!(".{name}")));
    if temporary.exists() {
        std::fs::remove_dir_all(&temporary).map_err(io("remove", &temporary))?;
    }
    std::fs::create_dir(&temporary).map_err(io("make", &temporary))?;
    let file = |name: &str, buffer: &Buffer<f32>| write_file(&temporary, name, layout, buffer);
    let mut files = vec![file("first_moment", &moments.first)?];
    files.push(file("second_moment", &moments.second)?);
    drop(moments);
    files.push(file("params", &shared)?);
    drop(shared);
    files.push(file("residual", &residual)?);
    drop(residual);

    let index =
        Index { format: FORMAT, layout: layout.hash(), progress: snapshot.progress.clone(), files };
    write_index(&temporary.join(INDEX), &index)?;
    sync(&temporary)?;
    if path.exists() {
        // The same window, written by a run that was killed after this point and came back.
        std::fs::remove_dir_all(&path).map_err(io("replace", &path))?;
    }
    std::fs::rename(&temporary, &path).map_err(io("rename", &temporary))?;
    sync(dir)?;
    Ok(path)
}

fn lock<T>(vector: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    vector.read().unwrap_or_else(PoisonError::into_inner)
}

fn write_file(
    dir: &Path,
    name: &str,
    layout: &Layout,
    buffer: &Buffer<f32>,
) -> Result<FileEntry, ModelError> {
    let name = format!("{name}.safetensors");
    let path = dir.join(&name);
    let values = buffer.as_host().expect("snapshots are in the host's memory");
    let views = layout.tensors().iter().map(|tensor| {
        let bytes = bytemuck::cast_slice(&values[tensor.range()]);
        let view = TensorView::new(Dtype::F32, tensor.shape.extents(), bytes)
            .expect("as long as its shape");
        (tensor.name.as_str(), view)
    });
    safetensors::serialize_to_file(views, None, &path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => io("write", &path)(source),
        other => io("write", &path)(io::Error::other(other)),
    })?;
    sync(&path)?;
    let mut file = File::open(&path).map_err(io("read", &path))?;
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(&mut file, &mut hasher).map_err(io("read", &path))?;
    Ok(FileEntry { name, bytes, blake3: Digest(*hasher.finalize().as_bytes()) })
}

/// The index as one line of JSON, and the hash of that line as the second.
fn write_index(path: &Path, index: &Index) -> Result<(), ModelError> {
    let line = serde_json::to_string(index).expect("an index is plain data");
    let text = format!("{line}\n{}\n", blake3::hash(line.as_bytes()));
    std::fs::write(path, text).map_err(io("write", path))?;
    sync(path)
}

fn sync(path: &Path) -> Result<(), ModelError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io("sync", path))
}

/// The checkpoint folders under `dir`, oldest first.
pub(super) fn folders(dir: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io("list", dir))? {
        let path = entry.map_err(io("list", dir))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)) {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Whether `path` is what a writer was killed over.
pub(super) fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix('.').is_some_and(|name| name.starts_with(PREFIX))
}

/// Removes all but the newest `keep` checkpoints up to `newest`. Those of later windows were passed
/// over as damaged before this run of the program wrote anything: they count for nothing.
pub(super) fn prune(dir: &Path, newest: &Path, keep: usize) -> Result<(), ModelError> {
    let mut folders = folders(dir)?;
    folders.retain(|folder| folder.as_path() <= newest);
    for old in &folders[..folders.len().saturating_sub(keep)] {
        std::fs::remove_dir_all(old).map_err(io("remove", old))?;
    }
    Ok(())
}
