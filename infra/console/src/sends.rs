//! The sends of an account: found by state, campaign, person, comment or name, and one with all that
//! happened to it.

use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State as Given};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;
use spillway_core::hold::HoldCause;
use spillway_core::id::{AccountId, CampaignId, OnceKey, RecipientId, SendId};
use spillway_core::quota::Action;
use spillway_core::send::{PendingSend, Stage};
use spillway_core::status::Why;
use spillway_core::time::Timestamp;
use spillway_service::account::Account;
use spillway_service::admin::send_view::{SendHistory, SendView};
use spillway_service::admin::sends::{State, Stored};
use spillway_service::admin::talk::TalkView;
use spillway_service::admin::told;
use spillway_service::admin::wait::{Wait, Waits};

use crate::answer::{Asked, Fault, Fields, account_id};
use crate::layout::{self, Frame, address, scrolling, segment, token};
use crate::router::Served;
use crate::when::Clocks;
use crate::{Console, actions};

/// Sends on a page.
const ON_PAGE: usize = 50;

/// Pages of waiting sends: all that is before a page is read for it.
const PAGES_MAX: usize = 200;

/// Parts of the table of sends that are read for a page at most.
const PARTS_MAX: usize = 20;

/// The states by which sends are found: what they are called, and whether such sends wait.
const STATES: [(&str, &str); 9] = [
    ("waiting", "Waiting: all"),
    ("parked", "Waiting, without a slot"),
    ("queued", "Waiting, with a slot"),
    ("sending", "Being sent"),
    ("unknown", "Unknown whether it arrived"),
    ("sent", "Sent"),
    ("failed", "Failed"),
    ("expired", "Too late"),
    ("cancelled", "Cancelled"),
];

/// What is looked for.
struct Search {
    state: &'static str,
    campaign: Option<CampaignId>,
    person: Option<RecipientId>,
    username: Option<String>,
    since: Option<Timestamp>,
}

impl Search {
    fn of(fields: &Fields, now: Timestamp) -> Result<Self, Fault> {
        let state = fields.get("state").unwrap_or("waiting");
        let state = STATES.iter().find(|(known, _)| *known == state).map(|&(known, _)| known);
        let since = match fields.get("since") {
            None => None,
            Some(text) => {
                let span = spillway_core::span::parse(text)
                    .filter(|span| *span <= Duration::from_secs(400 * 86_400));
                let span =
                    span.ok_or_else(|| Fault::Wrong("Write a time such as 2h or 7d.".into()))?;
                Some(now - span)
            }
        };
        Ok(Self {
            state: state.ok_or_else(|| Fault::Wrong("There is no such state.".into()))?,
            campaign: fields.get("campaign").map(CampaignId::new),
            person: fields.get("person").map(RecipientId::new),
            username: fields.get("username").map(|name| name.trim_start_matches('@').to_owned()),
            since,
        })
    }

    /// Whether such sends wait.
    fn waits(&self) -> bool {
        matches!(self.state, "waiting" | "parked" | "queued" | "sending")
    }

    fn wants_any(
        &self,
        campaign: &CampaignId,
        person: Option<&RecipientId>,
        matched_at: Timestamp,
    ) -> bool {
        self.campaign.as_ref().is_none_or(|wanted| wanted == campaign)
            && self.person.as_ref().is_none_or(|wanted| Some(wanted) == person)
            && self.since.is_none_or(|since| matched_at >= since)
    }

    fn wants_waiting(&self, send: &PendingSend) -> bool {
        let is_named = |wanted: &String| {
            send.username.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(wanted))
        };
        let stands = match self.state {
            "parked" => send.stage == Stage::Parked,
            "queued" => matches!(send.stage, Stage::Queued { .. }),
            "sending" => matches!(send.stage, Stage::Sending { .. }),
            "unknown" => matches!(send.stage, Stage::Unknown(_)),
            _ => true,
        };
        stands
            && self.username.as_ref().is_none_or(is_named)
            && self.wants_any(&send.content.campaign, send.to.recipient(), send.matched_at)
    }

    fn wants_ended(&self, stored: &Stored) -> bool {
        stored.state.shown() == self.state
            && self.wants_any(
                &stored.content.campaign,
                stored.recipient().as_ref(),
                stored.matched_at,
            )
    }
}

