//! Profiles: named sets of quotas with the habits that go with them, as data.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::quota::{
    Action, DAY, Limit, PACED_WINDOW_MAX, Quota, QuotaId, Scope, Tier, Unit, nonzero,
};

/// A named set of quotas, and how to keep well below them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The quotas.
    #[serde(rename = "quota")]
    pub quotas: Vec<Quota>,
    /// How the day's DMs are spread. `None` sends around the clock, as fast as the quotas allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// How a new account begins. `None` gives it the full figures at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// At which reported usage the account slows down and stops.
    #[serde(default)]
    pub slow_down: SlowDown,
}

/// Spreads the day's DMs evenly over its active hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// How long a day is active, at most `24h`.
    #[serde(with = "crate::span")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub active: Duration,
    /// DMs that may exceed the even pace in any ten minutes; at least a twentieth of that pace.
    pub burst: u32,
}

impl Spread {
    /// The window of the velocity ceiling.
    pub const VELOCITY_WINDOW: Duration = Duration::from_secs(600);
}

/// The first weeks of a new account, in which each day's figures are a share of the full ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Percent of the full figures on the first day.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub from_percent: u8,
    /// Percent of the full figures on the last day of the warm-up.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub to_percent: u8,
    /// Length of the warm-up in days.
    pub days: NonZeroU32,
    /// Days after the warm-up in which the share rises to 100 percent.
    pub ramp_days: u32,
}

impl WarmUp {
    /// Returns the share in force on day `day`, counted from 0, in thousandths.
    pub fn permille(&self, day: u64) -> u64 {
        let between = |from: u64, to: u64, step: u64, steps: u64| {
            from + to.saturating_sub(from) * step.min(steps) / steps.max(1)
        };
        let (from, to) = (u64::from(self.from_percent) * 10, u64::from(self.to_percent) * 10);
        let last = u64::from(self.days.get()) - 1;
        match day.checked_sub(last) {
            None => between(from, to, day, last),
            Some(0) => to,
            Some(beyond) if beyond <= u64::from(self.ramp_days) => {
                between(to, 1000, beyond, u64::from(self.ramp_days))
            }
            Some(_) => 1000,
        }
    }

    /// Returns the first day, counted from 0, on which the full figures apply.
    pub fn over_on(&self) -> u64 {
        u64::from(self.days.get()) - 1 + u64::from(self.ramp_days.max(1))
    }
}

/// The reported usage from which an account slows down, and at which it stops, in percent of Meta's
/// limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SlowDown {
    /// The account slows down from this usage on.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub from_percent: u8,
    /// The account stops at this usage.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub stop_percent: u8,
}

impl Default for SlowDown {
    fn default() -> Self {
        Self { from_percent: 75, stop_percent: 95 }
    }
}

/// A fault of a profile, with which calls could not be counted or nothing could be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Two quotas share a name, and so would share their counts.
    #[error("quota `{0}` is listed twice: give each quota its own name")]
    Repeated(QuotaId),
    /// A name that Spillway uses itself.
    #[error("`{VELOCITY}` is the name of the spread's own quota: choose another")]
    Reserved,
    /// A window of no length.
    #[error("quota `{0}` has a window of 0: give its length, such as `1h`")]
    NoWindow(QuotaId),
    /// A window for which no counts are kept.
    #[error("quota `{0}` has a window of more than 31 days: shorten it")]
    LongWindow(QuotaId),
    /// A quota that counts nothing.
    #[error("quota `{0}` counts no action: name at least one")]
    NoAction(QuotaId),
    /// A recipients row counts only some of the DMs. A person has one unit for all DMs, so the row
    /// would mistake the unit of another DM for one of its own.
    #[error("quota `{0}` counts recipients: name private_reply, live_reply and message all three")]
    SomePeople(QuotaId),
    /// A name that does not fit the account's item.
    #[error("quota name `{0}` must have 1 to 32 bytes")]
    Name(QuotaId),
    /// More quotas than fit the account's item.
    #[error("a profile has at most {QUOTAS_MAX} quotas: leave out those that cannot bind")]
    TooMany,
    /// No quota limits this action.
    #[error("no quota counts `{0}`: a DM without a limit gets an account blocked; add a quota")]
    Unlimited(&'static str),
    /// A day without active hours, or with too many.
    #[error("the spread's `active` must be more than a minute and at most `24h`")]
    Active,
    /// Nothing says how many DMs are to be spread.
    #[error("the spread needs a quota of DMs with a window of `24h` to divide")]
    NothingToSpread,
    /// A warm-up that allows nothing, or falls.
    #[error("the warm-up must rise: 1 <= from_percent <= to_percent <= 100")]
    WarmUp,
    /// A warm-up under which a day's figure is less than one DM.
    #[error("quota `{0}` allows no DM at all on the first day of the warm-up: raise one of them")]
    NeverSends(QuotaId),
    /// A slow-down that never begins, or begins behind its end.
    #[error("the slow-down must have from_percent < stop_percent <= 100")]
    SlowDown,
}

