//! Requests that are refused, in the form that clients know.

use serde_json::{Value, json};

use super::models;
use super::server::Server;

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_as_clients_expect() {
    let dir = tempfile::tempdir().unwrap();
    models(dir.path());
    let server = Server::start(dir.path(), &["--model", "run", "--context", "64"]);
    let prompt = |key: &str, value: Value| {
        let mut order = json!({ "prompt": "a" });
        order[key] = value;
        order
    };
    let long = json!({ "prompt": "x".repeat(64) });
    let chat = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    let cases = [
        ("/completions", prompt("model", json!("gpt-4")), 404, "model", "model_not_found"),
        ("/completions", long, 400, "prompt", "context_length_exceeded"),
        (
            "/completions",
            prompt("max_tokens", json!(64)),
            400,
            "max_tokens",
            "context_length_exceeded",
        ),
        ("/completions", prompt("max_tokens", json!(0)), 400, "max_tokens", ""),
        ("/completions", prompt("n", json!(2)), 400, "n", ""),
        ("/completions", prompt("logprobs", json!(5)), 400, "logprobs", ""),
        ("/completions", prompt("temperature", json!(-1)), 400, "temperature", ""),
        ("/completions", prompt("stop", json!(vec!["a"; 17])), 400, "stop", ""),
        ("/completions", json!({ "prompt": [300] }), 400, "prompt", ""),
        ("/completions", json!({ "prompt": ["a", "b"] }), 400, "prompt", ""),
        ("/completions", json!({ "prompt": "a\0" }), 400, "prompt", ""),
        ("/completions", json!({}), 400, "", ""),
        ("/chat/completions", chat, 400, "messages", ""),
        ("/chat/completions", json!({ "messages": [] }), 400, "messages", ""),
        ("/embeddings", json!({}), 404, "", ""),
    ];
    for (path, order, status, param, code) in cases {
        let (found, text) = server.post(path, &order).await;
        let error: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{order}: {text}"));
        let error = &error["error"];
        assert_eq!(found, status, "{order}: {error}");
        assert_eq!(error["type"], "invalid_request_error", "{order}");
        assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{order}: {error}");
        assert_eq!(error["code"].as_str().unwrap_or_default(), code, "{order}: {error}");
        assert!(error["message"].as_str().unwrap().len() > 10, "{order}: {error}");
    }
    // What is no JSON, too much of it, and the wrong way to ask.
    assert_eq!(server.post("/completions", "{").await.0, 400);
    assert!(server.announce(5 << 20).starts_with("HTTP/1.1 413 "));
    assert_eq!(server.get(&format!("{}/completions", server.base)).await.0, 405);
    let (status, models) = server.get(&format!("{}/models", server.base)).await;
    assert_eq!(status, 200);
    let models: Value = serde_json::from_str(&models).unwrap();
    assert_eq!(
        (&models["data"][0]["id"], &models["data"][0]["context_length"]),
        (&json!("run"), &json!(64))
    );
    // And it still answers.
    server.ask("/completions", json!({ "prompt": "a", "max_tokens": 3 })).await;
}
