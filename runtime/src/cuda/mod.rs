//! The GPU way to run the operations: kernels of the crate `kernels` and matrix products, through
//! one driver seam with two drivers, a real one and the emulator.
//!
//! Operations return nothing, for a GPU works behind the caller's back: a driver's first error is
//! kept, everything after it is skipped, and [`Gpu::synchronise`] says what it was. Activations are
//! stored as bf16, parameters as f32 in two halves of which products read the upper, gradients and
//! moments as f32; sums are f32 everywhere.

pub(crate) mod adamw;
pub(crate) mod aggregate;
mod array;
pub(crate) mod attention;
mod chunks;
pub(crate) mod compress;
pub(crate) mod cross_entropy;
mod driver;
pub(crate) mod elementwise;
pub(crate) mod embedding;
mod error;
pub(crate) mod later;
pub(crate) mod ledger;
pub(crate) mod linear;
#[cfg(all(test, feature = "device-tests"))]
mod on_device;
pub(crate) mod ranks;
pub(crate) mod reduce;
pub(crate) mod rms_norm;
pub(crate) mod rope;
pub(crate) mod swiglu;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernels::simt::{Kernel, Launch};

pub(crate) use array::{Array, Span, Stored};
use driver::Driver;
pub use driver::GpuFacts;
pub use error::GpuError;
pub use later::{Mark, Recording};

use crate::RuntimeError;
use array::Memory;
use driver::Product;
use driver::emulated::Emulated;
use driver::nvidia::Nvidia;

/// A GPU behind its driver.
#[derive(Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
}

struct Shared {
    /// Tells the memory of this device from that of others.
    id: u64,
    facts: GpuFacts,
    driver: Box<dyn Driver>,
    failure: Mutex<Option<GpuError>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Gpu {
    fn new(driver: Box<dyn Driver>) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let facts = driver.facts();
        Self { shared: Arc::new(Shared { id, facts, driver, failure: Mutex::default() }) }
    }

    pub(crate) fn emulated(memory_bytes: u64) -> Result<Self, RuntimeError> {
        Ok(Self::new(Box::new(Emulated::new(memory_bytes)?)))
    }

    pub(crate) fn nvidia(ordinal: usize) -> Result<Self, GpuError> {
        Ok(Self::new(Box::new(Nvidia::open(ordinal)?)))
    }

    /// What it is.
    pub fn facts(&self) -> &GpuFacts {
        &self.shared.facts
    }

    /// Waits until everything that was started is done.
    ///
    /// # Errors
    /// The first thing that failed since the device was opened; nothing has run after it.
    pub fn synchronise(&self) -> Result<(), GpuError> {
        self.attempt(|driver| driver.synchronise());
        self.failure().clone().map_or(Ok(()), Err)
    }

    fn failure(&self) -> MutexGuard<'_, Option<GpuError>> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks something of the driver, unless an earlier request has failed.
    fn attempt<T>(&self, ask: impl FnOnce(&dyn Driver) -> Result<T, GpuError>) -> Option<T> {
        if self.failure().is_some() {
            return None;
        }
        match ask(self.shared.driver.as_ref()) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.failure().get_or_insert(error);
                None
            }
        }
    }

    fn launch<K: Kernel + Copy + Send + 'static>(&self, launch: Launch, kernel: &K) {
        self.attempt(|driver| driver.launch(&launch, kernel));
    }

    fn multiply(&self, product: &Product) {
        self.attempt(|driver| driver.multiply(product));
    }

    /// Memory that holds a copy of `values`.
    fn hold<T: bytemuck::Pod>(&self, values: &[T]) -> Memory {
        let memory = self.allocate(size_of_val(values));
        memory.upload(values);
        memory
    }

    /// Memory that holds anything, for as long as an operation runs or a buffer lives.
    fn allocate(&self, bytes: usize) -> Memory {
        let address = self.attempt(|driver| driver.allocate(bytes)).unwrap_or(0);
        Memory::new(self.clone(), address, bytes)
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GPU {} ({})", self.shared.id, self.facts().name)
    }
}

/// Blocks of `threads` threads for `len` threads in a row.
fn blocks(len: usize, threads: u32) -> u32 {
    extent(len.div_ceil(threads as usize))
}

/// An extent as kernels take it.
fn extent(len: usize) -> u32 {
    u32::try_from(len).expect("an extent of a kernel fits 32 bits")
}
