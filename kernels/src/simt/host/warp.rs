//! Collectives of a warp. All 32 lanes come to the same one, from the same line.

use std::panic::Location;

use super::here::here;
use super::meeting::meet;

/// Waits for the lanes of the warp, and orders their accesses to memory.
#[inline(always)]
#[track_caller]
pub fn sync_warp() {
    let caller = Location::caller();
    if here().with(|block| block.is_left_out(caller)) {
        return;
    }
    meet("sync_warp", caller, &mut (), |block, _| {
        if let Some(order) = &mut block.order {
            order.sync_warp(here().warp());
        }
    });
}

/// Each lane's value, and where it takes one from.
#[inline(always)]
fn shuffle(
    op: &'static str,
    caller: &'static Location<'static>,
    value: u32,
    source: impl Fn(usize) -> usize,
) -> u32 {
    // The second number is the answer: what the others read must not change meanwhile.
    let mut payload = (value, 0);
    meet(op, caller, &mut payload, |_, all| {
        let values: [u32; 32] = std::array::from_fn(|lane| all.get(lane).0);
        for lane in 0..32 {
            all.set(lane, (values[lane], values[source(lane) % 32]));
        }
    });
    payload.1
}

/// The value of lane `lane ^ mask`; `mask` is the same in all lanes.
#[inline(always)]
#[track_caller]
pub fn shfl_xor(value: u32, mask: u32) -> u32 {
    shuffle("shfl_xor", Location::caller(), value, |lane| lane ^ mask as usize)
}

/// The value of lane `lane - by`, or the own one below `by`; `by` is the same in all lanes.
#[inline(always)]
#[track_caller]
pub fn shfl_up(value: u32, by: u32) -> u32 {
    shuffle("shfl_up", Location::caller(), value, |lane| {
        lane.checked_sub(by as usize).unwrap_or(lane)
    })
}

/// The value of lane `lane + by`, or the own one from `32 - by` on; `by` is the same in all lanes.
#[inline(always)]
#[track_caller]
pub fn shfl_down(value: u32, by: u32) -> u32 {
    shuffle("shfl_down", Location::caller(), value, |lane| {
        if lane + (by as usize) < 32 { lane + by as usize } else { lane }
    })
}

/// The value of lane `from % 32`; each lane names its own.
#[inline(always)]
#[track_caller]
pub fn shfl_idx(value: u32, from: u32) -> u32 {
    let mut payload = (value, from);
    meet("shfl_idx", Location::caller(), &mut payload, |_, all| {
        let values: [u32; 32] = std::array::from_fn(|lane| all.get(lane).0);
        for lane in 0..32 {
            let from = all.get(lane).1 as usize % 32;
            all.set(lane, (values[from], 0));
        }
    });
    payload.0
}

/// One word out of all lanes' words, the same in each.
#[inline(always)]
fn combine(
    op: &'static str,
    caller: &'static Location<'static>,
    value: u32,
    fold: impl Fn(u32, u32) -> u32,
) -> u32 {
    let mut payload = value;
    meet(op, caller, &mut payload, |_, all| {
        let all_of = (1..32).fold(all.get(0), |sum, lane| fold(sum, all.get(lane)));
        for lane in 0..32 {
            all.set(lane, all_of);
        }
    });
    payload
}

/// Bit `i` is the vote of lane `i`.
#[inline(always)]
#[track_caller]
pub fn ballot(vote: bool) -> u32 {
    let bit = if vote { here().bit() } else { 0 };
    combine("ballot", Location::caller(), bit, |a, b| a | b)
}

/// Some lane votes for it.
#[inline(always)]
#[track_caller]
pub fn any(vote: bool) -> bool {
    ballot(vote) != 0
}

/// All lanes vote for it.
#[inline(always)]
#[track_caller]
pub fn all(vote: bool) -> bool {
    ballot(vote) == u32::MAX
}

/// Sum over the lanes, modulo 2^32.
#[inline(always)]
#[track_caller]
pub fn redux_add(value: u32) -> u32 {
    combine("redux_add", Location::caller(), value, u32::wrapping_add)
}

/// Smallest of the lanes.
#[inline(always)]
#[track_caller]
pub fn redux_min(value: u32) -> u32 {
    combine("redux_min", Location::caller(), value, u32::min)
}

/// Largest of the lanes.
#[inline(always)]
#[track_caller]
pub fn redux_max(value: u32) -> u32 {
    combine("redux_max", Location::caller(), value, u32::max)
}

/// Bits set in all lanes.
#[inline(always)]
#[track_caller]
pub fn redux_and(value: u32) -> u32 {
    combine("redux_and", Location::caller(), value, |a, b| a & b)
}

/// Bits set in some lane.
#[inline(always)]
#[track_caller]
pub fn redux_or(value: u32) -> u32 {
    combine("redux_or", Location::caller(), value, |a, b| a | b)
}
