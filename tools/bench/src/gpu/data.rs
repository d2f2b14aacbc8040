//! Random values in the memory of a GPU, and a part of them back.

use runtime::ops::elementwise;
use runtime::{Buffer, Device, Element};

use super::GpuBench;
use crate::noise::Noise;
use crate::row::relative_error;

/// Values that are drawn; a longer buffer repeats them.
const DRAWN: usize = 4 << 20;
/// Values that are read back, from the start and from the end.
const READ_BACK: usize = 1 << 20;

/// What a buffer is for, which decides how a GPU stores it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// f32.
    Plain,
    /// bf16.
    Activations,
    /// f32 in two halves.
    Params,
}

/// A buffer of `values` on any device.
pub(super) fn put(dev: &Device, kind: Kind, values: &[f32]) -> Buffer<f32> {
    let mut buffer = empty(dev, kind, values.len());
    buffer.write(values);
    buffer
}

/// A buffer of numbers as they are.
pub(super) fn exact<T: Element>(dev: &Device, values: &[T]) -> Buffer<T> {
    let mut buffer = dev.alloc(values.len());
    buffer.write(values);
    buffer
}

/// A buffer of zeros.
pub(super) fn empty(dev: &Device, kind: Kind, len: usize) -> Buffer<f32> {
    match kind {
        Kind::Plain => dev.alloc(len),
        Kind::Activations => dev.alloc_activations(len),
        Kind::Params => dev.alloc_params(len),
    }
}

/// Draws that bf16 holds, so that a CPU computes with the same values.
pub(super) fn rounded(noise: &mut Noise, len: usize, scale: f32) -> Vec<f32> {
    let round = |value: f32| f32::from_bits((value.to_bits() + 0x8000) & 0xffff_0000);
    noise.vec(len, scale).into_iter().map(round).collect()
}

/// The first and the last values of a buffer.
pub(super) fn part(dev: &Device, buffer: &Buffer<f32>) -> Vec<f32> {
    let len = buffer.len();
    let ends = [0..len.min(READ_BACK), len - len.min(READ_BACK)..len];
    let mut values = Vec::new();
    for range in ends {
        let from = values.len();
        values.resize(from + range.len(), 0.0);
        buffer.slice(range).read(dev, &mut values[from..]);
    }
    values
}

impl GpuBench {
    /// `len` random values of deviation `scale`.
    pub(super) fn noise(&self, kind: Kind, len: usize, scale: f32) -> Buffer<f32> {
        let drawn = Noise::new(len as u64).vec(len.min(DRAWN), scale);
        let from = match kind {
            Kind::Params => Kind::Plain,
            kind => kind,
        };
        let drawn = put(&self.device, from, &drawn);
        let mut buffer = empty(&self.device, kind, len);
        for first in (0..len).step_by(DRAWN) {
            let n = DRAWN.min(len - first);
            let to = buffer.slice_mut(first..first + n);
            elementwise::copy(&self.device, drawn.slice(0..n), to);
        }
        buffer
    }

    /// The error of what `work` leaves on the GPU against what it leaves on the host, which
    /// computes in f32 from the same values: tests hold the host's operations within 1e-6 of f64.
    pub(super) fn error(&self, work: impl Fn(&Device) -> Vec<f32>) -> Option<f64> {
        let reference: Vec<f64> = work(&self.host).iter().map(|&x| f64::from(x)).collect();
        Some(relative_error(&work(&self.device), &reference))
    }
}
