//! The campaigns of an account: their texts as a phone shows them, what waits for each, and which of
//! them would answer a text.

use axum::Extension;
use axum::extract::{Path, State as Given};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;
use spillway_core::campaign::{Campaign, Candidate, Trigger};
use spillway_core::content::Draft;
use spillway_core::conversation::{FollowUp, Then, Unknown, Unless};
use spillway_core::id::{CampaignId, MediaId};
use spillway_core::message::{Template, Values};
use spillway_service::account::Account;
use spillway_service::admin::campaigns::CampaignView;
use spillway_service::admin::matching::MatchView;
use spillway_service::admin::overview::Overview;
use spillway_service::admin::told::counted;
use spillway_service::fields::{self, Field};

use crate::answer::{Asked, Fault, Fields, account_id};
use crate::layout::{self, Frame, address, button, grouped, segment, token};
use crate::overview::look;
use crate::router::Served;
use crate::when::Clocks;
use crate::{Console, actions};

/// Fields that a page shows in a way of its own.
const SHOWN_APART: [&str; 5] = ["id", "messages", "public_replies", "public_fallback", "then"];

/// Bytes of a text that is tried.
const TEXT_BYTES_MAX: usize = 4000;

/// Shows the campaigns of an account.
pub(crate) async fn get(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let account = console.admin().accounts.connected(&account).await?;
    let views = views(&console, &account);
    if asked.format == crate::answer::Format::Json {
        return Ok(asked.answer(|| json!({ "campaigns": views }), || html! {}));
    }
    let overview = look(&console, &account.id).await?;
    let page = || page(&console, &account, &views, &overview, &asked, None);
    Ok(asked.answer(|| json!({ "campaigns": views }), page))
}

/// Says which campaign would answer a text. What somebody wrote comes in a form, never in an
/// address.
pub(crate) async fn try_text(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = account_id(&account)?;
    let account = console.admin().accounts.connected(&account).await?;
    let verdict = verdict(&account, &asked.form, console.now())?;
    let views = views(&console, &account);
    let overview = look(&console, &account.id).await?;
    let page = || page(&console, &account, &views, &overview, &asked, Some(&verdict));
    Ok(asked.answer(|| json!(verdict), page))
}

fn views(console: &Console, account: &Account) -> Vec<CampaignView> {
    let now = console.now();
    account.campaigns.iter().map(|campaign| CampaignView::of(account, campaign, now)).collect()
}

fn verdict(
    account: &Account,
    form: &Fields,
    at: spillway_core::time::Timestamp,
) -> Result<MatchView, Fault> {
    let text = form.get("text").unwrap_or_default();
    if text.len() > TEXT_BYTES_MAX {
        return Err(Fault::Wrong("The text is longer than any comment.".into()));
    }
    let media = match form.get("media") {
        Some(media) if media.bytes().all(|c| c.is_ascii_digit()) => Some(MediaId::new(media)),
        Some(_) => {
            return Err(Fault::Wrong(
                "A media id is the number that the API gives, not a link or a short code.".into(),
            ));
        }
        None => None,
    };
    let album = media.as_ref().and_then(|media| account.albums.album_of(media));
    let media: Option<Vec<&MediaId>> =
        media.as_ref().map(|media| std::iter::once(media).chain(album).collect());
    let on = form.get("on").unwrap_or(Trigger::Comment.as_str());
    let trigger = Trigger::ALL.into_iter().find(|trigger| trigger.as_str() == on);
    let candidate = Candidate {
        trigger: trigger.unwrap_or(Trigger::Comment),
        text,
        media: media.as_deref(),
        is_reply: form.get("reply").is_some(),
        at,
    };
    Ok(MatchView::of(&account.campaigns, &candidate))
}

