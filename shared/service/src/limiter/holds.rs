//! What follows from Meta's answers and from what operators do: holds, their ends, and what is
//! learned.

use std::time::Duration;

use spillway_core::answers::Tally;
use spillway_core::budget::{Budget, Denial, DenialReason, GrantId, Role};
use spillway_core::feedback::{Feedback, Usage as Reported};
use spillway_core::hold::{Gate, HoldCause, NewToken};
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::journal::Event;
use spillway_core::meta_error::MetaError;
use spillway_core::refusal::{Evidence, Finding, Party};
use spillway_core::time::Timestamp;
use spillway_meta::graph::CallError;
use spillway_meta::usage::Usage;
use tracing::{error, warn};

use super::{BUDGET_FRESH, Limiter, Reservation, keys, own_hold};
use crate::account::Account;
use crate::metrics::{Metric, name_of};
use crate::port::StoreError;
use crate::send_task::SendTask;

/// What Meta's answer says beside its verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerDetails {
    /// For how long Meta asks not to be called.
    pub regain: Option<Duration>,
    /// The numbers of a refusal.
    pub error: Option<MetaError>,
}

impl From<&CallError> for AnswerDetails {
    fn from(failed: &CallError) -> Self {
        Self { regain: failed.usage().regain, error: failed.meta_error() }
    }
}

/// Of an answer that is no refusal.
impl From<&Usage> for AnswerDetails {
    fn from(usage: &Usage) -> Self {
        Self { regain: usage.regain, error: None }
    }
}

impl Limiter {
    /// Puts the account on hold and says until when. This process stops at once, all others with
    /// the write.
    pub async fn hold(
        &self,
        account: &Account,
        cause: HoldCause,
        answer: AnswerDetails,
    ) -> Option<Timestamp> {
        let now = self.clock.now();
        let stop = Denial { reason: DenialReason::Hold(cause), retry_at: now + BUDGET_FRESH };
        for key in keys(&account.id) {
            self.remember_denial(key, &stop, now);
        }
        let held = self
            .change(&account.id, |budget, id| {
                Some(budget.hold(&account.rules, cause, now, answer.regain, id))
            })
            .await;
        match held {
            Ok((before, budget)) => {
                Some(self.held(account, (cause, answer.error), &before, &budget, now).await)
            }
            Err(error) => {
                error!(account = %account.id, %error, "could not record the hold");
                None
            }
        }
    }

    /// Tells of a hold that was written, and gives its end.
    async fn held(
        &self,
        account: &Account,
        (cause, error): (HoldCause, Option<MetaError>),
        before: &Budget,
        budget: &Budget,
        now: Timestamp,
    ) -> Timestamp {
        let Feedback { lowered, .. } = budget.feedback;
        let until = budget.holds.current.as_ref().map_or(now, |hold| hold.until);
        if before.holds.last_strike != budget.holds.last_strike {
            self.meter.held(cause, budget.holds.strikes);
        }
        // Calls in flight meet the limit too; it is one hold.
        if before.holds.is_open(now.max(before.decided_at)) {
            self.meter.count_by(Metric::Held, format!("Account{}", name_of(&cause)));
            self.note(&account.id, Event::HoldSet { cause, until, error, reason: None }).await;
            if let Some(lowered) = lowered.filter(|_| lowered != before.feedback.lowered) {
                let met = Event::LimitMet { percent: lowered.percent };
                self.note(&account.id, met).await;
            }
        }
        warn!(account = %account.id, %cause, strikes = budget.holds.strikes, hold_s = until.since(now).as_secs(), limit_percent = lowered.map(|lowered| lowered.percent), "on hold");
        until
    }

