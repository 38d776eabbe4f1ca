//! The report: what became of every comment, as the stores and the judge have it.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use serde::Serialize;
use spillway_core::send::{FailReason, Outcome};
use spillway_core::time::Timestamp;
use spillway_graph::Limits;
use spillway_judge::{Action, optimum};

use crate::stack::Stack;

/// The report object. `matched = sent + waiting + failed + expired + cancelled`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Sends that were ever recorded.
    pub matched: u64,
    /// Delivered.
    pub sent: u64,
    /// Not ended yet.
    pub waiting: u64,
    /// Refused for good.
    pub failed: u64,
    /// Too late.
    pub expired: u64,
    /// Not wanted any more.
    pub cancelled: u64,
    /// Calls for a comment after its first accepted one, as the judge counted.
    pub duplicates: u64,
    /// Calls made over a limit, as the judge counted.
    pub violations: u64,
    /// Seconds from the first match to the last DM.
    pub finish_s: f64,
    /// The same by the exact planner, which knew all arrivals in advance.
    pub optimum_s: f64,
    /// Requests to DynamoDB and SQS for each DM.
    pub aws_requests_per_dm: f64,
    /// DynamoDB write units for each DM.
    pub write_units_per_dm: f64,
    /// Calls of the Graph API.
    pub graph_calls: u64,
    /// What the run was drawn from; 0 where nothing was drawn.
    pub seed: u64,
    /// DMs in each hour since the first match.
    pub sent_per_hour: Vec<u64>,
    /// Sends recorded as sent that the judge never accepted, and the other way round. Must be 0.
    pub disagreements: u64,
}

/// What the entries come to.
#[derive(Default)]
struct Entries {
    matched_at: Vec<Timestamp>,
    sent: u64,
    waiting: u64,
    failed: u64,
    /// How many of these ended without anyone knowing whether the DM was made.
    unknown: u64,
    expired: u64,
    cancelled: u64,
}

