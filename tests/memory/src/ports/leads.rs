//! Leads.

use async_trait::async_trait;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_service::port::{Lead, LeadPage, Leads, StoreError};

use super::{Ports, Requests, World};

const DELETE: &str = "delete leads";

#[async_trait]
impl<A: Requests> Leads for Ports<A> {
    async fn store(&self, account: &AccountId, lead: &Lead) -> Result<(), StoreError> {
        self.0.request("store a lead", |world| world.tables().store_lead(account, lead)).await
    }

    async fn list(
        &self,
        account: &AccountId,
        since: Timestamp,
        now: Timestamp,
        after: Option<&str>,
    ) -> Result<LeadPage, StoreError> {
        self.0
            .request("list leads", |world| world.tables().lead_page(account, since, now, after))
            .await
    }

    async fn untold(&self, limit: usize) -> Result<Vec<(AccountId, Lead)>, StoreError> {
        self.0.request("list untold leads", |world| world.tables().untold_leads(limit)).await
    }

    async fn told(&self, account: &AccountId, lead: &Lead) -> Result<(), StoreError> {
        let told = "note that a lead was told of";
        self.0.request(told, |world| world.tables().tell_lead(account, lead)).await
    }

    async fn forget(&self, account: &AccountId, person: &RecipientId) -> Result<usize, StoreError> {
        self.0.request(DELETE, |world| world.tables().forget_leads(account, Some(person))).await
    }

    async fn delete(&self, account: &AccountId) -> Result<(), StoreError> {
        self.0.request(DELETE, |world| world.tables().forget_leads(account, None)).await.map(drop)
    }
}
