//! The rules of one account: a profile, and what holds for this account alone. They say which
//! limits are in force at an instant, and when the account may write at all.
//!
//! Tier, warm-up, active hours and lowered limits are functions of time over one profile. So a
//! change takes effect at the next decision, and "the earliest instant at which it fits" can
//! look ahead over all of them. Active hours have the same real length on each day; only their
//! start follows the local clock.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::active_hours::{ActiveHours, TimeOfDay, Zone};
use crate::campaign::Campaigns;
use crate::feedback::Feedback;
use crate::profile::{Profile, ProfileError, Spread, VELOCITY};
use crate::quota::{
    Action, DAY, GRANT_LIFE, Limit, PACED_WINDOW_MAX, Quota, QuotaId, Scope, Tier, Unit, nonzero,
};
use crate::time::{CLOCK_BOUND, Timestamp};

/// What applies to one account, whatever its profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Its tier: Meta lets it write to 1,000, 10,000 or 100,000 people a day.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "u8", range(min = 1, max = 3)))]
    pub tier: Tier,
    /// The time zone of its day: a name of the IANA database, such as `Europe/Berlin`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub time_zone: Zone,
    /// When its active hours begin, in that time zone, such as `08:00`.
    #[serde(default = "eight")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "String", regex(pattern = "^[0-9]{2}:[0-9]{2}$"))
    )]
    pub day_starts: TimeOfDay,
    /// When it began to send through software, in milliseconds since 1970. Without it, the account
    /// is not warmed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<u64>"))]
    pub warm_up_since: Option<Timestamp>,
}

const fn eight() -> TimeOfDay {
    TimeOfDay::EIGHT
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            tier: Tier::One,
            time_zone: Zone::UTC,
            day_starts: TimeOfDay::EIGHT,
            warm_up_since: None,
        }
    }
}

/// A checked profile together with the terms of one account.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Rules {
    profile: Profile,
    terms: Terms,
    active: Option<ActiveHours>,
    velocity: Option<Quota>,
    keeps_for_answers: bool,
}

/// Compares profile and terms. The rest follows from them, or from the account's campaigns.
impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        (&self.profile, &self.terms) == (&other.profile, &other.terms)
    }
}

impl Eq for Rules {}

#[derive(Serialize, Deserialize)]
struct Stored {
    profile: Profile,
    terms: Terms,
}

impl TryFrom<Stored> for Rules {
    type Error = ProfileError;

    fn try_from(Stored { profile, terms }: Stored) -> Result<Self, ProfileError> {
        Self::new(profile, terms)
    }
}

impl From<Rules> for Stored {
    fn from(Rules { profile, terms, .. }: Rules) -> Self {
        Self { profile, terms }
    }
}

/// A quota and the limit that is in force at an instant.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'r> {
    /// The quota.
    pub quota: &'r Quota,
    /// Its limit.
    pub limit: NonZeroU32,
}

impl InForce<'_> {
    /// Returns the distance between sends that this quota sustains without a denial. `busy` is the
    /// active part of the window, `jitter` the greatest distance by which a slot is moved.
    fn sustained_gap(&self, busy: Duration, jitter: bool) -> Duration {
        let all = busy.min(self.quota.window) + self.quota.margin();
        let limit = f64::from(self.limit.get());
        if !jitter {
            return all / self.limit.get();
        }
        // A first send moved to the end of its jitter and a last one not moved at all are that much
        // closer than their slots.
        let by_share = all.div_f64(limit - JITTER_SHARE);
        by_share.min((all + JITTER_MAX) / self.limit.get())
    }
}

/// By how much of the gap a slot is moved at most.
const JITTER_SHARE: f64 = 0.5;

/// By how long a slot is moved at most: queues have a longest delay.
const JITTER_MAX: Duration = Duration::from_secs(120);

/// How far a send with `draw` (0 to 999) is moved inside its slot of width `gap`.
pub(crate) fn jitter(gap: Duration, draw: u64) -> Duration {
    gap.mul_f64(JITTER_SHARE).min(JITTER_MAX).mul_f64((draw % 1000) as f64 / 1000.0)
}

