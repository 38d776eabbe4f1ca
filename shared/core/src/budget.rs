//! An account's budget: every quota checked and taken from in one decision, or nothing taken.
//!
//! The store writes the budget back on the condition that its version has not moved, so one
//! decision is one write, and no two decisions can be made on the same state.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::hold::{Gate, HoldCause, Holds};
use crate::id::SendId;
use crate::quota::{Action, Profile, Quota, QuotaId};
use crate::rotation::Rotation;
use crate::time::Timestamp;
use crate::window::{Window, get_varint, put_varint};

/// Names one write of a budget or cursor. A write whose answer was lost is found again by it: a
/// failed condition that shows our own id is success.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct GrantId(u128);

impl GrantId {
    /// `process` must differ between processes, `sequence` within one.
    pub const fn new(process: u64, sequence: u64) -> Self {
        Self((process as u128) << 64 | sequence as u128)
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
    /// Units taken, by quota.
    pub windows: Windows,
    /// The hold in force and past ones.
    pub holds: Holds,
    /// The texts used last.
    pub rotation: Rotation,
}

/// What is asked for: as many as fit, up to `units`.
#[derive(Clone, Debug)]
pub struct Want<'a> {
    /// The kind of call.
    pub action: Action,
    /// How many calls.
    pub units: NonZeroU32,
    /// The send that goes first, and so becomes the probe after a hold.
    pub first: &'a SendId,
    /// How long the calls may take at most. A probe is waited for until then.
    pub lease_until: Timestamp,
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
    /// [`GRANT_LIFE`](crate::quota::GRANT_LIFE) of it, or be given back.
    pub at: Timestamp,
    /// Whether this is the one call that goes first after a hold.
    pub role: Role,
}

/// What a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ordinary calls.
    Normal,
    /// The probe: its outcome lifts or lengthens the hold.
    Probe,
}

/// Why nothing, or no more, was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// This quota is full.
    Quota(QuotaId),
    /// The account is on hold.
    Hold(HoldCause),
    /// The deciding process's clock is off by more than the bound.
    Clock,
    /// Too many others decide on this budget at the same time.
    Contention,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota(id) => write!(f, "quota {id}"),
            Self::Hold(cause) => write!(f, "hold {cause:?}"),
            Self::Clock => f.write_str("the process's clock"),
            Self::Contention => f.write_str("contention"),
        }
    }
}

/// Not now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What bound.
    pub bound: Bound,
    /// The earliest instant at which one more call fits; always in the future.
    pub retry_at: Timestamp,
}

/// The answer to a [`Want`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Granted, once the budget it comes with has been written. The denial, if any, is for what
    /// was asked beyond the grant.
    Granted(Grant, Box<Budget>, Option<Denial>),
    /// Nothing is granted and nothing needs writing.
    Denied(Denial),
}

impl Budget {
    /// Decides on `want` at `now` under `profile`.
    pub fn decide(
        &self,
        profile: &Profile,
        want: &Want<'_>,
        now: Timestamp,
        id: GrantId,
    ) -> Decision {
        let at = now.max(self.decided_at);
        let role = match self.holds.gate(at) {
            Gate::Open => Role::Normal,
            Gate::Probe => Role::Probe,
            Gate::Closed(cause, retry_at) => {
                return Decision::Denied(Denial { bound: Bound::Hold(cause), retry_at });
            }
        };
        let asked = match role {
            Role::Normal => want.units.get(),
            Role::Probe => 1,
        };
        let mut units = asked;
        let mut denial: Option<Denial> = None;
        for quota in profile.counting(want.action) {
            let room = self.windows.room(quota, at);
            if room < asked {
                units = units.min(room);
                let retry_at = self.windows.earliest_fit(quota, at, room + 1).unwrap_or(at);
                if denial.as_ref().is_none_or(|known| known.retry_at < retry_at) {
                    denial = Some(Denial { bound: Bound::Quota(quota.id.clone()), retry_at });
                }
            }
        }
        match denial {
            Some(denial) if units == 0 => Decision::Denied(denial),
            denial => {
                let mut next = self.next(id);
                next.decided_at = at;
                for quota in profile.counting(want.action) {
                    next.windows.add(quota, at, units);
                }
                if role == Role::Probe {
                    next.holds.start_probe(want.first.clone(), want.lease_until);
                }
                let grant = Grant { id, action: want.action, units, at, role };
                // What was asked beyond a probe waits for it.
                let denial = denial.or(match next.holds.gate(at) {
                    Gate::Closed(cause, retry_at) => {
                        Some(Denial { bound: Bound::Hold(cause), retry_at })
                    }
                    Gate::Open | Gate::Probe => None,
                });
                Decision::Granted(grant, Box::new(next), denial)
            }
        }
    }

