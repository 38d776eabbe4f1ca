//! Meta's Graph API with the tokens of the accounts: the `Graph` port as the sender uses it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use spillway_core::id::{CommentId, RecipientId};
use spillway_meta::graph::{CallError, CommentTime, GraphClient, Sent};
use spillway_service::account::Account;
use spillway_service::port::{Graph, StoreError};

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
        self.keys.open(&account.id, &account.token).map_err(|_| CallError::NotWritten)
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
        text: &str,
        timeout: Duration,
    ) -> Result<Sent, CallError> {
        let token = self.token(account)?;
        self.client.private_reply(&account.id, &token, comment, text, timeout).await
    }

    async fn message(
        &self,
        account: &Account,
        recipient: &RecipientId,
        text: &str,
        timeout: Duration,
    ) -> Result<Sent, CallError> {
        let token = self.token(account)?;
        self.client.message(&account.id, &token, recipient, text, timeout).await
    }

    async fn comment_timestamp(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<CommentTime, CallError> {
        let token = self.token(account)?;
        self.client.comment_timestamp(&token, comment, timeout).await
    }
}
