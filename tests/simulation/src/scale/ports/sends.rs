//! Sends: entries and places.

use std::collections::HashSet;

use async_trait::async_trait;
use spillway_core::id::{AccountId, EventId, SendId};
use spillway_core::send::{Outcome, Step, Waiting};
use spillway_core::time::Timestamp;
use spillway_service::port::{Entry, Read, Recorded, Sends, StoreError};
use spillway_service::ticket::{Place, Ticket};

use super::Ports;
use crate::scale::keys;
use crate::scale::meter::Table;
use crate::scale::units::{CONSISTENT, EVENTUAL, TRANSACTED, WRITE, consistent, waiting_bytes};

/// What one request may hold, as the adapters have it: reads, writes, and puts at a time.
const BATCH_GET: usize = 100;
const BATCH_WRITE: usize = 25;
const AT_ONCE: usize = 64;

/// Bytes that a query reads in one request at most.
const QUERY: usize = 1 << 20;

#[async_trait]
impl Sends for Ports {
    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError> {
        let known = {
            let mut store = self.shared.store();
            for event in events {
                let send = SendId { account: account.clone(), event: event.clone() };
                store.ask(self.function, Table::Sends, &keys::entry(&send), EVENTUAL);
            }
            let now = store.now;
            store.tables.known(account, events, now).into_iter().collect()
        };
        self.ask_store(events.len().div_ceil(BATCH_GET)).await;
        Ok(known)
    }

    async fn record(&self, sends: &[(Place, Waiting)]) -> Result<Vec<Recorded>, StoreError> {
        for (place, send) in sends {
            self.item(Table::State, &keys::waiting_of(&send.id), WRITE, |store| {
                store.tables.put_waiting(place, send);
            });
        }
        self.ask_store(sends.len().div_ceil(BATCH_WRITE)).await;
        let mut recorded = Vec::with_capacity(sends.len());
        for chunk in sends.chunks(AT_ONCE) {
            recorded.extend(chunk.iter().map(|(place, send)| self.put_entry(place, send)));
            self.ask_store(chunk.len()).await;
        }
        let all = sends.iter().zip(&recorded);
        let duplicates: Vec<_> =
            all.filter(|(_, recorded)| **recorded == Recorded::Duplicate).collect();
        for ((place, send), _) in &duplicates {
            self.item(Table::State, &keys::waiting_of(&send.id), WRITE, |store| {
                store.tables.remove_waiting(place, &send.id)
            });
        }
        self.ask_store(duplicates.len().div_ceil(BATCH_WRITE)).await;
        Ok(recorded)
    }

    async fn step(&self, ticket: &Ticket, step: Step) -> Result<Option<Waiting>, StoreError> {
        let key = keys::waiting_of(&ticket.send);
        Ok(self.state(&key, WRITE, |store| store.tables.step(ticket, step)).await)
    }

    async fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.sends(&keys::entry(&ticket.send), WRITE, |store| {
            store.tables.end_entry(ticket, outcome, at.as_millis())
        })
        .await;
        self.discard(&ticket.place, &ticket.send).await
    }

    async fn finish_unclaimed(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        // One request with the write of the entry.
        self.item(Table::State, &keys::waiting_of(&ticket.send), TRANSACTED, |_| ());
        Ok(self
            .sends(&keys::entry(&ticket.send), TRANSACTED, |store| {
                store.tables.end_both(ticket, outcome, at.as_millis())
            })
            .await)
    }

    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        let cost = match read {
            Read::Consistent => CONSISTENT,
            Read::Eventual => EVENTUAL,
        };
        let entry = |send| {
            let key = keys::entry(send);
            self.item(Table::Sends, &key, cost, |store| store.tables.entry(send, u64::MAX))
        };
        let entries = sends.iter().map(entry).collect();
        self.ask_store(sends.len().div_ceil(BATCH_GET)).await;
        Ok(entries)
    }

    async fn adopt(&self, place: &Place, send: &Waiting) -> Result<Recorded, StoreError> {
        let recorded = self.put_entry(place, send);
        self.ask_store(1).await;
        Ok(recorded)
    }

    async fn discard(&self, place: &Place, send: &SendId) -> Result<(), StoreError> {
        self.state(&keys::waiting_of(send), WRITE, |store| {
            store.tables.remove_waiting(place, send)
        })
        .await;
        Ok(())
    }

    async fn waiting(
        &self,
        account: &AccountId,
        shard: u8,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<(Place, Waiting)>, StoreError> {
        let (page, requests) = {
            let mut store = self.shared.store();
            let key = keys::waiting(account, shard);
            let page = store.tables.page(account, shard, after, limit);
            let bytes: usize =
                page.iter().map(|(place, send)| waiting_bytes(&key, place, send)).sum();
            store.ask(self.function, Table::State, &key, consistent(bytes));
            (page, bytes.div_ceil(QUERY).max(1))
        };
        for _ in 0..requests {
            self.ask_store(1).await;
        }
        Ok(page)
    }
}

impl Ports {
    fn put_entry(&self, place: &Place, send: &Waiting) -> Recorded {
        self.item(Table::Sends, &keys::entry(&send.id), WRITE, |store| {
            store.tables.put_entry(place, &send.id, store.now)
        })
    }
}
