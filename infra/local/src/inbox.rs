//! `POST /_inbox`: writes to an account as anybody, or taps, or comes by a link; signed and delivered
//! as Meta would. It opens the person's window, as Meta does.

use std::sync::{Arc, Weak};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use spillway_cloud::dynamo::DynamoAccounts;
use spillway_core::campaign::{Candidate, Trigger};
use spillway_core::id::{AccountId, CampaignId, MediaId, RecipientId};
use spillway_meta::webhook::{ConversationEvent, Event, parse};
use spillway_service::account::Account;
use spillway_service::admin::matching::MatchView;
use spillway_service::admin::send_view::SendView;
use spillway_service::port::Accounts;

use crate::comments::signed;
use crate::form::{self, Form};
use crate::lambda::WEBHOOK_PATH;
use crate::serve::observe;
use crate::stack::Stack;

/// The path that takes what people write to accounts.
pub const INBOX_PATH: &str = "/_inbox";

/// The story of a reply that names none.
const STORY: &str = "17900000000000777";

/// The most bytes of a text, as Instagram takes them.
const TEXT_BYTES_MAX: usize = 4000;

/// What a body may say.
const FIELDS: [&str; 7] = ["account", "text", "on", "person", "username", "story", "payload"];

/// Something that a person does.
#[derive(Clone, Debug)]
struct Inbound {
    /// The account that they write to.
    account: String,
    /// What they write; for a referral the `ref` of the link.
    text: String,
    /// What it is.
    on: Trigger,
    /// Who they are: see [`form::person`].
    person: Option<String>,
    username: Option<String>,
    /// The story that they reply to.
    story: String,
    /// The payload of the quick reply that they tap; its title is the text.
    payload: Option<String>,
}

impl Inbound {
    /// Reads a body.
    ///
    /// # Errors
    /// Says which field is wrong, and what it takes.
    fn parse(body: &[u8]) -> Result<Self, String> {
        let example = r#"write for instance {"account": "17841400000000001", "text": "guide"}"#;
        let form = Form::parse(body, &FIELDS, example)?;
        let kinds = Trigger::ALL.into_iter().filter(|trigger| !trigger.is_comment());
        let named = |name: String| {
            kinds.clone().find(|trigger| trigger.as_str() == name).ok_or_else(|| {
                let kinds: Vec<&str> = kinds.clone().map(Trigger::as_str).collect();
                format!("`on` takes {}", kinds.join(", "))
            })
        };
        let inbound = Self {
            account: form.needed_id("account")?,
            text: form.needed("text")?,
            on: form.text("on")?.map_or(Ok(Trigger::Message), named)?,
            person: form.id("person")?,
            username: form.username()?,
            story: form.id("story")?.unwrap_or_else(|| STORY.to_owned()),
            payload: form.text("payload")?,
        };
        let texts = [Some(&inbound.text), inbound.payload.as_ref()];
        if texts.into_iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(format!("`text` and `payload` take up to {TEXT_BYTES_MAX} bytes"));
        }
        Ok(inbound)
    }

    /// What Meta tells of it.
    fn item(&self, message: &str) -> (&'static str, Value) {
        if self.on == Trigger::Referral {
            let source = "IGME-SOURCE-LINK";
            let referral = json!({ "ref": self.text, "source": source, "type": "OPEN_THREAD" });
            return ("referral", referral);
        }
        let mut item = json!({ "mid": message, "text": self.text });
        match self.on {
            Trigger::StoryReply => item["reply_to"] = json!({ "story": { "id": self.story } }),
            Trigger::StoryMention => item["attachments"] = json!([{ "type": "story_mention" }]),
            _ => {}
        }
        if let Some(payload) = &self.payload {
            item["quick_reply"] = json!({ "payload": payload });
        }
        ("message", item)
    }

    /// Meta's delivery of it.
    fn delivery(&self, message: &str, person: &str, now_ms: u64) -> String {
        let (member, value) = self.item(message);
        let mut item = json!({
            "sender": { "id": person },
            "recipient": { "id": self.account },
            "timestamp": now_ms,
        });
        item[member] = value;
        let entry = json!([{ "id": self.account, "time": now_ms, "messaging": [item] }]);
        json!({ "object": "instagram", "entry": entry }).to_string()
    }

    /// Why nothing answers it, or the campaign that would.
    fn reason(&self, event: &ConversationEvent, account: &Account) -> Result<CampaignId, String> {
        if event.sender.as_ref().is_some_and(|sender| sender.as_str() == self.account) {
            return Err("what an account writes itself is not answered".to_owned());
        }
        let Some(ask) = event.asks().last() else {
            return Err(match self.payload {
                Some(_) => "a tap that carries a payload starts nothing",
                None => "what has no text starts nothing: there is nothing to look for keywords in",
            }
            .to_owned());
        };
        let story: Vec<&MediaId> = ask.story.into_iter().collect();
        let view = MatchView::of(
            &account.campaigns,
            &Candidate {
                trigger: ask.trigger,
                text: ask.text,
                media: Some(&story),
                is_reply: false,
                at: event.at.unwrap_or_default(),
            },
        );
        view.campaign.ok_or(view.why)
    }
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Received {
    /// The message's id.
    message: String,
    /// The id of who did it.
    person: String,
    /// The send that answers it, as `spillway send show` shows it; `null` if none does.
    send: Option<SendView>,
    /// Why no send answers it.
    reason: Option<String>,
}

