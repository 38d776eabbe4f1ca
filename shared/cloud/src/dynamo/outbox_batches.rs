//! Batches: which sends of an account may wait.

use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use spillway_core::id::{AccountId, OnceKey};
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::outbox_batch::{OutboxBatch, OutboxLine, Slot};
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::StoreError;
use tracing::error;

use super::entry::{expires_at, read_class, read_content, said};
use super::item::{Item, Reader, WRITTEN_BY, at, b, json, n, s, writer};
use super::sends::DynamoSends;
use super::table::{Ask, key};
use crate::failure::unavailable;
use crate::schema::EXPIRES_AT;

/// Batches written at a time.
const PUTS_AT_ONCE: usize = 25;

const PUT: &str = "write batches";
const READ: &str = "read batches";

/// A line as its batch's item has it: key, deadline, and where it has a slot, that and its epoch;
/// one that may not go at once begins with the instant before which it may not. Instants are in
/// milliseconds from when the batch was written, so that a full batch is one write unit.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Parked(OnceKey, i64),
    Queued(OnceKey, i64, i64, u32),
    ParkedLater(i64, OnceKey, i64),
    QueuedLater(i64, OnceKey, i64, i64, u32),
}

impl Stored {
    fn of(line: &OutboxLine, written_at: Timestamp) -> Self {
        let from = |at: Timestamp| at.as_millis().wrapping_sub(written_at.as_millis()) as i64;
        let (key, deadline) = (line.key.clone(), from(line.deadline));
        let slot = line.slot.map(|Slot { due, epoch }| (from(due), epoch));
        match (line.not_before.map(from), slot) {
            (None, None) => Self::Parked(key, deadline),
            (None, Some((due, epoch))) => Self::Queued(key, deadline, due, epoch),
            (Some(later), None) => Self::ParkedLater(later, key, deadline),
            (Some(later), Some((due, epoch))) => {
                Self::QueuedLater(later, key, deadline, due, epoch)
            }
        }
    }

    fn read(self, written_at: Timestamp) -> OutboxLine {
        let at = |from| Timestamp::from_millis(written_at.as_millis().wrapping_add_signed(from));
        let (not_before, key, deadline, slot) = match self {
            Self::Parked(key, deadline) => (None, key, deadline, None),
            Self::Queued(key, deadline, due, epoch) => (None, key, deadline, Some((due, epoch))),
            Self::ParkedLater(later, key, deadline) => (Some(later), key, deadline, None),
            Self::QueuedLater(later, key, deadline, due, epoch) => {
                (Some(later), key, deadline, Some((due, epoch)))
            }
        };
        let slot = slot.map(|(due, epoch)| Slot { due: at(due), epoch });
        OutboxLine { key, not_before: not_before.map(at), deadline: at(deadline), slot }
    }
}

fn batch_key(batch: &OutboxBatch) -> Item {
    key(keys::waiting(&batch.account), batch.outbox_key.as_str())
}

fn item(batch: &OutboxBatch) -> Item {
    let lines: Vec<Stored> =
        batch.lines.iter().map(|line| Stored::of(line, batch.written_at)).collect();
    let deadline = batch.lines.iter().map(|line| line.deadline).max().unwrap_or_default();
    let mut item = batch_key(batch);
    item.extend([
        ("version".into(), n(batch.version)),
        ("campaign".into(), s(batch.content.campaign.as_str())),
        ("matched_at".into(), at(batch.matched_at)),
        ("written_at".into(), at(batch.written_at)),
        ("lines".into(), json(&lines)),
        (EXPIRES_AT.into(), n(expires_at(batch.written_at, deadline))),
    ]);
    item.extend(said(batch.class, batch.content.step));
    item
}

fn read(item: &Item, account: &AccountId) -> Result<OutboxBatch, StoreError> {
    let reader = Reader { item, what: READ };
    let written_at = reader.at("written_at")?;
    let lines = reader.json::<Vec<Stored>>("lines")?.into_iter();
    let outbox_key = OutboxKey::from_stored(reader.text("sk")?.to_owned());
    Ok(OutboxBatch {
        account: account.clone(),
        class: read_class(&reader, &outbox_key)?,
        content: read_content(&reader)?,
        outbox_key,
        version: reader.number("version")?,
        matched_at: reader.at("matched_at")?,
        written_at,
        lines: lines.map(|line| line.read(written_at)).collect(),
    })
}

