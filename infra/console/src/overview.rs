//! The first page: whether something is wrong, and when everybody has their DM.

use axum::Extension;
use axum::extract::State as Given;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde_json::{Value, json};
use spillway_core::id::AccountId;
use spillway_core::load::Headroom;
use spillway_core::status::{Condition, Next, State, Why};
use spillway_core::time::Timestamp;
use spillway_service::admin::dead_letters::{self, DeadLetterCount};
use spillway_service::admin::overview::{Extent, Overview};
use spillway_service::admin::reception::ReceptionView;
use spillway_service::admin::status::StatusView;
use spillway_service::admin::told::{counted, heard, span};
use spillway_service::admin::{AdminError, Several, UNREADABLE, Unreadable};

use crate::answer::{Asked, Fault, account_id};
use crate::layout::{self, Frame, address, badge, bar, grouped, quota_name, segment};
use crate::router::Served;
use crate::when::Clocks;
use crate::{Console, chart};

/// Accounts on a page: what is looked at takes a few reads each.
const ON_PAGE: usize = 10;

/// Accounts that are shown of those with a trouble.
const TROUBLED_MAX: usize = 50;

/// With more accounts than these on a page, each one's chart is on its own page.
const WITH_CHART_MAX: usize = 2;

/// How often a browser may be told to look again.
const REFRESH_SECS: u64 = 30;

/// Which accounts are shown.
enum Wanted {
    /// Those of a page, by id.
    Page(usize),
    /// Those that are not healthy, of all.
    Troubled,
}

/// Shows the accounts.
pub(crate) async fn get(
    Given(console): Served,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let admin = console.admin();
    let all = console.accounts().await?;
    let pages = all.len().div_ceil(ON_PAGE).max(1);
    let wanted = match asked.query.get("show") {
        Some("trouble") => Wanted::Troubled,
        _ => {
            let page = asked.query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
            Wanted::Page(page.clamp(1, pages))
        }
    };
    let looked_at = match wanted {
        Wanted::Troubled => &all[..],
        Wanted::Page(page) => all.chunks(ON_PAGE).nth(page - 1).unwrap_or_default(),
    };
    let now = console.now();
    let mut seen = admin.overviews.of_all(looked_at, now, &|_| ()).await?;
    let mut troubled = 0;
    if matches!(wanted, Wanted::Troubled) {
        seen.read.retain(|overview| overview.state() != State::Healthy);
        troubled = seen.read.len();
        seen.read.truncate(TROUBLED_MAX);
    }
    let letters = dead_letters::count(&*console.shown.dead_letters).await;
    let letters = letters.map_err(|error| error.to_string());
    let reception = admin.receptions.look().await;
    let json = || status_json(&seen, now, &letters, &reception);
    let page = || {
        let refresh = asked.query.get("again").map(|_| REFRESH_SECS);
        let frame = Frame { title: "Accounts", refresh, ..Frame::default() };
        let body = html! {
            (headline(&seen, all.len(), &wanted, troubled))
            (unreadable(&seen.unreadable))
            (reception_line(&reception, now))
            (dead_letters_line(&letters, now))
            @for overview in &seen.read { (card(overview, seen.read.len() <= WITH_CHART_MAX)) }
            @if let Wanted::Page(page) = wanted { (pager(page, pages, all.len())) }
            (again(&asked))
        };
        layout::page(&console, &frame, &body)
    };
    Ok(asked.answer(json, page))
}

/// The form of the operator's tool.
pub(crate) fn status_json(
    seen: &Several<Overview>,
    now: Timestamp,
    letters: &Result<DeadLetterCount, String>,
    reception: &ReceptionView,
) -> Value {
    let mut status = json!(StatusView::of(seen, now));
    status["dead_letters"] = match letters {
        Ok(count) => json!(count),
        Err(unknown) => json!({ "unknown": unknown }),
    };
    status["reception"] = json!(reception);
    status
}

