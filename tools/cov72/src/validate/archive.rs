//! What a validator keeps of its judgements: each one as it was signed, and the book that follows
//! from them, so that it need not read them all at every start.
//!
//! A judgement is kept before the book that includes it. Whoever is killed between the two finds
//! the judgement at the next start and takes it in again, with the same result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use wire::Window;

use crate::failure::Failure;
use crate::train::replace_file;

/// Where judgements are kept; all texts as they are written.
pub(crate) trait Archive {
    /// The book that was kept last.
    fn book(&self) -> Result<Option<Vec<u8>>, Failure>;

    /// Keeps a book in place of the last.
    fn keep_book(&self, text: &[u8]) -> Result<(), Failure>;

    /// The judgements on window `from` and later, the oldest first.
    fn judgements(&self, from: Window) -> Result<Vec<Vec<u8>>, Failure>;

    /// Keeps a judgement.
    fn keep_judgement(&self, window: Window, text: &[u8]) -> Result<(), Failure>;
}

const BOOK: &str = "book.json";

/// The folder `judgements` of a run folder: one file for each window, and the book.
pub(crate) struct FolderArchive {
    dir: PathBuf,
}

impl FolderArchive {
    /// That of the run folder `run`; it is made when something is kept.
    pub(crate) fn of(run: &Path) -> Self {
        Self { dir: run.join("judgements") }
    }

    /// The judgement on `window`, if it is there.
    pub(crate) fn judgement(&self, window: Window) -> Result<Option<Vec<u8>>, Failure> {
        self.read(&name(window))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.dir.join(name);
        match std::fs::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::io("read", &path, &error)),
        }
    }

    fn keep(&self, name: &str, text: &[u8]) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.dir)
            .map_err(|error| Failure::io("make", &self.dir, &error))?;
        replace_file(&self.dir, name, text)
    }
}

fn name(window: Window) -> String {
    format!("{:012}.json", window.0)
}

impl Archive for FolderArchive {
    fn book(&self) -> Result<Option<Vec<u8>>, Failure> {
        self.read(BOOK)
    }

    fn keep_book(&self, text: &[u8]) -> Result<(), Failure> {
        self.keep(BOOK, text)
    }

    fn judgements(&self, from: Window) -> Result<Vec<Vec<u8>>, Failure> {
        if !self.dir.exists() {
            return Ok(Vec::new());
        }
        let entries =
            std::fs::read_dir(&self.dir).map_err(|error| Failure::io("read", &self.dir, &error))?;
        let window = |name: String| name.strip_suffix(".json")?.parse().ok().map(Window);
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut windows: Vec<_> =
            names.filter_map(window).filter(|window| *window >= from).collect();
        windows.sort_unstable();
        windows.into_iter().filter_map(|window| self.read(&name(window)).transpose()).collect()
    }

    fn keep_judgement(&self, window: Window, text: &[u8]) -> Result<(), Failure> {
        self.keep(&name(window), text)
    }
}

/// An archive in memory, which outlives the validators of a simulation. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct MemoryArchive {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    book: Option<Vec<u8>>,
    judgements: BTreeMap<Window, Vec<u8>>,
}

impl MemoryArchive {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Archive for MemoryArchive {
    fn book(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.kept().book.clone())
    }

    fn keep_book(&self, text: &[u8]) -> Result<(), Failure> {
        self.kept().book = Some(text.to_vec());
        Ok(())
    }

    fn judgements(&self, from: Window) -> Result<Vec<Vec<u8>>, Failure> {
        Ok(self.kept().judgements.range(from..).map(|(_, text)| text.clone()).collect())
    }

    fn keep_judgement(&self, window: Window, text: &[u8]) -> Result<(), Failure> {
        self.kept().judgements.insert(window, text.to_vec());
        Ok(())
    }
}
