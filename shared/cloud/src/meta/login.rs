//! Connecting an account by a login: the URL to log in at, the code that comes back exchanged for a
//! token of 60 days, and the account stored, enrolled for upkeep and subscribed to its webhooks.

use std::num::NonZeroU32;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::Url;
use secrecy::SecretString;
use spillway_core::budget::DenialReason;
use spillway_core::hold::{HoldCause, NewToken};
use spillway_core::id::AccountId;
use spillway_core::quota::Action;
use spillway_core::upkeep::WEBHOOK_FIELDS;
use spillway_meta::error::Verdict;
use spillway_meta::graph::{App, CallError, GraphClient, GraphConfig, GraphConfigError, Me};
use spillway_service::account::Account;
use spillway_service::admin::AdminError;
use spillway_service::admin::connect::{Connection, NewSettings};
use spillway_service::gateway::Gateway;
use spillway_service::gateway::read::{Ends, IfDead, NoAnswer};
use spillway_service::limiter::Charged;
use spillway_service::port::StoreError;

use crate::config::GRAPH_URL;
use crate::wiring::Wiring;

/// Where people log in (Meta, Business Login for Instagram, 13 March 2026).
const AUTHORIZE_URL: &str = "https://www.instagram.com/oauth/authorize";

/// Where a code is exchanged; every other call goes to [`GRAPH_URL`].
const CODE_URL: &str = "https://api.instagram.com";

/// What an account must allow: to be read, to have its comments read, to send messages.
pub const SCOPES: [&str; 3] = [
    "instagram_business_basic",
    "instagram_business_manage_comments",
    "instagram_business_manage_messages",
];

/// How long Meta may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The URL at which an account's owner logs in and allows the app what it needs.
///
/// # Errors
/// Fails if Meta would not take the redirect URI.
pub fn login_url(app_id: &str, redirect_uri: &str) -> Result<String, LoginError> {
    let is_https = Url::parse(redirect_uri).is_ok_and(|url| url.scheme() == "https");
    if !is_https {
        return Err(LoginError::RedirectUri);
    }
    if app_id.is_empty() || !app_id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(LoginError::AppId);
    }
    let mut url = Url::parse(AUTHORIZE_URL).map_err(|_| LoginError::RedirectUri)?;
    url.query_pairs_mut().extend_pairs([
        ("client_id", app_id),
        ("redirect_uri", redirect_uri),
        ("response_type", "code"),
        ("scope", &SCOPES.join(",")),
    ]);
    Ok(url.into())
}

/// The code in what a login came back with: the code itself, or the URL that the browser shows.
///
/// # Errors
/// Fails if the URL says that the owner did not allow the login, or has no code.
pub fn code_in(pasted: &str) -> Result<SecretString, LoginError> {
    let pasted = pasted.trim();
    let code = match Url::parse(pasted) {
        Ok(url) => {
            let value = |name: &str| {
                let mut pairs = url.query_pairs();
                pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
            };
            match (value("code"), value("error")) {
                (Some(code), _) => code,
                (None, Some(error)) => {
                    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let reason = value("error_reason").unwrap_or(error);
                    return Err(LoginError::Refused(reason.chars().filter(|&c| word(c)).collect()));
                }
                (None, None) => return Err(LoginError::NoCode),
            }
        }
        Err(_) => pasted.to_owned(),
    };
    // Meta puts `#_` behind it, which is no part of it.
    Ok(SecretString::from(code.trim_end_matches("#_")))
}

