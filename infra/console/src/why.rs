//! Why a comment got nothing: from its send if one is recorded, else derived now, from what Meta tells of
//! it or somebody pastes.

use axum::Extension;
use axum::extract::{Path, State as Given};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde_json::json;
use spillway_core::id::{AccountId, CommentId, MediaId, OnceKey, RecipientId, SendId};
use spillway_service::account::Account;
use spillway_service::admin::derived::{DerivedView, NotDerived, Remark, Verdict};

use crate::answer::{Asked, Fault, Fields, account_id};
use crate::layout::{self, Frame, address, button, segment, token};
use crate::router::Served;
use crate::when::Clocks;
use crate::{CommentReads, Console};

/// Bytes of a pasted text.
const TEXT_BYTES_MAX: usize = 4000;

/// Looks a comment up by its id: leads to its send, or says that none is recorded.
pub(crate) async fn get(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = console.admin().accounts.connected(&account_id(&account)?).await?;
    let comment = number(&asked.query, "comment")?.map(CommentId::new);
    if let Some(comment) = &comment
        && let Some(send) = recorded(&console, &account.id, comment).await?
    {
        let here = format!("{}/sends/{}", address(&send.account), segment(send.key.as_str()));
        return Ok(Redirect::to(&here).into_response());
    }
    let json = || json!({ "comment": comment, "send": null });
    Ok(asked.answer(json, || page(&console, &account, &asked.form, comment.as_ref(), None)))
}

/// Derives why a comment got nothing: from a charged read where its id is given alone, else from what
/// is pasted.
pub(crate) async fn derive(
    Given(console): Served,
    Path(account): Path<String>,
    Extension(asked): Extension<Asked>,
) -> Result<Response, Fault> {
    let account = console.admin().accounts.connected(&account_id(&account)?).await?;
    let comment = number(&asked.form, "comment")?.map(CommentId::new);
    let deriver = &console.shown.deriver;
    let derived = match (asked.form.get("text"), &comment) {
        (None, Some(_)) if console.shown.comment_reads == CommentReads::Elsewhere => {
            return Err(Fault::NotDone(
                "This console reads no comments: the one that `spillway console` serves does."
                    .into(),
            ));
        }
        (None, Some(comment)) => {
            console.order(&account.id, &format!("read comment {comment}")).await?;
            deriver.of_comment(&account, comment).await
        }
        (text, _) => {
            let text = text.unwrap_or_default();
            if text.len() > TEXT_BYTES_MAX {
                return Err(Fault::Wrong("The text is longer than any comment.".into()));
            }
            let remark = Remark {
                text: text.to_owned(),
                media: number(&asked.form, "media")?.map(MediaId::new),
                person: number(&asked.form, "person")?.map(RecipientId::new),
                is_reply: asked.form.get("reply").is_some(),
                made_at: None,
            };
            deriver.of_remark(&account, &remark, comment.as_ref()).await
        }
    };
    let derived = derived.map_err(|error| match error {
        NotDerived::Unread(no_answer) => {
            Fault::NotDone(format!("The comment was not read: {}.", no_answer.reason()))
        }
        NotDerived::Store(error) => error.into(),
    })?;
    let page = || page(&console, &account, &asked.form, comment.as_ref(), Some(&derived));
    Ok(asked.answer(|| json!(derived), page))
}

/// The field of this name, if it is filled in: an id.
fn number<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a str>, Fault> {
    let Some(id) = fields.get(name) else { return Ok(None) };
    if id.bytes().all(|c| c.is_ascii_digit()) {
        return Ok(Some(id));
    }
    Err(Fault::Wrong(format!(
        "The {name}'s id is the number that the API gives, not a link or a name."
    )))
}

/// The send that answers a comment.
async fn recorded(
    console: &Console,
    account: &AccountId,
    comment: &CommentId,
) -> Result<Option<SendId>, Fault> {
    let admin = &console.admin().sends;
    let own = SendId { account: account.clone(), key: OnceKey::comment(comment) };
    if admin.find(&own).await?.is_some() {
        return Ok(Some(own));
    }
    Ok(admin.answering(account, comment, |_| ()).await?)
}

