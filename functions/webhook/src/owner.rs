//! What Meta asks in the name of an account's owner: to delete everything, or to take note that the
//! app was removed. Both come as a form with a signed request, on paths of their own.
//!
//! They are routed here, and not in a function of their own, because this one has the app secrets
//! and a URL already. What becomes of them is decided in `spillway_service::owner`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lambda_http::http::{StatusCode, header};
use lambda_http::{Body, Request};
use spillway_core::time::Timestamp;
use spillway_meta::signed_request::{self, SignedRequest, SignedRequestError};
use spillway_service::admin::rfc3339;
use spillway_service::metrics::{Metric, name_of};
use spillway_service::owner::OwnerRequest;
use spillway_service::port::{Deletion, StoreError};
use tracing::{error, warn};

use crate::{Answer, Webhook, no_secrets};

/// Where Meta asks for a deletion, and its owner how that goes.
pub const DELETION_PATH: &str = "/deletion";

/// Where Meta tells that the app was removed.
pub const DEAUTHORIZE_PATH: &str = "/deauthorize";

/// The longest form that is taken, in bytes. Meta's are below 1,000.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// Questions how a deletion goes that a process answers in a minute.
const LOOKUPS_A_MINUTE: u32 = 30;

/// Bounds the reads that anybody can cause without a signature.
#[derive(Default)]
pub(crate) struct Lookups(Mutex<(Timestamp, u32)>);

impl Lookups {
    /// Takes one of the minute's look-ups; `false` when none is left.
    fn take(&self, now: Timestamp) -> bool {
        let mut lookups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, taken) = &mut *lookups;
        if now.since(*since) >= Duration::from_secs(60) {
            (*since, *taken) = (now, 0);
        }
        let is_left = *taken < LOOKUPS_A_MINUTE;
        *taken += u32::from(is_left);
        is_left
    }
}

fn request(signed: &SignedRequest) -> OwnerRequest<'_> {
    let SignedRequest { user, issued_at, code, .. } = signed;
    OwnerRequest { user, issued_at: *issued_at, code }
}

/// A header in which a CDN in front says under which host it was asked. Only who has a request that
/// is signed is answered with it.
const FORWARDED_HOST: &str = "x-forwarded-host";

/// The host that was asked: that of the CDN in front, else of the HTTP API or the function URL.
fn public_host(request: &Request) -> &str {
    let named = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_host = |host: &&str| {
        let is_of_host = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        !host.is_empty() && host.chars().all(is_of_host)
    };
    let forwarded = named(FORWARDED_HOST).filter(is_host);
    forwarded.or(request.uri().host()).or(named(header::HOST.as_str())).unwrap_or_default()
}

/// What the page of a deletion says.
fn told(code: &str, deletion: Option<Deletion>, now: Timestamp) -> String {
    match deletion {
        None => format!("There is no deletion {code}, or it was done more than a year ago."),
        Some(Deletion { void_at: Some(_), .. }) => format!(
            "Deletion {code} is void: the account was connected anew after the request was made, so \
             nothing was deleted. To have everything deleted, remove the app again and ask for it."
        ),
        Some(Deletion { done_at: Some(_), .. }) => format!(
            "Deletion {code} is done. The account's token, settings and campaigns are deleted, and \
             what waited to be sent is cancelled. These remain, without texts and names: of each \
             person to be answered once, the ids of person, comment and message and what became of \
             it, for as long as the campaign was to remember it, as a rule for 90 days and at most \
             for 400 days; the same of its other messages for 10 days; a keyed hash of each comment \
             whose author was to be forgotten, for 10 days; the counters of its limits for 32 days; \
             the journal of its operation for 90 days; ids in messages on queues for up to 14 days, \
             and in logs for as long as this deployment keeps them; that this deletion was asked \
             for, for 365 days. Backups hold what was deleted for 35 days, and copies that the \
             operator has made for as long as the operator keeps them."
        ),
        Some(Deletion { kept_until: Some(until), .. }) if until <= now => format!(
            "Deletion {code} is over: no account was found to have the id that the request names, \
             and nothing is kept of the request but this."
        ),
        Some(Deletion { kept_until: Some(until), .. }) => format!(
            "Deletion {code} is kept: no account is known to have the id that the request names. If \
             one turns out to have it before {}, and was connected before the request, it is deleted.",
            rfc3339(until).unwrap_or_default()
        ),
        Some(_) => format!(
            "Deletion {code} is under way. It is done when nothing waits to be sent any more, \
             within the hour as a rule."
        ),
    }
}

