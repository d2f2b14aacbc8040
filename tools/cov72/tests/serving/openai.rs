//! The client that everybody has, where Python has it: openai_client.py asks, and must get what
//! plain HTTP gets. COV72_PYTHON names the Python; without the client the test says that it skips.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::models;
use super::server::Server;

fn python() -> Option<String> {
    let python = std::env::var("COV72_PYTHON").unwrap_or_else(|_| "python3".to_string());
    let asked = Command::new(&python).args(["-c", "import openai"]).output().ok()?;
    asked.status.success().then_some(python)
}

#[tokio::test]
async fn the_openai_client_gets_what_plain_http_gets() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with the openai client; name one by COV72_PYTHON");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    models(dir.path());
    let server = Server::start(dir.path(), &["--model", "chatty", "--tokenizer", "byte"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serving/openai_client.py");
    let output = Command::new(python).arg(script).arg(&server.base).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let saw: Value = serde_json::from_slice(&output.stdout).unwrap();
    let order = json!({ "prompt": "the ", "max_tokens": 30, "seed": 4 });
    let plain = server.ask("/completions", order).await;
    assert_eq!(saw["models"], json!(["chatty"]));
    assert_eq!(saw["completion"], plain["choices"][0]["text"]);
    assert_eq!(saw["streamed"], plain["choices"][0]["text"]);
    assert_eq!(saw["usage"], plain["usage"]["total_tokens"]);
    let order = json!({
        "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 30, "seed": 4,
    });
    let plain = server.ask("/chat/completions", order).await;
    assert_eq!(saw["chat"], plain["choices"][0]["message"]["content"]);
    assert_eq!(saw["chat_streamed"], plain["choices"][0]["message"]["content"]);
    assert_eq!(saw["refused"], json!([404, "model_not_found"]));
    assert_eq!(saw["too_long"], json!([400, "context_length_exceeded"]));
}
