//! The two queues, and Meta.

use std::time::Duration;

use async_trait::async_trait;
use spillway_core::content::Message;
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_meta::error::GraphError;
use spillway_meta::graph::{Answered, CallError, CommentItem, Conversation, Page, Profile, Sent};
use spillway_meta::usage::Usage;
use spillway_service::account::Account;
use spillway_service::clock::Clock;
use spillway_service::port::{Graph, Queued, ReleaseQueue, SendQueue, StoreError};

use super::Ports;
use crate::meta::millis;
use crate::scale::one::Reply;
use crate::scale::plan::{author, nth};
use crate::scale::stopwatch::Server;
use crate::scale::talks::Followers;

/// Messages in a request, and requests at a time, as the adapter has it.
const BATCH: usize = 10;
const AT_ONCE: usize = 8;

/// The longest delay, in milliseconds.
const DELAY_MAX: u64 = 900_000;

#[async_trait]
impl SendQueue for Ports {
    async fn enqueue(&self, messages: &[Queued]) -> Vec<Result<(), StoreError>> {
        {
            let mut store = self.shared.store();
            for Queued { task, delay } in messages {
                let delay = millis(*delay).next_multiple_of(1000).min(DELAY_MAX);
                store.send_task(task, delay);
            }
        }
        self.send_batches(messages.len()).await;
        messages.iter().map(|_| Ok(())).collect()
    }

    async fn dead_letter(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl ReleaseQueue for Ports {
    async fn enqueue(&self, accounts: &[AccountId]) -> Result<(), StoreError> {
        {
            let mut store = self.shared.store();
            for account in accounts {
                store.send_account(account);
            }
        }
        self.send_batches(accounts.len()).await;
        Ok(())
    }
}

impl Ports {
    /// Ten messages a request, with eight requests at a time. None comes near 64 KB: a message has
    /// some hundred bytes.
    async fn send_batches(&self, messages: usize) {
        let mut requests = messages.div_ceil(BATCH);
        while requests > 0 {
            let at_once = requests.min(AT_ONCE);
            self.shared.request(Server::Queue, at_once).await;
            requests -= at_once;
        }
    }

    fn call(&self, comment: &CommentId) -> Result<Answered<Sent>, CallError> {
        let now = self.shared.now();
        let server_date = Some(Timestamp::from_secs(now.as_secs()));
        let mut store = self.shared.store();
        match store.meta.reply(now, nth(comment)) {
            Reply::Accepted => {
                store.written += 1;
                Ok(answered(Sent::default(), now))
            }
            Reply::Limited { regain_at } => {
                let regain = Some(regain_at.since(now));
                let usage = Usage { regain, ..Usage::default() };
                Err(CallError::Refused { error: error(613, None), usage, server_date })
            }
            Reply::TooLate => {
                let error = error(10, Some(2_534_022));
                Err(CallError::Refused { error, usage: Usage::default(), server_date })
            }
        }
    }
}

#[async_trait]
impl Graph for Ports {
    async fn prepare(&self, _: &Account) -> Result<(), StoreError> {
        Ok(())
    }

    async fn private_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        _: &Message,
        _: &str,
        _: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        let answer = self.call(comment);
        if self.shared.plan.talks.is_some()
            && answer.is_ok()
            && let Some(person) = author(comment)
        {
            let mut store = self.shared.store();
            let now = store.now;
            store.talks.opened(&account.id, &person, now);
        }
        self.shared.request(Server::Graph, 1).await;
        answer
    }

    async fn message(
        &self,
        account: &Account,
        person: &RecipientId,
        said: &Message,
        _: &str,
        _: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        let now = self.shared.now();
        {
            let mut store = self.shared.store();
            store.written += 1;
            store.talks.got(&account.id, person, said, now.as_millis());
        }
        self.shared.request(Server::Graph, 1).await;
        Ok(answered(Sent::default(), now))
    }

    async fn public_reply(
        &self,
        _: &Account,
        _: &CommentId,
        _: &str,
        _: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        // No campaign makes any.
        Err(CallError::InvalidId)
    }

    async fn replies(
        &self,
        _: &Account,
        _: &CommentId,
        _: Duration,
    ) -> Result<Answered<Page<CommentItem>>, CallError> {
        Err(CallError::InvalidId)
    }

    async fn comment_timestamp(
        &self,
        _: &Account,
        _: &CommentId,
        _: Duration,
    ) -> Result<Answered<Option<Timestamp>>, CallError> {
        Ok(Answered::default())
    }

    async fn comment_author(
        &self,
        _: &Account,
        _: &CommentId,
        _: Duration,
    ) -> Result<Answered<Option<RecipientId>>, CallError> {
        Ok(Answered::default())
    }

    async fn conversation(
        &self,
        _: &Account,
        _: &RecipientId,
        _: Duration,
    ) -> Result<Answered<Option<Conversation>>, CallError> {
        Ok(Answered::default())
    }

    async fn profile(
        &self,
        account: &Account,
        person: &RecipientId,
        _: Duration,
    ) -> Result<Answered<Profile>, CallError> {
        // Only conversations ask.
        let followers = self.shared.plan.talks.unwrap_or(Followers::None);
        let profile = self.shared.store().talks.profile(&account.id, person, followers);
        self.shared.request(Server::Graph, 1).await;
        Ok(answered(profile, self.shared.now()))
    }
}

fn answered<T>(value: T, now: Timestamp) -> Answered<T> {
    let server_date = Some(Timestamp::from_secs(now.as_secs()));
    Answered { value, usage: Usage::default(), server_date }
}

fn error(code: i64, subcode: Option<i64>) -> GraphError {
    GraphError { status: 400, code: Some(code), subcode, is_metas: true, ..GraphError::default() }
}
