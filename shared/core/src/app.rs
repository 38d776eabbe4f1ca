//! The budget of the whole app: its own holds, and slices of what all its accounts may call
//! together. A slice is leased by a process and spent there, so that the app's item is written
//! seldom.
//!
//! Meta's app limit is a figure for each account. An account whose own limits keep it within
//! that figure needs no coordination. The others lease slices of their common quota. A slice
//! stays charged from the end of its lease, spent or not. When an account begins to lease, its
//! earlier calls are charged too, as far as its own windows know them; where they do not, the quota
//! counts as full for its window.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::budget::{Budget, GrantId};
use crate::feedback::Feedback;
use crate::hold::{Gate, HoldCause, Holds, Probe};
use crate::id::AccountId;
use crate::quota::{Action, Quota, Scope, Tier};
use crate::rules::{InForce, Rules};
use crate::seed::seed;
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
    /// The same by tier; `None` where they were counted before tiers were.
    pub tiers: Option<[u32; 3]>,
    /// The instant when the last hold of the app ended.
    pub returned_at: Option<Timestamp>,
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
    /// charged for the quota's window from `until` on, spent or not: their holder may spend
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
        let row = InForce { quota, limit: self.pool(quota, rules.terms().tier) };
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

    /// An account begins to lease from `quotas`: what it has called before, under `rules`, counts
    /// in their rows too. `None` where that changes nothing.
    pub fn joined<'a>(
        &self,
        quotas: impl Iterator<Item = &'a Quota>,
        account: &Budget,
        rules: &Rules,
        id: GrantId,
    ) -> Option<Self> {
        let mut next = self.next(id);
        for quota in quotas {
            let windows = next.windows.with_row_of(quota, self.decided_at);
            next.windows = windows.with_calls_of(quota, &account.windows, rules);
        }
        (next.windows != self.windows).then_some(next)
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

    /// What all accounts that lease may call together: the share of each, by its own tier. `asks`
    /// is the tier of an account that leases and may not be counted yet.
    fn pool(&self, quota: &Quota, asks: Tier) -> NonZeroU32 {
        const TIERS: [Tier; 3] = [Tier::One, Tier::Two, Tier::Three];
        let share = |tier: Tier| quota.limit.of(tier).get();
        let pool = match self.tiers {
            Some(tiers) => {
                let shares = TIERS.into_iter().zip(tiers);
                shares.fold(0, |sum: u32, (tier, count)| {
                    sum.saturating_add(share(tier).saturating_mul(count))
                })
            }
            // The least that they may be.
            None => {
                let least = TIERS.into_iter().map(share).min().unwrap_or_default();
                least.saturating_mul(self.leasing)
            }
        };
        NonZeroU32::new(pool).unwrap_or(quota.limit.of(asks))
    }

    /// Names the one call that goes first after a hold.
    pub fn probe(&self, probe: Probe, id: GrantId) -> Self {
        let mut next = self.next(id);
        next.holds.start_probe(probe.send, probe.lease_until);
        next
    }

    /// Takes back a probe that was named and not made, so that another may be; `None` where it is
    /// not the one that is named.
    pub fn without_probe(&self, probe: &Probe, id: GrantId) -> Option<Self> {
        let mut next = self.next(id);
        next.holds.give_up_probe(probe).then_some(next)
    }

    /// Ends the hold whose probe went through; one that was met since then stays. The pace of every
    /// account returns step by step.
    pub fn lift(&self, now: Timestamp, id: GrantId) -> Self {
        let mut next = self.next(id);
        if next.holds.lift().is_some() {
            next.returned_at = Some(now.max(self.decided_at));
        }
        next
    }

    /// Has the next call find out whether the hold is over; `None` without one that is in force.
    pub fn resume(&self, now: Timestamp, id: GrantId) -> Option<Self> {
        let mut next = self.next(id);
        next.holds.resume(now.max(self.decided_at));
        (next.holds != self.holds).then_some(next)
    }

    /// With other numbers of accounts that lease, by tier.
    pub fn with_leasing(&self, tiers: [u32; 3], id: GrantId) -> Self {
        let leasing = tiers.iter().fold(0u32, |sum, &count| sum.saturating_add(count));
        Self { leasing, tiers: Some(tiers), ..self.next(id) }
    }

    fn next(&self, id: GrantId) -> Self {
        Self { version: self.version + 1, grant: id, ..self.clone() }
    }
}

