//! Sends: the batches that list them, their entries, and the steps between.

use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::join_all;
use spillway_core::campaign::Overflow;
use spillway_core::id::{AccountId, CampaignId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::once::{Answers, Nth, ONCE_FOR, Once, OncePer, Told};
use spillway_core::send::{
    Address, CancelReason, Class, Content, Earlier, Outcome, PendingSend, Stage, StandIn, Step,
};
use spillway_core::time::Timestamp;
use spillway_core::unknown::UnknownAttempt;
use spillway_service::outbox_batch::{OutboxBatch, Slot};
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{Closed, EndGuard, Entry, Lookup, NewSend, Person, Read, Recorded};
use spillway_service::send_task::SendTask;

use crate::{SECOND, Subject, eventually, now};

fn account() -> AccountId {
    AccountId::new("17841400000000077")
}

/// The `n`th send.
pub(crate) fn send(subject: &dyn Subject, n: u32) -> PendingSend {
    let event = format!("1789{n:06}");
    PendingSend {
        id: SendId { account: account(), key: event.as_str().into() },
        class: Class::PRIVATE_REPLY,
        content: Content::opening("guide"),
        to: Address::Comment { id: event.as_str().into(), author: Some("526".into()) },
        order: Overflow::OldestFirst,
        media: Some("179".into()),
        username: Some("ñandú \"🦤\"\\".into()),
        keyword: None,
        turn: None,
        matched_at: now(subject),
        not_before: None,
        deadline: now(subject) + (3600 + n % 50) * SECOND,
        stage: Stage::Parked,
        epoch: 0,
        attempt: 0,
        failures: 0,
        earlier: Earlier::NotSent,
        repeats: 0,
        made_at: None,
        stand_in: None,
        is_cleared: false,
    }
}

/// One of its keys.
pub(crate) fn outbox_key(send: &PendingSend, nonce: u64) -> OutboxKey {
    OutboxKey::new(send, nonce)
}

/// A batch that lists it alone, at that outbox key.
fn batch(subject: &dyn Subject, send: &PendingSend, nonce: u64) -> OutboxBatch {
    OutboxBatch::new(send, outbox_key(send, nonce), now(subject) + SECOND)
}

/// The entry of a send that waits.
fn waits(outbox_key: &OutboxKey, send: &PendingSend) -> Entry {
    Entry::Waiting(outbox_key.clone(), Box::new(send.clone()))
}

/// The batch with the next version, as its reader writes it.
fn next(batch: &OutboxBatch) -> OutboxBatch {
    OutboxBatch { version: batch.version + 1, ..batch.clone() }
}

/// The batch with a slot for its first line.
fn slotted(batch: &OutboxBatch, slot: Slot) -> OutboxBatch {
    let mut next = next(batch);
    next.lines[0].slot = Some(slot);
    next
}

struct Case<'a> {
    subject: &'a dyn Subject,
    /// Ends so far: each has an instant of its own.
    ends: AtomicU32,
}

impl<'a> Case<'a> {
    fn new(subject: &'a dyn Subject) -> Self {
        Self { subject, ends: AtomicU32::new(0) }
    }
}

