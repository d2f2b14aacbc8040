//! Barriers of a block, and fences.

use core::arch::asm;
use core::arch::nvptx::_syncthreads;

unsafe extern "unadjusted" {
    #[link_name = "llvm.nvvm.barrier.cta.sync.aligned.count"]
    fn barrier_sync(id: u32, threads: u32);
    #[link_name = "llvm.nvvm.barrier.cta.arrive.aligned.count"]
    fn barrier_arrive(id: u32, threads: u32);
    #[link_name = "llvm.nvvm.membar.gl"]
    fn membar_gl();
}

#[inline(always)]
pub fn sync_threads() {
    // SAFETY: all threads of the block come here; so the vocabulary demands.
    unsafe { _syncthreads() }
}

#[inline(always)]
pub fn bar_sync(id: u32, threads: u32) {
    // SAFETY: whole warps come here, and as many threads as `threads` says.
    unsafe { barrier_sync(id, threads) }
}

#[inline(always)]
pub fn bar_arrive(id: u32, threads: u32) {
    // SAFETY: as in `bar_sync`.
    unsafe { barrier_arrive(id, threads) }
}

#[inline(always)]
pub fn fence_global() {
    // SAFETY: only orders memory.
    unsafe { membar_gl() }
}

#[inline(always)]
pub fn fence_proxy_async() {
    // SAFETY: only orders memory.
    unsafe { asm!("fence.proxy.async.shared::cta;", options(nostack)) }
}

#[inline(always)]
pub fn fence_proxy_async_global() {
    // SAFETY: only orders memory.
    unsafe { asm!("fence.proxy.async.global;", options(nostack)) }
}
