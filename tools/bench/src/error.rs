//! Why a measurement could not be taken, with the caller's next move.

use std::path::PathBuf;

use bucket::{BucketError, FetchFault};
use model::ModelError;
use model::sparseloco::SparseLocoError;
use runtime::RuntimeError;
use runtime::dataset::DatasetError;

/// Why the bench stopped.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}; check the path and its permissions")]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of peer timings is neither of the two formats.
    #[error("{path}:{line}: {reason}; see the section on peers in tools/bench/README.md")]
    PeerFile {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The peer's process failed or printed no timing.
    #[error("the peer `{command}` failed: {reason}; run it by hand to see why")]
    PeerProcess {
        /// What was run.
        command: String,
        /// How it failed.
        reason: String,
    },
    /// A filter that matches nothing.
    #[error("no row is called {0}; --help lists them")]
    UnknownRow(String),
    /// A device that is none.
    #[error("there is no device {0:?}; use cpu, cuda, cuda:1 and so on, or emulated")]
    UnknownDevice(String),
    /// Something on the GPU is not as it must be.
    #[error("{text}\n{count} checks or rows of the GPU failed; their logs are beside gpu.json")]
    Checks {
        /// How many.
        count: usize,
        /// The table.
        text: String,
    },
    /// Text too short to train on.
    #[error("{path} has {bytes} bytes, fewer than {needed}; take a longer text or a smaller --seq")]
    ShortText {
        /// Which file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// What one sequence for validation takes.
        needed: usize,
    },
    /// A study that has nothing to do.
    #[error("{0} is 0; it has to be at least 1")]
    Zero(&'static str),
    /// A contribution of our own did not survive its own parser.
    #[error(
        "a contribution written here was rejected on reading: {0}; report it, with the command"
    )]
    Rejected(String),
    /// The loopback server does not do what a bucket asks of it.
    #[error("the bench's own object server failed: {0}; report it, with the command")]
    Server(String),
    /// Training failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Compression or the outer step failed.
    #[error(transparent)]
    SparseLoco(#[from] SparseLocoError),
    /// The device could not be had.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The data set for the loader failed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The loader that reads ahead failed.
    #[error("{0}")]
    Loader(std::sync::Arc<DatasetError>),
    /// A tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] model::TokenizerError),
}

impl From<BucketError> for BenchError {
    fn from(error: BucketError) -> Self {
        Self::Server(error.to_string())
    }
}

impl From<FetchFault> for BenchError {
    fn from(fault: FetchFault) -> Self {
        Self::Server(fault.to_string())
    }
}

impl From<reqwest::Error> for BenchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Server(error.to_string())
    }
}

impl BenchError {
    /// A temporary file or folder that could not be used.
    pub(crate) fn temporary(action: &'static str, source: std::io::Error) -> Self {
        Self::File { action, path: std::env::temp_dir(), source }
    }

    /// Exit code of the process: 1 this program or machine, 2 the command line, 3 something that
    /// has to be there first.
    pub fn exit(&self) -> u8 {
        match self {
            BenchError::UnknownRow(_)
            | BenchError::UnknownDevice(_)
            | BenchError::Zero(_)
            | BenchError::PeerFile { .. } => 2,
            BenchError::Runtime(RuntimeError::Gpu(gpu)) if gpu.is_precondition() => 3,
            BenchError::File { .. }
            | BenchError::PeerProcess { .. }
            | BenchError::ShortText { .. } => 3,
            _ => 1,
        }
    }
}
