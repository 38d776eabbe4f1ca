//! An account's budget: every quota checked and taken from in one decision, or nothing taken.
//!
//! The store writes the budget back on the condition that its version has not moved, so one
//! decision is one write, and no two decisions can be made on the same state.

mod decision;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use self::decision::{BudgetRequest, Decision, Denial, DenialReason, Grant, Recipients, Role};
use crate::answers::Answers;
use crate::feedback::Feedback;
use crate::hold::{HoldCause, Holds, NewToken};
use crate::id::{CampaignId, RecipientId};
use crate::quota::{Action, PACED_WINDOW_MAX, QuotaId, Unit};
use crate::refusal::{Evidence, Finding, Party};
use crate::rotation::Rotation;
use crate::rules::{InForce, Rules};
use crate::time::Timestamp;
use crate::windows::Windows;

/// Names one write of a budget or cursor. A write whose answer was lost is found again by it: a
/// failed condition that shows our own id is success.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct GrantId(u128);

impl GrantId {
    /// `process` must differ between processes, `sequence` within one.
    pub const fn new(process: u64, sequence: u64) -> Self {
        Self((process as u128) << 64 | sequence as u128)
    }

    /// A number that differs between writes, for what must not be alike everywhere.
    pub(crate) const fn seed(self) -> u64 {
        self.0 as u64 ^ (self.0 >> 64) as u64
    }

    /// Sixteen bytes for the store.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Reads [`Self::to_bytes`].
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The state of an account's budget. Every change raises `version` by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// 0 before the first write.
    pub version: u64,
    /// The last write.
    pub grant: GrantId,
    /// The latest instant any decision was made at. Decisions never go back behind it, whatever
    /// the deciding process's clock says.
    pub decided_at: Timestamp,
    /// The instant when a paced DM was granted last.
    pub paced_at: Timestamp,
    /// Units taken, by quota.
    pub windows: Windows,
    /// The hold in force and past ones.
    pub holds: Holds,
    /// What Meta's answers have taught.
    pub feedback: Feedback,
    /// The texts used last.
    pub rotation: Rotation,
    /// The latest revision of the account's settings that anybody has decided by, or that was
    /// written: who knows an earlier one reads the account again before it decides.
    pub revision: Revision,
    /// How its calls were answered lately.
    pub answers: Answers,
}

