//! Races between blocks in global memory: each word of 4 bytes remembers which block of the launch
//! wrote which of its bytes. Blocks run in any order on the device, so what one writes no other may
//! touch in the same launch, but for a block that has synchronised through an atomic. Atomics and
//! the copy engine are not followed, nor is a write after another block's read.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::fault::{Caller, FaultKind, fail};
use super::here::here;
use super::memory::Allocation;

/// How global memory is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    Read,
    Write,
}

/// The memory that a launch may touch, as far as it looks for races.
pub(super) struct Owned {
    /// Allocations of the arguments, by address.
    pub(super) allocations: Vec<Arc<Allocation>>,
    /// Owners of this launch are numbered from here.
    pub(super) first_owner: u32,
}

/// Notes an access of up to 16 bytes by the running block, and refuses one that races.
#[inline(always)]
pub(super) fn touch(address: u64, bytes: usize, touch: Touch, caller: Caller) {
    here().with(|block| {
        if let Some(owned) = &block.owned {
            let synchronised = block.has_synchronised;
            if let Some(other) = owned.note(address, bytes, touch, block.owner, synchronised) {
                refuse(touch, other - owned.first_owner, caller);
            }
        }
    });
}

impl Owned {
    /// The other block that wrote there in this launch, if one did.
    #[inline]
    fn note(
        &self,
        address: u64,
        bytes: usize,
        touch: Touch,
        owner: u32,
        synchronised: bool,
    ) -> Option<u32> {
        let inside = |a: &&Arc<Allocation>| address.wrapping_sub(a.address()) < a.bytes();
        let allocation = self.allocations.iter().find(inside)?;
        let (owners, from) = (allocation.owners(), (address - allocation.address()) as usize);
        for word in from / 4..(from + bytes).div_ceil(4) {
            let (start, end) = (from.max(word * 4), (from + bytes).min(word * 4 + 4));
            let mask = ((1_u64 << (end - start)) - 1) << (start - word * 4);
            let tag = owners[word].load(Relaxed);
            let (other, written) = ((tag >> 32) as u32, tag & 15);
            let is_other = other >= self.first_owner && other != owner;
            if is_other && written & mask != 0 && !synchronised {
                return Some(other);
            }
            if touch == Touch::Write {
                let kept = if other == owner { written } else { 0 };
                owners[word].store(u64::from(owner) << 32 | kept | mask, Relaxed);
            }
        }
        None
    }
}

#[cold]
#[inline(never)]
fn refuse(touch: Touch, other: u32, caller: Caller) -> ! {
    let verb = if touch == Touch::Read { "read" } else { "write" };
    let what = format!("{verb} of global memory that block {other} of the grid wrote");
    fail(FaultKind::Race, caller, what)
}
