//! Outbound runs over the wire: a campaign reaches the people of a list whose window is open, each
//! once a run, and keeps nobody waiting.

use std::time::Duration;

use serde_json::{Value, json};
use spillway_core::conversation::{Origin, Step, StepKey};
use spillway_core::id::{CommentId, RecipientId, SendId};
use spillway_core::journal::Event;
use spillway_core::outbound::{LeftOut, Run};
use spillway_core::time::Timestamp;
use spillway_service::admin::outbound::Fate;

use crate::harness::{CREATOR, World, all_said, quotas, said};
use crate::triggers::person;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const OPENING: &str = "Answer YES";
const GUIDE: &str = "Here it is";
const NEWS: &str = "There is news. Shall I tell?";
const MORE: &str = "So here are the news";

fn campaigns() -> [Value; 2] {
    let then = |text: &str| json!({ "deliver": [{ "text": text }] });
    [
        json!({ "id": "guide", "keywords": ["guide"], "messages": [OPENING], "then": then(GUIDE) }),
        json!({ "id": "news", "keywords": ["news"], "messages": [NEWS], "then": then(MORE) }),
    ]
}

impl World {
    /// A world with both campaigns, and these people in conversations: each has written just now.
    async fn in_conversations(people: impl IntoIterator<Item = u32>) -> Self {
        let mut world = Self::start(quotas("200/1h", "1000/24h")).await;
        for campaign in campaigns() {
            world.put_campaign(campaign).await;
        }
        for n in people {
            world.comment(n).await;
            world.write(n, &format!("m{n}"), "yes").await;
            assert_eq!(world.got(n), [OPENING, GUIDE]);
        }
        world
    }

    /// What a run does for these people.
    async fn look(&self, name: &str, people: &[u32]) -> Vec<Fate> {
        let admin = self.outside.admin();
        let account = self.outside.accounts.load(&CREATOR.into()).await.unwrap().unwrap();
        let (id, campaigns) = (&account.id, &account.campaigns);
        let run = Run::new(id, campaigns, &"news".into(), name, self.now()).unwrap();
        let people: Vec<RecipientId> = people.iter().map(|&n| person(n).as_str().into()).collect();
        admin.outbound.look(&admin.overviews, &account, &run, &people, &|_| ()).await.unwrap()
    }

    /// Sends a run to those of these people who may be written to. Returns how many sends are new,
    /// and who is left out.
    async fn send_run(&self, name: &str, people: &[u32]) -> (usize, Vec<LeftOut>) {
        let fates = self.look(name, people).await;
        let (mut sends, mut left_out) = (Vec::new(), Vec::new());
        for fate in fates {
            match fate {
                Fate::Reached { send, .. } => sends.push(*send),
                Fate::LeftOut(why) => left_out.push(why),
            }
        }
        let admin = self.outside.admin();
        let account = self.outside.accounts.load(&CREATOR.into()).await.unwrap().unwrap();
        let (id, campaigns) = (&account.id, &account.campaigns);
        let run = Run::new(id, campaigns, &"news".into(), name, self.now()).unwrap();
        let new = admin.outbound.record(&run, name, sends, "ana", &|_| ()).await.unwrap();
        (new, left_out)
    }

    /// The send of a run to a person.
    fn of_run(&self, name: &str, n: u32) -> SendId {
        let origin = Origin::of_run(&"news".into(), name);
        let key = StepKey { origin, step: Step::Opening, attempt: 0 };
        SendId { account: CREATOR.into(), key: key.once_key(&person(n).as_str().into()) }
    }

    fn news(&self, n: u32) -> usize {
        self.got(n).iter().filter(|text| *text == NEWS).count()
    }
}

#[tokio::test]
async fn a_run_reaches_those_whose_window_is_open_once_and_another_run_again() {
    let mut world = World::in_conversations([1, 2, 3]).await;
    world.write(2, "stop", "STOP").await;
    let human = json!({ "sender": { "id": CREATOR }, "recipient": { "id": person(3) },
        "timestamp": world.now().as_millis(),
        "message": { "mid": "h1", "text": "Hi, it's me!", "is_echo": true } });
    let human_at = world.now();
    assert_eq!(world.tell(&[human]).await, 200);
    // They commented, and wrote nothing.
    world.comment(4).await;
    let people = [1, 2, 3, 4, 5];
    let (new, left_out) = world.send_run("first", &people).await;
    let until = human_at + 12 * HOUR;
    let expected =
        [LeftOut::Stopped, LeftOut::TakenOver(until), LeftOut::NoWindow, LeftOut::NoWindow];
    assert_eq!((new, &left_out[..]), (1, &expected[..]));
    assert_eq!(world.send_run("first", &people).await.1[0], LeftOut::InRun);
    world.pass(5 * MINUTE).await;
    assert_eq!(people.map(|n| world.news(n)), [1, 0, 0, 0, 0]);
    // The conversation goes on from there.
    world.write(1, "m9", "tell me").await;
    world.pass(MINUTE).await;
    assert_eq!(world.got(1)[2..], [NEWS, MORE]);
    assert_eq!(world.send_run("first", &people).await.0, 0);
    assert_eq!(world.send_run("second", &people).await.0, 1);
    world.pass(5 * MINUTE).await;
    assert_eq!(people.map(|n| world.news(n)), [2, 0, 0, 0, 0]);
    let lines = world.outside.journal.list(&CREATOR.into(), Timestamp::EPOCH, 20).await.unwrap();
    let runs = lines.iter().filter(|line| matches!(line.what, Event::CampaignSent { .. }));
    assert_eq!(runs.count(), 2);
    assert!(!format!("{lines:?}").contains(&person(1)), "the journal names nobody");
    world.settle().await;
    assert_eq!(world.refused(), []);
    world.nothing_is_left().await;
}

