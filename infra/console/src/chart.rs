//! The chart of an account's hours: what was sent, what is planned, and what still waits.

use std::time::Duration;

use maud::{Markup, html};
use spillway_core::load::HOURS;
use spillway_core::time::Timestamp;
use spillway_service::admin::overview::Overview;

use crate::layout::{grouped, scrolling};
use crate::when::Clocks;

const HOUR: Duration = Duration::from_secs(3600);

/// The width of an hour, in units of the picture.
const CELL: usize = 9;
/// Where the hours begin: figures are left of them.
const LEFT: usize = 60;
/// The height of the upper and the lower panel.
const TALL: u32 = 100;
const LOW: u32 = 56;
/// Where they begin.
const UPPER: u32 = 18;
const LOWER: u32 = 146;
const WIDTH: usize = LEFT + 2 * HOURS * CELL + 14;
const HEIGHT: u32 = LOWER + LOW + 20;

/// What waits now, and after each of the hours to come: by the plan alone, if nothing else comes.
pub(crate) fn waiting_by_hour(overview: &Overview) -> [u32; HOURS + 1] {
    let mut waiting = [overview.backlog.total(); HOURS + 1];
    for (hour, planned) in overview.planned_by_hour.iter().enumerate() {
        waiting[hour + 1] = waiting[hour].saturating_sub(*planned);
    }
    waiting
}

/// Shows the hours of an account: a picture, what it says in a sentence, and the same as a table.
pub(crate) fn of(overview: &Overview, clocks: &Clocks) -> Markup {
    let past = overview.sent_by_hour.unwrap_or_default();
    let planned = overview.planned_by_hour;
    let waiting = waiting_by_hour(overview);
    let most = past.iter().chain(&planned).copied().max().unwrap_or(0).max(1);
    let deepest = waiting[0].max(1);
    let id = format!("chart-{}", overview.account);
    let (sent, ahead) = (past.iter().sum::<u32>(), planned.iter().sum::<u32>());
    let said = format!(
        "DMs by the hour: {} sent in the last 24 hours, {} planned for the next 24. {} wait now; {} \
         still wait in 24 hours.",
        grouped(sent),
        grouped(ahead),
        grouped(waiting[0]),
        grouped(waiting[HOURS])
    );
    let now_x = LEFT + HOURS * CELL;
    let line = |at: usize, count: u32| {
        format!("{},{} ", now_x + at * CELL, LOWER + LOW - scaled(count, deepest, LOW))
    };
    let points: String = waiting.iter().enumerate().map(|(at, &count)| line(at, count)).collect();
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby=(id) {
                title id=(id) { (said) }
                text x=(LEFT) y="11" { "DMs an hour" }
                text.end x=(LEFT - 5) y=(UPPER + 8) { (grouped(most)) }
                text.end x=(LEFT - 5) y=(UPPER + TALL) { "0" }
                line.axis x1=(LEFT) x2=(WIDTH - 14) y1=(UPPER + TALL) y2=(UPPER + TALL) {}
                @for (hour, &count) in past.iter().chain(&planned).enumerate() {
                    @if count > 0 {
                        rect class=(if hour < HOURS { "sent" } else { "planned" })
                            x=(LEFT + hour * CELL + 1) width=(CELL - 2)
                            y=(UPPER + TALL - scaled(count, most, TALL)) height=(scaled(count, most, TALL)) {}
                    }
                }
                text x=(LEFT) y=(LOWER - 8) { "DMs that wait" }
                text.end x=(LEFT - 5) y=(LOWER + 8) { (grouped(deepest)) }
                text.end x=(LEFT - 5) y=(LOWER + LOW) { "0" }
                line.axis x1=(LEFT) x2=(WIDTH - 14) y1=(LOWER + LOW) y2=(LOWER + LOW) {}
                polyline.waiting points=(points.trim_end()) {}
                line.now x1=(now_x) x2=(now_x) y1=(UPPER - 4) y2=(LOWER + LOW) {}
                @for (x, label) in ticks(clocks) {
                    text.mid x=(x) y=(HEIGHT - 5) { (label) }
                }
            }
            figcaption {
                span.key.sent {} "sent "
                span.key.planned {} "planned "
                span.key.waiting {} "waits, if nothing else comes"
                @if overview.sent_by_hour.is_none() {
                    " (no quota of a day counts this account's DMs by the hour)"
                }
            }
            details {
                summary { "The same as a table" }
                (table(overview, &waiting, clocks))
            }
        }
    }
}