/// Why nobody is logged in. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Not a URI that Meta would send anybody to.
    #[error(
        "the redirect URI must begin with https:// and be listed in the App Dashboard under Instagram, API setup with Instagram login, Business login settings"
    )]
    RedirectUri,
    /// Not an app's id.
    #[error(
        "the app's id is a number: in the App Dashboard under Instagram, API setup with Instagram login, it is the Instagram app ID (not the Meta app's)"
    )]
    AppId,
    /// The Graph client.
    #[error(transparent)]
    Config(#[from] GraphConfigError),
    /// There is no app secret.
    #[error(
        "no app secret is stored: put the Instagram app's into `app_secrets` of the deployment's secret (infra/OPERATIONS.md, \"The app's secret\")"
    )]
    NoSecret,
    /// The owner has not allowed the login, for this reason of Meta's.
    #[error(
        "the login was not allowed ({0}): have the account's owner log in again and allow it, with every switch on"
    )]
    Refused(String),
    /// The address that the login came back with has no code.
    #[error(
        "the address has no `code`: paste the one that the browser shows after the login, whole"
    )]
    NoCode,
    /// The code was not taken.
    #[error(
        "Meta did not take the code ({0}): it is good once, for an hour, and for the redirect URI that it came to. Log in again at the URL of `spillway connect login-url` with the same --app-id and --redirect-uri; if it is refused again, compare the app's id and secret with those in the App Dashboard"
    )]
    Code(CallError),
    /// The token of an hour was not exchanged.
    #[error("Meta did not exchange the token for one of 60 days ({0}): log in again")]
    LongLived(CallError),
    /// Nobody knows whose token it is.
    #[error("Meta did not say whose token it is ({0}): log in again")]
    Me(CallError),
    /// Something was not allowed.
    #[error("the login did not allow {}: log in again and leave every switch on", .0.join(", "))]
    Permissions(Vec<String>),
    /// Not a professional account.
    #[error(
        "the account is of the kind {0}, and only professional ones can be connected: in Instagram, choose Settings, Account type, Switch to professional account"
    )]
    Kind(String),
    /// The token is not taken.
    #[error(
        "Meta does not take the token ({0}): nothing was stored. Make a new one, or log in with `spillway connect login-url`"
    )]
    Token(CallError),
    /// It is somebody else's.
    #[error("the token is account {of}'s, not account {wanted}'s: nothing was stored")]
    OfAnother {
        /// Whose it is.
        of: AccountId,
        /// Whose it should be.
        wanted: AccountId,
    },
    /// No call can be made now.
    #[error("no call can be made now, so nothing was stored: {0}")]
    NotNow(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who the calls of a login are charged to.
#[derive(Clone, Copy)]
pub enum Payer<'a> {
    /// This account: before each call.
    Account(&'a Gateway, &'a Account),
    /// Only the last of the calls tells whose login it is: all are charged when the account is
    /// stored.
    Unknown,
}

/// An account whose owner has logged in.
#[derive(Debug)]
pub struct LoggedIn {
    /// What Meta says of it.
    pub me: Me,
    token: SecretString,
    lasts: Option<Duration>,
    /// Calls that were made and not charged yet.
    uncharged: u32,
}

/// Whether the account was subscribed to its webhooks.
#[derive(Debug)]
pub enum Subscribed {
    /// It is.
    Yes,
    /// Not yet, for this reason; upkeep subscribes it within a quarter of an hour.
    Later(String),
    /// Meta has refused it, for this reason. Upkeep asks again, but somebody may have to act.
    Refused(String),
}

/// What logging in takes.
pub struct Login {
    client: GraphClient,
    code_url: String,
    secrets: Vec<SecretString>,
}

impl Login {
    /// With the app's secrets, and finds out which one is right: Meta's app and its Instagram
    /// app have one each.
    ///
    /// # Errors
    /// Fails if the Graph client cannot be made, or there is no secret.
    pub fn new(config: &GraphConfig, secrets: Vec<SecretString>) -> Result<Self, LoginError> {
        if secrets.is_empty() {
            return Err(LoginError::NoSecret);
        }
        let is_metas = config.base_url == GRAPH_URL;
        let code_url = if is_metas { CODE_URL.to_owned() } else { config.base_url.clone() };
        Ok(Self { client: GraphClient::new(config.clone())?, code_url, secrets })
    }

