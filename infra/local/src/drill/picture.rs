//! The days of a drill as one looks at them: for each a strip of its hours, with what was asked,
//! sent and waiting, and what was broken meanwhile.

use std::fmt::Write as _;

use super::days::{DayReport, HalfHour, PARTS};
use super::report::{DrillReport, TroubleReport, clock};
use super::{ACCOUNTS, DAY, START};
use crate::report::bar;

/// Columns before a strip.
const LABEL: usize = 11;

const DAY_S: f64 = DAY.as_secs() as f64;
const PART_S: f64 = DAY_S / PARTS as f64;

/// How much of a part something lasts: not at all, less than a quarter, and so on.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];

/// What the rows' names do not say.
const NOTE: &str = "\
a, b, c: the accounts. unheard: Meta had unsubscribed the account, and told nothing of it.
";

/// A row's name, and what is counted for it.
type Row = (&'static str, fn(&HalfHour) -> u64);

/// All days, one below the other, with a row for each below them.
pub(super) fn draw(report: &DrillReport) -> String {
    let parts = || report.days.iter().flat_map(|day| &day.half_hours);
    let top = |of: fn(&HalfHour) -> u64| parts().map(of).max().unwrap_or(0).max(1);
    let rows: [Row; 3] = [
        ("comments", |part| part.comments),
        ("DMs", |part| part.sent),
        ("waiting", |part| part.waiting),
    ];
    let mut out = String::new();
    for day in &report.days {
        let _ = writeln!(out, "day {}, {}", day.day, date(day.day));
        let hours: String = (0..24).step_by(3).map(|hour| format!("{hour:<6}")).collect();
        let _ = writeln!(out, "{:LABEL$}{}", "", hours.trim_end());
        for (name, of) in rows {
            let top = top(of);
            let strip: String = day.half_hours.iter().map(|part| bar(of(part), top)).collect();
            let most = day.half_hours.iter().map(of).max().unwrap_or(0);
            let _ = writeln!(out, "{name:<LABEL$}{strip}  up to {most}");
        }
        out.push_str(&broken(report, day.day));
        out.push('\n');
    }
    out.push_str(NOTE);
    out.push('\n');
    out.push_str(&table(&report.days));
    out
}

/// What was broken on a day: a strip each, with its time, and how often it struck.
fn broken(report: &DrillReport, day: u32) -> String {
    let mut out = String::new();
    for trouble in &report.troubles {
        let account = trouble.account.as_ref().map(|account| account.as_str());
        let Some(strip) = strip(day, trouble.begin_s, trouble.end_s) else { continue };
        let label = label(trouble.trouble.word(), account);
        let when = when(trouble.begin_s, Some(trouble.end_s));
        let _ = writeln!(out, "{label:<LABEL$}{strip}  {when} {}", came_to(trouble));
    }
    for gap in &report.unheard {
        let end_s = gap.end_s.unwrap_or(f64::INFINITY);
        let Some(strip) = strip(day, gap.begin_s, end_s) else { continue };
        let label = label("unheard", Some(gap.account.as_str()));
        let _ = writeln!(out, "{label:<LABEL$}{strip}  {}", when(gap.begin_s, gap.end_s));
    }
    out
}

/// How often a trouble struck, or how it ended.
fn came_to(trouble: &TroubleReport) -> String {
    match trouble.renewed_s {
        Some(renewed) => format!("renewed {}", time(renewed)),
        None => format!("{}×", trouble.struck),
    }
}

/// A trouble and its account, which is a, b or c.
fn label(word: &str, account: Option<&str>) -> String {
    let place = account.and_then(|id| ACCOUNTS.iter().position(|of_drill| *of_drill == id));
    match place.and_then(|place| "abc".chars().nth(place)) {
        Some(letter) => format!("{word} {letter}"),
        None => word.to_owned(),
    }
}

/// The parts of a day in which something lasts; `None` if it does not on that day.
fn strip(day: u32, begin_s: f64, end_s: f64) -> Option<String> {
    let midnight = f64::from(day - 1) * DAY_S;
    if end_s <= midnight || begin_s >= midnight + DAY_S {
        return None;
    }
    let shade = |part: usize| {
        let from = midnight + part as f64 * PART_S;
        let lasts = (end_s.min(from + PART_S) - begin_s.max(from)).max(0.0) / PART_S;
        SHADES[(lasts * 4.0).ceil() as usize]
    };
    Some((0..PARTS).map(shade).collect())
}

fn when(begin_s: f64, end_s: Option<f64>) -> String {
    format!("{}-{:<5}", time(begin_s), end_s.map(time).unwrap_or_default())
}

/// The time of day.
fn time(seconds: f64) -> String {
    clock(seconds % DAY_S)
}

/// A day's name, as in `Mon 7 Sep`.
fn date(day: u32) -> String {
    let at = START + DAY * (day - 1);
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%a %-d %b").to_string()
}

/// A row for each day.
fn table(days: &[DayReport]) -> String {
    let mut out = format!(
        "{:<13}{:>8}{:>7}{:>9}{:>9}{:>9}{:>8}{:>6}{:>7}{:>7}\n",
        "", "comments", "DMs", "waiting", "slowest", "expired", "failed", "lost", "twice", "over"
    );
    for day in days {
        let DayReport { wanted, sent, waiting, expired, failed, lost, twice, violations, .. } = day;
        let slowest = clock(day.slowest_s);
        let date = date(day.day);
        let _ = writeln!(
            out,
            "{date:<13}{wanted:>8}{sent:>7}{waiting:>9}{slowest:>9}{expired:>9}{failed:>8}{lost:>6}\
             {twice:>7}{violations:>7}"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_shows_how_much_of_each_half_hour_something_lasts() {
        let drawn = strip(2, DAY_S + 900.0, DAY_S + 3600.0 + 60.0).unwrap();
        assert_eq!(drawn.trim_end(), "▒█░");
        assert_eq!(drawn.chars().count(), PARTS);
        assert_eq!(strip(1, DAY_S + 900.0, 2.0 * DAY_S), None);
        assert_eq!(strip(3, DAY_S, 2.0 * DAY_S), None);
        assert_eq!(strip(2, 0.0, f64::INFINITY).unwrap(), "█".repeat(PARTS));
    }

    #[test]
    fn days_and_accounts_have_names() {
        assert_eq!((date(1), date(7)), ("Mon 7 Sep".to_owned(), "Sun 13 Sep".to_owned()));
        assert_eq!(label("token", Some(ACCOUNTS[2])), "token c");
        assert_eq!(label("store", None), "store");
        assert_eq!(when(DAY_S + 60.0, Some(3.0 * DAY_S + 3600.0)), "00:01-01:00");
    }
}
