//! One safe function per operation, the same on every device.

pub mod aggregate;
pub mod compress;
mod tile_grid;

pub use tile_grid::{CHUNK_LEN_MAX, TileGrid};

/// A tensor that an operation refuses because a value in it is infinite or not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value at offset {offset} of the tensor is not finite; stop before it spreads")]
pub struct NonFinite {
    /// First such value, counted from the start of the tensor.
    pub offset: usize,
}
