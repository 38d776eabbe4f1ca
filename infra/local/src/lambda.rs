//! The Lambda service played by hand: a function URL in front of the webhook function, event source
//! mappings with partial batch responses, and the schedule. Events go through JSON, as in Lambda.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::BoxFuture;
use lambda_http::RequestExt;
use lambda_runtime::{Context as LambdaContext, LambdaEvent};
use serde_json::{Value, json};
use spillway_cloud::failure::failure;
use spillway_core::time::Timestamp;
use spillway_webhook::{DEAUTHORIZE_PATH, DELETION_PATH};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::cloudwatch::LambdaMetric;
use crate::comments::{self, COMMENTS_PATH};
use crate::fault_injector::{Function, run_as};
use crate::inbox::{self, INBOX_PATH};
use crate::lineage::Lineage;
use crate::messages::{self, MESSAGES_PATH};
use crate::people::{self, PEOPLE_PATH};
use crate::stack::{Pace, Stack, queues};

/// The path the webhook is served on. (A function URL serves every path.)
pub const WEBHOOK_PATH: &str = "/webhook";

/// The path of the report of what became of all comments.
pub const REPORT_PATH: &str = "/_report";

/// The longest event Lambda takes, in bytes of JSON.
const EVENT_BYTES_MAX: usize = 6 * 1024 * 1024;

/// The webhook function's timeout. These figures are those of template.yaml; a test compares them.
pub const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(15);
/// The sender's timeout.
pub const SENDER_TIMEOUT: Duration = Duration::from_secs(30);
/// The release function's timeout.
pub const RELEASE_TIMEOUT: Duration = Duration::from_secs(60);
/// The upkeep function's timeout.
pub const UPKEEP_TIMEOUT: Duration = Duration::from_secs(600);
/// The link function's timeout.
pub const LINK_TIMEOUT: Duration = Duration::from_secs(10);
/// The console function's timeout.
pub const CONSOLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages that the sender is given at a time.
pub const SENDER_BATCH: i32 = 10;
/// Messages that the release function is given at a time.
pub const RELEASE_BATCH: i32 = 1;

impl Function {
    /// After which the function is killed.
    pub const fn timeout(self) -> Duration {
        match self {
            Self::Webhook => WEBHOOK_TIMEOUT,
            Self::Sender => SENDER_TIMEOUT,
            Self::Release => RELEASE_TIMEOUT,
            Self::Upkeep => UPKEEP_TIMEOUT,
            Self::Link => LINK_TIMEOUT,
            Self::Console => CONSOLE_TIMEOUT,
        }
    }
}

/// A queue that feeds a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The send queue feeds the sender.
    Sends,
    /// The release queue feeds the release function.
    Releases,
}

impl Source {
    /// The queue's name.
    pub const fn queue(self) -> &'static str {
        match self {
            Self::Sends => queues::SEND,
            Self::Releases => queues::RELEASE,
        }
    }

    /// Messages that its function is given at a time.
    const fn batch(self) -> i32 {
        match self {
            Self::Sends => SENDER_BATCH,
            Self::Releases => RELEASE_BATCH,
        }
    }

    /// The function that it feeds.
    const fn function(self) -> Function {
        match self {
            Self::Sends => Function::Sender,
            Self::Releases => Function::Release,
        }
    }
}

/// What polling a queue came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing was there.
    Empty,
    /// The function worked on a batch.
    Ran,
    /// SQS did not answer.
    Unanswered,
    /// Lambda took the batch for a loop and did not invoke the function: the messages come again.
    Refused,
}

