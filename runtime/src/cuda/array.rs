//! Arrays in the memory of a GPU. What the model calls f32 may be stored as bf16, or as f32 with a
//! bf16 copy; an operation says which it reads, and a span refuses what it does not hold.

use std::marker::PhantomData;
use std::ops::Range;

use kernels::simt::{Bf16, Element, Global};

use super::{Gpu, elementwise};

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
    /// f32, and beside it the same rounded to bf16.
    Master,
}

/// Values that a buffer owns.
#[derive(Debug)]
pub(crate) struct Array {
    memory: Memory,
    rounded: Option<Memory>,
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
        let value_bytes = if stored == Stored::Bf16 { size_of::<Bf16>() } else { value_bytes };
        let memory = zeroed(len * value_bytes);
        let rounded = (stored == Stored::Master).then(|| zeroed(len * size_of::<Bf16>()));
        Self { memory, rounded, stored, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes + self.rounded.as_ref().map_or(0, |memory| memory.bytes)
    }

    pub(crate) fn span(&self) -> Span<'_> {
        Span {
            gpu: self.memory.gpu.shared.id,
            address: self.memory.address,
            rounded: self.rounded.as_ref().map_or(0, |memory| memory.address),
            value_bytes: self.memory.bytes / self.len.max(1),
            stored: self.stored,
            len: self.len,
            borrowed: PhantomData,
        }
    }

    /// Copies all values in.
    pub(crate) fn write<T: bytemuck::Pod>(&mut self, values: &[T]) {
        assert_eq!(values.len(), self.len, "values written to a buffer");
        let upload = |bytes: &[u8]| {
            self.memory.gpu.attempt(|driver| driver.upload(bytes, self.memory.address));
        };
        if self.stored == Stored::Bf16 {
            let values: &[f32] = bytemuck::cast_slice(values);
            let bits: Vec<u16> = values.iter().map(|value| Bf16::from_f32(*value).0).collect();
            return upload(bytemuck::cast_slice(&bits));
        }
        upload(bytemuck::cast_slice(values));
        if self.stored == Stored::Master {
            elementwise::round(&self.memory.gpu, self.span());
        }
    }

    /// Copies all values out.
    pub(crate) fn read<T: bytemuck::Pod>(&self, values: &mut [T]) {
        assert_eq!(values.len(), self.len, "values read from a buffer");
        if self.stored != Stored::Bf16 {
            return self.memory.download(values);
        }
        let values: &mut [f32] = bytemuck::cast_slice_mut(values);
        let mut bits = vec![0_u16; self.len];
        self.memory.download(&mut bits);
        values.iter_mut().zip(bits).for_each(|(value, bits)| *value = Bf16(bits).to_f32());
    }
}

/// A borrowed range of an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    gpu: u64,
    address: u64,
    /// Address of the rounded copy, where there is one.
    rounded: u64,
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
            rounded: self.rounded + (start * size_of::<Bf16>()) as u64,
            len: end - start,
            ..self
        }
    }

    /// The values as they are, for kernels of `gpu`.
    #[track_caller]
    pub(super) fn plain<T: Element>(self, gpu: &Gpu) -> Global<T> {
        self.assert_on(gpu);
        let fits = self.stored != Stored::Bf16 && self.value_bytes == size_of::<T>();
        assert!(fits, "{:?} values of {} bytes", self.stored, self.value_bytes);
        Global::new(self.address, self.len)
    }

    /// [`Span::plain`] of f32 that no rounded copy depends on.
    #[track_caller]
    pub(super) fn changeable(self, gpu: &Gpu) -> Global<f32> {
        assert!(
            self.stored == Stored::Plain,
            "the rounded copy of parameters would be left behind"
        );
        self.plain(gpu)
    }

    /// [`Span::changeable`] for a driver.
    #[track_caller]
    pub(super) fn changeable_address(self, gpu: &Gpu) -> u64 {
        let _ = self.changeable(gpu);
        self.address
    }

    /// The values as bf16: as they are stored, or their rounded copy.
    #[track_caller]
    pub(super) fn bf16(self, gpu: &Gpu) -> Global<Bf16> {
        Global::new(self.bf16_address(gpu), self.len)
    }

    /// [`Span::bf16`] for a driver.
    #[track_caller]
    pub(super) fn bf16_address(self, gpu: &Gpu) -> u64 {
        self.assert_on(gpu);
        match self.stored {
            Stored::Bf16 => self.address,
            Stored::Master => self.rounded,
            Stored::Plain => panic!("values that are not stored as bf16"),
        }
    }

    /// The values, once everything started before is done; zeros when the device has failed.
    #[track_caller]
    pub(crate) fn to_vec<T: bytemuck::Pod + Element>(self, gpu: &Gpu) -> Vec<T> {
        let _ = self.plain::<T>(gpu);
        let mut values = bytemuck::zeroed_vec(self.len);
        let bytes = bytemuck::cast_slice_mut(&mut values);
        gpu.attempt(|driver| driver.download(self.address, bytes));
        values
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
