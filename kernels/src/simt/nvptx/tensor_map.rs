//! Tensor maps: 128 opaque bytes that the driver encoded, used where they lie among the parameters.
//! They are never copied: the copy would lie in local memory, which the copy engine cannot read.

use core::arch::asm;

use super::{Argument, Mbarrier};
use crate::simt::{Element, Shared};

/// A tensor map among the parameters of the kernel, by its generic address.
#[derive(Clone, Copy)]
pub struct TensorMap(u64);

/// The bytes of the parameter. The PTX asks for 64-byte alignment after `ci/ptx` has patched it;
/// the compiler crashes when asked for more than 16.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct EncodedMap([u64; 16]);

impl Argument for TensorMap {
    type Raw = EncodedMap;

    #[inline(always)]
    fn from_raw(_: EncodedMap, address: impl FnOnce() -> u64) -> Self {
        Self(address())
    }
}

impl TensorMap {
    #[inline(always)]
    pub fn load<T: Element, const RANK: usize>(
        self,
        to: Shared<T>,
        i: u32,
        at: [i32; RANK],
        done: Mbarrier,
    ) {
        const { assert!(RANK >= 2 && RANK <= 4) };
        let (to, done, x, y) = (to.address(i), done.address(), at[0], at[1]);
        // SAFETY: the box lies in bounds of shared memory, which the emulator checks.
        unsafe {
            match RANK {
                2 => asm!(
                    "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes",
                    "[{0}], [{1}, {{{3}, {4}}}], [{2}];",
                    in(reg32) to, in(reg64) self.0, in(reg32) done, in(reg32) x, in(reg32) y,
                    options(nostack)
                ),
                3 => asm!(
                    "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes",
                    "[{0}], [{1}, {{{3}, {4}, {5}}}], [{2}];",
                    in(reg32) to, in(reg64) self.0, in(reg32) done, in(reg32) x, in(reg32) y,
                    in(reg32) coordinate(&at, 2), options(nostack)
                ),
                _ => asm!(
                    "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes",
                    "[{0}], [{1}, {{{3}, {4}, {5}, {6}}}], [{2}];",
                    in(reg32) to, in(reg64) self.0, in(reg32) done, in(reg32) x, in(reg32) y,
                    in(reg32) coordinate(&at, 2), in(reg32) coordinate(&at, 3), options(nostack)
                ),
            }
        }
    }

    #[inline(always)]
    pub fn store<T: Element, const RANK: usize>(self, from: Shared<T>, i: u32, at: [i32; RANK]) {
        const { assert!(RANK >= 2 && RANK <= 4) };
        let (from, x, y) = (from.address(i), at[0], at[1]);
        // SAFETY: as in `load`.
        unsafe {
            match RANK {
                2 => asm!(
                    "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group",
                    "[{1}, {{{2}, {3}}}], [{0}];",
                    in(reg32) from, in(reg64) self.0, in(reg32) x, in(reg32) y, options(nostack)
                ),
                3 => asm!(
                    "cp.async.bulk.tensor.3d.global.shared::cta.bulk_group",
                    "[{1}, {{{2}, {3}, {4}}}], [{0}];",
                    in(reg32) from, in(reg64) self.0, in(reg32) x, in(reg32) y,
                    in(reg32) coordinate(&at, 2), options(nostack)
                ),
                _ => asm!(
                    "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group",
                    "[{1}, {{{2}, {3}, {4}, {5}}}], [{0}];",
                    in(reg32) from, in(reg64) self.0, in(reg32) x, in(reg32) y,
                    in(reg32) coordinate(&at, 2), in(reg32) coordinate(&at, 3), options(nostack)
                ),
            }
        }
    }

    #[inline(always)]
    pub fn prefetch(self) {
        // SAFETY: fetches the map into a cache.
        unsafe { asm!("prefetch.tensormap [{0}];", in(reg64) self.0, options(nostack)) }
    }
}

/// A coordinate whose presence only the branch on RANK knows.
#[inline(always)]
fn coordinate<const RANK: usize>(at: &[i32; RANK], i: usize) -> i32 {
    // SAFETY: called where `i` is below RANK.
    unsafe { *at.get_unchecked(i) }
}
