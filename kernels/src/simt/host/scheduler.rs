//! Runs one block: resumes its lanes in some order until all have ended, or one has failed, or none
//! can go on.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::block::Block;
use super::carrier::{Carrier, LaneStack};
use super::emulate::Schedule;
use super::fault::{Fault, FaultKind, Site};
use super::here::Here;
use super::landing::land;

/// What an OS thread keeps from block to block.
struct Workshop {
    block: Option<Box<Block>>,
    stacks: Vec<LaneStack>,
    stack_bytes: usize,
}

thread_local! {
    static WORKSHOP: RefCell<Workshop> =
        const { RefCell::new(Workshop { block: None, stacks: Vec::new(), stack_bytes: 0 }) };
}

/// Runs the block that `prepare` makes; `lane_main` is a thread of the kernel. Calls `leave` with
/// the block after its last lane has ended well.
pub(super) fn run_block(
    prepare: impl FnOnce(&mut Block),
    lane_main: &(dyn Fn() + Sync),
    leave: impl FnOnce(&Block),
) -> Result<(), Fault> {
    let (mut block, mut stacks) = WORKSHOP.with_borrow_mut(|workshop| {
        let block = workshop.block.take().unwrap_or_else(|| Box::new(Block::new()));
        (block, std::mem::take(&mut workshop.stacks))
    });
    prepare(&mut block);
    let stack_bytes = block.emulation.stack_bytes;
    if WORKSHOP.with_borrow_mut(|workshop| {
        std::mem::replace(&mut workshop.stack_bytes, stack_bytes) != stack_bytes
    }) {
        stacks.clear();
    }
    let threads = block.threads as usize;
    while stacks.len() < threads {
        stacks.push(LaneStack::new(stack_bytes));
    }
    // From here on the block is reached through this pointer alone, by the lanes as well.
    let block = Box::into_raw(block);
    let panics = Panics::default();
    let lanes = stacks.drain(stacks.len() - threads..).enumerate();
    let lanes = lanes.map(|(thread, stack)| carry(block, thread, stack, lane_main, &panics));
    let mut carriers: Vec<Carrier> = lanes.collect();
    let result = run_lanes(block, &mut carriers, &panics);
    Here::leave();
    stacks.extend(carriers.into_iter().map(Carrier::finish));
    // SAFETY: made by `into_raw` above, and the lanes that had the pointer are gone.
    let mut block = unsafe { Box::from_raw(block) };
    // The launch's memory is not to outlive it.
    block.owned = None;
    if result.is_ok() {
        leave(&block);
    }
    WORKSHOP.with_borrow_mut(|workshop| {
        workshop.block = Some(block);
        workshop.stacks = stacks;
    });
    result
}

/// What a lane unwound with.
#[derive(Default)]
struct Panics(RefCell<Option<Box<dyn Any + Send>>>);

fn carry(
    block: *mut Block,
    thread: usize,
    stack: LaneStack,
    lane_main: &(dyn Fn() + Sync),
    panics: &Panics,
) -> Carrier {
    let panics: *const Panics = panics;
    let main = move |yielder| {
        // SAFETY: the block outlives its carriers, and no reference to it is alive while a lane
        // starts.
        unsafe { (&mut (*block).lanes)[thread].yielder = yielder };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(lane_main)) {
            // SAFETY: `run_block` keeps it until the carriers are finished.
            unsafe { (*panics).0.replace(Some(payload)) };
        }
    };
    // SAFETY: `lane_main` and `panics` outlive the carriers, which `run_block` finishes; unwinding
    // is caught above.
    unsafe { Carrier::new(stack, thread, main) }
}

/// Runs lanes until all have ended.
fn run_lanes(block: *mut Block, carriers: &mut [Carrier], panics: &Panics) -> Result<(), Fault> {
    // SAFETY: no lane runs.
    let (schedule, threads) = unsafe { ((*block).emulation.schedule, (*block).threads) };
    let warps = threads as usize / 32;
    let mut dice = Dice::new(schedule);
    let mut left = carriers.len();
    while left > 0 {
        let mut has_run = false;
        let first = dice.pick_first_warp(warps);
        for turn in 0..warps {
            let warp = (first + turn) % warps;
            loop {
                // SAFETY: no lane runs.
                let runnable = unsafe { (&(*block).warps)[warp].runnable };
                if runnable == 0 {
                    break;
                }
                has_run = true;
                left -= run_warp(block, warp, runnable, carriers, panics, &mut dice)?;
                if dice.is_tired() {
                    break;
                }
            }
        }
        if has_run || left == 0 {
            continue;
        }
        // SAFETY: no lane runs.
        let block = unsafe { &mut *block };
        if block.in_flight.is_empty() {
            return Err(report_deadlock(block, carriers));
        }
        // Landing may find a fault, which is reported as its first waiting lane's.
        Here::enter(block, 0);
        let at = dice.pick_copy(block.in_flight.len());
        land(block, at);
    }
    Ok(())
}

