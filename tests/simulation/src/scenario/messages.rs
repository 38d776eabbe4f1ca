//! Draws messages that no comment asks for: answers in a conversation, follow-ups and outbound
//! campaigns.

use spillway_core::campaign::Campaign;
use spillway_core::id::{AccountId, OnceKey, RecipientId};
use spillway_core::time::Timestamp;
use spillway_service::ingest::{MessageLane, NewMessage};

use super::{AccountPlan, MessagePlan, Nature, Post, Told};
use crate::dice::Dice;
use crate::meta::Refusal;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Messages that are entered at once, at most.
const BATCH: usize = 50;

/// The campaign that messages take their texts from. Each ends with the name of its key, so that
/// Meta can tell them apart.
pub(super) fn campaign() -> Campaign {
    let messages = ["News for {username}", "Have a look, {username}", "Still there? {username}"];
    let campaign =
        serde_json::json!({ "id": "news", "keywords": ["newsletter"], "messages": messages });
    serde_json::from_value(campaign).expect("a campaign")
}

/// `count` messages of one lane to `people`, each entered at about `at`.
pub(super) fn messages(
    dice: &mut Dice,
    nth: u64,
    lane: MessageLane,
    people: &[RecipientId],
    count: u64,
    at: u64,
) -> Vec<MessagePlan> {
    let (name, lasts) = match lane {
        MessageLane::Answer => ("a", DAY),
        MessageLane::FollowUp => ("f", DAY),
        MessageLane::Outbound => ("o", dice.pick(&[2 * DAY, 20 * DAY, 40 * DAY])),
    };
    (0..count)
        .map(|n| {
            let key = OnceKey::new(format!("{name}{nth}-{n}"));
            let new = NewMessage {
                username: Some(key.as_str().to_owned()),
                key,
                lane,
                recipient: people[dice.index(people.len())].clone(),
                campaign: "news".into(),
                not_before: None,
                deadline: Timestamp::from_millis(at + lasts),
            };
            MessagePlan { new, nature: nature(dice, at) }
        })
        .collect()
}

/// Some of the messages may not go at once.
pub(super) fn put_off(dice: &mut Dice, messages: &mut [MessagePlan], at: u64) {
    for MessagePlan { new, .. } in messages {
        let wait = dice.pick(&[10 * MINUTE, HOUR, 6 * HOUR]);
        let not_before = Timestamp::from_millis(at + dice.between(0..=wait));
        new.not_before = dice.chance(0.5).then_some(not_before);
    }
}

fn nature(dice: &mut Dice, at: u64) -> Nature {
    if !dice.chance(0.03) {
        return Nature::Answerable;
    }
    let refusal = dice.pick(&[Refusal::Recipient, Refusal::WindowClosed, Refusal::ThreadOwner]);
    Nature::Refused(refusal, at + dice.between(0..=HOUR))
}

/// How the messages of an account are entered: some together, and some twice.
pub(super) fn posts(
    dice: &mut Dice,
    account: &AccountId,
    messages: &[MessagePlan],
    at: u64,
) -> Vec<Post> {
    let batches = messages.chunks(BATCH).flat_map(|batch| {
        let new: Vec<NewMessage> = batch.iter().map(|plan| plan.new.clone()).collect();
        let told = |new: Vec<NewMessage>| Told::Messages(account.clone(), new);
        let at = at + dice.between(0..=10 * MINUTE);
        let again = dice.chance(0.3).then(|| {
            let wait = dice.pick(&[5, 1000, HOUR]);
            // Also one of them twice in one list.
            let twice = new.iter().chain(new.first()).rev().cloned().collect();
            Post { at: at + dice.between(0..=wait), what: told(twice) }
        });
        again.into_iter().chain([Post { at, what: told(new) }])
    });
    batches.collect()
}

/// People whom an account writes to: those who comment, and others.
pub(super) fn people(dice: &mut Dice, account: &AccountPlan, nth: u64) -> Vec<RecipientId> {
    let strangers = dice.between(1..=200);
    let strangers = (0..strangers).map(|n| RecipientId::new(format!("6{nth}{n:09}")));
    let authors = account.comments.iter().map(|comment| comment.author.clone());
    let authors = authors.filter(|author| author.as_str() != account.id.as_str());
    strangers.chain(authors).collect()
}