/// Sends that were found, and the fields that lead to more.
struct Found {
    sends: Vec<SendView>,
    more: Option<Vec<(&'static str, String)>>,
}

/// Lists the sends that are asked for by the address.
pub(crate) async fn list(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = connected(&console, &account).await?;
    shown(&console, &account, &asked, &asked.query).await
}

/// Lists the sends that wait for somebody by their name, which comes in a form: no name is in an
/// address.
pub(crate) async fn by_name(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = connected(&console, &account).await?;
    shown(&console, &account, &asked, &asked.form).await
}

async fn connected(console: &Console, account: &str) -> Result<Account, Fault> {
    Ok(console.admin().accounts.connected(&account_id(account)?).await?)
}

async fn shown(
    console: &Console,
    account: &Account,
    asked: &Asked,
    fields: &Fields,
) -> Result<Response, Fault> {
    let search = Search::of(fields, console.now())?;
    let found = if search.waits() {
        find_waiting(console, &account.id, &search, fields).await?
    } else {
        find_ended(console, &account.id, &search, fields).await?
    };
    let page = || {
        let done = actions::done(asked);
        let frame = Frame {
            title: "Sends",
            account: Some((&account.id, "Sends")),
            done,
            ..Frame::default()
        };
        layout::page(console, &frame, &list_body(console, account, fields, &search, &found))
    };
    Ok(asked.answer(|| json!({ "sends": found.sends }), page))
}

async fn find_waiting(
    console: &Console,
    account: &AccountId,
    search: &Search,
    fields: &Fields,
) -> Result<Found, Fault> {
    let page = fields.get("page").and_then(|page| page.parse().ok()).unwrap_or(1_usize);
    let page = page.clamp(1, PAGES_MAX);
    let wanted = |send: &PendingSend| search.wants_waiting(send);
    let read = console.admin().sends.waiting(account, wanted, page * ON_PAGE + 1).await?;
    let is_more = read.len() > page * ON_PAGE && page < PAGES_MAX;
    let of_page = read.iter().skip((page - 1) * ON_PAGE).take(ON_PAGE);
    let sends = of_page.map(|(_, send)| SendView::from(send)).collect();
    let more = is_more.then(|| vec![("page", (page + 1).to_string())]);
    Ok(Found { sends, more })
}

/// Reads the table of sends part by part until a page is full. The first page of unknown ones begins
/// with those that still wait for evidence.
async fn find_ended(
    console: &Console,
    account: &AccountId,
    search: &Search,
    fields: &Fields,
) -> Result<Found, Fault> {
    let admin = &console.admin().sends;
    let mut after = fields.get("after").map(str::to_owned);
    let mut skip: usize = fields.get("skip").and_then(|skip| skip.parse().ok()).unwrap_or(0);
    let mut sends: Vec<SendView> = Vec::new();
    if search.state == "unknown" && after.is_none() && skip == 0 {
        let wanted = |send: &PendingSend| search.wants_waiting(send);
        let waiting = admin.waiting(account, wanted, ON_PAGE).await?;
        sends.extend(waiting.iter().map(|(_, send)| SendView::from(send)));
    }
    for _ in 0..PARTS_MAX {
        let part = admin.ledger.ended(account, after.as_deref()).await?;
        let wanted: Vec<&Stored> =
            part.sends.iter().filter(|stored| search.wants_ended(stored)).collect();
        let room = ON_PAGE.saturating_sub(sends.len());
        sends.extend(wanted.iter().skip(skip).take(room).map(|stored| SendView::from(*stored)));
        if wanted.len() > skip + room {
            let mut more = vec![("skip", (skip + room).to_string())];
            more.extend(after.map(|after| ("after", after)));
            return Ok(Found { sends, more: Some(more) });
        }
        (after, skip) = (part.next, 0);
        if after.is_none() {
            return Ok(Found { sends, more: None });
        }
    }
    Ok(Found { sends, more: after.map(|after| vec![("after", after)]) })
}

/// The address of a send's page.
fn here(send: &SendId) -> String {
    format!("{}/sends/{}", address(&send.account), segment(send.key.as_str()))
}

fn list_body(
    console: &Console,
    account: &Account,
    fields: &Fields,
    search: &Search,
    found: &Found,
) -> Markup {
    let id = &account.id;
    let clocks = Clocks { now: console.now(), zone: account.rules.terms().time_zone.clone() };
    let campaign = search.campaign.as_ref().map(CampaignId::as_str);
    html! {
        form.row action={ (address(id)) "/sends" } {
            p { label for="state" { "State" }
                select id="state" name="state" {
                    @for (state, name) in STATES { option value=(state) selected[state == search.state] { (name) } }
                } }
            p { label for="campaign" { "Campaign" }
                select id="campaign" name="campaign" {
                    option value="" { "all" }
                    @for known in account.campaigns.iter() {
                        option selected[Some(known.id.as_str()) == campaign] { (known.id) }
                    }
                } }
            p { label for="person" { "Person's id" }
                input id="person" name="person" inputmode="numeric" autocomplete="off" value=[fields.get("person")]; }
            p { label for="since" { "Matched within" }
                input id="since" name="since" placeholder="such as 2h or 7d" autocomplete="off" value=[fields.get("since")]; }
            p { button { "Find" } }
        }
        p { a href={ (address(id)) "/why" } { "Why did a comment get nothing?" } }
        details {
            summary { "By user name" }
            form.row method="post" action={ (address(id)) "/sends" } {
                (token(console))
                p { label for="username" { "User name, of a send that waits" }
                    input id="username" name="username" autocomplete="off" required; }
                p { button { "Find" } }
            }
            p.dim { "A person's name is deleted when their DM has gone out. Afterwards their id finds it." }
        }
        @if found.sends.is_empty() {
            p { strong { "None" } @if found.more.is_some() { " in this part of the table" } "." }
        } @else {
            (scrolling("Sends", &table(&found.sends, &clocks)))
        }
        @if let Some(more) = &found.more {
            (next_page(id, fields, more))
        }
    }
}

/// Leads to the next page, unless a name is looked for: that is in no address.
fn next_page(account: &AccountId, fields: &Fields, more: &[(&'static str, String)]) -> Markup {
    if fields.get("username").is_some() {
        return html! { p.dim { "There are more." } };
    }
    let kept = ["state", "campaign", "person", "since"];
    let kept = kept.into_iter().filter_map(|name| Some((name, fields.get(name)?)));
    let query: Vec<String> = kept
        .chain(more.iter().map(|(name, value)| (*name, value.as_str())))
        .map(|(name, value)| format!("{name}={}", segment(value)))
        .collect();
    html! {
        nav.pager aria-label="Pages" {
            a rel="next" href={ (address(account)) "/sends?" (query.join("&")) } { "Next →" }
        }
    }
}

fn table(sends: &[SendView], clocks: &Clocks) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "Send" } th scope="col" { "State" } th scope="col" { "Slot or end" }
                th scope="col" { "Campaign" } th.spare scope="col" { "Matched" } th.spare scope="col" { "Deadline" }
            } }
            tbody {
                @for send in sends {
                    tr {
                        th scope="row" { (link(send)) }
                        td.name { (state(send)) @if let Some(cause) = send.cause { br; span.dim { (told::cause(cause)) } } }
                        td { @match send.slot.or(send.ended_at) { Some(at) => (clocks.exactly(at)), None => "–" } }
                        td.name { (send.campaign) }
                        td.spare { (clocks.at(send.matched_at)) }
                        td.spare { @match send.deadline { Some(at) => (clocks.at(at)), None => "–" } }
                    }
                }
            }
        }
    }
}

