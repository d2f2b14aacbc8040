//! A GPU on the host: memory that knows its bounds, kernels under the emulator, which looks for
//! races and faults in every launch, and products by the CPU's.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kernels::simt::{Argument, Bf16, Buffer, Emulation, Launch, Value};

use super::{
    DOWNLOAD_BYTES_MAX, DOWNLOADS_MAX, Driver, Factor, GpuFacts, Launchable, Precision, Product,
};
use crate::cpu::matmul::{Matrix, matmul};
use crate::cuda::GpuError;
use crate::{Compute, Device, RuntimeError};

/// The emulated device.
pub(crate) struct Emulated {
    allocations: Mutex<BTreeMap<u64, Buffer<u8>>>,
    memory_bytes: u64,
    /// Who multiplies.
    host: Device,
    kept: Mutex<Kept>,
}

/// What is asked for later, by number.
#[derive(Default)]
struct Kept {
    last: u64,
    peak_bytes: u64,
    downloads: HashMap<u64, Vec<u8>>,
    marks: HashMap<u64, Instant>,
    recording: Option<Record>,
    records: HashMap<u64, Record>,
}

impl Kept {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// Work to be done later, and the memory that was given back while it was recorded.
#[derive(Default)]
struct Record {
    work: Vec<Work>,
    memory: Vec<u64>,
}

enum Work {
    Copy { from: u64, to: u64, bytes: usize },
    Zero { address: u64, bytes: usize },
    Launch(Launch, Box<dyn Launchable + Send>),
    Multiply(Product),
}

impl Emulated {
    /// A device with so much memory.
    pub(crate) fn new(memory_bytes: u64) -> Result<Self, RuntimeError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let host = Device::cpu(threads)?;
        let (allocations, kept) = (Mutex::default(), Mutex::default());
        Ok(Self { allocations, memory_bytes, host, kept })
    }

    fn allocations(&self) -> MutexGuard<'_, BTreeMap<u64, Buffer<u8>>> {
        self.allocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the work, or records it.
    fn ask(&self, work: Work) -> Result<(), GpuError> {
        if let Some(record) = &mut self.kept().recording {
            record.work.push(work);
            return Ok(());
        }
        self.work(&work)
    }

    fn work(&self, work: &Work) -> Result<(), GpuError> {
        match work {
            Work::Copy { from, to, bytes } => {
                self.bytes_mut(*to, *bytes).copy_from_slice(self.bytes(*from, *bytes));
            }
            Work::Zero { address, bytes } => self.bytes_mut(*address, *bytes).fill(0),
            Work::Launch(launch, kernel) => {
                kernel.emulate(launch, &Emulation::default()).map_err(|fault| {
                    GpuError::Launch { kernel: kernel.name(), reason: fault.to_string() }
                })?;
            }
            Work::Multiply(product) => self.product(product),
        }
        Ok(())
    }

    /// Refuses what waits for the device, as a driver does, while work is recorded.
    fn wait(&self, call: &'static str) -> Result<(), GpuError> {
        match self.kept().recording {
            None => Ok(()),
            Some(_) => {
                let reason = "it cannot be recorded".to_string();
                Err(GpuError::Driver { call, after: "none", reason })
            }
        }
    }

    /// Checks that a live allocation of this device holds all of a range.
    fn assert_mine(&self, address: u64, bytes: usize) {
        let allocations = self.allocations();
        let found = allocations.range(..=address).next_back();
        let inside = found.is_some_and(|(start, allocation)| {
            (address - start) as usize + bytes <= allocation.len()
        });
        assert!(inside, "{bytes} bytes at {address:#x} are not memory of this emulated GPU");
    }

    /// The bytes of a range, to read.
    fn bytes(&self, address: u64, bytes: usize) -> &[u8] {
        self.assert_mine(address, bytes);
        // SAFETY: the range lies in a live allocation, as just checked, whose address is exposed.
        // Launches are over when they return, and a caller holds the buffers it names, so nobody
        // frees or writes the range while it is read.
        unsafe {
            std::slice::from_raw_parts(std::ptr::with_exposed_provenance(address as usize), bytes)
        }
    }