impl Budget {
    /// The same account after a hold of the whole app that ended at `returned_at`: as after a hold
    /// of its own the pace returns step by step, and the accounts begin at different instants of
    /// the first distance between their DMs.
    #[must_use]
    pub fn after_app_hold(
        mut self,
        rules: &Rules,
        account: &AccountId,
        returned_at: Option<Timestamp>,
    ) -> Self {
        let own = self.feedback.returned_at;
        let Some(at) = returned_at.filter(|&at| own.is_none_or(|own| own < at)) else {
            return self;
        };
        self.feedback.returned_at = Some(at);
        let returned = Feedback { returned_at: Some(at), ..Feedback::default() };
        let gap = rules.gap(Action::PrivateReply, at, returned);
        let draw = seed(&[account.as_str(), &at.to_string()]) % 1000;
        let ahead = gap.mul_f64((1000 - draw) as f64 / 1000.0);
        self.paced_at = self.paced_at.max(at - ahead);
        self
    }

    /// The same account as far as plans go: a hold of the app that is in force holds it too.
    #[must_use]
    pub fn with_app(
        &self,
        rules: &Rules,
        account: &AccountId,
        app: &AppBudget,
        now: Timestamp,
    ) -> Self {
        let mut next = self.clone().after_app_hold(rules, account, app.returned_at);
        let until = |holds: &Holds| match holds.gate(now) {
            Gate::Closed(_, until) => until,
            Gate::Open | Gate::Probe => now,
        };
        if until(&app.holds) > until(&self.holds) {
            next.holds.current.clone_from(&app.holds.current);
        }
        next
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
    use crate::budget::{BudgetRequest, Decision};
    use crate::hold::Gate;
    use crate::id::SendId;
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
        let send = SendId { account: "a".into(), key: "c".into() };
        let lease = until + SLICE_LIFE;
        let probe = Probe { send: Some(send), lease_until: lease };
        let other = Probe { send: None, lease_until: lease };
        let probed = held.probe(probe.clone(), id(2));
        assert_eq!(probed.without_probe(&other, id(3)), None);
        let given_up = probed.without_probe(&probe, id(3)).unwrap();
        assert_eq!(given_up.holds.gate(until), Gate::Probe);
        let over = lease + CLOCK_BOUND;
        assert_eq!(probed.holds.gate(until), Gate::Closed(HoldCause::Throttled, over));
        let lifted = probed.lift(until, id(3));
        assert_eq!((lifted.holds.gate(until), lifted.returned_at), (Gate::Open, Some(until)));
        assert_eq!((lifted.version, lifted.grant), (3, id(3)));
    }

