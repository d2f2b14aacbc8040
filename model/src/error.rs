//! What can go wrong in a model, each variant naming the next move.

use std::path::PathBuf;

/// An error of the model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A tensor-parallel group that does not fit the model.
    #[error("{name} = {extent} does not divide by --tp {world}; use a --tp that divides it")]
    Indivisible {
        /// Key of the model.
        name: &'static str,
        /// Its value.
        extent: usize,
        /// Ranks asked for.
        world: usize,
    },
    /// A model whose rows a GPU cannot read 16 bytes at a time.
    #[error(
        "{name} = {extent} is no multiple of 8, which every row has to be on a GPU; use another \
         model, or --device cpu"
    )]
    Unaligned {
        /// Key of the model, or what follows from its keys.
        name: &'static str,
        /// Its value.
        extent: usize,
    },
    /// Documents kept apart where attention cannot.
    #[error(
        "documents.masks = true, but attention on a GPU sees whole rows; train with --device cpu, \
         or in a run without masks"
    )]
    MasksOnGpu,
    /// A layout that cannot be.
    #[error(transparent)]
    Layout(#[from] wire::LayoutError),
    /// An error of the runtime.
    #[error(transparent)]
    Runtime(#[from] runtime::RuntimeError),
    /// A window's contribution or outer step cannot be.
    #[error(transparent)]
    SparseLoco(#[from] crate::sparseloco::SparseLocoError),
    /// The loss or the gradient is no longer a number.
    #[error(
        "{what} is {value} at inner step {step} of the window: stopped before the update, the last \
         checkpoint is whole; lower train.schedule.peak or look at this window's samples"
    )]
    NotFinite {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// The value.
        value: f64,
        /// Inner step within the window, from 0.
        step: u32,
    },
    /// Samples could not be had.
    #[error("inner step {step}: {reason}")]
    Samples {
        /// Inner step within the window, from 0.
        step: u32,
        /// What the data set says.
        reason: String,
    },
    /// A sample on which a loss is measured could not be had.
    #[error("sample {sample} cannot be measured: {reason}")]
    Probe {
        /// The sample, counted over the whole data set.
        sample: u64,
        /// What the data set says.
        reason: String,
    },
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
    /// A checkpoint of another model.
    #[error(
        "{} was written for another model: {found} parameters, this one has {expected}; \
         use the --preset it was made with, or another --dir", path.display()
    )]
    OtherModel {
        /// The checkpoint.
        path: PathBuf,
        /// Parameters in it.
        found: usize,
        /// Parameters of the model at hand.
        expected: usize,
    },
}

fn remedy(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::StorageFull => "; free some space, then go on with --resume",
        std::io::ErrorKind::PermissionDenied => "; choose another --dir or mend its permissions",
        _ => "",
    }
}
