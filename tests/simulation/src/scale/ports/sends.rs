//! Sends: entries and pages.

use std::collections::HashSet;

use async_trait::async_trait;
use spillway_core::id::{AccountId, EventId, SendId};
use spillway_core::send::{Outcome, Step, Waiting};
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::page::Page;
use spillway_service::port::{Entry, Read, Recorded, Sends, StoreError};
use spillway_service::ticket::{Place, Ticket};

use super::Ports;
use crate::scale::meter::{Cost, Table};
use crate::scale::store::Store;
use crate::scale::units::{consistent, entry_bytes, page_bytes, read, write};

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
                let cost = read(Read::Eventual, stored_bytes(&store, &send));
                store.ask(self.function, Table::Sends, &keys::entry(&send), cost);
            }
            let now = store.now;
            store.tables.known(account, events, now).into_iter().collect()
        };
        self.ask_store(events.len().div_ceil(BATCH_GET)).await;
        Ok(known)
    }

    async fn put_pages(&self, pages: &[Page]) -> Result<(), StoreError> {
        for page in pages {
            let cost = write(page_bytes(page));
            self.item(Table::State, &keys::waiting(&page.account), cost, |store| {
                store.tables.put_page(page);
            });
        }
        self.ask_store(pages.len().div_ceil(BATCH_WRITE)).await;
        Ok(())
    }

    async fn record(&self, sends: &[(Place, Waiting)]) -> Vec<Result<Recorded, StoreError>> {
        let mut recorded = Vec::with_capacity(sends.len());
        for chunk in sends.chunks(AT_ONCE) {
            recorded.extend(chunk.iter().map(|(place, send)| {
                let cost = write(entry_bytes(place, send));
                Ok(self.item(Table::Sends, &keys::entry(&send.id), cost, |store| {
                    store.tables.put_entry(place, send, store.now)
                }))
            }));
            self.ask_store(chunk.len()).await;
        }
        recorded
    }

    async fn step(
        &self,
        ticket: &Ticket,
        step: Step,
        _: Timestamp,
    ) -> Result<Option<Waiting>, StoreError> {
        let cost = self.update(&ticket.send);
        Ok(self
            .sends(&keys::entry(&ticket.send), cost, |store| {
                store.tables.step(ticket, step, store.now)
            })
            .await)
    }

    async fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let cost = self.update(&ticket.send);
        self.sends(&keys::entry(&ticket.send), cost, |store| {
            store.tables.end(ticket, outcome, at.as_millis())
        })
        .await;
        Ok(())
    }

    async fn finish_unclaimed(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let cost = self.update(&ticket.send);
        Ok(self
            .sends(&keys::entry(&ticket.send), cost, |store| {
                store.tables.end_at_epoch(ticket, outcome, at.as_millis())
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

    async fn pages(
        &self,
        account: &AccountId,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Page>, StoreError> {
        let (pages, requests) = {
            let mut store = self.shared.store();
            let pages = store.tables.pages(account, after, limit);
            let bytes: usize = pages.iter().map(page_bytes).sum();
            let key = keys::waiting(account);
            store.ask(self.function, Table::State, &key, consistent(bytes));
            (pages, bytes.div_ceil(QUERY).max(1))
        };
        for _ in 0..requests {
            self.ask_store(1).await;
        }
        Ok(pages)
    }

    async fn rewrite(&self, next: &Page) -> Result<bool, StoreError> {
        // The larger of what is there and what is written counts; what is removed counts as well.
        let stored = {
            let store = self.shared.store();
            let page = store.tables.pages.get(&next.account).and_then(|of| of.get(&next.place));
            page.map_or(0, page_bytes)
        };
        let cost = write(stored.max(page_bytes(next)));
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
    let waiting = entry.and_then(|entry| Some((&entry.place, entry.waiting()?)));
    waiting.map_or(0, |(place, send)| entry_bytes(place, send))
}
