//! Where operations run. The CPU is a device like any other: it owns its worker threads.

use std::sync::Arc;

use crate::cuda::{Array, Gpu, Stored};
use crate::{Buffer, Compute, Element, RuntimeError, Storage};

/// A place that has memory and runs operations.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Device {
    /// Host cores.
    Cpu(Cpu),
    /// A GPU, or the host in the part of one.
    Gpu(Gpu),
}

/// Host cores behind a pool of worker threads of their own.
#[derive(Clone, Debug)]
pub struct Cpu {
    pool: Arc<rayon::ThreadPool>,
    compute: Compute,
}

/// Memory of an emulated GPU unless said otherwise: as much as a large real one has.
const EMULATED_MEMORY_BYTES: u64 = 80 << 30;

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

    /// GPU `ordinal` of those that NVIDIA's driver shows; `CUDA_VISIBLE_DEVICES` says which that
    /// are.
    ///
    /// # Errors
    /// No driver or library, one too old for the kernels, no such GPU, or one without kernels: each
    /// says what is missing.
    pub fn cuda(ordinal: usize) -> Result<Self, RuntimeError> {
        Ok(Device::Gpu(Gpu::nvidia(ordinal)?))
    }

    /// The GPU path on the host: the same kernels, launches and buffers as on a GPU, under an
    /// emulator that stops at the first fault of a kernel. For tests: it is a thousand times slower
    /// than a GPU.
    ///
    /// # Errors
    /// The operating system refuses threads.
    pub fn emulated() -> Result<Self, RuntimeError> {
        Self::emulated_with_memory(EMULATED_MEMORY_BYTES)
    }

    /// [`Device::emulated`] with so much memory.
    ///
    /// # Errors
    /// The operating system refuses threads.
    pub fn emulated_with_memory(memory_bytes: u64) -> Result<Self, RuntimeError> {
        Ok(Device::Gpu(Gpu::emulated(memory_bytes)?))
    }

    /// The same device, its linear layers and heads reading factors as `compute` says. A GPU reads
    /// bf16 always.
    #[must_use]
    pub fn with_compute(self, compute: Compute) -> Self {
        match self {
            Device::Cpu(cpu) => Device::Cpu(Cpu { compute, ..cpu }),
            Device::Gpu(gpu) => Device::Gpu(gpu),
        }
    }

    /// How linear layers and heads read their factors; f32 on the CPU unless said otherwise.
    pub fn compute(&self) -> Compute {
        match self {
            Device::Cpu(cpu) => cpu.compute,
            Device::Gpu(_) => Compute::Bf16,
        }
    }

    /// Runs `work` on one of the device's workers. Operations started from there find the pool
    /// without waking a thread and without allocating, so a training loop runs inside one call. A
    /// GPU has no workers: the calling thread drives it.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match self {
            Device::Cpu(cpu) => cpu.pool.install(work),
            Device::Gpu(_) => work(),
        }
    }

    /// The kind of its memory.
    pub fn storage(&self) -> Storage {
        match self {
            Device::Cpu(_) => Storage::Host,
            Device::Gpu(_) => Storage::Gpu,
        }
    }

    /// Worker threads.
    pub fn threads(&self) -> usize {
        match self {
            Device::Cpu(cpu) => cpu.pool.current_num_threads(),
            Device::Gpu(_) => 1,
        }
    }

    /// Memory for `len` values, all zero. When a GPU has not that much, the buffer is of no use and
    /// [`Device::synchronise`] says so.
    pub fn alloc<T: Element>(&self, len: usize) -> Buffer<T> {
        match self {
            Device::Cpu(_) => Buffer::host(len),
            Device::Gpu(gpu) => Buffer::gpu(Array::zeroed(gpu, Stored::Plain, len, size_of::<T>())),
        }
    }

    /// Memory for activations and their gradients, which a GPU stores as bf16; else as
    /// [`Device::alloc`].
    pub fn alloc_activations(&self, len: usize) -> Buffer<f32> {
        self.alloc_stored(Stored::Bf16, len)
    }

    /// Memory for parameters, which a GPU keeps in two halves of 16 bits, of which products read
    /// the upper, the nearest bf16; else as [`Device::alloc`]. They change by [`Buffer::write`], by
    /// copies and by optimizers.
    pub fn alloc_params(&self, len: usize) -> Buffer<f32> {
        self.alloc_stored(Stored::Split, len)
    }

    fn alloc_stored(&self, stored: Stored, len: usize) -> Buffer<f32> {
        match self {
            Device::Cpu(_) => Buffer::host(len),
            Device::Gpu(gpu) => Buffer::gpu(Array::zeroed(gpu, stored, len, size_of::<f32>())),
        }
    }

    /// Waits until everything that was started is done. On the CPU it always is.
    ///
    /// # Errors
    /// The first thing that failed on the GPU since it was opened; nothing has run after it.
    pub fn synchronise(&self) -> Result<(), RuntimeError> {
        match self {
            Device::Cpu(_) => Ok(()),
            Device::Gpu(gpu) => Ok(gpu.synchronise()?),
        }
    }
}
