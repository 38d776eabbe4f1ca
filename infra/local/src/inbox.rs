//! `POST /_inbox`: writes to an account as anybody, or taps what its DMs show, or comes by a link;
//! signed and delivered as Meta would. It opens the person's window, as Meta does.

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
use spillway_graph::{Content, SentMessage};
use spillway_meta::webhook::{ConversationEvent, Event, parse};
use spillway_service::account::Account;
use spillway_service::admin::matching::MatchView;
use spillway_service::admin::send_view::SendView;
use spillway_service::port::{Accounts, Read};

use crate::comments::signed;
use crate::form::{self, Form};
use crate::lambda::WEBHOOK_PATH;
use crate::messages::MESSAGES_PATH;
use crate::serve::observe;
use crate::stack::Stack;

/// The path that takes what people write to accounts.
pub const INBOX_PATH: &str = "/_inbox";

/// The story of a reply that names none.
const STORY: &str = "17900000000000777";

/// The most bytes of a text, as Instagram takes them.
const TEXT_BYTES_MAX: usize = 4000;

/// What a body may say.
const FIELDS: [&str; 8] =
    ["account", "text", "on", "person", "username", "story", "payload", "tap"];

/// Something that a person does.
#[derive(Clone, Debug)]
struct Inbound {
    /// The account that they write to.
    account: String,
    /// What they write; for a referral the `ref` of the link. For a tap, the title of what they tap.
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
    /// What they tap.
    tap: Option<Tap>,
}

