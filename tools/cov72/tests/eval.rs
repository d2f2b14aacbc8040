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
seq_len = 512

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
    std::fs::write(folder.join("train.jsonl"), rows.join("\n")).unwrap();
    let problem = json!({ "question": "1 + 1?", "answer": "It is 2.\n#### 2" }).to_string();
    std::fs::create_dir_all(dir.path().join("data/gsm8k")).unwrap();
    for split in ["train", "test"] {
        let file = dir.path().join(format!("data/gsm8k/{split}.jsonl"));
        std::fs::write(file, [&*problem; 3].join("\n")).unwrap();
    }
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
fn examples_and_written_answers_are_reported_as_the_harness_does() {
    let dir = stage();
    let args = ["--tasks", "openbookqa,gsm8k", "--data", "data", "--num-fewshot", "2"];
    let all = found(dir.path(), &args);
    assert_eq!(all["n-shot"], json!({ "gsm8k": 2, "openbookqa": 2 }));
    assert_eq!(all["n-samples"]["gsm8k"]["effective"], 3);
    for filter in ["strict-match", "flexible-extract"] {
        let of = |metric: &str| all["results"]["gsm8k"][format!("{metric},{filter}")].as_f64();
        assert!((0.0..=1.0).contains(&of("exact_match").unwrap()), "{all}");
        assert!(of("exact_match_stderr").is_some(), "{all}");
    }
    // Side by side or one after another, the same comes of it; what was published had no examples.
    let one = found(dir.path(), &[&args[..], &["--batch", "1"]].concat());
    assert_eq!(one["results"], all["results"]);
    let table = String::from_utf8(eval(dir.path(), &args).stdout).unwrap();
    assert!(table.contains("flexible-extract") && !table.contains("44.0"), "{table}");
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
        (
            vec!["--tasks", "piqa", "--data", "odd", "--num-fewshot", "1"],
            3,
            vec!["no rows for piqa", "train*.parquet"],
        ),
        (
            vec!["--tasks", "gsm8k", "--data", "data"],
            3,
            vec!["line 1: 5 examples need more rows than the 3 of train; ask for fewer"],
        ),
        (
            vec!["--tasks", "gsm8k", "--data", "data", "--num-fewshot", "0", "--context", "256"],
            3,
            vec!["an answer of up to 256 tokens leaves a context of 256 no token of a prompt"],
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
            vec!["--tasks", "openbookqa", "--data", "data", "--context", "1024"],
            2,
            vec!["--context 1024 is more than the 512 tokens"],
        ),
    ] {
        let output = eval(dir.path(), &args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {told}");
        parts.iter().for_each(|part| assert!(told.contains(part), "{part:?} is not in {told}"));
    }
}
