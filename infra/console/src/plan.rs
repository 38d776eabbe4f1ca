//! A viral day before it comes: when its DMs would go out, how many would be too late, and what would
//! help.

use std::time::Duration;

use axum::Extension;
use axum::extract::State as Given;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;
use spillway_core::active_hours::{TimeOfDay, Zone};
use spillway_core::campaign::Overflow;
use spillway_core::profile::Profile;
use spillway_core::quota::Tier;
use spillway_core::rules::{Rules, Terms};
use spillway_core::time::Timestamp;
use spillway_service::admin::forecast::{ForecastView, ViralDay, around_the_clock, at_tier};
use spillway_service::admin::told::span;

use crate::answer::{Asked, Fault, Fields, account_id};
use crate::layout::{self, Frame, grouped, scrolling};
use crate::router::Served;
use crate::when::Clocks;

/// Comments that are planned at most: a page is to come at once.
const COMMENTS_MAX: u32 = 200_000;

/// The longest time over which they are spread.
const SPAN_MAX: Duration = Duration::from_secs(30 * 86_400);

const OVERFLOWS: [(&str, &str, Overflow); 3] = [
    ("oldest_first", "the oldest comments", Overflow::OldestFirst),
    ("newest_first", "the newest comments", Overflow::NewestFirst),
    ("public_reply", "the oldest; late ones get a public reply", Overflow::PublicReply),
];

/// A day as it was asked for, and the limits that it meets.
struct Planned {
    day: ViralDay,
    rules: Rules,
}

/// What becomes of it, and of the same day under other limits.
struct Outcome {
    view: ForecastView,
    others: Vec<(String, ForecastView)>,
}

/// Shows the form, and the forecast where it is filled in.
pub(crate) async fn get(
    Given(console): Served,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let now = console.now();
    let fields = &asked.query;
    let rules = match fields.get("account") {
        Some(account) => {
            let account = console.admin().accounts.connected(&account_id(account)?).await?;
            account.rules
        }
        None => Rules::new(Profile::careful(), Terms::default()).map_err(wrong)?,
    };
    let planned = match fields.get("comments") {
        Some(comments) => Some(planned(fields, comments, rules, now)?),
        None => None,
    };
    let outcome = match planned {
        Some(planned) => {
            // It computes for a while: other requests go on.
            let computed = tokio::task::spawn_blocking(move || outcome(&planned)).await;
            Some(computed.map_err(wrong)??)
        }
        None => None,
    };
    let json = || outcome.as_ref().map_or_else(|| json!({}), |outcome| json!(outcome.view));
    let page = || {
        let frame = Frame { title: "Plan a viral day", ..Frame::default() };
        let body = html! {
            (form(fields))
            @if let Some(outcome) = &outcome { (shown(outcome, now)) }
        };
        layout::page(&console, &frame, &body)
    };
    Ok(asked.answer(json, page))
}

fn wrong(error: impl std::fmt::Display) -> Fault {
    Fault::Wrong(format!("{error}."))
}

