//! mbarrier: a barrier in shared memory that counts arrivals and bytes.

use core::arch::asm;

use super::shared::window;

/// A barrier of 8 bytes in shared memory.
#[derive(Clone, Copy)]
pub struct Mbarrier(u32);

impl Mbarrier {
    #[inline(always)]
    pub fn at(offset_bytes: u32) -> Self {
        Self(window() + offset_bytes)
    }

    #[inline(always)]
    pub fn nth(self, i: u32) -> Self {
        Self(self.0 + 8 * i)
    }

    #[inline(always)]
    pub fn init(self, arrivals: u32) {
        // SAFETY: eight bytes that are a barrier's alone, which the emulator checks.
        unsafe {
            asm!("mbarrier.init.shared::cta.b64 [{0}], {1};", in(reg32) self.0, in(reg32) arrivals,
                options(nostack));
        }
    }

    #[inline(always)]
    pub fn arrive(self) {
        // SAFETY: an initialised barrier, which the emulator checks; so below.
        unsafe {
            asm!("mbarrier.arrive.shared::cta.b64 _, [{0}];", in(reg32) self.0, options(nostack));
        }
    }

    #[inline(always)]
    pub fn arrive_expect_tx(self, bytes: u32) {
        // SAFETY: as in `arrive`.
        unsafe {
            asm!("mbarrier.arrive.expect_tx.shared::cta.b64 _, [{0}], {1};", in(reg32) self.0,
                in(reg32) bytes, options(nostack));
        }
    }

    #[inline(always)]
    pub fn wait(self, parity: u32) {
        let mut done = 0_u32;
        while done == 0 {
            // SAFETY: as in `arrive`.
            unsafe {
                asm!(
                    "{{ .reg .pred p;",
                    "mbarrier.try_wait.parity.shared::cta.b64 p, [{1}], {2};",
                    "selp.u32 {0}, 1, 0, p; }}",
                    out(reg32) done, in(reg32) self.0, in(reg32) parity, options(nostack)
                );
            }
        }
    }

    #[inline(always)]
    pub(super) fn address(self) -> u32 {
        self.0
    }
}

#[inline(always)]
pub fn fence_mbarrier_init() {
    // SAFETY: only orders memory.
    unsafe {
        asm!(
            "fence.mbarrier_init.release.cluster;",
            "fence.proxy.async.shared::cta;",
            options(nostack)
        );
    }
}