    /// Takes in that Meta has refused the send of `party`, and gives what that is about, with the
    /// end of the account's hold where it is on one now. Where it cannot be recorded, evidence that
    /// is clear counts.
    pub(crate) async fn refused(
        &self,
        account: &Account,
        party: Party,
        evidence: Evidence,
        AnswerDetails { regain, error }: AnswerDetails,
    ) -> (Finding, Option<Timestamp>) {
        let now = self.clock.now();
        let stop = |cause| {
            let stop = Denial { reason: DenialReason::Hold(cause), retry_at: now + BUDGET_FRESH };
            for key in keys(&account.id) {
                self.remember_denial(key, &stop, now);
            }
        };
        // This process stops at once, all others with the write.
        if let Evidence::Clear(cause) = evidence {
            stop(cause);
        }
        let refused = self
            .change(&account.id, |budget, id| {
                Some(budget.refused(&account.rules, evidence, party, now, regain, id))
            })
            .await;
        let (before, after) = match refused {
            Ok(changed) => changed,
            Err(error) => {
                error!(account = %account.id, %error, "could not record the refusal");
                let finding = match evidence {
                    Evidence::Clear(cause) => Finding::Account(cause),
                    Evidence::Campaign => Finding::Campaign,
                    Evidence::Doubt(_) => Finding::Open,
                };
                return (finding, None);
            }
        };
        self.tell_of_campaigns(account, &before, &after, now, error.as_ref()).await;
        let at = now.max(before.decided_at);
        let finding = before.holds.refusals.finding(evidence, &party, regain, at);
        match finding {
            Finding::Account(cause) => {
                stop(cause);
                (finding, Some(self.held(account, (cause, error), &before, &after, now).await))
            }
            Finding::Campaign | Finding::Send | Finding::Open => {
                if let Evidence::Clear(_) = evidence {
                    for key in keys(&account.id) {
                        self.denials.forget(&key);
                    }
                }
                let about = match finding {
                    Finding::Campaign => "the campaign, which is on hold",
                    Finding::Send => "this send alone",
                    Finding::Account(_) | Finding::Open => "this send, as far as one refusal tells",
                };
                warn!(account = %account.id, about, "refused, and the account goes on");
                (finding, None)
            }
        }
    }

    /// Takes in that the send of `party` went through.
    pub(crate) async fn passed(
        &self,
        account: &Account,
        party: &Party,
        role: Role,
        app_role: Role,
    ) {
        if app_role == Role::Probe {
            self.app.lift().await;
        }
        let now = self.clock.now();
        // What the decision was made by: others' refusals since then are not refuted by it.
        let is_news = |(budget, _): (Budget, Timestamp)| budget.holds.refusals.is_news(party);
        if role != Role::Probe && !self.seen.get(&account.id).is_some_and(is_news) {
            return;
        }
        if role == Role::Probe {
            for key in keys(&account.id) {
                self.denials.forget(&key);
            }
        }
        let passed =
            self.change(&account.id, |budget, id| budget.passed(party, role, now, id)).await;
        match passed {
            Ok((before, after)) => {
                if before.holds.current.is_some() && after.holds.current.is_none() {
                    warn!(account = %account.id, "hold ended: the probe went through");
                    self.note(&account.id, Event::HoldEnded).await;
                }
                self.tell_of_campaigns(account, &before, &after, now, None).await;
            }
            Err(error) => error!(account = %account.id, %error, "could not end the hold"),
        }
    }

    /// Tells of holds of campaigns that began with a change of the budget, which `error` led to.
    async fn tell_of_campaigns(
        &self,
        account: &Account,
        before: &Budget,
        after: &Budget,
        now: Timestamp,
        error: Option<&MetaError>,
    ) {
        for campaign in account.campaigns.iter() {
            let held_until = |budget: &Budget| {
                let at = now.max(budget.decided_at);
                budget.holds.refusals.campaign_held_until(&campaign.id, at)
            };
            let Some(until) = held_until(after).filter(|_| held_until(before).is_none()) else {
                continue;
            };
            warn!(account = %account.id, campaign = %campaign.id, hold_s = until.since(now).as_secs(), "the campaign is on hold");
            self.meter.count_by(Metric::Held, "Campaign");
            self.meter.count(Metric::StoppedAccounts, 1);
            let (campaign, error) = (campaign.id.clone(), error.cloned());
            let what = Event::CampaignHeld { campaign, until, error };
            self.note(&account.id, what).await;
        }
    }

    /// Stops the account by hand until `until`, and gives its budget before and after: once this
    /// returns nothing more is granted. A call that was granted within the
    /// [`GRANT_LIFE`](spillway_core::quota::GRANT_LIFE) before may still be made.
    ///
    /// # Errors
    /// Fails if the store does not answer, or this machine's clock is off.
    pub async fn stop(
        &self,
        account: &AccountId,
        until: Timestamp,
        reason: Option<&str>,
    ) -> Result<(Budget, Budget), StoreError> {
        let stopped =
            self.by_hand(account, |budget, now, id| budget.stop(until, reason, now, id)).await?;
        let cause = HoldCause::Operator;
        let reason = reason.map(str::to_owned);
        self.note(account, Event::HoldSet { cause, until, error: None, reason }).await;
        Ok(stopped)
    }

