//! Copies to shared memory that run beside the threads. They land as late as they may, when no lane
//! can run; a kernel that does not wait reads NaN, or is refused. Or as early as they may.

use super::block::Block;
use super::emulate::Landing;
use super::fault::{Caller, FaultKind, fail};
use super::mbarrier::complete_bytes;
use super::memory;
use super::shared::{accept, check_outgoing};
use super::tensor_map::TensorBox;

/// Where a copy takes its bytes from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// A run of global bytes, in bounds.
    Bytes(u64),
    /// A box of a tensor.
    Box(TensorBox),
}

/// A copy under way.
pub(super) struct InFlight {
    to: u32,
    bytes: u32,
    source: Source,
    /// Index of the mbarrier that counts its bytes.
    mbarrier: usize,
}

/// `thread` starts a copy to `bytes` bytes at `to`, counted by mbarrier `mbarrier`.
pub(super) fn take_off(
    block: &mut Block,
    thread: u32,
    (to, bytes): (u32, u32),
    source: Source,
    mbarrier: usize,
    caller: Caller,
) {
    check_outgoing(block, to, bytes, caller);
    if let Some(order) = &mut block.order {
        accept(order.take_off(to, bytes, thread), "copy", caller);
    }
    let overlaps = |copy: &InFlight| to < copy.to + copy.bytes && copy.to < to + bytes;
    if block.in_flight.iter().any(overlaps) {
        let what = format!("copy to shared byte {to}, to which another is under way");
        fail(FaultKind::InFlight, caller, what);
    }
    block.shared.bytes(to, bytes).fill(0xff);
    block.in_flight.push(InFlight { to, bytes, source, mbarrier });
    if matches!(block.emulation.landing, Landing::Early) {
        land(block, block.in_flight.len() - 1);
    }
}

/// Copy `at` arrives.
pub(super) fn land(block: &mut Block, at: usize) {
    let InFlight { to, bytes, source, mbarrier } = block.in_flight.remove(at);
    let target = block.shared.bytes(to, bytes);
    match source {
        Source::Bytes(address) => memory::read_bytes(address, target),
        Source::Box(tensor) => tensor.load(to, target),
    }
    let phase = block.mbarriers[mbarrier].phase();
    if let Some(order) = &mut block.order {
        order.land(to, bytes, mbarrier, phase);
    }
    complete_bytes(block, mbarrier, bytes);
}
