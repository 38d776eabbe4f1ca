//! What follows an opening, over the wire: answers, the follow gate, e-mail addresses, deliveries and
//! follow-ups. Each message reaches its person once, inside the window, however events are told and
//! wherever a process dies.

use std::time::Duration;

use serde_json::{Value, json};
use spillway_core::campaign::Campaign;
use spillway_core::journal::Event;
use spillway_core::time::Timestamp;
use spillway_graph::{Fault, FaultKind, SentMessage};
use spillway_local::fault_injector::KillPoint;
use spillway_service::port::CampaignChanges;

use crate::harness::{CREATOR, World, careful, said};
use crate::triggers::{item, message, person};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A campaign on comments with everything that may follow.
pub(crate) fn guide() -> Value {
    json!({
        "id": "guide",
        "keywords": ["guide"],
        "messages": ["Answer YES and I'll send it"],
        "then": {
            "answer": ["yes"],
            "follow": { "ask": ["Follow me first"], "button": "I follow", "tries": 2 },
            "email": { "ask": ["Which e-mail?"], "again": ["That is none"], "tries": 2 },
            "deliver": [
                { "text": "Here it is", "buttons": [{ "title": "Open", "url": "https://a.example/" }] },
                { "text": "And the second part" },
            ],
            "follow_up": [
                { "after": "20h", "messages": ["Did you read it?"], "unless": "answered" },
            ],
        },
    })
}

/// The same without these parts.
pub(crate) fn without(parts: &[&str]) -> Value {
    let mut guide = guide();
    for part in parts {
        guide["then"].as_object_mut().unwrap().remove(*part);
    }
    guide
}

impl World {
    pub(crate) async fn talking(campaign: Value) -> Self {
        let world = Self::start(careful()).await;
        world.put_campaign(campaign).await;
        world
    }

    pub(crate) async fn put_campaign(&self, campaign: Value) {
        let campaign: Campaign = serde_json::from_value(campaign).unwrap();
        campaign.check().unwrap();
        let changes = &self.outside.changes;
        let put = [campaign];
        let change = CampaignChanges { put: &put, ..CampaignChanges::default() };
        assert!(changes.change_campaigns(&CREATOR.into(), &change).await.unwrap());
        changes.announce(&CREATOR.into()).await.unwrap();
    }

    /// Somebody's comment, and a minute for its DM.
    pub(crate) async fn comment(&mut self, n: u32) {
        assert_eq!(self.say(&[said(n).by(&person(n))]).await, 200);
        self.pass(MINUTE).await;
    }

    /// Somebody writes, and has half a minute for the answer.
    pub(crate) async fn write(&mut self, n: u32, mid: &str, text: &str) {
        assert_eq!(self.tell(&[message(n, self.now(), mid, text)]).await, 200);
        self.pass(30 * SECOND).await;
    }

    /// Somebody taps what carries this payload; the tap.
    pub(crate) fn tap(&self, n: u32, mid: &str, payload: &str) -> Value {
        item(n, self.now(), "postback", json!({ "mid": mid, "title": "x", "payload": payload }))
    }

    pub(crate) fn follow(&self, n: u32, follows: Option<bool>) {
        self.stack.graph.change_person(CREATOR, person(n).as_str(), |them| them.follows = follows);
    }

    /// The messages to somebody, in order.
    pub(crate) fn thread(&self, n: u32) -> Vec<SentMessage> {
        let messages = self.stack.graph.messages().into_iter();
        messages.filter(|sent| sent.person.as_str() == person(n)).collect()
    }

    /// Meta tells of what the account has sent.
    pub(crate) async fn echo_all(&self) {
        for echo in self.stack.graph.take_echoes() {
            assert_eq!(self.post(&echo.body).await, 200);
        }
    }
}

/// What the button of a message carries.
pub(crate) fn payload(sent: &SentMessage) -> String {
    sent.content.buttons[0].payload.clone().unwrap()
}

