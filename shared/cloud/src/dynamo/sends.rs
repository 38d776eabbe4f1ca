//! Sends: entries in the `sends` table, waiting ones at their places in the `state` table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    Delete, DeleteRequest, KeysAndAttributes, PutRequest, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update, WriteRequest,
};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use spillway_core::campaign::Overflow;
use spillway_core::id::{AccountId, CampaignId, EventId, MediaId, SendId};
use spillway_core::send::{Address, Earlier, Lane, Outcome, Stage, Step, Waiting};
use spillway_core::time::Timestamp;
use spillway_service::metrics::Meter;
use spillway_service::port::{Entry, Read, Recorded, Sends, StoreError};
use spillway_service::ticket::{Place, Ticket, shard};
use tracing::error;

use super::item::{Item, Reader, at, json, n, s};
use super::unavailable;
use crate::schema::{EXPIRES_AT, entry_id, waiting_pk};

/// Sends in the two tables.
pub struct DynamoSends {
    /// The client.
    pub client: Client,
    /// The `sends` table's name.
    pub sends: String,
    /// The `state` table's name.
    pub state: String,
    /// Items that cannot be read are recorded here.
    pub meter: Arc<Meter>,
}

/// How long an entry lives: past the 7 days in which a comment can be answered and the 36 hours in
/// which Meta sends a delivery again.
const ENTRY_LIFE: Duration = Duration::from_secs(10 * 24 * 3600);

/// DynamoDB's own limits.
const BATCH_GET: usize = 100;
const BATCH_WRITE: usize = 25;

/// Requests under way at a time: a delivery of 1,000 comments is recorded in a fraction of a
/// second, and does not open a connection for each.
const AT_ONCE: usize = 64;

/// Rounds in which DynamoDB may leave a part of a batch undone.
const BATCH_TRIES: usize = 8;

const KNOWN: &str = "look up entries";
const RECORD: &str = "record sends";
const STEP: &str = "step a send";
const FINISH: &str = "finish a send";
const WAITING: &str = "read waiting sends";

#[async_trait]
impl Sends for DynamoSends {
    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError> {
        let sends: Vec<SendId> = events
            .iter()
            .map(|event| SendId { account: account.clone(), event: event.clone() })
            .collect();
        let found = self.lookup(&sends, Read::Eventual, KNOWN).await?;
        Ok(sends
            .into_iter()
            .filter(|send| found.contains_key(&entry_id(send)))
            .map(|send| send.event)
            .collect())
    }

    async fn record(&self, sends: &[(Place, Waiting)]) -> Result<Vec<Recorded>, StoreError> {
        let mut puts = Vec::with_capacity(sends.len());
        for (place, send) in sends {
            let request = PutRequest::builder().set_item(Some(waiting_item(place, send)));
            let request = request.build().map_err(|error| unavailable(RECORD, error))?;
            puts.push(WriteRequest::builder().put_request(request).build());
        }
        self.batch_write(puts, RECORD).await?;
        let entries: Vec<_> =
            sends.iter().map(|(place, send)| self.put_entry(place, send)).collect();
        let recorded: Vec<Recorded> = stream::iter(entries).buffered(AT_ONCE).try_collect().await?;
        let mut deletes = Vec::new();
        for ((place, send), recorded) in sends.iter().zip(&recorded) {
            if *recorded == Recorded::Duplicate {
                let request = DeleteRequest::builder().set_key(Some(waiting_key(place, &send.id)));
                let request = request.build().map_err(|error| unavailable(RECORD, error))?;
                deletes.push(WriteRequest::builder().delete_request(request).build());
            }
        }
        self.batch_write(deletes, RECORD).await?;
        Ok(recorded)
    }