/// What a stranger must know first: whether somebody has to act, and when everybody has their DM.
fn headline(seen: &Several<Overview>, all: usize, wanted: &Wanted, troubled: usize) -> Markup {
    let shown = seen.read.len();
    let calling: Vec<&Overview> =
        seen.read.iter().filter(|overview| overview.needs_somebody()).collect();
    let of_all = shown + seen.unreadable.len() == all;
    let which = if of_all { "" } else { " on this page" };
    if all == 0 {
        return html! {
            p.headline { "No account is connected. " code { "spillway connect --help" } " says how." }
        };
    }
    let slow = seen.read.iter().filter(|overview| overview.state() != State::Healthy).count();
    let waiting: u64 = seen.read.iter().map(|overview| u64::from(overview.backlog.total())).sum();
    let stuck: u64 = seen.read.iter().map(|overview| u64::from(overview.stuck)).sum();
    let late: u64 = seen.read.iter().map(|overview| u64::from(late(overview))).sum();
    let more = if seen.read.iter().any(has_more) { "More than " } else { "" };
    let last = seen
        .read
        .iter()
        .filter_map(|overview| Some((overview.last_at?, overview)))
        .max_by_key(|&(at, _)| at);
    html! {
        div.headline {
            p {
                @match (wanted, calling.len()) {
                    (Wanted::Troubled, 0) if shown == 0 => {
                        strong { "All " (counted(all, "account")) " are healthy." }
                    }
                    (Wanted::Troubled, _) if troubled > shown => {
                        strong { (grouped(troubled as u64)) " accounts are not healthy; the worst "
                            (shown) " are shown." }
                    }
                    (_, 0) if !seen.unreadable.is_empty() => {
                        strong.bad { (counted(seen.unreadable.len(), "account")) " cannot be read" (which) "." }
                    }
                    (_, 0) if slow == 0 && late > 0 => {
                        strong.warn { "All accounts are healthy" (which) ", but not everybody can have their DM in time." }
                    }
                    (_, 0) if late > 0 => {
                        strong.warn { (counted(slow, "account")) (which)
                            @if slow == 1 { " is" } @else { " are" } " not at full pace, and not everybody can have their DM in time." }
                    }
                    (_, 0) if slow == 0 => { strong.good { "All is well" (which) "." } }
                    (_, 0) => {
                        strong { (counted(slow, "account")) (which)
                            @if slow == 1 { " is" } @else { " are" } " not at full pace and will recover without help: "
                            "nobody has to do anything." }
                    }
                    (_, n) => {
                        strong.bad { (counted(n, "account")) @if n == 1 { " needs" } @else { " need" }
                            " somebody" (which) ":" }
                        @for overview in calling.iter().take(5) {
                            " " a href={ "#a" (overview.account) } { (overview.account) }
                        }
                        @if n > 5 { " …" }
                    }
                }
            }
            p {
                @match last {
                    _ if waiting == 0 => { "Nobody waits for a DM" (which) "." }
                    Some((at, overview)) => {
                        (more) (people(waiting)) (which) ". " @if more.is_empty() { "The last DM that will be in time" } @else { "The last DM of those that were read" } " goes out "
                        strong { (clocks(overview).when(at)) } ", by forecast"
                        @if late > 0 { "; about " strong.warn { (grouped(late)) } " DMs will be too late" }
                        @if stuck > 0 { ", but " strong.bad { (grouped(stuck)) } " of them wait until somebody acts" }
                        "."
                    }
                    None if stuck > 0 => {
                        (more) (people(waiting)) (which) ", and " strong.bad { "nothing goes out until somebody acts" } "."
                    }
                    None => { (more) (people(waiting)) (which) ", and " strong.warn { "all will be too late" } ", by forecast." }
                }
            }
        }
    }
}

/// Whether more may wait than was read.
fn has_more(overview: &Overview) -> bool {
    overview.backlog.extent == Extent::First
}

/// So many people wait.
fn people(waiting: u64) -> String {
    match waiting {
        1 => "1 person waits".into(),
        n => format!("{} people wait", grouped(n)),
    }
}

/// The account's own clocks.
pub(crate) fn clocks(overview: &Overview) -> Clocks {
    Clocks { now: overview.seen_at, zone: overview.time_zone.clone() }
}

