//! Leads.

use async_trait::async_trait;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::{Lead, LeadPage, Leads, StoreError};

use super::{Ports, Requests, World};

/// Leads of a page at most.
const PAGE: usize = 3;

const DELETE: &str = "delete leads";

#[async_trait]
impl<A: Requests> Leads for Ports<A> {
    async fn store(&self, account: &AccountId, lead: &Lead) -> Result<(), StoreError> {
        let key = (account.clone(), keys::lead_sk(&lead.person, &lead.campaign, lead.origin));
        self.0
            .request("store a lead", |world| {
                world.tables().leads.entry(key.clone()).or_insert_with(|| lead.clone());
            })
            .await
    }

    async fn list(
        &self,
        account: &AccountId,
        since: Timestamp,
        now: Timestamp,
        after: Option<&str>,
    ) -> Result<LeadPage, StoreError> {
        self.0
            .request("list leads", |world| {
                let leads = world.tables().leads.iter();
                let is_next = |sk: &str| after.is_none_or(|after| sk > after);
                let mut found = leads.filter(|((of, sk), _)| of == account && is_next(sk));
                let page: Vec<_> = found.by_ref().take(PAGE).collect();
                let last = page.last().map(|((_, sk), _)| sk.clone());
                let next = last.filter(|_| found.next().is_some());
                let is_shown = |lead: &&Lead| lead.at >= since && now < lead.kept_until;
                let leads = page.into_iter().map(|(_, lead)| lead).filter(is_shown).cloned();
                LeadPage { leads: leads.collect(), next }
            })
            .await
    }

    async fn forget(&self, account: &AccountId, person: &RecipientId) -> Result<usize, StoreError> {
        self.0
            .request(DELETE, |world| {
                let leads = &mut world.tables().leads;
                let before = leads.len();
                leads.retain(|(of, _), lead| of != account || lead.person != *person);
                before - leads.len()
            })
            .await
    }

    async fn delete(&self, account: &AccountId) -> Result<(), StoreError> {
        self.0
            .request(DELETE, |world| world.tables().leads.retain(|(of, _), _| of != account))
            .await
    }
}