impl Case<'_> {
    async fn record(&self, sends: &[(OutboxKey, PendingSend)]) -> Vec<Recorded> {
        let new = |(outbox_key, send): &(OutboxKey, PendingSend)| NewSend {
            outbox_key: outbox_key.clone(),
            send: send.clone(),
            answered: None,
        };
        let new: Vec<NewSend> = sends.iter().map(new).collect();
        let recorded = self.subject.ports().sends.record(&new).await;
        recorded.into_iter().map(Result::unwrap).collect()
    }

    /// Records the `n`th send at its first outbox key.
    async fn recorded(&self, n: u32) -> (OutboxKey, PendingSend) {
        let send = send(self.subject, n);
        let recorded = (outbox_key(&send, 1), send);
        self.put(&[batch(self.subject, &recorded.1, 1)]).await;
        assert_eq!(self.record(std::slice::from_ref(&recorded)).await, [Recorded::New]);
        recorded
    }

    async fn entry(&self, send: &PendingSend) -> Entry {
        let ids = std::slice::from_ref(&send.id);
        let [entry] = self
            .subject
            .ports()
            .sends
            .entries(ids, Read::Consistent)
            .await
            .unwrap()
            .try_into()
            .unwrap();
        entry
    }

    async fn put(&self, batches: &[OutboxBatch]) {
        self.subject.ports().sends.put_batches(batches).await.unwrap();
    }

    /// All batches, by outbox key.
    async fn batches(&self) -> Vec<OutboxBatch> {
        self.subject.ports().sends.batches(&account(), None, 100_000).await.unwrap()
    }

    async fn rewrite(&self, next: &OutboxBatch) -> bool {
        self.subject.ports().sends.rewrite(next).await.unwrap()
    }

    async fn step(&self, task: &SendTask, step: Step) -> Option<PendingSend> {
        self.subject.ports().sends.step(task, step, now(self.subject).into()).await.unwrap()
    }

    async fn finish(&self, task: &SendTask) {
        let outcome = Outcome::Sent {
            recipient: Some("526".into()),
            message: Some("mid".into()),
            variant: Some(2),
        };
        self.subject.ports().sends.finish(task, &outcome, self.end().into()).await.unwrap();
    }

    async fn finish_unclaimed(&self, task: &SendTask) -> bool {
        let outcome = Outcome::Cancelled { reason: CancelReason::AccountRemoved };
        let sends = &self.subject.ports().sends;
        sends.finish_unclaimed(task, &outcome, self.end()).await.unwrap()
    }

    fn end(&self) -> Timestamp {
        now(self.subject) + self.ends.fetch_add(1, Ordering::Relaxed) * SECOND
    }

    fn claim(&self) -> Step {
        Step::Claim { lease_until: now(self.subject) + 30 * SECOND }
    }
}

/// The `n`th send, with everything else than [`send`] has it.
fn bare(subject: &dyn Subject, n: u32) -> PendingSend {
    PendingSend {
        to: Address::Person("527".into()),
        media: None,
        username: None,
        keyword: Some("guía".into()),
        stage: Stage::Queued { due: now(subject) },
        class: Class::ANSWER,
        order: Overflow::NewestFirst,
        not_before: Some(now(subject) + SECOND),
        ..send(subject, n)
    }
}

/// And everything of it is read back.
pub async fn a_recorded_send_has_an_entry_that_holds_it(subject: &dyn Subject) {
    let case = Case::new(subject);
    let sends = &subject.ports().sends;
    assert_eq!(case.record(&[]).await, []);
    let never = send(subject, 99);
    assert_eq!(case.entry(&never).await, Entry::Missing);
    let recorded: Vec<_> = [send(subject, 1), bare(subject, 2)]
        .into_iter()
        .map(|send| (outbox_key(&send, 1), send))
        .collect();
    assert_eq!(case.record(&recorded).await, [Recorded::New, Recorded::New]);
    for (outbox_key, send) in &recorded {
        assert_eq!(case.entry(send).await, waits(outbox_key, send));
    }
    let events: Vec<OnceKey> = [1, 2, 99].map(|n| send(subject, n).id.key).to_vec();
    let known = eventually(subject, "the lookup", async || {
        let known = sends.look_up(&account(), &events, &[], Read::Eventual).await.unwrap().keys;
        (known.len() == 2).then_some(known)
    })
    .await;
    assert!(known.contains(&events[0]) && known.contains(&events[1]));
    let other = AccountId::new("17841400000000078");
    let of_other = sends.look_up(&other, &events, &[], Read::Consistent).await.unwrap();
    assert_eq!(of_other, Lookup::default(), "of another account");
}

/// Only the outbox key tells who recorded it.
pub async fn recording_again_is_right_and_another_place_is_a_duplicate(subject: &dyn Subject) {
    let case = Case::new(subject);
    let (first, send) = case.recorded(1).await;
    let again = [(first.clone(), send.clone())];
    assert_eq!(case.record(&again).await, [Recorded::New], "its own write, tried again");
    let other = [(outbox_key(&send, 2), send.clone())];
    assert_eq!(case.record(&other).await, [Recorded::Duplicate]);
    assert_eq!(case.entry(&send).await, waits(&first, &send));
    let claimed = case.step(&SendTask::new(&send, first.clone()), case.claim()).await.unwrap();
    assert_eq!(case.record(&again).await, [Recorded::New], "the same, long after");
    assert_eq!(case.entry(&send).await, waits(&first, &claimed), "it stays where it has come to");
    case.finish(&SendTask::new(&claimed, first.clone())).await;
    assert_eq!(case.record(&other).await, [Recorded::Duplicate], "it has ended");
    assert_eq!(case.record(&again).await, [Recorded::New], "and so it was");
    assert_eq!(case.entry(&send).await, Entry::Ended(first));
}

