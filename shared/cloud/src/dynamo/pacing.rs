//! Budgets and cursors: one item each an account, and one for the app, written on the condition of its
//! version.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, GrantId, Windows};
use spillway_core::id::AccountId;
use spillway_core::pace::Cursor;
use spillway_core::rotation::Rotation;
use spillway_service::port::{AppBudgets, Budgets, Cursors, Saved, StoreError};

use super::item::{Item, Reader, at, b, json, n, s};
use super::unavailable;
use crate::schema::{APP_PK, pace_pk};

/// Budgets in the `state` table.
pub struct DynamoBudgets {
    /// The client.
    pub client: Client,
    /// The `state` table's name.
    pub table: String,
}

/// Cursors in the `state` table.
pub struct DynamoCursors {
    /// The client.
    pub client: Client,
    /// The `state` table's name.
    pub table: String,
}

/// The app's budget in the `state` table.
pub struct DynamoAppBudgets {
    /// The client.
    pub client: Client,
    /// The `state` table's name.
    pub table: String,
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

fn read<T: Versioned>(item: &Item, what: &'static str) -> Result<T, StoreError> {
    let reader = Reader { item, what };
    let grant = reader.bytes("grant")?.try_into().map_err(|error| reader.corrupt(error))?;
    T::read(&reader, reader.number("version")?, GrantId::from_bytes(grant))
}

async fn load<T: Versioned>(client: &Client, table: &str, pk: &str) -> Result<T, StoreError> {
    let answer = client
        .get_item()
        .table_name(table)
        .key("pk", s(pk))
        .key("sk", s(T::SORT_KEY))
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| unavailable(T::LOAD, error))?;
    answer.item.map_or_else(|| Ok(T::default()), |item| read(&item, T::LOAD))
}

async fn save<T: Versioned>(
    client: &Client,
    table: &str,
    pk: &str,
    next: &T,
) -> Result<Saved<T>, StoreError> {
    let mut item = Item::from([
        ("pk".into(), s(pk)),
        ("sk".into(), s(T::SORT_KEY)),
        ("version".into(), n(next.version())),
        ("grant".into(), b(next.grant().to_bytes())),
    ]);
    next.write(&mut item);
    let mut put = client
        .put_item()
        .table_name(table)
        .set_item(Some(item))
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    put = match next.version() {
        0 | 1 => put.condition_expression("attribute_not_exists(pk)"),
        version => put
            .condition_expression("version = :before")
            .expression_attribute_values(":before", n(version - 1)),
    };
    let Err(error) = put.send().await else { return Ok(Saved::Done) };
    match error.as_service_error() {
        Some(refused) if refused.is_conditional_check_failed_exception() => {}
        _ => return Err(unavailable(T::SAVE, error)),
    }
    let old = match error.into_service_error() {
        aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
            refused,
        ) => refused.item,
        _ => None,
    };
    let current: T = match old {
        Some(item) => read(&item, T::SAVE)?,
        None => load(client, table, pk).await?,
    };
    // Our own write, whose answer was lost and which the SDK tried again.
    let ours = current.version() == next.version() && current.grant() == next.grant();
    Ok(if ours { Saved::Done } else { Saved::Conflict(current) })
}

impl Versioned for Budget {
    const SORT_KEY: &'static str = "budget";
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
        item.insert("holds".into(), json(&self.holds));
        item.insert("learned".into(), json(&self.learned));
        item.insert("rotation".into(), b(self.rotation.encode()));
    }

    fn read(reader: &Reader<'_>, version: u64, grant: GrantId) -> Result<Self, StoreError> {
        Ok(Self {
            version,
            grant,
            decided_at: reader.at("decided_at")?,
            paced_at: reader.at("paced_at")?,
            windows: windows(reader)?,
            holds: reader.json("holds")?,
            learned: reader.json("learned")?,
            rotation: Rotation::decode(reader.bytes("rotation")?),
        })
    }
}

fn windows(reader: &Reader<'_>) -> Result<Windows, StoreError> {
    Windows::decode(reader.bytes("windows")?)
        .ok_or_else(|| reader.corrupt("attribute `windows` has another format"))
}

impl Versioned for AppBudget {
    const SORT_KEY: &'static str = "budget";
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
        item.insert("holds".into(), json(&self.holds));
        item.insert("leasing".into(), n(self.leasing));
    }

    fn read(reader: &Reader<'_>, version: u64, grant: GrantId) -> Result<Self, StoreError> {
        Ok(Self {
            version,
            grant,
            decided_at: reader.at("decided_at")?,
            windows: windows(reader)?,
            holds: reader.json("holds")?,
            leasing: reader.number("leasing")?,
        })
    }
}

impl Versioned for Cursor {
    const SORT_KEY: &'static str = "cursor";
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
    }

    fn read(reader: &Reader<'_>, version: u64, grant: GrantId) -> Result<Self, StoreError> {
        Ok(Self {
            version,
            grant,
            next: reader.json("next")?,
            closed_until: reader.at("closed_until")?,
            parked: reader.json("parked")?,
            outlook: reader.json("outlook")?,
        })
    }
}

#[async_trait]
impl Budgets for DynamoBudgets {
    async fn load(&self, account: &AccountId) -> Result<Budget, StoreError> {
        load(&self.client, &self.table, &pace_pk(account)).await
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        save(&self.client, &self.table, &pace_pk(account), next).await
    }
}

#[async_trait]
impl Cursors for DynamoCursors {
    async fn load(&self, account: &AccountId) -> Result<Cursor, StoreError> {
        load(&self.client, &self.table, &pace_pk(account)).await
    }

    async fn save(&self, account: &AccountId, next: &Cursor) -> Result<Saved<Cursor>, StoreError> {
        save(&self.client, &self.table, &pace_pk(account), next).await
    }
}

#[async_trait]
impl AppBudgets for DynamoAppBudgets {
    async fn load(&self) -> Result<AppBudget, StoreError> {
        load(&self.client, &self.table, APP_PK).await
    }

    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError> {
        save(&self.client, &self.table, APP_PK, next).await
    }
}
