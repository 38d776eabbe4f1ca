//! `spillway forecast`: when the DMs of a viral day go out, and how many come too late. It plans
//! with the code that plans the real sends.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use jiff::civil::DateTime;
use serde::Serialize;
use spillway_core::active_hours::{TimeOfDay, Zone};
use spillway_core::budget::Budget;
use spillway_core::campaign::Overflow;
use spillway_core::forecast::{Expected, Forecast, forecast};
use spillway_core::pace::Cursor;
use spillway_core::quota::Tier;
use spillway_core::rules::{Rules, Terms};
use spillway_core::send::{Class, REPLY_WINDOW};
use spillway_core::time::Timestamp;
use spillway_service::accounts_file::limit_notes;
use spillway_service::admin::rfc3339;

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

/// What is printed.
#[derive(Serialize)]
struct Report {
    comments: usize,
    sent: usize,
    /// Answered in public, since their DM would be too late.
    in_public: usize,
    too_late: usize,
    first_at: Option<String>,
    last_at: Option<String>,
    /// The zone of the days and hours.
    time_zone: String,
    /// The first DM and the last one by the account's clocks.
    #[serde(skip)]
    local: Option<(String, String)>,
    /// Seconds from the first comment to the last DM.
    finish_s: f64,
    days: Vec<Day>,
    warnings: Vec<String>,
}

/// One day by the account's clocks.
#[derive(Serialize)]
struct Day {
    date: String,
    sent: u32,
    /// DMs in each hour of it.
    by_hour: [u32; 24],
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
    let fates = fates(&rules, options, at);
    let mut report = Report::of(&rules, &fates, at);
    if report.too_late > 0 {
        report.warnings.push(too_late(&rules, options, at, report.too_late)?);
    }
    output.print(&report, || report.render(output.width()))
}

/// What becomes of each comment under these rules.
fn fates(rules: &Rules, options: &Options, at: Timestamp) -> Vec<Forecast> {
    let sends: Vec<Expected> = (0..options.comments)
        .map(|n| {
            let arrives = at + options.span.mul_f64(f64::from(n) / f64::from(options.comments));
            Expected {
                class: Class::PRIVATE_REPLY,
                arrives,
                deadline: arrives + REPLY_WINDOW,
                order: options.overflow.into(),
            }
        })
        .collect();
    forecast(rules, &Budget::default(), &Cursor::default(), at, &[], &sends)
}

/// Says that `count` comments are too late, and whether a higher tier would help.
fn too_late(rules: &Rules, options: &Options, at: Timestamp, count: usize) -> Result<String> {
    let tier = rules.terms().tier;
    let mut helps = "no tier makes room for more under this profile".to_owned();
    for higher in Tier::ALL.into_iter().filter(|&higher| higher > tier) {
        let terms = Terms { tier: higher, ..rules.terms().clone() };
        let fates = fates(&Rules::new(rules.profile().clone(), terms)?, options, at);
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

const DAY: Duration = Duration::from_secs(86_400);

impl Report {
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
        let mut days: Vec<Day> = Vec::new();
        for &at in &sent_at {
            let Some(at) = zone.local(at) else { continue };
            let date = at.date().to_string();
            if days.last().is_none_or(|day| day.date != date) {
                days.push(Day { date, sent: 0, by_hour: [0; 24] });
            }
            if let Some(day) = days.last_mut() {
                day.sent += 1;
                day.by_hour[usize::try_from(at.hour()).unwrap_or(0)] += 1;
            }
        }
        let (first, last) = (sent_at.first().copied(), sent_at.last().copied());
        let times = Times { now: start, zone: zone.clone() };
        let warnings = limit_notes([rules]);
        let too_late = fates.len() - sent_at.len() - in_public;
        Self {
            comments: fates.len(),
            sent: sent_at.len(),
            in_public,
            too_late,
            first_at: first.and_then(rfc3339),
            last_at: last.and_then(rfc3339),
            time_zone: zone.to_string(),
            local: first.zip(last).map(|(first, last)| (times.at(first), times.at(last))),
            finish_s: sent_at.last().map_or(0.0, |last| last.since(start).as_secs_f64()),
            days,
            warnings,
        }
    }

    fn render(&self, width: usize) -> String {
        let mut out = String::new();
        let share = |part: usize| 100.0 * part as f64 / self.comments.max(1) as f64;
        let _ = writeln!(out, "comments  {:>9}", self.comments);
        let _ = writeln!(out, "  sent    {:>9}  {:5.1} %", self.sent, share(self.sent));
        if self.in_public > 0 {
            let (count, share) = (self.in_public, share(self.in_public));
            let _ = writeln!(out, "  public  {count:>9}  {share:5.1} %");
        }
        let _ = writeln!(out, "  too late{:>9}  {:5.1} %", self.too_late, share(self.too_late));
        if let Some((first, last)) = &self.local {
            let _ = writeln!(out, "first DM  {first}");
            let _ = writeln!(out, "last DM   {last}, {} later", days(self.finish_s));
        }
        if !self.days.is_empty() {
            let most = self.days.iter().flat_map(|day| day.by_hour).max().unwrap_or(0).max(1);
            // Where there is little room, the year goes.
            let of_date = if width < DAYS_WIDTH { 5 } else { 10 };
            let _ = writeln!(out, "\n{:<of_date$}  {:>6}  0     6     12    18", "day", "DMs");
            for day in &self.days {
                let bars: String = day.by_hour.iter().map(|&count| cell(count, most)).collect();
                let date = &day.date[day.date.len().saturating_sub(of_date)..];
                let _ = writeln!(out, "{date}  {:>6}  {bars}", day.sent);
            }
            let _ = writeln!(out, "{:of_date$}{:>8}  █ = {most} an hour", "", "");
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "note: {warning}");
        }
        out
    }
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