    async fn step(&self, ticket: &Ticket, step: Step) -> Result<Option<Waiting>, StoreError> {
        let (stage, counts) = match step {
            Step::Claim { lease_until } => {
                (Stage::Sending { lease_until }, ", attempt = attempt + :one")
            }
            Step::To(stage) => (stage, ""),
            Step::Failed(stage) => (stage, ", failures = failures + :one"),
            Step::Lost(stage) => (stage, ", failures = failures + :one, earlier = :unknown"),
        };
        let (name, instant) = stage_attributes(stage);
        let mut update = self
            .client
            .update_item()
            .table_name(&self.state)
            .set_key(Some(waiting_key(&ticket.place, &ticket.send)))
            .update_expression(format!(
                "SET epoch = epoch + :one, stage = :stage, due = :due{counts}"
            ))
            .condition_expression("epoch = :epoch")
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":epoch", n(ticket.epoch))
            .expression_attribute_values(":stage", s(name))
            .expression_attribute_values(":due", at(instant))
            .return_values(ReturnValue::AllNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if matches!(step, Step::Lost(_)) {
            update = update.expression_attribute_values(":unknown", s("unknown"));
        }
        match update.send().await {
            Ok(answer) => {
                let item = answer.attributes.unwrap_or_default();
                read_waiting(&item, &ticket.send.account, STEP).map(|(_, send)| Some(send))
            }
            Err(error) => match error.as_service_error() {
                Some(refused) if refused.is_conditional_check_failed_exception() => Ok(None),
                _ => Err(unavailable(STEP, error)),
            },
        }
    }

