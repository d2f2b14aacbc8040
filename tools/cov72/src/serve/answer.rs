//! Texts in the making, as one JSON object or as a stream of them.

use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use model::generate::Finish;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::engine::Event;
use super::refusal::Refusal;
use crate::generate::source::finish_name;

/// What every object of an answer says.
#[derive(Clone, Debug)]
pub(super) struct Head {
    id: String,
    created_s: u64,
    model: String,
    is_chat: bool,
    prompt_tokens: usize,
}

impl Head {
    pub(super) fn new(seed: u64, model: String, is_chat: bool, prompt_tokens: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!(
            "{}-{:016x}",
            if is_chat { "chatcmpl" } else { "cmpl" },
            seed ^ now.as_nanos() as u64
        );
        Self { id, created_s: now.as_secs(), model, is_chat, prompt_tokens }
    }

    fn object(&self, is_chunk: bool, choices: Value) -> Value {
        let object = match (self.is_chat, is_chunk) {
            (false, _) => "text_completion",
            (true, false) => "chat.completion",
            (true, true) => "chat.completion.chunk",
        };
        json!({
            "id": self.id,
            "object": object,
            "created": self.created_s,
            "model": self.model,
            "choices": choices,
        })
    }

    fn choice(&self, is_chunk: bool, text: &str, finish: Option<Finish>) -> Value {
        let mut choice = json!({
            "index": 0, "finish_reason": finish.map(finish_name), "logprobs": null,
        });
        let (key, said) = match (self.is_chat, is_chunk) {
            (false, _) => ("text", json!(text)),
            (true, false) => ("message", json!({ "role": "assistant", "content": text })),
            (true, true) if text.is_empty() => ("delta", json!({})),
            (true, true) => ("delta", json!({ "content": text })),
        };
        choice[key] = said;
        choice
    }

    fn usage(&self, tokens: usize) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": self.prompt_tokens + tokens,
        })
    }
}

/// The whole text at once.
pub(super) async fn whole(
    head: Head,
    mut events: mpsc::UnboundedReceiver<Event>,
) -> Result<Response, Refusal> {
    let mut said = String::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Text(text) => said += &text,
            Event::Done { finish, tokens } => {
                let choice = head.choice(false, &said, Some(finish));
                let mut object = head.object(false, json!([choice]));
                object["usage"] = head.usage(tokens);
                return Ok(Json(object).into_response());
            }
        }
    }
    Err(Refusal::ours())
}

/// The text as it comes, as server-sent events.
pub(super) fn streamed(
    head: Head,
    events: mpsc::UnboundedReceiver<Event>,
    counts: bool,
) -> Response {
    let opening = if head.is_chat {
        let delta = json!({ "role": "assistant", "content": "" });
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": null });
        vec![head.object(true, json!([choice])).to_string()]
    } else {
        Vec::new()
    };
    let state = Streaming { head, events, counts, ready: opening.into(), is_done: false };
    let stream = stream::unfold(state, |mut state| async move {
        let data = state.next().await?;
        Some((Ok::<_, Infallible>(sse::Event::default().data(data)), state))
    });
    Sse::new(stream).into_response()
}

struct Streaming {
    head: Head,
    events: mpsc::UnboundedReceiver<Event>,
    counts: bool,
    /// Objects that are to be sent before anything else happens.
    ready: std::collections::VecDeque<String>,
    is_done: bool,
}

impl Streaming {
    async fn next(&mut self) -> Option<String> {
        if let Some(data) = self.ready.pop_front() {
            return Some(data);
        }
        if self.is_done {
            return None;
        }
        let head = &self.head;
        // An end without `Done` leaves the stream without its end, which clients notice.
        match self.events.recv().await? {
            Event::Text(text) => {
                Some(head.object(true, json!([head.choice(true, &text, None)])).to_string())
            }
            Event::Done { finish, tokens } => {
                self.is_done = true;
                if self.counts {
                    let mut object = head.object(true, json!([]));
                    object["usage"] = head.usage(tokens);
                    self.ready.push_back(object.to_string());
                }
                self.ready.push_back("[DONE]".to_string());
                Some(head.object(true, json!([head.choice(true, "", Some(finish))])).to_string())
            }
        }
    }
}
