//! What can be done in the console. Each action is the one of the operator's tool, is written into the
//! account's journal before it is done, with who ordered it, and leads to a page that shows what has
//! become of it. What cannot be undone is asked about first.

use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State as Given};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{Markup, html};
use spillway_core::hold::{HoldCause, REASON_BYTES_MAX};
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::time::Timestamp;
use spillway_service::admin::accounts::{AppHoldView, HoldView};
use spillway_service::admin::sends::{Cancelled, RetryError, State};

use crate::answer::{Asked, Fault, account_id};
use crate::layout::{self, Frame, address, button, segment};
use crate::router::Served;
use crate::when::Clocks;
use crate::{Console, sends};

/// What was done, by the word in the address of the page that shows it.
const DONE: [(&str, &str); 7] = [
    ("paused", "The account is paused: nothing is called for it."),
    ("resumed", "The account goes on within a minute, if nothing else holds it."),
    (
        "campaign_paused",
        "The campaign is paused: what waits for it is held back until its deadline.",
    ),
    ("campaign_resumed", "The campaign goes on within a minute."),
    ("campaign_same", "The campaign was so already."),
    ("cancelled", "The send is cancelled."),
    ("retried", "The send waits again."),
];

/// Says what was just done.
pub(crate) fn done(asked: &Asked) -> Option<&'static str> {
    let word = asked.query.get("done")?;
    DONE.iter().find(|(known, _)| *known == word).map(|&(_, said)| said)
}

/// Leads to the page that shows what was done.
fn shows(path: &str, done: &str) -> Response {
    Redirect::to(&format!("{path}?done={done}")).into_response()
}

impl Console {
    /// Writes down who orders what, before it is done.
    pub(crate) async fn order(&self, account: &AccountId, order: &str) -> Result<(), Fault> {
        let visitor = self.visitor.as_ref().ok_or(Fault::Stranger)?;
        Ok(self.admin().accounts.note_order(account, &visitor.operator, order).await?)
    }
}

/// Asks before something is done.
fn question(console: &Console, account: &AccountId, title: &str, body: &Markup) -> Response {
    let frame = Frame { title, account: Some((account, "")), ..Frame::default() };
    Html(layout::page(console, &frame, body).into_string()).into_response()
}

/// The button that does it, and the way back.
fn choice(console: &Console, action: &str, label: &str, back: &str) -> Markup {
    html! {
        div.choice {
            (button(console, action, label, &html! {}))
            a href=(back) { "No, go back" }
        }
    }
}

/// Pauses an account.
pub(crate) async fn pause(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let until = match asked.form.get("lasts") {
        None => Timestamp::NEVER,
        Some(lasts) => {
            let lasts = spillway_core::span::parse(lasts);
            let lasts = lasts
                .filter(|lasts| !lasts.is_zero() && *lasts <= Duration::from_secs(365 * 86_400));
            console.now()
                + lasts.ok_or_else(|| Fault::Wrong("Write a time such as 30m or 2h.".into()))?
        }
    };
    let reason = asked.form.get("reason");
    if reason.is_some_and(|reason| {
        reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control)
    }) {
        return Err(Fault::Wrong(format!(
            "A note is one line of at most {REASON_BYTES_MAX} bytes."
        )));
    }
    console.admin().accounts.connected(&account).await?;
    console.order(&account, "pause the account").await?;
    console.admin().accounts.hold(&account, until, reason).await?;
    Ok(shows(&address(&account), "paused"))
}

/// What holds an account: itself, and the whole app.
async fn held(
    console: &Console,
    account: &AccountId,
) -> Result<(Vec<HoldView>, Option<AppHoldView>), Fault> {
    let admin = &console.admin().accounts;
    Ok((admin.holds(account).await?, admin.app_hold().await?))
}

/// Asks whether an account is to be resumed.
pub(crate) async fn ask_resume(
    Given(console): Served,
    Path(account): Path<String>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let connected = console.admin().accounts.connected(&account).await?;
    let (holds, app) = held(&console, &account).await?;
    let clocks = Clocks { now: console.now(), zone: connected.rules.terms().time_zone.clone() };
    let back = address(&account);
    let body = html! {
        @if let Some(hold) = &app {
            p { "The whole app is on hold since Meta's answer (" (hold.cause) ") until " (clocks.when(hold.until))
                ". The next call of any account would find out now whether that is over." }
        }
        @for hold in &holds {
            @if hold.cause == HoldCause::Operator {
                p { "Account " (account) " was paused by hand " (clocks.when(hold.since))
                    @if let Some(reason) = &hold.reason { ": " (reason) } ". Resumed, it goes on within a minute." }
            } @else {
                p { "Account " (account) " is on hold since Meta's answer (" (hold.cause) ") until "
                    (clocks.when(hold.until)) ". Resumed, one call goes now and finds out whether that is over; if it "
                    "is not, the next hold is longer." }
            }
        }
        @if holds.is_empty() && app.is_none() {
            p { "Account " (account) " is not on hold: there is nothing to end." }
            p { a href=(back) { "Go back" } }
        } @else {
            (choice(&console, &format!("{back}/resume"), "Resume it", &back))
        }
    };
    Ok(question(&console, &account, "Resume the account?", &body))
}

/// Resumes an account: ends a pause, and has one call look into any other hold.
pub(crate) async fn resume(
    Given(console): Served,
    Path(account): Path<String>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let admin = &console.admin().accounts;
    admin.connected(&account).await?;
    let (holds, app) = held(&console, &account).await?;
    if holds.is_empty() && app.is_none() {
        return Err(Fault::NotDone(format!("Account {account} is not on hold.")));
    }
    console.order(&account, "resume the account").await?;
    if app.is_some() {
        admin.resume_app(&account).await?;
    }
    if !holds.is_empty() {
        admin.resume(&account).await?;
    }
    Ok(shows(&address(&account), "resumed"))
}

