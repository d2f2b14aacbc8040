//! Why a model cannot be read or written in a form that others share.

use std::path::{Path, PathBuf};

/// Why a model cannot be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum InteropError {
    /// A file or folder could not be written or read.
    #[error("cannot {action} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The folder to be written is there already.
    #[error("{} is there already; remove it, or use another --out", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A file that cannot be what it should be.
    #[error("{}: {reason}; fetch or make it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A model of another kind, or with something that a LLaMA does not have.
    #[error("{}: {key} is {found}, only {expected} can be imported", path.display())]
    Unsupported {
        /// The configuration.
        path: PathBuf,
        /// Its key.
        key: &'static str,
        /// What it says.
        found: String,
        /// What can be read.
        expected: String,
    },
    /// The configuration lacks a key.
    #[error("{} has no key {key}, which a LLaMA's needs", path.display())]
    NoKey {
        /// The configuration.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// A tensor that the configuration calls for is nowhere.
    #[error("{} holds no tensor {tensor}; fetch the files that are missing", path.display())]
    NoTensor {
        /// The folder or file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor of another form than the configuration calls for.
    #[error("{}: tensor {tensor} is {found}, expected is {expected}", path.display())]
    OtherTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type and extents.
        found: String,
        /// What was called for.
        expected: String,
    },
    /// A tensor that no LLaMA has.
    #[error("{} holds tensor {tensor}, which is no part of a LLaMA", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// More tokens in the tokenizer than in the model.
    #[error(
        "{} has tokens up to {}, the model {model} of them; use the tokenizer that it was trained \
         with", path.display(), tokens - 1
    )]
    Vocabulary {
        /// The tokenizer.
        path: PathBuf,
        /// One more than its largest token.
        tokens: u32,
        /// Rows of the embedding.
        model: usize,
    },
    /// Nothing that could be a model.
    #[error(
        "{} is no run, no checkpoint of one, and no imported model; give the --dir of a run, or a \
         Hugging Face folder", path.display()
    )]
    NoModel {
        /// The folder.
        path: PathBuf,
    },
    /// A Hugging Face folder where a model of our own form is needed.
    #[error("{path} is a model of others; make it ours by: cov72 import {path} --out models/it",
        path = path.display())]
    Theirs {
        /// The folder.
        path: PathBuf,
    },
    /// A run or a checkpoint that cannot be used.
    #[error("{}: {reason}; choose another checkpoint", path.display())]
    Run {
        /// The run's description, or the folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// More parameters than memory.
    #[error(
        "the parameters of {} need {:.1} GB as f32, this machine has {:.1} GB free; use a smaller \
         model, or a machine with more memory",
        path.display(), *needs as f64 / 1e9, *has as f64 / 1e9
    )]
    Memory {
        /// The model.
        path: PathBuf,
        /// Bytes of its parameters.
        needs: usize,
        /// Bytes that could be had.
        has: usize,
    },
    /// The tokenizer cannot be read.
    #[error(transparent)]
    Tokenizer(#[from] crate::TokenizerError),
    /// The model cannot be laid out.
    #[error(transparent)]
    Model(#[from] crate::ModelError),
}

fn remedy(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::StorageFull => "; free some space and run the command again",
        std::io::ErrorKind::NotFound => "; look for a typing error in the path",
        _ => "",
    }
}

/// Makes an [`InteropError::Io`] of what the system says.
pub(super) fn io<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(std::io::Error) -> InteropError + use<'a> {
    move |source| InteropError::Io { action, path: path.to_path_buf(), source }
}
