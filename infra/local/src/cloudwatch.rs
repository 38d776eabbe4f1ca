//! What CloudWatch would know: of the functions from Lambda itself, for tests of the template's alarms,
//! and of deliveries from the lines of metrics, for operators.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use spillway_core::time::Timestamp;
use spillway_service::admin::reception::{COUNTED, CountedMinute, Counts, METRICS};
use spillway_service::metrics::{Kind, Metric};
use spillway_service::port::StoreError;

use crate::aws_json::{Refusal, Service, parse};
use crate::fault_injector::Function;

/// A metric of the namespace `AWS/Lambda`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LambdaMetric {
    /// Invocations, also those that failed.
    Invocations,
    /// Invocations that failed: killed, out of time, or ended with an error.
    Errors,
    /// Answers of the function URL with 5xx.
    Url5xxCount,
    /// Invocations refused as a recursive loop.
    RecursiveInvocationsDropped,
}

/// One more of a function's metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// When.
    pub at: Timestamp,
    /// The function.
    pub function: Function,
    /// The metric.
    pub metric: LambdaMetric,
}

/// Everything that was observed so far.
#[derive(Debug, Default)]
pub struct LambdaMetrics(Mutex<Vec<Observed>>);

impl LambdaMetrics {
    /// Everything that was observed so far, in order.
    pub fn observed(&self) -> Vec<Observed> {
        self.lock().clone()
    }

    pub(crate) fn add(&self, at: Timestamp, function: Function, metric: LambdaMetric) {
        self.lock().push(Observed { at, function, metric });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Observed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the lines of metrics have counted of deliveries, by the minute, as far back as anybody looks.
#[derive(Debug, Default)]
pub struct DeliveryMetrics(Mutex<BTreeMap<(u64, Metric), u64>>);

impl DeliveryMetrics {
    /// Takes a line of the embedded metric format.
    pub(crate) fn take(&self, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let Some(at) = line["_aws"]["Timestamp"].as_u64() else { return };
        let minute = at / 60_000;
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for metric in METRICS {
            if let Some(value) = line[metric.definition().name].as_u64() {
                let known = counted.entry((minute, metric)).or_default();
                *known = match metric.definition().kind {
                    Kind::Sum => *known + value,
                    Kind::Highest | Kind::Lowest | Kind::Each => (*known).max(value),
                };
            }
        }
        let oldest = minute.saturating_sub(COUNTED.as_secs() / 60 + 1);
        *counted = counted.split_off(&(oldest, METRICS[0]));
    }

    fn between(&self, since: Timestamp, until: Timestamp) -> Vec<CountedMinute> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = |(&(minute, metric), &value): (&(u64, Metric), &u64)| {
            let at = Timestamp::EPOCH + Duration::from_secs(60 * minute);
            CountedMinute { metric, at, value }
        };
        counted
            .iter()
            .map(minute)
            .filter(|counted| since <= counted.at && counted.at < until)
            .collect()
    }
}

#[async_trait]
impl Counts for DeliveryMetrics {
    async fn by_minute(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<CountedMinute>, StoreError> {
        Ok(self.between(since, until))
    }
}

/// CloudWatch as far as operators ask for it.
pub struct CloudWatch(pub Arc<DeliveryMetrics>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    start_time: u64,
    end_time: u64,
    metric_data_queries: Vec<Query>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Query {
    id: String,
}

impl Service for CloudWatch {
    fn call(&self, target: &str, body: &[u8]) -> Result<Value, Refusal> {
        if target != "GraniteServiceVersion20100801.GetMetricData" {
            return Err(Refusal::unknown(target));
        }
        let Request { start_time, end_time, metric_data_queries } = parse(body)?;
        let [since, until] = [start_time, end_time].map(Timestamp::from_secs);
        let counted = self.0.between(since, until);
        let series = |Query { id }: Query| {
            let is_its =
                |minute: &&CountedMinute| minute.metric.definition().name.eq_ignore_ascii_case(&id);
            let (at, values): (Vec<u64>, Vec<u64>) = counted
                .iter()
                .filter(is_its)
                .map(|minute| (minute.at.as_millis() / 1000, minute.value))
                .unzip();
            json!({ "Id": id, "Timestamps": at, "Values": values, "StatusCode": "Complete" })
        };
        let results: Vec<Value> = metric_data_queries.into_iter().map(series).collect();
        Ok(json!({ "MetricDataResults": results }))
    }
}