fn person() -> RecipientId {
    RecipientId::new("526")
}

/// The record of a person after the `n`th send.
fn with(answered: &Answers, nth: Nth, n: u32, at: Timestamp) -> Answers {
    let comment = CommentId::new(format!("1789{n:06}"));
    let campaign = CampaignId::new("guide");
    let told = Told { campaign: &campaign, media: None, event: comment.as_str() };
    answered.with(nth, &told, Once { per: OncePer::Post, span: ONCE_FOR }, at)
}

impl Case<'_> {
    async fn person(&self) -> Option<Person> {
        let people = [person()];
        let sends = &self.subject.ports().sends;
        let lookup = sends.look_up(&account(), &[], &people, Read::Consistent).await.unwrap();
        lookup.people.get(&people[0]).cloned()
    }

    async fn name(&self, before: Option<&Answers>, after: &Answers) -> bool {
        let sends = &self.subject.ports().sends;
        sends.replace_answered(&account(), &person(), before, after).await.unwrap()
    }
}

/// The first send to a person lies in the item that tells what they were answered, and whoever
/// makes the item first decides.
pub async fn a_persons_item_is_made_once(subject: &dyn Subject) {
    let (case, now) = (Case::new(subject), now(subject));
    assert_eq!(case.person().await, None);
    let first = PendingSend {
        id: SendId { account: account(), key: OnceKey::person(&person()) },
        ..send(subject, 1)
    };
    let answered = with(&Answers::default(), Nth::First, 1, now);
    let new = |nonce| NewSend {
        outbox_key: outbox_key(&first, nonce),
        send: first.clone(),
        answered: Some(answered.clone()),
    };
    let record = async |nonce| subject.ports().sends.record(&[new(nonce)]).await.remove(0).unwrap();
    case.put(&[batch(subject, &first, 1)]).await;
    assert_eq!(record(1).await, Recorded::New);
    assert_eq!(record(1).await, Recorded::New, "its own write, tried again");
    assert_eq!(record(2).await, Recorded::Duplicate);
    let known = case.person().await.unwrap();
    assert_eq!(known.answered, answered);
    assert_eq!(known.first, waits(&outbox_key(&first, 1), &first));

    // Of two that name another send one is refused.
    let (one, other) =
        (with(&answered, Nth::Later(1), 2, now), with(&answered, Nth::Later(1), 3, now));
    assert!(!case.name(None, &one).await, "there is an item");
    assert!(case.name(Some(&answered), &one).await);
    assert!(!case.name(Some(&answered), &other).await);
    assert_eq!(case.person().await.unwrap().answered, one);

    // What the send goes through leaves it.
    let task = SendTask::new(&first, outbox_key(&first, 1));
    let claimed = case.step(&task, case.claim()).await.unwrap();
    case.finish(&task.renewed(&claimed)).await;
    let known = case.person().await.unwrap();
    assert_eq!((known.answered, known.first), (one, Entry::Ended(outbox_key(&first, 1))));
}

/// And no send that comes later takes it for its own.
pub async fn a_persons_item_may_hold_no_send(subject: &dyn Subject) {
    let (case, now) = (Case::new(subject), now(subject));
    let answered = with(&Answers::default(), Nth::Comment, 1, now);
    assert!(case.name(None, &answered).await);
    assert!(!case.name(None, &answered).await, "once");
    let known = case.person().await.unwrap();
    assert_eq!((known.answered, known.first), (answered.clone(), Entry::Missing));
    let first = PendingSend {
        id: SendId { account: account(), key: OnceKey::person(&person()) },
        ..send(subject, 1)
    };
    assert_eq!(case.entry(&first).await, Entry::Missing);
    let answered = with(&Answers::default(), Nth::First, 1, now);
    let outbox_key = outbox_key(&first, 1);
    let new = NewSend { outbox_key, send: first.clone(), answered: Some(answered) };
    let recorded = subject.ports().sends.record(&[new]).await.remove(0).unwrap();
    assert_eq!(recorded, Recorded::Duplicate);
    assert_eq!(case.entry(&first).await, Entry::Missing);
}

