//! Campaigns by hand: accounts files are applied, and campaigns shown, paused and resumed.

use futures::future::BoxFuture;
use serde::Serialize;
use spillway_core::campaign::{Campaign, NextPost, Period, Phase, Running};
use spillway_core::id::{AccountId, CampaignId, MediaId};
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::rules::Rules;
use spillway_core::time::Timestamp;

use super::AdminError;
use super::accounts::{AccountAdmin, conversation_differences, differences, paused_since};
use super::instant::optional;
use super::plan::{Change, FieldChange, Plan, Unnamed, plan};
use crate::account::Account;
use crate::accounts_file::{Mistake, NewAccount, Reason};
use crate::port::{CampaignChanges, StoreError};

/// A campaign as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct CampaignView {
    /// Its account.
    pub account: AccountId,
    /// What it says.
    #[serde(flatten)]
    pub campaign: Campaign,
    /// Its turn among the account's campaigns when a comment comes, from 1.
    pub order: usize,
    /// active, scheduled, ended or paused.
    pub state: &'static str,
    /// The instant when it begins to match, if it has a start.
    #[serde(serialize_with = "optional")]
    pub begins_at: Option<Timestamp>,
    /// The instant when it stops matching, if it has an end.
    #[serde(serialize_with = "optional")]
    pub ends_at: Option<Timestamp>,
    /// Since when it is paused.
    #[serde(serialize_with = "optional")]
    pub paused_since: Option<Timestamp>,
    /// Until when it is on hold, because Meta refuses its link or text.
    #[serde(serialize_with = "optional")]
    pub held_until: Option<Timestamp>,
    /// The post that it is for, if it is for the next one and that was published.
    pub next_post: Option<MediaId>,
}

impl CampaignView {
    /// Shows a campaign of the account as it is at `now`.
    pub fn of(account: &Account, campaign: &Campaign, now: Timestamp) -> Self {
        let paused_since = paused_since(account, &campaign.id);
        let period = account.campaigns.period(&campaign.id);
        let state = match (period.map_or(Phase::Open, |period| period.phase(now)), paused_since) {
            (Phase::Over, _) => "ended",
            (_, Some(_)) => "paused",
            (Phase::Before, None) => "scheduled",
            (Phase::Open, None) => "active",
        };
        let of_period = |of: fn(Period) -> Timestamp| period.map(of);
        let before = account.campaigns.iter().take_while(|other| other.id != campaign.id);
        Self {
            account: account.id.clone(),
            campaign: campaign.clone(),
            order: before.count() + 1,
            state,
            begins_at: of_period(|period| period.begins_at).filter(|_| campaign.starts.is_some()),
            ends_at: of_period(|period| period.ends_at).filter(|_| campaign.ends.is_some()),
            paused_since,
            held_until: None,
            next_post: match account.campaigns.next_post(&campaign.id) {
                Some(NextPost::Is(media)) => Some(media.clone()),
                Some(NextPost::AwaitedSince(_)) | None => None,
            },
        }
    }
}

impl AccountAdmin {
    /// Shows an account's campaigns, or one of them, in their order.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn campaign_views(
        &self,
        account: &Account,
        only: Option<&CampaignId>,
    ) -> Result<Vec<CampaignView>, StoreError> {
        let refusals = self.budgets.load(&account.id).await?.holds.refusals;
        let now = self.clock.now();
        let view = |campaign: &Campaign| CampaignView {
            held_until: refusals.campaign_held_until(&campaign.id, now),
            ..CampaignView::of(account, campaign, now)
        };
        let wanted = |campaign: &&Campaign| only.is_none_or(|only| *only == campaign.id);
        Ok(account.campaigns.iter().filter(wanted).map(view).collect())
    }
}

/// What applying a file changes for one account.
pub struct Planned {
    /// The account as it is.
    pub account: Account,
    /// The line of the file that defines it.
    pub line: usize,
    /// The changes.
    pub plan: Plan,
}

/// What applying a file changes for each account, and every reason why it cannot be applied.
pub type Plans = (Vec<Planned>, Vec<Mistake>);

/// What applying a file changes for one account, as programs read it.
#[derive(Clone, Debug, Serialize)]
pub struct PlanView {
    /// The account.
    pub account: AccountId,
    /// Its campaigns, those of the file first.
    pub campaigns: Vec<ChangeView>,
    /// Whether those that it has already are asked in another order.
    pub reordered: bool,
    /// Changes of its limits and of its settings for conversations.
    pub settings: Vec<FieldChange>,
}

/// What happens to one campaign, as programs read it.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeView {
    /// The campaign.
    pub id: CampaignId,
    /// added, changed, same, left or removed.
    pub change: &'static str,
    /// What changes in it.
    pub fields: Vec<FieldChange>,
}

impl Planned {
    /// Returns the limits that the account then has.
    pub fn rules(&self) -> &Rules {
        self.plan.rules.as_ref().unwrap_or(&self.account.rules)
    }

