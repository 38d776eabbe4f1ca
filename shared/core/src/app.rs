//! The budget of the whole app: its own holds, and slices of what all its accounts may call
//! together. A slice is leased by a process and spent there, so that the app's item is written
//! seldom.

use std::time::Duration;

use crate::budget::GrantId;
use crate::hold::{HoldCause, Holds};
use crate::id::SendId;
use crate::quota::{Quota, Scope};
use crate::rules::{InForce, Rules};
use crate::time::Timestamp;
use crate::windows::Windows;

/// The longest that a slice may be spent.
pub const SLICE_LIFE: Duration = Duration::from_secs(60);

/// The state of the app's budget. Every change raises `version` by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppBudget {
    /// 0 before the first write.
    pub version: u64,
    /// The last write: see [`GrantId`].
    pub grant: GrantId,
    /// The latest instant anything was decided at.
    pub decided_at: Timestamp,
    /// Holds of the whole app.
    pub holds: Holds,
    /// Units leased, by quota, counted from the end of their lease.
    pub windows: Windows,
    /// Accounts whose own quotas allow more than their share of the app's.
    pub leasing: u32,
}

/// A slice that was leased, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slice {
    /// So many units, once the budget has been written.
    Leased(u32, Box<AppBudget>),
    /// The quota is full until this instant.
    Full(Timestamp),
}

impl AppBudget {
    /// Leases up to `units` of `quota` until `until`, at most [`SLICE_LIFE`] after `now`. They stay
    /// charged for the quota's window from `until` on, spent or not: whoever holds them may spend
    /// them until then, and may die without a word.
    pub fn lease(
        &self,
        quota: &Quota,
        rules: &Rules,
        units: u32,
        now: Timestamp,
        until: Timestamp,
        id: GrantId,
    ) -> Slice {
        let at = now.max(self.decided_at);
        let share = quota.limit.of(rules.terms().tier);
        let limit = share.saturating_mul(self.leasing.max(1).try_into().unwrap_or(share));
        let row = InForce { quota, limit };
        let windows = self.windows.with_row_of(quota, self.decided_at);
        let leased = units.min(windows.room(row, at));
        if leased == 0 {
            return Slice::Full(windows.row_fits(row, at, 0));
        }
        let mut next = self.next(id);
        next.decided_at = at;
        next.windows = windows.into_owned();
        next.windows.charge(quota, at, until.max(at), leased);
        Slice::Leased(leased, Box::new(next))
    }

    /// Puts the whole app on hold.
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
        next.holds.strike(cause, at, regain, id.seed());
        next
    }

    /// Names the one send that goes first after a hold.
    pub fn probe(&self, send: &SendId, lease_until: Timestamp, id: GrantId) -> Self {
        let mut next = self.next(id);
        next.holds.start_probe(Some(send.clone()), lease_until);
        next
    }

    /// Ends the hold whose probe went through; one that was met since then stays.
    pub fn lift(&self, id: GrantId) -> Self {
        let mut next = self.next(id);
        next.holds.lift();
        next
    }

    /// With another number of accounts that lease.
    pub fn with_leasing(&self, leasing: u32, id: GrantId) -> Self {
        Self { leasing, ..self.next(id) }
    }

    fn next(&self, id: GrantId) -> Self {
        Self { version: self.version + 1, grant: id, ..self.clone() }
    }
}