    /// Exchanges the code for a token of 60 days, and finds out whose it is.
    ///
    /// Each call is charged before it is made if the payer is known. A hold of the payer's dead
    /// token lets only its probe be charged; the other calls are then charged by
    /// [`Self::connect`], after the hold.
    ///
    /// # Errors
    /// Says what to do. When a call cannot be charged now, it is not made.
    pub fn redeem<'a>(
        &'a self,
        app_id: &'a str,
        code: &'a SecretString,
        redirect_uri: &'a str,
        payer: Payer<'a>,
    ) -> BoxFuture<'a, Result<LoggedIn, LoginError>> {
        Box::pin(async move {
            login_url(app_id, redirect_uri)?;
            let (mut refused, mut uncharged) = (None, 0);
            for secret in &self.secrets {
                uncharged += payer.charge().await?;
                let app = App { id: app_id.to_owned(), secret: secret.clone() };
                let granted = self
                    .client
                    .exchange_code(&self.code_url, &app, code, redirect_uri, TIMEOUT)
                    .await;
                match granted {
                    Ok(granted) => {
                        return self.long_lived(&app, granted.value, payer, uncharged).await;
                    }
                    // Another secret may be the app's; what has no answer may have used the code
                    // up.
                    Err(error @ CallError::Refused { .. })
                        if error.verdict() != Verdict::Ambiguous =>
                    {
                        refused = Some(error);
                    }
                    Err(error) => return Err(LoginError::Code(error)),
                }
            }
            Err(refused.map_or(LoginError::NoSecret, LoginError::Code))
        })
    }

    async fn long_lived(
        &self,
        app: &App,
        granted: spillway_meta::graph::Granted,
        payer: Payer<'_>,
        mut uncharged: u32,
    ) -> Result<LoggedIn, LoginError> {
        let is_missing =
            |scope: &&&str| !granted.permissions.iter().any(|permission| permission == **scope);
        let missing: Vec<String> =
            SCOPES.iter().filter(is_missing).map(|&scope| scope.to_owned()).collect();
        if !granted.permissions.is_empty() && !missing.is_empty() {
            return Err(LoginError::Permissions(missing));
        }
        uncharged += payer.charge().await?;
        let long = self.client.long_lived_token(app, &granted.token, TIMEOUT).await;
        let long = long.map_err(LoginError::LongLived)?.value;
        uncharged += payer.charge().await?;
        let me = self.client.me(&long.token, TIMEOUT).await.map_err(LoginError::Me)?.value;
        professional(&me)?;
        Ok(LoggedIn { me, token: long.token, lasts: long.lasts, uncharged })
    }

    /// Stores the account with its token, and subscribes it. What connecting calls is charged to
    /// it.
    ///
    /// # Errors
    /// Fails if the store does not answer; doing it again with the same login is right.
    pub fn connect<'a>(
        &'a self,
        wiring: &'a Wiring,
        logged_in: &'a LoggedIn,
        settings: &'a NewSettings,
    ) -> BoxFuture<'a, Result<Subscribed, AdminError>> {
        Box::pin(async move {
            let token = wiring.keys.seal(&settings.account, &logged_in.token).await?;
            let connection = Connection {
                settings,
                token: &token,
                lasts: logged_in.lasts,
                // It has told whose it is.
                proof: NewToken::Works,
                app_scoped: logged_in.me.app_scoped.as_deref(),
            };
            wiring.admin().accounts.connect(&connection).await?;
            Ok(self.subscribe(wiring, &settings.account, logged_in).await?)
        })
    }

    async fn subscribe(
        &self,
        wiring: &Wiring,
        id: &AccountId,
        &LoggedIn { ref token, uncharged, .. }: &LoggedIn,
    ) -> Result<Subscribed, StoreError> {
        let Some(stored) = wiring.accounts.load(id).await? else {
            return Ok(Subscribed::Later("the account was removed meanwhile".into()));
        };
        let gateway = wiring.gateway();
        if let Some(uncharged) = NonZeroU32::new(uncharged) {
            gateway.limiter.charge(&stored, Action::Read, uncharged).await?;
        }
        let subscribed = gateway
            .read(&stored, TIMEOUT, IfDead::Hold, Ends::Hold, async |timeout| {
                self.client.subscribe(id, token, &WEBHOOK_FIELDS, timeout).await
            })
            .await;
        match subscribed {
            Ok(()) => Ok(Subscribed::Yes),
            Err(NoAnswer::Store(error)) => Err(error),
            Err(no_answer) => {
                let (is_refused, reason) = (is_refused(&no_answer), no_answer.reason());
                Ok(if is_refused { Subscribed::Refused(reason) } else { Subscribed::Later(reason) })
            }
        }
    }
}

