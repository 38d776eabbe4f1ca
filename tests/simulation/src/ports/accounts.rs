//! Accounts.

use async_trait::async_trait;
use spillway_core::budget::{GrantId, Revision};
use spillway_core::campaign::{Campaign, Running};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::rules::Rules;
use spillway_service::account::{Account, SealedToken};
use spillway_service::port::{AccountChanges, Accounts, Read, StoreError};

use crate::host::Host;
use crate::meta::first_token;
use crate::scenario::AccountPlan;
use crate::world::World;

#[async_trait]
impl Accounts for Host {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Option<Account>, StoreError> {
        const LOAD: &str = "load the account";
        self.store(LOAD, |world| {
            let as_of = world.read_as_of(how);
            let scenario = world.scenario.clone();
            let Some(plan) = scenario.account(account) else { return Ok(None) };
            if plan.is_unreadable(world.now) {
                world.record.count("account unreadable");
                let detail = "damaged".to_owned();
                return Err(StoreError::Corrupt { what: LOAD, detail });
            }
            Ok(world.was_connected(account, as_of).then(|| world.stored(plan, as_of)))
        })
        .await?
    }

    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError> {
        self.store("look up the account's revision", |world| {
            let as_of = world.read_as_of(Read::Eventual);
            let plan = world.scenario.account(account)?;
            world.was_connected(account, as_of).then(|| world.revision(plan, as_of))
        })
        .await
    }
}

/// Limits and campaigns change as the scenario plans it.
#[async_trait]
impl AccountChanges for Host {
    async fn connect(
        &self,
        account: &AccountId,
        _: &Rules,
        token: &SealedToken,
        _: &[Campaign],
    ) -> Result<(), StoreError> {
        self.store("connect the account", |world| {
            world.event(format_args!("{account} is connected"));
            let now = world.now;
            world.tables.kept.connect(account, token, now);
            world.saw_connected(account);
        })
        .await?;
        self.store("announce the change", |world| world.announce(account)).await
    }

    async fn set_rules(&self, _: &AccountId, _: &Rules) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn change_campaigns(
        &self,
        _: &AccountId,
        _: &[Campaign],
        _: &[CampaignId],
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn set_running(
        &self,
        _: &AccountId,
        _: &CampaignId,
        _: Running,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }
}

impl World {
    /// An account as it was stored at `as_of`.
    fn stored(&self, plan: &AccountPlan, as_of: u64) -> Account {
        let mut account = plan.account(as_of);
        let kept = &self.tables.kept;
        if kept.tokens.contains_key(&plan.id) {
            let renewed = kept.renewed_token(&plan.id, as_of).cloned();
            account.token = renewed.unwrap_or_else(first_token);
        }
        Account { revision: self.revision(plan, as_of), ..account }
    }

    /// An account as it would be stored if it were connected.
    pub(crate) fn of_before(&self, account: &AccountId) -> Option<Account> {
        let plan = self.scenario.account(account)?;
        Some(self.stored(plan, self.now))
    }

    /// How many times an account had been changed by `as_of`; upkeep and its owner change it too.
    fn revision(&self, plan: &AccountPlan, as_of: u64) -> Revision {
        let others = self.tables.kept.changed_at(&plan.id);
        let others = others.into_iter().filter(|&at| at <= as_of).count() as u64;
        Revision(plan.revision(as_of).0 + others)
    }

    /// The revision of an account as it is now, if it is connected.
    pub(crate) fn revision_now(&self, account: &AccountId) -> Option<Revision> {
        let plan = self.scenario.account(account)?;
        self.is_connected(account).then(|| self.revision(plan, self.now))
    }

    /// Whether an account was connected as of then.
    pub(crate) fn was_connected(&self, account: &AccountId, as_of: u64) -> bool {
        let plan = self.scenario.account(account);
        plan.is_some_and(|plan| plan.removed_at.is_none_or(|removed| as_of < removed))
            && self.tables.kept.is_connected(account, as_of)
    }

    /// Whether an account is connected.
    pub(crate) fn is_connected(&self, account: &AccountId) -> bool {
        self.was_connected(account, self.now)
    }

    /// The operator, who has just changed the account, writes its revision into its budget.
    pub(crate) fn announce(&mut self, account: &AccountId) {
        let now = self.now;
        let plan = self.scenario.account(account);
        let Some(revision) = plan.map(|plan| self.revision(plan, now)) else { return };
        self.event(format_args!("{account} is changed: {revision:?}"));
        let budget = self.tables.budgets.entry(account.clone()).or_default();
        if let Some(next) = budget.with_revision(revision, GrantId::new(u64::MAX, revision.0)) {
            *budget = next;
            self.tables.see_budget(account, now);
        }
        self.saw_change_announced(account);
    }
}
