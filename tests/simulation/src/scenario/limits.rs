//! What an account is held to, written down twice: once as the rules that the limiter works by,
//! once in the judge's own words.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZoneDatabase;
use spillway_core::profile::{Profile, SlowDown};
use spillway_core::quota::{self, Action, Quota, Scope, Tier, Unit};
use spillway_core::rules::{Rules, Terms};
use spillway_core::time::Timestamp;
use spillway_judge::{self as judge, Active, Counted as Counts, Figure, WarmUp, profile};

use crate::meta::millis;

/// The limits of one account.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    shape: Shape,
    start: u64,
    first: Rules,
    then: Option<Rules>,
    /// As the judge has them.
    pub(crate) judged: judge::Rules,
}

/// What limits are made of.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// The rows.
    pub(crate) base: Base,
    /// Whether the day's DMs are spread.
    pub(crate) pace: Pace,
    /// The tier at first.
    pub(crate) tier: Tier,
    /// What it changes to.
    pub(crate) other: Option<Other>,
    /// When the account's first day began, where it is warmed up.
    pub(crate) new_since: Option<u64>,
    /// Whose clocks it follows.
    pub(crate) zone: &'static str,
    /// The hour at which its day begins.
    pub(crate) starts: i8,
}

/// What limits change to.
#[derive(Clone, Debug)]
pub(crate) struct Other {
    /// From this instant on, in milliseconds since 1970 as all instants here: [`BY_HAND`] where an
    /// operator changes them, and nobody knows when.
    pub(crate) from: u64,
    /// The tier.
    pub(crate) tier: Tier,
    /// The rows, where they change too.
    pub(crate) base: Option<Base>,
}

/// The rows that limits begin with.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// Those of the careful profile.
    Careful,
    /// Those that Meta documents.
    Meta,
    /// Drawn ones.
    Rows(Vec<Row>),
}

/// How a day's DMs are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// They are not: around the clock, as fast as the rows allow.
    Free,
    /// Evenly over the active hours.
    Spread,
}

/// One quota, in the terms of everybody who counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) id: &'static str,
    /// What it counts.
    pub(crate) counts: Counted,
    /// The window's length in milliseconds.
    pub(crate) window: u64,
    /// The most that a window may hold, by tier.
    pub(crate) limits: [NonZeroU32; 3],
    /// Whose calls it counts together.
    pub(crate) scope: Scope,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Calls of every kind.
    Calls,
    /// Private replies to posts and Reels.
    PrivateReplies,
    /// Private replies to live comments.
    LiveReplies,
    /// DMs of every kind.
    Messages,
    /// People written to.
    Recipients,
}

/// Later than any run: limits that an operator changes are changed when that is done.
pub(crate) const BY_HAND: u64 = 253_402_300_799_000;

/// How far ahead active hours are known, in days.
const DAYS_AHEAD: u32 = 60;

/// The pace is even under windows up to this length.
const EVEN_UP_TO: Duration = Duration::from_secs(3600);

const DAY: u64 = 24 * 3_600_000;

impl Limits {
    /// Writes down the limits of an account whose run begins at `start`.
    pub(crate) fn new(shape: Shape, start: u64) -> Self {
        Self {
            first: shape.rules(),
            then: shape.after().map(|after| after.rules()),
            judged: shape.judged(start),
            start,
            shape,
        }
    }

    /// What an operator changes them to.
    pub(crate) fn then(&self) -> Option<&Rules> {
        self.then.as_ref()
    }

    /// As the judge has them where they are changed at `from`.
    pub(crate) fn judged_from(&self, from: u64) -> judge::Rules {
        let other = self.shape.other.clone().map(|other| Other { from, ..other });
        Shape { other, ..self.shape.clone() }.judged(self.start)
    }

    /// The limiter's rules as they are stored at `now`.
    pub(crate) fn rules(&self, now: u64) -> &Rules {
        match (&self.shape.other, &self.then) {
            (Some(Other { from, .. }), Some(then)) if *from <= now => then,
            _ => &self.first,
        }
    }

    /// When they are changed, where nobody has to do it.
    pub(crate) fn changed_at(&self) -> Option<u64> {
        self.shape.other.as_ref().map(|other| other.from).filter(|&from| from != BY_HAND)
    }

    /// The quotas that are counted for the account: at first, and then.
    pub(crate) fn quotas(&self) -> impl Iterator<Item = Vec<&Quota>> {
        [&self.first].into_iter().chain(&self.then).map(quotas_of)
    }

    /// Whether the account has to lease from the app's quotas.
    pub(crate) fn leases(&self) -> bool {
        self.first.leased().next().is_some()
    }

    /// The tier at first.
    pub(crate) fn first_tier(&self) -> Tier {
        self.shape.tier
    }

    /// Whether the day's DMs are spread.
    pub(crate) fn pace(&self) -> Pace {
        match self.shape.base {
            Base::Careful => Pace::Spread,
            Base::Meta | Base::Rows(_) => self.shape.pace,
        }
    }

    /// When DMs may go.
    pub(crate) fn active(&self) -> &Active {
        &self.judged.active
    }

