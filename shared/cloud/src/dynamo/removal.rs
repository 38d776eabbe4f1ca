//! Taking an account out of the deployment, and how that goes.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::port::{Removal, StoreError};

use super::DynamoAccounts;
use super::item::{Item, Reader, at, n, s};
use super::unavailable;
use crate::schema::{EXPIRES_AT, FORGOTTEN_SK, account_pk, deletion_pk};

const REMOVE: &str = "remove the account";
const STATUS: &str = "look up a deletion";

/// How long the owner of a deleted account can ask how that went.
const STATUS_KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Removes accounts from the `state` table.
pub struct DynamoRemoval {
    /// The client.
    pub client: Client,
    /// The `state` table's name.
    pub table: String,
}

/// How a deletion goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When it was asked for; unknown where nothing of the account was kept.
    pub asked_at: Option<Timestamp>,
    /// When it was done.
    pub done_at: Option<Timestamp>,
}

#[async_trait]
impl Removal for DynamoRemoval {
    async fn remove(&self, account: &AccountId) -> Result<(), StoreError> {
        let accounts = DynamoAccounts { client: self.client.clone(), table: self.table.clone() };
        let revision = accounts.next_revision(account).await?;
        let keys = self.keys(account).await?;
        // Tombstones stay: who was forgotten is not written to by an account that is connected
        // again.
        let keys = keys.into_iter().filter(|sk| !sk.starts_with(FORGOTTEN_SK));
        // The settings make the account. What is left of it when this dies is removed by the next
        // try; without settings nothing uses it.
        let (settings, others): (Vec<_>, Vec<_>) = keys.partition(|sk| sk == "settings");
        for sk in settings.into_iter().chain(others) {
            let delete = self.client.delete_item().table_name(&self.table);
            let delete = delete.key("pk", s(account_pk(account))).key("sk", s(sk));
            delete.send().await.map_err(|error| unavailable(REMOVE, error))?;
        }
        // From here on nobody decides by what they remember of it.
        accounts.announce(account, revision).await?;
        accounts.stop_leasing(account).await
    }

    async fn deleted(&self, code: &str, now: Timestamp) -> Result<(), StoreError> {
        self.note(code, "done_at", now).await
    }
}

impl DynamoRemoval {
    /// Notes that a deletion was asked for, under a code by which its owner can ask how it goes. A
    /// second time changes nothing.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn asked(&self, code: &str, now: Timestamp) -> Result<(), StoreError> {
        self.note(code, "asked_at", now).await
    }

    /// How the deletion goes that was asked for under this code; `None` when none was, or long ago.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn status(&self, code: &str) -> Result<Option<Deletion>, StoreError> {
        let get = self.client.get_item().table_name(&self.table);
        let get = get.key("pk", s(deletion_pk(code))).key("sk", s("status"));
        let answer = get.send().await.map_err(|error| unavailable(STATUS, error))?;
        let Some(item) = answer.item else { return Ok(None) };
        let reader = Reader { item: &item, what: STATUS };
        Ok(Some(Deletion {
            asked_at: reader.opt_at("asked_at")?,
            done_at: reader.opt_at("done_at")?,
        }))
    }

    async fn note(&self, code: &str, what: &str, now: Timestamp) -> Result<(), StoreError> {
        let expires_at = (now + STATUS_KEPT).as_secs();
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", s(deletion_pk(code)))
            .key("sk", s("status"))
            .update_expression(format!(
                "SET {what} = if_not_exists({what}, :now), {EXPIRES_AT} = :expires"
            ))
            .expression_attribute_values(":now", at(now))
            .expression_attribute_values(":expires", n(expires_at))
            .send()
            .await
            .map_err(|error| unavailable(STATUS, error))?;
        Ok(())
    }

    async fn keys(&self, account: &AccountId) -> Result<Vec<String>, StoreError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(account_pk(account)))
            .projection_expression("sk")
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut keys = Vec::new();
        while let Some(item) = pages.next().await {
            let item: Item = item.map_err(|error| unavailable(REMOVE, error))?;
            keys.push(Reader { item: &item, what: REMOVE }.text("sk")?.to_owned());
        }
        Ok(keys)
    }
}
