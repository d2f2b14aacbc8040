//! A tiny LLaMA, its parameters and its batches, all from one integer recurrence, so that a program
//! in any language can make the same ones exactly.
//!
//! Every draw is a multiple of 2^-15 in `[-1, 1)`; matrices and norm weights scale it by powers of
//! two, hence nothing is rounded. Next tokens follow `5 x + 3`, which the model can learn.

use std::sync::atomic::AtomicBool;

use model::{BatchSource, MicroBatch, ModelError, StepReport, Trainer, layout_of, schedule};
use wire::{Inner, Layout, ModelSpec, Optimizer};

/// Sequences of one micro-batch.
pub(crate) const SEQUENCES: usize = 2;
/// A target that does not count.
const IGNORED: u32 = u32::MAX;

/// Two layers of width 16 with grouped queries: 4 heads share 2 of keys and values.
pub(crate) fn spec(tied: bool) -> ModelSpec {
    ModelSpec {
        layers: 2,
        d_model: 16,
        heads: 4,
        kv_heads: 2,
        ffn: 24,
        vocab: 32,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        seq_len: 8,
        tied,
    }
}

/// AdamW as published, with a warm-up of 10 steps and a cosine over 40.
pub(crate) fn inner() -> Inner {
    Inner {
        steps: 50,
        batch_samples: 4,
        clip_norm: 1.0,
        optimizer: Optimizer::AdamW {
            learning_rate: 4e-3,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
        },
        schedule: schedule::warmup_cosine(10, 40, None),
    }
}

/// Knuth's MMIX recurrence; a draw is its upper 16 bits.
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u32 {
        const FACTOR: u64 = 6_364_136_223_846_793_005;
        self.0 = self.0.wrapping_mul(FACTOR).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 48) as u32
    }

    fn unit(&mut self) -> f32 {
        self.bits() as f32 / 32_768.0 - 1.0
    }
}

/// The layout of `spec`.
pub(crate) fn layout(spec: &ModelSpec) -> Layout {
    layout_of(spec).unwrap()
}

/// Parameters in layout order: norm weights `1 + u/4`, embedding `u`, other matrices `u/4`.
pub(crate) fn params(spec: &ModelSpec, seed: u64) -> Vec<f32> {
    let mut draws = Draws::new(seed);
    let mut params = Vec::new();
    for tensor in layout(spec).tensors() {
        let (start, scale) = match tensor.name.as_str() {
            name if name.contains("norm") => (1.0, 0.25),
            "tok_embeddings.weight" => (0.0, 1.0),
            _ => (0.0, 0.25),
        };
        params.extend((0..tensor.shape.len()).map(|_| start + scale * draws.unit()));
    }
    params
}

/// Micro-batches whose every fifth target does not count, so that micro-batches differ in weight.
pub(crate) struct Batches<'a> {
    pub(crate) spec: &'a ModelSpec,
    pub(crate) micro_batches: usize,
}

impl BatchSource for Batches<'_> {
    fn micro_batches(&self) -> usize {
        self.micro_batches
    }

    fn fill(
        &self,
        step: u32,
        micro: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        let vocab = self.spec.vocab as u32;
        let mut draws = Draws::new(u64::from(step) * 1_000 + micro as u64);
        let mut token = 0;
        for place in 0..tokens.len() {
            if place % self.spec.seq_len == 0 {
                token = draws.bits() % vocab;
            }
            let next = (5 * token + 3) % vocab;
            let counts = !(place + step as usize + 3 * micro).is_multiple_of(5);
            tokens[place] = token;
            targets[place] = if counts { next } else { IGNORED };
            token = next;
        }
        Ok(())
    }
}

/// The same, each row in three documents, of which none predicts the first token of the next.
pub(crate) struct Apart<'a>(pub(crate) Batches<'a>);

impl Apart<'_> {
    pub(crate) const DOCUMENTS: [std::ops::Range<usize>; 3] = [0..3, 3..4, 4..8];
}

impl BatchSource for Apart<'_> {
    fn micro_batches(&self) -> usize {
        self.0.micro_batches
    }

    fn fill(
        &self,
        step: u32,
        micro: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        self.0.fill(step, micro, tokens, targets)?;
        for row in targets.chunks_mut(self.0.spec.seq_len) {
            Self::DOCUMENTS.iter().for_each(|document| row[document.end - 1] = IGNORED);
        }
        Ok(())
    }

    fn fill_first_keys(
        &self,
        _step: u32,
        _micro: usize,
        first_keys: &mut [u32],
    ) -> Result<(), String> {
        for row in first_keys.chunks_mut(self.0.spec.seq_len) {
            for document in Self::DOCUMENTS {
                row[document.clone()].fill(document.start as u32);
            }
        }
        Ok(())
    }
}

/// Micro-batches in which documents are kept apart.
pub(crate) fn masked() -> MicroBatch {
    MicroBatch { document_masks: true, ..MicroBatch::from(SEQUENCES) }
}

/// A trainer of one rank and one thread that holds `params`.
pub(crate) fn trainer_of(spec: &ModelSpec, micro: MicroBatch, params: &[f32]) -> Trainer {
    holding(Trainer::new(spec, 1, 1, micro).unwrap(), params)
}

/// A trainer that holds `params`.
pub(crate) fn trainer(spec: &ModelSpec, tp: usize, threads: usize, params: &[f32]) -> Trainer {
    holding(Trainer::new(spec, tp, threads, SEQUENCES).unwrap(), params)
}

fn holding(mut trainer: Trainer, params: &[f32]) -> Trainer {
    let mut whole = trainer.device().alloc(params.len());
    whole.write(params);
    trainer.load_params(&whole);
    trainer
}

/// Takes `steps` inner steps of two micro-batches from number `first_step` on.
pub(crate) fn run(
    trainer: &mut Trainer,
    spec: &ModelSpec,
    inner: &Inner,
    first_step: u64,
    steps: u32,
) -> Result<Vec<StepReport>, ModelError> {
    run_on(trainer, &Batches { spec, micro_batches: 2 }, inner, first_step, steps)
}

/// The same on other micro-batches.
pub(crate) fn run_on(
    trainer: &mut Trainer,
    batches: &dyn BatchSource,
    inner: &Inner,
    first_step: u64,
    steps: u32,
) -> Result<Vec<StepReport>, ModelError> {
    let mut reports = Vec::new();
    let stop = AtomicBool::new(false);
    trainer.run(batches, inner, first_step, steps, &stop, &mut |report| reports.push(report))?;
    Ok(reports)
}

/// Parameters and both moments of the whole model.
pub(crate) fn state(trainer: &mut Trainer) -> [Vec<f32>; 3] {
    let params = trainer.params_and_scratch().unwrap().0.as_host().unwrap().to_vec();
    let moments = trainer.moments().unwrap();
    let moments = moments.read().unwrap();
    let [first, second] = [&moments.first, &moments.second].map(|m| m.as_host().unwrap().to_vec());
    [params, first, second]
}

/// Bits of values, to compare what may hold NaN.
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
