//! The `cov72 data` commands, driven as a user drives them.

use std::path::Path;
use std::process::{Command, Output};

fn cov72(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cov72")).arg("data").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Standard output of a command that must succeed.
fn done(args: &[&str]) -> String {
    let output = cov72(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Exit code and last line of standard error of a command that must fail without printing data.
fn failed(args: &[&str]) -> (i32, String) {
    let output = cov72(args);
    assert!(output.stdout.is_empty(), "{args:?} printed {}", text(&output.stdout));
    let stderr = text(&output.stderr);
    (output.status.code().unwrap(), stderr.lines().last().unwrap_or_default().to_string())
}

fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&done(args)).unwrap()
}

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn text_becomes_shards_that_inspect_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second, out) =
        (dir.path().join("a.txt"), dir.path().join("b.txt"), dir.path().join("out"));
    std::fs::write(&first, "line\n".repeat(1000)).unwrap();
    std::fs::write(&second, "x\ty\n".repeat(500)).unwrap();
    let made = json(&[
        "prepare",
        "--text",
        str(&first),
        str(&second),
        "--out",
        str(&out),
        "--shard-tokens",
        "4096",
        "--json",
    ]);
    assert_eq!(
        (&made["tokens"], &made["samples"], &made["shards"]),
        (&6144.into(), &3.into(), &2.into())
    );
    assert_eq!(made["dropped_tokens"], 5000 + 2000 + 2 - 6144);

    let seen = json(&["inspect", str(&out), "--sample", "2", "--verify", "--json"]);
    assert_eq!((&seen["samples"], &seen["verified_samples"]), (&3.into(), &3.into()));
    assert_eq!((&seen["tokenizer"], &seen["eos"]), (&"byte".into(), &0.into()));
    // Sample 2 starts at token 4096; the first document ends at 5000.
    assert!(seen["sample"]["first_text"].as_str().unwrap().starts_with("ine\nline\n"));

    let table = done(&["inspect", str(&out)]);
    assert!(table.contains("samples     3 of 2048 tokens"), "{table}");
    assert!(table.contains("begins      \"line\\nline\\n"), "{table}");
}

#[test]
fn dropped_tokens_are_said_and_stdout_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.txt");
    std::fs::write(&file, "a".repeat(3000)).unwrap();
    let output = cov72(&["prepare", "--text", str(&file), "--out", str(&dir.path().join("out"))]);
    assert!(output.status.success());
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("dropped the last 953 tokens"));
}

#[test]
fn a_tokenizer_file_is_used_and_kept_beside_the_shards() {
    let dir = tempfile::tempdir().unwrap();
    let (file, tokenizer, out) =
        (dir.path().join("a.txt"), dir.path().join("t.json"), dir.path().join("out"));
    std::fs::write(&file, "the cat ".repeat(1500)).unwrap();
    std::fs::write(
        &tokenizer,
        r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
            "decoder": null, "model": {"type": "WordLevel", "unk_token": "?",
            "vocab": {"?": 0, "the": 1, "cat": 2, "STOP": 3}}}"#,
    )
    .unwrap();
    let args = [
        "prepare",
        "--text",
        str(&file),
        "--tokenizer",
        str(&tokenizer),
        "--out",
        str(&out),
        "--eos",
        "STOP",
    ];
    done(&args);
    let seen = json(&["inspect", str(&out), "--json"]);
    assert_eq!((&seen["vocab"], &seen["eos"]), (&4.into(), &3.into()));
    assert!(seen["sample"]["first_text"].as_str().unwrap().starts_with("the cat the"));
}

#[test]
fn samples_are_those_of_the_published_run() {
    let lines = done(&["samples", "--of", "52428800", "--uid", "7", "--window", "62834"]);
    let samples: Vec<u64> = lines.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(samples.len(), 30_720);
    assert_eq!(samples[..3], [36578429, 38559937, 16119449]);
    assert_eq!(samples.iter().sum::<u64>(), 806059594268);
    let object = json(&[
        "samples", "--of", "20000", "--uid", "1", "--window", "10", "--size", "15000", "--json",
    ]);
    assert_eq!((&object["samples"][0], &object["of"]), (&881.into(), &20000.into()));
}

#[test]
fn more_samples_than_there_are_is_a_usage_error_naming_both() {
    let args = ["samples", "--of", "10", "--uid", "1", "--window", "1", "--size", "11"];
    let (exit, message) = failed(&args);
    assert_eq!(exit, 2);
    assert!(message.contains("11 different samples out of 10"), "{message}");
    assert_eq!(failed(&["samples", "--uid", "1", "--window", "1"]).0, 2);
}

#[test]
fn the_generated_corpus_knows_its_entropy_and_can_be_assigned_from() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("synth");
    let made = json(&["synth", "--out", str(&out), "--tokens", "100000", "--seed", "3", "--json"]);
    assert_eq!(made["tokens"], 49 * 2048);
    assert!((0.5..0.9).contains(&made["entropy_nats_per_token"].as_f64().unwrap()));
    done(&["synth", "--out", str(&out), "--tokens", "100000", "--seed", "3"]);
    let (exit, message) = failed(&["synth", "--out", str(&out), "--seed", "4"]);
    assert_eq!(exit, 3);
    assert!(message.contains("already holds 49 samples of seed 3"), "{message}");
    let data = str(&out);
    let lines = done(&["samples", "--data", data, "--uid", "0", "--window", "0", "--size", "49"]);
    assert_eq!(lines.lines().count(), 49);
}

#[test]
fn text_that_cannot_become_a_dataset_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("a.txt"), dir.path().join("out"));
    let prepare = ["prepare", "--text", str(&file), "--out", str(&out)];

    let (exit, message) = failed(&prepare);
    assert_eq!(exit, 3);
    assert!(message.contains("a.txt") && message.contains("typing error"), "{message}");

    std::fs::write(&file, "short").unwrap();
    let (exit, message) = failed(&prepare);
    assert_eq!(exit, 3);
    assert!(message.contains("6 tokens are less than one sample of 2048"), "{message}");

    std::fs::write(&file, [&[b'a'; 5000][..], &[0], &[b'a'; 5000]].concat()).unwrap();
    let (exit, message) = failed(&prepare);
    assert_eq!(exit, 3);
    assert!(message.contains("a.txt: byte 0 at offset 5000"), "{message}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);

    let (exit, message) = failed(&[&prepare[..], &["--tokenizer", "none.json"]].concat());
    assert_eq!(exit, 3);
    assert!(message.contains("none.json"), "{message}");
}

#[test]
fn damage_is_told_from_absence_by_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("synth");
    assert_eq!(failed(&["inspect", str(&out)]).0, 3);
    done(&["synth", "--out", str(&out), "--tokens", "10000"]);
    let shard = out.join("train_000000.npy");
    let mut bytes = std::fs::read(&shard).unwrap();
    bytes[128 + 3 * 8192] ^= 1;
    std::fs::write(&shard, &bytes).unwrap();
    done(&["inspect", str(&out)]);
    for args in [["inspect", str(&out), "--sample=3"], ["inspect", str(&out), "--verify"]] {
        let (exit, message) = failed(&args);
        assert_eq!(exit, 5);
        assert!(message.starts_with("sample 3 of "), "{message}");
    }
    std::fs::write(&shard, &bytes[..bytes.len() - 1]).unwrap();
    let (exit, message) = failed(&["inspect", str(&out)]);
    assert_eq!(exit, 5);
    assert!(message.contains("it was cut off"), "{message}");
    assert_eq!(failed(&["inspect", str(&dir.path().join("none"))]).0, 3);
}
