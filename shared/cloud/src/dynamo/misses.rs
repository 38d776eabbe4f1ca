//! Misses: a partition an account, with an item for each day's tally and one for each sample.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use spillway_core::budget::GrantId;
use spillway_core::id::{AccountId, MediaId, RecipientId};
use spillway_core::misses::{COUNTS_KEPT, Day, MissDay, SAMPLES_KEPT, Slot, Tally};
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::{Misses, Read, Saved, SealedText, StoreError, StoredSample};

use super::item::{Item, Reader, at, b, json, n, s};
use super::table::{Ask, Table, Written, key};
use crate::schema::EXPIRES_AT;

/// Misses in the `state` table.
pub struct DynamoMisses {
    /// The `state` table.
    pub table: Table,
}

const LOAD: &str = "load the day's misses";
const SAVE: &str = "save the day's misses";
const PUT: &str = "store a sample of the misses";
const LIST: &str = "list misses";
const DELETE: &str = "delete misses";

/// The first byte of a packed list of slots: each slot then has one byte for its kind and four for
/// its rank.
const SLOTS_FORM: u8 = 1;

#[async_trait]
impl Misses for DynamoMisses {
    async fn load(&self, account: &AccountId, day: Day, how: Read) -> Result<MissDay, StoreError> {
        let get = self.table.get(day_key(account, day)).consistent_read(how == Read::Consistent);
        let item = get.ask(LOAD).await?;
        item.map_or_else(|| Ok(MissDay::default()), |item| day_of(&item, LOAD))
    }

    async fn save(
        &self,
        account: &AccountId,
        day: Day,
        next: &MissDay,
    ) -> Result<Saved<MissDay>, StoreError> {
        let mut item = day_key(account, day);
        item.extend([
            ("version".into(), n(next.version)),
            ("grant".into(), b(next.grant.to_bytes())),
            ("counts".into(), json(&next.tally.counts())),
            ("slots".into(), b(packed(next.tally.slots()))),
            (EXPIRES_AT.into(), n((day.end() + COUNTS_KEPT).as_secs())),
        ]);
        let put = self
            .table
            .put(item)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match next.version {
            0 | 1 => put.condition_expression("attribute_not_exists(pk)"),
            version => put
                .condition_expression("version = :before")
                .expression_attribute_values(":before", n(version - 1)),
        };
        let Written::Refused(stored) = put.ask(SAVE).await? else { return Ok(Saved::Done) };
        let current = if stored.is_empty() { MissDay::default() } else { day_of(&stored, SAVE)? };
        // Our own write, whose answer was lost and which the SDK tried again.
        let ours = current.version == next.version && current.grant == next.grant;
        Ok(if ours { Saved::Done } else { Saved::Conflict(current) })
    }

    async fn put_sample(
        &self,
        account: &AccountId,
        day: Day,
        slot: usize,
        sample: &StoredSample,
    ) -> Result<(), StoreError> {
        let StoredSample { kind, rank, person, media, at: told_at, text } = sample;
        let mut item = key(keys::misses(account), keys::miss_sample_sk(day, slot));
        item.extend([
            ("kind".into(), json(kind)),
            ("rank".into(), n(rank)),
            ("at".into(), at(*told_at)),
            ("key".into(), n(text.key)),
            ("sealed".into(), b(text.sealed.as_slice())),
            (EXPIRES_AT.into(), n((*told_at + SAMPLES_KEPT).as_secs())),
        ]);
        item.extend(person.as_ref().map(|person| ("person".into(), s(person.as_str()))));
        item.extend(media.as_ref().map(|media| ("media".into(), s(media.as_str()))));
        self.table
            .put(item)
            .condition_expression("attribute_not_exists(pk) OR #rank > :rank")
            .expression_attribute_names("#rank", "rank")
            .expression_attribute_values(":rank", n(rank))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .ask(PUT)
            .await
            .map(drop)
    }

    async fn days(
        &self,
        account: &AccountId,
        since: Day,
    ) -> Result<Vec<(Day, MissDay)>, StoreError> {
        let after_all = format!("{}~", keys::MISS_DAY_SK_PREFIX);
        let items = self.list(account, &keys::miss_day_sk(since), &after_all).await?;
        let day = |item: &Item| {
            let reader = Reader { item, what: LIST };
            let sk = reader.text("sk")?;
            let day = keys::day_of_miss_sk(sk).ok_or_else(|| reader.corrupt("no day"))?;
            Ok((day, day_of(item, LIST)?))
        };
        items.iter().map(day).collect()
    }

