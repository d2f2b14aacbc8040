//! Barriers of a block, counted in whole warps as the hardware counts them, and fences.

use std::panic::Location;

use super::block::Block;
use super::clock::Clock;
use super::fault::{Caller, FaultKind, fail};
use super::here::here;
use super::meeting::{ALL, arrive, meet};

/// One of the sixteen barriers of a block.
pub(super) struct NamedBarrier {
    /// Threads it is used with, once a warp has arrived.
    threads: u32,
    arrived: u32,
    /// Warps that arrived, and those of them that wait.
    warps: u32,
    waiting: u32,
    /// What the arrived warps know.
    known: Clock,
}

impl NamedBarrier {
    pub(super) const IDLE: Self =
        Self { threads: 0, arrived: 0, warps: 0, waiting: 0, known: Clock::ZERO };
}

/// Waits for all threads of the block, and orders their accesses to memory.
#[inline(always)]
#[track_caller]
pub fn sync_threads() {
    let threads = here().with(|block| block.threads);
    barrier("sync_threads", 0, threads, Location::caller());
}

/// Waits until `threads` threads have come to barrier `id` (0 to 15; 0 is that of `sync_threads`),
/// by `bar_sync` or `bar_arrive`. Whole warps come; `id` is best a literal.
#[inline(always)]
#[track_caller]
pub fn bar_sync(id: u32, threads: u32) {
    barrier("bar_sync", id, threads, Location::caller());
}

/// Counts this warp at barrier `id`, as [`bar_sync`] does, without waiting for the others.
#[inline(always)]
#[track_caller]
pub fn bar_arrive(id: u32, threads: u32) {
    let caller = Location::caller();
    if here().with(|block| block.is_left_out(caller)) {
        return;
    }
    meet("bar_arrive", caller, &mut (), |block, _| {
        count_warp(block, id, threads, false, caller);
    });
}

#[inline(always)]
fn barrier(op: &'static str, id: u32, threads: u32, caller: Caller) {
    let here = here();
    if here.with(|block| block.is_left_out(caller)) {
        return;
    }
    let mut is_complete = false;
    arrive(op, caller, &mut (), |block, _| {
        is_complete = count_warp(block, id, threads, true, caller);
        if !is_complete {
            block.warps[here.warp()].runnable = 0;
        }
    });
    if !is_complete {
        here.suspend(op, caller);
    }
}

/// Counts the calling warp; true when it was the last that the barrier waited for.
fn count_warp(block: &mut Block, id: u32, threads: u32, waits: bool, caller: Caller) -> bool {
    let warp = here().warp();
    let fits = threads.is_multiple_of(32)
        && (32..=block.threads).contains(&threads)
        && id < 16
        && (id > 0 || threads == block.threads && waits);
    if !fits {
        let have = block.threads;
        let what = format!("barrier {id} of {threads} threads in a block of {have}");
        fail(FaultKind::Protocol, caller, what);
    }
    let barrier = &mut block.barriers[id as usize];
    if barrier.arrived == 0 {
        barrier.threads = threads;
    } else if barrier.threads != threads {
        let what = format!("barrier {id} with {threads} threads here, {} there", barrier.threads);
        fail(FaultKind::Protocol, caller, what);
    }
    if barrier.warps >> warp & 1 == 1 {
        let what = format!("warp {warp} comes to barrier {id} twice before it completes");
        fail(FaultKind::Protocol, caller, what);
    }
    barrier.warps |= 1 << warp;
    barrier.waiting |= u32::from(waits) << warp;
    barrier.arrived += 32;
    if let Some(order) = &mut block.order {
        order.sync_warp(warp);
        // `sync_threads` needs no clocks: it starts an epoch.
        if id != 0 {
            order.publish_warp(warp, &mut barrier.known);
        }
    }
    if barrier.arrived < threads {
        return false;
    }
    let waiting = barrier.waiting;
    (barrier.arrived, barrier.warps, barrier.waiting) = (0, 0, 0);
    if let Some(order) = &mut block.order {
        if waiting.count_ones() * 32 == block.threads {
            order.sync_block();
        } else {
            for warp in (0..32).filter(|warp| waiting >> warp & 1 == 1) {
                order.acquire_warp(warp, &barrier.known);
            }
        }
        barrier.known.clear();
    }
    for (at, warp) in block.warps.iter_mut().enumerate() {
        if waiting >> at & 1 == 1 {
            warp.runnable = ALL;
        }
    }
    true
}

/// Orders this thread's accesses to global memory before its later ones, for all blocks.
#[inline(always)]
pub fn fence_global() {}

/// Makes this thread's stores to shared memory visible to the copy engine and to wgmma, once a
/// barrier has ordered the fence before them.
#[inline(always)]
#[track_caller]
pub fn fence_proxy_async() {
    let (here, caller) = (here(), Location::caller());
    here.with(|block| {
        if !block.is_left_out(caller)
            && let Some(order) = &mut block.order
        {
            order.fence(here.thread);
        }
    });
}

/// As [`fence_proxy_async`], for stores to global memory that the copy engine then reads.
#[inline(always)]
pub fn fence_proxy_async_global() {}
