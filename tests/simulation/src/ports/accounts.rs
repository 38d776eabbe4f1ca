//! Accounts.

use async_trait::async_trait;
use spillway_core::albums::Albums;
use spillway_core::budget::{GrantId, Revision};
use spillway_core::campaign::{Campaign, Campaigns, NextPost, Running};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::rules::Rules;
use spillway_service::account::{Account, SealedToken};
use spillway_service::conversation_settings::ConversationSettings;
use spillway_service::port::{AccountChanges, Accounts, CampaignChanges, Read, StoreError};

use crate::host::Host;
use crate::meta::first_token;
use crate::scenario::AccountPlan;
use crate::settings::Settings;
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

/// An operator changes what the scenario has planned, with the requests of the adapter.
#[async_trait]
impl AccountChanges for Host {
    async fn connect(
        &self,
        account: &AccountId,
        rules: &Rules,
        token: &SealedToken,
        campaigns: &[Campaign],
    ) -> Result<(), StoreError> {
        self.store("connect the account", |world| {
            world.event(format_args!("{account} is connected"));
            let now = world.now;
            world.connect_settings(account, rules, campaigns);
            world.tables.kept.connect(account, token, now);
            world.saw_connected(account);
        })
        .await?;
        self.store(ANNOUNCE, |world| world.announce(account)).await
    }

    async fn set_rules(&self, account: &AccountId, rules: &Rules) -> Result<bool, StoreError> {
        let set = |of: &mut Settings| {
            of.rules.clone_from(rules);
            true
        };
        self.revise(account, set).await
    }

    async fn change_campaigns(
        &self,
        account: &AccountId,
        changes: &CampaignChanges<'_>,
    ) -> Result<bool, StoreError> {
        let CampaignChanges { put, removed, order } = *changes;
        let change = |of: &mut Settings| {
            put.iter().for_each(|campaign| of.put(campaign));
            removed.iter().for_each(|campaign| of.remove(campaign));
            of.reorder(order);
            true
        };
        self.revise(account, change).await
    }

    async fn set_running(
        &self,
        account: &AccountId,
        campaign: &CampaignId,
        running: Running,
    ) -> Result<bool, StoreError> {
        self.revise(account, |of| of.set_running(campaign, running)).await
    }

    async fn set_next_post(
        &self,
        account: &AccountId,
        campaign: &CampaignId,
        post: &NextPost,
    ) -> Result<bool, StoreError> {
        self.revise(account, |of| of.set_next_post(campaign, post)).await
    }

    async fn set_conversations(
        &self,
        account: &AccountId,
        settings: &ConversationSettings,
    ) -> Result<bool, StoreError> {
        let set = |of: &mut Settings| {
            of.conversations.clone_from(settings);
            true
        };
        self.revise(account, set).await
    }

    async fn set_albums(&self, account: &AccountId, albums: &Albums) -> Result<bool, StoreError> {
        let set = |of: &mut Settings| {
            of.albums.clone_from(albums);
            true
        };
        self.revise(account, set).await
    }

    async fn announce(&self, account: &AccountId) -> Result<(), StoreError> {
        self.store(ANNOUNCE, |world| {
            if world.is_connected(account) {
                world.announce(account);
            }
        })
        .await
    }
}

const ANNOUNCE: &str = "announce the change";

impl Host {
    /// Changes the settings of a connected account, raises its revision, and makes it known.
    /// Returns `false` if it is not connected, or the change is refused.
    async fn revise(
        &self,
        account: &AccountId,
        change: impl Fn(&mut Settings) -> bool + Send + Sync,
    ) -> Result<bool, StoreError> {
        loop {
            let seen = self
                .store("look up the account's revision", |world| world.revision_now(account))
                .await?;
            if seen.is_none() {
                return Ok(false);
            }
            let revised = self
                .store("change the account", |world| {
                    let is_as_seen = world.revision_now(account) == seen;
                    is_as_seen.then(|| world.set(account, true, &change))
                })
                .await?;
            if let Some(is_done) = revised {
                if is_done {
                    self.announce(account).await?;
                }
                return Ok(is_done);
            }
        }
    }
}

