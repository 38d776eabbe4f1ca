//! What Meta says about an account when an operator asks: reads like upkeep's own, charged like
//! them.
//!
//! With Instagram Login no documented call tells which permissions a token has. So each
//! permission is tried by a read that needs it: who the account is, its conversations, the
//! comments of one media.

use futures::future::BoxFuture;
use spillway_core::time::Timestamp;
use spillway_meta::graph::{Me, MediaItem, Subscription};

use super::Upkeeper;
use super::caller::Caller;
use crate::account::Account;
use crate::gateway::read::{Ends, IfDead, NoAnswer};
use crate::port::StoreError;

/// What Meta said of an account.
#[derive(Debug)]
pub struct Examined {
    /// Whom its token is for.
    pub me: Result<Me, NoAnswer>,
    /// Which webhooks it is subscribed to.
    pub subscription: Result<Subscription, NoAnswer>,
    /// Whether the token may read conversations, and so send messages.
    pub messages: Result<(), NoAnswer>,
    /// Whether it may read comments.
    pub comments: Result<CommentsRead, NoAnswer>,
}

/// What a look at comments came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommentsRead {
    /// Those of a media could be read.
    Some,
    /// There is no media to read any of.
    NoMedia,
}

impl Upkeeper {
    /// Asks Meta who the account is and what it is subscribed to, with the token in use, and reads
    /// what takes each permission. The calls are charged to the account's budget, and left out
    /// where there is no room; what their answers tell of limits holds for everybody, and a token
    /// that is refused stops the account, as on a visit.
    ///
    /// # Errors
    /// Fails if the token cannot be opened.
    pub fn examine<'a>(
        &'a self,
        account: &'a Account,
    ) -> BoxFuture<'a, Result<Examined, StoreError>> {
        Box::pin(async move {
            let (id, token) = (&account.id, &account.token);
            self.graph.prepare(id, token).await?;
            // An operator has no invocation that ends.
            let caller = Caller {
                gateway: &self.gateway,
                account,
                token: token.clone(),
                deadline: Timestamp::NEVER,
                ends: Ends::Hold,
            };
            let me = caller
                .call(IfDead::Hold, async |timeout| self.graph.me(id, token, timeout).await)
                .await;
            let subscription = caller
                .call(IfDead::Hold, async |timeout| {
                    self.graph.subscription(id, token, timeout).await
                })
                .await;
            let messages = caller
                .call(IfDead::Hold, async |timeout| {
                    self.graph.conversations(id, token, timeout).await
                })
                .await;
            let comments = self.read_some(&caller).await;
            Ok(Examined { me, subscription, messages, comments })
        })
    }

    /// Reads comments of the newest media that has any.
    async fn read_some(&self, caller: &Caller<'_>) -> Result<CommentsRead, NoAnswer> {
        let (id, token) = (&caller.account.id, &caller.token);
        let media = caller
            .call(IfDead::Hold, async |timeout| self.graph.media(id, token, timeout).await)
            .await?
            .items;
        let is_commented = |media: &&MediaItem| media.comments.is_some_and(|count| count > 0);
        let Some(media) = media.iter().find(is_commented).or(media.first()) else {
            return Ok(CommentsRead::NoMedia);
        };
        caller
            .call(IfDead::Hold, async |timeout| {
                self.graph.comments(id, token, &media.id, None, timeout).await
            })
            .await
            .map(|_| CommentsRead::Some)
    }
}
