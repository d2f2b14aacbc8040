//! `cov72 train` as other tools rely on it: its JSON, its picture, and the same bits every time.

use crate::tiny::Tiny;

#[test]
fn the_summary_has_the_keys_of_the_contract_and_the_loss_falls() {
    let tiny = Tiny::new();
    let summary = tiny.summary("a", &[]);
    let keys: Vec<_> = summary.as_object().unwrap().keys().map(String::as_str).collect();
    let mut contract = vec![
        "preset",
        "params",
        "objective",
        "windows",
        "inner_steps",
        "tokens",
        "loss_first",
        "loss_last",
        "entropy",
        "payload_bytes",
        "dense_bytes",
        "compression",
        "tokens_per_s",
        "compute_share",
        "state_root",
        "checkpoint",
    ];
    contract.sort_unstable();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, contract);
    assert_eq!(summary["windows"], 6);
    assert_eq!(summary["inner_steps"], 24);
    assert_eq!(summary["tokens"], 24 * 2048);
    let number = |key: &str| summary[key].as_f64().unwrap();
    assert!(number("loss_last") < number("loss_first"));
    assert!(number("entropy") > 0.0 && number("entropy") < number("loss_last"));
    assert!(number("compute_share") > 0.0 && number("compute_share") <= 1.0);
    let checkpoint = summary["checkpoint"].as_str().unwrap();
    assert!(std::path::Path::new(checkpoint).join("params.safetensors").exists());
    let picture = std::fs::read_to_string(tiny.path("a/loss.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("polyline"));
}

#[test]
fn the_same_seed_gives_the_same_root_and_another_seed_another() {
    let tiny = Tiny::new();
    let root = |run: &str, more: &[&str]| tiny.summary(run, more)["state_root"].clone();
    let first = root("a", &[]);
    assert_eq!(root("b", &[]), first);
    assert_eq!(root("c", &["--threads", "1"]), first);
    assert_eq!(root("d", &["--threads", "3"]), first);
    assert_ne!(root("e", &["--seed", "1"]), first);
}

#[test]
fn however_shards_are_read_the_bits_are_the_same() {
    let tiny = Tiny::new();
    let config = std::fs::read_to_string(tiny.path("run.toml")).unwrap();
    let root = |reading: &str| {
        let node = format!("[node]\nreading = \"{reading}\"\nmicro_batch_samples = 1\n");
        std::fs::write(tiny.path("run.toml"), format!("{config}{node}")).unwrap();
        let data = tiny.path("ring/data").display().to_string();
        let more = if reading == "ring" { vec![] } else { vec!["--data", &data] };
        tiny.summary(reading, &more)["state_root"].clone()
    };
    let first = root("ring");
    // What may be written to is not mapped.
    let shard = tiny.path("ring/data/train_000000.npy");
    let mut permissions = std::fs::metadata(&shard).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&shard, permissions).unwrap();
    assert_eq!(["pread", "mapped"].map(root), [first.clone(), first]);
}

#[test]
fn in_bf16_runs_repeat_go_on_after_a_stop_and_learn_what_f32_learns() {
    let tiny = Tiny::new();
    let bf16 =
        |run: &str, more: &[&str]| tiny.summary(run, &[more, &["--compute", "bf16"]].concat());
    let first = bf16("a", &[]);
    assert_eq!(bf16("b", &["--threads", "1"])["state_root"], first["state_root"]);
    bf16("c", &["--windows", "2"]);
    let resumed = tiny.summary("c", &["--resume", "--windows", "6"]);
    assert_eq!(resumed["state_root"], first["state_root"]);

    let f32 = tiny.summary("d", &[]);
    assert_ne!(f32["state_root"], first["state_root"], "bf16 was not used");
    let loss = |summary: &serde_json::Value| summary["loss_last"].as_f64().unwrap();
    assert!((loss(&f32) - loss(&first)).abs() < 0.02, "{} and {}", loss(&f32), loss(&first));
}

#[test]
fn on_an_emulated_gpu_a_run_in_two_parts_ends_as_one_and_learns_what_the_cpu_learns() {
    let tiny = Tiny::new();
    let emulated =
        |run: &str, more: &[&str]| tiny.summary(run, &[more, &["--device", "emulated"]].concat());
    let first = emulated("a", &["--windows", "2"]);
    emulated("b", &["--windows", "1"]);
    let resumed = tiny.summary("b", &["--resume", "--windows", "2"]);
    assert_eq!(resumed["state_root"], first["state_root"]);

    let cpu = tiny.summary("c", &["--windows", "2"]);
    assert_ne!(cpu["state_root"], first["state_root"], "the CPU did it");
    let loss = |summary: &serde_json::Value| summary["loss_last"].as_f64().unwrap();
    assert!((loss(&cpu) - loss(&first)).abs() < 0.02, "{} and {}", loss(&cpu), loss(&first));
}

#[test]
fn a_run_in_two_parts_ends_where_one_in_one_part_does() {
    let tiny = Tiny::new();
    let whole = tiny.summary("whole", &[]);
    tiny.summary("parts", &["--windows", "2"]);
    let parts = tiny.summary("parts", &["--resume", "--windows", "6"]);
    for key in ["state_root", "tokens", "loss_first", "loss_last", "payload_bytes"] {
        assert_eq!(parts[key], whole[key], "{key}");
    }
}

#[test]
fn tensor_parallel_ranks_learn_as_one_does() {
    let tiny = Tiny::new();
    let loss =
        |run: &str, tp: &str| tiny.summary(run, &["--tp", tp])["loss_last"].as_f64().unwrap();
    let (one, two) = (loss("one", "1"), loss("two", "2"));
    assert!((one - two).abs() < 0.02, "{one} and {two}");
}

#[test]
fn both_rules_codecs_and_quantisers_train() {
    let tiny = Tiny::new();
    let config = std::fs::read_to_string(tiny.path("run.toml")).unwrap();
    let outer = "[outer]\naggregation = \"all\"\nindex_codec = \"packed12\"\n\
                 quantiser = \"published\"\n";
    std::fs::write(tiny.path("run.toml"), config + outer).unwrap();
    let summary = tiny.summary("a", &[]);
    assert!(summary["loss_last"].as_f64().unwrap() < summary["loss_first"].as_f64().unwrap());
}
