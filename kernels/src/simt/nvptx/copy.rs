//! Copies that run beside the threads: cp.async, and one-dimensional bulk copies.

use core::arch::asm;
use core::mem::size_of;

use super::{Global, Mbarrier};
use crate::simt::{Element, Shared};

#[inline(always)]
pub fn cp_async16<T: Element>(to: Shared<T>, i: u32, from: Global<T>, j: usize) {
    // SAFETY: 16 bytes in bounds and aligned on both sides, which the emulator checks.
    unsafe {
        asm!("cp.async.cg.shared.global [{0}], [{1}], 16;", in(reg32) to.address(i),
            in(reg64) from.address(j), options(nostack));
    }
}

#[inline(always)]
pub fn cp_async16_zfill<T: Element>(
    to: Shared<T>,
    i: u32,
    from: Global<T>,
    j: usize,
    valid_bytes: u32,
) {
    // SAFETY: as in `cp_async16`, for `valid_bytes` of the source.
    unsafe {
        asm!("cp.async.cg.shared.global [{0}], [{1}], 16, {2};", in(reg32) to.address(i),
            in(reg64) from.address(j), in(reg32) valid_bytes, options(nostack));
    }
}

#[inline(always)]
pub fn cp_async_commit() {
    // SAFETY: closes the group of copies of this thread.
    unsafe { asm!("cp.async.commit_group;", options(nostack)) }
}

#[inline(always)]
pub fn cp_async_wait<const PENDING: u32>() {
    // SAFETY: waits.
    unsafe { asm!("cp.async.wait_group {0};", const PENDING, options(nostack)) }
}

#[inline(always)]
pub fn bulk_load<T: Element>(
    to: Shared<T>,
    i: u32,
    from: Global<T>,
    j: usize,
    len: u32,
    done: Mbarrier,
) {
    // SAFETY: in bounds and aligned to 16 bytes on both sides, which the emulator checks.
    unsafe {
        asm!(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes",
            "[{0}], [{1}], {2}, [{3}];",
            in(reg32) to.address(i), in(reg64) from.address(j),
            in(reg32) len * size_of::<T>() as u32, in(reg32) done.address(), options(nostack)
        );
    }
}

#[inline(always)]
pub fn bulk_store<T: Element>(to: Global<T>, i: usize, from: Shared<T>, j: u32, len: u32) {
    // SAFETY: as in `bulk_load`.
    unsafe {
        asm!("cp.async.bulk.global.shared::cta.bulk_group [{0}], [{1}], {2};",
            in(reg64) to.address(i), in(reg32) from.address(j),
            in(reg32) len * size_of::<T>() as u32, options(nostack));
    }
}

#[inline(always)]
pub fn bulk_add(to: Global<f32>, i: usize, from: Shared<f32>, j: u32, len: u32) {
    // SAFETY: as in `bulk_load`.
    unsafe {
        asm!("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [{0}], [{1}], {2};",
            in(reg64) to.address(i), in(reg32) from.address(j), in(reg32) len * 4,
            options(nostack));
    }
}

#[inline(always)]
pub fn bulk_commit() {
    // SAFETY: closes the group of stores of this thread.
    unsafe { asm!("cp.async.bulk.commit_group;", options(nostack)) }
}

#[inline(always)]
pub fn bulk_wait<const PENDING: u32>() {
    // SAFETY: waits.
    unsafe { asm!("cp.async.bulk.wait_group {0};", const PENDING, options(nostack)) }
}

#[inline(always)]
pub fn bulk_wait_read<const PENDING: u32>() {
    // SAFETY: waits.
    unsafe { asm!("cp.async.bulk.wait_group.read {0};", const PENDING, options(nostack)) }
}
