//! Atomics on global and shared words. `core`'s lose their ordering on the way to PTX, so these are
//! inline.

use core::arch::asm;

use super::Global;
use crate::simt::Shared;

macro_rules! global_fetch {
    ($($name:ident: $type:ty, $instruction:literal;)*) => { $(
        #[inline(always)]
        pub fn $name(self, i: usize, value: $type) -> $type {
            let before: $type;
            // SAFETY: in bounds, which the emulator checks.
            unsafe {
                asm!(
                    concat!($instruction, " {0}, [{1}], {2};"),
                    out(reg32) before,
                    in(reg64) self.address(i),
                    in(reg32) value,
                    options(nostack)
                );
            }
            before
        }
    )* };
}

impl Global<u32> {
    global_fetch! {
        atomic_add: u32, "atom.relaxed.gpu.global.add.u32";
        atomic_max: u32, "atom.relaxed.gpu.global.max.u32";
        atomic_or: u32, "atom.relaxed.gpu.global.or.b32";
        atomic_add_acq_rel: u32, "atom.acq_rel.gpu.global.add.u32";
    }

    #[inline(always)]
    pub fn ld_acquire(self, i: usize) -> u32 {
        let value: u32;
        // SAFETY: in bounds, which the emulator checks.
        unsafe {
            asm!(
                "ld.acquire.gpu.global.u32 {0}, [{1}];",
                out(reg32) value,
                in(reg64) self.address(i),
                options(nostack)
            );
        }
        value
    }

    #[inline(always)]
    pub fn st_release(self, i: usize, value: u32) {
        // SAFETY: in bounds, which the emulator checks.
        unsafe {
            asm!(
                "st.release.gpu.global.u32 [{0}], {1};",
                in(reg64) self.address(i),
                in(reg32) value,
                options(nostack)
            );
        }
    }
}

impl Global<f32> {
    global_fetch! {
        atomic_add: f32, "atom.relaxed.gpu.global.add.f32";
    }
}

macro_rules! shared_fetch {
    ($($name:ident: $instruction:literal;)*) => { $(
        #[inline(always)]
        pub fn $name(self, i: u32, value: u32) -> u32 {
            let before: u32;
            // SAFETY: in bounds, which the emulator checks.
            unsafe {
                asm!(
                    concat!($instruction, " {0}, [{1}], {2};"),
                    out(reg32) before,
                    in(reg32) self.address(i),
                    in(reg32) value,
                    options(nostack)
                );
            }
            before
        }
    )* };
}

impl Shared<u32> {
    shared_fetch! {
        atomic_add: "atom.relaxed.cta.shared.add.u32";
        atomic_max: "atom.relaxed.cta.shared.max.u32";
        atomic_or: "atom.relaxed.cta.shared.or.b32";
    }
}