impl World {
    /// Changes what is stored of an account's settings, unless that is refused; whether it is done.
    fn set(
        &mut self,
        account: &AccountId,
        is_revision: bool,
        change: impl FnOnce(&mut Settings) -> bool,
    ) -> bool {
        let scenario = self.scenario.clone();
        let Some(plan) = scenario.account(account) else { return false };
        let mut settings = Settings::of(&self.stored(plan, self.now));
        if !change(&mut settings) {
            return false;
        }
        self.event(format_args!("the settings of {account} are written"));
        self.settings.write(account, self.now, settings, is_revision);
        self.saw_settings(account);
        true
    }

    /// Connects an account with these settings; the token that comes with them raises its
    /// revision.
    fn connect_settings(&mut self, account: &AccountId, rules: &Rules, campaigns: &[Campaign]) {
        let was_connected = self.is_connected(account);
        self.set(account, false, |of| {
            of.rules.clone_from(rules);
            of.albums = Albums::default();
            if !was_connected {
                of.campaigns.clear();
            }
            campaigns.iter().for_each(|campaign| of.put(campaign));
            let order: Vec<_> = campaigns.iter().map(|campaign| campaign.id.clone()).collect();
            of.reorder(&order);
            true
        });
    }

    /// What an account is held to at `as_of`.
    pub(crate) fn rules<'a>(&'a self, plan: &'a AccountPlan, as_of: u64) -> &'a Rules {
        let changed = self.settings.at(&plan.id, as_of);
        changed.map_or_else(|| plan.limits.rules(as_of), |settings| &settings.rules)
    }

    /// The rules by which a budget of that revision was decided on.
    pub(crate) fn rules_of(&self, account: &AccountId, revision: Revision) -> Option<&Rules> {
        let plan = self.scenario.account(account)?;
        // The nth change makes the nth revision.
        let mut changes = self.changed_at(plan);
        changes.sort_unstable();
        let last = usize::try_from(revision.0).ok().and_then(|nth| nth.checked_sub(1));
        let last = last.and_then(|nth| changes.get(nth));
        Some(self.rules(plan, last.copied().unwrap_or_default()))
    }

    /// When an account was or will be changed: by plan, by upkeep and its owner, and by an
    /// operator.
    fn changed_at(&self, plan: &AccountPlan) -> Vec<u64> {
        let kept = self.tables.kept.changed_at(&plan.id);
        plan.changed_at().chain(kept).chain(self.settings.revised_at(&plan.id)).collect()
    }

    /// An account as it was stored at `as_of`.
    fn stored(&self, plan: &AccountPlan, as_of: u64) -> Account {
        let mut account = plan.account(as_of);
        if let Some(settings) = self.settings.at(&plan.id, as_of) {
            account.rules = settings.rules.clone();
            account.albums = settings.albums.clone();
            account.conversations = settings.conversations.clone();
            let campaigns = Campaigns::as_they_run(settings.campaigns.iter().cloned());
            account.campaigns = campaigns.in_zone(&settings.rules.terms().time_zone);
        }
        let kept = &self.tables.kept;
        if kept.tokens.contains_key(&plan.id) {
            let renewed = kept.renewed_token(&plan.id, as_of).cloned();
            account.token = renewed.unwrap_or_else(first_token);
        }
        let rules = account.rules.clone().for_campaigns(&account.campaigns);
        Account { revision: self.revision(plan, as_of), rules, ..account }
    }

    /// An account as it would be stored if it were connected.
    pub(crate) fn of_before(&self, account: &AccountId) -> Option<Account> {
        let plan = self.scenario.account(account)?;
        Some(self.stored(plan, self.now))
    }

    /// How many times an account had been changed by `as_of`.
    fn revision(&self, plan: &AccountPlan, as_of: u64) -> Revision {
        let changes = self.changed_at(plan).into_iter();
        Revision(changes.filter(|&at| at <= as_of).count() as u64)
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
            self.saw_revision(account, revision);
        }
        self.saw_change_announced(account);
    }
}
