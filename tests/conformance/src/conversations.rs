//! Conversations: a state a person, and the sends that are written with it.

use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::conversation::{
    BegunBy, Context, Event, Origin, Settings, State, Step as Message, step,
};
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::send::{CampaignStep, Outcome, PendingSend, Step, Turn};
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::port::{
    Cause, EndGuard, Entry, NewSend, Read, StoredConversation, TurnedOver, Turnover,
};
use spillway_service::send_task::SendTask;

use crate::sends::{outbox_key, send};
use crate::{SECOND, Subject, now};

/// The account of [`send`].
fn account() -> AccountId {
    AccountId::new("17841400000000077")
}

fn person() -> RecipientId {
    RecipientId::new("526")
}

/// What is kept once an opening was sent, and after so many messages.
fn state(subject: &dyn Subject, messages: u32) -> State {
    let mut guide: Campaign = serde_json::from_value(serde_json::json!({
        "id": "guide", "keywords": ["guide"], "messages": ["Answer YES"],
    }))
    .unwrap();
    guide.then = serde_json::from_value(serde_json::json!({
        "answer": ["yes"], "deliver": [{ "text": "Here it is!" }],
    }))
    .unwrap();
    let (campaigns, settings) = (Campaigns::new([guide]), Settings::default());
    let at = now(subject);
    let context = Context { campaigns: &campaigns, settings: &settings, now: at, seed: 1 };
    let (campaign, origin) = ("guide".into(), Origin::new("1789000001"));
    let (begun_by, keyword) = (BegunBy::Comment, Some("guide".into()));
    let opening = Event::OpeningSent { campaign, origin, begun_by, keyword, at };
    let mut state = step(&State::default(), &opening, &context).state;
    for n in 0..messages {
        let id = format!("mid.{n}");
        let event = Event::Message { id, text: "hello".into(), at: at - (600 - n) * SECOND };
        state = step(&state, &event, &context).state;
    }
    state
}

async fn load(subject: &dyn Subject) -> StoredConversation {
    subject.ports().conversations.load(&account(), &person(), Read::Consistent).await.unwrap()
}

