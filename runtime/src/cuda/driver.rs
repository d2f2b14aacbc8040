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
}

impl<K: Kernel> Launchable for K {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn arguments(&self) -> Vec<Value> {
        Kernel::arguments(self)
    }

    fn emulate(&self, launch: &Launch, emulation: &Emulation) -> Result<(), Fault> {
        kernels::simt::emulate(launch, self, emulation).map(drop)
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
    /// Its memory.
    pub memory_bytes: u64,
    /// Compute capability, major and minor; of the emulator that of the newest kernels it runs.
    pub compute_capability: (u32, u32),
}

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

    /// Waits until everything is done.
    fn synchronise(&self) -> Result<(), GpuError>;

    /// What the device is.
    fn facts(&self) -> GpuFacts;
}
