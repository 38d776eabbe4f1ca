//! Sends: an entry each in the `sends` table, and batches that list them in the `state` table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure,
};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use spillway_core::history::{Past, PastStep, STEPS_KEPT, StepNote};
use spillway_core::id::{AccountId, OnceKey, SendId};
use spillway_core::meta_error::LastRefusal;
use spillway_core::seed::seed;
use spillway_core::send::{Outcome, PendingSend, Stage, Step};
use spillway_core::time::Timestamp;
use spillway_service::backoff::Backoff;
use spillway_service::keys;
use spillway_service::metrics::Meter;
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{Entry, Read, Recorded, Sends, StoreError};
use spillway_service::send_task::SendTask;
use tracing::error;

use super::entry::{self, stage_attributes};
use super::item::{Item, Reader, WRITTEN_BY, at, b, is_by, json, n, s, writer};
use super::table::{Ask, Table, Written, entry_key};
use crate::failure::{incomplete, unavailable};

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

#[async_trait]
impl Sends for DynamoSends {
    async fn known(
        &self,
        account: &AccountId,
        keys: &[OnceKey],
    ) -> Result<HashSet<OnceKey>, StoreError> {
        let sends: Vec<SendId> =
            keys.iter().map(|key| SendId { account: account.clone(), key: key.clone() }).collect();
        let found = self.lookup(&sends, Read::Eventual, Some("id")).await?;
        Ok(sends
            .into_iter()
            .filter(|send| found.contains_key(&keys::entry(send)))
            .map(|send| send.key)
            .collect())
    }

    async fn put_batches(&self, batches: &[OutboxBatch]) -> Result<(), StoreError> {
        self.put_new_batches(batches).await
    }

    async fn record(
        &self,
        sends: &[(OutboxKey, PendingSend)],
    ) -> Vec<Result<Recorded, StoreError>> {
        let entries: Vec<_> =
            sends.iter().map(|(outbox_key, send)| self.put_entry(outbox_key, send)).collect();
        stream::iter(entries).buffered(AT_ONCE).collect().await
    }

    async fn step(
        &self,
        task: &SendTask,
        step: Step,
        note: StepNote<'_>,
    ) -> Result<Option<PendingSend>, StoreError> {
        let (stage, counts) = match step {
            Step::Claim { lease_until } => {
                (Stage::Sending { lease_until }, ", attempt = attempt + :one")
            }
            Step::Dated { lease_until, .. } => {
                (Stage::Sending { lease_until }, ", made_at = :made_at")
            }
            Step::To(stage) => (stage, ""),
            Step::Failed(stage) => (stage, ", failures = failures + :one"),
            Step::Lost(stage) => (stage, ", failures = failures + :one, earlier = :unknown"),
        };
        let (name, instant) = stage_attributes(stage);
        let epoch = task.epoch + 1;
        let slot = task.slot.filter(|_| matches!(step, Step::Claim { .. }));
        let past = PastStep { epoch, at: note.at, what: Past::Step(step), slot };
        let refused = refused(note);
        let refusal = refused.as_ref().map_or("", |_| SET_REFUSED);
        let writer = writer(STEP)?;
        let mut update = self
            .sends
            .update(entry_key(&task.send))
            .update_expression(format!(
                "SET epoch = :next, stage = :stage, due = :due, steps.#nth = :past, \
                 {WRITTEN_BY} = :writer{counts}{refusal}"
            ))
            .condition_expression(format!("{IS_OURS} AND epoch = :epoch"))
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#nth", (epoch % STEPS_KEPT).to_string())
            .expression_attribute_values(":waiting", s("waiting"))
            .expression_attribute_values(":place", s(task.outbox_key.as_str()))
            .expression_attribute_values(":epoch", n(task.epoch))
            .expression_attribute_values(":next", n(epoch))
            .expression_attribute_values(":stage", s(name))
            .expression_attribute_values(":due", at(instant))
            .expression_attribute_values(":past", s(past.encode()))
            .expression_attribute_values(":writer", b(writer.as_slice()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if let Some(refused) = refused {
            update = update.expression_attribute_values(":refused", refused);
        }
        if let Step::Dated { made_at, .. } = step {
            update = update.expression_attribute_values(":made_at", at(made_at));
        }
        if counts.contains(":one") {
            update = update.expression_attribute_values(":one", n(1));
        }
        if matches!(step, Step::Lost(_)) {
            update = update.expression_attribute_values(":unknown", s("unknown"));
        }
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
    ) -> Result<(), StoreError> {
        // Where it has ended already, it was by us, with the answer lost, or by another.
        self.end(task, IS_OURS, outcome, note).await.map(|_| ())
    }

    async fn finish_unclaimed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        ended_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let condition = format!("{IS_OURS} AND epoch = :epoch");
        self.end(task, &condition, outcome, ended_at.into()).await
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
const END_REMOVES: &str = " REMOVE body, stage, due, earlier, made_at";
/// What is kept of Meta's last refusal. A later step leaves it.
const SET_REFUSED: &str = ", refused = :refused";
/// The entry waits, at this outbox key.
const IS_OURS: &str = "#state = :waiting AND place = :place";

impl DynamoSends {
    async fn end(
        &self,
        task: &SendTask,
        condition: &str,
        outcome: &Outcome,
        note: StepNote<'_>,
    ) -> Result<bool, StoreError> {
        let writer = writer(FINISH)?;
        let refused = refused(note);
        let refusal = refused.as_ref().map_or("", |_| SET_REFUSED);
        let mut update = self
            .sends
            .update(entry_key(&task.send))
            .update_expression(format!("{END}{refusal}{END_REMOVES}"))
            .condition_expression(condition)
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":state", s(outcome.state()))
            .expression_attribute_values(":outcome", json(outcome))
            .expression_attribute_values(":at", at(note.at))
            .expression_attribute_values(":writer", b(writer.as_slice()))
            .expression_attribute_values(":waiting", s("waiting"))
            .expression_attribute_values(":place", s(task.outbox_key.as_str()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if let Some(refused) = refused {
            update = update.expression_attribute_values(":refused", refused);
        }
        if condition.contains(":epoch") {
            update = update.expression_attribute_values(":epoch", n(task.epoch));
        }
        Ok(update.ask(FINISH).await?.is_done_by(&writer))
    }

    async fn put_entry(
        &self,
        outbox_key: &OutboxKey,
        send: &PendingSend,
    ) -> Result<Recorded, StoreError> {
        let answer = self
            .sends
            .put(entry::item(outbox_key, send))
            .condition_expression("attribute_not_exists(id)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .ask(RECORD)
            .await?;
        let Written::Refused(item) = answer else { return Ok(Recorded::New) };
        let at_our_place =
            Reader { item: &item, what: RECORD }.opt_text("place") == Some(outbox_key.as_str());
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