fn card(overview: &Overview, with_chart: bool) -> Markup {
    let clocks = clocks(overview);
    let account = &overview.account;
    html! {
        section.card id={ "a" (account) } aria-labelledby={ "h" (account) } {
            h2 id={ "h" (account) } { a href=(address(account)) { "Account " (account) } " " (badge(overview)) }
            (conditions(overview, &clocks))
            (finish(overview, &clocks))
            (figures(overview, &clocks))
            @if with_chart { (chart::of(overview, &clocks)) }
        }
    }
}

/// What the account is, why, since when, and what happens next.
pub(crate) fn conditions(overview: &Overview, clocks: &Clocks) -> Markup {
    let told: Vec<&Condition> =
        overview.conditions.iter().filter(|condition| condition.why != Why::Nothing).collect();
    html! {
        @if !told.is_empty() {
            ul.conditions {
                @for condition in told {
                    li {
                        strong { (layout::condition_name(condition)) } ": " (condition.why)
                        @if let Some(since) = condition.since { ", since " (clocks.at(since)) }
                        ". Next: " (condition.next)
                        @if let Some(at) = condition.next.at() { ", " (clocks.when(at)) }
                        ". " (remedy(condition, &overview.account))
                    }
                }
            }
        }
    }
}

/// What somebody can do about a condition, if they can.
fn remedy(condition: &Condition, account: &AccountId) -> Markup {
    let here = address(account);
    html! {
        @match (condition.next, &condition.why) {
            (Next::Stopped, _) | (Next::Resumes(_), Why::ByHand(_)) => {
                a href={ (here) "/resume" } { "Resume the account…" }
            }
            (_, Why::CampaignPaused(campaign) | Why::CampaignRefused(campaign)) => {
                a href={ (here) "/campaigns/" (segment(campaign.as_str())) "/resume" } { "Resume the campaign…" }
            }
            (Next::Login(_), _) => { code { "spillway connect" } " lets the owner log in." }
            _ => {}
        }
    }
}

/// How many of those that wait will probably be too late.
fn late(overview: &Overview) -> u32 {
    overview.outlook.map_or(0, |outlook| outlook.late)
}

/// When everybody has their DM.
pub(crate) fn finish(overview: &Overview, clocks: &Clocks) -> Markup {
    let (waiting, stuck) = (overview.backlog.total(), overview.stuck);
    let late = late(overview);
    let more = if has_more(overview) { "More than " } else { "" };
    html! {
        p.finish {
            @if waiting == 0 { "Nobody waits." }
            @else {
                (more) (people(waiting.into()))
                @match overview.last_at {
                    Some(at) => {
                        @if has_more(overview) { ". The first " (grouped(waiting)) " have theirs by " }
                        @else { ". Everybody" @if stuck > 0 { " else" } " has their DM by " }
                        strong { (clocks.when(at)) } ", by forecast"
                        @if late > 0 { ", except for about " strong.warn { (grouped(late)) } ": theirs will be too late" }
                        @if stuck > 0 { ". " strong.bad { (grouped(stuck)) } " wait until somebody acts" }
                        "."
                    }
                    None if stuck == 0 && late > 0 => {
                        ", and " strong.warn { "all will be too late" } ", by forecast."
                    }
                    None => { ", and " strong.bad { "nothing goes out until somebody acts" } "." }
                }
            }
        }
    }
}

/// The figures of an account in a row.
fn figures(overview: &Overview, clocks: &Clocks) -> Markup {
    html! {
        dl.figures {
            div { dt { "Waiting" } dd { @if has_more(overview) { "over " } (grouped(overview.backlog.total())) } }
            div { dt { "Next DM" } dd { @match overview.next_at {
                Some(at) => (clocks.distance(at)),
                None => "–",
            } } }
            @if let Some(hours) = overview.sent_by_hour {
                div { dt { "Sent in the last hour" } dd { (grouped(hours.last().copied().unwrap_or(0))) } }
                div { dt { "Sent in 24 hours" } dd { (grouped(hours.iter().sum::<u32>())) } }
            }
            @if let Some(tightest) = tightest(overview) {
                div { dt { "Least left: " (quota_name(&tightest.quota)) }
                    dd { (bar(tightest)) (grouped(tightest.used)) " of " (grouped(tightest.limit.get())) " used" } }
            }
            div { dt { "Last comment told" } dd { (reached(overview)) } }
        }
    }
}