impl Stack {
    /// Serves the function URL on `listener` until the stack is dropped. `inspect` sees each body
    /// first. `GET /_report` answers with the report, `POST /_comments` posts a comment.
    pub async fn serve_function_url(
        self: Arc<Self>,
        listener: TcpListener,
        inspect: impl Fn(&Stack, &[u8]) + Clone + Send + Sync + 'static,
    ) -> Result<()> {
        let until = self.stopped();
        // The server must not keep the stack alive, or it would never stop.
        let stack = Arc::downgrade(&self);
        drop(self);
        let invoke = move |State(stack): State<std::sync::Weak<Self>>,
                           method: Method,
                           uri: Uri,
                           headers: HeaderMap,
                           body: Bytes| {
            let inspect = inspect.clone();
            async move {
                let Some(stack) = stack.upgrade() else {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                };
                inspect(&stack, &body);
                stack.invoke_webhook(&method, &uri, &headers, &body).await
            }
        };
        let report = |State(stack): State<std::sync::Weak<Self>>| async move {
            let Some(stack) = stack.upgrade() else {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            };
            match crate::report::Report::of(&stack).await {
                Ok(report) => axum::Json(report).into_response(),
                Err(error) => {
                    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response()
                }
            }
        };
        let app = Router::new()
            .route(REPORT_PATH, get(report))
            .route(COMMENTS_PATH, post(comments::post))
            .route(INBOX_PATH, post(inbox::post))
            .route(PEOPLE_PATH, post(people::post))
            .route(MESSAGES_PATH, get(messages::get))
            .route(WEBHOOK_PATH, any(invoke.clone()))
            .route(DELETION_PATH, any(invoke.clone()))
            .route(DEAUTHORIZE_PATH, any(invoke))
            .layer(axum::extract::DefaultBodyLimit::max(2 * EVENT_BYTES_MAX))
            .with_state(stack);
        axum::serve(listener, app).with_graceful_shutdown(until).await.context("function URL")
    }

    /// Serves tracked links until the stack is dropped.
    ///
    /// # Errors
    /// When they are served already, or the listener fails.
    pub async fn serve_links(self: Arc<Self>) -> Result<()> {
        let listener = self.links.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = listener.context("links are served already")?;
        let until = self.stopped();
        let stack = Arc::downgrade(&self);
        drop(self);
        let follow = |State(stack): State<std::sync::Weak<Self>>,
                      method: Method,
                      uri: Uri,
                      headers: HeaderMap| async move {
            match stack.upgrade() {
                Some(stack) => stack.invoke_link(&method, &uri, &headers).await,
                None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            }
        };
        let app = Router::new().fallback(follow).with_state(stack);
        axum::serve(listener, app).with_graceful_shutdown(until).await.context("links")
    }

    /// Invokes the link function with a request, as a function URL does.
    pub async fn invoke_link(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
        let functions = self.functions();
        let handle = |request| functions.link.handle(request);
        self.invoke_by_url(Function::Link, (method, uri, headers, &[]), handle).await
    }

    /// Invokes the webhook function with a request, as a function URL does.
    pub(crate) async fn invoke_webhook(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response {
        let functions = self.functions();
        let handle = |request| functions.webhook.handle(request);
        self.invoke_by_url(Function::Webhook, (method, uri, headers, body), handle).await
    }

    /// Has a function handle a request, as its URL does.
    pub(crate) async fn invoke_by_url<'f>(
        &self,
        function: Function,
        (method, uri, headers, body): (&Method, &Uri, &HeaderMap, &[u8]),
        handle: impl FnOnce(
            lambda_http::Request,
        ) -> BoxFuture<'f, lambda_http::Response<lambda_http::Body>>,
    ) -> Response {
        let event = function_url_event(method, uri, headers, body, self.clock.now()).to_string();
        if event.len() > EVENT_BYTES_MAX {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        }
        let request = match lambda_http::request::from_str(&event) {
            Ok(request) => request.with_lambda_context(self.context(function)),
            Err(error) => {
                warn!(%error, "the request is no event");
                return StatusCode::BAD_GATEWAY.into_response();
            }
        };
        let invocation = handle(request);
        let ended = self.until_killed(function, Lineage::default(), invocation);
        let Some(answer) = ended.await else {
            self.observe(function, LambdaMetric::Url5xxCount);
            return StatusCode::BAD_GATEWAY.into_response();
        };
        let (parts, body) = answer.into_parts();
        if parts.status.is_server_error() {
            self.observe(function, LambdaMetric::Url5xxCount);
        }
        let body: &[u8] = &body;
        (parts.status, parts.headers, body.to_vec()).into_response()
    }

