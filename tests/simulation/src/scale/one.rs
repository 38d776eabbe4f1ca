//! One account by itself, over days, against a Meta of the caller's.

use std::time::Duration;

use spillway_core::rules::Rules;
use spillway_core::time::Timestamp;

use super::clockwork::{Clockwork, Gather};
use super::plan::Plan;
use super::store::Shared;
use crate::meta::millis;

/// What Meta says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The DM is delivered.
    Accepted,
    /// A limit response: no call before that instant.
    Limited {
        /// When access is regained.
        regain_at: Timestamp,
    },
    /// The comment is too old to be answered.
    TooLate,
}

/// A Meta.
pub trait Answers: Send {
    /// Answers a call at `now` for the `nth` comment.
    fn reply(&mut self, now: Timestamp, nth: usize) -> Reply;
}

impl<F: FnMut(Timestamp, usize) -> Reply + Send> Answers for F {
    fn reply(&mut self, now: Timestamp, nth: usize) -> Reply {
        self(now, nth)
    }
}

/// One account and its comments, each by somebody else.
#[derive(Clone, Debug)]
pub struct One {
    /// The limits it keeps.
    pub rules: Rules,
    /// When each comment is told of, ascending.
    pub arrivals: Vec<Timestamp>,
}

impl One {
    /// Plays until every comment has had its end, or `at_most` has passed. Gives the requests to
    /// queues and tables: each item asked for or written, each query, and each message three times.
    /// The schedule's looks are among them, though in truth all accounts share these.
    pub fn play(&self, at_most: Duration, meta: Box<dyn Answers>) -> u64 {
        let start = self.arrivals.first().copied().unwrap_or_default();
        let plan = Plan::of_one(self.rules.clone(), start, &self.arrivals);
        let shared = Shared::new(plan, meta, 1, 0);
        Clockwork::new(shared.clone(), millis(at_most), Gather::DEFAULT, 0).play(|_| ());
        let meter = &shared.store().meter;
        let tables = [&meter.sends, &meter.state].map(|table| table.all.requests.total());
        let queues = [&meter.send_queue, &meter.release_queue]
            .map(|queue| queue.all.sent.total() + 2 * queue.all.received.total());
        tables.iter().chain(&queues).sum()
    }
}
