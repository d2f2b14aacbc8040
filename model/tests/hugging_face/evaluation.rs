//! The same questions as lm-evaluation-harness about the same rows, and the same scores for the
//! same parameters. `eval/reference.py` made the numbers with the real one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::eval::{Judge, JudgeError, Perplexity, task, task_names};
use model::generate::Decoder;
use model::open_model;
use runtime::Device;
use runtime::dataset::rows;
use serde_json::{Map, Value};

use super::Foreign;

/// Of a log-likelihood of up to a hundred tokens, in nats.
const TOLERANCE: f64 = 2e-3;

fn eval() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hugging_face/eval")
}

fn reference() -> Value {
    serde_json::from_str(include_str!("eval/reference.json")).unwrap()
}

fn judge(shape: &Value, slots: usize) -> Judge {
    let dir = tempfile::tempdir().unwrap();
    let folder = Foreign::new(shape).write(dir.path());
    std::fs::copy(eval().join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    let model = open_model(&folder).unwrap();
    let tokenizer = model.tokenizer.unwrap();
    let (device, positions) = (Device::cpu(2).unwrap(), model.spec.seq_len);
    let decoder = Decoder::new(&device, &model.spec, model.params, slots, positions).unwrap();
    Judge::new(decoder, Arc::new(tokenizer), model.begin.unwrap())
}

fn rows_of(name: &str) -> Vec<Map<String, Value>> {
    let task = task(name).unwrap();
    let (dataset, config) = task.dataset;
    let of = |folder: PathBuf| folder.join(format!("{}.jsonl", task.split));
    let folder = eval().join("data").join(dataset);
    let path = [of(folder.join(config)), of(folder)].into_iter().find(|path| path.exists());
    rows::open(&path.unwrap()).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Rows, and what the harness made of each; those of mmlu lie by subject there.
fn samples(reference: &Value, name: &str) -> Vec<(Map<String, Value>, Value)> {
    let mut taken = std::collections::HashMap::<String, usize>::new();
    let sample = |row: Map<String, Value>| {
        let of = match row.get("subject").and_then(Value::as_str) {
            Some(subject) => format!("{name}_{subject}"),
            None => name.to_string(),
        };
        let at = taken.entry(of.clone()).or_default();
        let sample = reference["tasks"][of.as_str()][*at].clone();
        *at += 1;
        (row, sample)
    };
    rows_of(name).into_iter().map(sample).collect()
}

#[test]
fn requests_and_scores_are_those_of_the_harness() {
    let reference = reference();
    let mut judge = judge(&reference["shape"], 3);
    let mut seen = 0;
    for name in task_names() {
        let task = task(name).unwrap();
        for (row, sample) in samples(&reference, name) {
            let question = task.question(&row).unwrap();
            let requests = sample["requests"].as_array().unwrap();
            assert_eq!(question.requests.len(), requests.len(), "{name}");
            for ((given, scored), request) in question.requests.iter().zip(requests) {
                assert_eq!(given, request[0].as_str().unwrap(), "{name}");
                assert_eq!(scored, request[1].as_str().unwrap(), "{name}");
            }
            let found = judge.likelihoods(&question.requests).unwrap();
            for (found, request) in found.iter().zip(requests) {
                let expected = request[2].as_f64().unwrap();
                let difference = (found.nats - expected).abs();
                assert!(difference < TOLERANCE, "{name} {request}: {} nats", found.nats);
                assert_eq!(found.is_greedy, request[3].as_bool().unwrap(), "{name} {request}");
                seen += 1;
            }
            let answered = question.answered(&found);
            assert_eq!(f64::from(u8::from(answered.acc)), sample["acc"].as_f64().unwrap());
            if task.has_norm {
                let expected = sample["acc_norm"].as_f64().unwrap();
                assert_eq!(f64::from(u8::from(answered.acc_norm)), expected, "{name}");
            }
        }
    }
    assert_eq!(seen, 69);
}

#[test]
fn the_likelihood_of_a_text_longer_than_the_context_is_that_of_the_harness() {
    let reference = reference();
    let text = std::fs::read_to_string(eval().join("data/text.txt")).unwrap();
    let mut parts = Vec::new();
    let nats = judge(&reference["shape"], 1).rolling(&text, |done, of| parts.push((done, of)));
    let (nats, expected) = (nats.unwrap(), reference["rolling_nats"].as_f64().unwrap());
    assert!((nats - expected).abs() < 5.0 * TOLERANCE, "{nats} nats, expected {expected}");
    assert!(parts.len() > 1 && parts.last().unwrap().0 == parts[0].1, "{parts:?}");
    assert!(Perplexity::of(&text, nats).per_byte() > 1.0);
}

#[test]
fn requests_do_not_depend_on_how_many_are_scored_at_once() {
    let reference = reference();
    let [row, ..] = &rows_of("arc_easy")[..] else { panic!("no row") };
    let requests = task("arc_easy").unwrap().question(row).unwrap().requests;
    let [one, four] =
        [1, 4].map(|slots| judge(&reference["shape"], slots).likelihoods(&requests).unwrap());
    assert_eq!(one, four);
}

#[test]
fn rows_and_texts_that_cannot_be_scored_are_told() {
    let row = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
    for (name, text, what) in [
        ("arc_easy", r#"{"question": "a"}"#, "it has no choices, but [question]"),
        (
            "arc_easy",
            r#"{"question": "a", "choices": {"text": ["b"], "label": ["A"]}, "answerKey": "B"}"#,
            "no choice has the label B",
        ),
        ("piqa", r#"{"goal": "a", "sol1": "b", "sol2": "c", "label": -1}"#, "label is no number"),
        ("piqa", r#"{"goal": "a", "sol1": "b", "sol2": "c", "label": 2}"#, "is number 2, beyond"),
        ("mmlu", r#"{"choices": ["a"], "answer": 0}"#, "it has 1 choices, not 4"),
        (
            "winogrande",
            r#"{"sentence": "a b", "option1": "c", "option2": "d", "answer": "1"}"#,
            "no gap",
        ),
        ("hellaswag", r#"{"activity_label": 1}"#, "activity_label is no text"),
    ] {
        let told = task(name).unwrap().question(&row(text)).unwrap_err();
        assert!(told.contains(what), "{name}: {told}");
    }
    let mut judge = judge(&reference()["shape"], 1);
    let mut ask = |given: &str, scored: String| judge.likelihoods(&[(given.to_string(), scored)]);
    assert!(matches!(ask("a", String::new()), Err(JudgeError::Empty)));
    let long = ask("a", " xyz".repeat(200));
    assert!(matches!(long, Err(JudgeError::TooLong { most: 128, .. })));
    assert_eq!(ask("", "a".to_string()).unwrap().len(), 1);
}