/// Delivers what the body says, and answers with what became of it.
pub(crate) async fn post(State(stack): State<Weak<Stack>>, body: Bytes) -> Response {
    let Some(stack) = stack.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match deliver(&stack, &body).await {
        Ok(received) => Json(received).into_response(),
        Err((status, error)) => (status, Json(json!({ "error": error }))).into_response(),
    }
}

async fn deliver(stack: &Arc<Stack>, body: &[u8]) -> Result<Received, (StatusCode, String)> {
    let inbound = Inbound::parse(body).map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    let failed = |error: &dyn std::fmt::Display| (StatusCode::BAD_GATEWAY, error.to_string());
    let account = AccountId::new(inbound.account.as_str());
    let accounts = DynamoAccounts { table: stack.state_table() };
    let Some(connected) = accounts.load(&account).await.map_err(|error| failed(&error))? else {
        let error = format!("account {account} is not connected");
        return Err((StatusCode::NOT_FOUND, error));
    };
    let number = stack.next_comment();
    let message = format!("aWdfZm{number:013}");
    let person = form::person(inbound.person.as_deref(), inbound.username.as_deref(), number);
    let delivery = inbound.delivery(&message, &person, stack.clock.now().as_millis());
    observe(stack, delivery.as_bytes());
    let answer = stack
        .invoke_webhook(
            &Method::POST,
            &Uri::from_static(WEBHOOK_PATH),
            &signed(stack, delivery.as_bytes()),
            delivery.as_bytes(),
        )
        .await;
    if !answer.status().is_success() {
        return Err(failed(&format_args!("the webhook answered {}", answer.status())));
    }
    let events = parse(delivery.as_bytes()).map_err(|error| failed(&error))?.events;
    let [Event::Conversation(event)] = &events[..] else {
        return Err(failed(&"the delivery is not understood"));
    };
    let sends = &stack.admin.sends;
    let sender = RecipientId::new(person.as_str());
    let send = match event.key() {
        Some(key) => sends.answering_event(&account, &sender, &key).await,
        None => Ok(None),
    };
    let stored = match send.map_err(|error| failed(&error))? {
        Some(send) => sends.find(&send).await.map_err(|error| failed(&error))?,
        None => None,
    };
    let reason = match stored.is_none().then(|| inbound.reason(event, &connected)) {
        None => None,
        Some(Err(reason)) => Some(reason),
        Some(Ok(campaign)) => {
            let no_more = sends.no_more_for(&account, &sender, &campaign).await;
            Some(no_more.map_err(|error| failed(&error))?.to_string())
        }
    };
    Ok(Received { message, person, send: stored.as_ref().map(SendView::from), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_body_is_refused_with_the_field() {
        for (body, said) in [
            (r#"{"account":"178"}"#, "`text` is missing"),
            (
                r#"{"account":"178","text":"x","on":"comment"}"#,
                "`on` takes story_reply, story_mention",
            ),
            (r#"{"account":"178","text":"x","story":"s"}"#, "`story` takes an id"),
            (r#"{"account":"178","text":"x","media":"1"}"#, "`media` is not known"),
        ] {
            let error = Inbound::parse(body.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{body}: {error}");
        }
    }
}
