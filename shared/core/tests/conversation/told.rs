//! Whatever is told, in whatever order and however often: nothing is done that may not be done.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use spillway_core::campaign::Running;
use spillway_core::conversation::{
    BegunBy, Effect, Event, Follows, Origin, Payload, Step, StepKey,
};
use spillway_core::time::Timestamp;

use crate::world::{START, World, opening, scripts};

#[derive(Clone, Debug)]
enum Act {
    Wait(u64),
    Opening {
        campaign: usize,
        origin: u8,
        by_message: bool,
        late: u64,
    },
    Refused {
        campaign: usize,
        origin: u8,
    },
    Says {
        text: &'static str,
        late: u64,
    },
    /// Taps the button of a message that was sent.
    Taps {
        nth: Pick,
        late: u64,
    },
    TapsOther(&'static str),
    /// Taps a button of a conversation of which nothing else may be known.
    TapsUnknown {
        campaign: usize,
        origin: u8,
        step: Step,
        age: u64,
    },
    /// Answers a read that was asked for at some time.
    Read {
        nth: Pick,
        follows: Follows,
    },
    /// Tells what became of a message that was sent.
    Ended {
        nth: Pick,
        is_sent: bool,
        is_repeat: bool,
    },
    Human {
        late: u64,
    },
    Click {
        nth: Pick,
    },
    Running {
        campaign: usize,
        running: bool,
    },
    Remove {
        campaign: usize,
        is_told: bool,
    },
    /// Tells again, word for word, what was told before.
    Again(Pick),
    Timer,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let wait = prop_oneof![
        4 => 0u64..8,
        3 => 0u64..4000,
        2 => 0u64..100_000,
        1 => 0u64..9_000_000,
    ];
    let late = || prop_oneof![6 => 0u64..5, 2 => 0u64..5000, 1 => 0u64..130_000].boxed();
    let texts = [
        "yes",
        "yes please",
        "whatever",
        "go",
        "",
        "ana@example.com",
        "yes: bo@example.org",
        "STOP",
        " Stop. ",
        "arrêt",
        "don't stop",
        "START",
        "START",
    ];
    let origin = || 0u8..3;
    let campaign = || 0usize..4;
    let step = prop_oneof![
        Just(Step::Opening),
        Just(Step::FollowAsk),
        (0u8..4).prop_map(Step::Deliver),
        (0u8..4).prop_map(Step::FollowUp),
    ];
    let index =
        || prop_oneof![1 => Just(Pick::Last), 3 => any::<u16>().prop_map(Pick::Any)].boxed();
    let follows = select(vec![Follows::Yes, Follows::No, Follows::No, Follows::Unknown]);
    let act = prop_oneof![
        20 => wait.prop_map(Act::Wait),
        8 => (campaign(), origin(), prop::bool::weighted(0.3), late())
            .prop_map(|(campaign, origin, by_message, late)| Act::Opening {
                campaign, origin, by_message, late,
            }),
        1 => (campaign(), origin()).prop_map(|(campaign, origin)| Act::Refused { campaign, origin }),
        20 => (select(texts.to_vec()), late()).prop_map(|(text, late)| Act::Says { text, late }),
        14 => (index(), late()).prop_map(|(nth, late)| Act::Taps { nth, late }),
        1 => select(vec!["c=guide", "", "spillway2:later"]).prop_map(Act::TapsOther),
        1 => (campaign(), origin(), step, 0u64..9_000_000).prop_map(
            |(campaign, origin, step, age)| Act::TapsUnknown { campaign, origin, step, age }
        ),
        14 => (index(), follows).prop_map(|(nth, follows)| Act::Read { nth, follows }),
        10 => (index(), prop::bool::weighted(0.8), prop::bool::weighted(0.2))
            .prop_map(|(nth, is_sent, is_repeat)| Act::Ended { nth, is_sent, is_repeat }),
        2 => late().prop_map(|late| Act::Human { late }),
        2 => index().prop_map(|nth| Act::Click { nth }),
        2 => (campaign(), prop::bool::weighted(0.6))
            .prop_map(|(campaign, running)| Act::Running { campaign, running }),
        1 => (campaign(), any::<bool>())
            .prop_map(|(campaign, is_told)| Act::Remove { campaign, is_told }),
        6 => index().prop_map(Act::Again),
        3 => Just(Act::Timer),
    ];
    (select(beginnings()), prop::collection::vec(act, 1..100))
        .prop_map(|(beginning, acts)| beginning.into_iter().chain(acts).collect())
}

/// What the others begin with: nothing, or the way to a place that few reach by chance.
fn beginnings() -> Vec<Vec<Act>> {
    let opening = |campaign| Act::Opening { campaign, origin: 0, by_message: false, late: 0 };
    let says = |text| Act::Says { text, late: 0 };
    let read = |follows| Act::Read { nth: Pick::Last, follows };
    let sent = || Act::Ended { nth: Pick::Last, is_sent: true, is_repeat: false };
    let wait = || Act::Wait(60);
    let gate = vec![opening(0), wait(), says("yes"), read(Follows::No), wait()];
    let delivered =
        vec![opening(2), wait(), says("whatever"), read(Follows::Yes), wait(), sent(), wait()];
    let address = [wait(), says("ana@example.com"), wait(), sent(), wait()];
    let mut all = gate.clone();
    all.extend([Act::Taps { nth: Pick::Last, late: 0 }, read(Follows::Yes)]);
    all.extend(address);
    vec![Vec::new(), Vec::new(), gate, delivered, all]
}

/// One of a list.
#[derive(Clone, Copy, Debug)]
enum Pick {
    Last,
    Any(u16),
}

impl Pick {
    fn index(self, len: usize) -> usize {
        match self {
            Self::Last => len - 1,
            Self::Any(nth) => usize::from(nth) % len,
        }
    }
}

const NAMES: [&str; 4] = ["full", "any", "ask", "skip"];

/// What is known of the messages that were sent, so that nothing impossible is told.
#[derive(Default)]
struct Fates {
    /// By the order of their effects: whether it arrived, once that is decided.
    arrived: Vec<Option<bool>>,
    /// When each was made.
    made_at: Vec<Timestamp>,
}

/// Plays acts, and returns the effects of each event that was told.
fn play(acts: &[Act]) -> World {
    let mut world = World::new(scripts());
    let (mut events, mut reads): (Vec<Event>, Vec<Effect>) = (Vec::new(), Vec::new());
    let mut fates = Fates::default();
    // An opening is sent once, and every telling of it says the same.
    let mut openings: Vec<Event> = Vec::new();
    // It began once, and each of its buttons says when.
    let mut begun: BTreeMap<(usize, u8), Timestamp> = BTreeMap::new();
    for act in acts {
        let now = world.now;
        let before = |late: &u64| Timestamp::from_secs(now.as_secs().saturating_sub(*late));
        let event = match act {
            Act::Wait(seconds) => {
                world.wait(*seconds);
                continue;
            }
            Act::Opening { campaign, origin, by_message, late } => {
                let at = before(late);
                let by = if *by_message { BegunBy::Message(at) } else { BegunBy::Comment };
                let event = opening(NAMES[*campaign], &origin.to_string(), by, at);
                let Event::OpeningSent { campaign, origin, .. } = &event else { unreachable!() };
                let same = openings.iter().find(|known| {
                    matches!(known, Event::OpeningSent { campaign: c, origin: o, .. }
                        if c == campaign && o == origin)
                });
                let event = same.cloned().unwrap_or(event);
                openings.push(event.clone());
                event
            }
            Act::Refused { campaign, origin } => Event::OpeningRefused {
                campaign: NAMES[*campaign].into(),
                origin: Origin::new(&origin.to_string()),
            },
            Act::Says { text, late } => world.message(text, before(late)),
            Act::Taps { nth, late } => {
                if world.sends.is_empty() {
                    continue;
                }
                let nth = nth.index(world.sends.len());
                // Nobody taps what has not arrived, nor before it has.
                if fates.arrived[nth] == Some(false) || world.sends[nth].not_before > Some(now) {
                    continue;
                }
                fates.arrived[nth] = Some(true);
                let at = before(late).max(fates.made_at[nth]);
                Event::Tap { payload: world.sends[nth].payload.encode(), at }
            }
            Act::TapsOther(payload) => Event::Tap { payload: (*payload).into(), at: now },
            &Act::TapsUnknown { campaign, origin: number, step, age } => {
                let origin = Origin::new(&format!("unknown {number}"));
                let key = StepKey { origin, step, attempt: 1 };
                let of_its_age = now - Duration::from_secs(age);
                let begun_at = *begun.entry((campaign, number)).or_insert(of_its_age);
                let payload = Payload::new(&NAMES[campaign].into(), key, begun_at).unwrap();
                Event::Tap { payload: payload.encode(), at: now }
            }
            Act::Read { nth, follows } => {
                let Some(Effect::ReadFollow { campaign, origin, nth }) =
                    (!reads.is_empty()).then(|| reads[nth.index(reads.len())].clone())
                else {
                    continue;
                };
                Event::FollowRead { campaign, origin, nth, follows: *follows }
            }
            Act::Ended { nth, is_sent, is_repeat } => {
                if world.sends.is_empty() {
                    continue;
                }
                let nth = nth.index(world.sends.len());
                let is_early = world.sends[nth].not_before > Some(now);
                let is_sent = *fates.arrived[nth].get_or_insert(*is_sent && !is_early);
                let (campaign, key) = (world.sends[nth].campaign.clone(), world.sends[nth].key);
                if is_sent {
                    let seen_from = fates.made_at[nth];
                    let at = if *is_repeat { now } else { seen_from };
                    Event::Sent { campaign, key, at, seen_from }
                } else {
                    Event::NotSent { campaign, key }
                }
            }
            Act::Human { late } => Event::HumanWrote { at: before(late) },
            Act::Click { nth } => {
                if world.sends.is_empty() {
                    continue;
                }
                let send = &world.sends[nth.index(world.sends.len())];
                Event::Clicked { campaign: send.campaign.clone(), origin: send.key.origin }
            }
            Act::Running { campaign, running } => {
                let id = NAMES[*campaign];
                let running = if *running { Running::Active } else { Running::PausedSince(now) };
                let of_it = world.all.iter_mut().filter(|(known, _)| known.id.as_str() == id);
                of_it.for_each(|(_, known)| *known = running);
                continue;
            }
            Act::Remove { campaign, is_told } => {
                let id = NAMES[*campaign];
                world.all.retain(|(known, _)| known.id.as_str() != id);
                if !is_told {
                    continue;
                }
                Event::CampaignRemoved { campaign: id.into() }
            }
            Act::Again(nth) => {
                if events.is_empty() {
                    continue;
                }
                events[nth.index(events.len())].clone()
            }
            Act::Timer => Event::Timer,
        };
        let (effects, _) = world.tell(&event);
        events.push(event);
        for effect in effects {
            match effect {
                Effect::ReadFollow { .. } => reads.push(effect),
                Effect::Send(_) => {
                    fates.arrived.push(None);
                    fates.made_at.push(world.now);
                }
                _ => {}
            }
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn nothing_is_done_that_may_not_be_done(acts in acts()) {
        play(&acts);
    }

    /// What is told twice in a row does nothing the second time.
    #[test]
    fn an_event_that_is_told_twice_sends_nothing_more(acts in acts(), at_once: bool) {
        let mut world = play(&acts);
        for (campaign, origin) in [("any", "new 1"), ("full", "new 2")] {
            world.all = World::new(scripts()).all;
            let made_at = world.now;
            let event = opening(campaign, origin, BegunBy::Message(made_at), made_at);
            world.tell(&event);
            world.wait(if at_once { 0 } else { 5 });
            prop_assert!(world.tell(&event).0.is_empty());
            let said = world.message("yes ana@example.com", world.now);
            world.tell(&said);
            world.wait(if at_once { 0 } else { 5 });
            let sends = |effects: &[Effect]| {
                effects.iter().any(|effect| matches!(effect, Effect::Send(_)))
            };
            prop_assert!(!sends(&world.tell(&said).0));
        }
    }
}

/// So many conversations that not all can be kept: the state stays small, and none that was dropped
/// is taken up again.
#[test]
fn a_person_with_hundreds_of_conversations_is_kept_within_bounds() {
    let mut world = World::new(scripts());
    let mut first_asks = Vec::new();
    for nth in 0..300 {
        world.wait(61);
        world.opening(NAMES[nth % 4], &format!("comment {nth}"));
        world.says(["yes", "go", "hello"][nth % 3]);
        first_asks.extend(world.sends.last().cloned());
        if nth % 7 == 0 {
            world.tell(&Event::Timer);
        }
    }
    assert!(world.now > START + Duration::from_secs(300 * 61 - 1));
    let oldest = first_asks.first().unwrap().clone();
    world.wait(10);
    let before = world.sends.len();
    world.taps(&oldest);
    assert_eq!(world.sends.len(), before, "too old, or known");
}
