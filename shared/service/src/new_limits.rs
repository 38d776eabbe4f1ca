//! New limits of an account, as a file or an operator names them: what is not named stays as it is.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use spillway_core::active_hours::{TimeOfDay, Zone};
use spillway_core::profile::{Profile, ProfileError};
use spillway_core::quota::Tier;
use spillway_core::rules::{Rules, Terms};
use spillway_core::time::Timestamp;

use crate::admin::rfc3339;

/// New limits of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewLimits {
    /// The profile.
    pub profile: Option<Profile>,
    /// Tier, day and warm-up.
    pub terms: NewTerms,
}

/// What applies to one account, whatever its profile. Each term may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Terms"))]
#[serde(deny_unknown_fields)]
pub struct NewTerms {
    /// Its tier: Meta lets it write to 1,000, 10,000 or 100,000 people a day.
    #[cfg_attr(feature = "schema", schemars(with = "Option<u8>", range(min = 1, max = 3)))]
    pub tier: Option<Tier>,
    /// The time zone of its day: a name of the IANA database, such as `Europe/Berlin`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub time_zone: Option<Zone>,
    /// When its active hours begin, in that time zone, such as `08:00`.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<String>", regex(pattern = "^[0-9]{2}:[0-9]{2}$"))
    )]
    pub day_starts: Option<TimeOfDay>,
    /// When it began to send through software: a date such as `2026-11-01`, or `none` for an
    /// account that is not warmed up. A new account that names neither begins when it is connected.
    #[cfg_attr(feature = "schema", schemars(with = "Option<WarmUpSinceSchema>"))]
    pub warm_up_since: Option<WarmUpSince>,
}

/// What the schema says of [`WarmUpSince`].
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum WarmUpSinceSchema {
    /// A date, an instant, or `none`.
    Text(#[schemars(regex(pattern = "^(none|[0-9]{4}-[0-9]{2}-[0-9]{2}.*)$"))] String),
    /// Milliseconds since 1970.
    Millis(u64),
}

/// When an account began to send through software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmUpSince {
    /// It has a history: it is not warmed up.
    Never,
    /// At the beginning of this day, in the account's time zone.
    Day(Date),
    /// At this instant.
    At(Timestamp),
}

/// A text that is no beginning of a warm-up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date: write one such as `2026-11-01`, or `none`")]
pub struct NotADate(String);

impl FromStr for WarmUpSince {
    type Err = NotADate;

    fn from_str(text: &str) -> Result<Self, NotADate> {
        if text == "none" {
            return Ok(Self::Never);
        }
        let instant = |text: &str| {
            let millis = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
            u64::try_from(millis).ok().map(|millis| Self::At(Timestamp::from_millis(millis)))
        };
        let day = |text: &str| Date::strptime("%Y-%m-%d", text).ok().map(Self::Day);
        day(text).or_else(|| instant(text)).ok_or_else(|| NotADate(text.to_owned()))
    }
}

impl fmt::Display for WarmUpSince {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("none"),
            Self::Day(day) => day.fmt(f),
            Self::At(at) => f.write_str(&rfc3339(*at).unwrap_or_else(|| "none".into())),
        }
    }
}

impl Serialize for WarmUpSince {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WarmUpSince {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WarmUpSinceVisitor)
    }
}

/// Reads a text, a date of TOML, or milliseconds since 1970, as files of earlier versions have it.
struct WarmUpSinceVisitor;

