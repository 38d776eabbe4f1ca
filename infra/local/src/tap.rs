//! A tap between the AWS SDK and the embedded services: counts what AWS would bill, notes which
//! function asks for what, slows down, and can stop a function dead at any request.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::Value;
use tokio::sync::Notify;

/// What went through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests to DynamoDB and SQS.
    pub requests: u64,
    /// DynamoDB write units, failed conditions included: AWS bills them too.
    pub write_units: f64,
}

/// On which side of a request's effect the function dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillPoint {
    /// The request never leaves.
    Before,
    /// The request takes effect, and nobody hears of it.
    After,
}

/// A function of the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    /// `functions/webhook`.
    Webhook,
    /// `functions/sender`.
    Sender,
    /// `functions/release`.
    Release,
    /// `functions/upkeep`.
    Upkeep,
}

/// What a function asked of AWS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Who asked.
    pub function: Function,
    /// The service and what it was asked to do, as in `AmazonSQS.SendMessage`. What a transaction is
    /// made of stands here by itself, as in `DynamoDB_20120810.PutItem`.
    pub target: String,
    /// The table's name or the queue's URL.
    pub resource: String,
}

tokio::task_local! {
    static FUNCTION: Function;
}

/// Runs an invocation of `function`: what it asks of AWS is noted as the function's.
pub(crate) async fn run_as<T>(function: Function, invocation: impl Future<Output = T>) -> T {
    FUNCTION.scope(function, invocation).await
}

/// Counts and notes requests, and kills.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: AtomicU64,
    write_units: Mutex<f64>,
    calls: Mutex<BTreeSet<Call>>,
    kill: Mutex<Option<(u64, KillPoint)>>,
    killed: Notify,
    latency_ms: AtomicU64,
}

impl Tap {
    /// The HTTP client for the SDK: plain HTTP, through this tap.
    pub fn client(&self) -> SharedHttpClient {
        let tap = self.clone();
        let plain = aws_smithy_http_client::Builder::new().build_http();
        http_client_fn(move |settings, components| {
            use aws_smithy_runtime_api::client::http::HttpClient;
            let inner = plain.http_connector(settings, components);
            SharedHttpConnector::new(Tapped { tap: tap.clone(), inner })
        })
    }

    /// What went through so far.
    pub fn counts(&self) -> Counts {
        Counts {
            requests: self.0.requests.load(Ordering::Relaxed),
            write_units: *self.0.write_units.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// What the functions asked for so far.
    pub fn calls(&self) -> BTreeSet<Call> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whoever makes the `n`th request from now on (1 is the next) dies there.
    pub fn kill_at(&self, n: u64, point: KillPoint) {
        let at = self.counts().requests + n;
        *self.kill() = Some((at, point));
    }

    /// Every request from now on takes this much longer, in real time.
    pub fn slow_down(&self, latency: Duration) {
        let millis = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.0.latency_ms.store(millis, Ordering::Relaxed);
    }

    /// Whether a kill was ordered and has not struck.
    pub fn is_armed(&self) -> bool {
        self.kill().is_some()
    }

    /// Resolves when somebody died.
    pub async fn killed(&self) {
        self.0.killed.notified().await;
    }

    fn kill(&self) -> std::sync::MutexGuard<'_, Option<(u64, KillPoint)>> {
        self.0.kill.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never returns if the kill is due here.
    async fn pass(&self, request: u64, point: KillPoint) {
        let strikes = self.kill().take_if(|&mut (at, when)| request >= at && when == point);
        if strikes.is_some() {
            self.0.killed.notify_one();
            pending::<()>().await;
        }
    }
}

#[derive(Debug)]
struct Tapped {
    tap: Tap,
    inner: SharedHttpConnector,
}

impl HttpConnector for Tapped {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (tap, inner) = (self.tap.clone(), self.inner.clone());
        HttpConnectorFuture::new(async move {
            let number = tap.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
            tap.pass(number, KillPoint::Before).await;
            let latency_ms = tap.0.latency_ms.load(Ordering::Relaxed);
            if latency_ms > 0 {
                tokio::time::sleep(Duration::from_millis(latency_ms)).await;
            }
            let asked = Asked::read(&request);
            if let (Some(asked), Ok(function)) = (&asked, FUNCTION.try_get()) {
                let mut calls = tap.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
                calls.extend(asked.calls(function));
            }
            let mut response = inner.call(request).await?;
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            let bytes = ByteStream::new(body)
                .collect()
                .await
                .map_err(|error| ConnectorError::io(error.into()))?
                .into_bytes();
            if let Some(asked) = asked {
                let units = asked.write_units(&bytes);
                *tap.0.write_units.lock().unwrap_or_else(PoisonError::into_inner) += units;
            }
            *response.body_mut() = SdkBody::from(bytes);
            tap.pass(number, KillPoint::After).await;
            Ok(response)
        })
    }
}

/// A request to one of the services.
struct Asked {
    target: String,
    body: Value,
}

impl Asked {
    /// Reads a request; `None` for what names no operation.
    fn read(request: &HttpRequest) -> Option<Self> {
        let target = request.headers().get("x-amz-target")?.to_owned();
        let body = request.body().bytes().and_then(|bytes| serde_json::from_slice(bytes).ok())?;
        Some(Self { target, body })
    }

    /// What it asks for, by operation and resource.
    fn calls(&self, function: Function) -> Vec<Call> {
        let call = |target: String, resource: &str| Call {
            function,
            target,
            resource: resource.to_owned(),
        };
        if let Some(parts) = self.body["TransactItems"].as_array() {
            let service = self.target.split('.').next().unwrap_or_default();
            let parts = parts.iter().filter_map(Value::as_object).flatten();
            let part = |(kind, part): (&String, &Value)| {
                let operation = if kind == "ConditionCheck" { "" } else { "Item" };
                let table = part["TableName"].as_str().unwrap_or_default();
                call(format!("{service}.{kind}{operation}"), table)
            };
            return parts.map(part).collect();
        }
        if let Some(tables) = self.body["RequestItems"].as_object() {
            return tables.keys().map(|table| call(self.target.clone(), table)).collect();
        }
        let resource = self.body["TableName"].as_str().or(self.body["QueueUrl"].as_str());
        vec![call(self.target.clone(), resource.unwrap_or_default())]
    }

    fn write_units(&self, answer: &[u8]) -> f64 {
        const WRITES: [&str; 5] =
            ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"];
        let operation = self.target.strip_prefix("DynamoDB_20120810.");
        if !operation.is_some_and(|operation| WRITES.contains(&operation)) {
            return 0.0;
        }
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let units = |consumed: &Value| consumed["CapacityUnits"].as_f64().unwrap_or_default();
        // Each item that a transaction writes costs two units even when it is cancelled.
        let transacted = self.body["TransactItems"].as_array().map_or(0, Vec::len);
        match &answer["ConsumedCapacity"] {
            Value::Array(tables) => tables.iter().map(units).sum(),
            consumed @ Value::Object(_) => units(consumed),
            // A condition that failed: the write is billed all the same.
            _ => (2 * transacted).max(1) as f64,
        }
    }
}
