//! What people write or tap in conversations: which of it belongs to a conversation that a campaign
//! has begun, and which begins one.
//!
//! Each event is answered by one campaign at most, once; a conversation comes first. What no campaign wants is not a miss:
//! people write to an account about anything, and what they write is nobody's business. Nothing of
//! it is stored but the id of the person, and of a story, with the send that answers it.

use std::collections::HashSet;
use std::sync::Arc;

use spillway_core::campaign::{Candidate, Match};
use spillway_core::conversation::{Command, Event, Payload, StopWords};
use spillway_core::id::{AccountId, MediaId, OnceKey, SendId};
use spillway_core::send::{ANSWER_WINDOW, Address, Content, PendingSend};
use spillway_core::time::Timestamp;
use spillway_meta::webhook::{Ask, ConversationEvent, MessageState, Postback, What};
use tracing::{debug, info};

use super::once::Asked;
use super::{Ingest, Ingested, MessageLane, Source};
use crate::account::Account;
use crate::converse::Heard;
use crate::metrics::Metric;
use crate::port::StoreError;

/// Whether a conversation or a campaign may want the event.
pub(super) fn may_matter(event: &ConversationEvent) -> bool {
    told(event, Timestamp::NEVER).is_some() || may_ask(event)
}

/// Whether a campaign may want the event. What has no name of its own could be answered twice.
fn may_ask(event: &ConversationEvent) -> bool {
    event.asks().next().is_some() && event.key().is_some()
}

/// What the event tells a conversation: a message, or a tap on a button that carries something.
fn told(event: &ConversationEvent, now: Timestamp) -> Option<Event> {
    if !event.is_theirs() {
        return None;
    }
    let at = event.happened_at(now);
    match &event.what {
        What::Message(message) if message.state == MessageState::Readable => {
            let tapped = message.quick_reply.as_ref().and_then(|tap| tap.payload.clone());
            if let Some(payload) = tapped {
                return Some(Event::Tap { payload, at });
            }
            let (id, text) = (message.id.clone()?, message.text.clone().unwrap_or_default());
            Some(Event::Message { id, text, at })
        }
        What::Postback(Postback { payload: Some(payload), .. }) => {
            Some(Event::Tap { payload: payload.clone(), at })
        }
        // Like an ice breaker that repeats a question: it says its title.
        What::Postback(Postback { id, title, .. }) => {
            Some(Event::Message { id: id.clone()?, text: title.clone()?, at })
        }
        _ => None,
    }
}

/// Takes a tap on a button that says STOP as the word. So it takes START, except on a campaign's own
/// button, where that is an ordinary title.
fn taken_at_its_word(told: Event, event: &ConversationEvent, words: &StopWords) -> Event {
    let Event::Tap { payload, at } = &told else { return told };
    let (id, text) = match &event.what {
        What::Message(message) => (&message.id, &message.text),
        What::Postback(postback) => (&postback.id, &postback.title),
        _ => return told,
    };
    let is_meant = |text: &str| match words.command(text) {
        Some(Command::Stop) => true,
        Some(Command::Start) => Payload::decode(payload).is_err(),
        None => false,
    };
    match (id, text) {
        (Some(id), Some(text)) if is_meant(text) => {
            Event::Message { id: id.clone(), text: text.clone(), at: *at }
        }
        _ => told,
    }
}

impl Ingest {
    /// Records a send for every event of one account that a campaign wants, if its turn comes by
    /// `last_begin`. An error is one that a repeat can mend.
    pub(super) async fn take_in_conversations(
        &self,
        id: &AccountId,
        events: Vec<ConversationEvent>,
        last_begin: Timestamp,
    ) -> Result<Ingested, StoreError> {
        self.check_time(last_begin)?;
        let count = events.len();
        let ingested = self.answer_events(id, events).await;
        self.or_dropped(id, ("messages", count), ingested)
    }

