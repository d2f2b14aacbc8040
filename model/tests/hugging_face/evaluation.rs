//! The same questions as lm-evaluation-harness about the same rows, and the same scores for the
//! same parameters. `eval/reference.py` made the numbers with the real one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::eval::{
    ANSWER_TOKENS_MAX, Asked, Judge, JudgeError, Perplexity, Problem, Question, STOPS, Shots, task,
    task_names,
};
use model::generate::Decoder;
use model::open_model;
use runtime::Device;
use runtime::dataset::rows;
use serde_json::{Map, Value};

use super::Foreign;

/// Of a log-likelihood of up to a hundred tokens, in nats.
const TOLERANCE: f64 = 2e-3;
/// What ends a text unless a LLaMA's configuration says something else: here a quotation mark,
/// which the harness leaves in the text, for it is no special token.
const END: u32 = 2;

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
    Judge::new(decoder, Arc::new(tokenizer), model.begin.unwrap(), vec![END])
}

/// A judge whose context holds questions with examples.
fn long_judge(reference: &Value, slots: usize) -> Judge {
    let mut shape = reference["shape"].clone();
    shape["seq_len"] = reference["long_context"].clone();
    judge(&shape, slots)
}

fn rows_of(name: &str, split: &str) -> Vec<Map<String, Value>> {
    let (dataset, config) = task(name).unwrap().dataset;
    let of = |folder: PathBuf| folder.join(format!("{split}.jsonl"));
    let folder = eval().join("data").join(dataset);
    let path = [of(folder.join(config)), of(folder)].into_iter().find(|path| path.exists());
    rows::open(&path.unwrap()).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Questions about all rows of a task, behind so many examples each, and what the harness made of
/// them. There the questions of mmlu lie by subject, each with draws of its own.
fn samples(found: &Value, name: &str, shots: usize) -> Vec<(Question, Value)> {
    let task = task(name).unwrap();
    let mut shots = Shots::new(task, rows_of(name, task.examples), shots);
    let mut taken = std::collections::HashMap::<String, usize>::new();
    let sample = |row: Map<String, Value>| {
        let of = match row.get("subject").and_then(Value::as_str) {
            Some(subject) => format!("{name}_{subject}"),
            None => name.to_string(),
        };
        let at = taken.entry(of.clone()).or_default();
        let sample = found[of.as_str()][*at].clone();
        *at += 1;
        (choice(shots.question(&row).unwrap()), sample)
    };
    rows_of(name, task.split).into_iter().map(sample).collect()
}

fn choice(asked: Asked) -> Question {
    let Asked::Choice(question) = asked else { panic!("{asked:?} has no choices") };
    question
}

/// Asks what the harness asked, and compares; gives the number of requests.
fn compare(judge: &mut Judge, found: &Value, shots: usize) -> usize {
    let mut seen = 0;
    for name in task_names().filter(|name| !task(name).unwrap().is_written()) {
        for (question, sample) in samples(found, name, shots) {
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
            if task(name).unwrap().has_norm {
                let expected = sample["acc_norm"].as_f64().unwrap();
                assert_eq!(f64::from(u8::from(answered.acc_norm)), expected, "{name}");
            }
        }
    }
    seen
}

#[test]
fn requests_and_scores_are_those_of_the_harness() {
    let reference = reference();
    let seen = compare(&mut judge(&reference["shape"], 3), &reference["tasks"], 0);
    assert_eq!(seen, 69);
}

#[test]
fn requests_and_scores_behind_examples_are_those_of_the_harness() {
    let reference = reference();
    let shots = reference["shots"].as_u64().unwrap() as usize;
    let seen = compare(&mut long_judge(&reference, 4), &reference["tasks_with_shots"], shots);
    assert_eq!(seen, 69);
}

#[test]
fn what_a_model_writes_and_what_it_comes_to_are_those_of_the_harness() {
    let reference = reference();
    let (task, expected) = (task("gsm8k").unwrap(), &reference["gsm8k"]);
    assert_eq!(task.shots as u64, expected["shots"].as_u64().unwrap());
    let mut shots = Shots::new(task, rows_of("gsm8k", task.examples), task.shots);
    let mut problems = Vec::new();
    for row in rows_of("gsm8k", task.split) {
        let Asked::Written(problem) = shots.question(&row).unwrap() else { panic!("a choice") };
        problems.push(problem);
    }
    let prompts: Vec<String> = problems.iter().map(|problem| problem.prompt.clone()).collect();
    let mut judge = long_judge(&reference, 2);
    let texts = judge.written(&prompts, &STOPS, ANSWER_TOKENS_MAX).unwrap();
    let rows = expected["rows"].as_array().unwrap();
    assert_eq!(rows.len(), problems.len());
    for ((problem, text), row) in problems.iter().zip(&texts).zip(rows) {
        assert_eq!(problem.prompt, row["prompt"].as_str().unwrap());
        assert_eq!(row["settings"]["until"], serde_json::json!(STOPS));
        let written = row["text"].as_str().unwrap();
        assert_eq!(text, written.strip_suffix('"').unwrap_or(written));
        let solved = problem.solved(text);
        let number = |(is_right, found): (bool, String)| {
            serde_json::json!([found, f64::from(u8::from(is_right))])
        };
        assert_eq!(number(solved.strict), row["strict-match"]);
        assert_eq!(number(solved.flexible), row["flexible-extract"]);
    }
    let stop = expected["stop"].as_str().unwrap();
    let stopped = judge.written(&prompts[..1], &[stop], ANSWER_TOKENS_MAX).unwrap();
    assert_eq!(stopped[0], expected["stopped"].as_str().unwrap());
    assert!(stopped[0].len() < texts[0].len());
}

#[test]
fn numbers_in_answers_are_those_that_the_harness_finds() {
    let answers = &reference()["gsm8k"]["answers"];
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 17);
    for answer in answers {
        let text = |at: usize| answer[at].as_str().unwrap().to_string();
        let solved = Problem { prompt: String::new(), answer: text(1) }.solved(&text(0));
        assert_eq!(solved.strict, (answer[3] == 1.0, text(2)), "{answer}");
        assert_eq!(solved.flexible, (answer[5] == 1.0, text(4)), "{answer}");
    }
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
    let [row, ..] = &rows_of("arc_easy", "test")[..] else { panic!("no row") };
    let requests = choice(task("arc_easy").unwrap().question(row).unwrap()).requests;
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
        ("gsm8k", r#"{"question": "a"}"#, "it has no answer, but [question]"),
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
    let written = judge.written(&["a".to_string()], &STOPS, 128);
    assert!(matches!(written, Err(JudgeError::NoRoom { answer: 128, most: 128 })));
    for (name, count, row, what) in [
        (
            "piqa",
            5,
            rows_of("piqa", "validation")[0].clone(),
            "5 examples need more rows than the 5",
        ),
        ("gsm8k", 8, rows_of("gsm8k", "test")[0].clone(), "8 examples need more rows than the 7"),
        ("mmlu", 4, rows_of("mmlu", "test")[0].clone(), "of dev; ask for fewer"),
    ] {
        let task = task(name).unwrap();
        let mut shots = Shots::new(task, rows_of(name, task.examples), count);
        let told = shots.question(&row).unwrap_err();
        assert!(told.contains(what), "{name}: {told}");
    }
}
