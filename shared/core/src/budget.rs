//! An account's budget: every quota checked and taken from in one decision, or nothing taken.
//!
//! The store writes the budget back on the condition that its version has not moved, so one
//! decision is one write, and no two decisions can be made on the same state.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::answers::Answers;
use crate::feedback::{Feedback, Usage};
use crate::hold::{Gate, HoldCause, Holds, NewToken};
use crate::id::{RecipientId, SendId};
use crate::quota::{Action, GRANT_LIFE, PACED_WINDOW_MAX, QuotaId, Unit};
use crate::refusal::{Evidence, Finding, Party};
use crate::rotation::Rotation;
use crate::rules::{InForce, Rules};
use crate::send::Lane;
use crate::time::{Timestamp, millis};
use crate::windows::{Need, Reserve, Windows};

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
    /// When a paced DM was granted last.
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

/// What is asked for: as many as fit, up to `units`.
#[derive(Clone, Debug)]
pub struct BudgetRequest<'a> {
    /// The kind of call.
    pub action: Action,
    /// The lane of the sends; `None` for calls of other tools that share the budget.
    pub lane: Option<Lane>,
    /// How many calls.
    pub units: NonZeroU32,
    /// The fewest that are of use: where fewer fit, nothing is granted.
    pub least: NonZeroU32,
    /// The send that goes first, and so becomes the probe after a hold.
    pub first: Option<&'a SendId>,
    /// How long the calls may take at most. A probe is waited for until then.
    pub lease_until: Timestamp,
    /// Where the unit of the person lies who is written to, of a single one: see
    /// [`Unit::Recipients`].
    pub counted_at: Option<Timestamp>,
    /// A usage that Meta reported and that is not in the budget yet.
    pub usage: Option<Usage>,
}

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The write that took it.
    pub id: GrantId,
    /// The kind of call.
    pub action: Action,
    /// How many calls may be made, at least 1.
    pub units: u32,
    /// The instant of the decision. Each call must be written within
    /// [`GRANT_LIFE`] of it, or be given back.
    pub at: Timestamp,
    /// Whether this is the one call that goes first after a hold.
    pub role: Role,
    /// Whether people were counted anew.
    pub recipients: Recipients,
}

/// What a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ordinary calls.
    Normal,
    /// The probe: its outcome lifts or lengthens the hold.
    Probe,
}

/// How a grant counts the people it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Each takes a unit.
    Counted,
    /// The person had one; it counts from now on. The writer of the budget must write in the same
    /// transaction where it lies now.
    Moved,
}

/// Why nothing more is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenialReason {
    /// This quota is full.
    Quota(QuotaId),
    /// The account writes nothing at this hour.
    Hours,
    /// It is slowed down, or something that goes first was sent just now.
    Pace,
    /// The account is on hold.
    Hold(HoldCause),
    /// The whole app is on hold.
    AppHold(HoldCause),
    /// This person has had too many messages.
    RecipientHold,
    /// What the campaign sends is refused.
    CampaignHold,
    /// The deciding process's clock is off by more than the bound.
    Clock,
    /// Too many others decide on this budget at the same time.
    Contention,
    /// The account is not connected any more.
    Disconnected,
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota(id) => write!(f, "quota {id}"),
            Self::Hours => f.write_str("active hours"),
            Self::Pace => f.write_str("pace"),
            Self::Hold(HoldCause::Operator) => f.write_str("hold by hand"),
            Self::Hold(cause) => write!(f, "hold ({cause})"),
            Self::AppHold(cause) => write!(f, "hold of the app ({cause})"),
            Self::RecipientHold => f.write_str("hold of the recipient"),
            Self::CampaignHold => f.write_str("hold of the campaign"),
            Self::Clock => f.write_str("the process's clock"),
            Self::Contention => f.write_str("contention"),
            Self::Disconnected => f.write_str("disconnected account"),
        }
    }
}

/// Not now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What bound.
    pub reason: DenialReason,
    /// The earliest instant at which one more call fits; always in the future.
    pub retry_at: Timestamp,
}

/// The answer to a [`BudgetRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Granted, once the budget it comes with has been written. The denial, if any, is for what
    /// was asked beyond the grant.
    Granted(Grant, Box<Budget>, Option<Denial>),
    /// Nothing is granted and nothing needs writing.
    Denied(Denial),
}

impl Budget {
    /// Decides on `want` at `now` under `rules`.
    pub fn decide(
        &self,
        rules: &Rules,
        want: &BudgetRequest<'_>,
        now: Timestamp,
        id: GrantId,
    ) -> Decision {
        self.under(rules).decide_by(rules, want, now, id)
    }

