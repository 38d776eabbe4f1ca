//! Connected accounts by hand: looked at, held and resumed, and their limits changed.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use spillway_core::budget::Budget;
use spillway_core::campaign::Running;
use spillway_core::content::Disclosure;
use spillway_core::hold::{HoldCause, REASON_BYTES_MAX};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::rules::{Rules, Terms};
use spillway_core::span;
use spillway_core::status::{Facts, State};
use spillway_core::time::Timestamp;
use spillway_core::upkeep::TokenLife;

use super::instant::{instant, optional, rfc3339};
use super::plan::FieldChange;
use super::removal::{BEING_REMOVED, Remover};
use super::sends::SendAdmin;
use super::{AdminError, Several};
use crate::account::Account;
use crate::accounts_file::limit_notes;
use crate::clock::Clock;
use crate::conversation_settings::ConversationSettings;
use crate::limiter::Limiter;
use crate::port::{
    AccountChanges, Accounts, AppBudgets, Backlogs, Budgets, Deletions, Journal, MaintenanceRecord,
    MaintenanceSchedule, Removal, StoreError, Tokens, UpkeepRequest,
};

/// Works on accounts and campaigns for operators.
pub struct AccountAdmin {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// What changes them.
    pub changes: Arc<dyn AccountChanges>,
    /// Deletes them.
    pub removal: Arc<dyn Removal>,
    /// Their owners' requests for deletion.
    pub deletions: Arc<dyn Deletions>,
    /// Their sends: those of an account that was deleted are cancelled before it is connected.
    pub sends: Arc<SendAdmin>,
    /// Their tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Their budgets: read, to see their holds.
    pub budgets: Arc<dyn Budgets>,
    /// The app's budget: read, to see its hold.
    pub app: Arc<dyn AppBudgets>,
    /// What changes budgets.
    pub limiter: Arc<Limiter>,
    /// Marks of accounts with waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Upkeep's list.
    pub maintenance: Arc<dyn MaintenanceSchedule>,
    /// Their journals.
    pub journal: Arc<dyn Journal>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// An account as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct AccountView {
    /// Its id.
    pub account: AccountId,
    /// The name of its profile.
    pub profile: String,
    /// Its tier.
    pub tier: u8,
    /// The time zone of its day.
    pub time_zone: String,
    /// When its day begins, in its time zone.
    pub day_starts: String,
    /// Seconds of each day in which it writes.
    pub active_s: u64,
    /// The instant when it began to send through software, if it is warming up.
    #[serde(serialize_with = "optional")]
    pub warm_up_since: Option<Timestamp>,
    /// Its own words for STOP, beside the built-in ones.
    pub stop_words: Vec<String>,
    /// Its own words for START, beside the built-in ones.
    pub start_words: Vec<String>,
    /// For how many seconds a human's message keeps Spillway out of a thread.
    pub takeover_s: u64,
    /// For how many seconds e-mail addresses are kept.
    pub leads_for_s: u64,
    /// What is put before the first message to a person, if anything is.
    pub disclosure: Option<Disclosure>,
    /// Its campaigns.
    pub campaigns: Vec<RunningView>,
    /// What it is, as its status says.
    pub state: State,
    /// The holds that are in force.
    pub holds: Vec<HoldView>,
    /// The hold of the whole app, in force or waiting for its probe.
    pub app_hold: Option<AppHoldView>,
    /// What may surprise somebody about its limits.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// A campaign of an account, and whether it runs.
#[derive(Clone, Debug, Serialize)]
pub struct RunningView {
    /// Its id.
    pub id: CampaignId,
    /// Since when it is paused.
    #[serde(serialize_with = "optional")]
    pub paused_since: Option<Timestamp>,
    /// Until when it is on hold, because Meta refuses its link or text.
    #[serde(serialize_with = "optional")]
    pub held_until: Option<Timestamp>,
}

/// A hold that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoldView {
    /// Why.
    pub cause: HoldCause,
    /// Since when.
    #[serde(serialize_with = "instant")]
    pub since: Timestamp,
    /// Its end; `null` if it lasts until somebody resumes the account.
    #[serde(serialize_with = "instant")]
    pub until: Timestamp,
    /// The operator's note.
    pub reason: Option<String>,
}

/// The hold of the whole app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppHoldView {
    /// Why.
    pub cause: HoldCause,
    /// Its end.
    #[serde(serialize_with = "instant")]
    pub until: Timestamp,
}

