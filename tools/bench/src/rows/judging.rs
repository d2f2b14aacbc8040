//! V01: judging one peer by the loss: its contribution decoded and applied to a copy of the shared
//! parameters, losses before and after on the samples of a window. Told beside a plain forward pass
//! over the same tokens, and as the time for 20 peers.

use std::time::Instant;

use gauntlet::rules::{ASSIGNED_PROBES, MEASURED_STEP, RANDOM_PROBES};
use model::sparseloco::CheckedBody;
use model::{LossMeter, SampleSource, initial_params, layout_of, preset};
use wire::BodyShape;
use wire::protocol::SAMPLE_TOKENS;

use super::Bench;
use super::bytes::random;
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row};
use crate::timing::Times;

const CONFIG: &str = "m1";
const PEERS: usize = 20;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let preset = preset(CONFIG).expect("a preset of the bench's own list");
    let layout = layout_of(&preset.model)?;
    let mut shared = vec![0.0; layout.params()];
    initial_params(&preset.model, 0, &mut shared)?;
    let mut meter = LossMeter::new(&bench.device, &preset.model, &preset.outer, MEASURED_STEP)?;
    meter.take(&shared);
    let shape = BodyShape::new(&layout, preset.outer.k, preset.outer.index_codec);
    let bytes = body(&shape);
    let samples = Samples { vocab: preset.model.vocab as u32 };
    let mut judge = || -> Result<Vec<f64>, BenchError> {
        let body = bench.device.install(|| CheckedBody::check(&shape, &bytes, 0));
        let body = body.expect("it was encoded here");
        meter.restore();
        let mut losses = meter.losses(&samples, 0..ASSIGNED_PROBES as u64)?;
        meter.apply(&body).expect("it lies in memory");
        losses.extend(meter.losses(&samples, 0..(ASSIGNED_PROBES + RANDOM_PROBES) as u64)?);
        Ok(losses.into_iter().map(|loss| loss.nats).collect())
    };
    let equal = judge()? == judge()?;
    let times = timed(bench.samples, &mut judge)?;
    let passes = 2 * ASSIGNED_PROBES + RANDOM_PROBES;
    meter.restore();
    let mut forward = || meter.losses(&samples, 0..passes as u64);
    let forward = timed(bench.samples, &mut forward)?;
    let tokens = (passes * SAMPLE_TOKENS) as f64;
    let flops = 2.0 * layout.params() as f64 * tokens;
    let shape = format!("{passes} x {SAMPLE_TOKENS} tokens");
    let row =
        Row::new("V01", format!("judge a peer, {CONFIG}"), shape, &times, Rate::Tokens(tokens))
            .floor(&bench.ceilings, &Work { flops, ..Work::default() })
            .bit_equal(equal)
            .also("forward_passes", times.min_ms() / forward.min_ms())
            .also("twenty_peers_s", PEERS as f64 * times.median_ms() / 1e3);
    Ok(vec![row])
}

/// Times `work`, after a call that warms up.
fn timed<T, E>(samples: usize, work: &mut impl FnMut() -> Result<T, E>) -> Result<Times, E> {
    work()?;
    let mut seconds = Vec::with_capacity(samples);
    for _ in 0..samples.max(1) {
        let started = Instant::now();
        work()?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    Ok(Times::new(seconds))
}

fn body(shape: &BodyShape) -> Vec<u8> {
    let (mut noise, mut bytes) = (Noise::new(1), Vec::new());
    for section in shape.sections() {
        shape.index_codec().encode(&random(*section, &mut noise), &mut bytes);
    }
    bytes
}

/// Random tokens, the same for the same sample.
struct Samples {
    vocab: u32,
}

impl SampleSource for Samples {
    fn fill_sample(
        &self,
        sample: u64,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        let mut noise = Noise::new(sample + 1);
        tokens.copy_from_slice(&noise.indices(tokens.len(), self.vocab));
        targets.copy_from_slice(&noise.indices(targets.len(), self.vocab));
        Ok(())
    }
}
