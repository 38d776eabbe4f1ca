//! The release function: parked sends come back in order, and whatever a crash left is made whole.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spillway_cloud::wiring::Wiring;
use spillway_core::content::Message;
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::message::Values;
use spillway_core::once::Answers;
use spillway_core::send::{Address, Outcome, PendingSend, Stage, StandIn, Step};
use spillway_core::time::Timestamp;
use spillway_graph::CallRecord;
use spillway_local::stack::queues;
use spillway_meta::graph::{Answered, Sent};
use spillway_service::ingest::{MessageLane, NewMessage};
use spillway_service::outbox_batch::{OutboxBatch, OutboxLine, Slot};
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{
    Closed, EndGuard, Entry, Lookup, NewSend, Read, Recorded, Sends, StoreError,
};
use spillway_service::release::OVERDUE;
use spillway_service::send_task::SendTask;

use crate::harness::{CREATOR, Said, World, all_said, body, careful, quotas, said};

const HOUR: Duration = Duration::from_secs(3600);

impl World {
    /// The send of a comment, where it waits.
    async fn send_of(&self, said: &Said) -> (OutboxKey, PendingSend) {
        let waiting = self.waiting(CREATOR).await;
        waiting.into_iter().find(|(_, send)| send.id == said.send()).unwrap()
    }

    /// A process takes a step of the send, and dies.
    async fn step(&self, said: &Said, step: Step) -> PendingSend {
        let (outbox_key, send) = self.send_of(said).await;
        let task = SendTask::new(&send, outbox_key);
        self.outside.sends.step(&task, step, self.now().into()).await.unwrap().unwrap()
    }

    /// A process claims the send, and dies.
    async fn claim(&self, said: &Said, lease_until: Timestamp) -> PendingSend {
        self.step(said, Step::Claim { lease_until }).await
    }

    /// A process of an account calls Meta, and dies.
    async fn call(&self, said: &Said) -> Answered<Sent> {
        let id = AccountId::new(CREATOR);
        let account = self.outside.accounts.load(&id).await.unwrap().unwrap();
        self.outside.graph.prepare(&account).await.unwrap();
        let timeout = Duration::from_secs(10);
        let comment = said.id.as_str().into();
        let values = Values { username: said.username.as_deref(), ..Values::default() };
        let text = account.campaigns.iter().next().unwrap().messages[0].fill(values);
        let message = Message::Text(text);
        self.outside.graph.private_reply(&account, &comment, &message, "", timeout).await.unwrap()
    }

    /// The batch of a send that stands so.
    async fn batch_with(&self, is_so: impl Fn(&OutboxLine) -> bool) -> OutboxBatch {
        self.batches(CREATOR)
            .await
            .into_iter()
            .find(|batch| batch.lines.iter().any(&is_so))
            .unwrap()
    }

    /// The events that the batches list.
    async fn listed(&self) -> Vec<OnceKey> {
        let batches = self.batches(CREATOR).await;
        batches.into_iter().flat_map(|batch| batch.lines).map(|line| line.key).collect()
    }

    /// A batch as another delivery of the same comments would have left it, now.
    async fn put_twin(&self, batch: &OutboxBatch) {
        let outbox_key = OutboxKey::from_stored(format!("{}f", batch.outbox_key.as_str()));
        let twin = OutboxBatch { outbox_key, version: 1, written_at: self.now(), ..batch.clone() };
        self.outside.sends.put_batches(&[twin]).await.unwrap();
        self.outside.backlogs.wake(&CREATOR.into(), self.now()).await.unwrap();
    }

    /// When the comments of accepted calls got their DMs.
    fn dms_of(&self, all: &[Said]) -> Vec<Timestamp> {
        let is_of = |comment: &CommentId| all.iter().any(|said| said.id == comment.as_str());
        self.dms().into_iter().filter(|(comment, _)| is_of(comment)).map(|(_, at)| at).collect()
    }

    async fn is_marked(&self) -> bool {
        !self.outside.backlogs.marked().await.unwrap().is_empty()
    }
}