/// An account that was put on hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldView {
    /// The account's id.
    pub account: AccountId,
    /// The end of the hold; `null` if it lasts until somebody resumes the account.
    #[serde(serialize_with = "instant")]
    pub until: Timestamp,
    /// The pause by hand whose end and note this one has replaced.
    pub replaced: Option<HoldView>,
}

/// An account whose holds were ended, or handed to the next call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResumedView {
    /// The account's id.
    pub account: AccountId,
    /// The hold of the whole app, which the next call looks into.
    pub app: Option<AppHoldView>,
    /// The account's own holds.
    pub ended: Vec<HoldCause>,
}

/// An account whose limits were changed, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitsView {
    /// The account's id.
    pub account: AccountId,
    /// Whether the changes were written.
    pub changed: bool,
    /// The fields that change, each with its value before and after.
    pub changes: Vec<FieldChange>,
}

impl AccountAdmin {
    /// What removes accounts.
    pub fn remover(&self) -> Remover {
        Remover {
            removal: self.removal.clone(),
            deletions: self.deletions.clone(),
            tokens: self.tokens.clone(),
            maintenance: self.maintenance.clone(),
            backlogs: self.backlogs.clone(),
            misses: self.sends.misses.clone(),
            leads: self.sends.leads.clone(),
            conversations: self.sends.conversations.clone(),
            journal: self.journal.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Reads a connected account.
    ///
    /// # Errors
    /// Fails if it is not connected, or the store does not answer.
    pub fn connected<'a>(
        &'a self,
        id: &'a AccountId,
    ) -> BoxFuture<'a, Result<Account, AdminError>> {
        Box::pin(async move {
            let account = self.accounts.load(id).await;
            let account = account.map_err(|error| AdminError::Account(id.clone(), error))?;
            account.ok_or_else(|| AdminError::NotConnected(id.clone()))
        })
    }

