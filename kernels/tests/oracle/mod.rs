//! What the kernel tests share: random values, f64 copies, comparison with a tolerance that keeps
//! NaN, and the launch that every kernel's test goes through.
#![allow(dead_code, reason = "each test file uses its part")]

use kernels::simt::{Bf16, Emulation, Kernel, Landing, Launch, Report, Schedule, emulate};

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

/// The nearest bf16 values.
pub(crate) fn to_bf16(values: &[f32]) -> Vec<Bf16> {
    values.iter().map(|value| Bf16::from_f32(*value)).collect()
}

/// bf16 values as f32.
pub(crate) fn from_bf16(values: &[Bf16]) -> Vec<f32> {
    values.iter().map(|value| value.to_f32()).collect()
}

/// The same values in f64.
pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// `sum a[i] * b[i]`.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Bits of every value, to compare exactly.
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Every value within `tolerance` of the oracle's, relative to the oracle's largest magnitude; a
/// NaN is never within.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let scale = want.iter().fold(1e-30_f64, |a, b| a.max(b.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs() / scale;
        assert!(error <= tolerance, "{what}[{i}]: got {got}, want {want}, error {error:e}");
    }
}

/// The ways in which every kernel is run: copies late and early, lanes in order and not.
pub(crate) fn emulations() -> [Emulation; 3] {
    let late = Emulation::default();
    [
        late,
        Emulation { landing: Landing::Early, schedule: Schedule::Seeded(1), ..late },
        Emulation { schedule: Schedule::Seeded(2), ..late },
    ]
}

/// Runs a kernel that must not fail.
#[track_caller]
pub(crate) fn run<K: Kernel>(launch: Launch, kernel: &K, emulation: &Emulation) -> Report {
    match emulate(&launch, kernel, emulation) {
        Ok(report) => report,
        Err(fault) => panic!("{fault}"),
    }
}