#[tokio::test]
async fn parked_sends_come_back_by_their_deadlines() {
    let mut world = World::start(quotas("20/10m", "1000/24h")).await;
    let now = world.now();
    let all = all_said(1..=70);
    world.observe(&all);
    // The first fill the horizon, the others park; these were notified in another order.
    assert_eq!(world.post(&body(now.as_secs(), &all[..40])).await, 200);
    for (at, hours) in [(40, 3), (50, 5), (60, 1)] {
        let notified = now - hours * HOUR;
        assert_eq!(world.post(&body(notified.as_secs(), &all[at..at + 10])).await, 200);
    }
    let waiting = world.waiting(CREATOR).await;
    let parked: Vec<_> =
        waiting.into_iter().filter(|(_, send)| send.stage == Stage::Parked).collect();
    assert!(parked.len() > 45, "{} parked", parked.len());
    assert!(parked.windows(2).all(|pair| pair[0].1.deadline <= pair[1].1.deadline));
    world.settle().await;
    world.over(70).await;
    world.each_got_one_dm(&all).await;
    let comment = |send: PendingSend| match send.to {
        Address::Comment { id, .. } => id,
        Address::Person(person) => panic!("{person} has not commented"),
    };
    let order: Vec<CommentId> = parked.into_iter().map(|(_, send)| comment(send)).collect();
    let dms = world.dms().into_iter().map(|(comment, _)| comment);
    let came: Vec<_> = dms.filter(|comment| order.contains(comment)).collect();
    assert_eq!(came, order);
}

/// Its webhook died before it made an entry, and Meta does not tell again.
#[tokio::test]
async fn a_page_without_entries_is_left_alone_for_an_hour() {
    let mut world = World::half_recorded(quotas("20/10m", "1000/24h"), &all_said(1..=40)).await;
    assert_eq!(world.listed().await.len(), 40);
    world.pass(HOUR - Duration::from_secs(5)).await;
    assert_eq!(world.listed().await.len(), 40);
    assert!(world.is_marked().await);
    world.pass(HOUR).await;
    assert_eq!(world.batches(CREATOR).await, []);
    world.settle().await;
    world.over(0).await;
    assert_eq!(world.calls(), []);
}

/// And Meta tells again, however late.
#[tokio::test]
async fn what_a_webhook_left_without_entries_is_recorded_by_the_next() {
    for later in [60, 1800, 5000] {
        let all = all_said(1..=40);
        let mut world = World::half_recorded(quotas("20/10m", "1000/24h"), &all).await;
        let told = body(world.now().as_secs(), &all);
        world.pass_secs(later).await;
        assert_eq!(world.calls(), []);
        assert_eq!(world.post(&told).await, 200);
        world.settle().await;
        world.over(40).await;
        world.each_got_one_dm(&all).await;
        assert_eq!(world.calls().len(), 40);
    }
}

/// A crowd's, which is told again: what nobody recorded must not stand before it.
#[tokio::test]
async fn what_a_webhook_left_without_entries_keeps_nobody_waiting() {
    let all = all_said(0..400);
    let mut world = World::half_recorded(careful(), &all).await;
    world.pass_secs(60).await;
    assert_eq!(world.say(&all).await, 200);
    world.pass(HOUR).await;
    let sent = world.dms().len();
    assert!(sent > 120, "{sent} in an hour");
}

/// As a delivery of comments leaves it that another has just recorded.
#[tokio::test]
async fn a_page_whose_sends_another_delivery_recorded_goes() {
    for is_parked in [true, false] {
        let mut world = World::start(quotas("20/10m", "1000/24h")).await;
        let all = all_said(1..=40);
        assert_eq!(world.say(&all).await, 200);
        let batch = world.batch_with(|line| line.slot.is_none() == is_parked).await;
        world.put_twin(&batch).await;
        world.settle().await;
        world.over(40).await;
        world.each_got_one_dm(&all).await;
        assert_eq!(world.calls().len(), 40);
        // And when the sends have ended.
        world.put_twin(&batch).await;
        world.settle().await;
        world.over(40).await;
        assert_eq!(world.calls().len(), 40);
    }
}

