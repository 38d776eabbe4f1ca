//! Inputs on which systems of this kind have failed, and what each part does by itself.

use std::time::Duration;

use serde_json::{Value, json};
use spillway_core::campaign::Running;
use spillway_core::conversation::{
    BegunBy, CONVERSATION_KEPT, Effect, Event, Follows, Origin, Outcome, Payload, Report, State,
    Step, StepKey, StepSend, WINDOW, WINDOW_RESERVE,
};
use spillway_core::id::CampaignId;
use spillway_core::send::Class;
use spillway_core::time::Timestamp;

use crate::world::{START, World, opening, read_of};

const HOUR: u64 = 3600;

fn gate(unknown: &str, tries: u8) -> Value {
    json!({
        "follow": {
            "ask": ["Follow me first"], "button": "I follow", "unknown": unknown, "tries": tries,
        },
        "deliver": [{ "text": "Here" }],
    })
}

fn steps(effects: &[Effect]) -> Vec<Step> {
    let step = |effect: &Effect| match effect {
        Effect::Send(send) => Some(send.key.step),
        _ => None,
    };
    effects.iter().filter_map(step).collect()
}

fn sends(effects: &[Effect]) -> Vec<StepSend> {
    let send = |effect: &Effect| match effect {
        Effect::Send(send) => Some(send.clone()),
        _ => None,
    };
    effects.iter().filter_map(send).collect()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    /// Answers the only read among the effects.
    fn reads(&mut self, effects: &[Effect], follows: Follows) -> (Vec<Effect>, Outcome) {
        let [read] = effects else { panic!("{effects:?} is no read") };
        self.tell(&read_of(read, follows))
    }

    fn arrives(&mut self, send: &StepSend) -> (Vec<Effect>, Outcome) {
        let (campaign, key, at) = (send.campaign.clone(), send.key, self.now);
        self.tell(&Event::Sent { campaign, key, at, seen_from: at })
    }

    fn is_not_sent(&mut self, send: &StepSend) -> (Vec<Effect>, Outcome) {
        let (campaign, key) = (send.campaign.clone(), send.key);
        self.tell(&Event::NotSent { campaign, key })
    }

    /// Asked to follow, with the answer awaited.
    fn at_the_gate(unknown: &str, tries: u8) -> Self {
        let mut world = Self::guide(gate(unknown, tries));
        world.opening("guide", "comment");
        world.wait(60);
        let (effects, _) = world.says("guide please");
        let (effects, _) = world.reads(&effects, Follows::No);
        assert_eq!(steps(&effects), [Step::FollowAsk]);
        world.wait(60);
        world
    }

    /// One message delivered, and follow-ups to come.
    fn delivered(follow_up: Value) -> Self {
        let deliver = json!([{ "text": "Here" }]);
        let mut world = Self::guide(json!({ "deliver": deliver, "follow_up": follow_up }));
        world.opening("guide", "comment");
        world.wait(60);
        let (effects, _) = world.says("yes");
        assert_eq!(sends(&effects)[0].report, Report::End, "something follows");
        world.wait(60);
        world
    }
}

#[test]
fn nothing_follows_an_opening_before_the_person_writes() {
    let deliver = json!([{ "text": "One" }, { "text": "Two" }, { "text": "Three" }]);
    let mut world = World::guide(json!({ "deliver": deliver }));
    assert_eq!(world.opening("guide", "comment"), (vec![], Outcome::Noted));
    world.wait(HOUR);
    assert_eq!(world.tell(&Event::Timer).0, []);
    let (effects, _) = world.says("ok");
    let mut sent = sends(&effects);
    assert_eq!((sent[0].key.step, sent[0].class), (Step::Deliver(0), Class::ANSWER));
    assert_eq!(sent[0].deadline, world.now + WINDOW - WINDOW_RESERVE);
    assert_eq!(sent[0].report, Report::End, "the second waits for it");
    for nth in 1..3 {
        world.wait(5);
        sent = sends(&world.arrives(&sent[0].clone()).0);
        assert_eq!(sent[0].key.step, Step::Deliver(nth), "in their order");
    }
    assert_eq!(sent[0].report, Report::Failure, "nothing follows the last one");
}

