//! What survives a kill: parameters, residual, both moments and the place in the run, bit for bit.
//!
//! A checkpoint is a folder `window-00000012` of four safetensors files and an index with their
//! hashes. It is written under a temporary name by a thread of its own while the next window
//! trains, synced, and renamed, so that a folder with that name is whole. The last two are kept;
//! one that does not match its hashes is passed over for the one before.

mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, mpsc};
use std::thread::JoinHandle;

use runtime::Buffer;
use serde::{Deserialize, Serialize};
use wire::{Digest, Layout, RunId, StateRoot};

use crate::ModelError;
use crate::rank::Moments;

/// Changing this breaks every checkpoint on disk.
const FORMAT: u32 = 1;
const INDEX: &str = "index.json";
const PREFIX: &str = "window-";
const KEEP: usize = 2;

/// Where a run stands after a whole number of windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The run this is a state of.
    pub run_id: RunId,
    /// Windows done, hence the number of the next one.
    pub windows: u64,
    /// Inner steps taken, hence the place in the schedule and AdamW's step number.
    pub inner_steps: u64,
    /// Samples trained on.
    pub samples: u64,
    /// Root of the shared parameters.
    pub state_root: StateRoot,
}

/// Everything that a checkpoint holds. The vectors are read under their locks.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Shared parameters.
    pub shared: Arc<RwLock<Buffer<f32>>>,
    /// Residual of the compression.
    pub residual: Arc<RwLock<Buffer<f32>>>,
    /// AdamW's moments.
    pub moments: Arc<RwLock<Moments>>,
    /// Place in the run.
    pub progress: Progress,
}

/// A checkpoint that was found whole.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Its folder.
    pub path: PathBuf,
    /// Place in the run.
    pub progress: Progress,
}

/// The shared parameters of one checkpoint, for whoever needs nothing else of it.
#[derive(Clone, Debug)]
pub struct SavedParams {
    /// A safetensors file that matches its hash.
    pub file: PathBuf,
    /// Place in the run.
    pub progress: Progress,
}

impl SavedParams {
    /// Those of the checkpoint folder `path`.
    ///
    /// # Errors
    /// Something of it is missing, damaged, or of another model than `layout` is of.
    pub fn of(path: &Path, layout: &Layout) -> Result<Self, String> {
        let (file, progress) = read::params(path, layout)?;
        Ok(Self { file, progress })
    }

    /// The newest under `checkpoints`, as long as it is whole: nothing older is taken in its place.
    ///
    /// # Errors
    /// There is none, or as [`SavedParams::of`].
    pub fn newest(checkpoints: &Path, layout: &Layout) -> Result<Self, String> {
        let folders = write::folders(checkpoints).map_err(|error| error.to_string())?;
        let none = || format!("{} holds no checkpoint", checkpoints.display());
        Self::of(folders.last().ok_or_else(none)?, layout)
    }
}

/// A checkpoint that cannot be used, and why.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    format: u32,
    layout: Digest,
    progress: Progress,
    files: Vec<FileEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    name: String,
    bytes: u64,
    blake3: Digest,
}

/// The checkpoints of one run folder.
pub struct CheckpointStore {
    dir: PathBuf,
    layout: Layout,
    writer: Option<JoinHandle<Result<PathBuf, ModelError>>>,
    newest: Option<PathBuf>,
}

impl CheckpointStore {
    /// The checkpoints under `dir`, which is made if it is not there; what a killed writer left
    /// unfinished is removed.
    ///
    /// # Errors
    /// The folder cannot be made, listed or cleaned.
    pub fn open(dir: &Path, layout: Layout) -> Result<Self, ModelError> {
        std::fs::create_dir_all(dir).map_err(write::io("make", dir))?;
        for entry in std::fs::read_dir(dir).map_err(write::io("list", dir))? {
            let path = entry.map_err(write::io("list", dir))?.path();
            if write::is_temporary(&path) {
                std::fs::remove_dir_all(&path).map_err(write::io("remove", &path))?;
            }
        }
        Ok(Self { dir: dir.to_path_buf(), layout, writer: None, newest: None })
    }

    /// Starts writing `snapshot` and returns as soon as the writer holds it: whoever wants to
    /// change one of the vectors then waits until that vector is on disk. Waits for the previous
    /// write.
    ///
    /// # Errors
    /// The previous write failed.
    pub fn save(&mut self, snapshot: Snapshot) -> Result<(), ModelError> {
        self.finish()?;
        let (dir, layout) = (self.dir.clone(), self.layout.clone());
        let (held, holds) = mpsc::channel();
        self.writer =
            Some(std::thread::spawn(move || write::write(&dir, &layout, &snapshot, &held)));
        // An error here means that the writer failed before it held anything; `finish` tells why.
        let _ = holds.recv();
        Ok(())
    }

    /// Waits for the write under way; the newest whole checkpoint that this process wrote.
    ///
    /// # Errors
    /// The write failed; older checkpoints are untouched.
    pub fn finish(&mut self) -> Result<Option<&Path>, ModelError> {
        if let Some(writer) = self.writer.take() {
            let path = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            write::prune(&self.dir, &path, KEEP)?;
            self.newest = Some(path);
        }
        Ok(self.newest.as_deref())
    }

    /// The newest checkpoint that is whole, read into the vectors of `into`, whose progress is set
    /// too; and the newer ones that had to be passed over. Where none is whole, the vectors hold
    /// anything.
    ///
    /// # Errors
    /// The folder cannot be listed, or a whole checkpoint is of another model.
    pub fn load(&self, into: &mut Snapshot) -> Result<(Option<Saved>, Vec<Damaged>), ModelError> {
        let mut damaged = Vec::new();
        for path in write::folders(&self.dir)?.into_iter().rev() {
            match read::read(&path, &self.layout, into) {
                Ok(progress) => return Ok((Some(Saved { path, progress }), damaged)),
                Err(read::Unusable::Damaged(reason)) => damaged.push(Damaged { path, reason }),
                Err(read::Unusable::OtherModel { found }) => {
                    let expected = self.layout.params();
                    return Err(ModelError::OtherModel { path, found, expected });
                }
            }
        }
        Ok((None, damaged))
    }
}

impl Drop for CheckpointStore {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            // Reached on an error's way out, which says more than a second failure would.
            let _ = writer.join();
        }
    }
}
