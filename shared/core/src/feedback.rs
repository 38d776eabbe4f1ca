//! What an account's answers have taught: how full Meta says its limits are, which limit it met
//! below the configured one, and when its last hold ended. Each makes it slower for a while.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::profile::SlowDown;
use crate::time::Timestamp;

/// What Meta's answers have taught about an account. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// The latest lowering of the limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowered: Option<Lowered>,
    /// The latest reported usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The instant when the last hold ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned_at: Option<Timestamp>,
}

/// A limit that was met below the configured figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lowered {
    /// Percent of the configured limits of an hour and less.
    pub percent: u8,
    /// The instant when it was lowered. It recovers by [`Feedback::RECOVERY`] from then on.
    pub at: Timestamp,
}

/// A usage that Meta reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Percent of Meta's limit; at 100 calls are throttled.
    pub percent: u8,
    /// The instant when it was reported. An answer without the header leaves it unchanged.
    pub at: Timestamp,
}

const FULL: u8 = 100;

impl Feedback {
    /// Limits recover by this many percent in each span of this length.
    pub const RECOVERY: (u8, Duration) = (5, Duration::from_secs(600));
    /// The least percent of the configured limits that lowered limits keep.
    pub const LIMIT_MIN: u8 = 25;
    /// How long a reported usage is believed.
    pub const USAGE_BELIEVED: Duration = Duration::from_secs(900);
    /// After a hold the pace is a quarter of the full one, and rises by a quarter after each such
    /// span.
    pub const RETURN_STEP: Duration = Duration::from_secs(300);
    /// The least percent of the full pace.
    pub const PACE_MIN: u8 = 25;

    /// Returns the percent of the configured limits that is in force at `at`.
    pub fn limit_percent(&self, at: Timestamp) -> u8 {
        let Some(Lowered { percent, at: since }) = self.lowered else { return FULL };
        let (step, every) = Self::RECOVERY;
        let steps = at.since(since).as_millis() / every.as_millis();
        let risen = u128::from(percent) + steps * u128::from(step);
        u8::try_from(risen.min(u128::from(FULL))).unwrap_or(FULL)
    }

    /// Returns the percent of the full pace at `at`.
    pub fn pace_percent(&self, slow_down: SlowDown, at: Timestamp) -> u8 {
        self.percent_by_usage(slow_down, at).min(self.percent_by_return(at))
    }

    fn percent_by_usage(&self, slow_down: SlowDown, at: Timestamp) -> u8 {
        let Some(usage) = self.usage.filter(|usage| at < usage.at + Self::USAGE_BELIEVED) else {
            return FULL;
        };
        let SlowDown { from_percent, stop_percent } = slow_down;
        let over = u32::from(usage.percent.saturating_sub(from_percent));
        let all = u32::from(stop_percent.saturating_sub(from_percent)).max(1);
        let lost = u32::from(FULL - Self::PACE_MIN) * over.min(all) / all;
        FULL - lost as u8
    }

    fn percent_by_return(&self, at: Timestamp) -> u8 {
        let Some(returned_at) = self.returned_at else { return FULL };
        let steps = at.since(returned_at).as_millis() / Self::RETURN_STEP.as_millis();
        (Self::PACE_MIN as u128 * (1 + steps)).min(FULL.into()) as u8
    }

    /// The next instant after `at` at which limits change.
    pub(crate) fn limits_change_after(&self, at: Timestamp) -> Option<Timestamp> {
        let lowered = self.lowered.filter(|_| self.limit_percent(at) < FULL)?;
        Some(next_step(lowered.at, Self::RECOVERY.1, at))
    }

    /// The next instant after `at` at which the pace may change.
    pub(crate) fn pace_changes_after(&self, at: Timestamp) -> Option<Timestamp> {
        let forgotten = self.usage.map(|usage| usage.at + Self::USAGE_BELIEVED);
        let returned = self.returned_at.filter(|_| self.percent_by_return(at) < FULL);
        let step = returned.map(|since| next_step(since, Self::RETURN_STEP, at));
        forgotten.filter(|&forgotten| forgotten > at).into_iter().chain(step).min()
    }

    /// Adds a reported usage. One that changes nothing is left out, so that it costs no write.
    #[must_use]
    pub fn with_usage(self, usage: Option<Usage>) -> Self {
        let newer = usage.filter(|usage| self.usage.is_none_or(|known| known.at < usage.at));
        Self { usage: newer.or(self.usage), ..self }
    }

