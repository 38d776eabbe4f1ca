//! The report: what became of every comment, as the stores and the judge have it.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use serde::{Serialize, Serializer};
use spillway_core::id::OnceKey;
use spillway_core::send::{FailReason, Outcome, REPLY_WINDOW};
use spillway_core::time::Timestamp;
use spillway_graph::Limits;
use spillway_judge::{Action, Perishable, most_in_time};

use crate::stack::Stack;
use crate::story::funnel::Conversed;

const HOUR: Duration = Duration::from_secs(3600);

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
    /// Seconds from the first match to the last DM that answers a comment.
    pub finish_s: f64,
    /// The same by the exact planner, which knew all arrivals in advance.
    pub optimum_s: f64,
    /// How many that planner answers before they are too old.
    pub optimum_sent: u64,
    /// Requests to DynamoDB and SQS for each DM.
    pub aws_requests_per_dm: f64,
    /// DynamoDB write units for each DM.
    pub write_units_per_dm: f64,
    /// Calls of the Graph API.
    pub graph_calls: u64,
    /// What the run was drawn from; 0 where nothing was drawn.
    pub seed: u64,
    /// The hour of the first match, which `sent_per_hour` begins with.
    #[serde(serialize_with = "rfc3339")]
    pub first_hour: Timestamp,
    /// DMs in each hour of the clock.
    pub sent_per_hour: Vec<u64>,
    /// Sends recorded as sent that the judge never accepted, and the other way round. Must be 0.
    pub disagreements: u64,
    /// What became of conversations, where the story has some.
    #[serde(flatten)]
    pub conversed: Option<Conversed>,
    /// Of the sends, those that begin something, and are no later step of a conversation.
    #[serde(skip)]
    pub openings: u64,
}