    /// Ends a stop by hand and lets one call look into any other hold, and gives the budget before
    /// and after.
    ///
    /// # Errors
    /// Fails if the store does not answer, or this machine's clock is off.
    pub async fn resume(&self, account: &AccountId) -> Result<(Budget, Budget), StoreError> {
        for key in keys(account) {
            self.denials.forget(&key);
        }
        let resumed = self.by_hand(account, |budget, now, id| budget.resume(now, id)).await?;
        self.note(account, Event::HoldEnded).await;
        Ok(resumed)
    }

    /// Ends the hold of a campaign. Returns whether it was on one.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn resume_campaign(
        &self,
        account: &AccountId,
        campaign: &CampaignId,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let (before, after) =
            self.change(account, |budget, id| budget.resume_campaign(campaign, now, id)).await?;
        let is_ended = before != after;
        if is_ended {
            self.note(account, Event::CampaignHoldEnded { campaign: campaign.clone() }).await;
        }
        Ok(is_ended)
    }

    /// Makes the next call the probe of a hold of the whole app. Returns whether there is such a
    /// hold.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn resume_app(&self) -> Result<bool, StoreError> {
        let (before, after) = self.app.resume().await?;
        Ok(before != after)
    }

    /// Ends a stop by hand alone: another hold stays as it is.
    ///
    /// # Errors
    /// Fails if the store does not answer, or this machine's clock is off.
    pub async fn resume_stop(&self, account: &AccountId) -> Result<(), StoreError> {
        self.by_hand(account, |budget, _, id| budget.without_stop(id)).await.map(|_| ())
    }

    /// The account has been given a new token: a hold of its dead one ends, or one call finds out
    /// at once whether it is over.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn renew_token(
        &self,
        account: &AccountId,
        token: NewToken,
    ) -> Result<(), StoreError> {
        for key in keys(account) {
            self.denials.forget(&key);
        }
        let (before, after) =
            self.change(account, |budget, id| budget.with_token(token, id)).await?;
        if before.holds.current.is_some() && after.holds.current.is_none() {
            self.note(account, Event::HoldEnded).await;
        }
        Ok(())
    }

    /// Keeps the probe of the account's hold for upkeep, which sends that wait would else always
    /// take.
    pub(crate) async fn ask_for_turn(&self, account: &Account) -> Result<(), StoreError> {
        self.change(&account.id, Budget::with_turn_of_upkeep).await.map(|_| ())
    }

    /// The hold that this process has learned of since it made the reservation, from another call
    /// or decision of its own: of the app, of the account, or of the person or campaign of the
    /// send. The call waits.
    pub fn known_hold(
        &self,
        account: &AccountId,
        reservation: &Reservation,
        task: Option<&SendTask>,
    ) -> Option<Denial> {
        let Reservation { grant, version, app_role, .. } = reservation;
        let of_app = self.app.known_hold(*app_role);
        if of_app.is_some() {
            return of_app;
        }
        let key = (account.clone(), task.map(|task| task.class.lane), grant.action);
        let stop = self.denials.get(&key);
        if let Some(denial) = stop.filter(|denial| matches!(denial.reason, DenialReason::Hold(_)))
            && grant.role == Role::Normal
        {
            return Some(denial);
        }
        let (budget, _) = self.seen.get(account)?;
        if budget.version <= *version {
            return None;
        }
        let now = self.clock.now().max(budget.decided_at);
        let is_its_probe = grant.role != Role::Normal
            && budget.holds.stopped_until(now).is_none()
            && (budget.holds.is_probed() || budget.holds.current.is_none());
        match budget.holds.gate(now) {
            Gate::Closed(cause, retry_at) if !is_its_probe => {
                Some(Denial { reason: DenialReason::Hold(cause), retry_at })
            }
            _ => own_hold(&budget, task?, now),
        }
    }

    async fn by_hand(
        &self,
        account: &AccountId,
        change: impl Fn(&Budget, Timestamp, GrantId) -> Budget + Send + Sync,
    ) -> Result<(Budget, Budget), StoreError> {
        // The answer tells whether the clock is right: decisions never go back behind this one.
        self.budgets.load(account).await?;
        self.check.require("change the budget")?;
        let now = self.clock.now();
        self.change(account, |budget, id| Some(change(budget, now, id))).await
    }

    /// Puts every account of the app on hold.
    pub async fn hold_app(&self, cause: HoldCause, answer: AnswerDetails) -> Option<Timestamp> {
        self.app.hold(cause, answer).await
    }

    /// Sends nothing to `recipient` for a while, and says until when.
    pub async fn hold_recipient(
        &self,
        account: &Account,
        recipient: &RecipientId,
    ) -> Option<Timestamp> {
        let now = self.clock.now();
        let change = |budget: &Budget, id| Some(budget.hold_recipient(recipient, now, id));
        match self.change(&account.id, change).await {
            Ok((_, budget)) => {
                self.meter.count_by(Metric::Held, "RecipientThrottled");
                budget.holds.recipient_held_until(recipient, now)
            }
            Err(error) => {
                warn!(account = %account.id, %error, "could not record the hold of a recipient");
                None
            }
        }
    }

    /// Ends the holds that a probe was for.
    pub(crate) async fn lift(&self, account: &Account, role: Role, app_role: Role) {
        if app_role == Role::Probe {
            self.app.lift().await;
        }
        if role != Role::Probe {
            return;
        }
        for key in keys(&account.id) {
            self.denials.forget(&key);
        }
        let now = self.clock.now();
        let lifted = self
            .change(&account.id, |budget, id| {
                budget.holds.is_probed().then(|| budget.lift(now, id))
            })
            .await;
        match lifted {
            Ok((before, after)) => {
                warn!(account = %account.id, "hold ended: the probe went through");
                if before.holds.current.is_some() && after.holds.current.is_none() {
                    self.note(&account.id, Event::HoldEnded).await;
                }
            }
            Err(error) => error!(account = %account.id, %error, "could not end the hold"),
        }
    }

    /// Lets another call be the probe: this one was made with a token that is not in use, which
    /// tells nothing of the hold.
    pub(crate) async fn give_up_probe(&self, account: &Account, role: Role) {
        if role != Role::Probe {
            return;
        }
        if let Err(error) = self.change(&account.id, Budget::without_probe).await {
            warn!(account = %account.id, %error, "the next probe waits for the end of the lease");
        }
    }

    /// Counts a call of the account, and how it failed if it did.
    pub(crate) fn count_call(&self, account: &AccountId, failed: Option<&CallError>) {
        let is_server_error = match failed {
            Some(CallError::NotWritten | CallError::InvalidId | CallError::InvalidToken) => return,
            Some(CallError::Refused { error, .. }) => error.status >= 500,
            Some(CallError::Unknown | CallError::NotDone { .. }) | None => false,
        };
        self.add_answers(account, Tally { calls: 1, server_errors: is_server_error.into() });
    }

    /// Keeps a tally for the next change of the budget. One that was perhaps written is kept too:
    /// people read it, and rather too many errors than too few.
    pub(super) fn add_answers(&self, account: &AccountId, more: Tally) {
        if !more.is_empty() {
            let known = self.answers.take(account).unwrap_or_default();
            self.answers.put(account.clone(), known.and(more), 0, Duration::MAX);
        }
    }

    /// Takes in how full Meta says the limits are. Near the limit the account stops, and says until
    /// when; or the whole app does.
    pub(crate) async fn learn(&self, account: &Account, usage: &Usage) -> Option<Timestamp> {
        let now = self.clock.now();
        let stop = account.rules.profile().slow_down.stop_percent;
        let percent = |percent: u16| u8::try_from(percent).unwrap_or(u8::MAX);
        let of_app = usage.app.map(|share| percent(share.get()));
        let of_account = usage.account.map(|share| percent(share.get()));
        if let Some(percent) = of_app.into_iter().chain(of_account).max() {
            let reported = Reported { percent, at: now };
            self.reported.put(account.id.clone(), reported, 0, Feedback::USAGE_BELIEVED);
        }
        if of_app.is_some_and(|percent| percent >= stop) {
            return self.hold_app(HoldCause::NearLimit, usage.into()).await;
        }
        if of_account.is_some_and(|percent| percent >= stop) {
            return self.hold(account, HoldCause::NearLimit, usage.into()).await;
        }
        None
    }
}