/// A tap on something that a message of the account shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tap {
    /// By this title or payload, not looked up yet.
    Named(String),
    /// A button, with its payload.
    Button(String),
    /// A quick reply, with its payload.
    QuickReply(String),
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
        let tap = form.text("tap")?;
        if let (Some(_), Some(other)) = (&tap, form.first_of(&["text", "on", "story", "payload"])) {
            return Err(format!("a `tap` takes no `{other}`: remove one of them"));
        }
        if tap.is_some() && form.first_of(&["person", "username"]).is_none() {
            return Err("who taps? name the `person` or the `username`".to_owned());
        }
        let inbound = Self {
            account: form.needed_id("account")?,
            text: match &tap {
                Some(_) => String::new(),
                None => form.needed("text")?,
            },
            on: form.text("on")?.map_or(Ok(Trigger::Message), named)?,
            person: form.id("person")?,
            username: form.username()?,
            story: form.id("story")?.unwrap_or_else(|| STORY.to_owned()),
            payload: form.text("payload")?,
            tap: tap.map(Tap::Named),
        };
        let texts = [Some(&inbound.text), inbound.payload.as_ref()];
        if texts.into_iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(format!("`text` and `payload` take up to {TEXT_BYTES_MAX} bytes"));
        }
        Ok(inbound)
    }

    /// Finds what is tapped in the newest message to the person that shows it.
    ///
    /// # Errors
    /// Says why it cannot be tapped, or that a tap on it is told nobody.
    fn look_up(&mut self, person: &str, messages: &[SentMessage]) -> Result<(), String> {
        let Some(Tap::Named(name)) = &self.tap else { return Ok(()) };
        let of_both = |sent: &&SentMessage| {
            sent.account.as_str() == self.account && sent.person.as_str() == person
        };
        let tappable = messages.iter().rev().filter(of_both).flat_map(|sent| {
            let Content { buttons, quick_replies, cards, .. } = &sent.content;
            let buttons = buttons.iter().chain(cards.iter().flat_map(|card| &card.buttons));
            let buttons = buttons.map(|button| match (&button.payload, &button.url) {
                (Some(payload), _) => (&button.title, Some(Tap::Button(payload.clone())), payload),
                (None, url) => (&button.title, None, url.as_ref().unwrap_or(&button.title)),
            });
            let replies = quick_replies.iter().map(|reply| {
                let tap = Tap::QuickReply(reply.payload.clone());
                (&reply.title, Some(tap), &reply.payload)
            });
            buttons.chain(replies)
        });
        match tappable.into_iter().find(|(title, _, payload)| *title == name || *payload == name) {
            Some((title, Some(tap), _)) => {
                title.clone_into(&mut self.text);
                self.tap = Some(tap);
                Ok(())
            }
            Some((title, None, url)) => {
                Err(format!("`{title}` opens {url}, and no webhook tells of that"))
            }
            None => Err(format!(
                "no DM to person {person} has a button or quick reply `{name}`: {MESSAGES_PATH} shows \
                 each"
            )),
        }
    }

    /// What Meta tells of it.
    fn item(&self, message: &str) -> (&'static str, Value) {
        if let Some(Tap::Button(payload)) = &self.tap {
            let postback = json!({ "mid": message, "title": self.text, "payload": payload });
            return ("postback", postback);
        }
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
        let tapped = match &self.tap {
            Some(Tap::QuickReply(payload)) => Some(payload),
            _ => self.payload.as_ref(),
        };
        if let Some(payload) = tapped {
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
            let is_tap = self.tap.is_some() || self.payload.is_some();
            let why = if is_tap {
                "a tap that carries a payload starts nothing: if it belongs to a conversation, \
                 /_messages shows what follows, at its slot"
            } else {
                "what has no text starts nothing: there is nothing to look for keywords in"
            };
            return Err(why.to_owned());
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
    let refused = |error| (StatusCode::BAD_REQUEST, error);
    let mut inbound = Inbound::parse(body).map_err(refused)?;
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
    inbound.look_up(&person, &stack.graph.messages()).map_err(refused)?;
    if let Some(username) = &inbound.username {
        stack.graph.change_person(account.clone(), person.as_str(), |known| {
            known.username = Some(username.clone());
        });
    }
    let sends = &stack.admin.sends;
    let sender = RecipientId::new(person.as_str());
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
    let send = match event.key() {
        Some(key) => sends.answering_event(&account, &sender, &key).await,
        None => Ok(None),
    };
    let stored = match send.map_err(|error| failed(&error))? {
        Some(send) => sends.find(&send).await.map_err(|error| failed(&error))?,
        None => None,
    };
    let talk = sends.conversations.load(&account, &sender, Read::Consistent).await;
    let talk = talk.map_err(|error| failed(&error))?.state;
    let reason = match stored.is_none().then(|| inbound.reason(event, &connected)) {
        None => None,
        Some(_) if talk.has_used(&message) => Some(
            "it belongs to a conversation: /_messages shows what follows, at its slot".to_owned(),
        ),
        Some(_) if talk.is_stopped() => {
            Some("they have asked to be left alone, until they write START".to_owned())
        }
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
    use spillway_core::time::Timestamp;
    use spillway_graph::{Button, QuickReply};

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
            (r#"{"account":"178","tap":"x","text":"y","person":"5"}"#, "takes no `text`"),
            (r#"{"account":"178","tap":"x"}"#, "name the `person` or the `username`"),
        ] {
            let error = Inbound::parse(body.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{body}: {error}");
        }
    }

    fn sent(person: &str, content: Content) -> SentMessage {
        SentMessage {
            id: "m".into(),
            account: "178".into(),
            person: person.into(),
            metadata: None,
            content,
            at: Timestamp::EPOCH,
        }
    }

    fn button(title: &str, url: Option<&str>, payload: Option<&str>) -> Button {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Button { title: title.into(), url: owned(url), payload: owned(payload) }
    }

    #[test]
    fn a_tap_is_found_by_title_or_payload_in_the_newest_message_to_the_person() {
        let buttons = |payload: &str| Content {
            buttons: vec![
                button("I follow", None, Some(payload)),
                button("Open", Some("https://a.example"), None),
            ],
            ..Content::default()
        };
        let reply = QuickReply { title: "Yes".into(), payload: "q".into() };
        let replies = Content { quick_replies: vec![reply], ..Content::default() };
        let messages = [
            sent("5", buttons("old")),
            sent("5", buttons("new")),
            sent("5", replies),
            sent("6", buttons("6")),
        ];
        let tap = |name: &str| {
            let body = json!({ "account": "178", "person": "5", "tap": name }).to_string();
            let mut inbound = Inbound::parse(body.as_bytes()).unwrap();
            inbound.look_up("5", &messages).map(|()| inbound.item("m1"))
        };
        let postback = |payload: &str| {
            ("postback", json!({ "mid": "m1", "title": "I follow", "payload": payload }))
        };
        assert_eq!(tap("I follow"), Ok(postback("new")));
        assert_eq!(tap("old"), Ok(postback("old")), "buttons stay in a thread");
        let answer = json!({ "mid": "m1", "text": "Yes", "quick_reply": { "payload": "q" } });
        assert_eq!(tap("Yes"), Ok(("message", answer)));
        assert!(tap("Open").unwrap_err().contains("opens https://a.example"));
        assert!(tap("6").unwrap_err().contains("no DM to person 5"));
    }
}
