//! A token bucket that is filled with a whole hour's limit.

use std::time::Duration;

use crate::Model;
use crate::meta::{Answer, HOUR, Meta, REPLIES_PER_HOUR};
use crate::outcome::Outcome;
use crate::timers::Timers;
use crate::trace::Trace;

/// To put a message into the queue.
const ENQUEUE: u64 = 1;
/// To receive a message, take its token, and delete it.
const WORK: u64 = 3;

/// 750 an hour, of which as many may go at once. A send waits for its token. After a limit response
/// it comes again when access is regained, while the others go on; nothing is dropped before it is
/// too old.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket;

impl Model for TokenBucket {
    fn name(&self) -> &'static str {
        "token bucket"
    }

    fn about(&self) -> &'static str {
        "750 an hour with a burst of 750; what is refused comes again when Meta says, no hold"
    }

    fn play(&self, trace: &Trace, meta: &mut Meta) -> Outcome {
        let a_token = HOUR / REPLIES_PER_HOUR;
        let the_others: Duration = a_token * (REPLIES_PER_HOUR - 1);
        let arrivals = trace.arrivals.iter().enumerate();
        let mut sends = Timers::of(arrivals.map(|(comment, &at)| (at, comment)));
        let mut requests = ENQUEUE * trace.arrivals.len() as u64;
        // When the bucket is full again.
        let mut full_at = trace.start();
        while let Some((due, comment)) = sends.next() {
            requests += WORK;
            let now = due.max(full_at - the_others);
            full_at = full_at.max(now) + a_token;
            if let Answer::Limited { regain_at } = meta.call(now, comment) {
                requests += ENQUEUE;
                sends.set(regain_at, comment);
            }
        }
        meta.outcome(requests)
    }
}