/// Whether Meta has answered that it does not do this, whenever it is asked.
fn is_refused(no_answer: &NoAnswer) -> bool {
    let NoAnswer::Failed(error) = no_answer else { return false };
    match error {
        CallError::NotDone { .. } => true,
        CallError::Refused { .. } => matches!(
            error.verdict(),
            Verdict::Permission
                | Verdict::PermissionUnclear
                | Verdict::TokenDead
                | Verdict::BadRequest
        ),
        _ => false,
    }
}

impl Payer<'_> {
    /// Charges one call that is about to be made; returns 1 if it is to be charged later.
    async fn charge(self) -> Result<u32, LoginError> {
        let Self::Account(gateway, account) = self else { return Ok(1) };
        match gateway.limiter.charge(account, Action::Read, NonZeroU32::MIN).await? {
            Charged::Granted(_) => Ok(0),
            Charged::Denied(denial) => match denial.reason {
                DenialReason::Hold(HoldCause::TokenDead | HoldCause::Permission) => Ok(1),
                _ => Err(LoginError::NotNow(NoAnswer::Denied(denial).reason())),
            },
        }
    }
}

/// Asks Meta whose token this is, in a call that is charged to `account`.
///
/// # Errors
/// Fails if Meta does not take the token, it is not this account's, or the call cannot be made now.
pub fn check_token<'a>(
    config: &'a GraphConfig,
    gateway: &'a Gateway,
    account: &'a Account,
    token: &'a SecretString,
) -> BoxFuture<'a, Result<Me, LoginError>> {
    Box::pin(async move {
        let client = GraphClient::new(config.clone())?;
        // The token in use is another one: its hold ends when this one is stored.
        let me = gateway
            .read(account, TIMEOUT, IfDead::Tell, Ends::AppHold, async |timeout| {
                client.me(token, timeout).await
            })
            .await
            .map_err(|no_answer| match no_answer {
                NoAnswer::Failed(error) => LoginError::Token(error),
                NoAnswer::Store(error) => LoginError::Store(error),
                no_answer => LoginError::NotNow(no_answer.reason()),
            })?;
        if me.account != account.id {
            return Err(LoginError::OfAnother { of: me.account, wanted: account.id.clone() });
        }
        professional(&me).map(|()| me)
    })
}

/// Refuses an account that cannot use the API.
fn professional(me: &Me) -> Result<(), LoginError> {
    match &me.kind {
        Some(kind) if kind.eq_ignore_ascii_case("personal") => Err(LoginError::Kind(kind.clone())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_url_asks_for_what_is_needed() {
        let url = login_url("990", "https://example.com/back?x=1").unwrap();
        assert_eq!(
            url,
            "https://www.instagram.com/oauth/authorize?client_id=990\
             &redirect_uri=https%3A%2F%2Fexample.com%2Fback%3Fx%3D1&response_type=code\
             &scope=instagram_business_basic%2Cinstagram_business_manage_comments%2C\
             instagram_business_manage_messages"
        );
        for (app, redirect) in [("990", "http://example.com"), ("app", "https://example.com")] {
            assert!(login_url(app, redirect).is_err(), "{app} {redirect}");
        }
    }

    #[test]
    fn a_code_is_found_in_what_is_pasted() {
        for pasted in [
            "AQB1",
            " AQB1#_\n",
            "https://example.com/back?code=AQB1#_",
            "https://e.com/?a=1&code=AQB1",
        ] {
            assert_eq!(code_in(pasted).unwrap().expose_secret(), "AQB1", "{pasted}");
        }
        let denied = "https://e.com/?error=access_denied&error_reason=user_denied";
        let error = code_in(denied).unwrap_err().to_string();
        assert!(error.contains("not allowed (user_denied)"), "{error}");
        assert!(matches!(code_in("https://example.com/back"), Err(LoginError::NoCode)));
    }
}
