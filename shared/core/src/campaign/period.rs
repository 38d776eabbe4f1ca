//! From when until when a campaign matches comments.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::active_hours::Zone;
use crate::time::Timestamp;

/// When a campaign begins or ends, as a file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A day, from its beginning to its end by the clocks of the account's time zone.
    Day(Date),
    /// When these clocks show this.
    Local(DateTime),
    /// An instant.
    At(Timestamp),
}

/// A text that is neither a date nor a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date or a time: write `2026-12-01`, or `2026-12-01T09:00`")]
pub struct NotAMoment(String);

impl Moment {
    /// Returns when a campaign begins that starts with this. What is too late for a time never
    /// comes.
    pub fn begin(&self, zone: &Zone) -> Timestamp {
        match *self {
            Self::Day(day) => zone.midnight(day),
            Self::Local(time) => zone.instant(time),
            Self::At(at) => Some(at),
        }
        .unwrap_or(Timestamp::NEVER)
    }

    /// Returns when a campaign is over that ends with this. A day is a part of it.
    pub fn end(&self, zone: &Zone) -> Timestamp {
        match self {
            Self::Day(day) => {
                let next = day.tomorrow().ok();
                next.and_then(|day| zone.midnight(day)).unwrap_or(Timestamp::NEVER)
            }
            other => other.begin(zone),
        }
    }

    /// Whether a campaign that ends with this is over when one begins that starts with `start`. An
    /// instant and a time of the account's clocks cannot be compared without the account: that is
    /// taken for no.
    pub(super) fn is_before(&self, start: &Self) -> bool {
        let is_instant = |moment: &Self| matches!(moment, Self::At(_));
        is_instant(self) == is_instant(start) && self.end(&Zone::UTC) <= start.begin(&Zone::UTC)
    }
}

/// The years of moments: those that every time zone can tell as an instant.
const YEARS: std::ops::RangeInclusive<i16> = 1971..=9998;

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let instant = || {
            let millis = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
            u64::try_from(millis).ok().map(|millis| Self::At(Timestamp::from_millis(millis)))
        };
        let day = || Date::strptime("%Y-%m-%d", text).ok().map(Self::Day);
        let local = || text.parse::<DateTime>().ok().map(Self::Local);
        let found = day().or_else(instant).or_else(local).filter(|moment| match moment {
            Self::Day(day) => YEARS.contains(&day.year()),
            Self::Local(time) => YEARS.contains(&time.year()),
            Self::At(at) => Zone::UTC.local(*at).is_some_and(|at| YEARS.contains(&at.year())),
        });
        found.ok_or_else(|| NotAMoment(text.to_owned()))
    }
}

/// As a file says it; an instant in UTC.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Local(time) => time.fmt(f),
            Self::At(at) => match Zone::UTC.local(*at) {
                Some(at) => at.timestamp().fmt(f),
                None => f.write_str("never"),
            },
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(MomentVisitor)
    }
}

/// Reads a text, or a date or time of TOML.
struct MomentVisitor;

impl<'de> Visitor<'de> for MomentVisitor {
    type Value = Moment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a date such as 2026-12-01, or a time such as 2026-12-01T09:00")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
        text.parse().map_err(E::custom)
    }

    /// TOML's reader gives a date as a table of one private key.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Moment, A::Error> {
        match map.next_entry::<String, String>()? {
            Some((key, date)) if key.starts_with("$__toml_private") => self.visit_str(&date),
            _ => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
        }
    }
}

/// The instants between which a campaign matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first one.
    pub begins_at: Timestamp,
    /// The first one that is not a part of it any more.
    pub ends_at: Timestamp,
}

impl Period {
    /// That of a campaign that starts and ends so, in an account's time zone.
    pub fn new(starts: Option<&Moment>, ends: Option<&Moment>, zone: &Zone) -> Self {
        Self {
            begins_at: starts.map_or(Timestamp::EPOCH, |moment| moment.begin(zone)),
            ends_at: ends.map_or(Timestamp::NEVER, |moment| moment.end(zone)),
        }
    }

    /// Where `at` is in it.
    pub fn phase(&self, at: Timestamp) -> Phase {
        if at >= self.ends_at {
            Phase::Over
        } else if at < self.begins_at {
            Phase::Before
        } else {
            Phase::Open
        }
    }
}

/// Where an instant is in a campaign's period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before its begin.
    Before,
    /// In it.
    Open,
    /// After its end.
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Moment {
        text.parse().unwrap()
    }

    #[test]
    fn days_are_whole_and_by_the_accounts_clocks() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let midnight = Timestamp::from_secs(1_793_487_600);
        assert_eq!(moment("2026-11-01").begin(&berlin), midnight);
        assert_eq!(moment("2026-10-31").end(&berlin), midnight, "the day is a part of it");
        for same in ["2026-11-01T00:00", "2026-11-01 00:00:00", "2026-10-31T23:00Z"] {
            assert_eq!(moment(same).begin(&berlin), midnight, "{same}");
            assert_eq!(moment(same).end(&berlin), midnight, "{same}");
        }
        assert_eq!(moment("2026-11-01T00:00:00+01:00"), Moment::At(midnight));
        for text in ["", "soon", "2026-13-01", "09:00", "0001-01-01", "2026-11-01T25:00"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        for text in ["2026-11-01", "2026-11-01T09:30:00", "2026-10-31T23:00:00Z"] {
            assert_eq!(moment(text).to_string(), text);
            let json = serde_json::to_value(moment(text)).unwrap();
            assert_eq!(serde_json::from_value::<Moment>(json).unwrap(), moment(text));
        }
    }

    #[test]
    fn a_period_ends_at_its_end() {
        let period =
            Period::new(Some(&moment("2026-11-01")), Some(&moment("2026-11-02T12:00")), &Zone::UTC);
        let phase = |text: &str| period.phase(moment(text).begin(&Zone::UTC));
        assert_eq!(phase("2026-10-31T23:59:59.999"), Phase::Before);
        assert_eq!(phase("2026-11-01"), Phase::Open);
        assert_eq!(phase("2026-11-02T11:59:59.999"), Phase::Open);
        assert_eq!(phase("2026-11-02T12:00"), Phase::Over);
        let always = Period::new(None, None, &Zone::UTC);
        assert_eq!(always.phase(Timestamp::EPOCH), Phase::Open);
    }
}
