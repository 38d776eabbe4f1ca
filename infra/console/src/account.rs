//! The pages of one account: its status with everything that is known, its events, and the comments
//! that matched nothing.

use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State as Given};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;
use spillway_core::answers::Tally;
use spillway_core::campaign::Phase;
use spillway_core::id::AccountId;
use spillway_core::meta_error::LastRefusal;
use spillway_core::send::Lane;
use spillway_service::admin::Several;
use spillway_service::admin::events::EventView;
use spillway_service::admin::misses::{MissesView, Samples};
use spillway_service::admin::overview::Overview;
use spillway_service::admin::status::StatusView;
use spillway_service::admin::told::Times;

use crate::answer::{Asked, Fault, account_id};
use crate::layout::{self, Frame, address, badge, bar, grouped, quota_name, scrolling, token};
use crate::overview::{clocks, conditions, finish, look, reached};
use crate::router::Served;
use crate::when::Clocks;
use crate::{Console, actions, chart};

const DAY: Duration = Duration::from_secs(86_400);

/// How far back events are shown, and how many.
const EVENTS: (Duration, usize) = (Duration::from_secs(30 * 86_400), 200);

/// How far back misses are counted, as the operator's tool does it.
const MISSES: Duration = Duration::from_secs(7 * 86_400);

/// Shows an account.
pub(crate) async fn get(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let overview = look(&console, &account).await?;
    let json = || {
        let seen = Several { read: vec![overview.clone()], unreadable: Vec::new() };
        json!(StatusView::of(&seen, overview.seen_at))
    };
    let page = || {
        let title = format!("Account {account}");
        let done = actions::done(&asked);
        let frame =
            Frame { title: &title, account: Some((&account, "Status")), done, ..Frame::default() };
        layout::page(&console, &frame, &body(&console, &overview, &clocks(&overview)))
    };
    Ok(asked.answer(json, page))
}

fn body(console: &Console, overview: &Overview, clocks: &Clocks) -> Markup {
    let account = &overview.account;
    html! {
        p { (badge(overview)) }
        (conditions(overview, clocks))
        (finish(overview, clocks))
        (holding(console, account))
        section aria-labelledby="hours" {
            h2 id="hours" { "Hours" }
            (chart::of(overview, clocks))
        }
        section aria-labelledby="quotas" {
            h2 id="quotas" { "Limits" }
            p.dim { "Tier " (u8::from(overview.tier)) ", profile " (overview.profile) ". Windows roll: a unit "
                "counts until its window has passed." }
            (scrolling("Limits", &html! {
                table {
                    thead { tr { th scope="col" { "Quota" } th.num scope="col" { "Used" } th.num scope="col" { "Limit" }
                        th scope="col" { "How full" } th scope="col" { "The next fits" } } }
                    tbody {
                        @for row in &overview.headroom {
                            tr {
                                th scope="row" title=(row.quota) { (quota_name(&row.quota)) }
                                td.num { (grouped(row.used)) } td.num { (grouped(row.limit.get())) }
                                td.meter { (bar(row)) }
                                td { @if row.fits_at <= clocks.now { "now" } @else { (clocks.when(row.fits_at)) } }
                            }
                        }
                    }
                }
            }))
        }
        section aria-labelledby="waits" {
            h2 id="waits" { "What waits" }
            (scrolling("What waits, by lane", &html! {
                table {
                    thead { tr { th scope="col" { "Lane" } th.num scope="col" { "With a slot" }
                        th.num scope="col" { "Without one yet" } } }
                    tbody {
                        @for (lane, of) in Lane::ALL.into_iter().zip(overview.backlog.lanes) {
                            tr { th scope="row" { (lane_name(lane)) } td.num { (grouped(of.queued)) }
                                td.num { (grouped(of.parked)) } }
                        }
                    }
                }
            }))
            p { a href={ (address(account)) "/sends" } { "See them one by one" } }
        }
        section aria-labelledby="meta" {
            h2 id="meta" { "Instagram and us" }
            (meta(overview, clocks))
        }
    }
}

fn meta(overview: &Overview, clocks: &Clocks) -> Markup {
    let Tally { calls, server_errors } = overview.calls;
    html! {
        dl.facts {
            dt { "Last webhook" } dd { (reached(overview)) }
            dt { "Token ends" } dd { @match overview.token.ends_at {
                Some(at) => (clocks.when(at)),
                None => "not known before it is renewed",
            } }
            dt { "Calls" } dd { (grouped(server_errors)) " of about " (grouped(calls)) " ended in a 5xx of Meta's, since "
                (clocks.at(overview.calls_since)) }
            @if let Some(LastRefusal { at, error }) = &overview.last_refusal {
                dt { "Last refusal" } dd { (error) ", " (clocks.when(*at)) }
            }
            @if let Some(until) = overview.human_until {
                dt { "A human writes" } dd { "no campaign does in that thread until " (clocks.when(until)) }
            }
            @for (campaign, period, phase) in &overview.outside {
                dt { "Campaign " (campaign) } dd { @match phase {
                    Phase::Over => { "is over since " (clocks.at(period.ends_at)) }
                    Phase::Before | Phase::Open => { "begins " (clocks.when(period.begins_at)) }
                } }
            }
            dt { "Times" } dd { "by the clocks of " (overview.time_zone) "; point at one to see UTC" }
        }
    }
}

