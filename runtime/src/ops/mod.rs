//! One safe function per operation of a LLaMA and its optimizers, forward and backward in one file.
//!
//! Matrices are row-major f32, a row per token. Each function checks the lengths it is given (a
//! wrong one is a programming error and panics), then runs on the device. Called from inside
//! [`Device::install`](crate::Device::install) they allocate nothing once each thread has grown
//! its scratch.

pub mod adamw;
pub mod aggregate;
pub mod attention;
pub mod cached_attention;
pub mod compress;
pub mod cross_entropy;
pub mod elementwise;
pub mod embedding;
pub mod ledger;
pub mod linear;
pub mod reduce;
pub mod rms_norm;
pub mod rope;
pub mod swiglu;
mod tile_grid;

pub use tile_grid::{CHUNK_LEN_MAX, TileGrid};

/// A tensor that an operation refuses because a value in it is infinite or not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value at offset {offset} of the tensor is not finite; stop before it spreads")]
pub struct NonFinite {
    /// First such value, counted from the start of the tensor.
    pub offset: usize,
}

/// Values per row where `len` values are `rows` rows.
fn row_len(what: &str, len: usize, rows: usize) -> usize {
    assert!(rows > 0 && len.is_multiple_of(rows), "{what}: {len} values are not {rows} rows");
    len / rows
}

/// Checks that `what` holds `expected` values.
fn assert_len(what: &str, len: usize, expected: usize) {
    assert!(len == expected, "{what} holds {len} values, expected {expected}");
}
