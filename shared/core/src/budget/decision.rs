//! What is asked of a budget, and what it answers.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::{Budget, GrantId};
use crate::feedback::{Feedback, Usage};
use crate::hold::{Gate, HoldCause};
use crate::id::SendId;
use crate::quota::{Action, GRANT_LIFE, QuotaId};
use crate::rules::Rules;
use crate::send::Lane;
use crate::time::{Timestamp, millis};
use crate::windows::Need;

/// A request for up to `units` calls: as many as fit are granted.
#[derive(Clone, Debug)]
pub struct BudgetRequest<'a> {
    /// The kind of call.
    pub action: Action,
    /// The lane of the sends; `None` for calls of other tools that share the budget.
    pub lane: Option<Lane>,
    /// The number of calls, at least 1.
    pub units: NonZeroU32,
    /// The fewest that are of use: where fewer fit, nothing is granted.
    pub least: NonZeroU32,
    /// The send that goes first, and so becomes the probe after a hold.
    pub first: Option<&'a SendId>,
    /// The send that the call is made for and whose unit is held meanwhile. While that send is the
    /// probe, the call goes with it.
    pub beside: Option<&'a SendId>,
    /// Whether a read goes before the first of them: there must be a unit for it too.
    pub reads: bool,
    /// How long the calls may take at most. A probe is waited for until then.
    pub lease_until: Timestamp,
    /// Where the unit of the person lies who is written to, of a single one: see
    /// [`Unit::Recipients`](crate::quota::Unit::Recipients).
    pub counted_at: Option<Timestamp>,
    /// A usage that Meta reported and that is not in the budget yet.
    pub usage: Option<Usage>,
}

impl BudgetRequest<'_> {
    fn need(&self) -> Need {
        let Self { action, lane, reads, counted_at, .. } = *self;
        Need { action, lane, reads, counted_at }
    }
}

/// A grant: the calls that may be made, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The write that took it.
    pub id: GrantId,
    /// The kind of call.
    pub action: Action,
    /// The number of calls that may be made, at least 1.
    pub units: u32,
    /// The instant of the decision. Each call must be written within
    /// [`GRANT_LIFE`] of it, or be given back.
    pub at: Timestamp,
    /// Whether this is the one call that goes first after a hold.
    pub role: Role,
    /// Whether people were counted anew.
    pub recipients: Recipients,
}

/// The purpose of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ordinary calls.
    Normal,
    /// The probe: its outcome lifts or lengthens the hold.
    Probe,
    /// A call that the probe needs first, such as a read. It does not lift the hold.
    Beside,
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

/// Why no call is granted now, and when to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The quota, hold or other condition that denies it.
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
        let is_probe = |send| self.holds.is_probe(send, at);
        let role = match gate {
            Gate::Open => Role::Normal,
            Gate::Probe => Role::Probe,
            Gate::Closed(..) if want.beside.is_some_and(is_probe) => Role::Beside,
            Gate::Closed(cause, retry_at) => {
                return Decision::Denied(Denial { reason: DenialReason::Hold(cause), retry_at });
            }
        };
        let spare = want.need().spare(rules);
        let mut units = match role {
            Role::Normal => want.units.get(),
            Role::Probe | Role::Beside => 1,
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
        self.windows.earliest_fit(rules, feedback, want.need(), from)
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
}
