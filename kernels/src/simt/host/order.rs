//! Which access to shared memory is ordered after which: the race checker.
//!
//! Three things order: a barrier of the whole block starts an epoch; `sync_warp` and named barriers
//! order whole warps; an mbarrier orders the lanes that arrived before the lanes that waited. A
//! collective that only moves data (shuffles, votes, ldmatrix, mma) orders nothing, as on the
//! device. Stores of the copy engine and reads of wgmma are ordered by their waits alone.

use super::cell::{Cell, Crowds, LINE_BYTES, Origin, Reader};
use super::clock::{Clock, MBARRIERS, PRODUCTS, SEVERAL, Stamp};

/// How shared memory is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    Atomic,
}

/// Who touches it: a lane for itself, or a warp for all its lanes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Actor {
    Lane(u32),
    Warp(usize),
}

impl Actor {
    fn warp(self) -> usize {
        match self {
            Actor::Lane(thread) => thread as usize / 32,
            Actor::Warp(warp) => warp,
        }
    }
}

/// What is wrong with an access, and at which byte of the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conflict {
    pub(super) byte: u32,
    pub(super) cause: Cause,
}

/// What is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    NeverWritten,
    Mbarrier,
    InFlight { issuer: u32 },
    Write(Stamp),
    Atomic(Stamp),
    Landing,
    Read(Stamp),
    Product { warpgroup: usize },
    Unfenced(Stamp),
}

struct WarpClock {
    /// What all its lanes know.
    known: Clock,
    /// Everything that its lanes did up to here is ordered before what they do now.
    synced: u32,
    /// Largest clock of its lanes.
    newest: u32,
    /// Lanes that know more than the warp.
    private: u32,
}

struct LaneClock {
    clock: u32,
    /// What the lane learned since its warp last synchronised.
    known: Option<Box<Clock>>,
    /// When it executed its proxy fences.
    fences: Vec<Stamp>,
}

/// The checker of one block.
pub(super) struct MemoryOrder {
    /// Never goes back, not from block to block either, so that old cells need no cleaning.
    epoch: u32,
    first_epoch: u32,
    warps: Vec<WarpClock>,
    lanes: Vec<LaneClock>,
    /// Bytes per piece of each line, 1 to 16.
    pieces: Vec<u8>,
    /// Sixteen for each line, of which those at the start of a piece count.
    cells: Vec<Cell>,
    crowds: Crowds,
    /// For each line and warpgroup, the last group of wgmma that reads it; empty until needed.
    products: Vec<[u32; 8]>,
}

impl MemoryOrder {
    pub(super) fn new() -> Self {
        Self {
            epoch: 0,
            first_epoch: 0,
            warps: Vec::new(),
            lanes: Vec::new(),
            pieces: Vec::new(),
            cells: Vec::new(),
            crowds: Vec::new(),
            products: Vec::new(),
        }
    }

    pub(super) fn reset(&mut self, threads: u32, shared_bytes: u32) {
        if self.epoch > u32::MAX / 2 {
            self.cells.fill(Cell::default());
            self.epoch = 0;
        }
        self.epoch += 1;
        self.first_epoch = self.epoch;
        let warps = threads as usize / 32;
        let fresh = || WarpClock { known: Clock::ZERO, synced: 0, newest: 1, private: 0 };
        self.warps.clear();
        self.warps.resize_with(warps, fresh);
        self.lanes.clear();
        let fresh = || LaneClock { clock: 1, known: None, fences: Vec::new() };
        self.lanes.resize_with(threads as usize, fresh);
        let lines = shared_bytes.div_ceil(LINE_BYTES) as usize;
        self.pieces.clear();
        self.pieces.resize(lines, LINE_BYTES as u8);
        if self.cells.len() < lines * LINE_BYTES as usize {
            self.cells.resize(lines * LINE_BYTES as usize, Cell::default());
        }
        self.crowds.clear();
        self.products.clear();
    }

    /// The lane's clock now.
    #[inline(always)]
    fn clock_of(&self, thread: u32) -> u32 {
        let synced = self.warps[thread as usize / 32].synced;
        self.lanes[thread as usize].clock.max(synced + 1)
    }

    #[inline(always)]
    fn stamp(&self, actor: Actor) -> Stamp {
        let epoch = self.epoch;
        match actor {
            Actor::Lane(thread) => Stamp {
                component: (thread / 32) as u8,
                lane: (thread % 32) as u8,
                clock: self.clock_of(thread),
                epoch,
            },
            Actor::Warp(warp) => {
                let clock = self.warps[warp].newest.max(self.warps[warp].synced + 1);
                Stamp { component: warp as u8, lane: SEVERAL, clock, epoch }
            }
        }
    }

