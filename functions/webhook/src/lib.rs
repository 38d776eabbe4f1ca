//! The webhook function: Meta's GET handshake and POST deliveries, by function URL or HTTP API.

mod owner;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use lambda_http::http::{Method, StatusCode, header};
use lambda_http::{Body, Request, RequestExt, Response};
use spillway_cloud::emf::Metrics;
use spillway_cloud::secrets::{SecretStore, Secrets, SecretsError};
use spillway_cloud::wiring::Wiring;
use spillway_core::time::Timestamp;
use spillway_meta::signature::SignatureError;
use spillway_meta::webhook::handshake::{self, HandshakeError};
use spillway_meta::webhook::{PROBE, Skipped, parse};
use spillway_service::clock::Clock;
use spillway_service::ingest::Ingest;
use spillway_service::metrics::{Metric, name_of};
use spillway_service::owner::Owners;
use tracing::{error, warn};

use crate::owner::Lookups;
pub use crate::owner::{DEAUTHORIZE_PATH, DELETION_PATH};

/// The longest body taken, in bytes. Meta publishes no figure for Instagram (3 MB for WhatsApp);
/// Lambda's own limit for the whole event is 6 MB.
pub const BODY_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Without a deadline from Lambda the invocation is taken to last this long.
const DEADLINE_FALLBACK: Duration = Duration::from_secs(15);

const SIGNATURE: &str = "x-hub-signature-256";

/// Minimum time between two lines of metrics that hold nothing but refused signatures: anybody can
/// cause those, and each is paid for.
const REFUSALS_EVERY: Duration = Duration::from_secs(60);

/// The function's state, built once a process.
pub struct Webhook {
    ingest: Ingest,
    clock: Arc<dyn Clock>,
    owners: Owners,
    lookups: Lookups,
    secrets: SecretStore,
    metrics: Metrics,
    /// When refused signatures were last written by themselves, on the monotonic clock.
    refusals_written_at: Mutex<Option<Duration>>,
}

/// An answer in the making.
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: text.into() }
    }

    fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        Self { status, content_type: "application/json", body: value.to_string() }
    }
}

impl Webhook {
    /// Builds it.
    pub fn new(wiring: &Wiring, secrets: SecretStore) -> Self {
        Self {
            ingest: wiring.ingest(),
            clock: wiring.clock.clone(),
            owners: wiring.owners(),
            lookups: Lookups::default(),
            secrets,
            metrics: wiring.metrics(),
            refusals_written_at: Mutex::default(),
        }
    }