    /// The fewest calls of upkeep that a window may hold.
    pub(crate) fn reads(&self) -> u32 {
        let rows = self.judged.rows.iter();
        let rows = rows.filter(|row| row.counts.actions.contains(judge::Action::Read));
        let least = |row: &judge::Limit| row.limit.steps.iter().map(|&(_, limit)| limit).min();
        rows.map(|row| least(row).unwrap_or(u32::MAX).min(row.limit.first))
            .min()
            .unwrap_or(u32::MAX)
    }

    /// The distance of DMs at full pace, in milliseconds.
    pub(crate) fn slot(&self) -> u64 {
        let counts = |row: &&judge::Limit| {
            row.window <= EVEN_UP_TO && row.counts.actions.contains(judge::Action::PrivateReply)
        };
        let rows = self.judged.rows.iter().filter(counts);
        let even = rows.map(|row| millis(row.window) / u64::from(row.limit.first));
        let day = self.judged.spread_over.zip(self.judged.day_figure());
        even.chain(day.map(|(over, day)| millis(over) / u64::from(day.first))).max().unwrap_or(0)
    }

    /// What `dms` take at most from `start` on, were nothing to go wrong, in milliseconds: each
    /// window filled by units of the worst mix and by a lane that leaves a part of it alone, one
    /// after the other.
    pub(crate) fn drain(&self, dms: u64, start: u64) -> u64 {
        let least = |figure: &Figure| {
            let stretches = figure.stretches(Timestamp::from_millis(start));
            let least = stretches.map(|stretch| stretch.value).min().unwrap_or(1);
            u64::from(least - (least / 50).max(2).min(least - 1))
        };
        let counts = |row: &&judge::Limit| {
            let dms = [judge::Action::PrivateReply, judge::Action::LivePrivateReply];
            dms.iter().any(|&action| row.counts.actions.contains(action))
        };
        let rows = self.judged.rows.iter().filter(counts).map(|row| {
            let window = millis(row.window);
            dms.div_ceil(least(&row.limit)) * (window + window / 50 + 10_000)
        });
        let even = self.judged.spread_over.zip(self.judged.day_figure());
        let even = even.map(|(over, day)| dms * (millis(over) / least(&day) + 1000));
        let longest = rows.chain(even).max().unwrap_or_default();
        match self.pace() {
            Pace::Free => longest,
            // Two thirds of each day are active.
            Pace::Spread => longest * 3 / 2 + DAY,
        }
    }
}

/// The quotas that an account is held to by itself.
pub(crate) fn quotas_of(rules: &Rules) -> Vec<&Quota> {
    let quotas = rules.profile().quotas.iter();
    quotas.filter(|quota| quota.scope == Scope::Account).collect()
}

impl Shape {
    /// What it changes to.
    fn after(&self) -> Option<Self> {
        let Other { tier, base, .. } = self.other.clone()?;
        let base = base.unwrap_or_else(|| self.base.clone());
        Some(Self { base, tier, other: None, ..self.clone() })
    }

    fn rules(&self) -> Rules {
        let careful = Profile::careful();
        let mut profile = match &self.base {
            Base::Careful => careful.clone(),
            Base::Meta => Profile::meta(),
            Base::Rows(rows) => Profile {
                name: "drawn".into(),
                quotas: rows.iter().map(Row::quota).collect(),
                spread: None,
                warm_up: careful.warm_up.filter(|_| self.new_since.is_some()),
                slow_down: SlowDown::default(),
            },
        };
        if self.pace == Pace::Spread {
            profile.spread = careful.spread;
        }
        let terms = Terms {
            tier: self.tier,
            time_zone: self.zone.parse().expect("a zone of the database"),
            day_starts: format!("{:02}:00", self.starts).parse().expect("an hour"),
            warm_up_since: self.new_since.map(Timestamp::from_millis),
        };
        Rules::new(profile, terms).expect("the profile is sound")
    }

    /// The rows before the change and those after it each hold for their time, counted over all
    /// calls: those of before the change too. A row that both have holds all the time.
    fn judged(&self, start: u64) -> judge::Rules {
        let (Some(Other { from, base: Some(_), .. }), Some(after)) = (&self.other, self.after())
        else {
            return self.judged_once(start);
        };
        let mut judged = Self { other: None, ..self.clone() }.judged_once(start);
        let mut then = after.judged_once(start).rows;
        for row in &mut judged.rows {
            let is_same = |then: &judge::Limit| {
                (&then.name, then.counts, then.window) == (&row.name, row.counts, row.window)
            };
            row.limit = match then.iter().position(is_same) {
                Some(same) => changed(&row.limit, *from, &then.swap_remove(same).limit),
                None => changed(&row.limit, *from, &u32::MAX.into()),
            };
        }
        then.iter_mut().for_each(|row| row.limit = changed(&u32::MAX.into(), *from, &row.limit));
        judged.rows.extend(then);
        judged
    }