/// The newest comment is noted while the send waits, and takes the first one's place once.
pub async fn a_newer_comment_stands_in(subject: &dyn Subject) {
    let case = Case::new(subject);
    let (outbox_key, first) = case.recorded(1).await;
    let newer = |n: u32| StandIn {
        comment: CommentId::new(format!("1788{n:06}")),
        deadline: first.deadline + n * SECOND,
    };
    let note = async |stand_in: StandIn| {
        let expires_at = first.deadline + 864_000 * SECOND;
        subject.ports().sends.put_stand_in(&first.id, &stand_in, expires_at).await.unwrap();
    };
    note(newer(5)).await;
    note(newer(3)).await;
    let noted = PendingSend { stand_in: Some(newer(5)), ..first.clone() };
    assert_eq!(case.entry(&first).await, waits(&outbox_key, &noted));
    let task = SendTask::new(&first, outbox_key.clone());
    let claim = case.claim();
    let claimed = case.step(&task, claim).await.unwrap();
    assert_eq!(claimed, noted.after(claim));
    note(newer(7)).await;
    let replaced = Step::Replaced(Stage::Parked);
    let task = task.renewed(&claimed);
    let next = case.step(&task, replaced).await.unwrap();
    assert_eq!(next.to, Address::Comment { id: newer(7).comment, author: Some("526".into()) });
    assert_eq!((next.stand_in.clone(), next.deadline), (None, newer(7).deadline));
    assert_eq!(case.entry(&first).await, waits(&outbox_key, &next));
    case.finish(&task.renewed(&next)).await;
    note(newer(9)).await;
    assert_eq!(case.entry(&first).await, Entry::Ended(outbox_key), "it has ended");
    let stored = subject.ports().ledger.find(&first.id).await.unwrap().unwrap();
    assert_eq!(stored.comment, Some(newer(7).comment));
}

/// Twenty deliveries of the same three comments.
pub async fn of_webhooks_that_race_one_records(subject: &dyn Subject) {
    let case = Case::new(subject);
    let delivery = |nonce| {
        (1..=3).map(|n| send(subject, n)).map(|send| (outbox_key(&send, nonce), send)).collect()
    };
    let deliveries: Vec<Vec<(OutboxKey, PendingSend)>> = (0..20).map(delivery).collect();
    let answers = join_all(deliveries.iter().map(|delivery| case.record(delivery))).await;
    let recorded: Vec<_> = deliveries
        .into_iter()
        .flatten()
        .zip(answers.into_iter().flatten())
        .filter(|(_, answer)| *answer == Recorded::New)
        .map(|(send, _)| send)
        .collect();
    assert_eq!(recorded.len(), 3);
    for (outbox_key, send) in recorded {
        assert_eq!(case.entry(&send).await, waits(&outbox_key, &send));
    }
}

/// More than a batch takes, and each answer stands where it was asked for.
pub async fn many_are_recorded_and_looked_up_at_once(subject: &dyn Subject) {
    let case = Case::new(subject);
    let all: Vec<_> =
        (0..130).map(|n| send(subject, n)).map(|send| (outbox_key(&send, 1), send)).collect();
    // The same event twice in one recording: whichever lives, one does.
    let twin = (outbox_key(&all[7].1, 2), all[7].1.clone());
    let both: Vec<_> = all.iter().cloned().chain([twin]).collect();
    let answers = case.record(&both).await;
    assert_eq!(answers.len(), 131);
    assert_eq!(answers.iter().filter(|answer| **answer == Recorded::Duplicate).count(), 1);
    assert!(answers[7] != answers[130]);
    let lives = if answers[7] == Recorded::New { &both[7] } else { &both[130] };

    let mut ids: Vec<SendId> = both.iter().map(|(_, send)| send.id.clone()).collect();
    ids.insert(50, send(subject, 999).id);
    let entries = subject.ports().sends.entries(&ids, Read::Consistent).await.unwrap();
    assert_eq!(entries.len(), 132);
    assert_eq!(entries[50], Entry::Missing);
    assert_eq!(entries[7], waits(&lives.0, &lives.1));
    assert_eq!(entries[131], entries[7]);
    assert_eq!(entries[0], waits(&both[0].0, &both[0].1));
    assert_eq!(entries[130], waits(&both[129].0, &both[129].1));
    let lagging = eventually(subject, "the older state", async || {
        let entries = subject.ports().sends.entries(&ids, Read::Eventual).await.unwrap();
        entries
            .iter()
            .enumerate()
            .all(|(at, e)| (at == 50) == (*e == Entry::Missing))
            .then_some(entries)
    })
    .await;
    assert_eq!(lagging, entries);
}

