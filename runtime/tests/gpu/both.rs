//! One operation on all devices, and the comparison of what it leaves.

use runtime::{Buffer, Device, Element};

use crate::oracle::{assert_close, bits, device, random, wide};

/// Half a unit in the last place of bf16 for the largest value: what one rounding may cost.
pub(crate) const BF16: f64 = 1.0 / 256.0;

/// The emulator, and the first real GPU if there is one.
pub(crate) fn gpus() -> Vec<Device> {
    let mut gpus = vec![Device::emulated().expect("threads")];
    match Device::cuda(0) {
        Ok(gpu) => gpus.push(gpu),
        Err(error) => eprintln!("not tested on a real GPU: {error}"),
    }
    gpus
}

/// The nearest bf16 values, of equally near ones the even.
pub(crate) fn rounded(values: &[f32]) -> Vec<f32> {
    let round = |value: &f32| {
        let bits = value.to_bits();
        f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
    };
    values.iter().map(round).collect()
}

/// Random values that bf16 holds.
pub(crate) fn random_bf16(len: usize, seed: u64) -> Vec<f32> {
    rounded(&random(len, seed))
}

/// A buffer of `values` as they are.
pub(crate) fn plain<T: Element>(dev: &Device, values: &[T]) -> Buffer<T> {
    let mut buffer = dev.alloc(values.len());
    buffer.write(values);
    buffer
}

/// A buffer of activations.
pub(crate) fn activations(dev: &Device, values: &[f32]) -> Buffer<f32> {
    let mut buffer = dev.alloc_activations(values.len());
    buffer.write(values);
    buffer
}

/// A buffer of parameters.
pub(crate) fn params(dev: &Device, values: &[f32]) -> Buffer<f32> {
    let mut buffer = dev.alloc_params(values.len());
    buffer.write(values);
    buffer
}

/// The values of a buffer.
pub(crate) fn read(buffer: &Buffer<f32>) -> Vec<f32> {
    let mut values = vec![0.0; buffer.len()];
    buffer.read(&mut values);
    values
}

/// A result of an operation: its name, its values, and by how much they may differ, as a share of
/// the largest; 0 for not a bit.
pub(crate) type Results = Vec<(&'static str, Vec<f32>, f64)>;

/// Runs `operation` on the CPU and twice on each GPU.
#[track_caller]
pub(crate) fn compare(operation: impl Fn(&Device) -> Results) {
    let expected = operation(&device());
    for gpu in gpus() {
        let results = operation(&gpu);
        gpu.synchronise().unwrap_or_else(|error| panic!("{error}"));
        for ((what, got, tolerance), (_, want, _)) in results.iter().zip(&expected) {
            assert_close(what, got, &wide(want), *tolerance);
        }
        for ((what, again, _), (_, first, _)) in operation(&gpu).iter().zip(&results) {
            assert_eq!(bits(again), bits(first), "{what} in a second run");
        }
    }
}