    /// Answers one request. 200 means that all of a delivery is durable, or cannot be; 5xx that
    /// Meta should send it again.
    pub fn handle(&self, request: Request) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            let Answer { status, content_type, body } =
                match (request.method(), request.uri().path()) {
                    (&Method::GET, DELETION_PATH) => self.tell_deletion(&request).await,
                    (&Method::POST, DELETION_PATH) => self.take_deletion(&request).await,
                    (&Method::POST, DEAUTHORIZE_PATH) => self.take_deauthorization(&request).await,
                    (&Method::GET, _) => self.handshake(&request).await,
                    (&Method::POST, _) => self.delivery(&request).await,
                    _ => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST"),
                };
            self.write_metrics();
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            let content_type = header::HeaderValue::from_static(content_type);
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            let nosniff = header::HeaderValue::from_static("nosniff");
            response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
            response
        })
    }

    /// Writes what was recorded. Refused signatures alone wait until a minute after the last such
    /// line; what a process that ends before has counted of them is lost.
    fn write_metrics(&self) {
        if self.metrics.meter.has_only(Metric::SignatureFailures) {
            let now = self.clock.monotonic();
            let mut written_at =
                self.refusals_written_at.lock().unwrap_or_else(PoisonError::into_inner);
            if written_at.is_some_and(|at| now.saturating_sub(at) < REFUSALS_EVERY) {
                return;
            }
            *written_at = Some(now);
        }
        self.metrics.flush();
    }

    async fn handshake(&self, request: &Request) -> Answer {
        let query = request.uri().query().unwrap_or_default();
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let answer = |secrets: &Secrets| {
            let pairs = pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref()));
            handshake::answer(pairs, &secrets.verify_tokens)
        };
        let secrets = match self.secrets.current().await {
            Ok(secrets) => secrets,
            Err(error) => return no_secrets(&error),
        };
        let mut answered = answer(&secrets);
        if answered == Err(HandshakeError::Token)
            && let Some(newer) = self.secrets.newer_than(&secrets).await
        {
            answered = answer(&newer);
        }
        match answered {
            Ok(challenge) => Answer::text(StatusCode::OK, challenge),
            Err(error) => {
                warn!(%error, "handshake refused");
                let status = match error {
                    HandshakeError::Token => StatusCode::FORBIDDEN,
                    HandshakeError::Mode | HandshakeError::Challenge => StatusCode::BAD_REQUEST,
                };
                Answer::text(status, error.to_string())
            }
        }
    }

    async fn delivery(&self, request: &Request) -> Answer {
        let raw: &[u8] = request.body();
        if raw.len() > BODY_BYTES_MAX {
            warn!(bytes = raw.len(), "delivery refused: too large");
            return Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 5 MiB");
        }
        let signature = request.headers().get(SIGNATURE).and_then(|value| value.to_str().ok());
        if let Err(refusal) = self.verify(signature, raw).await {
            return refusal;
        }
        let delivery = match parse(raw) {
            Ok(delivery) => delivery,
            Err(error) => {
                warn!(%error, bytes = raw.len(), "delivery refused: cannot be parsed");
                return Answer::text(StatusCode::BAD_REQUEST, error.to_string());
            }
        };
        // The doctor's probe is signed with the secret that is stored. It must not look like one of
        // Meta's, which shows that this secret is right.
        let is_told = !delivery.events.is_empty() || !delivery.skipped.is_empty();
        self.metrics.meter.count(Metric::Deliveries, usize::from(is_told));
        if let Some(earliest) = delivery.earliest() {
            self.metrics.meter.see_span(Metric::DeliveryLag, self.clock.now().since(earliest));
        }
        tell_skipped(&delivery.skipped);
        let deadline = match request.lambda_context_ref().map_or(0, |context| context.deadline) {
            0 => self.clock.now() + DEADLINE_FALLBACK,
            millis => Timestamp::from_millis(millis),
        };
        match self.ingest.ingest(delivery, deadline).await {
            Ok(_) => Answer::text(StatusCode::OK, "ok"),
            Err(error) => {
                error!(%error, "delivery not persisted: Meta will send it again");
                Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "not persisted; send it again")
            }
        }
    }

    /// Whether one of the app secrets has signed the body; the answer when not.
    async fn verify(&self, signature: Option<&str>, raw: &[u8]) -> Result<(), Answer> {
        let mut secrets = self.secrets.current().await.map_err(|error| no_secrets(&error))?;
        let mut verified = secrets.signing().verify(signature, raw);
        if verified == Err(SignatureError::Mismatch)
            && let Some(newer) = self.secrets.newer_than(&secrets).await
        {
            verified = newer.signing().verify(signature, raw);
            secrets = newer;
        }
        let Err(error) = verified else { return Ok(()) };
        if secrets.app_secrets.is_empty() {
            error!(
                "no app secret is stored, so no delivery can be checked: put the Meta app's into \
                 `app_secrets` of the secret (infra/OPERATIONS.md, \"The app's secret\"); Meta delivers again until then"
            );
            return Err(Answer::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "no app secret is stored yet",
            ));
        }
        warn!(%error, bytes = raw.len(), "delivery refused: signature");
        if raw != PROBE.as_bytes() {
            self.metrics.meter.count_by(Metric::SignatureFailures, name_of(&error));
        }
        Err(Answer::text(StatusCode::UNAUTHORIZED, error.to_string()))
    }
}

/// Logs what of a delivery could not be read, in one line however much it is.
fn tell_skipped(skipped: &[Skipped]) {
    let Some(first) = skipped.first() else { return };
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for skipped in skipped {
        *reasons.entry(skipped.reason.as_str()).or_default() += 1;
    }
    warn!(events = skipped.len(), ?reasons, account = ?first.account, field = ?first.field.as_deref().map(shortened), "events skipped");
}

/// The beginning of a text of unknown length.
fn shortened(text: &str) -> &str {
    text.get(..64).unwrap_or(text)
}

fn no_secrets(error: &SecretsError) -> Answer {
    error!(%error, "no secrets: Meta will send it again");
    Answer::text(StatusCode::SERVICE_UNAVAILABLE, "not ready; send it again")
}
