//! One cold start: a process, before a Runtime API that has one event for it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::aws::{CONSOLE_SECRET, LINK_SECRET};
use crate::function::Function;

/// What it took, from the start of the process.
pub(crate) struct Start {
    pub(crate) first_poll: Duration,
    pub(crate) first_answer: Duration,
    /// The most that was resident until then.
    pub(crate) memory_bytes: u64,
}

/// What the function told the Runtime API, and when.
enum Told {
    Polled(Instant),
    Answered(Instant),
    Failed(String),
}

struct Api {
    event: Value,
    told: mpsc::UnboundedSender<Told>,
}

/// The longest that a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ended with the measurement, also one that failed.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `binary` with AWS at `aws`, and gives it one event.
pub(crate) async fn cold(function: Function, binary: &Path, aws: &str) -> Result<Start> {
    let (told, mut tells) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let app = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/1/response", post(answered))
        .fallback(failed)
        .with_state(Arc::new(Api { event: function.first_event(), told }));
    let api = tokio::spawn(async move { axum::serve(listener, app).await });

    let started = now();
    let process = Process(
        Command::new(binary)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", function.resource()),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "group"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "local"),
                ("AWS_SECRET_ACCESS_KEY", "local"),
                ("AWS_ENDPOINT_URL", aws),
                ("SPILLWAY_SENDS_TABLE", "sends"),
                ("SPILLWAY_STATE_TABLE", "state"),
                ("SPILLWAY_SEND_QUEUE_URL", &format!("{aws}/1/send")),
                ("SPILLWAY_DEAD_LETTER_QUEUE_URL", &format!("{aws}/1/dead-letters")),
                ("SPILLWAY_RELEASE_QUEUE_URL", &format!("{aws}/1/release")),
                ("SPILLWAY_SECRET_ID", "secret"),
                ("SPILLWAY_LINK_SECRET_ID", LINK_SECRET),
                ("SPILLWAY_CONSOLE_SECRET_ID", CONSOLE_SECRET),
                ("SPILLWAY_CONSOLE_ISSUER", "https://login.example.com"),
                ("SPILLWAY_CONSOLE_CLIENT_ID", "console"),
                ("SPILLWAY_CONSOLE_ALLOWED", "ana@example.com"),
                ("SPILLWAY_KMS_KEY", "key"),
                ("SPILLWAY_STACK", "cold-start"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?,
    );
    let mut next_told = async || {
        let told = tokio::time::timeout(PATIENCE, tells.recv()).await;
        told.ok().flatten().with_context(|| format!("{} said nothing for 30 s", function.name()))
    };
    let first_poll = match next_told().await? {
        Told::Polled(at) => at.duration_since(started),
        Told::Answered(_) => bail!("{} answered before it was asked", function.name()),
        Told::Failed(why) => bail!("{} failed: {why}", function.name()),
    };
    let first_answer = match next_told().await? {
        Told::Answered(at) => at.duration_since(started),
        Told::Polled(_) => bail!("{} asked again without an answer", function.name()),
        Told::Failed(why) => bail!("{} failed: {why}", function.name()),
    };
    let memory_bytes = resident(process.0.id())?;
    api.abort();
    Ok(Start { first_poll, first_answer, memory_bytes })
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn now() -> Instant {
    Instant::now()
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    if api.told.send(Told::Polled(now())).is_err() {
        return StatusCode::GONE.into_response();
    }
    let headers = [
        ("lambda-runtime-aws-request-id", "1"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", "arn"),
    ];
    (headers, api.event.to_string()).into_response()
}

async fn answered(State(api): State<Arc<Api>>) -> StatusCode {
    // Nobody listens any more once there was an answer.
    let _ = api.told.send(Told::Answered(now()));
    StatusCode::ACCEPTED
}

async fn failed(State(api): State<Arc<Api>>, body: String) -> StatusCode {
    let _ = api.told.send(Told::Failed(body));
    StatusCode::ACCEPTED
}

/// The most that a process had resident.
fn resident(id: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))
        .context("cannot read the process's memory: this needs Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.context("/proc has no VmHWM")? * 1024)
}