/// Resumes each of the lanes `runnable` once; returns how many ended.
#[inline(always)]
fn run_warp(
    block: *mut Block,
    warp: usize,
    mut runnable: u32,
    carriers: &mut [Carrier],
    panics: &Panics,
    dice: &mut Dice,
) -> Result<usize, Fault> {
    let mut ended = 0;
    while runnable != 0 {
        let lane = dice.pick_lane(runnable);
        runnable &= !(1 << lane);
        let thread = warp * 32 + lane as usize;
        Here::enter(block, thread as u32);
        if !carriers[thread].resume() {
            continue;
        }
        ended += 1;
        // SAFETY: no lane runs.
        let block = unsafe { &mut *block };
        match panics.0.take() {
            Some(payload) => return Err(as_fault(block, thread, payload)),
            None => end_lane(block, thread)?,
        }
    }
    Ok(ended)
}

/// A lane has returned from the kernel.
fn end_lane(block: &mut Block, thread: usize) -> Result<(), Fault> {
    let fault = |block: &Block, kind, site, what| {
        Err(Fault {
            kind,
            kernel: block.kernel,
            block: block.index,
            thread: thread as u32,
            site,
            what,
        })
    };
    let warp = &mut block.warps[thread / 32];
    warp.runnable &= !(1 << (thread % 32));
    warp.live &= !(1 << (thread % 32));
    if let Some((op, caller)) = warp.meeting.at {
        let site = Some(Site::from(caller));
        let what = format!("exited while lanes {:#x} wait for it in {op}", warp.meeting.arrived);
        return fault(block, FaultKind::Divergence, site, what);
    }
    if block.lanes[thread].copies.has_stores() {
        let what = "exited without a bulk_wait for its stores".to_string();
        return fault(block, FaultKind::InFlight, None, what);
    }
    Ok(())
}

fn as_fault(block: &Block, thread: usize, payload: Box<dyn Any + Send>) -> Fault {
    let payload = match payload.downcast::<Fault>() {
        Ok(fault) => return *fault,
        Err(payload) => payload,
    };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_string());
    let what = text.or_else(|| payload.downcast_ref::<String>().cloned());
    Fault {
        kind: FaultKind::Panic,
        kernel: block.kernel,
        block: block.index,
        thread: thread as u32,
        site: None,
        what: what.unwrap_or_else(|| "panicked".to_string()),
    }
}

/// Who waits where.
fn report_deadlock(block: &Block, carriers: &[Carrier]) -> Fault {
    let mut waits = BTreeMap::<String, Vec<usize>>::new();
    let mut first = None;
    for (thread, lane) in block.lanes.iter().enumerate() {
        let place = match lane.wait {
            _ if carriers[thread].has_ended() => "has exited".to_string(),
            Some((op, caller)) => {
                first.get_or_insert((thread as u32, Site::from(caller)));
                format!("in {op} at {}", Site::from(caller))
            }
            None => "not started".to_string(),
        };
        waits.entry(place).or_default().push(thread);
    }
    let groups = waits.iter().map(|(place, threads)| {
        let (count, first) = (threads.len(), threads[0]);
        format!("{count} thread(s) from {first} on {place}")
    });
    let mut what = format!("deadlock: {}", groups.collect::<Vec<_>>().join("; "));
    for state in block.mbarriers.iter().filter(|state| state.bytes != 0) {
        let (at, pending, bytes) = (state.offset, state.pending, state.bytes);
        what += &format!("; mbarrier at byte {at} lacks {pending} arrival(s), {bytes} byte(s)");
    }
    let (thread, site) = first.map_or((0, None), |(thread, site)| (thread, Some(site)));
    Fault {
        kind: FaultKind::Deadlock,
        kernel: block.kernel,
        block: block.index,
        thread,
        site,
        what,
    }
}

/// Chooses who runs next: in order, or as a seed wills.
struct Dice(Option<u64>);

impl Dice {
    fn new(schedule: Schedule) -> Self {
        Self(match schedule {
            Schedule::Ascending => None,
            Schedule::Seeded(seed) => Some(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        })
    }

    /// A number below `end`, where a seed is given.
    fn below(&mut self, end: u32) -> Option<u32> {
        let state = self.0.as_mut()?;
        // Marsaglia's xorshift64.
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        Some((*state >> 33) as u32 % end)
    }

    /// Which of `warps` warps has turn 0, when all shall have one.
    #[inline(always)]
    fn pick_first_warp(&mut self, warps: usize) -> usize {
        self.below(warps as u32).unwrap_or(0) as usize
    }

    #[inline(always)]
    fn pick_lane(&mut self, runnable: u32) -> u32 {
        match self.below(runnable.count_ones()) {
            None => runnable.trailing_zeros(),
            Some(skip) => {
                let mut rest = runnable;
                for _ in 0..skip {
                    rest &= rest - 1;
                }
                rest.trailing_zeros()
            }
        }
    }

    /// Whether a warp that could go on makes room for another.
    #[inline(always)]
    fn is_tired(&mut self) -> bool {
        self.below(2) == Some(1)
    }

    fn pick_copy(&mut self, copies: usize) -> usize {
        self.below(copies as u32).unwrap_or(0) as usize
    }
}
