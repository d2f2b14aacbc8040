//! Fifty inner steps against PyTorch: forward, backward, clip, AdamW and schedule together.
//!
//! `tests/reference/trajectory.py` made the expected numbers in f64. A value in f32 is off by up
//! to 6e-8, and the tolerance leaves fifty steps room to grow that thirtyfold.

use super::tiny;

const TOLERANCE: f64 = 2e-6;
const REFERENCE: &str = include_str!("../reference/trajectory.json");

#[derive(serde::Deserialize)]
struct Runs {
    tied: Run,
    untied: Run,
}

#[derive(serde::Deserialize)]
struct Run {
    loss: Vec<f64>,
    grad_norm: Vec<f64>,
}

#[test]
fn a_tied_model_follows_the_reference() {
    follows(true, |runs| runs.tied);
}

#[test]
fn an_untied_model_follows_the_reference() {
    follows(false, |runs| runs.untied);
}

fn follows(tied: bool, pick: fn(Runs) -> Run) {
    let expected = pick(serde_json::from_str(REFERENCE).unwrap());
    let spec = tiny::spec(tied);
    let inner = tiny::inner();
    let mut trainer = tiny::trainer(&spec, 1, 1, &tiny::params(&spec, 11));
    let reports = tiny::run(&mut trainer, &spec, &inner, 0, inner.steps as u32).unwrap();
    assert_eq!(reports.len(), expected.loss.len());
    for (report, (loss, norm)) in reports.iter().zip(expected.loss.iter().zip(&expected.grad_norm))
    {
        for (what, found, expected) in
            [("loss", report.loss, loss), ("gradient norm", report.grad_norm, norm)]
        {
            let error = (found / expected - 1.0).abs();
            let step = report.step;
            assert!(error < TOLERANCE, "step {step}: {what} {found} is not {expected}");
        }
    }
    let clipped = |norm: &&f64| **norm > inner.clip_norm;
    assert!(expected.grad_norm.iter().any(|norm| clipped(&norm)), "the clip was never reached");
    assert!(expected.loss[49] < 0.7 * expected.loss[0], "nothing was learned");
}