impl<'de> Visitor<'de> for WarmUpSinceVisitor {
    type Value = WarmUpSince;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a date such as 2026-11-01, or \"none\"")
    }

    fn visit_u64<E: de::Error>(self, millis: u64) -> Result<WarmUpSince, E> {
        Ok(WarmUpSince::At(Timestamp::from_millis(millis)))
    }

    fn visit_i64<E: de::Error>(self, millis: i64) -> Result<WarmUpSince, E> {
        match u64::try_from(millis) {
            Ok(millis) => self.visit_u64(millis),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(millis), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<WarmUpSince, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WarmUpSince, A::Error> {
        let date = toml::value::Datetime::deserialize(MapAccessDeserializer::new(map))?;
        self.visit_str(&date.to_string())
    }
}

/// Why an account cannot have these limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// The profile named here has no warm-up to begin.
    #[error("profile `{0}` has no warm-up: leave `warm_up_since` out, or choose another profile")]
    NoWarmUp(String),
    /// The warm-up begins later than now.
    #[error("`warm_up_since` is in the future")]
    Future,
    /// They contradict each other.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl NewLimits {
    /// Returns the limits that an account with those of `before` has from `now` on.
    ///
    /// # Errors
    /// Says why it cannot have them.
    pub fn applied_to(&self, before: &Rules, now: Timestamp) -> Result<Rules, LimitsError> {
        let after = self.over(before)?;
        let since = after.terms().warm_up_since;
        // What an account has already, it may be told again.
        if let Some(since) = since.filter(|_| since != before.terms().warm_up_since) {
            if after.profile().warm_up.is_none() {
                return Err(LimitsError::NoWarmUp(after.profile().name.clone()));
            }
            if since > now {
                return Err(LimitsError::Future);
            }
        }
        Ok(after)
    }

    /// The same, without a look at when the warm-up begins.
    pub(crate) fn over(&self, before: &Rules) -> Result<Rules, ProfileError> {
        let profile = self.profile.clone().unwrap_or_else(|| before.profile().clone());
        let (new, old) = (&self.terms, before.terms());
        let time_zone = new.time_zone.clone().unwrap_or_else(|| old.time_zone.clone());
        let warm_up_since = match new.warm_up_since {
            None => old.warm_up_since,
            Some(WarmUpSince::Never) => None,
            Some(WarmUpSince::Day(day)) => time_zone.midnight(day),
            Some(WarmUpSince::At(at)) => Some(at),
        };
        let terms = Terms {
            tier: new.tier.unwrap_or(old.tier),
            day_starts: new.day_starts.unwrap_or(old.day_starts),
            time_zone,
            warm_up_since,
        };
        Rules::new(profile, terms)
    }
}

impl From<&Terms> for NewTerms {
    /// Names each term.
    fn from(terms: &Terms) -> Self {
        Self {
            tier: Some(terms.tier),
            time_zone: Some(terms.time_zone.clone()),
            day_starts: Some(terms.day_starts),
            warm_up_since: Some(terms.warm_up_since.map_or(WarmUpSince::Never, WarmUpSince::At)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Result<NewTerms, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    fn since(value: &str) -> Option<Timestamp> {
        let terms = terms(&format!("time_zone = 'Europe/Berlin'\nwarm_up_since = {value}"));
        let limits = NewLimits { profile: None, terms: terms.unwrap() };
        limits.over(&Rules::careful()).unwrap().terms().warm_up_since
    }

    #[test]
    fn a_warm_up_begins_on_a_day_of_the_accounts_time_zone() {
        let midnight = Some(Timestamp::from_secs(1_793_487_600));
        for value in ["2026-11-01", "\"2026-11-01\"", "2026-11-01T00:00:00+01:00", "1793487600000"]
        {
            assert_eq!(since(value), midnight, "{value}");
        }
        assert_eq!(since("\"none\""), None);
        for value in ["\"soon\"", "\"2026-13-01\"", "07:30:00", "-1", "true", "\"\""] {
            let refused = terms(&format!("warm_up_since = {value}")).unwrap_err();
            assert!(refused.contains("2026-11-01"), "{value}: {refused}");
        }
    }

    #[test]
    fn every_term_that_is_not_named_stays() {
        let all =
            "tier = 3\ntime_zone = 'Asia/Tokyo'\nday_starts = '09:00'\nwarm_up_since = 2026-11-01";
        let limits = |text: &str| NewLimits { profile: None, terms: terms(text).unwrap() };
        let before = limits(all).over(&Rules::careful()).unwrap();
        let after = limits("tier = 2").over(&before).unwrap();
        let expected = Terms { tier: Tier::Two, ..before.terms().clone() };
        assert_eq!(*after.terms(), expected);
        let named = NewLimits { profile: None, terms: NewTerms::from(before.terms()) };
        assert_eq!(named.over(&Rules::careful()).unwrap(), before, "a term that is named is told");
        let text = toml::to_string(&named.terms).unwrap();
        assert_eq!(terms(&text).unwrap(), named.terms);
    }
}
