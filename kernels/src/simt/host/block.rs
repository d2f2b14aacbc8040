//! The state of one block: its lanes, warps, shared memory, barriers, and copies under way.

use std::sync::Arc;

use super::barrier::NamedBarrier;
use super::carrier::Yielder;
use super::copy::{LaneCopies, Outgoing};
use super::emulate::Emulation;
use super::fault::{Caller, Site};
use super::landing::InFlight;
use super::mbarrier::MbarrierState;
use super::meeting::{ALL, Assembly, Meeting};
use super::order::MemoryOrder;
use super::owners::Owned;
use super::shared::SharedMemory;
use super::wgmma::LaneProducts;
use crate::simt::Launch;

/// A thread of the block.
pub(super) struct Lane {
    pub(super) yielder: Yielder,
    /// What it waits for, while it does.
    pub(super) wait: Option<(&'static str, Caller)>,
    pub(super) copies: LaneCopies,
    pub(super) products: LaneProducts,
}

/// Thirty-two lanes.
pub(super) struct Warp {
    /// Lanes that have not ended.
    pub(super) live: u32,
    /// Lanes that wait for nothing.
    pub(super) runnable: u32,
    pub(super) meeting: Meeting,
}

/// A block under emulation; kept from block to block for its memory.
pub(super) struct Block {
    pub(super) kernel: &'static str,
    pub(super) index: [u32; 3],
    pub(super) grid: [u32; 3],
    pub(super) threads: u32,
    pub(super) emulation: Emulation,
    pub(super) shared: SharedMemory,
    pub(super) lanes: Vec<Lane>,
    pub(super) warps: Vec<Warp>,
    pub(super) assemblies: Vec<Assembly>,
    pub(super) barriers: [NamedBarrier; 16],
    pub(super) mbarriers: Vec<MbarrierState>,
    /// Copies to shared memory that have not landed.
    pub(super) in_flight: Vec<InFlight>,
    /// Stores of the copy engine whose source may not be overwritten yet, by thread.
    pub(super) outgoing: Vec<(u32, Outgoing)>,
    /// Who is ordered after whom; absent when races are not looked for.
    pub(super) order: Option<Box<MemoryOrder>>,
    /// Places where threads waited for one another, for whoever wants to leave one out.
    pub(super) sync_sites: Vec<Caller>,
    /// This block among all that ever ran, as the owner of global memory that it writes.
    pub(super) owner: u32,
    /// Owners of global memory, when races between blocks are looked for.
    pub(super) owned: Option<Arc<Owned>>,
    /// The block has read what others released, so it may read what they wrote.
    pub(super) has_synchronised: bool,
}

impl Block {
    pub(super) fn new() -> Self {
        Self {
            kernel: "",
            index: [0; 3],
            grid: [0; 3],
            threads: 0,
            emulation: Emulation::default(),
            shared: SharedMemory::new(),
            lanes: Vec::new(),
            warps: Vec::new(),
            assemblies: Vec::new(),
            barriers: [NamedBarrier::IDLE; 16],
            mbarriers: Vec::new(),
            in_flight: Vec::new(),
            outgoing: Vec::new(),
            order: None,
            sync_sites: Vec::new(),
            owner: 0,
            owned: None,
            has_synchronised: false,
        }
    }

    /// Makes this the block `index` of a launch, with all its lanes yet to run.
    pub(super) fn reset(
        &mut self,
        kernel: &'static str,
        launch: &Launch,
        emulation: &Emulation,
        index: [u32; 3],
    ) {
        self.kernel = kernel;
        self.index = index;
        self.grid = launch.grid;
        self.threads = launch.threads;
        self.emulation = *emulation;
        self.shared.reset(launch.shared_bytes);
        self.lanes.clear();
        self.lanes.extend((0..launch.threads).map(|_| Lane {
            yielder: Yielder::NONE,
            wait: None,
            copies: LaneCopies::default(),
            products: LaneProducts::default(),
        }));
        let warps = launch.threads as usize / 32;
        self.warps.clear();
        self.warps.extend((0..warps).map(|_| Warp {
            live: ALL,
            runnable: ALL,
            meeting: Meeting::NONE,
        }));
        self.assemblies.clear();
        self.assemblies.extend((0..warps.div_ceil(4)).map(|_| Assembly::NONE));
        self.barriers = [NamedBarrier::IDLE; 16];
        self.mbarriers.clear();
        self.in_flight.clear();
        self.outgoing.clear();
        self.sync_sites.clear();
        self.has_synchronised = false;
        match (&mut self.order, emulation.races) {
            (order, false) => *order = None,
            (Some(order), true) => order.reset(launch.threads, launch.shared_bytes),
            (order @ None, true) => {
                let mut fresh = Box::new(MemoryOrder::new());
                fresh.reset(launch.threads, launch.shared_bytes);
                *order = Some(fresh);
            }
        }
    }

    /// Notes a place of synchronisation; true when this launch is to go without it.
    #[inline(always)]
    pub(super) fn is_left_out(&mut self, caller: Caller) -> bool {
        if !self.sync_sites.iter().any(|site| std::ptr::eq(*site, caller)) {
            self.sync_sites.push(caller);
        }
        self.emulation.without.is_some_and(|site| site == Site::from(caller))
    }

    /// Lets a lane run again.
    #[inline(always)]
    pub(super) fn wake(&mut self, thread: u32) {
        self.warps[thread as usize / 32].runnable |= 1 << (thread % 32);
    }

    /// Keeps a lane from running until it is woken; the lane itself then suspends.
    #[inline(always)]
    pub(super) fn put_to_sleep(&mut self, thread: u32) {
        self.warps[thread as usize / 32].runnable &= !(1 << (thread % 32));
    }
}