    /// Whether the event came before what the actor does now.
    #[inline]
    fn is_ordered(&self, event: Stamp, actor: Actor) -> bool {
        let warp = &self.warps[actor.warp()];
        if usize::from(event.component) < MBARRIERS {
            if event.epoch < self.epoch {
                return true;
            }
            if usize::from(event.component) == actor.warp() {
                let own = matches!(actor, Actor::Lane(thread)
                    if event.lane != SEVERAL && u32::from(event.lane) == thread % 32);
                if own || event.clock <= warp.synced {
                    return true;
                }
            }
        }
        let knows = |lane: &LaneClock| lane.known.as_ref().is_some_and(|own| own.covers(event));
        warp.known.covers(event)
            || match actor {
                Actor::Lane(thread) => knows(&self.lanes[thread as usize]),
                Actor::Warp(w) => {
                    warp.private == u32::MAX && self.lanes[w * 32..w * 32 + 32].iter().all(knows)
                }
            }
    }

    /// Checks an access to `bytes` bytes at `offset` of the window, and notes it.
    #[inline]
    pub(super) fn touch(
        &mut self,
        offset: u32,
        bytes: u32,
        access: Access,
        actor: Actor,
    ) -> Result<(), Conflict> {
        let mut at = offset;
        while at < offset + bytes {
            let line = at / LINE_BYTES;
            let end = (offset + bytes).min((line + 1) * LINE_BYTES);
            self.cut(line as usize, end - at);
            let piece = u32::from(self.pieces[line as usize]);
            let is_whole = end - at == LINE_BYTES;
            while at < end {
                self.touch_cell(at, access, actor).map_err(|cause| Conflict { byte: at, cause })?;
                at += piece;
            }
            if is_whole && access == Access::Write {
                self.pieces[line as usize] = LINE_BYTES as u8;
            }
        }
        Ok(())
    }

    /// Cuts a line into pieces no longer than `bytes`.
    #[inline(always)]
    fn cut(&mut self, line: usize, bytes: u32) {
        let piece = u32::from(self.pieces[line]);
        if piece <= bytes {
            return;
        }
        let cells = &mut self.cells[line * 16..line * 16 + 16];
        for at in 0..16 {
            cells[at] = cells[at / piece as usize * piece as usize];
        }
        // Accesses are aligned to their size, or whole lines.
        self.pieces[line] = bytes as u8;
    }

    #[inline]
    fn touch_cell(&mut self, at: u32, access: Access, actor: Actor) -> Result<(), Cause> {
        let cell = &self.cells[at as usize];
        let written = cell.writer.epoch >= self.first_epoch;
        if written {
            let both_atomic = access == Access::Atomic && cell.origin == Origin::Atomic;
            match cell.origin {
                Origin::InFlight => {
                    return Err(Cause::InFlight { issuer: cell.writer.thread() });
                }
                Origin::Mbarrier => return Err(Cause::Mbarrier),
                _ => {}
            }
            if !both_atomic && !self.is_ordered(cell.writer, actor) {
                return Err(match cell.origin {
                    Origin::Landed => Cause::Landing,
                    Origin::Atomic => Cause::Atomic(cell.writer),
                    _ => Cause::Write(cell.writer),
                });
            }
        } else if access != Access::Write {
            return Err(Cause::NeverWritten);
        }
        if access == Access::Read {
            let (epoch, synced) = (self.epoch, self.warps[actor.warp()].synced);
            let Stamp { component, lane, clock, .. } = self.stamp(actor);
            let reader = Reader { warp: component, lane, clock };
            let cell = &mut self.cells[at as usize];
            cell.add_reader(epoch, reader, |known| known.clock <= synced, &mut self.crowds);
            return Ok(());
        }
        self.check_readers(at, actor)?;
        let origin = if access == Access::Write { Origin::Store } else { Origin::Atomic };
        let writer = self.stamp(actor);
        self.set_writer(at, writer, origin);
        Ok(())
    }

