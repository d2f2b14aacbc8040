//! Special registers, and what a warpgroup may use of the register file.

use std::panic::Location;

use super::fault::{FaultKind, fail};
use super::here::here;
use super::meeting::meet;

macro_rules! special_registers {
    ($($(#[$doc:meta])* $name:ident: $value:expr;)*) => { $(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() -> u32 {
            let value: fn(&super::block::Block) -> u32 = $value;
            here().with(|block| value(block))
        }
    )* };
}
special_registers! {
    /// Block of the grid, in x.
    block_idx: |block| block.index[0];
    /// Block of the grid, in y.
    block_idx_y: |block| block.index[1];
    /// Block of the grid, in z.
    block_idx_z: |block| block.index[2];
    /// Threads of the block.
    block_dim: |block| block.threads;
    /// Blocks of the grid, in x.
    grid_dim: |block| block.grid[0];
    /// Blocks of the grid, in y.
    grid_dim_y: |block| block.grid[1];
    /// Blocks of the grid, in z.
    grid_dim_z: |block| block.grid[2];
}

/// Thread of the block.
#[inline(always)]
pub fn thread_idx() -> u32 {
    here().thread
}

/// True in one lane of the warp, the same one each time; all lanes come here. Issue copies under
/// it: under `lane() == 0` the assembler wraps each in a loop.
#[inline(always)]
#[track_caller]
pub fn elect_one() -> bool {
    meet("elect_one", Location::caller(), &mut (), |_, _| ());
    here().lane() == 0
}

/// `value`, with the promise that all threads of the block hold the same: the lint of `ci/ptx` then
/// lets a barrier stand behind a branch on it. Threads that break it miss that barrier, and the
/// emulator says so.
#[inline(always)]
pub fn uniform(value: u32) -> u32 {
    value
}

/// Takes registers from the block's pool until every thread of the warpgroup has `COUNT`; waits for
/// them. The kernel has `bounds`. (`setmaxnreg.inc`)
#[inline(always)]
#[track_caller]
pub fn raise_registers<const COUNT: u32>() {
    registers("raise_registers", COUNT);
}

/// Gives registers above `COUNT` per thread back to the block's pool. (`setmaxnreg.dec`)
#[inline(always)]
#[track_caller]
pub fn lower_registers<const COUNT: u32>() {
    registers("lower_registers", COUNT);
}

#[inline(always)]
#[track_caller]
fn registers(op: &'static str, count: u32) {
    let caller = Location::caller();
    if !count.is_multiple_of(8) || !(24..=256).contains(&count) {
        let what = format!("{op} to {count}: it must be a multiple of 8 from 24 to 256");
        fail(FaultKind::Protocol, caller, what);
    }
    meet(op, caller, &mut (), |_, _| ());
}
