//! What a client may ask for, of completions and of chats. Keys that change nothing here are let
//! pass; those that ask for what is not done are refused by name.

use model::generate::Sampling;
use serde::Deserialize;
use serde_json::Value;

use super::refusal::Refusal;
use crate::chat_template::Message;

/// Most stop sequences, and bytes of one.
const STOPS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 1_024;
/// Tokens of a completion when none are asked for.
const COMPLETION_TOKENS: usize = 16;

/// `/v1/completions`.
#[derive(Debug, Deserialize)]
pub(super) struct CompletionRequest {
    pub(super) prompt: Prompt,
    #[serde(flatten)]
    pub(super) how: How,
}

/// A text, or its tokens.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
}

/// `/v1/chat/completions`.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    pub(super) messages: Vec<ChatMessage>,
    #[serde(flatten)]
    pub(super) how: How,
}

/// A message, whose content may come in parts.
#[derive(Debug, Deserialize)]
pub(super) struct ChatMessage {
    role: String,
    content: Content,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    text: Option<String>,
}

impl ChatMessage {
    /// The message as a template reads it.
    pub(super) fn plain(self) -> Result<Message, Refusal> {
        let content = match self.content {
            Content::Text(text) => text,
            Content::Parts(parts) => {
                let texts: Option<Vec<String>> = parts.into_iter().map(|part| part.text).collect();
                let only = "only text can be read; leave out the other parts of the content";
                texts.ok_or_else(|| Refusal::parameter("messages", only))?.concat()
            }
        };
        Ok(Message { role: self.role, content })
    }
}

/// How to make the text.
#[derive(Debug, Deserialize)]
pub(super) struct How {
    pub(super) model: Option<String>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    pub(super) seed: Option<i64>,
    stop: Option<Stops>,
    #[serde(default)]
    pub(super) stream: bool,
    stream_options: Option<StreamOptions>,
    n: Option<usize>,
    best_of: Option<usize>,
    #[serde(default)]
    echo: bool,
    logprobs: Option<Value>,
    suffix: Option<Value>,
    tools: Option<Value>,
    response_format: Option<Value>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stops {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl How {
    /// Refuses what is not done here, by name.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let is_set = |value: &Option<Value>| {
            value.as_ref().is_some_and(|value| *value != false && !value.is_null())
        };
        let is_more = |count: Option<usize>| count.is_some_and(|count| count != 1);
        let is_penalty = |penalty: Option<f32>| penalty.is_some_and(|penalty| penalty != 0.0);
        let is_text = |format: &Value| format["type"] == "text";
        let format = self.response_format.as_ref().filter(|format| !format.is_null());
        let refused = [
            ("n", is_more(self.n), "1"),
            ("best_of", is_more(self.best_of), "1"),
            ("echo", self.echo, "false"),
            ("logprobs", is_set(&self.logprobs), "null"),
            ("suffix", is_set(&self.suffix), "null"),
            ("tools", is_set(&self.tools), "null"),
            ("response_format", format.is_some_and(|format| !is_text(format)), "text"),
            ("frequency_penalty", is_penalty(self.frequency_penalty), "0"),
            ("presence_penalty", is_penalty(self.presence_penalty), "0"),
        ];
        match refused.into_iter().find(|(_, is_asked, _)| *is_asked) {
            Some((param, _, only)) => {
                Err(Refusal::parameter(param, format!("{param} can only be {only} here")))
            }
            None => Ok(()),
        }
    }

    pub(super) fn sampling(&self) -> Result<Sampling, Refusal> {
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(1.0),
            top_k: self.top_k.unwrap_or(0),
            top_p: self.top_p.unwrap_or(1.0),
        };
        match sampling.broken_rule() {
            Some((param, rule)) => {
                Err(Refusal::parameter(param, format!("{param} has to be {rule}")))
            }
            None => Ok(sampling),
        }
    }

    pub(super) fn stops(&self) -> Result<Vec<String>, Refusal> {
        let stops = match &self.stop {
            None => Vec::new(),
            Some(Stops::One(stop)) => vec![stop.clone()],
            Some(Stops::Several(stops)) => stops.clone(),
        };
        if stops.len() > STOPS_MAX || stops.iter().any(|stop| stop.len() > STOP_BYTES_MAX) {
            let most = format!("at most {STOPS_MAX} stop sequences of {STOP_BYTES_MAX} bytes");
            return Err(Refusal::parameter("stop", most));
        }
        Ok(stops)
    }

    /// Most tokens to make, where `room` are left.
    pub(super) fn tokens_max(&self, room: usize, is_chat: bool) -> Result<usize, Refusal> {
        let asked = self.max_completion_tokens.or(self.max_tokens);
        match asked {
            Some(0) => Err(Refusal::parameter("max_tokens", "max_tokens has to be 1 or more")),
            Some(asked) if asked > room => Err(Refusal::too_long(
                "max_tokens",
                format!("{asked} tokens are asked for, after this prompt there is room for {room}"),
            )),
            Some(asked) => Ok(asked),
            None => Ok(if is_chat { room } else { COMPLETION_TOKENS.min(room) }),
        }
    }

    /// Whether a stream ends with the count of its tokens.
    pub(super) fn counts(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage)
    }
}
