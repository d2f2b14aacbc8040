//! Whole networks of processes: late joiners, kills, takeovers, and nodes started by hand.

mod by_hand;
mod localnet;
mod refusals;
mod sft;
mod standings;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A model of 17 thousand parameters whose windows take a fraction of a second.
const MODEL: &str = r#"
name = "tiny"

[model]
layers = 1
d_model = 32
heads = 4
kv_heads = 2
ffn = 64
seq_len = 64
tied = true

[inner]
steps = 2
"#;

/// A folder for one test, with the description of the tiny model in it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("model.toml"), MODEL).expect("a small file");
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `cov72 <command> <more>` in this folder.
    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
        command.current_dir(self.dir.path()).args(more).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, more: &[&str]) -> Output {
        self.command(more).output().expect("the command starts")
    }

    /// `cov72 localnet --json` with more arguments; its object.
    pub(crate) fn localnet(&self, more: &[&str]) -> Value {
        let fixed = ["localnet", "--dir", "net", "--model", "model.toml", "--json"];
        let output = self.run(&[&fixed[..], more].concat());
        assert!(output.status.success(), "{}", self.tell(&output));
        serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
    }

    /// Everything that helps to understand a failed network.
    pub(crate) fn tell(&self, output: &Output) -> String {
        let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
        for entry in std::fs::read_dir(self.path("net")).into_iter().flatten().flatten() {
            let log = std::fs::read_to_string(entry.path().join("log")).unwrap_or_default();
            if !log.is_empty() {
                text += &format!("== {}\n{log}", entry.path().display());
            }
        }
        text
    }
}

/// The state root that a node recorded for each window, in order.
pub(crate) fn roots(node: &Path) -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(node.join("windows.jsonl")).expect("records");
    let record = |line: &str| -> (u64, String) {
        let record: Value = serde_json::from_str(line).expect("a record");
        let root = record["root"].as_str().expect("a root").to_string();
        (record["window"].as_u64().expect("a window"), root)
    };
    text.lines().map(record).collect()
}
