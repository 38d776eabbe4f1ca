//! Meta's Graph API with the tokens of the accounts: the `Graph` port as the sender uses it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use spillway_core::content::Message;
use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_meta::graph::{
    Answered, CallError, CommentItem, CommentRead, Conversation, GraphClient, Me, MediaItem, Page,
    Profile, Sent, Subscription,
};
use spillway_service::account::{Account, SealedToken};
use spillway_service::port::{AccountGraph, CommentReader, Graph, StoreError};
use tracing::warn;

use crate::token::TokenKeys;

/// The client, and what opens tokens.
pub struct MetaGraph {
    /// The client.
    pub client: GraphClient,
    /// The data keys.
    pub keys: Arc<TokenKeys>,
}

impl MetaGraph {
    /// The token, opened without a request: a grant is running.
    fn token(&self, account: &Account) -> Result<SecretString, CallError> {
        self.open(&account.id, &account.token)
    }

    fn open(&self, account: &AccountId, token: &SealedToken) -> Result<SecretString, CallError> {
        self.keys.open(account, token).map_err(|_| CallError::NotWritten)
    }
}

#[async_trait]
impl Graph for MetaGraph {
    async fn prepare(&self, account: &Account) -> Result<(), StoreError> {
        self.keys.prepare(&account.id, &account.token).await
    }

    async fn private_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        message: &Message,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        let token = self.token(account)?;
        self.client.private_reply(&account.id, &token, comment, message, metadata, timeout).await
    }

    async fn message(
        &self,
        account: &Account,
        recipient: &RecipientId,
        message: &Message,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        let token = self.token(account)?;
        self.client.message(&account.id, &token, recipient, message, metadata, timeout).await
    }

    async fn public_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        text: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        let token = self.token(account)?;
        self.client.public_reply(&token, comment, text, timeout).await
    }

    async fn replies(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Page<CommentItem>>, CallError> {
        let token = self.token(account)?;
        self.client.replies(&token, comment, timeout).await
    }

    async fn comment_timestamp(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<Timestamp>>, CallError> {
        let token = self.token(account)?;
        self.client.comment_timestamp(&token, comment, timeout).await
    }

    async fn comment_author(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<RecipientId>>, CallError> {
        let token = self.token(account)?;
        self.client.comment_author(&token, comment, timeout).await
    }

    async fn conversation(
        &self,
        account: &Account,
        person: &RecipientId,
        timeout: Duration,
    ) -> Result<Answered<Option<Conversation>>, CallError> {
        let token = self.token(account)?;
        self.client.conversation(&account.id, &token, person, timeout).await
    }

    async fn profile(
        &self,
        account: &Account,
        person: &RecipientId,
        timeout: Duration,
    ) -> Result<Answered<Profile>, CallError> {
        let token = self.token(account)?;
        self.client.profile(&token, person, timeout).await
    }
}

/// The same for upkeep, which has tokens that are not in use yet.
#[async_trait]
impl CommentReader for MetaGraph {
    async fn prepare(&self, account: &Account) -> Result<(), StoreError> {
        self.keys.prepare(&account.id, &account.token).await
    }

    async fn comment(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<CommentRead>, CallError> {
        let token = self.token(account)?;
        self.client.comment(&token, comment, timeout).await
    }
}

#[async_trait]
impl AccountGraph for MetaGraph {
    async fn prepare(&self, account: &AccountId, token: &SealedToken) -> Result<(), StoreError> {
        self.keys.prepare(account, token).await
    }

    async fn refresh(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<(SealedToken, Option<Duration>)>, CallError> {
        let opened = self.open(account, token)?;
        let Answered { value, usage, server_date } =
            self.client.refresh_token(&opened, timeout).await?;
        // One that cannot be sealed is lost; the old one stays good, and another is had later.
        let sealed = self.keys.seal(account, &value.token).await.map_err(|error| {
            warn!(%account, %error, "a new token cannot be sealed");
            CallError::Unknown
        })?;
        Ok(Answered { value: (sealed, value.lasts), usage, server_date })
    }

    async fn me(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Me>, CallError> {
        self.client.me(&self.open(account, token)?, timeout).await
    }

    async fn conversations(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<()>, CallError> {
        self.client.conversations(account, &self.open(account, token)?, timeout).await
    }

    async fn subscription(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Subscription>, CallError> {
        self.client.subscription(account, &self.open(account, token)?, timeout).await
    }

    async fn subscribe(
        &self,
        account: &AccountId,
        token: &SealedToken,
        fields: &[&str],
        timeout: Duration,
    ) -> Result<Answered<()>, CallError> {
        self.client.subscribe(account, &self.open(account, token)?, fields, timeout).await
    }

    async fn media(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Page<MediaItem>>, CallError> {
        self.client.media(account, &self.open(account, token)?, None, timeout).await
    }

    async fn pictures(
        &self,
        account: &AccountId,
        token: &SealedToken,
        media: &MediaId,
        timeout: Duration,
    ) -> Result<Answered<Vec<MediaId>>, CallError> {
        self.client.pictures(media, &self.open(account, token)?, timeout).await
    }

    async fn comments(
        &self,
        account: &AccountId,
        token: &SealedToken,
        media: &MediaId,
        after: Option<&str>,
        timeout: Duration,
    ) -> Result<Answered<Page<CommentItem>>, CallError> {
        self.client.comments(media, &self.open(account, token)?, after, timeout).await
    }
}