/// What the entries come to.
#[derive(Default)]
struct Entries {
    matched: u64,
    /// When what begins something was matched.
    openings_at: Vec<Timestamp>,
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
            entries.openings_at.sort_unstable();
            let judged = stack.graph.report();
            let calls = stack.graph.calls();
            let made_at = |actions: &[Action]| -> Vec<Timestamp> {
                let accepted = calls.iter().filter(|call| (200..300).contains(&call.status));
                let of_these = accepted.filter(|call| actions.contains(&call.action));
                of_these.map(|call| Timestamp::from_millis(call.at_ms)).collect()
            };
            let replies = [Action::PrivateReply, Action::LivePrivateReply];
            let (reply_at, message_at) = (made_at(&replies), made_at(&[Action::Message]));
            let dm_at = [&reply_at[..], &message_at].concat();
            let first = entries.openings_at.first().copied().unwrap_or_default();
            let since_first =
                |at: Option<&Timestamp>| at.map_or(0.0, |at| at.since(first).as_secs_f64());
            let wanted: Vec<Perishable> = entries
                .openings_at
                .iter()
                .map(|&arrival| Perishable { arrival, deadline: arrival + REPLY_WINDOW })
                .collect();
            let optimum: Vec<Timestamp> =
                most_in_time(&wanted, &stack.graph.limits().each).into_iter().flatten().collect();
            let first_hour =
                Timestamp::from_secs(first.as_secs() - first.as_secs() % HOUR.as_secs());
            let (functions, pollers) = (stack.faults.counts(), stack.poller_faults.counts());
            let per_dm =
                |count: f64| if entries.sent == 0 { 0.0 } else { count / entries.sent as f64 };
            Ok(Self {
                matched: entries.matched,
                sent: entries.sent,
                waiting: entries.waiting,
                failed: entries.failed,
                expired: entries.expired,
                cancelled: entries.cancelled,
                duplicates: judged.duplicates,
                violations: judged.violations.len() as u64,
                finish_s: since_first(reply_at.iter().max()),
                optimum_s: since_first(optimum.last()),
                optimum_sent: optimum.len() as u64,
                aws_requests_per_dm: rounded(per_dm(
                    (functions.requests + pollers.requests) as f64,
                )),
                write_units_per_dm: rounded(per_dm(functions.write_units)),
                graph_calls: judged.calls,
                seed: 0,
                first_hour,
                sent_per_hour: per_hour(first_hour, &dm_at),
                disagreements: entries.sent.saturating_sub(judged.accepted)
                    + judged.accepted.saturating_sub(entries.sent + entries.unknown),
                conversed: None,
                openings: entries.openings_at.len() as u64,
            })
        })
    }

    /// Whether nothing was lost, doubled or over a limit, given how many comments should be answered.
    /// A comment that is too old before the limits allow its DM is not lost: the planner expires as
    /// many, less one in fifty. It does not know what else conversations have to say.
    pub fn is_clean(&self, expected: u64) -> bool {
        let ended = self.sent + self.failed + self.expired + self.cancelled;
        let too_many = self.openings.saturating_sub(self.optimum_sent);
        let is_in_time = self.expired <= too_many + self.openings / 50;
        self.openings == expected
            && self.conversed.as_ref().map_or(is_in_time, Conversed::is_clean)
            && ended + self.waiting == self.matched
            && self.waiting == 0
            && self.duplicates == 0
            && self.violations == 0
            && self.disagreements == 0
    }

    /// The report for people.
    pub fn render(&self, limits: &Limits) -> String {
        let conversed = self.conversed.as_ref();
        let mut out =
            conversed.map(|conversed| conversed.render(self.openings)).unwrap_or_default();
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
        let (finish, optimum) = (hours(self.finish_s), hours(self.optimum_s));
        let compared = match conversed {
            // The planner knows no answers, and answers go before openings.
            Some(_) => format!("of the openings; {optimum} if nobody answered"),
            None if self.optimum_s > 0.0 => {
                format!("optimum {optimum}, ratio {:.3}", self.finish_s / self.optimum_s)
            }
            None => format!("optimum {optimum}, ratio 1.000"),
        };
        let _ = writeln!(out, "finish      {finish:>8}   {compared}");
        if self.expired > 0 && conversed.is_none() {
            out.push_str(&self.why_expired(limits));
        }
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
            .filter(|row| row.counts.actions.contains(Action::PrivateReply))
            .map(|row| format!("{} {}/{}", row.name, row.limit.first, short(row.window)))
            .collect();
        let _ = writeln!(out, "limits      {}", rows.join(", "));
        if self.sent_per_hour.len() > 1 {
            let _ = writeln!(out, "\nDMs in each hour of the day (UTC)");
            out.push_str(&chart(&self.sent_per_hour, self.first_hour));
        }
        out
    }

    /// Why sends were too late, and what would help.
    fn why_expired(&self, limits: &Limits) -> String {
        let day = limits.each.day_figure().map(|figure| figure.first);
        let day = day.map_or(String::new(), |day| format!(" at {day} a day"));
        format!(
            "            {:>8}   were too old before their turn: a comment can be answered for seven days.\n\
             {:24}{} is the most that the limits allow{day}. `spillway forecast` says\n\
             {:24}whether a higher tier helps; `overflow = \"newest_first\"` in a campaign\n\
             {:24}answers the last ones first.\n",
            self.expired, "", self.optimum_sent, "", ""
        )
    }
}

fn rfc3339<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    spillway_service::admin::rfc3339(*at).serialize(to)
}

