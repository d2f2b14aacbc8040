//! Arrays in the memory of a GPU. What the model calls f32 may be stored as bf16, or in two halves
//! of which one is bf16; an operation says which it reads, and a span refuses what it does not
//! hold.

use std::marker::PhantomData;
use std::ops::Range;

use kernels::simt::{Bf16, Element, Global};

use super::{Gpu, adamw};

/// Owned memory.
#[derive(Debug)]
pub(super) struct Memory {
    gpu: Gpu,
    address: u64,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(gpu: Gpu, address: u64, bytes: usize) -> Self {
        Self { gpu, address, bytes }
    }

    /// All of it as values.
    pub(super) fn global<T: Element>(&self) -> Global<T> {
        Global::new(self.address, self.bytes / size_of::<T>())
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// Copies values in, from the start.
    pub(super) fn upload<T: bytemuck::Pod>(&self, values: &[T]) {
        let values = bytemuck::cast_slice(values);
        assert!(values.len() <= self.bytes, "{} bytes of {}", values.len(), self.bytes);
        self.gpu.attempt(|driver| driver.upload(values, self.address));
    }

    /// Copies the first values out.
    pub(super) fn download<T: bytemuck::Pod>(&self, to: &mut [T]) {
        let to = bytemuck::cast_slice_mut(to);
        assert!(to.len() <= self.bytes, "{} bytes of {}", to.len(), self.bytes);
        self.gpu.attempt(|driver| driver.download(self.address, to));
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Address 0 is memory that could not be had.
        if self.address != 0 {
            self.gpu.shared.driver.free(self.address, self.bytes);
        }
    }
}

/// How values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// As what they are.
    Plain,
    /// f32 rounded to bf16.
    Bf16,
    /// f32 in two halves of 16 bits each: the nearest bf16, and what it lacks.
    Split,
}

/// Values that a buffer owns.
#[derive(Debug)]
pub(crate) struct Array {
    memory: Memory,
    /// The lower halves.
    low: Option<Memory>,
    stored: Stored,
    len: usize,
}

impl Array {
    /// `len` zeros of `value_bytes` each, before they are rounded.
    pub(crate) fn zeroed(gpu: &Gpu, stored: Stored, len: usize, value_bytes: usize) -> Self {
        let zeroed = |bytes| {
            let memory = gpu.allocate(bytes);
            gpu.attempt(|driver| driver.zero(memory.address, bytes));
            memory
        };
        let value_bytes = if stored == Stored::Plain { value_bytes } else { size_of::<Bf16>() };
        let memory = zeroed(len * value_bytes);
        let low = (stored == Stored::Split).then(|| zeroed(len * size_of::<u16>()));
        Self { memory, low, stored, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes + self.low.as_ref().map_or(0, |memory| memory.bytes)
    }

    pub(crate) fn span(&self) -> Span<'_> {
        Span {
            gpu: self.memory.gpu.shared.id,
            address: self.memory.address,
            low: self.low.as_ref().map_or(0, |memory| memory.address),
            value_bytes: self.memory.bytes / self.len.max(1),
            stored: self.stored,
            len: self.len,
            borrowed: PhantomData,
        }
    }

    /// Copies all values in.
    pub(crate) fn write<T: bytemuck::Pod>(&mut self, values: &[T]) {
        assert_eq!(values.len(), self.len, "values written to a buffer");
        match self.stored {
            Stored::Plain => self.memory.upload(values),
            Stored::Bf16 => {
                let values: &[f32] = bytemuck::cast_slice(values);
                let bits: Vec<u16> = values.iter().map(|value| Bf16::from_f32(*value).0).collect();
                self.memory.upload(&bits);
            }
            Stored::Split => {
                let (gpu, mut first) = (&self.memory.gpu, 0);
                for part in bytemuck::cast_slice::<T, f32>(values).chunks(HELD_MAX) {
                    let (held, last) = (gpu.hold(part), first + part.len());
                    adamw::split(gpu, held.global(), self.span().slice(first..last));
                    first = last;
                }
            }
        }
    }

    /// Copies all values out.
    pub(crate) fn read<T: bytemuck::Pod>(&self, values: &mut [T]) {
        self.span().read(&self.memory.gpu, values);
    }
}

/// Most values of parameters that are held as f32 on their way: a multiple of what kernels move at
/// once.
const HELD_MAX: usize = 16 << 20;

