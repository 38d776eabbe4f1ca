//! What upkeep needs beside: its list of accounts, their tokens and journals, and what it asks
//! Meta.

use std::time::Duration;

use async_trait::async_trait;
use spillway_core::budget::Revision;
use spillway_core::id::{AccountId, MediaId};
use spillway_core::journal::JournalEntry;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{TokenLife, Upkeep};
use spillway_meta::graph::{Answered, CallError, CommentItem, Me, MediaItem, Page, Subscription};
use spillway_service::account::SealedToken;
use spillway_service::port::{
    AccountGraph, Journal, KeptToken, LastSeen, MaintenanceRecord, MaintenanceRecords,
    MaintenanceSchedule, NextToken, Removal, StoreError, Tokens, UpkeepRequest,
};

use crate::host::Host;
use crate::meta::{Ask, Keep, Told};
use crate::scenario::Asked;
use crate::tables::Listed;
use crate::world::World;

const SETTLE: &str = "end the visit";

#[async_trait]
impl LastSeen for Host {
    async fn record_seen(&self, account: &AccountId, at: Timestamp) -> Result<(), StoreError> {
        self.store("note that webhooks come", |world| {
            world.event(format_args!("{account} was heard of at {at}"));
            world.saw_heard(account, at);
            let listed = world.tables.kept.listed.entry(account.clone());
            let listed = listed.or_insert_with(|| Listed { due: at, ..Listed::default() });
            listed.record.last_seen = Some(at).max(listed.record.last_seen);
        })
        .await
    }
}

#[async_trait]
impl MaintenanceSchedule for Host {
    async fn enroll(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        self.store("put the account on upkeep's list", |world| {
            world.tables.kept.listed.entry(account.clone()).or_default().due = now;
        })
        .await
    }

    async fn due(&self, now: Timestamp) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        self.store("list the accounts due for upkeep", |world| {
            let listed = world.tables.kept.listed.iter();
            let due = listed.filter(|(_, listed)| listed.due <= now);
            let mut due: Vec<_> = due.map(|(id, listed)| (id.clone(), listed.due)).collect();
            due.sort_by_key(|&(_, due)| due);
            due
        })
        .await
    }

    async fn visit(
        &self,
        account: &AccountId,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<Option<MaintenanceRecord>, StoreError> {
        let by = self.caller().invocation;
        let request = self.shared.world().dice.any();
        self.store("visit the account", |world| {
            let record = world.tables.kept.visit(account, due, until, request);
            world.event(format_args!("{by} visits {account}: {record:?}"));
            record
        })
        .await
    }

    async fn note(&self, account: &AccountId, upkeep: &Upkeep) -> Result<(), StoreError> {
        let by = self.caller().invocation;
        self.store(SETTLE, |world| {
            world.event(format_args!("{by} notes of {account}: {upkeep:?}"));
            world.tables.kept.note(account, upkeep);
        })
        .await
    }

    async fn settle(
        &self,
        account: &AccountId,
        until: Timestamp,
        upkeep: &Upkeep,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let by = self.caller().invocation;
        let is_settled = self
            .store(SETTLE, |world| {
                let is_settled = world.tables.kept.settle(account, until, upkeep, due);
                world.event(format_args!(
                    "{by} settles upkeep of {account} until {due}, {is_settled}: {upkeep:?}"
                ));
                is_settled
            })
            .await?;
        // Else somebody has asked for something: it stays due.
        if is_settled { Ok(()) } else { self.note(account, upkeep).await }
    }

    async fn ask(
        &self,
        account: &AccountId,
        request: &UpkeepRequest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.store("ask upkeep", |world| world.request(account, request, now)).await
    }

    async fn alias(&self, account: &AccountId, app_scoped: &str) -> Result<(), StoreError> {
        // The name on the account's own entry, then the entry of the name: two requests.
        for _ in 0..2 {
            self.store("put the account on upkeep's list", |world| {
                world.event(format_args!("{account} is named {app_scoped}"));
            })
            .await?;
        }
        Ok(())
    }

    async fn strike_off(&self, account: &AccountId, due: Timestamp) -> Result<bool, StoreError> {
        self.store("take the account off upkeep's list", |world| {
            let listed = world.tables.kept.listed.get(account);
            if listed.is_some_and(|listed| listed.due != due) {
                return false;
            }
            world.event(format_args!("{account} is struck off"));
            world.saw_struck_off(account);
            world.tables.kept.listed.remove(account);
            true
        })
        .await
    }
}

#[async_trait]
impl MaintenanceRecords for Host {
    async fn record(&self, account: &AccountId) -> Result<Option<MaintenanceRecord>, StoreError> {
        self.store("look at the account on upkeep's list", |world| {
            let listed = world.tables.kept.listed.get(account);
            listed.map(|listed| MaintenanceRecord { due: listed.due, ..listed.record.clone() })
        })
        .await
    }

    async fn accounts(&self) -> Result<Vec<AccountId>, StoreError> {
        self.store("list the accounts", |world| world.tables.kept.listed.keys().cloned().collect())
            .await
    }
}