impl ProfileError {
    /// The row that is wrong, where it is one.
    pub fn quota(&self) -> Option<&QuotaId> {
        match self {
            Self::Repeated(id)
            | Self::NoWindow(id)
            | Self::LongWindow(id)
            | Self::NoAction(id)
            | Self::SomePeople(id)
            | Self::Name(id)
            | Self::NeverSends(id) => Some(id),
            Self::Reserved
            | Self::TooMany
            | Self::Unlimited(_)
            | Self::Active
            | Self::NothingToSpread
            | Self::WarmUp
            | Self::SlowDown => None,
        }
    }
}

/// A property of a profile that may surprise its reader. Nothing breaks. Each names the figures that
/// the profile's writer wrote, beside what follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileWarning {
    /// A row that can never be reached, because another row is reached first.
    NeverBinds {
        /// The row.
        quota: QuotaId,
        /// Its window.
        window: Duration,
        /// The row that is always reached first.
        because_of: Bound,
    },
    /// A limit of Meta's that the profile lets an account exceed: Meta then throttles it.
    AboveMeta {
        /// Meta's limit, by the name that the profile `meta` has for it.
        quota: QuotaId,
        /// Its figure.
        limit: u32,
        /// Its window.
        window: Duration,
        /// The row that allows the least in that window; `None` if no row bounds it.
        allowed: Option<Bound>,
    },
    /// A day's figure that cannot be reached in the active hours.
    DayUnreachable {
        /// The row.
        quota: QuotaId,
        /// Its figure.
        limit: u32,
        /// The row that keeps the account from reaching it.
        because_of: Bound,
    },
}

/// A row, and what it lets into a window of another length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The row.
    pub quota: QuotaId,
    /// Its figure.
    pub limit: u32,
    /// Its window.
    pub window: Duration,
    /// The most that it lets into the other window.
    pub at_most: u64,
}

impl Bound {
    /// Adds what follows from the row's figure for the other window, where that is not the same.
    fn and(&self, other: impl std::fmt::Display) -> String {
        let Self { limit, at_most, .. } = self;
        let follows = *at_most != u64::from(*limit);
        let made = if follows { format!(", which makes {at_most} {other}") } else { String::new() };
        format!("{self}{made}")
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { quota, limit, window, .. } = self;
        write!(f, "`{quota}` allows {limit} in {:#}", shown(*window))
    }
}

/// A window, to be written as `1h`.
fn shown(window: Duration) -> SignedDuration {
    SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX)
}

impl std::fmt::Display for ProfileWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NeverBinds { quota, window, because_of } => {
                let bound = because_of.and(format_args!("in {:#}", shown(*window)));
                write!(f, "`{quota}` never binds: {bound}")
            }
            Self::AboveMeta { quota, limit, window, allowed } => {
                write!(f, "Meta allows {limit} in {:#} (`{quota}`), and ", shown(*window))?;
                match allowed {
                    Some(row) => f.write_str(&row.and(format_args!("in {:#}", shown(*window)))),
                    None => f.write_str("this profile has no limit for them"),
                }
            }
            Self::DayUnreachable { quota, limit, because_of } => {
                let bound = because_of.and("a day");
                write!(f, "the {limit} of `{quota}` cannot be reached: {bound}")
            }
        }
    }
}

/// The name of the velocity ceiling's own quota.
pub(crate) const VELOCITY: &str = "velocity";

/// What an account's item has room for.
const QUOTAS_MAX: usize = 12;

const WINDOW_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