#[test]
fn a_message_that_begins_a_conversation_is_its_answer_unless_words_are_asked_for() {
    let begin = |fields: Value| {
        let mut world = World::guide(fields);
        let at = world.now;
        world.wait(2);
        let event = opening("guide", "mid", BegunBy::Message(at), at);
        world.tell(&event).0
    };
    let deliver = json!([{ "text": "Here" }]);
    assert_eq!(steps(&begin(json!({ "deliver": deliver }))), [Step::Deliver(0)]);
    assert_eq!(begin(json!({ "answer": ["yes"], "deliver": deliver })), []);
}

#[test]
fn only_the_words_that_are_asked_for_are_an_answer() {
    let mut world = World::guide(json!({ "answer": ["yes"], "deliver": [{ "text": "Here" }] }));
    world.opening("guide", "comment");
    world.wait(60);
    let (effects, outcome) = world.says("what is this?");
    assert_eq!((effects, outcome), (vec![], Outcome::NotAnAnswer));
    assert!(outcome.leaves_message_to_triggers());
    world.wait(60);
    let (effects, outcome) = world.says("Yes, please");
    assert_eq!(steps(&effects), [Step::Deliver(0)]);
    assert!(!outcome.leaves_message_to_triggers());
    world.wait(60);
    let (_, outcome) = world.says("guide");
    assert_eq!(outcome, Outcome::NobodyWaits, "it may begin something");
}

#[test]
fn the_keyword_that_began_it_is_known_as_long_as_the_campaign_has_it() {
    let mut world = World::guide(json!({ "deliver": [{ "text": "1" }, { "text": "2" }] }));
    world.opening("guide", "comment");
    world.wait(60);
    world.says("yes");
    let first = world.last_send();
    assert_eq!(first.keyword.as_deref(), Some("guide"));
    world.all[0].0.keywords = vec!["another".into()];
    let (effects, _) = world.arrives(&first);
    assert_eq!(sends(&effects)[0].keyword, None);
}

#[test]
fn a_picture_is_an_answer_where_any_will_do_and_no_address() {
    let email = json!({ "email": { "ask": ["Which e-mail?"], "again": ["None"], "tries": 1 } });
    let mut world = World::guide(email);
    world.opening("guide", "comment");
    world.wait(60);
    assert_eq!(steps(&world.says("").0), [Step::EmailAsk]);
    world.wait(60);
    assert_eq!(steps(&world.says("").0), [Step::EmailAgain]);
}

#[test]
fn five_taps_within_three_seconds_are_one() {
    let mut world = World::at_the_gate("deliver", 5);
    let ask = world.last_send();
    let began = world.now;
    let tap = |millis: u64| Event::Tap {
        payload: ask.payload.encode(),
        at: began + Duration::from_millis(millis),
    };
    let (effects, _) = world.tell(&tap(0));
    assert!(matches!(effects[..], [Effect::ReadFollow { nth: 2, .. }]));
    world.wait(1);
    assert_eq!(world.tell(&tap(500)), (vec![], Outcome::Known));
    let (asked, _) = world.reads(&effects, Follows::No);
    assert_eq!(steps(&asked), [Step::FollowAsk], "a second ask");
    world.wait(3);
    for millis in [1000, 1500, 2000, 3000] {
        assert_eq!(world.tell(&tap(millis)), (vec![], Outcome::Known), "{millis}");
    }
    // A tap on the second ask answers it, however soon.
    let newest = world.last_send();
    assert!(matches!(world.taps(&newest).0[..], [Effect::ReadFollow { nth: 3, .. }]));
}

