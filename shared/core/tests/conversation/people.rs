//! People who do what is asked reach the delivery, although events are lost, late, repeated and out
//! of order: whoever hears nothing acts again.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use spillway_core::conversation::{BegunBy, Effect, Event, Follows, Step, StepSend};
use spillway_core::time::Timestamp;

use crate::world::{World, opening, read_of, scripts};

/// Decisions, one after the other, from the beginning again at the end.
struct Tape {
    bytes: Vec<u8>,
    at: usize,
}

impl Tape {
    fn next(&mut self) -> u8 {
        self.at += 1;
        // Each round is another one, so that no bad luck lasts for ever.
        let round = (self.at / self.bytes.len()) as u8;
        self.bytes[self.at % self.bytes.len()].wrapping_add(round.wrapping_mul(97))
    }

    /// True in so many of 100 cases.
    fn is(&mut self, percent: u8) -> bool {
        u16::from(self.next()) * 100 / 256 < percent.into()
    }
}

/// What a person does when a message of the conversation arrives.
#[derive(Clone, Debug)]
enum Doing {
    Answer,
    Tap(StepSend),
    TellAddress { bad_first: bool },
}

/// Plays one conversation. Returns how often each message has arrived.
fn play(name: &'static str, by_message: bool, tape: &mut Tape) -> BTreeMap<Step, usize> {
    let mut world = World::new(scripts().into_iter().filter(|(id, _)| *id == name).collect());
    let total = world.all[0].0.then.as_ref().unwrap().deliver.len();
    let asks_for_address = world.all[0].0.then.as_ref().unwrap().email.is_some();
    // What is under way: events to be told, and messages to arrive.
    let mut events: Vec<(Timestamp, Event)> = Vec::new();
    let mut arriving: Vec<(Timestamp, StepSend)> = Vec::new();
    let mut arrived: BTreeMap<Step, usize> = BTreeMap::new();
    let (mut is_follower, mut has_address) = (tape.is(30), false);
    let opened_at = world.now;
    let by = if by_message { BegunBy::Message(opened_at) } else { BegunBy::Comment };
    let begun = opening(name, "comment", by, opened_at);
    let secs = Duration::from_secs;
    // Its end is written with the state, so it is not lost. It may be late.
    events.push((opened_at + secs(tape.next().into()), begun.clone()));
    if tape.is(20) {
        events.push((opened_at + secs(tape.next().into()), begun));
    }
    let (mut doing, mut acts_at) = (Doing::Answer, opened_at + secs(1 + u64::from(tape.next())));
    let mut acts = 0;
    let is_done = |arrived: &BTreeMap<Step, usize>, has_address: bool| {
        (0..total).all(|nth| arrived.contains_key(&Step::Deliver(nth as u8)))
            && (total > 0 || has_address || !asks_for_address)
    };
    while !is_done(&arrived, has_address) {
        assert!(acts < 200, "{name}: {arrived:?} after {acts} acts, {doing:?}");
        let next_event = events.iter().map(|(at, _)| *at).min();
        let next_arrival = arriving.iter().map(|(at, _)| *at).min();
        let instants = [next_event, next_arrival, Some(acts_at)];
        world.now = instants.into_iter().flatten().min().unwrap().max(world.now);
        let now = world.now;
        if let Some(at) = arriving.iter().position(|(at, _)| *at <= now) {
            let (_, send) = arriving.remove(at);
            *arrived.entry(send.key.step).or_default() += 1;
            doing = match send.key.step {
                Step::FollowAsk => {
                    // Some tap without following first.
                    is_follower |= tape.is(60);
                    Doing::Tap(send.clone())
                }
                Step::EmailAsk => Doing::TellAddress { bad_first: total > 0 && tape.is(40) },
                Step::EmailAgain => Doing::TellAddress { bad_first: false },
                _ => doing,
            };
            acts_at = now + secs(4 + u64::from(tape.next()));
            let (campaign, key) = (send.campaign, send.key);
            // Most are told; a lost one costs its step until the person acts.
            if tape.is(85) {
                let told = now + secs(u64::from(tape.next()) / 8);
                events.push((told, Event::Sent { campaign, key, at: now, seen_from: now }));
            }
        } else if let Some(at) = events.iter().position(|(at, _)| *at <= now) {
            let (_, event) = events.remove(at);
            for effect in world.tell(&event).0 {
                match effect {
                    Effect::Send(send) => {
                        let goes = send.not_before.unwrap_or(now).max(now);
                        arriving.push((goes + secs(u64::from(tape.next()) / 64), send));
                    }
                    Effect::ReadFollow { .. } if tape.is(10) => {}
                    Effect::ReadFollow { .. } => {
                        let follows = match is_follower {
                            _ if tape.is(10) => Follows::Unknown,
                            true => Follows::Yes,
                            false => Follows::No,
                        };
                        let read = read_of(&effect, follows);
                        events.push((now + secs(u64::from(tape.next()) / 32), read.clone()));
                        if tape.is(10) {
                            events.push((now + secs(tape.next().into()), read));
                        }
                    }
                    Effect::StoreEmail { .. } => has_address = true,
                    Effect::Cancel { key, .. } => arriving.retain(|(_, send)| send.key != key),
                    Effect::CancelAll => panic!("nobody has asked for that"),
                }
            }
        } else {
            acts += 1;
            // Whoever hears nothing acts again, and follows in the end.
            acts_at = now + secs(900 + 60 * u64::from(tape.next()));
            is_follower |= acts > 3;
            let event = match doing.clone() {
                Doing::Answer => world.message(["yes", "go yes", "Yes, go!"][acts % 3], now),
                Doing::Tap(send) => Event::Tap { payload: send.payload.encode(), at: now },
                Doing::TellAddress { bad_first: true } => {
                    doing = Doing::TellAddress { bad_first: false };
                    world.message("my address", now)
                }
                Doing::TellAddress { bad_first: false } => world.message("ana@example.com", now),
            };
            let times = if tape.is(25) { 5 } else { 1 };
            for _ in 0..times {
                if tape.is(75) {
                    let late = match tape.next() {
                        0..200 => u64::from(tape.next()) / 32,
                        200..250 => u64::from(tape.next()) * 10,
                        _ => 100_000,
                    };
                    events.push((now + secs(late), event.clone()));
                }
            }
        }
    }
    arrived
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whoever_does_what_is_asked_gets_each_message_once(
        bytes in prop::collection::vec(any::<u8>(), 16..200),
        which in 0usize..4,
        by_message: bool,
    ) {
        let (name, fields) = scripts().swap_remove(which);
        let arrived = play(name, by_message, &mut Tape { bytes, at: 0 });
        let delivered = fields["deliver"].as_array().map_or(0, Vec::len);
        for nth in 0..delivered {
            prop_assert_eq!(arrived.get(&Step::Deliver(nth as u8)), Some(&1));
        }
        prop_assert!(arrived.get(&Step::EmailAsk).is_none_or(|&count| count == 1));
    }
}
