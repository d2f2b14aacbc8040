//! A step whose loss or gradient is no number changes nothing and says which step it was.

use std::sync::atomic::AtomicBool;

use model::{BatchSource, ModelError, Trainer};
use wire::{Inner, ModelSpec, Optimizer};

use super::tiny;

fn failing_step(error: &ModelError) -> u32 {
    match error {
        ModelError::NotFinite { step, value, .. } if !value.is_finite() => *step,
        other => panic!("{other}"),
    }
}

#[test]
fn a_parameter_that_is_no_number_stops_the_first_step() {
    for (poison, tp) in [(f32::NAN, 1), (f32::INFINITY, 1), (3e38, 1), (f32::NAN, 2)] {
        let spec = tiny::spec(true);
        let mut params = tiny::params(&spec, 1);
        // A value of the first layer's wq: every token meets it.
        let at = tiny::layout(&spec).find("layers.0.attention.wq.weight").unwrap().range().start;
        params[at] = poison;
        let mut trainer = tiny::trainer(&spec, tp, 1, &params);
        let error = tiny::run(&mut trainer, &spec, &tiny::inner(), 0, 3).unwrap_err();
        assert_eq!(failing_step(&error), 0, "{error}");
        let [after, first, second] = tiny::state(&mut trainer);
        assert_eq!(tiny::bits(&after), tiny::bits(&params));
        assert!(first.iter().chain(&second).all(|moment| moment.to_bits() == 0));
    }
}

#[test]
fn a_step_that_fails_later_leaves_the_state_of_the_step_before() {
    let spec = tiny::spec(false);
    let params = tiny::params(&spec, 2);
    let wild = with_rate(1e30);
    let state_after = |steps: u32| {
        let mut trainer = tiny::trainer(&spec, 1, 1, &params);
        let outcome = tiny::run(&mut trainer, &spec, &wild, 0, steps).map(|reports| reports.len());
        (outcome, tiny::state(&mut trainer))
    };
    let (one, expected) = state_after(1);
    assert_eq!(one.unwrap(), 1);
    let (several, found) = state_after(3);
    assert_eq!(failing_step(&several.unwrap_err()), 1);
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(tiny::bits(expected), tiny::bits(found));
    }
}

#[test]
fn a_step_without_targets_that_count_changes_nothing() {
    let spec = tiny::spec(true);
    let params = tiny::params(&spec, 3);
    let mut trainer = tiny::trainer(&spec, 1, 1, &params);
    let reports = run_silent(&mut trainer, &spec);
    assert_eq!(reports, [(0, 0.0)]);
    assert_eq!(tiny::state(&mut trainer)[0], params);
}

fn with_rate(rate: f64) -> Inner {
    let mut inner = tiny::inner();
    inner.schedule = wire::Schedule::Constant {};
    let Optimizer::AdamW { learning_rate, .. } = &mut inner.optimizer;
    *learning_rate = rate;
    inner
}

/// Micro-batches of which no target counts.
struct Silent<'a>(tiny::Batches<'a>);

impl BatchSource for Silent<'_> {
    fn micro_batches(&self) -> usize {
        self.0.micro_batches()
    }

    fn fill(
        &self,
        step: u32,
        micro: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        self.0.fill(step, micro, tokens, targets)?;
        targets.fill(u32::MAX);
        Ok(())
    }
}

fn run_silent(trainer: &mut Trainer, spec: &ModelSpec) -> Vec<(usize, f64)> {
    let source = Silent(tiny::Batches { spec, micro_batches: 1 });
    let mut reports = Vec::new();
    let mut keep = |report: model::StepReport| reports.push((report.targets, report.loss));
    let stop = AtomicBool::new(false);
    trainer.run(&source, &with_rate(1.0), 0, 1, &stop, &mut keep).unwrap();
    reports
}