#[tokio::test]
async fn each_send_tells_where_its_conversation_is() {
    let mut world = World::talking(without(&["follow", "email", "follow_up"])).await;
    world.comment(1).await;
    let sends = world.outside.admin().sends;
    let ended = async || sends.ledger.ended(&CREATOR.into(), None).await.unwrap().sends;
    let opening = ended().await.remove(0);
    let talk = sends.talk_of(&opening).await.unwrap().unwrap();
    assert_eq!((talk.place, talk.heard_at, talk.clicked), ("answer", None, false));
    let answered_at = world.now();
    assert!(talk.since < answered_at);
    world.write(1, "m1", "yes").await;
    world.pass(MINUTE).await;
    let ended = ended().await;
    assert_eq!(ended.len(), 3, "the opening and two messages of the delivery");
    for send in &ended {
        let talk = sends.talk_of(send).await.unwrap().unwrap();
        // Nothing follows, so nobody tells that the last message of the delivery was sent.
        assert_eq!((talk.place, talk.heard_at), ("deliver", Some(answered_at)), "{send:?}");
        assert!(talk.since >= answered_at);
    }
}

const OPENING: &str = "Answer YES and I'll send it";

#[tokio::test]
async fn the_whole_conversation_is_had_step_by_step() {
    let mut world = World::talking(guide()).await;
    world.comment(1).await;
    assert_eq!(world.got(1), [OPENING]);
    world.write(1, "m1", "what is this?").await;
    assert_eq!(world.got(1).len(), 1, "no answer to the question");
    world.write(1, "m2", "Yes please!").await;
    assert_eq!(world.got(1)[1..], ["Follow me first"]);
    let payload = payload(&world.thread(1)[1]);
    // They do not follow yet.
    let tap = world.tap(1, "t1", &payload);
    assert_eq!(world.tell(&[tap]).await, 200);
    world.pass(30 * SECOND).await;
    assert_eq!(world.got(1)[2..], ["Follow me first"]);
    // Five taps in three seconds, told twice.
    world.follow(1, Some(true));
    let taps: Vec<Value> = (0..5).map(|nth| world.tap(1, &format!("t2{nth}"), &payload)).collect();
    assert_eq!(world.tell(&taps).await, 200);
    world.pass(3 * SECOND).await;
    assert_eq!(world.tell(&taps).await, 200);
    world.pass(MINUTE).await;
    assert_eq!(world.got(1)[3..], ["Which e-mail?"]);
    world.write(1, "m3", "none of your business").await;
    world.write(1, "m4", "well: Ana.Diaz@mail.example, ok?").await;
    world.pass(MINUTE).await;
    let got = world.got(1);
    assert_eq!(got[4..], ["That is none", "Here it is", "And the second part"]);
    world.pass(19 * HOUR).await;
    assert_eq!(world.got(1).len(), 7);
    world.pass(2 * HOUR).await;
    assert_eq!(world.got(1)[7..], ["Did you read it?"]);
    world.settle().await;
    assert_eq!(world.got(1).len(), 8);
    assert_eq!(world.refused(), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_answer_cancels_the_follow_up() {
    let mut world = World::talking(without(&["follow", "email"])).await;
    for n in [1, 2] {
        world.comment(n).await;
        world.write(n, &format!("m{n}"), "yes").await;
        world.pass(MINUTE).await;
    }
    world.pass(HOUR).await;
    world.write(1, "m3", "thank you").await;
    world.settle().await;
    assert_eq!(world.got(1), [OPENING, "Here it is", "And the second part"]);
    assert_eq!(world.got(2)[3..], ["Did you read it?"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn nothing_is_sent_after_a_stop_until_a_start() {
    let mut world = World::talking(without(&["email"])).await;
    world.comment(1).await;
    world.write(1, "m1", "STOP").await;
    world.write(1, "m2", "yes").await;
    assert_eq!(world.got(1), [OPENING]);
    // Nor to another comment. The neighbour is answered.
    assert_eq!(world.say(&[said(2).by(&person(1)), said(3).by(&person(3))]).await, 200);
    world.pass(10 * MINUTE).await;
    assert_eq!(world.got(1), [OPENING]);
    assert_eq!(world.got(3), [OPENING]);
    world.write(1, "m3", "start").await;
    world.follow(1, Some(true));
    world.write(1, "m4", "yes").await;
    assert_eq!(world.got(1)[1..], ["Here it is", "And the second part"]);
    // A stop before the follow-up.
    world.write(1, "m5", "Stop!").await;
    world.settle().await;
    assert_eq!(world.got(1).len(), 3);
    world.nothing_is_left().await;
}

/// Somebody who never commented stops the account before they do.
#[tokio::test]
async fn a_stop_counts_without_a_conversation() {
    let mut world = World::talking(without(&["follow", "email"])).await;
    world.write(1, "m1", "unsubscribe").await;
    world.comment(1).await;
    world.settle().await;
    assert_eq!(world.got(1), [""; 0]);
    world.nothing_is_left().await;
}

/// A redelivered tap begins nothing anew, and whoever has asked to be left alone still is.
#[tokio::test]
async fn a_person_who_is_forgotten_leaves_nothing_but_their_stop() {
    let mut world = World::talking(without(&["email"])).await;
    for n in [1, 2] {
        world.comment(n).await;
        world.write(n, &format!("m{n}"), "yes").await;
        assert_eq!(world.got(n), [OPENING, "Follow me first"]);
    }
    world.follow(1, Some(true));
    let tap = world.tap(1, "t1", &payload(&world.thread(1)[1]));
    assert_eq!(world.tell(std::slice::from_ref(&tap)).await, 200);
    world.write(2, "m3", "STOP").await;
    world.pass(MINUTE).await;
    assert_eq!(world.got(1).len(), 4);

    let (admin, account) = (world.outside.admin(), CREATOR.into());
    let people = [1, 2].map(|n| person(n).as_str().into());
    for person in &people {
        let forgotten = admin.sends.forget(&account, person, |_| ()).await.unwrap();
        assert_eq!(forgotten.conversations, 1);
    }
    let kept = world.outside.conversations.people(&account, 10).await.unwrap();
    assert_eq!(kept, people[1..]);
    assert!(world.waiting(CREATOR).await.is_empty(), "the follow-up was cancelled");
    world.pass(2 * MINUTE).await;
    assert_eq!(world.tell(&[tap]).await, 200);
    world.comment(2).await;
    world.pass(24 * HOUR).await;
    assert_eq!((world.got(1).len(), world.got(2).len()), (4, 2));
    let again = admin.sends.forget(&account, &people[1], |_| ()).await.unwrap();
    assert_eq!(again.conversations, 0);
}

#[tokio::test]
async fn a_human_takes_the_thread_over_for_twelve_hours() {
    let mut world = World::talking(without(&["follow", "email"])).await;
    world.comment(1).await;
    world.echo_all().await;
    let human = |at: Timestamp| {
        json!({ "sender": { "id": CREATOR }, "recipient": { "id": person(1) },
            "timestamp": at.as_millis(),
            "message": { "mid": "h1", "text": "Hi, it's me!", "is_echo": true } })
    };
    assert_eq!(world.tell(&[human(world.now())]).await, 200);
    world.write(1, "m1", "yes").await;
    world.pass(HOUR).await;
    assert_eq!(world.got(1), [OPENING]);
    assert_eq!(world.tell(&[human(world.now())]).await, 200);
    let (journal, id) = (&world.outside.journal, CREATOR.into());
    let lines = journal.list(&id, Timestamp::EPOCH, 10).await.unwrap();
    let human = lines.iter().filter(|line| matches!(line.what, Event::HumanWrote { .. }));
    assert_eq!(human.count(), 1, "{lines:?}");
    // A comment of theirs is answered when the human is gone.
    assert_eq!(world.say(&[said(2).by(&person(1))]).await, 200);
    world.pass(10 * HOUR).await;
    assert_eq!(world.got(1), [OPENING]);
    world.pass(3 * HOUR).await;
    world.write(1, "m2", "yes").await;
    world.pass(MINUTE).await;
    assert_eq!(world.got(1)[1..], ["Here it is", "And the second part"]);
    world.settle().await;
    world.nothing_is_left().await;
}

/// Meta does not tell whether somebody follows.
#[tokio::test]
async fn what_is_not_known_is_as_the_campaign_says() {
    for (unknown, got) in [("deliver", "Here it is"), ("ask", "Follow me first"), ("skip", "")] {
        let mut campaign = without(&["email", "follow_up"]);
        campaign["then"]["follow"]["unknown"] = unknown.into();
        let mut world = World::talking(campaign).await;
        world.comment(1).await;
        world.follow(1, None);
        world.write(1, "m1", "yes").await;
        assert_eq!(world.got(1).get(1).map_or("", String::as_str), got, "{unknown}");
        world.settle().await;
        world.nothing_is_left().await;
    }
}

/// The answer to an opening may come before anybody knows that the opening has arrived, also if it is
/// not the first DM to its person. Where only some words answer, it is not kept which ones it had.
#[tokio::test]
async fn an_answer_counts_that_comes_before_the_opening_is_known_to_have_arrived() {
    for is_first in [true, false] {
        let mut world = World::talking(without(&["answer", "follow", "email", "follow_up"])).await;
        world.stack.graph.echo_after(vec![30 * MINUTE]);
        let again = json!({ "id": "other", "keywords": ["other"], "messages": ["Another DM"] });
        world.put_campaign(again).await;
        if !is_first {
            assert_eq!(world.say(&[said(9).saying("other").by(&person(1))]).await, 200);
            world.pass(MINUTE).await;
        }
        let comment = said(1);
        let fault = Fault::new(FaultKind::ServerErrorRepeatable);
        world.stack.graph.order_fault(fault.for_comment(comment.id.as_str()));
        world.comment(1).await;
        world.write(1, "m1", "yes").await;
        let opened = world.got(1).len();
        world.pass(HOUR).await;
        assert_eq!(world.got(1)[opened..], ["Here it is", "And the second part"], "{is_first}");
    }
}

/// A campaign that is paused, changed or gone when the person taps.
#[tokio::test]
async fn a_tap_on_what_has_ended_does_nothing() {
    let mut world = World::talking(without(&["email", "follow_up"])).await;
    world.comment(1).await;
    world.write(1, "m1", "yes").await;
    let ours = payload(&world.thread(1)[1]);
    let changes = &world.outside.changes;
    let removed = ["guide".into()];
    let dropped = CampaignChanges { removed: &removed, ..CampaignChanges::default() };
    changes.change_campaigns(&CREATOR.into(), &dropped).await.unwrap();
    changes.announce(&CREATOR.into()).await.unwrap();
    let newer = ours.replace("spillway1", "spillway9");
    for (nth, payload) in [ours.as_str(), &newer, "another tool's", "spillway1:"].iter().enumerate()
    {
        let tap = world.tap(1, &format!("t{nth}"), payload);
        assert_eq!(world.tell(&[tap]).await, 200);
        world.pass(10 * SECOND).await;
    }
    world.settle().await;
    assert_eq!(world.got(1).len(), 2);
    world.nothing_is_left().await;
}

/// Plays a conversation in which a process dies at its `n`th request, and what Meta does of itself:
/// it delivers again what got no 200. Returns what the person got, and whether a process died.
async fn with_a_death(n: u64, point: KillPoint) -> (Vec<String>, bool) {
    let mut world = World::talking(without(&["email"])).await;
    // What has arrived is known by its echo: a read of the conversation shows no buttons.
    world.stack.graph.echo_after(vec![SECOND]);
    world.follow(1, Some(true));
    world.comment(1).await;
    world.echo_all().await;
    world.stack.faults.kill_at(n, point);
    let mut died = false;
    let told = message(1, world.now(), "m1", "yes");
    while world.tell(std::slice::from_ref(&told)).await != 200 {
        died = true;
        world.pass(MINUTE).await;
    }
    for _ in 0..30 {
        world.pass(MINUTE).await;
        world.echo_all().await;
    }
    world.settle().await;
    world.echo_all().await;
    world.settle().await;
    assert_eq!(world.refused(), []);
    world.nothing_is_left().await;
    (world.got(1), died)
}

/// Wherever a process dies, nobody gets a step twice, and everybody gets all of them.
#[tokio::test]
async fn a_crash_anywhere_repeats_nothing_and_loses_nothing() {
    let all = [OPENING, "Here it is", "And the second part", "Did you read it?"];
    let mut deaths = 0;
    for n in (1..60).step_by(5) {
        for point in [KillPoint::Before, KillPoint::After] {
            let (got, died) = with_a_death(n, point).await;
            assert_eq!(got, all, "death at request {n}, {point:?}");
            deaths += u32::from(died);
        }
    }
    assert!(deaths > 1, "{deaths} deaths of webhooks");
}
