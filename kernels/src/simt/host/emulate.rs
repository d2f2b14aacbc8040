//! Launches a kernel on the host: blocks in parallel, each under the eyes of the emulator.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use super::fault::{Fault, FaultKind, Site};
use super::memory::{self, Allocation};
use super::owners::Owned;
use super::scheduler::run_block;
use crate::simt::{Kernel, Launch, Value};

/// When copies to shared memory land, of all the times that they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// When no thread can go on without them: whoever does not wait finds NaN.
    Late,
    /// At once: whoever overwrites the target too early, or signals the wrong phase, is found.
    Early,
}

/// In which order lanes and warps run, of all those that they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Lane by lane, warp by warp.
    Ascending,
    /// As a seed wills; the same seed, the same order.
    Seeded(u64),
}

/// How to emulate a launch.
#[derive(Clone, Copy, Debug)]
pub struct Emulation {
    /// Look for races and for reads of what nobody wrote.
    pub races: bool,
    /// When copies land.
    pub landing: Landing,
    /// Who runs when.
    pub schedule: Schedule,
    /// A place of synchronisation, from [`Report::sync_sites`], to run without: a kernel that then
    /// passes does not need it, or its test is blind.
    pub without: Option<Site>,
    /// Stack of a thread, beside its guard page.
    pub stack_bytes: usize,
}

impl Default for Emulation {
    /// With races looked for, copies late, lanes in order.
    fn default() -> Self {
        Self {
            races: true,
            landing: Landing::Late,
            schedule: Schedule::Ascending,
            without: None,
            stack_bytes: 64 << 10,
        }
    }
}

/// What a launch did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Places where threads waited for one another or fenced: barriers, waits, fences.
    pub sync_sites: BTreeSet<Site>,
}

/// More OS threads than this would exceed the number of mappings that Linux gives a process: each
/// has up to 1,024 stacks of two mappings.
const OS_THREADS_MAX: usize = 16;

static WORKERS: LazyLock<rayon::ThreadPool> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.min(OS_THREADS_MAX))
        .thread_name(|i| format!("emulator-{i}"))
        .build()
        .expect("threads for the emulator")
});

/// Owners of global memory, one for each block of a launch that looks for races. Zero is nobody.
static NEXT_OWNER: AtomicU32 = AtomicU32::new(1);

/// A launch on a device: its shape, the kernel's name, and its arguments, whose memory is that of
/// [`Buffer`](super::Buffer)s. It must be done when this returns; an error is what the device says.
pub type Elsewhere = dyn Fn(&Launch, &'static str, &[Value]) -> Result<(), String> + Send + Sync;

static ELSEWHERE: OnceLock<Box<Elsewhere>> = OnceLock::new();

/// From here on launches are `run` on a device instead of being emulated, so that the tests of
/// kernels judge it: nothing is looked for then, and reports are empty.
///
/// # Panics
/// When somebody has said so before.
pub fn emulate_elsewhere(run: Box<Elsewhere>) {
    assert!(ELSEWHERE.set(run).is_ok(), "launches run elsewhere already");
}

/// All the memory that an argument lies in: where it begins, and its bytes.
pub fn memory_around(address: u64, bytes: u64) -> Option<(u64, usize)> {
    memory::find(address, bytes).map(|allocation| allocation.extent())
}

/// Runs `kernel` over the grid of `launch`, and waits for it.
///
/// # Errors
/// The first fault that was found; what the kernel wrote until then stays.
pub fn emulate<K: Kernel>(
    launch: &Launch,
    kernel: &K,
    emulation: &Emulation,
) -> Result<Report, Fault> {
    let allocations = check(launch, kernel)?;
    if let Some(run) = ELSEWHERE.get() {
        let ran = run(launch, K::NAME, &kernel.arguments());
        return ran.map(|()| Report::default()).map_err(|what| {
            let kind = FaultKind::Launch;
            Fault { kind, kernel: K::NAME, block: [0; 3], thread: 0, site: None, what }
        });
    }
    let blocks = launch.blocks();
    let owners = u32::try_from(blocks).unwrap_or(u32::MAX);
    let first_owner = NEXT_OWNER.fetch_add(owners, Ordering::Relaxed);
    let owned =
        emulation.races.then(|| Arc::new(Owned { allocations: allocations.clone(), first_owner }));
    let sites = Mutex::new(BTreeSet::new());
    let run = |at: u64| {
        let [x, y, _] = launch.grid.map(u64::from);
        let index = [at % x, at / x % y, at / x / y].map(|i| i as u32);
        run_block(
            |block| {
                block.reset(K::NAME, launch, emulation, index);
                block.owner = first_owner.wrapping_add(at as u32);
                block.owned.clone_from(&owned);
            },
            &|| kernel.run_lane(),
            |block| {
                let mut sites = sites.lock().unwrap_or_else(PoisonError::into_inner);
                sites.extend(block.sync_sites.iter().map(|caller| Site::from(*caller)));
            },
        )
    };
    WORKERS.install(|| (0..blocks).into_par_iter().try_for_each(run))?;
    drop(allocations);
    Ok(Report { sync_sites: sites.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

/// The memory of all arguments, which stays alive for the launch.
fn check<K: Kernel>(launch: &Launch, kernel: &K) -> Result<Vec<Arc<Allocation>>, Fault> {
    const SHARED_BYTES_MAX: u32 = 232_448;
    let refuse = |what: String| {
        let (kind, kernel) = (FaultKind::Launch, K::NAME);
        Err(Fault { kind, kernel, block: [0; 3], thread: 0, site: None, what })
    };
    if launch.shared_bytes > SHARED_BYTES_MAX {
        let asked = launch.shared_bytes;
        return refuse(format!("{asked} shared bytes, a block has at most {SHARED_BYTES_MAX}"));
    }
    if let Some(bounds) = K::BOUNDS
        && launch.threads > bounds.threads_max
    {
        let (asked, promised) = (launch.threads, bounds.threads_max);
        return refuse(format!("{asked} threads in a block, bounds promise {promised}"));
    }
    let mut allocations = Vec::new();
    for (value, parameter) in kernel.arguments().into_iter().zip(K::PARAMETERS) {
        let (address, bytes) = match value {
            Value::Memory { address, bytes } => (address, bytes),
            Value::Map(map) => (map.address, map.bytes),
            Value::Bits32(_) | Value::Bits64(_) => continue,
        };
        let Some(allocation) = memory::find(address, bytes) else {
            let name = parameter.name;
            return refuse(format!("`{name}`: {bytes} bytes at {address:#x} are not emulated"));
        };
        allocations.push(allocation);
    }
    Ok(allocations)
}