    /// The same budget with the windows that `rules` have.
    pub(crate) fn under(&self, rules: &Rules) -> Cow<'_, Self> {
        match self.windows.under(rules) {
            Cow::Borrowed(_) => Cow::Borrowed(self),
            Cow::Owned(windows) => Cow::Owned(Self { windows, ..self.clone() }),
        }
    }

    fn decide_by(
        &self,
        rules: &Rules,
        want: &BudgetRequest<'_>,
        now: Timestamp,
        id: GrantId,
    ) -> Decision {
        let at = now.max(self.decided_at);
        let feedback = self.feedback.with_usage(want.usage);
        let gate = match want.lane {
            Some(_) => self.holds.gate_of_sends(at),
            None => self.holds.gate(at),
        };
        let role = match gate {
            Gate::Open => Role::Normal,
            Gate::Probe => Role::Probe,
            Gate::Closed(cause, retry_at) => {
                return Decision::Denied(Denial { reason: DenialReason::Hold(cause), retry_at });
            }
        };
        let spare = Reserve::of(want.lane);
        let mut units = match role {
            Role::Normal => want.units.get(),
            Role::Probe => 1,
        };
        let mut reason = DenialReason::Pace;
        if rules.active_from(want.action, at) > at {
            (units, reason) = (0, DenialReason::Hours);
        } else if let Some(apart) = self.must_be_apart(rules, want, at, feedback) {
            units = if self.paced_at + apart > at { 0 } else { 1 };
        }
        for row in rules.in_force(want.action, at, feedback) {
            let room = if self.windows.is_repeat(row, at, want.counted_at) {
                u32::MAX
            } else {
                spare.kept(row, self.windows.room(row, at))
            };
            if room < units {
                units = room;
                reason = DenialReason::Quota(row.quota.id.clone());
            }
        }
        if units == 0 {
            let retry_at = self.earliest(rules, want, at, feedback);
            return Decision::Denied(Denial { reason, retry_at });
        }

        let mut next = self.next(id);
        next.decided_at = at;
        next.holds.forget_stop(at);
        next.feedback = feedback;
        if want.action.is_paced() {
            next.paced_at = at;
        }
        next.windows.note(want.action, at, units);
        let mut recipients = Recipients::Counted;
        for row in rules.in_force(want.action, at, feedback) {
            match want.counted_at {
                Some(from) if self.windows.is_repeat(row, at, want.counted_at) => {
                    next.windows.move_unit(row.quota, from, at);
                    recipients = Recipients::Moved;
                }
                _ => next.windows.add(row.quota, at, units),
            }
        }
        if role == Role::Probe {
            // Its call may be made until its grant ends, whatever was asked for.
            let lease_until = want.lease_until.max(at + GRANT_LIFE);
            next.holds.start_probe(want.first.cloned(), lease_until);
        }
        // What was asked beyond it waits.
        let denial = (units < want.units.get()).then(|| match next.holds.gate(at) {
            Gate::Closed(cause, retry_at) => Denial { reason: DenialReason::Hold(cause), retry_at },
            Gate::Open | Gate::Probe => {
                Denial { reason, retry_at: next.earliest(rules, want, at, feedback) }
            }
        });
        // Also a probe, where more than its one call is wanted: a request for fewer may be it.
        if let Some(denial) = denial.as_ref().filter(|_| units < want.least.get()) {
            return Decision::Denied(denial.clone());
        }
        let grant = Grant { id, action: want.action, units, at, role, recipients };
        Decision::Granted(grant, Box::new(next), denial)
    }

    /// How far from the last one the DM must be, where slots alone do not see to it: the account is
    /// slowed down, or what it wants gives way to others.
    fn must_be_apart(
        &self,
        rules: &Rules,
        want: &BudgetRequest<'_>,
        at: Timestamp,
        feedback: Feedback,
    ) -> Option<Duration> {
        if !want.action.is_paced() {
            return None;
        }
        let gap = rules.gap(want.action, at, feedback);
        let apart = match (rules.pace_percent(at, feedback), want.lane) {
            (..100, _) => gap,
            // Two slots that are moved by their jitter are at least half a gap apart.
            (_, Some(Lane::FollowUp | Lane::Outbound)) => {
                Duration::from_millis(millis(gap).div_ceil(2))
            }
            _ => return None,
        };
        (!apart.is_zero()).then_some(apart)
    }

    /// The first instant after `at` at which one more call would be granted.
    fn earliest(
        &self,
        rules: &Rules,
        want: &BudgetRequest<'_>,
        at: Timestamp,
        feedback: Feedback,
    ) -> Timestamp {
        let from = self.far_enough(rules, want, at, feedback);
        let need = Need { action: want.action, lane: want.lane, counted_at: want.counted_at };
        self.windows.earliest_fit(rules, feedback, need, from)
    }

    /// The first instant, not before `at`, that is as far from the last DM as it must be.
    fn far_enough(
        &self,
        rules: &Rules,
        want: &BudgetRequest<'_>,
        mut at: Timestamp,
        feedback: Feedback,
    ) -> Timestamp {
        while let Some(apart) = self.must_be_apart(rules, want, at, feedback) {
            let far = at.max(self.paced_at + apart);
            let steady_until = rules.gap_changes_after(at, feedback);
            if far <= steady_until {
                return far;
            }
            // By itself the distance only ever shrinks.
            at = steady_until;
        }
        at
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::{Profile, SlowDown};
    use crate::quota::{Limit, Quota, Tier};
    use crate::rules::Terms;
    use crate::time::CLOCK_BOUND;

    /// 12:00 UTC.
    const NOW: Timestamp = Timestamp::from_secs(1_790_596_800);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn send() -> SendId {
        SendId { account: "a".into(), key: "c".into() }
    }

    fn want(send: &SendId, units: u32) -> BudgetRequest<'_> {
        BudgetRequest {
            action: Action::PrivateReply,
            lane: Some(Lane::Inbound),
            units: NonZeroU32::new(units).unwrap(),
            least: NonZeroU32::MIN,
            first: Some(send),
            lease_until: NOW + secs(30),
            counted_at: None,
            usage: None,
        }
    }

    fn quota(id: &str, window_ms: u64, limit: u32) -> Quota {
        let limit = Limit::Fixed(NonZeroU32::new(limit).unwrap());
        Quota::new(id, &Action::ALL, Unit::Calls, Duration::from_millis(window_ms), limit)
    }

    fn rules(quotas: Vec<Quota>) -> Rules {
        let (name, slow_down) = ("t".into(), SlowDown::default());
        let profile = Profile { name, quotas, spread: None, warm_up: None, slow_down };
        Rules::new(profile, Terms::default()).unwrap()
    }

    fn two_quotas() -> Rules {
        rules(vec![quota("ten", 10_000, 3), quota("min", 60_000, 5)])
    }

    fn id(n: u64) -> GrantId {
        GrantId::new(1, n)
    }

    fn granted(decision: Decision) -> (Grant, Budget) {
        match decision {
            Decision::Granted(grant, budget, _) => (grant, *budget),
            Decision::Denied(denial) => panic!("denied: {denial:?}"),
        }
    }

    fn denied(decision: Decision) -> Denial {
        match decision {
            Decision::Denied(denial) => denial,
            Decision::Granted(grant, ..) => panic!("granted: {grant:?}"),
        }
    }

    #[test]
    fn the_smallest_room_is_granted_and_the_quota_that_bound_is_named() {
        let rules = two_quotas();
        let send = send();
        let Decision::Granted(grant, next, Some(denial)) =
            Budget::default().decide(&rules, &want(&send, 4), NOW, id(1))
        else {
            panic!("expected a partial grant")
        };
        assert_eq!(grant.units, 3);
        assert_eq!(denial.reason, DenialReason::Quota(QuotaId::new("ten")));
        let again = denied(next.decide(&rules, &want(&send, 1), NOW, id(2)));
        assert_eq!(again, denial);
        let ten = quota("ten", 10_000, 3);
        let least = NOW + ten.counted_span();
        assert!(denial.retry_at > least && denial.retry_at <= least + ten.bucket());
        let just_before = denial.retry_at - Duration::from_millis(1);
        denied(next.decide(&rules, &want(&send, 1), just_before, id(3)));
        let (grant, _) = granted(next.decide(&rules, &want(&send, 4), denial.retry_at, id(4)));
        assert_eq!(grant.units, 2, "the minute's quota binds now");
        let alike = self::rules(vec![quota("one", 10_000, 3), quota("two", 60_000, 3)]);
        let Decision::Granted(_, _, Some(denial)) =
            Budget::default().decide(&alike, &want(&send, 4), NOW, id(1))
        else {
            panic!("expected a partial grant")
        };
        assert_eq!(
            denial.reason,
            DenialReason::Quota(QuotaId::new("one")),
            "the first of two alike"
        );
    }

    #[test]
    fn writes_have_names_and_seeds_of_their_own() {
        assert_eq!(GrantId::from_bytes(id(7).to_bytes()), id(7));
        assert_ne!(id(7).to_bytes(), id(8).to_bytes());
        // Process and sequence both count.
        assert_eq!(GrantId::new(0b0110, 0b0011).seed(), 0b0101);
    }

    #[test]
    fn a_bound_says_what_it_is() {
        let shown = [
            DenialReason::Quota(QuotaId::new("hour")),
            DenialReason::Hold(HoldCause::Blocked),
            DenialReason::Hours,
        ]
        .map(|bound| bound.to_string());
        assert_eq!(shown, ["quota hour", "hold (blocked)", "active hours"]);
    }

    #[test]
    fn the_tightest_quota_is_the_one_with_the_least_left() {
        let rules = two_quotas();
        let tightest = |budget: &Budget, at| {
            let (quota, percent) = budget.tightest(&rules, Action::PrivateReply, at).unwrap();
            (quota.to_string(), percent)
        };
        let empty = Budget::default();
        assert_eq!(tightest(&empty, NOW), ("ten".into(), 100), "the first of two alike");
        let send = send();
        let (_, one) = granted(empty.decide(&rules, &want(&send, 1), NOW, id(1)));
        assert_eq!(tightest(&one, NOW), ("ten".into(), 66));
        let (_, full) = granted(one.decide(&rules, &want(&send, 2), NOW, id(2)));
        assert_eq!(tightest(&full, NOW), ("ten".into(), 0));
        // By then only the minute still counts them.
        assert_eq!(tightest(&full, NOW + secs(30)), ("min".into(), 40));
    }

    #[test]
    fn a_refund_is_granted_again() {
        let rules = two_quotas();
        let send = send();
        let (grant, next) = granted(Budget::default().decide(&rules, &want(&send, 3), NOW, id(1)));
        let next = next.refund(&rules, &grant, 2, id(2));
        let (grant, _) = granted(next.decide(&rules, &want(&send, 3), NOW, id(3)));
        assert_eq!(grant.units, 2);
    }

    #[test]
    fn after_a_hold_one_probe_goes_and_nothing_else_until_it_is_over() {
        let rules = two_quotas();
        let send = send();
        let held = Budget::default().hold(&rules, HoldCause::Blocked, NOW, None, id(1));
        let denial = denied(held.decide(&rules, &want(&send, 3), NOW, id(2)));
        assert_eq!(denial.reason, DenialReason::Hold(HoldCause::Blocked));
        let at = denial.retry_at;
        let mut first = want(&send, 3);
        first.lease_until = at + secs(30);
        let (grant, probing) = granted(held.decide(&rules, &first, at, id(3)));
        assert_eq!((grant.units, grant.role), (1, Role::Probe));
        denied(probing.decide(&rules, &first, at, id(4)));
        // The probe is waited for as long as its grant lives at the least.
        first.lease_until = at;
        let Decision::Granted(_, probed, Some(denial)) = held.decide(&rules, &first, at, id(3))
        else {
            panic!("expected the probe and a denial of the rest")
        };
        let rest = Denial {
            reason: DenialReason::Hold(HoldCause::Blocked),
            retry_at: at + GRANT_LIFE + CLOCK_BOUND,
        };
        assert_eq!(denial, rest);
        assert_eq!(denied(probed.decide(&rules, &first, at, id(4))), rest);
        let lifted = probing.lift(at, id(5));
        let denial = denied(lifted.decide(&rules, &first, at, id(6)));
        assert_eq!(denial.reason, DenialReason::Pace, "a gradual return, not a burst");
        let (grant, _) = granted(lifted.decide(&rules, &first, denial.retry_at, id(6)));
        assert_eq!((grant.units, grant.role), (1, Role::Normal));
    }

    #[test]
    fn a_probe_that_is_given_back_is_free_at_once() {
        let rules = two_quotas();
        let send = send();
        let held = Budget::default().hold(&rules, HoldCause::Blocked, NOW, None, id(1));
        let at = denied(held.decide(&rules, &want(&send, 1), NOW, id(2))).retry_at;
        let (grant, probing) = granted(held.decide(&rules, &want(&send, 2), at, id(3)));
        let free = probing.refund(&rules, &grant, 1, id(4));
        let (again, probing) = granted(free.decide(&rules, &want(&send, 1), at, id(5)));
        assert_eq!(again.role, Role::Probe);
        let late = probing.refund(&rules, &grant, 1, id(6));
        denied(late.decide(&rules, &want(&send, 1), at, id(7)));
    }

    #[test]
    fn sends_leave_the_probe_to_upkeep_where_it_has_asked_for_it() {
        let rules = two_quotas();
        let send = send();
        let held = Budget::default().hold(&rules, HoldCause::Blocked, NOW, None, id(1));
        let asked = held.with_turn_of_upkeep(id(2)).unwrap();
        assert_eq!(asked.with_turn_of_upkeep(id(3)), None, "once a hold");
        let until = held.holds.current.as_ref().unwrap().until;
        let call =
            BudgetRequest { action: Action::Read, lane: None, first: None, ..want(&send, 1) };
        denied(asked.decide(&rules, &call, until - secs(1), id(3)));
        let denial = denied(asked.decide(&rules, &want(&send, 1), until, id(3)));
        assert_eq!(denial.reason, DenialReason::Hold(HoldCause::Blocked));
        assert!(denial.retry_at > until);
        assert_eq!(granted(asked.decide(&rules, &call, until, id(3))).0.role, Role::Probe);
        let (grant, _) = granted(asked.decide(&rules, &want(&send, 1), denial.retry_at, id(3)));
        assert_eq!(grant.role, Role::Probe);
        assert_eq!(Budget::default().with_turn_of_upkeep(id(1)), None, "there is no hold");
    }

    #[test]
    fn a_throttle_lowers_the_limit_below_what_was_used_until_it_recovers() {
        let rules = rules(vec![quota("hour", 3_600_000, 200)]);
        let send = send();
        let (_, used) = granted(Budget::default().decide(&rules, &want(&send, 120), NOW, id(1)));
        let held = used.hold(&rules, HoldCause::Throttled, NOW, None, id(2));
        let after = NOW + secs(80);
        let (_, probed) = granted(Budget::default().decide(&rules, &want(&send, 1), after, id(3)));
        assert_eq!(probed.feedback.lowered, None);
        // 120 of 200 were too many: 108 are in force, and the 120 fill them until they rise.
        let denial = denied(held.decide(&rules, &want(&send, 1), after, id(4)));
        assert_eq!(denial.reason, DenialReason::Quota(QuotaId::new("hour")));
        assert_eq!(denial.retry_at, NOW + secs(1200), "64 percent are 128");
        granted(held.decide(&rules, &want(&send, 1), denial.retry_at, id(5)));
    }

    #[test]
    fn only_the_first_throttle_of_a_hold_lowers_a_limit() {
        let rules = two_quotas();
        let blocked = Budget::default().hold(&rules, HoldCause::Blocked, NOW, None, id(1));
        assert_eq!(blocked.feedback.lowered, None, "a block says nothing of limits");
        let later = blocked.hold(&rules, HoldCause::Throttled, NOW, None, id(2));
        assert_eq!(later.feedback.lowered, None, "an answer to a call that was in flight");
        let throttled = Budget::default().hold(&rules, HoldCause::Throttled, NOW, None, id(1));
        let lowered = throttled.feedback.lowered;
        assert!(lowered.is_some());
        let again = throttled.hold(&rules, HoldCause::Throttled, NOW + secs(1), None, id(2));
        assert_eq!(again.feedback.lowered, lowered);
    }

    #[test]
    fn a_person_who_had_too_many_messages_is_held_in_the_budget() {
        let person = RecipientId::new("1");
        let held = Budget::default().hold_recipient(&person, NOW, id(1));
        assert!(held.holds.recipient_held_until(&person, NOW).is_some());
        assert_eq!((held.version, held.grant), (1, id(1)));
    }

    #[test]
    fn usage_that_meta_reports_spaces_the_calls() {
        let rules = rules(vec![quota("hour", 3_600_000, 100)]);
        let send = send();
        let mut full = want(&send, 5);
        full.usage = Some(Usage { percent: 85, at: NOW });
        let (grant, next) = granted(Budget::default().decide(&rules, &full, NOW, id(1)));
        assert_eq!(grant.units, 1);
        let denial = denied(next.decide(&rules, &want(&send, 5), NOW + secs(1), id(2)));
        assert_eq!(denial.reason, DenialReason::Pace);
        assert!(denial.retry_at > NOW + secs(36) && denial.retry_at < NOW + secs(70));
        granted(next.decide(&rules, &want(&send, 5), denial.retry_at, id(3)));
    }

    #[test]
    fn a_pace_that_rises_before_the_next_call_is_due_makes_it_due_earlier() {
        let rules = rules(vec![quota("hour", 3_600_000, 10)]);
        let send = send();
        let (_, budget) = granted(Budget::default().decide(&rules, &want(&send, 1), NOW, id(1)));
        let mut slowed = budget.clone();
        slowed.feedback.returned(NOW);
        let denial = denied(slowed.decide(&rules, &want(&send, 1), NOW + secs(1), id(2)));
        // A quarter of ten an hour is a call in 25 min, but after ten the pace is three quarters.
        assert_eq!(denial, Denial { reason: DenialReason::Pace, retry_at: NOW + secs(600) });
        let mut used = want(&send, 1);
        used.usage = Some(Usage { percent: 100, at: NOW });
        let denial = denied(budget.decide(&rules, &used, NOW + secs(1), id(2)));
        assert_eq!(
            denial,
            Denial { reason: DenialReason::Pace, retry_at: NOW + Feedback::USAGE_BELIEVED }
        );
    }

    #[test]
    fn slower_than_any_number_at_once_is_any_number_at_once() {
        let rules = rules(vec![quota("day", 86_400_000, 10)]);
        let send = send();
        let mut full = want(&send, 5);
        full.usage = Some(Usage { percent: 85, at: NOW });
        let (grant, _) = granted(Budget::default().decide(&rules, &full, NOW, id(1)));
        assert_eq!(grant.units, 5);
    }

    #[test]
    fn lanes_behind_inbound_keep_half_a_gap_between_them() {
        let rules = rules(vec![quota("hour", 3_600_000, 100)]);
        let gap = rules.gap(Action::Message, NOW, Feedback::default());
        let send = send();
        for lane in [Lane::FollowUp, Lane::Outbound] {
            let mut behind = want(&send, 2);
            (behind.action, behind.lane) = (Action::Message, Some(lane));
            let (grant, next) = granted(Budget::default().decide(&rules, &behind, NOW, id(1)));
            assert_eq!(grant.units, 1);
            let denial = denied(next.decide(&rules, &behind, NOW + secs(1), id(2)));
            let half = Duration::from_millis(millis(gap).div_ceil(2));
            assert_eq!(denial, Denial { reason: DenialReason::Pace, retry_at: NOW + half });
            let (grant, _) = granted(next.decide(&rules, &want(&send, 2), NOW + secs(1), id(2)));
            assert_eq!(grant.units, 2, "slots alone pace what somebody waits for");
        }
    }

    #[test]
    fn outbound_leaves_room_and_gives_way_and_inbound_takes_it() {
        let rules = rules(vec![quota("hour", 3_600_000, 100)]);
        let send = send();
        let mut outbound = want(&send, 1);
        (outbound.action, outbound.lane) = (Action::Message, Some(Lane::Outbound));
        let mut budget = Budget::default();
        let mut at = NOW;
        let mut sent = 0;
        while at < NOW + secs(1800) {
            if let Decision::Granted(_, next, _) =
                budget.decide(&rules, &outbound, at, id(at.as_millis()))
            {
                budget = *next;
                sent += 1;
            }
            at = at + secs(1);
        }
        assert!((90..=98).contains(&sent), "{sent}");
        let (grant, budget) = granted(budget.decide(&rules, &want(&send, 1), at, id(1)));
        assert_eq!(grant.units, 1);
        let denial = denied(budget.decide(&rules, &outbound, at, id(2)));
        assert!(denial.retry_at > at + secs(15), "{denial:?}");
    }

    #[test]
    fn outbound_leaves_a_fiftieth_at_least_two_and_never_all() {
        let send = send();
        let mut outbound = want(&send, 1);
        (outbound.action, outbound.lane) = (Action::Message, Some(Lane::Outbound));
        for (limit, most) in [(500, 490), (100, 98), (3, 1), (2, 1), (1, 1)] {
            let rules = rules(vec![quota("hour", 3_600_000, limit)]);
            let mut budget = Budget::default();
            if most > 1 {
                let inbound = want(&send, most - 1);
                budget = granted(budget.decide(&rules, &inbound, NOW, id(1))).1;
            }
            let apart = rules.gap(Action::Message, NOW, Feedback::default());
            let (_, full) = granted(budget.decide(&rules, &outbound, NOW + apart, id(2)));
            let then = NOW + apart * 3 / 2 + Duration::from_millis(1);
            let denial = denied(full.decide(&rules, &outbound, then, id(3)));
            assert_eq!(denial.reason, DenialReason::Quota(QuotaId::new("hour")), "{limit}");
            let row = rules.in_force(Action::Message, NOW, Feedback::default()).next().unwrap();
            assert_eq!(full.windows.room(row, NOW + apart), limit - most);
        }
    }

    #[test]
    fn at_night_a_private_reply_waits_for_the_morning_and_a_live_one_goes() {
        let rules = Rules::careful();
        let send = send();
        let night = NOW + secs(13 * 3600);
        let denial = denied(Budget::default().decide(&rules, &want(&send, 1), night, id(1)));
        assert_eq!(denial.reason, DenialReason::Hours);
        assert_eq!(denial.retry_at, NOW + secs(20 * 3600) + CLOCK_BOUND);
        let mut live = want(&send, 40);
        (live.action, live.lane) = (Action::LiveReply, Some(Lane::Live));
        let (grant, _) = granted(Budget::default().decide(&rules, &live, night, id(2)));
        assert_eq!(grant.units, 40);
    }

    #[test]
    fn a_tier_change_takes_effect_at_the_next_decision() {
        let tier = |tier| {
            let mut profile = Profile::careful();
            profile.quotas.retain(|quota| quota.window == crate::quota::DAY);
            profile.spread = None;
            Rules::new(profile, Terms { tier, ..Terms::default() }).unwrap()
        };
        let send = send();
        let (grant, full) =
            granted(Budget::default().decide(&tier(Tier::One), &want(&send, 2000), NOW, id(1)));
        assert_eq!(grant.units, 1000);
        denied(full.decide(&tier(Tier::One), &want(&send, 1), NOW, id(2)));
        let (grant, _) = granted(full.decide(&tier(Tier::Two), &want(&send, 20_000), NOW, id(3)));
        assert_eq!(grant.units, 9000);
    }

    /// A budget after `calls` of `action` in one hour, half a minute after the last of them.
    fn after(rules: &Rules, action: Action, calls: u32) -> (Budget, Timestamp) {
        let send = send();
        let (mut budget, mut now) = (Budget::default(), NOW);
        for _ in 0..calls {
            let mut one = want(&send, 1);
            one.action = action;
            budget = granted(budget.decide(rules, &one, now, id(budget.version))).1;
            now = now + secs(3570) / calls;
        }
        (budget, NOW + secs(3600))
    }

    #[test]
    fn a_stricter_profile_counts_what_was_sent_under_the_one_before() {
        let meta = Rules::new(Profile::meta(), Terms::default()).unwrap();
        let (budget, now) = after(&meta, Action::PrivateReply, 740);
        let send = send();
        let denial = denied(budget.decide(&Rules::careful(), &want(&send, 1), now, id(1)));
        assert!(denial.retry_at > now + secs(2600), "200 of 740 are left after 44 minutes");
        // The rows that the new profile does not have are dropped.
        let (_, next) = granted(budget.decide(&meta, &want(&send, 1), now, id(1)));
        let next =
            granted(next.decide(&Rules::careful(), &want(&send, 1), denial.retry_at, id(2))).1;
        let unknown = QuotaId::new("messages_second");
        assert_eq!(next.windows.under(&meta).counted_since(&unknown, NOW), 0);
        assert!(!String::from_utf8_lossy(&next.windows.encode()).contains("messages_second"));
    }

    #[test]
    fn what_is_of_use_only_together_is_granted_whole_or_not_at_all() {
        let rules = rules(vec![quota("calls", 3_600_000, 10)]);
        let (send, five) = (send(), NonZeroU32::new(5).unwrap());
        let together = BudgetRequest { least: five, lane: None, first: None, ..want(&send, 5) };
        let (_, budget) = granted(Budget::default().decide(&rules, &want(&send, 6), NOW, id(1)));
        let denial = denied(budget.decide(&rules, &together, NOW, id(2)));
        assert_eq!(denial.reason, DenialReason::Quota(QuotaId::new("calls")));
        assert_eq!(granted(budget.decide(&rules, &want(&send, 5), NOW, id(2))).0.units, 4);

        // After a hold one call goes first: the others wait, and do not keep it from going.
        let held = Budget::default().hold(&rules, HoldCause::Throttled, NOW, None, id(1));
        let over = held.holds.current.as_ref().unwrap().until;
        let denial = denied(held.decide(&rules, &together, over, id(2)));
        assert_eq!(denial.reason, DenialReason::Hold(HoldCause::Throttled));
        assert!(denial.retry_at > over, "{denial:?}");
        assert_eq!(granted(held.decide(&rules, &want(&send, 5), over, id(2))).0.role, Role::Probe);
    }

    #[test]
    fn a_row_whose_window_is_made_longer_waits_for_what_it_has_forgotten() {
        let short = rules(vec![quota("calls", 3_600_000, 2000)]);
        let long = rules(vec![quota("calls", 86_400_000, 2000)]);
        let (budget, now) = after(&short, Action::Read, 1982);
        let send = send();
        let (_, budget) = granted(budget.decide(&short, &want(&send, 1), now + secs(7200), id(1)));
        // Of the reads of three hours ago nothing is left.
        let denial = denied(budget.decide(&long, &want(&send, 1), now + secs(7200), id(2)));
        assert!(denial.retry_at > now + secs(79_200), "{denial:?}");
        assert!(denial.retry_at < now + secs(91_000), "{denial:?}");
        granted(budget.decide(&long, &want(&send, 100), denial.retry_at, id(3)));
    }

    #[test]
    fn a_new_row_of_direct_messages_knows_those_of_a_day() {
        let hour = rules(vec![quota("calls", 3_600_000, 2000)]);
        let (budget, now) = after(&hour, Action::PrivateReply, 1000);
        let send = send();
        let later = now + secs(7200);
        let mut day = quota("day", 86_400_000, 1100);
        day.actions = Action::DIRECT_MESSAGES.to_vec();
        let both = rules(vec![quota("calls", 3_600_000, 2000), day.clone()]);
        let (grant, budget) = granted(budget.decide(&both, &want(&send, 500), later, id(1)));
        assert_eq!(grant.units, 100);
        // A row of an action that was never called begins as empty.
        day = quota("posts", 86_400_000, 10);
        day.actions = vec![Action::Publish];
        let posts = rules(vec![quota("calls", 3_600_000, 2000), day]);
        let mut post = want(&send, 20);
        post.action = Action::Publish;
        assert_eq!(granted(budget.decide(&posts, &post, later, id(2))).0.units, 10);
    }

    #[test]
    fn a_new_row_of_calls_that_nothing_counted_begins_as_full() {
        let mut replies = quota("replies", 3_600_000, 50);
        replies.actions = vec![Action::PrivateReply, Action::LiveReply];
        let some = rules(vec![replies.clone()]);
        let (budget, now) = after(&some, Action::Read, 10);
        let all = rules(vec![replies, quota("calls", 3_600_000, 2000)]);
        let send = send();
        let denial = denied(budget.decide(&all, &want(&send, 1), now, id(1)));
        let span = quota("calls", 3_600_000, 1).counted_span();
        assert_eq!(denial.retry_at, NOW + secs(3570) / 10 * 9 + span);
        let (grant, _) = granted(budget.decide(&all, &want(&send, 90), denial.retry_at, id(2)));
        assert_eq!(grant.units, 50);
    }

    #[test]
    fn a_budget_of_before_that_does_not_tell_what_it_counts_goes_on() {
        let meta = Rules::new(Profile::meta(), Terms::default()).unwrap();
        let (mut budget, now) = after(&meta, Action::PrivateReply, 740);
        budget.windows = Windows::decode(&budget.windows.encode(), None).unwrap();
        let send = send();
        let (grant, next) = granted(budget.decide(&meta, &want(&send, 20), now, id(1)));
        assert!((10..20).contains(&grant.units), "{grant:?}");
        denied(next.decide(&Rules::careful(), &want(&send, 1), now, id(2)));
        let (short, long) = (quota("calls", 3_600_000, 9), quota("calls", 86_400_000, 9));
        let (mut budget, now) = after(&rules(vec![short]), Action::PrivateReply, 5);
        budget.windows = Windows::decode(&budget.windows.encode(), None).unwrap();
        denied(budget.decide(&rules(vec![long]), &want(&send, 1), now, id(1)));
    }

    #[test]
    fn a_day_of_warm_up_opens_what_the_day_before_was_too_small_for() {
        let mut profile = Profile::careful();
        profile.spread = None;
        profile.quotas.retain(|quota| quota.window == crate::quota::DAY);
        let warm_up_since = Some(NOW - secs(20 * 3600));
        let rules = Rules::new(profile, Terms { warm_up_since, ..Terms::default() }).unwrap();
        let send = send();
        let (grant, full) =
            granted(Budget::default().decide(&rules, &want(&send, 999), NOW, id(1)));
        assert_eq!(grant.units, 200);
        let denial = denied(full.decide(&rules, &want(&send, 1), NOW, id(2)));
        // On the second day 207 are in force.
        assert_eq!(denial.retry_at, NOW + secs(4 * 3600));
        let (grant, _) = granted(full.decide(&rules, &want(&send, 999), denial.retry_at, id(3)));
        assert_eq!(grant.units, 7);
    }

    #[test]
    fn a_second_message_to_a_person_moves_the_unit_and_needs_no_room() {
        let limit = Limit::Fixed(NonZeroU32::new(2).unwrap());
        let people = Quota::new("people", &Action::ALL, Unit::Recipients, secs(3600), limit);
        let rules = rules(vec![people, quota("calls", 3_600_000, 100)]);
        let send = send();
        let (first, budget) =
            granted(Budget::default().decide(&rules, &want(&send, 1), NOW, id(1)));
        let (_, budget) = granted(budget.decide(&rules, &want(&send, 1), NOW + secs(60), id(2)));
        denied(budget.decide(&rules, &want(&send, 1), NOW + secs(120), id(3)));
        let mut repeat = want(&send, 1);
        repeat.counted_at = Some(first.at);
        let (moved, budget) = granted(budget.decide(&rules, &repeat, NOW + secs(120), id(4)));
        assert_eq!(moved.recipients, Recipients::Moved);
        // The first unit counts from the second message on; the other person's ends first.
        let denial = denied(budget.decide(&rules, &want(&send, 1), NOW + secs(3605), id(5)));
        assert!(denial.retry_at > NOW + secs(3660) && denial.retry_at < NOW + secs(3710));
        // Where the unit has left the window, the person is a new one.
        repeat.counted_at = Some(first.at);
        let (anew, _) = granted(budget.decide(&rules, &repeat, NOW + secs(3720), id(6)));
        assert_eq!(anew.recipients, Recipients::Counted);
    }

    #[test]
    fn a_refund_gives_back_calls_and_only_units_of_people_that_it_took() {
        let limit = Limit::Fixed(NonZeroU32::new(1).unwrap());
        let people = Quota::new("people", &Action::ALL, Unit::Recipients, secs(3600), limit);
        let rules = rules(vec![people, quota("calls", 3_600_000, 2)]);
        let send = send();
        let (first, new) = granted(Budget::default().decide(&rules, &want(&send, 1), NOW, id(1)));
        let refunded = new.refund(&rules, &first, 1, id(2));
        granted(refunded.decide(&rules, &want(&send, 1), NOW, id(3)));

        let mut repeat = want(&send, 1);
        repeat.counted_at = Some(first.at);
        let (second, moved) = granted(new.decide(&rules, &repeat, NOW + secs(60), id(2)));
        repeat.counted_at = Some(second.at);
        let full = denied(moved.decide(&rules, &repeat, NOW + secs(60), id(3)));
        assert_eq!(full.reason, DenialReason::Quota(QuotaId::new("calls")));
        let refunded = moved.refund(&rules, &second, 1, id(3));
        let full = denied(refunded.decide(&rules, &want(&send, 1), NOW + secs(60), id(4)));
        assert_eq!(full.reason, DenialReason::Quota(QuotaId::new("people")));
        granted(refunded.decide(&rules, &repeat, NOW + secs(60), id(4)));
    }

    #[test]
    fn a_full_default_budget_fits_one_write_unit() {
        let mut profile = Profile::careful();
        // Around the clock, so that every window is as full as it can be.
        profile.spread = Some(crate::profile::Spread { active: secs(86_400), burst: 5 });
        let rules = Rules::new(profile, Terms { tier: Tier::Two, ..Terms::default() }).unwrap();
        let send = send();
        let mut budget = Budget::default();
        let mut now = NOW;
        let mut granted = 0;
        for step in 0..6000 {
            now = now + Duration::from_millis(18_320);
            if let Decision::Granted(_, next, _) =
                budget.decide(&rules, &want(&send, 1), now, id(step))
            {
                budget = *next;
                granted += 1;
            }
        }
        assert_eq!(granted, 6000);
        let (bytes, counts) = (budget.windows.encode(), budget.windows.encode_counts().unwrap());
        let len = bytes.len() + counts.len();
        assert!(len < 750, "{len} bytes of windows leave too little of 1 KiB");
        // Some of them are alike, and written once.
        assert_eq!(Windows::decode(&bytes, Some(&counts)), Some(budget.windows));
    }

    proptest! {
        /// Decisions by processes with skewed clocks, calls at any time of a grant's life: judged
        /// by exact logs of true call times, no quota is ever crossed.
        #[test]
        fn no_window_of_true_call_times_is_ever_over_a_limit(
            limits in (1u32..6, 1u32..12),
            steps in prop::collection::vec(
                (0u64..4000, 1u32..4, -1000i64..=1000, 0u64..=5000),
                1..150,
            ),
        ) {
            let rules =
                rules(vec![quota("ten", 10_000, limits.0), quota("min", 60_000, limits.1)]);
            let send = send();
            let mut budget = Budget::default();
            let mut truth = NOW.as_millis();
            let mut calls: Vec<u64> = Vec::new();
            for (sequence, (wait, units, skew, delay)) in steps.into_iter().enumerate() {
                truth += wait;
                prop_assert!(skew.unsigned_abs() <= CLOCK_BOUND.as_millis() as u64);
                prop_assert!(delay <= GRANT_LIFE.as_millis() as u64);
                let seen = Timestamp::from_millis(truth.saturating_add_signed(skew));
                let id = GrantId::new(1, sequence as u64);
                match budget.decide(&rules, &want(&send, units), seen, id) {
                    Decision::Granted(grant, next, _) => {
                        calls.extend(std::iter::repeat_n(truth + delay, grant.units as usize));
                        budget = *next;
                    }
                    Decision::Denied(denial) => prop_assert!(denial.retry_at > seen),
                }
            }
            for quota in &rules.profile().quotas {
                let window = quota.window.as_millis() as u64;
                for &start in &calls {
                    let inside = calls.iter().filter(|&&t| t >= start && t < start + window).count();
                    prop_assert!(inside as u32 <= quota.limit.of(Tier::One).get());
                }
            }
        }

        /// However the rows are changed, no call is over a limit in force when it was granted,
        /// counted over all calls since the beginning.
        #[test]
        fn no_limit_in_force_is_crossed_over_the_whole_log(
            shapes in prop::collection::vec(
                prop::collection::vec((0usize..3, 0usize..5, 0usize..3, 1u32..8), 1..4),
                2..4,
            ),
            steps in prop::collection::vec((0u64..6000, 1u32..4, 0usize..4, 0usize..12), 1..120),
        ) {
            const NAMES: [&str; 3] = ["a", "b", "c"];
            const KINDS: [&[Action]; 5] = [
                &Action::ALL,
                &Action::DIRECT_MESSAGES,
                &[Action::PrivateReply],
                &[Action::Message, Action::LiveReply],
                &[Action::Read, Action::Message],
            ];
            const WINDOWS: [u64; 3] = [1000, 10_000, 60_000];
            const CALLED: [Action; 4] =
                [Action::PrivateReply, Action::LiveReply, Action::Message, Action::Read];
            let all: Vec<Rules> = shapes
                .iter()
                .map(|rows| {
                    // Somewhere everything that sends is counted, as every profile must.
                    let mut quotas = vec![quota("z", 1000, 50)];
                    quotas[0].actions = Action::DIRECT_MESSAGES.to_vec();
                    for &(name, kind, window, limit) in rows {
                        let mut row = quota(NAMES[name], WINDOWS[window], limit);
                        row.actions = KINDS[kind].to_vec();
                        quotas.retain(|known| known.id != row.id);
                        quotas.push(row);
                    }
                    rules(quotas)
                })
                .collect();
            let send = send();
            let (mut budget, mut now, mut current) = (Budget::default(), NOW, 0);
            let mut calls: Vec<(Timestamp, Action)> = Vec::new();
            for (sequence, (wait, units, action, switch)) in steps.into_iter().enumerate() {
                now = now + Duration::from_millis(wait);
                current = if switch < all.len() { switch } else { current };
                let rules = &all[current];
                let mut want = want(&send, units);
                want.action = CALLED[action];
                want.lane = None;
                let id = GrantId::new(1, sequence as u64);
                let counts = budget.windows.encode_counts().unwrap();
                let read = Windows::decode(&budget.windows.encode(), Some(&counts));
                prop_assert_eq!(read.as_ref(), Some(&budget.windows));
                let Decision::Granted(grant, next, _) = budget.decide(rules, &want, now, id) else {
                    continue;
                };
                calls.extend(std::iter::repeat_n((grant.at, want.action), grant.units as usize));
                budget = *next;
                for row in rules.profile().quotas.iter().filter(|row| row.counts(want.action)) {
                    let inside = calls.iter().filter(|&&(at, action)| {
                        row.counts(action) && grant.at.since(at) < row.window
                    });
                    prop_assert!(inside.count() as u32 <= row.limit.of(Tier::One).get());
                }
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(
            steps in prop::collection::vec((0u64..100_000, 1u32..4), 0..80),
        ) {
            let rules = two_quotas();
            let send = send();
            let mut budget = Budget::default();
            let mut now = NOW;
            for (wait, units) in steps {
                now = now + Duration::from_millis(wait);
                if let Decision::Granted(_, next, _) =
                    budget.decide(&rules, &want(&send, units), now, GrantId::default())
                {
                    budget = *next;
                }
            }
            let counts = budget.windows.encode_counts().unwrap();
            let read = Windows::decode(&budget.windows.encode(), Some(&counts));
            prop_assert_eq!(read, Some(budget.windows));
        }
    }
}