    fn judged_once(&self, start: u64) -> judge::Rules {
        let warm_up = self.new_since.map(|since| WarmUp {
            since: Timestamp::from_millis(since),
            ramp_days: NonZeroU32::new(14).unwrap_or(NonZeroU32::MIN),
        });
        let day = self.figure(profile::TIERS);
        let rules = match &self.base {
            Base::Careful => {
                let active = self.active(start);
                return profile::careful(&profile::Standing { day, warm_up, active });
            }
            Base::Meta => profile::meta(day),
            Base::Rows(rows) => {
                let own = rows.iter().filter(|row| row.scope == Scope::Account);
                judge::Rules::from(own.map(|row| self.limit(row, warm_up)).collect::<Vec<_>>())
            }
        };
        match self.pace {
            Pace::Free => rules,
            Pace::Spread => profile::spread(judge::Rules { active: self.active(start), ..rules }),
        }
    }

    fn active(&self, start: u64) -> Active {
        let zone = TimeZoneDatabase::bundled().get(self.zone).expect("a zone of the database");
        let starts = civil::time(self.starts, 0, 0, 0);
        Active::daily(&zone, starts, Timestamp::from_millis(start), DAYS_AHEAD)
    }

    /// A limit by tier over time.
    fn figure(&self, limits: [u32; 3]) -> Figure {
        let of = |tier: Tier| limits[tier as usize];
        let first = of(self.tier);
        match &self.other {
            None => first.into(),
            Some(Other { from, tier, .. }) => changed(&first.into(), *from, &of(*tier).into()),
        }
    }

    fn limit(&self, row: &Row, warm_up: Option<WarmUp>) -> judge::Limit {
        let figure = self.figure(row.limits.map(NonZeroU32::get));
        let counts_dms = row.counts != Counted::LiveReplies;
        let figure = match warm_up {
            Some(warm_up) if row.window == DAY && counts_dms => warm_up.of(&figure),
            _ => figure,
        };
        judge::Limit::new(row.id, row.counts.counts(), Duration::from_millis(row.window), figure)
    }
}

/// One figure until `from`, and another one from then on: no grant is written by the first one any
/// more.
fn changed(before: &Figure, from: u64, after: &Figure) -> Figure {
    let from = Timestamp::from_millis(from);
    let earlier = before.steps.iter().copied().filter(|&(step, _)| step < from);
    let later = after.steps.iter().copied().filter(|&(step, _)| step > from);
    let steps = earlier.chain([(from, after.at(from))]).chain(later).collect();
    Figure { first: before.first, steps }
}

impl Row {
    /// A row with the same limit in every tier.
    pub(crate) fn new(id: &'static str, counts: Counted, window: u64, limit: NonZeroU32) -> Self {
        Self { id, counts, window, limits: [limit; 3], scope: Scope::Account }
    }

    /// As the limiter has it.
    fn quota(&self) -> Quota {
        let (actions, unit) = match self.counts {
            Counted::Calls => (Action::ALL.to_vec(), Unit::Calls),
            Counted::PrivateReplies => (vec![Action::PrivateReply], Unit::Calls),
            Counted::LiveReplies => (vec![Action::LiveReply], Unit::Calls),
            Counted::Messages => (Action::DIRECT_MESSAGES.to_vec(), Unit::Calls),
            Counted::Recipients => (Action::DIRECT_MESSAGES.to_vec(), Unit::Recipients),
        };
        let [tier_1, tier_2, tier_3] = self.limits;
        let limit = quota::Limit::ByTier { tier_1, tier_2, tier_3 };
        let quota = Quota::new(self.id, &actions, unit, Duration::from_millis(self.window), limit);
        Quota { scope: self.scope, ..quota }
    }
}

impl Counted {
    /// As the judge has it.
    pub(crate) const fn counts(self) -> Counts {
        match self {
            Self::Calls => Counts::EVERY_CALL,
            Self::PrivateReplies => Counts::PRIVATE_REPLIES,
            Self::LiveReplies => Counts::LIVE_REPLIES,
            Self::Messages => Counts::DMS,
            Self::Recipients => Counts::DM_RECIPIENTS,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.window {
            ms if ms % 3_600_000 == 0 => (ms / 3_600_000, "h"),
            ms => (ms / 1000, "s"),
        };
        let [first, .., last] = self.limits;
        write!(f, "{} {first}", self.id)?;
        if first != last {
            write!(f, "-{last}")?;
        }
        write!(f, "/{number}{unit}")
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Careful => f.write_str("careful"),
            Self::Meta => f.write_str("meta"),
            Self::Rows(rows) => {
                let rows: Vec<String> = rows.iter().map(Row::to_string).collect();
                f.write_str(&rows.join(", "))
            }
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { base, tier, other, new_since, zone, starts, .. } = &self.shape;
        write!(f, "{base} tier {}", u8::from(*tier))?;
        if let Some(Other { tier, base, .. }) = other {
            write!(f, " then ")?;
            if let Some(base) = base {
                write!(f, "{base} tier ")?;
            }
            write!(f, "{}", u8::from(*tier))?;
        }
        if self.pace() == Pace::Spread {
            write!(f, ", from {starts}:00 {zone}")?;
        }
        if new_since.is_some() {
            write!(f, ", new")?;
        }
        Ok(())
    }
}