#[test]
fn buttons_of_what_is_over_do_nothing_and_are_counted() {
    let mut world = World::at_the_gate("deliver", 2);
    let ask = world.last_send();
    let (effects, _) = world.taps(&ask);
    let (effects, _) = world.reads(&effects, Follows::Yes);
    assert_eq!(steps(&effects), [Step::Deliver(0)]);
    world.wait(7 * 24 * HOUR);
    assert_eq!(world.taps(&ask), (vec![], Outcome::Known), "done");
    world.all[0].1 = Running::PausedSince(world.now);
    assert_eq!(world.taps(&ask), (vec![], Outcome::CampaignPaused));
    world.all[0].1 = Running::Active;
    world.all[0].0.ends = Some("2026-11-19".parse().unwrap());
    assert_eq!(world.taps(&ask), (vec![], Outcome::CampaignOver));
    world.all.clear();
    assert_eq!(world.taps(&ask), (vec![], Outcome::CampaignGone));
    let now = world.now;
    let mut tap = |payload: &str| world.tell(&Event::Tap { payload: payload.into(), at: now });
    assert_eq!(tap("c=guide&s=open"), (vec![], Outcome::NotOurs));
    assert_eq!(tap("%%%not-ours%%%"), (vec![], Outcome::NotOurs));
    assert_eq!(tap("spillway9:all new"), (vec![], Outcome::UnknownVersion));
    assert!(!Outcome::NotOurs.leaves_message_to_triggers(), "its title may be a keyword");
}

#[test]
fn who_is_in_the_middle_when_a_campaign_ends_is_not_turned_away() {
    let mut world = World::guide(json!({ "deliver": [{ "text": "Here" }] }));
    world.all[0].0.ends = Some("2026-11-17".parse().unwrap());
    // The opening had to wait for its slot until after the end.
    world.now = Timestamp::from_secs(1_795_200_000);
    world.opening("guide", "comment");
    world.wait(23 * HOUR);
    assert_eq!(steps(&world.says("yes").0), [Step::Deliver(0)]);
    world.opening("guide", "another comment");
    world.wait(25 * HOUR);
    assert_eq!(world.says("yes"), (vec![], Outcome::CampaignOver));
}

#[test]
fn unknown_is_never_a_no() {
    let read = |unknown: &str| {
        let mut world = World::guide(gate(unknown, 1));
        world.opening("guide", "comment");
        world.wait(60);
        let (effects, _) = world.says("yes");
        let (effects, outcome) = world.reads(&effects, Follows::Unknown);
        (world, effects, outcome)
    };
    assert_eq!(steps(&read("deliver").1), [Step::Deliver(0)]);
    let (mut world, effects, _) = read("ask");
    assert_eq!(steps(&effects), [Step::FollowAsk]);
    world.wait(60);
    let ask = world.last_send();
    let (effects, _) = world.taps(&ask);
    let (effects, _) = world.reads(&effects, Follows::Unknown);
    assert_eq!(steps(&effects), [Step::Deliver(0)], "asked often enough");
    let (mut world, effects, outcome) = read("skip");
    assert_eq!((effects, outcome), (vec![], Outcome::FollowUnknown));
    world.wait(60);
    let (effects, _) = world.says("hello?");
    let (effects, _) = world.reads(&effects, Follows::Yes);
    assert_eq!(steps(&effects), [Step::Deliver(0)], "it is read again");
}

#[test]
fn who_follows_after_the_last_ask_is_still_let_through() {
    let mut world = World::at_the_gate("deliver", 1);
    let ask = world.last_send();
    let (effects, _) = world.taps(&ask);
    assert_eq!(world.reads(&effects, Follows::No), (vec![], Outcome::NotFollowing));
    world.wait(HOUR);
    let (effects, _) = world.says("done");
    assert_eq!(world.reads(&effects, Follows::No), (vec![], Outcome::NotFollowing));
    world.wait(HOUR);
    let (effects, _) = world.taps(&ask);
    assert_eq!(steps(&world.reads(&effects, Follows::Yes).0), [Step::Deliver(0)]);
}

