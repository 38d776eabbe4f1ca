//! How an account's calls were answered, by the hour: for people to read. Nothing is decided on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Calls, and how many of them Meta's servers failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Calls that were written.
    #[serde(rename = "n")]
    pub calls: u32,
    /// Of these, calls that ended in a 5xx.
    #[serde(rename = "5xx")]
    pub server_errors: u32,
}

impl Tally {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The sum of both.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(more.calls),
            server_errors: self.server_errors.saturating_add(more.server_errors),
        }
    }

    /// The share of server errors, in whole percent.
    pub fn percent(self) -> u32 {
        let percent = u64::from(self.server_errors) * 100 / u64::from(self.calls.max(1));
        u32::try_from(percent).unwrap_or(100).min(100)
    }

    /// Whether so many calls end in a 5xx that people are told.
    pub fn is_alarming(self) -> bool {
        self.server_errors >= SERVER_ERRORS_TOLD && self.percent() >= PERCENT_TOLD
    }
}

/// Fewer server errors in an hour are not told of.
const SERVER_ERRORS_TOLD: u32 = 5;

/// A smaller share of an hour's calls is not told of.
const PERCENT_TOLD: u32 = 10;

const HOUR: Duration = Duration::from_secs(3600);

/// The answers to an account's calls in the hour of the last count and the hour before it. Each
/// process counts the calls that it makes, and the counts are written with its next change of the
/// account's budget: what a process has not written yet is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// The instant when the hour began.
    hour: Timestamp,
    now: Tally,
    #[serde(default, skip_serializing_if = "Tally::is_empty")]
    before: Tally,
    /// Whether people were told of this hour's server errors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    told: bool,
}

impl Answers {
    /// Whether nothing was ever counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same with `more` that were counted until `at`.
    #[must_use]
    pub fn and(self, more: Tally, at: Timestamp) -> Self {
        if more.is_empty() {
            return self;
        }
        // Clocks may be off by a second: what comes late counts into the later hour.
        let hour = hour_of(at).max(self.hour);
        let mut next = match hour {
            hour if hour == self.hour => self,
            hour => Self { hour, now: Tally::default(), before: self.before_of(hour), told: false },
        };
        next.now = next.now.and(more);
        next
    }

    /// The tally of the hour before `hour`, which is later than this one.
    fn before_of(&self, hour: Timestamp) -> Tally {
        if self.hour + HOUR == hour { self.now } else { Tally::default() }
    }

    /// The hour's tally, where people are to be told of its server errors and were not yet. Notes
    /// that they are told.
    pub fn tell(&mut self) -> Option<Tally> {
        let is_news = !self.told && self.now.is_alarming();
        self.told |= is_news;
        is_news.then_some(self.now)
    }

    /// The tally of the hour of `now` and the hour before it, and when that one began.
    pub fn lately(&self, now: Timestamp) -> (Timestamp, Tally) {
        let hour = hour_of(now).max(self.hour);
        let since = hour - HOUR;
        let tally = match hour {
            hour if hour == self.hour => self.before.and(self.now),
            hour => self.before_of(hour),
        };
        (since, tally)
    }
}

fn hour_of(at: Timestamp) -> Timestamp {
    let seconds = at.as_millis() / 1000;
    Timestamp::from_secs(seconds - seconds % HOUR.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 12:00 UTC.
    const NOON: Timestamp = Timestamp::from_secs(1_790_596_800);

    fn tally(calls: u32, server_errors: u32) -> Tally {
        Tally { calls, server_errors }
    }

    #[test]
    fn this_hour_and_the_one_before_it_are_counted() {
        let minute = Duration::from_secs(60);
        let counted =
            Answers::default().and(tally(300, 100), NOON).and(tally(21, 0), NOON + minute);
        assert_eq!(counted.lately(NOON + minute), (NOON - HOUR, tally(321, 100)));
        let later = counted.and(tally(400, 116), NOON + HOUR);
        assert_eq!(later.lately(NOON + HOUR), (NOON, tally(721, 216)));
        assert_eq!(later.lately(NOON + 2 * HOUR), (NOON + HOUR, tally(400, 116)));
        assert_eq!(later.lately(NOON + 3 * HOUR), (NOON + 2 * HOUR, Tally::default()));
        let skipped = later.and(tally(1, 0), NOON + 5 * HOUR);
        assert_eq!(skipped.lately(NOON + 5 * HOUR), (NOON + 4 * HOUR, tally(1, 0)));
        assert_eq!(later.and(tally(1, 0), NOON).lately(NOON + HOUR).1, tally(722, 216), "late");
        assert_eq!(counted.and(Tally::default(), NOON + HOUR), counted, "nothing to write");
    }

    #[test]
    fn people_are_told_once_an_hour() {
        let mut answers = Answers::default().and(tally(4, 4), NOON);
        assert_eq!(answers.tell(), None, "few");
        answers = answers.and(tally(1, 1), NOON);
        assert_eq!(answers.tell(), Some(tally(5, 5)));
        answers = answers.and(tally(100, 0), NOON);
        assert_eq!(answers.tell(), None);
        answers = answers.and(tally(20, 20), NOON);
        assert_eq!(answers.tell(), None, "told before");
        answers = answers.and(tally(10, 5), NOON + HOUR);
        assert_eq!(answers.tell(), Some(tally(10, 5)), "in the next hour");
        assert_eq!(Answers::default().and(tally(100, 9), NOON).tell(), None, "9%");
    }

    #[test]
    fn the_stored_form_is_short() {
        let mut counted = Answers::default().and(tally(721, 216), NOON);
        assert!(counted.tell().is_some());
        let text = serde_json::to_string(&counted).unwrap();
        let expected = r#"{"hour":1790596800000,"now":{"n":721,"5xx":216},"told":true}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Answers>(&text).unwrap(), counted);
    }
}
