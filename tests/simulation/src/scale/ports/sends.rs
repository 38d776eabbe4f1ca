//! Sends: entries and places.

use std::collections::HashSet;

use async_trait::async_trait;
use spillway_core::id::{AccountId, EventId, SendId};
use spillway_core::send::{Outcome, Step, Waiting};
use spillway_core::time::Timestamp;
use spillway_service::port::{Entry, Recorded, Sends, StoreError};
use spillway_service::ticket::{Place, Ticket};

use super::Ports;
use crate::scale::keys;
use crate::scale::meter::Table;
use crate::scale::units::{CONSISTENT, EVENTUAL, TRANSACTED, WRITE, consistent, waiting_bytes};

#[async_trait]
impl Sends for Ports {
    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError> {
        let mut store = self.shared.store();
        for event in events {
            let send = SendId { account: account.clone(), event: event.clone() };
            store.ask(self.function, Table::Sends, &keys::entry(&send), EVENTUAL);
        }
        let now = store.now;
        Ok(store.tables.known(account, events, now).into_iter().collect())
    }

    async fn record(&self, sends: &[(Place, Waiting)]) -> Result<Vec<Recorded>, StoreError> {
        let mut recorded = Vec::with_capacity(sends.len());
        for (place, send) in sends {
            self.state(&keys::waiting_of(&send.id), WRITE, |store| {
                store.tables.put_waiting(place, send);
            });
            recorded.push(self.adopt(place, send).await?);
            if recorded.last() == Some(&Recorded::Duplicate) {
                self.discard(place, &send.id).await?;
            }
        }
        Ok(recorded)
    }

    async fn step(&self, ticket: &Ticket, step: Step) -> Result<Option<Waiting>, StoreError> {
        let key = keys::waiting_of(&ticket.send);
        Ok(self.state(&key, WRITE, |store| store.tables.step(ticket, step)))
    }

    async fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.sends(&keys::entry(&ticket.send), WRITE, |store| {
            store.tables.end_entry(ticket, outcome, at.as_millis())
        });
        self.discard(&ticket.place, &ticket.send).await
    }

    async fn finish_unclaimed(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.state(&keys::waiting_of(&ticket.send), TRANSACTED, |_| ());
        Ok(self.sends(&keys::entry(&ticket.send), TRANSACTED, |store| {
            store.tables.end_both(ticket, outcome, at.as_millis())
        }))
    }

    async fn entries(&self, sends: &[SendId]) -> Result<Vec<Entry>, StoreError> {
        let entry =
            |send| self.sends(&keys::entry(send), CONSISTENT, |store| store.tables.entry(send));
        Ok(sends.iter().map(entry).collect())
    }

    async fn adopt(&self, place: &Place, send: &Waiting) -> Result<Recorded, StoreError> {
        Ok(self.sends(&keys::entry(&send.id), WRITE, |store| {
            store.tables.put_entry(place, &send.id, store.now)
        }))
    }

    async fn discard(&self, place: &Place, send: &SendId) -> Result<(), StoreError> {
        self.state(&keys::waiting_of(send), WRITE, |store| {
            store.tables.remove_waiting(place, send)
        });
        Ok(())
    }

    async fn waiting(
        &self,
        account: &AccountId,
        shard: u8,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<(Place, Waiting)>, StoreError> {
        let mut store = self.shared.store();
        let key = keys::waiting(account, shard);
        let page = store.tables.page(account, shard, after, limit);
        let bytes = page.iter().map(|(place, send)| waiting_bytes(&key, place, send)).sum();
        store.ask(self.function, Table::State, &key, consistent(bytes));
        Ok(page)
    }
}