/// The entry of a DM in the `sends` table.
pub(crate) struct Entry {
    /// Its key.
    pub(crate) key: OnceKey,
    /// `account/comment` of what it answers, else `account/key`.
    pub(crate) answers: String,
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
            if !item.contains_key("state") {
                // It tells what a person was answered, and holds no send.
                continue;
            }
            let text = |name: &str| {
                item.get(name).and_then(|value| value.as_s().ok()).cloned().context("no text")
            };
            let matched_at = item.get("matched_at").and_then(|value| value.as_n().ok());
            let millis = matched_at.and_then(|value| value.parse().ok());
            let id = text("id")?;
            let (account, key) = id.split_once('/').context("no key")?;
            let key = OnceKey::new(key);
            if key.is_public_reply() {
                continue;
            }
            // Where the key is not the comment's, it is named beside it.
            let answers = text("comment").map(|comment| format!("{account}/{comment}"));
            entries.push(Self {
                key,
                answers: answers.unwrap_or_else(|_| id.clone()),
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
            entries.matched += 1;
            if !entry.key.is_step() {
                entries.openings_at.push(entry.matched_at);
            }
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

/// A column for each hour, or for several where there are more than fit a terminal. The axis names
/// days at their midnight, and hours between.
fn chart(hours: &[u64], first_hour: Timestamp) -> String {
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
    let _ = writeln!(out, "        {}", axis(columns.len(), per_column as u64, first_hour));
    out
}

/// The labels under the columns.
fn axis(columns: usize, per_column: u64, first_hour: Timestamp) -> String {
    /// 1 January 1970 was a Thursday.
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let every = match per_column {
        1 => 6,
        2 => 12,
        _ => 24,
    };
    let first = first_hour.as_secs() / HOUR.as_secs();
    let mut labels = String::new();
    for column in 0..columns {
        let from = first + column as u64 * per_column;
        let Some(hour) = (from..from + per_column).find(|hour| hour % every == 0) else { continue };
        let label = match hour % 24 {
            0 => DAYS[(hour / 24 % 7) as usize].to_owned(),
            hour => format!("{hour:02}"),
        };
        // A label that would not fit is left out.
        if labels.len() <= column && column + label.len() <= columns {
            let _ = write!(labels, "{:1$}{label}", "", column - labels.len());
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::QuotaOptions;

    /// Four comments, one of them too late. The best plan also expires one.
    fn clean() -> Report {
        Report {
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
            optimum_sent: 3,
            aws_requests_per_dm: 1.0,
            write_units_per_dm: 1.0,
            graph_calls: 1,
            seed: 1,
            first_hour: MONDAY,
            sent_per_hour: vec![1],
            disagreements: 0,
            conversed: None,
            openings: 4,
        }
    }

    #[test]
    fn what_is_lost_doubled_or_over_a_limit_is_not_clean() {
        let clean = clean();
        assert!(clean.is_clean(4));
        assert!(!clean.is_clean(5));
        for unclean in [
            Report { sent: 0, ..clean.clone() },
            Report { sent: 0, waiting: 1, ..clean.clone() },
            Report { duplicates: 1, ..clean.clone() },
            Report { violations: 1, ..clean.clone() },
            Report { optimum_sent: 4, ..clean.clone() },
            Report { disagreements: 1, ..clean.clone() },
        ] {
            assert!(!unclean.is_clean(4), "{unclean:?}");
        }
    }

    /// Monday, 7 September 2026, 17:00 UTC.
    const MONDAY: Timestamp = Timestamp::from_secs(1_788_800_400);

    #[test]
    fn the_chart_names_days_and_hours() {
        let drawn = chart(&[1; 40], MONDAY);
        assert_eq!(drawn.lines().last(), Some("         18    Tue   06    12    18    Wed   06"));
        // Two hours a column, and then several.
        let drawn = chart(&[1; 80], MONDAY);
        assert_eq!(drawn.lines().last(), Some("           Tue   12    Wed   12    Thu   12"));
        assert_eq!(axis(20, 12, MONDAY), "Tue Thu Sat Mon Wed");
    }

    #[test]
    fn what_is_too_old_before_the_limits_allow_it_is_explained() {
        let report =
            Report { matched: 100, openings: 100, expired: 70, optimum_sent: 30, ..clean() };
        let limits = QuotaOptions::default().limits();
        let text = report.render(&limits);
        assert!(text.contains("30 is the most that the limits allow at 1000 a day"), "{text}");
        assert!(!Report { expired: 0, ..clean() }.render(&limits).contains("too old"));
    }

    #[test]
    fn the_chart_shows_full_and_empty_hours() {
        let drawn = chart(&[200, 0, 100], MONDAY);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "   200 │█  ");
        assert_eq!(lines[3], "       │█ █");
        assert_eq!(lines[6], "     0 └───");
    }

    #[test]
    fn long_runs_fit_a_terminal() {
        let drawn = chart(&vec![5; 1000], MONDAY);
        assert!(drawn.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn a_small_count_is_still_seen() {
        assert!(chart(&[1000, 1], MONDAY).lines().nth(5).unwrap().ends_with('▁'));
    }
}
