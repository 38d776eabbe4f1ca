//! Budgets, cursors and watches: one item each an account, and one budget for the app, written on the condition of
//! its version.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use spillway_core::answers::Answers;
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, GrantId, Revision};
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::pace::Cursor;
use spillway_core::rotation::Rotation;
use spillway_core::time::Timestamp;
use spillway_core::unknown::EchoWatch;
use spillway_core::windows::Windows;
use spillway_service::keys;
use spillway_service::port::{
    AppBudgets, Budgets, Cursors, EchoWatches, Moved, Read, Saved, StoreError,
};

use super::item::{Item, Reader, at, b, json, n};
use super::table::{Ask, Table, cancelled, key};
use crate::failure::{incomplete, unavailable};
use crate::schema::EXPIRES_AT;

/// Budgets in the `state` table.
pub struct DynamoBudgets {
    /// The `state` table.
    pub table: Table,
}

/// Cursors in the `state` table.
pub struct DynamoCursors {
    /// The `state` table.
    pub table: Table,
}

/// Watches for echoes in the `state` table.
pub struct DynamoEchoWatches {
    /// The `state` table.
    pub table: Table,
}

/// The app's budget in the `state` table.
pub struct DynamoAppBudgets {
    /// The `state` table.
    pub table: Table,
}

/// A value with a version, kept in an item of its own.
trait Versioned: Sized + Default {
    const SORT_KEY: &'static str;
    const LOAD: &'static str;
    const SAVE: &'static str;
    fn version(&self) -> u64;
    fn grant(&self) -> GrantId;
    /// Attributes beside keys, version and grant.
    fn write(&self, item: &mut Item);
    fn read(reader: &Reader<'_>, version: u64, grant: GrantId) -> Result<Self, StoreError>;
}

fn value_of<T: Versioned>(item: &Item, what: &'static str) -> Result<T, StoreError> {
    let reader = Reader { item, what };
    let grant = reader.bytes("grant")?.try_into().map_err(|error| reader.corrupt(error))?;
    T::read(&reader, reader.number("version")?, GrantId::from_bytes(grant))
}

async fn load<T: Versioned>(table: &Table, pk: &str) -> Result<T, StoreError> {
    read(table, pk, Read::Consistent).await
}

async fn read<T: Versioned>(table: &Table, pk: &str, how: Read) -> Result<T, StoreError> {
    let get = table.get(key(pk, T::SORT_KEY)).consistent_read(how == Read::Consistent);
    let item = get.ask(T::LOAD).await?;
    item.map_or_else(|| Ok(T::default()), |item| value_of(&item, T::LOAD))
}

/// The item of a value, and the condition under which it is written: that the stored version is the
/// one before it.
fn item_of<T: Versioned>(pk: &str, next: &T) -> Item {
    let mut item = key(pk, T::SORT_KEY);
    item.extend([
        ("version".into(), n(next.version())),
        ("grant".into(), b(next.grant().to_bytes())),
    ]);
    next.write(&mut item);
    item
}

/// See [`item_of`].
fn condition_of<T: Versioned>(next: &T) -> (&'static str, Option<AttributeValue>) {
    match next.version() {
        0 | 1 => ("attribute_not_exists(pk)", None),
        version => ("version = :before", Some(n(version - 1))),
    }
}

async fn save<T: Versioned>(table: &Table, pk: &str, next: &T) -> Result<Saved<T>, StoreError> {
    let (condition, before) = condition_of(next);
    let mut put = table
        .put(item_of(pk, next))
        .condition_expression(condition)
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    if let Some(before) = before {
        put = put.expression_attribute_values(":before", before);
    }
    let Err(error) = put.send().await else { return Ok(Saved::Done) };
    let old = match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(refused)) => refused.item.clone(),
        // A transaction was writing the item at the same time.
        Some(PutItemError::TransactionConflictException(_)) => None,
        _ => return Err(unavailable(T::SAVE, error)),
    };
    let current: T = match old {
        Some(item) => value_of(&item, T::SAVE)?,
        None => load(table, pk).await?,
    };
    Ok(conflict(current, next))
}

/// The item that prevents the write; or our own write, whose answer was lost and which the SDK
/// tried again.
fn conflict<T: Versioned>(current: T, next: &T) -> Saved<T> {
    let ours = current.version() == next.version() && current.grant() == next.grant();
    if ours { Saved::Done } else { Saved::Conflict(current) }
}

impl Versioned for Budget {
    const SORT_KEY: &'static str = keys::BUDGET_SK;
    const LOAD: &'static str = "load the budget";
    const SAVE: &'static str = "save the budget";

    fn version(&self) -> u64 {
        self.version
    }

    fn grant(&self) -> GrantId {
        self.grant
    }