/// Of two that record the same run, and of one that died half-way and is repeated, each person has one.
#[tokio::test]
async fn a_run_that_was_interrupted_is_repeated_as_it_is() {
    let mut world = World::in_conversations([1, 2, 3]).await;
    assert_eq!(world.send_run("first", &[1, 2]).await.0, 2);
    let fates = world.look("first", &[1, 2, 3]).await;
    let in_run = |fate: &&Fate| **fate == Fate::LeftOut(LeftOut::InRun);
    assert_eq!(fates.iter().filter(in_run).count(), 2);
    let (one, other) =
        futures::join!(world.send_run("first", &[1, 2, 3]), world.send_run("first", &[1, 2, 3]));
    assert_eq!(one.0 + other.0, 1);
    world.settle().await;
    assert_eq!([1, 2, 3].map(|n| world.news(n)), [1, 1, 1]);
    world.nothing_is_left().await;
}

/// What happens after a run is recorded, and before its calls.
#[tokio::test]
async fn a_stop_a_human_and_a_forgotten_person_count_until_the_call() {
    let mut world = World::in_conversations([1, 2, 3, 4]).await;
    let admin = world.outside.admin();
    let account = CREATOR.into();
    admin.accounts.hold(&account, world.now() + HOUR, None).await.unwrap();
    assert_eq!(world.send_run("first", &[1, 2, 3, 4]).await.0, 4);
    world.write(1, "stop", "STOP").await;
    let human = json!({ "sender": { "id": CREATOR }, "recipient": { "id": person(2) },
        "timestamp": world.now().as_millis(),
        "message": { "mid": "h1", "text": "Hi, it's me!", "is_echo": true } });
    assert_eq!(world.tell(&[human]).await, 200);
    admin.sends.forget(&account, &person(3).as_str().into(), |_| ()).await.unwrap();
    world.settle().await;
    assert_eq!([1, 2, 3, 4].map(|n| world.news(n)), [0, 0, 0, 1]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn nothing_goes_out_after_the_window_and_what_would_is_left_out_before() {
    let mut world = World::in_conversations([1, 2]).await;
    assert_eq!(world.send_run("first", &[1]).await.0, 1);
    let admin = world.outside.admin();
    admin.accounts.hold(&CREATOR.into(), world.now() + 25 * HOUR, None).await.unwrap();
    let fates = world.look("first", &[2]).await;
    assert!(matches!(fates[..], [Fate::LeftOut(LeftOut::TooLate(_))]), "{fates:?}");
    world.settle().await;
    assert_eq!([1, 2].map(|n| world.news(n)), [0, 0]);
    let stored = admin.sends.find(&world.of_run("first", 1)).await.unwrap().unwrap();
    assert_eq!(stored.state.name(), "expired");
    assert_eq!(world.refused(), []);
    world.nothing_is_left().await;
}

/// The comments that wait get their DMs at the same instants with a run as without it.
#[tokio::test]
async fn a_run_keeps_no_comment_waiting() {
    let mut finished: Vec<Vec<(CommentId, Timestamp)>> = Vec::new();
    let mut news = Vec::new();
    for is_sent in [false, true] {
        let mut world = World::in_conversations(1..=4).await;
        assert_eq!(world.say(&all_said(100..160)).await, 200);
        if is_sent {
            assert_eq!(world.send_run("first", &[1, 2, 3, 4]).await.0, 4);
        }
        world.settle().await;
        let of_crowd = |(comment, _): &(CommentId, Timestamp)| {
            (100..160).any(|n| said(n).id == comment.as_str())
        };
        finished.push(world.dms().into_iter().filter(of_crowd).collect());
        news.push((1..=4).map(|n| world.news(n)).sum::<usize>());
        assert_eq!(world.refused(), []);
        world.nothing_is_left().await;
    }
    assert_eq!(news, [0, 4]);
    assert_eq!((finished[0].len(), &finished[0]), (60, &finished[1]));
}