/// A height in units of the picture: seen unless it is nothing.
fn scaled(count: u32, most: u32, height: u32) -> u32 {
    let scaled = u64::from(count) * u64::from(height) / u64::from(most);
    u32::try_from(scaled).unwrap_or(height).max(u32::from(count > 0) * 2)
}

/// The quarters of the day by the account's clocks: where they are, and what they are called. The
/// hour of now is called so.
fn ticks(clocks: &Clocks) -> Vec<(usize, String)> {
    let now_x = LEFT + HOURS * CELL;
    let begin = clocks.now - HOUR * HOURS as u32;
    let mut ticks = vec![(now_x, "now".to_owned())];
    let Some(local) = clocks.zone.local(begin) else { return ticks };
    let to_hour = 3600 - (local.minute() as u64 * 60 + local.second() as u64);
    let mut at = begin + Duration::from_secs(to_hour);
    while at < clocks.now + HOUR * HOURS as u32 {
        let label = clocks.shows(at, "%H:00");
        let x = LEFT + usize::try_from(at.since(begin).as_secs()).unwrap_or(0) * CELL / 3600;
        let label = match label.as_str() {
            "00:00" => Some(clocks.shows(at, "%a")),
            "06:00" | "12:00" | "18:00" => Some(label),
            _ => None,
        };
        ticks.extend(
            label.filter(|_| x.abs_diff(now_x) > 46 && x > LEFT + 10).map(|label| (x, label)),
        );
        at = at + HOUR;
    }
    ticks
}

fn table(overview: &Overview, waiting: &[u32; HOURS + 1], clocks: &Clocks) -> Markup {
    let hour = |from: Timestamp| clocks.shows(from, "%a %H:%M");
    let begin = clocks.now - HOUR * HOURS as u32;
    let table = html! {
        table {
            thead { tr { th scope="col" { "Hour from" } th.num scope="col" { "Sent" } th.num scope="col" { "Planned" }
                th.num scope="col" { "Wait after it" } } }
            tbody {
                @if let Some(past) = overview.sent_by_hour {
                    @for (at, count) in past.iter().enumerate() {
                        tr { th scope="row" { (hour(begin + HOUR * at as u32)) }
                            td.num { (grouped(*count)) } td {} td {} }
                    }
                }
                @for (at, count) in overview.planned_by_hour.iter().enumerate() {
                    tr { th scope="row" { (hour(clocks.now + HOUR * at as u32)) }
                        td {} td.num { (grouped(*count)) } td.num { (grouped(waiting[at + 1])) } }
                }
            }
        }
    };
    scrolling("The hours as a table", &table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_with_one_dm_is_seen() {
        assert_eq!([0, 1, 500, 1000].map(|count| scaled(count, 1000, 100)), [0, 2, 50, 100]);
    }

    #[test]
    fn the_quarters_of_the_day_are_named_and_leave_room_for_now() {
        let now = Timestamp::from_secs(1_790_000_000);
        let clocks = Clocks { now, zone: "Asia/Kolkata".parse().unwrap_or_default() };
        let ticks = ticks(&clocks);
        let labels: Vec<&str> = ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["now", "Mon", "06:00", "12:00", "06:00", "12:00", "18:00"]);
        assert!(
            ticks[1..].iter().all(|&(x, _)| x > LEFT && x < WIDTH && x.abs_diff(ticks[0].0) > 46)
        );
    }
}
