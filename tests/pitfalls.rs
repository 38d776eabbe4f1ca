//! What other senders of automatic messages have stumbled over, over the wire.

use std::time::Duration;

use serde_json::{Value, json};
use spillway_core::time::Timestamp;
use spillway_graph::{Action, Fault, FaultKind};

use crate::conversations::{guide, payload, without};
use crate::harness::{CREATOR, OTHER, Said, World, all_said, careful, said};
use crate::triggers::{item, message, person};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// An echo of a message that no program has stamped.
fn by_hand(n: u32, at: Timestamp, mid: &str) -> Value {
    json!({ "sender": { "id": CREATOR }, "recipient": { "id": person(n) },
        "timestamp": at.as_millis(),
        "message": { "mid": mid, "text": "Hi, Ana here: did you get the guide?", "is_echo": true } })
}

impl World {
    /// Meta tells of what the account has sent, and leaves out what was stamped on it.
    async fn echo_without_stamps(&self) {
        for echo in self.stack.graph.take_echoes() {
            let mut body: Value = serde_json::from_slice(&echo.body).unwrap();
            let message = body.pointer_mut("/entry/0/messaging/0/message").unwrap();
            assert!(message.as_object_mut().unwrap().remove("metadata").is_some());
            assert_eq!(self.post(body.to_string().as_bytes()).await, 200);
        }
    }

    fn reads(&self) -> usize {
        self.calls().iter().filter(|call| call.action == Action::Read).count()
    }
}

/// The account's own answer has the keyword, and its echo comes before the answer to its call: it is
/// neither a keyword nor a human. A human's message with the keyword is the latter.
#[tokio::test]
async fn an_echo_with_the_keyword_starts_nothing() {
    let mut campaign = without(&["answer", "follow", "email", "follow_up"]);
    campaign["on"] = json!(["message"]);
    campaign["messages"] = json!(["Here is the guide"]);
    campaign.as_object_mut().unwrap().remove("then");
    let mut world = World::talking(campaign).await;
    world.stack.graph.echo_after(vec![Duration::ZERO]);
    let fault = Fault::new(FaultKind::ServerErrorAfterEffect).for_person(person(1).as_str());
    world.stack.graph.order_fault(fault);
    world.write(1, "m1", "guide").await;
    world.echo_all().await;
    world.pass(HOUR).await;
    assert_eq!(world.got(1), ["Here is the guide"]);
    // Nobody has taken the thread over.
    world.write(1, "m2", "guide").await;
    assert_eq!(world.got(1).len(), 2);
    assert_eq!(world.tell(&[by_hand(1, world.now(), "h1")]).await, 200);
    world.write(1, "m3", "guide").await;
    world.settle().await;
    assert_eq!(world.got(1).len(), 2, "a human writes to them");
}

/// Meta tells of the account's own messages without what was stamped on them: they are known by
/// their ids, and no human has written.
#[tokio::test]
async fn an_own_message_whose_stamp_is_lost_is_no_human() {
    let mut world = World::talking(guide()).await;
    world.comment(1).await;
    world.echo_without_stamps().await;
    world.write(1, "m1", "yes").await;
    world.echo_without_stamps().await;
    world.follow(1, Some(true));
    let tap = world.tap(1, "t1", &payload(&world.thread(1)[1]));
    assert_eq!(world.tell(&[tap]).await, 200);
    world.pass(MINUTE).await;
    world.echo_without_stamps().await;
    world.write(1, "m2", "ana@mail.example").await;
    world.pass(MINUTE).await;
    assert_eq!(world.got(1).len(), 5, "all is delivered");
    world.echo_without_stamps().await;
    world.pass(22 * HOUR).await;
    assert_eq!(world.got(1).last().map(String::as_str), Some("Did you read it?"));
    world.echo_without_stamps().await;
    // A human is still known.
    assert_eq!(world.tell(&[by_hand(1, world.now(), "h1")]).await, 200);
    world.write(1, "m3", "yes").await;
    let before = world.got(1).len();
    world.settle().await;
    assert_eq!(world.got(1).len(), before, "a human writes to them");
}

