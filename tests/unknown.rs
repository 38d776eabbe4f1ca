//! Attempts without a clear answer: nothing is repeated on the belief that it did not arrive, and
//! what reached people is counted by their messages, not by calls.

use std::collections::BTreeMap;
use std::time::Duration;

use spillway_cloud::wiring::Wiring;
use spillway_core::unknown::RetryUnknown;
use spillway_graph::{Action, Fault, FaultKind};

use crate::harness::{CREATOR, Said, World, all_said, careful, said};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

impl World {
    /// How many messages have reached the author of each comment, by their stamps.
    fn reached(&self, all: &[Said]) -> Vec<usize> {
        let mut reached: BTreeMap<String, usize> = BTreeMap::new();
        for message in self.stack.graph.messages() {
            *reached.entry(message.person.to_string()).or_default() += 1;
        }
        all.iter().map(|said| reached.get(&said.author).copied().unwrap_or_default()).collect()
    }

    /// How many private replies were called for.
    fn replies(&self) -> usize {
        self.calls().iter().filter(|call| call.action == Action::PrivateReply).count()
    }

    fn strike(&self, kind: FaultKind, said: &Said) {
        self.stack.graph.order_fault(Fault::new(kind).for_comment(said.id.as_str()));
    }
}

/// The answer was a 5xx, and the DM had arrived: its echo says so, also minutes later.
#[tokio::test]
async fn an_echo_ends_a_send_whose_answer_was_an_error() {
    for after in [Duration::ZERO, 4 * MINUTE] {
        let mut world = World::start(careful()).await;
        world.stack.graph.echo_after(vec![after, after + HOUR]);
        world.strike(FaultKind::ServerErrorRepeatable, &said(1));
        assert_eq!(world.say(&[said(1)]).await, 200);
        world.pass(HOUR).await;
        assert_eq!(world.state_of(&said(1)).await, "sent", "{after:?}");
        world.settle().await;
        assert_eq!((world.reached(&[said(1)]), world.replies()), (vec![1], 1));
        world.over(1).await;
    }
}

/// An echo of a DM whose answer was heard changes nothing, and never asks for a DM.
#[tokio::test]
async fn an_echo_of_what_is_known_costs_no_write_and_starts_nothing() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    world.settle().await;
    let [message] = world.stack.graph.messages().try_into().unwrap();
    let echo = |metadata: Option<&str>| {
        let told = serde_json::json!({
            "mid": message.id, "is_echo": true, "text": "guide", "metadata": metadata,
        });
        let item = serde_json::json!({
            "sender": { "id": CREATOR },
            "recipient": { "id": message.person },
            "timestamp": world.now().as_millis(),
            "message": told,
        });
        let entry = serde_json::json!({ "id": CREATOR, "time": 1, "messaging": [item] });
        serde_json::json!({ "object": "instagram", "entry": [entry] }).to_string()
    };
    let stamp = message.metadata.as_deref();
    assert_eq!(stamp, Some(&*format!("spillway:{}#1", said(1).send().key)));
    let before = world.stack.faults.calls();
    assert_eq!(world.post(echo(stamp).as_bytes()).await, 200);
    let calls = world.stack.faults.calls();
    for call in calls.difference(&before) {
        let (_, operation) = call.target.split_once('.').unwrap();
        assert!(["BatchGetItem", "GetItem"].contains(&operation), "{call:?}");
    }
    // Somebody else has written these: their threads are theirs.
    for metadata in [None, Some("spillway:"), Some("spillway:404"), Some("another tool's")] {
        assert_eq!(world.post(echo(metadata).as_bytes()).await, 200, "{metadata:?}");
    }
    world.settle().await;
    assert_eq!(world.state_of(&said(1)).await, "sent");
    world.over(1).await;
}

/// Neither an echo nor a conversation shows whether it arrived: it ends as unknown, and the person
/// has one DM.
#[tokio::test]
async fn without_evidence_nothing_is_repeated() {
    let mut world = World::start(careful()).await;
    world.stack.graph.list_after(30 * 24 * HOUR);
    let all = all_said(1..=2);
    world.strike(FaultKind::ServerErrorRepeatable, &all[0]);
    world.strike(FaultKind::NoAnswerBeforeEffect, &all[1]);
    assert_eq!(world.say(&all).await, 200);
    world.settle().await;
    assert_eq!((world.reached(&all), world.replies()), (vec![1, 0], 2));
    for said in &all {
        assert_eq!(world.told(said).await.unwrap().reason(), "unknown");
    }
    world.over(2).await;
}