fn planned(
    fields: &Fields,
    comments: &str,
    rules: Rules,
    now: Timestamp,
) -> Result<Planned, Fault> {
    let comments = comments.parse().ok().filter(|n| (1..=COMMENTS_MAX).contains(n));
    let comments = comments
        .ok_or_else(|| wrong(format!("Write a number of comments from 1 to {COMMENTS_MAX}")))?;
    let spread = spillway_core::span::parse(fields.get("span").unwrap_or("10m"));
    let spread = spread.filter(|span| *span <= SPAN_MAX);
    let spread =
        spread.ok_or_else(|| wrong("Write a time such as 90s, 5m, 2h or 1d, at most 30d"))?;
    let mut terms = rules.terms().clone();
    if let Some(tier) = fields.get("tier") {
        let tier: Option<u8> = tier.parse().ok();
        let tier = tier.and_then(|tier| Tier::try_from(tier).ok());
        terms.tier = tier.ok_or_else(|| wrong("A tier is 1, 2 or 3"))?;
    }
    if let Some(zone) = fields.get("time_zone") {
        terms.time_zone = zone.parse::<Zone>().map_err(wrong)?;
    }
    if let Some(starts) = fields.get("day_starts") {
        terms.day_starts = starts.parse::<TimeOfDay>().map_err(wrong)?;
    }
    let at = match fields.get("at") {
        None => now,
        Some(at) => {
            let at = jiff::civil::DateTime::strptime("%Y-%m-%dT%H:%M", at).ok();
            let at = at.filter(|at| (2000..=2100).contains(&at.year()));
            let at = at.and_then(|at| terms.time_zone.instant(at));
            at.ok_or_else(|| wrong("Write a date and time such as 2026-11-27T18:00"))?
        }
    };
    let overflow = fields.get("overflow").unwrap_or("oldest_first");
    let overflow = OVERFLOWS.iter().find(|(known, ..)| *known == overflow);
    let &(.., overflow) = overflow.ok_or_else(|| wrong("There is no such order"))?;
    let mut rules = Rules::new(rules.profile().clone(), terms).map_err(wrong)?;
    if fields.get("hours") == Some("all") {
        rules = around_the_clock(&rules).map_err(wrong)?;
    }
    Ok(Planned { day: ViralDay { comments, at, span: spread, overflow }, rules })
}

fn outcome(Planned { day, rules }: &Planned) -> Result<Outcome, Fault> {
    let view = day.forecast(rules).map_err(wrong)?;
    let mut others = Vec::new();
    for tier in Tier::ALL.into_iter().filter(|&tier| tier > rules.terms().tier) {
        if let Ok(rules) = at_tier(rules, tier) {
            others.push((format!("At tier {}", u8::from(tier)), day.under(&rules)));
        }
    }
    if rules.profile().spread.is_some()
        && let Ok(rules) = around_the_clock(rules)
    {
        others
            .push(("Around the clock, as fast as the quotas allow".to_owned(), day.under(&rules)));
    }
    if view.too_late > 0 {
        for (_, name, overflow) in
            OVERFLOWS.into_iter().filter(|&(.., overflow)| overflow != day.overflow)
        {
            others.push((format!("First {name}"), ViralDay { overflow, ..*day }.under(rules)));
        }
    }
    Ok(Outcome { view, others })
}

fn form(fields: &Fields) -> Markup {
    let selected = |name: &str, value: &str| fields.get(name) == Some(value);
    html! {
        p { "When would everybody have their DM? This plans with the code that plans the real sends, for an account "
            "that has sent nothing yet. It changes nothing." }
        form.row action="/plan" {
            p { label for="comments" { "Comments that want a DM" }
                input id="comments" name="comments" inputmode="numeric" required autocomplete="off"
                    value=(fields.get("comments").unwrap_or("3000")); }
            p { label for="span" { "Within" }
                input id="span" name="span" required autocomplete="off" value=(fields.get("span").unwrap_or("10m")); }
            p { label for="at" { "From, by its clocks (now if empty)" }
                input id="at" name="at" placeholder="2026-11-27T18:00" autocomplete="off" value=[fields.get("at")]; }
            p { label for="account" { "With the limits of account" }
                input id="account" name="account" inputmode="numeric" autocomplete="off"
                    placeholder="a careful one" value=[fields.get("account")]; }
            p { label for="tier" { "Tier" }
                select id="tier" name="tier" {
                    option value="" { "as it is, or 1" }
                    @for (tier, name) in [("1", "1: 1,000 people a day"), ("2", "2: 10,000"), ("3", "3: 100,000")] {
                        option value=(tier) selected[selected("tier", tier)] { (name) }
                    }
                } }
            p { label for="hours" { "Hours" }
                select id="hours" name="hours" {
                    option value="" { "as its profile says" }
                    option value="all" selected[selected("hours", "all")] { "around the clock" }
                } }
            p { label for="time_zone" { "Time zone" }
                input id="time_zone" name="time_zone" autocomplete="off" placeholder="as it is, or UTC"
                    value=[fields.get("time_zone")]; }
            p { label for="day_starts" { "Its day begins" }
                input id="day_starts" name="day_starts" autocomplete="off" placeholder="as it is, or 08:00"
                    value=[fields.get("day_starts")]; }
            p { label for="overflow" { "If not all can be in time, first" }
                select id="overflow" name="overflow" {
                    @for (value, name, _) in OVERFLOWS { option value=(value) selected[selected("overflow", value)] { (name) } }
                } }
            p { button { "Forecast" } }
        }
    }
}