fn page(
    console: &Console,
    account: &Account,
    views: &[CampaignView],
    overview: &Overview,
    asked: &Asked,
    verdict: Option<&MatchView>,
) -> Markup {
    let clocks = Clocks { now: console.now(), zone: account.rules.terms().time_zone.clone() };
    let done = actions::done(asked);
    let frame = Frame {
        title: "Campaigns",
        account: Some((&account.id, "Campaigns")),
        done,
        ..Frame::default()
    };
    let body = html! {
        (tried(console, account, &asked.form, verdict))
        p.dim { (counted(views.len(), "campaign")) " of account " (account.id)
            ", in the order in which they are asked. " code { "spillway campaign apply" } " changes them." }
        @for view in views { (card(console, view, waiting(overview, &view.campaign.id), &clocks)) }
    };
    layout::page(console, &frame, &body)
}

fn waiting(overview: &Overview, campaign: &CampaignId) -> u32 {
    let of_each = overview.by_campaign.iter().find(|(known, _)| known == campaign);
    of_each.map_or(0, |&(_, count)| count)
}

fn card(console: &Console, view: &CampaignView, waiting: u32, clocks: &Clocks) -> Markup {
    let CampaignView { account, campaign, state, .. } = view;
    let id = &campaign.id;
    let tone = if *state == "active" { "good" } else { "warn" };
    let here = format!("{}/campaigns/{}", address(account), segment(id.as_str()));
    let sends = format!("{}/sends?campaign={}", address(account), segment(id.as_str()));
    html! {
        section.card aria-labelledby={ "c" (view.order) } {
            h2 id={ "c" (view.order) } { (id) " " span class={ "badge " (tone) } { (state) } }
            p {
                a href=(sends) { (grouped(waiting)) @if waiting == 1 { " waits" } @else { " wait" } }
                " · " a href={ (sends) "&state=sent" } { "sent" }
                " · " a href={ (sends) "&state=failed" } { "failed" }
                " · " a href={ (sends) "&state=expired" } { "too late" }
                @if let Some(since) = view.paused_since { " · paused since " (clocks.when(since)) }
                @if let Some(at) = view.begins_at { " · begins " (clocks.when(at)) }
                @if let Some(at) = view.ends_at { " · ends " (clocks.when(at)) }
            }
            @if view.paused_since.is_some() {
                (button(console, &format!("{here}/resume"), "Resume this campaign", &html! {}))
            } @else {
                (button(console, &format!("{here}/pause"), "Pause this campaign", &html! {}))
            }
            dl.facts {
                @if campaign.is_by_hand() { dt { "keywords" } dd { "none: only " code { "spillway campaign send" } " begins it" } }
                @else if campaign.keywords.is_empty() { dt { "keywords" } dd { "none: it takes every comment" } }
                @for Field { name, values } in fields::of(campaign) {
                    @if !SHOWN_APART.contains(&name) && !values.is_empty() {
                        dt { (name) } dd { (values.join(", ")) }
                    }
                }
            }
            (texts("The DM", &campaign.messages, campaign))
            @if let Some(then) = &campaign.then { (conversation(then, campaign)) }
            (texts("Public reply after the DM", &campaign.public_replies, campaign))
            (texts("Public reply in its place", &campaign.public_fallback, campaign))
        }
    }
}

/// Texts as a phone shows them, filled in for a person.
fn texts(what: &str, texts: &[Template], campaign: &Campaign) -> Markup {
    const SHOWN_MAX: usize = 8;
    let values = Values { username: Some("ana"), ..values(campaign) };
    html! {
        @if !texts.is_empty() {
            h3 { (what) @if texts.len() > 1 { ", one of " (texts.len()) " in turn" } }
            div.phone {
                @for text in texts.iter().take(SHOWN_MAX) { p.bubble { (text.fill(values)) } }
                @if texts.len() > SHOWN_MAX { p.dim { "and " (texts.len() - SHOWN_MAX) " more" } }
            }
        }
    }
}

/// What the placeholders of a conversation's messages become: no webhook of a message tells a user
/// name.
fn values(campaign: &Campaign) -> Values<'_> {
    let keyword = campaign.keywords.first().map(String::as_str);
    Values { username: None, keyword, first_name: Some("Ana"), tracking: None }
}

