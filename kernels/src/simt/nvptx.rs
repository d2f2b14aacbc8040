//! The vocabulary on the device: LLVM intrinsics and inline PTX, one per word. The host's files of
//! the same names hold the documentation, the checks and the meaning.
//!
//! Two rules keep barriers where the source has them (docs of `simt`): whatever is collective goes
//! through an LLVM intrinsic where there is one, since those are `convergent` and `asm!` is not; a
//! collective that only `asm!` can spell is never `pure`.

mod argument;
mod atomic;
mod barrier;
mod copy;
mod global;
mod math;
mod matrix;
mod mbarrier;
mod shared;
mod tensor_map;
mod thread;
mod warp;
mod wgmma;

pub use argument::*;
pub use barrier::*;
pub use copy::*;
pub use global::*;
pub use math::*;
pub use matrix::*;
pub use mbarrier::*;
pub use shared::*;
pub use tensor_map::*;
pub use thread::*;
pub use warp::*;
pub use wgmma::*;
