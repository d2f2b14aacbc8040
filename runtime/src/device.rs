//! Where operations run. The CPU is a device like any other: it owns its worker threads.

use std::sync::Arc;

use crate::{Buffer, Compute, Element, RuntimeError};

/// A place that has memory and runs operations.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Device {
    /// Host cores.
    Cpu(Cpu),
}

/// Host cores behind a pool of worker threads of their own.
#[derive(Clone, Debug)]
pub struct Cpu {
    pool: Arc<rayon::ThreadPool>,
    compute: Compute,
}

impl Device {
    /// The CPU with `threads` workers (0 means one).
    ///
    /// # Errors
    /// The operating system refuses the threads.
    pub fn cpu(threads: usize) -> Result<Self, RuntimeError> {
        let threads = threads.max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("cpu-{i}"))
            .build()
            .map_err(|source| RuntimeError::Threads { threads, source })?;
        Ok(Device::Cpu(Cpu { pool: Arc::new(pool), compute: Compute::F32 }))
    }

    /// The same device, its linear layers and heads reading factors as `compute` says.
    #[must_use]
    pub fn with_compute(self, compute: Compute) -> Self {
        match self {
            Device::Cpu(cpu) => Device::Cpu(Cpu { compute, ..cpu }),
        }
    }

    /// How linear layers and heads read their factors; f32 unless said otherwise.
    pub fn compute(&self) -> Compute {
        match self {
            Device::Cpu(cpu) => cpu.compute,
        }
    }

    /// Runs `work` on one of the device's workers. Operations started from there find the pool
    /// without waking a thread and without allocating, so a training loop runs inside one call.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match self {
            Device::Cpu(cpu) => cpu.pool.install(work),
        }
    }

    /// Worker threads.
    pub fn threads(&self) -> usize {
        match self {
            Device::Cpu(cpu) => cpu.pool.current_num_threads(),
        }
    }

    /// Memory for `len` values, all zero.
    pub fn alloc<T: Element>(&self, len: usize) -> Buffer<T> {
        match self {
            Device::Cpu(_) => Buffer::host(len),
        }
    }
}
