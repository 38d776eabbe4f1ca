//! Spillway itself: its use cases, not a model of them.

use std::mem;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use spillway_core::profile::Profile;
use spillway_core::quota::{Action, Limit, Quota, Unit};
use spillway_core::rules::{Rules, Terms};
use spillway_simulation::scale::{One, Reply};

use crate::Model;
use crate::meta::{Answer, DAY, HOUR, Meta, REPLIES_PER_HOUR};
use crate::outcome::Outcome;
use crate::trace::{DEADLINE, Trace};

/// The use cases in virtual time, with the limits that the trace's Meta has. Every request of
/// theirs is counted, with those of the schedule, which many accounts would share.
#[derive(Clone, Copy, Debug)]
pub struct Spillway;

impl Model for Spillway {
    fn name(&self) -> &'static str {
        "Spillway"
    }

    fn about(&self) -> &'static str {
        "its own code in virtual time, with Meta's limits; all requests counted, the schedule's too"
    }

    fn play(&self, trace: &Trace, meta: &mut Meta) -> Outcome {
        // The use cases keep what they call for as long as they like.
        let shared = Arc::new(Mutex::new(mem::replace(meta, Meta::new(trace))));
        let called = shared.clone();
        let answers = move |now, comment| {
            let mut meta = called.lock().unwrap_or_else(PoisonError::into_inner);
            match meta.call(now, comment) {
                Answer::Accepted => Reply::Accepted,
                Answer::Limited { regain_at } => Reply::Limited { regain_at },
                Answer::TooLate => Reply::TooLate,
            }
        };
        let one = One { rules: rules(trace), arrivals: trace.arrivals.clone() };
        let requests = one.play(at_most(trace), Box::new(answers));
        let mut played = shared.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(meta, &mut played);
        meta.outcome(requests)
    }
}

/// Until the last comment is too old, and what waits has been looked at once more.
fn at_most(trace: &Trace) -> Duration {
    let last = trace.arrivals.last().copied().unwrap_or_default();
    last.since(trace.start()) + DEADLINE + 2 * HOUR
}

/// What this Meta allows, and nothing more careful.
fn rules(trace: &Trace) -> Rules {
    let replies = limit(REPLIES_PER_HOUR);
    let people = limit(trace.recipients_per_day);
    let quotas = vec![
        Quota::new("replies_hour", &[Action::PrivateReply], Unit::Calls, HOUR, replies),
        Quota::new("people_day", &Action::DIRECT_MESSAGES, Unit::Recipients, DAY, people),
    ];
    let profile = Profile { name: "this Meta's".into(), quotas, ..Profile::meta() };
    Rules::new(profile, Terms::default()).expect("both are above zero")
}

fn limit(units: u32) -> Limit {
    Limit::Fixed(NonZeroU32::new(units).unwrap_or(NonZeroU32::MIN))
}
