//! Matrices of a warp: 8 by 8 pieces between shared memory and registers, and mma.

use core::arch::asm;

use crate::simt::{Element, Shared};

#[repr(C)]
struct Four(f32, f32, f32, f32);

unsafe extern "unadjusted" {
    #[link_name = "llvm.nvvm.mma.m16n8k16.row.col.bf16"]
    fn mma_bf16(
        a0: u32,
        a1: u32,
        a2: u32,
        a3: u32,
        b0: u32,
        b1: u32,
        c0: f32,
        c1: f32,
        c2: f32,
        c3: f32,
    ) -> Four;
}

#[inline(always)]
pub fn mma_m16n8k16(c: &mut [f32; 4], a: [u32; 4], b: [u32; 2]) {
    // SAFETY: all lanes of the warp come here; the emulator checks it.
    let d = unsafe { mma_bf16(a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], c[2], c[3]) };
    *c = [d.0, d.1, d.2, d.3];
}

macro_rules! load_matrix {
    ($($name:ident: $instruction:literal;)*) => { $(
        #[inline(always)]
        pub fn $name(self, i: u32) -> [u32; 4] {
            let (a, b, c, d);
            // SAFETY: a row of 16 bytes in bounds and aligned, which the emulator checks. Not
            // `pure`: a collective must stay where it is written.
            unsafe {
                asm!(
                    concat!($instruction, " {{{0}, {1}, {2}, {3}}}, [{4}];"),
                    out(reg32) a,
                    out(reg32) b,
                    out(reg32) c,
                    out(reg32) d,
                    in(reg32) self.address(i),
                    options(readonly, nostack)
                );
            }
            [a, b, c, d]
        }
    )* };
}

macro_rules! store_matrix {
    ($($name:ident: $instruction:literal;)*) => { $(
        #[inline(always)]
        pub fn $name(self, i: u32, words: [u32; 4]) {
            // SAFETY: a row of 16 bytes in bounds and aligned, which the emulator checks.
            unsafe {
                asm!(
                    concat!($instruction, " [{0}], {{{1}, {2}, {3}, {4}}};"),
                    in(reg32) self.address(i),
                    in(reg32) words[0],
                    in(reg32) words[1],
                    in(reg32) words[2],
                    in(reg32) words[3],
                    options(nostack)
                );
            }
        }
    )* };
}

impl<T: Element> Shared<T> {
    load_matrix! {
        ldmatrix_x4: "ldmatrix.sync.aligned.m8n8.x4.shared.b16";
        ldmatrix_x4_trans: "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16";
    }

    store_matrix! {
        stmatrix_x4: "stmatrix.sync.aligned.m8n8.x4.shared.b16";
        stmatrix_x4_trans: "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16";
    }
}
