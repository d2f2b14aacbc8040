//! Ranks of a tensor-parallel group compute what one rank computes, up to the order of sums.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use model::{BatchSource, Trainer};
use wire::ModelSpec;

use super::tiny;

const STEPS: u32 = 10;
/// Of losses and norms, relative: sums in another order differ by some roundings of 6e-8.
const LOSS_TOLERANCE: f64 = 1e-6;
/// Of parameters around 1, absolute: ten steps move each by about 0.02.
const PARAM_TOLERANCE: f64 = 1e-6;

fn spec(tied: bool) -> ModelSpec {
    ModelSpec { kv_heads: 4, ..tiny::spec(tied) }
}

#[test]
fn two_and_four_ranks_train_a_tied_model_like_one() {
    ranks_agree(&spec(true));
}

#[test]
fn two_and_four_ranks_train_an_untied_model_like_one() {
    ranks_agree(&spec(false));
}

fn ranks_agree(spec: &ModelSpec) {
    let params = tiny::params(spec, 5);
    let train = |tp: usize| {
        let mut trainer = tiny::trainer(spec, tp, 1, &params);
        let reports = tiny::run(&mut trainer, spec, &tiny::inner(), 0, STEPS).unwrap();
        let [params, ..] = tiny::state(&mut trainer);
        (reports, params)
    };
    let (alone, alone_params) = train(1);
    assert!(alone.iter().any(|report| report.grad_norm > 1.0), "the clip was never reached");
    for tp in [2, 4] {
        let (reports, params) = train(tp);
        for (one, many) in alone.iter().zip(&reports) {
            assert_eq!(one.targets, many.targets);
            let pairs = [(one.loss, many.loss), (one.grad_norm, many.grad_norm)];
            for (one, many) in pairs {
                assert!((many / one - 1.0).abs() < LOSS_TOLERANCE, "tp {tp}: {many} is not {one}");
            }
        }
        assert_eq!(reports.len(), STEPS as usize);
        let worst = alone_params
            .iter()
            .zip(&params)
            .map(|(one, many)| f64::from((one - many).abs()))
            .fold(0.0, f64::max);
        assert!(worst < PARAM_TOLERANCE, "tp {tp}: parameters differ by {worst:e}");
    }
}

#[test]
fn parameters_and_moments_put_together_are_those_that_were_loaded() {
    let spec = spec(false);
    let mut source = tiny::trainer(&spec, 2, 1, &tiny::params(&spec, 6));
    tiny::run(&mut source, &spec, &tiny::inner(), 0, 3).unwrap();
    let expected = tiny::state(&mut source);
    for tp in [1, 2, 4] {
        let mut other = tiny::trainer(&spec, tp, 1, &expected[0]);
        other.load_moments(&source.moments().unwrap());
        assert_eq!(tiny::state(&mut other), expected);
    }
}

#[test]
fn a_group_goes_on_from_its_own_state_as_if_never_stopped() {
    let spec = spec(true);
    let params = tiny::params(&spec, 7);
    let mut unbroken = tiny::trainer(&spec, 2, 1, &params);
    tiny::run(&mut unbroken, &spec, &tiny::inner(), 0, 2).unwrap();
    let [params, ..] = tiny::state(&mut unbroken);
    let mut resumed: Trainer = tiny::trainer(&spec, 2, 1, &params);
    let moments = unbroken.moments().unwrap();
    assert!(!Arc::ptr_eq(&moments, &resumed.moments().unwrap()));
    resumed.load_moments(&moments);
    for trainer in [&mut unbroken, &mut resumed] {
        tiny::run(trainer, &spec, &tiny::inner(), 2, 2).unwrap();
    }
    assert_eq!(tiny::state(&mut unbroken), tiny::state(&mut resumed));
}

/// Samples whose third reader panics.
struct Panicking(AtomicUsize);

impl BatchSource for Panicking {
    fn micro_batches(&self) -> usize {
        1
    }

    fn fill(&self, _: u32, _: usize, _: &mut [u32], _: &mut [u32]) -> Result<(), String> {
        let earlier = self.0.fetch_add(1, Ordering::SeqCst);
        assert!(earlier != 2, "the third reader panics");
        Ok(())
    }
}

#[test]
fn a_rank_that_panics_takes_the_others_along_instead_of_leaving_them_waiting() {
    let spec = spec(true);
    let mut trainer = tiny::trainer(&spec, 4, 1, &tiny::params(&spec, 5));
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let source = Panicking(AtomicUsize::new(0));
        trainer.run(&source, &tiny::inner(), 0, 2, &AtomicBool::new(false), &mut |_| ())
    }));
    assert!(end.is_err(), "the panic does not pass unnoticed");
}
