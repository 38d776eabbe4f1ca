//! A gate in front of a service that speaks AWS JSON: it passes requests on, save the one that it
//! was told to stop or to answer itself.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What becomes of a request that is waited for.
pub(crate) enum Then {
    /// It has no effect, and no answer.
    Stop,
    /// It has its effect, and no answer.
    StopAfter,
    /// It has no effect, and is refused with this body.
    Refuse(Value),
    /// It has its effect, its answer is lost, and it is sent again, as the SDK does: that is
    /// answered.
    Repeat,
}

/// Whether a request is waited for, by its operation and body.
type Matches = fn(&str, &Value) -> bool;

/// A gate on a port of its own, open until it is told otherwise.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    upstream: String,
    http: reqwest::Client,
    waits_for: Mutex<Option<(Matches, Then)>>,
    struck: Notify,
}

impl Gate {
    pub(crate) async fn open(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            upstream: upstream.to_owned(),
            http: spillway_meta::http::client().no_proxy().build().unwrap(),
            waits_for: Mutex::new(None),
            struck: Notify::new(),
        });
        let app = Router::new().fallback(pass).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, inner }
    }

    /// The next request that matches meets this, and no other.
    pub(crate) fn wait_for(&self, matches: Matches, then: Then) {
        *self.inner.waits_for.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((matches, then));
    }

    /// Resolves when it has.
    pub(crate) async fn struck(&self) {
        self.inner.struck.notified().await;
    }
}

async fn pass(State(gate): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.split('.').next_back()).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let struck = {
        let mut waits_for = gate.waits_for.lock().unwrap_or_else(PoisonError::into_inner);
        waits_for.take_if(|(matches, _)| matches(operation, &asked)).map(|(_, then)| then)
    };
    if struck.is_some() {
        gate.struck.notify_one();
    }
    match struck {
        Some(Then::Stop) => pending().await,
        Some(Then::Refuse(answer)) => (StatusCode::BAD_REQUEST, answer.to_string()).into_response(),
        Some(Then::StopAfter) => {
            forward(&gate, headers, body).await;
            pending().await
        }
        Some(Then::Repeat) => {
            forward(&gate, headers.clone(), body.clone()).await;
            forward(&gate, headers, body).await
        }
        None => forward(&gate, headers, body).await,
    }
}

async fn forward(gate: &Inner, mut headers: HeaderMap, body: Bytes) -> Response {
    headers.remove("host");
    let answer = gate.http.post(&gate.upstream).headers(headers).body(body).send().await;
    let Ok(answer) = answer else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove("transfer-encoding");
    match answer.bytes().await {
        Ok(body) => (status, headers, body).into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
