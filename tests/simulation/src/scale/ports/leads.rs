//! Leads.

use async_trait::async_trait;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::{Lead, LeadPage, Leads, StoreError};

use super::Ports;
use crate::scale::units::{CONSISTENT, WRITE};

#[async_trait]
impl Leads for Ports {
    async fn store(&self, account: &AccountId, lead: &Lead) -> Result<(), StoreError> {
        // The deployment has no event bus.
        self.state(&keys::leads(account), WRITE, |store| store.tables.store_lead(account, lead))
            .await;
        Ok(())
    }

    async fn list(
        &self,
        account: &AccountId,
        since: Timestamp,
        now: Timestamp,
        after: Option<&str>,
    ) -> Result<LeadPage, StoreError> {
        Ok(self
            .state(&keys::leads(account), CONSISTENT, |store| {
                store.tables.lead_page(account, since, now, after)
            })
            .await)
    }

    async fn untold(&self, limit: usize) -> Result<Vec<(AccountId, Lead)>, StoreError> {
        Ok(self.shared.store().tables.untold_leads(limit))
    }

    async fn told(&self, account: &AccountId, lead: &Lead) -> Result<(), StoreError> {
        self.shared.store().tables.tell_lead(account, lead);
        Ok(())
    }

    async fn forget(&self, account: &AccountId, person: &RecipientId) -> Result<usize, StoreError> {
        Ok(self
            .state(&keys::leads(account), WRITE, |store| {
                store.tables.forget_leads(account, Some(person))
            })
            .await)
    }

    async fn delete(&self, account: &AccountId) -> Result<(), StoreError> {
        self.state(&keys::leads(account), WRITE, |store| store.tables.forget_leads(account, None))
            .await;
        Ok(())
    }
}