fn shown(Outcome { view, others }: &Outcome, now: Timestamp) -> Markup {
    let clocks = Clocks { now, zone: view.time_zone.parse().unwrap_or_default() };
    html! {
        section.card aria-labelledby="forecast" {
            h2 id="forecast" { "Forecast" }
            p.headline {
                @match view.last_at {
                    Some(at) => {
                        "The last of " (grouped(view.sent as u64)) " DMs goes out "
                        strong { (clocks.at(at)) } ", " (span(Duration::from_secs_f64(view.finish_s.max(0.0)))) " after the first comment."
                    }
                    None => "No DM goes out."
                }
                " "
                @if view.too_late > 0 { strong.bad { (grouped(view.too_late as u64)) " would be too late." } }
                @else if view.in_public == 0 { strong.good { "Nobody would be too late." } }
                @if view.in_public > 0 { " " (grouped(view.in_public as u64)) " would get a public reply instead." }
            }
            @for warning in &view.warnings { p.note { (warning) "." } }
            (picture(view))
        }
        @if !others.is_empty() {
            section aria-labelledby="others" {
                h2 id="others" { "What would help" }
                (scrolling("What would help", &html! {
                    table.wrap {
                        thead { tr { th scope="col" { "Plan" } th.num scope="col" { "DMs" } th.num scope="col" { "In public" }
                            th.num scope="col" { "Too late" } th scope="col" { "Finished after" } } }
                        tbody {
                            (row("As planned", view))
                            @for (name, view) in others { (row(name, view)) }
                        }
                    }
                }))
            }
        }
    }
}

fn row(name: &str, view: &ForecastView) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            td.num { (grouped(view.sent as u64)) } td.num { (grouped(view.in_public as u64)) }
            td.num { (grouped(view.too_late as u64)) }
            td { (span(Duration::from_secs_f64(view.finish_s.max(0.0)))) }
        }
    }
}

/// The days of the forecast, each with its hours.
fn picture(view: &ForecastView) -> Markup {
    const CELL: usize = 14;
    const TALL: u64 = 26;
    let most = u64::from(view.days.iter().flat_map(|day| day.by_hour).max().unwrap_or(0).max(1));
    html! {
        @if !view.days.is_empty() {
            (scrolling("DMs by day and hour", &html! {
                table {
                    caption { "DMs by day and hour, by the clocks of " (view.time_zone) "; the highest bar is " (grouped(most)) " an hour" }
                    thead { tr { th scope="col" { "Day" } th.num scope="col" { "DMs" } th scope="col" { "0 h to 24 h" } } }
                    tbody {
                        @for day in &view.days {
                            tr {
                                th scope="row" { (day.date) }
                                td.num { (grouped(day.sent)) }
                                td {
                                    svg.hours viewBox={ "0 0 " (24 * CELL) " " (TALL + 1) } aria-hidden="true" {
                                        line.axis x1="0" x2=(24 * CELL) y1=(TALL) y2=(TALL) {}
                                        @for (hour, &count) in day.by_hour.iter().enumerate() {
                                            @if count > 0 {
                                                @let tall = (u64::from(count) * TALL / most).max(1);
                                                rect.planned x=(hour * CELL + 1) width=(CELL - 2) y=(TALL - tall) height=(tall) {}
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}