impl Profile {
    /// The careful practice of the field, stricter than what Meta documents: 200 calls an hour and
    /// token, the day's DMs by tier and evenly over 16 hours, a slow start. The figures that are
    /// Meta's own: 750 private replies an hour and 100 to live comments a second (23 March 2026),
    /// 50 posts a day.
    pub fn careful() -> Self {
        let calls = Limit::Fixed(nonzero(200));
        let mut app = Quota::new("app_calls_hour", &Action::ALL, Unit::Calls, HOUR, calls);
        app.scope = Scope::App;
        let follows = |id, window, limit| {
            Quota::new(id, &[Action::Follow], Unit::Calls, window, Limit::Fixed(nonzero(limit)))
        };
        let mut quotas = Self::documented();
        quotas.splice(
            0..0,
            [
                Quota::new("calls_hour", &Action::ALL, Unit::Calls, HOUR, calls),
                Quota::new(
                    "messages_day",
                    &Action::DIRECT_MESSAGES,
                    Unit::Calls,
                    DAY,
                    Limit::TIERS,
                ),
            ],
        );
        quotas.extend([follows("follows_hour", HOUR, 60), follows("follows_day", DAY, 150), app]);
        Self {
            name: "careful".into(),
            quotas,
            spread: Some(Spread { active: Duration::from_secs(16 * 3600), burst: 5 }),
            warm_up: Some(WarmUp {
                from_percent: 20,
                to_percent: 30,
                days: nonzero(14),
                ramp_days: 14,
            }),
            slow_down: SlowDown::default(),
        }
    }

    /// What Meta documents, and nothing more careful: around the clock and from the first day on.
    /// Where two of its pages disagree, the stricter figure (messages: 100 a second, 50 posts a
    /// day).
    pub fn meta() -> Self {
        let messages = Limit::Fixed(nonzero(100));
        let mut quotas = Self::documented();
        quotas.push(Quota::new(
            "messages_second",
            &[Action::Message],
            Unit::Calls,
            Duration::from_secs(1),
            messages,
        ));
        Self {
            name: "meta".into(),
            quotas,
            spread: None,
            warm_up: None,
            slow_down: SlowDown::default(),
        }
    }

