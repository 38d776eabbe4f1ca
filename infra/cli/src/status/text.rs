//! The status as text: a line for each account, or all of one.

use std::fmt::Write as _;

use spillway_core::answers::Tally;
use spillway_core::campaign::Phase;
use spillway_core::id::AccountId;
use spillway_core::load::{ByHour, Headroom};
use spillway_core::meta_error::LastRefusal;
use spillway_core::send::Lane;
use spillway_core::status::{Condition, Next, State, Why};
use spillway_core::time::Timestamp;
use spillway_service::admin::overview::{Extent, Overview};

use crate::output::{Columns, Output, Paint, Times, counted, heard, paint, span};

/// How many cells an account's line has.
pub(super) const COLUMNS: usize = 9;

/// What they are called, and which go where there is little room.
pub(super) const LIST: Columns<COLUMNS> = Columns {
    heads: ["ACCOUNT", "STATE", "LEFT", "WAITING", "NEXT DM", "LAST DM", "LATE", "TOKEN", "HEARD"],
    least_first: &[8, 7, 5, 2, 6, 4, 3],
};

/// By which times of the account are told.
pub(super) fn times(overview: &Overview, now: Timestamp) -> Times {
    Times { now, zone: overview.time_zone.clone() }
}

/// A line for each account, and what is wrong in words.
pub(super) fn all(overviews: &[Overview], now: Timestamp, output: Output) -> String {
    let rows: Vec<[String; COLUMNS]> =
        overviews.iter().map(|overview| cells(overview, now)).collect();
    let empty = "no account is connected: `spillway connect --help` says how";
    let mut sentences = String::new();
    for overview in overviews {
        for condition in &overview.conditions {
            if condition.why == Why::Nothing {
                continue;
            }
            let sentence = told(condition, &overview.account, &times(overview, now));
            let state = said(condition);
            sentences += &output.wrapped(0, &format!("{}: {state}: {sentence}", overview.account));
        }
        if overview.calls.is_alarming() {
            let errors = server_errors(overview, &times(overview, now));
            sentences += &output.wrapped(0, &format!("{}: {errors}", overview.account));
        }
    }
    let list = output.table(&LIST, &rows, empty);
    if sentences.is_empty() { list } else { format!("{list}\n{sentences}") }
}

/// The cells of an account's line.
pub(super) fn cells(overview: &Overview, now: Timestamp) -> [String; COLUMNS] {
    let dash = || "-".to_owned();
    let ahead = |at: Timestamp| match at.since(now) {
        ahead if ahead.is_zero() => "now".to_owned(),
        ahead => format!("in {}", span(ahead)),
    };
    [
        overview.account.to_string(),
        overview.state().to_string(),
        tightest(overview).map_or_else(dash, |row| format!("{}% {}", row.percent(), row.quota)),
        waiting(overview),
        overview.next_at.map_or_else(dash, ahead),
        overview.last_at.map_or_else(dash, |at| format!("~{}", ahead(at))),
        overview.outlook.map_or_else(dash, |outlook| outlook.late.to_string()),
        overview.token.ends_at.map_or_else(|| "?".to_owned(), ahead),
        overview.last_seen.map_or_else(|| "never".to_owned(), |at| heard(at, now)),
    ]
}

/// The quota with the least left.
pub(super) fn tightest(overview: &Overview) -> Option<&Headroom> {
    overview.headroom.iter().min_by_key(|headroom| headroom.percent())
}

fn waiting(overview: &Overview) -> String {
    let more = if overview.backlog.extent == Extent::First { "+" } else { "" };
    format!("{}{more}", overview.backlog.total())
}

/// How many calls ended in a 5xx.
pub(super) fn server_errors(overview: &Overview, times: &Times) -> String {
    let Tally { calls, server_errors } = overview.calls;
    format!(
        "{server_errors} of about {} ({}%) ended in a 5xx of Meta's, since {}",
        counted(calls as usize, "call"),
        overview.calls.percent(),
        times.when(overview.calls_since)
    )
}

/// The state of a condition, red where somebody has to do something.
fn said(condition: &Condition) -> String {
    let colour = match (condition.state, condition.needs_somebody()) {
        (State::Healthy, false) => Paint::Good,
        (State::Healthy, true) | (_, false) => Paint::Warn,
        (_, true) => Paint::Bad,
    };
    paint(colour, &condition.state.to_string())
}

/// Why, since when, and what is next.
pub(crate) fn sentence(condition: &Condition, times: &Times) -> String {
    let mut out = condition.why.to_string();
    if let Some(since) = condition.since {
        let _ = write!(out, ", since {}", times.when(since));
    }
    let _ = write!(out, ". Next: {}", condition.next);
    if let Some(at) = condition.next.at() {
        let _ = write!(out, ", {}", times.when(at));
    }
    out
}

const QUOTAS: Columns<4> = Columns { heads: ["  QUOTA", "USED", "", ""], least_first: &[2] };
const LANES: Columns<3> = Columns { heads: ["  LANE", "QUEUED", "PARKED"], least_first: &[] };

/// The width of two days by the hour, in cells.
const HOURS_WIDTH: usize = 51;

