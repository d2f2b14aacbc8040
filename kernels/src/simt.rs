//! The vocabulary of kernels: everything a kernel may call, once as inline PTX (`nvptx`) and once
//! emulated (`host`), under the same names.
//!
//! # Writing a kernel
//! One file per kernel or family, `use crate::simt::*`, and a [`kernel!`](crate::kernel)
//! declaration; `rms_norm.rs` is the pattern. Arguments are numbers, [`Global`] and [`TensorMap`].
//! For several shapes write `#[inline(always)] fn body<const D: usize>(..)` and a three-line
//! kernel for each. No `libm`, no allocation, nothing with a destructor, no panics: slices and
//! arrays are indexed by constants (`unroll!`) or by what the compiler can see is in bounds, since
//! one reachable panic fails the assembler.
//!
//! - *Global memory*: `ld`, `st`, and whole 4, 8 or 16 bytes by `ld2`, `ld4`, `ld8`, `ld16b`.
//! - *Shared memory* is laid out by hand: [`Shared::at`]`(offset_bytes, len)`, [`Mbarrier::at`].
//!   Swizzled tiles start on 1,024 bytes. `launch.shared_bytes` covers it all.
//! - *Collectives* (shuffles, votes, `sync_warp`, ldmatrix, mma, wgmma) are for whole warps: all 32
//!   lanes, the same line. They move data and order nothing; `sync_warp` and barriers order memory.
//! - *Copies*: `cp_async16` per thread; [`bulk_load`] and [`TensorMap::load`] by one thread, under
//!   [`elect_one`], counted by an [`Mbarrier`]; stores by [`bulk_store`] and [`TensorMap::store`]
//!   after [`fence_proxy_async`] and a barrier, then commit and wait in the same thread.
//! - *wgmma*: [`Accumulator`]s and [`Operand`]s; fence, products, commit, wait, `settle`, in a
//!   straight line. `a.step::<32>()` moves along k inside the instruction.
//! - `+ - * /` and [`sqrt`] round alike on both sides and never fuse; [`fma`] does, on both.
//!   [`exp2`], [`log2`], [`rcp`] and [`rsqrt`] are approximate on the device.
//! - `#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]` is for words of the vocabulary,
//!   never for a part of a kernel: two barriers in it would look like one.
//!
//! # Launching and testing it
//! The argument struct is the kernel: `emulate(&Launch::new(blocks, threads, shared_bytes),
//! &axpy { .. }, &Emulation::default())`, with memory from [`Buffer`]; a driver takes the same two
//! values. A test compares with an f64 oracle over awkward shapes under each of
//! `oracle::emulations()` (copies late and early, lanes in order and shuffled), with races looked
//! for, and then leaves out each of [`Report::sync_sites`] in turn, which must be noticed:
//! `tests/rms_norm.rs`. A [`Fault`] names kernel, block, thread and line.
//!
//! # What only the device build shows
//! rustc's jump threading duplicates barriers and is switched off there; LLVM moves collectives
//! spelled in `asm!`, so those go through convergent intrinsics, or stand in the basic block of
//! one. The emulator runs the source, not the PTX, and cannot see either: `ci/ptx` looks for it.

#[macro_use]
mod declare;
#[macro_use]
mod unroll;
mod bf16;
mod element;
mod index;
mod operand;
mod philox;
mod reduce;
mod swizzle;

#[cfg(target_arch = "nvptx64")]
mod nvptx;
#[cfg(target_arch = "nvptx64")]
pub use nvptx::*;

#[cfg(not(target_arch = "nvptx64"))]
mod host;
#[cfg(not(target_arch = "nvptx64"))]
mod launch;
#[cfg(not(target_arch = "nvptx64"))]
pub use host::*;
#[cfg(not(target_arch = "nvptx64"))]
pub use launch::{Argument, Bounds, Kernel, Launch, Parameter, Value};

pub use bf16::{Bf16, unpack_bf16x2};
pub use element::Element;
pub use index::{WARP, WARPGROUP, lane, warp, warpgroup};
pub use operand::{KMajor, MnMajor, Operand, OperandLayout, Unswizzled};
pub use philox::philox4x32_10;
pub use reduce::{
    block_sum, shfl_down_f32, shfl_idx_f32, shfl_up_f32, shfl_xor_f32, warp_max, warp_sum,
};
pub use swizzle::{Swizzle, swizzled_128b};