    /// The bytes of a range, to write.
    #[expect(clippy::mut_from_ref, reason = "memory of a device, borrowed by whoever holds a view")]
    fn bytes_mut(&self, address: u64, bytes: usize) -> &mut [u8] {
        self.assert_mine(address, bytes);
        // SAFETY: as in `bytes`, and whoever asks holds the one view of the range that may write.
        unsafe {
            std::slice::from_raw_parts_mut(
                std::ptr::with_exposed_provenance_mut(address as usize),
                bytes,
            )
        }
    }

    /// A factor of `rows` times `cols` in f32, rows and columns as in memory.
    fn widened(&self, factor: Factor, rows: usize, cols: usize) -> Vec<f32> {
        let (rows, cols) = if factor.transposed { (cols, rows) } else { (rows, cols) };
        let len = (rows - 1) * factor.row_stride + cols;
        let bits: &[u16] = bytemuck::cast_slice(self.bytes(factor.address, 2 * len));
        bits.iter().map(|bits| Bf16(*bits).to_f32()).collect()
    }

    /// Multiplies at once.
    fn product(&self, product: &Product) {
        let Product { m, n, k, a, b, c, precision, accumulate } = *product;
        let (a_values, b_values) = (self.widened(a, m, k), self.widened(b, k, n));
        let mut sums = vec![0.0; m * n];
        if accumulate {
            match precision {
                Precision::F32 => {
                    sums.copy_from_slice(bytemuck::cast_slice(self.bytes(c, 4 * m * n)));
                }
                Precision::Bf16 => {
                    let c: &[u16] = bytemuck::cast_slice(self.bytes(c, 2 * m * n));
                    sums.iter_mut().zip(c).for_each(|(sum, bits)| *sum = Bf16(*bits).to_f32());
                }
            }
        }
        let (a, b) = (matrix(&a_values, a), matrix(&b_values, b));
        self.host.install(|| matmul((m, n, k), &mut sums, a, b, accumulate, Compute::F32));
        match precision {
            Precision::F32 => {
                self.bytes_mut(c, 4 * m * n).copy_from_slice(bytemuck::cast_slice(&sums));
            }
            Precision::Bf16 => {
                let c: &mut [u16] = bytemuck::cast_slice_mut(self.bytes_mut(c, 2 * m * n));
                c.iter_mut().zip(&sums).for_each(|(bits, sum)| *bits = Bf16::from_f32(*sum).0);
            }
        }
    }
}

fn matrix(values: &[f32], factor: Factor) -> Matrix<'_> {
    let matrix = Matrix::rows(values, factor.row_stride);
    if factor.transposed { matrix.transposed() } else { matrix }
}

impl Driver for Emulated {
    fn allocate(&self, bytes: usize) -> Result<u64, GpuError> {
        let mut allocations = self.allocations();
        let used: usize = allocations.values().map(Buffer::len).sum();
        let free_bytes = self.memory_bytes - used as u64;
        if bytes as u64 > free_bytes {
            let (needs_bytes, total_bytes) = (bytes as u64, self.memory_bytes);
            return Err(GpuError::OutOfMemory { needs_bytes, free_bytes, total_bytes });
        }
        let buffer = Buffer::unset(bytes);
        let Value::Memory { address, .. } = buffer.arg().value() else {
            unreachable!("a buffer is memory")
        };
        allocations.insert(address, buffer);
        let mut kept = self.kept();
        kept.peak_bytes = kept.peak_bytes.max((used + bytes) as u64);
        Ok(address)
    }

    fn free(&self, address: u64, _: usize) {
        // What is recorded uses it again whenever it is played.
        if let Some(record) = &mut self.kept().recording {
            record.memory.push(address);
            return;
        }
        // Only now: who allocates holds the allocations when asking for what is kept.
        drop(self.allocations().remove(&address));
    }