async fn turn_over(
    subject: &dyn Subject,
    version: u64,
    next: &State,
    new: &[NewSend],
    cause: Option<(&SendTask, Cause<'_>)>,
) -> TurnedOver {
    let (account, person) = (account(), person());
    let cause = cause.map(|(task, cause)| (task, cause, now(subject).into()));
    let turnover = Turnover { account: &account, person: &person, version, next, new, cause };
    subject.ports().conversations.turn_over(turnover).await.unwrap()
}

/// A send that a batch lists, and that is not recorded.
async fn listed(subject: &dyn Subject, send: PendingSend) -> NewSend {
    let outbox_key = outbox_key(&send, 1);
    let batch = OutboxBatch::new(&send, outbox_key.clone(), now(subject));
    subject.ports().sends.put_batches(&[batch]).await.unwrap();
    NewSend { outbox_key, send, answered: None }
}

async fn entry(subject: &dyn Subject, new: &NewSend) -> Entry {
    let ids = std::slice::from_ref(&new.send.id);
    let mut found = subject.ports().sends.entries(ids, Read::Consistent).await.unwrap();
    found.remove(0)
}

fn waits(new: &NewSend) -> Entry {
    Entry::Waiting(new.outbox_key.clone(), Box::new(new.send.clone()))
}

fn sent() -> Outcome {
    Outcome::Sent { recipient: Some(person()), message: None, variant: None }
}

/// Nothing is kept of anybody before; then it is what was written last, at its version.
pub async fn a_conversation_is_written_on_its_version_alone(subject: &dyn Subject) {
    assert_eq!(load(subject).await, StoredConversation::default());
    let (first, second) = (state(subject, 0), state(subject, 2));
    assert_eq!(turn_over(subject, 1, &first, &[], None).await, TurnedOver::Conflict);
    assert_eq!(turn_over(subject, 0, &first, &[], None).await, TurnedOver::Done);
    assert_eq!(load(subject).await, StoredConversation { state: first.clone(), version: 1 });
    assert_eq!(turn_over(subject, 0, &second, &[], None).await, TurnedOver::Conflict);
    assert_eq!(turn_over(subject, 1, &second, &[], None).await, TurnedOver::Done);
    assert_eq!(load(subject).await, StoredConversation { state: second, version: 2 });
    let of_another =
        subject.ports().conversations.load(&account(), &"527".into(), Read::Consistent).await;
    assert_eq!(of_another.unwrap().version, 0);
}

/// The state, the end of a send, and the sends that follow are written together or not at all.
pub async fn what_follows_is_written_with_the_state(subject: &dyn Subject) {
    let (opening, others) =
        (listed(subject, send(subject, 1)).await, listed(subject, send(subject, 4)).await);
    let recorded = [opening.clone(), others.clone()];
    subject.ports().sends.record(&recorded).await;
    let new = [listed(subject, send(subject, 2)).await, listed(subject, send(subject, 3)).await];
    let task = SendTask::new(&opening.send, opening.outbox_key.clone());
    let stale = SendTask { epoch: 7, ..task.clone() };
    let (next, sent) = (state(subject, 1), sent());
    let end = |guard| Cause::End(&sent, guard);
    let turned = turn_over(subject, 0, &next, &new, Some((&stale, end(EndGuard::SameEpoch)))).await;
    assert_eq!(turned, TurnedOver::MovedOn);
    let turned = turn_over(subject, 3, &next, &new, Some((&task, end(EndGuard::AnyEpoch)))).await;
    assert_eq!(turned, TurnedOver::Conflict);
    assert_eq!(load(subject).await.version, 0);
    assert_eq!(entry(subject, &opening).await, waits(&opening));
    assert_eq!(entry(subject, &new[0]).await, Entry::Missing);
    let turned = turn_over(subject, 0, &next, &new, Some((&stale, end(EndGuard::AnyEpoch)))).await;
    assert_eq!(turned, TurnedOver::Done);
    assert_eq!(load(subject).await, StoredConversation { state: next.clone(), version: 1 });
    assert_eq!(entry(subject, &opening).await, Entry::Ended(opening.outbox_key.clone()));
    assert_eq!(entry(subject, &new[0]).await, waits(&new[0]));
    assert_eq!(entry(subject, &new[1]).await, waits(&new[1]));
    // It has ended, and nothing follows from it again.
    let turned = turn_over(subject, 1, &next, &[], Some((&task, end(EndGuard::AnyEpoch)))).await;
    assert_eq!(turned, TurnedOver::MovedOn);
    // What has an entry keeps it, and the rest is written.
    let elsewhere = NewSend { outbox_key: outbox_key(&new[0].send, 9), ..new[0].clone() };
    let more = [elsewhere, listed(subject, send(subject, 5)).await];
    let task = SendTask::new(&others.send, others.outbox_key.clone());
    let turned = turn_over(subject, 1, &next, &more, Some((&task, end(EndGuard::SameEpoch)))).await;
    assert_eq!(turned, TurnedOver::Done);
    assert_eq!(load(subject).await.version, 2);
    assert_eq!(entry(subject, &new[0]).await, waits(&new[0]));
    assert_eq!(entry(subject, &more[1]).await, waits(&more[1]));
    assert_eq!(entry(subject, &others).await, Entry::Ended(others.outbox_key));
}

/// A message is chosen at a gate together with the state, and stays chosen.
pub async fn a_message_is_chosen_with_the_state(subject: &dyn Subject) {
    let origin = Origin::new("1789000001");
    let mut gate = send(subject, 1);
    gate.content.step = CampaignStep::Gate;
    gate.turn = Some(Turn { origin, nth: 3, begun_at: now(subject) });
    let gate = listed(subject, gate).await;
    subject.ports().sends.record(std::slice::from_ref(&gate)).await;
    assert_eq!(entry(subject, &gate).await, waits(&gate));
    let task = SendTask::new(&gate.send, gate.outbox_key.clone());
    let lease_until = now(subject) + 30 * SECOND;
    let chosen = Step::Chosen { step: Message::Deliver(1), nth: 5, lease_until };
    let stale = SendTask { epoch: 7, ..task.clone() };
    let next = state(subject, 0);
    let turned = turn_over(subject, 0, &next, &[], Some((&stale, Cause::Step(chosen)))).await;
    assert_eq!(turned, TurnedOver::MovedOn);
    let turned = turn_over(subject, 0, &next, &[], Some((&task, Cause::Step(chosen)))).await;
    assert_eq!(turned, TurnedOver::Done);
    let after = gate.send.after(chosen);
    assert_eq!(after.content.step, CampaignStep::Then(Message::Deliver(1)));
    assert_eq!(after.turn.unwrap().nth, 5);
    let stands = NewSend { send: after.clone(), ..gate.clone() };
    assert_eq!(entry(subject, &gate).await, waits(&stands));
    let claim = Step::Claim { lease_until };
    let task = task.renewed(&after);
    let claimed = subject.ports().sends.step(&task, claim, now(subject).into()).await.unwrap();
    assert_eq!(claimed, Some(after.after(claim)));
}

/// People are listed in the order of their ids, some at a time, and can be forgotten.
pub async fn conversations_are_listed_and_deleted(subject: &dyn Subject) {
    let conversations = &subject.ports().conversations;
    let (account, next) = (account(), state(subject, 1));
    for name in ["528", "526", "527"] {
        let person = RecipientId::new(name);
        let turnover = Turnover {
            account: &account,
            person: &person,
            version: 0,
            next: &next,
            new: &[],
            cause: None,
        };
        conversations.turn_over(turnover).await.unwrap();
    }
    let list = async |limit| {
        let listed = conversations.people(&account, limit).await.unwrap();
        listed.iter().map(RecipientId::to_string).collect::<Vec<_>>()
    };
    assert_eq!(list(2).await, ["526", "527"]);
    let page = async |after: Option<&str>| {
        let after = after.map(RecipientId::from);
        let page = conversations.page(&account, after.as_ref(), 2).await.unwrap();
        assert!(page.iter().all(|(_, kept)| *kept == next));
        page.iter().map(|(person, _)| person.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, ["526", "527"]);
    assert_eq!(page(Some("527")).await, ["528"]);
    assert!(page(Some("528")).await.is_empty());
    conversations.delete(&account, &"527".into()).await.unwrap();
    conversations.delete(&account, &"527".into()).await.unwrap();
    assert_eq!(list(9).await, ["526", "528"]);
    let other = conversations.people(&"17841400000000078".into(), 9).await.unwrap();
    assert_eq!(other, []);
}

/// Ten times, with two events that race.
pub async fn of_turnovers_that_race_one_is_done(subject: &dyn Subject) {
    for version in 0..10u32 {
        let (one, other) = (state(subject, version), state(subject, version + 1));
        let both = futures::join!(
            turn_over(subject, version.into(), &one, &[], None),
            turn_over(subject, version.into(), &other, &[], None),
        );
        let next = match both {
            (TurnedOver::Done, TurnedOver::Conflict) => one,
            (TurnedOver::Conflict, TurnedOver::Done) => other,
            both => panic!("{both:?}"),
        };
        assert_eq!(
            load(subject).await,
            StoredConversation { state: next, version: u64::from(version) + 1 }
        );
    }
}