    /// The first instant, not before `at`, at which `units` calls more would be granted at once;
    /// `None` when some limit is below `units`. Windows shorter than `longer_than` are left out.
    pub fn earliest_fit(
        &self,
        profile: &Profile,
        action: Action,
        at: Timestamp,
        units: u32,
        longer_than: Duration,
    ) -> Option<Timestamp> {
        profile
            .counting(action)
            .filter(|quota| quota.window > longer_than)
            .try_fold(at, |at, quota| self.windows.earliest_fit(quota, at, units))
    }

    /// Gives back `units` of a grant: calls that were never written.
    pub fn refund(&self, profile: &Profile, grant: &Grant, units: u32, id: GrantId) -> Self {
        let mut next = self.next(id);
        for quota in profile.counting(grant.action) {
            next.windows.refund(quota, grant.at, units);
        }
        next
    }

    /// Puts the account on hold: see [`HoldCause`] for how long.
    pub fn hold(
        &self,
        cause: HoldCause,
        now: Timestamp,
        regain: Option<Duration>,
        id: GrantId,
    ) -> Self {
        let mut next = self.next(id);
        let at = now.max(self.decided_at);
        next.decided_at = at;
        // The grant id is as good a seed as any: it differs between accounts and holds.
        next.holds.strike(cause, at, regain, id.0 as u64 ^ (id.0 >> 64) as u64);
        next
    }

    /// Ends the hold: the probe went through.
    pub fn lift(&self, id: GrantId) -> Self {
        let mut next = self.next(id);
        next.holds.lift();
        next
    }

    fn next(&self, id: GrantId) -> Self {
        Self { version: self.version + 1, grant: id, ..self.clone() }
    }
}

/// The windows of all quotas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(BTreeMap<QuotaId, Window>);

impl Windows {
    /// Units that still fit under `quota` at `at`.
    pub fn room(&self, quota: &Quota, at: Timestamp) -> u32 {
        let used = self.0.get(&quota.id).map_or(0, |w| w.used(at, quota.counted_span()));
        u32::try_from(u64::from(quota.limit.get()).saturating_sub(used)).unwrap_or(0)
    }

    fn earliest_fit(&self, quota: &Quota, at: Timestamp, units: u32) -> Option<Timestamp> {
        match self.0.get(&quota.id) {
            Some(window) => window.earliest_fit(at, quota.counted_span(), quota.limit.get(), units),
            None => (units <= quota.limit.get()).then_some(at),
        }
    }

    fn add(&mut self, quota: &Quota, at: Timestamp, units: u32) {
        let window = self.0.entry(quota.id.clone()).or_insert_with(|| Window::new(quota.bucket()));
        // A quota whose window was changed keeps what it has counted.
        *window = window.rebucketed(quota.bucket());
        window.add(at, units, quota.counted_span());
    }

    fn refund(&mut self, quota: &Quota, at: Timestamp, units: u32) {
        if let Some(window) = self.0.get_mut(&quota.id) {
            window.refund(at, units);
        }
    }