    /// Returns the built-in profile of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::careful(), Self::meta()].into_iter().find(|profile| profile.name == name)
    }

    /// Private replies (Meta, 23 March 2026), recipients by tier, and posts (Meta, 21 August 2026).
    fn documented() -> Vec<Quota> {
        let fixed = |limit| Limit::Fixed(nonzero(limit));
        vec![
            Quota::new(
                "private_replies_hour",
                &[Action::PrivateReply],
                Unit::Calls,
                HOUR,
                fixed(750),
            ),
            Quota::new(
                "live_replies_second",
                &[Action::LiveReply],
                Unit::Calls,
                Duration::from_secs(1),
                fixed(100),
            ),
            Quota::new(
                "recipients_day",
                &Action::DIRECT_MESSAGES,
                Unit::Recipients,
                DAY,
                Limit::TIERS,
            ),
            Quota::new("posts_day", &[Action::Publish], Unit::Calls, DAY, fixed(50)),
        ]
    }

    /// Returns the account-scoped quotas from which one `action` takes a unit.
    pub fn counting(&self, action: Action) -> impl Iterator<Item = &Quota> {
        self.account_quotas().filter(move |quota| quota.counts(action))
    }

    pub(crate) fn account_quotas(&self) -> impl Iterator<Item = &Quota> {
        self.quotas.iter().filter(|quota| quota.scope == Scope::Account)
    }

    /// Checks that calls can be counted under this profile, and that it allows sends.
    ///
    /// # Errors
    /// Returns the first fault, whose message says what to do about it.
    pub fn validate(&self) -> Result<(), ProfileError> {
        if self.quotas.len() > QUOTAS_MAX {
            return Err(ProfileError::TooMany);
        }
        for (at, quota) in self.quotas.iter().enumerate() {
            self.validate_quota(quota, &self.quotas[..at])?;
        }
        let unlimited = |action: Action| self.counting(action).next().is_none();
        if unlimited(Action::PrivateReply) {
            return Err(ProfileError::Unlimited("private_reply"));
        }
        if unlimited(Action::LiveReply) {
            return Err(ProfileError::Unlimited("live_reply"));
        }
        if let Some(spread) = self.spread {
            if spread.active <= Duration::from_secs(60) || spread.active > DAY {
                return Err(ProfileError::Active);
            }
            if !self.account_quotas().any(Quota::is_day_figure) {
                return Err(ProfileError::NothingToSpread);
            }
        }
        let SlowDown { from_percent, stop_percent } = self.slow_down;
        if from_percent >= stop_percent || stop_percent > 100 {
            return Err(ProfileError::SlowDown);
        }
        Ok(())
    }

    fn validate_quota(&self, quota: &Quota, earlier: &[Quota]) -> Result<(), ProfileError> {
        let id = || quota.id.clone();
        if earlier.iter().any(|earlier| earlier.id == quota.id) {
            return Err(ProfileError::Repeated(id()));
        }
        if quota.id.as_str() == VELOCITY {
            return Err(ProfileError::Reserved);
        }
        if quota.id.as_str().is_empty() || quota.id.as_str().len() > 32 {
            return Err(ProfileError::Name(id()));
        }
        if quota.window.is_zero() {
            return Err(ProfileError::NoWindow(id()));
        }
        if quota.window > WINDOW_MAX {
            return Err(ProfileError::LongWindow(id()));
        }
        if quota.actions.is_empty() {
            return Err(ProfileError::NoAction(id()));
        }
        if quota.unit == Unit::Recipients
            && !Action::DIRECT_MESSAGES.iter().all(|&dm| quota.counts(dm))
        {
            return Err(ProfileError::SomePeople(id()));
        }
        let Some(warm_up) = self.warm_up else { return Ok(()) };
        if warm_up.from_percent == 0
            || warm_up.from_percent > warm_up.to_percent
            || warm_up.to_percent > 100
        {
            return Err(ProfileError::WarmUp);
        }
        let hundredths =
            u64::from(quota.limit.of(Tier::One).get()) * u64::from(warm_up.from_percent);
        if quota.is_day_figure() && hundredths < 100 {
            return Err(ProfileError::NeverSends(id()));
        }
        Ok(())
    }

    /// Returns the limits of Meta's that it lets an account of `tier` exceed, the rows that never
    /// limit such an account, and the day's figures that it cannot reach. The profiles that come
    /// with Spillway have rows for other tiers, which are no cause for a warning.
    pub fn warnings(&self, tier: Tier) -> Vec<ProfileWarning> {
        let is_built_in = [Self::careful(), Self::meta()].contains(self);
        let active = self.spread.map_or(DAY, |spread| spread.active);
        let mut warnings = self.above_meta(tier, active);
        for quota in self.account_quotas() {
            let limit = quota.limit.of(tier).get();
            let tighter =
                self.account_quotas().filter(|other| other.id != quota.id).find_map(|other| {
                    let bound = bound(quota, other, tier, active)?;
                    // Of two alike, the first one binds.
                    let is_alike =
                        other.window == quota.window && bound.at_most == u64::from(limit);
                    let binds = bound.at_most < u64::from(limit)
                        || is_alike && self.stands_before(other, quota);
                    binds.then_some(bound)
                });
            let Some(because_of) = tighter else { continue };
            let quota_id = quota.id.clone();
            warnings.push(if quota.is_day_figure() && because_of.at_most < u64::from(limit) {
                ProfileWarning::DayUnreachable { quota: quota_id, limit, because_of }
            } else if is_built_in {
                continue;
            } else {
                let window = quota.window;
                ProfileWarning::NeverBinds { quota: quota_id, window, because_of }
            });
        }
        warnings
    }

    fn above_meta(&self, tier: Tier, active: Duration) -> Vec<ProfileWarning> {
        let above = |of_meta: Quota| {
            let limit = of_meta.limit.of(tier).get();
            let rows = self.account_quotas();
            let rows = rows.filter_map(|row| bound(&of_meta, row, tier, active));
            let allowed = rows.min_by_key(|row| row.at_most);
            let Quota { id: quota, window, .. } = of_meta;
            let is_within = allowed.as_ref().is_some_and(|row| row.at_most <= limit.into());
            (!is_within).then_some(ProfileWarning::AboveMeta { quota, limit, window, allowed })
        };
        Self::documented().into_iter().filter_map(above).collect()
    }

    fn stands_before(&self, one: &Quota, other: &Quota) -> bool {
        let place = |quota: &Quota| self.quotas.iter().position(|known| known.id == quota.id);
        place(one) < place(other)
    }
}

