//! What `cov72 train` refuses: one sentence each that names the thing and the remedy, an exit code
//! that says whose move it is, and nothing lost.

use crate::tiny::{Tiny, newest_checkpoint, stderr};

fn says(sentence: &str, parts: &[&str]) {
    for part in parts {
        assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
    }
}

#[test]
fn a_run_is_not_started_over_by_accident() {
    let tiny = Tiny::new();
    let root = tiny.summary("a", &["--windows", "2"])["state_root"].clone();
    says(&tiny.refusal("a", &[], 3), &["holds a run already", "--resume", "--dir"]);
    assert_eq!(tiny.summary("a", &["--resume", "--windows", "2"])["state_root"], root);
}

#[test]
fn there_must_be_something_to_resume() {
    let tiny = Tiny::new();
    says(&tiny.refusal("empty", &["--resume"], 3), &["nothing to resume", "empty", "--resume"]);
}

#[test]
fn a_number_that_contradicts_the_run_is_named() {
    let tiny = Tiny::new();
    tiny.summary("a", &["--windows", "2"]);
    let refusal = tiny.refusal("a", &["--resume", "--inner-steps", "5"], 2);
    says(&refusal, &["inner.steps = 5", "where it is 4", "--dir"]);
    says(&tiny.refusal("a", &["--resume", "--seed", "9"], 2), &["seed = 9", "where it is 0"]);
    let refusal = tiny.refusal("a", &["--resume", "--compute", "bf16"], 2);
    says(&refusal, &["node.compute = \"bf16\"", "where it is \"f32\"", "--dir"]);
    says(&tiny.refusal("a", &["--resume", "--tp", "2"], 2), &["node.tp = 2", "where it is 1"]);
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let tiny = Tiny::new();
    let mut first = tiny.command("a", &["--windows", "100000"]);
    let mut first = first.stderr(std::process::Stdio::null()).spawn().unwrap();
    while !tiny.path("a/run.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let refusal = tiny.refusal("a", &["--resume"], 3);
    first.kill().unwrap();
    first.wait().unwrap();
    says(&refusal, &["in use by process", &first.id().to_string()]);
}

#[test]
fn numbers_that_no_run_can_have_are_refused_by_key() {
    let tiny = Tiny::new();
    says(&tiny.refusal("a", &["--inner-steps", "0"], 2), &["inner.steps must be at least 1"]);
    says(&tiny.refusal("a", &["--tp", "3"], 2), &["--tp 3", "does not divide"]);
    says(&tiny.refusal("a", &["--device", "abacus"], 2), &["abacus", "cpu"]);
    says(&tiny.refusal("a", &["--preset", "huge"], 2), &["\"huge\"", "nano", "72b"]);
    let config = std::fs::read_to_string(tiny.path("run.toml")).unwrap();
    let with = |more: &str| std::fs::write(tiny.path("run.toml"), format!("{config}{more}"));
    with("[outer]\nk = 0\n").unwrap();
    says(&tiny.refusal("a", &[], 2), &["outer.k must be from 1"]);
    with("[node]\ncompute = \"f16\"\n").unwrap();
    says(&tiny.refusal("a", &[], 2), &["run.toml", "f16", "f32", "bf16"]);
    with("[outer]\nalhpa = 1.0\n").unwrap();
    says(&tiny.refusal("a", &[], 2), &["run.toml:17", "outer.alhpa", "did you mean alpha?"]);
}

#[test]
fn a_gpu_that_is_not_there_is_named_with_what_is_missing() {
    let tiny = Tiny::new();
    // On a machine without a driver; one with a driver shows no device.
    let mut command = tiny.command("a", &["--device", "cuda"]);
    let output = command.env("CUDA_VISIBLE_DEVICES", "").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let said = stderr(&output);
    let missing = ["no NVIDIA driver", "shows no GPU, because CUDA_VISIBLE_DEVICES is \"\""];
    assert!(missing.iter().any(|missing| said.contains(missing)), "{said}");
    assert!(!tiny.path("a").exists(), "nothing was made");
    says(&tiny.refusal("a", &["--device", "cuda", "--tp", "2"], 2), &["node.tp = 2", "cuda"]);
}

#[test]
fn a_preset_too_large_for_the_machine_says_what_it_needs() {
    let tiny = Tiny::new();
    std::fs::write(tiny.path("run.toml"), "").unwrap();
    says(&tiny.refusal("a", &["--preset", "72b"], 3), &["needs", "TB", "free", "nano"]);
    assert!(!tiny.path("a").exists(), "nothing was made");
}

#[test]
fn shards_that_are_missing_cut_or_of_other_tokens_are_named() {
    let tiny = Tiny::new();
    let data = tiny.path("shards");
    let data = data.to_str().unwrap();
    says(&tiny.refusal("a", &["--data", data], 3), &["shards"]);

    let synth = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cov72"));
        command.args(["data", "synth", "--out", data]).args(more);
        assert!(command.output().unwrap().status.success());
    };
    synth(&["--tokens", "65536"]);
    let shard = tiny.path("shards/train_000000.npy");
    let whole = std::fs::read(&shard).unwrap();
    std::fs::write(&shard, &whole[..whole.len() / 2]).unwrap();
    says(&tiny.refusal("b", &["--data", data], 5), &["train_000000.npy"]);
    let mut other = whole.clone();
    let tokens_start = whole.len() - 65_536 * 4;
    other[tokens_start..].chunks_exact_mut(4).for_each(|token| token[2] = 1);
    std::fs::write(&shard, &other).unwrap();
    says(&tiny.refusal("c", &["--data", data], 5), &["window 1", "train_000000.npy", "hashes to"]);
    // With the ids that go with such tokens, the shard is whole, and of another vocabulary.
    let ids = tiny.path("shards/sample_ids_000000.npy");
    let whole_ids = std::fs::read(&ids).unwrap();
    let tokens = other[tokens_start..].chunks_exact(4);
    let tokens: Vec<u32> =
        tokens.map(|token| u32::from_le_bytes(token.try_into().unwrap())).collect();
    let mut other_ids = whole_ids[..whole_ids.len() - 32 * 8].to_vec();
    let new_ids = tokens.chunks_exact(2048).map(runtime::dataset::sample_id);
    other_ids.extend(new_ids.flat_map(u64::to_le_bytes));
    std::fs::write(&ids, other_ids).unwrap();
    says(&tiny.refusal("c2", &["--data", data], 5), &["window 1", "vocabulary"]);
    std::fs::write(&ids, whole_ids).unwrap();
    std::fs::write(&shard, &whole).unwrap();
    says(
        &tiny.refusal("d", &["--data", data, "--inner-steps", "40"], 3),
        &["40 samples", "has 32"],
    );
    tiny.summary("e", &["--data", data, "--windows", "1"]);
}

#[test]
fn a_loss_that_is_no_number_stops_before_the_update_and_keeps_the_last_state() {
    let tiny = Tiny::new();
    let config = std::fs::read_to_string(tiny.path("run.toml")).unwrap();
    let wild = "[inner.optimizer]\nlearning_rate = 1e30\n[inner.schedule]\nkind = \"constant\"\n";
    std::fs::write(tiny.path("run.toml"), config + wild).unwrap();
    let refusal = tiny.refusal("a", &[], 1);
    says(&refusal, &["window 1", "inner step", "stopped before the update"]);
}

#[test]
fn a_run_without_a_whole_checkpoint_is_not_silently_started_over() {
    let tiny = Tiny::new();
    tiny.summary("a", &["--windows", "1"]);
    let index = newest_checkpoint(&tiny.path("a")).join("index.json");
    std::fs::write(index, "{}").unwrap();
    says(&tiny.refusal("a", &["--resume"], 5), &["no checkpoint", "is whole", "--dir"]);
}