fn link(send: &SendView) -> Markup {
    match send.send.split_once('/') {
        Some((account, key)) => {
            html! { a href={ (address(&account.into())) "/sends/" (segment(key)) } title=(key) { (shortened(key)) } }
        }
        None => html! { (send.send) },
    }
}

/// A key for a table: a long one without its middle.
fn shortened(key: &str) -> String {
    const CHARS_MAX: usize = 22;
    const END: usize = 6;
    let chars: Vec<char> = key.chars().collect();
    if chars.len() <= CHARS_MAX {
        return key.to_owned();
    }
    let (start, end) = (&chars[..CHARS_MAX - END - 1], &chars[chars.len() - END..]);
    start.iter().chain(&['…']).chain(end).collect()
}

fn state(send: &SendView) -> Markup {
    let (tone, name) = match send.state {
        "parked" => ("idle", "waits for a slot"),
        "queued" => ("idle", "has a slot"),
        "sending" => ("idle", "is being sent"),
        "unknown" => ("warn", "unknown whether it arrived"),
        "sent" => ("good", "sent"),
        "failed" => ("bad", "failed"),
        "expired" => ("bad", "too late"),
        other => ("idle", other),
    };
    html! { span class={ "badge " (tone) } { (name) } }
}

/// Reads a send of an address.
pub(crate) fn send_id(account: &str, key: &str) -> Result<SendId, Fault> {
    let account = account_id(account)?;
    if key.contains(['/', '#', ' ']) {
        return Err(Fault::NotFound("There is no such send.".into()));
    }
    Ok(SendId { account, key: OnceKey::new(key) })
}

