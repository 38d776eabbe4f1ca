//! Budgets and cursors: one item each an account, written on the condition of its version.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use spillway_core::budget::{Budget, GrantId, Windows};
use spillway_core::id::AccountId;
use spillway_core::pace::{Backlog, Cursor};
use spillway_core::rotation::Rotation;
use spillway_service::port::{Budgets, Cursors, Saved, StoreError};

use super::item::{Item, Reader, at, b, json, n, s};
use super::unavailable;
use crate::schema::pace_pk;

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

async fn load<T: Versioned>(
    client: &Client,
    table: &str,
    account: &AccountId,
) -> Result<T, StoreError> {
    let answer = client
        .get_item()
        .table_name(table)
        .key("pk", s(pace_pk(account)))
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
    account: &AccountId,
    next: &T,
) -> Result<Saved<T>, StoreError> {
    let mut item = Item::from([
        ("pk".into(), s(pace_pk(account))),
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
        None => load(client, table, account).await?,
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
        item.insert("windows".into(), b(self.windows.encode()));
        item.insert("holds".into(), json(&self.holds));
        item.insert("rotation".into(), b(self.rotation.encode()));
    }

    fn read(reader: &Reader<'_>, version: u64, grant: GrantId) -> Result<Self, StoreError> {
        let windows = Windows::decode(reader.bytes("windows")?)
            .ok_or_else(|| reader.corrupt("attribute `windows` has another format"))?;
        Ok(Self {
            version,
            grant,
            decided_at: reader.at("decided_at")?,
            windows,
            holds: reader.json("holds")?,
            rotation: Rotation::decode(reader.bytes("rotation")?),
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
        item.insert("paced".into(), at(self.paced));
        item.insert("closed_until".into(), at(self.closed_until));
        item.insert("live".into(), at(self.live));
        let backlog = match self.backlog {
            Backlog::Clear => "clear",
            Backlog::Parked => "parked",
        };
        item.insert("backlog".into(), s(backlog));
    }

    fn read(reader: &Reader<'_>, version: u64, grant: GrantId) -> Result<Self, StoreError> {
        let backlog = match reader.text("backlog")? {
            "clear" => Backlog::Clear,
            "parked" => Backlog::Parked,
            other => return Err(reader.corrupt(format!("backlog is `{other}`"))),
        };
        Ok(Self {
            version,
            grant,
            paced: reader.at("paced")?,
            closed_until: reader.at("closed_until")?,
            live: reader.at("live")?,
            backlog,
        })
    }
}

#[async_trait]
impl Budgets for DynamoBudgets {
    async fn load(&self, account: &AccountId) -> Result<Budget, StoreError> {
        load(&self.client, &self.table, account).await
    }

    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError> {
        save(&self.client, &self.table, account, next).await
    }
}

#[async_trait]
impl Cursors for DynamoCursors {
    async fn load(&self, account: &AccountId) -> Result<Cursor, StoreError> {
        load(&self.client, &self.table, account).await
    }

    async fn save(&self, account: &AccountId, next: &Cursor) -> Result<Saved<Cursor>, StoreError> {
        save(&self.client, &self.table, account, next).await
    }
}
