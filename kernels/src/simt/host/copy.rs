//! Copies that run beside the threads: cp.async, of 16 bytes per thread, and bulk copies of whole
//! runs, which one thread issues.

use std::collections::VecDeque;
use std::panic::Location;

use super::atomic::add_f32;
use super::block::Block;
use super::emulate::Landing;
use super::fault::{Caller, FaultKind, fail};
use super::here::here;
use super::landing::{Source, take_off};
use super::order::Actor;
use super::shared::{accept, check_outgoing};
use super::tensor_map::TensorBox;
use super::{Global, Mbarrier, Shared, memory};
use crate::simt::Element;

/// A cp.async: 16 bytes to shared memory, the first `valid` of them from `from`.
#[derive(Clone, Copy)]
pub(super) struct Sixteen {
    to: u32,
    from: u64,
    valid: u32,
}

/// A store of the copy engine: `bytes` bytes of shared memory from `from` on.
#[derive(Clone, Copy)]
pub(super) struct Outgoing {
    pub(super) from: u32,
    pub(super) bytes: u32,
    target: Target,
}

/// What a store of the copy engine changes.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// A run of global bytes, in bounds.
    Bytes(u64),
    /// A run of f32, in bounds, each added to.
    Sums(u64),
    /// A box of a tensor.
    Box(TensorBox),
}

/// Copies of one lane, in groups that it closed, and those it has not closed yet.
#[derive(Default)]
pub(super) struct LaneCopies {
    sixteens: Vec<Sixteen>,
    sixteen_groups: VecDeque<Vec<Sixteen>>,
    stores: Vec<Outgoing>,
    store_groups: VecDeque<Vec<Outgoing>>,
}

impl LaneCopies {
    /// Stores were issued that the lane has not waited for.
    pub(super) fn has_stores(&self) -> bool {
        !self.stores.is_empty() || self.store_groups.iter().any(|group| !group.is_empty())
    }
}

/// Copies 16 bytes, from value `j` of `from` to value `i` of `to`, some time before
/// [`cp_async_wait`] says so. A barrier then shows them to other threads.
#[track_caller]
pub fn cp_async16<T: Element>(to: Shared<T>, i: u32, from: Global<T>, j: usize) {
    let caller = Location::caller();
    let len = 16 / size_of::<T>();
    let copy = Sixteen {
        to: to.check(i, len as u32, caller),
        from: from.check(j, len, caller),
        valid: 16,
    };
    start_sixteen(copy, caller);
}

/// [`cp_async16`] of the first `valid_bytes` bytes (0 to 16) and zeros after them. With 0, `j`
/// still names an aligned place in bounds, or the end.
#[track_caller]
pub fn cp_async16_zfill<T: Element>(
    to: Shared<T>,
    i: u32,
    from: Global<T>,
    j: usize,
    valid_bytes: u32,
) {
    let caller = Location::caller();
    if valid_bytes > 16 {
        fail(FaultKind::Protocol, caller, format!("{valid_bytes} valid bytes of 16"));
    }
    let to = to.check(i, 16 / size_of::<T>() as u32, caller);
    let len = (valid_bytes as usize).div_ceil(size_of::<T>());
    let copy = Sixteen { to, from: from.check_run(j, len, caller), valid: valid_bytes };
    start_sixteen(copy, caller);
}

fn start_sixteen(copy: Sixteen, caller: Caller) {
    let here = here();
    here.with(|block| {
        check_outgoing(block, copy.to, 16, caller);
        if let Some(order) = &mut block.order {
            accept(order.take_off(copy.to, 16, here.thread), "cp_async", caller);
        }
        block.shared.bytes(copy.to, 16).fill(0xff);
        if matches!(block.emulation.landing, Landing::Early) {
            land_sixteen(block, copy);
        }
        block.lanes[here.thread as usize].copies.sixteens.push(copy);
    });
}

fn land_sixteen(block: &mut Block, copy: Sixteen) {
    let target = block.shared.bytes(copy.to, 16);
    target.fill(0);
    memory::read_bytes(copy.from, &mut target[..copy.valid as usize]);
}

/// Closes the group of copies that this thread has started since the last one.
pub fn cp_async_commit() {
    let here = here();
    here.with(|block| {
        let copies = &mut block.lanes[here.thread as usize].copies;
        let group = std::mem::take(&mut copies.sixteens);
        copies.sixteen_groups.push_back(group);
    });
}

/// Waits until at most `PENDING` of this thread's newest groups are under way.
#[track_caller]
pub fn cp_async_wait<const PENDING: u32>() {
    let (here, caller) = (here(), Location::caller());
    here.with(|block| {
        if block.is_left_out(caller) {
            return;
        }
        while block.lanes[here.thread as usize].copies.sixteen_groups.len() > PENDING as usize {
            let group = block.lanes[here.thread as usize].copies.sixteen_groups.pop_front();
            for copy in group.into_iter().flatten() {
                if matches!(block.emulation.landing, Landing::Late) {
                    land_sixteen(block, copy);
                }
                if let Some(order) = &mut block.order {
                    order.land_for(copy.to, 16, here.thread);
                }
            }
        }
    });
}

