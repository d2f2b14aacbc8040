//! Points in the work of a GPU, and work that is recorded once and played often.

use super::{Gpu, GpuError, Span};

/// A point in the work that a GPU has been asked for.
#[derive(Debug)]
pub struct Mark {
    gpu: Gpu,
    number: u64,
}

impl Gpu {
    /// Marks this point of the work.
    ///
    /// # Errors
    /// The device has failed.
    pub fn mark(&self) -> Result<Mark, GpuError> {
        match self.attempt(|driver| driver.mark()) {
            Some(number) => Ok(Mark { gpu: self.clone(), number }),
            None => Err(self.failed()),
        }
    }

    /// Records what `work` asks of this device, from this thread, instead of doing it. Nothing in
    /// it may wait for the device or copy from or to the host, and every buffer that it names has
    /// to live for as long as the recording is played.
    ///
    /// # Errors
    /// The device has failed, or something in it cannot be recorded.
    pub fn record(&self, work: impl FnOnce()) -> Result<Recording, GpuError> {
        if self.attempt(|driver| driver.begin_recording()).is_some() {
            work();
            // Ended even where something in it has failed, so that nothing more is recorded.
            let ended = self.shared.driver.end_recording();
            if let Some(number) = self.attempt(|_| ended) {
                return Ok(Recording { gpu: self.clone(), number });
            }
        }
        Err(self.failed())
    }

    /// Most bytes of its memory that were held at once since this was last asked with `restart`.
    ///
    /// # Errors
    /// The device has failed.
    pub fn peak_bytes(&self, restart: bool) -> Result<u64, GpuError> {
        self.attempt(|driver| driver.peak_bytes(restart)).ok_or_else(|| self.failed())
    }

    /// The failure that was noted.
    fn failed(&self) -> GpuError {
        self.failure().clone().expect("what was not done has failed")
    }
}

impl Mark {
    /// Milliseconds from an earlier mark of the same device to this one; waits for both.
    ///
    /// # Errors
    /// The device has failed.
    pub fn ms_since(&self, earlier: &Mark) -> Result<f64, GpuError> {
        let ms = self.gpu.attempt(|driver| driver.elapsed_ms(earlier.number, self.number));
        ms.ok_or_else(|| self.gpu.failed())
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.gpu.shared.driver.unmark(self.number);
    }
}

/// Work that was recorded.
#[derive(Debug)]
pub struct Recording {
    gpu: Gpu,
    number: u64,
}

impl Recording {
    /// Does it. What fails shows in [`Gpu::synchronise`].
    pub fn play(&self) {
        self.gpu.attempt(|driver| driver.play(self.number));
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.gpu.shared.driver.discard(self.number);
    }
}

/// A few values that are on their way to the host.
#[derive(Debug)]
pub(crate) struct Coming {
    gpu: Gpu,
    /// None where the device had failed already.
    ticket: Option<u64>,
    bytes: usize,
}

impl Coming {
    /// The values of `from` as they are at this point of the work.
    pub(crate) fn of(gpu: &Gpu, from: Span<'_>) -> Self {
        let ticket = gpu.attempt(|driver| driver.begin_download(from.address(gpu), from.bytes()));
        Self { gpu: gpu.clone(), ticket, bytes: from.bytes() }
    }

    /// Waits for them; `to` is as it was when the device has failed.
    pub(crate) fn wait<T: bytemuck::Pod>(mut self, to: &mut [T]) {
        let Some(ticket) = self.ticket.take() else { return };
        let to = bytemuck::cast_slice_mut(to);
        self.gpu.attempt(|driver| driver.finish_download(ticket, to));
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut unread = [0_u8; super::driver::DOWNLOAD_BYTES_MAX];
        if let Some(ticket) = self.ticket.take() {
            // Whoever does not want them gives the place back all the same.
            let _ = self.gpu.shared.driver.finish_download(ticket, &mut unread[..self.bytes]);
        }
    }
}
