//! Fine-tuning on answers: from a folder of conversations to gradients, only what an answer is made
//! of moves anything.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use model::BatchSource;
use runtime::dataset::{BatchRules, Dataset, DatasetWriter, Provenance, SAMPLE_TOKENS, Targets};
use wire::ModelSpec;

use super::tiny::{self, Draws};

const SEQ_LEN: usize = 64;

fn spec() -> ModelSpec {
    ModelSpec { seq_len: SEQ_LEN, ..tiny::spec(true) }
}

/// In each row of 64: a prompt, an answer in places 20 to 30, and something behind it.
fn is_answer(at: usize) -> bool {
    (20..30).contains(&(at % SEQ_LEN))
}

/// One sample in `dir`: tokens drawn from 1, but where `changed` says so from 2.
fn dataset(dir: &Path, changed: impl Fn(usize) -> bool, counts: impl Fn(usize) -> bool) -> Dataset {
    let (mut first, mut second) = (Draws::new(1), Draws::new(2));
    let mut draw = |at| {
        let drawn = [first.bits() % 32, second.bits() % 32];
        drawn[usize::from(changed(at))]
    };
    let tokens: Vec<u32> = (0..SAMPLE_TOKENS).map(&mut draw).collect();
    let mask: Vec<u8> = (0..SAMPLE_TOKENS).map(|at| u8::from(counts(at))).collect();
    let mut writer = DatasetWriter::create(dir, 2048).unwrap();
    writer.push_masked(&tokens, &mask).unwrap();
    let provenance = Provenance {
        tokenizer: "none".to_string(),
        vocab: 32,
        eos: None,
        entropy_nats_per_token: None,
        seed: None,
        source: "a test".to_string(),
        conversations: None,
    };
    writer.finish(provenance).unwrap().dataset
}

/// The only sample of a folder.
struct Sample<'a>(&'a Dataset);

impl BatchSource for Sample<'_> {
    fn micro_batches(&self) -> usize {
        1
    }

    fn fill(
        &self,
        _: u32,
        _: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        let rules = BatchRules {
            seq_len: SEQ_LEN,
            vocab: 32,
            targets: Targets::Answers,
            document_masks: false,
        };
        self.0.fill_batch(&[0], rules, tokens, targets).map_err(|error| error.to_string())
    }
}

/// Targets that count, and the gradient of the sum of their losses.
fn gradient(dataset: &Dataset) -> (usize, Vec<f32>) {
    let spec = spec();
    let params = tiny::params(&spec, 1);
    let rows = SAMPLE_TOKENS / SEQ_LEN;
    let mut trainer = model::Trainer::new(&spec, 1, 1, rows).unwrap();
    let mut whole = trainer.device().alloc::<f32>(params.len());
    whole.write(&params);
    trainer.load_params(&whole);
    let (mut targets, never) = (0, AtomicBool::new(false));
    let mut on_step = |report: model::StepReport| targets = report.targets;
    trainer.run(&Sample(dataset), &tiny::inner(), 0, 1, &never, &mut on_step).unwrap();
    (targets, trainer.gradients().unwrap())
}

fn of(changed: impl Fn(usize) -> bool, counts: impl Fn(usize) -> bool) -> (usize, Vec<f32>) {
    let dir = tempfile::tempdir().unwrap();
    gradient(&dataset(dir.path(), changed, counts))
}

#[test]
fn what_is_said_behind_the_last_answer_changes_no_bit_of_the_gradient() {
    let (targets, plain) = of(|_| false, is_answer);
    assert_eq!(targets, 10 * SAMPLE_TOKENS / SEQ_LEN);
    assert!(plain.iter().any(|value| *value != 0.0));
    let behind = |at: usize| at % SEQ_LEN >= 30;
    assert!(of(behind, is_answer).1 == plain, "masked tokens moved the gradient");
    // The same change, where it counts, does move it.
    let with_behind = |at: usize| is_answer(at) || behind(at);
    assert!(of(behind, with_behind).1 != of(|_| false, with_behind).1);
}

#[test]
fn a_masked_token_adds_nothing_to_the_gradient() {
    let whole = of(|_| false, |_| true);
    let answers = of(|_| false, is_answer);
    let prompts = of(|_| false, |at| !is_answer(at));
    let none = of(|_| false, |_| false);
    assert_eq!((whole.0, answers.0 + prompts.0, none.0), (63 * 32, 63 * 32, 0));
    assert!(none.1.iter().all(|value| *value == 0.0));
    let size = |values: &[f32]| values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    let scale = size(&whole.1);
    assert!(size(&answers.1) > 1e-3 * scale);
    for ((whole, answers), prompts) in whole.1.iter().zip(&answers.1).zip(&prompts.1) {
        assert!((whole - (answers + prompts)).abs() < 1e-4 * scale);
    }
}
