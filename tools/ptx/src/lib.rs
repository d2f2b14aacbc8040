//! The PTX of the kernels: made by a pinned compiler, put into one normal form, judged by a lint,
//! counted, assembled, and compared with what is committed in `kernels/ptx`.
//!
//! A kernel is proven on the host by the emulator, which runs the source. What the compiler then
//! makes of that source only shows in the PTX: this crate looks there.

mod assembler;
mod compiler;
mod convergence;
mod counts;
mod cursor;
mod difference;
mod finding;
mod flow;
mod lint;
mod made;
mod module;
mod normal;
mod numbers;
mod reach;
mod sources;
mod spread;
mod statement;
mod target;

pub use assembler::{Assembler, Usage};
pub use compiler::Compiler;
pub use counts::{Counts, count};
pub use difference::difference;
pub use finding::{Finding, PtxError};
pub use lint::lint;
pub use made::Made;
pub use module::{Function, Module, Param};
pub use normal::{normalise, render};
pub use numbers::Numbers;
pub use sources::Sources;
pub use statement::{Instruction, Kind, Statement};
pub use target::{TARGETS, Target};
