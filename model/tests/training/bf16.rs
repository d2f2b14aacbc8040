//! Training in bf16 beside training in f32, from the same parameters on the same batches.
//!
//! A factor rounded to bf16 is off by up to 2^-9 = 0.2 %, so a gradient of a dozen products in a
//! row points within a few degrees of the exact one, and losses stay within a percent or two.

use runtime::Compute;
use wire::ModelSpec;

use super::tiny;

/// Largest relative difference of a loss.
const LOSS_TOLERANCE: f64 = 0.01;
/// Smallest cosine between the gradients of one tensor.
const COSINE_MIN: f64 = 0.999;

fn specs() -> [ModelSpec; 2] {
    [true, false].map(tiny::spec)
}

#[test]
fn losses_in_bf16_follow_those_in_f32() {
    for spec in specs() {
        let params = tiny::params(&spec, 11);
        let inner = tiny::inner();
        let [exact, rounded] = [Compute::F32, Compute::Bf16].map(|compute| {
            let mut trainer = tiny::trainer(&spec, 1, 1, &params).with_compute(compute);
            tiny::run(&mut trainer, &spec, &inner, 0, inner.steps as u32).unwrap()
        });
        assert_ne!(exact[0].loss, rounded[0].loss, "bf16 was not used");
        for (exact, rounded) in exact.iter().zip(&rounded) {
            let error = (rounded.loss / exact.loss - 1.0).abs();
            let (step, exact, rounded) = (exact.step, exact.loss, rounded.loss);
            assert!(error < LOSS_TOLERANCE, "step {step}: {rounded} for {exact}");
        }
        assert!(rounded[49].loss < 0.7 * rounded[0].loss, "nothing was learned");
    }
}

#[test]
fn gradients_in_bf16_point_where_those_in_f32_do() {
    for spec in specs() {
        let params = tiny::params(&spec, 1);
        let [exact, rounded] = [Compute::F32, Compute::Bf16].map(|compute| {
            let mut trainer = tiny::trainer(&spec, 1, 1, &params).with_compute(compute);
            tiny::run(&mut trainer, &spec, &tiny::inner(), 0, 1).unwrap();
            trainer.gradients().unwrap()
        });
        for tensor in tiny::layout(&spec).tensors() {
            let cosine = cosine(&exact[tensor.range()], &rounded[tensor.range()]);
            assert!(cosine > COSINE_MIN, "{}: cosine {cosine}", tensor.name);
        }
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
