//! Emulated device memory: allocations known by address, so that a launch can refuse memory that is
//! not its own and keep what it uses alive. Blocks run in parallel, so every access is an atomic of
//! its size: a race of the kernel is a wrong result here, not undefined behaviour.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ptr::with_exposed_provenance_mut;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::Global;
use crate::simt::Element;

/// As aligned as `cuMemAlloc` aligns.
#[repr(align(256))]
struct Line {
    #[expect(dead_code, reason = "reached by address")]
    words: [AtomicU64; 32],
}

const LINE_BYTES: usize = size_of::<Line>();

/// Memory of one buffer.
pub(super) struct Allocation {
    lines: Box<[Line]>,
    bytes: usize,
    /// Who wrote each word, made when races between blocks are first looked for.
    owners: OnceLock<Box<[AtomicU64]>>,
}

impl Allocation {
    pub(super) fn address(&self) -> u64 {
        self.lines.as_ptr().expose_provenance() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Where it begins, and its bytes.
    pub(super) fn extent(&self) -> (u64, usize) {
        (self.address(), self.bytes)
    }

    /// One entry for each word of 4 bytes.
    pub(super) fn owners(&self) -> &[AtomicU64] {
        self.owners.get_or_init(|| (0..self.bytes.div_ceil(4)).map(|_| AtomicU64::new(0)).collect())
    }
}

static LIVE: RwLock<BTreeMap<u64, Arc<Allocation>>> = RwLock::new(BTreeMap::new());

/// The allocation that holds all of `bytes` bytes at `address`.
pub(super) fn find(address: u64, bytes: u64) -> Option<Arc<Allocation>> {
    let live = LIVE.read().unwrap_or_else(PoisonError::into_inner);
    let (start, allocation) = live.range(..=address).next_back()?;
    let end = address.checked_add(bytes)?;
    (end <= start + allocation.bytes()).then(|| Arc::clone(allocation))
}

/// Values in emulated device memory, which kernels see as [`Global`].
pub struct Buffer<T> {
    allocation: Arc<Allocation>,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// `len` values that nobody has set: every byte is 0xff, and floats are NaN.
    pub fn unset(len: usize) -> Self {
        let bytes = len * size_of::<T>();
        let line = || Line { words: [const { AtomicU64::new(u64::MAX) }; 32] };
        // At least one line, so that every buffer has an address of its own.
        let lines = (0..bytes.div_ceil(LINE_BYTES).max(1)).map(|_| line()).collect();
        let allocation = Arc::new(Allocation { lines, bytes, owners: OnceLock::new() });
        let mut live = LIVE.write().unwrap_or_else(PoisonError::into_inner);
        live.insert(allocation.address(), Arc::clone(&allocation));
        Self { allocation, len, values: PhantomData }
    }

    /// A copy of `values`.
    pub fn from(values: &[T]) -> Self {
        let buffer = Self::unset(values.len());
        buffer.write(values);
        buffer
    }

    /// Values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No values at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The buffer as an argument.
    pub fn arg(&self) -> Global<T> {
        Global::new(self.allocation.address(), self.len)
    }

    /// Sets all values.
    ///
    /// # Panics
    /// When there are more or fewer of them.
    pub fn write(&self, values: &[T]) {
        assert_eq!(values.len(), self.len, "values written to a buffer");
        let size = size_of::<T>() as u64;
        for (i, value) in values.iter().enumerate() {
            write(self.allocation.address() + i as u64 * size, *value);
        }
    }

    /// A copy of the values.
    pub fn to_vec(&self) -> Vec<T> {
        let size = size_of::<T>() as u64;
        (0..self.len as u64).map(|i| read(self.allocation.address() + i * size)).collect()
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        let mut live = LIVE.write().unwrap_or_else(PoisonError::into_inner);
        live.remove(&self.allocation.address());
    }
}

/// The atomic number at `address`.
#[inline(always)]
fn at<A>(address: u64) -> &'static A {
    // SAFETY: the address lies in an allocation that the launch, or the buffer, keeps alive while
    // the reference is used; A is an atomic, aligned to its size, for which any bits will do.
    unsafe { &*with_exposed_provenance_mut::<A>(address as usize) }
}

/// Reads a number; the address is in bounds and aligned.
#[inline(always)]
pub(super) fn read<T: Element>(address: u64) -> T {
    // SAFETY: an `Element` of the size of the number that is read, for which any bits will do.
    unsafe {
        match size_of::<T>() {
            1 => std::mem::transmute_copy(&at::<AtomicU8>(address).load(Relaxed)),
            2 => std::mem::transmute_copy(&at::<AtomicU16>(address).load(Relaxed)),
            4 => std::mem::transmute_copy(&at::<AtomicU32>(address).load(Relaxed)),
            _ => std::mem::transmute_copy(&at::<AtomicU64>(address).load(Relaxed)),
        }
    }
}

/// Writes a number; the address is in bounds and aligned.
#[inline(always)]
pub(super) fn write<T: Element>(address: u64, value: T) {
    // SAFETY: an `Element` is as many plain bytes as its size says.
    unsafe {
        match size_of::<T>() {
            1 => at::<AtomicU8>(address).store(std::mem::transmute_copy(&value), Relaxed),
            2 => at::<AtomicU16>(address).store(std::mem::transmute_copy(&value), Relaxed),
            4 => at::<AtomicU32>(address).store(std::mem::transmute_copy(&value), Relaxed),
            _ => at::<AtomicU64>(address).store(std::mem::transmute_copy(&value), Relaxed),
        }
    }
}

/// The 32-bit number at `address`, for atomics.
#[inline(always)]
pub(super) fn word(address: u64) -> &'static AtomicU32 {
    at(address)
}

/// Reads bytes; the address is aligned to 2 at least, and so is the length.
pub(super) fn read_bytes(address: u64, target: &mut [u8]) {
    if address.is_multiple_of(8) && target.len().is_multiple_of(8) {
        for (i, eight) in target.chunks_exact_mut(8).enumerate() {
            eight.copy_from_slice(&read::<u64>(address + 8 * i as u64).to_ne_bytes());
        }
    } else {
        for (i, byte) in target.iter_mut().enumerate() {
            *byte = read(address + i as u64);
        }
    }
}

/// Writes bytes.
pub(super) fn write_bytes(address: u64, bytes: &[u8]) {
    if address.is_multiple_of(8) && bytes.len().is_multiple_of(8) {
        for (i, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
            write(address + 8 * i as u64, u64::from_ne_bytes(*eight));
        }
    } else {
        for (i, byte) in bytes.iter().enumerate() {
            write(address + i as u64, *byte);
        }
    }
}