impl Report {
    /// Takes the report of a stack as of now.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub fn of(stack: &Stack) -> BoxFuture<'_, Result<Self>> {
        Box::pin(async move {
            let mut entries = Entries::count(&Entry::all(stack).await?)?;
            entries.matched_at.sort_unstable();
            let judged = stack.graph.report();
            let dm_at: Vec<Timestamp> = stack
                .graph
                .calls()
                .iter()
                .filter(|call| {
                    matches!(call.action, Action::PrivateReply | Action::LivePrivateReply)
                })
                .filter(|call| (200..300).contains(&call.status))
                .map(|call| Timestamp::from_millis(call.at_ms))
                .collect();
            let first = entries.matched_at.first().copied().unwrap_or_default();
            let since_first =
                |at: Option<&Timestamp>| at.map_or(0.0, |at| at.since(first).as_secs_f64());
            let optimum = optimum(&entries.matched_at, &stack.graph.limits().each);
            let (functions, pollers) = (stack.faults.counts(), stack.poller_faults.counts());
            let per_dm =
                |count: f64| if entries.sent == 0 { 0.0 } else { count / entries.sent as f64 };
            Ok(Self {
                matched: entries.matched_at.len() as u64,
                sent: entries.sent,
                waiting: entries.waiting,
                failed: entries.failed,
                expired: entries.expired,
                cancelled: entries.cancelled,
                duplicates: judged.duplicates,
                violations: judged.violations.len() as u64,
                finish_s: since_first(dm_at.iter().max()),
                optimum_s: since_first(optimum.last()),
                aws_requests_per_dm: rounded(per_dm(
                    (functions.requests + pollers.requests) as f64,
                )),
                write_units_per_dm: rounded(per_dm(functions.write_units)),
                graph_calls: judged.calls,
                seed: 0,
                sent_per_hour: per_hour(first, &dm_at),
                disagreements: entries.sent.saturating_sub(judged.accepted)
                    + judged.accepted.saturating_sub(entries.sent + entries.unknown),
            })
        })
    }

    /// Whether nothing was lost, doubled or over a limit, given how many sends should be there.
    pub fn is_clean(&self, expected: u64) -> bool {
        let ended = self.sent + self.failed + self.expired + self.cancelled;
        self.matched == expected
            && ended + self.waiting == self.matched
            && self.waiting == 0
            && self.duplicates == 0
            && self.violations == 0
            && self.disagreements == 0
    }

    /// The report for people.
    pub fn render(&self, limits: &Limits) -> String {
        let mut out = String::new();
        let Self { matched, sent, waiting, failed, expired, cancelled, .. } = self;
        let _ = writeln!(out, "matched     {matched:>8}");
        for (name, count) in [
            ("sent", sent),
            ("waiting", waiting),
            ("failed", failed),
            ("expired", expired),
            ("cancelled", cancelled),
        ] {
            let _ = writeln!(out, "  {name:<9} {count:>8}");
        }
        let _ = writeln!(out, "duplicates  {:>8}   as the simulated Meta counted", self.duplicates);
        let _ = writeln!(
            out,
            "violations  {:>8}   calls over a limit, by its exact log",
            self.violations
        );
        let _ = writeln!(out, "Graph calls {:>8}", self.graph_calls);
        let ratio = if self.optimum_s > 0.0 { self.finish_s / self.optimum_s } else { 1.0 };
        let _ = writeln!(
            out,
            "finish      {:>8}   optimum {}, ratio {ratio:.3}",
            hours(self.finish_s),
            hours(self.optimum_s)
        );
        let _ = writeln!(
            out,
            "per DM      {:>8}   requests to DynamoDB and SQS",
            self.aws_requests_per_dm
        );
        let _ = writeln!(out, "            {:>8}   DynamoDB write units", self.write_units_per_dm);
        let rows: Vec<String> = limits
            .each
            .rows
            .iter()
            .map(|row| format!("{} {}/{}", row.name, row.limit.first, short(row.window)))
            .collect();
        let _ = writeln!(out, "limits      {}", rows.join(", "));
        if self.sent_per_hour.len() > 1 {
            let _ = writeln!(out, "\nDMs per hour, {} hours", self.sent_per_hour.len());
            out.push_str(&chart(&self.sent_per_hour));
        }
        out
    }
}

/// An entry of the `sends` table.
pub(crate) struct Entry {
    /// `account/event`; a comment's event is its id.
    pub(crate) id: String,
    /// Its state.
    pub(crate) state: String,
    /// Whether nobody knows if its DM was made: Meta's servers failed.
    pub(crate) is_unknown: bool,
    /// When it was matched.
    pub(crate) matched_at: Timestamp,
}

impl Entry {
    /// All of them.
    pub(crate) async fn all(stack: &Stack) -> Result<Vec<Self>> {
        let mut entries = Vec::new();
        let mut pages = stack
            .dynamo
            .scan()
            .table_name(&stack.config.sends_table)
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        while let Some(item) = pages.next().await {
            let item = item.context("read the table of sends")?;
            let text = |name: &str| {
                item.get(name).and_then(|value| value.as_s().ok()).cloned().context("no text")
            };
            let matched_at = item.get("matched_at").and_then(|value| value.as_n().ok());
            let millis = matched_at.and_then(|value| value.parse().ok());
            entries.push(Self {
                id: text("id")?,
                state: text("state")?,
                is_unknown: item
                    .get("outcome")
                    .and_then(|value| value.as_s().ok())
                    .and_then(|outcome| serde_json::from_str(outcome).ok())
                    .is_some_and(|outcome: Outcome| {
                        outcome == Outcome::Failed { reason: FailReason::Unknown }
                    }),
                matched_at: Timestamp::from_millis(millis.context("no matched_at")?),
            });
        }
        Ok(entries)
    }
}