fn page(
    console: &Console,
    account: &Account,
    form: &Fields,
    comment: Option<&CommentId>,
    derived: Option<&DerivedView>,
) -> Markup {
    let clocks = Clocks { now: console.now(), zone: account.rules.terms().time_zone.clone() };
    let here = format!("{}/why", address(&account.id));
    let frame = Frame {
        title: "Why did a comment get nothing?",
        account: Some((&account.id, "")),
        ..Frame::default()
    };
    let body = html! {
        @match (derived, comment) {
            (Some(derived), _) => { (verdict(derived, account, &clocks)) }
            (None, Some(comment)) => {
                section.card role="status" {
                    p { strong { "No send is stored for comment " (comment) "." } " Entries are kept for as long as "
                        "the campaign's once_for says, and only of comments that a campaign wanted and whose author did "
                        "not have the DM." }
                    @match console.shown.comment_reads {
                        CommentReads::Here => {
                            p { "Meta can be asked what it says. That is one call of the account's hourly limit, and is "
                                "not made if it does not fit." }
                            (button(console, &here, "Ask Meta, and derive why", &html! {
                                input type="hidden" name="comment" value=(comment);
                            }))
                        }
                        CommentReads::Elsewhere => {
                            p { "This console holds no account's token, so it cannot ask Meta what the comment says. The "
                                "console that " code { "spillway console" } " serves can. Or paste its text below." }
                        }
                    }
                }
            }
            (None, None) => {}
        }
        section aria-labelledby="known" {
            h2 id="known" { "By its id" }
            form.row action=(here) {
                p { label for="comment" { "Comment's id" }
                    input id="comment" name="comment" inputmode="numeric" autocomplete="off" required
                        value=[comment.map(CommentId::as_str)]; }
                p { button { "Look it up" } }
            }
        }
        section aria-labelledby="pasted" {
            h2 id="pasted" { "By what it says" }
            p { "Nothing is called, and the text is not kept." }
            form.row method="post" action=(here) {
                (token(console))
                p { label for="text" { "Its text" }
                    input id="text" name="text" autocomplete="off" required value=[form.get("text")]; }
                p { label for="media" { "Media's id (any if empty)" }
                    input id="media" name="media" inputmode="numeric" autocomplete="off" value=[form.get("media")]; }
                p { label for="person" { "Person's id (anybody if empty)" }
                    input id="person" name="person" inputmode="numeric" autocomplete="off" value=[form.get("person")]; }
                p { label { input type="checkbox" name="reply" value="1" checked[form.get("reply").is_some()];
                    " below another comment" } }
                p { button { "Derive why" } }
            }
        }
    };
    layout::page(console, &frame, &body)
}

fn verdict(derived: &DerivedView, account: &Account, clocks: &Clocks) -> Markup {
    let DerivedView { verdict, matched, media, person, made_at } = derived;
    html! {
        section.card role="status" {
            p.headline { strong { (verdict.said()) "." } }
            @if *verdict != Verdict::OwnComment {
                p { @match &matched.campaign {
                    Some(campaign) => { "Campaign " strong { (campaign) } ": " }
                    None => {}
                } (matched.why) "." }
            }
            dl.facts {
                @if let Some(media) = media { dt { "Media" } dd { (media) } }
                @if let Some(person) = person { dt { "Person" } dd {
                    a href={ (address(&account.id)) "/sends?state=sent&person=" (segment(person.as_str())) } { (person) }
                } }
                @if let Some(at) = made_at { dt { "Made" } dd { (clocks.when(*at)) } }
            }
            p.dim { strong { "Derived now" } ", from today's campaigns and what the person was answered: nothing was "
                "recorded when the comment came. Nothing is sent." }
        }
    }
}