/// When the last webhook came, as exactly as that is known.
pub(crate) fn reached(overview: &Overview) -> String {
    overview.last_seen.map_or_else(|| "never".into(), |at| heard(at, overview.seen_at))
}

/// The quota with the least left.
fn tightest(overview: &Overview) -> Option<&Headroom> {
    overview.headroom.iter().min_by_key(|headroom| headroom.percent())
}

/// The accounts of which something is stored that cannot be read.
pub(crate) fn unreadable(unreadable: &[Unreadable]) -> Markup {
    html! {
        @for Unreadable { account, why } in unreadable {
            section.card aria-labelledby={ "h" (account) } {
                h2 id={ "h" (account) } { "Account " (account) " " span.badge.bad { "Cannot be read" } }
                p { (why) ". What to do: " (UNREADABLE) "." }
            }
        }
    }
}

/// Whether Instagram reaches the deployment.
fn reception_line(reception: &ReceptionView, now: Timestamp) -> Markup {
    let is_suspicious = reception.is_suspicious();
    html! {
        p.note[is_suspicious].dim[!is_suspicious] {
            "Did Instagram reach us? Deliveries to all accounts: " (reception.told(now)) ". "
            @if is_suspicious { "A signature is wrong if the app's secret was changed, or somebody else calls: "
                code { "spillway doctor" } " compares it." }
            @if matches!(reception, ReceptionView::Unknown { .. }) { "Each account shows when it was last told of a comment, to the hour." }
        }
    }
}

/// What is said of dead letters; nothing where there are none.
fn dead_letters_line(letters: &Result<DeadLetterCount, String>, now: Timestamp) -> Markup {
    html! {
        @match letters {
            Ok(count) if count.messages == 0 => {}
            Ok(count) => {
                p.note {
                    strong { "Dead letters: about " (grouped(count.messages)) }
                    @if let Some(oldest) = count.oldest_at {
                        ", the oldest of " (span(now.since(oldest))) " ago"
                    }
                    ". " code { "spillway dlq list" } " shows them; mend what made them fail, then "
                    code { "spillway dlq redrive" } "."
                }
            }
            Err(unknown) => { p.note { "Dead letters: unknown (" (unknown) ")." } }
        }
    }
}

/// Links to the other pages, where there are some.
fn pager(page: usize, pages: usize, all: usize) -> Markup {
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages" {
                @if page > 1 { a rel="prev" href={ "/?page=" (page - 1) } { "← Previous" } " " }
                "Page " (grouped(page as u64)) " of " (grouped(pages as u64)) " (" (grouped(all as u64)) " accounts by id)"
                @if page < pages { " " a rel="next" href={ "/?page=" (page + 1) } { "Next →" } }
            }
            form.find action="/find" {
                label for="account" { "Account " }
                input id="account" name="account" inputmode="numeric" autocomplete="off" required;
                button { "Show" }
            }
            p { a href="/?show=trouble" { "Look at all " (grouped(all as u64)) " accounts for trouble" }
                " (it reads each of them, and takes its time)" }
        }
    }
}

fn again(asked: &Asked) -> Markup {
    html! {
        p.dim {
            @if asked.query.get("again").is_some() {
                "This page looks again every " (REFRESH_SECS) " seconds. " a href="/" { "Stop" }
            } @else {
                a href="/" { "Look again" } ", or " a href="/?again=30" { "every " (REFRESH_SECS) " seconds" } "."
            }
        }
    }
}

/// Leads to an account's page.
pub(crate) async fn find(Extension(asked): Extension<Asked>) -> Result<Response, Fault> {
    let account = account_id(asked.query.get("account").unwrap_or_default())?;
    Ok(Redirect::to(&address(&account)).into_response())
}

/// Looks at one account.
pub(crate) async fn look(console: &Console, account: &AccountId) -> Result<Overview, Fault> {
    let looked = console.admin().overviews.of(account, console.now()).await;
    let looked = looked.map_err(|error| AdminError::Account(account.clone(), error))?;
    looked.ok_or_else(|| AdminError::NotConnected(account.clone()).into())
}