const HOUR: Duration = PACED_WINDOW_MAX;

/// What `other` lets into a window of `quota`, if it counts all that `quota` does.
fn bound(quota: &Quota, other: &Quota, tier: Tier, active: Duration) -> Option<Bound> {
    let at_most = reachable(quota, other, tier, active)?;
    let limit = other.limit.of(tier).get();
    Some(Bound { quota: other.id.clone(), limit, window: other.window, at_most })
}

/// The most that `other` ever lets into a window of `quota`, if it counts all that `quota` does.
fn reachable(quota: &Quota, other: &Quota, tier: Tier, active: Duration) -> Option<u64> {
    if !quota.actions.iter().all(|&action| other.counts(action)) {
        return None;
    }
    // Distinct people may be fewer than the messages to them.
    if other.unit == Unit::Recipients && quota.unit == Unit::Calls {
        return None;
    }
    let limit = u64::from(other.limit.of(tier).get());
    if other.window >= quota.window {
        return Some(limit);
    }
    let busy = if quota.is_day_figure() { active } else { quota.window };
    let windows = busy.as_millis().div_ceil(other.window.as_millis().max(1));
    u64::try_from(windows).ok()?.checked_mul(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Profile)) -> Result<(), ProfileError> {
        let mut profile = Profile::careful();
        change(&mut profile);
        profile.validate()
    }

    #[test]
    fn the_profiles_that_come_along_are_sound() {
        assert_eq!(Profile::careful().validate(), Ok(()));
        assert_eq!(Profile::meta().validate(), Ok(()));
        assert_eq!(Profile::named("meta"), Some(Profile::meta()));
        assert_eq!(Profile::named("mine"), None);
    }

    #[test]
    fn what_cannot_be_counted_or_never_sends_is_refused() {
        let id = QuotaId::new("calls_hour");
        assert_eq!(
            with(|p| p.quotas.push(p.quotas[0].clone())),
            Err(ProfileError::Repeated(id.clone()))
        );
        assert_eq!(
            with(|p| p.quotas[0].window = Duration::ZERO),
            Err(ProfileError::NoWindow(id.clone()))
        );
        assert_eq!(
            with(|p| p.quotas[0].window = 40 * DAY),
            Err(ProfileError::LongWindow(id.clone()))
        );
        assert_eq!(with(|p| p.quotas[0].actions.clear()), Err(ProfileError::NoAction(id)));
        assert_eq!(
            with(|p| p.quotas[4].actions = vec![Action::LiveReply, Action::Message]),
            Err(ProfileError::SomePeople(QuotaId::new("recipients_day")))
        );
        let long = QuotaId::new("x".repeat(33));
        assert_eq!(with(|p| p.quotas[0].id = long.clone()), Err(ProfileError::Name(long)));
        assert_eq!(with(|p| p.quotas[0].id = QuotaId::new(VELOCITY)), Err(ProfileError::Reserved));
        assert!(matches!(
            with(|p| p.quotas.retain(|q| q.scope == Scope::App)),
            Err(ProfileError::Unlimited("private_reply"))
        ));
        assert_eq!(
            with(|p| p.spread = Some(Spread { active: Duration::ZERO, burst: 1 })),
            Err(ProfileError::Active)
        );
        assert_eq!(
            with(|p| p.quotas.retain(|quota| !quota.is_day_figure())),
            Err(ProfileError::NothingToSpread)
        );
        assert_eq!(
            with(|p| p.warm_up.as_mut().unwrap().from_percent = 0),
            Err(ProfileError::WarmUp)
        );
        let few = |p: &mut Profile| {
            for quota in &mut p.quotas {
                quota.limit = Limit::Fixed(nonzero(4));
            }
        };
        assert!(matches!(with(few), Err(ProfileError::NeverSends(_))));
        assert_eq!(with(|p| p.slow_down.from_percent = 95), Err(ProfileError::SlowDown));
    }

    #[test]
    fn what_is_just_sound_is_accepted_and_what_is_just_not_is_refused() {
        let id = |len: usize| QuotaId::new("x".repeat(len));
        assert_eq!(with(|p| p.quotas[0].id = id(32)), Ok(()));
        assert_eq!(with(|p| p.quotas[0].id = id(0)), Err(ProfileError::Name(id(0))));
        assert_eq!(with(|p| p.quotas[0].window = 31 * DAY), Ok(()));

        let rows = |n: usize| {
            with(|p| {
                p.quotas = (0..n)
                    .map(|n| Quota { id: QuotaId::new(n.to_string()), ..p.quotas[1].clone() })
                    .collect();
            })
        };
        assert_eq!((rows(12), rows(13)), (Ok(()), Err(ProfileError::TooMany)));
        assert_eq!(
            with(|p| p.quotas.iter_mut().for_each(|q| q.actions = vec![Action::PrivateReply])),
            Err(ProfileError::SomePeople(QuotaId::new("recipients_day")))
        );
        let no_live = |p: &mut Profile| {
            p.quotas.retain(|quota| quota.unit == Unit::Calls);
            p.quotas.iter_mut().for_each(|quota| quota.actions = vec![Action::PrivateReply]);
        };
        assert_eq!(with(no_live), Err(ProfileError::Unlimited("live_reply")));

        let active = |ms| {
            let active = Duration::from_millis(ms);
            with(|p| p.spread = Some(Spread { active, burst: 1 }))
        };
        assert_eq!([60_001, 86_400_000].map(active), [Ok(()), Ok(())]);
        assert_eq!([60_000, 86_400_001].map(active).map(|r| r.is_err()), [true, true]);

        let warm_up = |from_percent, to_percent| {
            with(|p| {
                let warm_up = p.warm_up.as_mut().unwrap();
                (warm_up.from_percent, warm_up.to_percent) = (from_percent, to_percent);
            })
        };
        assert_eq!([warm_up(30, 30), warm_up(1, 100)], [Ok(()), Ok(())]);
        assert_eq!([warm_up(31, 30), warm_up(1, 101)].map(|r| r.is_err()), [true, true]);
        let least = |limit| {
            with(|p| p.quotas.iter_mut().for_each(|q| q.limit = Limit::Fixed(nonzero(limit))))
        };
        assert_eq!(least(u32::MAX), Ok(()));
        assert_eq!([4, 5].map(least).map(|r| r.is_ok()), [false, true], "a fifth of 5 is 1");

        let slow_down = |from_percent, stop_percent| {
            with(|p| p.slow_down = SlowDown { from_percent, stop_percent })
        };
        assert_eq!([slow_down(99, 100), slow_down(0, 1)], [Ok(()), Ok(())]);
        assert_eq!(slow_down(75, 101), Err(ProfileError::SlowDown));
    }

    #[test]
    fn limits_above_metas_own_are_named_with_its_figure() {
        let mut profile = Profile::careful();
        for quota in &mut profile.quotas {
            quota.limit = Limit::Fixed(nonzero(5000));
        }
        let warnings = profile.warnings(Tier::One);
        let shown: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown[..2],
            [
                "Meta allows 750 in 1h (`private_replies_hour`), and `calls_hour` allows 5000 in 1h",
                "Meta allows 100 in 1s (`live_replies_second`), and `calls_hour` allows 5000 in 1h",
            ]
        );
        let calls =
            Quota::new("calls_hour", &Action::ALL, Unit::Calls, HOUR, Limit::Fixed(nonzero(300)));
        let hourly = Profile { quotas: vec![calls], spread: None, ..Profile::careful() };
        let warnings: Vec<String> =
            hourly.warnings(Tier::One).iter().map(ToString::to_string).collect();
        let posts = "Meta allows 50 in 24h (`posts_day`), and `calls_hour` allows 300 in 1h, which \
                     makes 7200 in 24h";
        assert!(warnings.iter().any(|warning| warning == posts), "{warnings:?}");
        profile.quotas.retain(|quota| !quota.counts(Action::Publish));
        let unbounded = ProfileWarning::AboveMeta {
            quota: QuotaId::new("posts_day"),
            limit: 50,
            window: DAY,
            allowed: None,
        };
        assert!(profile.warnings(Tier::One).contains(&unbounded));
        assert!(unbounded.to_string().ends_with("and this profile has no limit for them"));
    }

    #[test]
    fn rows_that_cannot_bind_are_named_with_what_binds_instead() {
        let shown = |profile: Profile, tier| -> Vec<String> {
            profile.warnings(tier).iter().map(ToString::to_string).collect()
        };
        assert_eq!(shown(Profile::careful(), Tier::One), Vec::<String>::new());
        assert_eq!(
            shown(Profile { name: "mine".into(), ..Profile::careful() }, Tier::One),
            [
                "`private_replies_hour` never binds: `calls_hour` allows 200 in 1h",
                "`recipients_day` never binds: `messages_day` allows 1000 in 24h",
            ]
        );
        assert_eq!(
            shown(Profile::careful(), Tier::Two),
            [
                "the 10000 of `messages_day` cannot be reached: `calls_hour` allows 200 in 1h, which makes 3200 a day",
                "the 10000 of `recipients_day` cannot be reached: `calls_hour` allows 200 in 1h, which makes 3200 a day",
            ]
        );
        assert_eq!(shown(Profile::meta(), Tier::Two), Vec::<String>::new());
        let row = |id, actions: &[Action], unit, secs, limit| {
            let limit = Limit::Fixed(nonzero(limit));
            Quota::new(id, actions, unit, Duration::from_secs(secs), limit)
        };
        let of = |quotas: Vec<Quota>| {
            let mut shown =
                shown(Profile { quotas, spread: None, ..Profile::careful() }, Tier::One);
            shown.retain(|warning| !warning.starts_with("Meta allows"));
            shown
        };
        let (all, dms) = (&Action::ALL, &Action::DIRECT_MESSAGES);
        assert_eq!(
            of(vec![row("a", all, Unit::Calls, 60, 5), row("b", all, Unit::Calls, 60, 5)]),
            ["`b` never binds: `a` allows 5 in 1m"],
            "of two alike the first binds"
        );
        assert_eq!(
            of(vec![
                row("people", dms, Unit::Recipients, 60, 5),
                row("calls", dms, Unit::Calls, 60, 9)
            ]),
            Vec::<String>::new(),
            "somebody may be written to twice"
        );
        assert_eq!(
            of(vec![
                row("people", dms, Unit::Recipients, 60, 5),
                row("other", dms, Unit::Recipients, 60, 9)
            ]),
            ["`other` never binds: `people` allows 5 in 1m"]
        );
        assert_eq!(
            of(vec![row("some", dms, Unit::Calls, 60, 5), row("all", all, Unit::Calls, 60, 9)]),
            Vec::<String>::new(),
            "what counts less binds less"
        );
        assert_eq!(
            of(vec![
                row("minute", all, Unit::Calls, 60, 5),
                row("more", all, Unit::Calls, 150, 15)
            ]),
            Vec::<String>::new(),
            "three minutes begin in 150 s"
        );
        assert_eq!(
            of(vec![
                row("minute", all, Unit::Calls, 60, 5),
                row("more", all, Unit::Calls, 150, 16)
            ]),
            ["`more` never binds: `minute` allows 5 in 1m, which makes 15 in 2m 30s"]
        );
        assert_eq!(
            of(vec![
                row("hour", all, Unit::Calls, 3600, 5),
                row("minute", all, Unit::Calls, 60, 5)
            ]),
            Vec::<String>::new(),
            "an hour of five shows a minute of five"
        );
    }

    #[test]
    fn warm_up_rises_from_20_to_30_and_then_to_100() {
        let warm_up = Profile::careful().warm_up.unwrap();
        assert_eq!(
            [0, 13, 14, 27, 28, 500].map(|day| warm_up.permille(day)),
            [200, 300, 350, 1000, 1000, 1000]
        );
        assert!((0..40).all(|day| warm_up.permille(day) <= warm_up.permille(day + 1)));
        assert_eq!([1, 12, 15, 26].map(|day| warm_up.permille(day)), [207, 292, 400, 950]);
        let at_once = WarmUp { days: nonzero(1), ramp_days: 0, ..warm_up };
        assert_eq!([0, 1].map(|day| at_once.permille(day)), [300, 1000]);
        for warm_up in [warm_up, at_once] {
            let over = warm_up.over_on();
            assert!(warm_up.permille(over - 1) < 1000 && warm_up.permille(over) == 1000);
        }
    }

    #[test]
    fn a_profile_is_written_and_read_back() {
        for profile in [Profile::careful(), Profile::meta()] {
            let text = serde_json::to_string(&profile).unwrap();
            assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile, "{text}");
        }
    }
}
