//! Times on pages: by the account's clocks, with UTC beside them for whoever points at one.

use std::time::Duration;

use maud::{Markup, html};
use spillway_core::active_hours::Zone;
use spillway_core::time::Timestamp;
use spillway_service::admin::rfc3339;
use spillway_service::admin::told::span;

/// By which times are shown.
#[derive(Clone)]
pub(crate) struct Clocks {
    /// Now.
    pub(crate) now: Timestamp,
    /// The account's zone.
    pub(crate) zone: Zone,
}

impl Clocks {
    /// Shows an instant to the minute: the day is named where it is not today.
    pub(crate) fn at(&self, at: Timestamp) -> Markup {
        self.time(at, &self.day_and(at, "%H:%M"))
    }

    /// The same to the second.
    pub(crate) fn exactly(&self, at: Timestamp) -> Markup {
        self.time(at, &self.day_and(at, "%H:%M:%S"))
    }

    /// Shows an instant, and how far it is from now.
    pub(crate) fn when(&self, at: Timestamp) -> Markup {
        html! { (self.at(at)) " (" (self.distance(at)) ")" }
    }

    /// Says how far an instant is from now.
    pub(crate) fn distance(&self, at: Timestamp) -> String {
        match (at.since(self.now), self.now.since(at)) {
            (Duration::ZERO, Duration::ZERO) => "now".into(),
            (ahead, Duration::ZERO) => format!("in {}", span(ahead)),
            (_, ago) => format!("{} ago", span(ago)),
        }
    }

    /// What the zone's clocks show, by a pattern of `strftime`.
    pub(crate) fn shows(&self, at: Timestamp, pattern: &str) -> String {
        let local = self.zone.local(at);
        local.map_or_else(|| "never".into(), |local| local.strftime(pattern).to_string())
    }

    fn day_and(&self, at: Timestamp, clock: &str) -> String {
        let (Some(local), Some(now)) = (self.zone.local(at), self.zone.local(self.now)) else {
            return "never".into();
        };
        let (day, today) = (local.date(), now.date());
        let day = if day == today {
            "today".into()
        } else if today.tomorrow().is_ok_and(|tomorrow| day == tomorrow) {
            "tomorrow".into()
        } else if day.year() == today.year() {
            local.strftime("%a %-d %b").to_string()
        } else {
            local.strftime("%-d %b %Y").to_string()
        };
        format!("{day} {}", local.strftime(clock))
    }

    fn time(&self, at: Timestamp, shown: &str) -> Markup {
        match rfc3339(at) {
            Some(utc) => html! { time datetime=(utc) title=(utc) { (shown) } },
            None => html! { (shown) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_by_the_accounts_clocks_and_utc_is_beside() {
        let now = Timestamp::from_secs(1_790_000_000);
        let zone = "Asia/Tokyo".parse().unwrap_or_default();
        let clocks = Clocks { now, zone };
        let shown = |after: u64| clocks.at(now + Duration::from_secs(after)).into_string();
        assert_eq!(
            shown(0),
            "<time datetime=\"2026-09-21T14:13:20Z\" title=\"2026-09-21T14:13:20Z\">today 23:13</time>"
        );
        assert!(shown(3600).contains(">tomorrow 00:13<"), "{}", shown(3600));
        assert!(shown(3 * 86_400).contains(">Thu 24 Sep 23:13<"));
        assert!(shown(200 * 86_400).contains(" 2027 23:13<"));
        assert_eq!(clocks.at(Timestamp::NEVER).into_string(), "never");
        assert_eq!(clocks.distance(now + Duration::from_secs(7260)), "in 2 h 1 min");
    }
}
