//! Reading the conversation with one person, to see whether a message has reached them.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::time::Timestamp;

use super::answer::Answered;
use super::{CallError, GraphClient};
use crate::json::Object;
use crate::time;

/// The messages that are asked for, the newest ones. Meta tells the details of the last 20 alone
/// (Meta, Get Conversations, v24.0).
const FIELDS: &str = "messages.limit(20){id,created_time,from,message}";

/// The newest messages of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The messages that could be read.
    pub messages: Vec<MessageItem>,
    /// Whether there are no older ones.
    pub is_whole: bool,
}

/// A message of a conversation. Its `Debug` does not show the text.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageItem {
    /// Its id.
    pub id: String,
    /// The instant when it was made, in whole seconds.
    pub made_at: Timestamp,
    /// Who sent it: the account, or the person.
    pub from: Option<String>,
    /// Its text. Absent for an attachment, and where Meta does not tell it.
    pub text: Option<String>,
}

impl fmt::Debug for MessageItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageItem").field("made_at", &self.made_at).finish_non_exhaustive()
    }
}

impl GraphClient {
    /// Reads the newest messages of the account's conversation with `person`: `GET
    /// /{account}/conversations?user_id={person}`. `None` if there is no conversation: Meta also
    /// lists none for a while after the first message. `timeout` as for
    /// [`private_reply`](Self::private_reply).
    ///
    /// # Errors
    ///
    /// See [`CallError`]. It is a read: after [`CallError::Unknown`] it can be repeated.
    pub async fn conversation(
        &self,
        account: &AccountId,
        token: &SecretString,
        person: &RecipientId,
        timeout: Duration,
    ) -> Result<Answered<Option<Conversation>>, CallError> {
        let mut url = self.url(account.as_str(), Some("conversations"))?;
        url.query_pairs_mut().extend_pairs([
            ("platform", "instagram"),
            ("user_id", person.as_str()),
            ("fields", FIELDS),
        ]);
        let answer = self.call(self.http.get(url), token, timeout).await?;
        answer.into_answered(|answer| Some(conversation(&answer.array("data")?)))
    }
}

fn conversation(found: &[&str]) -> Option<Conversation> {
    let messages = found.iter().find_map(|raw| Object::parse(raw)?.object("messages"))?;
    let items = messages.array("data")?;
    let read: Vec<MessageItem> =
        items.iter().filter_map(|raw| Object::parse(raw).and_then(|item| message(&item))).collect();
    let has_next = messages.object("paging").is_some_and(|paging| paging.has("next"));
    // One that cannot be read may be the one that is looked for.
    let is_whole = !has_next && read.len() == items.len();
    Some(Conversation { messages: read, is_whole })
}

fn message(item: &Object<'_>) -> Option<MessageItem> {
    Some(MessageItem {
        id: item.text("id")?,
        made_at: time::parse(&item.text("created_time")?)?,
        from: item.object("from").and_then(|from| from.id("id")),
        text: item.text("message").filter(|text| !text.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_messages_of_the_one_conversation_are_read() {
        let found = r#"{"id":"aWc","messages":{"data":[
            {"id":"m2","created_time":"2026-11-24T12:00:00+0000","from":{"id":"178","username":"x"},
             "message":"here it is"},
            {"id":"m1","created_time":"2026-11-24T11:00:00+0000","from":{"id":"52"},"message":""}
        ]}}"#;
        let read = conversation(&[found]).unwrap();
        assert!(read.is_whole);
        let [own, theirs] = &read.messages[..] else { panic!("{read:?}") };
        assert_eq!((own.from.as_deref(), own.text.as_deref()), (Some("178"), Some("here it is")));
        assert_eq!(own.made_at, Timestamp::from_secs(1_795_521_600));
        assert_eq!((theirs.id.as_str(), &theirs.text), ("m1", &None));
        assert!(!format!("{read:?}").contains("here"));
    }

    #[test]
    fn what_is_missing_is_no_conversation_and_what_is_cut_off_is_not_whole() {
        assert_eq!(conversation(&[]), None);
        assert_eq!(conversation(&[r#"{"id":"aWc"}"#]), None);
        let more = r#"{"messages":{"data":[],"paging":{"next":"https://a/b"}}}"#;
        assert!(!conversation(&[more]).unwrap().is_whole);
        let odd = r#"{"messages":{"data":[{"id":"m1","from":{"id":"178"}}]}}"#;
        let odd = conversation(&[odd]).unwrap();
        assert!(odd.messages.is_empty() && !odd.is_whole);
    }
}