/// The forms that pause and resume an account.
fn holding(console: &Console, account: &AccountId) -> Markup {
    html! {
        details.do {
            summary { "Pause or resume this account" }
            form method="post" action={ (address(account)) "/pause" } {
                (token(console))
                p { "A pause stops every call. New comments are still recorded, and wait; what waits beyond its "
                    "deadline is lost, so remember to end it." }
                p {
                    label for="lasts" { "For how long " }
                    select id="lasts" name="lasts" {
                        option value="1h" { "an hour" }
                        option value="8h" { "8 hours" }
                        option value="1d" { "a day" }
                        option value="" { "until somebody resumes it" }
                    }
                }
                p { label for="reason" { "A note for others " }
                    input id="reason" name="reason" maxlength="100" autocomplete="off"; }
                button { "Pause" }
            }
            p { a href={ (address(account)) "/resume" } { "Resume…" } }
        }
    }
}

fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Live => "Comments on a live broadcast",
        Lane::Inbound => "Comments and messages",
        Lane::FollowUp => "Follow-ups",
        Lane::Outbound => "Messages that nobody has just asked for",
        Lane::Public => "Public replies",
    }
}

/// Shows what happened to an account.
pub(crate) async fn events(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let admin = &console.admin().accounts;
    let connected = admin.connected(&account).await?;
    let now = console.now();
    let (span, limit) = EVENTS;
    let events = admin.events(Some(&account), now - span, limit).await?;
    let zone = connected.rules.terms().time_zone.clone();
    let times = Times { now, zone: zone.clone() };
    let clocks = Clocks { now, zone };
    let page = || {
        let frame =
            Frame { title: "Events", account: Some((&account, "Events")), ..Frame::default() };
        let row = |event: &EventView| {
            html! { li { (clocks.exactly(event.at)) " " @if event.account != account { strong { "the whole app: " } }
            (event.text(&times)) } }
        };
        let body = html! {
            p.dim { "The last " (span.as_secs() / DAY.as_secs()) " days of account " (account) ", the newest first." }
            @if events.is_empty() { p { "Nothing happened." } }
            ol.timeline { @for event in &events { (row(event)) } }
        };
        layout::page(&console, &frame, &body)
    };
    Ok(asked.answer(|| json!({ "events": events }), page))
}

/// Shows which comments matched nothing, and why. Nobody's words are shown: samples are opened by
/// the operator's tool alone.
pub(crate) async fn misses(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let admin = console.admin();
    let connected = [admin.accounts.connected(&account).await?];
    let view = admin.misses.view(&connected, MISSES, Samples::Left, console.now()).await?;
    let page = || {
        let title = "Comments that matched nothing";
        let frame = Frame { title, account: Some((&account, "No match")), ..Frame::default() };
        layout::page(&console, &frame, &misses_body(&view, &account))
    };
    Ok(asked.answer(|| json!(view), page))
}

fn misses_body(view: &MissesView, account: &AccountId) -> Markup {
    let dash = || "–".to_owned();
    html! {
        p { "Comments of account " (account) " since " (view.since) " (UTC) that no campaign answered, by the keyword "
            "that came nearest. The counts are not exact: a process that ends may take up to a minute's with it." }
        @if view.misses.is_empty() { p { strong { "None is known." } } }
        @else {
            (scrolling("Comments that matched nothing", &html! {
                table {
                    thead { tr { th.num scope="col" { "Comments" } th scope="col" { "Nearest keyword" }
                        th scope="col" { "Campaign" } th scope="col" { "Why it did not match" } } }
                    tbody {
                        @for miss in &view.misses {
                            tr {
                                td.num { (grouped(miss.count)) }
                                td { (miss.keyword.clone().unwrap_or_else(dash)) }
                                td { (miss.campaign.as_ref().map_or_else(dash, ToString::to_string)) }
                                td { (miss.reason()) }
                            }
                        }
                    }
                }
            }))
        }
        p.dim { "Some of the comments themselves are kept sealed for a week: " code { "spillway misses --samples" }
            " opens them. " a href={ (address(account)) "/campaigns#try" } { "Try a text" } "." }
    }
}
