//! A ledger that forgets nobody.

use async_trait::async_trait;
use spillway_core::id::{AccountId, RecipientId, SendId};
use spillway_core::send::PendingSend;
use spillway_core::time::Timestamp;
use spillway_service::admin::sends::{Ledger, Part, Stored};
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::StoreError;

use super::Sabotaged;

#[async_trait]
impl Ledger for Sabotaged {
    async fn find(&self, send: &SendId) -> Result<Option<Stored>, StoreError> {
        self.host.find(send).await
    }

    async fn ended(&self, account: &AccountId, after: Option<&str>) -> Result<Part, StoreError> {
        self.host.ended(account, after).await
    }

    async fn reopen(
        &self,
        old: &Stored,
        outbox_key: &OutboxKey,
        send: &PendingSend,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.host.reopen(old, outbox_key, send, now).await
    }

    async fn write_tombstone(&self, _: &Stored, _: Timestamp) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn write_person_tombstone(
        &self,
        account: &AccountId,
        person: &RecipientId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.host.write_person_tombstone(account, person, now).await
    }

    async fn forget_unit(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<(), StoreError> {
        self.host.forget_unit(account, person).await
    }
}
