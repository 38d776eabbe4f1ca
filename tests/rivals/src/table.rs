//! The comparison for people.

use std::fmt::Write as _;

use crate::compare::{Compared, Row};
use crate::meta::REPLIES_PER_HOUR;

/// Whether the table is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// What is lost, over a limit or called during a hold stands out.
    Ansi,
    /// Text alone.
    Plain,
}

const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// All traces, one table each, and what the models do.
pub fn render(compared: &[Compared], colour: Colour) -> String {
    let mut out = String::new();
    for trace in compared {
        let title = format!(
            "{}, at most {} an hour and {} people in 24 h",
            trace.scenario, REPLIES_PER_HOUR, trace.recipients_per_day
        );
        let _ = writeln!(out, "{}", painted(&title, BOLD, colour));
        let _ = writeln!(
            out,
            "{:<20} {:>9} {:>13} {:>8} {:>7} {:>8}  fullest window",
            "", "delivered", "lost", "in hold", "per DM", "last DM"
        );
        for row in &trace.models {
            out.push_str(&line(row, colour));
        }
        out.push('\n');
    }
    if let Some(first) = compared.first() {
        out.push_str(&legend(&first.models));
    }
    out
}

fn line(row: &Row, colour: Colour) -> String {
    let outcome = &row.outcome;
    let red = |text: &str, wrong: u64| match wrong {
        0 => text.to_owned(),
        _ => painted(text, RED, colour),
    };
    let lost = match outcome.lost {
        0 => "0".to_owned(),
        lost => format!("{lost} ({:.0}%)", outcome.lost_percent()),
    };
    let per_dm = row.requests_per_dm.map(|per_dm| format!("{per_dm:.1}"));
    let last = outcome.last_dm_s.map(|secs| format!("{:.1} h", secs as f64 / 3600.0));
    let fullest = outcome
        .fullest
        .as_ref()
        .map(|window| format!("{} of {} {}", window.count, window.allowed, window.limit));
    format!(
        "{:<20} {:>9} {} {} {:>7} {:>8}  {}\n",
        row.model,
        outcome.delivered,
        red(&format!("{lost:>13}"), outcome.lost),
        red(&format!("{:>8}", outcome.calls_in_hold), outcome.calls_in_hold),
        known(per_dm),
        known(last),
        red(&known(fullest), outcome.excess()),
    )
}

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn legend(models: &[Row]) -> String {
    let mut out =
        String::from("Models, made from what is publicly said of such tools; not their code.\n");
    for row in models {
        let _ = writeln!(out, "  {:<20} {}", row.model, row.about);
    }
    out.push_str(
        "in hold: calls made while a limit response said to stop. per DM: requests to queues and\n\
         stores, as modelled. fullest window: calls, refused ones too, against the limit.\n\
         Spillway's schedule runs each minute, for all accounts together. Here one account's DMs\n\
         bear all of it, which is most of what they cost where few comments come in a day.\n",
    );
    out
}

fn painted(text: &str, paint: &str, colour: Colour) -> String {
    match colour {
        Colour::Ansi => format!("{paint}{text}{RESET}"),
        Colour::Plain => text.to_owned(),
    }
}
