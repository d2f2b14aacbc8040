//! Collectives of a warp.

unsafe extern "unadjusted" {
    #[link_name = "llvm.nvvm.bar.warp.sync"]
    fn bar_warp(mask: u32);
    #[link_name = "llvm.nvvm.shfl.sync.bfly.i32"]
    fn shfl_bfly(mask: u32, value: u32, lane: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.shfl.sync.idx.i32"]
    fn shfl_from(mask: u32, value: u32, lane: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.shfl.sync.up.i32"]
    fn shfl_above(mask: u32, value: u32, by: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.shfl.sync.down.i32"]
    fn shfl_below(mask: u32, value: u32, by: u32, clamp: u32) -> u32;
    #[link_name = "llvm.nvvm.vote.ballot.sync"]
    fn vote_ballot(mask: u32, vote: bool) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.add"]
    fn redux_sync_add(value: u32, mask: u32) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.umin"]
    fn redux_sync_min(value: u32, mask: u32) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.umax"]
    fn redux_sync_max(value: u32, mask: u32) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.and"]
    fn redux_sync_and(value: u32, mask: u32) -> u32;
    #[link_name = "llvm.nvvm.redux.sync.or"]
    fn redux_sync_or(value: u32, mask: u32) -> u32;
}

const ALL: u32 = u32::MAX;

#[inline(always)]
pub fn sync_warp() {
    // SAFETY: all lanes of the warp come here; so the vocabulary demands and the emulator checks.
    unsafe { bar_warp(ALL) }
}

#[inline(always)]
pub fn shfl_xor(value: u32, mask: u32) -> u32 {
    // SAFETY: as in `sync_warp`, here and below.
    unsafe { shfl_bfly(ALL, value, mask, 31) }
}

#[inline(always)]
pub fn shfl_idx(value: u32, from: u32) -> u32 {
    // SAFETY: as in `sync_warp`.
    unsafe { shfl_from(ALL, value, from, 31) }
}

#[inline(always)]
pub fn shfl_up(value: u32, by: u32) -> u32 {
    // SAFETY: as in `sync_warp`.
    unsafe { shfl_above(ALL, value, by, 0) }
}

#[inline(always)]
pub fn shfl_down(value: u32, by: u32) -> u32 {
    // SAFETY: as in `sync_warp`.
    unsafe { shfl_below(ALL, value, by, 31) }
}

#[inline(always)]
pub fn ballot(vote: bool) -> u32 {
    // SAFETY: as in `sync_warp`.
    unsafe { vote_ballot(ALL, vote) }
}

#[inline(always)]
pub fn any(vote: bool) -> bool {
    ballot(vote) != 0
}

#[inline(always)]
pub fn all(vote: bool) -> bool {
    ballot(vote) == ALL
}

macro_rules! reductions {
    ($($name:ident: $intrinsic:ident;)*) => { $(
        #[inline(always)]
        pub fn $name(value: u32) -> u32 {
            // SAFETY: as in `sync_warp`.
            unsafe { $intrinsic(value, ALL) }
        }
    )* };
}
reductions! {
    redux_add: redux_sync_add;
    redux_min: redux_sync_min;
    redux_max: redux_sync_max;
    redux_and: redux_sync_and;
    redux_or: redux_sync_or;
}
