//! Marks of accounts with waiting sends, spread over a few partitions.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use futures::future::try_join_all;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::port::{BacklogMarker, Backlogs, DUE_AHEAD, StoreError};
use tracing::error;

use super::item::{Reader, WRITTEN_BY, at, b, is_by, n, s, writer};
use super::unavailable;
use crate::schema::{BACKLOG_SHARDS, backlog_pk, backlog_shard_pk};

/// Marks in the `state` table.
pub struct DynamoBacklogs {
    /// The client.
    pub client: Client,
    /// The `state` table's name.
    pub table: String,
}

const MARK: &str = "mark the backlog";
const LIST: &str = "list the backlogs";
const LEASE: &str = "lease the backlog";
const SETTLE: &str = "settle the backlog";

#[async_trait]
impl Backlogs for DynamoBacklogs {
    async fn mark(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        self.set_mark(account, "if_not_exists(due, :now)", now).await
    }

    async fn wake(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        self.set_mark(account, ":now", now).await
    }

    async fn marked(&self) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let parts = try_join_all((0..BACKLOG_SHARDS).map(|shard| self.marked_in(shard))).await?;
        Ok(parts.into_iter().flatten().collect())
    }

    async fn lease(
        &self,
        account: &AccountId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<BacklogMarker>, StoreError> {
        let writer = writer(LEASE)?;
        let answer = self
            .update(account)
            .update_expression(format!(
                "SET lease_until = :until, {WRITTEN_BY} = :writer ADD version :one"
            ))
            .condition_expression(
                "due <= :due AND (attribute_not_exists(lease_until) OR lease_until < :now)",
            )
            .expression_attribute_values(":due", at(now + DUE_AHEAD))
            .expression_attribute_values(":until", at(until))
            .expression_attribute_values(":now", at(now))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":writer", b(writer.as_slice()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let item = match answer {
            Ok(answer) => answer.attributes.unwrap_or_default(),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    let item = refused.item.clone().unwrap_or_default();
                    let is_ours = is_by(&item, &writer) && item.contains_key("lease_until");
                    if !is_ours {
                        return Ok(None);
                    }
                    item
                }
                _ => return Err(unavailable(LEASE, error)),
            },
        };
        let reader = Reader { item: &item, what: LEASE };
        Ok(Some(BacklogMarker {
            version: reader.number("version")?,
            marked_at: reader.at("marked_at")?,
            lease_until: until,
        }))
    }

    async fn settle(
        &self,
        account: &AccountId,
        mark: &BacklogMarker,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let settled = match due {
            Some(due) => {
                let answer = self
                    .update(account)
                    .update_expression("SET due = :due REMOVE lease_until")
                    .condition_expression("version = :version")
                    .expression_attribute_values(":due", at(due))
                    .expression_attribute_values(":version", n(mark.version))
                    .send()
                    .await;
                match answer {
                    Ok(_) => true,
                    Err(error) if is_refused(error.as_service_error()) => false,
                    Err(error) => return Err(unavailable(SETTLE, error)),
                }
            }
            None => {
                let answer = self
                    .client
                    .delete_item()
                    .table_name(&self.table)
                    .key("pk", s(backlog_pk(account)))
                    .key("sk", s(account.as_str()))
                    .condition_expression("version = :version")
                    .expression_attribute_values(":version", n(mark.version))
                    .return_consumed_capacity(ReturnConsumedCapacity::Total)
                    .send()
                    .await;
                match answer {
                    Ok(_) => true,
                    Err(error) => match error.as_service_error() {
                        Some(refused) if refused.is_conditional_check_failed_exception() => false,
                        _ => return Err(unavailable(SETTLE, error)),
                    },
                }
            }
        };
        if settled { Ok(()) } else { self.end_lease(account, mark.lease_until).await }
    }
}

impl DynamoBacklogs {
    async fn set_mark(
        &self,
        account: &AccountId,
        due: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // The version only has to change: that an SDK retry may add twice does no harm.
        self.update(account)
            .update_expression(format!("SET due = {due}, marked_at = :now ADD version :one"))
            .expression_attribute_values(":now", at(now))
            .expression_attribute_values(":one", n(1))
            .send()
            .await
            .map_err(|error| unavailable(MARK, error))?;
        Ok(())
    }

    /// An update of the account's mark, to be completed.
    fn update(&self, account: &AccountId) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", s(backlog_pk(account)))
            .key("sk", s(account.as_str()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
    }

    async fn marked_in(&self, shard: u8) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(backlog_shard_pk(shard)))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut marked = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| unavailable(LIST, error))?;
            let reader = Reader { item: &item, what: LIST };
            match (reader.text("sk"), reader.at("due")) {
                (Ok(account), Ok(due)) => marked.push((AccountId::new(account), due)),
                // It must not keep the other accounts from being released.
                (account, Err(error)) => error!(?account, %error, "a mark is left alone"),
                (Err(error), Ok(_)) => error!(%error, "a mark is left alone"),
            }
        }
        Ok(marked)
    }

    /// The account was marked during the run: it stays due as of then. Or the run was settled and
    /// the answer lost, and another one may have the account since.
    async fn end_lease(
        &self,
        account: &AccountId,
        lease_until: Timestamp,
    ) -> Result<(), StoreError> {
        let answer = self
            .update(account)
            .update_expression("REMOVE lease_until")
            .condition_expression("lease_until = :lease")
            .expression_attribute_values(":lease", at(lease_until))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if is_refused(error.as_service_error()) => Ok(()),
            Err(error) => Err(unavailable(SETTLE, error)),
        }
    }
}

fn is_refused(error: Option<&UpdateItemError>) -> bool {
    error.is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}
