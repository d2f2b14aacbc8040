//! A GPU on the host: memory that knows its bounds, kernels under the emulator, which looks for
//! races and faults in every launch, and products by the CPU's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kernels::simt::{Argument, Bf16, Buffer, Emulation, Launch, Value};

use super::{Driver, Factor, GpuFacts, Launchable, Precision, Product};
use crate::cpu::matmul::{Matrix, matmul};
use crate::cuda::GpuError;
use crate::{Compute, Device, RuntimeError};

/// The emulated device.
pub(crate) struct Emulated {
    allocations: Mutex<BTreeMap<u64, Buffer<u8>>>,
    memory_bytes: u64,
    /// Who multiplies.
    host: Device,
}

impl Emulated {
    /// A device with so much memory.
    pub(crate) fn new(memory_bytes: u64) -> Result<Self, RuntimeError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let host = Device::cpu(threads)?;
        Ok(Self { allocations: Mutex::default(), memory_bytes, host })
    }

    fn allocations(&self) -> MutexGuard<'_, BTreeMap<u64, Buffer<u8>>> {
        self.allocations.lock().unwrap_or_else(PoisonError::into_inner)
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
        Ok(address)
    }

    fn free(&self, address: u64, _: usize) {
        self.allocations().remove(&address);
    }

    fn upload(&self, from: &[u8], to: u64) -> Result<(), GpuError> {
        self.bytes_mut(to, from.len()).copy_from_slice(from);
        Ok(())
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), GpuError> {
        to.copy_from_slice(self.bytes(from, to.len()));
        Ok(())
    }

    fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<(), GpuError> {
        self.bytes_mut(to, bytes).copy_from_slice(self.bytes(from, bytes));
        Ok(())
    }

    fn zero(&self, address: u64, bytes: usize) -> Result<(), GpuError> {
        self.bytes_mut(address, bytes).fill(0);
        Ok(())
    }

    fn launch(&self, launch: &Launch, kernel: &dyn Launchable) -> Result<(), GpuError> {
        kernel
            .emulate(launch, &Emulation::default())
            .map_err(|fault| GpuError::Launch { kernel: kernel.name(), reason: fault.to_string() })
    }

    fn multiply(&self, product: &Product) -> Result<(), GpuError> {
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
        Ok(())
    }

    fn synchronise(&self) -> Result<(), GpuError> {
        Ok(())
    }

    fn facts(&self) -> GpuFacts {
        GpuFacts {
            name: "emulator".to_string(),
            memory_bytes: self.memory_bytes,
            compute_capability: (9, 0),
        }
    }
}
