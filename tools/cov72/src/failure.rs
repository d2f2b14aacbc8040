//! How a command fails: one sentence for people, one exit code for programs.

use std::path::Path;
use std::{fmt, io};

use bucket::BucketError;
use chain::ChainError;
use chain::wallet::WalletFault;
use model::hugging_face::InteropError;
use model::sparseloco::SparseLocoError;
use model::{ModelError, TokenizerError};
use runtime::RuntimeError;
use runtime::dataset::DatasetError;
use runtime::dataset::rows::RowsError;
use wire::{DocumentError, Window};

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

    /// Exit code 1: this program or this machine failed.
    pub(crate) fn ours(message: impl fmt::Display) -> Self {
        Self { exit: 1, message: message.to_string() }
    }

    /// Exit code 4: the chain or a bucket refused.
    pub(crate) fn refused(message: impl fmt::Display) -> Self {
        Self { exit: 4, message: message.to_string() }
    }

    /// Exit code 130: stopped from the keyboard.
    pub(crate) fn interrupted(message: impl fmt::Display) -> Self {
        Self { exit: 130, message: message.to_string() }
    }

    /// Whether somebody stopped the command.
    pub(crate) fn is_interrupt(&self) -> bool {
        self.exit == 130
    }

    /// The same failure, naming the window it happened in.
    pub(crate) fn within(self, window: Window) -> Self {
        Self { message: format!("window {}: {}", window.0 + 1, self.message), ..self }
    }

    /// A file or folder of ours that could not be used.
    pub(crate) fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull => "; free some space, then go on with --resume",
            io::ErrorKind::PermissionDenied => "; choose another --dir or mend its permissions",
            _ => "",
        };
        Self::ours(format!("cannot {action} {}: {error}{remedy}", path.display()))
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
            | DatasetError::NoMask { .. }
            | DatasetError::NoDocuments { .. }
            | DatasetError::TokenBeyondVocabulary { .. } => Self::precondition(error),
            DatasetError::Header { .. }
            | DatasetError::Length { .. }
            | DatasetError::NotWholeSamples { .. }
            | DatasetError::TooShort { .. }
            | DatasetError::IdMismatch { .. }
            | DatasetError::Starts { .. }
            | DatasetError::Changed { .. }
            | DatasetError::Description { .. }
            | DatasetError::Disagrees { .. } => Self::damaged(error),
        }
    }
}

impl From<RowsError> for Failure {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Format { .. } | RowsError::NoColumn { .. } => Self::usage(error),
            _ => Self::precondition(error),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Indivisible { .. }
            | ModelError::Unaligned { .. }
            | ModelError::MasksOnGpu
            | ModelError::Layout(_) => Self::usage(error),
            ModelError::Runtime(RuntimeError::Gpu(ref gpu)) if gpu.is_precondition() => {
                Self::precondition(error)
            }
            ModelError::Samples { .. }
            | ModelError::Probe { .. }
            | ModelError::OtherModel { .. } => Self::damaged(error),
            ModelError::Runtime(_)
            | ModelError::SparseLoco(_)
            | ModelError::NotFinite { .. }
            | ModelError::Io { .. } => Self::ours(error),
        }
    }
}

impl From<SparseLocoError> for Failure {
    fn from(error: SparseLocoError) -> Self {
        Self::ours(error)
    }
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        Self::usage(error)
    }
}

impl From<BucketError> for Failure {
    fn from(error: BucketError) -> Self {
        match error {
            BucketError::DiskFull { .. } | BucketError::Keep { .. } => Self::ours(error),
            BucketError::Scheme { .. }
            | BucketError::Place { .. }
            | BucketError::FaultPlan { .. } => Self::usage(error),
            BucketError::NoKey { .. }
            | BucketError::Key { .. }
            | BucketError::KeyFile { .. }
            | BucketError::NoFolder { .. } => Self::precondition(error),
            _ => Self::refused(error),
        }
    }
}

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Damaged { .. } | ChainError::NotAChain { .. } => Self::damaged(error),
            ChainError::Wallet { fault: WalletFault::OtherKey, .. } => Self::damaged(error),
            ChainError::Wallet { .. } => Self::precondition(error),
            ChainError::SeatForSale { .. }
            | ChainError::SeatLost { .. }
            | ChainError::BalanceTooLow { .. } => Self::precondition(error),
            ChainError::OtherChain { .. } => Self::usage(error),
            ChainError::DiskFull { .. } => Self::ours(error),
            _ => Self::refused(error),
        }
    }
}

impl From<InteropError> for Failure {
    fn from(error: InteropError) -> Self {
        match error {
            InteropError::Io { .. } => Self::ours(error),
            InteropError::Occupied { .. }
            | InteropError::NoModel { .. }
            | InteropError::Theirs { .. }
            | InteropError::Memory { .. } => Self::precondition(error),
            InteropError::Damaged { .. } | InteropError::Run { .. } => Self::damaged(error),
            InteropError::Unsupported { .. }
            | InteropError::NoKey { .. }
            | InteropError::NoTensor { .. }
            | InteropError::OtherTensor { .. }
            | InteropError::Foreign { .. }
            | InteropError::Vocabulary { .. } => Self::usage(error),
            InteropError::Tokenizer(error) => error.into(),
            InteropError::Model(error) => error.into(),
        }
    }
}

impl From<TokenizerError> for Failure {
    fn from(error: TokenizerError) -> Self {
        Self::precondition(error)
    }
}