impl Rules {
    /// Checks `profile` and combines it with `terms`.
    ///
    /// # Errors
    /// Returns the profile's first fault: see [`Profile::validate`].
    pub fn new(profile: Profile, terms: Terms) -> Result<Self, ProfileError> {
        profile.validate()?;
        let active = profile.spread.map(|spread| {
            ActiveHours::new(terms.time_zone.clone(), terms.day_starts, spread.active)
        });
        let velocity = profile.spread.map(|_| {
            let limit = Limit::Fixed(nonzero(1));
            Quota::new(VELOCITY, &Action::PACED, Unit::Calls, Spread::VELOCITY_WINDOW, limit)
        });
        Ok(Self { profile, terms, active, velocity, keeps_for_answers: false })
    }

    /// The same rules for an account with these campaigns. If something follows an opening, openings
    /// leave some calls for people who have answered theirs.
    #[must_use]
    pub fn for_campaigns(self, campaigns: &Campaigns) -> Self {
        Self { keeps_for_answers: campaigns.have_conversations(), ..self }
    }

    /// Whether openings leave some calls to answers.
    pub(crate) fn keeps_for_answers(&self) -> bool {
        self.keeps_for_answers
    }

    /// Returns the careful profile for an account of tier 1 in UTC that is not warmed up.
    #[expect(clippy::missing_panics_doc, reason = "a test holds that the profile is sound")]
    pub fn careful() -> Self {
        Self::new(Profile::careful(), Terms::default()).expect("the careful profile is sound")
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The terms of this account.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Returns every account-scoped quota.
    pub(crate) fn account_quotas(&self) -> impl Iterator<Item = &Quota> {
        self.profile.account_quotas().chain(&self.velocity)
    }

    /// Returns every quota from which one `action` takes a unit, with its limit at `at`.
    pub fn in_force(
        &self,
        action: Action,
        at: Timestamp,
        feedback: Feedback,
    ) -> impl Iterator<Item = InForce<'_>> {
        let lowered = feedback.limit_percent(at);
        let rows = self.profile.counting(action);
        let rows = rows.map(move |quota| InForce { quota, limit: self.limit(quota, at, lowered) });
        let velocity = self.velocity.as_ref().filter(|velocity| velocity.counts(action));
        let ceiling = velocity.and_then(|quota| {
            Some(InForce { quota, limit: self.velocity_limit(self.day_figure(at)?) })
        });
        rows.chain(ceiling)
    }

    fn limit(&self, quota: &Quota, at: Timestamp, lowered: u8) -> NonZeroU32 {
        let limit = quota.limit.of(self.terms.tier);
        if quota.is_day_figure() {
            return share(limit, self.warm_up_permille(at));
        }
        let is_hourly = quota.window <= PACED_WINDOW_MAX && quota.window >= LOWERED_FROM;
        if is_hourly { share(limit, u64::from(lowered) * 10) } else { limit }
    }

    /// Returns a quota whose limit is below `units` of `action`, so that they can never be granted
    /// together.
    pub fn never_fits(&self, action: Action, units: NonZeroU32) -> Option<(&QuotaId, NonZeroU32)> {
        let rows = self.profile.counting(action);
        let limits = rows.map(|quota| (&quota.id, quota.limit.of(self.terms.tier)));
        limits.filter(|&(_, limit)| limit < units).min_by_key(|&(_, limit)| limit)
    }

    pub(crate) fn warm_up_permille(&self, at: Timestamp) -> u64 {
        match (self.profile.warm_up, self.terms.warm_up_since) {
            (Some(warm_up), Some(since)) => warm_up.permille(days_between(since, at)),
            _ => 1000,
        }
    }

    /// Returns the smallest limit of DMs a day at `at`.
    pub fn day_figure(&self, at: Timestamp) -> Option<NonZeroU32> {
        let rows = Action::PACED.into_iter().flat_map(|action| self.profile.counting(action));
        rows.filter(|quota| quota.is_day_figure()).map(|quota| self.limit(quota, at, 100)).min()
    }

