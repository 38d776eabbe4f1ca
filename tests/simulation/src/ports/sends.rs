//! Sends: entries and places.

use std::collections::HashSet;

use async_trait::async_trait;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use spillway_core::id::{AccountId, EventId, SendId};
use spillway_core::send::{Outcome, Step, Waiting};
use spillway_core::time::Timestamp;
use spillway_service::port::{Entry, Read, Recorded, Sends, StoreError};
use spillway_service::ticket::{Place, Ticket};

use crate::host::Host;
use crate::watch::Caller;
use crate::world::World;

/// Items that one request reads or writes, and requests under way at a time.
const BATCH_GET: usize = 100;
const BATCH_WRITE: usize = 25;
const AT_ONCE: usize = 64;

/// How far an eventual read may lag, in milliseconds.
const LAG_MAX: u64 = 2000;

const KNOWN: &str = "look up entries";
const RECORD: &str = "record sends";
const STEP: &str = "step a send";
const FINISH: &str = "finish a send";

#[async_trait]
impl Sends for Host {
    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError> {
        let parts = events.chunks(BATCH_GET).map(|part| {
            self.store(KNOWN, move |world| {
                let lag = world.dice.between(0..=LAG_MAX);
                world.tables.known(account, part, world.now.saturating_sub(lag))
            })
        });
        Ok(try_join_all(parts).await?.into_iter().flatten().collect())
    }

    async fn record(&self, sends: &[(Place, Waiting)]) -> Result<Vec<Recorded>, StoreError> {
        let caller = self.caller();
        let puts = sends.chunks(BATCH_WRITE).map(|part| {
            self.store(RECORD, move |world| {
                for (place, send) in part {
                    world.put_place(caller, place, send);
                }
            })
        });
        try_join_all(puts).await?;
        let entries: Vec<_> = sends.iter().map(|(place, send)| self.adopt(place, send)).collect();
        let recorded: Vec<Recorded> = stream::iter(entries).buffered(AT_ONCE).try_collect().await?;
        let doubles: Vec<&(Place, Waiting)> = sends
            .iter()
            .zip(&recorded)
            .filter(|(_, recorded)| **recorded == Recorded::Duplicate)
            .map(|(send, _)| send)
            .collect();
        let deletes = doubles.chunks(BATCH_WRITE).map(|part| {
            self.store(RECORD, move |world| {
                for (place, send) in part {
                    world.clear(place, &send.id);
                }
            })
        });
        try_join_all(deletes).await?;
        Ok(recorded)
    }

    async fn step(&self, ticket: &Ticket, step: Step) -> Result<Option<Waiting>, StoreError> {
        let caller = self.caller();
        self.store(STEP, |world| world.step(caller, ticket, step)).await
    }

    async fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        _: Timestamp,
    ) -> Result<(), StoreError> {
        let caller = self.caller();
        let ended = self
            .store(FINISH, |world| {
                let now = world.now;
                if world.tables.end_entry(ticket, outcome, now) {
                    world.ended(caller, ticket, outcome);
                }
            })
            .await;
        if let Err(error) = ended {
            self.shared.world().saw_unknown(&ticket.send);
            return Err(error);
        }
        self.discard(&ticket.place, &ticket.send).await
    }

    async fn finish_unclaimed(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        let caller = self.caller();
        self.store(FINISH, |world| {
            let now = world.now;
            let ended = world.tables.end_both(ticket, outcome, now);
            if ended {
                world.ended(caller, ticket, outcome);
            }
            ended
        })
        .await
    }

    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        let parts = sends.chunks(BATCH_GET).map(|part| {
            self.store(KNOWN, move |world| {
                let as_of = match read {
                    Read::Consistent => u64::MAX,
                    Read::Eventual => world.now.saturating_sub(world.dice.between(0..=LAG_MAX)),
                };
                part.iter().map(|send| world.tables.entry(send, as_of)).collect::<Vec<Entry>>()
            })
        });
        Ok(try_join_all(parts).await?.into_iter().flatten().collect())
    }

    async fn adopt(&self, place: &Place, send: &Waiting) -> Result<Recorded, StoreError> {
        self.store(RECORD, |world| world.put_entry(place, send)).await
    }

    async fn discard(&self, place: &Place, send: &SendId) -> Result<(), StoreError> {
        self.store(FINISH, |world| world.clear(place, send)).await
    }

    async fn waiting(
        &self,
        account: &AccountId,
        shard: u8,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<(Place, Waiting)>, StoreError> {
        self.store("read waiting sends", |world| world.tables.page(account, shard, after, limit))
            .await
    }
}

impl World {
    fn put_place(&mut self, caller: Caller, place: &Place, send: &Waiting) {
        self.event(format_args!("placed {} {:?}", send.id, send.stage));
        self.tables.put_waiting(place, send);
        self.saw_place(caller, &send.id);
    }

    fn put_entry(&mut self, place: &Place, send: &Waiting) -> Recorded {
        let is_new = !self.tables.entries.contains_key(&send.id);
        let recorded = self.tables.put_entry(place, &send.id, self.now);
        self.event(format_args!("recorded {}: {recorded:?}", send.id));
        if is_new {
            self.saw_entry(&send.id, place);
        }
        recorded
    }

    fn clear(&mut self, place: &Place, send: &SendId) {
        self.sees_discard(place, send);
        self.tables.remove_waiting(place, send);
    }

    fn step(&mut self, caller: Caller, ticket: &Ticket, step: Step) -> Option<Waiting> {
        let before = self.tables.waiting_at(&ticket.place, &ticket.send)?.stage;
        let after = self.tables.step(ticket, step);
        let (by, send) = (caller.invocation, &ticket.send);
        match &after {
            Some(_) => {
                self.event(format_args!("{by} {send} {} {step:?}", ticket.epoch));
                self.saw_step(caller, ticket, before, step);
            }
            None => self.event(format_args!("{by} {send} {} is no more", ticket.epoch)),
        }
        after
    }

    fn ended(&mut self, caller: Caller, ticket: &Ticket, outcome: &Outcome) {
        let send = &ticket.send;
        self.event(format_args!("{} {send} ends: {}", caller.invocation, outcome.state()));
        self.record.count(outcome.state());
        self.saw_end(caller, ticket, outcome);
    }
}
