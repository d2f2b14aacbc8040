//! What the op tests share: random values, devices, f64 copies, and comparison with a tolerance.
#![allow(dead_code, reason = "each test file uses its part")]

use runtime::{Compute, Device};

/// Deterministic values in (-1, 1), about uniform (a multiplicative congruential generator).
pub(crate) fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            ((state >> 40) as f32 / (1_u64 << 23) as f32) - 1.0
        })
        .collect()
}

/// The same values in f64.
pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// The CPU with one, two and three threads.
pub(crate) fn devices() -> [Device; 3] {
    [1, 2, 3].map(|threads| Device::cpu(threads).expect("three threads"))
}

/// What factors of matrix products are read as.
pub(crate) const COMPUTES: [Compute; 2] = [Compute::F32, Compute::Bf16];

/// `x` as a matrix product reads it, in f64; bf16 is the nearer of two neighbours, 2^16 bits apart,
/// or of equally near ones the even.
pub(crate) fn read_as(compute: Compute, x: &[f32]) -> Vec<f64> {
    let nearest = |x: &f32| {
        let below = x.to_bits() & 0xffff_0000;
        let [low, high] = [below, below + 0x1_0000].map(|bits| f64::from(f32::from_bits(bits)));
        let (to_low, to_high) = ((f64::from(*x) - low).abs(), (high - f64::from(*x)).abs());
        let low_is_even = below & 0x1_0000 == 0;
        if to_low < to_high || (to_low == to_high && low_is_even) { low } else { high }
    };
    match compute {
        Compute::F32 => wide(x),
        Compute::Bf16 => x.iter().map(nearest).collect(),
    }
}

/// The CPU with two threads.
pub(crate) fn device() -> Device {
    Device::cpu(2).expect("two threads")
}

/// Every value within `tolerance` of the oracle's, relative to the oracle's largest magnitude.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let scale = want.iter().fold(1e-30_f64, |a, b| a.max(b.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs() / scale;
        assert!(error <= tolerance, "{what}[{i}]: got {got}, want {want}, error {error:e}");
    }
}

/// Bits of every value, to compare exactly.
pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Gradient of `loss` at `x` by central differences in f64.
pub(crate) fn central_differences(x: &[f64], mut loss: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut at = x.to_vec();
    (0..x.len())
        .map(|i| {
            at[i] = x[i] + STEP;
            let above = loss(&at);
            at[i] = x[i] - STEP;
            let below = loss(&at);
            at[i] = x[i];
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// `sum a[i] * b[i]`.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