    /// Returns the changes of its limits and of its settings for conversations, for people.
    pub fn settings(&self) -> Vec<FieldChange> {
        let Self { account, plan, .. } = self;
        let limits = plan.rules.iter().flat_map(|rules| differences(&account.rules, rules));
        let conversations = plan.conversations.iter();
        let conversations = conversations
            .flat_map(|settings| conversation_differences(&account.conversations, settings));
        limits.chain(conversations).collect()
    }

    /// Shows it.
    pub fn view(&self) -> PlanView {
        let view = |change: &Change| {
            let (id, change, fields) = match change {
                Change::Added(campaign) => (&campaign.id, "added", &[][..]),
                Change::Changed { to, fields } => (&to.id, "changed", &fields[..]),
                Change::Same(id) => (id, "same", &[][..]),
                Change::Left(id) => (id, "left", &[][..]),
                Change::Removed(id) => (id, "removed", &[][..]),
            };
            ChangeView { id: id.clone(), change, fields: fields.to_vec() }
        };
        PlanView {
            account: self.account.id.clone(),
            campaigns: self.plan.campaigns.iter().map(view).collect(),
            reordered: self.plan.is_reordered,
            settings: self.settings(),
        }
    }
}

/// A campaign that was paused, resumed or removed, or was paused or active already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunningChange {
    /// Its account.
    pub account: AccountId,
    /// The campaign.
    pub campaign: CampaignId,
    /// Whether that is new.
    pub changed: bool,
    /// active, paused or removed.
    pub state: &'static str,
    /// Of one that was resumed, whether a hold has ended that Meta's refusals had led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_ended: Option<bool>,
}

