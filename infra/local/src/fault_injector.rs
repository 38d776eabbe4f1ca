//! A fault injector between the AWS SDK and the embedded services: counts what AWS would bill,
//! notes which function asks for what, slows down, refuses, and can stop a function dead at any
//! request.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::Value;
use spillway_core::seed::seed;
use tokio::sync::Notify;

use crate::lineage::Lineage;

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

/// A service of AWS's that may be out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// DynamoDB.
    DynamoDb,
    /// SQS.
    Sqs,
}

impl Service {
    /// The service that a request is for, by the operation that it names.
    fn of(request: &HttpRequest) -> Option<Self> {
        match request.headers().get("x-amz-target")?.split('.').next()? {
            "DynamoDB_20120810" => Some(Self::DynamoDb),
            "AmazonSQS" => Some(Self::Sqs),
            _ => None,
        }
    }
}

/// How a service is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It refuses every request, and none of them takes effect.
    Whole,
    /// It refuses one request in ten, and half of those take effect all the same. Which ones
    /// follows from the seed, what is asked, and how often it was asked.
    Patchy {
        /// What it is drawn from.
        seed: u64,
    },
}

/// What an outage does to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    BeforeEffect,
    AfterEffect,
}

/// The services that are out, and what that came to.
#[derive(Debug, Default)]
struct Outages {
    out: BTreeMap<Service, Outage>,
    refused: BTreeMap<Service, u64>,
    /// How often each request was made in a patchy outage, by what it asks.
    asked: BTreeMap<u64, u64>,
}

impl Outages {
    /// What becomes of a request to a service; each refusal is counted.
    fn strike(&mut self, service: Service, body: &[u8]) -> Option<Refusal> {
        let refusal = match self.out.get(&service)? {
            Outage::Whole => Some(Refusal::BeforeEffect),
            Outage::Patchy { seed: of_run } => {
                let asks = asks(body);
                let times = self.asked.entry(asks).or_default();
                *times += 1;
                let draw = seed(&["patchy", &of_run.to_string(), &format!("{asks} {times}")]);
                match draw % 20 {
                    0 => Some(Refusal::BeforeEffect),
                    1 => Some(Refusal::AfterEffect),
                    _ => None,
                }
            }
        };
        *self.refused.entry(service).or_default() += u64::from(refusal.is_some());
        refusal
    }
}

/// What a request asks, as a number. By this and not by its place it is drawn whether it is struck,
/// so that requests that race draw the same in any order. Bytes are left out, since sealed tokens
/// are not the same twice, and so are the SDK's own random names of transactions.
fn asks(body: &[u8]) -> u64 {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| name != "B" && name != "ClientRequestToken");
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    strip(&mut body);
    seed(&[&body.to_string()])
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
    /// `functions/link`.
    Link,
    /// `functions/console`.
    Console,
}

/// What a function asked of AWS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Who asked.
    pub function: Function,
    /// The service and what it was asked to do, as in `AmazonSQS.SendMessage`. What a transaction
    /// is made of is written here alone, as in `DynamoDB_20120810.PutItem`.
    pub target: String,
    /// The table's name or the queue's URL.
    pub resource: String,
    /// The partition of the state table that it is about, as IAM's `dynamodb:LeadingKeys` may name
    /// it: `waiting#*`. Empty for everything else.
    pub partition: String,
}

tokio::task_local! {
    static INVOCATION: (Function, Lineage);
}

/// Runs an invocation of `function`: what it asks of AWS is noted as the function's, and what it
/// enqueues continues `lineage`.
pub(crate) async fn run_as<T>(
    function: Function,
    lineage: Lineage,
    invocation: impl Future<Output = T>,
) -> T {
    INVOCATION.scope((function, lineage), invocation).await
}

/// Counts and notes requests, and kills.
#[derive(Clone, Debug, Default)]
pub struct FaultInjector(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: AtomicU64,
    write_units: Mutex<f64>,
    calls: Mutex<BTreeSet<Call>>,
    kill: Mutex<Option<(u64, KillPoint)>>,
    killed: Notify,
    latency_ms: AtomicU64,
    outages: Mutex<Outages>,
}