    /// After a throttle that was met when `used_percent` of the configured limit had been used:
    /// that much was too much.
    pub(crate) fn throttled(&mut self, used_percent: u8, at: Timestamp) {
        let met = self.limit_percent(at).min(used_percent);
        let percent = (u32::from(met) * 9 / 10) as u8;
        self.lowered = Some(Lowered { percent: percent.max(Self::LIMIT_MIN), at });
    }

    /// After a hold.
    pub(crate) fn returned(&mut self, at: Timestamp) {
        self.returned_at = Some(at);
    }
}

/// The first instant after `at` of those that are `every` apart, from `since` on.
fn next_step(since: Timestamp, every: Duration, at: Timestamp) -> Timestamp {
    let steps = at.since(since).as_millis() / every.as_millis() + 1;
    since + every * u32::try_from(steps).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn mins(n: u64) -> Duration {
        Duration::from_secs(n * 60)
    }

    fn paces(feedback: &Feedback, after: &[u64]) -> Vec<u8> {
        let slow_down = SlowDown::default();
        after.iter().map(|&n| feedback.pace_percent(slow_down, NOW + mins(n))).collect()
    }

    #[test]
    fn a_reported_usage_bends_the_pace_from_75_percent_on() {
        let pace = |percent| {
            let usage = Some(Usage { percent, at: NOW });
            paces(&Feedback { usage, ..Feedback::default() }, &[1])[0]
        };
        assert_eq!([0, 75, 80, 85, 95, 200].map(pace), [100, 100, 82, 63, 25, 25]);
    }

    #[test]
    fn no_header_is_no_information_and_an_old_one_is_forgotten() {
        let usage = Some(Usage { percent: 85, at: NOW });
        let feedback = Feedback::default().with_usage(usage).with_usage(None);
        assert_eq!(paces(&feedback, &[0, 14, 15]), [63, 63, 100]);
        for not_newer in [NOW - mins(1), NOW] {
            let usage = Some(Usage { percent: 0, at: not_newer });
            assert_eq!(feedback.with_usage(usage), feedback);
        }
        assert_eq!(feedback.pace_changes_after(NOW + mins(14)), Some(NOW + mins(15)));
        assert_eq!(feedback.pace_changes_after(NOW + mins(15)), None);
    }

    #[test]
    fn after_a_hold_the_pace_returns_in_quarters() {
        let mut feedback = Feedback::default();
        feedback.returned(NOW);
        assert_eq!(paces(&feedback, &[0, 4, 5, 10, 15, 90]), [25, 25, 50, 75, 100, 100]);
        let changes = [0, 4, 5, 14, 15].map(|n| feedback.pace_changes_after(NOW + mins(n)));
        assert_eq!(
            changes,
            [Some(5), Some(5), Some(10), Some(15), None].map(|n| n.map(|n| NOW + mins(n)))
        );
        // The first change counts.
        let feedback = feedback.with_usage(Some(Usage { percent: 85, at: NOW - mins(12) }));
        assert_eq!(feedback.pace_changes_after(NOW), Some(NOW + mins(3)));
    }

    #[test]
    fn a_limit_met_early_is_lowered_below_what_was_used_and_recovers_by_steps() {
        let mut feedback = Feedback::default();
        feedback.throttled(60, NOW);
        let limits = |feedback: &Feedback, after: &[u64]| -> Vec<u8> {
            after.iter().map(|&n| feedback.limit_percent(NOW + mins(n))).collect()
        };
        assert_eq!(limits(&feedback, &[0, 9, 10, 25, 89, 92]), [54, 54, 59, 64, 94, 99]);
        assert_eq!(limits(&feedback, &[100, 1000]), [100, 100]);
        assert_eq!(feedback.limits_change_after(NOW), Some(NOW + mins(10)));
        assert_eq!(feedback.limits_change_after(NOW + mins(10)), Some(NOW + mins(20)));
        assert_eq!(feedback.limits_change_after(NOW + mins(100)), None);
        feedback.throttled(100, NOW + mins(10));
        assert_eq!(feedback.limit_percent(NOW + mins(10)), 53);
        feedback.throttled(1, NOW + mins(10));
        assert_eq!(feedback.limit_percent(NOW + mins(10)), Feedback::LIMIT_MIN);
    }
}
