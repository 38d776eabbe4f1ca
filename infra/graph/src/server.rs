//! The simulated Graph API over HTTP, with paths of its own for ordering faults, reading the log
//! and logging in: `/_calls`, `/_judge`, `/_messages`, `/_echoes`, `/_faults` and `/_logins`.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue};
use axum::http::{StatusCode, request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_judge::{CallRecord, Report};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answer::Reply;
use super::faults::{Fault, FaultError, Standing, kinds};
use super::messages::SentMessage;
use super::request::Call;
use super::sim::GraphSim;

/// More than any send needs.
const BODY_BYTES_MAX: usize = 1 << 20;
/// The last second of the year 9999, where HTTP's dates end.
const LAST_DATE_SECS: u64 = 253_402_300_799;

/// Serves the API until `shutdown` is ready; connections still open then are closed.
pub fn serve(
    sim: GraphSim,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> BoxFuture<'static, io::Result<()>> {
    // Boxed, so that no caller compiles the server again.
    run(sim, listener, shutdown.boxed()).boxed()
}

async fn run(
    sim: GraphSim,
    listener: TcpListener,
    mut shutdown: BoxFuture<'static, ()>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                connections.spawn(connection(sim.clone(), stream));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The caller is to see the connection close. As an error of the service it makes hyper drop the
/// connection without writing anything; no answer of axum's could do that.
#[derive(Clone, Copy, Debug, Error)]
#[error("the answer is withheld on purpose")]
struct Withheld;

async fn connection(sim: GraphSim, stream: TcpStream) {
    let routes = TowerToHyperService::new(router(sim.clone()));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let response = routes.call(request);
        let sim = sim.clone();
        async move {
            let Ok(mut response) = response.await;
            if response.extensions().get::<Withheld>().is_some() {
                return Err(Withheld);
            }
            // From the clock given, and as late as possible: callers judge their clock by it.
            response.headers_mut().insert(DATE, date(sim.now()));
            Ok(response)
        }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    {
        tracing::debug!(%error, "connection ended");
    }
}

fn router(sim: GraphSim) -> Router {
    Router::new()
        .route("/_calls", get(calls))
        .route("/_judge", get(judge))
        .route("/_messages", get(messages))
        .route("/_echoes", post(echo_after))
        .route("/_faults", get(list_faults).post(order_faults).delete(clear_faults))
        .route("/_logins", post(log_in))
        .fallback(graph)
        .with_state(sim)
}

async fn calls(State(sim): State<GraphSim>) -> Json<Vec<CallRecord>> {
    Json(sim.calls())
}

async fn judge(State(sim): State<GraphSim>) -> Json<Report> {
    Json(sim.report())
}

async fn messages(State(sim): State<GraphSim>) -> Json<Vec<SentMessage>> {
    Json(sim.messages())
}

/// Takes the milliseconds after which the echoes of each message come: `[]`, `[500]`, `[0, 60000]`.
async fn echo_after(State(sim): State<GraphSim>, Json(after): Json<Vec<u64>>) -> StatusCode {
    sim.echo_after(after.into_iter().map(Duration::from_millis).collect());
    StatusCode::NO_CONTENT
}

async fn list_faults(State(sim): State<GraphSim>) -> Json<Vec<Standing>> {
    Json(sim.faults())
}

async fn clear_faults(State(sim): State<GraphSim>) -> Json<Vec<Standing>> {
    sim.clear_faults();
    Json(sim.faults())
}

/// Takes one fault or an array of them, all or none, and lists what stands then.
async fn order_faults(State(sim): State<GraphSim>, body: Bytes) -> Response {
    let parsed = serde_json::from_slice(&body)
        .map_err(|error| FaultError::Invalid(error.to_string()))
        .and_then(read_faults);
    match parsed {
        Ok(faults) => {
            faults.into_iter().for_each(|fault| sim.order_fault(fault));
            Json(sim.faults()).into_response()
        }
        Err(error) => {
            let kinds: Vec<&str> = kinds().collect();
            let answer = json!({ "error": error.to_string(), "kinds": kinds });
            (StatusCode::BAD_REQUEST, Json(answer)).into_response()
        }
    }
}

/// Lets the owner of the account that the body names log in, as in a browser.
async fn log_in(State(sim): State<GraphSim>, account: String) -> Response {
    let account = account.trim();
    let is_id = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
    match is_id.then(|| sim.log_in(&AccountId::new(account))).flatten() {
        Some((app_id, code)) => Json(json!({ "app_id": app_id, "code": code })).into_response(),
        None => {
            let answer = json!({ "error": "the body must be an account's id" });
            (StatusCode::BAD_REQUEST, Json(answer)).into_response()
        }
    }
}

fn read_faults(json: Value) -> Result<Vec<Fault>, FaultError> {
    match json {
        Value::Array(faults) => faults.into_iter().map(Fault::try_from).collect(),
        fault => Ok(vec![Fault::try_from(fault)?]),
    }
}

/// Everything that is not the simulator's own is a call of the API, and judged.
async fn graph(State(sim): State<GraphSim>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // A body that is too long or breaks off is judged as a call with an unreadable one.
    let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let answer = sim.answer(&call(&parts, &body));
    if !answer.after.is_zero() {
        // Hyper drops this future when the caller leaves: then the answer stays undelivered.
        tokio::time::sleep(answer.after).await;
        sim.delivered(&answer);
    }
    response(answer.reply)
}

fn call<'wire>(parts: &'wire request::Parts, body: &'wire [u8]) -> Call<'wire> {
    Call {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        authorization: parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()),
        body,
    }
}

fn response(reply: Reply) -> Response {
    let Reply::Http { status, headers, body } = reply else {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(Withheld);
        return response;
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = headers.into_iter().filter_map(|(name, value)| {
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        Some((HeaderName::from_static(name), value))
    });
    response.headers_mut().extend(headers.collect::<HeaderMap>());
    response
}

fn date(now: Timestamp) -> HeaderValue {
    let since_1970 = Duration::from_secs(now.as_secs().min(LAST_DATE_SECS));
    let text = httpdate::fmt_http_date(UNIX_EPOCH + since_1970);
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}