    /// All windows in one value for the store: small enough that a budget stays within one write
    /// unit.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::FORMAT];
        for (id, window) in &self.0 {
            put_varint(&mut out, id.as_str().len() as u64);
            out.extend_from_slice(id.as_str().as_bytes());
            window.encode(&mut out);
        }
        out
    }

    /// Reads [`Self::encode`]; `None` when `bytes` is not that.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&format, mut rest) = bytes.split_first()?;
        if format != Self::FORMAT {
            return None;
        }
        let mut windows = BTreeMap::new();
        while !rest.is_empty() {
            let len = usize::try_from(get_varint(&mut rest)?).ok()?;
            let (id, after) = rest.split_at_checked(len)?;
            rest = after;
            let id = QuotaId::new(std::str::from_utf8(id).ok()?);
            windows.insert(id, Window::decode(&mut rest)?);
        }
        Some(Self(windows))
    }

    const FORMAT: u8 = 1;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quota::{GRANT_LIFE, Unit};
    use crate::time::CLOCK_BOUND;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn send() -> SendId {
        SendId { account: "a".into(), event: "c".into() }
    }

    fn want(send: &SendId, units: u32) -> Want<'_> {
        Want {
            action: Action::PrivateReply,
            units: NonZeroU32::new(units).unwrap(),
            first: send,
            lease_until: NOW + Duration::from_secs(30),
        }
    }

    fn quota(id: &str, window_ms: u64, limit: u32) -> Quota {
        Quota {
            id: QuotaId::new(id),
            actions: vec![Action::PrivateReply],
            unit: Unit::Calls,
            window: Duration::from_millis(window_ms),
            limit: NonZeroU32::new(limit).unwrap(),
        }
    }

    fn two_quotas() -> Profile {
        Profile { name: "t".into(), quotas: vec![quota("ten", 10_000, 3), quota("min", 60_000, 5)] }
    }

    fn granted(decision: Decision) -> (Grant, Budget) {
        match decision {
            Decision::Granted(grant, budget, _) => (grant, *budget),
            Decision::Denied(denial) => panic!("denied: {denial:?}"),
        }
    }

    #[test]
    fn the_smallest_room_is_granted_and_the_quota_that_bound_is_named() {
        let profile = two_quotas();
        let send = send();
        let budget = Budget::default();
        let Decision::Granted(grant, next, Some(denial)) =
            budget.decide(&profile, &want(&send, 4), NOW, GrantId::new(1, 1))
        else {
            panic!("expected a partial grant")
        };
        assert_eq!(grant.units, 3);
        assert_eq!(denial.bound, Bound::Quota(QuotaId::new("ten")));
        let Decision::Denied(denial) =
            next.decide(&profile, &want(&send, 1), NOW, GrantId::new(1, 2))
        else {
            panic!("expected a denial")
        };
        let ten = &profile.quotas[0];
        let least = NOW + ten.counted_span();
        assert!(denial.retry_at > least && denial.retry_at <= least + ten.bucket());
        let (grant, _) =
            granted(next.decide(&profile, &want(&send, 4), denial.retry_at, GrantId::new(1, 3)));
        assert_eq!(grant.units, 2, "the minute's quota binds now");
    }

    #[test]
    fn a_refund_is_granted_again() {
        let profile = two_quotas();
        let send = send();
        let (grant, next) =
            granted(Budget::default().decide(&profile, &want(&send, 3), NOW, GrantId::new(1, 1)));
        let next = next.refund(&profile, &grant, 2, GrantId::new(1, 2));
        let (grant, _) = granted(next.decide(&profile, &want(&send, 3), NOW, GrantId::new(1, 3)));
        assert_eq!(grant.units, 2);
    }

    #[test]
    fn after_a_hold_one_probe_goes_and_nothing_else_until_it_is_over() {
        let profile = two_quotas();
        let send = send();
        let held = Budget::default().hold(HoldCause::Throttled, NOW, None, GrantId::new(1, 1));
        let Decision::Denied(denial) =
            held.decide(&profile, &want(&send, 3), NOW, GrantId::new(1, 2))
        else {
            panic!("granted during a hold")
        };
        assert_eq!(denial.bound, Bound::Hold(HoldCause::Throttled));
        let at = denial.retry_at;
        let mut first = want(&send, 3);
        first.lease_until = at + Duration::from_secs(30);
        let (grant, probing) = granted(held.decide(&profile, &first, at, GrantId::new(1, 3)));
        assert_eq!((grant.units, grant.role), (1, Role::Probe));
        assert!(matches!(
            probing.decide(&profile, &first, at, GrantId::new(1, 4)),
            Decision::Denied(_)
        ));
        let lifted = probing.lift(GrantId::new(1, 5));
        let (grant, _) = granted(lifted.decide(&profile, &first, at, GrantId::new(1, 6)));
        assert_eq!(grant.role, Role::Normal);
    }

    #[test]
    fn a_full_default_budget_fits_one_write_unit() {
        let profile = Profile::careful();
        let send = send();
        let mut budget = Budget::default();
        let mut now = NOW;
        for step in 0..6000 {
            now = now + Duration::from_millis(18_230);
            match budget.decide(&profile, &want(&send, 1), now, GrantId::new(1, step)) {
                Decision::Granted(_, next, _) => budget = *next,
                Decision::Denied(denial) => {
                    assert_eq!(denial.bound, Bound::Quota(QuotaId::new("recipients_day")));
                }
            }
        }
        let size = budget.windows.encode().len();
        assert!(size < 700, "{size} bytes of windows leave too little of 1 KiB");
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
            let profile = Profile {
                name: "t".into(),
                quotas: vec![quota("ten", 10_000, limits.0), quota("min", 60_000, limits.1)],
            };
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
                match budget.decide(&profile, &want(&send, units), seen, id) {
                    Decision::Granted(grant, next, _) => {
                        calls.extend(std::iter::repeat_n(truth + delay, grant.units as usize));
                        budget = *next;
                    }
                    Decision::Denied(denial) => prop_assert!(denial.retry_at > seen),
                }
            }
            for quota in &profile.quotas {
                let window = quota.window.as_millis() as u64;
                for &start in &calls {
                    let inside = calls.iter().filter(|&&t| t >= start && t < start + window).count();
                    prop_assert!(inside as u32 <= quota.limit.get());
                }
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(
            steps in prop::collection::vec((0u64..100_000, 1u32..4), 0..80),
        ) {
            let profile = two_quotas();
            let send = send();
            let mut budget = Budget::default();
            let mut now = NOW;
            for (wait, units) in steps {
                now = now + Duration::from_millis(wait);
                if let Decision::Granted(_, next, _) =
                    budget.decide(&profile, &want(&send, units), now, GrantId::default())
                {
                    budget = *next;
                }
            }
            prop_assert_eq!(Windows::decode(&budget.windows.encode()), Some(budget.windows));
        }
    }
}
