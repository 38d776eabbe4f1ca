//! What became of the sends of an account's campaigns: counts by how they ended, how far people came,
//! and why sends failed, by day.

use std::collections::BTreeSet;

use axum::Extension;
use axum::extract::{Path, State as Given};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;
use spillway_service::admin::outcomes::{
    CampaignOutcomes, Ends, FunnelView, OutcomesView, Refused, SPAN,
};
use spillway_service::admin::told;

use crate::answer::{Asked, Fault, account_id};
use crate::layout::{self, Frame, address, grouped, scrolling, segment};
use crate::router::Served;
use crate::when::Clocks;

/// Parts of the table of sends, of a megabyte each, that are read for the page at most.
const PARTS_MAX: usize = 20;

/// Shows the outcomes of an account.
pub(crate) async fn get(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let account = console.admin().accounts.connected(&account).await?;
    let now = console.now();
    let counted = console.admin().outcomes.view(&account, now - SPAN, now, PARTS_MAX, |_| ());
    let view = counted.await?;
    let clocks = Clocks { now, zone: account.rules.terms().time_zone.clone() };
    let page = || {
        let frame = Frame {
            title: "Outcomes",
            account: Some((&account.id, "Outcomes")),
            ..Frame::default()
        };
        layout::page(&console, &frame, &body(&view, &clocks))
    };
    Ok(asked.answer(|| json!(view), page))
}

fn body(view: &OutcomesView, clocks: &Clocks) -> Markup {
    html! {
        p { "What was matched since " (clocks.at(view.since)) ", and has ended. Counted now, from "
            (grouped(view.looked_at as u64)) " entries of the table of sends." }
        @if !view.is_complete {
            p.note { "These are not all entries: the table has more than this page reads, so each count is too low. "
                code { "spillway campaign outcomes " (view.account) } " counts all of them." }
        }
        @if view.campaigns.is_empty() { p { "The account has no campaigns, and no sends." } }
        @for (at, of) in view.campaigns.iter().enumerate() {
            section.card aria-labelledby={ "o" (at) } {
                h2 id={ "o" (at) } { (of.campaign) }
                (ends(view, of))
                @if let Some(funnel) = &of.funnel { (picture(funnel)) }
                @if !of.refusals.is_empty() { (refusals(&of.refusals)) }
            }
        }
    }
}

fn ends(view: &OutcomesView, of: &CampaignOutcomes) -> Markup {
    let sends = format!(
        "{}/sends?campaign={}&since=7d&state=",
        address(&view.account),
        segment(of.campaign.as_str())
    );
    let columns = [
        ("First messages", &of.openings),
        ("Later messages", &of.conversation),
        ("Public replies", &of.public_replies),
    ];
    scrolling(
        &format!("How sends of {} ended", of.campaign),
        &html! {
            table {
                thead { tr { th scope="col" { "End" }
                    @for (name, _) in columns { th.num scope="col" { (name) } } } }
                tbody {
                    @for (state, name, count) in ENDS {
                        tr { th scope="row" { a href={ (sends) (state) } { (name) } }
                            @for (_, ends) in columns { td.num { (grouped(count(ends))) } } }
                    }
                }
            }
        },
    )
}

/// A state in which sends end: what it is called, and how many did.
type End = (&'static str, &'static str, fn(&Ends) -> u64);

const ENDS: [End; 5] = [
    ("sent", "Sent", |ends| ends.sent),
    ("failed", "Failed", |ends| ends.failed),
    ("unknown", "Unknown", |ends| ends.unknown),
    ("expired", "Too late", |ends| ends.expired),
    ("cancelled", "Cancelled", |ends| ends.cancelled),
];

/// How far people came, with what each figure counts.
fn picture(funnel: &FunnelView) -> Markup {
    html! {
        h3 { "How far people came" }
        (scrolling("How far people came", &html! {
            table.funnel {
                thead { tr { th scope="col" { "Step" } th.num scope="col" { "People" } th.num scope="col" { "Share" }
                    th scope="col" { "What it counts" } } }
                tbody {
                    @for step in funnel.steps() {
                        tr {
                            th scope="row" { (step.name) }
                            td.num { (grouped(step.count)) }
                            td.num { (step.percent()) "%" @if step.of != funnel.opened { " of " (grouped(step.of)) } }
                            td.name {
                                svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                                    rect.track width="100" height="6" {}
                                    rect.full width=(step.percent()) height="6" {}
                                }
                                (step.counts)
                            }
                        }
                    }
                }
            }
        }))
    }
}

/// Why sends failed, a column a day.
fn refusals(refusals: &[Refused]) -> Markup {
    let days: BTreeSet<&str> = refusals.iter().map(|refused| refused.day.as_str()).collect();
    let reasons: BTreeSet<&str> = refusals.iter().map(|refused| refused.reason).collect();
    let count = |day: &str, reason: &str| {
        let found = refusals.iter().find(|one| one.day == day && one.reason == reason);
        found.map_or(0, |refused| refused.count)
    };
    html! {
        h3 { "Why sends failed, by day" }
        (scrolling("Why sends failed, by day", &html! {
            table {
                thead { tr { th scope="col" { "Reason" } @for day in &days { th.num scope="col" { (day) } } } }
                tbody {
                    @for reason in reasons {
                        tr { th scope="row" title=(reason) { (told::cause(reason)) }
                            @for day in &days { td.num { (grouped(count(day, reason))) } } }
                    }
                }
            }
        }))
    }
}
