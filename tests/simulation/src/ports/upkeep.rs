//! What upkeep asks Meta, and what people do with accounts.

use std::time::Duration;

use async_trait::async_trait;
use spillway_core::id::{AccountId, MediaId};
use spillway_core::time::Timestamp;
use spillway_meta::graph::{Answered, CallError, CommentItem, Me, MediaItem, Page, Subscription};
use spillway_service::account::SealedToken;
use spillway_service::port::{AccountGraph, StoreError, UpkeepRequest};

use crate::host::Host;
use crate::meta::{Ask, Keep, Told};
use crate::scenario::Asked;
use crate::world::World;

impl Host {
    /// Asks Meta for something that upkeep needs, and takes from the answer what `of` finds there.
    async fn keep<T>(
        &self,
        account: &AccountId,
        token: &SealedToken,
        keep: Keep,
        timeout: Duration,
        of: impl FnOnce(Told) -> Option<T>,
    ) -> Result<Answered<T>, CallError> {
        let (sent, told) = self.ask(account, token, Ask::Keep(keep), timeout).await?;
        let Answered { usage, server_date, .. } = sent;
        // An answer that tells of something else is none that can be read.
        let value = of(told).ok_or(CallError::Unknown)?;
        Ok(Answered { value, usage, server_date })
    }
}

#[async_trait]
impl AccountGraph for Host {
    async fn prepare(&self, _: &AccountId, _: &SealedToken) -> Result<(), StoreError> {
        Ok(())
    }

    async fn refresh(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<(SealedToken, Option<Duration>)>, CallError> {
        let next = |told| match told {
            Told::Token(next, lasts) => Some((next, Some(lasts))),
            _ => None,
        };
        self.keep(account, token, Keep::Refresh, timeout, next).await
    }

    async fn me(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Me>, CallError> {
        let username = self.shared.world().scenario.account(account).map(|plan| plan.username());
        let me = Me {
            account: account.clone(),
            app_scoped: Some(format!("9{account}")),
            username,
            kind: None,
        };
        self.keep(account, token, Keep::Me, timeout, |_| Some(me)).await
    }

    async fn conversations(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<()>, CallError> {
        self.keep(account, token, Keep::Conversations, timeout, |_| Some(())).await
    }

    async fn subscription(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Subscription>, CallError> {
        let subscription = |told| match told {
            Told::Subscription(subscription) => Some(subscription),
            _ => None,
        };
        self.keep(account, token, Keep::Subscription, timeout, subscription).await
    }

    async fn subscribe(
        &self,
        account: &AccountId,
        token: &SealedToken,
        _: &[&str],
        timeout: Duration,
    ) -> Result<Answered<()>, CallError> {
        self.keep(account, token, Keep::Subscribe, timeout, |_| Some(())).await
    }

    async fn media(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Page<MediaItem>>, CallError> {
        let media = |told| match told {
            Told::Media(page) => Some(page),
            _ => None,
        };
        self.keep(account, token, Keep::Media, timeout, media).await
    }

    async fn pictures(
        &self,
        account: &AccountId,
        token: &SealedToken,
        _: &MediaId,
        timeout: Duration,
    ) -> Result<Answered<Vec<MediaId>>, CallError> {
        let pictures = |told| matches!(told, Told::Pictures).then(Vec::new);
        self.keep(account, token, Keep::Pictures, timeout, pictures).await
    }

    async fn comments(
        &self,
        account: &AccountId,
        token: &SealedToken,
        media: &MediaId,
        after: Option<&str>,
        timeout: Duration,
    ) -> Result<Answered<Page<CommentItem>>, CallError> {
        let comments = |told| match told {
            Told::Comments(page) => Some(page),
            _ => None,
        };
        let keep = Keep::Comments(media.clone(), after.map(str::to_owned));
        self.keep(account, token, keep, timeout, comments).await
    }
}

impl World {
    /// Somebody does something with an account.
    pub(crate) fn asked(&mut self, account: &AccountId, asked: Asked) {
        let now = self.time();
        match asked {
            Asked::Backfill => self.request(account, &UpkeepRequest::Backfill, now),
            Asked::Deauthorize => {
                self.meta.withdraw(account, self.now);
                self.request(account, &UpkeepRequest::Deauthorize, now);
            }
            Asked::Delete => {
                self.meta.withdraw(account, self.now);
                self.request(
                    account,
                    &UpkeepRequest::Delete { code: format!("of {account}") },
                    now,
                );
            }
            // The operator's tool does it.
            Asked::Connect => {}
        }
    }

    /// Something is asked of upkeep; the account is due at once.
    fn request(&mut self, account: &AccountId, request: &UpkeepRequest, now: Timestamp) {
        self.event(format_args!("asked of upkeep for {account}: {request:?}"));
        self.tables.kept.ask(account, request, now);
    }
}
