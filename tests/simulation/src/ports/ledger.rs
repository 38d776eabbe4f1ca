//! Stored sends as operators see and change them.

use async_trait::async_trait;
use spillway_core::id::{AccountId, OnceKey, RecipientId, SendId};
use spillway_core::send::PendingSend;
use spillway_core::time::Timestamp;
use spillway_service::admin::sends::{Ledger, Part, Stored};
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::StoreError;

use crate::host::Host;
use crate::watch::Caller;
use crate::world::World;

/// Entries that one request looks at.
const PART: usize = 100;

#[async_trait]
impl Ledger for Host {
    async fn find(&self, send: &SendId) -> Result<Option<Stored>, StoreError> {
        self.store("look up the send", |world| {
            world.tables.entries.get(send).map(|entry| entry.stored(send))
        })
        .await
    }

    async fn ended(&self, account: &AccountId, after: Option<&str>) -> Result<Part, StoreError> {
        let from = SendId { account: account.clone(), key: OnceKey::new(after.unwrap_or("")) };
        self.store("list sends", |world| {
            let entries = world.tables.entries.range(&from..);
            let of_account = entries.take_while(|(send, _)| send.account == *account);
            let part: Vec<_> = of_account.take(PART + 1).collect();
            let next = part.get(PART).map(|(send, _)| send.key.as_str().to_owned());
            let part = &part[..part.len().min(PART)];
            let ended = part.iter().filter(|(_, entry)| entry.ended().is_some());
            let sends = ended.map(|(send, entry)| entry.stored(send)).collect();
            Part { sends, looked_at: part.len(), next }
        })
        .await
    }

    async fn reopen(
        &self,
        old: &Stored,
        outbox_key: &OutboxKey,
        send: &PendingSend,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        let caller = self.caller();
        self.store("let the send wait again", |world| world.reopen(caller, old, outbox_key, send))
            .await
    }

    async fn write_tombstone(&self, old: &Stored, _: Timestamp) -> Result<bool, StoreError> {
        // The tombstone has an item of its own: another request.
        self.store("leave a tombstone", |_| ()).await?;
        let caller = self.caller();
        self.store("forget a person", |world| {
            let is_forgotten = world.tables.forget(old, world.now);
            world.event(format_args!(
                "{} {} is forgotten: {is_forgotten}",
                caller.invocation, old.id
            ));
            is_forgotten
        })
        .await
    }

    async fn write_person_tombstone(
        &self,
        account: &AccountId,
        person: &RecipientId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = (account.clone(), person.clone());
        self.store("leave a person's tombstone", |world| {
            world.event(format_args!("{person} is forgotten"));
            world.tables.forgotten.insert(key.clone(), now);
        })
        .await
    }

    async fn forget_unit(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<(), StoreError> {
        let key = (account.clone(), person.clone());
        self.store("forget a person's unit", |world| {
            world.event(format_args!("the unit of {person} is forgotten"));
            world.tables.counted.remove(&key);
        })
        .await
    }
}

impl World {
    fn reopen(
        &mut self,
        caller: Caller,
        old: &Stored,
        outbox_key: &OutboxKey,
        send: &PendingSend,
    ) -> bool {
        let is_new = self.tables.reopen(old, outbox_key, send, self.now);
        if is_new {
            self.event(format_args!("{} lets {} wait again", caller.invocation, send.id));
            self.saw_reopened(&send.id, outbox_key);
        }
        // The write's own, tried again.
        self.tables.waiting_at(outbox_key, &send.id).is_some()
    }
}
