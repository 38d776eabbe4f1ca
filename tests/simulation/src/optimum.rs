//! Runs at full size with nothing going wrong, beside the plan that nobody can beat: how much later
//! the last send is, and how much of what was possible was done meanwhile.

use std::fmt;
use std::time::Duration;

use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZoneDatabase;
use serde::Serialize;
use spillway_core::quota::Tier;
use spillway_core::time::Timestamp;
use spillway_judge::{Action, Perishable, Rules, most_in_time, optimum};

use crate::meta::millis;
use crate::record::Failure;
use crate::sabotage::Sabotage;
use crate::scenario::{Base, Limits, Pace, Scenario, Shape, Told};
use crate::sim::Sim;

/// Comments that come at once, and the limits under which they are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// What it is called.
    pub name: &'static str,
    comments: u64,
    within: Duration,
    base: Known,
    tier: Tier,
}

/// The profiles that come with Spillway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Careful,
    Meta,
    MetaSpread,
}

/// When a burst begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    day: Date,
    hour: i8,
}

/// How a burst went.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Which burst.
    pub burst: &'static str,
    /// When it began, by the account's clocks.
    pub began: String,
    /// What broke.
    pub failure: Option<Failure>,
    /// Sends that were made.
    pub sent: u64,
    /// The most that anybody could make within seven days of each comment.
    pub most: u64,
    /// The active time until the last send was made, as a multiple of the plan's; `None` where not
    /// all can be made in time.
    pub finish: Option<f64>,
    /// Of the sends that the plan has made by its end, how many were made.
    pub used: f64,
}

/// The zone whose clocks the accounts follow.
const ZONE: &str = "Europe/Berlin";

/// Meta's own deadline.
const REPLY_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);

/// The bursts that are measured.
pub const BURSTS: [Burst; 5] = [
    Burst {
        name: "3,000 in 10 min, careful, tier 1",
        comments: 3000,
        within: Duration::from_secs(600),
        base: Known::Careful,
        tier: Tier::One,
    },
    // More than seven days hold.
    Burst {
        name: "10,000 in 10 min, careful, tier 1",
        comments: 10_000,
        within: Duration::from_secs(600),
        base: Known::Careful,
        tier: Tier::One,
    },
    Burst {
        name: "20,000 in 10 min, careful, tier 2",
        comments: 20_000,
        within: Duration::from_secs(600),
        base: Known::Careful,
        tier: Tier::Two,
    },
    Burst {
        name: "30,000 in 5 min, meta and spread, tier 2",
        comments: 30_000,
        within: Duration::from_secs(300),
        base: Known::MetaSpread,
        tier: Tier::Two,
    },
    Burst {
        name: "10,000 in 10 min, meta, tier 3",
        comments: 10_000,
        within: Duration::from_secs(600),
        base: Known::Meta,
        tier: Tier::Three,
    },
];

impl Begin {
    /// Six hours of an ordinary day, and of the days before the clocks were put forward and back.
    pub fn all() -> impl Iterator<Item = Self> {
        let days = [date(2026, 9, 21), date(2026, 3, 28), date(2026, 10, 24)];
        days.into_iter().flat_map(|day| [1, 5, 8, 13, 18, 23].map(|hour| Self { day, hour }))
    }

    fn local(self) -> DateTime {
        self.day.at(self.hour, 0, 0, 0)
    }

    fn instant(self) -> u64 {
        let zone = TimeZoneDatabase::bundled().get(ZONE).expect("a zone of the database");
        let instant = zone.to_timestamp(self.local()).expect("a time that the day has");
        instant.as_millisecond().unsigned_abs()
    }
}