    /// Every read is ordered before a write of `actor`.
    #[inline]
    fn check_readers(&self, at: u32, actor: Actor) -> Result<(), Cause> {
        let cell = &self.cells[at as usize];
        let is_ordered = |read| self.is_ordered(read, actor);
        if let Some(read) = cell.find_reader(self.epoch, &self.crowds, is_ordered) {
            return Err(Cause::Read(read));
        }
        if let Some(groups) = self.products.get((at / LINE_BYTES) as usize) {
            for (warpgroup, group) in groups.iter().enumerate().filter(|(_, g)| **g > 0) {
                let component = (PRODUCTS + warpgroup) as u8;
                let read = Stamp { component, lane: SEVERAL, clock: *group, epoch: self.epoch };
                if !self.is_ordered(read, actor) {
                    return Err(Cause::Product { warpgroup });
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn set_writer(&mut self, at: u32, writer: Stamp, origin: Origin) {
        let fences = match origin {
            Origin::Landed => 0,
            _ => self.lanes[writer.thread() as usize].fences.len() as u32,
        };
        let cell = &mut self.cells[at as usize];
        cell.writer = writer;
        cell.origin = origin;
        cell.fences = fences;
        cell.forget_readers();
    }
}

/// Copies and products, which run beside the threads.
impl MemoryOrder {
    /// A copy into whole lines is issued by `thread`.
    pub(super) fn take_off(
        &mut self,
        offset: u32,
        bytes: u32,
        thread: u32,
    ) -> Result<(), Conflict> {
        self.touch(offset, bytes, Access::Write, Actor::Lane(thread))?;
        self.mark(offset, bytes, self.stamp(Actor::Lane(thread)), Origin::InFlight);
        Ok(())
    }

    /// The copy has landed, and who waits for `phase` of mbarrier `index` may read it.
    pub(super) fn land(&mut self, offset: u32, bytes: u32, index: usize, phase: u32) {
        let component = (MBARRIERS + index) as u8;
        let stamp = Stamp { component, lane: SEVERAL, clock: phase, epoch: self.epoch };
        self.mark(offset, bytes, stamp, Origin::Landed);
    }

    /// The copy has landed as if `thread` had stored it now.
    pub(super) fn land_for(&mut self, offset: u32, bytes: u32, thread: u32) {
        self.mark(offset, bytes, self.stamp(Actor::Lane(thread)), Origin::Store);
    }

    fn mark(&mut self, offset: u32, bytes: u32, writer: Stamp, origin: Origin) {
        for line in offset / LINE_BYTES..(offset + bytes).div_ceil(LINE_BYTES) {
            self.pieces[line as usize] = LINE_BYTES as u8;
            self.set_writer(line * LINE_BYTES, writer, origin);
        }
    }

    /// The asynchronous proxy reads for `actor`: as a read, and what threads wrote was followed by
    /// a proxy fence that is ordered before, too.
    pub(super) fn read_async(
        &mut self,
        offset: u32,
        bytes: u32,
        actor: Actor,
    ) -> Result<(), Conflict> {
        let mut at = offset;
        while at < offset + bytes {
            let line = (at / LINE_BYTES) as usize;
            let piece = u32::from(self.pieces[line]);
            let start = at / piece * piece;
            let cell = &self.cells[start as usize];
            let refuse = |cause| Err(Conflict { byte: at, cause });
            if cell.writer.epoch < self.first_epoch {
                return refuse(Cause::NeverWritten);
            }
            match cell.origin {
                Origin::InFlight => {
                    return refuse(Cause::InFlight { issuer: cell.writer.thread() });
                }
                Origin::Mbarrier => return refuse(Cause::Mbarrier),
                Origin::Landed if !self.is_ordered(cell.writer, actor) => {
                    return refuse(Cause::Landing);
                }
                Origin::Landed => {}
                Origin::Store | Origin::Atomic => {
                    if !self.is_ordered(cell.writer, actor) {
                        return refuse(Cause::Write(cell.writer));
                    }
                    let fences = &self.lanes[cell.writer.thread() as usize].fences;
                    let fence = fences.get(cell.fences as usize);
                    if !fence.is_some_and(|fence| self.is_ordered(*fence, actor)) {
                        return refuse(Cause::Unfenced(cell.writer));
                    }
                }
            }
            at = start + piece;
        }
        Ok(())
    }

    /// The eight bytes at `offset` are an mbarrier from now on.
    pub(super) fn set_mbarrier(&mut self, offset: u32, thread: u32) {
        self.cut((offset / LINE_BYTES) as usize, 8);
        let piece = usize::from(self.pieces[(offset / LINE_BYTES) as usize]);
        let stamp = self.stamp(Actor::Lane(thread));
        for at in (offset..offset + 8).step_by(piece) {
            self.set_writer(at, stamp, Origin::Mbarrier);
        }
    }

    /// Whether the mbarrier at `offset` was fenced after its init, and `thread` may rely on it.
    pub(super) fn is_fenced(&self, offset: u32, thread: u32) -> bool {
        let piece = u32::from(self.pieces[(offset / LINE_BYTES) as usize]);
        let cell = &self.cells[(offset / piece * piece) as usize];
        let fences = &self.lanes[cell.writer.thread() as usize].fences;
        let fence = fences.get(cell.fences as usize);
        fence.is_some_and(|fence| self.is_ordered(*fence, Actor::Lane(thread)))
    }

    /// `thread` has read `bytes` bytes at `offset` until now, through the copy engine.
    pub(super) fn note_read(&mut self, offset: u32, bytes: u32, thread: u32) {
        // The bytes were checked when the copy was issued; only the time of the read is news.
        let _ = self.touch(offset, bytes, Access::Read, Actor::Lane(thread));
    }

    /// Group `group` of the products of `warpgroup` reads the line at `offset`.
    #[inline]
    pub(super) fn note_product(&mut self, offset: u32, warpgroup: usize, group: u32) {
        if self.products.is_empty() {
            self.products.resize(self.pieces.len(), [0; 8]);
        }
        self.products[(offset / LINE_BYTES) as usize][warpgroup] = group;
    }
}

/// What orders.
impl MemoryOrder {
    /// All lanes of the warp met in `sync_warp` or at a barrier.
    pub(super) fn sync_warp(&mut self, warp: usize) {
        let clock = &mut self.warps[warp];
        clock.synced = clock.newest.max(clock.synced + 1);
        if clock.private == 0 {
            return;
        }
        for lane in &mut self.lanes[warp * 32..warp * 32 + 32] {
            if let Some(known) = lane.known.take() {
                clock.known.join(&known);
            }
        }
        clock.private = 0;
    }

    /// A barrier of the whole block; every warp has synchronised.
    pub(super) fn sync_block(&mut self) {
        self.epoch += 1;
        self.crowds.clear();
        let mut all = Clock::ZERO;
        for warp in &self.warps {
            all.join(&warp.known);
        }
        all.forget_threads();
        for warp in &mut self.warps {
            warp.known.clear();
            warp.known.join(&all);
        }
    }

    /// `into` learns what a warp knows and did, all of it.
    pub(super) fn publish_warp(&mut self, warp: usize, into: &mut Clock) {
        into.join(&self.warps[warp].known);
        into.learn(warp, self.warps[warp].synced);
    }

    /// A warp learns.
    pub(super) fn acquire_warp(&mut self, warp: usize, from: &Clock) {
        self.warps[warp].known.join(from);
    }

    /// `into` learns what a lane knows and did; what the lane does from now on is later.
    pub(super) fn publish_lane(&mut self, thread: u32, into: &mut Clock) {
        let warp = thread as usize / 32;
        let clock = self.clock_of(thread);
        into.join(&self.warps[warp].known);
        if let Some(known) = &self.lanes[thread as usize].known {
            into.join(known);
        }
        into.learn(warp, self.warps[warp].synced);
        into.learn_lane(thread, clock);
        self.lanes[thread as usize].clock = clock + 1;
        self.warps[warp].newest = self.warps[warp].newest.max(clock + 1);
    }

    /// A lane learns.
    pub(super) fn acquire_lane(&mut self, thread: u32, from: &Clock) {
        self.private_clock(thread).join(from);
    }

    /// A lane learns of its warpgroup's products up to `group`.
    pub(super) fn acquire_products(&mut self, thread: u32, warpgroup: usize, group: u32) {
        self.private_clock(thread).learn(PRODUCTS + warpgroup, group);
    }

    fn private_clock(&mut self, thread: u32) -> &mut Clock {
        self.warps[thread as usize / 32].private |= 1 << (thread % 32);
        self.lanes[thread as usize].known.get_or_insert_with(|| Box::new(Clock::ZERO))
    }

    /// A lane executed a proxy fence.
    pub(super) fn fence(&mut self, thread: u32) {
        let stamp = self.stamp(Actor::Lane(thread));
        self.lanes[thread as usize].fences.push(stamp);
    }

    /// The stamp of what a lane does now, to ask about later.
    pub(super) fn now(&self, thread: u32) -> Stamp {
        self.stamp(Actor::Lane(thread))
    }

    /// Whether a lane's earlier event came before what `thread` does now.
    pub(super) fn has_seen(&self, thread: u32, event: Stamp) -> bool {
        self.is_ordered(event, Actor::Lane(thread))
    }
}