/// A run gives what is parked its slots, and dies before their messages.
#[tokio::test]
async fn slots_without_messages_are_given_anew() {
    let mut world = World::start(quotas("20/10m", "1000/24h")).await;
    let all = all_said(1..=40);
    assert_eq!(world.say(&all).await, 200);
    let due = world.now() + Duration::from_secs(60);
    let mut slotted = Vec::new();
    for batch in world.batches(CREATOR).await {
        let mut next = OutboxBatch { version: batch.version + 1, ..batch };
        for line in next.lines.iter_mut().filter(|line| line.slot.is_none()) {
            line.slot = Some(Slot { due, epoch: 0 });
            slotted.push(line.key.clone());
        }
        assert!(world.outside.sends.rewrite(&next).await.unwrap());
    }
    assert!(slotted.len() > 10, "{} were parked", slotted.len());
    world.settle().await;
    world.over(40).await;
    world.each_got_one_dm(&all).await;
    assert_eq!(world.calls().len(), 40);
    let slotted: Vec<Said> =
        all.into_iter().filter(|said| slotted.contains(&said.send().key)).collect();
    assert!(world.dms_of(&slotted).iter().all(|&at| at > due + OVERDUE));
}

/// A sender puts a send off, and dies before its message.
#[tokio::test]
async fn a_send_that_was_put_off_without_a_message_is_sent() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=3);
    assert_eq!(world.say(&all).await, 200);
    let due = world.now() + Duration::from_secs(120);
    world.step(&all[1], Step::To(Stage::Queued { due })).await;
    world.pass_secs(1500).await;
    world.each_got_one_dm(&all).await;
    assert_eq!(world.calls().len(), 3);
    assert!(world.dms_of(&all[1..2])[0] > due + OVERDUE);
    world.settle().await;
    world.over(3).await;
}

/// As after a denial: the batch still says that it has a slot.
#[tokio::test]
async fn a_send_that_was_parked_comes_back() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=10);
    assert_eq!(world.say(&all).await, 200);
    for said in &all {
        world.step(said, Step::To(Stage::Parked)).await;
    }
    world.pass_secs(1500).await;
    world.each_got_one_dm(&all).await;
    assert_eq!(world.calls().len(), 10);
    world.settle().await;
    world.over(10).await;
}

#[tokio::test]
async fn a_send_whose_sender_died_before_the_call_is_sent() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    let lease_until = world.now() + Duration::from_secs(31);
    world.claim(&said(1), lease_until).await;
    // The person writes, and the conversation has no DM: so it may be repeated.
    world.stack.graph.open_window(CREATOR, said(1).author.as_str());
    world.settle().await;
    world.over(1).await;
    world.each_got_one_dm(&[said(1)]).await;
    assert!(world.dms()[0].1 > lease_until, "called within another's lease");
}

#[tokio::test]
async fn a_send_whose_sender_died_after_the_call_has_one_dm_and_counts_as_sent() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    world.claim(&said(1), world.now() + Duration::from_secs(31)).await;
    world.call(&said(1)).await;
    world.settle().await;
    // The conversation has it: nothing is called for again.
    assert_eq!(world.over(1).await.sent, 1);
    world.each_got_one_dm(&[said(1)]).await;
}

/// The lease is the last thing known of the only send: looking at the account during the lease must
/// not end in forgetting it.
#[tokio::test]
async fn a_claimed_send_keeps_its_account_marked() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    world.claim(&said(1), world.now() + Duration::from_secs(1500)).await;
    world.stack.sqs.purge(queues::SEND).unwrap();
    world.pass_secs(1490).await;
    assert!(world.is_marked().await);
    assert_eq!(world.calls(), []);
    // Its call may have been made. That it did not arrive is shown by the conversation, in which the
    // person has just written.
    world.stack.graph.open_window(CREATOR, said(1).author.as_str());
    world.settle().await;
    world.over(1).await;
    world.each_got_one_dm(&[said(1)]).await;
}

#[tokio::test]
async fn sends_whose_messages_are_lost_are_sent() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=20);
    assert_eq!(world.say(&all).await, 200);
    world.stack.sqs.purge(queues::SEND).unwrap();
    world.pass_secs(30).await;
    assert_eq!(world.calls(), []);
    world.settle().await;
    world.over(20).await;
    world.each_got_one_dm(&all).await;
}

#[tokio::test]
async fn sends_whose_messages_are_dead_letters_are_sent() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    // Senders that die without a trace use its receives up.
    for _ in 0..10 {
        assert_eq!(world.peek().len(), 1);
    }
    assert_eq!(world.peek().len(), 0);
    assert_eq!(world.queue(queues::DEAD_LETTERS).total(), 1);
    world.settle().await;
    world.over(1).await;
    world.each_got_one_dm(&[said(1)]).await;
    assert_eq!(world.queue(queues::DEAD_LETTERS).total(), 1, "people look at it");
}

