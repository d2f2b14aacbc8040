//! `cov72 train --objective sft`: from the parameters of a model that is there, and only answers
//! count.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::chat::{chat, report, values};
use crate::tiny::{Tiny, newest_checkpoint, stderr};

const FINE_TUNING: &str = r#"
name = "tuned"
windows = 4

[inner]
steps = 36

[inner.optimizer]
learning_rate = 5e-3

[inner.schedule]
kind = "constant"
"#;

/// The tiny model, pre-trained a little in `base`; questions that nobody can guess, with answers as
/// long that are always the same, in `talks`; and a configuration for learning them.
fn stage() -> (Tiny, Value) {
    let tiny = Tiny::new();
    let config = std::fs::read_to_string(tiny.path("run.toml")).unwrap();
    std::fs::write(tiny.path("run.toml"), config.replace("seq_len = 64", "seq_len = 128")).unwrap();
    let base = tiny.summary("base", &["--windows", "2"]);
    let mut draw = 1_u64;
    let mut letter = || {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (draw >> 33) as u8 % 26)
    };
    let mut row = || {
        let asked: String = (0..20).map(|_| letter()).collect();
        json!({"prompt": asked, "completion": "the answer is always"})
    };
    let rows: Vec<Value> = (0..600).map(|_| row()).collect();
    report(&chat(&tiny.path(""), "talks", &rows, &["--seq-len", "128"]));
    std::fs::write(tiny.path("run.toml"), FINE_TUNING).unwrap();
    (tiny, base)
}

/// The model to start from, and the conversations.
fn folders(tiny: &Tiny) -> (String, String) {
    let path = |name: &str| tiny.path(name).display().to_string();
    (path("base"), path("talks"))
}

fn sft<'a>(base: &'a str, data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--objective", "sft", "--from", base, "--data", data], more].concat()
}

#[test]
fn answers_are_learned_and_prompts_do_not_count() {
    let (tiny, base) = stage();
    let (from, data) = folders(&tiny);
    let tuned = tiny.summary("tuned", &sft(&from, &data, &[]));
    let loss = |summary: &Value, key: &str| summary[key].as_f64().unwrap();
    assert!(loss(&tuned, "loss_last") < 0.5, "{tuned:#}");
    assert!(loss(&tuned, "loss_first") > 2.0, "{tuned:#}");

    // Each row holds one conversation; 20 + 14 of its tokens answer, and a sample has 16 rows.
    let mask = values(&tiny.path("talks/loss_mask_000000.npy"));
    assert!(mask.chunks(128).take(600).all(|row| row.iter().filter(|on| **on == 1).count() == 34));
    assert_eq!(tuned["objective"], "sft");
    let (tokens, steps) = (tuned["tokens"].as_u64().unwrap(), 4 * 36);
    assert!(tokens <= steps * 16 * 34 && tokens > steps * 15 * 34, "{tokens}");

    let run = std::fs::read(tiny.path("tuned/run.json")).unwrap();
    let run: Value = serde_json::from_slice(&run).unwrap();
    let run = &run["document"];
    assert_eq!(run["genesis_root"], base["state_root"]);
    assert_eq!(
        (&run["objective"], &run["genesis"], &run["version"]),
        (&"sft".into(), &"given".into(), &2.into())
    );
    assert_eq!(run["model"]["layers"], 1);

    // The same numbers on every token: what nobody can guess weighs as much as what is known, a
    // third of it, 3.26 nats each.
    let more = ["--objective", "pretrain", "--from", &from, "--data", &data];
    let all = tiny.summary("all", &more);
    assert!(loss(&all, "loss_last") > 2.0 * loss(&tuned, "loss_last"), "{all:#}");
    assert_eq!(all["tokens"], 4 * 36 * 2048);
}

#[test]
fn fine_tuning_that_is_killed_ends_with_the_bits_of_one_that_was_not() {
    let (tiny, _) = stage();
    let (from, data) = folders(&tiny);
    let arguments = sft(&from, &data, &["--windows", "1000000"]);
    let mut child = tiny.command("killed", &arguments).stderr(Stdio::null()).spawn().unwrap();
    while !tiny.path("killed/checkpoints/window-00000001").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = newest_checkpoint(&tiny.path("killed"));
    let done = done.file_name().unwrap().to_string_lossy().into_owned();
    let done: u64 = done.trim_start_matches(".").trim_start_matches("window-").parse().unwrap();
    let windows = (done + 2).to_string();
    let whole = tiny.summary("whole", &sft(&from, &data, &["--windows", &windows]));
    // The model that it began with is no longer needed.
    std::fs::rename(tiny.path("base"), tiny.path("gone")).unwrap();
    let resumed = tiny.summary("killed", &["--resume", "--windows", &windows]);
    for key in ["state_root", "tokens", "inner_steps", "loss_first", "loss_last"] {
        assert_eq!(resumed[key], whole[key], "{key}");
    }
    let refusal = tiny.refusal("killed", &["--resume", "--objective", "pretrain"], 2);
    let parts = ["objective = \"pretrain\" contradicts", "where it is \"sft\""];
    parts.iter().for_each(|part| assert!(refusal.contains(part), "{refusal}"));
}

#[test]
fn an_imported_model_is_as_good_a_start_as_the_run_it_came_from() {
    let (tiny, base) = stage();
    let path = |name: &str| tiny.path(name).display().to_string();
    for arguments in [
        ["export", "--checkpoint", &path("base"), "--out", &path("theirs")],
        ["import", &path("theirs"), "--out", &path("ours"), "--json"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let refusal = tiny.refusal("not", &sft(&path("theirs"), &path("talks"), &[]), 3);
    assert!(refusal.contains("cov72 import"), "{refusal}");
    let (from, data) = (path("ours"), path("talks"));
    let imported = tiny.summary("imported", &sft(&from, &data, &["--windows", "1"]));
    let same = tiny.summary("same", &sft(&path("base"), &data, &["--windows", "1"]));
    assert_eq!(imported["state_root"], same["state_root"]);
    let run = std::fs::read_to_string(tiny.path("imported/run.json")).unwrap();
    assert!(run.contains(base["state_root"].as_str().unwrap()));
}

#[test]
fn data_that_does_not_suit_the_objective_is_refused_with_the_command_that_helps() {
    let (tiny, _) = stage();
    let path = |name: &str| tiny.path(name).display().to_string();
    let (base, talks, text) = (path("base"), path("talks"), path("base/data"));
    for (arguments, exit, parts) in [
        (vec!["--data", &talks], 2, ["--objective sft", "--objective pretrain"]),
        (vec!["--objective", "sft"], 2, ["the built-in corpus has none", "cov72 data chat"]),
        (sft(&base, &text, &[]), 3, ["no loss mask", "cov72 data chat --jsonl FILE --seq-len 128"]),
        (vec!["--objective", "rlhf"], 2, ["rlhf", "`pretrain` or `sft`"]),
        (sft(&talks, &talks, &[]), 3, ["is no run, no checkpoint of one", "the --dir of a run"]),
    ] {
        let output = tiny.train("refused", &arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(exit), "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} is not in {text}"));
    }
    // Sequences shorter than the rows would cut conversations in two.
    let config = FINE_TUNING.to_string() + "\n[model]\nseq_len = 64\n";
    std::fs::write(tiny.path("run.toml"), config).unwrap();
    let refusal = tiny.refusal("cut", &sft(&base, &talks, &[]), 3);
    assert!(refusal.contains("rows of 128 tokens"), "{refusal}");
}