    /// Reads one connected account, or all of them by id.
    ///
    /// # Errors
    /// Fails if `only` is not connected, or the store does not answer.
    pub fn all_connected<'a>(
        &'a self,
        only: Option<&'a AccountId>,
    ) -> BoxFuture<'a, Result<Several<Account>, AdminError>> {
        Box::pin(async move {
            if let Some(id) = only {
                let read = vec![self.connected(id).await?];
                return Ok(Several { read, unreadable: Vec::new() });
            }
            let mut results = Vec::new();
            for id in self.maintenance.accounts().await? {
                // It may have been removed meanwhile.
                let account = self.accounts.load(&id).await;
                results.push((id, account));
            }
            Several::of(results)
        })
    }

    /// Shows one connected account, or all of them by id.
    ///
    /// # Errors
    /// Fails if `only` is not connected, or the store does not answer.
    pub fn views<'a>(
        &'a self,
        only: Option<&'a AccountId>,
    ) -> BoxFuture<'a, Result<Several<AccountView>, AdminError>> {
        Box::pin(async move {
            let now = self.clock.now();
            let app = self.app.load().await?;
            let mut views = Vec::new();
            let Several { read, unreadable } = self.all_connected(only).await?;
            for account in read {
                let (budget, record, token) = futures::try_join!(
                    self.budgets.load(&account.id),
                    self.maintenance.record(&account.id),
                    self.tokens.load(&account.id),
                )?;
                let MaintenanceRecord { upkeep, last_seen, .. } = record.unwrap_or_default();
                let facts = Facts {
                    rules: &account.rules,
                    campaigns: &account.campaigns,
                    holds: &budget.holds,
                    app: &app.holds,
                    feedback: budget.feedback,
                    token: token.map_or_else(TokenLife::default, |kept| kept.life),
                    upkeep: &upkeep,
                    last_seen,
                };
                let state = facts.state(now);
                let app_hold = app.holds.current.as_ref();
                let app_hold =
                    app_hold.map(|hold| AppHoldView { cause: hold.cause, until: hold.until });
                let view = AccountView::of(&account, &budget, state, now);
                views.push(AccountView { app_hold, ..view });
            }
            Ok(Several { read: views, unreadable })
        })
    }

    /// Stops an account by hand until `until`: from here on nothing more is granted. A call that
    /// was granted in the 5 seconds before may still be made.
    ///
    /// # Errors
    /// Fails if the reason is too long, the account is not connected, the store does not answer, or
    /// this machine's clock is off.
    pub fn hold<'a>(
        &'a self,
        id: &'a AccountId,
        until: Timestamp,
        reason: Option<&'a str>,
    ) -> BoxFuture<'a, Result<HeldView, AdminError>> {
        Box::pin(async move {
            if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
                return Err(AdminError::LongReason);
            }
            self.connected(id).await?;
            let (before, _) = self.limiter.stop(id, until, reason).await?;
            let mut replaced = holds(&before, self.clock.now()).into_iter();
            let replaced = replaced.find(|hold| hold.cause == HoldCause::Operator);
            Ok(HeldView { account: id.clone(), until, replaced })
        })
    }

    /// Returns the hold of the whole app, in force or waiting for its probe.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn app_hold(&self) -> Result<Option<AppHoldView>, StoreError> {
        let hold = self.app.load().await?.holds.current;
        Ok(hold.map(|hold| AppHoldView { cause: hold.cause, until: hold.until }))
    }

    /// Has the next call of any account find out whether the app's hold is over, and wakes this
    /// account to make one.
    ///
    /// The hold changes before the account is woken: woken before, it could find the app closed
    /// and go back to sleep.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn resume_app(&self, id: &AccountId) -> Result<(), StoreError> {
        self.limiter.resume_app().await?;
        self.backlogs.wake(id, self.clock.now()).await
    }

    /// Returns the account's holds that are in force.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn holds(&self, id: &AccountId) -> Result<Vec<HoldView>, StoreError> {
        Ok(holds(&self.budgets.load(id).await?, self.clock.now()))
    }

    /// Ends a stop by hand, lets one call look into any other hold, and wakes the account.
    ///
    /// # Errors
    /// Fails if the store does not answer, or this machine's clock is off.
    pub async fn resume(&self, id: &AccountId) -> Result<(), StoreError> {
        self.limiter.resume(id).await?;
        self.backlogs.wake(id, self.clock.now()).await
    }

    /// Changes an account's limits. Other limits mean other slots, so release is woken last.
    ///
    /// # Errors
    /// Fails if it was removed since it was read, or the store does not answer.
    pub fn set<'a>(
        &'a self,
        account: &'a Account,
        rules: &'a Rules,
    ) -> BoxFuture<'a, Result<(), AdminError>> {
        Box::pin(async move {
            self.write_rules(account, rules).await?;
            Ok(self.backlogs.wake(&account.id, self.clock.now()).await?)
        })
    }

    /// Writes limits, and a change of tier into the journal.
    pub(super) async fn write_rules(
        &self,
        account: &Account,
        rules: &Rules,
    ) -> Result<(), AdminError> {
        if !self.changes.set_rules(&account.id, rules).await? {
            return Err(AdminError::Removed(account.id.clone()));
        }
        let (from, to) = (account.rules.terms().tier, rules.terms().tier);
        if from != to {
            let what = Event::TierChanged { from, to };
            let (at, account) = (self.clock.now(), account.id.clone());
            self.journal.append(&JournalEntry { at, account, what }).await?;
        }
        Ok(())
    }

    /// Writes settings for conversations.
    pub(super) async fn write_conversations(
        &self,
        account: &AccountId,
        settings: &ConversationSettings,
    ) -> Result<(), AdminError> {
        if self.changes.set_conversations(account, settings).await? {
            return Ok(());
        }
        Err(AdminError::Removed(account.clone()))
    }

    /// Asks upkeep to read the comments of the last seven days. Returns when it was asked.
    ///
    /// # Errors
    /// Fails if the account is not connected, or the store does not answer.
    pub fn backfill<'a>(
        &'a self,
        id: &'a AccountId,
    ) -> BoxFuture<'a, Result<Timestamp, AdminError>> {
        Box::pin(async move {
            self.connected(id).await?;
            let now = self.clock.now();
            self.maintenance.ask(id, &UpkeepRequest::Backfill, now).await?;
            Ok(now)
        })
    }

    /// Whether the account is stopped by hand, other than by a removal that has died.
    pub(super) async fn is_stopped_by_others(&self, id: &AccountId) -> Result<bool, StoreError> {
        let holds = self.budgets.load(id).await?.holds;
        let is_stopped = holds.stopped_until(self.clock.now()).is_some();
        let reason = holds.by_hand.and_then(|stop| stop.reason);
        Ok(is_stopped && reason.as_deref() != Some(BEING_REMOVED))
    }
}

