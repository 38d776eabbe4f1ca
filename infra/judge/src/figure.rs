//! A limit's figure, which may change at instants: a tier that is raised, an account that warms up.

use std::num::NonZeroU32;
use std::time::Duration;

use spillway_core::time::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A step function of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Before the first step.
    pub first: u32,
    /// From each instant on, another value; ascending.
    pub steps: Vec<(Timestamp, u32)>,
}

impl From<u32> for Figure {
    fn from(fixed: u32) -> Self {
        Self { first: fixed, steps: Vec::new() }
    }
}

/// A stretch of time over which a figure stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its first instant.
    pub from: Timestamp,
    /// The first instant after it; [`Timestamp::NEVER`] for the last.
    pub until: Timestamp,
    /// The figure.
    pub value: u32,
}

impl Figure {
    /// The same figure with another value from `at` on, which is after all steps so far.
    #[must_use]
    pub fn then(mut self, at: Timestamp, value: u32) -> Self {
        debug_assert!(self.steps.last().is_none_or(|&(last, _)| last < at), "steps ascend");
        self.steps.push((at, value));
        self
    }

    /// The value in force at `at`.
    pub fn at(&self, at: Timestamp) -> u32 {
        self.value_of(self.steps.partition_point(|&(from, _)| from <= at))
    }

    /// The greatest value in force between `from` and `to`, both included.
    pub fn laxest(&self, from: Timestamp, to: Timestamp) -> u32 {
        self.stretches(from)
            .take_while(|stretch| stretch.from <= to)
            .map(|stretch| stretch.value)
            .max()
            .unwrap_or(self.first)
    }

    /// The stretches from the one that holds `from` on.
    pub fn stretches(&self, from: Timestamp) -> impl Iterator<Item = Stretch> + '_ {
        let first = self.steps.partition_point(|&(at, _)| at <= from);
        (first..=self.steps.len()).map(|step| Stretch {
            from: step.checked_sub(1).map_or(Timestamp::EPOCH, |step| self.steps[step].0),
            until: self.steps.get(step).map_or(Timestamp::NEVER, |&(at, _)| at),
            value: self.value_of(step),
        })
    }

    /// The figure that `change` makes of every value.
    #[must_use]
    pub fn map(&self, change: impl Fn(u32) -> u32) -> Self {
        Self {
            first: change(self.first),
            steps: self.steps.iter().map(|&(at, value)| (at, change(value))).collect(),
        }
    }

    /// What `join` makes of the values of two figures at each instant.
    #[must_use]
    pub fn join(&self, other: &Self, join: impl Fn(u32, u32) -> u32) -> Self {
        let mut instants: Vec<Timestamp> =
            self.steps.iter().chain(&other.steps).map(|&(at, _)| at).collect();
        instants.sort_unstable();
        instants.dedup();
        Self {
            first: join(self.first, other.first),
            steps: instants.into_iter().map(|at| (at, join(self.at(at), other.at(at)))).collect(),
        }
    }

    fn value_of(&self, step: usize) -> u32 {
        step.checked_sub(1).map_or(self.first, |step| self.steps[step].1)
    }
}

/// How a young account comes to its full day figures: from 20% on its first day to 30% on its
/// fourteenth, and from there to all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// When its first day began.
    pub since: Timestamp,
    /// How many days it takes from the fourteenth to the full figures.
    pub ramp_days: NonZeroU32,
}

impl WarmUp {
    /// The first days, in which it rises slowly.
    const SLOW_DAYS: u64 = 14;

    /// What of a day figure is in force, day by day: never less than one.
    pub fn of(&self, full: &Figure) -> Figure {
        let days = Self::SLOW_DAYS + u64::from(self.ramp_days.get());
        // A day's share is a fraction of 1,300ths on slow days, of 100 times the ramp's days later.
        // Steps carry the day's number, so that each value is rounded once.
        let day_at = |day: u64| self.since + DAY * u32::try_from(day - 1).unwrap_or(u32::MAX);
        let day = Figure {
            first: 1,
            steps: (2..=days)
                .map(|day| (day_at(day), u32::try_from(day).unwrap_or(u32::MAX)))
                .collect(),
        };
        full.join(&day, |full, day| self.share(u64::from(full), u64::from(day)))
    }

    /// `full` on its `day`-th day, from 1.
    fn share(&self, full: u64, day: u64) -> u32 {
        let ramp = u64::from(self.ramp_days.get());
        let (share, whole) = match day.checked_sub(Self::SLOW_DAYS) {
            // 20% + 10% over the 13 days after the first.
            None | Some(0) => (20 * 13 + 10 * (day - 1), 100 * 13),
            Some(past) => (30 * ramp + 70 * past.min(ramp), 100 * ramp),
        };
        u32::try_from((full * share / whole).max(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_figure_changes_at_its_steps() {
        let figure = Figure::from(5).then(at(10), 9).then(at(20), 2);
        assert_eq!([9, 10, 19, 20].map(|millis| figure.at(at(millis))), [5, 9, 9, 2]);
        assert_eq!(figure.laxest(at(0), at(9)), 5);
        assert_eq!(figure.laxest(at(9), at(10)), 9);
        assert_eq!(figure.laxest(at(19), at(30)), 9);
        assert_eq!(figure.laxest(at(20), at(30)), 2);
        let all: Vec<u32> = figure.stretches(at(10)).map(|stretch| stretch.value).collect();
        assert_eq!(all, [9, 2]);
    }

    #[test]
    fn two_figures_join_at_every_step_of_both() {
        let one = Figure::from(5).then(at(10), 9);
        let other = Figure::from(7).then(at(10), 8).then(at(20), 1);
        let least = one.join(&other, u32::min);
        assert_eq!(least, Figure::from(5).then(at(10), 8).then(at(20), 1));
    }

    #[test]
    fn an_account_warms_up_in_28_days() {
        let warm_up = WarmUp { since: at(1000), ramp_days: NonZeroU32::new(14).unwrap() };
        let figure = warm_up.of(&Figure::from(1000));
        let on = |day: u32| figure.at(at(1000) + DAY * (day - 1));
        assert_eq!(figure.at(at(0)), 200, "before it began");
        assert_eq!([1, 2, 7, 13, 14].map(on), [200, 207, 246, 292, 300]);
        assert_eq!([15, 21, 27, 28, 29, 400].map(on), [350, 650, 950, 1000, 1000, 1000]);
        assert_eq!(figure.at(at(999) + DAY), 200, "the first day's last instant");
        assert_eq!(warm_up.of(&Figure::from(3)).at(at(0)), 1, "never nothing");
    }
}
