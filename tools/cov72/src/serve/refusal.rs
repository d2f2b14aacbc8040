//! A request that is not answered, in the form that clients know.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Status, sentence, the parameter it is about, and a name for programs.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Refusal {
    /// The request is wrong.
    pub(super) fn request(message: impl ToString) -> Self {
        let message = message.to_string();
        Self { status: StatusCode::BAD_REQUEST, message, param: None, code: None }
    }

    /// A parameter of the request is wrong.
    pub(super) fn parameter(param: &'static str, message: impl ToString) -> Self {
        Self { param: Some(param), ..Self::request(message) }
    }

    /// The prompt leaves no room for an answer.
    pub(super) fn too_long(param: &'static str, message: impl ToString) -> Self {
        Self { code: Some("context_length_exceeded"), ..Self::parameter(param, message) }
    }

    /// As [`Refusal::request`] with another status.
    pub(super) fn with_status(status: StatusCode, message: impl ToString) -> Self {
        Self { status, ..Self::request(message) }
    }

    /// What HTTP calls it.
    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// There is no such model here.
    pub(super) fn no_model(wanted: &str, name: &str) -> Self {
        let wanted: String = wanted.chars().take(100).collect();
        Self {
            status: StatusCode::NOT_FOUND,
            message: format!("there is no model {wanted:?} here; ask for {name:?}"),
            param: Some("model"),
            code: Some("model_not_found"),
        }
    }

    /// Too many requests wait already.
    pub(super) fn queue_full() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            message: "as many requests wait as may; try again in a moment".to_string(),
            param: None,
            code: Some("queue_full"),
        }
    }

    /// The model's thread has gone.
    pub(super) fn ours() -> Self {
        Self::with_status(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the model stopped before the answer was whole; restart the server",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, message, param, code } = self;
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let error = json!({ "message": message, "type": kind, "param": param, "code": code });
        (status, Json(json!({ "error": error }))).into_response()
    }
}
