//! Taking an account out of the deployment, and how that goes.

use std::time::Duration;

use async_trait::async_trait;
use spillway_core::budget::Revision;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::{Read, Removal, StoreError};

use super::DynamoAccounts;
use super::accounts::settings_key;
use super::item::{Item, Reader, at, n};
use super::table::{Ask, Table, key};
use crate::schema::EXPIRES_AT;

const REMOVE: &str = "remove the account";
const STATUS: &str = "look up a deletion";

/// How long the owner of a deleted account can ask how that went.
const STATUS_KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Removes accounts from the `state` table.
pub struct DynamoRemoval {
    /// The `state` table.
    pub table: Table,
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
    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError> {
        let accounts = DynamoAccounts { table: self.table.clone() };
        accounts.stored_revision(account, Read::Consistent).await
    }

    async fn remove(
        &self,
        account: &AccountId,
        seen: Option<Revision>,
    ) -> Result<bool, StoreError> {
        let accounts = DynamoAccounts { table: self.table.clone() };
        // Announced before the settings are gone: a connection from here on writes
        // its items at a later revision.
        let seen = match seen {
            Some(seen) => {
                accounts.announce_revision(account, seen).await?;
                seen
            }
            None => {
                let announced = accounts.announced_revision(account).await?;
                if self.revision(account).await?.is_some() {
                    return Ok(false);
                }
                announced
            }
        };
        // The settings make the account. What is left of it when this dies is removed by the next
        // try; without settings nothing uses it.
        if !accounts.delete_up_to(settings_key(account), seen).await? {
            return Ok(false);
        }
        // Tombstones stay: who was forgotten is not written to by an account that is connected
        // again.
        let sort_keys = self.sort_keys(account).await?;
        for sk in sort_keys.into_iter().filter(|sk| sk.starts_with(keys::CAMPAIGN_SK_PREFIX)) {
            accounts.delete_up_to(key(keys::account(account), sk), seen).await?;
        }
        // From here on nobody decides by what they remember of it.
        accounts.announce_revision(account, seen.next()).await?;
        accounts.stop_leasing(account, seen).await?;
        Ok(true)
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
        let Some(item) = self.table.get(deletion_key(code)).ask(STATUS).await? else {
            return Ok(None);
        };
        let reader = Reader { item: &item, what: STATUS };
        Ok(Some(Deletion {
            asked_at: reader.opt_at("asked_at")?,
            done_at: reader.opt_at("done_at")?,
        }))
    }

    async fn note(&self, code: &str, what: &str, now: Timestamp) -> Result<(), StoreError> {
        let expires_at = (now + STATUS_KEPT).as_secs();
        self.table
            .update(deletion_key(code))
            .update_expression(format!(
                "SET {what} = if_not_exists({what}, :now), {EXPIRES_AT} = :expires"
            ))
            .expression_attribute_values(":now", at(now))
            .expression_attribute_values(":expires", n(expires_at))
            .ask(STATUS)
            .await
            .map(drop)
    }

    async fn sort_keys(&self, account: &AccountId) -> Result<Vec<String>, StoreError> {
        let query = self.table.partition(keys::account(account)).projection_expression("sk");
        let items = query.consistent_read(true).ask(REMOVE).await?;
        let sort_key = |item| Reader { item, what: REMOVE }.text("sk").map(str::to_owned);
        items.iter().map(sort_key).collect()
    }
}

fn deletion_key(code: &str) -> Item {
    key(keys::deletion(code), keys::DELETION_SK)
}
