//! What was trained leaves for the tools of others and comes back.

use std::path::Path;
use std::process::{Command, Output};

use safetensors::SafeTensors;
use serde_json::Value;

const MODEL: &str = "
[model]
layers = 1
d_model = 32
heads = 4
kv_heads = 2
ffn = 64
seq_len = 64

[inner]
steps = 1
batch_samples = 1
";

fn cov72(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
    command.current_dir(dir).args(args).output().expect("the command starts")
}

/// The JSON object of a command that must succeed.
fn done(dir: &Path, args: &[&str]) -> Value {
    let output = cov72(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Exit code and sentence of a command that must fail.
fn failed(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = cov72(dir, args);
    assert!(!output.status.success(), "{args:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).trim().to_string())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_checkpoint_is_exported_and_comes_back_as_the_same_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("tiny.toml"), MODEL).unwrap();
    let trained =
        done(dir, &["train", "--config", "tiny.toml", "--windows", "2", "--dir", "run", "--json"]);
    let exported = done(dir, &["export", "--checkpoint", "run", "--out", "theirs", "--json"]);
    assert_eq!(exported["files"], 1, "{exported:#}");
    assert_eq!(exported["bytes"], 4 * trained["params"].as_u64().unwrap());
    let config = json(&dir.join("theirs/config.json"));
    assert_eq!(config["num_key_value_heads"], 2);
    assert_eq!(config["torch_dtype"], "float32");
    let card = std::fs::read_to_string(dir.join("theirs/README.md")).unwrap();
    assert!(card.contains(trained["state_root"].as_str().unwrap()), "{card}");

    done(dir, &["import", "theirs", "--out", "ours", "--json"]);
    let kept =
        std::fs::read(dir.join("run/checkpoints/window-00000002/params.safetensors")).unwrap();
    let back = std::fs::read(dir.join("ours/params.safetensors")).unwrap();
    let (kept, back) =
        (SafeTensors::deserialize(&kept).unwrap(), SafeTensors::deserialize(&back).unwrap());
    assert_eq!(kept.len(), back.len());
    for (name, view) in kept.iter() {
        assert!(view == back.tensor(name).unwrap(), "{name} differs");
    }

    // An older checkpoint, by its own folder, in another type.
    let one = "run/checkpoints/window-00000001";
    let args = ["export", "--checkpoint", one, "--out", "half", "--dtype", "bf16", "--json"];
    assert_eq!(done(dir, &args)["bytes"], 2 * trained["params"].as_u64().unwrap());
}

#[test]
fn what_is_no_model_or_is_damaged_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("tiny.toml"), MODEL).unwrap();
    done(dir, &["train", "--config", "tiny.toml", "--windows", "1", "--dir", "run", "--json"]);
    let (code, told) = failed(dir, &["export", "--checkpoint", ".", "--out", "theirs"]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("is no run, no checkpoint of one, and no imported model"), "{told}");
    std::fs::create_dir(dir.join("theirs")).unwrap();
    let (code, told) = failed(dir, &["export", "--checkpoint", "run", "--out", "theirs"]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("theirs is there already"), "{told}");
    let (code, told) = failed(dir, &["import", "theirs", "--out", "ours"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("theirs/config.json"), "{told}");

    let params = dir.join("run/checkpoints/window-00000001/params.safetensors");
    let mut bytes = std::fs::read(&params).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&params, bytes).unwrap();
    let (code, told) = failed(dir, &["export", "--checkpoint", "run", "--out", "damaged"]);
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("does not match its hash"), "{told}");
    assert!(!dir.join("damaged").exists());
}

/// No file may become longer than a few KiB.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_takes_no_more_leaves_no_export_behind() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("tiny.toml"), MODEL).unwrap();
    done(dir, &["train", "--config", "tiny.toml", "--windows", "1", "--dir", "run", "--json"]);
    let mut limited = Command::new("sh");
    let export = "trap '' XFSZ; ulimit -f 16; exec \"$0\" export --checkpoint run --out theirs";
    limited.current_dir(dir).args(["-c", export, env!("CARGO_BIN_EXE_cov72")]);
    let output = limited.output().expect("the command starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code().is_some_and(|code| code != 0), "{}: {told}", output.status);
    assert!(told.contains("model.safetensors") && told.contains("File too large"), "{told}");
    assert!(!dir.join("theirs").exists() && !dir.join(".theirs.new").exists());
    done(dir, &["export", "--checkpoint", "run", "--out", "theirs", "--json"]);
}
