//! Sends: entries and batches.

use async_trait::async_trait;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, OnceKey, RecipientId, SendId};
use spillway_core::once::Answers;
use spillway_core::send::{Address, Outcome, PendingSend, StandIn, Step};
use spillway_core::time::Timestamp;
use spillway_service::backoff::Backoff;
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{
    Closed, EndGuard, Entry, Lookup, NewSend, Read, Recorded, Sends, StoreError,
};
use spillway_service::send_task::SendTask;

use crate::host::Host;
use crate::meta::millis;
use crate::scenario::Outage;
use crate::watch::Caller;
use crate::world::World;
use spillway_memory::tables::Tables;

/// Items that one request reads or writes, and requests under way at a time.
const BATCH_GET: usize = 100;
const BATCH_WRITE: usize = 25;
const AT_ONCE: usize = 64;

const KNOWN: &str = "look up entries";
const BATCHES: &str = "write batches";
const RECORD: &str = "record sends";
const STEP: &str = "step a send";
const FINISH: &str = "finish a send";
const NAME: &str = "name an answer";
const CLOSE: &str = "end a send by its echo";

#[async_trait]
impl Sends for Host {
    async fn look_up(
        &self,
        account: &AccountId,
        keys: &[OnceKey],
        people: &[RecipientId],
        read: Read,
    ) -> Result<Lookup, StoreError> {
        let parts = keys.chunks(BATCH_GET).map(|batch| {
            self.batch(KNOWN, batch, move |world, part| {
                let as_of = world.read_as_of(read);
                world.tables.known(account, part, as_of)
            })
        });
        let items = people.chunks(BATCH_GET).map(|batch| {
            self.batch(KNOWN, batch, move |world, part| {
                let as_of = world.read_as_of(read);
                let found = part.iter().filter_map(|person| {
                    Some((person.clone(), world.tables.person(account, person, as_of)?))
                });
                found.collect::<Vec<_>>()
            })
        });
        let (keys, people) = futures::try_join!(try_join_all(parts), try_join_all(items))?;
        Ok(Lookup {
            keys: keys.into_iter().flatten().collect(),
            people: people.into_iter().flatten().collect(),
        })
    }

    async fn replace_answered(
        &self,
        account: &AccountId,
        person: &RecipientId,
        before: Option<&Answers>,
        after: &Answers,
    ) -> Result<bool, StoreError> {
        self.store(NAME, |world| {
            let now = world.now;
            let is_done = world.tables.replace_answered(account, person, before, after, now);
            world.event(format_args!("{account}/{person} is named an answer: {is_done}"));
            is_done
        })
        .await
    }

    async fn put_stand_in(
        &self,
        send: &SendId,
        stand_in: &StandIn,
        _: Timestamp,
    ) -> Result<(), StoreError> {
        self.store(NAME, |world| {
            world.event(format_args!("{} may stand in for {send}", stand_in.comment));
            world.tables.put_stand_in(send, stand_in, world.now);
        })
        .await
    }

    async fn put_batches(&self, batches: &[OutboxBatch]) -> Result<(), StoreError> {
        let caller = self.caller();
        let writes = batches.chunks(BATCH_WRITE).map(|chunk| {
            self.batch(BATCHES, chunk, move |world, part| {
                world.put_batches(caller, part);
                None::<()>
            })
        });
        try_join_all(writes).await?;
        Ok(())
    }

    async fn record(&self, sends: &[NewSend]) -> Vec<Result<Recorded, StoreError>> {
        let entries: Vec<_> =
            sends.iter().map(|new| self.store(RECORD, |world| world.put_entry(new))).collect();
        stream::iter(entries).buffered(AT_ONCE).collect().await
    }

    async fn step(
        &self,
        task: &SendTask,
        step: Step,
        _: StepNote<'_>,
    ) -> Result<Option<PendingSend>, StoreError> {
        let caller = self.caller();
        // As the adapter does: a write that is sent again knows its own earlier success.
        let mut written = None;
        let stepped = self.store(STEP, |world| {
            if let Some(after) = world.step(caller, task, step) {
                written = Some(after);
            }
            // A newer comment may have been noted meanwhile, which is no step.
            let stands = world.tables.waiting_at(&task.outbox_key, &task.send);
            stands
                .filter(|send| written.as_ref().is_some_and(|after| after.epoch == send.epoch))
                .cloned()
        });
        let stepped = stepped.await;
        if stepped.is_err() {
            self.shared.world().saw_step_lost(&task.send);
        }
        stepped
    }

