//! The loss meter: what a contribution does to the loss, measured without leaving a trace.

use model::sparseloco::{CheckedBody, OuterStep};
use model::{LossMeter, SampleSource, initial_params, layout_of};
use runtime::Device;
use wire::protocol::SAMPLE_TOKENS;
use wire::{
    Aggregation, BodyShape, IndexCodec, Layout, Outer, Quantiser, SparseShape, SparseTensor, Uid,
};

use super::tiny::{Draws, spec};

const PART: f64 = 0.2;

fn outer() -> Outer {
    Outer {
        alpha: 0.5,
        beta: 0.95,
        k: 16,
        index_codec: IndexCodec::EliasFano,
        quantiser: Quantiser::Published,
        aggregation: Aggregation::Contributors,
    }
}

/// Samples in which a token says what the next one is.
struct Samples;

impl SampleSource for Samples {
    fn fill_sample(
        &self,
        sample: u64,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        if sample == 99 {
            return Err("shard 3 has no such sample".to_string());
        }
        let mut draws = Draws::new(sample);
        for (token, target) in tokens.iter_mut().zip(targets) {
            *token = draws.bits() % 32;
            *target = (5 * *token + 3) % 32;
        }
        Ok(())
    }
}

/// The body of an update whose values are `size`, or its opposite, at every kept place.
fn body(layout: &Layout, size: f32) -> CheckedBody<Vec<u8>> {
    let outer = outer();
    let shape = BodyShape::new(layout, outer.k, outer.index_codec);
    let mut bytes = Vec::new();
    for section in shape.sections() {
        let values = |shape: SparseShape| {
            let indices = (0..shape.chunks()).flat_map(|_| 0..shape.k() as u16).collect();
            SparseTensor::new(shape, [size; 4], indices, vec![0; shape.code_bytes()]).unwrap()
        };
        outer.index_codec.encode(&values(*section), &mut bytes);
    }
    CheckedBody::check(&shape, bytes, 0).unwrap()
}

fn meter() -> (LossMeter, Vec<f32>, Layout) {
    let (spec, device) = (spec(true), Device::cpu(1).unwrap());
    let layout = layout_of(&spec).unwrap();
    let mut shared = vec![0.0; layout.params()];
    initial_params(&spec, 7, &mut shared).unwrap();
    let mut meter = LossMeter::new(&device, &spec, &outer(), PART).unwrap();
    meter.take(&shared);
    (meter, shared, layout)
}

#[test]
fn the_loss_after_a_contribution_is_that_of_a_part_of_the_outer_step() {
    let (mut meter, mut shared, layout) = meter();
    let body = body(&layout, 0.05);
    assert!(meter.apply(&body).unwrap());
    let after = meter.losses(&Samples, [3, 4]).unwrap();
    let device = Device::cpu(1).unwrap();
    let shape = BodyShape::new(&layout, outer().k, outer().index_codec);
    let step = OuterStep { alpha: (0.5 * PART) as f32, ..OuterStep::from(&outer()) };
    let mut whole = device.alloc::<f32>(shared.len());
    whole.write(&shared);
    step.apply_bodies(&device, &layout, &shape, whole.view_mut(), &[(Uid(9), body)]).unwrap();
    shared.copy_from_slice(whole.as_host().unwrap());
    meter.take(&shared);
    assert_eq!(meter.losses(&Samples, [3, 4]).unwrap(), after);
    assert_eq!(after[0].tokens as usize, SAMPLE_TOKENS);
}

#[test]
fn nothing_that_was_measured_leaves_a_trace() {
    let (mut meter, _, layout) = meter();
    let before = meter.losses(&Samples, [1, 2]).unwrap();
    assert!(meter.apply(&body(&layout, 1.0)).unwrap());
    let after = meter.losses(&Samples, [1, 2]).unwrap();
    assert_ne!(after, before);
    // A second contribution begins where the first one did, not where it ended.
    assert!(meter.apply(&body(&layout, 0.0)).unwrap());
    assert_eq!(meter.losses(&Samples, [1, 2]).unwrap(), before);
    assert!(meter.apply(&body(&layout, 1.0)).unwrap());
    meter.restore();
    assert_eq!(meter.losses(&Samples, [1, 2]).unwrap(), before);
}

#[test]
fn a_contribution_that_makes_no_number_is_told_from_one_that_does() {
    let (mut meter, _, layout) = meter();
    let before = meter.losses(&Samples, [1]).unwrap();
    let is_finite = meter.apply(&body(&layout, 3e38)).unwrap();
    let loss = meter.losses(&Samples, [1]).unwrap()[0];
    assert!(!is_finite || !loss.nats.is_finite(), "{loss:?}");
    meter.restore();
    assert_eq!(meter.losses(&Samples, [1]).unwrap(), before);
}

#[test]
fn a_sample_that_cannot_be_had_is_named() {
    let (mut meter, ..) = meter();
    let told = meter.losses(&Samples, [1, 99]).unwrap_err().to_string();
    assert_eq!(told, "sample 99 cannot be measured: shard 3 has no such sample");
}