/// Nobody is asked about, and nothing is sent, for what opens no window. Whether a person follows is read
/// after each thing that they do, and an answer that does not tell harms nobody.
#[tokio::test]
async fn a_receipt_opens_no_gate_and_silence_blocks_nobody() {
    let mut world = World::talking(without(&["email", "follow_up"])).await;
    world.comment(1).await;
    let seen = item(1, world.now(), "read", json!({ "mid": "opening" }));
    let liked = item(1, world.now(), "reaction", json!({ "mid": "opening", "action": "react" }));
    assert_eq!(world.tell(&[seen, liked]).await, 200);
    world.pass(HOUR).await;
    assert_eq!((world.got(1).len(), world.reads()), (1, 0));
    world.follow(1, Some(false));
    world.write(1, "m1", "yes").await;
    assert_eq!((world.got(1)[1..].to_vec(), world.reads()), (vec!["Follow me first".into()], 1));
    world.follow(1, None);
    let tap = world.tap(1, "t1", &payload(&world.thread(1)[1]));
    assert_eq!(world.tell(&[tap]).await, 200);
    world.pass(5 * MINUTE).await;
    assert_eq!(world.got(1)[2..], ["Here it is", "And the second part"]);
    world.comment(2).await;
    assert_eq!(world.got(2).len(), 1, "the account is not on hold");
    world.settle().await;
    world.nothing_is_left().await;
}

/// Only the opening answers the comment. What follows needs an answer, and leaves the comment's state
/// alone where it is refused.
#[tokio::test]
async fn an_opening_stands_whatever_becomes_of_the_rest() {
    let mut world = World::talking(without(&["follow", "email", "follow_up"])).await;
    world.comment(1).await;
    world.pass(HOUR).await;
    assert_eq!(world.calls().len(), 1, "nothing follows before the person writes");
    let fault = Fault::new(FaultKind::RecipientUnavailable).for_action(Action::Message).times(100);
    world.stack.graph.order_fault(fault.for_person(person(1).as_str()));
    world.write(1, "m1", "yes").await;
    world.settle().await;
    assert_eq!(world.got(1).len(), 1);
    assert_eq!(world.state_of(&said(1).by(&person(1))).await, "sent");
    world.nothing_is_left().await;
}

/// A follow-up that is late because the account may not send ends without a call.
#[tokio::test]
async fn a_late_follow_up_is_not_called_outside_the_window() {
    let mut campaign = without(&["follow", "email"]);
    campaign["then"]["follow_up"][0]["after"] = "23h".into();
    let mut world = World::talking(campaign).await;
    world.comment(1).await;
    let closes_at = world.now() + 24 * HOUR;
    world.write(1, "m1", "yes").await;
    world.pass(22 * HOUR).await;
    let delivered = world.got(1).len();
    let fault = Fault::new(FaultKind::Blocked).lasting(3 * HOUR);
    world.stack.graph.order_fault(fault.for_account(CREATOR));
    world.comment(2).await;
    world.settle().await;
    assert_eq!(world.got(1).len(), delivered);
    let calls = world.calls().into_iter().filter(|call| call.action == Action::Message);
    let late = calls.filter(|call| call.at_ms > closes_at.as_millis()).count();
    assert_eq!(late, 0, "Meta need not tell that the window is closed");
    world.nothing_is_left().await;
}

