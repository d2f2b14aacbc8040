//! A run so small that a window takes milliseconds, and the command that trains it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A model of 30 thousand parameters, four inner steps a window.
const CONFIG: &str = r#"
name = "tiny"
windows = 6

[model]
layers = 1
d_model = 32
heads = 4
kv_heads = 2
ffn = 64
seq_len = 64
tied = true

[inner]
steps = 4
"#;

/// A folder for one test, with the configuration of the tiny run in it.
pub(crate) struct Tiny {
    dir: tempfile::TempDir,
}

impl Tiny {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("run.toml"), CONFIG).expect("a small file");
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `cov72 train --config run.toml --dir <run>` with more arguments.
    pub(crate) fn command(&self, run: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
        command.arg("train").arg("--config").arg(self.path("run.toml"));
        command.arg("--dir").arg(self.path(run)).args(more);
        command.stdin(std::process::Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn train(&self, run: &str, more: &[&str]) -> Output {
        self.command(run, more).output().expect("the command starts")
    }

    /// Runs it with `--json` and reads what it prints on stdout, which must be one object.
    pub(crate) fn summary(&self, run: &str, more: &[&str]) -> Value {
        let output = self.train(run, &[more, &["--json"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
    }

    /// Runs it, expects it to fail with `exit`, and returns its last line.
    pub(crate) fn refusal(&self, run: &str, more: &[&str], exit: i32) -> String {
        let output = self.train(run, more);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(exit), "{text}");
        assert!(output.stdout.is_empty(), "stdout is for data");
        text.lines().last().unwrap_or_default().to_string()
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The newest checkpoint folder of a run.
pub(crate) fn newest_checkpoint(run: &Path) -> PathBuf {
    let entries = std::fs::read_dir(run.join("checkpoints")).expect("the run has checkpoints");
    entries.map(|entry| entry.expect("a readable entry").path()).max().expect("a checkpoint")
}
