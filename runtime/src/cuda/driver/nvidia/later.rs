//! What is asked of the device without waiting: small copies out, marks of points in its work, and
//! records of work.

use std::collections::HashMap;

use cudarc::driver::{DriverError, result, sys};

use crate::cuda::driver::{DOWNLOAD_BYTES_MAX, DOWNLOADS_MAX};

/// All that is asked for and not yet answered, by number.
pub(super) struct Later {
    last: u64,
    /// Pinned memory of [`DOWNLOADS_MAX`] small copies, taken in turn.
    memory: *mut u8,
    /// When each of them is done, and of which ticket it is.
    slots: Vec<(sys::CUevent, Option<u64>)>,
    marks: HashMap<u64, sys::CUevent>,
    records: HashMap<u64, (sys::CUgraph, sys::CUgraphExec)>,
}

impl Later {
    /// Pins memory, in the current context.
    pub(super) fn new() -> Result<Self, DriverError> {
        let slots = DOWNLOADS_MAX as usize;
        // SAFETY: there is a current context; the memory is given back by `release`.
        let memory = unsafe { result::malloc_host(slots * DOWNLOAD_BYTES_MAX, 0)? };
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
        let slot = |_| Ok((result::event::create(flags)?, None));
        Ok(Self {
            last: 0,
            memory: memory.cast(),
            slots: (0..slots).map(slot).collect::<Result<_, DriverError>>()?,
            marks: HashMap::new(),
            records: HashMap::new(),
        })
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Bytes of the slot of a ticket.
    ///
    /// # Safety
    /// Nobody else holds them.
    unsafe fn bytes(&mut self, slot: usize, len: usize) -> &mut [u8] {
        assert!(len <= DOWNLOAD_BYTES_MAX, "{len} bytes copied out without waiting");
        // SAFETY: the slot is one of those that were pinned; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.memory.add(slot * DOWNLOAD_BYTES_MAX), len) }
    }

    /// Asks for a copy out.
    ///
    /// # Safety
    /// `from` is memory of the current context.
    pub(super) unsafe fn begin_download(
        &mut self,
        from: u64,
        bytes: usize,
        stream: sys::CUstream,
    ) -> Result<u64, DriverError> {
        let slot = self.slots.iter().position(|(_, ticket)| ticket.is_none());
        let slot = slot.expect("copies that nobody finishes");
        let done = self.slots[slot].0;
        // SAFETY: nobody holds a slot without a ticket; the rest is the caller's promise.
        unsafe {
            result::memcpy_dtoh_async(self.bytes(slot, bytes), from, stream)?;
            result::event::record(done, stream)?;
        }
        let ticket = self.number();
        self.slots[slot].1 = Some(ticket);
        Ok(ticket)
    }

    /// The event of a ticket, to be waited for without holding this value.
    pub(super) fn download_done(&self, ticket: u64) -> sys::CUevent {
        self.slots[self.slot(ticket)].0
    }

    fn slot(&self, ticket: u64) -> usize {
        let slot = self.slots.iter().position(|(_, held)| *held == Some(ticket));
        slot.expect("a copy is finished once")
    }

    /// Takes what was copied out, once its event is over.
    pub(super) fn finish_download(&mut self, ticket: u64, to: &mut [u8]) {
        let slot = self.slot(ticket);
        // SAFETY: the copy is done, and the ticket is given back here.
        to.copy_from_slice(unsafe { self.bytes(slot, to.len()) });
        self.slots[slot].1 = None;
    }

    /// Marks this point of the stream.
    pub(super) fn mark(&mut self, stream: sys::CUstream) -> Result<u64, DriverError> {
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT)?;
        // SAFETY: both are of the current context.
        unsafe { result::event::record(event, stream)? };
        let mark = self.number();
        self.marks.insert(mark, event);
        Ok(mark)
    }

    /// The event of a mark.
    pub(super) fn event(&self, mark: u64) -> sys::CUevent {
        self.marks[&mark]
    }

    pub(super) fn unmark(&mut self, mark: u64) {
        if let Some(event) = self.marks.remove(&mark) {
            // SAFETY: the event was made here and is forgotten.
            let _ = unsafe { result::event::destroy(event) };
        }
    }

    /// Makes what was recorded ready to be played.
    pub(super) fn keep(&mut self, graph: sys::CUgraph) -> Result<u64, DriverError> {
        let flags = sys::CUgraphInstantiate_flags(0);
        // SAFETY: the graph is what a recording just left.
        let ready = unsafe { result::graph::instantiate(graph, flags) };
        match ready {
            Ok(ready) => {
                let record = self.number();
                self.records.insert(record, (graph, ready));
                Ok(record)
            }
            Err(error) => {
                // SAFETY: as above; it is forgotten.
                let _ = unsafe { result::graph::destroy(graph) };
                Err(error)
            }
        }
    }

    /// Starts a record.
    pub(super) fn play(&self, record: u64, stream: sys::CUstream) -> Result<(), DriverError> {
        // SAFETY: the record lives until it is discarded, and what it touches is the promise of
        // whoever recorded it.
        unsafe { result::graph::launch(self.records[&record].1, stream) }
    }

    pub(super) fn discard(&mut self, record: u64) {
        if let Some((graph, ready)) = self.records.remove(&record) {
            // SAFETY: made by `keep`, and forgotten; a graph that still runs is destroyed after.
            unsafe {
                let _ = result::graph::exec_destroy(ready);
                let _ = result::graph::destroy(graph);
            }
        }
    }

    /// Gives everything back.
    ///
    /// # Safety
    /// Nothing is under way, and nothing is asked for any more.
    pub(super) unsafe fn release(&mut self) {
        let marks: Vec<u64> = self.marks.keys().copied().collect();
        marks.into_iter().for_each(|mark| self.unmark(mark));
        let records: Vec<u64> = self.records.keys().copied().collect();
        records.into_iter().for_each(|record| self.discard(record));
        // SAFETY: the caller's promise.
        unsafe {
            for (event, _) in &self.slots {
                let _ = result::event::destroy(*event);
            }
            let _ = result::free_host(self.memory.cast());
        }
    }
}