#[tokio::test]
async fn an_account_is_marked_as_long_as_something_waits() {
    let mut world = World::start(quotas("20/10m", "1000/24h")).await;
    let all = all_said(1..=80);
    assert_eq!(world.say(&all).await, 200);
    let mut minutes = 0;
    while !world.waiting(CREATOR).await.is_empty() {
        assert!(world.is_marked().await, "minute {minutes}");
        world.pass_secs(60).await;
        minutes += 1;
        assert!(minutes < 120);
    }
    assert!(minutes > 35, "{minutes} min");
    world.settle().await;
    assert!(!world.is_marked().await);
    world.over(80).await;
    // And again from nothing.
    assert_eq!(world.say(&[said(81)]).await, 200);
    assert!(world.is_marked().await);
    world.settle().await;
    world.over(81).await;
}

#[tokio::test]
async fn of_runs_at_once_one_works() {
    for _ in 0..5 {
        let mut world = World::start(quotas("20/10m", "1000/24h")).await;
        let all = all_said(1..=60);
        assert_eq!(world.say(&all).await, 200);
        world.stack.sqs.purge(queues::SEND).unwrap();
        world.clock.step(Duration::from_secs(700));
        let id = AccountId::new(CREATOR);
        let deadline = world.now() + Duration::from_secs(60);
        let runs = [world.outside.release(), world.outside.release(), world.outside.release()];
        let run = async |at: usize| runs[at].run(&id, deadline).await.unwrap();
        let done = tokio::join!(run(0), run(1), run(2));
        let mut released = [done.0, done.1, done.2].map(|run| run.released + run.repaired);
        released.sort_unstable();
        let [nothing, nothing_either, released] = released;
        assert_eq!((nothing, nothing_either), (0, 0));
        assert!(released > 10);
        assert_eq!(world.queue(queues::SEND).total(), released);
        world.settle().await;
        world.over(60).await;
        world.each_got_one_dm(&all).await;
    }
}

#[tokio::test]
async fn a_run_that_died_is_followed_by_another() {
    let mut world = World::start(quotas("20/10m", "1000/24h")).await;
    let all = all_said(1..=60);
    assert_eq!(world.say(&all).await, 200);
    // It took the account, and did nothing more.
    let until = world.now() + Duration::from_secs(62);
    let mark = world.outside.backlogs.lease(&CREATOR.into(), world.now(), until).await.unwrap();
    assert!(mark.is_some());
    let mark = world.outside.backlogs.lease(&CREATOR.into(), world.now(), until).await.unwrap();
    assert_eq!(mark, None);
    world.settle().await;
    world.over(60).await;
    world.each_got_one_dm(&all).await;
}

/// Sends of which an eventual read tells an older state.
struct Lagging(Arc<dyn Sends>, fn(Entry) -> Entry);

#[async_trait]
impl Sends for Lagging {
    async fn look_up(
        &self,
        account: &AccountId,
        keys: &[OnceKey],
        people: &[RecipientId],
        read: Read,
    ) -> Result<Lookup, StoreError> {
        self.0.look_up(account, keys, people, read).await
    }

    async fn replace_answered(
        &self,
        account: &AccountId,
        person: &RecipientId,
        before: Option<&Answers>,
        after: &Answers,
    ) -> Result<bool, StoreError> {
        self.0.replace_answered(account, person, before, after).await
    }

    async fn put_stand_in(
        &self,
        send: &SendId,
        stand_in: &StandIn,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.0.put_stand_in(send, stand_in, expires_at).await
    }

    async fn put_batches(&self, batches: &[OutboxBatch]) -> Result<(), StoreError> {
        self.0.put_batches(batches).await
    }

    async fn record(&self, sends: &[NewSend]) -> Vec<Result<Recorded, StoreError>> {
        self.0.record(sends).await
    }

    async fn step(
        &self,
        task: &SendTask,
        step: Step,
        note: StepNote<'_>,
    ) -> Result<Option<PendingSend>, StoreError> {
        self.0.step(task, step, note).await
    }

    async fn finish(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
    ) -> Result<bool, StoreError> {
        self.0.finish(task, outcome, note).await
    }

