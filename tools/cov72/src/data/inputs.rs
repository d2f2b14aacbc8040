//! The files that documents come from: which they are, how each is read, and what it held.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use runtime::dataset::InputDescription;
use runtime::dataset::rows::{Format, NotUtf8};

use crate::failure::Failure;

/// Where documents come from.
#[derive(Debug, Args)]
#[group(id = "input", required = true, multiple = true)]
pub(super) struct InputArgs {
    /// Text files, each one document
    #[arg(long, num_args = 1.., value_name = "FILE", group = "input")]
    text: Vec<PathBuf>,
    /// Files of JSON objects, each one document: .jsonl or .json, also .gz or .zst
    #[arg(long, num_args = 1.., value_name = "FILE", group = "input")]
    jsonl: Vec<PathBuf>,
    /// Parquet files, each row one document
    #[arg(long, num_args = 1.., value_name = "FILE", group = "input")]
    parquet: Vec<PathBuf>,
    /// Files of any of these kinds, told by their names; read behind those of the options
    #[arg(value_name = "FILE", group = "input")]
    files: Vec<PathBuf>,
}

/// How to read them.
#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    /// Column, or key, that holds a document's text
    #[arg(long, default_value = "text", value_name = "NAME")]
    pub(super) column: String,
    /// What to do with bytes that are no UTF-8: stop, put U+FFFD, or leave out the row (of a text
    /// file, the bytes). The byte tokenizer takes text files as they are
    #[arg(long, default_value = "refuse", value_name = "HOW")]
    pub(super) utf8: Utf8,
}

/// What to do with bytes that are no UTF-8.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(super) enum Utf8 {
    Refuse,
    Replace,
    Skip,
}

impl From<Utf8> for NotUtf8 {
    fn from(utf8: Utf8) -> Self {
        match utf8 {
            Utf8::Refuse => Self::Refuse,
            Utf8::Replace => Self::Replace,
            Utf8::Skip => Self::Skip,
        }
    }
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Whether it has rows; a text file otherwise.
    pub(super) has_rows: bool,
}

impl InputArgs {
    /// The files, in the order they are read.
    pub(super) fn inputs(&self) -> Result<Vec<Input>, Failure> {
        let texts = self.text.iter().map(|path| Ok((path, false)));
        let rows = self.jsonl.iter().chain(&self.parquet).map(|path| Ok((path, true)));
        let told = self.files.iter().map(|path| Ok((path, has_rows(path)?)));
        let input = |found: Result<(&PathBuf, bool), Failure>| {
            let (path, has_rows) = found?;
            Ok(Input { path: path.clone(), bytes: bytes_of(path)?, has_rows })
        };
        texts.chain(rows).chain(told).map(input).collect()
    }
}

/// Whether the file at `path` has rows or is a text, by its name.
fn has_rows(path: &Path) -> Result<bool, Failure> {
    if Format::of(path).is_some() {
        return Ok(true);
    }
    match path.extension().and_then(|end| end.to_str()) {
        None | Some("txt" | "text" | "md") => Ok(false),
        Some(_) => Err(Failure::usage(format!(
            "{} does not say by its name what it holds: name it behind --text, --jsonl or \
             --parquet",
            path.display()
        ))),
    }
}

/// Bytes of the file at `path`, which has to be one.
pub(super) fn bytes_of(path: &Path) -> Result<u64, Failure> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        Ok(_) => Err(unreadable(path, "it is no file")),
        Err(e) => Err(unreadable(path, e)),
    }
}

pub(super) fn unreadable(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::precondition(format!(
        "cannot read {}: {why}; look for a typing error in the path",
        path.display()
    ))
}

/// A bar when stderr is a terminal, nothing otherwise.
pub(super) fn byte_bar(total_bytes: u64, passed_bytes: u64) -> ProgressBar {
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    let bar = ProgressBar::new(total_bytes).with_style(style).with_position(passed_bytes);
    bar.reset_eta();
    bar
}

/// Bytes of all files.
pub(super) fn total_bytes(inputs: &[Input]) -> u64 {
    inputs.iter().map(|input| input.bytes).sum()
}

/// Hashes of the files, by `threads` threads. The same bytes twice are refused: what a model sees
/// twice weighs twice.
pub(super) fn described(
    inputs: &[Input],
    threads: usize,
) -> Result<Vec<InputDescription>, Failure> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(vec![None; inputs.len()]);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(inputs.len()) {
            scope.spawn(|| {
                while let Some((at, input)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    inputs.get(at).map(|input| (at, input))
                } {
                    let hash = hash_file(&input.path);
                    found.lock().expect("no hasher panics")[at] = Some(hash);
                }
            });
        }
    });
    let hashes = found.into_inner().expect("no hasher panics").into_iter().flatten();
    let mut seen = HashMap::new();
    let mut described = Vec::with_capacity(inputs.len());
    for (input, hash) in inputs.iter().zip(hashes) {
        let blake3 = hash.map_err(|why| unreadable(&input.path, why))?;
        if let Some(first) = seen.insert(blake3.clone(), &input.path) {
            return Err(Failure::usage(format!(
                "{} and {} hold the same bytes, which would be trained on twice: name one of them",
                first.display(),
                input.path.display()
            )));
        }
        let path = input.path.display().to_string();
        described.push(InputDescription { path, bytes: input.bytes, blake3 });
    }
    Ok(described)
}

/// BLAKE3 of a file in hexadecimal, or why it cannot be read.
pub(super) fn hash_file(path: &Path) -> Result<String, String> {
    let mut hasher = blake3::Hasher::new();
    let hashed = File::open(path).and_then(|file| hasher.update_reader(file).map(drop));
    hashed.map(|()| hasher.finalize().to_hex().to_string()).map_err(|e| e.to_string())
}
