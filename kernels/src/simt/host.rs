//! The vocabulary on the host: an emulator that runs every GPU thread as a coroutine and checks
//! what it does. One block is one task on one OS thread; blocks run in parallel.
//!
//! A lane that must wait clears its bit in its warp's set of runnable lanes and suspends; whoever
//! completes the event sets the bit again. With no lane left to run, copies under way land; with
//! none of those either, the block is deadlocked, and the report says who waits where.

mod atomic;
mod barrier;
mod block;
mod carrier;
mod cell;
mod clock;
mod copy;
mod emulate;
mod fault;
mod global;
mod here;
mod landing;
mod math;
mod matrix;
mod mbarrier;
mod meeting;
mod memory;
mod order;
mod owners;
mod scheduler;
mod shared;
mod tensor_map;
mod thread;
mod warp;
mod wgmma;

pub use barrier::{
    bar_arrive, bar_sync, fence_global, fence_proxy_async, fence_proxy_async_global, sync_threads,
};
pub use copy::{
    bulk_add, bulk_commit, bulk_load, bulk_store, bulk_wait, bulk_wait_read, cp_async_commit,
    cp_async_wait, cp_async16, cp_async16_zfill,
};
pub use emulate::{
    Elsewhere, Emulation, Landing, Report, Schedule, emulate, emulate_elsewhere, memory_around,
};
pub use fault::{Fault, FaultKind, Site};
pub use global::Global;
pub use math::{bf16x2, exp2, fma, log2, rcp, round_to_i32, rsqrt, sqrt, sqrt_f64};
pub use matrix::mma_m16n8k16;
pub use mbarrier::{Mbarrier, fence_mbarrier_init};
pub use memory::Buffer;
pub use shared::Shared;
pub use tensor_map::TensorMap;
pub use thread::{
    block_dim, block_idx, block_idx_y, block_idx_z, elect_one, grid_dim, grid_dim_y, grid_dim_z,
    lower_registers, raise_registers, thread_idx, uniform,
};
pub use warp::{
    all, any, ballot, redux_add, redux_and, redux_max, redux_min, redux_or, shfl_down, shfl_idx,
    shfl_up, shfl_xor, sync_warp,
};
pub use wgmma::{Accumulator, wgmma_commit, wgmma_fence, wgmma_wait};