    /// Takes a batch from a queue and gives it to its function; what the function does not name is
    /// deleted.
    ///
    /// # Errors
    /// When what came is no event.
    pub fn poll(&self, source: Source) -> BoxFuture<'_, Result<Polled>> {
        self.poll_for(source, source.batch())
    }

    /// As [`Self::poll`], for at most so many messages.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub fn poll_for(&self, source: Source, batch: i32) -> BoxFuture<'_, Result<Polled>> {
        Box::pin(async move {
            let url = match source {
                Source::Sends => &self.config.send_queue_url,
                Source::Releases => &self.config.release_queue_url,
            };
            let received = self
                .poller
                .receive_message()
                .queue_url(url)
                .max_number_of_messages(batch)
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .send()
                .await;
            let received = match received {
                Ok(received) => received,
                Err(error) => {
                    warn!(error = %failure(error), "no messages received");
                    return Ok(Polled::Unanswered);
                }
            };
            let messages = received.messages();
            if messages.is_empty() {
                return Ok(Polled::Empty);
            }
            let lineage = Lineage::of(messages);
            if self.loops.refuses(source.function(), &lineage) {
                warn!(queue = source.queue(), "a recursive loop: the function is not invoked");
                self.observe(source.function(), LambdaMetric::RecursiveInvocationsDropped);
                return Ok(Polled::Refused);
            }
            let event = sqs_event(messages, source.queue());
            let functions = self.functions();
            let failed = match source {
                Source::Sends => {
                    let payload: SqsEvent = serde_json::from_value(event).context("SQS event")?;
                    let event = LambdaEvent::new(payload, self.context(Function::Sender));
                    let invocation = functions.sender.handle(event);
                    let ended = self.until_killed(Function::Sender, lineage, invocation);
                    ended.await.map(failed_items)
                }
                Source::Releases => {
                    let event = LambdaEvent::new(event, self.context(Function::Release));
                    let invocation = functions.release.handle(event);
                    match self.until_killed(Function::Release, lineage, invocation).await {
                        Some(Ok(spillway_release::Answer::Batch(response))) => {
                            Some(failed_items(response))
                        }
                        Some(Ok(spillway_release::Answer::Dispatched { .. })) | None => None,
                        Some(Err(_)) => {
                            self.observe(Function::Release, LambdaMetric::Errors);
                            None
                        }
                    }
                }
            };
            // A function that died or failed as a whole has all its messages come back.
            if let Some(failed) = failed {
                self.delete(url, messages, &failed).await?;
            }
            Ok(Polled::Ran)
        })
    }

    /// Invokes the release function as the schedule does.
    pub fn tick(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let event =
                LambdaEvent::new(json!({ "dispatch": true }), self.context(Function::Release));
            let functions = self.functions();
            let invocation = functions.release.handle(event);
            let ended = self.until_killed(Function::Release, Lineage::default(), invocation);
            if let Some(Err(error)) = ended.await {
                self.observe(Function::Release, LambdaMetric::Errors);
                warn!(%error, "the schedule's invocation failed; the next one tries again");
            }
        })
    }

    /// Invokes the upkeep function as its schedule does.
    pub fn keep_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let event = LambdaEvent::new(json!({ "upkeep": true }), self.context(Function::Upkeep));
            let functions = self.functions();
            let invocation = functions.upkeep.handle(event);
            let ended = self.until_killed(Function::Upkeep, Lineage::default(), invocation);
            if let Some(Err(error)) = ended.await {
                self.observe(Function::Upkeep, LambdaMetric::Errors);
                warn!(%error, "upkeep's invocation failed; the next one tries again");
            }
        })
    }

    async fn delete(&self, url: &str, messages: &[Message], failed: &[String]) -> Result<()> {
        let done: Vec<_> = messages
            .iter()
            .filter(|message| !failed.iter().any(|id| Some(id.as_str()) == message.message_id()))
            .collect();
        if done.is_empty() {
            return Ok(());
        }
        let mut delete = self.poller.delete_message_batch().queue_url(url);
        for (at, message) in done.into_iter().enumerate() {
            delete = delete.entries(
                DeleteMessageBatchRequestEntry::builder()
                    .id(at.to_string())
                    .receipt_handle(message.receipt_handle().unwrap_or_default())
                    .build()?,
            );
        }
        if let Err(error) = delete.send().await {
            warn!(error = %failure(error), "not deleted: the messages come again");
        }
        Ok(())
    }

    /// Runs an invocation that the events of `lineage` led to, unless it is killed or its time is
    /// over; a new process takes its place then.
    async fn until_killed<T>(
        &self,
        function: Function,
        lineage: Lineage,
        invocation: impl Future<Output = T>,
    ) -> Option<T> {
        self.observe(function, LambdaMetric::Invocations);
        let invocation = run_as(function, lineage.and(function), invocation);
        let answer = tokio::select! {
            biased;
            () = self.faults.killed() => {
                info!("the function was killed");
                if let Err(error) = self.replace_process() {
                    warn!(%error, "no new process");
                }
                None
            }
            answer = self.in_time(function, self.busy.with(invocation)) => {
                if answer.is_none() {
                    info!(?function, "the function ran out of time");
                    if let Err(error) = self.replace_process() {
                        warn!(%error, "no new process");
                    }
                }
                answer
            }
        };
        if answer.is_none() {
            self.observe(function, LambdaMetric::Errors);
        }
        answer
    }

    fn observe(&self, function: Function, metric: LambdaMetric) {
        self.lambda_metrics.add(self.clock.now(), function, metric);
    }

    /// Runs an invocation until its time is over, by the stack's clock: `None` then.
    async fn in_time<T>(
        &self,
        function: Function,
        invocation: impl Future<Output = T>,
    ) -> Option<T> {
        let timeout = function.timeout();
        let deadline = self.clock.now() + timeout;
        let mut invocation = pin!(invocation);
        // A clock that is stepped moves only while somebody is polled.
        let work = poll_fn(|context| {
            if self.clock.now() < deadline {
                invocation.as_mut().poll(context).map(Some)
            } else {
                Poll::Ready(None)
            }
        });
        let over = async {
            match self.pace {
                Pace::Real => tokio::time::sleep(timeout).await,
                Pace::Stepped => pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = work => answer,
            () = over => None,
        }
    }

    fn context(&self, function: Function) -> LambdaContext {
        let mut context = LambdaContext::default();
        context.deadline = (self.clock.now() + function.timeout()).as_millis();
        context
    }
}

