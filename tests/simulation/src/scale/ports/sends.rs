//! Sends: entries and batches.

use async_trait::async_trait;
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, OnceKey, RecipientId, SendId};
use spillway_core::once::Answers;
use spillway_core::send::{Outcome, PendingSend, StandIn, Step};
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{
    Closed, EndGuard, Entry, Lookup, NewSend, Read, Recorded, Sends, StoreError,
};
use spillway_service::send_task::SendTask;

use super::Ports;
use crate::scale::meter::{Cost, Table};
use crate::scale::store::Store;
use crate::scale::units::{batch_bytes, consistent, entry_bytes, read, write};

/// What one request may hold, as the adapters have it: reads, writes, and puts at a time.
const BATCH_GET: usize = 100;
const BATCH_WRITE: usize = 25;
const AT_ONCE: usize = 64;

/// Bytes that a query reads in one request at most.
const QUERY: usize = 1 << 20;

#[async_trait]
impl Sends for Ports {
    async fn look_up(
        &self,
        account: &AccountId,
        once: &[OnceKey],
        people: &[RecipientId],
        how: Read,
    ) -> Result<Lookup, StoreError> {
        let known = {
            let mut store = self.shared.store();
            for key in once.iter().cloned().chain(people.iter().map(OnceKey::person)) {
                let send = SendId { account: account.clone(), key };
                let cost = read(how, stored_bytes(&store, &send));
                store.ask(self.function, Table::Sends, &keys::entry(&send), cost);
            }
            let now = store.now;
            let found = people.iter().filter_map(|person| {
                Some((person.clone(), store.tables.person(account, person, now)?))
            });
            let people = found.collect();
            Lookup { keys: store.tables.known(account, once, now).into_iter().collect(), people }
        };
        self.ask_store((once.len() + people.len()).div_ceil(BATCH_GET)).await;
        Ok(known)
    }

    async fn replace_answered(
        &self,
        account: &AccountId,
        person: &RecipientId,
        before: Option<&Answers>,
        after: &Answers,
    ) -> Result<bool, StoreError> {
        let send = SendId { account: account.clone(), key: OnceKey::person(person) };
        let cost = self.update(&send);
        Ok(self
            .sends(&keys::entry(&send), cost, |store| {
                let now = store.now;
                store.tables.replace_answered(account, person, before, after, now)
            })
            .await)
    }

    async fn put_stand_in(
        &self,
        send: &SendId,
        stand_in: &StandIn,
        _: Timestamp,
    ) -> Result<(), StoreError> {
        let cost = self.update(send);
        self.sends(&keys::entry(send), cost, |store| {
            store.tables.put_stand_in(send, stand_in, store.now);
        })
        .await;
        Ok(())
    }

    async fn put_batches(&self, batches: &[OutboxBatch]) -> Result<(), StoreError> {
        for batch in batches {
            let cost = write(batch_bytes(batch));
            self.item(Table::State, &keys::waiting(&batch.account), cost, |store| {
                store.tables.put_batch(batch);
            });
        }
        self.ask_store(batches.len().div_ceil(BATCH_WRITE)).await;
        Ok(())
    }

    async fn record(&self, sends: &[NewSend]) -> Vec<Result<Recorded, StoreError>> {
        let mut recorded = Vec::with_capacity(sends.len());
        for chunk in sends.chunks(AT_ONCE) {
            recorded.extend(chunk.iter().map(|new| {
                let NewSend { outbox_key, send, answered } = new;
                let answered = answered.as_ref().map_or(0, |answered| answered.encode().len());
                let cost = write(entry_bytes(outbox_key, send) + answered);
                Ok(self.item(Table::Sends, &keys::entry(&send.id), cost, |store| {
                    store.tables.put_entry(new, store.now)
                }))
            }));
            self.ask_store(chunk.len()).await;
        }
        recorded
    }

    async fn step(
        &self,
        task: &SendTask,
        step: Step,
        _: StepNote<'_>,
    ) -> Result<Option<PendingSend>, StoreError> {
        let cost = self.update(&task.send);
        Ok(self
            .sends(&keys::entry(&task.send), cost, |store| store.tables.step(task, step, store.now))
            .await)
    }

