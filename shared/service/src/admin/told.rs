//! Times, spans and numbers as people read them.

use std::time::Duration;

use spillway_core::active_hours::Zone;
use spillway_core::time::Timestamp;

/// A number of things: `1 campaign`, `2 campaigns`.
pub fn counted(n: usize, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

/// By which times are told to people.
#[derive(Clone, Debug)]
pub struct Times {
    /// Now.
    pub now: Timestamp,
    /// The time zone, which is the account's where a time is about an account.
    pub zone: Zone,
}

impl Times {
    /// In UTC.
    pub fn utc(now: Timestamp) -> Self {
        Self { now, zone: Zone::UTC }
    }

    /// Tells an instant by date, clock and offset, with how far from now it is.
    pub fn when(&self, at: Timestamp) -> String {
        let Some(shown) = self.clock(at) else { return "never".into() };
        match (at.since(self.now), self.now.since(at)) {
            (Duration::ZERO, Duration::ZERO) => format!("{shown}, now"),
            (ahead, Duration::ZERO) => format!("{shown}, in {}", span(ahead)),
            (_, ago) => format!("{shown}, {} ago", span(ago)),
        }
    }

    /// Tells an instant by date, clock and offset; `-` if it never comes.
    pub fn at(&self, at: Timestamp) -> String {
        self.clock(at).unwrap_or_else(|| "-".into())
    }

    /// Tells an instant by the clocks, that programs read as text in UTC; any other text stays.
    pub fn told(&self, text: &str) -> String {
        let instant = text.parse::<jiff::Timestamp>().ok();
        let millis = instant.and_then(|at| u64::try_from(at.as_millisecond()).ok());
        millis.map_or_else(|| text.to_owned(), |millis| self.at(Timestamp::from_millis(millis)))
    }

    fn clock(&self, at: Timestamp) -> Option<String> {
        let local = self.zone.local(at)?;
        let offset = if self.zone == Zone::UTC { "UTC" } else { "%:z" };
        Some(local.strftime(&format!("%F %H:%M:%S {offset}")).to_string())
    }
}

/// When the last webhook came. It is written down once an hour: it may have come up to an hour
/// later than `noted_at`.
pub fn heard(noted_at: Timestamp, now: Timestamp) -> String {
    match now.since(noted_at).as_secs().div_ceil(3600) {
        0 | 1 => "within the hour".to_owned(),
        hours @ 2..=47 => format!("within {hours} h"),
        hours => format!("within {} d", hours.div_ceil(24)),
    }
}

/// A length of time for people, to its two greatest units.
pub fn span(span: Duration) -> String {
    let secs = span.as_millis().div_ceil(1000);
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, _) => format!("{minutes} min {} s", secs % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Says why a send failed or was cancelled, by its word in stores and JSON.
pub fn cause(word: &str) -> &str {
    match word {
        "reply_refused" => "Meta takes no answer to this comment",
        "comment_gone" => "the comment is gone",
        "recipient" => "the person cannot be reached",
        "window_closed" => "the person has not written for 24 hours",
        "thread_owner" => "another app has the conversation",
        "bad_request" => "Meta does not accept the message",
        "refused" => "Meta refuses this one alone",
        "unknown" => "nothing shows whether it arrived",
        "no_answer" => "Meta refused it for now, too often",
        "account_removed" => "its account was removed",
        "campaign_removed" => "its campaign was removed",
        "operator" => "by hand",
        "repeat" => "the person has all that the campaign gives them",
        "stopped" => "the person asked to be left alone",
        "taken_over" => "a human writes to the person",
        "overtaken" => "what the person did meanwhile makes it pointless",
        "not_following" => "the person does not follow the account, or Meta does not tell",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use spillway_core::send::{CancelReason, FailReason};

    use super::*;

    #[test]
    fn every_cause_has_words() {
        let failed = FailReason::ALL.map(FailReason::as_str);
        let cancelled = CancelReason::ALL.map(CancelReason::as_str);
        for word in failed.into_iter().chain(cancelled) {
            assert_ne!(cause(word), word);
        }
        assert_eq!(cause("of a later version"), "of a later version");
    }

    #[test]
    fn the_last_webhook_is_told_as_exactly_as_it_is_known() {
        let now = Timestamp::from_secs(1_790_000_000);
        let said = |secs| heard(now - Duration::from_secs(secs), now);
        assert_eq!([0, 3600].map(said), ["within the hour", "within the hour"]);
        let later = [3601, 47 * 3600, 47 * 3600 + 1, 7 * 86_400].map(said);
        assert_eq!(later, ["within 2 h", "within 47 h", "within 2 d", "within 7 d"]);
    }

    #[test]
    fn times_are_written_for_people_and_programs() {
        let now = Timestamp::from_secs(1_790_000_000);
        let later = now + Duration::from_secs(7260);
        let utc = Times::utc(now);
        assert_eq!(utc.when(later), "2026-09-21 16:14:20 UTC, in 2 h 1 min");
        assert_eq!(Times::utc(later).when(now), "2026-09-21 14:13:20 UTC, 2 h 1 min ago");
        assert_eq!(
            (utc.when(Timestamp::NEVER), utc.at(Timestamp::NEVER)),
            ("never".into(), "-".into())
        );
        let berlin = Times { now, zone: "Europe/Berlin".parse().unwrap() };
        assert_eq!(berlin.when(later), "2026-09-21 18:14:20 +02:00, in 2 h 1 min");
        assert_eq!(berlin.at(now), "2026-09-21 16:13:20 +02:00");
        let spans = [59, 60, 3600, 90_000].map(|secs| span(Duration::from_secs(secs)));
        assert_eq!(spans, ["59 s", "1 min 0 s", "1 h 0 min", "1 d 1 h"]);
    }
}