impl Rules {
    /// The app's quotas that an account under these rules must lease from: those whose share the
    /// account's own quotas let it exceed. The others' accounts keep within theirs anyway, and so
    /// does the sum of them.
    pub fn leased(&self) -> impl Iterator<Item = &Quota> {
        let tier = self.terms().tier;
        let keeps_within = move |app: &Quota| {
            self.profile().quotas.iter().filter(|own| own.scope == Scope::Account).any(|own| {
                own.window >= app.window
                    && own.limit.of(tier) <= app.limit.of(tier)
                    && app.actions.iter().all(|&action| own.counts(action))
            })
        };
        let app = self.profile().quotas.iter().filter(|quota| quota.scope == Scope::App);
        app.filter(move |quota| !keeps_within(quota))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hold::Gate;
    use crate::profile::Profile;
    use crate::quota::{Action, Limit, Unit, nonzero};
    use crate::rules::Terms;
    use crate::time::CLOCK_BOUND;

    const NOW: Timestamp = Timestamp::from_secs(1_790_596_800);

    fn rules(share: u32) -> Rules {
        let mut profile = Profile::meta();
        let window = Duration::from_secs(3600);
        let limit = Limit::Fixed(nonzero(share));
        let mut app = Quota::new("app", &Action::ALL, Unit::Calls, window, limit);
        app.scope = Scope::App;
        profile.quotas.push(app);
        Rules::new(profile, Terms::default()).unwrap()
    }

    fn id(n: u64) -> GrantId {
        GrantId::new(1, n)
    }

    #[test]
    fn an_account_that_keeps_within_its_share_leases_nothing() {
        assert_eq!(Rules::careful().leased().count(), 0);
        assert_eq!(rules(200).leased().count(), 1, "750 private replies an hour are more than 200");
    }

    #[test]
    fn a_hold_of_the_app_ends_with_its_probe_and_each_step_is_a_write() {
        let held = AppBudget::default().hold(HoldCause::Throttled, NOW, None, id(1));
        let until = held.holds.current.as_ref().unwrap().until;
        assert_eq!(held.holds.gate(NOW), Gate::Closed(HoldCause::Throttled, until));
        assert_eq!((held.version, held.grant, held.decided_at), (1, id(1), NOW));
        let send = SendId { account: "a".into(), event: "c".into() };
        let lease = until + SLICE_LIFE;
        let probed = held.probe(&send, lease, id(2));
        let over = lease + CLOCK_BOUND;
        assert_eq!(probed.holds.gate(until), Gate::Closed(HoldCause::Throttled, over));
        let lifted = probed.lift(id(3));
        assert_eq!(lifted.holds.gate(until), Gate::Open);
        assert_eq!((lifted.version, lifted.grant), (3, id(3)));
    }

    #[test]
    fn the_pool_is_the_share_of_all_accounts_that_lease() {
        let rules = rules(10);
        let quota = rules.leased().next().unwrap();
        let app = AppBudget::default().with_leasing(3, id(1));
        let until = NOW + SLICE_LIFE;
        let Slice::Leased(units, app) = app.lease(quota, &rules, 100, NOW, until, id(2)) else {
            panic!("full")
        };
        assert_eq!(units, 30);
        let Slice::Full(at) = app.lease(quota, &rules, 1, NOW, until, id(3)) else {
            panic!("over the limit")
        };
        assert!(at > until + quota.window);
    }

    proptest! {
        /// However processes lease, spend late within their leases, and die: no window of calls is
        /// over the limit.
        #[test]
        fn the_sum_of_all_slices_never_exceeds_the_quota(
            steps in prop::collection::vec((0u64..200_000, 1u32..9, 0u64..=60_000, 0u64..=5000), 1..120),
        ) {
            let rules = rules(20);
            let quota = rules.leased().next().unwrap();
            let mut app = AppBudget::default();
            let mut at = NOW;
            let mut calls: Vec<u64> = Vec::new();
            for (n, (wait, units, spent_after, late)) in (0u64..).zip(steps) {
                at = at + Duration::from_millis(wait);
                let until = at + SLICE_LIFE;
                if let Slice::Leased(units, next) = app.lease(quota, &rules, units, at, until, id(n)) {
                    let spent = at.as_millis() + spent_after + late;
                    calls.extend(std::iter::repeat_n(spent, units as usize));
                    app = *next;
                }
            }
            calls.sort_unstable();
            for &start in &calls {
                let inside = calls.iter().filter(|&&t| t >= start && t < start + 3_600_000).count();
                prop_assert!(inside <= 20, "{inside}");
            }
        }
    }
}
