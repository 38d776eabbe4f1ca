//! The Lambda service around a built function: its process, and the Runtime API that it asks for
//! events and gives its answers to.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use spillway_service::clock::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// A function: a process that is started when it is needed, and stays.
pub(crate) struct Function {
    name: &'static str,
    binary: PathBuf,
    variables: Vec<(&'static str, String)>,
    process: Option<Process>,
    started: u32,
}

struct Process {
    child: Child,
    events: mpsc::Sender<Event>,
}

struct Event {
    payload: Value,
    timeout: Duration,
    answer: oneshot::Sender<Result<Value, Value>>,
}

/// The Runtime API of one process.
struct Api {
    name: &'static str,
    events: tokio::sync::Mutex<mpsc::Receiver<Event>>,
    /// By request id.
    asked: Mutex<HashMap<String, oneshot::Sender<Result<Value, Value>>>>,
}

impl Function {
    pub(crate) fn new(
        name: &'static str,
        binary: PathBuf,
        variables: &[(&'static str, String)],
    ) -> Self {
        assert!(binary.is_file(), "{} is not there: run sam build", binary.display());
        Self { name, binary, variables: variables.to_vec(), process: None, started: 0 }
    }

    /// The answer to an event, in which the function may use `timeout`.
    pub(crate) async fn invoke(&mut self, payload: Value, timeout: Duration) -> Value {
        let answer = self.begin(payload, timeout).await;
        match tokio::time::timeout(timeout + Duration::from_secs(20), answer).await {
            Ok(Ok(Ok(answer))) => answer,
            other => panic!("{} failed, see {}: {other:?}", self.name, self.log().display()),
        }
    }

    /// Hands an event over; the answer comes by itself, if the process lives.
    pub(crate) async fn begin(
        &mut self,
        payload: Value,
        timeout: Duration,
    ) -> oneshot::Receiver<Result<Value, Value>> {
        if self.process.is_none() {
            self.started += 1;
            self.process = Some(self.start().await);
        }
        let (answer, answered) = oneshot::channel();
        let process = self.process.as_ref().unwrap();
        process.events.send(Event { payload, timeout, answer }).await.unwrap();
        answered
    }

    /// SIGKILL. The next event meets a new process.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("nothing runs");
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }

    fn log(&self) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{}.log", self.name, self.started))
    }

    async fn start(&self) -> Process {
        let (events, waiting) = mpsc::channel(1);
        let api = Arc::new(Api {
            name: self.name,
            events: tokio::sync::Mutex::new(waiting),
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let runtime = Router::new()
            .route("/invocation/next", get(next))
            .route("/invocation/{id}/response", post(response))
            .route("/invocation/{id}/error", post(error))
            .with_state(api);
        let app = Router::new().nest("/2018-06-01/runtime", runtime);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let log = File::create(self.log()).unwrap();
        let child = Command::new(&self.binary)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", self.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "none")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "none")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Process { child, events }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    let event = api.events.lock().await.recv().await;
    let Some(Event { payload, timeout, answer }) = event else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let now = SystemClock::new().now();
    let (id, deadline) = (format!("{:x}", now.as_millis()), now + timeout);
    api.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), answer);
    let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{}", api.name);
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", arn),
    ];
    (headers, Json(payload)).into_response()
}

impl Api {
    fn answered(&self, id: &str, answer: Result<Value, Value>) -> StatusCode {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        match asked.map(|asked| asked.send(answer)) {
            Some(Ok(())) => StatusCode::ACCEPTED,
            Some(Err(_)) | None => StatusCode::BAD_REQUEST,
        }
    }
}

async fn response(
    State(api): State<Arc<Api>>,
    UrlPath(id): UrlPath<String>,
    answer: Bytes,
) -> StatusCode {
    api.answered(&id, Ok(serde_json::from_slice(&answer).unwrap()))
}

async fn error(
    State(api): State<Arc<Api>>,
    UrlPath(id): UrlPath<String>,
    error: Bytes,
) -> StatusCode {
    api.answered(&id, Err(serde_json::from_slice(&error).unwrap()))
}
