//! The narrow waist: every type that two crates share, the byte formats, the protocol constants.
//!
//! Nothing here does I/O, reads a clock or draws a random number; whatever parses bytes treats them
//! as hostile, bounds every length before it allocates, and returns a value that is valid for good.

mod id;
mod layout;

pub use id::{BlockNumber, Digest, Hotkey, RunId, StateRoot, Uid, Window};
pub use layout::{Layout, LayoutError, Shape, Tensor, Tiling};
