//! Training on a GPU, emulated, beside training on the CPU, from the same parameters on the same
//! batches.
//!
//! A GPU keeps activations as bf16: each is off by up to 2^-9 = 0.2 %, and a gradient that has
//! passed through two layers of them by a few percent of its length at most.

use model::{MemoryPlan, ModelError, StepReport, Trainer};
use runtime::{Device, GpuError, RuntimeError, Storage};
use wire::ModelSpec;

use super::tiny;

/// Largest relative difference of a loss.
const LOSS_TOLERANCE: f64 = 0.01;
/// Largest difference of a tensor's gradient, as a share of its length.
const GRADIENT_TOLERANCE: f64 = 0.03;

fn on_gpu(spec: &ModelSpec, gpu: Device, params: &[f32]) -> Trainer {
    let mut trainer = Trainer::on_gpu(spec, gpu, 1, tiny::SEQUENCES).unwrap();
    let mut whole = trainer.device().alloc(params.len());
    whole.write(params);
    trainer.load_params(&whole);
    trainer
}

fn emulated(spec: &ModelSpec, params: &[f32]) -> Trainer {
    on_gpu(spec, Device::emulated().unwrap(), params)
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
fn the_plan_is_the_memory_that_a_step_needs() {
    for (tied, sequences) in [(true, tiny::SEQUENCES), (false, 2 * tiny::SEQUENCES)] {
        let spec = tiny::spec(tied);
        let plan = MemoryPlan::new(&spec, 1, sequences, Storage::Gpu).unwrap();
        let train = |bytes: usize| -> Result<(), ModelError> {
            let gpu = Device::emulated_with_memory(bytes as u64)?;
            let mut trainer = Trainer::on_gpu(&spec, gpu, 1, sequences)?;
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
    let error = Trainer::on_gpu(&spec, Device::emulated().unwrap(), 1, 1).err().unwrap();
    assert!(error.to_string().starts_with("model.ffn = 20 is no multiple of 8"), "{error}");
}