    /// Whether the account may send more messages than it may write to people. Then a person who
    /// was written to before takes no further unit.
    pub fn knows_people(&self) -> bool {
        let tier = self.terms.tier;
        let quotas = || self.profile.quotas.iter().filter(|quota| quota.scope == Scope::Account);
        quotas().filter(|quota| quota.unit == Unit::Recipients).any(|people| {
            let is_tighter = |messages: &Quota| {
                messages.unit == Unit::Calls
                    && messages.window >= people.window
                    && messages.limit.of(tier) <= people.limit.of(tier)
                    && people.actions.iter().all(|&action| messages.counts(action))
            };
            !quotas().any(is_tighter)
        })
    }

    fn velocity_limit(&self, day: NonZeroU32) -> NonZeroU32 {
        let Some(spread) = self.profile.spread else { return NonZeroU32::MAX };
        let window = Spread::VELOCITY_WINDOW.as_millis();
        let even = (u128::from(day.get()) * window).div_ceil(spread.active.as_millis().max(1));
        let even = u32::try_from(even).unwrap_or(u32::MAX);
        let limit = even.saturating_add(spread.burst.max(even / 20));
        NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN)
    }

    /// Returns the distance between slots for `action` at full pace: what the quotas of an hour and
    /// less, and the even spread of the day's figure, sustain without a denial. Live replies
    /// instead get slots as fast as their own quotas let them begin, 100 a second: a reply that is
    /// denied once and follows some seconds later is better than one that waits for a slot.
    fn full_gap(&self, action: Action, at: Timestamp, feedback: Feedback) -> Duration {
        let busy = self.profile.spread.map_or(DAY, |spread| spread.active);
        let sets_pace = |row: &InForce<'_>| match action {
            // A quota that this action shares with others still lets a live burst through whole.
            Action::LiveReply => row.quota.actions == [Action::LiveReply],
            _ => {
                row.quota.window <= PACED_WINDOW_MAX
                    || self.profile.spread.is_some() && row.quota.is_day_figure()
            }
        };
        self.in_force(action, at, feedback)
            .filter(sets_pace)
            .map(|row| match action {
                Action::LiveReply => row.quota.window / row.limit.get(),
                _ => row.sustained_gap(busy, action.is_paced()),
            })
            .max()
            .unwrap_or_default()
    }

    /// Returns the distance between slots for `action` at `at`, in whole milliseconds.
    pub fn gap(&self, action: Action, at: Timestamp, feedback: Feedback) -> Duration {
        let gap = self.full_gap(action, at, feedback);
        let gap = if action.is_paced() {
            gap * 100 / u32::from(self.pace_percent(at, feedback))
        } else {
            gap
        };
        Duration::from_millis(gap.as_micros().div_ceil(1000) as u64)
    }

    /// Returns the percent of the full pace at `at`, after what Meta's answers have taught.
    pub fn pace_percent(&self, at: Timestamp, feedback: Feedback) -> u8 {
        feedback.pace_percent(self.profile.slow_down, at)
    }

    /// The next instant after `at` at which the distance between slots may change by itself.
    pub(crate) fn gap_changes_after(&self, at: Timestamp, feedback: Feedback) -> Timestamp {
        let faster = feedback.pace_changes_after(at).unwrap_or(Timestamp::NEVER);
        faster.min(self.limits_change_after(at, feedback))
    }

    /// Returns the first instant from `at` on at which the active hours allow `action`.
    pub fn active_from(&self, action: Action, at: Timestamp) -> Timestamp {
        let Some(hours) = self.active.as_ref().filter(|_| action.is_paced()) else { return at };
        // A call may come that much later than its decision, and clocks may be off.
        let (first, end) = hours.from(at - CLOCK_BOUND);
        let opens = at.max(first + CLOCK_BOUND);
        if opens + GRANT_LIFE + CLOCK_BOUND < end {
            return opens;
        }
        hours.from(end).0 + CLOCK_BOUND
    }

    /// The next instant after `at` at which some limit changes.
    pub(crate) fn limits_change_after(&self, at: Timestamp, feedback: Feedback) -> Timestamp {
        let warmer = match (self.profile.warm_up, self.terms.warm_up_since) {
            (Some(warm_up), Some(since)) => {
                let day = days_between(since, at) + 1;
                let begins = since + DAY * u32::try_from(day).unwrap_or(u32::MAX);
                (day <= warm_up.over_on()).then_some(begins)
            }
            _ => None,
        };
        let recovered = feedback.limits_change_after(at);
        warmer.into_iter().chain(recovered).min().unwrap_or(Timestamp::NEVER)
    }
}

