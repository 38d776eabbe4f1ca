//! What CloudWatch has counted, for operators.
//!
//! One operation is called, as `application/x-amz-json-1.0`, and signed by `aws-sigv4`, which the SDK's
//! clients contain anyway. The SDK's client of CloudWatch would be one more to compile, with all that
//! CloudWatch does, for one operation.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use serde::Deserialize;
use serde_json::{Value, json};
use spillway_core::time::Timestamp;
use spillway_service::admin::reception::{CountedMinute, Counts, METRICS};
use spillway_service::clock::Clock;
use spillway_service::metrics::{Kind, Metric};
use spillway_service::port::{Failure, FailureKind, StoreError};

use crate::emf::{NAMESPACE, STACK};

const READ: &str = "read the metrics";

/// The operation, as a header names it.
const TARGET: &str = "GraniteServiceVersion20100801.GetMetricData";
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// How long an answer is waited for: a page shows the rest without it.
const TIMEOUT: Duration = Duration::from_secs(3);

/// CloudWatch.
pub struct CloudWatch {
    http: reqwest::Client,
    url: String,
    region: String,
    credentials: SharedCredentialsProvider,
    stack: String,
    clock: Arc<dyn Clock>,
}

impl CloudWatch {
    /// Reads the metrics of the deployment `stack`, at `url` or where AWS has CloudWatch. Returns `None`
    /// without a region or credentials.
    pub fn new(
        aws: &SdkConfig,
        url: Option<&str>,
        stack: &str,
        clock: Arc<dyn Clock>,
    ) -> Option<Self> {
        let region = aws.region()?.to_string();
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let of_aws = || format!("https://monitoring.{region}.{domain}/");
        Some(Self {
            http: spillway_meta::http::client().timeout(TIMEOUT).build().ok()?,
            url: url.map_or_else(of_aws, str::to_owned),
            credentials: aws.credentials_provider()?,
            stack: stack.to_owned(),
            region,
            clock,
        })
    }

    /// Asks, and returns the body of the answer.
    async fn ask(&self, body: String) -> Result<String, StoreError> {
        let credentials = self.credentials.provide_credentials().await.map_err(|error| {
            let said = error.to_string();
            failed(Failure { kind: FailureKind::Credentials, said, source: Some(error.into()) })
        })?;
        let headers = self.headers(&Identity::from(credentials), &body);
        let headers = headers.map_err(|error| StoreError::unavailable(READ, error.to_string()))?;
        let mut request = self.http.post(&self.url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        if status.is_success() { Ok(text) } else { Err(refused(status.as_u16(), &text)) }
    }

    /// The headers of a request with this body, its signature among them.
    fn headers(
        &self,
        identity: &Identity,
        body: &str,
    ) -> Result<Vec<(String, String)>, Box<dyn Error>> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.now().as_millis());
        let params = v4::SigningParams::builder()
            .identity(identity)
            .region(&self.region)
            .name("monitoring")
            .time(now)
            .settings(SigningSettings::default())
            .build()?;
        let plain = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
        let signable = SignableBody::Bytes(body.as_bytes());
        let request = SignableRequest::new("POST", &self.url, plain.into_iter(), signable)?;
        let (signature, _) = sign(request, &params.into())?.into_parts();
        let all = plain.into_iter().chain(signature.headers());
        Ok(all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

fn failed(source: Failure) -> StoreError {
    StoreError::Unavailable { what: READ, source }
}

fn unreachable(error: reqwest::Error) -> StoreError {
    let said = "CloudWatch does not answer".to_owned();
    failed(Failure { kind: FailureKind::Unreachable, said, source: Some(error.into()) })
}

fn refused(status: u16, body: &str) -> StoreError {
    let told: Value = serde_json::from_str(body).unwrap_or_default();
    let code = told["__type"].as_str().unwrap_or("an unknown error");
    let code = code.rsplit('#').next().unwrap_or(code);
    let said = format!("CloudWatch refuses with {status}, {code}");
    let kind =
        if code.starts_with("AccessDenied") { FailureKind::Forbidden } else { FailureKind::Other };
    failed(Failure { kind, said, source: None })
}

#[async_trait]
impl Counts for CloudWatch {
    async fn by_minute(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<CountedMinute>, StoreError> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let body = request(&self.stack, since, until, next.as_deref()).to_string();
            let answer: Answer = serde_json::from_str(&self.ask(body).await?)
                .map_err(|error| StoreError::unavailable(READ, error.to_string()))?;
            found.extend(answer.results.iter().flat_map(Series::minutes));
            next = answer.next;
            if next.is_none() {
                return Ok(found);
            }
        }
    }
}

/// What is asked for: a series for each metric, by the minute.
fn request(stack: &str, since: Timestamp, until: Timestamp, next: Option<&str>) -> Value {
    let query = |metric: Metric| {
        let name = metric.definition().name;
        let id = name.to_ascii_lowercase();
        let stat = match metric.definition().kind {
            Kind::Sum => "Sum",
            Kind::Highest | Kind::Lowest | Kind::Each => "Maximum",
        };
        match metric.definition().dimension {
            None => {
                let stack = json!({ "Name": STACK, "Value": stack });
                let metric =
                    json!({ "Namespace": NAMESPACE, "MetricName": name, "Dimensions": [stack] });
                json!({ "Id": id, "MetricStat": { "Metric": metric, "Period": 60, "Stat": stat } })
            }
            Some(label) => {
                let of = format!("{NAMESPACE},{STACK},{label}");
                let found = format!("{{{of}}} MetricName=\"{name}\" {STACK}=\"{stack}\"");
                json!({ "Id": id, "Expression": format!("SUM(SEARCH('{found}', 'Sum', 60))") })
            }
        }
    };
    let mut request = json!({
        "MetricDataQueries": METRICS.map(query),
        "StartTime": since.as_millis() / 1000,
        "EndTime": until.as_millis() / 1000,
    });
    if let Some(next) = next {
        request["NextToken"] = next.into();
    }
    request
}

/// An answer, or a page of it.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "MetricDataResults", default)]
    results: Vec<Series>,
    #[serde(rename = "NextToken")]
    next: Option<String>,
}

