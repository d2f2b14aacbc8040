//! Devices, their memory, the operations of a LLaMA and its optimizer, collectives, and the
//! dataset.
//!
//! `ops` is the face: one safe function per operation, forward and backward in one file. `cpu` runs
//! it on host cores, `cuda` on a GPU or an emulated one. Results never depend on how many threads
//! or multiprocessors ran: work is cut in tiles of fixed size, and they only decide who computes
//! which tile. No async, no network.

mod buffer;
pub mod collective;
mod compute;
mod cpu;
mod cuda;
pub mod dataset;
mod device;
mod error;
pub mod ops;
pub mod span;
mod storage;

pub use buffer::{Buffer, Element, View, ViewMut};
pub use compute::Compute;
pub use cpu::simd::run as with_widest_vectors;
pub use cuda::{Gpu, GpuError, GpuFacts, Mark, Recording};
pub use device::{Cpu, Device};
pub use error::RuntimeError;
pub use storage::Storage;
