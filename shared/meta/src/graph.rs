//! The calls to the Graph API. One method is one request: nothing here retries, follows a redirect
//! or waits, because every attempt costs a unit of a budget that the caller keeps.

use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::time::Timestamp;

use crate::error::{GraphError, Verdict};
use crate::json::{self, Object};
use crate::usage;

/// How long a connection may take to be made. It counts towards the timeout of the call.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an unused connection is kept. The shorter, the rarer is a call on a connection that
/// Meta has just closed, of which nobody knows whether it was read.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an answer is read, in bytes. Meta's answers are below 1,000.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where the Graph API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphConfig {
    /// Scheme and host, such as `https://graph.instagram.com` (Instagram Login); a path is kept.
    pub base_url: String,
    /// The version of the API, such as `v26.0`.
    pub version: String,
}

/// Why there can be no [`GraphClient`].
#[derive(Debug, thiserror::Error)]
pub enum GraphConfigError {
    /// `base_url` is not an `http` or `https` URL with a host.
    #[error("the base URL of the Graph API is not an http(s) URL")]
    BaseUrl,
    /// `version` is not `v`, a number, `.` and a number.
    #[error("the version of the Graph API is not like v26.0")]
    Version,
    /// TLS could not be set up.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// A client of the Graph API. It holds no token; clones share its connections.
#[derive(Clone, Debug)]
pub struct GraphClient {
    http: Client,
    /// With the version, without a `/` at the end.
    root: Url,
}

/// A message that Meta accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Whom it went to, the only way to learn the id by which that person is written to later.
    /// `None` when the answer could not be read; the message was sent all the same.
    pub recipient: Option<RecipientId>,
    /// The message, as its echo will name it. `None` as above.
    pub message_id: Option<String>,
    /// Meta's clock, in whole seconds, when it answered.
    pub server_date: Option<Timestamp>,
}

/// Why a call did not succeed. None of them shows the URL, the token or the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The account's id cannot be one of Meta's. Nothing was sent.
    #[error("the account id cannot be put into a path")]
    InvalidId,
    /// The token has characters that no token has. Nothing was sent.
    #[error("the token cannot be put into a header")]
    InvalidToken,
    /// There was no connection, so nothing was sent and nothing was counted by Meta: what was
    /// reserved for the call can be given back.
    #[error("no connection to the Graph API")]
    NotWritten,
    /// The connection broke or the time ran out after the request may have been written. Nobody
    /// knows whether Meta acted on it.
    #[error("no answer from the Graph API")]
    Unknown,
    /// Meta, or something on the way to it, answered with an error.
    #[error("refused: {error}")]
    Refused {
        /// The error.
        error: GraphError,
        /// For how long Meta asks not to be called; see [`usage::regain_access`].
        regain: Option<Duration>,
        /// The clock of whoever answered, in whole seconds.
        server_date: Option<Timestamp>,
    },
}

impl CallError {
    /// What the caller must do.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::InvalidId => Verdict::BadRequest,
            Self::InvalidToken => Verdict::TokenDead,
            Self::NotWritten => Verdict::Transient,
            Self::Unknown => Verdict::Ambiguous,
            Self::Refused { error, .. } => error.classify(),
        }
    }
}

impl GraphClient {
    /// Makes the client; once, since it keeps connections.
    ///
    /// # Errors
    ///
    /// When the configuration is wrong or TLS cannot be set up.
    pub fn new(config: GraphConfig) -> Result<Self, GraphConfigError> {
        let root = root(&config)?;
        let http = Client::builder()
            .user_agent(concat!("spillway/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(GraphConfigError::Client)?;
        Ok(Self { http, root })
    }

    /// Answers a comment with a DM: `POST /{account}/messages` (Meta, private replies, 30 Jun 2026).
    ///
    /// Meta takes one for each comment, within 7 days of it, or during the broadcast if it was made
    /// on one. The text is UTF-8 of at most 1,000 bytes, which is not checked here. `timeout` bounds
    /// the whole call; if it is no longer than [`CONNECT_TIMEOUT`], a connection that is not made
    /// counts as [`CallError::Unknown`].
    ///
    /// # Errors
    ///
    /// See [`CallError`], and [`CallError::verdict`] for what to do about it.
    pub async fn private_reply(
        &self,
        account: &AccountId,
        token: &SecretString,
        comment: &CommentId,
        text: &str,
        timeout: Duration,
    ) -> Result<Sent, CallError> {
        let message = PrivateReply {
            recipient: Recipient { comment_id: comment },
            message: Message { text },
        };
        let answer = self
            .http
            .post(self.messages_url(account)?)
            .header(AUTHORIZATION, bearer(token)?)
            .timeout(timeout)
            .json(&message)
            .send()
            .await
            .map_err(|error| match error.is_connect() || error.is_builder() {
                true => CallError::NotWritten,
                false => CallError::Unknown,
            })?;
        sent(answer).await
    }

    fn messages_url(&self, account: &AccountId) -> Result<Url, CallError> {
        if !json::is_id(account.as_str()) {
            return Err(CallError::InvalidId);
        }
        let mut url = self.root.clone();
        url.path_segments_mut()
            .map_err(|()| CallError::InvalidId)?
            .extend([account.as_str(), "messages"]);
        Ok(url)
    }
}

#[derive(Serialize)]
struct PrivateReply<'a> {
    recipient: Recipient<'a>,
    message: Message<'a>,
}

#[derive(Serialize)]
struct Recipient<'a> {
    comment_id: &'a CommentId,
}

#[derive(Serialize)]
struct Message<'a> {
    text: &'a str,
}

fn root(config: &GraphConfig) -> Result<Url, GraphConfigError> {
    let mut root = Url::parse(&config.base_url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none())
        .ok_or(GraphConfigError::BaseUrl)?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    config
        .version
        .strip_prefix('v')
        .and_then(|numbers| numbers.split_once('.'))
        .filter(|(major, minor)| is_number(major) && is_number(minor))
        .ok_or(GraphConfigError::Version)?;
    root.path_segments_mut()
        .map_err(|()| GraphConfigError::BaseUrl)?
        .pop_if_empty()
        .push(&config.version);
    Ok(root)
}

fn bearer(token: &SecretString) -> Result<HeaderValue, CallError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
        .map_err(|_| CallError::InvalidToken)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads the answer to a message. By its status alone it is known whether the message was sent, so
/// a body that breaks off changes nothing about that.
async fn sent(answer: Response) -> Result<Sent, CallError> {
    let status = answer.status();
    let server_date = server_date(answer.headers());
    let regain = usage::regain_access(answer.headers());
    let body = body(answer).await;
    if !status.is_success() {
        let error = GraphError::parse(status.as_u16(), &body);
        return Err(CallError::Refused { error, regain, server_date });
    }

    let body = String::from_utf8_lossy(&body);
    let ids = Object::parse(&body);
    Ok(Sent {
        recipient: ids.as_ref().and_then(|ids| ids.id("recipient_id")).map(RecipientId::new),
        message_id: ids.as_ref().and_then(|ids| ids.text("message_id")),
        server_date,
    })
}

/// What can be read of the body, up to [`ANSWER_BYTES_MAX`].
async fn body(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    body
}

fn server_date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(Timestamp::EPOCH + date.duration_since(UNIX_EPOCH).ok()?)
}

#[cfg(test)]
mod tests;