/// Finds a send.
pub(crate) async fn find(console: &Console, send: &SendId) -> Result<Stored, Fault> {
    let found = console.admin().sends.find(send).await?;
    found.ok_or_else(|| Fault::NotFound(format!("Send {send} is not stored, or not any more.")))
}

/// Shows one send.
pub(crate) async fn get(
    Given(console): Served,
    Path((account, key)): Path<(String, String)>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let id = send_id(&account, &key)?;
    let stored = find(&console, &id).await?;
    let admin = console.admin();
    let now = console.now();
    let waits = match &stored.state {
        State::Waiting(send) => admin.overviews.wait_of(send, now).await?,
        State::Ended { .. } => None,
    };
    // One that was removed has no texts any more.
    let account = admin.accounts.connected(&id.account).await.ok();
    let campaign =
        account.as_ref().and_then(|account| account.campaigns.get(&stored.content.campaign));
    let conversation = admin.sends.talk_of(&stored).await?;
    let told = SendHistory { waits, conversation, ..SendHistory::from(&stored) }
        .with_text(campaign, stored.content.step);
    let zone = account.as_ref().map(|account| account.rules.terms().time_zone.clone());
    let clocks = Clocks { now, zone: zone.unwrap_or_default() };
    let page = || {
        let done = actions::done(&asked);
        let frame = Frame {
            title: "Send",
            account: Some((&id.account, "Sends")),
            done,
            ..Frame::default()
        };
        layout::page(&console, &frame, &send_body(&id, &stored, &told, &clocks))
    };
    Ok(asked.answer(|| json!(told), page))
}

fn send_body(id: &SendId, stored: &Stored, told: &SendHistory, clocks: &Clocks) -> Markup {
    let send = &told.send;
    let is_failed = matches!(send.state, "failed" | "unknown") && send.ended_at.is_some();
    html! {
        p { (state(send)) " " @if let Some(cause) = send.cause { strong { (told::cause(cause)) } " " } span.dim { (send.send) } }
        @if let Some(wait) = &told.waits { (waits(id, send, wait, clocks)) }
        p {
            @if matches!(stored.state, State::Waiting(_)) { a.act href={ (here(id)) "/cancel" } { "Cancel it…" } }
            @if is_failed { a.act href={ (here(id)) "/retry" } { "Try it again…" } }
        }
        @if let Some(text) = &told.text {
            section aria-labelledby="text" {
                h2 id="text" { "What it says" }
                div.phone { p.bubble { (text) } }
                p.dim { "As the campaign says it now: no text that went out is stored." }
            }
        }
        section aria-labelledby="history" {
            h2 id="history" { "What happened" }
            ol.timeline {
                @for step in &told.history { li { (clocks.exactly(step.at)) " " (step.what) } }
            }
        }
        (conversation(told.conversation.as_ref(), clocks))
        section aria-labelledby="facts" {
            h2 id="facts" { "Facts" }
            dl.facts {
                dt { "Campaign" } dd { (send.campaign) }
                @if let Some(comment) = &send.comment { dt { "Comment" } dd { (comment) } }
                @if let Some(recipient) = &send.recipient { dt { "Person" } dd { (recipient) } }
                @if let Some(answers) = send.answers { dt { "Answers" } dd { "a " (answers.replace('_', " ")) } }
                dt { "Call" } dd { (action_name(send.action)) }
                @if let Some(at) = send.not_before { dt { "Not before" } dd { (clocks.when(at)) } }
                @if let Some(at) = send.slot { dt { "Slot" } dd { (clocks.when(at)) } }
                @if let Some(at) = send.lease_until { dt { "May be under way until" } dd { (clocks.when(at)) } }
                @if let Some(at) = send.deadline { dt { "Deadline" } dd { (clocks.when(at)) } }
                dt { "Attempts" } dd { (send.attempts) @if send.failures > 0 { ", of which " (send.failures) " without a clear answer" } }
                @if send.maybe_sent == Some(true) { dt { "Note" } dd { "an earlier attempt may have arrived" } }
                @if let Some(message) = &send.message_id { dt { "Meta's id of it" } dd { (message) } }
                @if let Some(variant) = send.variant { dt { "Variant" } dd { (variant) } }
                @if let Some(refusal) = &stored.last_refusal {
                    dt { "Meta's last refusal" } dd { (refusal.error) ", " (clocks.when(refusal.at)) }
                }
            }
        }
    }
}