impl Entries {
    fn count(all: &[Entry]) -> Result<Self> {
        let mut entries = Self::default();
        for entry in all {
            let count = match entry.state.as_str() {
                "sent" => &mut entries.sent,
                "waiting" => &mut entries.waiting,
                "failed" => &mut entries.failed,
                "expired" => &mut entries.expired,
                "cancelled" => &mut entries.cancelled,
                other => anyhow::bail!("an entry in an unknown state: {other:?}"),
            };
            *count += 1;
            entries.unknown += u64::from(entry.is_unknown);
            entries.matched_at.push(entry.matched_at);
        }
        Ok(entries)
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn hours(seconds: f64) -> String {
    format!("{:.1} h", seconds / 3600.0)
}

fn short(span: Duration) -> String {
    match span.as_secs() {
        secs if secs >= 3600 && secs % 3600 == 0 => format!("{} h", secs / 3600),
        secs if secs >= 60 && secs % 60 == 0 => format!("{} min", secs / 60),
        _ => format!("{} s", span.as_secs_f64()),
    }
}

fn per_hour(first: Timestamp, dm_at: &[Timestamp]) -> Vec<u64> {
    let mut hours = Vec::new();
    for at in dm_at {
        let hour = (at.since(first).as_secs() / 3600) as usize;
        if hour >= hours.len() {
            hours.resize(hour + 1, 0);
        }
        hours[hour] += 1;
    }
    hours
}

/// How full a column is, in eighths.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A column of one row for a value, as a part of the largest one. What is there at all is seen.
pub(crate) fn bar(value: u64, top: u64) -> char {
    EIGHTHS[(value * 8).div_ceil(top).min(8) as usize]
}

/// A column for each hour, or for several where there are more than fit a terminal.
fn chart(hours: &[u64]) -> String {
    const COLUMNS: usize = 72;
    const ROWS: u64 = 6;
    let per_column = hours.len().div_ceil(COLUMNS).max(1);
    let columns: Vec<u64> =
        hours.chunks(per_column).map(|chunk| chunk.iter().copied().max().unwrap_or(0)).collect();
    let top = columns.iter().copied().max().unwrap_or(0).max(1);
    let mut out = String::new();
    for row in (0..ROWS).rev() {
        let label = if row + 1 == ROWS { top.to_string() } else { String::new() };
        let _ = write!(out, "{label:>6} │");
        for &value in &columns {
            let filled = (value * ROWS * 8).div_ceil(top).saturating_sub(row * 8).min(8);
            out.push(EIGHTHS[filled as usize]);
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{:>6} └{}", 0, "─".repeat(columns.len()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_or_over_a_limit_is_not_clean() {
        let clean = Report {
            matched: 4,
            sent: 1,
            waiting: 0,
            failed: 1,
            expired: 1,
            cancelled: 1,
            duplicates: 0,
            violations: 0,
            finish_s: 1.0,
            optimum_s: 1.0,
            aws_requests_per_dm: 1.0,
            write_units_per_dm: 1.0,
            graph_calls: 1,
            seed: 1,
            sent_per_hour: vec![1],
            disagreements: 0,
        };
        assert!(clean.is_clean(4));
        assert!(!clean.is_clean(5));
        for unclean in [
            Report { sent: 0, ..clean.clone() },
            Report { sent: 0, waiting: 1, ..clean.clone() },
            Report { duplicates: 1, ..clean.clone() },
            Report { violations: 1, ..clean.clone() },
            Report { disagreements: 1, ..clean.clone() },
        ] {
            assert!(!unclean.is_clean(4), "{unclean:?}");
        }
    }

    #[test]
    fn the_chart_shows_full_and_empty_hours() {
        let drawn = chart(&[200, 0, 100]);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "   200 │█  ");
        assert_eq!(lines[3], "       │█ █");
        assert_eq!(lines[6], "     0 └───");
    }

    #[test]
    fn long_runs_fit_a_terminal() {
        let drawn = chart(&vec![5; 1000]);
        assert!(drawn.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn a_small_count_is_still_seen() {
        assert!(chart(&[1000, 1]).lines().nth(5).unwrap().ends_with('▁'));
    }
}
