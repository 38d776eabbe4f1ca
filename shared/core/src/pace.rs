//! The pace cursor: which instant each send may go at. Slots exist only inside the horizon; a send
//! without one is parked and its time is a forecast.

use std::time::Duration;

use crate::budget::{Budget, GrantId};
use crate::hold::Gate;
use crate::quota::{Action, PACED_WINDOW_MAX, Profile};
use crate::send::Lane;
use crate::time::Timestamp;

/// How far ahead slots are given out. Short enough that a hold or a lane of higher rank finds few
/// sends committed, long enough that the release function seldom runs.
pub const HORIZON: Duration = Duration::from_secs(600);

/// The next free slot of an account, by class of lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// 0 before the first write. Every change raises it by one.
    pub version: u64,
    /// The last write: see [`GrantId`].
    pub grant: GrantId,
    /// The next slot for what is paced. Only ever moves forward.
    pub paced: Timestamp,
    /// No paced slot before this instant: a quota is full, or the account is on hold. Release finds
    /// out anew with each of its runs.
    pub closed_until: Timestamp,
    /// The next slot for live comments, which do not wait behind the paced ones. Only ever moves
    /// forward.
    pub live: Timestamp,
    /// Whether sends are parked: new ones of the paced lanes then park behind them.
    pub backlog: Backlog,
}

/// Whether an account has parked sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backlog {
    /// None that anybody knows of.
    #[default]
    Clear,
    /// Some.
    Parked,
}

/// The distance between slots for `action`: what all quotas that set the pace sustain without a
/// denial.
pub fn gap(profile: &Profile, action: Action) -> Duration {
    profile
        .counting(action)
        .filter(|quota| quota.window <= PACED_WINDOW_MAX)
        // A quota that this action shares with others still lets a live burst through whole.
        .filter(|quota| action != Action::LiveReply || quota.actions == [Action::LiveReply])
        .map(crate::quota::Quota::sustained_gap)
        .max()
        .unwrap_or_default()
}

/// What an arrival of `n` sends gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Slots for the first of them, ascending; those beyond are parked.
    pub slots: Vec<Timestamp>,
    /// The cursor to write before the slots may be used; `None` when it need not change.
    pub cursor: Option<Cursor>,
}

impl Cursor {
    /// The earliest slot that `lane` can get at `now`, as far as the cursor knows.
    fn earliest(&self, lane: Lane, now: Timestamp) -> Timestamp {
        match lane {
            Lane::Live => self.live.max(now),
            _ => self.paced.max(self.closed_until).max(now),
        }
    }

    fn move_to(&mut self, lane: Lane, next: Timestamp) {
        let slot = match lane {
            Lane::Live => &mut self.live,
            _ => &mut self.paced,
        };
        *slot = next.max(*slot);
    }

    /// Takes up to `n` slots for newly arrived sends of `lane`, `gap` apart, before now + horizon.
    pub fn take(&self, lane: Lane, gap: Duration, now: Timestamp, n: usize, id: GrantId) -> Taken {
        let waits_behind_backlog = lane != Lane::Live && self.backlog == Backlog::Parked;
        if waits_behind_backlog || n == 0 {
            return Taken { slots: Vec::new(), cursor: None };
        }
        let mut next = self.clone();
        let mut slot = self.earliest(lane, now);
        let mut slots = Vec::new();
        while slots.len() < n && slot < now + HORIZON {
            slots.push(slot);
            slot = slot + gap;
        }
        if !slots.is_empty() {
            next.move_to(lane, slot);
        }
        if slots.len() < n && lane != Lane::Live {
            next.backlog = Backlog::Parked;
        }
        let changed = !slots.is_empty() || next.backlog != self.backlog;
        Taken { slots, cursor: changed.then(|| next.written(id)) }
    }

    /// The cursor closed to what is paced until `until`; `None` when it is anyway.
    pub fn closed(&self, until: Timestamp, id: GrantId) -> Option<Self> {
        let open = self.paced < until && self.closed_until < until;
        open.then(|| Self { closed_until: until, ..self.clone() }.written(id))
    }