/// A metric's values, each with its minute in seconds since 1970.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    id: String,
    #[serde(default)]
    timestamps: Vec<f64>,
    #[serde(default)]
    values: Vec<f64>,
}

impl Series {
    fn minutes(&self) -> Vec<CountedMinute> {
        let is_it = |metric: &Metric| metric.definition().name.eq_ignore_ascii_case(&self.id);
        let Some(metric) = METRICS.into_iter().find(is_it) else { return Vec::new() };
        let pairs = self.timestamps.iter().zip(&self.values);
        let minute = |(&at, &value): (&f64, &f64)| CountedMinute {
            metric,
            at: Timestamp::from_secs(at as u64),
            value: value as u64,
        };
        pairs.map(minute).collect()
    }
}

#[cfg(test)]
mod tests {
    use aws_config::Region;
    use aws_credential_types::Credentials;

    use super::*;

    #[test]
    fn each_metric_is_asked_for_by_the_minute_and_read() {
        let (since, until) =
            (Timestamp::from_secs(1_790_000_000), Timestamp::from_secs(1_790_010_800));
        let asked = request("prod", since, until, Some("more"));
        assert_eq!(
            (&asked["StartTime"], &asked["NextToken"]),
            (&1_790_000_000.into(), &"more".into())
        );
        let queries = &asked["MetricDataQueries"];
        let metric = &queries[0]["MetricStat"]["Metric"];
        assert_eq!(
            (&metric["MetricName"], &queries[0]["Id"]),
            (&"Deliveries".into(), &"deliveries".into())
        );
        assert_eq!(metric["Dimensions"], json!([{ "Name": "Stack", "Value": "prod" }]));
        assert_eq!(
            queries[2]["Expression"],
            "SUM(SEARCH('{Spillway,Stack,Signature} MetricName=\"SignatureFailures\" Stack=\"prod\"', 'Sum', 60))"
        );
        assert_eq!(queries[1]["MetricStat"]["Stat"], "Maximum", "of lags");
        let answer = json!({ "MetricDataResults": [
            { "Id": "duplicates", "Label": "x", "Timestamps": [1.79e9, 1_790_000_060], "Values": [2.0, 1] },
            { "Id": "signaturefailures", "StatusCode": "Complete" },
        ] });
        let answer: Answer = serde_json::from_value(answer).unwrap();
        let minutes: Vec<_> = answer.results.iter().flat_map(Series::minutes).collect();
        let counted = |at, value| CountedMinute { metric: Metric::Duplicates, at, value };
        assert_eq!(minutes, [counted(since, 2), counted(Timestamp::from_secs(1_790_000_060), 1)]);
    }

    /// The clock of a test.
    struct At(Timestamp);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn a_request_is_signed_as_botocore_signs_it() {
        let credentials =
            Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI", Some("token".into()), None, "test");
        let aws = SdkConfig::builder()
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
            .build();
        let clock = Arc::new(At(Timestamp::from_secs(1_790_000_000)));
        let cloudwatch = CloudWatch::new(&aws, None, "prod", clock).unwrap();
        let headers = cloudwatch.headers(&Identity::from(credentials), "{}").unwrap();
        let of = |name: &str| headers.iter().find(|(known, _)| known == name).unwrap().1.as_str();
        assert_eq!(
            of("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260921/eu-central-1/monitoring/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
             Signature=9a7ffdfa2b7c2f50fb64b19d98e61ecc004d6109610a7e0463c215181ed757f7"
        );
        assert_eq!((of("x-amz-date"), of("x-amz-security-token")), ("20260921T141320Z", "token"));
    }

    #[test]
    fn a_refusal_is_told_by_its_code() {
        let body = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","message":"arn of somebody"}"#;
        let StoreError::Unavailable { source, .. } = refused(400, body) else { panic!() };
        assert_eq!(source.said, "CloudWatch refuses with 400, AccessDeniedException");
        assert!(matches!(source.kind, FailureKind::Forbidden));
    }
}