    async fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        ended_at: Timestamp,
    ) -> Result<(), StoreError> {
        let ended = self
            .client
            .update_item()
            .table_name(&self.sends)
            .key("id", s(entry_id(&ticket.send)))
            .update_expression(END)
            .condition_expression(IS_OURS)
            .expression_attribute_names("#state", "state")
            .set_expression_attribute_values(Some(end_values(ticket, outcome, ended_at)))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match ended {
            Ok(_) => {}
            Err(error) => match error.as_service_error() {
                // It has ended already: by us, with the answer lost, or it was another's.
                Some(refused) if refused.is_conditional_check_failed_exception() => {}
                _ => return Err(unavailable(FINISH, error)),
            },
        }
        self.discard(&ticket.place, &ticket.send).await
    }

    async fn finish_unclaimed(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        ended_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let invalid = |error| unavailable(FINISH, error);
        let end = Update::builder()
            .table_name(&self.sends)
            .key("id", s(entry_id(&ticket.send)))
            .update_expression(END)
            .condition_expression(IS_OURS)
            .expression_attribute_names("#state", "state")
            .set_expression_attribute_values(Some(end_values(ticket, outcome, ended_at)))
            .build()
            .map_err(invalid)?;
        let remove = Delete::builder()
            .table_name(&self.state)
            .set_key(Some(waiting_key(&ticket.place, &ticket.send)))
            .condition_expression("epoch = :epoch")
            .expression_attribute_values(":epoch", n(ticket.epoch))
            .build()
            .map_err(invalid)?;
        let answer = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().update(end).build())
            .transact_items(TransactWriteItem::builder().delete(remove).build())
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if is_lost_race(error.as_service_error()) => Ok(false),
            Err(error) => Err(unavailable(FINISH, error)),
        }
    }

    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        let found = self.lookup(sends, read, KNOWN).await?;
        sends
            .iter()
            .map(|send| match found.get(&entry_id(send)) {
                None => Ok(Entry::Missing),
                Some(item) => {
                    let reader = Reader { item, what: KNOWN };
                    match reader.text("state")? {
                        "waiting" => {
                            let place = reader.text("place")?.to_owned();
                            Ok(Entry::Waiting(Place::from_stored(place)))
                        }
                        _ => Ok(Entry::Ended),
                    }
                }
            })
            .collect()
    }

    async fn adopt(&self, place: &Place, send: &Waiting) -> Result<Recorded, StoreError> {
        self.put_entry(place, send).await
    }

    async fn discard(&self, place: &Place, send: &SendId) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(&self.state)
            .set_key(Some(waiting_key(place, send)))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| unavailable(FINISH, error))?;
        Ok(())
    }

    async fn waiting(
        &self,
        account: &AccountId,
        shard: u8,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<(Place, Waiting)>, StoreError> {
        // A page may hold less than `limit` because it is full, not because there is no more.
        let mut found = Vec::new();
        let mut after = after.map(|place| place.as_str().to_owned());
        while found.len() < limit {
            let mut query = self
                .client
                .query()
                .table_name(&self.state)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", s(waiting_pk(account, shard)))
                .consistent_read(true)
                .limit(i32::try_from(limit - found.len()).unwrap_or(i32::MAX));
            if let Some(after) = &after {
                query = query
                    .key_condition_expression("pk = :pk AND sk > :after")
                    .expression_attribute_values(":after", s(after));
            }
            let page = query.send().await.map_err(|error| unavailable(WAITING, error))?;
            for item in page.items() {
                after = item.get("sk").and_then(|sk| sk.as_s().ok()).cloned();
                match read_waiting(item, account, WAITING) {
                    Ok(send) => found.push(send),
                    // It must not keep the others from being sent.
                    Err(error) => {
                        error!(place = after, %account, %error, "left alone");
                        self.meter.store_failed(&error);
                    }
                }
            }
            if page.last_evaluated_key.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

/// Whether a transaction was refused because something was not as its conditions say.
pub(super) fn is_lost_race(error: Option<&TransactWriteItemsError>) -> bool {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error else {
        return false;
    };
    let mut reasons = cancelled.cancellation_reasons().iter();
    reasons.any(|reason| reason.code() == Some("ConditionalCheckFailed"))
}

/// Ends an entry.
const END: &str = "SET #state = :state, outcome = :outcome, ended_at = :at";
/// The entry waits, and points at this place.
const IS_OURS: &str = "#state = :waiting AND place = :place";

fn end_values(ticket: &Ticket, outcome: &Outcome, ended_at: Timestamp) -> Item {
    Item::from([
        (":state".into(), s(outcome.state())),
        (":outcome".into(), json(outcome)),
        (":at".into(), at(ended_at)),
        (":waiting".into(), s("waiting")),
        (":place".into(), s(ticket.place.as_str())),
    ])
}

impl DynamoSends {
    async fn put_entry(&self, place: &Place, send: &Waiting) -> Result<Recorded, StoreError> {
        let expires_at = (send.matched_at + ENTRY_LIFE).as_secs();
        let answer = self
            .client
            .put_item()
            .table_name(&self.sends)
            .item("id", s(entry_id(&send.id)))
            .item("state", s("waiting"))
            .item("place", s(place.as_str()))
            .item("campaign", s(send.campaign.as_str()))
            .item("matched_at", at(send.matched_at))
            .item(EXPIRES_AT, n(expires_at))
            .condition_expression("attribute_not_exists(id)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let Err(error) = answer else { return Ok(Recorded::New) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                let item = refused.item.clone().unwrap_or_default();
                let at_our_place =
                    Reader { item: &item, what: RECORD }.opt_text("place") == Some(place.as_str());
                // Our own write, whose answer was lost and which the SDK tried again.
                Ok(if at_our_place { Recorded::New } else { Recorded::Duplicate })
            }
            _ => Err(unavailable(RECORD, error)),
        }
    }

    async fn batch_write(
        &self,
        requests: Vec<WriteRequest>,
        what: &'static str,
    ) -> Result<(), StoreError> {
        let chunks: Vec<Vec<WriteRequest>> =
            requests.chunks(BATCH_WRITE).map(<[WriteRequest]>::to_vec).collect();
        try_join_all(chunks.into_iter().map(|chunk| self.batch_write_chunk(chunk, what))).await?;
        Ok(())
    }

    async fn batch_write_chunk(
        &self,
        chunk: Vec<WriteRequest>,
        what: &'static str,
    ) -> Result<(), StoreError> {
        let mut left = HashMap::from([(self.state.clone(), chunk)]);
        for _ in 0..BATCH_TRIES {
            let answer = self
                .client
                .batch_write_item()
                .set_request_items(Some(left))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(|error| unavailable(what, error))?;
            left = answer.unprocessed_items.unwrap_or_default();
            if left.is_empty() {
                return Ok(());
            }
        }
        let detail = "DynamoDB left a part of the batch undone".into();
        Err(StoreError::Unavailable { what, detail })
    }

    /// The entries of `sends`, by their id.
    async fn lookup(
        &self,
        sends: &[SendId],
        read: Read,
        what: &'static str,
    ) -> Result<HashMap<String, Item>, StoreError> {
        // A batch must not name a key twice.
        let ids: HashSet<String> = sends.iter().map(entry_id).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let chunks = ids.chunks(BATCH_GET).map(|chunk| self.lookup_chunk(chunk, read, what));
        let found = try_join_all(chunks).await?.into_iter().flatten();
        found
            .map(|item| {
                let id = Reader { item: &item, what }.text("id")?.to_owned();
                Ok((id, item))
            })
            .collect()
    }

    async fn lookup_chunk(
        &self,
        ids: &[String],
        read: Read,
        what: &'static str,
    ) -> Result<Vec<Item>, StoreError> {
        let keys = ids.iter().map(|id| Item::from([("id".into(), s(id.as_str()))])).collect();
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(read == Read::Consistent)
            .projection_expression("id, #state, place")
            .expression_attribute_names("#state", "state")
            .build()
            .map_err(|error| unavailable(what, error))?;
        let mut left = HashMap::from([(self.sends.clone(), request)]);
        let mut found = Vec::new();
        for _ in 0..BATCH_TRIES {
            let answer = self
                .client
                .batch_get_item()
                .set_request_items(Some(left))
                .send()
                .await
                .map_err(|error| unavailable(what, error))?;
            found.extend(answer.responses.unwrap_or_default().into_values().flatten());
            left = answer.unprocessed_keys.unwrap_or_default();
            if left.is_empty() {
                return Ok(found);
            }
        }
        let detail = "DynamoDB left a part of the batch undone".into();
        Err(StoreError::Unavailable { what, detail })
    }
}

/// What of a waiting send never changes.
#[derive(Serialize, Deserialize)]
struct Body {
    event: EventId,
    lane: Lane,
    campaign: CampaignId,
    to: Address,
    #[serde(default)]
    order: Overflow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media: Option<MediaId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyword: Option<String>,
    matched_at: Timestamp,
    deadline: Timestamp,
}

pub(super) fn waiting_key(place: &Place, send: &SendId) -> Item {
    Item::from([
        ("pk".into(), s(waiting_pk(&send.account, shard(&send.event)))),
        ("sk".into(), s(place.as_str())),
    ])
}

fn stage_attributes(stage: Stage) -> (&'static str, Timestamp) {
    match stage {
        Stage::Parked => ("parked", Timestamp::EPOCH),
        Stage::Queued { due } => ("queued", due),
        Stage::Sending { lease_until } => ("sending", lease_until),
    }
}

pub(super) fn waiting_item(place: &Place, send: &Waiting) -> Item {
    let body = Body {
        event: send.id.event.clone(),
        lane: send.lane,
        campaign: send.campaign.clone(),
        to: send.to.clone(),
        order: send.order,
        media: send.media.clone(),
        username: send.username.clone(),
        keyword: send.keyword.clone(),
        matched_at: send.matched_at,
        deadline: send.deadline,
    };
    let (stage, instant) = stage_attributes(send.stage);
    let earlier = match send.earlier {
        Earlier::NotSent => "not_sent",
        Earlier::Unknown => "unknown",
    };
    let mut item = waiting_key(place, &send.id);
    item.extend([
        ("epoch".into(), n(send.epoch)),
        ("stage".into(), s(stage)),
        ("due".into(), at(instant)),
        ("attempt".into(), n(send.attempt)),
        ("failures".into(), n(send.failures)),
        ("earlier".into(), s(earlier)),
        ("body".into(), json(&body)),
    ]);
    item
}

pub(super) fn read_waiting(
    item: &Item,
    account: &AccountId,
    what: &'static str,
) -> Result<(Place, Waiting), StoreError> {
    let reader = Reader { item, what };
    let place = Place::from_stored(reader.text("sk")?.to_owned());
    let body: Body = reader.json("body")?;
    let instant = reader.at("due")?;
    let stage = match reader.text("stage")? {
        "parked" => Stage::Parked,
        "queued" => Stage::Queued { due: instant },
        "sending" => Stage::Sending { lease_until: instant },
        other => return Err(reader.corrupt(format!("stage is `{other}`"))),
    };
    let earlier = match reader.text("earlier")? {
        "not_sent" => Earlier::NotSent,
        "unknown" => Earlier::Unknown,
        other => return Err(reader.corrupt(format!("earlier is `{other}`"))),
    };
    let send = Waiting {
        id: SendId { account: account.clone(), event: body.event },
        lane: body.lane,
        campaign: body.campaign,
        to: body.to,
        order: body.order,
        media: body.media,
        username: body.username,
        keyword: body.keyword,
        matched_at: body.matched_at,
        deadline: body.deadline,
        stage,
        epoch: reader.number("epoch")?,
        attempt: reader.number("attempt")?,
        failures: reader.number("failures")?,
        earlier,
    };
    Ok((place, send))
}