    async fn answer_events(
        &self,
        id: &AccountId,
        events: Vec<ConversationEvent>,
    ) -> Result<Ingested, StoreError> {
        let mut counts = Ingested::default();
        let Some(mut account) = self.account_cache.find(id).await? else {
            debug!(account = %id, messages = events.len(), "this account is not connected");
            counts.unknown_account = events.len();
            self.note(&counts);
            return Ok(counts);
        };
        let now = self.clock.now();
        let events = self.tell_conversations(&mut account, events, now, &mut counts).await?;
        let mut seen = HashSet::new();
        let mut match_all = |account: &Arc<Account>, events, counts: &mut Ingested| {
            self.match_events(account, events, &mut seen, now, counts)
        };
        let mut looked = Ok(None);
        let (mut wanted, mut unwanted) = match_all(&account, events, &mut counts);
        if !unwanted.is_empty() {
            // A campaign may be new, or go on again.
            looked = self.account_cache.newer(&account).await;
        }
        if let Ok(Some(newer)) = &mut looked {
            account = newer.clone();
            let (more, rest) = match_all(&account, unwanted, &mut counts);
            wanted.extend(more);
            unwanted = rest;
        }
        counts.other += unwanted.len();
        let recorded = self.record_once(&account, wanted, Source::Dated, now, &mut counts).await;
        // What was recorded before a failure is.
        self.note(&counts);
        recorded?;
        // Whether what no campaign wants is to be dropped is not known.
        looked?;
        Ok(counts)
    }

    /// Tells conversations what they are for, and returns the events that a campaign may want.
    async fn tell_conversations(
        &self,
        account: &mut Arc<Account>,
        events: Vec<ConversationEvent>,
        now: Timestamp,
        counts: &mut Ingested,
    ) -> Result<Vec<ConversationEvent>, StoreError> {
        let mut free = Vec::new();
        for event in events {
            let words = &account.conversations.ready().stop_words;
            let told = told(&event, now).map(|told| taken_at_its_word(told, &event, words));
            let heard = match (told, &event.sender) {
                // It belongs to a conversation that is forgotten.
                (Some(Event::Tap { at, .. }), Some(person))
                    if account
                        .forgotten
                        .person(person)
                        .is_some_and(|forgotten| at <= forgotten) =>
                {
                    Heard::Used
                }
                (Some(told), Some(person)) => {
                    let heard = self.converse.hear(account, person, &told).await?;
                    let newer = if heard == Heard::Unknown {
                        self.account_cache.newer(account).await?
                    } else {
                        None
                    };
                    match newer {
                        Some(newer) => {
                            *account = newer;
                            self.converse.hear(account, person, &told).await?
                        }
                        None => heard,
                    }
                }
                _ => Heard::Free,
            };
            match heard {
                Heard::Used => counts.heard += 1,
                Heard::Free | Heard::Unknown if may_ask(&event) => free.push(event),
                Heard::Free | Heard::Unknown | Heard::Muted => counts.other += 1,
            }
        }
        Ok(free)
    }

    /// What the events ask for, each event once, and the events that no campaign wants.
    fn match_events(
        &self,
        account: &Account,
        events: Vec<ConversationEvent>,
        seen: &mut HashSet<OnceKey>,
        now: Timestamp,
        counts: &mut Ingested,
    ) -> (Vec<Asked>, Vec<ConversationEvent>) {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for event in events {
            let at = event.happened_at(now);
            let found = event.asks().find_map(|ask| {
                let story: Vec<&MediaId> = ask.story.into_iter().collect();
                Some((account.campaigns.matching(&candidate(&ask, &story, at))?, ask))
            });
            let (Some((found, ask)), Some(key), Some(sender)) = (found, event.key(), &event.sender)
            else {
                unwanted.push(event);
                continue;
            };
            if !seen.insert(key.clone()) {
                debug!(account = %account.id, event = %key, "twice in one delivery");
                counts.duplicate += 1;
                continue;
            }
            let Match { campaign, keyword, outranked } = found;
            if !outranked.is_empty() {
                self.meter.count(Metric::Outranked, outranked.len());
                for outranked in outranked {
                    info!(account = %account.id, event = %key, campaign = %campaign.id, %outranked, "another campaign answers it");
                }
            }
            let id = SendId { account: account.id.clone(), key: key.clone() };
            let content = Content::opening(campaign.id.clone());
            let to = Address::Person(sender.clone());
            let send = PendingSend {
                order: campaign.overflow,
                keyword: keyword.map(str::to_owned),
                media: ask.story.cloned(),
                ..PendingSend::new(
                    id,
                    MessageLane::Answer.into(),
                    content,
                    to,
                    now,
                    at + ANSWER_WINDOW,
                )
            };
            wanted.push(Asked { event: key, send, once: campaign.once(ask.trigger), told_at: at });
        }
        (wanted, unwanted)
    }
}

/// What campaigns look at.
fn candidate<'a>(ask: &Ask<'a>, story: &'a [&'a MediaId], at: Timestamp) -> Candidate<'a> {
    Candidate { trigger: ask.trigger, text: ask.text, media: Some(story), is_reply: false, at }
}