    fn write(&self, item: &mut Item) {
        item.insert("decided_at".into(), at(self.decided_at));
        item.insert("paced_at".into(), at(self.paced_at));
        item.insert("windows".into(), b(self.windows.encode()));
        if let Some(counts) = self.windows.encode_counts() {
            item.insert("counts".into(), b(counts));
        }
        item.insert("holds".into(), json(&self.holds));
        item.insert("learned".into(), json(&self.feedback));
        item.insert("rotation".into(), b(self.rotation.encode()));
        if self.revision > Revision::default() {
            item.insert("revision".into(), n(self.revision.0));
        }
        if !self.answers.is_empty() {
            item.insert("answers".into(), json(&self.answers));
        }
    }

    fn read(reader: &Reader<'_>, version: u64, grant: GrantId) -> Result<Self, StoreError> {
        Ok(Self {
            version,
            grant,
            decided_at: reader.at("decided_at")?,
            paced_at: reader.at("paced_at")?,
            windows: windows(reader)?,
            holds: reader.json("holds")?,
            feedback: reader.json("learned")?,
            rotation: Rotation::decode(reader.bytes("rotation")?),
            revision: revision(reader)?,
            answers: if reader.item.contains_key("answers") {
                reader.json("answers")?
            } else {
                Answers::default()
            },
        })
    }
}

/// The revision of an account's settings; none is written of an account that was never changed
/// since there are any.
pub(super) fn revision(reader: &Reader<'_>) -> Result<Revision, StoreError> {
    Ok(Revision(reader.optional_number("revision")?.unwrap_or_default()))
}

fn windows(reader: &Reader<'_>) -> Result<Windows, StoreError> {
    Windows::decode(reader.bytes("windows")?, reader.optional_bytes("counts")?)
        .ok_or_else(|| reader.corrupt("attribute `windows` has another format"))
}

impl Versioned for AppBudget {
    const SORT_KEY: &'static str = keys::BUDGET_SK;
    const LOAD: &'static str = "load the app's budget";
    const SAVE: &'static str = "save the app's budget";

    fn version(&self) -> u64 {
        self.version
    }

    fn grant(&self) -> GrantId {
        self.grant
    }

    fn write(&self, item: &mut Item) {
        item.insert("decided_at".into(), at(self.decided_at));
        item.insert("windows".into(), b(self.windows.encode()));
        if let Some(counts) = self.windows.encode_counts() {
            item.insert("counts".into(), b(counts));
        }
        item.insert("holds".into(), json(&self.holds));
        item.insert("leasing".into(), n(self.leasing));
        if let Some(tiers) = self.tiers {
            item.insert("tiers".into(), json(&tiers));
        }
        if let Some(returned_at) = self.returned_at {
            item.insert("returned_at".into(), at(returned_at));
        }
    }

    fn read(reader: &Reader<'_>, version: u64, grant: GrantId) -> Result<Self, StoreError> {
        Ok(Self {
            version,
            grant,
            decided_at: reader.at("decided_at")?,
            windows: windows(reader)?,
            holds: reader.json("holds")?,
            leasing: reader.number("leasing")?,
            tiers: match reader.opt_text("tiers") {
                Some(_) => Some(reader.json("tiers")?),
                None => None,
            },
            returned_at: reader.opt_at("returned_at")?,
        })
    }
}

impl Versioned for Cursor {
    const SORT_KEY: &'static str = keys::CURSOR_SK;
    const LOAD: &'static str = "load the cursor";
    const SAVE: &'static str = "save the cursor";

    fn version(&self) -> u64 {
        self.version
    }

    fn grant(&self) -> GrantId {
        self.grant
    }

    fn write(&self, item: &mut Item) {
        item.insert("next".into(), json(&self.next));
        item.insert("closed_until".into(), at(self.closed_until));
        item.insert("parked".into(), json(&self.parked));
        item.insert("outlook".into(), json(&self.outlook));
        if let Some(broadcast) = &self.broadcast {
            item.insert("broadcast".into(), json(broadcast));
        }
    }

    fn read(reader: &Reader<'_>, version: u64, grant: GrantId) -> Result<Self, StoreError> {
        Ok(Self {
            version,
            grant,
            next: reader.json("next")?,
            closed_until: reader.at("closed_until")?,
            parked: reader.json("parked")?,
            outlook: reader.json("outlook")?,
            broadcast: if reader.item.contains_key("broadcast") {
                Some(reader.json("broadcast")?)
            } else {
                None
            },
        })
    }
}

impl Versioned for EchoWatch {
    const SORT_KEY: &'static str = keys::ECHOES_SK;
    const LOAD: &'static str = "load the watch for echoes";
    const SAVE: &'static str = "save the watch for echoes";

