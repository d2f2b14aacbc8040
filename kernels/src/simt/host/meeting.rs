//! Rendezvous. A suspended lane's stack does not move, so each lane of a warp (or warpgroup) brings
//! a pointer to what it has to say; the last to arrive computes for all and wakes them.

use std::marker::PhantomData;
use std::ptr::null_mut;

use super::block::Block;
use super::fault::{Caller, FaultKind, fail, same_caller};
use super::here::here;

/// All lanes of a warp.
pub(super) const ALL: u32 = u32::MAX;

/// Lanes of a warp at one collective.
pub(super) struct Meeting {
    /// The collective and its place in the source, once someone has arrived.
    pub(super) at: Option<(&'static str, Caller)>,
    pub(super) arrived: u32,
    payloads: [*mut (); 32],
}

impl Meeting {
    pub(super) const NONE: Self = Self { at: None, arrived: 0, payloads: [null_mut(); 32] };
}

/// Warps of a warpgroup at one collective.
pub(super) struct Assembly {
    at: Option<(&'static str, Caller)>,
    arrived: u32,
    payloads: [*mut (); 128],
}

impl Assembly {
    pub(super) const NONE: Self = Self { at: None, arrived: 0, payloads: [null_mut(); 128] };
}

/// What each of `N` lanes brought.
pub(super) struct Payloads<P, const N: usize>([*mut (); N], PhantomData<P>);

impl<P: Copy, const N: usize> Payloads<P, N> {
    #[inline(always)]
    pub(super) fn get(&self, lane: usize) -> P {
        // SAFETY: the lane is suspended, or the caller, with its `&mut P` lent to the meeting.
        unsafe { *self.0[lane].cast::<P>() }
    }

    #[inline(always)]
    pub(super) fn set(&self, lane: usize, payload: P) {
        // SAFETY: as in `get`.
        unsafe { *self.0[lane].cast::<P>() = payload }
    }
}

/// Meets the other lanes of the warp at the collective `op`; `serve` runs once for all.
#[inline(always)]
pub(super) fn meet<P: Copy>(
    op: &'static str,
    caller: Caller,
    payload: &mut P,
    serve: impl FnOnce(&mut Block, Payloads<P, 32>),
) {
    if arrive(op, caller, payload, serve) {
        return;
    }
    here().suspend(op, caller);
}

/// [`meet`] without the wait: true for the last lane, which has served the others.
#[inline(always)]
pub(super) fn arrive<P: Copy>(
    op: &'static str,
    caller: Caller,
    payload: &mut P,
    serve: impl FnOnce(&mut Block, Payloads<P, 32>),
) -> bool {
    let here = here();
    here.with(|block| {
        let warp = &mut block.warps[here.warp()];
        if warp.live != ALL {
            refuse_exited(op, caller, !warp.live);
        }
        let meeting = &mut warp.meeting;
        match meeting.at {
            None => meeting.at = Some((op, caller)),
            Some(at) => check_same(at, (op, caller), meeting.arrived),
        }
        meeting.payloads[here.lane()] = (payload as *mut P).cast();
        meeting.arrived |= here.bit();
        if meeting.arrived != ALL {
            warp.runnable &= !here.bit();
            return false;
        }
        meeting.at = None;
        meeting.arrived = 0;
        warp.runnable = ALL;
        let payloads = Payloads(meeting.payloads, PhantomData);
        serve(block, payloads);
        true
    })
}

/// Meets the other lanes of the warpgroup; `serve` runs once for all, in the last lane to come.
pub(super) fn assemble<P: Copy>(
    op: &'static str,
    caller: Caller,
    payload: &mut P,
    serve: impl FnOnce(&mut Block, Payloads<P, 128>),
) {
    let here = here();
    let last = here.with(|block| {
        let group = here.thread as usize / 128;
        if (group + 1) * 128 > block.threads as usize {
            let what = format!("{op} needs a whole warpgroup of 128 threads");
            fail(FaultKind::Divergence, caller, what);
        }
        let assembly = &mut block.assemblies[group];
        match assembly.at {
            None => assembly.at = Some((op, caller)),
            Some(at) => check_same(at, (op, caller), assembly.arrived),
        }
        assembly.payloads[here.thread as usize % 128] = (payload as *mut P).cast();
        assembly.arrived += 1;
        if assembly.arrived < 128 {
            block.warps[here.warp()].runnable &= !here.bit();
            return false;
        }
        assembly.at = None;
        assembly.arrived = 0;
        let payloads = Payloads(assembly.payloads, PhantomData);
        for warp in &mut block.warps[group * 4..group * 4 + 4] {
            warp.runnable = ALL;
        }
        serve(block, payloads);
        true
    });
    if !last {
        here.suspend(op, caller);
    }
}

#[inline(always)]
fn check_same(there: (&'static str, Caller), here: (&'static str, Caller), arrived: u32) {
    let same_op = std::ptr::eq(there.0, here.0) || there.0 == here.0;
    if !(same_op && same_caller(there.1, here.1)) {
        refuse_divergent(there, here, arrived);
    }
}

#[cold]
#[inline(never)]
fn refuse_divergent(
    there: (&'static str, Caller),
    here: (&'static str, Caller),
    arrived: u32,
) -> ! {
    let (op, file, line) = (there.0, there.1.file(), there.1.line());
    let what = format!("{} here, while others ({arrived:#x}) are at {op} ({file}:{line})", here.0);
    fail(FaultKind::Divergence, here.1, what)
}

#[cold]
#[inline(never)]
fn refuse_exited(op: &'static str, caller: Caller, exited: u32) -> ! {
    fail(FaultKind::Divergence, caller, format!("{op} after lanes {exited:#x} have exited"))
}
