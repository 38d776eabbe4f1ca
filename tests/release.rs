//! The release function: parked sends come back in order, and whatever a crash left is made whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use spillway_cloud::wiring::Wiring;
use spillway_core::id::{AccountId, CommentId, EventId, SendId};
use spillway_core::send::{Outcome, Stage, Step, Waiting};
use spillway_core::time::Timestamp;
use spillway_local::stack::queues;
use spillway_meta::graph::Sent;
use spillway_service::port::{Entry, Read, Recorded, Sends, StoreError};
use spillway_service::ticket::{Place, Ticket, shard};

use crate::harness::{CREATOR, Said, World, all_said, body, careful, quotas, said};

const HOUR: Duration = Duration::from_secs(3600);

impl World {
    /// The send of a comment, where it waits.
    async fn send_of(&self, said: &Said) -> (Place, Waiting) {
        let waiting = self.waiting(CREATOR).await;
        waiting.into_iter().find(|(_, send)| send.id.event.as_str() == said.id).unwrap()
    }

    /// A process claims the send, and dies.
    async fn claim(&self, said: &Said, lease_until: Timestamp) -> Waiting {
        let (place, send) = self.send_of(said).await;
        let claim = Step::Claim { lease_until };
        self.outside.sends.step(&Ticket::new(&send, place), claim).await.unwrap().unwrap()
    }

    /// A process of an account calls Meta, and dies.
    async fn call(&self, said: &Said) -> Sent {
        let id = AccountId::new(CREATOR);
        let account = self.outside.accounts.load(&id).await.unwrap().unwrap();
        self.outside.graph.prepare(&account).await.unwrap();
        let timeout = Duration::from_secs(10);
        let comment = said.id.as_str().into();
        self.outside.graph.private_reply(&account, &comment, "hi", timeout).await.unwrap()
    }

    fn waiting_key(place: &str, said: &Said) -> HashMap<String, AttributeValue> {
        let pk = format!("waiting#{CREATOR}#{}", shard(&said.id.as_str().into()));
        HashMap::from([
            ("pk".into(), AttributeValue::S(pk)),
            ("sk".into(), AttributeValue::S(place.into())),
        ])
    }

    async fn waiting_item(&self, place: &Place, said: &Said) -> HashMap<String, AttributeValue> {
        let get = self.stack.dynamo.get_item().table_name(&self.stack.config.state_table);
        let key = Self::waiting_key(place.as_str(), said);
        get.set_key(Some(key)).send().await.unwrap().item.unwrap()
    }

    /// A waiting send as another delivery of the same comment would have left it.
    async fn put_twin(&self, mut item: HashMap<String, AttributeValue>, said: &Said) {
        let place = format!("{}f", item["sk"].as_s().unwrap());
        item.extend(Self::waiting_key(&place, said));
        let put = self.stack.dynamo.put_item().table_name(&self.stack.config.state_table);
        put.set_item(Some(item)).send().await.unwrap();
    }

