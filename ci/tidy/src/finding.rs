//! What a check finds, and why it may not be able to look.

use std::fmt;
use std::path::PathBuf;

/// One breach of a rule. Ordered by place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File, relative to the root, with forward slashes.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Short name of the rule.
    pub rule: &'static str,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.what)
    }
}

/// Why the tree cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum TidyError {
    /// The operating system refused.
    #[error("cannot read {}: {source}; name the root of the workspace", .path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that does not parse; the compiler explains it better.
    #[error("{path}:{line}: {what}; build it first")]
    Syntax {
        /// File, relative to the root.
        path: String,
        /// Line, from 1.
        line: usize,
        /// What the parser said.
        what: String,
    },
}
