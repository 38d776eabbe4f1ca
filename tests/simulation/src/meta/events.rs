//! What people do in conversations, and the messages that answer it: judged by what they say, whatever
//! Spillway has stored of it.

use std::collections::BTreeMap;

use spillway_core::campaign::Trigger;
use spillway_core::id::{AccountId, OnceKey, RecipientId, SendId};
use spillway_meta::webhook::ConversationEvent;

use super::Message;
use crate::scenario::{AccountPlan, EventPlan, Nature, Post, Told, Trouble};
use crate::world::World;

/// What was answered.
#[derive(Default)]
pub(super) struct Events {
    /// The send that has answered each event, by its name.
    answered: BTreeMap<(AccountId, String), SendId>,
}

/// For how long Meta lets somebody be written to after they have done something.
const WINDOW: u64 = 24 * 3_600_000;

/// What an account that sends at its pace may take for the events of a run.
const PATIENCE: u64 = 2 * 3_600_000;

impl World {
    /// A send was made for something that a person did: which of it, its message will say.
    pub(crate) fn saw_answer_to_event(&mut self, send: &SendId) {
        let message = Message { nature: Nature::Answerable, not_before: None, accepted: 0 };
        self.meta.messages.entry(send.clone()).or_insert(message);
    }

    /// A message reaches somebody: it answers what they did, once, within a day.
    pub(super) fn check_answer_to_event(
        &mut self,
        account: &AccountId,
        key: &OnceKey,
        person: &RecipientId,
    ) {
        let send = SendId { account: account.clone(), key: key.clone() };
        let said = self.said(&send).unwrap_or_default();
        let name = said.split_whitespace().last().unwrap_or_default().to_owned();
        let scenario = self.scenario.clone();
        let events = scenario.account(account).map_or(&[][..], |plan| &plan.events);
        let Some(event) = events.iter().find(|event| event.name == name) else {
            return self.broken(format!("{send} says «{name}», which nobody has"));
        };
        if !event.asks || event.person != *person {
            self.broken(format!("{send} answers {event:?} for {person}"));
        }
        if self.now > event.at + WINDOW {
            let late = self.now - event.at - WINDOW;
            self.broken(format!("{send} answers {name} {late} ms outside its window"));
        }
        let answered = &mut self.meta.events.answered;
        let first = answered.entry((account.clone(), name.clone())).or_insert(send.clone()).clone();
        if first != send {
            self.broken(format!("{name} is answered by {first} and by {send}"));
        }
        let same = |other: &&EventPlan| other.name != name && is_same_story(event, other);
        let twin = events.iter().filter(same).find_map(|other| {
            self.meta.events.answered.get(&(account.clone(), other.name.clone())).cloned()
        });
        if let Some(twin) = twin
            && scenario.keeps_to_people()
        {
            self.broken(format!("one story is answered by {twin} and by {send}"));
        }
    }

    /// Whoever told of these was told that they are taken: those that ask for something have sends, or
    /// their people have one for the same story.
    pub(crate) fn saw_events_answered(&mut self, told: &[ConversationEvent]) {
        let scenario = self.scenario.clone();
        for told in told {
            let Some(plan) = scenario.account(&told.account) else { continue };
            let Some(event) = plan.events.iter().find(|event| event.is(told)) else { continue };
            let is_taken = plan
                .events
                .iter()
                .filter(|other| other.name == event.name || is_same_story(event, other))
                .any(|other| self.has_send(&plan.id, other));
            if event.asks && !is_taken {
                self.broken(format!("who told of {event:?} was told 200, and it is not recorded"));
            }
        }
    }

    fn has_send(&self, account: &AccountId, event: &EventPlan) -> bool {
        let Some(key) = event.told.key() else { return false };
        let person = self.tables.answered.get(&(account.clone(), event.person.clone()));
        person.and_then(|answers| answers.at(self.now)?.answering(&key)).is_some()
            || self.tables.entries.contains_key(&SendId { account: account.clone(), key })
    }

    /// Where nothing goes wrong, what was told in time is answered.
    pub(crate) fn check_events(&mut self, account: &AccountPlan) {
        if self.scenario.trouble != Trouble::None {
            return;
        }
        for event in &account.events {
            let of_event = |post: &&Post| {
                let Told::Conversations(told) = &post.what else { return false };
                told.iter().any(|told| event.is(told))
            };
            let told_at = self.scenario.posts.iter().filter(of_event).map(|post| post.at).min();
            let is_in_time =
                event.asks && told_at.is_some_and(|told_at| told_at + PATIENCE < event.at + WINDOW);
            let of_story =
                |other: &&EventPlan| other.name == event.name || is_same_story(event, other);
            let is_answered = account.events.iter().filter(of_story).any(|other| {
                let key = (account.id.clone(), other.name.clone());
                self.meta.events.answered.contains_key(&key)
            });
            // Another reply to the story may have been the one, and told of too late.
            let is_alone = account.events.iter().filter(of_story).count() == 1;
            if is_in_time && is_alone && !is_answered {
                self.broken(format!("{event:?} is not answered"));
            }
        }
    }
}

/// Whether two events are replies of one person to one story.
fn is_same_story(one: &EventPlan, other: &EventPlan) -> bool {
    let is_reply = one.trigger == Trigger::StoryReply && other.trigger == Trigger::StoryReply;
    is_reply && one.asks && other.asks && one.person == other.person && one.story == other.story
}