impl Webhook {
    /// Takes a request for deletion; answers as Meta documents, with a code and where to ask for
    /// it.
    pub(crate) async fn take_deletion(&self, from: &Request) -> Answer {
        let signed = match self.signed(from).await {
            Ok(signed) => signed,
            Err(refusal) => return refusal,
        };
        if let Err(error) = self.owners.delete(&request(&signed)).await {
            return self.not_noted(&error);
        }
        let url = format!("https://{}{DELETION_PATH}?code={}", public_host(from), signed.code);
        let answer = serde_json::json!({ "url": url, "confirmation_code": signed.code });
        Answer::json(StatusCode::OK, &answer)
    }

    /// Takes note that the app was removed.
    pub(crate) async fn take_deauthorization(&self, from: &Request) -> Answer {
        let signed = match self.signed(from).await {
            Ok(signed) => signed,
            Err(refusal) => return refusal,
        };
        match self.owners.deauthorize(&request(&signed)).await {
            Ok(()) => Answer::text(StatusCode::OK, "ok"),
            Err(error) => self.not_noted(&error),
        }
    }

    /// Says how a deletion goes.
    pub(crate) async fn tell_deletion(&self, request: &Request) -> Answer {
        let query = request.uri().query().unwrap_or_default();
        let code = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "code");
        let code = code.map(|(_, code)| code.into_owned()).unwrap_or_default();
        if !signed_request::is_code(&code) {
            return Answer::text(StatusCode::BAD_REQUEST, "name the confirmation code: ?code=…");
        }
        let now = self.clock.now();
        if !self.lookups.take(now) {
            return Answer::text(
                StatusCode::TOO_MANY_REQUESTS,
                "too many questions: ask again in a minute",
            );
        }
        match self.owners.deletions.status(&code).await {
            Ok(deletion) => {
                let is_known = deletion.is_some();
                let status = if is_known { StatusCode::OK } else { StatusCode::NOT_FOUND };
                Answer::text(status, told(&code, deletion, now))
            }
            Err(error) => self.not_noted(&error),
        }
    }

    /// The signed request of the form that is the body, or the answer when there is none to be
    /// trusted.
    async fn signed(&self, request: &Request) -> Result<SignedRequest, Answer> {
        let raw: &[u8] = match request.body() {
            Body::Text(text) => text.as_bytes(),
            Body::Binary(bytes) => bytes,
            _ => &[],
        };
        if raw.len() > FORM_BYTES_MAX {
            return Err(Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the form is too long"));
        }
        let field = form_urlencoded::parse(raw).find(|(key, _)| key == "signed_request");
        let signed = field.map(|(_, value)| value.into_owned()).unwrap_or_default();
        let secrets = self.secrets.current().await.map_err(|error| no_secrets(&error))?;
        let mut read = signed_request::read(&secrets.signing(), &signed);
        if read == Err(SignedRequestError::Mismatch)
            && let Some(newer) = self.secrets.newer_than(&secrets).await
        {
            read = signed_request::read(&newer.signing(), &signed);
        }
        read.map_err(|error| {
            warn!(%error, bytes = raw.len(), "a request about an account's owner is refused");
            self.metrics.meter.count_by(Metric::SignatureFailures, name_of(&error));
            let status = match error {
                SignedRequestError::Mismatch => StatusCode::UNAUTHORIZED,
                SignedRequestError::Malformed | SignedRequestError::Algorithm => {
                    StatusCode::BAD_REQUEST
                }
            };
            Answer::text(status, error.to_string())
        })
    }

    fn not_noted(&self, error: &StoreError) -> Answer {
        error!(%error, "a request about an account's owner is not written down");
        self.metrics.meter.store_failed(error);
        Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "not written down; send it again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(Body::Empty);
        *request.uri_mut() = "https://secret0123.lambda-url.example/deletion".parse().unwrap();
        for (name, value) in headers {
            let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    }

    /// The function's own URL goes round what filters requests before it.
    #[test]
    fn behind_a_cdn_the_functions_own_host_is_not_told() {
        let host = |headers: &[(&str, &str)]| public_host(&asked(headers)).to_owned();
        assert_eq!(host(&[]), "secret0123.lambda-url.example");
        assert_eq!(host(&[("x-forwarded-host", "hooks.example.com")]), "hooks.example.com");
        assert_eq!(host(&[("x-forwarded-host", "a/b")]), "secret0123.lambda-url.example");
    }
}