    async fn samples(
        &self,
        account: &AccountId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<StoredSample>, StoreError> {
        let since = since.max(now - SAMPLES_KEPT);
        // A sample's day is the one on which it was counted, never before the one it was told of.
        let first = keys::miss_samples_of_day_sk(Day::of(since));
        let after_all = format!("{}~", keys::MISS_SAMPLE_SK_PREFIX);
        let items = self.list(account, &first, &after_all).await?;
        let mut samples: Vec<StoredSample> =
            items.iter().map(sample_of).collect::<Result<_, _>>()?;
        samples.retain(|sample| sample.at >= since && now < sample.at + SAMPLES_KEPT);
        Ok(samples)
    }

    async fn forget(&self, account: &AccountId, person: &RecipientId) -> Result<usize, StoreError> {
        let query = self
            .table
            .partition(keys::misses(account))
            .filter_expression("person = :person")
            .expression_attribute_values(":person", s(person.as_str()))
            .projection_expression("sk")
            .consistent_read(true);
        let items = query.ask(DELETE).await?;
        for item in &items {
            let reader = Reader { item, what: DELETE };
            let sk = reader.text("sk")?;
            // Its slot may have another's by now.
            self.table
                .delete(key(keys::misses(account), sk))
                .condition_expression("person = :person")
                .expression_attribute_values(":person", s(person.as_str()))
                .ask(DELETE)
                .await?;
        }
        Ok(items.len())
    }

    async fn delete(&self, account: &AccountId) -> Result<(), StoreError> {
        let query = self.table.partition(keys::misses(account)).projection_expression("sk");
        for item in &query.consistent_read(true).ask(DELETE).await? {
            let reader = Reader { item, what: DELETE };
            let sk = reader.text("sk")?;
            self.table.delete(key(keys::misses(account), sk)).ask(DELETE).await?;
        }
        Ok(())
    }
}

impl DynamoMisses {
    async fn list(
        &self,
        account: &AccountId,
        first: &str,
        last: &str,
    ) -> Result<Vec<Item>, StoreError> {
        self.table
            .partition(keys::misses(account))
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":first", s(first))
            .expression_attribute_values(":last", s(last))
            .consistent_read(true)
            .ask(LIST)
            .await
    }
}

fn day_key(account: &AccountId, day: Day) -> Item {
    key(keys::misses(account), keys::miss_day_sk(day))
}

fn day_of(item: &Item, what: &'static str) -> Result<MissDay, StoreError> {
    let reader = Reader { item, what };
    let grant = reader.bytes("grant")?.try_into().map_err(|error| reader.corrupt(error))?;
    let counts = reader.json("counts")?;
    let slots = unpacked(reader.bytes("slots")?).ok_or_else(|| reader.corrupt("slots"))?;
    Ok(MissDay {
        version: reader.number("version")?,
        grant: GrantId::from_bytes(grant),
        tally: Tally::stored(counts, slots),
    })
}

fn sample_of(item: &Item) -> Result<StoredSample, StoreError> {
    let reader = Reader { item, what: LIST };
    Ok(StoredSample {
        kind: reader.json("kind")?,
        rank: reader.number("rank")?,
        person: reader.opt_text("person").map(RecipientId::new),
        media: reader.opt_text("media").map(MediaId::new),
        at: reader.at("at")?,
        text: SealedText { key: reader.number("key")?, sealed: reader.bytes("sealed")?.to_owned() },
    })
}

fn packed(slots: &[Slot<()>]) -> Vec<u8> {
    let mut bytes = vec![SLOTS_FORM];
    for slot in slots {
        // There are fewer kinds.
        bytes.push(u8::try_from(slot.kind).unwrap_or(u8::MAX));
        bytes.extend(slot.rank.to_be_bytes());
    }
    bytes
}

fn unpacked(bytes: &[u8]) -> Option<Vec<Slot<()>>> {
    let slots = bytes.strip_prefix(&[SLOTS_FORM])?;
    let (slots, rest) = slots.as_chunks::<5>();
    let slot = |&[kind, a, b, c, d]: &[u8; 5]| Slot {
        kind: usize::from(kind),
        rank: u32::from_be_bytes([a, b, c, d]),
        sample: (),
    };
    rest.is_empty().then(|| slots.iter().map(slot).collect())
}
