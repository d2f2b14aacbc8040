//! Reductions over a warp in a fixed tree (16, 8, 4, 2, 1 apart), so that every lane ends with the
//! same bits; over a block, warp by warp in the same tree; and shuffles of f32.

use super::{
    Shared, WARP, block_dim, lane, shfl_down, shfl_idx, shfl_up, shfl_xor, sync_threads, warp,
};

/// [`shfl_xor`] of an f32.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn shfl_xor_f32(value: f32, mask: u32) -> f32 {
    f32::from_bits(shfl_xor(value.to_bits(), mask))
}

/// [`shfl_idx`] of an f32.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn shfl_idx_f32(value: f32, from: u32) -> f32 {
    f32::from_bits(shfl_idx(value.to_bits(), from))
}

/// [`shfl_up`] of an f32.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn shfl_up_f32(value: f32, by: u32) -> f32 {
    f32::from_bits(shfl_up(value.to_bits(), by))
}

/// [`shfl_down`] of an f32.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn shfl_down_f32(value: f32, by: u32) -> f32 {
    f32::from_bits(shfl_down(value.to_bits(), by))
}

/// Sum over the 32 lanes, the same bits in each.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn warp_sum(mut value: f32) -> f32 {
    let mut apart = 16;
    while apart > 0 {
        value += shfl_xor_f32(value, apart);
        apart /= 2;
    }
    value
}

/// Largest of the 32 lanes; NaN loses against a number.
#[inline(always)]
#[cfg_attr(not(target_arch = "nvptx64"), track_caller)]
pub fn warp_max(mut value: f32) -> f32 {
    let mut apart = 16;
    while apart > 0 {
        value = value.max(shfl_xor_f32(value, apart));
        apart /= 2;
    }
    value
}

/// Sum over the threads of a block, the same bits in each. `scratch` holds 32 values; before it is
/// used again, a barrier.
#[inline(always)]
pub fn block_sum(value: f32, scratch: Shared<f32>) -> f32 {
    let value = warp_sum(value);
    if lane() == 0 {
        scratch.st(warp(), value);
    }
    sync_threads();
    let share = if lane() < block_dim() / WARP { scratch.ld(lane()) } else { 0.0 };
    warp_sum(share)
}
