//! A viral day before it comes: when its DMs go out, how many are too late, and what would help. It
//! plans with the code that plans the real sends, for an account that has sent nothing yet.

use std::time::Duration;

use serde::Serialize;
use spillway_core::budget::Budget;
use spillway_core::campaign::Overflow;
use spillway_core::forecast::{Expected, Forecast, forecast};
use spillway_core::pace::Cursor;
use spillway_core::profile::{Profile, ProfileError};
use spillway_core::quota::Tier;
use spillway_core::rules::{Rules, Terms};
use spillway_core::send::{Class, REPLY_WINDOW};
use spillway_core::time::Timestamp;

use super::instant::optional;
use crate::accounts_file::limit_notes;

/// Comments that come, each of which wants a DM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViralDay {
    /// How many.
    pub comments: u32,
    /// The instant when the first one comes.
    pub at: Timestamp,
    /// The time over which they are spread evenly.
    pub span: Duration,
    /// Which of them go first if not all can be answered in time.
    pub overflow: Overflow,
}

/// What becomes of them.
#[derive(Clone, Debug, Serialize)]
pub struct ForecastView {
    /// Comments that come.
    pub comments: usize,
    /// Comments that get their DM.
    pub sent: usize,
    /// Comments that are answered in public, since their DM would be too late.
    pub in_public: usize,
    /// Comments that get nothing in time.
    pub too_late: usize,
    /// The instant when the first DM goes out.
    #[serde(serialize_with = "optional")]
    pub first_at: Option<Timestamp>,
    /// The instant when the last one does.
    #[serde(serialize_with = "optional")]
    pub last_at: Option<Timestamp>,
    /// The zone of the days and hours.
    pub time_zone: String,
    /// Seconds from the first comment to the last DM.
    pub finish_s: f64,
    /// The days on which DMs go out.
    pub days: Vec<DayView>,
    /// What may surprise somebody about these limits.
    pub warnings: Vec<String>,
}

/// One day by the account's clocks.
#[derive(Clone, Debug, Serialize)]
pub struct DayView {
    /// Its date.
    pub date: String,
    /// DMs on it.
    pub sent: u32,
    /// DMs in each hour of it.
    pub by_hour: [u32; 24],
}

impl ViralDay {
    /// Returns what becomes of each comment under these rules.
    fn fates(&self, rules: &Rules) -> Vec<Forecast> {
        let sends: Vec<Expected> = (0..self.comments)
            .map(|n| {
                let arrives = self.at + self.span.mul_f64(f64::from(n) / f64::from(self.comments));
                let (class, order) = (Class::PRIVATE_REPLY, self.overflow);
                Expected { class, arrives, deadline: arrives + REPLY_WINDOW, order }
            })
            .collect();
        forecast(rules, &Budget::default(), &Cursor::default(), self.at, &[], &sends)
    }

    /// Forecasts the day under these rules. If comments are too late, it also says whether a higher
    /// tier would help, which takes a forecast for each.
    ///
    /// # Errors
    /// Fails if a higher tier does not fit the profile.
    pub fn forecast(&self, rules: &Rules) -> Result<ForecastView, ProfileError> {
        let mut view = ForecastView::of(rules, &self.fates(rules), self.at);
        if view.too_late > 0 {
            view.warnings.push(self.too_late(rules, view.too_late)?);
        }
        Ok(view)
    }

    /// Forecasts the day without saying what would help.
    pub fn under(&self, rules: &Rules) -> ForecastView {
        ForecastView::of(rules, &self.fates(rules), self.at)
    }

    /// Says that `count` comments are too late, and whether a higher tier would help.
    fn too_late(&self, rules: &Rules, count: usize) -> Result<String, ProfileError> {
        let tier = rules.terms().tier;
        let mut helps = "no tier makes room for more under this profile".to_owned();
        for higher in Tier::ALL.into_iter().filter(|&higher| higher > tier) {
            let fates = self.fates(&at_tier(rules, higher)?);
            let left = fates.iter().filter(|fate| matches!(fate, Forecast::Expired(_))).count();
            if left < count {
                helps = format!("at tier {} it would be {left}", u8::from(higher));
                break;
            }
        }
        Ok(format!(
            "a comment can be answered for seven days, and at tier {} {count} have not had their turn by \
             then; {helps}. `overflow` chooses who goes first",
            u8::from(tier)
        ))
    }
}

/// Returns the rules at another tier.
///
/// # Errors
/// Fails if the profile does not fit it.
pub fn at_tier(rules: &Rules, tier: Tier) -> Result<Rules, ProfileError> {
    Rules::new(rules.profile().clone(), Terms { tier, ..rules.terms().clone() })
}

/// Returns the rules without active hours: as fast as the quotas allow, day and night.
///
/// # Errors
/// Fails if the profile does not hold without them.
pub fn around_the_clock(rules: &Rules) -> Result<Rules, ProfileError> {
    Rules::new(Profile { spread: None, ..rules.profile().clone() }, rules.terms().clone())
}

impl ForecastView {
    fn of(rules: &Rules, fates: &[Forecast], start: Timestamp) -> Self {
        let zone = &rules.terms().time_zone;
        let mut sent_at: Vec<Timestamp> = fates
            .iter()
            .filter_map(|fate| match fate {
                Forecast::Sent(at) => Some(*at),
                Forecast::AnsweredInPublic(_) | Forecast::Expired(_) => None,
            })
            .collect();
        let is_public = |fate: &&Forecast| matches!(fate, Forecast::AnsweredInPublic(_));
        let in_public = fates.iter().filter(is_public).count();
        sent_at.sort_unstable();
        let mut days: Vec<DayView> = Vec::new();
        for &at in &sent_at {
            let Some(at) = zone.local(at) else { continue };
            let date = at.date().to_string();
            if days.last().is_none_or(|day| day.date != date) {
                days.push(DayView { date, sent: 0, by_hour: [0; 24] });
            }
            if let Some(day) = days.last_mut() {
                day.sent += 1;
                day.by_hour[usize::try_from(at.hour()).unwrap_or(0)] += 1;
            }
        }
        Self {
            comments: fates.len(),
            sent: sent_at.len(),
            in_public,
            too_late: fates.len() - sent_at.len() - in_public,
            first_at: sent_at.first().copied(),
            last_at: sent_at.last().copied(),
            time_zone: zone.to_string(),
            finish_s: sent_at.last().map_or(0.0, |last| last.since(start).as_secs_f64()),
            days,
            warnings: limit_notes([rules]),
        }
    }
}