/// How many times the settings of an account have been changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl Revision {
    /// The one after it.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Budget {
    /// The same budget with the windows that `rules` have.
    pub(crate) fn under(&self, rules: &Rules) -> Cow<'_, Self> {
        match self.windows.under(rules) {
            Cow::Borrowed(_) => Cow::Borrowed(self),
            Cow::Owned(windows) => Cow::Owned(Self { windows, ..self.clone() }),
        }
    }

    /// Gives back `units` of a grant: calls that were never written.
    pub fn refund(&self, rules: &Rules, grant: &Grant, units: u32, id: GrantId) -> Self {
        let mut next = self.next(id);
        next.windows.take_back(grant.action, grant.at, units);
        for row in rules.in_force(grant.action, grant.at, self.feedback) {
            // A unit that was moved stays where the person's item says that it is.
            let is_moved =
                grant.recipients == Recipients::Moved && row.quota.unit == Unit::Recipients;
            if !is_moved {
                next.windows.refund(row.quota, grant.at, units);
            }
        }
        // A probe that was no call keeps nobody else waiting, unless something was decided since.
        if grant.role == Role::Probe && self.grant == grant.id && units == grant.units {
            next.holds.drop_probe();
        }
        next
    }

    /// Puts the account on hold: see [`HoldCause`] for how long. A throttle also lowers the limits
    /// in force below what had been used when it was met.
    pub fn hold(
        &self,
        rules: &Rules,
        cause: HoldCause,
        now: Timestamp,
        regain: Option<Duration>,
        id: GrantId,
    ) -> Self {
        let mut next = self.next(id);
        let at = now.max(self.decided_at);
        next.decided_at = at;
        let is_first = self.holds.is_open(at);
        next.holds.strike(cause, at, regain, id.seed());
        if cause == HoldCause::Throttled && is_first {
            next.feedback.throttled(self.used_percent(rules, at), at);
        }
        next
    }

    /// How much of its fullest quota of an hour or less is used, in percent of what is configured.
    fn used_percent(&self, rules: &Rules, at: Timestamp) -> u8 {
        let windows = self.windows.under(rules);
        let percent = |row: InForce<'_>| {
            let limit = u64::from(row.limit.get());
            let used = limit.saturating_sub(windows.room(row, at).into());
            u8::try_from(used * 100 / limit).unwrap_or(100)
        };
        let full = Feedback::default();
        let rows = Action::PACED.into_iter().flat_map(|action| rules.in_force(action, at, full));
        rows.filter(|row| row.quota.window <= PACED_WINDOW_MAX).map(percent).max().unwrap_or(100)
    }

    /// Of the quotas that `action` takes from, the one with the least left at `now`, and how many
    /// percent of its limit in force that is.
    pub fn tightest<'r>(
        &self,
        rules: &'r Rules,
        action: Action,
        now: Timestamp,
    ) -> Option<(&'r QuotaId, u8)> {
        let at = now.max(self.decided_at);
        let windows = self.windows.under(rules);
        let left = |row: InForce<'r>| {
            let percent = u64::from(windows.room(row, at)) * 100 / u64::from(row.limit.get());
            (&row.quota.id, u8::try_from(percent).unwrap_or(100))
        };
        rules.in_force(action, at, self.feedback).map(left).min_by_key(|&(_, percent)| percent)
    }

    /// Sends nothing to `recipient` for a while: Meta says that it has had too many messages.
    pub fn hold_recipient(&self, recipient: &RecipientId, now: Timestamp, id: GrantId) -> Self {
        let mut next = self.next(id);
        next.holds.hold_recipient(recipient, now.max(self.decided_at));
        next
    }

    /// Takes in that Meta has refused the send of `party`, which may put the account or the
    /// campaign on hold: see [`Refusals::finding`](crate::refusal::Refusals::finding).
    pub fn refused(
        &self,
        rules: &Rules,
        evidence: Evidence,
        party: Party,
        now: Timestamp,
        regain: Option<Duration>,
        id: GrantId,
    ) -> Self {
        let at = now.max(self.decided_at);
        let finding = self.holds.refusals.finding(evidence, &party, regain, at);
        let mut next = match finding {
            Finding::Account(cause) => self.hold(rules, cause, now, regain, id),
            Finding::Campaign | Finding::Send | Finding::Open => self.next(id),
        };
        next.holds.refusals.note(evidence, finding, party, at);
        next
    }

    /// Ends the hold of a campaign; `None` where it is on none.
    pub fn resume_campaign(
        &self,
        campaign: &CampaignId,
        now: Timestamp,
        id: GrantId,
    ) -> Option<Self> {
        let at = now.max(self.decided_at);
        self.holds.refusals.campaign_held_until(campaign, at)?;
        let mut next = self.next(id);
        next.holds.refusals.resume_campaign(campaign);
        Some(next)
    }

    /// Takes in that the send of `party` went through, as the probe of a hold or in none; `None`
    /// where that changes nothing.
    pub fn passed(&self, party: &Party, role: Role, now: Timestamp, id: GrantId) -> Option<Self> {
        let at = now.max(self.decided_at);
        let is_lifted = role == Role::Probe && self.holds.is_probed();
        // During a hold only its probe tells anything: other calls were granted before it.
        let tells = self.holds.is_open(at) && self.holds.refusals.is_news(party);
        if !is_lifted && !tells {
            return None;
        }
        let mut next = if is_lifted { self.lift(now, id) } else { self.next(id) };
        next.holds.refusals.pass(party, at);
        Some(next)
    }

    /// Lets upkeep make the probe of the hold in force; `None` where there is none, or it may
    /// already.
    pub fn with_turn_of_upkeep(&self, id: GrantId) -> Option<Self> {
        let mut next = self.next(id);
        next.holds.give_turn().then_some(next)
    }

    /// Lets another call be the probe of the hold in force: the last one has told nothing of it.
    /// `None` where there was none.
    pub fn without_probe(&self, id: GrantId) -> Option<Self> {
        let mut next = self.next(id);
        next.holds.is_probed().then(|| {
            next.holds.drop_probe();
            next
        })
    }

    /// Ends the hold whose probe went through; one that was met since then stays. The pace returns
    /// step by step.
    pub fn lift(&self, now: Timestamp, id: GrantId) -> Self {
        let mut next = self.next(id);
        if next.holds.lift().is_some() {
            next.feedback.returned(now.max(self.decided_at));
        }
        next
    }

    /// Stops the account by hand until `until`, [`Timestamp::NEVER`] for as long as nobody resumes
    /// it: nothing is granted on a version before this one once it is written.
    pub fn stop(
        &self,
        until: Timestamp,
        reason: Option<&str>,
        now: Timestamp,
        id: GrantId,
    ) -> Self {
        let mut next = self.next(id);
        next.decided_at = now.max(self.decided_at);
        next.holds.stop(next.decided_at, until, reason);
        next
    }

    /// Ends a stop by hand alone.
    pub fn without_stop(&self, id: GrantId) -> Self {
        let mut next = self.next(id);
        next.holds.by_hand = None;
        next
    }

    /// Ends a stop by hand. Another hold is looked into at once: one call goes first, and if it
    /// goes through all others follow.
    pub fn resume(&self, now: Timestamp, id: GrantId) -> Self {
        let mut next = self.next(id);
        next.holds.resume(now.max(self.decided_at));
        next
    }

    /// The account has a new token: a hold of its dead one ends, or is looked into at once. `None`
    /// where there is none.
    pub fn with_token(&self, token: NewToken, id: GrantId) -> Option<Self> {
        let mut next = self.next(id);
        next.holds.renew_token(token).then_some(next)
    }

    /// The same for settings that have been changed; `None` where it knows of as late ones.
    pub fn with_revision(&self, revision: Revision, id: GrantId) -> Option<Self> {
        (self.revision < revision).then(|| Self { revision, ..self.next(id) })
    }

    fn next(&self, id: GrantId) -> Self {
        Self { version: self.version + 1, grant: id, ..self.clone() }
    }
}
