//! The narrow waist: every type that two crates share, the byte formats, the protocol constants.
//!
//! Nothing here does I/O, reads a clock or draws a random number; whatever parses bytes treats them
//! as hostile, bounds every length before it allocates, and returns a value that is valid for good.

mod codec;
mod id;
mod layout;

pub use codec::{
    CODEBOOK_BYTES, CODES_PER_BYTE, IndexCodec, SectionFault, SparseShape, SparseTensor,
};
pub use id::{BlockNumber, Digest, Hotkey, RunId, StateRoot, Uid, Window};
pub use layout::{Layout, LayoutError, Shape, Tensor, Tiling};
