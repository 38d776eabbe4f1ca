//! A queue whose longest delay is 15 minutes, and messages that hop until they are let through.

use std::time::Duration;

use crate::Model;
use crate::meta::{Answer, DAY, HOUR, Meta, REPLIES_PER_HOUR};
use crate::outcome::Outcome;
use crate::rolling::Rolling;
use crate::timers::Timers;
use crate::trace::{DEADLINE, Trace};

const HOP: Duration = Duration::from_secs(15 * 60);

/// To put a message into the queue.
const ENQUEUE: u64 = 1;
/// To receive a message, ask the limiter, and delete the message.
const WORK: u64 = 3;

/// Every message asks an exact limiter for both rows; one that is not let through is queued again
/// with a delay of 15 minutes, until it is let through or too old.
#[derive(Clone, Copy, Debug)]
pub struct Hops;

impl Model for Hops {
    fn name(&self) -> &'static str {
        "15-minute hops"
    }

    fn about(&self) -> &'static str {
        "exact rolling limits; what is over them is queued again in 15 min until it is let through"
    }

    fn play(&self, trace: &Trace, meta: &mut Meta) -> Outcome {
        let mut rows =
            [Rolling::new(REPLIES_PER_HOUR, HOUR), Rolling::new(trace.recipients_per_day, DAY)];
        let arrivals = trace.arrivals.iter().enumerate();
        let mut messages = Timers::of(arrivals.map(|(comment, &at)| (at, comment)));
        let mut requests = ENQUEUE * trace.arrivals.len() as u64;
        while let Some((now, comment)) = messages.next() {
            requests += WORK;
            let let_through = rows.iter().all(|row| row.fits_at(now) == now);
            if let_through {
                rows.iter_mut().for_each(|row| row.add(now));
            }
            let accepted = let_through && meta.call(now, comment) == Answer::Accepted;
            if !accepted && now <= trace.arrivals[comment] + DEADLINE {
                requests += ENQUEUE;
                messages.set(now + HOP, comment);
            }
        }
        meta.outcome(requests)
    }
}