    async fn finish(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        _: StepNote<'_>,
    ) -> Result<bool, StoreError> {
        let caller = self.caller();
        let ended = self.store(FINISH, |world| world.end(caller, task, outcome, Tables::end));
        match ended.await {
            Ok(ended) => Ok(ended),
            Err(error) => {
                let mut world = self.shared.world();
                world.saw_unknown(&task.send);
                world.saw_step_lost(&task.send);
                Err(error)
            }
        }
    }

    async fn finish_followed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        _: StepNote<'_>,
        guard: EndGuard,
        follower: &NewSend,
    ) -> Result<bool, StoreError> {
        let caller = self.caller();
        let end = match guard {
            EndGuard::AnyEpoch => Tables::end,
            EndGuard::SameEpoch => Tables::end_at_epoch,
        };
        // A transaction that is sent again is the same one.
        let mut is_done = false;
        let ended = self.store(FINISH, |world| {
            // An echo ends what somebody else has claimed.
            let is_claimed = world.watch.is_claimed_beside(caller.invocation, &task.send);
            let ends = match guard {
                EndGuard::AnyEpoch if is_claimed => World::end_by_echo,
                EndGuard::AnyEpoch | EndGuard::SameEpoch => World::end,
            };
            if !is_done && ends(world, caller, task, outcome, end) {
                is_done = true;
                world.put_entry(follower);
            }
            is_done
        });
        match ended.await {
            Ok(ended) => Ok(ended),
            Err(error) => {
                let mut world = self.shared.world();
                world.saw_unknown(&task.send);
                world.saw_step_lost(&task.send);
                Err(error)
            }
        }
    }

    async fn close(
        &self,
        send: &SendId,
        outcome: &Outcome,
        _: Timestamp,
    ) -> Result<Closed, StoreError> {
        self.store(CLOSE, |world| world.close(send, outcome)).await
    }

    async fn unsent(&self, sends: &[SendId]) -> Result<Vec<SendId>, StoreError> {
        self.store(CLOSE, |world| {
            let as_of = world.read_as_of(Read::Eventual);
            world.tables.unsent(sends, as_of)
        })
        .await
    }

    async fn sent_as(&self, sends: &[SendId], message: &str) -> Result<bool, StoreError> {
        self.store(KNOWN, |world| world.tables.sent_as(sends, message)).await
    }

    async fn finish_unclaimed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        let caller = self.caller();
        self.store(FINISH, |world| world.end(caller, task, outcome, Tables::end_at_epoch)).await
    }

    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        let parts = sends.chunks(BATCH_GET).map(|batch| {
            self.batch(KNOWN, batch, move |world, part| {
                let as_of = world.read_as_of(read);
                part.iter().map(|send| world.tables.entry(send, as_of)).collect::<Vec<Entry>>()
            })
        });
        Ok(try_join_all(parts).await?.into_iter().flatten().collect())
    }

    async fn batches(
        &self,
        account: &AccountId,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxBatch>, StoreError> {
        self.store("read batches", |world| world.tables.batches(account, after, limit)).await
    }

    async fn rewrite(&self, next: &OutboxBatch) -> Result<bool, StoreError> {
        let caller = self.caller();
        self.store(BATCHES, |world| world.rewrite(caller, next)).await
    }
}

impl Host {
    /// Does a batch with as many requests as it takes: DynamoDB may leave a part of each undone.
    async fn batch<'a, T: Sync, R>(
        &self,
        what: &'static str,
        batch: &'a [T],
        mut effect: impl FnMut(&mut World, &'a [T]) -> R + Send,
    ) -> Result<Vec<R::Item>, StoreError>
    where
        R: IntoIterator + Send,
        R::Item: Send,
    {
        let mut found = Vec::new();
        let mut left = batch;
        let mut backoff = Backoff::default();
        loop {
            let request = self.store(what, |world| {
                let done = world.done_of(left.len());
                (done, effect(world, &left[..done]))
            });
            let (done, part) = request.await?;
            found.extend(part);
            left = &left[done..];
            if left.is_empty() {
                return Ok(found);
            }
            let draw = self.shared.world().dice.any();
            let Some(wait) = backoff.next(draw) else { break };
            self.sleep(millis(wait)).await;
        }
        self.shared.world().record.count("batch given up");
        Err(StoreError::unavailable(what, "a part is left undone"))
    }
}

