//! What is stored of accounts' limits and campaigns: what the scenario plans, until an operator
//! changes it.

use std::collections::BTreeMap;

use spillway_core::albums::Albums;
use spillway_core::campaign::{Campaign, NextPost, Running, StoredCampaign};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::rules::Rules;
use spillway_service::account::Account;
use spillway_service::conversation_settings::ConversationSettings;

/// The limits and campaigns of one account.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Its limits.
    pub(crate) rules: Rules,
    /// Its campaigns, and what has become of each.
    pub(crate) campaigns: Vec<StoredCampaign>,
    /// What is known of its albums.
    pub(crate) albums: Albums,
    /// What it sets for its conversations.
    pub(crate) conversations: ConversationSettings,
}

/// What operators have changed.
#[derive(Default)]
pub(crate) struct Changes(BTreeMap<AccountId, Vec<Change>>);

struct Change {
    /// When, in milliseconds since 1970.
    at: u64,
    /// The settings from then on.
    settings: Settings,
    /// Whether it raised the account's revision.
    is_revision: bool,
}

impl Settings {
    /// Those of an account.
    pub(crate) fn of(account: &Account) -> Self {
        let stored = |campaign: &Campaign| {
            let next_post = account.campaigns.next_post(&campaign.id).cloned();
            let running = account.campaigns.running(&campaign.id);
            StoredCampaign { next_post, ..StoredCampaign::from((campaign.clone(), running)) }
        };
        Self {
            rules: account.rules.clone(),
            albums: account.albums.clone(),
            conversations: account.conversations.clone(),
            campaigns: account.campaigns.iter().map(stored).collect(),
        }
    }

    fn get(&mut self, id: &CampaignId) -> Option<&mut StoredCampaign> {
        self.campaigns.iter_mut().find(|known| known.campaign.id == *id)
    }

    /// Adds or replaces a campaign. One that is paused stays so.
    pub(crate) fn put(&mut self, campaign: &Campaign) {
        match self.get(&campaign.id) {
            Some(known) => {
                known.campaign.clone_from(campaign);
                known.next_post.take_if(|_| !campaign.is_for_next_post());
            }
            None => self.campaigns.push((campaign.clone(), Running::Active).into()),
        }
    }

    /// Notes the post that a campaign is for. Returns `false` if there is none of that name.
    pub(crate) fn set_next_post(&mut self, campaign: &CampaignId, post: &NextPost) -> bool {
        let Some(known) = self.get(campaign) else { return false };
        let is_awaited = matches!(post, NextPost::AwaitedSince(_));
        if !(is_awaited && known.next_post.is_some()) {
            known.next_post = Some(post.clone());
        }
        true
    }

    /// Removes a campaign.
    pub(crate) fn remove(&mut self, campaign: &CampaignId) {
        self.campaigns.retain(|known| known.campaign.id != *campaign);
    }

    /// Puts the campaigns into this order; others come last.
    pub(crate) fn reorder(&mut self, order: &[CampaignId]) {
        let place = |id: &CampaignId| order.iter().position(|one| one == id);
        self.campaigns.sort_by_key(|known| place(&known.campaign.id).unwrap_or(usize::MAX));
    }

    /// Pauses or resumes a campaign. Returns `false` if there is none of that name.
    pub(crate) fn set_running(&mut self, campaign: &CampaignId, running: Running) -> bool {
        self.get(campaign).map(|known| known.running = running).is_some()
    }

    /// Whether a campaign is there, and not paused.
    pub(crate) fn is_active(&self, campaign: &CampaignId) -> bool {
        let is_active = |known: &StoredCampaign| {
            known.campaign.id == *campaign && known.running == Running::Active
        };
        self.campaigns.iter().any(is_active)
    }
}

impl Changes {
    /// How the settings stood at `as_of`; `None` if nobody had changed them.
    pub(crate) fn at(&self, account: &AccountId, as_of: u64) -> Option<&Settings> {
        let changes = self.0.get(account).into_iter().flatten();
        changes.take_while(|change| change.at <= as_of).last().map(|change| &change.settings)
    }

    /// When the account's revision was raised with them, in milliseconds since 1970.
    pub(crate) fn revised_at(&self, account: &AccountId) -> impl Iterator<Item = u64> {
        let changes = self.0.get(account).into_iter().flatten();
        changes.filter(|change| change.is_revision).map(|change| change.at)
    }

    /// The settings become others at `now`.
    pub(crate) fn write(
        &mut self,
        account: &AccountId,
        now: u64,
        settings: Settings,
        is_revision: bool,
    ) {
        let change = Change { at: now, settings, is_revision };
        self.0.entry(account.clone()).or_default().push(change);
    }
}
