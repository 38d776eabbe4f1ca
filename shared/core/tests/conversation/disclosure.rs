//! When a message begins with the account's disclosure, against a model that knows all that happened.

use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use spillway_core::campaign::Campaigns;
use spillway_core::conversation::{
    Context, DISCLOSURE_LAPSE, Event, Outcome, Settings, State, StoredState, TAKEOVER, step,
};
use spillway_core::time::Timestamp;

use crate::world::START;

#[derive(Clone, Copy, Debug)]
enum Act {
    Wait(u64),
    /// A call of this send is about to be made.
    Call(u64),
    /// Its call did not reach the person.
    Fails(u64),
    /// A human writes in the account's name.
    Human,
    /// The person writes.
    Writes,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => prop_oneof![0u64..10, 0u64..90_000, 0u64..700_000].prop_map(Act::Wait),
        6 => (0u64..4).prop_map(Act::Call),
        2 => (0u64..4).prop_map(Act::Fails),
        1 => Just(Act::Human),
        1 => Just(Act::Writes),
    ];
    prop::collection::vec(act, 1..60)
}

/// Somebody to whom messages are sent.
struct Thread {
    state: State,
    now: Timestamp,
    /// The disclosing calls that are not known to have failed.
    given: Vec<(u64, Timestamp)>,
    /// When humans have left the thread.
    humans: Vec<Timestamp>,
}

impl Thread {
    fn new() -> Self {
        Self { state: State::default(), now: START, given: Vec::new(), humans: Vec::new() }
    }

    fn tell(&mut self, event: &Event) -> Outcome {
        static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);
        let campaigns = Campaigns::default();
        let context =
            Context { campaigns: &campaigns, settings: &SETTINGS, now: self.now, seed: 1 };
        let next = step(&self.state, event, &context);
        assert!(next.effects.iter().all(|effect| !format!("{effect:?}").starts_with("Send")));
        let stored = serde_json::to_string(&StoredState::from(&next.state)).unwrap();
        let stored: StoredState = serde_json::from_str(&stored).unwrap();
        self.state = State::try_from(stored).unwrap();
        // Where nothing is needed any more, the store forgets it.
        if self.state.expires_at().is_some_and(|at| at <= self.now) {
            self.state = State::default();
        }
        next.outcome
    }

    /// Whether a message that is sent now has to say it, whichever it is.
    fn is_due(&self) -> bool {
        let Some(&(_, at)) = self.given.last() else { return true };
        at + DISCLOSURE_LAPSE <= self.now || self.humans.iter().any(|until| at < *until)
    }

    fn call(&mut self, send: u64) -> bool {
        if self.is_due() {
            self.given.push((send, self.now));
        }
        let says_it = self.given.last().is_some_and(|(by, _)| *by == send);
        let discloses = self.tell(&Event::Calling { send }) == Outcome::Disclosing;
        assert_eq!(discloses, says_it, "send {send} after {:?}", self.given);
        discloses
    }

    fn fails(&mut self, send: u64) {
        self.tell(&Event::NotArrived { send });
        if self.given.last().is_some_and(|(by, _)| *by == send) {
            self.given.clear();
        }
    }
}

#[test]
fn it_is_said_first_after_a_lapse_and_after_a_human() {
    let mut thread = Thread::new();
    assert!(thread.call(1) && !thread.call(2), "once in a run of messages");
    assert!(thread.call(1), "a repeat says the same");
    thread.now = START + DISCLOSURE_LAPSE;
    assert!(thread.call(3) && !thread.call(4));
    thread.tell(&Event::HumanWrote { at: thread.now });
    thread.now = thread.now + TAKEOVER;
    thread.humans.push(thread.now);
    assert!(thread.call(5) && !thread.call(6));
}

#[test]
fn what_did_not_arrive_was_not_said() {
    let mut thread = Thread::new();
    assert!(thread.call(1));
    thread.fails(2);
    assert!(!thread.call(2), "another one has failed");
    thread.fails(1);
    assert!(thread.call(2) && !thread.call(1));
}

#[test]
fn it_is_forgotten_with_its_person() {
    let mut thread = Thread::new();
    assert!(thread.call(1));
    thread.state = thread.state.forgotten().unwrap_or_default();
    thread.given.clear();
    assert!(thread.call(2));
}

proptest! {
    #[test]
    fn it_is_said_whenever_it_is_due_and_never_else(acts in acts()) {
        let mut thread = Thread::new();
        for act in acts {
            match act {
                Act::Wait(secs) => thread.now = thread.now + Duration::from_secs(secs),
                Act::Call(send) => drop(thread.call(send)),
                Act::Fails(send) => thread.fails(send),
                Act::Human => {
                    thread.tell(&Event::HumanWrote { at: thread.now });
                    thread.humans.push(thread.now + TAKEOVER);
                }
                Act::Writes => {
                    let id = thread.now.as_millis().to_string();
                    let at = thread.now;
                    thread.tell(&Event::Message { id, text: "hello".into(), at });
                }
            }
        }
    }
}
