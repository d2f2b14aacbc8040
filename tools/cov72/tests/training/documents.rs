//! `[documents]`: the end of a document as a target, and documents that do not see each other, as
//! part of what a run is.

use std::process::Command;

use serde_json::Value;

use crate::tiny::{Tiny, stderr};

/// A tiny run and 400 documents of a hundred bytes in `data`, with where they begin if `recorded`.
fn stage(recorded: bool) -> Tiny {
    let tiny = Tiny::new();
    let line = |at: usize| serde_json::json!({"text": format!("{at} is a number. ").repeat(6)});
    let lines: Vec<String> = (0..400).map(|at| line(at).to_string()).collect();
    std::fs::write(tiny.path("texts.jsonl"), lines.join("\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
    command.args(["data", "prepare", "--tokenizer", "byte", "--jsonl"]);
    command.arg(tiny.path("texts.jsonl")).arg("--out").arg(tiny.path("data"));
    command.args(recorded.then_some("--documents"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    tiny
}

/// Puts `keys` of `[documents]` into the configuration.
fn configure(tiny: &Tiny, keys: &str) {
    let config = std::fs::read_to_string(tiny.path("run.toml")).unwrap();
    let config = config.split("\n[documents]").next().unwrap().trim_end().to_string();
    std::fs::write(tiny.path("run.toml"), format!("{config}\n\n[documents]\n{keys}\n")).unwrap();
}

fn description(tiny: &Tiny, run: &str) -> Value {
    let text = std::fs::read(tiny.path(run).join("run.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()["document"].clone()
}

#[test]
fn each_option_trains_something_else_and_is_part_of_the_run() {
    let tiny = stage(true);
    let data = tiny.path("data").display().to_string();
    let root = |run: &str| tiny.summary(run, &["--data", &data])["state_root"].clone();
    let plain = root("plain");
    assert_eq!(description(&tiny, "plain")["version"], 1);
    configure(&tiny, "train_eos = false\nmasks = false");
    assert_eq!(root("off"), plain);
    configure(&tiny, "train_eos = true");
    let eos = root("eos");
    configure(&tiny, "masks = true");
    let masks = root("masks");
    assert!(eos != plain && masks != plain && masks != eos);
    let run = description(&tiny, "masks");
    assert_eq!((&run["version"], &run["documents"]["masks"]), (&3.into(), &true.into()));
    assert!(run["dataset"]["shards"][0]["documents"].is_string(), "{run:#}");

    // The same once more, in two parts.
    let first = ["--data", &data, "--windows", "2"];
    tiny.summary("parts", &first);
    let rest = tiny.summary("parts", &["--resume", "--windows", "6"]);
    assert_eq!(rest["state_root"], masks);
    configure(&tiny, "masks = false");
    let told = tiny.refusal("parts", &["--resume", "--windows", "7"], 2);
    assert!(told.contains("documents.masks = false contradicts"), "{told}");
}

#[test]
fn what_cannot_be_kept_apart_is_refused_before_the_run_starts() {
    let tiny = stage(false);
    let data = tiny.path("data").display().to_string();
    configure(&tiny, "masks = true");
    let told = tiny.refusal("a", &["--data", &data], 3);
    assert!(told.contains("cov72 data prepare --documents"), "{told}");
    let told = tiny.refusal("a", &["--data", &data, "--device", "emulated"], 2);
    assert!(told.contains("documents.masks = true, but attention on a GPU"), "{told}");
    configure(&tiny, "train_eos = true");
    let told = tiny.refusal("a", &["--data", &data, "--objective", "sft"], 2);
    assert!(told.contains("documents.train_eos is for texts"), "{told}");
}