impl Burst {
    /// Plays it.
    pub fn measure(&self, begin: Begin) -> Measured {
        let start = begin.instant();
        let limits = self.limits(start);
        let rules = limits.judged.clone();
        let within = millis(self.within);
        let mut sim =
            Sim::new(Scenario::burst(limits, self.comments, within, start), Sabotage::None, None);
        sim.play();
        let arrivals = sim.arrivals();
        let sent = sim.dms();
        let comparison = Comparison::new(&rules, &arrivals, &sent);
        Measured {
            burst: self.name,
            began: begin.local().to_string(),
            failure: sim.failure(),
            sent: sent.len() as u64,
            most: comparison.most,
            finish: comparison.finish,
            used: comparison.used,
        }
    }

    fn limits(&self, start: u64) -> Limits {
        let (base, pace) = match self.base {
            Known::Careful => (Base::Careful, Pace::Spread),
            Known::Meta => (Base::Meta, Pace::Free),
            Known::MetaSpread => (Base::Meta, Pace::Spread),
        };
        let shape = Shape {
            base,
            pace,
            tier: self.tier,
            other: None,
            new_since: None,
            zone: ZONE,
            starts: 8,
        };
        Limits::new(shape, start)
    }
}

struct Comparison {
    most: u64,
    finish: Option<f64>,
    used: f64,
}

impl Comparison {
    /// Compares the instants at which sends were made, ascending as the arrivals are, with the
    /// plan.
    fn new(rules: &Rules, arrivals: &[Timestamp], sent: &[Timestamp]) -> Self {
        let plan = optimum(arrivals, rules);
        let due = |&arrival: &Timestamp| arrival + REPLY_WITHIN;
        let in_time = plan.iter().zip(arrivals).all(|(&at, arrival)| at <= due(arrival));
        let (Some(&first), Some(&last)) = (arrivals.first(), sent.last()) else {
            return Self { most: 0, finish: None, used: 0.0 };
        };
        let active = |to: Timestamp| rules.active.active_time(first, to).as_secs_f64();
        if in_time {
            let end = plan.last().copied().unwrap_or(first);
            return Self {
                most: plan.len() as u64,
                finish: Some(active(last) / active(end).max(1.0)),
                used: made_by(sent, end) as f64 / plan.len() as f64,
            };
        }
        let sends: Vec<Perishable> = arrivals
            .iter()
            .map(|arrival| Perishable { arrival: *arrival, deadline: due(arrival) })
            .collect();
        let most = most_in_time(&sends, rules).into_iter().flatten().count();
        let used = sent.len() as f64 / most.max(1) as f64;
        Self { most: most as u64, finish: None, used }
    }
}

fn made_by(sent: &[Timestamp], end: Timestamp) -> usize {
    sent.partition_point(|&at| at <= end)
}

impl Sim {
    /// When ingest was told of each comment, ascending.
    fn arrivals(&self) -> Vec<Timestamp> {
        let posts = self.scenario.posts.iter();
        posts
            .flat_map(|post| {
                let comments = match &post.what {
                    Told::Comments(comments) => comments.len(),
                    Told::Messages(_, messages) => messages.len(),
                    Told::Echo(_) => 0,
                    Told::Conversations(events) => events.len(),
                };
                std::iter::repeat_n(Timestamp::from_millis(post.at), comments)
            })
            .collect()
    }

    /// When each DM was made, ascending.
    fn dms(&self) -> Vec<Timestamp> {
        let world = self.shared.world();
        let calls = world.meta.judge.calls().iter();
        let dms = calls.filter(|call| call.action == Action::PrivateReply);
        dms.map(|call| Timestamp::from_millis(call.at_ms)).collect()
    }
}

impl Measured {
    /// Whether it came within 2% of the plan.
    pub fn is_good(&self) -> bool {
        self.failure.is_none()
            && self.finish.is_none_or(|finish| finish <= 1.02)
            && self.used >= 0.98
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { burst, began, failure, sent, most, finish, used } = self;
        let finish = finish.map_or("     -".to_owned(), |finish| format!("{finish:.4}"));
        let used = used * 100.0;
        write!(f, "{burst:42} {began:20} {sent:>6} of {most:>6} {finish} {used:6.2}%")?;
        match failure {
            Some(failure) => write!(f, " BROKEN {}", failure.what),
            None => Ok(()),
        }
    }
}
