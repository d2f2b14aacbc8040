//! Reads by `io_uring` into memory that the kernel knows beforehand, a round at a time.
//!
//! The memory is the ring's own and is given away only between rounds, so that the kernel never
//! writes what somebody reads. A ring that goes while the kernel may still write leaves its memory
//! behind: a leak in a process that is failing, instead of a write into what it became.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types::Fd};

use super::sealed::SAMPLE_BYTES;
use crate::dataset::SAMPLE_TOKENS;

/// A ring and the memory it reads into, `[samples][2048]`.
pub(super) struct Ring {
    ring: IoUring,
    arena: ManuallyDrop<Vec<u32>>,
    /// Reads that the kernel was given and has not finished.
    in_flight: usize,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl Ring {
    /// A ring that reads up to `samples` at once.
    ///
    /// # Errors
    /// The kernel has no `io_uring`, forbids it, or lets this user register no memory.
    pub(super) fn new(samples: usize) -> io::Result<Self> {
        let ring = IoUring::new(samples as u32)?;
        let mut arena = ManuallyDrop::new(vec![0_u32; samples * SAMPLE_TOKENS]);
        let memory =
            libc::iovec { iov_base: arena.as_mut_ptr().cast(), iov_len: samples * SAMPLE_BYTES };
        let this = Self { ring, arena, in_flight: 0 };
        // SAFETY: the arena is as long as the iovec says, is never moved or resized, and is let go
        // only after the ring when no read is under way.
        unsafe { this.ring.submitter().register_buffers(&[memory]) }?;
        Ok(this)
    }

    /// Reads a sample from each place, and says of each whether it came whole.
    ///
    /// # Errors
    /// The kernel takes or returns nothing any more.
    pub(super) fn read(&mut self, places: &[(&File, u64)]) -> io::Result<Vec<bool>> {
        let start = self.arena.as_mut_ptr();
        for (at, (file, offset)) in places.iter().enumerate() {
            assert!((at + 1) * SAMPLE_TOKENS <= self.arena.len(), "a round fits the ring");
            // SAFETY: the assertion keeps the sample within the arena.
            let into = unsafe { start.add(at * SAMPLE_TOKENS) }.cast::<u8>();
            let read = opcode::ReadFixed::new(Fd(file.as_raw_fd()), into, SAMPLE_BYTES as u32, 0)
                .offset(*offset)
                .build()
                .user_data(at as u64);
            // SAFETY: the memory is registered and stays until the read is finished, and the file
            // is open until this function returns, which it does when all reads are finished.
            unsafe { self.ring.submission().push(&read) }
                .map_err(|_| io::Error::other("the ring is full"))?;
            self.in_flight += 1;
        }
        let mut whole = vec![false; places.len()];
        while self.in_flight > 0 {
            match self.ring.submit_and_wait(self.in_flight) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            for done in self.ring.completion() {
                self.in_flight -= 1;
                if let Some(whole) = whole.get_mut(done.user_data() as usize) {
                    *whole = done.result() == SAMPLE_BYTES as i32;
                }
            }
        }
        Ok(whole)
    }

    /// The sample that the last round read from its place `at`, `[2048]`.
    pub(super) fn sample(&self, at: usize) -> &[u32] {
        &self.arena[at * SAMPLE_TOKENS..(at + 1) * SAMPLE_TOKENS]
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.in_flight == 0 {
            // The kernel may keep pages that are registered; it never writes to them unasked.
            let _ = self.ring.submitter().unregister_buffers();
            // SAFETY: nobody uses the arena after this, and no read into it is under way.
            unsafe { ManuallyDrop::drop(&mut self.arena) };
        }
    }
}