fn failed_items(response: SqsBatchResponse) -> Vec<String> {
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

/// The event of a function URL, payload format 2.0. The values of a repeated header are joined with
/// commas.
pub fn function_url_event(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Value {
    let joined = |name: &HeaderName| {
        let values = headers.get_all(name).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        values.collect::<Vec<String>>().join(",")
    };
    let headers: serde_json::Map<String, Value> =
        headers.keys().map(|name| (name.to_string(), joined(name).into())).collect();
    // What is not text comes in base64.
    let (body, base64) = match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (BASE64_STANDARD.encode(body), true),
    };
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": uri.path(),
        "rawQueryString": uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": "local.lambda-url",
            "domainPrefix": "local",
            "http": {
                "method": method.as_str(),
                "path": uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "local",
            },
            "requestId": "local",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": now.as_millis(),
        },
        "body": body,
        "isBase64Encoded": base64,
    })
}

/// The event of an SQS event source mapping.
pub fn sqs_event(messages: &[Message], queue: &str) -> Value {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            let attributes: serde_json::Map<String, Value> = message
                .attributes()
                .map(|attributes| {
                    attributes
                        .iter()
                        .map(|(name, value)| (name.as_str().to_owned(), value.clone().into()))
                        .collect()
                })
                .unwrap_or_default();
            json!({
                "messageId": message.message_id(),
                "receiptHandle": message.receipt_handle(),
                "body": message.body(),
                "attributes": attributes,
                "messageAttributes": {},
                "md5OfBody": message.md5_of_body(),
                "eventSource": "aws:sqs",
                "eventSourceARN": spillway_sqs::queue_arn(queue),
                "awsRegion": spillway_sqs::REGION,
            })
        })
        .collect();
    json!({ "Records": records })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_repeated_header_are_joined() {
        let mut headers = HeaderMap::new();
        for value in ["sha256=a", "sha256=b"] {
            headers.append("x-hub-signature-256", value.parse().unwrap());
        }
        let uri = Uri::from_static("/webhook");
        let event = function_url_event(&Method::POST, &uri, &headers, b"{}", Timestamp::EPOCH);
        assert_eq!(event["headers"], json!({ "x-hub-signature-256": "sha256=a,sha256=b" }));
    }
}
