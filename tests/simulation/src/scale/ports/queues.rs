//! The two queues, and a Meta that takes every call.

use std::time::Duration;

use async_trait::async_trait;
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_meta::graph::{CallError, CommentTime, Sent};
use spillway_meta::usage::Usage;
use spillway_service::account::Account;
use spillway_service::clock::Clock;
use spillway_service::port::{Graph, Queued, ReleaseQueue, SendQueue, StoreError};

use super::Ports;
use crate::meta::millis;

/// The longest delay, in milliseconds.
const DELAY_MAX: u64 = 900_000;

#[async_trait]
impl SendQueue for Ports {
    async fn enqueue(&self, messages: &[Queued]) -> Vec<Result<(), StoreError>> {
        let mut store = self.shared.store();
        for Queued { ticket, delay } in messages {
            let delay = millis(*delay).next_multiple_of(1000).min(DELAY_MAX);
            store.send_ticket(ticket, delay);
        }
        messages.iter().map(|_| Ok(())).collect()
    }

    async fn bury(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl ReleaseQueue for Ports {
    async fn enqueue(&self, accounts: &[AccountId]) -> Result<(), StoreError> {
        let mut store = self.shared.store();
        for account in accounts {
            store.send_account(account);
        }
        Ok(())
    }
}

impl Ports {
    fn server_date(&self) -> Option<Timestamp> {
        Some(Timestamp::from_secs(self.shared.now().as_secs()))
    }

    fn written_to(&self, recipient: Option<&RecipientId>) -> Sent {
        self.shared.store().written += 1;
        Sent {
            recipient: recipient.cloned(),
            message_id: None,
            usage: Usage::default(),
            server_date: self.server_date(),
        }
    }
}

#[async_trait]
impl Graph for Ports {
    async fn private_reply(
        &self,
        _: &Account,
        _: &CommentId,
        _: &str,
        _: Duration,
    ) -> Result<Sent, CallError> {
        Ok(self.written_to(None))
    }

    async fn message(
        &self,
        _: &Account,
        recipient: &RecipientId,
        _: &str,
        _: Duration,
    ) -> Result<Sent, CallError> {
        Ok(self.written_to(Some(recipient)))
    }

    async fn comment_timestamp(
        &self,
        _: &Account,
        _: &CommentId,
        _: Duration,
    ) -> Result<CommentTime, CallError> {
        let server_date = self.server_date();
        Ok(CommentTime { created_at: server_date, usage: Usage::default(), server_date })
    }
}