impl DynamoSends {
    /// Writes new batches, each by a request of its own: the right to write a batch of items would
    /// be a right to delete them too.
    pub(super) async fn put_new_batches(&self, batches: &[OutboxBatch]) -> Result<(), StoreError> {
        let puts: Vec<_> = batches.iter().map(|batch| self.put_new_batch(batch)).collect();
        stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).try_collect().await
    }

    async fn put_new_batch(&self, batch: &OutboxBatch) -> Result<(), StoreError> {
        let put = self.state.put(item(batch));
        put.return_consumed_capacity(ReturnConsumedCapacity::Total).ask(PUT).await.map(drop)
    }

    pub(super) async fn query_batches(
        &self,
        account: &AccountId,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxBatch>, StoreError> {
        // An answer may hold less than `limit` because it is full, not because there is no more.
        let mut found = Vec::new();
        let mut after = after.map(|outbox_key| outbox_key.as_str().to_owned());
        while found.len() < limit {
            let mut query = self
                .state
                .partition(keys::waiting(account))
                .consistent_read(true)
                .limit(i32::try_from(limit - found.len()).unwrap_or(i32::MAX));
            if let Some(after) = &after {
                query = query
                    .key_condition_expression("pk = :pk AND sk > :after")
                    .expression_attribute_values(":after", s(after));
            }
            let answer = query.send().await.map_err(|error| unavailable(READ, error))?;
            for item in answer.items() {
                after = item.get("sk").and_then(|sk| sk.as_s().ok()).cloned();
                match read(item, account) {
                    Ok(batch) => found.push(batch),
                    // It must not keep the others from being sent.
                    Err(error) => {
                        error!(outbox_key = after, %account, %error, "left alone");
                        self.meter.store_failed(&error);
                    }
                }
            }
            if answer.last_evaluated_key.is_none() {
                break;
            }
        }
        Ok(found)
    }

    pub(super) async fn replace_batch(&self, next: &OutboxBatch) -> Result<bool, StoreError> {
        const IS_BEFORE: &str = "version = :before";
        let before = n(next.version - 1);
        if next.lines.is_empty() {
            let delete = self
                .state
                .delete(batch_key(next))
                .condition_expression(IS_BEFORE)
                .expression_attribute_values(":before", before)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            // Of a batch that is gone nobody can tell who removed it.
            Ok(delete.ask(PUT).await?.is_done())
        } else {
            let writer = writer(PUT)?;
            let mut item = item(next);
            item.insert(WRITTEN_BY.into(), b(writer.as_slice()));
            let put = self
                .state
                .put(item)
                .condition_expression(IS_BEFORE)
                .expression_attribute_values(":before", before)
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                )
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            Ok(put.ask(PUT).await?.is_done_by(&writer))
        }
    }
}

#[cfg(test)]
mod tests {
    use spillway_core::send::{Class, Content};
    use spillway_service::outbox_batch::LINES_MAX;

    use super::*;

    /// Bytes as DynamoDB counts them: names, texts, and numbers at most 21 each.
    fn size(item: &Item) -> usize {
        let bytes = |(name, value): (&String, &aws_sdk_dynamodb::types::AttributeValue)| {
            name.len() + value.as_s().map_or(9, String::len)
        };
        item.iter().map(bytes).sum()
    }

    #[test]
    fn a_full_page_is_one_write_unit_and_is_read_back() {
        let written_at = Timestamp::from_millis(1_790_000_000_123);
        let outbox_key = "1#01790604800000#17890000000000001#0123456789abcdef";
        let line = |n: u64| OutboxLine {
            key: OnceKey::new(format!("178900000000000{n:03}")),
            not_before: None,
            deadline: written_at + std::time::Duration::from_secs(601_200 + n),
            slot: Some(Slot {
                due: written_at + std::time::Duration::from_millis(500_000 + n),
                epoch: 12,
            }),
        };
        let mut batch = OutboxBatch {
            account: "17841400000000001".into(),
            outbox_key: OutboxKey::from_stored(outbox_key.into()),
            version: 12,
            class: Class::PRIVATE_REPLY,
            content: Content::opening("the-guide-to-autumn-in-the-alps"),
            matched_at: written_at,
            written_at,
            lines: (0..LINES_MAX as u64).map(line).collect(),
        };
        let writer = WRITTEN_BY.len() + writer(PUT).unwrap().len();
        let size = size(&item(&batch)) + writer;
        assert!(size <= 1024, "{size}");
        batch.lines[1].slot = None;
        batch.lines[2].slot = Some(Slot::UNKNOWN);
        assert_eq!(read(&item(&batch), &batch.account).unwrap(), batch);
        // What is new is stored only where it is not as usual.
        assert!(!item(&batch).contains_key("action"));
        batch.class = Class::ANSWER;
        batch.lines[1].not_before = Some(written_at);
        batch.lines[2].not_before = Some(written_at + std::time::Duration::from_secs(1));
        assert_eq!(read(&item(&batch), &batch.account).unwrap(), batch);
    }
}