/// What a step gives is what the core says it does, and so is what is read then.
pub async fn steps_are_taken_at_the_tickets_place_and_epoch_alone(subject: &dyn Subject) {
    let case = Case::new(subject);
    let (outbox_key, mut stands) = case.recorded(1).await;
    let due = now(subject) + 30 * SECOND;
    for step in [
        Step::To(Stage::Queued { due }),
        case.claim(),
        Step::Failed(Stage::Queued { due }),
        case.claim(),
        Step::Lost(Stage::Parked),
        Step::To(Stage::Queued { due: due + SECOND }),
        case.claim(),
        Step::Dated { made_at: due, lease_until: due + SECOND },
        Step::Unknown(UnknownAttempt::new(due)),
        Step::Looked { look_at: due + SECOND, absent_at: None },
        Step::Looked { look_at: due + 2 * SECOND, absent_at: Some(due) },
        Step::Looked { look_at: due + 3 * SECOND, absent_at: None },
        Step::Repeated(Stage::Parked),
        case.claim(),
        Step::Unknown(UnknownAttempt::new(due + SECOND)),
        Step::Repeated(Stage::Queued { due }),
    ] {
        let task = SendTask::new(&stands, outbox_key.clone());
        let elsewhere = SendTask { outbox_key: self::outbox_key(&stands, 2), ..task.clone() };
        assert_eq!(case.step(&elsewhere, step).await, None, "{step:?} of another recording");
        let after = stands.after(step);
        assert_eq!(case.step(&task, step).await, Some(after.clone()), "{step:?}");
        assert_eq!(case.entry(&stands).await, waits(&outbox_key, &after));
        assert_eq!(case.step(&task, step).await, None, "{step:?} again");
        let ahead = SendTask { epoch: after.epoch + 1, ..task };
        assert_eq!(case.step(&ahead, step).await, None, "{step:?} from the future");
        stands = after;
    }
    let nobodys = send(subject, 2);
    let task = SendTask::new(&nobodys, self::outbox_key(&nobodys, 1));
    assert_eq!(case.step(&task, case.claim()).await, None, "it was never recorded");
    assert_eq!(case.entry(&nobodys).await, Entry::Missing, "a step makes nothing");
    let task = SendTask::new(&stands, outbox_key.clone());
    case.finish(&task).await;
    assert_eq!(case.step(&task, Step::To(Stage::Parked)).await, None, "it has ended");
    assert_eq!(case.entry(&stands).await, Entry::Ended(outbox_key));
}

/// Fifty at once.
pub async fn of_claims_that_race_one_is_taken(subject: &dyn Subject) {
    let case = Case::new(subject);
    let (outbox_key, mut stands) = case.recorded(1).await;
    for _ in 0..4 {
        let task = SendTask::new(&stands, outbox_key.clone());
        let claim = case.claim();
        let claims = join_all((0..50).map(|_| case.step(&task, claim))).await;
        let taken: Vec<_> = claims.into_iter().flatten().collect();
        assert_eq!(taken, [stands.after(claim)]);
        stands = taken[0].clone();
    }
}

/// Another's outbox key is no reason to end it; an older epoch is no reason not to.
pub async fn a_claimed_send_ends_at_its_place_wherever_it_has_come_to(subject: &dyn Subject) {
    let case = Case::new(subject);
    let (first, send) = case.recorded(1).await;
    let task = SendTask::new(&send, first.clone());
    let claimed = case.step(&task, case.claim()).await.unwrap();
    let parked = case.step(&task.renewed(&claimed), Step::To(Stage::Parked)).await.unwrap();
    case.finish(&SendTask { outbox_key: outbox_key(&send, 2), ..task.renewed(&parked) }).await;
    assert_eq!(case.entry(&send).await, waits(&first, &parked));
    for _ in 0..2 {
        case.finish(&task.renewed(&claimed)).await;
        assert_eq!(case.entry(&send).await, Entry::Ended(first.clone()));
    }
    assert_eq!(case.step(&task.renewed(&parked), case.claim()).await, None);
    let never = SendTask::new(&self::send(subject, 2), outbox_key(&self::send(subject, 2), 1));
    case.finish(&never).await;
    assert_eq!(case.entry(&self::send(subject, 2)).await, Entry::Missing, "an end makes nothing");
}