    fn version(&self) -> u64 {
        self.version
    }

    fn grant(&self) -> GrantId {
        self.grant
    }

    fn write(&self, item: &mut Item) {
        item.insert("until".into(), at(self.until));
        item.insert("minutes".into(), json(&self.minutes));
        item.insert(EXPIRES_AT.into(), n((self.until + WATCH_KEPT).as_secs()));
    }

    fn read(reader: &Reader<'_>, version: u64, grant: GrantId) -> Result<Self, StoreError> {
        let (until, minutes) = (reader.at("until")?, reader.json("minutes")?);
        Ok(Self { version, grant, until, minutes })
    }
}

/// How long a watch that is over is kept: release looks at it for two hours.
const WATCH_KEPT: Duration = Duration::from_secs(24 * 3600);

#[async_trait]
impl EchoWatches for DynamoEchoWatches {
    async fn load(&self, account: &AccountId, how: Read) -> Result<EchoWatch, StoreError> {
        read(&self.table, &keys::pace(account), how).await
    }

    async fn save(
        &self,
        account: &AccountId,
        next: &EchoWatch,
    ) -> Result<Saved<EchoWatch>, StoreError> {
        save(&self.table, &keys::pace(account), next).await
    }
}

#[async_trait]
impl Budgets for DynamoBudgets {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Budget, StoreError> {
        read(&self.table, &keys::pace(account), how).await
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        save(&self.table, &keys::pace(account), next).await
    }

    async fn save_moved(
        &self,
        account: &AccountId,
        next: &Budget,
        moved: &Moved<'_>,
    ) -> Result<Saved<Budget>, StoreError> {
        let invalid = |error| incomplete(MOVE, error);
        let pk = keys::pace(account);
        let (condition, before) = condition_of(next);
        let mut budget = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(item_of(&pk, next)))
            .condition_expression(condition);
        if let Some(before) = before {
            budget = budget.expression_attribute_values(":before", before);
        }
        let person = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(person_item(account, moved.person, moved.to)))
            .condition_expression("counted_at = :from")
            .expression_attribute_values(":from", at(moved.from))
            .build()
            .map_err(invalid)?;
        let budget = budget.build().map_err(invalid)?;
        let answer = self
            .table
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(budget).build())
            .transact_items(TransactWriteItem::builder().put(person).build())
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let Err(error) = answer else { return Ok(Saved::Done) };
        if cancelled(&error).is_some() {
            return Ok(conflict(load(&self.table, &pk).await?, next));
        }
        Err(unavailable(MOVE, error))
    }

    async fn counted_at(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let get = self.table.get(person_key(account, person)).consistent_read(true);
        let Some(item) = get.ask(COUNTED).await? else { return Ok(None) };
        Reader { item: &item, what: COUNTED }.at("counted_at").map(Some)
    }

    async fn note_counted(
        &self,
        account: &AccountId,
        person: &RecipientId,
        counted_at: Timestamp,
    ) -> Result<(), StoreError> {
        // Refused where a later one is noted.
        self.table
            .put(person_item(account, person, counted_at))
            .condition_expression("attribute_not_exists(pk) OR counted_at < :at")
            .expression_attribute_values(":at", at(counted_at))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .ask(NOTE)
            .await
            .map(drop)
    }
}

const MOVE: &str = "save the budget and a person's unit";
const COUNTED: &str = "look up a person's unit";
const NOTE: &str = "note a person's unit";

/// No window is longer (see `Profile::validate`): after this a unit, and what a removed account has
/// used, counts no more.
pub(super) const COUNTED_MAX: Duration = Duration::from_secs(32 * 24 * 3600);

/// The key of a person's unit.
pub(super) fn person_key(account: &AccountId, person: &RecipientId) -> Item {
    key(keys::person(account, person), keys::UNIT_SK)
}

fn person_item(account: &AccountId, person: &RecipientId, counted_at: Timestamp) -> Item {
    let mut item = person_key(account, person);
    item.insert("counted_at".into(), at(counted_at));
    item.insert(EXPIRES_AT.into(), n((counted_at + COUNTED_MAX).as_secs()));
    item
}

#[async_trait]
impl Cursors for DynamoCursors {
    async fn load(&self, account: &AccountId) -> Result<Cursor, StoreError> {
        load(&self.table, &keys::pace(account)).await
    }

    async fn save(&self, account: &AccountId, next: &Cursor) -> Result<Saved<Cursor>, StoreError> {
        save(&self.table, &keys::pace(account), next).await
    }
}

#[async_trait]
impl AppBudgets for DynamoAppBudgets {
    async fn load(&self) -> Result<AppBudget, StoreError> {
        load(&self.table, keys::APP).await
    }

    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
        save(&self.table, keys::APP, next).await
    }
}
