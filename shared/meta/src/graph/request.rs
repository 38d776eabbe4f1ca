//! What a call sends: the body of a message, and the header with the token.

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use spillway_core::id::{CommentId, RecipientId};

use super::CallError;

/// The body of `POST /{account}/messages`.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    recipient: To<'a>,
    message: Text<'a>,
}

/// Whom it is for: `{"comment_id": ..}` or `{"id": ..}`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum To<'a> {
    CommentId(&'a CommentId),
    Id(&'a RecipientId),
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
    /// Comes back in the message's echo. Meta takes up to 1,000 characters.
    metadata: &'a str,
}

/// The body of `POST /{comment}/replies`.
#[derive(Serialize)]
pub(super) struct PublicReply<'a> {
    pub(super) message: &'a str,
}

impl<'a> Message<'a> {
    /// To the author of a comment.
    pub(super) fn to_comment(comment: &'a CommentId, text: &'a str, metadata: &'a str) -> Self {
        Self { recipient: To::CommentId(comment), message: Text { text, metadata } }
    }

    /// To a person.
    pub(super) fn to_person(person: &'a RecipientId, text: &'a str, metadata: &'a str) -> Self {
        Self { recipient: To::Id(person), message: Text { text, metadata } }
    }
}

/// The value of `Authorization`, which nothing prints.
pub(super) fn bearer(token: &SecretString) -> Result<HeaderValue, CallError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
        .map_err(|_| CallError::InvalidToken)?;
    value.set_sensitive(true);
    Ok(value)
}
