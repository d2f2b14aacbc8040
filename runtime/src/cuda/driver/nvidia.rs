//! A GPU of NVIDIA's through its driver, loaded when the first one is opened: nothing of CUDA is
//! needed to build or to start. Everything runs on one stream; memory comes from the driver's
//! stream-ordered pool, which keeps what it has, so that an allocation costs no system call.

mod arguments;
mod later;
mod module;
mod open;
mod product;
mod staging;

use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cudarc::driver::{DriverError, result, sys};
use kernels::simt::Launch;

use super::{Driver, GpuFacts, Launchable, Product};
use crate::cuda::GpuError;
use arguments::Arguments;
use later::Later;
use module::Module;
use product::Products;
use staging::Staging;

/// An opened GPU.
pub(crate) struct Nvidia {
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    facts: GpuFacts,
    module: Mutex<Module>,
    products: Mutex<Products>,
    staging: Mutex<Staging>,
    later: Mutex<Later>,
    /// The last kernel started: a failure that shows later may be its.
    last_kernel: Mutex<&'static str>,
}

// SAFETY: handles of the driver may be used from any thread whose current context is theirs, which
// `enter` sees to.
unsafe impl Send for Nvidia {}
// SAFETY: as above; what is not a handle is behind a lock.
unsafe impl Sync for Nvidia {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the driver says of an error.
fn reason(error: DriverError) -> String {
    let name = error.error_name().map(|name| name.to_string_lossy().into_owned());
    let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
    match (name, text) {
        (Ok(name), Ok(text)) => format!("{name}, {text}"),
        _ => format!("error {}", error.0 as u32),
    }
}

impl Nvidia {
    /// Makes the context current on this thread.
    fn enter(&self) -> Result<(), GpuError> {
        // SAFETY: the context is retained for as long as this value lives.
        self.check("cuCtxSetCurrent", unsafe { result::ctx::set_current(self.context) })
    }

    fn check<T>(&self, call: &'static str, outcome: Result<T, DriverError>) -> Result<T, GpuError> {
        outcome.map_err(|error| {
            let after = *lock(&self.last_kernel);
            GpuError::Driver { call, after, reason: reason(error) }
        })
    }
}

impl Driver for Nvidia {
    fn allocate(&self, bytes: usize) -> Result<u64, GpuError> {
        self.enter()?;
        // A range of no bytes would have no address.
        // SAFETY: the stream is this context's.
        match unsafe { result::malloc_async(self.stream, bytes.max(1)) } {
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let (free, total) = self.check("cuMemGetInfo", result::mem_get_info())?;
                let [needs_bytes, free_bytes, total_bytes] =
                    [bytes, free, total].map(|bytes| bytes as u64);
                Err(GpuError::OutOfMemory { needs_bytes, free_bytes, total_bytes })
            }
            outcome => self.check("cuMemAllocAsync", outcome),
        }
    }

    fn free(&self, address: u64, _: usize) {
        if self.enter().is_ok() {
            // An error here is one of work before it, which the next call reports.
            // SAFETY: `allocate` gave the address, and its owner gives it back once.
            let _ = unsafe { result::free_async(address, self.stream) };
        }
    }

    fn upload(&self, from: &[u8], to: u64) -> Result<(), GpuError> {
        self.enter()?;
        let mut staging = lock(&self.staging);
        // SAFETY: the caller holds the one view of the range that may write.
        self.check("cuMemcpyHtoDAsync", unsafe { staging.upload(from, to, self.stream) })
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), GpuError> {
        self.enter()?;
        let mut staging = lock(&self.staging);
        // SAFETY: the caller holds a view of the range.
        self.check("cuMemcpyDtoHAsync", unsafe { staging.download(from, to, self.stream) })
    }

    fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<(), GpuError> {
        self.enter()?;
        // SAFETY: the caller holds views of both ranges.
        let outcome = unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream) };
        self.check("cuMemcpyDtoDAsync", outcome)
    }

    fn zero(&self, address: u64, bytes: usize) -> Result<(), GpuError> {
        if bytes == 0 {
            return Ok(());
        }
        self.enter()?;
        // SAFETY: the caller holds the one view of the range that may write.
        let outcome = unsafe { result::memset_d8_async(address, 0, bytes, self.stream) };
        self.check("cuMemsetD8Async", outcome)
    }

    fn launch(&self, launch: &Launch, kernel: &dyn Launchable) -> Result<(), GpuError> {
        if launch.blocks() == 0 {
            return Ok(());
        }
        self.enter()?;
        let name = kernel.name();
        let refuse = |error| GpuError::Launch { kernel: name, reason: reason(error) };
        let function = lock(&self.module).function(name, launch.shared_bytes).map_err(refuse)?;
        let mut arguments = Arguments::new(&kernel.arguments()).map_err(refuse)?;
        let [x, y, z] = launch.grid;
        *lock(&self.last_kernel) = name;
        // SAFETY: the function is of a module that lives as long as this value, its arguments are
        // in the order and of the kinds that `kernel!` declared on either side, and every address
        // among them is a view of this device.
        let outcome = unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (launch.threads, 1, 1),
                launch.shared_bytes,
                self.stream,
                &mut arguments.pointers(),
            )
        };
        outcome.map_err(refuse)
    }

    fn multiply(&self, product: &Product) -> Result<(), GpuError> {
        self.enter()?;
        // SAFETY: every address of the product is a view of this device, c the one that may write.
        let outcome = unsafe { lock(&self.products).multiply(product, self.stream) };
        outcome.map_err(|error| GpuError::Driver {
            call: "cublasLtMatmul",
            after: *lock(&self.last_kernel),
            reason: format!("{error} in {product:?}"),
        })
    }

    fn begin_download(&self, from: u64, bytes: usize) -> Result<u64, GpuError> {
        self.enter()?;
        // SAFETY: the caller holds a view of the range.
        let ticket = unsafe { lock(&self.later).begin_download(from, bytes, self.stream) };
        self.check("cuMemcpyDtoHAsync", ticket)
    }

    fn finish_download(&self, ticket: u64, to: &mut [u8]) -> Result<(), GpuError> {
        self.enter()?;
        let done = lock(&self.later).download_done(ticket);
        // SAFETY: the event lives as long as this value.
        self.check("cuEventSynchronize", unsafe { result::event::synchronize(done) })?;
        lock(&self.later).finish_download(ticket, to);
        Ok(())
    }

    fn mark(&self) -> Result<u64, GpuError> {
        self.enter()?;
        let mark = lock(&self.later).mark(self.stream);
        self.check("cuEventRecord", mark)
    }

    fn elapsed_ms(&self, earlier: u64, later: u64) -> Result<f64, GpuError> {
        self.enter()?;
        let held = lock(&self.later);
        let [earlier, later] = [earlier, later].map(|mark| held.event(mark));
        drop(held);
        // SAFETY: whoever asks holds both marks.
        let elapsed = unsafe {
            result::event::synchronize(later).and_then(|()| result::event::elapsed(earlier, later))
        };
        self.check("cuEventElapsedTime", elapsed).map(f64::from)
    }

    fn unmark(&self, mark: u64) {
        if self.enter().is_ok() {
            lock(&self.later).unmark(mark);
        }
    }

    fn begin_recording(&self) -> Result<(), GpuError> {
        self.enter()?;
        // Of this thread alone: a checkpoint that is being written has nothing to do with it.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is this context's.
        let begun = unsafe { result::stream::begin_capture(self.stream, mode) };
        self.check("cuStreamBeginCapture", begun)
    }

    fn end_recording(&self) -> Result<u64, GpuError> {
        self.enter()?;
        // SAFETY: the stream is this context's.
        let graph = unsafe { result::stream::end_capture(self.stream) };
        let graph = self.check("cuStreamEndCapture", graph)?;
        let record = lock(&self.later).keep(graph);
        self.check("cuGraphInstantiate", record)
    }

    fn play(&self, record: u64) -> Result<(), GpuError> {
        self.enter()?;
        let played = lock(&self.later).play(record, self.stream);
        self.check("cuGraphLaunch", played)
    }

    fn discard(&self, record: u64) {
        if self.enter().is_ok() {
            lock(&self.later).discard(record);
        }
    }

    fn synchronise(&self) -> Result<(), GpuError> {
        self.enter()?;
        // SAFETY: the stream is this context's.
        let outcome = unsafe { result::stream::synchronize(self.stream) };
        self.check("cuStreamSynchronize", outcome)
    }

    fn peak_bytes(&self, restart: bool) -> Result<u64, GpuError> {
        self.enter()?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        let (mut peak, mut nothing) = (0_u64, 0_u64);
        // SAFETY: the pool is the device's own, the attribute is a u64.
        let read = unsafe {
            result::device::get_default_mem_pool(self.device).and_then(|pool| {
                result::mem_pool::get_attribute(pool, attribute, (&raw mut peak).cast())?;
                if restart {
                    result::mem_pool::set_attribute(pool, attribute, (&raw mut nothing).cast())?;
                }
                Ok(peak)
            })
        };
        self.check("cuMemPoolGetAttribute", read)
    }

    fn facts(&self) -> GpuFacts {
        self.facts.clone()
    }
}

impl Drop for Nvidia {
    fn drop(&mut self) {
        if self.enter().is_err() {
            return;
        }
        // Errors on the way out are of work before it, which nobody waits for any more.
        // SAFETY: all of these were made by `open`, and nothing uses them after this.
        unsafe {
            let _ = result::stream::synchronize(self.stream);
            lock(&self.products).release();
            lock(&self.staging).release();
            lock(&self.later).release();
            lock(&self.module).release();
            let _ = result::stream::destroy(self.stream);
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

/// A pointer as the driver takes it.
fn pointer(address: u64) -> *mut c_void {
    std::ptr::without_provenance_mut(address as usize)
}
