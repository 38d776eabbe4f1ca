//! The whole decision against an exact model: random rules, clocks off by up to their bound, calls
//! anywhere in the life of their grant, judged by logs of true call times.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use spillway_core::budget::{
    Budget, BudgetRequest, Decision, Denial, DenialReason, Grant, GrantId, Recipients, Role,
};
use spillway_core::feedback::Usage;
use spillway_core::hold::HoldCause;
use spillway_core::profile::{Profile, ProfileError, SlowDown, Spread, WarmUp};
use spillway_core::quota::{Action, GRANT_LIFE, Limit, Quota, Tier, Unit};
use spillway_core::rules::{Rules, Terms};
use spillway_core::send::{Class, Lane};
use spillway_core::time::{CLOCK_BOUND, Timestamp};

/// 12:00 UTC, in milliseconds.
const START: u64 = 1_790_596_800_000;
const DAY: u64 = 86_400_000;
/// Its clocks are 5:45 ahead of UTC all the year.
const ZONE: (&str, u64) = ("Asia/Kathmandu", 20_700_000);

#[derive(Clone, Debug)]
struct Step {
    wait: Wait,
    /// How far the deciding process's clock is off.
    skew: i64,
    what: What,
}

#[derive(Clone, Debug)]
enum Wait {
    For(u64),
    /// Until the clock of the next process shows what the last denial has promised.
    Promised,
}

#[derive(Clone, Debug)]
enum What {
    Ask(Ask),
    /// Calls that were granted last and not made are given back.
    Refund,
    Hold(HoldCause, Option<Duration>),
    /// The call that was granted as a probe went through.
    ProbeWentThrough,
}

#[derive(Clone, Debug)]
struct Ask {
    action: Action,
    lane: Option<Lane>,
    units: u32,
    /// How many of the granted calls are not made.
    unused: u32,
    /// How long after its decision each call is made.
    delay: u64,
    /// The person whom the only call is for; otherwise each is for a stranger.
    person: Option<u32>,
    usage: Option<u8>,
}

