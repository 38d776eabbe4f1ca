//! Accounts whose rules lack something, or that seem to be connected, or active, for ever.

use async_trait::async_trait;
use spillway_core::budget::Revision;
use spillway_core::campaign::Campaigns;
use spillway_core::id::AccountId;
use spillway_core::rules::Rules;
use spillway_service::account::Account;
use spillway_service::port::{Accounts, Read, StoreError};

use super::{Sabotage, Sabotaged};

#[async_trait]
impl Accounts for Sabotaged {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Option<Account>, StoreError> {
        let found = Accounts::read(&*self.host, account, how).await?;
        let found = match self.by {
            Sabotage::Removal => found.or_else(|| self.host.shared.world().of_before(account)),
            _ => found,
        };
        let Some(mut account) = found else { return Ok(None) };
        let mut profile = account.rules.profile().clone();
        let mut terms = account.rules.terms().clone();
        match self.by {
            Sabotage::Quota => profile.quotas.retain(|quota| quota.id.as_str() != "replies"),
            Sabotage::Spread => profile.spread = None,
            Sabotage::WarmUp => terms.warm_up_since = None,
            Sabotage::LowerTier => {
                let world = self.host.shared.world();
                let first = world
                    .scenario
                    .account(&account.id)
                    .map(|plan| plan.limits.rules(world.scenario.start).terms().clone());
                terms = first.unwrap_or(terms);
            }
            Sabotage::Pauses => {
                let campaigns: Vec<_> = account.campaigns.iter().cloned().collect();
                account.campaigns = Campaigns::new(campaigns);
            }
            _ => {}
        }
        account.rules = Rules::new(profile, terms).expect("what is left is sound");
        Ok(Some(account))
    }

    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError> {
        self.host.revision(account).await
    }
}