/// Two follow-ups became due while their campaign was paused: only the second goes.
#[tokio::test]
async fn two_late_follow_ups_do_not_come_at_once() {
    let mut campaign = without(&["answer", "follow", "email"]);
    campaign["then"]["follow_up"] = json!([
        { "after": "5h", "unless": "never", "messages": ["First"] },
        { "after": "7h", "unless": "never", "messages": ["Second"] },
    ]);
    let mut world = World::talking(campaign).await;
    world.comment(1).await;
    world.write(1, "m1", "yes").await;
    world.pass(HOUR).await;
    let delivered = world.got(1).len();
    let (account, campaign) = (CREATOR.into(), "guide".into());
    assert!(world.outside.admin().accounts.pause(&account, &campaign).await.unwrap().changed);
    world.pass(10 * HOUR).await;
    assert_eq!(world.got(1).len(), delivered);
    assert!(
        world.outside.admin().accounts.resume_campaign(&account, &campaign).await.unwrap().changed
    );
    world.settle().await;
    assert_eq!(world.got(1)[delivered..], ["Second"]);
    world.nothing_is_left().await;
}

/// A button that an earlier tool has left in the thread says STOP, and its person means it.
#[tokio::test]
async fn a_stop_counts_on_another_tools_button() {
    let tap = |at, is_reply: bool| {
        if is_reply {
            let payload = json!({ "payload": "optout" });
            item(1, at, "message", json!({ "mid": "t1", "text": "Stop", "quick_reply": payload }))
        } else {
            item(1, at, "postback", json!({ "mid": "t1", "title": "STOP", "payload": "optout" }))
        }
    };
    for is_reply in [true, false] {
        let mut world = World::talking(guide()).await;
        assert_eq!(world.tell(&[tap(world.now(), is_reply)]).await, 200);
        world.comment(1).await;
        world.settle().await;
        assert!(world.got(1).is_empty(), "{is_reply}");
        world.nothing_is_left().await;
    }
}

/// STOP counts on a campaign's own quick reply as well. START is an ordinary title there.
#[tokio::test]
async fn a_stop_counts_on_an_own_reply() {
    let mut world = World::talking(without(&["email", "follow_up"])).await;
    let own = |world: &World, n, mid: &str, text: &str| {
        let payload = json!({ "payload": payload(&world.thread(n)[1]) });
        let said = json!({ "mid": mid, "text": text, "quick_reply": payload });
        item(n, world.now(), "message", said)
    };
    for n in [1, 2] {
        world.comment(n).await;
        world.write(n, &format!("m{n}"), "yes").await;
        assert_eq!(world.got(n)[1..], ["Follow me first"]);
        world.follow(n, Some(true));
    }
    let taps = [own(&world, 1, "t1", "Stop"), own(&world, 2, "t2", "Start")];
    assert_eq!(world.tell(&taps).await, 200);
    world.settle().await;
    assert_eq!(world.got(1).len(), 2);
    assert_eq!(world.got(2)[2..], ["Here it is", "And the second part"]);
    world.nothing_is_left().await;
}

/// A follow-up that is due soon does not wait for others for long.
#[tokio::test]
async fn a_short_follow_up_comes_soon() {
    let mut campaign = without(&["answer", "follow", "email"]);
    campaign["then"]["follow_up"] =
        json!([{ "after": "10m", "messages": ["Did you read it?"], "unless": "never" }]);
    let mut world = World::talking(campaign).await;
    world.comment(1).await;
    world.write(1, "m1", "yes").await;
    let delivered = world.got(1).len();
    world.pass(8 * MINUTE).await;
    assert_eq!(world.got(1).len(), delivered);
    // A minute of jitter, one for others to share a run, and one for the schedule.
    world.pass(6 * MINUTE).await;
    assert_eq!(world.got(1)[delivered..], ["Did you read it?"]);
}

