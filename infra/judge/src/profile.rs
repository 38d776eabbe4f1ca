//! The rules of an account by profile, in the judge's own words: what a limiter reads from its
//! configuration is written down here a second time.

use std::time::Duration;

use crate::action::{Action, Counted};
use crate::active::{AWAKE, Active};
use crate::figure::{Figure, WarmUp};
use crate::rules::{Limit, Rules};

/// Recipients of DMs a day in Meta's messaging tiers.
pub const TIERS: [u32; 3] = [1000, 10_000, 100_000];

const SECOND: Duration = Duration::from_secs(1);
const TEN_MINUTES: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the rules of one account depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The day figure of its tier.
    pub day: Figure,
    /// Its warm-up, where it has one.
    pub warm_up: Option<WarmUp>,
    /// When it is awake.
    pub active: Active,
}

/// The careful practice of the field, stricter than what Meta documents.
pub fn careful(standing: &Standing) -> Rules {
    let day = match standing.warm_up {
        Some(warm_up) => warm_up.of(&standing.day),
        None => standing.day.clone(),
    };
    let follow = Counted::calls(&[Action::Follow]);
    let mut rows = vec![
        Limit::new("calls / hour", Counted::EVERY_CALL, HOUR, 200),
        Limit::new("DMs / day", Counted::DMS, DAY, day.clone()),
        Limit::new("follows / hour", follow, HOUR, 60),
        Limit::new("follows / day", follow, DAY, 150),
    ];
    rows.extend(documented(day));
    spread(Rules { active: standing.active.clone(), ..rows.into() })
}

/// Meta's own figures, and nothing on top.
pub fn meta(day: Figure) -> Rules {
    let messages = Counted::calls(&[Action::Message]);
    let mut rows = documented(day);
    rows.push(Limit::new("messages / second", messages, SECOND, 100));
    rows.into()
}

/// The rows that both profiles share.
fn documented(day: Figure) -> Vec<Limit> {
    vec![
        Limit::new("private replies / hour", Counted::PRIVATE_REPLIES, HOUR, 750),
        Limit::new("live replies / second", Counted::LIVE_REPLIES, SECOND, 100),
        Limit::new("recipients / day", Counted::DM_RECIPIENTS, DAY, day),
        Limit::new("posts / day", Counted::calls(&[Action::Publish]), DAY, 50),
    ]
}

/// The same rules with each day's DMs spread evenly over [`AWAKE`], and what may then go in any ten
/// minutes. Rules without a day figure have nothing to spread.
#[must_use]
pub fn spread(mut rules: Rules) -> Rules {
    if let Some(day) = rules.day_figure() {
        let bound = Counted::calls(&[Action::PrivateReply, Action::Message]);
        rules.rows.push(Limit::new("DMs / 10 min", bound, TEN_MINUTES, day.map(velocity)));
        rules.spread_over = Some(AWAKE);
    }
    rules
}

/// What ten minutes of an even day hold, and a twentieth of it or five more.
fn velocity(day: u32) -> u32 {
    let even = (u64::from(day) * TEN_MINUTES.as_secs()).div_ceil(AWAKE.as_secs());
    u32::try_from(even + (even / 20).max(5)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use spillway_core::time::Timestamp;

    use super::*;

    fn standing() -> Standing {
        Standing { day: TIERS[0].into(), warm_up: None, active: Active::Always }
    }

    #[test]
    fn ten_minutes_hold_little_more_than_their_even_share() {
        // 10.4, 104.2 and 1041.7 are even.
        assert_eq!(TIERS.map(velocity), [11 + 5, 105 + 5, 1042 + 52]);
    }

    #[test]
    fn a_young_account_sends_less_in_a_day_and_in_ten_minutes() {
        let since = Timestamp::from_secs(1_790_000_000);
        let ramp_days = std::num::NonZeroU32::new(14).unwrap();
        let warm_up = Some(WarmUp { since, ramp_days });
        let young = careful(&Standing { warm_up, ..standing() });
        let at = |name: &str| {
            let row = young.rows.iter().find(|row| row.name == name).unwrap();
            row.limit.at(since)
        };
        assert_eq!((at("DMs / day"), at("recipients / day"), at("posts / day")), (200, 200, 50));
        assert_eq!(at("DMs / 10 min"), 3 + 5);
    }

    #[test]
    fn only_who_is_careful_spreads() {
        assert_eq!(careful(&standing()).spread_over, Some(AWAKE));
        assert_eq!(meta(TIERS[0].into()).spread_over, None);
        assert_eq!(spread(meta(TIERS[0].into())).spread_over, Some(AWAKE));
    }
}
