//! What every store asks of its table: items by their keys, whole partitions, and writes on a
//! condition.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use spillway_core::id::SendId;
use spillway_service::keys;
use spillway_service::port::StoreError;

use super::item::{Item, is_by, s};
use crate::failure::unavailable;
use crate::schema::{SENDS_KEY, STATE_PARTITION, STATE_SORT};

/// A table, and the client that reaches it.
#[derive(Clone)]
pub struct Table {
    /// The client.
    pub client: Client,
    pub(crate) name: String,
}

/// The key of an item in the `state` table.
pub(crate) fn key(partition: impl Into<String>, sort: impl Into<String>) -> Item {
    Item::from([(STATE_PARTITION.into(), s(partition)), (STATE_SORT.into(), s(sort))])
}

/// The key of an entry in the `sends` table.
pub(crate) fn entry_key(send: &SendId) -> Item {
    Item::from([(SENDS_KEY.into(), s(keys::entry(send)))])
}

impl Table {
    /// The table of this name, reached by `client`.
    pub fn new(client: &Client, name: impl Into<String>) -> Self {
        Self { client: client.clone(), name: name.into() }
    }

    pub(crate) fn get(&self, key: Item) -> GetItemFluentBuilder {
        self.client.get_item().table_name(&self.name).set_key(Some(key))
    }

    pub(crate) fn put(&self, item: Item) -> PutItemFluentBuilder {
        self.client.put_item().table_name(&self.name).set_item(Some(item))
    }

    pub(crate) fn update(&self, key: Item) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.name).set_key(Some(key))
    }

    pub(crate) fn delete(&self, key: Item) -> DeleteItemFluentBuilder {
        self.client.delete_item().table_name(&self.name).set_key(Some(key))
    }

    /// The items of a partition of the `state` table.
    pub(crate) fn partition(&self, partition: impl Into<String>) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(partition))
    }
}

/// What became of a write.
pub(crate) enum Written {
    /// DynamoDB made it. The item has the attributes that the write asked for.
    Done(Item),
    /// Its condition does not hold. The item is the one that prevented it, if the write asked
    /// for it, or else empty.
    Refused(Item),
}

impl Written {
    /// Whether the condition held.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// Whether a write that names its writer was made. When an answer is lost, the SDK sends the
    /// write again: then the item that refuses it is its own.
    pub(crate) fn is_done_by(&self, writer: &[u8]) -> bool {
        match self {
            Self::Done(_) => true,
            Self::Refused(item) => is_by(item, writer),
        }
    }
}

/// A request that is complete.
pub(crate) trait Ask {
    /// What it gives.
    type Answer;

    /// Sends it. `what` is the operation, for errors.
    async fn ask(self, what: &'static str) -> Result<Self::Answer, StoreError>;
}

impl Ask for GetItemFluentBuilder {
    type Answer = Option<Item>;

    async fn ask(self, what: &'static str) -> Result<Option<Item>, StoreError> {
        Ok(self.send().await.map_err(|error| unavailable(what, error))?.item)
    }
}

impl Ask for QueryFluentBuilder {
    /// The items of all pages.
    type Answer = Vec<Item>;

    async fn ask(self, what: &'static str) -> Result<Vec<Item>, StoreError> {
        let items = self.into_paginator().items().send().try_collect().await;
        items.map_err(|error| unavailable(what, error))
    }
}

impl Ask for PutItemFluentBuilder {
    type Answer = Written;

    async fn ask(self, what: &'static str) -> Result<Written, StoreError> {
        let answer = self.send().await.map(|answer| answer.attributes);
        written(answer, what, |error| match error {
            PutItemError::ConditionalCheckFailedException(refused) => Some(refused),
            _ => None,
        })
    }
}

impl Ask for UpdateItemFluentBuilder {
    type Answer = Written;

    async fn ask(self, what: &'static str) -> Result<Written, StoreError> {
        let answer = self.send().await.map(|answer| answer.attributes);
        written(answer, what, |error| match error {
            UpdateItemError::ConditionalCheckFailedException(refused) => Some(refused),
            _ => None,
        })
    }
}

impl Ask for DeleteItemFluentBuilder {
    type Answer = Written;

    async fn ask(self, what: &'static str) -> Result<Written, StoreError> {
        let answer = self.send().await.map(|answer| answer.attributes);
        written(answer, what, |error| match error {
            DeleteItemError::ConditionalCheckFailedException(refused) => Some(refused),
            _ => None,
        })
    }
}

fn written<E: ProvideErrorMetadata + Error + Send + Sync + 'static>(
    answer: Result<Option<Item>, SdkError<E, HttpResponse>>,
    what: &'static str,
    refusal: fn(&E) -> Option<&ConditionalCheckFailedException>,
) -> Result<Written, StoreError> {
    match answer {
        Ok(attributes) => Ok(Written::Done(attributes.unwrap_or_default())),
        Err(error) => match error.as_service_error().and_then(refusal) {
            Some(refused) => Ok(Written::Refused(refused.item.clone().unwrap_or_default())),
            None => Err(unavailable(what, error)),
        },
    }
}

/// Why an item of a transaction is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// Its condition does not hold.
    Condition,
    /// Somebody else was writing it.
    Conflict,
    /// Another item is not written.
    Not,
}

/// Why each item of a transaction is not written, where DynamoDB refused it because of others.
/// `None` if the transaction failed for another reason.
pub(crate) fn cancelled(
    error: &SdkError<TransactWriteItemsError, HttpResponse>,
) -> Option<Vec<Cancelled>> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return None;
    };
    let reasons = cancelled.cancellation_reasons().iter();
    let reasons: Vec<Cancelled> = reasons
        .map(|reason| match reason.code() {
            Some("ConditionalCheckFailed") => Cancelled::Condition,
            Some("TransactionConflict") => Cancelled::Conflict,
            _ => Cancelled::Not,
        })
        .collect();
    reasons.iter().any(|reason| *reason != Cancelled::Not).then_some(reasons)
}