#[async_trait]
impl Tokens for Host {
    async fn load(&self, account: &AccountId) -> Result<Option<KeptToken>, StoreError> {
        self.store("load the account's token", |world| {
            let is_connected = world.is_connected(account);
            world.tables.kept.tokens.get(account).filter(|_| is_connected).cloned()
        })
        .await
    }

    async fn note_life(
        &self,
        account: &AccountId,
        token: &SealedToken,
        life: TokenLife,
    ) -> Result<(), StoreError> {
        self.store("change the account's token", |world| {
            let kept = world.tables.kept.tokens.get_mut(account);
            if let Some(kept) = kept.filter(|kept| kept.token == *token) {
                kept.life = life;
            }
        })
        .await
    }

    async fn keep_next(
        &self,
        account: &AccountId,
        token: &SealedToken,
        next: &NextToken,
    ) -> Result<bool, StoreError> {
        let by = self.caller().invocation;
        self.store("change the account's token", |world| {
            let is_kept =
                world.is_connected(account) && world.tables.kept.keep_next(account, token, next);
            world.event(format_args!("{by} keeps the next token of {account}: {is_kept}"));
            is_kept
        })
        .await
    }

    async fn swap(&self, account: &AccountId, next: &NextToken) -> Result<bool, StoreError> {
        let by = self.caller().invocation;
        let is_there = self
            .store("change the account's token", |world| {
                let is_there =
                    world.is_connected(account) && world.tables.kept.swap(account, next, world.now);
                world.event(format_args!("{by} swaps the token of {account}: {is_there}"));
                is_there
            })
            .await?;
        if is_there {
            self.store("announce the change", |world| world.announce(account)).await?;
        }
        Ok(is_there)
    }

    async fn drop_next(&self, account: &AccountId, next: &NextToken) -> Result<(), StoreError> {
        self.store("change the account's token", |world| {
            world.tables.kept.drop_next(account, next);
        })
        .await
    }
}

#[async_trait]
impl Removal for Host {
    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError> {
        self.store("look up the account's revision", |world| world.revision_now(account)).await
    }

    async fn remove(
        &self,
        account: &AccountId,
        seen: Option<Revision>,
    ) -> Result<bool, StoreError> {
        let is_removed = self
            .store("remove the account", |world| {
                let stored = world.revision_now(account);
                let is_seen = stored.is_none() || stored == seen;
                if is_seen {
                    world.saw_removed(account);
                    world.remove(account);
                }
                is_seen
            })
            .await?;
        if is_removed {
            self.store("announce the change", |world| world.announce(account)).await?;
        }
        Ok(is_removed)
    }

    async fn deleted(&self, code: &str, _: Timestamp) -> Result<(), StoreError> {
        self.store("note the deletion", |world| {
            world.event(format_args!("the deletion {code} is done"));
        })
        .await
    }
}

#[async_trait]
impl Journal for Host {
    async fn append(&self, entry: &JournalEntry) -> Result<(), StoreError> {
        let caller = self.caller();
        self.store("write into the journal", |world| {
            world.event(format_args!(
                "{} tells of {}: {:?}",
                caller.invocation, entry.account, entry.what
            ));
            world.saw_told(caller, entry);
        })
        .await
    }

    async fn list(
        &self,
        _: &AccountId,
        _: Timestamp,
        _: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        // Only people read it.
        Ok(Vec::new())
    }
}

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
            Asked::Connect => self.connect(account),
        }
    }

    /// The account's settings are gone.
    fn remove(&mut self, account: &AccountId) {
        if self.is_connected(account) {
            self.event(format_args!("{account} is removed"));
            self.tables.kept.remove(account, self.now);
        }
    }

    /// The account is connected again, as the operator's tool does it.
    fn connect(&mut self, account: &AccountId) {
        let now = self.time();
        let listed = self.tables.kept.listed.get(account);
        if listed.is_some_and(|listed| listed.record.delete.is_some()) {
            // What was asked for before is done before.
            self.remove(account);
            self.announce(account);
            self.tables.kept.listed.remove(account);
        }
        // Meta may not answer when it is to be subscribed.
        let is_subscribed = self.dice.chance(0.8);
        let token = self.meta.connect(account, self.now, is_subscribed);
        self.event(format_args!("{account} is connected again, subscribed {is_subscribed}"));
        let ends_at = self.meta.token_ends(account, &token).map(Timestamp::from_millis);
        let life = TokenLife { obtained_at: Some(now), ends_at };
        self.tables.kept.connect(account, KeptToken { token, life, next: None }, now);
        self.announce(account);
        self.renew_token(account);
        self.tables.wake(account, now);
        self.saw_connected(account);
    }

    /// Something is asked of upkeep; the account is due at once.
    fn request(&mut self, account: &AccountId, request: &UpkeepRequest, now: Timestamp) {
        self.event(format_args!("asked of upkeep for {account}: {request:?}"));
        let listed = self.tables.kept.listed.entry(account.clone()).or_default();
        listed.due = now;
        match request {
            UpkeepRequest::Backfill => listed.record.backfill_asked_at = Some(now),
            UpkeepRequest::Deauthorize => listed.record.deauthorized_at = Some(now),
            UpkeepRequest::Delete { code } => listed.record.delete = Some(code.clone()),
        }
    }
}