    #[test]
    fn the_pool_is_the_share_of_all_accounts_that_lease() {
        let rules = rules(10);
        let quota = rules.leased().next().unwrap();
        let app = AppBudget::default().with_leasing([3, 0, 0], id(1));
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

    #[test]
    fn each_tier_has_its_own_share_of_the_pool() {
        let (tier_1, tier_2, tier_3) = (nonzero(10), nonzero(100), nonzero(1000));
        let mut profile = rules(10).profile().clone();
        for quota in profile.quotas.iter_mut().filter(|quota| quota.scope == Scope::App) {
            quota.limit = Limit::ByTier { tier_1, tier_2, tier_3 };
        }
        let rules = Rules::new(profile, Terms { tier: Tier::Two, ..Terms::default() }).unwrap();
        let quota = rules.leased().next().unwrap();
        let leased = |app: &AppBudget| {
            let until = NOW + SLICE_LIFE;
            match app.lease(quota, &rules, 1_000_000, NOW, until, id(2)) {
                Slice::Leased(units, _) => units,
                Slice::Full(_) => 0,
            }
        };
        let app = AppBudget::default().with_leasing([9, 1, 0], id(1));
        assert_eq!((leased(&app), app.leasing), (190, 10));
        assert_eq!(leased(&AppBudget { tiers: None, ..app }), 100, "counted before tiers were");
        assert_eq!(leased(&AppBudget::default()), 100, "not counted yet");
    }

    #[test]
    fn a_resumed_hold_is_probed_at_once() {
        assert_eq!(AppBudget::default().resume(NOW, id(1)), None);
        let held = AppBudget::default().hold(HoldCause::Throttled, NOW, None, id(1));
        assert_eq!(held.resume(NOW, id(2)).unwrap().holds.gate(NOW), Gate::Probe);
    }

    #[test]
    fn after_a_hold_of_the_app_accounts_begin_one_after_the_other() {
        let rules = Rules::new(Profile::meta(), Terms::default()).unwrap();
        let gap = rules.gap(Action::PrivateReply, NOW, Feedback::default());
        let mut first: Vec<Duration> = (0..100)
            .map(|nth: u32| {
                let account = AccountId::new(nth.to_string());
                let budget = Budget::default().after_app_hold(&rules, &account, Some(NOW));
                assert_eq!(rules.pace_percent(NOW, budget.feedback), 25);
                let again = budget.clone().after_app_hold(&rules, &account, Some(NOW));
                assert_eq!(again, budget);
                (budget.paced_at + gap * 4).since(NOW)
            })
            .collect();
        first.sort_unstable();
        assert!(first[10] > gap / 10 && first[99] < gap * 4 + Duration::from_secs(1));
        let at_once = first.iter().filter(|&&wait| wait < Duration::from_secs(1)).count();
        assert!(at_once < 15, "{at_once} of 100 in the first second");
    }

    #[test]
    fn plans_wait_for_the_end_of_a_hold_of_the_app() {
        let (rules, account) = (rules(10), AccountId::new("a"));
        let held = AppBudget::default().hold(HoldCause::Throttled, NOW, None, id(1));
        let planned = Budget::default().with_app(&rules, &account, &held, NOW);
        assert_eq!(planned.holds.gate(NOW), held.holds.gate(NOW));
        let longer = Budget::default().hold(&rules, HoldCause::Blocked, NOW, None, id(1));
        let planned = longer.with_app(&rules, &account, &held, NOW);
        assert_eq!(planned.holds, longer.holds);
    }

    fn calling(rules: &Rules, budget: &Budget, units: u32, at: Timestamp, n: u64) -> (u32, Budget) {
        let want = BudgetRequest {
            action: Action::Read,
            lane: None,
            units: nonzero(units),
            least: nonzero(1),
            first: None,
            beside: None,
            reads: false,
            lease_until: at,
            counted_at: None,
            usage: None,
        };
        match budget.decide(rules, &want, at, id(n)) {
            Decision::Granted(grant, next, _) => (grant.units, *next),
            Decision::Denied(_) => (0, budget.clone()),
        }
    }

    proptest! {
        /// An account that calls by its own quotas begins to lease: with what it called before no
        /// window in which it leases is over the limit.
        #[test]
        fn what_an_account_called_before_it_leases_counts_in_the_row(
            counts_reads: bool,
            before in prop::collection::vec((0u64..300_000, 1u32..9), 0..30),
            after in prop::collection::vec((0u64..300_000, 1u32..9, 0u64..=60_000), 1..30),
        ) {
            let rules = rules(20);
            let quota = rules.leased().next().unwrap();
            let mut profile = Profile::meta();
            if counts_reads {
                let limit = Limit::Fixed(nonzero(100));
                let hour = Duration::from_secs(3600);
                profile.quotas.push(Quota::new("calls", &Action::ALL, Unit::Calls, hour, limit));
            }
            let own = Rules::new(profile, Terms::default()).unwrap();
            let (mut budget, mut at, mut n) = (Budget::default(), NOW, 0);
            let mut called: Vec<(u64, bool)> = Vec::new();
            for (wait, units) in before {
                (at, n) = (at + Duration::from_millis(wait), n + 1);
                let (units, next) = calling(&own, &budget, units, at, n);
                budget = next;
                called.extend(std::iter::repeat_n((at.as_millis(), false), units as usize));
            }
            let app = AppBudget::default().with_leasing([1, 0, 0], id(0));
            let joined = app.joined(std::iter::once(quota), &budget, &own, id(0));
            prop_assert_eq!(joined.is_some(), !called.is_empty());
            let mut app = joined.unwrap_or(app);
            for (wait, units, spent_after) in after {
                (at, n) = (at + Duration::from_millis(wait), n + 1);
                if let Slice::Leased(units, next) = app.lease(quota, &rules, units, at, at + SLICE_LIFE, id(n)) {
                    let spent = at.as_millis() + spent_after;
                    called.extend(std::iter::repeat_n((spent, true), units as usize));
                    app = *next;
                }
            }
            called.sort_unstable();
            for &(start, _) in &called {
                let inside = || called.iter().filter(|&&(t, _)| t >= start && t < start + 3_600_000);
                let counted = inside().count();
                prop_assert!(counted <= 20 || inside().all(|&(_, leased)| !leased), "{counted}");
            }
        }

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