    async fn delete_entry(&self, said: &Said) {
        self.stack
            .dynamo
            .delete_item()
            .table_name(&self.stack.config.sends_table)
            .key("id", AttributeValue::S(format!("{CREATOR}/{}", said.id)))
            .send()
            .await
            .unwrap();
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
    let comment = |send: Waiting| CommentId::new(send.id.event.as_str());
    let order: Vec<_> = parked.into_iter().map(|(_, send)| comment(send)).collect();
    let dms = world.dms().into_iter().map(|(comment, _)| comment);
    let came: Vec<_> = dms.filter(|comment| order.contains(comment)).collect();
    assert_eq!(came, order);
}

#[tokio::test]
async fn what_a_webhook_left_half_recorded_is_sent() {
    let mut world = World::start(quotas("20/10m", "1000/24h")).await;
    let all = all_said(1..=40);
    assert_eq!(world.say(&all).await, 200);
    // Parked, and no entry says so: its webhook died in between.
    let waiting = world.waiting(CREATOR).await;
    let parked: Vec<&Said> = all
        .iter()
        .filter(|said| {
            let is = |(_, send): &&(Place, Waiting)| send.id.event.as_str() == said.id;
            waiting.iter().find(is).unwrap().1.stage == Stage::Parked
        })
        .collect();
    for said in [parked[0], parked[5]] {
        world.delete_entry(said).await;
    }
    world.settle().await;
    world.over(40).await;
    world.each_got_one_dm(&all).await;
}

#[tokio::test]
async fn what_another_delivery_left_is_removed() {
    for parked in [true, false] {
        let mut world = World::start(quotas("20/10m", "1000/24h")).await;
        let all = all_said(1..=40);
        assert_eq!(world.say(&all).await, 200);
        let waiting = world.waiting(CREATOR).await;
        let (place, send) =
            waiting.into_iter().find(|(_, send)| (send.stage == Stage::Parked) == parked).unwrap();
        let said = all.iter().find(|said| said.id == send.id.event.as_str()).unwrap();
        let item = world.waiting_item(&place, said).await;
        world.put_twin(item.clone(), said).await;
        world.settle().await;
        world.over(40).await;
        world.each_got_one_dm(&all).await;
        assert_eq!(world.calls().len(), 40);
        // And one of a send that has ended.
        world.put_twin(item, said).await;
        world.outside.backlogs.wake(&CREATOR.into(), world.now()).await.unwrap();
        world.settle().await;
        world.over(40).await;
        assert_eq!(world.calls().len(), 40);
    }
}

#[tokio::test]
async fn a_send_whose_sender_died_before_the_call_is_sent() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    let lease_until = world.now() + Duration::from_secs(31);
    world.claim(&said(1), lease_until).await;
    world.settle().await;
    let report = world.over(1).await;
    world.each_got_one_dm(&[said(1)]).await;
    assert_eq!(report.graph_calls, 1);
    assert!(world.dms()[0].1 > lease_until, "called within another's lease");
}

#[tokio::test]
async fn a_send_whose_sender_died_after_the_call_has_one_dm_and_counts_as_sent() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    world.claim(&said(1), world.now() + Duration::from_secs(31)).await;
    world.call(&said(1)).await;
    world.settle().await;
    let report = world.over_but_for_duplicates(1).await;
    world.each_got_one_dm(&[said(1)]).await;
    // Meta refused the second call, which shows that the first one arrived.
    assert_eq!((report.graph_calls, report.duplicates), (2, 1));
    assert!(world.told(&said(1)).await.unwrap().outcome["message"].is_null());
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

/// Sends of which an older state says that all have ended.
struct Lagging(Arc<dyn Sends>);

#[async_trait]
impl Sends for Lagging {
    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError> {
        self.0.known(account, events).await
    }

    async fn record(&self, sends: &[(Place, Waiting)]) -> Result<Vec<Recorded>, StoreError> {
        self.0.record(sends).await
    }

    async fn step(&self, ticket: &Ticket, step: Step) -> Result<Option<Waiting>, StoreError> {
        self.0.step(ticket, step).await
    }

    async fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.0.finish(ticket, outcome, at).await
    }

    async fn finish_unclaimed(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.0.finish_unclaimed(ticket, outcome, at).await
    }

    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        match read {
            Read::Eventual => Ok(vec![Entry::Ended; sends.len()]),
            Read::Consistent => self.0.entries(sends, read).await,
        }
    }

    async fn adopt(&self, place: &Place, send: &Waiting) -> Result<Recorded, StoreError> {
        self.0.adopt(place, send).await
    }

    async fn discard(&self, place: &Place, send: &SendId) -> Result<(), StoreError> {
        self.0.discard(place, send).await
    }

    async fn waiting(
        &self,
        account: &AccountId,
        shard: u8,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<(Place, Waiting)>, StoreError> {
        self.0.waiting(account, shard, after, limit).await
    }
}

/// As after a retry by hand, whose send has a new place.
#[tokio::test]
async fn nothing_is_removed_on_the_word_of_an_older_state() {
    let lagging = |wiring: Wiring| Wiring { sends: Arc::new(Lagging(wiring.sends)), ..wiring };
    let mut world = World::wrapped(quotas("10/1h", "1000/24h"), lagging).await;
    world.say(&all_said(0..25)).await;
    world.settle().await;
    assert_eq!(world.over(25).await.sent, 25);
}
