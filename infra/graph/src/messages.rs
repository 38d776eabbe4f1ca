//! Messages that have reached people: their echoes, and the conversations that list them.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::time::Timestamp;

use super::answer::written;
use super::content::Content;

/// A message that has reached a person, whatever its call was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SentMessage {
    /// Its id, which the call's answer and the echo name.
    pub id: String,
    /// Who sent it.
    pub account: AccountId,
    /// Whom it reached.
    pub person: RecipientId,
    /// What the call gave as `message.metadata`.
    pub metadata: Option<String>,
    /// What it shows.
    #[serde(flatten)]
    pub content: Content,
    /// When it was made, in milliseconds since 1970.
    #[serde(rename = "at_ms")]
    pub at: Timestamp,
}

/// An echo that is to be delivered to the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoDelivery {
    /// When.
    pub at: Timestamp,
    /// The delivery's body, which the app secret has to sign.
    pub body: Vec<u8>,
}

/// A message that a human wrote in the account's name, in Instagram itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandWritten {
    /// In whose name.
    pub account: AccountId,
    /// Whom it reached.
    pub person: RecipientId,
    /// What it says.
    pub text: String,
    /// When it was written.
    pub at: Timestamp,
}

/// The messages, and what becomes of the next ones.
#[derive(Default)]
pub(super) struct Messages {
    sent: Vec<SentMessage>,
    by_hand: Vec<HandWritten>,
    /// How long after a message each of its echoes comes: none, one or several.
    echo_after: Vec<Duration>,
    /// How long after a message its conversation lists it.
    listed_after: Duration,
    echoes: Vec<EchoDelivery>,
}

/// How long after a human's message its echo comes.
const ECHO_OF_HUMAN: Duration = Duration::from_millis(800);

/// Messages that a read of a conversation lists at most.
const LISTED: usize = 20;

impl Messages {
    pub(super) fn echo_after(&mut self, after: Vec<Duration>) {
        self.echo_after = after;
    }

    pub(super) fn list_after(&mut self, after: Duration) {
        self.listed_after = after;
    }

    pub(super) fn sent(&self) -> &[SentMessage] {
        &self.sent
    }

    pub(super) fn take_echoes(&mut self) -> Vec<EchoDelivery> {
        std::mem::take(&mut self.echoes)
    }

    pub(super) fn by_hand(&self) -> &[HandWritten] {
        &self.by_hand
    }

    /// A message reaches its person.
    pub(super) fn add(&mut self, message: SentMessage) {
        for &after in &self.echo_after {
            let body = echo(&message).to_string().into_bytes();
            self.echoes.push(EchoDelivery { at: message.at + after, body });
        }
        self.sent.push(message);
    }

    /// A human's message reaches its person. Its echo always comes.
    pub(super) fn add_by_hand(&mut self, message: HandWritten) {
        let HandWritten { account, person, text, at } = message.clone();
        let id = format!("aWdfZh{}.{person}", at.as_millis());
        let content = Content { text: Some(text), ..Content::default() };
        let told = echo(&SentMessage { id, account, person, metadata: None, content, at });
        self.echoes.push(EchoDelivery { at: at + ECHO_OF_HUMAN, body: told.to_string().into() });
        self.by_hand.push(message);
    }

    /// The conversation with a person as `GET /{account}/conversations?user_id=` lists it. `wrote`
    /// says when the person last did.
    pub(super) fn conversation(
        &self,
        account: &AccountId,
        person: &RecipientId,
        wrote: Option<Timestamp>,
        now: Timestamp,
    ) -> Value {
        let item = |id: String, at: Timestamp, from: &str, text: Option<&str>| {
            let message = json!({
                "id": id,
                "created_time": written(at),
                "from": { "id": from },
                "message": text.unwrap_or_default(),
            });
            (at, message)
        };
        let of_both = |message: &&SentMessage| {
            let is_listed = message.at + self.listed_after <= now;
            message.account == *account && message.person == *person && is_listed
        };
        let own = self.sent.iter().filter(of_both).map(|message| {
            item(message.id.clone(), message.at, account.as_str(), message.content.told_text())
        });
        let of_human = self.by_hand.iter().filter(|message| {
            message.account == *account && message.person == *person && message.at <= now
        });
        let by_hand = of_human.map(|HandWritten { text, at, .. }| {
            item(format!("aWdfZh{}.{person}", at.as_millis()), *at, account.as_str(), Some(text))
        });
        let theirs = wrote.map(|at| {
            item(format!("aWdfZp{}", at.as_millis()), at, person.as_str(), Some("hello"))
        });
        let mut messages: Vec<(Timestamp, Value)> = own.chain(by_hand).chain(theirs).collect();
        messages.sort_by_key(|&(at, _)| std::cmp::Reverse(at));
        let messages: Vec<Value> =
            messages.into_iter().take(LISTED).map(|(_, message)| message).collect();
        if messages.is_empty() {
            return json!({ "data": [] });
        }
        json!({ "data": [{ "id": format!("aWdfZc{person}"), "messages": { "data": messages } }] })
    }
}

/// Meta's delivery that tells of a message as an echo.
fn echo(message: &SentMessage) -> Value {
    let SentMessage { id, account, person, metadata, content, at } = message;
    let mut told = json!({ "mid": id, "is_echo": true });
    if let Some(text) = content.told_text() {
        told["text"] = text.into();
    }
    if content.is_attachment() {
        told["attachments"] = json!([{ "type": "template", "payload": {} }]);
    }
    if let Some(metadata) = metadata {
        told["metadata"] = metadata.as_str().into();
    }
    let item = json!({
        "sender": { "id": account },
        "recipient": { "id": person },
        "timestamp": at.as_millis(),
        "message": told,
    });
    let entry = json!({ "id": account, "time": at.as_millis(), "messaging": [item] });
    json!({ "object": "instagram", "entry": [entry] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_by_hand_has_an_echo_without_metadata_and_is_listed() {
        let mut messages = Messages::default();
        let at = Timestamp::from_secs(1_790_000_000);
        let (account, person) = (AccountId::new("a"), RecipientId::new("p"));
        let text = "It's me".to_owned();
        messages.add_by_hand(HandWritten {
            account: account.clone(),
            person: person.clone(),
            text,
            at,
        });
        let echoes = messages.take_echoes();
        let told: Value = serde_json::from_slice(&echoes[0].body).unwrap();
        let told = &told["entry"][0]["messaging"][0]["message"];
        assert_eq!((&told["is_echo"], &told["text"]), (&true.into(), &"It's me".into()));
        assert_eq!(told["metadata"], Value::Null);
        assert!(messages.sent().is_empty() && messages.by_hand().len() == 1);
        let listed = messages.conversation(&account, &person, None, at);
        let listed = &listed["data"][0]["messages"]["data"][0];
        assert_eq!((&listed["id"], &listed["message"]), (&told["mid"], &"It's me".into()));
    }
}
