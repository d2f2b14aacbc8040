//! Every gradient of the model against central differences of the f64 oracle's loss.
//!
//! Differences with a step of 1e-5 are good to about 1e-9; what remains is the rounding of f32 in
//! the pass under test, which is relative to the tensor's gradient as a whole.

use model::BatchSource;

use super::oracle::Oracle;
use super::tiny::{self, Batches};

const STEP: f64 = 1e-5;
/// Largest error of a value, as a share of the tensor's root mean square gradient.
const TOLERANCE: f64 = 1e-5;

#[test]
fn every_gradient_of_a_tied_model_is_the_slope_of_the_loss() {
    gradients_are_slopes(true);
}

#[test]
fn every_gradient_of_an_untied_model_is_the_slope_of_the_loss() {
    gradients_are_slopes(false);
}

fn gradients_are_slopes(tied: bool) {
    let spec = tiny::spec(tied);
    let layout = tiny::layout(&spec);
    let params = tiny::params(&spec, 1);
    let mut trainer = tiny::trainer(&spec, 1, 1, &params);
    let report = tiny::run(&mut trainer, &spec, &tiny::inner(), 0, 1).unwrap()[0];
    let gradients = trainer.gradients().unwrap();

    let micro_batches = micro_batches(&Batches { spec: &spec, micro_batches: 2 });
    let params = params.iter().map(|&value| f64::from(value)).collect();
    let mut oracle = Oracle { spec: &spec, layout: &layout, params };
    let loss = |oracle: &Oracle<'_>| -> f64 {
        micro_batches.iter().map(|(tokens, targets)| oracle.loss_sum(tokens, targets)).sum()
    };
    let expected = loss(&oracle) / report.targets as f64;
    assert!((report.loss / expected - 1.0).abs() < 1e-6, "{} is not {expected}", report.loss);

    for tensor in layout.tensors() {
        let slopes: Vec<f64> = tensor
            .range()
            .map(|at| {
                let value = oracle.params[at];
                oracle.params[at] = value + STEP;
                let above = loss(&oracle);
                oracle.params[at] = value - STEP;
                let below = loss(&oracle);
                oracle.params[at] = value;
                (above - below) / (2.0 * STEP)
            })
            .collect();
        let square: f64 = slopes.iter().map(|slope| slope * slope).sum();
        let scale = (square / slopes.len() as f64).sqrt();
        assert!(scale > 1e-3, "{}: nothing to compare", tensor.name);
        for (place, (at, slope)) in tensor.range().zip(slopes).enumerate() {
            let error = (f64::from(gradients[at]) - slope).abs() / scale;
            let name = &tensor.name;
            let found = gradients[at];
            assert!(error < TOLERANCE, "{name}[{place}]: {found} is not {slope} ({error:e})");
        }
    }
}

fn micro_batches(batches: &Batches<'_>) -> Vec<(Vec<u32>, Vec<u32>)> {
    let t = tiny::SEQUENCES * batches.spec.seq_len;
    (0..batches.micro_batches)
        .map(|micro| {
            let (mut tokens, mut targets) = (vec![0; t], vec![0; t]);
            batches.fill(0, micro, &mut tokens, &mut targets).unwrap();
            (tokens, targets)
        })
        .collect()
}
