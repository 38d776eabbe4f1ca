//! Sends: an entry each in the `sends` table, and batches that list them in the `state` table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, Put, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use spillway_core::history::{Past, PastStep, STEPS_KEPT, StepNote};
use spillway_core::id::{AccountId, OnceKey, RecipientId, SendId};
use spillway_core::meta_error::LastRefusal;
use spillway_core::once::Answers;
use spillway_core::seed::seed;
use spillway_core::send::{CampaignStep, Outcome, PendingSend, Stage, StandIn, Step};
use spillway_core::time::Timestamp;
use spillway_core::unknown::UnknownAttempt;
use spillway_service::backoff::Backoff;
use spillway_service::keys;
use spillway_service::metrics::Meter;
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{
    Closed, EndGuard, Entry, Lookup, NewSend, Person, Read, Recorded, Sends, StoreError,
};
use spillway_service::send_task::SendTask;
use tracing::error;

use super::entry::{self, ANSWERED, STAND_IN, STAND_IN_UNTIL, stage_attributes};
use super::item::{Item, Reader, WRITTEN_BY, at, b, is_by, json, n, s, word, writer};
use super::table::{Ask, Cancelled, Table, Written, cancelled, entry_key};
use crate::failure::{incomplete, unavailable};
use crate::schema::EXPIRES_AT;

/// Sends in the two tables.
pub struct DynamoSends {
    /// The `sends` table.
    pub sends: Table,
    /// The `state` table.
    pub state: Table,
    /// Items that cannot be read are recorded here.
    pub meter: Arc<Meter>,
}

/// DynamoDB's own limit.
const BATCH_GET: usize = 100;

/// Requests under way at a time: a delivery of 1,000 comments is recorded in a fraction of a
/// second, and does not open a connection for each.
const AT_ONCE: usize = 64;

const KNOWN: &str = "look up entries";
const RECORD: &str = "record sends";
const STEP: &str = "step a send";
const FINISH: &str = "finish a send";
const NAME: &str = "name an answer";
const FOLLOW: &str = "finish a send, and record what follows";
const CLOSE: &str = "end a send by its echo";

#[async_trait]
impl Sends for DynamoSends {
    async fn look_up(
        &self,
        account: &AccountId,
        keys: &[OnceKey],
        people: &[RecipientId],
        read: Read,
    ) -> Result<Lookup, StoreError> {
        let send = |key: OnceKey| SendId { account: account.clone(), key };
        let of_keys = || keys.iter().map(|key| send(key.clone()));
        let of_people = || people.iter().map(|person| send(OnceKey::person(person)));
        let all: Vec<SendId> = of_keys().chain(of_people()).collect();
        // Of people everything is wanted.
        let only = people.is_empty().then_some("id");
        let found = self.lookup(&all, read, only).await?;
        let keys = of_keys().filter(|send| found.contains_key(&keys::entry(send)));
        let mut lookup = Lookup { keys: keys.map(|send| send.key).collect(), ..Lookup::default() };
        for (person, send) in people.iter().zip(of_people()) {
            let Some(item) = found.get(&keys::entry(&send)) else { continue };
            let reader = Reader { item, what: KNOWN };
            let answered = entry::read_answered(&reader)?;
            let first = entry::read(&reader, &send)?;
            lookup.people.insert(person.clone(), Person { answered, first });
        }
        Ok(lookup)
    }