    async fn finish_followed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
        guard: EndGuard,
        follower: &NewSend,
    ) -> Result<bool, StoreError> {
        self.0.finish_followed(task, outcome, note, guard, follower).await
    }

    async fn close(
        &self,
        send: &SendId,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<Closed, StoreError> {
        self.0.close(send, outcome, at).await
    }

    async fn unsent(&self, sends: &[SendId]) -> Result<Vec<SendId>, StoreError> {
        self.0.unsent(sends).await
    }

    async fn sent_as(&self, sends: &[SendId], message: &str) -> Result<bool, StoreError> {
        self.0.sent_as(sends, message).await
    }

    async fn finish_unclaimed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.0.finish_unclaimed(task, outcome, at).await
    }

    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        let entries = self.0.entries(sends, Read::Consistent).await?;
        Ok(match read {
            Read::Eventual => entries.into_iter().map(self.1).collect(),
            Read::Consistent => entries,
        })
    }

    async fn batches(
        &self,
        account: &AccountId,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxBatch>, StoreError> {
        self.0.batches(account, after, limit).await
    }

    async fn rewrite(&self, next: &OutboxBatch) -> Result<bool, StoreError> {
        self.0.rewrite(next).await
    }
}

fn before_it_was_recorded(_: Entry) -> Entry {
    Entry::Missing
}

/// As after a retry by hand, whose send has a new outbox key.
fn before_it_was_brought_back(_: Entry) -> Entry {
    Entry::Ended(OutboxKey::from_stored("1#00001790000000#179#ab".into()))
}

fn before_its_steps(entry: Entry) -> Entry {
    match entry {
        Entry::Waiting(outbox_key, send) => Entry::Waiting(
            outbox_key,
            Box::new(PendingSend { stage: Stage::Parked, epoch: 0, ..*send }),
        ),
        Entry::Missing | Entry::Ended(_) | Entry::Unreadable => Entry::Missing,
    }
}

#[tokio::test]
async fn nothing_is_done_on_the_word_of_an_older_state() {
    fn lagging(wiring: Wiring, older: fn(Entry) -> Entry) -> Wiring {
        Wiring { sends: Arc::new(Lagging(wiring.sends.clone(), older)), ..wiring }
    }
    let wraps: [fn(Wiring) -> Wiring; 3] = [
        |wiring| lagging(wiring, before_it_was_recorded),
        |wiring| lagging(wiring, before_it_was_brought_back),
        |wiring| lagging(wiring, before_its_steps),
    ];
    for wrap in wraps {
        let mut world = World::wrapped(quotas("10/1h", "1000/24h"), wrap).await;
        let all = all_said(0..25);
        world.say(&all).await;
        world.settle().await;
        assert_eq!(world.over(25).await.sent, 25);
        world.each_got_one_dm(&all).await;
        assert_eq!(world.calls().len(), 25);
    }
}

/// A message that may not go yet waits for its time, keeps no comment waiting, and is charged to
/// messages though it goes in the lane of answers to comments.
#[tokio::test]
async fn a_message_that_may_not_go_yet_waits_for_its_time_and_keeps_nobody_waiting() {
    let mut world = World::start(careful()).await;
    let (id, later) = (AccountId::new(CREATOR), world.now() + HOUR);
    world.stack.graph.open_window(CREATOR, "5260000000000077");
    let message = NewMessage {
        key: OnceKey::new("s.delivery.17890000000000099"),
        lane: MessageLane::Answer,
        recipient: "5260000000000077".into(),
        username: None,
        campaign: "guide".into(),
        not_before: Some(later),
        deadline: later + HOUR,
    };
    let entered = world.outside.ingest().enter(&id, vec![message]).await.unwrap();
    assert_eq!((entered.queued, entered.parked), (0, 1));
    assert_eq!(world.say(&[said(1)]).await, 200);
    world.pass(HOUR - Duration::from_secs(1)).await;
    let sends = |world: &World| -> Vec<CallRecord> {
        world.calls().into_iter().filter(|call| call.recipient_id.is_some()).collect()
    };
    assert_eq!(sends(&world).len(), 1, "the comment's alone");
    // Five minutes for others to share the run, and two for the schedule and the slot.
    world.pass_secs(421).await;
    let [reply, answer] = sends(&world).try_into().unwrap();
    assert!(reply.comment_id.is_some() && answer.comment_id.is_none());
    assert_eq!(answer.recipient_id, Some("5260000000000077".into()));
    assert!(answer.at_ms >= later.as_millis(), "{} ms early", later.as_millis() - answer.at_ms);
    world.settle().await;
    world.nothing_is_left().await;
}
