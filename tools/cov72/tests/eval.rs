//! `cov72 eval` on a small model: what it prints, and what it refuses. That its scores are those of
//! lm-evaluation-harness is shown by the tests of `model`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

const MODEL: &str = "
[model]
layers = 1
d_model = 32
heads = 2
kv_heads = 1
ffn = 64
seq_len = 256

[inner]
steps = 5
batch_samples = 1
";

fn cov72(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
    command.current_dir(dir).args(args).output().expect("the command starts")
}

/// Asks the model in `run`.
fn eval(dir: &Path, args: &[&str]) -> Output {
    cov72(dir, &[&["eval", "--model", "run"], args].concat())
}

fn found(dir: &Path, args: &[&str]) -> Value {
    let output = eval(dir, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// A folder with a trained `run` and a dataset.
fn stage() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tiny.toml"), MODEL).unwrap();
    let train = ["train", "--config", "tiny.toml", "--windows", "1", "--dir", "run", "--json"];
    assert!(cov72(dir.path(), &train).status.success());
    let rows = [("The sky is", "A"), ("Grass is", "B"), ("Snow is", "B")].map(|(stem, key)| {
        let choices = json!({ "text": ["blue", "green and a good deal longer"],
                              "label": ["A", "B"] });
        json!({ "question_stem": stem, "choices": choices, "answerKey": key }).to_string()
    });
    let folder = dir.path().join("data/allenai/openbookqa/main");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("test-00000-of-00001.jsonl"), rows.join("\n")).unwrap();
    std::fs::write(folder.join("train.jsonl"), "{}").unwrap();
    dir
}

#[test]
fn results_have_the_shape_of_the_harness() {
    let dir = stage();
    let text = "It was a dark night, and it went on.\n".repeat(30);
    std::fs::write(dir.path().join("data/book.txt"), &text).unwrap();
    let all = found(dir.path(), &["--tasks", "openbookqa,perplexity", "--data", "data"]);
    let (questions, text_found) = (&all["results"]["openbookqa"], &all["results"]["perplexity"]);
    for metric in ["acc,none", "acc_norm,none", "acc_stderr,none", "acc_norm_stderr,none"] {
        let value = questions[metric].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&value), "{questions}");
    }
    // Of three answers the share that is right has a spread that follows from it.
    let acc = questions["acc,none"].as_f64().unwrap();
    let spread = (acc * (1.0 - acc) / 2.0).sqrt();
    assert!((questions["acc_stderr,none"].as_f64().unwrap() - spread).abs() < 1e-12);
    let number = |metric: &str| text_found[metric].as_f64().unwrap();
    let (bits, bytes) = (number("bits_per_byte,none"), number("byte_perplexity,none"));
    assert!((bits.exp2() / bytes - 1.0).abs() < 1e-9, "{text_found}");
    // A model that has seen a little text is less surprised than by noise, which takes 8 bits.
    assert!(bits > 0.0 && bits < 9.0, "{text_found}");
    assert_eq!(all["n-samples"]["openbookqa"]["effective"], 3);
    assert_eq!(
        (&all["n-shot"]["openbookqa"], &all["versions"]["openbookqa"]),
        (&json!(0), &json!(1.0))
    );
    // The same text as a row gives the same numbers, however answers are put side by side.
    let rows = json!({ "body": text }).to_string();
    std::fs::write(dir.path().join("book.jsonl"), rows).unwrap();
    let row = ["--tasks", "perplexity", "--data", "book.jsonl", "--column", "body", "--batch", "1"];
    assert_eq!(found(dir.path(), &row)["results"]["perplexity"], *text_found);
    let limited = found(dir.path(), &["--tasks", "openbookqa", "--data", "data", "--limit", "2"]);
    assert_eq!(limited["n-samples"]["openbookqa"]["effective"], 2);
    let output = eval(dir.path(), &["--tasks", "openbookqa", "--data", "data"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("Covenant-72B") && table.contains("44.0"), "{table}");
}

#[test]
fn what_cannot_be_asked_is_refused_with_what_helps() {
    let dir = stage();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    std::fs::create_dir_all(path("odd/piqa")).unwrap();
    std::fs::write(path("odd/piqa/validation.jsonl"), "{\"goal\": \"a\", \"sol1\": \"b\"}")
        .unwrap();
    std::fs::write(path("rows.jsonl"), "{\"body\": \"a\"}").unwrap();
    for (args, exit, parts) in [
        (
            vec!["--tasks", "arc", "--data", "data"],
            2,
            vec!["no task arc", "arc_easy", "perplexity"],
        ),
        (
            vec!["--tasks", "arc_easy", "--data", "data"],
            3,
            vec!["no rows for arc_easy", "test*.parquet", "data/allenai/ai2_arc/ARC-Easy", "hub"],
        ),
        (
            vec!["--tasks", "piqa", "--data", "odd"],
            3,
            vec!["validation.jsonl: line 1: it has no sol2, but [goal, sol1]"],
        ),
        (vec!["--tasks", "perplexity", "--data", "odd"], 3, vec!["no text for perplexity"]),
        (
            vec!["--tasks", "perplexity", "--data", "rows.jsonl"],
            3,
            vec!["it has no text in text, but [body]", "--column"],
        ),
        (
            vec!["--tasks", "openbookqa", "--data", "data", "--context", "8"],
            3,
            vec!["line 1: an answer of", "the model's context of 8"],
        ),
        (
            vec!["--tasks", "openbookqa", "--data", "data", "--context", "512"],
            2,
            vec!["--context 512 is more than the 256 tokens"],
        ),
    ] {
        let output = eval(dir.path(), &args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {told}");
        parts.iter().for_each(|part| assert!(told.contains(part), "{part:?} is not in {told}"));
    }
}
