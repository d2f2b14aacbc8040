//! What stops a window on our own side. Faults of peers are found when their bytes are decoded.

use runtime::ops::NonFinite;
use wire::Uid;

/// A window that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SparseLocoError {
    /// The pseudo-gradient or the residual holds an infinity or not-a-number.
    #[error(
        "the pseudo-gradient of {tensor} is not finite at offset {offset}, so that nothing of this \
         window can be sent; resume from the last checkpoint with a smaller learning rate"
    )]
    NonFinite {
        /// Name of the tensor.
        tensor: String,
        /// First such value, counted from the start of the tensor.
        offset: usize,
    },
    /// A contribution was decoded for another layout or another k than the others.
    #[error("uid {uid}'s contribution was decoded for another layout; decode it with this run's")]
    OtherLayout {
        /// Whose.
        uid: Uid,
    },
    /// One uid twice in one window.
    #[error("uid {uid} is in this window's list twice; take one contribution per uid")]
    Twice {
        /// Whose.
        uid: Uid,
    },
    /// A contribution that was whole a moment ago is not any more.
    #[error(
        "uid {uid}'s contribution can no longer be read where it was kept ({reason}), in the \
         middle of an outer step; check the disk and start the node again, which goes on from its \
         last checkpoint"
    )]
    Unreadable {
        /// Whose.
        uid: Uid,
        /// What reading it gave.
        reason: String,
    },
}

impl SparseLocoError {
    pub(super) fn non_finite(tensor: &str, at: NonFinite) -> Self {
        SparseLocoError::NonFinite { tensor: tensor.to_string(), offset: at.offset }
    }
}
