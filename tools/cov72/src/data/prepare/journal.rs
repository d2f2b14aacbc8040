//! How far a `prepare` got: a file of JSON lines beside the shards, so that a killed one goes on.
//!
//! The first line says what the job is; each later one, flushed to disk before the next shard
//! begins, says that a shard is closed and where its last token came from. A line that was cut off
//! never happened: its shard is made again.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use runtime::dataset::{InputDescription, ShardDescription};
use serde::{Deserialize, Serialize};

use super::super::documents::{Counts, Cursor};
use super::super::inputs::Utf8;
use crate::failure::Failure;

/// All that the bytes of the shards hang on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    /// Of this file, and of how documents become tokens.
    pub(super) version: u32,
    pub(super) inputs: Vec<InputDescription>,
    pub(super) column: String,
    pub(super) utf8: Utf8,
    /// `byte`, or BLAKE3 of the `tokenizer.json`.
    pub(super) tokenizer: String,
    pub(super) eos: u32,
    pub(super) shard_tokens: u64,
    pub(super) documents: bool,
}

/// A shard that is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Closed {
    pub(super) shard: ShardDescription,
    /// Behind its last token.
    pub(super) cursor: Cursor,
    /// Of the pieces before that one.
    pub(super) counts: Counts,
    /// Recorded documents that begin in this shard and those before.
    pub(super) documents: u64,
}

/// The journal of one folder.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    fn path(dir: &Path) -> PathBuf {
        dir.join("prepare.journal")
    }

    /// What the folder `dir` says is closed; `None` where no job was begun.
    ///
    /// # Errors
    /// It was another job.
    pub(super) fn read(dir: &Path, job: &Job) -> Result<Option<Vec<Closed>>, Failure> {
        let path = Self::path(dir);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Failure::io("read", &path, &e)),
        };
        // What follows the last line break was cut off.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut lines = whole.lines();
        let damaged = |line: usize, why: String| {
            Failure::damaged(format!(
                "{}:{line}: {why}; remove {} and prepare it anew",
                path.display(),
                dir.display()
            ))
        };
        let first = lines.next().unwrap_or_default();
        let before: serde_json::Value =
            serde_json::from_str(first).map_err(|e| damaged(1, e.to_string()))?;
        let now = serde_json::to_value(job).expect("a job is JSON");
        if let Some(key) = difference(&before, &now) {
            return Err(Failure::precondition(format!(
                "{} holds part of another job, whose {key} differs: repeat that command to end it, \
                 or name another --out",
                dir.display()
            )));
        }
        let closed = lines.enumerate().map(|(at, line)| {
            serde_json::from_str(line).map_err(|e| damaged(at + 2, e.to_string()))
        });
        closed.collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// Begins or goes on: what `closed` holds stays, and nothing else.
    pub(super) fn open(dir: &Path, job: &Job, closed: &[Closed]) -> Result<Self, Failure> {
        let path = Self::path(dir);
        let partial = path.with_extension("journal.partial");
        let write = || {
            let mut file = File::create(&partial)?;
            writeln!(file, "{}", serde_json::to_string(job)?)?;
            for closed in closed {
                writeln!(file, "{}", serde_json::to_string(closed)?)?;
            }
            file.sync_all()?;
            std::fs::rename(&partial, &path)?;
            File::open(dir)?.sync_all()?;
            OpenOptions::new().append(true).open(&path)
        };
        let file = write().map_err(|e| Failure::io("write", &path, &e))?;
        Ok(Self { path, file })
    }

    /// Notes that a shard is closed, on the disk itself.
    pub(super) fn note(&mut self, closed: &Closed) -> Result<(), Failure> {
        let mut line = serde_json::to_string(closed).expect("a closed shard is JSON");
        line.push('\n');
        let noted = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        noted.map_err(|e| Failure::io("write", &self.path, &e))
    }

    /// Removes the journal of `dir`, if there is one.
    pub(super) fn remove(dir: &Path) -> Result<(), Failure> {
        let path = Self::path(dir);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::io("remove", &path, &e))
            }
            _ => Ok(()),
        }
    }
}

/// The first key whose value differs.
fn difference(before: &serde_json::Value, now: &serde_json::Value) -> Option<String> {
    let (Some(before), Some(now)) = (before.as_object(), now.as_object()) else {
        return Some("journal".to_string());
    };
    let keys = now.keys().chain(before.keys());
    keys.into_iter().find(|key| before.get(*key) != now.get(*key)).cloned()
}
