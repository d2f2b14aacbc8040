//! What an S3 server answers when it does not do what was asked, read once into a type.
//!
//! The storage library keeps neither `Retry-After` nor the code inside the error's XML, so this
//! sits between it and the HTTP client.
//! Statuses on which the library itself acts (404, 409, 412) pass.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use object_store::HeaderMap;
use object_store::client::{
    HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};

use wire::ForeignText;

/// What is read of an error's body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HTTP {status} {code}")]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: u16,
    /// S3's name for the reason; empty where the answer has none, as one to HEAD.
    pub(crate) code: ForeignText,
    /// What the server adds to it.
    pub(crate) message: ForeignText,
    /// How long the server wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    fn parse(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let retry_after = headers.get("retry-after").and_then(|value| value.to_str().ok());
        Self {
            status,
            code: ForeignText::new(element(&text, "Code").unwrap_or_default()),
            message: ForeignText::new(element(&text, "Message").unwrap_or_default()),
            retry_after: retry_after
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
        }
    }
}

/// Text of the first element of that name; S3's errors are flat.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

/// The HTTP client, with refusals as [`Refusal`] errors. Time is limited by who asks.
#[derive(Debug)]
pub(crate) struct Answers {
    client: reqwest::Client,
}

impl Answers {
    pub(crate) fn new(client: reqwest::Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl HttpService for Answers {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_post = request.method().as_str() == "POST";
        let response = self.client.call(request).await?;
        let status = response.status().as_u16();
        // An upload in parts can fail after the 200 was sent; the body then says so.
        if (response.status().is_success() && !is_post) || status == 304 {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = read(body).await?;
        let refusal = Refusal::parse(status, &parts.headers, &body);
        let is_refused = match status {
            200..300 => refusal.code.as_str() != "" && body.windows(6).any(|at| at == b"<Error"),
            404 => refusal.code.as_str() == "NoSuchBucket",
            409 => {
                matches!(refusal.code.as_str(), "ConditionalRequestConflict" | "OperationAborted")
            }
            412 => false,
            _ => true,
        };
        if is_refused {
            return Err(HttpError::new(HttpErrorKind::Unknown, refusal));
        }
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}

async fn read(body: HttpResponseBody) -> Result<Bytes, HttpError> {
    let mut bytes = Vec::new();
    let mut pieces = body.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        bytes.extend_from_slice(&piece[..piece.len().min(BODY_BYTES_MAX - bytes.len())]);
        if bytes.len() == BODY_BYTES_MAX {
            break;
        }
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_code_and_retry_after_and_no_control_characters() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "17".parse().unwrap());
        let xml = b"<?xml?><Error><Code>SlowDown\x1b[2J</Code><Message>less</Message></Error>";
        let refusal = Refusal::parse(503, &headers, xml);
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(17)));
        assert!(refusal.code.as_str().starts_with("SlowDown"));
        assert!(!refusal.to_string().contains('\x1b'), "{refusal}");
        headers.insert("retry-after", "-1".parse().unwrap());
        let bare = Refusal::parse(403, &headers, b"\xff<Code>");
        assert_eq!((bare.code.as_str(), bare.retry_after), ("", None));
    }
}