/// Quotas of shorter windows are not lowered after a limit response: it does not tell of them.
const LOWERED_FROM: Duration = Duration::from_secs(60);

fn days_between(since: Timestamp, at: Timestamp) -> u64 {
    at.since(since).as_secs() / DAY.as_secs()
}

fn share(limit: NonZeroU32, permille: u64) -> NonZeroU32 {
    let share = u64::from(limit.get()) * permille.min(1000) / 1000;
    u32::try_from(share).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 12:00 UTC on a Monday.
    const NOW: Timestamp = Timestamp::from_secs(1_790_596_800);

    fn rules(terms: Terms) -> Rules {
        Rules::new(Profile::careful(), terms).unwrap()
    }

    fn gap_ms(rules: &Rules) -> u128 {
        rules.gap(Action::PrivateReply, NOW, Feedback::default()).as_millis()
    }

    #[test]
    fn the_tightest_of_hour_and_spread_sets_the_pace() {
        // 1,000 in 16 h are 57.6 s, and 1% of them is the price of bounded state.
        assert!((57_600..58_300).contains(&gap_ms(&rules(Terms::default()))));
        // 200 an hour are 18 s.
        let tier_2 = rules(Terms { tier: Tier::Two, ..Terms::default() });
        assert!((18_000..18_300).contains(&gap_ms(&tier_2)));
        let meta = Rules::new(Profile::meta(), Terms::default()).unwrap();
        assert!((4800..4870).contains(&gap_ms(&meta)));
        // A live burst is not held to the pace of an hour's calls that others share.
        for rules in [meta, Rules::careful()] {
            let live = rules.gap(Action::LiveReply, NOW, Feedback::default());
            assert_eq!(live, Duration::from_millis(10), "100 a second");
        }
    }

    #[test]
    fn the_pace_allows_for_slots_that_are_moved_by_two_minutes_at_most() {
        let two = Limit::Fixed(nonzero(2));
        let hour = Quota::new("hour", &Action::ALL, Unit::Calls, PACED_WINDOW_MAX, two);
        let all = PACED_WINDOW_MAX + hour.margin() + Duration::from_secs(120);
        let profile = Profile { quotas: vec![hour], spread: None, ..Profile::careful() };
        let gap = gap_ms(&Rules::new(profile, Terms::default()).unwrap());
        assert_eq!(gap, all.as_millis().div_ceil(2));
    }

    #[test]
    fn a_new_account_gets_a_fifth_of_the_day_and_no_less_of_the_hour() {
        let new = rules(Terms { warm_up_since: Some(NOW), ..Terms::default() });
        assert_eq!(new.day_figure(NOW).unwrap().get(), 200);
        assert_eq!(new.limits_change_after(NOW, Feedback::default()), NOW + DAY);
        assert_eq!(new.day_figure(NOW + 13 * DAY).unwrap().get(), 300);
        assert_eq!(new.day_figure(NOW + 28 * DAY).unwrap().get(), 1000);
        let changes = |days| new.limits_change_after(NOW + days * DAY, Feedback::default());
        assert_eq!([26, 27].map(changes), [NOW + 27 * DAY, Timestamp::NEVER]);
        let mut feedback = Feedback::default();
        feedback.throttled(100, NOW);
        let recovers = NOW + Duration::from_secs(600);
        assert_eq!(new.limits_change_after(NOW, feedback), recovers, "whatever changes first");
        let hour = |rules: &Rules| {
            rules.in_force(Action::Read, NOW, Feedback::default()).next().unwrap().limit.get()
        };
        assert_eq!(hour(&new), 200);
    }

    #[test]
    fn velocity_is_the_even_pace_and_a_small_burst() {
        let limit = |tier| {
            let rules = rules(Terms { tier, ..Terms::default() });
            let rows = rules.in_force(Action::Message, NOW, Feedback::default());
            rows.filter(|row| row.quota.id.as_str() == VELOCITY).map(|row| row.limit.get()).last()
        };
        assert_eq!(
            [Tier::One, Tier::Two, Tier::Three].map(limit),
            [Some(16), Some(110), Some(1094)]
        );
        let live = Rules::careful();
        let mut rows = live.in_force(Action::LiveReply, NOW, Feedback::default());
        assert!(rows.all(|row| row.quota.id.as_str() != VELOCITY));
    }

    #[test]
    fn who_was_written_to_matters_only_where_messages_are_more_than_people() {
        assert!(!Rules::careful().knows_people(), "as many messages as people");
        let meta = Rules::new(Profile::meta(), Terms::default()).unwrap();
        assert!(meta.knows_people(), "750 an hour are 18,000 a day to 1,000 people");
        let knows = |change: &dyn Fn(&mut Quota)| {
            let mut profile = Profile::careful();
            let messages = profile.quotas.iter_mut().find(|q| q.id.as_str() == "messages_day");
            change(messages.unwrap());
            profile.spread = None;
            Rules::new(profile, Terms::default()).unwrap().knows_people()
        };
        assert!(!knows(&|messages| messages.window = 2 * DAY));
        assert!(!knows(&|messages| messages.limit = Limit::Fixed(nonzero(999))));
        assert!(knows(&|messages| messages.limit = Limit::Fixed(nonzero(1001))));
        assert!(knows(&|messages| messages.window = DAY - Duration::from_secs(1)));
        assert!(knows(&|messages| messages.scope = Scope::App));
        assert!(knows(&|messages| messages.actions = vec![Action::PrivateReply]));
    }

    #[test]
    fn outside_the_active_hours_only_live_goes() {
        let rules = Rules::careful();
        let night = NOW + Duration::from_secs(14 * 3600);
        assert_eq!(rules.active_from(Action::LiveReply, night), night);
        let opens = rules.active_from(Action::PrivateReply, night);
        assert_eq!(opens, NOW + Duration::from_secs(20 * 3600) + CLOCK_BOUND);
        // A grant just before midnight might be used after it, by a clock that is behind.
        let late = NOW + Duration::from_secs(12 * 3600 - 6);
        assert_eq!(rules.active_from(Action::Message, late), opens);
        let early = late - Duration::from_millis(1);
        assert_eq!(rules.active_from(Action::Message, early), early);
    }

    #[test]
    fn slower_is_a_longer_gap_and_lowered_is_a_lower_limit() {
        let rules = rules(Terms { tier: Tier::Two, ..Terms::default() });
        let mut feedback = Feedback::default();
        feedback.returned(NOW);
        let quarter = rules.gap(Action::PrivateReply, NOW, feedback).as_millis();
        assert!(quarter.abs_diff(gap_ms(&rules) * 4) < 4);
        let mut feedback = Feedback::default();
        feedback.throttled(100, NOW);
        let limits: Vec<_> = rules
            .in_force(Action::PrivateReply, NOW, feedback)
            .map(|row| (row.quota.id.as_str(), row.limit.get()))
            .collect();
        assert!(
            limits.contains(&("calls_hour", 180)) && limits.contains(&("messages_day", 10_000))
        );
    }

    #[test]
    fn a_throttle_lowers_rows_of_a_minute_to_an_hour() {
        let row = |secs: u64| {
            let (window, limit) = (Duration::from_secs(secs), Limit::Fixed(nonzero(100)));
            Quota::new(&secs.to_string(), &Action::ALL, Unit::Calls, window, limit)
        };
        let quotas = [59, 60, 3600, 3601].map(row).to_vec();
        let profile = Profile { quotas, spread: None, ..Profile::careful() };
        let rules = Rules::new(profile, Terms::default()).unwrap();
        let mut feedback = Feedback::default();
        feedback.throttled(50, NOW);
        let rows = rules.in_force(Action::Read, NOW, feedback);
        assert_eq!(rows.map(|row| row.limit.get()).collect::<Vec<_>>(), [100, 45, 45, 100]);
    }

    #[test]
    fn rules_are_written_and_read_back() {
        let rules = rules(Terms {
            tier: Tier::Three,
            time_zone: "Europe/Berlin".parse().unwrap(),
            warm_up_since: Some(NOW),
            ..Terms::default()
        });
        let text = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<Rules>(&text).unwrap(), rules);
    }
}