/// Why a campaign was not paused, resumed or removed.
#[derive(Debug, thiserror::Error)]
pub enum RunningError {
    /// The account has none of that name.
    #[error("there is no such campaign")]
    Unknown,
    /// It was removed after it was read.
    #[error("the campaign was removed meanwhile")]
    Removed,
    /// It is the account, or the store.
    #[error(transparent)]
    Account(#[from] AdminError),
}

impl From<StoreError> for RunningError {
    fn from(error: StoreError) -> Self {
        Self::Account(error.into())
    }
}

impl AccountAdmin {
    /// Compares each account of a file with what is stored. Also returns every reason why the file
    /// cannot be applied; then nothing of it should be.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub fn plans<'a>(
        &'a self,
        wanted: &'a [NewAccount],
        unnamed: Unnamed,
    ) -> BoxFuture<'a, Result<Plans, StoreError>> {
        Box::pin(async move {
            let (mut planned, mut mistakes) = (Vec::new(), Vec::new());
            let now = self.clock.now();
            for account in wanted {
                let line = account.line;
                let Some(stored) = self.accounts.load(&account.id).await? else {
                    let reason = Reason::NotConnected(account.id.clone());
                    mistakes.push(Mistake { line, reason });
                    continue;
                };
                match plan(&stored, account, unnamed, now) {
                    Ok(plan) => planned.push(Planned { account: stored, line, plan }),
                    Err(reason) => mistakes.push(Mistake { line, reason }),
                }
            }
            Ok((planned, mistakes))
        })
    }

    /// Writes what is planned for an account: campaigns, then limits and other settings. A campaign that changes is on
    /// hold no more for what Meta refused of it. Release is woken last, for new slots and for what
    /// waits for a removed campaign.
    ///
    /// Applying the file again finishes what died. Where everything is written already, it still
    /// announces the account's settings and wakes release, which the first attempt may not have
    /// come to.
    ///
    /// # Errors
    /// Fails if the account was removed since it was read, or the store does not answer.
    pub fn apply<'a>(&'a self, planned: &'a Planned) -> BoxFuture<'a, Result<(), AdminError>> {
        Box::pin(async move {
            let Planned { account, plan, .. } = planned;
            let (put, removed) = (plan.put(), plan.removed());
            let changes = CampaignChanges { put: &put, removed: &removed, order: &plan.order };
            if plan.changes_campaigns()
                && !self.changes.change_campaigns(&account.id, &changes).await?
            {
                return Err(AdminError::Removed(account.id.clone()));
            }
            for change in &plan.campaigns {
                self.tell_change(&account.id, change).await?;
            }
            self.await_next_posts(&account.id, &put).await?;
            // After the new messages: the next send takes one of them.
            for campaign in &put {
                self.limiter.resume_campaign(&account.id, &campaign.id).await?;
            }
            if let Some(rules) = &plan.rules {
                self.write_rules(account, rules).await?;
            }
            if let Some(settings) = &plan.conversations {
                self.write_conversations(&account.id, settings).await?;
            }
            if put.iter().any(|campaign| !campaign.media.is_empty()) {
                // Upkeep asks whether they are albums.
                self.maintenance.enroll(&account.id, self.clock.now()).await?;
            }
            if plan.is_empty() {
                self.changes.announce(&account.id).await?;
            }
            Ok(self.backlogs.wake(&account.id, self.clock.now()).await?)
        })
    }

    /// Notes that campaigns for the next post wait from now on, as far as they do not wait already.
    pub(super) async fn await_next_posts(
        &self,
        account: &AccountId,
        campaigns: &[Campaign],
    ) -> Result<(), StoreError> {
        let since = NextPost::AwaitedSince(self.clock.now());
        for campaign in campaigns.iter().filter(|campaign| campaign.is_for_next_post()) {
            self.changes.set_next_post(account, &campaign.id, &since).await?;
        }
        Ok(())
    }

    /// Stops matching comments for a campaign, and keeps its sends waiting.
    ///
    /// # Errors
    /// Fails if there is no such campaign, or the store does not answer.
    pub fn pause<'a>(
        &'a self,
        account: &'a AccountId,
        campaign: &'a CampaignId,
    ) -> BoxFuture<'a, Result<RunningChange, RunningError>> {
        self.set_running(account, campaign, Running::PausedSince(self.clock.now()))
    }

    /// Resumes a paused campaign, and ends its hold if Meta has refused its messages. Its waiting
    /// sends get slots within a minute.
    ///
    /// # Errors
    /// Fails if there is no such campaign, or the store does not answer.
    pub fn resume_campaign<'a>(
        &'a self,
        account: &'a AccountId,
        campaign: &'a CampaignId,
    ) -> BoxFuture<'a, Result<RunningChange, RunningError>> {
        self.set_running(account, campaign, Running::Active)
    }

    /// Removes a campaign, as applying a file without it does: it matches nothing from then on, and
    /// its waiting sends are cancelled as their slots come.
    ///
    /// # Errors
    /// Fails if there is no such campaign, or the store does not answer.
    pub fn remove_campaign<'a>(
        &'a self,
        account: &'a AccountId,
        campaign: &'a CampaignId,
    ) -> BoxFuture<'a, Result<RunningChange, RunningError>> {
        Box::pin(async move {
            let stored = self.connected(account).await?;
            if stored.campaigns.get(campaign).is_none() {
                return Err(RunningError::Unknown);
            }
            let removed = std::slice::from_ref(campaign);
            let changes = CampaignChanges { removed, ..CampaignChanges::default() };
            if !self.changes.change_campaigns(account, &changes).await? {
                return Err(AdminError::Removed(account.clone()).into());
            }
            self.backlogs.wake(account, self.clock.now()).await?;
            self.tell_change(account, &Change::Removed(campaign.clone())).await?;
            let (account, campaign) = (account.clone(), campaign.clone());
            let (changed, state) = (true, "removed");
            Ok(RunningChange { account, campaign, changed, state, hold_ended: None })
        })
    }

    /// Writes into the journal how a campaign was changed.
    async fn tell_change(&self, account: &AccountId, change: &Change) -> Result<(), StoreError> {
        let what = match change {
            Change::Added(campaign) => Event::CampaignAdded { campaign: campaign.id.clone() },
            Change::Changed { to, fields } => Event::CampaignChanged {
                campaign: to.id.clone(),
                fields: fields.iter().map(|field| field.name.to_owned()).collect(),
            },
            Change::Removed(campaign) => Event::CampaignRemoved { campaign: campaign.clone() },
            Change::Same(_) | Change::Left(_) => return Ok(()),
        };
        let entry = JournalEntry { at: self.clock.now(), account: account.clone(), what };
        self.journal.append(&entry).await
    }

    fn set_running<'a>(
        &'a self,
        account: &'a AccountId,
        campaign: &'a CampaignId,
        running: Running,
    ) -> BoxFuture<'a, Result<RunningChange, RunningError>> {
        Box::pin(async move {
            let stored = self.connected(account).await?;
            if stored.campaigns.get(campaign).is_none() {
                return Err(RunningError::Unknown);
            }
            let is_paused = stored.campaigns.is_paused(campaign);
            let changed = is_paused != matches!(running, Running::PausedSince(_));
            if !changed {
                // An earlier attempt may have died before it came to this.
                self.changes.announce(account).await?;
            } else if !self.changes.set_running(account, campaign, running).await? {
                return Err(RunningError::Removed);
            }
            let hold_ended = match running {
                Running::Active => Some(self.limiter.resume_campaign(account, campaign).await?),
                Running::PausedSince(_) => None,
            };
            let now = self.clock.now();
            self.backlogs.wake(account, now).await?;
            if changed {
                let campaign = campaign.clone();
                let what = match running {
                    Running::Active => Event::CampaignResumed { campaign },
                    Running::PausedSince(_) => Event::CampaignPaused { campaign },
                };
                let entry = JournalEntry { at: now, account: account.clone(), what };
                self.journal.append(&entry).await?;
            }
            let state = match running {
                Running::Active => "active",
                Running::PausedSince(_) => "paused",
            };
            let (account, campaign) = (account.clone(), campaign.clone());
            Ok(RunningChange { account, campaign, changed, state, hold_ended })
        })
    }
}
