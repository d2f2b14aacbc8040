//! Every gradient of the model against central differences of the f64 oracle's loss.
//!
//! Differences with a step of 1e-5 are good to about 1e-9; what remains is the rounding of f32 in
//! the pass under test, which is relative to the tensor's gradient as a whole.

use model::{BatchSource, StepReport, Trainer};
use wire::ModelSpec;

use super::oracle::Oracle;
use super::tiny::{self, Apart, Batches};

const STEP: f64 = 1e-5;
/// Largest error of a value, as a share of the tensor's root mean square gradient.
const TOLERANCE: f64 = 1e-5;

#[test]
fn every_gradient_of_a_tied_model_is_the_slope_of_the_loss() {
    gradients_are_slopes(true);
}

/// The oracle sees each document alone.
#[test]
fn every_gradient_of_documents_kept_apart_is_that_of_the_documents_alone() {
    let (spec, micro_batches) = (tiny::spec(true), 2);
    let apart = Apart(Batches { spec: &spec, micro_batches });
    let mut trainer = tiny::trainer_of(&spec, tiny::masked(), &tiny::params(&spec, 1));
    let report = tiny::run_on(&mut trainer, &apart, &tiny::inner(), 0, 1).unwrap()[0];
    let alone: Vec<_> = batches_of(&apart, &spec)
        .iter()
        .flat_map(|(tokens, targets)| {
            let rows = tokens.chunks(spec.seq_len).zip(targets.chunks(spec.seq_len));
            let documents = rows.flat_map(|(tokens, targets)| {
                let part = |range: &std::ops::Range<usize>| {
                    (tokens[range.clone()].to_vec(), targets[range.clone()].to_vec())
                };
                Apart::DOCUMENTS.iter().map(part).collect::<Vec<_>>()
            });
            documents.collect::<Vec<_>>()
        })
        .collect();
    gradients_are_slopes_of(&spec, &trainer, report, &alone);

    // Of whole rows they are others.
    let mut whole = tiny::trainer(&spec, 1, 1, &tiny::params(&spec, 1));
    tiny::run_on(&mut whole, &apart, &tiny::inner(), 0, 1).unwrap();
    assert_ne!(whole.gradients().unwrap(), trainer.gradients().unwrap());
}

#[test]
fn every_gradient_of_an_untied_model_is_the_slope_of_the_loss() {
    gradients_are_slopes(false);
}

fn gradients_are_slopes(tied: bool) {
    let spec = tiny::spec(tied);
    let mut trainer = tiny::trainer(&spec, 1, 1, &tiny::params(&spec, 1));
    let report = tiny::run(&mut trainer, &spec, &tiny::inner(), 0, 1).unwrap()[0];
    let batches = batches_of(&Batches { spec: &spec, micro_batches: 2 }, &spec);
    gradients_are_slopes_of(&spec, &trainer, report, &batches);
}

/// Of the loss over `micro_batches`, which the trainer went through once.
fn gradients_are_slopes_of(
    spec: &ModelSpec,
    trainer: &Trainer,
    report: StepReport,
    micro_batches: &[(Vec<u32>, Vec<u32>)],
) {
    let layout = tiny::layout(spec);
    let gradients = trainer.gradients().unwrap();
    let params = tiny::params(spec, 1).iter().map(|&value| f64::from(value)).collect();
    let mut oracle = Oracle { spec, layout: &layout, params };
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

fn batches_of(batches: &dyn BatchSource, spec: &ModelSpec) -> Vec<(Vec<u32>, Vec<u32>)> {
    let t = tiny::SEQUENCES * spec.seq_len;
    (0..batches.micro_batches())
        .map(|micro| {
            let (mut tokens, mut targets) = (vec![0; t], vec![0; t]);
            batches.fill(0, micro, &mut tokens, &mut targets).unwrap();
            (tokens, targets)
        })
        .collect()
}