fn asked() -> impl Strategy<Value = Ask> {
    let kinds = prop_oneof![
        6 => select(&Class::ALL[..]).prop_map(|class| (class.action, Some(class.lane))),
        1 => select(&Action::ALL[..]).prop_map(|action| (action, None)),
    ];
    let person = prop::option::weighted(0.3, 0u32..3);
    let usage = prop::option::weighted(0.1, 60u8..=100);
    (kinds, 1u32..5, 0u32..3, 0..=GRANT_LIFE.as_millis() as u64, person, usage).prop_map(
        |((action, lane), units, unused, delay, person, usage)| {
            let person = person.filter(|_| Action::DIRECT_MESSAGES.contains(&action));
            let units = if person.is_some() { 1 } else { units };
            Ask { action, lane, units, unused, delay, person, usage }
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![
        4 => (0u64..3000).prop_map(Wait::For),
        2 => (0u64..60_000).prop_map(Wait::For),
        1 => (0..DAY / 3).prop_map(Wait::For),
        4 => Just(Wait::Promised),
    ];
    let causes = [
        HoldCause::Throttled,
        HoldCause::Blocked,
        HoldCause::TokenDead,
        HoldCause::Permission,
        HoldCause::NearLimit,
        HoldCause::Refusing,
        HoldCause::Failing,
    ];
    let regain = prop::option::of((1u64..4000).prop_map(Duration::from_secs));
    let what = prop_oneof![
        20 => asked().prop_map(What::Ask),
        2 => Just(What::Refund),
        1 => (select(causes.to_vec()), regain).prop_map(|(cause, regain)| What::Hold(cause, regain)),
        2 => Just(What::ProbeWentThrough),
    ];
    let bound = CLOCK_BOUND.as_millis() as i64;
    let step = (wait, -bound..=bound, what);
    prop::collection::vec(step.prop_map(|(wait, skew, what)| Step { wait, skew, what }), 1..80)
}

fn limits() -> impl Strategy<Value = Limit> {
    let of = |n: u32| NonZeroU32::new(n).expect("at least 1");
    prop_oneof![
        (1u32..12).prop_map(move |n| Limit::Fixed(of(n))),
        (1u32..6, 1u32..12, 1u32..40).prop_map(move |(one, two, three)| Limit::ByTier {
            tier_1: of(one),
            tier_2: of(two),
            tier_3: of(three),
        }),
    ]
}

fn profiles() -> impl Strategy<Value = Profile> {
    let windows = prop_oneof![
        4 => 1000u64..120_000,
        1 => Just(3_600_000),
        2 => Just(DAY),
    ];
    let quota = (
        subsequence(Action::ALL.to_vec(), 1..=Action::ALL.len()),
        prop_oneof![3 => Just(Unit::Calls), 1 => Just(Unit::Recipients)],
        windows,
        limits(),
    );
    let spread = (60_001u64..=DAY, 0u32..6)
        .prop_map(|(active, burst)| Spread { active: Duration::from_millis(active), burst });
    let sixteen_hours =
        (0u32..6).prop_map(|burst| Spread { active: Duration::from_secs(16 * 3600), burst });
    let warm_up = (20u8..=50, 50u8..=100, 1u32..4, 0u32..3).prop_map(|(from, to, days, ramp)| {
        let days = NonZeroU32::new(days).expect("at least 1");
        WarmUp { from_percent: from, to_percent: to, days, ramp_days: ramp }
    });
    (
        prop::collection::vec(quota, 1..=5),
        prop_oneof![2 => Just(None), 2 => sixteen_hours.prop_map(Some), 1 => spread.prop_map(Some)],
        prop::option::of(warm_up),
    )
        .prop_map(|(rows, spread, warm_up)| {
            let quotas = rows.into_iter().enumerate().map(|(n, (actions, unit, window, limit))| {
                // Every DM is limited by some row, and a row of people counts them all.
                let actions = match unit {
                    Unit::Calls if n > 0 => actions,
                    Unit::Recipients if n > 0 => Action::DIRECT_MESSAGES.to_vec(),
                    _ => Action::ALL.to_vec(),
                };
                Quota::new(&n.to_string(), &actions, unit, Duration::from_millis(window), limit)
            });
            let mut profile = Profile {
                name: "random".into(),
                quotas: quotas.collect(),
                spread,
                warm_up,
                slow_down: SlowDown::default(),
            };
            // What does not go with these quotas is left out.
            profile.spread.take_if(|_| !profile.quotas.iter().any(Quota::is_day_figure));
            if matches!(profile.validate(), Err(ProfileError::NeverSends(_))) {
                profile.warm_up = None;
            }
            profile
        })
}

fn terms() -> impl Strategy<Value = Terms> {
    (1u8..=3, 0u8..24, prop::option::of(0..4 * DAY)).prop_map(|(tier, hour, warm_for)| Terms {
        tier: Tier::try_from(tier).expect("1 to 3"),
        time_zone: ZONE.0.parse().expect("a time zone"),
        day_starts: format!("{hour:02}:00").parse().expect("a time of day"),
        warm_up_since: warm_for.map(|ago| Timestamp::from_millis(START - ago)),
    })
}

/// A call as it was made, at its true time.
struct Call {
    at: u64,
    action: Action,
    person: u32,
}

/// A hold as it must be kept, in true time.
struct Held {
    from_then_on: u64,
    /// Until when, on any clock, the probe is waited for.
    probe_until: Option<Timestamp>,
}

struct World {
    rules: Rules,
    budget: Budget,
    truth: u64,
    writes: u64,
    calls: Vec<Call>,
    held: Option<Held>,
    probe_is_out: bool,
    unused: Option<(Grant, u32)>,
    /// Where the unit of each known person lies.
    places: BTreeMap<u32, Timestamp>,
    strangers: u32,
    promised: u64,
}

impl World {
    fn new(profile: Profile, terms: Terms) -> Self {
        Self {
            rules: Rules::new(profile, terms).expect("a sound profile"),
            budget: Budget::default(),
            truth: START,
            writes: 0,
            calls: Vec::new(),
            held: None,
            probe_is_out: false,
            unused: None,
            places: BTreeMap::new(),
            strangers: 1000,
            promised: START,
        }
    }

    fn id(&mut self) -> GrantId {
        self.writes += 1;
        GrantId::new(1, self.writes)
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        self.truth = match step.wait {
            Wait::For(wait) => self.truth + wait,
            Wait::Promised => self.promised.saturating_add_signed(-step.skew).max(self.truth),
        };
        let seen = Timestamp::from_millis(self.truth.saturating_add_signed(step.skew));
        let id = self.id();
        let version = self.budget.version;
        match step.what {
            What::Ask(ask) => return self.ask(&ask, seen, id),
            What::Refund => {
                let Some((grant, units)) = self.unused.take() else { return Ok(()) };
                let is_latest = self.budget.grant == grant.id && units == grant.units;
                self.budget = self.budget.refund(&self.rules, &grant, units, id);
                if let (Some(held), Role::Probe, true) = (&mut self.held, grant.role, is_latest) {
                    // No call is made of it: the next one may be the probe.
                    held.probe_until = None;
                    self.probe_is_out = false;
                }
            }
            What::Hold(cause, regain) => {
                self.budget = self.budget.hold(&self.rules, cause, seen, regain, id);
                let first = match cause {
                    HoldCause::Throttled => 60,
                    HoldCause::NearLimit | HoldCause::Failing => 300,
                    HoldCause::Refusing => 600,
                    HoldCause::TokenDead | HoldCause::Permission => 3600,
                    HoldCause::Blocked => 6 * 3600,
                    HoldCause::Operator => unreachable!("not among the causes of a strike"),
                };
                let wait = Duration::from_secs(first).max(regain.unwrap_or_default());
                let until = self.truth + wait.as_millis() as u64;
                let longest = self.held.as_ref().map_or(until, |held| held.from_then_on.max(until));
                self.held = Some(Held { from_then_on: longest, probe_until: None });
            }
            What::ProbeWentThrough => {
                if !std::mem::take(&mut self.probe_is_out) {
                    return Ok(());
                }
                self.budget = self.budget.lift(seen, id);
                // A hold that came after the probe is not what it has probed.
                self.held.take_if(|held| held.probe_until.is_some());
            }
        }
        prop_assert_eq!((self.budget.version, self.budget.grant), (version + 1, id));
        Ok(())
    }

    fn ask(&mut self, ask: &Ask, seen: Timestamp, id: GrantId) -> Result<(), TestCaseError> {
        let want = BudgetRequest {
            action: ask.action,
            lane: ask.lane,
            units: NonZeroU32::new(ask.units).expect("at least 1"),
            least: NonZeroU32::MIN,
            first: None,
            beside: None,
            reads: false,
            lease_until: seen + Duration::from_secs(30),
            counted_at: ask.person.and_then(|person| self.places.get(&person).copied()),
            usage: ask.usage.map(|percent| Usage { percent, at: seen }),
        };
        let denial = match self.budget.decide(&self.rules, &want, seen, id) {
            Decision::Granted(grant, next, rest) => {
                prop_assert!(grant.units >= 1 && grant.units <= ask.units);
                prop_assert_eq!(rest.is_some(), grant.units < ask.units);
                prop_assert_eq!((next.version, next.grant), (self.budget.version + 1, id));
                self.budget = *next;
                self.granted(ask, &want, &grant)?;
                rest
            }
            Decision::Denied(denial) => Some(denial),
        };
        let Some(denial) = denial else { return Ok(()) };
        prop_assert!(denial.retry_at > seen);
        self.promised = denial.retry_at.as_millis();
        self.keeps_its_promise(&want, &denial)
    }

    /// One more call is denied until just before the promised instant, and granted at it.
    fn keeps_its_promise(
        &self,
        want: &BudgetRequest<'_>,
        denial: &Denial,
    ) -> Result<(), TestCaseError> {
        let one = BudgetRequest { units: NonZeroU32::MIN, ..want.clone() };
        let ask = |at| self.budget.decide(&self.rules, &one, at, GrantId::default());
        let before = ask(denial.retry_at - Duration::from_millis(1));
        prop_assert!(matches!(before, Decision::Denied(_)), "{:?} too late", denial);
        if !matches!(denial.reason, DenialReason::Hold(_)) {
            let then = ask(denial.retry_at);
            let is_one = matches!(&then, Decision::Granted(grant, ..) if grant.units == 1);
            prop_assert!(is_one, "{:?}, and then {:?}", denial, then);
        }
        Ok(())
    }

    fn granted(
        &mut self,
        ask: &Ask,
        want: &BudgetRequest<'_>,
        grant: &Grant,
    ) -> Result<(), TestCaseError> {
        if let Some(held) = &mut self.held {
            prop_assert!(self.truth >= held.from_then_on, "granted during a hold");
            prop_assert_eq!((grant.role, grant.units), (Role::Probe, 1));
            prop_assert!(held.probe_until.is_none_or(|lease| lease <= grant.at), "two probes");
            held.probe_until = Some(want.lease_until);
            self.probe_is_out = true;
        } else {
            prop_assert_eq!(grant.role, Role::Normal);
        }
        let unused = ask.unused.min(grant.units);
        if unused > 0 {
            self.unused = Some((*grant, unused));
        }
        // A unit that moves is written with the budget, a new one once the call was made.
        if let Some(person) = ask.person
            && (grant.recipients == Recipients::Moved || unused == 0)
        {
            self.places.insert(person, grant.at);
        }
        for _ in unused..grant.units {
            self.strangers += 1;
            let person = ask.person.unwrap_or(self.strangers);
            self.called(Call { at: self.truth + ask.delay, action: ask.action, person }, grant)?;
        }
        Ok(())
    }

    /// No window with this call in it holds more, of what was granted until now, than the limit in
    /// force at its grant.
    fn called(&mut self, call: Call, grant: &Grant) -> Result<(), TestCaseError> {
        prop_assert!(
            !call.action.is_paced() || self.is_active(call.at),
            "a DM outside the active hours"
        );
        let Call { at, person, .. } = call;
        self.calls.push(call);
        for row in self.rules.in_force(grant.action, grant.at, self.budget.feedback) {
            prop_assert!(u64::from(row.limit.get()) <= self.at_most(row.quota, grant.at));
            let window = row.quota.window.as_millis() as u64;
            let near = self
                .calls
                .iter()
                .filter(|other| other.at.abs_diff(at) < window && row.quota.counts(other.action));
            let mut near: Vec<_> = near.map(|call| (call.at, call.person)).collect();
            near.sort_unstable();
            for &(start, _) in near.iter().take_while(|(start, _)| *start <= at) {
                let inside = near.iter().filter(|(at, _)| (start..start + window).contains(at));
                let mut people: Vec<u32> = inside.map(|&(_, person)| person).collect();
                if row.quota.unit == Unit::Recipients {
                    // A person who has a unit in this window takes no other.
                    if people.iter().filter(|&&other| other == person).count() > 1 {
                        continue;
                    }
                    people.sort_unstable();
                    people.dedup();
                }
                prop_assert!(people.len() <= row.limit.get() as usize, "{:?}", row);
            }
        }
        Ok(())
    }

    fn is_active(&self, at: u64) -> bool {
        let Some(spread) = self.rules.profile().spread else { return true };
        let starts = self.rules.terms().day_starts.to_string();
        let hour: u64 = starts[..2].parse().expect("an hour");
        let since_start = (at + ZONE.1 + DAY - hour * 3_600_000) % DAY;
        since_start < spread.active.as_millis() as u64
    }

    /// What a quota may hold at the most, by its figure, the tier and the day of the warm-up, in
    /// whole numbers.
    fn at_most(&self, quota: &Quota, at: Timestamp) -> u64 {
        let (profile, terms) = (self.rules.profile(), self.rules.terms());
        let day_of = |limit: Limit| {
            let limit = u64::from(limit.of(terms.tier).get());
            let (Some(warm_up), Some(since)) = (profile.warm_up, terms.warm_up_since) else {
                return limit;
            };
            let day = at.since(since).as_millis() as u64 / DAY + 1;
            let (days, ramp) = (u64::from(warm_up.days.get()), u64::from(warm_up.ramp_days));
            let (from, to) = (u64::from(warm_up.from_percent), u64::from(warm_up.to_percent));
            let (dividend, divisor) = match day {
                _ if day > days + ramp => return limit,
                _ if day > days => (to * ramp + (100 - to) * (day - days), ramp),
                _ if days == 1 => (to, 1),
                _ => (from * (days - 1) + (to - from) * (day - 1), days - 1),
            };
            (limit * dividend / (100 * divisor)).max(1)
        };
        if quota.id.as_str() != "velocity" {
            let is_scaled = quota.is_day_figure();
            return if is_scaled {
                day_of(quota.limit)
            } else {
                quota.limit.of(terms.tier).get().into()
            };
        }
        let spread = profile.spread.expect("a ceiling without a spread");
        let figures = profile.quotas.iter().filter(|quota| quota.is_day_figure());
        let day = figures.map(|quota| day_of(quota.limit)).min().expect("a day's figure");
        let even = (day * 600_000).div_ceil(spread.active.as_millis() as u64);
        even + u64::from(spread.burst).max(even / 20)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_log_of_true_calls_breaks_a_rule_and_every_denial_keeps_its_promise(
        profile in profiles(),
        terms in terms(),
        steps in steps(),
    ) {
        let mut world = World::new(profile, terms);
        for step in steps {
            world.step(step)?;
        }
    }
}
