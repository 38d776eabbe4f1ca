//! Messages that have reached people: their echoes, and the conversations that list them.

use std::collections::BTreeMap;

use spillway_core::content::Message as Said;
use spillway_core::id::{AccountId, RecipientId, SendId};
use spillway_core::time::Timestamp;
use spillway_meta::graph::{Conversation, MessageItem};
use spillway_meta::webhook::Echo;

use super::Ask;
use crate::scenario::EchoFate;
use crate::world::World;

/// What Meta knows of messages.
#[derive(Default)]
pub(crate) struct Delivered {
    /// What the last call for each send said: its text, and its stamp.
    said: BTreeMap<SendId, (Said, String)>,
    /// The messages of each conversation, in order.
    conversations: BTreeMap<(AccountId, RecipientId), Vec<Message>>,
    /// Echoes that are yet to be told, and when.
    echoes: Vec<(u64, Echo)>,
    count: u64,
}

struct Message {
    id: String,
    made_at: u64,
    text: String,
    /// When a read of the conversation shows it.
    listed_at: u64,
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How often somebody who talks with the account writes, and of how many hours that is listed.
const WRITES_EVERY: u64 = 40 * MINUTE;
const LISTED_FOR: u64 = 6 * HOUR;

impl World {
    /// What the next call for a send says.
    pub(crate) fn says(&mut self, send: SendId, said: &Said, stamp: &str) {
        self.meta.delivered.said.insert(send, (said.clone(), stamp.to_owned()));
    }

    /// What the last call for a send said.
    pub(super) fn said(&self, send: &SendId) -> Option<&str> {
        self.meta.delivered.said.get(send).map(|(said, _)| said.text())
    }

    /// A message has reached its person: a conversation lists it sooner or later, and its echo comes
    /// before the call's answer, late, twice or never.
    pub(super) fn deliver(&mut self, account: &AccountId, ask: &Ask) {
        let (Some(key), Some(person)) = (ask.event(), self.person_of(ask)) else { return };
        let said = self.meta.delivered.said.get(&SendId { account: account.clone(), key });
        let Some((said, stamp)) = said.cloned() else { return };
        let text = said.text().to_owned();
        self.talks(account, ask, &person, &said);
        let now = self.now;
        let listed_at = now + self.dice.weighted(&[(0, 4), (5 * MINUTE, 2), (30 * MINUTE, 1)]);
        self.meta.delivered.count += 1;
        let id = format!("m{}", self.meta.delivered.count);
        let echo = Echo {
            account: account.clone(),
            message: Some(id.clone()),
            metadata: Some(stamp),
            recipient: Some(person.clone()),
            sent_at: Some(Timestamp::from_millis(now)),
        };
        for after in self.echoes_after() {
            self.meta.delivered.echoes.push((now + after, echo.clone()));
        }
        let message = Message { id, made_at: now, text, listed_at };
        let conversations = &mut self.meta.delivered.conversations;
        conversations.entry((account.clone(), person)).or_default().push(message);
    }

    /// How long after a message each of its echoes comes.
    fn echoes_after(&mut self) -> Vec<u64> {
        let EchoFate { come, lost } = self.scenario.unknowns.echoes;
        if !come || self.dice.chance(lost) {
            self.record.count("echo: never");
            return Vec::new();
        }
        let first = self.dice.weighted(&[
            ((0, 20), 3),
            ((20, 3 * SECOND), 6),
            ((3 * SECOND, 5 * MINUTE), 2),
            ((5 * MINUTE, 3 * HOUR), 1),
        ]);
        let first = self.dice.between(first.0..=first.1);
        self.record.count("echo");
        if self.dice.chance(0.1) {
            self.record.count("echo: twice");
            return vec![first, first + self.dice.between(0..=HOUR)];
        }
        vec![first]
    }

    fn person_of(&self, ask: &Ask) -> Option<RecipientId> {
        match ask {
            Ask::Reply(comment) => self.meta.author(comment).cloned(),
            Ask::Message { person, .. } => Some(person.clone()),
            Ask::Age(_)
            | Ask::Author(_)
            | Ask::Conversation(_)
            | Ask::Profile(_)
            | Ask::PublicReply(_)
            | Ask::Replies(_)
            | Ask::Tool(_)
            | Ask::Keep(_) => None,
        }
    }

    /// Whether a person has a message with this id.
    pub(crate) fn has_message(
        &self,
        account: &AccountId,
        person: &RecipientId,
        id: Option<&str>,
    ) -> bool {
        let known = self.meta.delivered.conversations.get(&(account.clone(), person.clone()));
        id.is_some_and(|id| known.into_iter().flatten().any(|message| message.id == id))
    }

    /// The echoes that Meta tells of from now on, each with when.
    pub(crate) fn echoes(&mut self) -> Vec<(u64, Echo)> {
        std::mem::take(&mut self.meta.delivered.echoes)
    }

    /// The conversation with a person as it is listed now. Half of the people write now and then.
    pub(super) fn conversation(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Option<Conversation> {
        let known = self.meta.delivered.conversations.get(&(account.clone(), person.clone()));
        let own = known.into_iter().flatten().filter(|message| message.listed_at <= self.now);
        let own =
            own.map(|message| item(&message.id, message.made_at, account.as_str(), &message.text));
        let talks = person.as_str().bytes().map(u64::from).sum::<u64>().is_multiple_of(2);
        let last = self.now / WRITES_EVERY;
        let first = if talks { self.now.saturating_sub(LISTED_FOR) / WRITES_EVERY } else { last };
        let theirs = (first + 1..=last)
            .map(|nth| item(&format!("p{nth}"), nth * WRITES_EVERY, person.as_str(), "hello"));
        let messages: Vec<MessageItem> = own.chain(theirs).collect();
        (!messages.is_empty()).then_some(Conversation { messages, is_whole: true })
    }
}

fn item(id: &str, made_at: u64, from: &str, text: &str) -> MessageItem {
    MessageItem {
        id: id.to_owned(),
        made_at: Timestamp::from_secs(made_at / SECOND),
        from: Some(from.to_owned()),
        text: Some(text.to_owned()),
    }
}