/// An echo ends a send wherever it stands, once; one that had ended otherwise counts as sent, and
/// names nobody.
pub async fn an_echo_ends_a_send_wherever_it_stands(subject: &dyn Subject) {
    let case = Case::new(subject);
    let sends = &subject.ports().sends;
    let outcome = Outcome::Sent {
        recipient: Some("526".into()),
        message: Some("m".into()),
        variant: Some(1),
    };
    let close =
        async |send: &PendingSend| sends.close(&send.id, &outcome, now(subject)).await.unwrap();
    let (place, parked) = case.recorded(1).await;
    let (_, claimed) = case.recorded(2).await;
    let task = SendTask::new(&claimed, outbox_key(&claimed, 1));
    let claimed = case.step(&task, case.claim()).await.unwrap();
    let attempt = Step::Unknown(UnknownAttempt::new(now(subject)));
    let unknown = case.step(&task.renewed(&claimed), attempt).await.unwrap();
    let (third, cancelled) = case.recorded(3).await;
    assert!(case.finish_unclaimed(&SendTask::new(&cancelled, third.clone())).await);
    let never = self::send(subject, 4);
    let all = [&parked, &unknown, &cancelled, &never].map(|send| send.id.clone());
    let unsent = eventually(subject, "all but what is not there", async || {
        let unsent = sends.unsent(&all).await.unwrap();
        (unsent.len() == 3).then_some(unsent)
    });
    assert_eq!(unsent.await, all[..3]);
    assert!(!sends.sent_as(&all, "m").await.unwrap(), "none is sent yet");
    for (send, closed) in
        [(&parked, Closed::Ended), (&unknown, Closed::Ended), (&cancelled, Closed::Corrected)]
    {
        assert_eq!(close(send).await, closed);
        assert_eq!(close(send).await, Closed::Known, "again");
    }
    assert_eq!(close(&never).await, Closed::Known);
    assert_eq!(case.entry(&never).await, Entry::Missing, "an echo makes nothing");
    assert!(sends.sent_as(&all, "m").await.unwrap());
    assert!(!sends.sent_as(&all, "another").await.unwrap());
    assert!(!sends.sent_as(&all[2..], "m").await.unwrap(), "what had ended names no message");
    assert_eq!(case.entry(&parked).await, Entry::Ended(place));
    assert_eq!(case.entry(&cancelled).await, Entry::Ended(third));
    // The sender's own outcome comes too late, and its step.
    let task = task.renewed(&unknown);
    assert!(!sends.finish(&task, &outcome, now(subject).into()).await.unwrap());
    assert_eq!(case.step(&task, Step::Repeated(Stage::Parked)).await, None);
    eventually(subject, "all have ended as sent", async || {
        sends.unsent(&all).await.unwrap().is_empty().then_some(())
    })
    .await;
}

/// And at its outbox key.
pub async fn an_unclaimed_send_ends_at_its_epoch_or_not_at_all(subject: &dyn Subject) {
    let case = Case::new(subject);
    let (first, send) = case.recorded(1).await;
    let task = SendTask::new(&send, first.clone());
    assert!(!case.finish_unclaimed(&SendTask { epoch: 1, ..task.clone() }).await);
    let elsewhere = SendTask { outbox_key: outbox_key(&send, 2), ..task.clone() };
    assert!(!case.finish_unclaimed(&elsewhere).await);
    assert_eq!(case.entry(&send).await, waits(&first, &send));
    assert!(case.finish_unclaimed(&task).await);
    assert_eq!(case.entry(&send).await, Entry::Ended(first));
    assert!(!case.finish_unclaimed(&task).await, "it has ended");
    let never = self::send(subject, 2);
    assert!(!case.finish_unclaimed(&SendTask::new(&never, outbox_key(&never, 1))).await);
    assert_eq!(case.entry(&never).await, Entry::Missing, "an end makes nothing");
}