/// What follows the opening, step by step.
fn conversation(then: &Then, campaign: &Campaign) -> Markup {
    let Then { answer, follow, email, deliver, follow_up } = then;
    html! {
        h3 { "Then they answer: " @if answer.is_empty() { "anything" } @else { (answer.join(", ")) } }
        @if let Some(gate) = follow {
            (texts("If they do not follow the account", &gate.ask, campaign))
            (chips([&gate.button]))
            p.dim { "Asked " (times(gate.tries)) " at most. If Meta does not tell whether they follow, "
                @match gate.unknown {
                    Unknown::Deliver => "it goes on.",
                    Unknown::Ask => "they are asked.",
                    Unknown::Skip => "nothing is sent until they write or tap again.",
                }
            }
        }
        @if let Some(question) = email {
            (texts("For their e-mail address", &question.ask, campaign))
            (texts("If that has none", &question.again, campaign))
            p.dim { "Asked again " (times(question.tries)) " at most." }
        }
        @if !deliver.is_empty() {
            h3 { "What they get" }
            div.phone { @for draft in deliver { (message(draft, campaign)) } }
        }
        @for later in follow_up {
            (texts(&follow_up_name(later), &later.messages, campaign))
        }
    }
}

fn follow_up_name(FollowUp { after, unless, .. }: &FollowUp) -> String {
    let unless = match unless {
        Unless::Answered => ", unless they wrote or tapped",
        Unless::Clicked => ", unless they opened a link",
        Unless::Never => "",
    };
    format!("{} after that{unless}", spillway_core::span::format(*after))
}

fn times(count: u8) -> String {
    match count {
        0 => "not even once".into(),
        1 => "once".into(),
        count => format!("{count} times"),
    }
}

/// A message of the delivery, as a phone shows it.
fn message(draft: &Draft, campaign: &Campaign) -> Markup {
    let filled = draft.fill(values(campaign), "");
    let of_card = draft.card.iter().flat_map(|card| &card.buttons);
    let buttons = draft.buttons.iter().chain(of_card).map(|button| &button.title);
    html! {
        p.bubble { (filled.text()) }
        (chips(buttons.chain(&draft.quick_replies)))
    }
}

/// Buttons and quick replies, which do nothing here.
fn chips<'a>(titles: impl IntoIterator<Item = &'a String>) -> Markup {
    html! { p { @for title in titles { span.chip { (title) } } } }
}

fn tried(
    console: &Console,
    account: &Account,
    form: &Fields,
    verdict: Option<&MatchView>,
) -> Markup {
    let on = form.get("on").unwrap_or(Trigger::Comment.as_str());
    html! {
        section.card id="try" aria-labelledby="tried" {
            h2 id="tried" { "Which campaign would answer it?" }
            @if let Some(verdict) = verdict {
                p role="status" {
                    @match &verdict.campaign {
                        Some(campaign) => { strong.good { "Campaign " (campaign) } ": " }
                        None => { strong.bad { "None" } ": " }
                    }
                    (verdict.why) ". " span.dim { "Derived now, from today's campaigns; nothing is sent." }
                }
            }
            form.row method="post" action={ (address(&account.id)) "/try#try" } {
                (token(console))
                p { label for="text" { "What somebody writes" }
                    input id="text" name="text" autocomplete="off" value=[form.get("text")]; }
                p { label for="on" { "As" }
                    select id="on" name="on" {
                        @for trigger in Trigger::ALL {
                            option value=(trigger.as_str()) selected[trigger.as_str() == on] {
                                (trigger.as_str().replace('_', " "))
                            }
                        }
                    } }
                p { label for="media" { "On the media with this id (any if empty)" }
                    input id="media" name="media" inputmode="numeric" autocomplete="off" value=[form.get("media")]; }
                p { label { input type="checkbox" name="reply" value="1" checked[form.get("reply").is_some()];
                    " below another comment" } }
                p { button { "Try it" } }
            }
        }
    }
}