/// The same, with the command that an operator needs, if one does.
pub(super) fn told(condition: &Condition, account: &AccountId, times: &Times) -> String {
    let sentence = sentence(condition, times);
    let command = match (condition.next, &condition.why) {
        (Next::Stopped, _) | (Next::Resumes(_), Why::ByHand(_)) => {
            format!("spillway account resume {account}")
        }
        (_, Why::CampaignRefused(campaign)) => {
            let resume = format!("spillway campaign resume {account} {campaign}");
            return format!(
                "{sentence} (apply another link or text; `{resume}` ends the hold without that)"
            );
        }
        (Next::Paused, Why::CampaignPaused(campaign)) => {
            format!("spillway campaign resume {account} {campaign}")
        }
        (Next::Login(_), _) => "spillway connect".to_owned(),
        _ => return sentence,
    };
    format!("{sentence} (`{command}`)")
}

/// All of one account.
pub(super) fn one(overview: &Overview, now: Timestamp, output: Output) -> String {
    let times = times(overview, now);
    let mut out = String::new();
    let Overview { account, tier, profile, .. } = overview;
    let _ = writeln!(out, "{account}  tier {}, profile {profile}", u8::from(*tier));
    for condition in &overview.conditions {
        let sentence = told(condition, account, &times);
        out += &output.wrapped(2, &format!("{}: {sentence}", said(condition)));
    }
    for (campaign, period, phase) in &overview.outside {
        let told = match phase {
            Phase::Over => format!("campaign {campaign} ended {}", times.when(period.ends_at)),
            Phase::Before | Phase::Open => {
                format!("campaign {campaign} begins {}", times.when(period.begins_at))
            }
        };
        out += &output.wrapped(2, &told);
    }
    let rows: Vec<[String; 4]> = overview
        .headroom
        .iter()
        .map(|row| {
            let fits = if row.used < row.limit.get() {
                String::new()
            } else {
                format!("next fits {}", times.when(row.fits_at))
            };
            let used = format!("{}/{}", row.used, row.limit);
            [format!("  {}", row.quota), used, bar(row, 10), fits]
        })
        .collect();
    let _ = write!(out, "\n{}", output.table(&QUOTAS, &rows, ""));
    let lanes = Lane::ALL.into_iter().zip(overview.backlog.lanes);
    let rows: Vec<[String; 3]> = lanes
        .map(|(lane, of)| [format!("  {lane}"), of.queued.to_string(), of.parked.to_string()])
        .collect();
    let _ = write!(out, "\n{}", output.table(&LANES, &rows, ""));
    if overview.backlog.extent == Extent::First {
        let _ = writeln!(out, "  more wait than were read: these are the first");
    }
    out.push('\n');
    let line = |name: &str, value: String| output.wrapped(2, &format!("{name:<12}  {value}"));
    if let Some(at) = overview.next_at {
        out += &line("next DM", times.when(at));
    }
    if let Some(at) = overview.last_at {
        out += &line("last DM", format!("~{}", times.when(at)));
    }
    if let Some(outlook) = overview.outlook {
        out +=
            &line("too late", format!("~{} of {} without a slot", outlook.late, outlook.waiting));
    }
    let unknown = |at: Option<Timestamp>, unknown: &str| {
        at.map_or_else(|| unknown.to_owned(), |at| times.when(at))
    };
    out += &line("token ends", unknown(overview.token.ends_at, "not known before it is renewed"));
    out += &line("calls", server_errors(overview, &times));
    if let Some(LastRefusal { at, error }) = &overview.last_refusal {
        out += &line("last refusal", format!("{error}, {}", times.when(*at)));
    }
    if let Some(until) = overview.human_until {
        out +=
            &line("a human writes", format!("no campaign does there until {}", times.when(until)));
    }
    let last = overview.last_seen.map_or_else(|| "none yet".to_owned(), |at| heard(at, now));
    // Upkeep reads comments where none is told of: what tells of messages does not count.
    out += &line("last webhook", format!("of a comment: {last}"));
    let (past, planned) = (past(overview), bars(&overview.planned_by_hour, most(overview)));
    out += "\n  DMs an hour: 24 hours back, 24 ahead\n";
    if output.width() < HOURS_WIDTH {
        let _ = writeln!(out, "  {past}│now\n  {planned}\n  █ = {}", most(overview));
        return out;
    }
    let _ = writeln!(out, "  {past}│{planned}");
    let _ = writeln!(out, "  {:>24}│now; █ = {}", "", most(overview));
    out
}

/// How full a quota is, in so many cells: none is full if nothing is used, and all only if all is.
pub(super) fn bar(row: &Headroom, cells: usize) -> String {
    let (used, limit) = (row.used as usize, row.limit.get() as usize);
    let full = match used {
        0 => 0,
        used if used >= limit => cells,
        used => (used * cells / limit).clamp(1, cells.saturating_sub(1).max(1)),
    };
    "█".repeat(full) + &"·".repeat(cells.saturating_sub(full))
}

/// The most DMs of any hour.
pub(super) fn most(overview: &Overview) -> u32 {
    let past = overview.sent_by_hour.into_iter().flatten();
    past.chain(overview.planned_by_hour).max().unwrap_or(0).max(1)
}

fn past(overview: &Overview) -> String {
    match &overview.sent_by_hour {
        Some(hours) => bars(hours, most(overview)),
        None => format!("{:>24}", "not counted by the hour"),
    }
}

fn bars(hours: &ByHour, most: u32) -> String {
    hours.iter().map(|&count| crate::output::cell(count, most)).collect()
}
