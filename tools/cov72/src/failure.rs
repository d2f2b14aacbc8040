//! How a command fails: one sentence for people, one exit code for programs.

use std::fmt;

use model::TokenizerError;
use runtime::dataset::DatasetError;

/// A sentence and the exit code that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code of the process.
    pub(crate) exit: u8,
    /// One sentence: what failed, and what to do.
    pub(crate) message: String,
}

impl Failure {
    /// Exit code 2: the command line or a configuration is wrong.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { exit: 2, message: message.to_string() }
    }

    /// Exit code 3: something that has to be there first is not.
    pub(crate) fn precondition(message: impl fmt::Display) -> Self {
        Self { exit: 3, message: message.to_string() }
    }

    /// Exit code 5: files on this machine are damaged.
    pub(crate) fn damaged(message: impl fmt::Display) -> Self {
        Self { exit: 5, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<DatasetError> for Failure {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::SampleBeyond { .. }
            | DatasetError::TooFewSamples { .. }
            | DatasetError::SequenceLength { .. } => Self::usage(error),
            DatasetError::Missing { .. }
            | DatasetError::NoShards { .. }
            | DatasetError::Io { .. }
            | DatasetError::Occupied { .. }
            | DatasetError::NothingToWrite { .. }
            | DatasetError::TokenBeyondVocabulary { .. } => Self::precondition(error),
            DatasetError::Header { .. }
            | DatasetError::Length { .. }
            | DatasetError::NotWholeSamples { .. }
            | DatasetError::TooShort { .. }
            | DatasetError::IdMismatch { .. }
            | DatasetError::Description { .. }
            | DatasetError::Disagrees { .. } => Self::damaged(error),
        }
    }
}

impl From<TokenizerError> for Failure {
    fn from(error: TokenizerError) -> Self {
        Self::precondition(error)
    }
}
