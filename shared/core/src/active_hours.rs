//! Active hours: when an account writes at all, by the clocks of its own time zone.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Zoned, civil};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// A time zone, by its name in the IANA database, such as `Europe/Berlin`. The database is compiled
/// in: no machine's own one is read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Returns when `day` begins by the clocks of this zone; `None` before 1970.
    pub fn midnight(&self, day: civil::Date) -> Option<Timestamp> {
        self.instant(day.to_datetime(civil::Time::midnight()))
    }

    /// Returns what these clocks show at `at`; `None` after the year 9999.
    pub fn local(&self, at: Timestamp) -> Option<Zoned> {
        let millis = i64::try_from(at.as_millis()).ok()?;
        Some(jiff::Timestamp::from_millisecond(millis).ok()?.to_zoned(self.0.clone()))
    }

    /// Returns when these clocks show `time`: the later instant where they jump over it.
    pub fn instant(&self, time: civil::DateTime) -> Option<Timestamp> {
        let millis = self.0.to_ambiguous_timestamp(time).compatible().ok()?.as_millisecond();
        u64::try_from(millis).ok().map(Timestamp::from_millis)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

/// There is no such time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time zone: name one of the IANA database, such as `Europe/Berlin`")]
pub struct UnknownZone(String);

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        let zone = TimeZoneDatabase::bundled().get(name);
        zone.map(Self).map_err(|_| UnknownZone(name.to_owned()))
    }
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;

    fn try_from(name: String) -> Result<Self, UnknownZone> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.to_string()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A time of day by the clocks of a zone, to the minute: `08:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(civil::Time);

impl TimeOfDay {
    /// Eight in the morning.
    pub const EIGHT: Self = Self(civil::time(8, 0, 0, 0));
}

/// No time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time of day: write hours and minutes, such as `08:00`")]
pub struct NotATimeOfDay(String);

impl FromStr for TimeOfDay {
    type Err = NotATimeOfDay;

    fn from_str(text: &str) -> Result<Self, NotATimeOfDay> {
        let time = civil::Time::strptime("%H:%M", text);
        time.map(Self).map_err(|_| NotATimeOfDay(text.to_owned()))
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = NotATimeOfDay;

    fn try_from(text: String) -> Result<Self, NotATimeOfDay> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

/// The part of each day in which an account writes. It begins by the zone's clocks and lasts the
/// same real time on every day, also when the clocks are put forward or back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveHours {
    zone: Zone,
    starts: TimeOfDay,
    length: Duration,
}

impl ActiveHours {
    /// `length` from `starts` on, at most 24 hours; with 24 the account is always active.
    pub fn new(zone: Zone, starts: TimeOfDay, length: Duration) -> Self {
        Self { zone, starts, length }
    }

    /// The first instant, not before `at`, that is active, and the end of that active span.
    pub fn from(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        if self.length >= A_DAY {
            return (at, Timestamp::NEVER);
        }
        let Some(today) = self.local_date(at) else { return (at, Timestamp::NEVER) };
        let days = [today.yesterday(), Ok(today), today.tomorrow()];
        days.into_iter()
            .filter_map(|day| self.start_of(day.ok()?))
            .map(|start| (start, start + self.length))
            .find(|&(_, end)| at < end)
            .map_or((at, Timestamp::NEVER), |(start, end)| (at.max(start), end))
    }

    fn local_date(&self, at: Timestamp) -> Option<civil::Date> {
        let millis = i64::try_from(at.as_millis()).ok()?;
        let at = jiff::Timestamp::from_millisecond(millis).ok()?;
        Some(self.zone.0.to_datetime(at).date())
    }

    fn start_of(&self, day: civil::Date) -> Option<Timestamp> {
        self.zone.instant(day.to_datetime(self.starts.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn hours(zone: &str, starts: &str) -> ActiveHours {
        let length = Duration::from_secs(16 * HOUR);
        ActiveHours::new(zone.parse().unwrap(), starts.parse().unwrap(), length)
    }

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(at.as_millisecond() as u64)
    }

    #[track_caller]
    fn assert_from(hours: &ActiveHours, from: &str, first: &str, end: &str) {
        assert_eq!(hours.from(at(from)), (at(first), at(end)), "{from}");
    }

    #[test]
    fn a_day_begins_by_the_clocks_of_the_zone_and_lasts_sixteen_hours() {
        let berlin = hours("Europe/Berlin", "08:00");
        let end = "2026-11-24T23:00:00Z";
        assert_from(&berlin, "2026-11-24T06:59:59Z", "2026-11-24T07:00:00Z", end);
        assert_from(&berlin, "2026-11-24T07:00:00Z", "2026-11-24T07:00:00Z", end);
        assert_from(&berlin, "2026-11-24T22:59:59Z", "2026-11-24T22:59:59Z", end);
        assert_from(&berlin, end, "2026-11-25T07:00:00Z", "2026-11-25T23:00:00Z");
    }

    #[test]
    fn a_span_over_midnight_is_that_of_the_day_it_began_on() {
        let late = hours("America/New_York", "18:00");
        assert_from(&late, "2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z", "2026-11-24T15:00:00Z");
        assert_from(&late, "2026-11-24T15:00:00Z", "2026-11-24T23:00:00Z", "2026-11-25T15:00:00Z");
    }

    #[test]
    fn daylight_saving_moves_the_start_and_keeps_the_length() {
        let berlin = hours("Europe/Berlin", "08:00");
        // The clocks go forward on 29 March 2026 and back on 25 October.
        assert_from(
            &berlin,
            "2026-03-28T23:30:00Z",
            "2026-03-29T06:00:00Z",
            "2026-03-29T22:00:00Z",
        );
        assert_from(
            &berlin,
            "2026-10-24T22:30:00Z",
            "2026-10-25T07:00:00Z",
            "2026-10-25T23:00:00Z",
        );
        // 02:30 does not exist on that day: the span begins as late as the clocks jumped.
        let night = hours("Europe/Berlin", "02:30");
        assert_from(&night, "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T17:30:00Z");
    }

    #[test]
    fn around_the_clock_is_always() {
        let always = ActiveHours::new(Zone::UTC, TimeOfDay::EIGHT, Duration::from_secs(24 * HOUR));
        let now = at("2026-11-24T03:00:00Z");
        assert_eq!(always.from(now), (now, Timestamp::NEVER));
    }

    #[test]
    fn names_and_times_are_read_back_and_others_refused() {
        assert_eq!("Asia/Kathmandu".parse::<Zone>().unwrap().to_string(), "Asia/Kathmandu");
        assert_eq!(Zone::default().to_string().parse::<Zone>().unwrap(), Zone::UTC);
        assert!("Europe/Nowhere".parse::<Zone>().unwrap_err().to_string().contains("IANA"));
        assert_eq!("06:05".parse::<TimeOfDay>().unwrap().to_string(), "06:05");
        for text in ["", "8", "24:00", "08:61", "8am"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }
}
