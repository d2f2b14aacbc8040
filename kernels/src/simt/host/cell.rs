//! The shadow of shared memory: for each piece, who wrote it last and who has read it since. A line
//! of 16 bytes is one piece as long as it is touched whole, and is cut as finely as it is used.

use super::clock::{SEVERAL, Stamp};

pub(super) const LINE_BYTES: u32 = 16;

/// How a piece came to hold what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// A store of a thread (or a cp.async that it has waited for).
    #[default]
    Store,
    /// An atomic of a thread.
    Atomic,
    /// The copy engine; its stamp is a phase of an mbarrier.
    Landed,
    /// An mbarrier lies there.
    Mbarrier,
    /// A copy is under way; the stamp is of who issued it.
    InFlight,
}

/// A read by one warp, in the cell's epoch of reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reader {
    pub(super) warp: u8,
    pub(super) lane: u8,
    pub(super) clock: u32,
}

const READERS: usize = 4;

/// The shadow of one piece.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    pub(super) writer: Stamp,
    pub(super) origin: Origin,
    /// Proxy fences that the writer had executed before.
    pub(super) fences: u32,
    pub(super) reads_epoch: u32,
    readers: [Reader; READERS],
    readers_len: u8,
    /// One more than the place in `crowds`, when more warps read than fit here.
    crowd: u32,
}

/// Clocks of the last read of each warp, for pieces that many warps read.
pub(super) type Crowds = Vec<[u32; 32]>;

impl Cell {
    /// Notes a read. `ordered` tells whether an earlier read of the same warp came before.
    #[inline]
    pub(super) fn add_reader(
        &mut self,
        epoch: u32,
        reader: Reader,
        came_before: impl FnOnce(Reader) -> bool,
        crowds: &mut Crowds,
    ) {
        if self.reads_epoch != epoch {
            self.reads_epoch = epoch;
            self.readers_len = 0;
            self.crowd = 0;
        }
        let known = &mut self.readers[..usize::from(self.readers_len)];
        if let Some(known) = known.iter_mut().find(|known| known.warp == reader.warp) {
            if known.lane == reader.lane || came_before(*known) {
                *known = reader;
            } else {
                known.lane = SEVERAL;
                known.clock = known.clock.max(reader.clock);
            }
        } else if usize::from(self.readers_len) < READERS {
            self.readers[usize::from(self.readers_len)] = reader;
            self.readers_len += 1;
        } else {
            if self.crowd == 0 {
                crowds.push([0; 32]);
                self.crowd = crowds.len() as u32;
            }
            crowds[self.crowd as usize - 1][usize::from(reader.warp)] = reader.clock;
        }
    }

    /// A read of this epoch for which `is_ordered` does not hold.
    #[inline]
    pub(super) fn find_reader(
        &self,
        epoch: u32,
        crowds: &Crowds,
        is_ordered: impl Fn(Stamp) -> bool,
    ) -> Option<Stamp> {
        if self.reads_epoch != epoch {
            return None;
        }
        let stamp = |reader: Reader| Stamp {
            component: reader.warp,
            lane: reader.lane,
            clock: reader.clock,
            epoch,
        };
        let near = self.readers[..usize::from(self.readers_len)].iter().map(|r| stamp(*r));
        let far = self.crowd.checked_sub(1).map(|at| &crowds[at as usize]);
        let far =
            far.into_iter().flatten().enumerate().filter(|(_, clock)| **clock > 0).map(
                |(warp, clock)| stamp(Reader { warp: warp as u8, lane: SEVERAL, clock: *clock }),
            );
        near.chain(far).find(|read| !is_ordered(*read))
    }

    /// All reads are in the past of the write that follows.
    #[inline]
    pub(super) fn forget_readers(&mut self) {
        self.readers_len = 0;
        self.crowd = 0;
    }
}