/// Copies `len` values, a multiple of 16 bytes on both sides, and counts their bytes at `done`. One
/// thread issues it.
#[track_caller]
pub fn bulk_load<T: Element>(
    to: Shared<T>,
    i: u32,
    from: Global<T>,
    j: usize,
    len: u32,
    done: Mbarrier,
) {
    let (here, caller) = (here(), Location::caller());
    let bytes = bulk_bytes::<T>(len, caller);
    let to = to.check_range(i, len, 16, caller);
    let source = Source::Bytes(from.check_run(j, len as usize, caller));
    here.with(|block| {
        let mbarrier = done.find_for_copy(block, caller);
        take_off(block, here.thread, (to, bytes), source, mbarrier, caller);
    });
}

/// Stores `len` values of shared memory, a multiple of 16 bytes on both sides. Whoever wrote them
/// has fenced with `fence_proxy_async`; this thread commits and waits.
#[track_caller]
pub fn bulk_store<T: Element>(to: Global<T>, i: usize, from: Shared<T>, j: u32, len: u32) {
    let caller = Location::caller();
    let bytes = bulk_bytes::<T>(len, caller);
    let target = Target::Bytes(to.check_run(i, len as usize, caller));
    let from = from.check_range(j, len, 16, caller);
    start_store(Outgoing { from, bytes, target }, caller);
}

/// As [`bulk_store`], adding to what is there, value by value and atomically.
#[track_caller]
pub fn bulk_add(to: Global<f32>, i: usize, from: Shared<f32>, j: u32, len: u32) {
    let caller = Location::caller();
    let bytes = bulk_bytes::<f32>(len, caller);
    let target = Target::Sums(to.check_run(i, len as usize, caller));
    let from = from.check_range(j, len, 16, caller);
    start_store(Outgoing { from, bytes, target }, caller);
}

fn bulk_bytes<T: Element>(len: u32, caller: Caller) -> u32 {
    let bytes = len * size_of::<T>() as u32;
    if bytes == 0 || !bytes.is_multiple_of(16) {
        let what = format!("bulk copy of {bytes} bytes: it must be a multiple of 16");
        fail(FaultKind::Misaligned, caller, what);
    }
    bytes
}

/// This thread hands `store` to the copy engine.
pub(super) fn start_store(store: Outgoing, caller: Caller) {
    let here = here();
    here.with(|block| {
        if let Some(order) = &mut block.order {
            let read = order.read_async(store.from, store.bytes, Actor::Lane(here.thread));
            accept(read, "store", caller);
        }
        if matches!(block.emulation.landing, Landing::Early) {
            perform(block, store);
        }
        block.outgoing.push((here.thread, store));
        block.lanes[here.thread as usize].copies.stores.push(store);
    });
}

impl Outgoing {
    pub(super) fn of_box(from: u32, bytes: u32, tensor: TensorBox) -> Self {
        Self { from, bytes, target: Target::Box(tensor) }
    }
}

fn perform(block: &mut Block, store: Outgoing) {
    let bytes = block.shared.bytes(store.from, store.bytes);
    match store.target {
        Target::Bytes(address) => memory::write_bytes(address, bytes),
        Target::Sums(address) => {
            for (i, four) in bytes.as_chunks::<4>().0.iter().enumerate() {
                add_f32(address + 4 * i as u64, f32::from_ne_bytes(*four));
            }
        }
        Target::Box(tensor) => tensor.store(store.from, bytes),
    }
}

/// Closes the group of stores that this thread has started since the last one.
pub fn bulk_commit() {
    let here = here();
    here.with(|block| {
        let copies = &mut block.lanes[here.thread as usize].copies;
        let group = std::mem::take(&mut copies.stores);
        copies.store_groups.push_back(group);
    });
}

/// Waits until at most `PENDING` of this thread's newest groups have not been written.
#[track_caller]
pub fn bulk_wait<const PENDING: u32>() {
    finish_stores(PENDING as usize, Location::caller());
}

/// Waits until at most `PENDING` of this thread's newest groups have not been read, so that their
/// shared memory may be written again.
#[track_caller]
pub fn bulk_wait_read<const PENDING: u32>() {
    finish_stores(PENDING as usize, Location::caller());
}

/// In the emulator a group that has been read has been written, too.
fn finish_stores(pending: usize, caller: Caller) {
    let here = here();
    here.with(|block| {
        if block.is_left_out(caller) {
            return;
        }
        while block.lanes[here.thread as usize].copies.store_groups.len() > pending {
            let group = block.lanes[here.thread as usize].copies.store_groups.pop_front();
            for store in group.into_iter().flatten() {
                if matches!(block.emulation.landing, Landing::Late) {
                    perform(block, store);
                }
                let is_it = |(thread, other): &(u32, Outgoing)| {
                    *thread == here.thread && other.from == store.from
                };
                if let Some(at) = block.outgoing.iter().position(is_it) {
                    block.outgoing.swap_remove(at);
                }
                if let Some(order) = &mut block.order {
                    order.note_read(store.from, store.bytes, here.thread);
                }
            }
        }
    });
}