/// Mentions and replies start a campaign by what they are, whatever is missing of their story, and a
/// message starts one thing, however much is attached to it.
#[tokio::test]
async fn attachments_are_never_needed_and_never_count_twice() {
    let mut on_messages = guide();
    on_messages["on"] = json!(["message", "story_reply"]);
    on_messages["messages"] = json!(["Here you are"]);
    on_messages.as_object_mut().unwrap().remove("then");
    let mut world = World::talking(on_messages).await;
    let thanks = json!({ "id": "thanks", "on": ["story_mention"], "messages": ["Thank you"] });
    world.put_campaign(thanks).await;
    let at = world.now();
    let attached = |n: u32, mid: &str, text: Option<&str>, attachments: Value| {
        item(n, at, "message", json!({ "mid": mid, "text": text, "attachments": attachments }))
    };
    let gone = json!({ "url": "https://cdn.example/gone.jpg" });
    let reply = json!({ "mid": "m5", "text": "guide", "reply_to": { "story": { "url": "x" } } });
    let items = [
        attached(1, "m1", None, json!([{ "type": "story_mention", "payload": {} }])),
        attached(2, "m2", None, json!([{ "type": "story_mention" }])),
        attached(3, "m3", None, json!([{ "type": "story_mention", "payload": gone }])),
        attached(4, "m4", Some("guide"), json!([{ "type": "ig_post" }, { "type": "share" }])),
        item(5, at, "message", reply),
        attached(6, "m6", None, json!([{ "type": "hologram" }, 7, null])),
        message(7, at, "m7", "guide"),
    ];
    for _ in 0..2 {
        assert_eq!(world.tell(&items).await, 200);
        world.pass(30 * SECOND).await;
    }
    world.settle().await;
    for n in 1..=3 {
        assert_eq!(world.got(n), ["Thank you"], "{n}");
    }
    for n in [4, 5, 7] {
        assert_eq!(world.got(n), ["Here you are"], "{n}");
    }
    assert!(world.got(6).is_empty());
    world.nothing_is_left().await;
}

/// A comment made under STOP is not answered, and does not count: the next one after START is
/// answered, on the same post too, and once.
#[tokio::test]
async fn a_comment_after_start_is_answered_on_the_same_post() {
    let mut world = World::talking(without(&["follow", "email", "follow_up"])).await;
    world.write(1, "m1", "STOP").await;
    let by = person(1);
    assert_eq!(world.say(&[said(1).by(&by)]).await, 200);
    world.pass(10 * MINUTE).await;
    world.write(1, "m2", "start").await;
    // The comment of before is told again, and stays unanswered.
    assert_eq!(world.say(&[said(1).by(&by)]).await, 200);
    world.pass(10 * MINUTE).await;
    assert!(world.got(1).is_empty());
    assert_eq!(world.say(&[said(2).by(&by)]).await, 200);
    world.pass(10 * MINUTE).await;
    assert_eq!(world.got(1).len(), 1);
    assert_eq!(world.say(&[said(3).by(&by)]).await, 200);
    world.settle().await;
    assert_eq!(world.got(1).len(), 1);
    world.nothing_is_left().await;
}

/// For two days Meta says to every account that its method does not exist. Nothing fails for good, nobody
/// asks more than once an hour, and all is sent afterwards.
#[tokio::test]
async fn an_outage_that_looks_like_a_mistake_fails_nothing() {
    const OUTAGE: Duration = Duration::from_secs(48 * 3600);
    let mut world = World::start(careful()).await;
    world.stack.graph.order_fault(
        Fault::new(FaultKind::Refused {
            code: 100,
            subcode: None,
            status: 400,
            message: Some("Unsupported request - method type: post".into()),
            effect: false,
        })
        .lasting(OUTAGE),
    );
    let begun = world.now();
    let others = all_said(201..=400).into_iter().map(|said| said.on(OTHER));
    let all: Vec<Said> = all_said(1..=200).into_iter().chain(others).collect();
    for (nth, said) in all.chunks(25).enumerate() {
        world.plan(begun + 2 * HOUR * u32::try_from(nth).unwrap(), said);
    }
    world.pass(OUTAGE).await;
    for account in [CREATOR, OTHER] {
        let calls = world.calls().into_iter().filter(|call| call.account.as_str() == account);
        let probes = calls.filter(|call| call.action == Action::PrivateReply).count();
        assert!((2..=48).contains(&probes), "{account}: {probes} probes in two days");
    }
    assert_eq!(world.report().await.failed, 0);
    world.settle().await;
    world.each_got_one_dm(&all).await;
    world.over(400).await;
}
