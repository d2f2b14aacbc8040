//! Text from a small model, by the command and over HTTP, and that both agree.

mod command;
mod http;
mod openai;
mod refusals;
mod server;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Its bytes need not be words: what matters is that they are the same everywhere.
const MODEL: &str = "
[model]
layers = 2
d_model = 64
heads = 4
kv_heads = 2
ffn = 128
seq_len = 256

[inner]
steps = 10
batch_samples = 1
";

/// In the manner of models that chat.
const TEMPLATE: &str = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n\
                        {% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";

pub(crate) fn cov72(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
    command.current_dir(dir).args(args).output().expect("the command starts")
}

/// The JSON object of a command that must succeed.
pub(crate) fn done(dir: &Path, args: &[&str]) -> Value {
    let output = cov72(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Trains `run`, and exports it with a chat template as `chatty`.
pub(crate) fn models(dir: &Path) {
    std::fs::write(dir.join("tiny.toml"), MODEL).unwrap();
    done(dir, &["train", "--config", "tiny.toml", "--windows", "1", "--dir", "run", "--json"]);
    done(dir, &["export", "--checkpoint", "run", "--out", "chatty", "--json"]);
    let settings = serde_json::json!({ "chat_template": TEMPLATE });
    std::fs::write(dir.join("chatty/tokenizer_config.json"), settings.to_string()).unwrap();
}

/// What `cov72 generate` makes.
pub(crate) fn generated(dir: &Path, args: &[&str]) -> Value {
    done(dir, &[&["generate", "--json", "--max-tokens", "40"], args].concat())
}
