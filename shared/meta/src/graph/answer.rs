//! What a call came to: the answers, read, and the errors.

use std::time::UNIX_EPOCH;

use reqwest::Response;
use reqwest::header::{DATE, HeaderMap};
use spillway_core::id::RecipientId;
use spillway_core::meta_error::MetaError;
use spillway_core::time::Timestamp;

use crate::error::{GraphError, Verdict};
use crate::json::Object;
use crate::time;
use crate::usage::Usage;

/// How much of an answer is read, in bytes. Most are below 1,000; a page of fifty comments, each of
/// 2,200 characters in escaped unicode, is the longest.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A message that Meta accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Whom it went to, the only way to learn the id by which the author of a comment is written to
    /// later. `None` when the answer could not be read; the message was sent all the same.
    pub recipient: Option<RecipientId>,
    /// The message's id, which its echo names too. `None` when the answer could not be read.
    pub message_id: Option<String>,
}

/// What a call was answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered<T> {
    /// The value that was asked for.
    pub value: T,
    /// The use of Meta's limits, this call included.
    pub usage: Usage,
    /// Meta's clock, in whole seconds, when it answered.
    pub server_date: Option<Timestamp>,
}

/// Why a call did not succeed. None of them shows the URL, the token or the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The id in the path cannot be one of Meta's. Nothing was sent.
    #[error("the id cannot be put into a path")]
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
    /// Meta answered `{"success": false}`: it has done nothing, and does not say why. It is seen
    /// where the app or the account lacks a right to what was asked for.
    #[error("Meta answered that it did not do it; a permission may be missing")]
    NotDone {
        /// The use of Meta's limits.
        usage: Usage,
        /// The clock of the server that answered, in whole seconds.
        server_date: Option<Timestamp>,
    },
    /// Meta, or something on the way to it, answered with an error.
    #[error("refused: {error}")]
    Refused {
        /// The error.
        error: GraphError,
        /// How full the limits are, and for how long Meta asks not to be called.
        usage: Usage,
        /// The clock of the server that answered, in whole seconds.
        server_date: Option<Timestamp>,
    },
}

/// The longest message id that is kept, in bytes. Meta's have some 180.
const MESSAGE_ID_BYTES_MAX: usize = 1024;

impl CallError {
    /// What the caller must do.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::InvalidId => Verdict::BadRequest,
            Self::InvalidToken => Verdict::TokenDead,
            Self::NotWritten => Verdict::Transient,
            Self::Unknown => Verdict::Ambiguous,
            Self::NotDone { .. } => Verdict::BadRequest,
            Self::Refused { error, .. } => error.classify(),
        }
    }

    /// Returns how full the limits are; nothing where Meta has not answered.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Refused { usage, .. } | Self::NotDone { usage, .. } => *usage,
            _ => Usage::default(),
        }
    }

    /// Returns the numbers of Meta's answer, if it refused the call.
    pub fn meta_error(&self) -> Option<MetaError> {
        match self {
            Self::Refused { error, .. } => Some(error.into()),
            _ => None,
        }
    }

    /// Returns Meta's clock, in whole seconds, when it answered.
    pub fn server_date(&self) -> Option<Timestamp> {
        match self {
            Self::Refused { server_date, .. } | Self::NotDone { server_date, .. } => *server_date,
            _ => None,
        }
    }
}

/// An answer that is no error. By its status alone it is known that Meta did what was asked, so a
/// body that breaks off or says nothing changes nothing about that.
pub(super) struct Success {
    body: String,
    usage: Usage,
    server_date: Option<Timestamp>,
}

impl Success {
    /// What `read` makes of the body. A read that cannot be read has told nothing: it counts as one
    /// without an answer.
    pub(super) fn into_answered<T>(
        self,
        read: impl FnOnce(&Object<'_>) -> Option<T>,
    ) -> Result<Answered<T>, CallError> {
        let value = Object::parse(&self.body).and_then(|body| read(&body));
        let value = value.ok_or(CallError::Unknown)?;
        Ok(Answered { value, usage: self.usage, server_date: self.server_date })
    }

    /// The answer `{"success": true}`. Without it nobody knows whether it was done.
    pub(super) fn into_done(self) -> Result<Answered<()>, CallError> {
        let (usage, server_date) = (self.usage, self.server_date);
        let said = self.into_answered(|answer| answer.get("success")?.parse::<bool>().ok())?;
        if said.value {
            Ok(Answered { value: (), usage, server_date })
        } else {
            Err(CallError::NotDone { usage, server_date })
        }
    }

    pub(super) fn into_sent(self) -> Answered<Sent> {
        let ids = Object::parse(&self.body);
        let value = Sent {
            recipient: ids.as_ref().and_then(|ids| ids.id("recipient_id")).map(RecipientId::new),
            message_id: ids
                .as_ref()
                .and_then(|ids| ids.text("message_id"))
                .filter(|id| id.len() <= MESSAGE_ID_BYTES_MAX),
        };
        Answered { value, usage: self.usage, server_date: self.server_date }
    }

    /// The id of a public reply.
    pub(super) fn into_replied(self) -> Answered<Sent> {
        let id = Object::parse(&self.body).and_then(|reply| reply.id("id"));
        let value = Sent { recipient: None, message_id: id };
        Answered { value, usage: self.usage, server_date: self.server_date }
    }

    pub(super) fn into_comment_author(self) -> Answered<Option<RecipientId>> {
        let from = Object::parse(&self.body).and_then(|comment| comment.object("from"));
        let value = from.and_then(|from| from.id("id").map(RecipientId::new));
        Answered { value, usage: self.usage, server_date: self.server_date }
    }

    pub(super) fn into_comment_time(self) -> Answered<Option<Timestamp>> {
        let timestamp = Object::parse(&self.body).and_then(|comment| comment.text("timestamp"));
        let value = timestamp.as_deref().and_then(time::parse);
        Answered { value, usage: self.usage, server_date: self.server_date }
    }
}

/// Reads an answer of either kind.
pub(super) async fn read(answer: Response) -> Result<Success, CallError> {
    let status = answer.status();
    let usage = Usage::read(answer.headers());
    let server_date = server_date(answer.headers());
    let body = body(answer).await;
    if !status.is_success() {
        let error = GraphError::parse(status.as_u16(), &body);
        return Err(CallError::Refused { error, usage, server_date });
    }
    Ok(Success { body: String::from_utf8_lossy(&body).into_owned(), usage, server_date })
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
