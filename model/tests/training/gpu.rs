//! Training on a GPU, emulated, beside training on the CPU, from the same parameters on the same
//! batches.
//!
//! A GPU keeps activations as bf16: each is off by up to 2^-9 = 0.2 %, and a gradient that has
//! passed through two layers of them by a few percent of its length at most.

use model::{MemoryPlan, MicroBatch, ModelError, StepReport, Trainer};
use runtime::{Device, GpuError, RuntimeError, Storage};
use wire::ModelSpec;

use super::tiny;

/// Largest relative difference of a loss.
const LOSS_TOLERANCE: f64 = 0.01;
/// Largest difference of a tensor's gradient, as a share of its length.
const GRADIENT_TOLERANCE: f64 = 0.03;

fn on_gpu(spec: &ModelSpec, gpu: Device, tp: usize, micro: MicroBatch, params: &[f32]) -> Trainer {
    let mut trainer = Trainer::on_gpu(spec, gpu, tp, 1, micro).unwrap();
    let mut whole = trainer.device().alloc(params.len());
    whole.write(params);
    trainer.load_params(&whole);
    trainer
}

fn emulated(spec: &ModelSpec, params: &[f32]) -> Trainer {
    on_gpu(spec, Device::emulated().unwrap(), 1, tiny::SEQUENCES.into(), params)
}

fn steps(trainer: &mut Trainer, spec: &ModelSpec, count: u32) -> Vec<StepReport> {
    tiny::run(trainer, spec, &tiny::inner(), 0, count).unwrap()
}

