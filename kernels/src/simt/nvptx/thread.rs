//! Special registers, and the registers a warpgroup may use.

use core::arch::asm;
use core::arch::nvptx::{
    _block_dim_x, _block_idx_x, _block_idx_y, _block_idx_z, _grid_dim_x, _grid_dim_y, _grid_dim_z,
    _thread_idx_x,
};

macro_rules! special_registers {
    ($($name:ident: $intrinsic:ident;)*) => { $(
        #[inline(always)]
        pub fn $name() -> u32 {
            // SAFETY: reads a special register.
            unsafe { $intrinsic() as u32 }
        }
    )* };
}
special_registers! {
    thread_idx: _thread_idx_x;
    block_idx: _block_idx_x;
    block_idx_y: _block_idx_y;
    block_idx_z: _block_idx_z;
    block_dim: _block_dim_x;
    grid_dim: _grid_dim_x;
    grid_dim_y: _grid_dim_y;
    grid_dim_z: _grid_dim_z;
}

unsafe extern "unadjusted" {
    #[link_name = "llvm.nvvm.setmaxnreg.inc.sync.aligned.u32"]
    fn set_max_registers_up(count: u32);
    #[link_name = "llvm.nvvm.setmaxnreg.dec.sync.aligned.u32"]
    fn set_max_registers_down(count: u32);
}

#[inline(always)]
pub fn raise_registers<const COUNT: u32>() {
    // SAFETY: changes no value; the count is checked by ptxas.
    unsafe { set_max_registers_up(COUNT) }
}

#[inline(always)]
pub fn lower_registers<const COUNT: u32>() {
    // SAFETY: as above.
    unsafe { set_max_registers_down(COUNT) }
}

#[inline(always)]
pub fn elect_one() -> bool {
    let elected: u32;
    // SAFETY: no memory is touched; not `pure`, so that it stays where it is written.
    unsafe {
        asm!(
            "{{ .reg .pred p; elect.sync _|p, 0xffffffff; selp.u32 {0}, 1, 0, p; }}",
            out(reg32) elected,
            options(nomem, nostack)
        );
    }
    elected != 0
}

#[inline(always)]
pub fn uniform(value: u32) -> u32 {
    let same: u32;
    // SAFETY: a copy, through a register by whose name the lint of `ci/ptx` knows the promise.
    unsafe {
        asm!(
            "{{ .reg .b32 uniform; mov.b32 uniform, {1}; mov.b32 {0}, uniform; }}",
            out(reg32) same,
            in(reg32) value,
            options(pure, nomem, nostack)
        );
    }
    same
}