/// What follows from an end is recorded with it, or neither is; and once.
pub async fn what_follows_from_an_end_is_recorded_with_it(subject: &dyn Subject) {
    let case = Case::new(subject);
    let sends = &subject.ports().sends;
    let sent = Outcome::Sent { recipient: None, message: None, variant: None };
    let follower = async |n: u32, nonce: u64| {
        let reply = self::send(subject, n);
        case.put(&[batch(subject, &reply, nonce)]).await;
        NewSend { outbox_key: outbox_key(&reply, nonce), send: reply, answered: None }
    };
    let finish = async |task: &SendTask, guard: EndGuard, follower: &NewSend| {
        let note = case.end().into();
        sends.finish_followed(task, &sent, note, guard, follower).await.unwrap()
    };
    let (first, send) = case.recorded(1).await;
    let task = SendTask::new(&send, first.clone());
    let reply = follower(101, 1).await;
    let stale = SendTask { epoch: 7, ..task.clone() };
    let elsewhere = SendTask { outbox_key: outbox_key(&send, 2), ..task.clone() };
    assert!(!finish(&stale, EndGuard::SameEpoch, &reply).await);
    assert!(!finish(&elsewhere, EndGuard::AnyEpoch, &reply).await);
    assert_eq!(case.entry(&send).await, waits(&first, &send));
    assert_eq!(case.entry(&reply.send).await, Entry::Missing, "nothing follows from no end");
    assert!(finish(&stale, EndGuard::AnyEpoch, &reply).await);
    assert_eq!(case.entry(&send).await, Entry::Ended(first));
    assert_eq!(case.entry(&reply.send).await, waits(&reply.outbox_key, &reply.send));
    let again = follower(102, 1).await;
    assert!(!finish(&task, EndGuard::AnyEpoch, &again).await, "it has ended");
    assert_eq!(case.entry(&again.send).await, Entry::Missing);
    // What follows has its entry: the send ends, and the entry stays.
    let (second, send) = case.recorded(2).await;
    let task = SendTask::new(&send, second.clone());
    let twice = NewSend { outbox_key: outbox_key(&reply.send, 9), ..reply.clone() };
    assert!(finish(&task, EndGuard::SameEpoch, &twice).await);
    assert_eq!(case.entry(&send).await, Entry::Ended(second));
    assert_eq!(case.entry(&reply.send).await, waits(&reply.outbox_key, &reply.send));
}

/// Ten times, with two who end it.
pub async fn of_an_end_and_a_claim_that_race_one_is_taken(subject: &dyn Subject) {
    let case = Case::new(subject);
    for n in 0..10 {
        let (outbox_key, send) = case.recorded(n).await;
        let task = SendTask::new(&send, outbox_key.clone());
        let (one, claimed, other) = futures::join!(
            case.finish_unclaimed(&task),
            case.step(&task, case.claim()),
            case.finish_unclaimed(&task),
        );
        match (one || other, claimed) {
            (true, None) => assert_eq!(case.entry(&send).await, Entry::Ended(outbox_key)),
            (false, Some(claimed)) => {
                assert_eq!(case.entry(&send).await, waits(&outbox_key, &claimed))
            }
            both => panic!("{both:?}"),
        }
        assert!(!(one && other), "ended twice");
    }
}

/// More than a batch takes; everything of them is read back, in the order of their keys, and
/// nothing of another account's.
pub async fn batches_are_read_as_they_were_written(subject: &dyn Subject) {
    let case = Case::new(subject);
    case.put(&[]).await;
    assert_eq!(case.batches().await, []);
    let mut nonce = 0;
    let mut batch_up = |sends: Vec<PendingSend>| {
        let batches = OutboxBatch::of(sends, now(subject) + SECOND, || {
            nonce += 1;
            nonce
        });
        batches.into_iter().map(|(batch, _)| batch)
    };
    let queued = |n| {
        let due = now(subject) + n * SECOND;
        PendingSend { stage: Stage::Queued { due }, epoch: n, ..send(subject, n) }
    };
    let inbound = (0..50).map(|n| if n % 3 == 0 { send(subject, n) } else { queued(n) });
    let mut all: Vec<OutboxBatch> = batch_up(inbound.collect()).collect();
    all.extend(batch_up((50..90).rev().map(|n| bare(subject, n)).collect()));
    for n in 100..140 {
        all.extend(batch_up(vec![send(subject, n)]));
    }
    all.sort_by(|a, b| a.outbox_key.cmp(&b.outbox_key));
    case.put(&all).await;
    assert!(all.len() > 25, "more than a batch takes");
    assert_eq!(case.batches().await, all);
    for other in ["1784140000000007", "178414000000000770"] {
        let other = AccountId::new(other);
        assert_eq!(subject.ports().sends.batches(&other, None, 7).await.unwrap(), [], "{other}");
    }
}

/// In the order of keys, behind the last one seen, no more than asked for.
pub async fn batches_are_read_some_at_a_time(subject: &dyn Subject) {
    let case = Case::new(subject);
    let sends = &subject.ports().sends;
    let mut all: Vec<OutboxBatch> = (0..90).map(|n| batch(subject, &send(subject, n), 1)).collect();
    case.put(&all).await;
    all.sort_by(|a, b| a.outbox_key.cmp(&b.outbox_key));
    let mut after = None;
    let mut read: Vec<OutboxBatch> = Vec::new();
    loop {
        let some = sends.batches(&account(), after.as_ref(), 7).await.unwrap();
        assert!(some.len() <= 7);
        let is_last = some.len() < 7;
        after = some.last().map(|batch| batch.outbox_key.clone()).or(after);
        read.extend(some);
        if is_last {
            break;
        }
    }
    assert_eq!(read, all);
    // Behind a batch that is gone meanwhile.
    assert!(case.rewrite(&OutboxBatch { lines: Vec::new(), ..next(&all[40]) }).await);
    let some = sends.batches(&account(), Some(&all[40].outbox_key), 3).await.unwrap();
    assert_eq!(some, all[41..44]);
}