/// Echoes of other sends have come, and its own has not: it did not arrive.
#[tokio::test]
async fn what_echoes_show_to_be_absent_is_repeated_once() {
    let mut world = World::start(careful()).await;
    world.stack.graph.echo_after(vec![Duration::from_secs(2)]);
    let all = all_said(1..=12);
    world.strike(FaultKind::ServerError, &all[2]);
    assert_eq!(world.say(&all).await, 200);
    world.pass(3 * HOUR).await;
    assert_eq!(world.state_of(&all[2]).await, "sent");
    world.settle().await;
    assert_eq!((world.reached(&all), world.replies()), (vec![1; 12], 13));
    world.over(12).await;
}

/// The conversation shows other messages around the attempt, twice, and not this one.
#[tokio::test]
async fn what_conversations_show_to_be_absent_is_repeated_once() {
    let mut world = World::start(careful()).await;
    world.stack.graph.open_window(CREATOR, said(1).author.as_str());
    world.strike(FaultKind::ServerError, &said(1));
    assert_eq!(world.say(&[said(1)]).await, 200);
    world.settle().await;
    assert_eq!(world.state_of(&said(1)).await, "sent");
    assert_eq!((world.reached(&[said(1)]), world.replies()), (vec![1], 2));
    let calls = world.calls();
    let reads: Vec<u64> =
        calls.iter().filter(|call| call.action == Action::Read).map(|call| call.at_ms).collect();
    assert!(reads[0] >= calls[0].at_ms + 120_000 && reads[1] >= reads[0] + 600_000, "{reads:?}");
    world.over(1).await;
}

/// The conversation shows it: it arrived, and nothing is repeated.
#[tokio::test]
async fn what_the_conversation_shows_was_sent() {
    let mut world = World::start(careful()).await;
    world.stack.graph.open_window(CREATOR, said(1).author.as_str());
    world.strike(FaultKind::ServerErrorRepeatable, &said(1));
    assert_eq!(world.say(&[said(1)]).await, 200);
    world.settle().await;
    assert_eq!(world.state_of(&said(1)).await, "sent");
    assert_eq!((world.reached(&[said(1)]), world.replies()), (vec![1], 1));
    world.over(1).await;
}

/// Whatever Meta does: conversations that lag for hours bring one surplus DM at most, and none where
/// nothing may be repeated.
#[tokio::test]
async fn nobody_gets_more_than_one_surplus_dm() {
    let never: fn(Wiring) -> Wiring =
        |wiring| Wiring { retry_unknown: RetryUnknown::Never, ..wiring };
    for (wrap, most) in [(std::convert::identity as fn(Wiring) -> Wiring, 2), (never, 1)] {
        let mut world = World::wrapped(careful(), wrap).await;
        world.stack.graph.open_window(CREATOR, said(1).author.as_str());
        world.stack.graph.list_after(30 * 24 * HOUR);
        let fault = Fault::new(FaultKind::ServerErrorRepeatable).times(1000);
        world.stack.graph.order_fault(fault);
        assert_eq!(world.say(&[said(1)]).await, 200);
        world.settle().await;
        assert_eq!((world.reached(&[said(1)]), world.replies()), (vec![most], most));
        assert_eq!(world.told(&said(1)).await.unwrap().reason(), "unknown");
    }
}

/// For sixty hours Meta delivers some DMs and not others, and answers all with an error.
#[tokio::test]
async fn after_an_outage_of_sixty_hours_everybody_is_sent_or_honestly_unknown() {
    let mut world = World::start(careful()).await;
    let outage = 60 * HOUR;
    let repeatable = Fault::new(FaultKind::ServerErrorRepeatable).lasting(outage);
    world.stack.graph.order_fault(repeatable.with_probability(0.5, 7));
    world.stack.graph.order_fault(Fault::new(FaultKind::ServerError).lasting(outage));
    let all = all_said(1..=40);
    assert_eq!(world.say(&all).await, 200);
    world.pass(outage).await;
    world.stack.graph.clear_faults();
    world.settle().await;
    let reached = world.reached(&all);
    assert!(reached.iter().all(|&messages| messages <= 1), "{reached:?}");
    for (said, messages) in all.iter().zip(reached) {
        let told = world.told(said).await.unwrap();
        let is_sent = told.state == "sent" && messages == 1;
        assert!(is_sent || told.reason() == "unknown", "{told:?}, {messages} messages");
    }
    world.over(40).await;
}
