//! Draws what people do in conversations, and how Meta tells of it: late, again and in any order, with
//! what asks for nothing among it.

use spillway_core::campaign::{Campaign, Trigger};
use spillway_core::id::{AccountId, MediaId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_meta::webhook::conversation::{
    Attachment, ConversationEvent, Edit, Message, MessageState, Postback, QuickReply, Referral,
    ReplyTo, Thread, What,
};

use super::draw;
use super::limits::{Limits, Shape};
use super::one_account::{EIGHT, Times};
use super::{AccountPlan, Post, Rates, Scenario, Theme, Told, Trouble};
use crate::dice::Dice;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Events of a run, at most; each has a keyword of its own.
const EVENTS_MAX: u64 = 60;

/// Something that a person does.
#[derive(Clone, Debug)]
pub(crate) struct EventPlan {
    /// Its keyword, which no other event has. Its answer ends with it.
    pub(crate) name: String,
    /// Who does it.
    pub(crate) person: RecipientId,
    /// When, in milliseconds since 1970.
    pub(crate) at: u64,
    /// What it is, or looks like.
    pub(crate) trigger: Trigger,
    /// The story that it is about.
    pub(crate) story: Option<MediaId>,
    /// Whether it asks for an answer.
    pub(crate) asks: bool,
    /// How Meta tells of it.
    pub(crate) told: ConversationEvent,
}

impl EventPlan {
    /// Whether it is what was told of.
    pub(crate) fn is(&self, told: &ConversationEvent) -> bool {
        self.told.key() == told.key() && told.key().is_some()
    }
}

impl Scenario {
    /// The triggers of a seed.
    pub(crate) fn triggers(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let dice = &mut dice;
        let start = EIGHT + dice.between(0..=HOUR);
        let trouble = dice.pick(&[
            Trouble::None,
            Trouble::Store,
            Trouble::Queues,
            Trouble::Kills,
            Trouble::Meta,
            Trouble::Clocks,
            Trouble::All,
        ]);
        let span = dice.pick(&[MINUTE, HOUR, 12 * HOUR]);
        let id = AccountId::new("17841400000000001");
        let told = events(dice, &id, start, span);
        let posts = posts(dice, &told, span);
        let limits = Limits::new(Shape::free(), start);
        let account = AccountPlan {
            events: told.into_iter().map(|(_, event)| event).collect(),
            ..AccountPlan::new(limits, vec![campaign()])
        };
        let rates = match trouble {
            Trouble::None => Rates::default(),
            trouble => draw::rates(dice, trouble),
        };
        let calm_at = if trouble == Trouble::None { start } else { start + 2 * span + HOUR };
        let times = Times { start, calm_at };
        Self::of_one((Theme::Triggers, seed), (trouble, rates), times, account, posts)
    }
}

/// Answers whatever asks for something by repeating its keyword.
fn campaign() -> Campaign {
    let keywords: Vec<String> = (0..EVENTS_MAX).map(name).collect();
    let campaign = serde_json::json!({
        "id": "words",
        "on": ["story_reply", "story_mention", "message", "referral"],
        "keywords": keywords,
        "messages": ["Hi {username|you}, here is {keyword}", "This is {keyword}"],
    });
    serde_json::from_value(campaign).expect("a campaign")
}

fn name(n: u64) -> String {
    format!("word{n}")
}

/// What people do, each with when Meta tells of it first.
fn events(dice: &mut Dice, account: &AccountId, start: u64, span: u64) -> Vec<(u64, EventPlan)> {
    let people = dice.between(1..=8);
    let mut events: Vec<(u64, EventPlan)> = (0..dice.between(2..=EVENTS_MAX))
        .map(|n| {
            let person = RecipientId::new(format!("6{:09}", dice.between(0..=people)));
            let told_at = start + MINUTE + dice.between(0..=span);
            // Some are told of hours after they were made, and some too late.
            let late = dice.weighted(&[(SECOND, 8), (HOUR, 2), (23 * HOUR, 1), (26 * HOUR, 1)]);
            let at = told_at - dice.between(0..=late);
            (told_at, event(dice, account, (n, person), at))
        })
        .collect();
    events.sort_by_key(|(told_at, _)| *told_at);
    events
}

fn event(
    dice: &mut Dice,
    account: &AccountId,
    (n, person): (u64, RecipientId),
    at: u64,
) -> EventPlan {
    let name = name(n);
    let text = Some(format!("I want {name}, please"));
    let id = Some(format!("mid-{n}"));
    let story = MediaId::new(format!("1790000000000070{}", dice.between(0..=1)));
    let message = Message { id: id.clone(), text: text.clone(), ..Message::default() };
    let (mut sender, mut thread, mut is_self) = (person.clone(), Thread::Ours, false);
    let trigger = dice.pick(&[
        Trigger::Message,
        Trigger::Message,
        Trigger::StoryReply,
        Trigger::StoryMention,
        Trigger::Referral,
    ]);
    let mut what = match trigger {
        Trigger::StoryReply => What::Message(Message {
            reply_to: Some(ReplyTo::Story(Some(story.clone()))),
            ..message.clone()
        }),
        Trigger::StoryMention => What::Message(Message {
            attachments: vec![Attachment::StoryMention],
            ..message.clone()
        }),
        Trigger::Referral => {
            let reference = Some(name.clone());
            What::Referral(Referral { reference, source: None, ad: None })
        }
        _ if dice.chance(0.2) => {
            let id = id.clone();
            What::Postback(Postback { id, title: text.clone(), payload: None, referral: None })
        }
        _ => What::Message(message.clone()),
    };
    let asks = dice.chance(0.7);
    if !asks {
        let payload = Some("not ours".to_owned());
        match dice.between(0..=6) {
            0 => {
                let quick_reply = Some(QuickReply { payload });
                what = What::Message(Message { quick_reply, ..message });
            }
            1 => what = What::Postback(Postback { id, title: text, payload, referral: None }),
            2 => what = What::Message(Message { state: MessageState::Deleted, ..message }),
            3 => what = What::Edit(Edit { message: id, count: Some(1) }),
            4 => sender = RecipientId::new(account.as_str()),
            5 => thread = Thread::Standby,
            _ => is_self = true,
        }
    }
    EventPlan {
        name,
        person,
        at,
        trigger,
        story: (trigger == Trigger::StoryReply).then_some(story),
        asks,
        told: ConversationEvent {
            account: account.clone(),
            sender: Some(sender),
            at: Some(Timestamp::from_millis(at)),
            thread,
            is_self,
            what,
        },
    }
}

/// Each event up to four times, alone or with others.
fn posts(dice: &mut Dice, events: &[(u64, EventPlan)], span: u64) -> Vec<Post> {
    let mut told: Vec<(u64, ConversationEvent)> = Vec::new();
    for (told_at, event) in events {
        for nth in 0..dice.pick(&[1, 1, 2, 3, 4]) {
            let late = dice.pick(&[0, 10, SECOND, MINUTE, span]);
            let late = if nth == 0 { 0 } else { dice.between(0..=late) };
            told.push((told_at + late, event.told.clone()));
        }
    }
    told.sort_by_key(|(at, _)| *at);
    let most = dice.pick(&[1, 3, 20]);
    let mut posts: Vec<Post> = Vec::new();
    for batch in told.chunks(most) {
        let at = batch.iter().map(|(at, _)| *at).max().unwrap_or_default();
        let mut events: Vec<ConversationEvent> =
            batch.iter().map(|(_, event)| event.clone()).collect();
        if dice.chance(0.5) {
            events.reverse();
        }
        posts.push(Post { at, what: Told::Conversations(events) });
    }
    posts
}
