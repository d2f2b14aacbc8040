//! Addresses and what is done at them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Json, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use model::generate::{Continuation, Sampler, StopText, TextStream};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::answer::{self, Head};
use super::engine::{Engine, Job};
use super::refusal::Refusal;
use super::request::{ChatMessage, ChatRequest, CompletionRequest, How, Prompt};
use crate::generate::random_seed;
use crate::generate::source::Source;

/// Largest request that is read.
const BODY_BYTES_MAX: usize = 4 << 20;
/// How long a request may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// What answers requests.
#[derive(Clone)]
pub(super) struct Service {
    source: Arc<Source>,
    name: Arc<str>,
    engine: Engine,
}

type Read<T> = Result<Json<T>, JsonRejection>;

impl Service {
    pub(super) fn new(source: Source, engine: Engine) -> Self {
        Self { name: source.name().into(), source: Arc::new(source), engine }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    async fn answer(
        &self,
        how: &How,
        prompt: Vec<u32>,
        is_chat: bool,
    ) -> Result<Response, Refusal> {
        how.check()?;
        if let Some(wanted) = how.model.as_deref().filter(|wanted| **wanted != *self.name) {
            return Err(Refusal::no_model(wanted, &self.name));
        }
        let param = if is_chat { "messages" } else { "prompt" };
        let room = self.source.room(prompt.len());
        let room = room.map_err(|told| Refusal::too_long(param, told))?;
        let seed = match how.seed {
            Some(seed) => seed.cast_unsigned(),
            None => random_seed().map_err(Refusal::request)?,
        };
        let continuation = Continuation::new(
            Sampler::new(how.sampling()?, seed),
            TextStream::after(&self.source.tokenizer, &prompt),
            StopText::new(how.stops()?),
            self.source.ends.clone(),
            how.tokens_max(room, is_chat)?,
        );
        let head = Head::new(seed, self.name.to_string(), is_chat, prompt.len());
        let (events, receiver) = mpsc::unbounded_channel();
        self.engine.submit(Job { prompt, continuation, events })?;
        match how.stream {
            true => Ok(answer::streamed(head, receiver, how.counts())),
            false => answer::whole(head, receiver).await,
        }
    }
}

/// All addresses.
pub(super) fn router(service: Service) -> Router {
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/v1/models", get(models))
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_that_way)
        .layer(middleware::from_fn(bounded))
        .layer(DefaultBodyLimit::disable())
        .with_state(service)
}

/// Reads the whole request first, as far as it may go in bytes and time.
async fn bounded(request: Request, next: Next) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let too_large = || {
        let told = format!("a request has at most {BODY_BYTES_MAX} bytes; shorten the prompt");
        Refusal::with_status(StatusCode::PAYLOAD_TOO_LARGE, told)
    };
    let claimed =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if claimed.is_some_and(|bytes: u64| bytes > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_TIME_MAX, body::to_bytes(body, BODY_BYTES_MAX)).await;
    let late = |_| {
        let told = "the request took more than 30 s to arrive; send it at once";
        Refusal::with_status(StatusCode::REQUEST_TIMEOUT, told)
    };
    let bytes = read.map_err(late)?.map_err(|_| too_large())?;
    Ok(next.run(Request::from_parts(parts, bytes.into())).await)
}

async fn models(State(service): State<Service>) -> axum::Json<Value> {
    let model = json!({
        "id": service.name(), "object": "model", "created": 0, "owned_by": "cov72",
        "context_length": service.source.spec.seq_len,
    });
    axum::Json(json!({ "object": "list", "data": [model] }))
}

async fn completions(
    State(service): State<Service>,
    body: Read<CompletionRequest>,
) -> Result<Response, Refusal> {
    let CompletionRequest { prompt, how } = read(body)?;
    let wrong = |told: String| Refusal::parameter("prompt", told);
    let text = |text: &str| {
        service.source.prompt_tokens(text).map_err(|failure| wrong(failure.to_string()))
    };
    let prompt = match prompt {
        Prompt::Text(one) => text(&one)?,
        Prompt::Texts(texts) => match &texts[..] {
            [one] => text(one)?,
            _ => return Err(wrong(format!("{} prompts; send one at a time", texts.len()))),
        },
        Prompt::Tokens(tokens) => {
            let vocab = service.source.spec.vocab;
            if let Some(token) = tokens.iter().find(|token| **token as usize >= vocab) {
                return Err(wrong(format!("token {token} is none of the model's {vocab}")));
            }
            if tokens.is_empty() {
                return Err(wrong("a prompt of no tokens; send at least one".to_string()));
            }
            tokens
        }
    };
    service.answer(&how, prompt, false).await
}

async fn chat(
    State(service): State<Service>,
    body: Read<ChatRequest>,
) -> Result<Response, Refusal> {
    let ChatRequest { messages, how } = read(body)?;
    let messages: Vec<_> =
        messages.into_iter().map(ChatMessage::plain).collect::<Result<_, _>>()?;
    if messages.is_empty() {
        return Err(Refusal::parameter("messages", "a chat of no messages; send at least one"));
    }
    let prompt = service.source.chat_tokens(&messages);
    let prompt = prompt.map_err(|failure| Refusal::parameter("messages", failure))?;
    service.answer(&how, prompt, true).await
}

fn read<T>(body: Read<T>) -> Result<T, Refusal> {
    let told = |rejection: JsonRejection| {
        // What cannot be understood is one thing to clients.
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Refusal::with_status(status, rejection.body_text())
    };
    body.map(|Json(body)| body).map_err(told)
}

async fn nowhere() -> Refusal {
    let told = "there is nothing at this address; see /v1/models, /v1/completions and \
                /v1/chat/completions";
    Refusal::with_status(StatusCode::NOT_FOUND, told)
}

async fn not_that_way() -> Refusal {
    let told = "this address is asked another way: completions by POST, models by GET";
    Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, told)
}