#[test]
fn loss_and_every_gradient_of_a_step_are_those_of_the_cpu() {
    for spec in [true, false].map(tiny::spec) {
        let params = tiny::params(&spec, 1);
        let mut cpu = tiny::trainer(&spec, 1, 1, &params);
        let mut gpu = emulated(&spec, &params);
        let [exact, rounded] = [&mut cpu, &mut gpu].map(|trainer| steps(trainer, &spec, 1)[0]);
        assert_eq!(exact.targets, rounded.targets);
        let error = (rounded.loss / exact.loss - 1.0).abs();
        assert!(error < LOSS_TOLERANCE, "{} for {}", rounded.loss, exact.loss);
        let [exact, rounded] = [&cpu, &gpu].map(|trainer| trainer.gradients().unwrap());
        for tensor in tiny::layout(&spec).tensors() {
            let (exact, rounded) = (&exact[tensor.range()], &rounded[tensor.range()]);
            let length = |values: &mut dyn Iterator<Item = f64>| {
                values.map(|value| value * value).sum::<f64>().sqrt()
            };
            let pairs = exact.iter().zip(rounded);
            let difference = length(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
            let share = difference / length(&mut exact.iter().map(|value| f64::from(*value)));
            assert!(share < GRADIENT_TOLERANCE, "{}: {share}", tensor.name);
        }
    }
}

#[test]
fn losses_of_many_steps_follow_those_of_the_cpu() {
    let spec = tiny::spec(true);
    let params = tiny::params(&spec, 11);
    let exact = steps(&mut tiny::trainer(&spec, 1, 1, &params), &spec, 30);
    let rounded = steps(&mut emulated(&spec, &params), &spec, 30);
    for (exact, rounded) in exact.iter().zip(&rounded) {
        let error = (rounded.loss / exact.loss - 1.0).abs();
        let (step, exact, rounded) = (exact.step, exact.loss, rounded.loss);
        assert!(error < LOSS_TOLERANCE, "step {step}: {rounded} for {exact}");
    }
    assert!(rounded[29].loss < 0.9 * rounded[0].loss, "nothing was learned");
}

#[test]
fn two_runs_end_with_the_same_bits_and_one_goes_on_where_another_stopped() {
    let spec = tiny::spec(false);
    let params = tiny::params(&spec, 2);
    let [mut once, mut twice] = [(); 2].map(|()| emulated(&spec, &params));
    steps(&mut once, &spec, 4);
    steps(&mut twice, &spec, 2);
    let [halfway, ..] = tiny::state(&mut twice);
    let mut other = emulated(&spec, &halfway);
    other.load_moments(&twice.moments().unwrap());
    let again = tiny::state(&mut twice).map(|values| tiny::bits(&values));
    assert_eq!(tiny::state(&mut other).map(|values| tiny::bits(&values)), again);
    let [twice, other] = [twice, other].map(|mut trainer| {
        steps(&mut trainer, &spec, 2);
        tiny::state(&mut trainer).map(|values| tiny::bits(&values))
    });
    assert_eq!(twice, other);
    let mut fresh = emulated(&spec, &params);
    steps(&mut fresh, &spec, 4);
    let [once, fresh] =
        [once, fresh].map(|mut trainer| tiny::state(&mut trainer).map(|v| tiny::bits(&v)));
    assert_eq!(once, fresh);
}

#[test]
fn layers_computed_again_and_micro_batches_played_again_change_no_bit() {
    let spec = ModelSpec { layers: 4, ..tiny::spec(true) };
    let params = tiny::params(&spec, 2);
    let trained = |recomputed_layers: usize, recorded: bool| {
        let micro = MicroBatch { recomputed_layers, ..MicroBatch::from(tiny::SEQUENCES) };
        let mut trainer = on_gpu(&spec, Device::emulated().unwrap(), 1, micro, &params);
        if recorded {
            trainer = trainer.with_recording();
        }
        let reports = steps(&mut trainer, &spec, 3);
        let reports: Vec<_> = reports.iter().map(|step| (step.step, step.loss.to_bits())).collect();
        (reports, tiny::state(&mut trainer).map(|values| tiny::bits(&values)))
    };
    let expected = trained(0, false);
    assert_eq!(expected.0.iter().map(|report| report.0).collect::<Vec<_>>(), [0, 1, 2]);
    for (recomputed_layers, recorded) in [(0, true), (1, false), (3, false), (9, true)] {
        let found = trained(recomputed_layers, recorded);
        assert!(found == expected, "{recomputed_layers} layers, recorded: {recorded}");
    }
}

#[test]
fn layers_computed_again_change_no_bit_on_the_cpu() {
    let spec = ModelSpec { layers: 3, kv_heads: 4, ..tiny::spec(false) };
    let params = tiny::params(&spec, 2);
    let trained = |tp: usize, recomputed_layers: usize| {
        let micro = MicroBatch { recomputed_layers, ..MicroBatch::from(tiny::SEQUENCES) };
        let mut trainer = Trainer::new(&spec, tp, 1, micro).unwrap();
        let mut whole = trainer.device().alloc(params.len());
        whole.write(&params);
        trainer.load_params(&whole);
        steps(&mut trainer, &spec, 2);
        tiny::state(&mut trainer).map(|values| tiny::bits(&values))
    };
    for tp in [1, 2] {
        let expected = trained(tp, 0);
        assert!((2..=3).all(|recomputed| trained(tp, recomputed) == expected), "tp {tp}");
    }
}

#[test]
fn ranks_that_share_a_gpu_learn_as_one_does() {
    let spec = ModelSpec { d_model: 32, kv_heads: 4, ffn: 32, ..tiny::spec(true) };
    let params = tiny::params(&spec, 5);
    let trained = |tp: usize| {
        let gpu = Device::emulated().unwrap();
        let mut trainer = on_gpu(&spec, gpu, tp, tiny::SEQUENCES.into(), &params);
        let reports = steps(&mut trainer, &spec, 4);
        (reports, tiny::state(&mut trainer).map(|values| tiny::bits(&values)))
    };
    let [alone, two, again] = [1, 2, 2].map(trained);
    assert!(two.1 == again.1, "a second run of two ranks");
    for (one, two) in alone.0.iter().zip(&two.0) {
        assert_eq!(one.targets, two.targets);
        for (one, two) in [(one.loss, two.loss), (one.grad_norm, two.grad_norm)] {
            assert!((two / one - 1.0).abs() < LOSS_TOLERANCE, "{two} for {one}");
        }
    }
}

#[test]
fn a_step_that_is_not_finite_is_the_last_that_updates_and_a_new_run_may_go_on() {
    let spec = tiny::spec(true);
    let mut params = tiny::params(&spec, 1);
    let at = tiny::layout(&spec).find("layers.0.attention.wq.weight").unwrap().range().start;
    let sound = std::mem::replace(&mut params[at], f32::NAN);
    let mut trainer = emulated(&spec, &params);
    let error = tiny::run(&mut trainer, &spec, &tiny::inner(), 0, 4).unwrap_err();
    assert!(matches!(error, ModelError::NotFinite { step: 0, .. }), "{error}");
    let [after, first, second] = tiny::state(&mut trainer);
    assert_eq!(tiny::bits(&after), tiny::bits(&params));
    assert!(first.iter().chain(&second).all(|moment| moment.to_bits() == 0));
    params[at] = sound;
    let mut whole = trainer.device().alloc(params.len());
    whole.write(&params);
    trainer.load_params(&whole);
    let again = steps(&mut trainer, &spec, 2);
    assert_eq!(
        again[1].loss.to_bits(),
        steps(&mut emulated(&spec, &params), &spec, 2)[1].loss.to_bits()
    );
}

#[test]
fn the_plan_is_the_memory_that_a_step_needs() {
    for (tied, sequences, recomputed_layers) in
        [(true, tiny::SEQUENCES, 0), (false, 2 * tiny::SEQUENCES, 0), (true, tiny::SEQUENCES, 2)]
    {
        let spec = tiny::spec(tied);
        let micro = MicroBatch { recomputed_layers, ..MicroBatch::from(sequences) };
        let plan = MemoryPlan::new(&spec, 1, micro, Storage::Gpu).unwrap();
        let train = |bytes: usize| -> Result<(), ModelError> {
            let gpu = Device::emulated_with_memory(bytes as u64)?;
            let mut trainer = Trainer::on_gpu(&spec, gpu, 1, 1, micro)?;
            tiny::run(&mut trainer, &spec, &tiny::inner(), 0, 1).map(drop)
        };
        train(plan.gpu()).unwrap();
        let error = train(plan.gpu() - 1).unwrap_err();
        let gpu = ModelError::Runtime(RuntimeError::Gpu(GpuError::NoDriver));
        assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&gpu), "{error}");
        assert!(error.to_string().contains("GPU memory is full"), "{error}");
    }
}

#[test]
fn rows_that_a_gpu_cannot_read_are_refused_by_name() {
    let spec = ModelSpec { ffn: 20, ..tiny::spec(true) };
    let error = Trainer::on_gpu(&spec, Device::emulated().unwrap(), 1, 1, 1).err().unwrap();
    assert!(error.to_string().starts_with("model.ffn = 20 is no multiple of 8"), "{error}");
}
