//! An account's disclosure over the wire: it begins the first message to a person, the first after a
//! lapse and the first after a human, and is said once whatever goes wrong.

use std::time::Duration;

use serde_json::{Value, json};
use spillway_core::content::Disclosure;
use spillway_core::conversation::DISCLOSURE_LAPSE;
use spillway_graph::{Fault, FaultKind};
use spillway_local::fault_injector::KillPoint;
use spillway_service::conversation_settings::ConversationSettings;

use crate::harness::{CREATOR, World, said};
use crate::triggers::{message, person};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const BOT: &str = "I am a bot.";

fn guide() -> Value {
    json!({
        "id": "guide", "keywords": ["guide"], "messages": ["Answer YES"], "once_per": "comment",
        "then": { "deliver": [
            { "text": "Here it is" },
            { "text": "And the rest", "buttons": [{ "title": "Thanks" }] },
        ] },
    })
}

impl World {
    async fn disclosing() -> Self {
        let world = Self::talking(guide()).await;
        let settings = ConversationSettings::default().with_disclosure(Disclosure::parse(BOT).ok());
        let changes = &world.outside.changes;
        assert!(changes.set_conversations(&CREATOR.into(), &settings).await.unwrap());
        changes.announce(&CREATOR.into()).await.unwrap();
        world
    }

    /// What a person got: each text, and whether it began with the disclosure.
    fn heard(&self, n: u32) -> Vec<(bool, String)> {
        let begin = format!("{BOT}\n\n");
        let split = |text: String| match text.strip_prefix(&begin) {
            Some(rest) => (true, rest.to_owned()),
            None => (false, text),
        };
        self.got(n).into_iter().map(split).collect()
    }

    /// How many messages to a person began with the disclosure.
    fn disclosed(&self, n: u32) -> usize {
        self.heard(n).iter().filter(|(disclosed, _)| *disclosed).count()
    }

    async fn human(&self, n: u32, mid: &str) {
        let echo = json!({ "sender": { "id": CREATOR }, "recipient": { "id": person(n) },
            "timestamp": self.now().as_millis(),
            "message": { "mid": mid, "text": "Hi, it's me!", "is_echo": true } });
        assert_eq!(self.tell(&[echo]).await, 200);
    }
}

#[tokio::test]
async fn it_begins_the_first_message_and_the_first_after_a_lapse_or_a_human() {
    let mut world = World::disclosing().await;
    world.comment(1).await;
    world.write(1, "m1", "yes").await;
    world.pass(MINUTE).await;
    let texts = |heard: Vec<(bool, String)>| {
        heard.into_iter().map(|(disclosed, text)| format!("{disclosed} {text}")).collect::<Vec<_>>()
    };
    let all = ["true Answer YES", "false Here it is", "false And the rest"];
    assert_eq!(texts(world.heard(1)), all);
    // A human has the thread for twelve hours.
    world.human(1, "h1").await;
    world.pass(13 * HOUR).await;
    assert_eq!(world.say(&[said(21).by(&person(1))]).await, 200);
    world.pass(MINUTE).await;
    assert_eq!(texts(world.heard(1))[3..], ["true Answer YES"]);
    world.write(1, "m2", "yes").await;
    world.pass(MINUTE).await;
    assert_eq!(texts(world.heard(1))[4..], ["false Here it is", "false And the rest"]);
    world.pass(DISCLOSURE_LAPSE).await;
    assert_eq!(world.say(&[said(22).by(&person(1))]).await, 200);
    world.pass(MINUTE).await;
    assert_eq!(texts(world.heard(1))[6..], ["true Answer YES"]);
    world.settle().await;
    assert_eq!(world.refused(), []);
    world.nothing_is_left().await;
}

