//! Answers over HTTP: those of the command, whole or in pieces, alone or side by side.

use serde_json::{Value, json};

use super::server::Server;
use super::{generated, models};

const COMPLETIONS: &str = "/completions";
const CHAT: &str = "/chat/completions";

fn text(answer: &Value) -> &str {
    answer["choices"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn completions_are_those_of_the_command_whole_or_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    models(dir.path());
    let server = Server::start(dir.path(), &["--model", "run"]);
    let expected = generated(dir.path(), &["--model", "run", "--prompt", "the ", "--seed", "5"]);
    let expected_text = expected["text"].as_str().unwrap();
    let order = json!({ "model": "run", "prompt": "the ", "max_tokens": 40, "seed": 5 });
    let answer = server.ask(COMPLETIONS, order.clone()).await;
    assert_eq!(text(&answer), expected_text);
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["choices"][0]["finish_reason"], expected["finish_reason"]);
    let tokens = expected["completion_tokens"].as_u64().unwrap();
    let usage = json!({
        "prompt_tokens": 4, "completion_tokens": tokens, "total_tokens": 4 + tokens,
    });
    assert_eq!(answer["usage"], usage);
    // The prompt as tokens.
    let mut by_tokens = order.clone();
    by_tokens["prompt"] = json!(b"the ");
    assert_eq!(text(&server.ask(COMPLETIONS, by_tokens).await), expected_text);

    let mut order = order;
    order["stream"] = true.into();
    order["stream_options"] = json!({ "include_usage": true });
    let mut pieces = server.stream(COMPLETIONS, order).await;
    assert_eq!(pieces.pop().unwrap()["usage"], usage);
    assert!(pieces.len() > 2, "{pieces:?}");
    assert_eq!(pieces.iter().map(text).collect::<String>(), expected_text);
    let finish: Vec<&Value> = pieces.iter().map(|p| &p["choices"][0]["finish_reason"]).collect();
    assert_eq!(*finish.last().unwrap(), &expected["finish_reason"]);
    assert!(finish[..finish.len() - 1].iter().all(|finish| finish.is_null()));
}

#[tokio::test]
async fn chats_go_through_the_template_of_the_model() {
    let dir = tempfile::tempdir().unwrap();
    models(dir.path());
    let args = ["--model", "chatty", "--tokenizer", "byte"];
    let server = Server::start(dir.path(), &args);
    let chat = ["--chat", "--system", "be brief", "--prompt", "hi", "--seed", "9"];
    let expected = generated(dir.path(), &[&args[..], &chat].concat());
    let parts = json!([{ "type": "text", "text": "h" }, { "type": "text", "text": "i" }]);
    let order = json!({
        "messages": [
            { "role": "system", "content": "be brief" }, { "role": "user", "content": parts },
        ],
        "max_completion_tokens": 40, "seed": 9,
    });
    let answer = server.ask(CHAT, order.clone()).await;
    let message = json!({ "role": "assistant", "content": expected["text"] });
    assert_eq!(answer["choices"][0]["message"], message);
    assert_eq!(answer["usage"]["prompt_tokens"], expected["prompt_tokens"]);
    assert_eq!(answer["object"], "chat.completion");
    let mut order = order;
    order["stream"] = true.into();
    let pieces = server.stream(CHAT, order).await;
    assert_eq!(pieces[0]["choices"][0]["delta"]["role"], "assistant");
    let said = pieces.iter().map(|piece| {
        piece["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_string()
    });
    assert_eq!(said.collect::<String>(), expected["text"].as_str().unwrap());
}

#[tokio::test]
async fn requests_side_by_side_get_what_each_gets_alone() {
    let dir = tempfile::tempdir().unwrap();
    models(dir.path());
    // Fewer places than requests, so that some wait and take the place of others.
    let server = Server::start(dir.path(), &["--model", "run", "--parallel", "3"]);
    let order = |seed: usize| {
        let prompt = "abcdefghij".repeat(1 + seed % 4);
        json!({ "prompt": prompt, "max_tokens": 20 + 15 * (seed % 5), "seed": seed })
    };
    let mut alone = Vec::new();
    for seed in 0..10 {
        alone.push(server.ask(COMPLETIONS, order(seed)).await["choices"].clone());
    }
    let together = (0..10).map(|seed| server.ask(COMPLETIONS, order(seed)));
    let together = futures::future::join_all(together).await;
    for (alone, together) in alone.iter().zip(together) {
        assert_eq!(alone, &together["choices"]);
    }
}

#[tokio::test]
async fn a_stop_sequence_ends_a_text_before_it() {
    let dir = tempfile::tempdir().unwrap();
    models(dir.path());
    let server = Server::start(dir.path(), &["--model", "run"]);
    let order = json!({ "prompt": "the ", "max_tokens": 40, "seed": 5 });
    let whole = server.ask(COMPLETIONS, order.clone()).await;
    let whole = text(&whole);
    // Two characters of its middle, which come first somewhere before or there.
    let (at, _) = whole.char_indices().nth(whole.chars().count() / 2).unwrap();
    let stop: String = whole[at..].chars().take(2).collect();
    let before = &whole[..whole.find(&stop).unwrap()];
    for stop in [json!(stop), json!(["never comes", stop])] {
        let mut order = order.clone();
        order["stop"] = stop;
        let answer = server.ask(COMPLETIONS, order).await;
        assert_eq!(text(&answer), before);
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn an_interrupted_server_ends_what_it_began() {
    let dir = tempfile::tempdir().unwrap();
    models(dir.path());
    let server = Server::start(dir.path(), &["--model", "run", "--parallel", "1"]);
    let order = json!({ "prompt": "a", "max_tokens": 200, "stream": true, "seed": 1 });
    let asked = (0..8).map(|_| server.stream(COMPLETIONS, order.clone()));
    let asked = futures::future::join_all(asked);
    let interrupt = async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        server.interrupt();
    };
    // Each stream ends with its end, whether the interruption came before, between or after.
    let (answers, ()) = tokio::join!(asked, interrupt);
    assert_eq!(answers.len(), 8);
    assert_eq!(server.wait().code(), Some(0));
}
