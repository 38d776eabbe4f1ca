//! `GET /_messages`: each DM as it reached its person, as a page for people or as JSON.

use std::sync::{Arc, Weak};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use spillway_cloud::dynamo::DynamoSends;
use spillway_core::history::PastStep;
use spillway_core::id::{AccountId, CampaignId, RecipientId, SendId};
use spillway_core::stamp::Stamp;
use spillway_core::time::Timestamp;
use spillway_graph::{Content, SentMessage};
use spillway_service::admin::rfc3339;
use spillway_service::admin::sends::Ledger;
use spillway_service::port::StoreError;

use crate::stack::Stack;

/// The path that shows messages.
pub const MESSAGES_PATH: &str = "/_messages";

/// Messages that are shown, unless the request names another number.
const SHOWN: usize = 100;

/// A DM that reached a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveredMessage {
    /// When it was made, in UTC.
    pub at: Option<String>,
    /// Who sent it.
    pub account: AccountId,
    /// Whom it reached.
    pub person: RecipientId,
    /// What it shows, as it went out: its text (`None` for an attachment), buttons, quick replies and
    /// cards.
    #[serde(flatten)]
    pub content: Content,
    /// Meta's id of it.
    pub message_id: String,
    /// Its send, account/comment; `None` if no send has stamped it.
    pub send: Option<String>,
    /// The send's campaign.
    pub campaign: Option<CampaignId>,
    /// Which of the campaign's texts it has, counted from 1.
    pub variant: Option<u32>,
    /// The slot that it was sent in.
    pub slot: Option<String>,
}

/// What a request asks for.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    /// Messages of this account alone.
    account: Option<String>,
    /// The newest ones, at most.
    limit: Option<usize>,
}

/// Shows the newest messages, the newest first. A browser gets a page.
pub(crate) async fn get(
    State(stack): State<Weak<Stack>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let Some(stack) = stack.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let messages = match delivered(&stack, &wanted).await {
        Ok(messages) => messages,
        Err(error) => {
            let error = json!({ "error": error.to_string() });
            return (StatusCode::BAD_GATEWAY, Json(error)).into_response();
        }
    };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        Html(page(&messages)).into_response()
    } else {
        Json(messages).into_response()
    }
}

async fn delivered(
    stack: &Arc<Stack>,
    wanted: &Wanted,
) -> Result<Vec<DeliveredMessage>, StoreError> {
    let ledger = DynamoSends {
        sends: stack.sends_table(),
        state: stack.state_table(),
        meter: Arc::default(),
    };
    let of_account = |message: &SentMessage| {
        wanted.account.as_ref().is_none_or(|account| account == message.account.as_str())
    };
    let all = stack.graph.messages().into_iter().rev().filter(of_account);
    let mut shown = Vec::new();
    for message in all.take(wanted.limit.unwrap_or(SHOWN)) {
        let SentMessage { id, account, person, metadata, content, at } = message;
        let stamp = metadata.as_deref().and_then(Stamp::decode);
        let send = stamp.as_ref().map(|stamp| {
            let key = stamp.key.clone();
            SendId { account: account.clone(), key }
        });
        let stored = match &send {
            Some(send) => ledger.find(send).await?,
            None => None,
        };
        let slot = stored.as_ref().and_then(|stored| slot_of(&stored.steps, at));
        shown.push(DeliveredMessage {
            at: rfc3339(at),
            account,
            person,
            content,
            message_id: id,
            send: send.map(|send| send.to_string()),
            campaign: stored.map(|stored| stored.content.campaign),
            variant: stamp.and_then(|stamp| stamp.variant).map(|variant| u32::from(variant) + 1),
            slot: slot.and_then(rfc3339),
        });
    }
    Ok(shown)
}

/// Returns the slot of the last claim before a message.
fn slot_of(steps: &[PastStep], at: Timestamp) -> Option<Timestamp> {
    let before = steps.iter().filter(|step| step.at <= at);
    before.filter_map(|step| step.slot).next_back()
}

/// A message in lines: its text or cards, then each button and quick reply in brackets.
fn shown(content: &Content) -> String {
    let Content { text, buttons, quick_replies, cards } = content;
    let mut lines: Vec<String> = text.iter().cloned().collect();
    for card in cards {
        lines.push(card.title.clone());
        lines.extend(card.subtitle.clone());
        lines.extend(card.image.clone());
    }
    let of_cards = cards.iter().flat_map(|card| &card.buttons);
    lines.extend(buttons.iter().chain(of_cards).map(|button| match &button.url {
        Some(url) => format!("[{}: {url}]", button.title),
        None => format!("[{}]", button.title),
    }));
    lines.extend(quick_replies.iter().map(|reply| format!("[{}]", reply.title)));
    if lines.is_empty() { "(attachment)".to_owned() } else { lines.join("\n") }
}

fn page(messages: &[DeliveredMessage]) -> String {
    let mut rows = String::new();
    for message in messages {
        let DeliveredMessage {
            at, account, person, content, send, campaign, variant, slot, ..
        } = message;
        let variant = variant.map(|variant| format!(" #{variant}")).unwrap_or_default();
        let campaign = campaign.as_ref().map(CampaignId::to_string).unwrap_or_default();
        let cells = [
            at.as_deref().unwrap_or_default(),
            slot.as_deref().unwrap_or_default(),
            account.as_str(),
            person.as_str(),
            &format!("{campaign}{variant}"),
            &shown(content),
            send.as_deref().unwrap_or_default(),
        ];
        let cells: String = cells.map(|cell| format!("<td>{}</td>", escaped(cell))).concat();
        rows += &format!("<tr>{cells}</tr>\n");
    }
    let none = if messages.is_empty() { "<p>No DM has been sent yet.</p>\n" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>DMs</title>\n\
         <style>body{{font:14px sans-serif;margin:2em}}table{{border-collapse:collapse}}\
         td,th{{border:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}}\
         td:nth-child(6){{white-space:pre-wrap;max-width:30em}}</style>\n\
         <h1>DMs, the newest first</h1>\n{none}<table>\n\
         <tr><th>Sent</th><th>Slot</th><th>Account</th><th>Person</th><th>Campaign, text</th>\
         <th>DM</th><th>Send</th></tr>\n{rows}</table></html>\n"
    )
}

/// Writes a text so that a page shows it and does not act on it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use spillway_graph::QuickReply;

    use super::*;

    #[test]
    fn a_page_shows_texts_as_they_are() {
        let message = DeliveredMessage {
            at: Some("2026-11-27T17:04:02Z".into()),
            account: "178".into(),
            person: "5".into(),
            content: Content {
                text: Some("Hi <b>Ana</b> & all".into()),
                quick_replies: vec![QuickReply { title: "Yes".into(), payload: "p".into() }],
                ..Content::default()
            },
            message_id: "m1".into(),
            send: Some("178/179".into()),
            campaign: Some("guide".into()),
            variant: Some(2),
            slot: None,
        };
        let page = page(&[message]);
        assert!(page.contains("<td>Hi &lt;b&gt;Ana&lt;/b&gt; &amp; all\n[Yes]</td>"), "{page}");
        assert!(page.contains("<td>guide #2</td>") && page.contains("<td>178/179</td>"), "{page}");
    }
}
