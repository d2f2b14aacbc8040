//! The seam: what the GPU path asks of a driver. `emulated` answers on the host, `nvidia` on a GPU;
//! nothing above can tell which.
//!
//! Work is done in the order in which it is asked for. A driver may return before it is done; then
//! an error shows in a later call, at the latest in `synchronise`.

pub(super) mod emulated;
pub(super) mod nvidia;

use kernels::simt::{Emulation, Fault, Kernel, Launch, Value};

use super::GpuError;

/// A kernel with its arguments, as a driver sees it.
pub(crate) trait Launchable {
    /// Name of the entry in the PTX.
    fn name(&self) -> &'static str;

    /// Arguments in the order of the entry.
    fn arguments(&self) -> Vec<Value>;

    /// Runs it on the host.
    fn emulate(&self, launch: &Launch, emulation: &Emulation) -> Result<(), Fault>;

    /// A copy to run later.
    fn to_owned(&self) -> Box<dyn Launchable + Send>;
}

impl<K: Kernel + Copy + Send + 'static> Launchable for K {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn arguments(&self) -> Vec<Value> {
        Kernel::arguments(self)
    }

    fn emulate(&self, launch: &Launch, emulation: &Emulation) -> Result<(), Fault> {
        kernels::simt::emulate(launch, self, emulation).map(drop)
    }

    fn to_owned(&self) -> Box<dyn Launchable + Send> {
        Box::new(*self)
    }
}

/// A factor of a product: bf16, row-major.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factor {
    pub(crate) address: u64,
    /// Values from one row to the next.
    pub(crate) row_stride: usize,
    /// Whether its columns are in memory as rows.
    pub(crate) transposed: bool,
}

/// What the result of a product is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    F32,
    Bf16,
}

/// `c[m, n] (+)= a[m, k] b[k, n]` with f32 sums; c is row-major without gaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: Factor,
    pub(crate) b: Factor,
    pub(crate) c: u64,
    pub(crate) precision: Precision,
    /// Whether c is added to.
    pub(crate) accumulate: bool,
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuFacts {
    /// What it is called.
    pub name: String,
    /// Version of its driver.
    pub driver: String,
    /// Its memory.
    pub memory_bytes: u64,
    /// What of it was free once the device was open.
    pub free_bytes: u64,
    /// Compute capability, major and minor; of the emulator that of the newest kernels it runs.
    pub compute_capability: (u32, u32),
}

/// Most bytes that are copied out without waiting, and most copies that are under way.
pub(crate) const DOWNLOAD_BYTES_MAX: usize = 256;
pub(crate) const DOWNLOADS_MAX: u64 = 64;

/// What runs launches and holds memory. Addresses are the driver's own, aligned to 256 bytes.
pub(crate) trait Driver: Send + Sync {
    /// Memory that holds anything.
    fn allocate(&self, bytes: usize) -> Result<u64, GpuError>;

    /// Takes memory back, once the work that was started on it is done.
    fn free(&self, address: u64, bytes: usize);

    /// Copies host memory in; the source may be reused when it returns.
    fn upload(&self, from: &[u8], to: u64) -> Result<(), GpuError>;

    /// Copies out to host memory, after waiting for what was started before.
    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), GpuError>;

    /// Copies within the device.
    fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<(), GpuError>;

    /// Sets all bits to zero.
    fn zero(&self, address: u64, bytes: usize) -> Result<(), GpuError>;

    /// Runs a kernel.
    fn launch(&self, launch: &Launch, kernel: &dyn Launchable) -> Result<(), GpuError>;

    /// Multiplies two matrices.
    fn multiply(&self, product: &Product) -> Result<(), GpuError>;

    /// Asks for a copy of a few bytes as they are at this point of the work, without waiting for
    /// it; the answer is a ticket for [`Driver::finish_download`]. At most [`DOWNLOADS_MAX`] may be
    /// under way, of [`DOWNLOAD_BYTES_MAX`] each.
    fn begin_download(&self, from: u64, bytes: usize) -> Result<u64, GpuError>;

    /// Waits for what was asked for.
    fn finish_download(&self, ticket: u64, to: &mut [u8]) -> Result<(), GpuError>;

    /// Marks this point of the work.
    fn mark(&self) -> Result<u64, GpuError>;

    /// Waits for the later of two marks, and says how long after the earlier one it was passed, in
    /// milliseconds.
    fn elapsed_ms(&self, earlier: u64, later: u64) -> Result<f64, GpuError>;

    /// Forgets a mark.
    fn unmark(&self, mark: u64);

    /// Records the work that is asked for from here on instead of doing it. Copies from or to the
    /// host cannot be recorded.
    fn begin_recording(&self) -> Result<(), GpuError>;

    /// Ends what [`Driver::begin_recording`] began; the record can be played any number of times.
    fn end_recording(&self) -> Result<u64, GpuError>;

    /// Does what a record holds.
    fn play(&self, record: u64) -> Result<(), GpuError>;

    /// Forgets a record, once it is not played any more.
    fn discard(&self, record: u64);

    /// Waits until everything is done.
    fn synchronise(&self) -> Result<(), GpuError>;

    /// Most bytes that were allocated at once since the count was last restarted.
    fn peak_bytes(&self, restart: bool) -> Result<u64, GpuError>;

    /// What the device is.
    fn facts(&self) -> GpuFacts;
}
