//! What the lint finds, and why the tool may stop.

use std::fmt;
use std::path::PathBuf;

/// Something wrong in a module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Line in the module, from 1.
    pub line: usize,
    /// The kernel, or the function that should not be there.
    pub kernel: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.line, self.kernel, self.what)
    }
}

/// Why the tool stops. What it finds in the PTX is a [`Finding`] instead.
#[derive(Debug, thiserror::Error)]
pub enum PtxError {
    /// The operating system refused.
    #[error("cannot use {}: {source}", .path.display())]
    Io {
        /// File, folder or program.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Text that is no PTX, or not of a kind that is understood here.
    #[error("line {line}: {what}; if the PTX is right, teach tools/ptx to read it")]
    Syntax {
        /// From 1.
        line: usize,
        /// What stands there.
        what: String,
    },
    /// A program that we started failed; it has said why on stderr or in `said`.
    #[error("{program} failed{}{said}", if .said.is_empty() { "" } else { ":\n" })]
    Failed {
        /// Its name.
        program: String,
        /// What it said.
        said: String,
    },
    /// The compiler is not the one that made the committed PTX.
    #[error(
        "{} is {found:?}, kernels/ptx was made with {expected:?}: install that, or make it anew \
         with `ci/ptx --write` and review the difference", .program.display()
    )]
    OtherVersion {
        /// What was run.
        program: PathBuf,
        /// What it says of itself.
        found: String,
        /// What the table of numbers names.
        expected: String,
    },
    /// A committed table that does not parse.
    #[error("{}: {what}; make it anew with `ci/ptx --write`", .path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        what: String,
    },
}

impl PtxError {
    pub(crate) fn syntax(line: usize, what: String) -> Self {
        Self::Syntax { line, what }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