impl World {
    /// How many items of a batch are done.
    fn done_of(&mut self, items: usize) -> usize {
        if self.is_out(Outage::Batches) {
            self.record.count("batch undone");
            0
        } else if self.strikes(self.scenario.rates.throttled) {
            self.dice.index(items)
        } else {
            items
        }
    }

    fn put_batches(&mut self, caller: Caller, batches: &[OutboxBatch]) {
        for batch in batches {
            self.event(format_args!("batch {:?} of {} lines", batch.outbox_key, batch.lines.len()));
            self.tables.put_batch(batch);
            self.saw_batch(caller, batch);
        }
    }

    fn rewrite(&mut self, caller: Caller, next: &OutboxBatch) -> bool {
        let (by, OutboxBatch { outbox_key, lines, .. }) = (caller.invocation, next);
        let Some(before) = self.tables.rewrite(next) else {
            self.event(format_args!("{by} batch {outbox_key:?} has changed"));
            return false;
        };
        self.event(format_args!("{by} batch {outbox_key:?} has {} lines", lines.len()));
        self.saw_rewrite(caller, &before, next);
        true
    }

    pub(super) fn put_entry(&mut self, new: &NewSend) -> Recorded {
        let NewSend { outbox_key, send, .. } = new;
        let was_there = self.tables.entries.contains_key(&send.id);
        let recorded = self.tables.put_entry(new, self.now);
        let is_new = !was_there && recorded == Recorded::New;
        self.event(format_args!("recorded {} {:?}: {recorded:?}", send.id, send.stage));
        if is_new {
            self.saw_entry(send, outbox_key);
        }
        recorded
    }

    pub(super) fn step(
        &mut self,
        caller: Caller,
        task: &SendTask,
        step: Step,
    ) -> Option<PendingSend> {
        let before = self.tables.waiting_at(&task.outbox_key, &task.send)?.stage;
        let after = self.tables.step(task, step, self.now);
        let (by, send) = (caller.invocation, &task.send);
        match &after {
            Some(_) => {
                self.event(format_args!("{by} {send} {} {step:?}", task.epoch));
                self.saw_step(caller, task, before, step);
                if let (
                    Step::Replaced(_),
                    Some(PendingSend { to: Address::Comment { id, .. }, .. }),
                ) = (step, &after)
                {
                    self.saw_answer(id, send);
                }
            }
            None => self.event(format_args!("{by} {send} {} is no more", task.epoch)),
        }
        after
    }

    fn close(&mut self, send: &SendId, outcome: &Outcome) -> Closed {
        let entry = self.tables.entries.get(send);
        let before = entry.and_then(|entry| entry.ended()).map(|(outcome, _)| outcome.clone());
        let closed = self.tables.close(send, outcome, self.now);
        self.event(format_args!("the echo of {send}: {closed:?}"));
        self.saw_closed(send, before.as_ref(), closed);
        closed
    }

    pub(super) fn end_by_echo(
        &mut self,
        _: Caller,
        task: &SendTask,
        outcome: &Outcome,
        condition: fn(&mut Tables, &SendTask, &Outcome, u64) -> bool,
    ) -> bool {
        let send = &task.send;
        let ended = condition(&mut self.tables, task, outcome, self.now);
        if ended {
            self.event(format_args!("the echo of {send} ends it, and a public reply follows"));
            self.saw_closed(send, None, Closed::Ended);
        }
        ended
    }

    pub(super) fn end(
        &mut self,
        caller: Caller,
        task: &SendTask,
        outcome: &Outcome,
        condition: fn(&mut Tables, &SendTask, &Outcome, u64) -> bool,
    ) -> bool {
        let send = &task.send;
        let Some(stood) = self.tables.waiting_at(&task.outbox_key, send).map(|send| send.stage)
        else {
            return false;
        };
        if !condition(&mut self.tables, task, outcome, self.now) {
            return false;
        }
        self.event(format_args!("{} {send} ends: {}", caller.invocation, outcome.state()));
        self.record.count(outcome.state());
        self.saw_end(caller, task, stood, outcome);
        true
    }
}