/// A store may give less than was asked for in one answer: here 1.5 MB.
pub async fn an_answer_that_is_full_is_not_the_last(subject: &dyn Subject) {
    let case = Case::new(subject);
    let long = || CampaignId::new("n".repeat(6000));
    let batch = |n| {
        batch(subject, &PendingSend { content: Content::opening(long()), ..send(subject, n) }, 1)
    };
    let all: Vec<OutboxBatch> = (0..250).map(batch).collect();
    case.put(&all).await;
    let sends = &subject.ports().sends;
    assert_eq!(sends.batches(&account(), None, 240).await.unwrap().len(), 240);
    assert_eq!(sends.batches(&account(), None, 500).await.unwrap().len(), 250);
}

/// And goes with its last line, for good.
pub async fn a_batch_is_rewritten_on_its_version_alone(subject: &dyn Subject) {
    let case = Case::new(subject);
    let sends = (0..3).map(|n| send(subject, n)).collect();
    let [(first, _)] =
        <[_; 1]>::try_from(OutboxBatch::of(sends, now(subject) + SECOND, || 1)).unwrap();
    let beside = batch(subject, &send(subject, 9), 2);
    case.put(&[first.clone(), beside.clone()]).await;
    let slot = Slot { due: now(subject) + 30 * SECOND, epoch: 4 };
    let second = slotted(&first, slot);
    assert!(!case.rewrite(&next(&second)).await, "from the future");
    assert!(!case.rewrite(&first).await, "from the past");
    assert!(case.rewrite(&second).await);
    assert!(!case.rewrite(&second).await, "again");
    let mut third = next(&second);
    third.lines.remove(1);
    assert_eq!(case.batches().await, [second, beside.clone()]);
    assert!(case.rewrite(&third).await);
    assert_eq!(case.batches().await, [third.clone(), beside.clone()]);

    let gone = |batch: &OutboxBatch| OutboxBatch { lines: Vec::new(), ..next(batch) };
    assert!(!case.rewrite(&gone(&first)).await, "it was rewritten meanwhile");
    assert!(!case.rewrite(&gone(&next(&third))).await, "from the future");
    assert_eq!(case.batches().await, [third.clone(), beside.clone()]);
    assert!(case.rewrite(&gone(&third)).await);
    assert!(!case.rewrite(&next(&third)).await, "it is gone");
    assert!(!case.rewrite(&next(&gone(&third))).await);
    assert_eq!(case.batches().await, [beside]);
}

/// Fifty at once, which give different slots, and then fifty more of which half would remove it.
pub async fn of_rewrites_that_race_one_is_done(subject: &dyn Subject) {
    let case = Case::new(subject);
    let first = batch(subject, &send(subject, 1), 1);
    case.put(std::slice::from_ref(&first)).await;
    let slotted = |batch: &OutboxBatch, n| {
        let slot = Slot { due: now(subject) + n * SECOND, epoch: n };
        slotted(batch, slot)
    };
    let nexts: Vec<OutboxBatch> = (0..50).map(|n| slotted(&first, n)).collect();
    let done = join_all(nexts.iter().map(|next| case.rewrite(next))).await;
    let done: Vec<_> =
        nexts.into_iter().zip(done).filter_map(|(n, done)| done.then_some(n)).collect();
    assert_eq!(done.len(), 1);
    assert_eq!(case.batches().await, done);

    let mut nexts: Vec<OutboxBatch> = (0..50).map(|n| slotted(&done[0], n)).collect();
    for next in nexts.iter_mut().step_by(2) {
        next.lines.clear();
    }
    let answers = join_all(nexts.iter().map(|next| case.rewrite(next))).await;
    let mut done = nexts.into_iter().zip(answers).filter_map(|(n, done)| done.then_some(n));
    let won = done.next().unwrap();
    assert_eq!(done.next(), None);
    let left = if won.lines.is_empty() { Vec::new() } else { vec![won] };
    assert_eq!(case.batches().await, left);
}