    /// The cursor behind the slots that a release run has planned, and with what it has found out;
    /// `None` when that is how it stands.
    pub fn after(&self, live: &Plan, paced: &Plan, backlog: Backlog, id: GrantId) -> Option<Self> {
        let mut next = Self { backlog, closed_until: Timestamp::EPOCH, ..self.clone() };
        next.move_to(Lane::Live, live.next);
        next.move_to(Lane::Inbound, paced.next);
        if paced.opens_at > next.paced {
            next.closed_until = paced.opens_at;
        }
        (next != *self).then(|| next.written(id))
    }

    fn written(mut self, id: GrantId) -> Self {
        self.version += 1;
        self.grant = id;
        self
    }
}

/// Slots for parked sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Ascending, inside the horizon.
    pub slots: Vec<Timestamp>,
    /// Where the cursor goes: behind the last of them.
    pub next: Timestamp,
    /// When there may be another one.
    pub opens_at: Timestamp,
}

/// Plans slots for up to `parked` parked sends of `lane`, while `outstanding` sends already have
/// one and have not been granted yet. A slot is given where the budget will have room, as far as it
/// is known.
pub fn plan(
    profile: &Profile,
    lane: Lane,
    budget: &Budget,
    cursor: &Cursor,
    now: Timestamp,
    outstanding: u32,
    parked: usize,
) -> Plan {
    let gap = gap(profile, lane.action());
    let mut plan = match lane {
        Lane::Live => Plan { slots: Vec::new(), next: cursor.live, opens_at: cursor.live },
        _ => Plan { slots: Vec::new(), next: cursor.paced, opens_at: cursor.paced },
    };
    plan.opens_at = plan.opens_at.max(now);
    let most = match budget.holds.gate(now) {
        Gate::Open => parked,
        // After a hold one send goes first; the others follow when it went through.
        Gate::Probe if outstanding > 0 => 0,
        Gate::Probe => parked.min(1),
        Gate::Closed(_, until) => {
            plan.opens_at = plan.opens_at.max(until);
            if outstanding > 0 { 0 } else { parked.min(1) }
        }
    };
    loop {
        let units = outstanding.saturating_add(1 + plan.slots.len() as u32);
        // Windows up to the horizon are kept by the gap: sends that wait for their slot will have
        // left them again.
        let fit = budget.earliest_fit(profile, lane.action(), plan.opens_at, units, HORIZON);
        plan.opens_at = fit.unwrap_or(now + HORIZON);
        if plan.slots.len() >= most || fit.is_none() || plan.opens_at >= now + HORIZON {
            return plan;
        }
        plan.slots.push(plan.opens_at);
        plan.next = plan.opens_at + gap;
        plan.opens_at = plan.next;
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::budget::{Bound, Decision, Want};
    use crate::hold::HoldCause;
    use crate::id::SendId;
    use crate::quota::Quota;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
    const ID: GrantId = GrantId::new(1, 1);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn slots_are_a_gap_apart_and_end_with_the_horizon() {
        let taken = Cursor::default().take(Lane::Inbound, secs(18), NOW, 1000, ID);
        assert_eq!(taken.slots.len(), 34);
        assert!(taken.slots.windows(2).all(|pair| pair[1].since(pair[0]) == secs(18)));
        let cursor = taken.cursor.unwrap();
        assert_eq!(cursor.backlog, Backlog::Parked);
        assert!(cursor.paced >= NOW + HORIZON);
    }

    #[test]
    fn nothing_overtakes_what_is_parked_except_live() {
        let cursor = Cursor { backlog: Backlog::Parked, ..Cursor::default() };
        assert_eq!(cursor.take(Lane::Inbound, secs(1), NOW, 1, ID).slots, []);
        assert_eq!(cursor.take(Lane::Live, secs(1), NOW, 1, ID).slots, [NOW]);
    }

    #[test]
    fn a_full_horizon_is_said_once_and_then_left_alone() {
        let full = Cursor { paced: NOW + HORIZON, ..Cursor::default() };
        let taken = full.take(Lane::Inbound, secs(1), NOW, 1, ID);
        assert!(taken.slots.is_empty());
        let said = taken.cursor.unwrap();
        assert_eq!(said.take(Lane::Inbound, secs(1), NOW, 1, ID).cursor, None);
    }

    #[test]
    fn the_pace_is_set_by_hourly_quotas_and_live_has_its_own() {
        let profile = Profile::careful();
        let replies = gap(&profile, Action::PrivateReply);
        assert!(replies > secs(18) && replies < Duration::from_millis(18_300), "{replies:?}");
        assert!(gap(&profile, Action::LiveReply) < Duration::from_millis(120));
    }

    #[test]
    fn a_hold_gets_one_slot_at_its_end() {
        let budget = Budget::default().hold(HoldCause::Throttled, NOW, None, ID);
        let until = budget.holds.current.as_ref().unwrap().until;
        let profile = Profile::careful();
        let cursor = Cursor::default();
        let planned = plan(&profile, Lane::Inbound, &budget, &cursor, NOW, 0, 50);
        assert_eq!(planned.slots, [until]);
        let planned = plan(&profile, Lane::Inbound, &budget, &cursor, NOW, 1, 50);
        assert_eq!(planned.slots, []);
    }

    #[test]
    fn a_closed_cursor_gives_paced_slots_behind_the_closing_only() {
        let cursor = Cursor::default();
        let closed = cursor.closed(NOW + secs(60), ID).unwrap();
        assert_eq!(closed.closed(NOW + secs(30), ID), None);
        assert_eq!(closed.take(Lane::Inbound, secs(1), NOW, 1, ID).slots, [NOW + secs(60)]);
        assert_eq!(closed.take(Lane::Live, secs(1), NOW, 1, ID).slots, [NOW]);
    }

    #[test]
    fn a_full_day_gets_its_next_slot_when_the_day_has_room() {
        let day = Quota::recipients_per_day(NonZeroU32::new(2).unwrap());
        let profile = Profile { name: "t".into(), quotas: vec![day] };
        let send = SendId { account: "a".into(), event: "c".into() };
        let want = Want {
            action: Action::PrivateReply,
            units: NonZeroU32::new(2).unwrap(),
            first: &send,
            lease_until: NOW,
        };
        let Decision::Granted(_, budget, _) = Budget::default().decide(&profile, &want, NOW, ID)
        else {
            panic!("denied")
        };
        let cursor = Cursor::default();
        let planned = plan(&profile, Lane::Inbound, &budget, &cursor, NOW, 0, 1);
        assert_eq!(planned.slots, []);
        let opens = planned.opens_at;
        assert!(opens > NOW + secs(86_400) && opens < NOW + secs(87_100));

        let live = Plan { slots: Vec::new(), next: Timestamp::EPOCH, opens_at: NOW };
        let closed = cursor.after(&live, &planned, Backlog::Parked, ID).unwrap();
        assert_eq!(closed.closed_until, opens);
        assert_eq!(closed.take(Lane::FollowUp, secs(1), NOW, 1, ID).slots, []);
        assert_eq!(closed.take(Lane::Live, secs(1), NOW, 1, ID).slots, [NOW]);

        // A higher limit opens it with the next run.
        let day = Quota::recipients_per_day(NonZeroU32::new(9).unwrap());
        let higher = Profile { name: "t".into(), quotas: vec![day] };
        let planned = plan(&higher, Lane::Inbound, &budget, &closed, NOW, 0, 1);
        assert_eq!(planned.slots, [NOW]);
        assert_eq!(
            closed.after(&live, &planned, Backlog::Clear, ID).unwrap().closed_until,
            Timestamp::EPOCH
        );
    }

    proptest! {
        /// In steady state no slot is denied: sends decided up to the pace's slack after their
        /// slots are all granted.
        #[test]
        fn paced_sends_are_never_denied(
            limit in 1u32..60,
            late in prop::collection::vec(0u64..1900, 200),
        ) {
            let profile = Profile {
                name: "t".into(),
                quotas: vec![Quota::calls_per_hour(NonZeroU32::new(limit).unwrap())],
            };
            let send = SendId { account: "a".into(), event: "c".into() };
            let gap = gap(&profile, Action::PrivateReply);
            let mut budget = Budget::default();
            let mut slot = NOW;
            for late in late {
                let want = Want {
                    action: Action::PrivateReply,
                    units: NonZeroU32::MIN,
                    first: &send,
                    lease_until: slot,
                };
                match budget.decide(&profile, &want, slot + Duration::from_millis(late), ID) {
                    Decision::Granted(_, next, _) => budget = *next,
                    Decision::Denied(denial) => {
                        let bound: Bound = denial.bound;
                        prop_assert!(false, "denied by {bound}");
                    }
                }
                slot = slot + gap;
            }
        }
    }
}