    async fn replace_answered(
        &self,
        account: &AccountId,
        person: &RecipientId,
        before: Option<&Answers>,
        after: &Answers,
    ) -> Result<bool, StoreError> {
        let send = SendId { account: account.clone(), key: OnceKey::person(person) };
        let update = self
            .sends
            .update(entry_key(&send))
            .update_expression(format!("SET {ANSWERED} = :after, {EXPIRES_AT} = :expires"))
            .expression_attribute_values(":after", b(after.encode()))
            .expression_attribute_values(":expires", n(after.until().as_secs()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let update = match before {
            None => update.condition_expression("attribute_not_exists(id)"),
            Some(before) => update
                .condition_expression(format!("{ANSWERED} = :before"))
                .expression_attribute_values(":before", b(before.encode())),
        };
        Ok(update.ask(NAME).await?.is_done())
    }

    async fn put_stand_in(
        &self,
        send: &SendId,
        stand_in: &StandIn,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.sends
            .update(entry_key(send))
            .update_expression(format!(
                "SET {STAND_IN} = :stand_in, {STAND_IN_UNTIL} = :until, {EXPIRES_AT} = :expires"
            ))
            .condition_expression(format!(
                "#state = :waiting AND \
                 (attribute_not_exists({STAND_IN_UNTIL}) OR {STAND_IN_UNTIL} < :until)"
            ))
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":waiting", s("waiting"))
            .expression_attribute_values(":stand_in", json(stand_in))
            .expression_attribute_values(":until", at(stand_in.deadline))
            .expression_attribute_values(":expires", n(expires_at.as_secs()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .ask(NAME)
            .await
            .map(drop)
    }

    async fn put_batches(&self, batches: &[OutboxBatch]) -> Result<(), StoreError> {
        self.put_new_batches(batches).await
    }

    async fn record(&self, sends: &[NewSend]) -> Vec<Result<Recorded, StoreError>> {
        let entries: Vec<_> = sends.iter().map(|new| self.put_entry(new)).collect();
        stream::iter(entries).buffered(AT_ONCE).collect().await
    }

    async fn step(
        &self,
        task: &SendTask,
        step: Step,
        note: StepNote<'_>,
    ) -> Result<Option<PendingSend>, StoreError> {
        let write = EntryWrite::step(task, step, note)?;
        let update = self
            .sends
            .update(write.key)
            .update_expression(write.expression)
            .condition_expression(write.condition)
            .set_expression_attribute_names(Some(write.names))
            .set_expression_attribute_values(Some(write.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let writer = write.writer;
        let (item, is_done) = match update.ask(STEP).await? {
            Written::Done(item) => (item, true),
            Written::Refused(item) => (item, false),
        };
        let reader = Reader { item: &item, what: STEP };
        let is_ours =
            is_done || is_by(&item, &writer) && reader.opt_text("state") == Some("waiting");
        is_ours.then(|| entry::read_waiting(&reader, &task.send)).transpose()
    }

    async fn finish(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
    ) -> Result<bool, StoreError> {
        self.end(EntryWrite::end(task, EndGuard::AnyEpoch, outcome, note)?).await
    }

    async fn finish_followed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
        guard: EndGuard,
        follower: &NewSend,
    ) -> Result<bool, StoreError> {
        let write = EntryWrite::end(task, guard, outcome, note)?;
        let mut backoff = Backoff::default();
        loop {
            let reasons = match self.end_and_put(&write, follower).await? {
                Ok(()) => return Ok(true),
                Err(reasons) => reasons,
            };
            match reasons[..] {
                [Cancelled::Condition, _] => return Ok(false),
                // The comment has had its reply.
                [_, Cancelled::Condition] => return self.end(write).await,
                _ => {}
            }
            // Its echo is being taken in.
            let Some(wait) = backoff.next(seed(&[task.send.key.as_str()])) else {
                return Err(StoreError::unavailable(FOLLOW, "others always were first"));
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn close(
        &self,
        send: &SendId,
        outcome: &Outcome,
        closed_at: Timestamp,
    ) -> Result<Closed, StoreError> {
        let writer = writer(CLOSE)?;
        let update = |outcome: &Outcome| {
            self.sends
                .update(entry_key(send))
                .update_expression(format!("{END}{END_REMOVES}"))
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":state", s(outcome.state()))
                .expression_attribute_values(":outcome", json(outcome))
                .expression_attribute_values(":at", at(closed_at))
                .expression_attribute_values(":writer", b(writer.as_slice()))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                )
        };
        let waiting = update(outcome)
            .condition_expression("#state = :waiting")
            .expression_attribute_values(":waiting", s("waiting"));
        let old = match waiting.ask(CLOSE).await? {
            Written::Done(_) => return Ok(Closed::Ended),
            Written::Refused(old) => old,
        };
        if is_by(&old, &writer) {
            return Ok(Closed::Ended);
        }
        let reader = Reader { item: &old, what: CLOSE };
        let Some(state) = reader.opt_text("state").filter(|state| *state != outcome.state()) else {
            return Ok(Closed::Known);
        };
        let outcome = outcome.without_person().unwrap_or_else(|| outcome.clone());
        let ended = update(&outcome)
            .condition_expression("#state = :old_state AND ended_at = :ended_at")
            .expression_attribute_values(":old_state", s(state))
            .expression_attribute_values(":ended_at", at(reader.at("ended_at")?));
        let is_done = ended.ask(CLOSE).await?.is_done_by(&writer);
        Ok(if is_done { Closed::Corrected } else { Closed::Known })
    }

    async fn finish_unclaimed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        ended_at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.end(EntryWrite::end(task, EndGuard::SameEpoch, outcome, ended_at.into())?).await
    }

    async fn unsent(&self, sends: &[SendId]) -> Result<Vec<SendId>, StoreError> {
        let found = self.lookup(sends, Read::Eventual, None).await?;
        let is_unsent = |send: &&SendId| {
            let state =
                found.get(&keys::entry(send)).and_then(|item| item.get("state")?.as_s().ok());
            state.is_some_and(|state| state != "sent")
        };
        Ok(sends.iter().filter(is_unsent).cloned().collect())
    }

    async fn sent_as(&self, sends: &[SendId], message: &str) -> Result<bool, StoreError> {
        let found = self.lookup(sends, Read::Consistent, None).await?;
        let is_it = |item: &Item| {
            let outcome = Reader { item, what: KNOWN }.optional_json("outcome");
            matches!(outcome, Ok(Some(Outcome::Sent { message: Some(id), .. })) if id == message)
        };
        Ok(found.values().any(is_it))
    }

    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        let found = self.lookup(sends, read, None).await?;
        let entry = |send: &SendId| {
            let Some(item) = found.get(&keys::entry(send)) else { return Entry::Missing };
            entry::read(&Reader { item, what: KNOWN }, send).unwrap_or_else(|error| {
                error!(%send, %error, "left alone");
                self.meter.store_failed(&error);
                Entry::Unreadable
            })
        };
        Ok(sends.iter().map(entry).collect())
    }

    async fn batches(
        &self,
        account: &AccountId,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxBatch>, StoreError> {
        self.query_batches(account, after, limit).await
    }

    async fn rewrite(&self, next: &OutboxBatch) -> Result<bool, StoreError> {
        self.replace_batch(next).await
    }
}

/// Ends an entry. What it told of a person beyond its outcome goes.
const END: &str = "SET #state = :state, outcome = :outcome, ended_at = :at, written_by = :writer";
const END_REMOVES: &str = " REMOVE body, stage, due, earlier, made_at, tried_at, look_at, absent_at, \
                            stand_in, stand_in_until";
/// What is kept of Meta's last refusal. A later step leaves it.
const SET_REFUSED: &str = ", refused = :refused";
/// The entry waits, at this outbox key.
const IS_OURS: &str = "#state = :waiting AND place = :place";

/// What a step changes of an entry beside its epoch.
struct Change {
    /// More assignments.
    sets: &'static str,
    /// What goes.
    removes: &'static str,
    /// The values that the assignments name.
    values: Vec<(&'static str, AttributeValue)>,
    /// The stage's name and instant.
    stage: (&'static str, Timestamp),
}

/// An entry that moves on has no unknown attempt any more.
const RESOLVED: &str = " REMOVE tried_at, look_at, absent_at";

impl Change {
    fn of(step: Step, deadline: Timestamp) -> Self {
        let one = || (":one", n(1));
        let unknown = || (":unknown", s("unknown"));
        let (stage, sets, removes, values) = match step {
            Step::Claim { lease_until } => {
                let stage = Stage::Sending { lease_until };
                (stage, ", attempt = attempt + :one", RESOLVED, vec![one()])
            }
            Step::Dated { lease_until, made_at } => {
                let stage = Stage::Sending { lease_until };
                (stage, ", made_at = :made_at", "", vec![(":made_at", at(made_at))])
            }
            Step::To(stage) => (stage, "", RESOLVED, Vec::new()),
            Step::Failed(stage) => (stage, ", failures = failures + :one", RESOLVED, vec![one()]),
            Step::Lost(stage) => {
                let sets = ", failures = failures + :one, earlier = :unknown";
                (stage, sets, RESOLVED, vec![one(), unknown()])
            }
            Step::Unknown(attempt) => {
                let sets = ", earlier = :unknown, tried_at = :tried_at, look_at = :look_at";
                let UnknownAttempt { tried_at, look_at, .. } = attempt;
                let values =
                    vec![unknown(), (":tried_at", at(tried_at)), (":look_at", at(look_at))];
                (Stage::Unknown(attempt), sets, " REMOVE absent_at", values)
            }
            Step::Looked { look_at, absent_at } => {
                // Its stage stays: of the attempt only what is new is written.
                let stage = Stage::Unknown(UnknownAttempt::new(look_at));
                let mut values = vec![(":look_at", at(look_at))];
                let sets = match absent_at {
                    Some(absent_at) => {
                        values.push((":absent_at", at(absent_at)));
                        ", look_at = :look_at, absent_at = :absent_at"
                    }
                    None => ", look_at = :look_at",
                };
                (stage, sets, "", values)
            }
            Step::Repeated(stage) => {
                let sets = ", repeats = if_not_exists(repeats, :zero) + :one";
                (stage, sets, RESOLVED, vec![one(), (":zero", n(0))])
            }
            Step::Replaced(stage) => {
                // A newer comment takes the place of the one that is gone.
                let removes = " REMOVE stand_in, stand_in_until, made_at";
                (stage, ", replacement = stand_in", removes, Vec::new())
            }
            Step::Chosen { step, nth, lease_until } => {
                let stage = Stage::Sending { lease_until };
                let values =
                    vec![(":chosen", word(&CampaignStep::of(step))), (":nth_turn", n(nth))];
                (stage, ", step = :chosen, turn_nth = :nth_turn", "", values)
            }
            Step::Cleared(stage) => {
                let cleared = (":cleared", AttributeValue::Bool(true));
                (stage, ", cleared = :cleared", RESOLVED, vec![cleared])
            }
        };
        Self { sets, removes, values, stage: stage_attributes(stage, deadline) }
    }
}

/// A write of a waiting entry, alone or in a transaction.
pub(super) struct EntryWrite {
    key: Item,
    expression: String,
    condition: String,
    names: HashMap<String, String>,
    values: Item,
    writer: Vec<u8>,
}

impl EntryWrite {
    /// The write as part of a transaction.
    pub(super) fn in_transaction(
        &self,
        table: &Table,
        what: &'static str,
    ) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(&table.name)
            .set_key(Some(self.key.clone()))
            .update_expression(&self.expression)
            .condition_expression(&self.condition)
            .set_expression_attribute_names(Some(self.names.clone()))
            .set_expression_attribute_values(Some(self.values.clone()))
            .build()
            .map_err(|error| incomplete(what, error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// A step of the send at the task's epoch.
    pub(super) fn step(
        task: &SendTask,
        step: Step,
        note: StepNote<'_>,
    ) -> Result<Self, StoreError> {
        let Change { sets, removes, values: changed, stage } = Change::of(step, task.deadline);
        let (name, instant) = stage;
        let epoch = task.epoch + 1;
        let slot = task.slot.filter(|_| matches!(step, Step::Claim { .. }));
        let past = PastStep { epoch, at: note.at, what: Past::Step(step), slot };
        let refused = refused(note);
        let refusal = refused.as_ref().map_or("", |_| SET_REFUSED);
        let writer = writer(STEP)?;
        let mut values = Item::from([
            (":waiting".into(), s("waiting")),
            (":place".into(), s(task.outbox_key.as_str())),
            (":epoch".into(), n(task.epoch)),
            (":next".into(), n(epoch)),
            (":stage".into(), s(name)),
            (":due".into(), at(instant)),
            (":past".into(), s(past.encode())),
            (":writer".into(), b(writer.as_slice())),
        ]);
        values.extend(refused.map(|refused| (":refused".into(), refused)));
        values.extend(changed.into_iter().map(|(name, value)| (name.into(), value)));
        Ok(Self {
            key: entry_key(&task.send),
            expression: format!(
                "SET epoch = :next, stage = :stage, due = :due, steps.#nth = :past, \
                 {WRITTEN_BY} = :writer{sets}{refusal}{removes}"
            ),
            condition: format!("{IS_OURS} AND epoch = :epoch"),
            names: HashMap::from([
                ("#state".into(), "state".into()),
                ("#nth".into(), (epoch % STEPS_KEPT).to_string()),
            ]),
            values,
            writer: writer.to_vec(),
        })
    }

    /// The end of the send, where `guard` allows it.
    pub(super) fn end(
        task: &SendTask,
        guard: EndGuard,
        outcome: &Outcome,
        note: StepNote<'_>,
    ) -> Result<Self, StoreError> {
        let writer = writer(FINISH)?;
        let mut values = Item::from([
            (":state".into(), s(outcome.state())),
            (":outcome".into(), json(outcome)),
            (":at".into(), at(note.at)),
            (":writer".into(), b(writer.as_slice())),
            (":waiting".into(), s("waiting")),
            (":place".into(), s(task.outbox_key.as_str())),
        ]);
        let refused = refused(note);
        let refusal = refused.as_ref().map_or("", |_| SET_REFUSED);
        values.extend(refused.map(|refused| (":refused".into(), refused)));
        let condition = match guard {
            EndGuard::AnyEpoch => IS_OURS.to_owned(),
            EndGuard::SameEpoch => {
                values.insert(":epoch".into(), n(task.epoch));
                format!("{IS_OURS} AND epoch = :epoch")
            }
        };
        let expression = format!("{END}{refusal}{END_REMOVES}");
        Ok(Self {
            key: entry_key(&task.send),
            expression,
            condition,
            names: HashMap::from([("#state".into(), "state".into())]),
            values,
            writer: writer.to_vec(),
        })
    }
}

impl DynamoSends {
    async fn end(&self, write: EntryWrite) -> Result<bool, StoreError> {
        let update = self
            .sends
            .update(write.key)
            .update_expression(write.expression)
            .condition_expression(write.condition)
            .set_expression_attribute_names(Some(write.names))
            .set_expression_attribute_values(Some(write.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        Ok(update.ask(FINISH).await?.is_done_by(&write.writer))
    }

    /// Ends an entry and makes another, in one transaction. The SDK's token makes a repeat of it
    /// the same transaction.
    async fn end_and_put(
        &self,
        write: &EntryWrite,
        follower: &NewSend,
    ) -> Result<Result<(), Vec<Cancelled>>, StoreError> {
        let end = write.in_transaction(&self.sends, FOLLOW)?;
        let put = put_new(&self.sends, follower, FOLLOW)?;
        let answer = self
            .sends
            .client
            .transact_write_items()
            .transact_items(end)
            .transact_items(put)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let Err(error) = answer else { return Ok(Ok(())) };
        match cancelled(&error) {
            Some(reasons) => Ok(Err(reasons)),
            None => Err(unavailable(FOLLOW, error)),
        }
    }

    async fn put_entry(&self, new: &NewSend) -> Result<Recorded, StoreError> {
        let answer = self
            .sends
            .put(entry::item(new))
            .condition_expression("attribute_not_exists(id)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .ask(RECORD)
            .await?;
        let Written::Refused(item) = answer else { return Ok(Recorded::New) };
        let at_our_place =
            Reader { item: &item, what: RECORD }.opt_text("place") == Some(new.outbox_key.as_str());
        // Our own write, whose answer was lost and which the SDK tried again.
        Ok(if at_our_place { Recorded::New } else { Recorded::Duplicate })
    }

    /// The entries of `sends`, by their id; whole, or only these attributes of them.
    async fn lookup(
        &self,
        sends: &[SendId],
        read: Read,
        only: Option<&str>,
    ) -> Result<HashMap<String, Item>, StoreError> {
        // A batch must not name a key twice.
        let ids: HashSet<String> = sends.iter().map(keys::entry).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let chunks = ids.chunks(BATCH_GET).map(|chunk| self.lookup_chunk(chunk, read, only));
        let found = try_join_all(chunks).await?.into_iter().flatten();
        found
            .map(|item| {
                let id = Reader { item: &item, what: KNOWN }.text("id")?.to_owned();
                Ok((id, item))
            })
            .collect()
    }

    async fn lookup_chunk(
        &self,
        ids: &[String],
        read: Read,
        only: Option<&str>,
    ) -> Result<Vec<Item>, StoreError> {
        let keys = ids.iter().map(|id| Item::from([("id".into(), s(id.as_str()))])).collect();
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(read == Read::Consistent)
            .set_projection_expression(only.map(str::to_owned))
            .build()
            .map_err(|error| incomplete(KNOWN, error))?;
        let mut left = HashMap::from([(self.sends.name.clone(), request)]);
        let mut found = Vec::new();
        let mut backoff = Backoff::default();
        loop {
            let answer = self
                .sends
                .client
                .batch_get_item()
                .set_request_items(Some(left))
                .send()
                .await
                .map_err(|error| unavailable(KNOWN, error))?;
            found.extend(answer.responses.unwrap_or_default().into_values().flatten());
            left = answer.unprocessed_keys.unwrap_or_default();
            if left.is_empty() {
                return Ok(found);
            }
            let first = ids.first().map_or("", String::as_str);
            wait_before_rest(&mut backoff, KNOWN, &[first, &found.len().to_string()]).await?;
        }
    }
}

/// Makes the entry of a send, as part of a transaction.
pub(super) fn put_new(
    table: &Table,
    new: &NewSend,
    what: &'static str,
) -> Result<TransactWriteItem, StoreError> {
    let put = Put::builder()
        .table_name(&table.name)
        .set_item(Some(entry::item(new)))
        .condition_expression("attribute_not_exists(id)")
        .build()
        .map_err(|error| incomplete(what, error))?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// The attribute for Meta's refusal of an attempt, if it was refused.
fn refused(StepNote { at, error }: StepNote<'_>) -> Option<AttributeValue> {
    error.map(|error| json(&LastRefusal { at, error: error.clone() }))
}

/// Waits until it is time to ask for what DynamoDB has left undone of a batch, which these parts
/// tell from others.
async fn wait_before_rest(
    backoff: &mut Backoff,
    what: &'static str,
    batch: &[&str],
) -> Result<(), StoreError> {
    let Some(wait) = backoff.next(seed(batch)) else {
        let detail = "DynamoDB left a part of the batch undone";
        return Err(StoreError::unavailable(what, detail));
    };
    tokio::time::sleep(wait).await;
    Ok(())
}
