//! Meta's Graph API.

use super::StoreError;
use crate::account::{Account, SealedToken};
use async_trait::async_trait;
use spillway_core::content::Message;
use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_meta::graph::{
    self, Answered, CallError, CommentItem, CommentRead, Conversation, Me, MediaItem, Profile,
    Sent, Subscription,
};
use std::time::Duration;

/// The calls to Meta's Graph API that delivering needs. Each call gives up after `timeout`.
#[async_trait]
pub trait Graph: Send + Sync {
    /// Decrypts the account's token. It is called before a unit is taken, because it may take
    /// longer than a grant lasts.
    async fn prepare(&self, account: &Account) -> Result<(), StoreError>;

    /// Answers a comment with a DM, whose echo will carry `metadata`.
    async fn private_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        message: &Message,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError>;

    /// Writes to a person who has written within the last day. The echo will carry `metadata`.
    async fn message(
        &self,
        account: &Account,
        recipient: &RecipientId,
        message: &Message,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError>;

    /// Answers a comment in public. [`Sent::message_id`] is the reply's id.
    async fn public_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        text: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError>;

    /// Reads the replies to a comment, the first page of them.
    async fn replies(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<graph::Page<CommentItem>>, CallError>;

    /// Asks when a comment on the account's media was made.
    async fn comment_timestamp(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<Timestamp>>, CallError>;

    /// Asks who wrote a comment on the account's media.
    async fn comment_author(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<RecipientId>>, CallError>;

    /// Reads the newest messages of the conversation with a person, if there is one.
    async fn conversation(
        &self,
        account: &Account,
        person: &RecipientId,
        timeout: Duration,
    ) -> Result<Answered<Option<Conversation>>, CallError>;

    /// Reads what Meta tells of a person: nothing, unless they have written to the account or tapped
    /// a button of its messages.
    async fn profile(
        &self,
        account: &Account,
        person: &RecipientId,
        timeout: Duration,
    ) -> Result<Answered<Profile>, CallError>;
}

/// Reads comments, for operators.
#[async_trait]
pub trait CommentReader: Send + Sync {
    /// Decrypts the account's token, as [`Graph::prepare`] does.
    async fn prepare(&self, account: &Account) -> Result<(), StoreError>;

    /// Reads a comment on the account's media.
    async fn comment(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<CommentRead>, CallError>;
}

/// The calls to Meta's Graph API that upkeep needs. Each call gives up after `timeout`.
#[async_trait]
pub trait AccountGraph: Send + Sync {
    /// Decrypts the token. It is called before a unit is taken, because it may take longer than a
    /// grant lasts.
    async fn prepare(&self, account: &AccountId, token: &SealedToken) -> Result<(), StoreError>;

    /// Returns the next token, sealed, and for how long it is valid.
    async fn refresh(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<(SealedToken, Option<Duration>)>, CallError>;

    /// Returns the account that the token is for.
    async fn me(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Me>, CallError>;

    /// Reads its conversations, which needs the permission to send messages.
    async fn conversations(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<()>, CallError>;

    /// Returns the webhook fields that the account is subscribed to.
    async fn subscription(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Subscription>, CallError>;

    /// Subscribes it to these webhook fields.
    async fn subscribe(
        &self,
        account: &AccountId,
        token: &SealedToken,
        fields: &[&str],
        timeout: Duration,
    ) -> Result<Answered<()>, CallError>;

    /// Returns its newest media.
    async fn media(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<graph::Page<MediaItem>>, CallError>;

    /// Returns the media that a media consists of: none, unless it is an album.
    async fn pictures(
        &self,
        account: &AccountId,
        token: &SealedToken,
        media: &MediaId,
        timeout: Duration,
    ) -> Result<Answered<Vec<MediaId>>, CallError>;

    /// Returns a page of a media's comments.
    async fn comments(
        &self,
        account: &AccountId,
        token: &SealedToken,
        media: &MediaId,
        after: Option<&str>,
        timeout: Duration,
    ) -> Result<Answered<graph::Page<CommentItem>>, CallError>;
}
