//! What commands print: one JSON value, or text for people; tables, times, colours on a terminal.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use spillway_core::time::Timestamp;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// One line of JSON.
    Json,
    /// Text.
    People,
}

impl Output {
    /// Prints a result.
    pub(crate) fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let text = match self {
            Self::Json => serde_json::to_string(value)? + "\n",
            Self::People => text(),
        };
        write(text.as_bytes())
    }
}

/// Writes to standard output, until its reader has seen enough.
pub(crate) fn write(bytes: &[u8]) -> Result<()> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

/// Something beside the result, for people: on standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    complain(format_args!("note: {text}"));
}

/// Writes a line on standard error. Nobody may read it any more.
pub(crate) fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Good,
    Bad,
    Warn,
}

/// Colours `text` where standard output is a terminal whose owner wants colours.
pub(crate) fn paint(paint: Paint, text: &str) -> String {
    let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if !std::io::stdout().is_terminal() || !is_wanted {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Good => 32,
        Paint::Bad => 31,
        Paint::Warn => 33,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// A number of things: `1 campaign`, `2 campaigns`.
pub(crate) fn counted(n: usize, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

/// Columns under their heads; `empty` where there is no row.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]], empty: &str) -> String {
    if rows.is_empty() {
        return format!("{empty}\n");
    }
    let head = head.map(str::to_owned);
    let width = |column: usize| {
        let cells = std::iter::once(&head).chain(rows).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    std::iter::once(&head).chain(rows).map(line).collect()
}

/// A cell for an hour: empty only if nothing is sent in it.
pub(crate) fn cell(count: u32, most: u32) -> char {
    const EIGHTHS: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    EIGHTHS[(u64::from(count) * 8).div_ceil(u64::from(most)).min(8) as usize]
}

/// An instant for people, in UTC, with how far from `now` it is.
pub(crate) fn when(at: Timestamp, now: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let Ok(shown) = jiff::Timestamp::from_millisecond(millis) else { return "never".into() };
    let shown = shown.strftime("%F %H:%M:%S");
    match (at.since(now), now.since(at)) {
        (Duration::ZERO, Duration::ZERO) => format!("{shown} UTC, now"),
        (ahead, Duration::ZERO) => format!("{shown} UTC, in {}", span(ahead)),
        (_, ago) => format!("{shown} UTC, {} ago", span(ago)),
    }
}

/// When the last webhook came. It is written down once an hour: it may have come up to an hour
/// later than `noted_at`.
pub(crate) fn heard(noted_at: Timestamp, now: Timestamp) -> String {
    match now.since(noted_at).as_secs().div_ceil(3600) {
        0 | 1 => "within the hour".to_owned(),
        hours @ 2..=47 => format!("within {hours} h"),
        hours => format!("within {} d", hours.div_ceil(24)),
    }
}

/// A length of time for people, to its two greatest units.
pub(crate) fn span(span: Duration) -> String {
    let secs = span.as_millis().div_ceil(1000);
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, _) => format!("{minutes} min {} s", secs % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Reads a length of time such as `90s`, `30m`, `2h` or `1d`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    spillway_core::span::parse(text)
        .filter(|span| !span.is_zero() && *span <= Duration::from_secs(365 * 86_400))
        .ok_or_else(|| {
            "write a time such as 90s, 30m, 48h or 7d, above 0 and at most 365d".to_owned()
        })
}

/// Reads how many things are listed at most.
pub(crate) fn parse_limit(text: &str) -> Result<usize, String> {
    const MOST: usize = 1_000_000;
    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| format!("write a number from 1 to {MOST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_say_when_they_are_empty() {
        let rows = [["1".to_owned(), "ü".into()], ["12345".into(), "b".into()]];
        assert_eq!(table(["ID", "NAME"], &rows, "none"), "ID     NAME\n1      ü\n12345  b\n");
        assert_eq!(table(["ID"], &[], "none"), "none\n");
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
        assert_eq!(when(later, now), "2026-09-21 16:14:20 UTC, in 2 h 1 min");
        assert_eq!(when(now, later), "2026-09-21 14:13:20 UTC, 2 h 1 min ago");
        assert_eq!(when(Timestamp::NEVER, now), "never");
        let spans = [59, 60, 3600, 90_000].map(|secs| span(Duration::from_secs(secs)));
        assert_eq!(spans, ["59 s", "1 min 0 s", "1 h 0 min", "1 d 1 h"]);
        assert_eq!(parse_span("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(parse_span("1d"), Ok(Duration::from_secs(86_400)));
        assert!(["0", "-1", "1000001", "many"].iter().all(|text| parse_limit(text).is_err()));
        assert_eq!((parse_limit("1"), parse_limit("1000000")), (Ok(1), Ok(1_000_000)));
        assert!(["", "2", "-2h", "0s", "9999h"].iter().all(|text| parse_span(text).is_err()));
    }
}