/// A borrowed range of an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    gpu: u64,
    address: u64,
    /// Address of the lower halves, where there are any.
    low: u64,
    value_bytes: usize,
    stored: Stored,
    len: usize,
    borrowed: PhantomData<&'a Array>,
}

impl Span<'_> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn stored(&self) -> Stored {
        self.stored
    }

    /// A range of this range.
    pub(crate) fn slice(self, range: Range<usize>) -> Self {
        let Range { start, end } = range;
        assert!(start <= end && end <= self.len, "{start}..{end} of {} values", self.len);
        Self {
            address: self.address + (start * self.value_bytes) as u64,
            low: self.low + (start * size_of::<u16>()) as u64,
            len: end - start,
            ..self
        }
    }

    /// The values as they are, for kernels of `gpu`.
    #[track_caller]
    pub(super) fn plain<T: Element>(self, gpu: &Gpu) -> Global<T> {
        Global::new(self.plain_address::<T>(gpu), self.len)
    }

    /// [`Span::plain`] for a driver.
    #[track_caller]
    pub(super) fn plain_address<T: Element>(self, gpu: &Gpu) -> u64 {
        self.assert_on(gpu);
        let fits = self.stored == Stored::Plain && self.value_bytes == size_of::<T>();
        assert!(fits, "{:?} values of {} bytes", self.stored, self.value_bytes);
        self.address
    }

    /// Both halves of parameters, for kernels of `gpu`.
    #[track_caller]
    pub(super) fn halves(self, gpu: &Gpu) -> (Global<Bf16>, Global<u16>) {
        self.assert_on(gpu);
        assert!(self.stored == Stored::Split, "{:?} values are not in two halves", self.stored);
        (Global::new(self.address, self.len), Global::new(self.low, self.len))
    }

    /// The values as bf16: as they are stored, or their upper halves.
    #[track_caller]
    pub(super) fn bf16(self, gpu: &Gpu) -> Global<Bf16> {
        Global::new(self.bf16_address(gpu), self.len)
    }

    /// [`Span::bf16`] for a driver.
    #[track_caller]
    pub(super) fn bf16_address(self, gpu: &Gpu) -> u64 {
        self.assert_on(gpu);
        assert!(self.stored != Stored::Plain, "values that are not stored as bf16");
        self.address
    }

    /// The values, once everything started before is done; zeros when the device has failed.
    #[track_caller]
    pub(crate) fn to_vec<T: bytemuck::Pod>(self, gpu: &Gpu) -> Vec<T> {
        let mut values = bytemuck::zeroed_vec(self.len);
        self.read(gpu, &mut values);
        values
    }

    /// Copies the values out, once everything started before is done; when the device has failed
    /// they stay as they are.
    #[track_caller]
    pub(crate) fn read<T: bytemuck::Pod>(self, gpu: &Gpu, values: &mut [T]) {
        self.assert_on(gpu);
        assert_eq!(values.len(), self.len, "values read from a buffer");
        match self.stored {
            Stored::Plain => {
                let bytes = bytemuck::cast_slice_mut(values);
                gpu.attempt(|driver| driver.download(self.address, bytes));
            }
            Stored::Bf16 => {
                let mut bits = vec![0_u16; self.len];
                let bytes = bytemuck::cast_slice_mut(&mut bits);
                gpu.attempt(|driver| driver.download(self.address, bytes));
                let values: &mut [f32] = bytemuck::cast_slice_mut(values);
                values.iter_mut().zip(bits).for_each(|(value, bits)| *value = Bf16(bits).to_f32());
            }
            Stored::Split => {
                let mut first = 0;
                for part in bytemuck::cast_slice_mut::<T, f32>(values).chunks_mut(HELD_MAX) {
                    let (held, last) = (gpu.allocate(size_of_val(part)), first + part.len());
                    adamw::join(gpu, self.slice(first..last), held.global());
                    held.download(part);
                    first = last;
                }
            }
        }
    }

    /// Address of the values as they are stored.
    #[track_caller]
    pub(super) fn address(self, gpu: &Gpu) -> u64 {
        self.assert_on(gpu);
        self.address
    }

    pub(super) fn bytes(self) -> usize {
        self.len * self.value_bytes
    }

    /// No address reaches another device's driver.
    #[track_caller]
    fn assert_on(&self, gpu: &Gpu) {
        let (found, expected) = (self.gpu, gpu.shared.id);
        assert!(found == expected, "memory of GPU {found} in an operation on GPU {expected}");
    }
}
