//! Where in its block a thread stands, in terms of warps. Blocks have one dimension.

use super::thread_idx;

/// Threads of a warp.
pub const WARP: u32 = 32;
/// Threads of a warpgroup: four consecutive warps, the first divisible by four.
pub const WARPGROUP: u32 = 128;

/// This thread's place in its warp, 0 to 31.
#[inline(always)]
pub fn lane() -> u32 {
    thread_idx() % WARP
}

/// This thread's warp in its block.
#[inline(always)]
pub fn warp() -> u32 {
    thread_idx() / WARP
}

/// This thread's warpgroup in its block, as a value that the compiler knows to be the same in all
/// lanes of a warp: branch on it to give warpgroups different roles.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn warpgroup() -> u32 {
    super::shfl_idx(thread_idx() / WARPGROUP, 0)
}
