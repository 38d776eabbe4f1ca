//! The hours in which an account is awake, and time counted in them alone.

use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp as Instant, ToSpan};
use spillway_core::time::Timestamp;

/// How long an account is awake on each local day, on days of 23 and 25 hours too.
pub const AWAKE: Duration = Duration::from_secs(16 * 3600);

/// A stretch of active time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

/// When an account is awake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Active {
    /// Always.
    Always,
    /// In these spans and never else: ascending, none touching another.
    In(Vec<Span>),
}

impl Active {
    /// [`AWAKE`] from `starts` local time on, on each of the local days that `days` days from
    /// `from` on touch, and on the day before.
    pub fn daily(zone: &TimeZone, starts: Time, from: Timestamp, days: u32) -> Self {
        let mut spans: Vec<Span> = Vec::new();
        let mut day = local_date(zone, from).saturating_sub(1.day());
        for _ in 0..days.saturating_add(3) {
            let start = start_of(zone, day, starts);
            let end = start + AWAKE;
            match spans.last_mut() {
                // A zone that left a day out starts two of them at one instant.
                Some(last) if start <= last.end => last.end = last.end.max(end),
                _ => spans.push(Span { start, end }),
            }
            day = day.saturating_add(1.day());
        }
        Self::In(spans)
    }

    /// The first active instant at or after `at`.
    pub fn next(&self, at: Timestamp) -> Timestamp {
        match self {
            Self::Always => at,
            Self::In(spans) => match spans.get(first_ending_after(spans, at)) {
                Some(span) => at.max(span.start),
                None => Timestamp::NEVER,
            },
        }
    }

    /// Whether some instant between `from` and `to`, both included, is active.
    pub fn touches(&self, from: Timestamp, to: Timestamp) -> bool {
        self.next(from) <= to
    }

    /// How much of the time from `from` to `to` is active.
    pub fn active_time(&self, from: Timestamp, to: Timestamp) -> Duration {
        match self {
            Self::Always => to.since(from),
            Self::In(spans) => spans[first_ending_after(spans, from)..]
                .iter()
                .take_while(|span| span.start < to)
                .map(|span| span.end.min(to).since(span.start.max(from)))
                .sum(),
        }
    }

    /// The first instant by which `length` of active time has passed since `from`.
    pub fn after(&self, from: Timestamp, length: Duration) -> Timestamp {
        let spans = match self {
            Self::Always => return from + length,
            Self::In(spans) => spans,
        };
        let mut left = length;
        if left.is_zero() {
            return from;
        }
        for span in &spans[first_ending_after(spans, from)..] {
            let start = span.start.max(from);
            let here = span.end.since(start);
            if left <= here {
                return start + left;
            }
            left -= here;
        }
        Timestamp::NEVER
    }
}

fn first_ending_after(spans: &[Span], at: Timestamp) -> usize {
    spans.partition_point(|span| span.end <= at)
}

fn local_date(zone: &TimeZone, at: Timestamp) -> Date {
    let at = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    zone.to_datetime(Instant::from_millisecond(at).unwrap_or(Instant::MAX)).date()
}

/// A start that a clock change leaves out is as much later; of one that comes twice it is the
/// first.
fn start_of(zone: &TimeZone, day: Date, starts: Time) -> Timestamp {
    let start = zone.to_timestamp(day.to_datetime(starts)).unwrap_or(Instant::MAX);
    let since = start.duration_since(Instant::UNIX_EPOCH).max(SignedDuration::ZERO);
    Timestamp::EPOCH + since.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn two_spans() -> Active {
        Active::In(vec![Span { start: at(10), end: at(20) }, Span { start: at(50), end: at(60) }])
    }

    #[test]
    fn time_is_counted_inside_spans_alone() {
        let active = two_spans();
        let next = [0, 10, 19, 20, 59].map(|millis| active.next(at(millis)).as_millis());
        assert_eq!(next, [10, 10, 19, 50, 59]);
        assert_eq!(active.next(at(60)), Timestamp::NEVER);
        let time = |from, to| active.active_time(at(from), at(to)).as_millis();
        assert_eq!((time(0, 100), time(15, 55), time(20, 50), time(12, 13)), (20, 10, 0, 1));
        let after = |from, length| active.after(at(from), Duration::from_millis(length));
        assert_eq!((after(0, 10), after(15, 6), after(30, 0)), (at(20), at(51), at(30)));
        assert_eq!(after(0, 21), Timestamp::NEVER);
        assert!(active.touches(at(0), at(10)) && !active.touches(at(0), at(9)));
        assert!(!active.touches(at(20), at(49)));
    }

    #[test]
    fn a_day_has_16_hours_when_the_clock_is_put_forward_too() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        // The clock was put forward on 29 March 2026.
        let from = start_of(&zone, date(2026, 3, 27), time(0, 0, 0, 0));
        let Active::In(spans) = Active::daily(&zone, time(12, 0, 0, 0), from, 4) else { panic!() };
        assert!(spans.iter().all(|span| span.end.since(span.start) == AWAKE));
        let apart: Vec<u64> =
            spans.windows(2).map(|two| two[1].start.since(two[0].start).as_secs() / 3600).collect();
        assert_eq!(apart, [24, 24, 23, 24, 24, 24]);
        assert!(spans[0].start < from && from < spans[0].end, "the night before is covered");
        // Noon in summer is 10:00 UTC.
        assert_eq!(spans[3].start.as_secs() % 86_400, 10 * 3600);
    }

    #[test]
    fn a_start_that_does_not_exist_is_an_hour_later() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let before = start_of(&zone, date(2026, 3, 7), time(2, 30, 0, 0));
        let skipped = start_of(&zone, date(2026, 3, 8), time(2, 30, 0, 0));
        assert_eq!(skipped.since(before), 24 * HOUR);
        let twice = start_of(&zone, date(2026, 11, 1), time(1, 30, 0, 0));
        assert_eq!(twice.as_secs() % 86_400, 5 * 3600 + 1800, "the first of two, in summer time");
    }
}
