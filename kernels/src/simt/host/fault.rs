//! What the emulator found, and where: kernel, block, thread, line of the source.

use std::fmt;
use std::panic::{Location, resume_unwind};

use super::here::here;

/// Where in the source something happened, as the emulator passes it on.
pub(super) type Caller = &'static Location<'static>;

/// A line of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// File as the compiler was given it.
    pub file: &'static str,
    /// Line, from one.
    pub line: u32,
    /// Column, from one.
    pub column: u32,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl From<Caller> for Site {
    fn from(caller: Caller) -> Self {
        Self { file: caller.file(), line: caller.line(), column: caller.column() }
    }
}

/// The same place: by address, which is quick, or else by content, for the compiler may have made
/// two of one.
#[inline(always)]
pub(super) fn same_caller(a: Caller, b: Caller) -> bool {
    std::ptr::eq(a, b) || a == b
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// An access outside its array, window, buffer or tile.
    OutOfBounds,
    /// An access that is not aligned to its size.
    Misaligned,
    /// A read of shared memory that nobody wrote.
    Uninitialised,
    /// Two accesses of which one writes, and nothing orders them.
    Race,
    /// Data used, or overwritten, before a wait said that the copy or product was done.
    InFlight,
    /// Data written by threads and read by the copy engine or wgmma without a proxy fence.
    ProxyFence,
    /// Lanes of one warp, or warps of one warpgroup, at different collectives or barriers.
    Divergence,
    /// Nobody can go on.
    Deadlock,
    /// An mbarrier, named barrier or group used against its rules.
    Protocol,
    /// The launch itself: memory of another device, too much shared memory.
    Launch,
    /// The kernel panicked.
    Panic,
}

/// Why a launch failed.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What kind of mistake it is.
    pub kind: FaultKind,
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Block index in x, y and z.
    pub block: [u32; 3],
    /// Thread of the block.
    pub thread: u32,
    /// Line that the thread was at, where there is one.
    pub site: Option<Site>,
    /// The sentence.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.block;
        write!(f, "{}: block ({x}, {y}, {z}), thread {}", self.kernel, self.thread)?;
        if let Some(site) = self.site {
            write!(f, ", {site}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for Fault {}

/// Ends the running lane, and with it the launch.
#[cold]
#[inline(never)]
pub(super) fn fail(kind: FaultKind, caller: Caller, what: String) -> ! {
    let here = here();
    let (kernel, block) = here.with(|block| (block.kernel, block.index));
    let (thread, site) = (here.thread, Some(caller.into()));
    // Straight to the lane's root: no panic hook, no message on stderr.
    resume_unwind(Box::new(Fault { kind, kernel, block, thread, site, what }))
}
