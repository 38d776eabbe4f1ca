//! The calls to the Graph API. One method is one request: nothing here retries, follows a redirect
//! or waits, because every attempt costs a unit of a budget that the caller keeps.

mod account;
mod answer;
mod comments;
mod conversation;
mod profile;
mod request;
mod token;

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{Client, RequestBuilder, Url, redirect, retry};
use secrecy::SecretString;
use spillway_core::content;
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::time::Timestamp;

pub use self::account::{Me, Subscription};
use self::answer::Success;
pub use self::answer::{Answered, CallError, Sent};
pub use self::comments::{CommentItem, CommentRead, MediaItem, Page};
pub use self::conversation::{Conversation, MessageItem};
pub use self::profile::Profile;
use self::request::{Message, bearer};
pub use self::token::{App, Granted, NewToken};
use crate::{http, json};

/// How long a connection may take to be made. It counts towards the timeout of the call.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an unused connection is kept. The shorter, the rarer is a call on a connection that
/// Meta has just closed, and nobody knows whether the request was read.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// `base_url` is neither an `https` URL nor an `http` URL of this machine.
    #[error(
        "the base URL of the Graph API is neither an https URL nor an http URL of this machine"
    )]
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

impl GraphClient {
    /// Makes the client; once, since it keeps connections.
    ///
    /// # Errors
    ///
    /// When the configuration is wrong or TLS cannot be set up.
    pub fn new(config: GraphConfig) -> Result<Self, GraphConfigError> {
        let root = root(&config)?;
        let http = http::client()
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

    /// Answers a comment with a DM: `POST /{account}/messages` (Meta, private replies, 30 Jun
    /// 2026).
    ///
    /// Meta takes one for each comment, within 7 days of it, or during the broadcast if it was made
    /// on one. That is no protection against a second DM: after an error of Meta's servers a repeat
    /// was seen to arrive too (23 August 2026). Anything but a text may be refused if the person does
    /// not follow the account, and the refused call uses the comment's only reply up. `metadata`
    /// comes back in the message's echo. `timeout` bounds the whole call; if it is no longer than
    /// [`CONNECT_TIMEOUT`], a connection that is not made counts as [`CallError::Unknown`].
    ///
    /// # Errors
    ///
    /// See [`CallError`], and [`CallError::verdict`] for what to do about it.
    pub async fn private_reply(
        &self,
        account: &AccountId,
        token: &SecretString,
        comment: &CommentId,
        message: &content::Message,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        self.send(account, token, &Message::to_comment(comment, message, metadata), timeout).await
    }

    /// Writes to a person: `POST /{account}/messages` (Meta, Instagram Login, send messages, 2026).
    ///
    /// Meta takes it within 24 hours of that person's last message to the account; a private reply
    /// that they have not answered opens nothing. Within that time it may have buttons, quick replies
    /// or a card. `metadata` and `timeout` as for [`private_reply`](Self::private_reply). A repeat
    /// after [`CallError::Unknown`] may arrive twice: there is no idempotency key.
    ///
    /// # Errors
    ///
    /// See [`CallError`], and [`CallError::verdict`] for what to do about it.
    pub async fn message(
        &self,
        account: &AccountId,
        token: &SecretString,
        recipient: &RecipientId,
        message: &content::Message,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        self.send(account, token, &Message::to_person(recipient, message, metadata), timeout).await
    }

    /// When a comment was made: `GET /{comment}?fields=timestamp`, with the token of the account
    /// whose media it is on. No webhook says so, and the seven days of a private reply count from
    /// it. `timeout` as for [`private_reply`](Self::private_reply).
    ///
    /// # Errors
    ///
    /// See [`CallError`]. It is a read: after [`CallError::Unknown`] it can be repeated.
    pub async fn comment_timestamp(
        &self,
        token: &SecretString,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<Timestamp>>, CallError> {
        let mut url = self.url(comment.as_str(), None)?;
        url.query_pairs_mut().append_pair("fields", "timestamp");
        self.call(self.http.get(url), token, timeout).await.map(Success::into_comment_time)
    }

    /// Who wrote a comment: `GET /{comment}?fields=from`, where no webhook has said so. `None` if
    /// Meta does not say so either. `timeout` as for [`private_reply`](Self::private_reply).
    ///
    /// # Errors
    ///
    /// See [`CallError`]. It is a read: after [`CallError::Unknown`] it can be repeated.
    pub async fn comment_author(
        &self,
        token: &SecretString,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<RecipientId>>, CallError> {
        let mut url = self.url(comment.as_str(), None)?;
        url.query_pairs_mut().append_pair("fields", "from");
        self.call(self.http.get(url), token, timeout).await.map(Success::into_comment_author)
    }

    async fn send(
        &self,
        account: &AccountId,
        token: &SecretString,
        message: &Message<'_>,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        let url = self.url(account.as_str(), Some("messages"))?;
        let request = self.http.post(url).json(message);
        self.call(request, token, timeout).await.map(Success::into_sent)
    }

    async fn call(
        &self,
        request: RequestBuilder,
        token: &SecretString,
        timeout: Duration,
    ) -> Result<Success, CallError> {
        self.send_request(request.header(AUTHORIZATION, bearer(token)?), timeout).await
    }

    /// A request whose URL or body may hold a secret: no error of it shows either.
    async fn send_request(
        &self,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<Success, CallError> {
        let sent = request.timeout(timeout).send().await;
        let answer = sent.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                CallError::NotWritten
            } else {
                CallError::Unknown
            }
        })?;
        answer::read(answer).await
    }

    /// The URL of an object, or of one of its edges. Ids come from webhooks and settings, so only
    /// what can be an id is put into a path.
    fn url(&self, object: &str, edge: Option<&str>) -> Result<Url, CallError> {
        if !json::is_id(object) {
            return Err(CallError::InvalidId);
        }
        let mut url = self.root.clone();
        url.path_segments_mut().map_err(|()| CallError::InvalidId)?.push(object).extend(edge);
        Ok(url)
    }
}

/// Whether nobody on the way reads what is sent to this address: it is an HTTPS one, or one of this
/// machine's own.
pub fn is_private(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || url.scheme() == "http" && is_loopback
}

fn root(config: &GraphConfig) -> Result<Url, GraphConfigError> {
    let mut root = Url::parse(&config.base_url)
        .ok()
        .filter(|url| is_private(url) && url.query().is_none())
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

#[cfg(test)]
mod tests;