#[test]
fn a_read_that_is_lost_or_told_twice_counts_once() {
    let mut world = World::at_the_gate("deliver", 2);
    let ask = world.last_send();
    let (lost, _) = world.taps(&ask);
    world.wait(59);
    assert_eq!(world.tell(&Event::Timer).0, []);
    world.wait(1);
    let (effects, _) = world.tell(&Event::Timer);
    let answer = read_of(&effects[0], Follows::No);
    assert_eq!(world.tell(&read_of(&lost[0], Follows::No)), (vec![], Outcome::Known), "late");
    assert_eq!(steps(&world.tell(&answer).0), [Step::FollowAsk]);
    assert_eq!(world.tell(&answer), (vec![], Outcome::Known), "twice");
}

#[test]
fn an_address_is_asked_for_again_and_then_done_without() {
    let fields = json!({
        "email": { "ask": ["Which e-mail?"], "again": ["That is none"], "tries": 2 },
        "deliver": [{ "text": "Here" }],
    });
    let mut world = World::guide(fields.clone());
    world.opening("guide", "comment");
    let mut asked = Vec::new();
    for text in ["yes", "me", "ana at example", "none of your business"] {
        world.wait(60);
        asked.extend(steps(&world.says(text).0));
    }
    let again = Step::EmailAgain;
    assert_eq!(asked, [Step::EmailAsk, again, again, Step::Deliver(0)]);

    let mut world = World::guide(fields);
    world.opening("guide", "comment");
    for text in ["yes", "me"] {
        world.wait(60);
        world.says(text);
    }
    world.wait(60);
    let (effects, _) = world.says("sorry: ana@Example.com!");
    let [Effect::StoreEmail { email, .. }, Effect::Send(delivery)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((email.as_str(), delivery.key.step), ("ana@example.com", Step::Deliver(0)));
    assert!(!format!("{effects:?}").contains("ana@"), "no log shows it");
}

#[test]
fn a_mistyped_address_is_asked_about_again_however_soon() {
    let mut world = World::guide(json!({
        "email": { "ask": ["Which e-mail?"], "again": ["Again?"] }, "deliver": [{ "text": "Here" }],
    }));
    world.opening("guide", "comment");
    world.wait(60);
    assert_eq!(steps(&world.says("yes").0), [Step::EmailAsk]);
    world.wait(1);
    assert_eq!(world.says("one moment").0, []);
    world.wait(1);
    assert_eq!(steps(&world.says("ana@example").0), [Step::EmailAgain]);
}

#[test]
fn what_was_written_in_one_go_is_one_answer() {
    let mut world = World::guide(json!({
        "email": { "ask": ["Which e-mail?"] }, "deliver": [{ "text": "Here" }],
    }));
    world.opening("guide", "comment");
    world.wait(60);
    let began = world.now;
    let messages = ["yes", "please", "I want it"].map(|text| {
        world.wait(1);
        world.message(text, world.now)
    });
    assert_eq!(steps(&world.tell(&messages[0]).0), [Step::EmailAsk]);
    for message in &messages {
        assert_eq!(world.tell(message).0, [], "{:?}", world.now.since(began));
    }
    world.wait(1);
    let email = world.message("ana@example.com", world.now);
    assert_eq!(steps(&world.tell(&email).0), [Step::Deliver(0)], "an address is one at once");
}

#[test]
fn one_message_answers_one_conversation_the_newest() {
    let mut world = World::new(vec![
        ("old", json!({ "deliver": [{ "text": "Old" }] })),
        ("new", json!({ "answer": ["yes"], "deliver": [{ "text": "New" }] })),
    ]);
    world.opening("old", "first comment");
    world.wait(60);
    world.opening("new", "second comment");
    world.wait(60);
    let yes = world.message("yes", world.now);
    let (effects, _) = world.tell(&yes);
    assert_eq!(sends(&effects)[0].campaign, "new".into());
    world.wait(30);
    assert_eq!(world.tell(&yes), (vec![], Outcome::Known), "told twice, it is no second answer");
    world.wait(30);
    assert_eq!(sends(&world.says("thanks").0)[0].campaign, "old".into());
}

#[test]
fn an_answer_that_is_told_before_its_opening_counts_where_any_does() {
    let tell = |fields: Value| {
        let mut world = World::guide(fields);
        let sent_at = world.now;
        world.wait(30);
        assert_eq!(world.says("yes").1, Outcome::NobodyWaits);
        world.wait(5);
        world.tell(&opening("guide", "comment", BegunBy::Comment, sent_at)).0
    };
    let deliver = json!([{ "text": "Here" }]);
    assert_eq!(steps(&tell(json!({ "deliver": deliver }))), [Step::Deliver(0)]);
    assert_eq!(tell(json!({ "answer": ["yes"], "deliver": deliver })), [], "it is not kept");
}

#[test]
fn what_was_written_before_the_opening_is_no_answer_to_it() {
    let mut world = World::guide(json!({ "answer": ["yes"], "deliver": [{ "text": "Here" }] }));
    let said_at = world.now;
    world.wait(30);
    world.opening("guide", "comment");
    world.wait(5);
    let before = world.message("yes", said_at);
    assert_eq!(world.tell(&before), (vec![], Outcome::NobodyWaits));
    assert_eq!(steps(&world.says("yes").0), [Step::Deliver(0)]);
}

#[test]
fn a_late_answer_sends_nothing_and_is_not_lost() {
    let mut world = World::guide(json!({ "deliver": [{ "text": "Here" }] }));
    world.opening("guide", "comment");
    let said_at = world.now + secs(60);
    world.wait(30 * HOUR);
    let late = world.message("yes", said_at);
    assert_eq!(world.tell(&late), (vec![], Outcome::WindowClosed));
    world.wait(60);
    let (effects, _) = world.says("hello?");
    assert_eq!(steps(&effects), [Step::Deliver(0)]);
    assert_eq!(sends(&effects)[0].deadline, world.now + WINDOW - WINDOW_RESERVE);
}

#[test]
fn a_follow_up_comes_in_its_time_within_the_window_or_not_at_all() {
    let later = |after: &str, unless: &str| json!({ "after": after, "messages": ["Read it?"], "unless": unless });
    let mut world = World::delivered(json!([later("1h", "answered"), later("23h", "never")]));
    let (said_at, delivery) = (world.now - secs(60), world.last_send());
    // The delivery had to wait for two hours.
    world.wait(2 * HOUR);
    let sent_at = world.now;
    let (effects, _) = world.arrives(&delivery);
    let sent = sends(&effects);
    assert_eq!(steps(&effects), [Step::FollowUp(0)], "25 hours after the answer is too late");
    assert_eq!(sent[0].class, Class::FOLLOW_UP);
    let goes_at = sent[0].not_before.unwrap();
    assert!(goes_at >= sent_at + secs(HOUR) && goes_at <= sent_at + secs(HOUR + 600));
    assert_eq!(sent[0].deadline, said_at + WINDOW - WINDOW_RESERVE);
    // Another message moves the window: the first is cancelled, and the second has become possible.
    world.wait(60);
    let (effects, _) = world.says("thanks");
    let key = sent[0].key;
    assert_eq!(effects[0], Effect::Cancel { campaign: "guide".into(), key });
    let sent = sends(&effects);
    assert_eq!(steps(&effects), [Step::FollowUp(1)]);
    assert!(sent[0].not_before.unwrap() >= sent_at + secs(23 * HOUR));
    assert_eq!(sent[0].deadline, world.now + WINDOW - WINDOW_RESERVE);
}

#[test]
fn a_follow_up_whose_time_has_passed_does_not_come_days_later() {
    let mut world =
        World::delivered(json!([{ "after": "23h", "messages": ["Read it?"], "unless": "never" }]));
    world.wait(2 * HOUR);
    let delivery = world.last_send();
    assert_eq!(world.arrives(&delivery).0, []);
    world.wait(3 * 24 * HOUR);
    assert_eq!(world.says("hi again").0, []);
}

#[test]
fn a_click_cancels_what_waits_for_the_lack_of_one_and_opens_no_window() {
    let mut world = World::delivered(json!([
        { "after": "1h", "messages": ["Opened it?"], "unless": "clicked" },
        { "after": "2h", "messages": ["Bye"], "unless": "never" },
    ]));
    let delivery = world.last_send();
    let sent = sends(&world.arrives(&delivery).0);
    assert_eq!(sent.len(), 2);
    let closes_at = world.state.closes_at();
    let clicked = Event::Clicked { campaign: "guide".into(), origin: Origin::new("comment") };
    let (effects, _) = world.tell(&clicked);
    assert_eq!(effects, [Effect::Cancel { campaign: "guide".into(), key: sent[0].key }]);
    assert_eq!(world.state.closes_at(), closes_at);
    assert_eq!(world.tell(&clicked).0, []);
}

#[test]
fn a_delivery_whose_answer_came_before_it_was_told_has_no_follow_up() {
    let mut world = World::delivered(json!([{ "after": "1h", "messages": ["Read it?"] }]));
    let (sent_at, delivery) = (world.now, world.last_send());
    world.wait(30);
    world.says("thank you!");
    let (campaign, key) = (delivery.campaign.clone(), delivery.key);
    let told = Event::Sent { campaign, key, at: sent_at, seen_from: sent_at };
    assert_eq!(world.tell(&told).0, []);
}

#[test]
fn what_is_said_between_two_attempts_of_a_delivery_may_answer_the_first() {
    let mut world = World::delivered(json!([{ "after": "1h", "messages": ["Read it?"] }]));
    let (seen_from, delivery) = (world.now, world.last_send());
    world.wait(30);
    world.says("thank you!");
    world.wait(30);
    let (campaign, key) = (delivery.campaign.clone(), delivery.key);
    let told = Event::Sent { campaign, key, at: world.now, seen_from };
    assert_eq!(world.tell(&told).0, []);
}

#[test]
fn the_latest_keys_are_those_of_what_was_sent() {
    let mut world = World::delivered(json!([{ "after": "1h", "messages": ["Read it?"] }]));
    let delivery = world.last_send();
    world.arrives(&delivery);
    let person = "526".into();
    let then = |id: &CampaignId| {
        world
            .all
            .iter()
            .find(|(known, _)| known.id == *id)
            .and_then(|(known, _)| known.then.as_ref())
    };
    let keys = world.state.latest_keys(&person, then);
    assert!(world.sends.len() >= 2, "a delivery and a follow-up");
    for send in &world.sends {
        assert!(keys.contains(&send.key.once_key(&person)), "{:?}", send.key);
    }
}

#[test]
fn stop_ends_everything_until_start() {
    let mut world = World::at_the_gate("deliver", 2);
    let ask = world.last_send();
    let (effects, outcome) = world.says(" Stop. ");
    assert_eq!((effects, outcome), (vec![Effect::CancelAll], Outcome::Stopped));
    assert!(world.state.is_stopped(), "no campaign answers a comment of theirs");
    assert_eq!(world.state.expires_at(), None, "and that is kept");
    for _ in 0..2 {
        world.wait(60);
        assert_eq!(world.says("stop"), (vec![], Outcome::Stopped));
        assert_eq!(world.taps(&ask), (vec![], Outcome::Stopped));
        assert_eq!(world.says("don't stop").1, Outcome::Stopped);
        assert_eq!(world.tell(&Event::Timer), (vec![], Outcome::Stopped));
    }
    world.wait(4 * 24 * HOUR);
    assert_eq!(world.says("START"), (vec![], Outcome::Restarted));
    assert!(!world.state.is_stopped());
    world.wait(60);
    let (effects, _) = world.taps(&ask);
    assert_eq!(steps(&world.reads(&effects, Follows::Yes).0), [Step::Deliver(0)]);
}

#[test]
fn stop_and_start_count_by_when_they_were_written() {
    let mut world = World::guide(json!({ "deliver": [{ "text": "Here" }] }));
    world.opening("guide", "comment");
    let (stopped_at, started_at) = (world.now + secs(10), world.now + secs(20));
    world.wait(60);
    let (start, stop) = (world.message("START", started_at), world.message("STOP", stopped_at));
    // Nobody was stopped yet, so this is a word like any other.
    assert_eq!(steps(&world.tell(&start).0), [Step::Deliver(0)]);
    assert_eq!(world.tell(&stop), (vec![], Outcome::Known));
    assert!(!world.state.is_stopped());
}

#[test]
fn what_a_stop_has_cancelled_is_sent_when_the_person_comes_back() {
    let mut world = World::guide(json!({ "deliver": [{ "text": "Here" }] }));
    world.opening("guide", "comment");
    world.wait(60);
    world.says("yes");
    let first = world.last_send();
    world.says("STOP");
    assert_eq!(world.is_not_sent(&first), (vec![], Outcome::Noted));
    world.wait(60);
    world.says("START");
    world.wait(60);
    let (effects, _) = world.says("sorry, yes");
    let second = &sends(&effects)[0];
    assert_eq!(second.key.step, Step::Deliver(0));
    assert_ne!(second.key, first.key, "the first key has ended");
    assert_eq!(world.is_not_sent(&first), (vec![], Outcome::Known), "told twice");
}

#[test]
fn a_human_takes_over_for_twelve_hours() {
    let mut world = World::at_the_gate("deliver", 2);
    let ask = world.last_send();
    let wrote_at = world.now;
    let human = Event::HumanWrote { at: wrote_at };
    assert_eq!(world.tell(&human), (vec![Effect::CancelAll], Outcome::TakenOver));
    assert_eq!(world.state.taken_over_until(world.now), Some(wrote_at + secs(12 * HOUR)));
    world.wait(12 * HOUR - 1);
    assert_eq!(world.taps(&ask), (vec![], Outcome::TakenOver));
    let (_, outcome) = world.says("is this a robot?");
    assert_eq!(outcome, Outcome::TakenOver);
    assert!(!outcome.leaves_message_to_triggers());
    world.wait(1);
    assert_eq!(world.state.taken_over_until(world.now), None);
    assert_eq!(world.tell(&human), (vec![], Outcome::Known), "told late");
    let (effects, _) = world.taps(&ask);
    assert_eq!(steps(&world.reads(&effects, Follows::Yes).0), [Step::Deliver(0)]);
}

#[test]
fn a_read_that_comes_back_during_a_takeover_decides_nothing() {
    let mut world = World::at_the_gate("deliver", 2);
    let ask = world.last_send();
    let (read, _) = world.taps(&ask);
    let at = world.now;
    world.tell(&Event::HumanWrote { at });
    assert_eq!(world.reads(&read, Follows::Yes), (vec![], Outcome::TakenOver));
    world.wait(12 * HOUR);
    assert!(matches!(world.taps(&ask).0[..], [Effect::ReadFollow { nth: 3, .. }]), "afresh");
}

#[test]
fn an_ask_that_was_not_sent_is_not_counted() {
    let mut world = World::at_the_gate("deliver", 1);
    let first = world.last_send();
    world.is_not_sent(&first);
    let (effects, _) = world.says("hello?");
    let (effects, _) = world.reads(&effects, Follows::No);
    let second = sends(&effects);
    assert_eq!(second[0].key.step, Step::FollowAsk);
    assert_ne!(second[0].key, first.key);
}

#[test]
fn a_removed_campaign_leaves_nothing_behind() {
    let mut world = World::delivered(json!([{ "after": "1h", "messages": ["Read it?"] }]));
    let delivery = world.last_send();
    let sent = sends(&world.arrives(&delivery).0);
    world.all.clear();
    let (effects, _) = world.tell(&Event::CampaignRemoved { campaign: "guide".into() });
    assert_eq!(effects, [Effect::Cancel { campaign: "guide".into(), key: sent[0].key }]);
    assert!(!world.state.is_waiting());
}

#[test]
fn a_campaign_that_changes_in_the_middle_is_taken_as_it_is_now() {
    let mut world = World::at_the_gate("deliver", 2);
    let ask = world.last_send();
    let then = crate::world::then(json!({ "deliver": [{ "text": "For everybody" }] }));
    world.all[0].0.then = Some(then);
    assert_eq!(steps(&world.taps(&ask).0), Vec::<Step>::new(), "a read, as it was asked for");
    let read = Event::FollowRead {
        campaign: "guide".into(),
        origin: ask.key.origin,
        nth: 2,
        follows: Follows::No,
    };
    assert_eq!(steps(&world.tell(&read).0), [Step::Deliver(0)], "there is no gate any more");
}

#[test]
fn a_refused_opening_ends_its_conversation_until_it_is_known_to_have_arrived() {
    let mut world = World::guide(json!({ "deliver": [{ "text": "Here" }] }));
    let (campaign, origin) = ("guide".into(), Origin::new("comment"));
    let refused = Event::OpeningRefused { campaign, origin };
    assert_eq!(world.tell(&refused).1, Outcome::Known, "nothing was begun");
    world.opening("guide", "comment");
    assert_eq!(world.tell(&refused).1, Outcome::Noted);
    assert!(!world.state.is_waiting());
    world.wait(60);
    assert_eq!(world.says("yes").1, Outcome::NobodyWaits);
    world.opening("guide", "comment");
    world.wait(60);
    assert_eq!(steps(&world.says("yes").0), [Step::Deliver(0)]);
    assert_eq!(world.tell(&refused).1, Outcome::Known, "it cannot have been refused");
}

#[test]
fn a_button_takes_up_a_conversation_of_which_nothing_is_known() {
    let mut world = World::guide(gate("deliver", 2));
    let begun_at = world.now;
    let key = StepKey { origin: Origin::new("comment"), step: Step::FollowAsk, attempt: 1 };
    let payload = Payload::new(&"guide".into(), key, begun_at).unwrap().encode();
    world.wait(HOUR);
    let tap = Event::Tap { payload: payload.clone(), at: world.now };
    let (effects, _) = world.tell(&tap);
    let (effects, _) = world.reads(&effects, Follows::Yes);
    assert_eq!(steps(&effects), [Step::Deliver(0)]);
    // The same tap after everything was forgotten, and the conversation with it.
    world.state = State::default();
    world.now = begun_at + CONVERSATION_KEPT;
    let tap = Event::Tap { payload, at: world.now };
    assert_eq!(world.tell(&tap), (vec![], Outcome::TooOld));
}

#[test]
fn a_state_expires_when_no_tap_can_need_it_any_more() {
    let mut world = World::guide(json!({ "deliver": [{ "text": "Here" }] }));
    assert_eq!(State::default().expires_at(), Some(Timestamp::EPOCH));
    world.opening("guide", "comment");
    let begun_at = Timestamp::from_secs(START.as_secs() / 60 * 60);
    assert_eq!(world.state.expires_at(), Some(begun_at + CONVERSATION_KEPT));
    assert!(world.state.is_waiting());
}