impl AccountView {
    fn of(account: &Account, budget: &Budget, state: State, now: Timestamp) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        let (profile, terms) = (account.rules.profile(), account.rules.terms());
        let campaigns = account.campaigns.iter().map(|campaign| RunningView {
            id: campaign.id.clone(),
            paused_since: paused_since(account, &campaign.id),
            held_until: budget.holds.refusals.campaign_held_until(&campaign.id, now),
        });
        Self {
            account: account.id.clone(),
            profile: profile.name.clone(),
            tier: terms.tier.into(),
            time_zone: terms.time_zone.to_string(),
            day_starts: terms.day_starts.to_string(),
            active_s: profile.spread.map_or(DAY, |spread| spread.active).as_secs(),
            warm_up_since: terms.warm_up_since,
            stop_words: account.conversations.stop_words.clone(),
            start_words: account.conversations.start_words.clone(),
            takeover_s: account.conversations.takeover.as_secs(),
            leads_for_s: account.conversations.leads_for.as_secs(),
            disclosure: account.conversations.disclosure.clone(),
            campaigns: campaigns.collect(),
            state,
            holds: holds(budget, now),
            app_hold: None,
            notes: limit_notes([&account.rules]),
        }
    }
}

/// Since when a campaign of the account is paused.
pub(super) fn paused_since(account: &Account, campaign: &CampaignId) -> Option<Timestamp> {
    match account.campaigns.running(campaign) {
        Running::Active => None,
        Running::PausedSince(since) => Some(since),
    }
}

fn holds(budget: &Budget, now: Timestamp) -> Vec<HoldView> {
    let at = now.max(budget.decided_at);
    let by_hand = budget.holds.by_hand.iter().map(|stop| HoldView {
        cause: HoldCause::Operator,
        since: stop.since,
        until: stop.until,
        reason: stop.reason.clone(),
    });
    let others = budget.holds.current.iter().map(|hold| HoldView {
        cause: hold.cause,
        since: hold.since,
        until: hold.until,
        reason: None,
    });
    by_hand.chain(others).filter(|hold| at < hold.until).collect()
}

/// What differs between two settings for conversations, for people.
pub fn conversation_differences(
    before: &ConversationSettings,
    after: &ConversationSettings,
) -> Vec<FieldChange> {
    let words = |words: &[String]| match words {
        [] => "none".to_owned(),
        words => words.join(", "),
    };
    let fields = |of: &ConversationSettings| {
        [
            ("stop_words", words(&of.stop_words)),
            ("start_words", words(&of.start_words)),
            ("takeover", span::format(of.takeover)),
            ("leads_for", span::format(of.leads_for)),
            ("disclosure", of.disclosure.as_ref().map_or("none".into(), ToString::to_string)),
        ]
    };
    let pairs = fields(before).into_iter().zip(fields(after));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((name, before), (_, after))| FieldChange { name, before, after })
        .collect()
}

/// What differs between two sets of limits, for people.
pub fn differences(before: &Rules, after: &Rules) -> Vec<FieldChange> {
    let (old, new) = (before.terms(), after.terms());
    let since = |terms: &Terms| {
        terms.warm_up_since.and_then(rfc3339).unwrap_or_else(|| "not warming up".into())
    };
    let tier = |terms: &Terms| u8::from(terms.tier).to_string();
    let (before_profile, after_profile) = (before.profile(), after.profile());
    let is_same_name = before_profile.name == after_profile.name;
    let rows = if is_same_name && before_profile != after_profile { "other figures" } else { "" };
    let profile = |rules: &Rules, with: &str| match with {
        "" => rules.profile().name.clone(),
        with => format!("{} ({with})", rules.profile().name),
    };
    [
        ("profile", profile(before, ""), profile(after, rows)),
        ("tier", tier(old), tier(new)),
        ("time_zone", old.time_zone.to_string(), new.time_zone.to_string()),
        ("day_starts", old.day_starts.to_string(), new.day_starts.to_string()),
        ("warm_up_since", since(old), since(new)),
    ]
    .into_iter()
    .filter(|(_, before, after)| before != after)
    .map(|(name, before, after)| FieldChange { name, before, after })
    .collect()
}
