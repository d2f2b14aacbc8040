//! What a thread can know of others: per warp, per mbarrier and per warpgroup's products, a number
//! up to which everything they did came before. Clocks of single lanes, which an arrival at an
//! mbarrier publishes, are kept apart in a short list.

/// Components of a clock: warps, then mbarriers, then warpgroups (their wgmma groups).
pub(super) const COMPONENTS: usize = MBARRIERS + MBARRIERS_MAX + 8;
/// First component of the mbarriers.
pub(super) const MBARRIERS: usize = 32;
/// Most mbarriers of a block.
pub(super) const MBARRIERS_MAX: usize = 48;
/// First component of the warpgroups.
pub(super) const PRODUCTS: usize = MBARRIERS + MBARRIERS_MAX;

/// In place of a lane: several lanes of the warp.
pub(super) const SEVERAL: u8 = 0xff;

/// An event: who, by component and lane, and when, by clock and epoch. A barrier of the whole block
/// starts a new epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamp {
    pub(super) component: u8,
    pub(super) lane: u8,
    pub(super) clock: u32,
    pub(super) epoch: u32,
}

impl Stamp {
    /// The thread of an event of one lane.
    pub(super) fn thread(self) -> u32 {
        u32::from(self.component) * 32 + u32::from(self.lane % 32)
    }
}

/// What is known.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    known: [u32; COMPONENTS],
    /// Thread and clock of lanes that published more than their warp did.
    lanes: Vec<(u32, u32)>,
}

impl Clock {
    pub(super) const ZERO: Self = Self { known: [0; COMPONENTS], lanes: Vec::new() };

    /// Whether the event is known to have come before.
    #[inline]
    pub(super) fn covers(&self, event: Stamp) -> bool {
        if self.known[usize::from(event.component)] >= event.clock {
            return true;
        }
        event.lane != SEVERAL
            && !self.lanes.is_empty()
            && self.lanes.iter().any(|(t, clock)| *t == event.thread() && *clock >= event.clock)
    }

    /// Knows what `other` knows, too.
    pub(super) fn join(&mut self, other: &Self) {
        for (mine, theirs) in self.known.iter_mut().zip(&other.known) {
            *mine = (*mine).max(*theirs);
        }
        for (thread, clock) in &other.lanes {
            self.learn_lane(*thread, *clock);
        }
    }

    /// Knows `component` up to `clock`.
    pub(super) fn learn(&mut self, component: usize, clock: u32) {
        self.known[component] = self.known[component].max(clock);
    }

    /// Knows one lane up to `clock`.
    pub(super) fn learn_lane(&mut self, thread: u32, clock: u32) {
        if self.known[thread as usize / 32] >= clock {
            return;
        }
        match self.lanes.iter_mut().find(|(t, _)| *t == thread) {
            Some((_, known)) => *known = (*known).max(clock),
            None => self.lanes.push((thread, clock)),
        }
    }

    /// Drops what an epoch has settled: the clocks of warps and lanes.
    pub(super) fn forget_threads(&mut self) {
        self.known[..MBARRIERS].fill(0);
        self.lanes.clear();
    }

    pub(super) fn clear(&mut self) {
        self.known.fill(0);
        self.lanes.clear();
    }
}