/// Asks whether a campaign is to be paused or resumed.
pub(crate) async fn ask_campaign(
    Given(console): Served,
    Path((account, campaign, what)): Path<(String, String, String)>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let connected = console.admin().accounts.connected(&account).await?;
    let campaign = CampaignId::new(campaign);
    if connected.campaigns.get(&campaign).is_none() {
        return Err(Fault::NotFound("There is no such campaign.".into()));
    }
    let back = format!("{}/campaigns", address(&account));
    let here = format!("{back}/{}", segment(campaign.as_str()));
    let (title, said, path, label) = match what.as_str() {
        "pause" => (
            "Pause the campaign?",
            "It matches nothing any more, and its sends wait until it is resumed or their deadline passes.",
            format!("{here}/pause"),
            "Pause it",
        ),
        "resume" => (
            "Resume the campaign?",
            "It matches again, and its waiting sends get slots within a minute. If Meta has refused its link or \
             text, that hold ends too.",
            format!("{here}/resume"),
            "Resume it",
        ),
        _ => return Err(Fault::NotFound("There is no such page.".into())),
    };
    let body =
        html! { p { strong { (campaign) } ": " (said) } (choice(&console, &path, label, &back)) };
    Ok(question(&console, &account, title, &body))
}

/// Pauses or resumes a campaign.
pub(crate) async fn campaign(
    Given(console): Served,
    Path((account, campaign, what)): Path<(String, String, String)>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let admin = &console.admin().accounts;
    let connected = admin.connected(&account).await?;
    let campaign = CampaignId::new(campaign);
    if connected.campaigns.get(&campaign).is_none() {
        return Err(Fault::NotFound("There is no such campaign.".into()));
    }
    let (changed, done) = match what.as_str() {
        "pause" => {
            console.order(&account, &format!("pause campaign `{campaign}`")).await?;
            (admin.pause(&account, &campaign).await?, "campaign_paused")
        }
        "resume" => {
            console.order(&account, &format!("resume campaign `{campaign}`")).await?;
            (admin.resume_campaign(&account, &campaign).await?, "campaign_resumed")
        }
        _ => return Err(Fault::NotFound("There is no such page.".into())),
    };
    let is_new = changed.changed || changed.hold_ended == Some(true);
    Ok(shows(
        &format!("{}/campaigns", address(&account)),
        if is_new { done } else { "campaign_same" },
    ))
}

/// Asks whether a send is to be cancelled or tried again.
pub(crate) async fn ask_send(
    Given(console): Served,
    Path((account, key, what)): Path<(String, String, String)>,
) -> Result<Response, Fault> {
    let id = sends::send_id(&account, &key)?;
    let stored = sends::find(&console, &id).await?;
    let back = format!("{}/sends/{}", address(&id.account), segment(&key));
    let said = match (what.as_str(), &stored.state) {
        ("cancel", State::Waiting(_)) => {
            "It will not be sent, and cannot be brought back. Its person counts as answered for as long as the \
             campaign's `once_per` and `once_for` say."
        }
        ("cancel", State::Ended { .. }) => {
            return Err(Fault::NotDone("The send does not wait any more.".into()));
        }
        ("retry", _)
            if console.admin().sends.may_arrive_twice(std::slice::from_ref(&stored)) > 0 =>
        {
            "It may have arrived although Meta's servers failed: then its person gets it twice. Look into the \
             conversation first."
        }
        ("retry", _) => {
            "It waits again, behind what waits already, and its text uses the fallbacks of its placeholders."
        }
        _ => return Err(Fault::NotFound("There is no such page.".into())),
    };
    let (title, label) = match what.as_str() {
        "cancel" => ("Cancel the send?", "Cancel it for good"),
        _ => ("Try the send again?", "Try it again"),
    };
    let body = html! {
        p { "Send " strong { (stored.shown_id()) } " of campaign " (stored.content.campaign) "." }
        p { (said) }
        (choice(&console, &format!("{back}/{what}"), label, &back))
    };
    Ok(question(&console, &id.account, title, &body))
}

/// Cancels a send, or lets it wait again.
pub(crate) async fn send(
    Given(console): Served,
    Path((account, key, what)): Path<(String, String, String)>,
) -> Result<Response, Fault> {
    let id = sends::send_id(&account, &key)?;
    let admin = &console.admin().sends;
    let stored = sends::find(&console, &id).await?;
    let done = match what.as_str() {
        "cancel" => {
            let State::Waiting(send) = &stored.state else {
                return Err(Fault::NotDone("The send does not wait any more.".into()));
            };
            console.order(&id.account, &format!("cancel send {}", stored.shown_id())).await?;
            match admin.cancel(&stored.outbox_key, send).await? {
                Cancelled::Done => "cancelled",
                Cancelled::Claimed(_) => {
                    return Err(Fault::NotDone(
                        "Its call may be under way: it ends within two minutes. Look again then."
                            .into(),
                    ));
                }
                Cancelled::MovedOn => {
                    return Err(Fault::NotDone("It moved on meanwhile: look again.".into()));
                }
            }
        }
        "retry" => {
            console.order(&id.account, &format!("try send {} again", stored.shown_id())).await?;
            match admin.retry(&stored.id).await {
                Ok(_) => "retried",
                Err(RetryError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    return Err(Fault::NotDone(format!("It is not tried again: {error}.")));
                }
            }
        }
        _ => return Err(Fault::NotFound("There is no such page.".into())),
    };
    Ok(shows(&format!("{}/sends/{}", address(&id.account), segment(&key)), done))
}
