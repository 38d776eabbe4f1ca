//! The link function: redirects tracked links, and tells who has opened one.
//!
//! The redirect needs the link alone, so it does not wait for a store that does not answer. A link
//! leads where its deployment has signed that it leads, and nowhere else.

mod robot;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use lambda_http::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use lambda_http::{Body, Request, Response};
use spillway_cloud::emf::Metrics;
use spillway_cloud::secrets::{SecretStore, SecretsError};
use spillway_service::links::{LinkKeys, LinkOwner, OpenedLink};
use spillway_service::metrics::Metric;
use spillway_service::port::{Clicked, Clicks};
use tracing::{error, warn};

use crate::robot::is_person;

/// How long somebody waits at most for their click to be noted. A click that takes longer may be lost,
/// and then costs a follow-up that did not have to be sent.
pub const CLICK_PATIENCE: Duration = Duration::from_millis(300);

/// The function's state, built once a process.
pub struct Redirect {
    keys: SecretStore<LinkKeys>,
    clicks: Arc<dyn Clicks>,
    metrics: Metrics,
    patience: Duration,
}

/// An answer in the making.
#[derive(Debug)]
enum Answer {
    /// To this address.
    Redirect(HeaderValue),
    /// None, with the reason.
    Refusal(StatusCode, &'static str),
}

impl Redirect {
    /// Builds it. Nobody waits longer than `patience` for their click to be noted.
    pub fn new(
        keys: SecretStore<LinkKeys>,
        clicks: Arc<dyn Clicks>,
        metrics: Metrics,
        patience: Duration,
    ) -> Self {
        Self { keys, clicks, metrics, patience }
    }

    /// Answers one request: 302 for a link of this deployment, 404 for any other.
    pub fn handle(&self, request: Request) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            let answer = match *request.method() {
                Method::GET | Method::HEAD => self.follow(&request).await,
                _ => Answer::Refusal(StatusCode::METHOD_NOT_ALLOWED, "use GET"),
            };
            self.metrics.flush();
            answer.into_response()
        })
    }

    async fn follow(&self, request: &Request) -> Answer {
        // Whatever a domain has in front of it, the token is last. Instagram adds a query of its own.
        let token = request.uri().path().rsplit('/').next().unwrap_or_default();
        let opened = match self.open(token).await {
            Ok(opened) => opened,
            Err(error) => {
                error!(%error, "no keys: nothing can be redirected");
                return Answer::Refusal(StatusCode::SERVICE_UNAVAILABLE, "try again in a minute");
            }
        };
        let found = opened.and_then(|OpenedLink { owner, target }| {
            let target = HeaderValue::try_from(target.to_ascii()?).ok()?;
            Some((owner, target))
        });
        let Some((owner, target)) = found else {
            return Answer::Refusal(StatusCode::NOT_FOUND, "there is no such link");
        };
        let click = if is_person(request.method(), request.headers()) {
            self.tell(&owner).await
        } else {
            "robot"
        };
        self.metrics.meter.count_by(Metric::Clicks, click);
        Answer::Redirect(target)
    }

    /// Reads a token. One that no key has signed may have been signed by a newer one.
    async fn open(&self, token: &str) -> Result<Option<OpenedLink>, SecretsError> {
        let keys = self.keys.current().await?;
        if let Some(opened) = keys.open(token) {
            return Ok(Some(opened));
        }
        let newer = self.keys.newer_than(&keys).await;
        Ok(newer.and_then(|keys| keys.open(token)))
    }

    /// Tells that somebody has opened their link, and what became of it in a word.
    async fn tell(&self, owner: &LinkOwner) -> &'static str {
        match tokio::time::timeout(self.patience, self.clicks.clicked(owner)).await {
            Ok(Ok(Clicked::Counted)) => "counted",
            Ok(Ok(Clicked::Known)) => "known",
            Ok(Ok(Clicked::NoConversation)) => "no_conversation",
            Ok(Err(error)) => {
                warn!(account = %owner.account, %error, "a click was not noted");
                "not_noted"
            }
            Err(_) => {
                warn!(account = %owner.account, "a click was not noted in time");
                "not_noted"
            }
        }
    }
}

impl Answer {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::Empty);
        let mut add = |name: HeaderName, value: HeaderValue| {
            response.headers_mut().insert(name, value);
        };
        add(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        add(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        add(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        add(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
        match self {
            Self::Redirect(target) => {
                add(header::LOCATION, target);
                *response.status_mut() = StatusCode::FOUND;
            }
            Self::Refusal(status, reason) => {
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                add(header::CONTENT_TYPE, text);
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    add(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                }
                *response.status_mut() = status;
                *response.body_mut() = Body::from(reason);
            }
        }
        response
    }
}