/// What the person did, as far as it is kept, and what is not.
fn conversation(talk: Option<&TalkView>, clocks: &Clocks) -> Markup {
    html! {
        section aria-labelledby="talk" {
            h2 id="talk" { "Answers, taps and clicks" }
            @if let Some(talk) = talk {
                dl.facts {
                    dt { "The conversation" } dd { (place_name(talk.place)) ", since " (clocks.when(talk.since)) }
                    dt { "Last message or tap" } dd { @match talk.heard_at {
                        Some(at) => (clocks.when(at)),
                        None => "none since the conversation began",
                    } }
                    dt { "Links" } dd { @if talk.clicked { "one was opened" } @else { "none is known to be opened" } }
                }
                p.dim { "The last message or tap may belong to another conversation of the person. Earlier ones and the "
                    "time of a click are not kept, nor what was written." }
            } @else {
                p.dim { "No conversation is kept for this send: the person has not had its message, the campaign asks for "
                    "nothing afterwards, or it is over since 90 days. Taps and clicks are kept with conversations alone." }
            }
        }
    }
}

fn place_name(place: &str) -> &str {
    match place {
        "answer" => "waits for an answer",
        "follow" => "waits until the person follows the account",
        "email" => "waits for an e-mail address",
        "deliver" => "the person did all that was asked: the delivery is under way, or done",
        "delivered" => "everything is delivered; follow-ups may come",
        other => other,
    }
}

fn action_name(action: Action) -> String {
    action.to_string().replace('_', " ")
}

fn waits(id: &SendId, send: &SendView, wait: &Wait, clocks: &Clocks) -> Markup {
    let account = address(&id.account);
    html! {
        p.finish {
            "It waits: " (wait.why)
            @if let Some(until) = wait.until { ", until " (clocks.when(until)) }
            ". "
            @if let Some(at) = wait.expected_at { "By forecast it goes out " strong { (clocks.when(at)) } ". " }
            @match &wait.why {
                Waits::Account(Why::Answer(HoldCause::TokenDead) | Why::TokenOver) => {
                    code { "spillway connect" } " lets the owner log in."
                }
                Waits::Account(Why::ByHand(_)) => { a href={ (account) "/resume" } { "Resume the account…" } }
                Waits::CampaignPaused | Waits::CampaignHeld => {
                    a href={ (account) "/campaigns/" (segment(send.campaign.as_str())) "/resume" } { "Resume the campaign…" }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_loses_its_middle() {
        assert_eq!(shortened("p.5260000000000000495"), "p.5260000000000000495");
        let step = shortened("s.deliver-0.1.5260000000000495.a42786cb993d9ca5");
        assert_eq!(step, "s.deliver-0.1.5…3d9ca5");
        assert_eq!(step.chars().count(), 22);
    }
}
