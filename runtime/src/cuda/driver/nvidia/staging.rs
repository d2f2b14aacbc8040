//! Host memory that the copy engine reaches at full speed. Of two large pieces one is on its way
//! while the other is filled or emptied; small ones, taken in turn, carry what a step is told, so
//! that the host may be many steps of work ahead of the device.

use cudarc::driver::{DriverError, result, sys};

/// Bytes of a large piece and of a small one.
const PIECE_BYTES: usize = 16 << 20;
const SMALL_BYTES: usize = 256 << 10;
/// Small pieces: a step of eight micro-batches takes sixteen.
const SMALL_PIECES: usize = 64;

/// Pinned pieces.
pub(super) struct Staging {
    pieces: [Piece; 2],
    small: Vec<Piece>,
    /// The small piece to take next.
    next: usize,
}

struct Piece {
    memory: *mut u8,
    len: usize,
    /// When the last copy from or to it is done.
    done: sys::CUevent,
}

impl Staging {
    /// Pins memory, in the current context.
    pub(super) fn new() -> Result<Self, DriverError> {
        let pieces = [Piece::new(PIECE_BYTES)?, Piece::new(PIECE_BYTES)?];
        let small = (0..SMALL_PIECES).map(|_| Piece::new(SMALL_BYTES)).collect::<Result<_, _>>()?;
        Ok(Self { pieces, small, next: 0 })
    }

    /// Copies to the device.
    ///
    /// # Safety
    /// `to` is memory of the current context, of which nobody else asks anything meanwhile.
    pub(super) unsafe fn upload(
        &mut self,
        from: &[u8],
        to: u64,
        stream: sys::CUstream,
    ) -> Result<(), DriverError> {
        if from.len() <= SMALL_BYTES {
            let piece = &mut self.small[self.next];
            self.next = (self.next + 1) % SMALL_PIECES;
            // SAFETY: as below.
            return unsafe { piece.upload(from, to, stream) };
        }
        for (i, part) in from.chunks(PIECE_BYTES).enumerate() {
            let piece = &mut self.pieces[i % 2];
            let at = to + (i * PIECE_BYTES) as u64;
            // SAFETY: the caller's promise.
            unsafe { piece.upload(part, at, stream)? };
        }
        Ok(())
    }

    /// Copies from the device, after waiting for what was started before.
    ///
    /// # Safety
    /// `from` is memory of the current context that nobody writes meanwhile.
    pub(super) unsafe fn download(
        &mut self,
        from: u64,
        to: &mut [u8],
        stream: sys::CUstream,
    ) -> Result<(), DriverError> {
        let lens: Vec<usize> = to.chunks(PIECE_BYTES).map(<[u8]>::len).collect();
        for (i, part) in to.chunks_mut(PIECE_BYTES).enumerate() {
            // One part ahead: the next is on its way while this one is emptied.
            let ahead = if i == 0 { 0..lens.len().min(2) } else { i + 1..lens.len().min(i + 2) };
            for next in ahead {
                let (piece, at) = (&mut self.pieces[next % 2], from + (next * PIECE_BYTES) as u64);
                // SAFETY: the caller's promise for `from`; the piece was emptied two parts ago.
                unsafe {
                    result::memcpy_dtoh_async(piece.bytes(lens[next]), at, stream)?;
                    result::event::record(piece.done, stream)?;
                }
            }
            let piece = &mut self.pieces[i % 2];
            // SAFETY: the piece is waited for before it is emptied.
            unsafe {
                result::event::synchronize(piece.done)?;
                part.copy_from_slice(piece.bytes(part.len()));
            }
        }
        Ok(())
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// No copy is under way, and nothing is copied any more.
    pub(super) unsafe fn release(&mut self) {
        for piece in self.pieces.iter_mut().chain(&mut self.small) {
            // SAFETY: the caller's promise.
            unsafe {
                let _ = result::event::destroy(piece.done);
                let _ = result::free_host(piece.memory.cast());
            }
        }
    }
}

impl Piece {
    fn new(len: usize) -> Result<Self, DriverError> {
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
        // SAFETY: there is a current context; the memory is given back by `release`.
        let memory = unsafe { result::malloc_host(len, 0)? };
        Ok(Self { memory: memory.cast(), len, done: result::event::create(flags)? })
    }

    /// Copies to the device.
    ///
    /// # Safety
    /// As [`Staging::upload`].
    unsafe fn upload(
        &mut self,
        from: &[u8],
        to: u64,
        stream: sys::CUstream,
    ) -> Result<(), DriverError> {
        // SAFETY: the caller's promise for `to`; the piece is waited for before it is filled.
        unsafe {
            result::event::synchronize(self.done)?;
            let staged = self.bytes(from.len());
            staged.copy_from_slice(from);
            result::memcpy_htod_async(to, staged, stream)?;
            result::event::record(self.done, stream)
        }
    }

    /// The first bytes of the piece.
    ///
    /// # Safety
    /// The last copy from or to the piece is done, or starts after what is done with the bytes.
    unsafe fn bytes(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= self.len, "{len} bytes in a piece of {}", self.len);
        // SAFETY: so many bytes were pinned; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.memory, len) }
    }
}
