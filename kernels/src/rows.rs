//! How kernels that stream through rows share them out: a block in x per row, in y as many as the
//! row needs, and a thread has eight neighbours. So no thread divides to find its place.

use crate::simt::*;

/// Threads of a block at most.
#[cfg(not(target_arch = "nvptx64"))]
const THREADS_MAX: u32 = 256;

/// The launch for `rows` rows of `len` values.
///
/// # Panics
/// When `len` is no multiple of 8.
#[cfg(not(target_arch = "nvptx64"))]
pub fn launch(rows: u32, len: u32) -> Launch {
    assert!(len.is_multiple_of(8), "rows of {len} values are no eights");
    let threads = (len / 8).next_multiple_of(WARP).clamp(WARP, THREADS_MAX);
    Launch::grid([rows, (len / 8).div_ceil(threads), 1], threads, 0)
}

/// This thread's row, and the first of its columns; past the end where the row is shorter.
#[inline(always)]
pub fn place() -> (usize, u32) {
    (block_idx() as usize, (block_idx_y() * block_dim() + thread_idx()) * 8)
}
