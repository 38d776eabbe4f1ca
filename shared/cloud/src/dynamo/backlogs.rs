//! Marks of accounts with waiting sends, spread over a few partitions.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use futures::future::try_join_all;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::{BacklogMarker, Backlogs, DUE_AHEAD, StoreError};
use tracing::error;

use super::item::{Item, Reader, WRITTEN_BY, at, b, is_by, n, writer};
use super::table::{Ask, Table, Written, key};

/// Marks in the `state` table.
pub struct DynamoBacklogs {
    /// The `state` table.
    pub table: Table,
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
        let all = (0..keys::SHARDS).map(keys::backlog_shard).collect();
        self.marked_in(all).await
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
            .ask(LEASE)
            .await?;
        let item = match answer {
            Written::Done(item) => item,
            Written::Refused(item) if is_by(&item, &writer) && item.contains_key("lease_until") => {
                item
            }
            Written::Refused(_) => return Ok(None),
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
                self.update(account)
                    .update_expression("SET due = :due REMOVE lease_until")
                    .condition_expression("version = :version")
                    .expression_attribute_values(":due", at(due))
                    .expression_attribute_values(":version", n(mark.version))
                    .ask(SETTLE)
                    .await?
            }
            None => {
                self.table
                    .delete(mark_key(account))
                    .condition_expression("version = :version")
                    .expression_attribute_values(":version", n(mark.version))
                    .return_consumed_capacity(ReturnConsumedCapacity::Total)
                    .ask(SETTLE)
                    .await?
            }
        };
        if settled.is_done() { Ok(()) } else { self.end_lease(account, mark.lease_until).await }
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
            .ask(MARK)
            .await
            .map(drop)
    }

    /// An update of the account's mark, to be completed.
    fn update(&self, account: &AccountId) -> UpdateItemFluentBuilder {
        let update = self.table.update(mark_key(account));
        update.return_consumed_capacity(ReturnConsumedCapacity::Total)
    }

    /// What [`Backlogs::marked`] returns, where no other accounts than these are marked.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn marked_of(
        &self,
        accounts: &[AccountId],
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        self.marked_in(accounts.iter().map(keys::backlog).collect()).await
    }

    async fn marked_in(
        &self,
        partitions: BTreeSet<String>,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let queries = partitions.into_iter().map(|partition| async {
            self.table.partition(partition).consistent_read(true).ask(LIST).await
        });
        let mut marked = Vec::new();
        for item in try_join_all(queries).await?.into_iter().flatten() {
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
        self.update(account)
            .update_expression("REMOVE lease_until")
            .condition_expression("lease_until = :lease")
            .expression_attribute_values(":lease", at(lease_until))
            .ask(SETTLE)
            .await
            .map(drop)
    }
}

fn mark_key(account: &AccountId) -> Item {
    key(keys::backlog(account), account.as_str())
}
