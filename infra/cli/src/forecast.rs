//! `spillway forecast`: when the DMs of a viral day go out, and how many come too late. It plans
//! with the code that plans the real sends.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use jiff::civil::DateTime;
use spillway_core::active_hours::{TimeOfDay, Zone};
use spillway_core::campaign::Overflow;
use spillway_core::quota::Tier;
use spillway_core::rules::{Rules, Terms};
use spillway_core::time::Timestamp;
use spillway_service::admin::forecast::{ForecastView, ViralDay};

use crate::arguments;
use crate::exit::WrongUsage;
use crate::limits;
use crate::output::{Output, Times, cell};

/// What comes, and the limits it meets.
#[derive(Args)]
#[command(after_help = "\
Examples:

  A Reel brings 60,000 comments in five minutes to an account of tier 1:
    spillway forecast --comments 60000 --span 5m --tier 1

  The same on the third day of a new account's warm-up, posted at six in the evening in Berlin:
    spillway forecast --comments 60000 --span 5m --warm-up-day 3 \\
      --time-zone Europe/Berlin --at 2026-11-27T18:00

  With your own limits, for a script:
    spillway forecast --comments 5000 --span 1h --profiles accounts.toml --profile agency --json

This reads nothing from a deployment. It assumes that the account has sent nothing yet.")]
pub(crate) struct Options {
    /// Comments that each want a DM
    #[arg(long, value_parser = comments, allow_negative_numbers = true)]
    comments: u32,
    /// The time over which they are spread evenly, such as 5m or 2h
    #[arg(long, value_parser = span, allow_hyphen_values = true)]
    span: Duration,
    /// The account's tier: 1, 2 or 3
    #[arg(long, default_value = "1", value_parser = limits::tier)]
    tier: Tier,
    /// The limits: careful, meta, or a profile of --profiles
    #[arg(long, default_value = "careful", value_name = "NAME")]
    profile: String,
    /// TOML file with `[[profile]]` tables
    #[arg(long, value_name = "FILE")]
    profiles: Option<PathBuf>,
    /// The time zone of the account's day
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    time_zone: Zone,
    /// When its day begins
    #[arg(long, default_value = "08:00", value_name = "HH:MM")]
    day_starts: TimeOfDay,
    /// When the first comment comes, in that time zone, such as 2026-11-27T18:00 [default: now]
    #[arg(long, value_name = "TIME", value_parser = arguments::local_time)]
    at: Option<DateTime>,
    /// The day of its warm-up, from 1 on [default: warm-up is over]
    #[arg(long, value_name = "DAY", value_parser = day, allow_negative_numbers = true)]
    warm_up_day: Option<u32>,
    /// Which comments go first if not all can be answered in time
    #[arg(long, value_enum, default_value_t = Order::OldestFirst)]
    overflow: Order,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Order {
    #[value(alias = "oldest-first")]
    OldestFirst,
    #[value(alias = "newest-first")]
    NewestFirst,
    /// Oldest first; those that have become too late get a public reply
    #[value(alias = "public-reply")]
    PublicReply,
}

impl From<Order> for Overflow {
    fn from(order: Order) -> Self {
        match order {
            Order::OldestFirst => Self::OldestFirst,
            Order::NewestFirst => Self::NewestFirst,
            Order::PublicReply => Self::PublicReply,
        }
    }
}

fn comments(text: &str) -> Result<u32, String> {
    arguments::number_to(1_000_000, text)
}

fn day(text: &str) -> Result<u32, String> {
    arguments::number_to(1000, text)
}

fn span(text: &str) -> Result<Duration, String> {
    spillway_core::span::parse(text)
        .filter(|span| *span <= Duration::from_secs(30 * 86_400))
        .ok_or_else(|| "write a time such as 90s, 5m, 2h or 1d, at most 30d".to_owned())
}

/// Forecasts.
pub(crate) fn run(options: &Options, now: Timestamp, output: Output) -> Result<()> {
    let profile = limits::profile(&options.profile, options.profiles.as_deref())?;
    let at = options.at.and_then(|at| options.time_zone.instant(at)).unwrap_or(now);
    let warm_up_since = options.warm_up_day.map(|day| at - DAY * (day - 1));
    if warm_up_since.is_some() && profile.warm_up.is_none() {
        let name = &profile.name;
        let wrong = format!("--warm-up-day: profile `{name}` has no warm-up: leave it out");
        return Err(WrongUsage(wrong).into());
    }
    let terms = Terms {
        tier: options.tier,
        time_zone: options.time_zone.clone(),
        day_starts: options.day_starts,
        warm_up_since,
    };
    let rules = Rules::new(profile, terms)?;
    let Options { comments, span, overflow, .. } = *options;
    let view = ViralDay { comments, at, span, overflow: overflow.into() }.forecast(&rules)?;
    let times = Times { now: at, zone: options.time_zone.clone() };
    output.print(&view, || render(&view, &times, output.width()))
}

const DAY: Duration = Duration::from_secs(86_400);

fn render(view: &ForecastView, times: &Times, width: usize) -> String {
    let mut out = String::new();
    let share = |part: usize| 100.0 * part as f64 / view.comments.max(1) as f64;
    let _ = writeln!(out, "comments  {:>9}", view.comments);
    let _ = writeln!(out, "  sent    {:>9}  {:5.1} %", view.sent, share(view.sent));
    if view.in_public > 0 {
        let (count, share) = (view.in_public, share(view.in_public));
        let _ = writeln!(out, "  public  {count:>9}  {share:5.1} %");
    }
    let _ = writeln!(out, "  too late{:>9}  {:5.1} %", view.too_late, share(view.too_late));
    if let Some((first, last)) = view.first_at.zip(view.last_at) {
        let _ = writeln!(out, "first DM  {}", times.at(first));
        let _ = writeln!(out, "last DM   {}, {} later", times.at(last), days(view.finish_s));
    }
    if !view.days.is_empty() {
        let most = view.days.iter().flat_map(|day| day.by_hour).max().unwrap_or(0).max(1);
        // Where there is little room, the year goes.
        let of_date = if width < DAYS_WIDTH { 5 } else { 10 };
        let _ = writeln!(out, "\n{:<of_date$}  {:>6}  0     6     12    18", "day", "DMs");
        for day in &view.days {
            let bars: String = day.by_hour.iter().map(|&count| cell(count, most)).collect();
            let date = &day.date[day.date.len().saturating_sub(of_date)..];
            let _ = writeln!(out, "{date}  {:>6}  {bars}", day.sent);
        }
        let _ = writeln!(out, "{:of_date$}{:>8}  █ = {most} an hour", "", "");
    }
    for warning in &view.warnings {
        let _ = writeln!(out, "note: {warning}");
    }
    out
}

/// The width of the days by the hour, in cells.
const DAYS_WIDTH: usize = 44;

fn days(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_with_one_dm_is_seen() {
        assert_eq!([0, 1, 50, 100].map(|count| cell(count, 100)), ['·', '▁', '▄', '█']);
    }

    #[test]
    fn spans_are_read_for_people() {
        assert_eq!([59.0, 7200.0, 200_000.0].map(days), ["1 min", "2 h 0 min", "2 d 7 h"]);
        assert_eq!(span("5m"), Ok(Duration::from_secs(300)));
        assert!(span("5").is_err() && span("-5m").is_err() && span("9999h").is_err());
    }
}
