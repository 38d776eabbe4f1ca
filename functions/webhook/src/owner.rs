//! What Meta asks in the name of an account's owner: to delete everything, or to take note that the
//! app was removed. Both come as a form with a signed request, on paths of their own.
//!
//! They are routed here, and not in a function of their own, because this one has the app secrets
//! and a URL already. It only writes the request down, which takes no right that recording comments
//! does not; upkeep, which may delete, acts on it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lambda_http::http::{StatusCode, header};
use lambda_http::{Body, Request};
use spillway_cloud::dynamo::{Deletion, DynamoMaintenance, DynamoRemoval};
use spillway_cloud::wiring::Wiring;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_meta::signed_request::{self, SignedRequest, SignedRequestError};
use spillway_service::clock::Clock;
use spillway_service::metrics::{Metric, name_of};
use spillway_service::port::{
    Accounts, MaintenanceSchedule, Removal, StoreError, Tokens, UpkeepRequest,
};
use tracing::{error, info, warn};

use crate::{Answer, Webhook, no_secrets};

/// Where Meta asks for a deletion, and its owner how that goes.
pub const DELETION_PATH: &str = "/deletion";

/// Where Meta tells that the app was removed.
pub const DEAUTHORIZE_PATH: &str = "/deauthorize";

/// The longest form that is taken, in bytes. Meta's are below 1,000.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// A notice that is older says nothing of the present: the account may have been connected
/// again. Meta sends again what was not taken for a day and a half at most.
const NOTICE_KEPT: Duration = Duration::from_secs(36 * 3600);

/// Questions how a deletion goes that a process answers in a minute.
const LOOKUPS_A_MINUTE: u32 = 30;

/// A token that was obtained within this after a request for deletion is still what the request is
/// about.
const NEW_LOGIN: Duration = Duration::from_secs(60);

/// What is needed to write requests down.
pub(crate) struct Owners {
    accounts: Arc<dyn Accounts>,
    maintenance: Arc<DynamoMaintenance>,
    removal: Arc<DynamoRemoval>,
    tokens: Arc<dyn Tokens>,
    clock: Arc<dyn Clock>,
    lookups: Lookups,
}

/// Bounds the reads that anybody can cause without a signature.
#[derive(Default)]
struct Lookups(Mutex<(Timestamp, u32)>);

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

impl Owners {
    pub(crate) fn new(wiring: &Wiring) -> Self {
        Self {
            accounts: wiring.accounts.clone(),
            maintenance: wiring.maintenance.clone(),
            removal: wiring.removal.clone(),
            tokens: wiring.tokens.clone(),
            clock: wiring.clock.clone(),
            lookups: Lookups::default(),
        }
    }

    /// The account that a request is about. Meta names it by the id that the app alone has for it.
    async fn account(&self, user: &str) -> Result<Option<AccountId>, StoreError> {
        let id = AccountId::new(user);
        match self.accounts.load(&id).await? {
            Some(_) => Ok(Some(id)),
            None => self.maintenance.named(user).await,
        }
    }

    async fn delete(&self, request: &SignedRequest) -> Result<(), StoreError> {
        let (now, code) = (self.clock.now(), &request.code);
        let known = self.removal.status(code).await?;
        if known.is_some_and(|deletion| deletion.done_at.is_some()) {
            // Sent again. The account may have been connected anew since.
            return Ok(());
        }
        let account = self.account(&request.user).await?;
        self.removal.asked(code, now).await?;
        match account {
            Some(account) if self.is_connected_since(&account, request.issued_at).await? => {
                warn!(%account, "an old request for deletion: the account was connected after it");
                self.removal.deleted(code, now).await
            }
            Some(account) => {
                warn!(%account, "its owner wants the account deleted");
                self.maintenance
                    .ask(&account, &UpkeepRequest::Delete { code: code.clone() }, now)
                    .await
            }
            None => {
                info!("a deletion is asked for of an account of which nothing is kept");
                self.removal.deleted(code, now).await
            }
        }
    }

    /// Whether the account's token was obtained after a request for deletion was made: by a new login,
    /// since the owner's removal of the app ends the old one. What there was before that is gone.
    async fn is_connected_since(
        &self,
        account: &AccountId,
        issued_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let (Some(issued_at), Some(kept)) = (issued_at, self.tokens.load(account).await?) else {
            return Ok(false);
        };
        let obtained_at = kept.life.obtained_at;
        Ok(obtained_at.is_some_and(|obtained_at| issued_at + NEW_LOGIN <= obtained_at))
    }

    async fn deauthorize(&self, request: &SignedRequest) -> Result<(), StoreError> {
        let now = self.clock.now();
        if request.issued_at.is_some_and(|issued| now.since(issued) > NOTICE_KEPT) {
            return Ok(());
        }
        let Some(account) = self.account(&request.user).await? else { return Ok(()) };
        warn!(%account, "its owner has removed the app");
        self.maintenance.ask(&account, &UpkeepRequest::Deauthorize, now).await
    }
}

impl Webhook {
    /// Takes a request for deletion; answers as Meta documents, with a code and where to ask for
    /// it.
    pub(crate) async fn take_deletion(&self, request: &Request) -> Answer {
        let signed = match self.signed(request).await {
            Ok(signed) => signed,
            Err(refusal) => return refusal,
        };
        if let Err(error) = self.owners.delete(&signed).await {
            return self.not_noted(&error);
        }
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = request.uri().host().or(host).unwrap_or_default();
        let url = format!("https://{host}{DELETION_PATH}?code={}", signed.code);
        let answer = serde_json::json!({ "url": url, "confirmation_code": signed.code });
        Answer::json(StatusCode::OK, &answer)
    }

    /// Takes note that the app was removed.
    pub(crate) async fn take_deauthorization(&self, request: &Request) -> Answer {
        let signed = match self.signed(request).await {
            Ok(signed) => signed,
            Err(refusal) => return refusal,
        };
        match self.owners.deauthorize(&signed).await {
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
        if !self.owners.lookups.take(self.owners.clock.now()) {
            return Answer::text(
                StatusCode::TOO_MANY_REQUESTS,
                "too many questions: ask again in a minute",
            );
        }
        match self.owners.removal.status(&code).await {
            Ok(Some(Deletion { done_at: Some(_), .. })) => Answer::text(
                StatusCode::OK,
                format!(
                    "Deletion {code} is done: the account's token, settings and campaigns are deleted, and what \
                     waited to be sent is cancelled within minutes. These remain: the ids of its messages for \
                     ten days, the journal of its operation for ninety days, and the counters of its limits, \
                     which name nobody. Backups hold what was deleted for 35 days."
                ),
            ),
            Ok(Some(_)) => Answer::text(
                StatusCode::OK,
                format!("Deletion {code} is under way; it is done within the hour."),
            ),
            Ok(None) => Answer::text(
                StatusCode::NOT_FOUND,
                format!("There is no deletion {code}, or it was done more than a year ago."),
            ),
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