    async fn finish(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
    ) -> Result<bool, StoreError> {
        let cost = self.update(&task.send);
        Ok(self
            .sends(&keys::entry(&task.send), cost, |store| {
                store.tables.end(task, outcome, note.at.as_millis())
            })
            .await)
    }

    async fn finish_followed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
        guard: EndGuard,
        follower: &NewSend,
    ) -> Result<bool, StoreError> {
        let cost = self.update(&task.send);
        Ok(self
            .sends(&keys::entry(&task.send), cost, |store| {
                let now = note.at.as_millis();
                store.tables.end_followed(task, outcome, guard, follower, now).0
            })
            .await)
    }

    async fn close(
        &self,
        send: &SendId,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<Closed, StoreError> {
        let cost = self.update(send);
        Ok(self
            .sends(&keys::entry(send), cost, |store| {
                store.tables.close(send, outcome, at.as_millis())
            })
            .await)
    }

    async fn unsent(&self, sends: &[SendId]) -> Result<Vec<SendId>, StoreError> {
        let unsent = {
            let mut store = self.shared.store();
            for send in sends {
                let cost = read(Read::Eventual, stored_bytes(&store, send));
                store.ask(self.function, Table::Sends, &keys::entry(send), cost);
            }
            store.tables.unsent(sends, u64::MAX)
        };
        self.ask_store(sends.len().div_ceil(BATCH_GET)).await;
        Ok(unsent)
    }

    async fn sent_as(&self, sends: &[SendId], message: &str) -> Result<bool, StoreError> {
        let is_it = {
            let mut store = self.shared.store();
            for send in sends {
                let cost = read(Read::Consistent, stored_bytes(&store, send));
                store.ask(self.function, Table::Sends, &keys::entry(send), cost);
            }
            store.tables.sent_as(sends, message)
        };
        self.ask_store(sends.len().div_ceil(BATCH_GET)).await;
        Ok(is_it)
    }

    async fn finish_unclaimed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let cost = self.update(&task.send);
        Ok(self
            .sends(&keys::entry(&task.send), cost, |store| {
                store.tables.end_at_epoch(task, outcome, at.as_millis())
            })
            .await)
    }

    async fn entries(&self, sends: &[SendId], how: Read) -> Result<Vec<Entry>, StoreError> {
        let entries = {
            let mut store = self.shared.store();
            let mut entry = |send| {
                let cost = read(how, stored_bytes(&store, send));
                store.ask(self.function, Table::Sends, &keys::entry(send), cost);
                store.tables.entry(send, u64::MAX)
            };
            sends.iter().map(&mut entry).collect()
        };
        self.ask_store(sends.len().div_ceil(BATCH_GET)).await;
        Ok(entries)
    }

    async fn batches(
        &self,
        account: &AccountId,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxBatch>, StoreError> {
        let (batches, requests) = {
            let mut store = self.shared.store();
            let batches = store.tables.batches(account, after, limit);
            let bytes: usize = batches.iter().map(batch_bytes).sum();
            let key = keys::waiting(account);
            store.ask(self.function, Table::State, &key, consistent(bytes));
            (batches, bytes.div_ceil(QUERY).max(1))
        };
        for _ in 0..requests {
            self.ask_store(1).await;
        }
        Ok(batches)
    }

    async fn rewrite(&self, next: &OutboxBatch) -> Result<bool, StoreError> {
        // The larger of what is there and what is written counts; what is removed counts as well.
        let stored = {
            let store = self.shared.store();
            let batch =
                store.tables.batches.get(&next.account).and_then(|of| of.get(&next.outbox_key));
            batch.map_or(0, batch_bytes)
        };
        let cost = write(stored.max(batch_bytes(next)));
        let key = keys::waiting(&next.account);
        Ok(self.state(&key, cost, |store| store.tables.rewrite(next).is_some()).await)
    }
}

impl Ports {
    /// What it costs to change an entry.
    fn update(&self, send: &SendId) -> Cost {
        write(stored_bytes(&self.shared.store(), send))
    }
}

/// The size of an entry. What is left of one that has ended, and none at all, count as small.
fn stored_bytes(store: &Store, send: &SendId) -> usize {
    let entry = store.tables.entries.get(send);
    let waiting = entry.and_then(|entry| Some((entry.outbox_key(), entry.waiting()?)));
    waiting.map_or(0, |(outbox_key, send)| entry_bytes(outbox_key, send))
}