/// A call that Meta has refused said nothing, and one that may have arrived said it.
#[tokio::test]
async fn what_was_refused_is_said_again_and_what_may_have_arrived_is_not() {
    let mut world = World::disclosing().await;
    let strike = |world: &World, n: u32, kind: FaultKind| {
        world.stack.graph.order_fault(Fault::new(kind).for_comment(said(n).id.as_str()));
    };
    // Throttled, and tried again.
    strike(&world, 1, FaultKind::Throttled { code: 613, regain_minutes: None });
    world.comment(1).await;
    world.pass(10 * MINUTE).await;
    assert_eq!(world.heard(1), [(true, "Answer YES".to_owned())]);
    // Refused for good: the next message is the first one.
    strike(&world, 2, FaultKind::RecipientUnavailable);
    world.comment(2).await;
    world.pass(2 * HOUR).await;
    let before = world.got(2).len();
    assert_eq!(world.say(&[said(22).by(&person(2))]).await, 200);
    world.pass(10 * MINUTE).await;
    assert_eq!((world.got(2).len(), world.disclosed(2)), (before + 1, 1));
    // It did not arrive, as the conversation shows, and its repeat says the same.
    world.stack.graph.open_window(CREATOR, person(3).as_str());
    strike(&world, 3, FaultKind::NoAnswerBeforeEffect);
    world.comment(3).await;
    world.pass(2 * HOUR).await;
    assert_eq!(world.heard(3), [(true, "Answer YES".to_owned())]);
    // It arrived, and was answered by an error: the next one does not say it again.
    strike(&world, 4, FaultKind::ServerErrorRepeatable);
    world.comment(4).await;
    world.pass(2 * HOUR).await;
    assert_eq!(world.say(&[said(24).by(&person(4))]).await, 200);
    world.pass(10 * MINUTE).await;
    assert_eq!((world.got(4).len(), world.disclosed(4)), (2, 1));
    world.settle().await;
    world.nothing_is_left().await;
}

/// What a conversation shows is known with its disclosure.
#[tokio::test]
async fn a_read_of_the_conversation_finds_the_message_behind_it() {
    let mut campaign = guide();
    campaign.as_object_mut().unwrap().remove("once_per");
    let mut world = World::disclosing().await;
    world.put_campaign(campaign).await;
    world.stack.graph.open_window(CREATOR, person(1).as_str());
    let fault = Fault::new(FaultKind::ServerErrorRepeatable);
    world.stack.graph.order_fault(fault.for_comment(said(1).id.as_str()));
    world.comment(1).await;
    world.settle().await;
    assert_eq!(world.state_of(&said(1).by(&person(1))).await, "sent");
    assert_eq!(world.heard(1), [(true, "Answer YES".to_owned())]);
    world.nothing_is_left().await;
}

/// Wherever a process dies, and however often an event is told, it is said once.
#[tokio::test]
async fn a_crash_or_a_redelivery_never_says_it_twice() {
    let mut whole = 0;
    for n in (1..50).step_by(7) {
        for point in [KillPoint::Before, KillPoint::After] {
            let mut world = World::disclosing().await;
            world.stack.graph.echo_after(vec![SECOND]);
            world.stack.faults.kill_at(n, point);
            let comment = [said(1).by(&person(1))];
            while world.say(&comment).await != 200 {
                world.pass(MINUTE).await;
            }
            for _ in 0..30 {
                world.pass(MINUTE).await;
                for echo in world.stack.graph.take_echoes() {
                    assert_eq!(world.post(&echo.body).await, 200);
                }
            }
            let told = message(1, world.now(), "m1", "yes");
            for _ in 0..2 {
                assert_eq!(world.tell(std::slice::from_ref(&told)).await, 200);
                world.pass(MINUTE).await;
            }
            world.pass(30 * MINUTE).await;
            let expected = [(true, "Answer YES"), (false, "Here it is"), (false, "And the rest")];
            let expected = expected.map(|(disclosed, text)| (disclosed, text.to_owned()));
            // Nothing shows that a first message did not arrive whose sender has died.
            let heard = world.heard(1);
            assert!(heard.is_empty() || heard == expected, "{n}, {point:?}: {heard:?}");
            whole += usize::from(!heard.is_empty());
            world.settle().await;
            world.nothing_is_left().await;
        }
    }
    assert!(whole > 10, "{whole} of 14");
}
