//! Taking an account out of the deployment.

use async_trait::async_trait;
use spillway_core::budget::Revision;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::{Budgets, Read, Removal, StoreError};
use spillway_service::versioned::Races;

use super::DynamoAccounts;
use super::accounts::settings_key;
use super::item::{Reader, n};
use super::pacing::{COUNTED_MAX, DynamoBudgets};
use super::table::{Ask, Table, key};
use crate::schema::EXPIRES_AT;

const REMOVE: &str = "remove the account";

/// Removes accounts from the `state` table.
pub struct DynamoRemoval {
    /// The `state` table.
    pub table: Table,
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

    async fn expire_counters(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        let budgets = DynamoBudgets { table: self.table.clone() };
        let expires_at = (now + COUNTED_MAX).as_secs();
        let expire = |sort: &str| {
            self.table
                .update(key(keys::pace(account), sort))
                .update_expression(format!("SET {EXPIRES_AT} = :expires"))
                .expression_attribute_values(":expires", n(expires_at))
        };
        let mut races = Races::new(REMOVE);
        loop {
            races.enter()?;
            let version = budgets.load(account).await?.version;
            // Read after the budget, which a connection writes after the settings.
            if self.revision(account).await?.is_some() {
                return Ok(());
            }
            if version == 0 {
                break;
            }
            // Refused where it was written meanwhile. Each write of it takes the end away again.
            let expire = expire(keys::BUDGET_SK)
                .condition_expression("version = :version")
                .expression_attribute_values(":version", n(version));
            if expire.ask(REMOVE).await?.is_done() {
                break;
            }
        }
        // A connection may be using the cursor by now. If it writes none in all this time, it has
        // lost nothing.
        expire(keys::CURSOR_SK)
            .condition_expression("attribute_exists(pk)")
            .ask(REMOVE)
            .await
            .map(drop)
    }
}

impl DynamoRemoval {
    async fn sort_keys(&self, account: &AccountId) -> Result<Vec<String>, StoreError> {
        let query = self.table.partition(keys::account(account)).projection_expression("sk");
        let items = query.consistent_read(true).ask(REMOVE).await?;
        let sort_key = |item| Reader { item, what: REMOVE }.text("sk").map(str::to_owned);
        items.iter().map(sort_key).collect()
    }
}
