//! What the op tests share: random values, devices, f64 copies, and comparison with a tolerance.
#![allow(dead_code, reason = "each test file uses its part")]

use runtime::Device;

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
pub(crate) fn devices() -> Vec<Device> {
    (1..=3).map(|threads| Device::cpu(threads).expect("three threads")).collect()
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