    fn upload(&self, from: &[u8], to: u64) -> Result<(), GpuError> {
        self.wait("upload")?;
        self.bytes_mut(to, from.len()).copy_from_slice(from);
        Ok(())
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), GpuError> {
        self.wait("download")?;
        to.copy_from_slice(self.bytes(from, to.len()));
        Ok(())
    }

    fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<(), GpuError> {
        self.ask(Work::Copy { from, to, bytes })
    }

    fn zero(&self, address: u64, bytes: usize) -> Result<(), GpuError> {
        self.ask(Work::Zero { address, bytes })
    }

    fn launch(&self, launch: &Launch, kernel: &dyn Launchable) -> Result<(), GpuError> {
        self.ask(Work::Launch(*launch, kernel.to_owned()))
    }

    fn multiply(&self, product: &Product) -> Result<(), GpuError> {
        self.ask(Work::Multiply(*product))
    }

    fn begin_download(&self, from: u64, bytes: usize) -> Result<u64, GpuError> {
        self.wait("begin_download")?;
        assert!(bytes <= DOWNLOAD_BYTES_MAX, "{bytes} bytes copied out without waiting");
        let values = self.bytes(from, bytes).to_vec();
        let mut kept = self.kept();
        assert!((kept.downloads.len() as u64) < DOWNLOADS_MAX, "copies that nobody finishes");
        let ticket = kept.number();
        kept.downloads.insert(ticket, values);
        Ok(ticket)
    }

    fn finish_download(&self, ticket: u64, to: &mut [u8]) -> Result<(), GpuError> {
        let values = self.kept().downloads.remove(&ticket);
        to.copy_from_slice(&values.expect("a copy is finished once"));
        Ok(())
    }

    fn mark(&self) -> Result<u64, GpuError> {
        let mut kept = self.kept();
        let mark = kept.number();
        kept.marks.insert(mark, Instant::now());
        Ok(mark)
    }

    fn elapsed_ms(&self, earlier: u64, later: u64) -> Result<f64, GpuError> {
        let kept = self.kept();
        Ok((kept.marks[&later] - kept.marks[&earlier]).as_secs_f64() * 1e3)
    }

    fn unmark(&self, mark: u64) {
        self.kept().marks.remove(&mark);
    }

    fn begin_recording(&self) -> Result<(), GpuError> {
        self.wait("begin_recording")?;
        self.kept().recording = Some(Record::default());
        Ok(())
    }

    fn end_recording(&self) -> Result<u64, GpuError> {
        let mut kept = self.kept();
        let record = kept.recording.take().expect("a recording that was begun");
        let number = kept.number();
        kept.records.insert(number, record);
        Ok(number)
    }

    fn play(&self, record: u64) -> Result<(), GpuError> {
        let held = self.kept().records.remove(&record).expect("a record that is kept");
        let played = held.work.iter().try_for_each(|work| self.work(work));
        self.kept().records.insert(record, held);
        played
    }

    fn discard(&self, record: u64) {
        let record = self.kept().records.remove(&record);
        let mut allocations = self.allocations();
        for address in record.into_iter().flat_map(|record| record.memory) {
            allocations.remove(&address);
        }
    }

    fn synchronise(&self) -> Result<(), GpuError> {
        Ok(())
    }

    fn peak_bytes(&self, restart: bool) -> Result<u64, GpuError> {
        let used: usize = self.allocations().values().map(Buffer::len).sum();
        let mut kept = self.kept();
        let peak_bytes = kept.peak_bytes.max(used as u64);
        kept.peak_bytes = if restart { 0 } else { peak_bytes };
        Ok(peak_bytes)
    }

    fn facts(&self) -> GpuFacts {
        GpuFacts {
            name: "emulator".to_string(),
            driver: "no driver".to_string(),
            memory_bytes: self.memory_bytes,
            free_bytes: self.memory_bytes,
            compute_capability: (9, 0),
        }
    }
}