impl FaultInjector {
    /// The HTTP client for the SDK: plain HTTP, through this injector.
    pub fn client(&self) -> SharedHttpClient {
        let faults = self.clone();
        let plain = aws_smithy_http_client::Builder::new().build_http();
        http_client_fn(move |settings, components| {
            use aws_smithy_runtime_api::client::http::HttpClient;
            let inner = plain.http_connector(settings, components);
            SharedHttpConnector::new(Injecting { faults: faults.clone(), inner })
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

    /// The function that makes the `n`th request from now on (1 is the next) dies there.
    pub fn kill_at(&self, n: u64, point: KillPoint) {
        let at = self.counts().requests + n;
        *self.kill() = Some((at, point));
    }

    /// Every request from now on takes this much longer, in real time.
    pub fn slow_down(&self, latency: Duration) {
        let millis = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.0.latency_ms.store(millis, Ordering::Relaxed);
    }

    /// From now on the service is out.
    pub fn take_out(&self, service: Service, outage: Outage) {
        self.outages().out.insert(service, outage);
    }

    /// From now on the service answers again.
    pub fn bring_back(&self, service: Service) {
        self.outages().out.remove(&service);
    }

    /// Requests refused so far because this service was out.
    pub fn refused(&self, service: Service) -> u64 {
        self.outages().refused.get(&service).copied().unwrap_or_default()
    }

    fn outages(&self) -> std::sync::MutexGuard<'_, Outages> {
        self.0.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strike(&self, request: &HttpRequest) -> Option<Refusal> {
        let service = Service::of(request)?;
        self.outages().strike(service, request.body().bytes().unwrap_or_default())
    }

    /// Takes back a kill that has not struck.
    pub fn spare(&self) {
        *self.kill() = None;
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
struct Injecting {
    faults: FaultInjector,
    inner: SharedHttpConnector,
}

impl HttpConnector for Injecting {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let (faults, inner) = (self.faults.clone(), self.inner.clone());
        HttpConnectorFuture::new(async move {
            let number = faults.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
            faults.pass(number, KillPoint::Before).await;
            let latency_ms = faults.0.latency_ms.load(Ordering::Relaxed);
            if latency_ms > 0 {
                tokio::time::sleep(Duration::from_millis(latency_ms)).await;
            }
            let refusal = faults.strike(&request);
            if refusal == Some(Refusal::BeforeEffect) {
                return unavailable();
            }
            let asked = Asked::read(&request);
            if let (Some(asked), Ok((function, lineage))) = (&asked, INVOCATION.try_get()) {
                let mut calls = faults.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
                calls.extend(asked.calls(function));
                // On AWS the SDK takes the header from the function's environment.
                request.headers_mut().insert("x-amzn-trace-id", lineage.header());
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
                *faults.0.write_units.lock().unwrap_or_else(PoisonError::into_inner) += units;
            }
            *response.body_mut() = SdkBody::from(bytes);
            faults.pass(number, KillPoint::After).await;
            if refusal.is_some() { unavailable() } else { Ok(response) }
        })
    }
}

/// The answer of a service that is out.
fn unavailable() -> Result<HttpResponse, ConnectorError> {
    let status =
        503_u16.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
    let body = r#"{"__type":"ServiceUnavailable","message":"The service is unavailable"}"#;
    Ok(HttpResponse::new(status, SdkBody::from(body)))
}

/// The partition that a request is about: what is before the name of an account or of another
/// thing, and a star.
fn partition(request: &Value) -> String {
    let places = [&request["Key"]["pk"], &request["Item"]["pk"]];
    let query = &request["ExpressionAttributeValues"][":pk"];
    let key = places.into_iter().chain([query]).find_map(|key| key["S"].as_str());
    match key.unwrap_or_default().split_once('#') {
        Some(("app", _)) | None => key.unwrap_or_default().to_owned(),
        Some((kind, _)) => format!("{kind}#*"),
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
        let call = |target: String, resource: &str, about: &Value| Call {
            function,
            target,
            resource: resource.to_owned(),
            partition: partition(about),
        };
        if let Some(parts) = self.body["TransactItems"].as_array() {
            let service = self.target.split('.').next().unwrap_or_default();
            let parts = parts.iter().filter_map(Value::as_object).flatten();
            let part = |(kind, part): (&String, &Value)| {
                let operation = if kind == "ConditionCheck" { "" } else { "Item" };
                let table = part["TableName"].as_str().unwrap_or_default();
                call(format!("{service}.{kind}{operation}"), table, part)
            };
            return parts.map(part).collect();
        }
        if let Some(tables) = self.body["RequestItems"].as_object() {
            let tables = tables.iter();
            return tables.map(|(table, part)| call(self.target.clone(), table, part)).collect();
        }
        let resource = self.body["TableName"].as_str().or(self.body["QueueUrl"].as_str());
        vec![call(self.target.clone(), resource.unwrap_or_default(), &self.body)]
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
