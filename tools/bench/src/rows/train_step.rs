//! C03, and C04 in bf16: a whole training step, forward, backward and AdamW, of 8 sequences of 256
//! tokens.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use model::{BatchSource, Moments, Trainer, initial_params, layout_of, preset};
use runtime::Compute;
use wire::{Inner, ModelSpec};

use super::Bench;
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row, same_bits};
use crate::timing::Times;

const CONFIGS: [&str; 3] = ["m1", "m12", "s15"];
const SEQUENCES: usize = 8;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    rows_in(bench, "C03", Compute::F32)
}

pub(super) fn rows_bf16(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    rows_in(bench, "C04", Compute::Bf16)
}

fn rows_in(bench: &Bench, id: &'static str, compute: Compute) -> Result<Vec<Row>, BenchError> {
    let configs = if bench.quick { &CONFIGS[..1] } else { &CONFIGS[..] };
    configs.iter().map(|config| row(bench, id, compute, config)).collect()
}

fn row(
    bench: &Bench,
    id: &'static str,
    compute: Compute,
    config: &'static str,
) -> Result<Row, BenchError> {
    let preset = preset(config).expect("a preset of the bench's own list");
    let tokens = SEQUENCES * preset.model.seq_len;
    let mut step = Step::new(bench, compute, preset.model, preset.inner)?;
    let bit_equal = same_bits(&step.trained_params()?, &step.trained_params()?);
    // The peer runs between two halves of ours, so that a busy minute hits both alike.
    let mut seconds = step.seconds(bench.samples.div_ceil(2))?;
    let peer_ms = bench.peer.as_ref().map(|peer| peer.step_ms(config, compute)).transpose()?;
    seconds.extend(step.seconds(bench.samples - seconds.len())?);
    let work = step.work(compute);
    let shape = format!("B{SEQUENCES} S{}", step.spec.seq_len);
    let rate = Rate::Tokens(tokens as f64);
    let mut row = Row::new(id, config, shape, &Times::new(seconds), rate)
        .dtype(compute.name())
        .floor(&bench.ceilings, &work)
        .bit_equal(bit_equal);
    if let Some(peer_ms) = peer_ms {
        row.peer(peer_ms);
    }
    Ok(row)
}

/// A trainer with something to train on.
struct Step {
    trainer: Trainer,
    spec: ModelSpec,
    inner: Inner,
    batch: RandomBatch,
    params: Vec<f32>,
}

impl Step {
    fn new(
        bench: &Bench,
        compute: Compute,
        spec: ModelSpec,
        inner: Inner,
    ) -> Result<Self, BenchError> {
        let mut params = vec![0.0; layout_of(&spec)?.params()];
        initial_params(&spec, 0, &mut params)?;
        let mut noise = Noise::new(1);
        let [tokens, targets] =
            [(); 2].map(|()| noise.indices(SEQUENCES * spec.seq_len, spec.vocab as u32));
        let trainer = Trainer::new(&spec, 1, bench.device.threads(), SEQUENCES)?;
        let mut trainer = trainer.with_compute(compute);
        let mut whole = trainer.device().alloc(params.len());
        whole.write(&params);
        trainer.load_params(&whole);
        Ok(Self { trainer, spec, inner, batch: RandomBatch { tokens, targets }, params })
    }

    /// Seconds of each of `steps` inner steps, after one that warms up.
    fn seconds(&mut self, steps: usize) -> Result<Vec<f64>, BenchError> {
        let mut ends = Vec::with_capacity(steps + 1);
        let (never, steps) = (AtomicBool::new(false), steps as u32 + 1);
        let mut note = |_| ends.push(Instant::now());
        self.trainer.run(&self.batch, &self.inner, 0, steps, &never, &mut note)?;
        Ok(ends.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect())
    }

    /// Parameters after two steps from the start.
    fn trained_params(&mut self) -> Result<Vec<f32>, BenchError> {
        let device = self.trainer.device().clone();
        let mut whole = device.alloc(self.params.len());
        whole.write(&self.params);
        self.trainer.load_params(&whole);
        let [first, second] = [(); 2].map(|()| device.alloc(self.params.len()));
        self.trainer.load_moments(&Arc::new(RwLock::new(Moments { first, second })));
        let never = AtomicBool::new(false);
        // Past the warm-up, where a rate of almost nothing could hide a difference.
        self.trainer.run(&self.batch, &self.inner, 100, 2, &never, &mut |_| ())?;
        let mut trained = vec![0.0; self.params.len()];
        self.trainer.params_and_scratch().0.read(&mut trained);
        Ok(trained)
    }

    /// `6 N` per token, and the causal half of attention's scores, which are f32 always.
    fn work(&self, compute: Compute) -> Work {
        let ModelSpec { layers, d_model, seq_len, .. } = self.spec;
        let tokens = (SEQUENCES * seq_len) as f64;
        let mut work = Work::products(compute, 6.0 * self.params.len() as f64 * tokens);
        work.flops += 6.0 * (layers * d_model * seq_len) as f64 * tokens;
        work
    }
}

/// The same random tokens in every step.
struct RandomBatch {
    tokens: Vec<u32>,
    targets: Vec<u32>,
}

impl BatchSource for RandomBatch {
    fn micro_batches(&self) -> usize {
        1
    }

    fn fill(
        &self,
        _step: u32,
        _micro: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        tokens.copy_from_slice(&self.tokens);
        targets.copy_from_slice(&self.targets);
        Ok(())
    }
}
