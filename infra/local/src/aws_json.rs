//! The protocol that KMS and Secrets Manager have in common, awsJson1.1, for readers who come from
//! outside the process. Signatures are unread.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The exception's name.
    pub kind: &'static str,
    /// What is said of it.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Of an operation that nobody here asks for.
    pub(crate) fn unknown(target: &str) -> Self {
        Self::new("UnknownOperationException", format!("no `{target}` here"))
    }
}

/// A service of this protocol.
pub trait Service: Send + Sync + 'static {
    /// Answers the call of an operation, named as in `TrentService.Decrypt`.
    ///
    /// # Errors
    /// When it is refused.
    fn call(&self, target: &str, body: &[u8]) -> Result<Value, Refusal>;
}

/// Serves until `shutdown`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    service: impl Service,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service: Arc<dyn Service> = Arc::new(service);
    let router = Router::new().route("/", post(answer)).with_state(service);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn answer(
    State(service): State<Arc<dyn Service>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let (status, body) = match service.call(target.unwrap_or_default(), &body) {
        Ok(answer) => (StatusCode::OK, answer),
        Err(Refusal { kind, message }) => {
            (StatusCode::BAD_REQUEST, json!({ "__type": kind, "message": message }))
        }
    };
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], body.to_string())
        .into_response()
}

/// Reads what a call asks for.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new("SerializationException", error.to_string()))
}
