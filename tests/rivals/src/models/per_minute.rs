//! A table of waiting comments and a dozen of them each minute.

use std::collections::VecDeque;
use std::time::Duration;

use spillway_core::time::Timestamp;

use crate::Model;
use crate::meta::{Answer, Meta};
use crate::outcome::Outcome;
use crate::trace::Trace;

const EACH_MINUTE: usize = 12;
const MINUTE: Duration = Duration::from_secs(60);

/// To write a comment down.
const RECORD: u64 = 1;
/// To look, each minute, for what waits.
const LOOK: u64 = 1;
/// To claim a comment, and to write down how it went.
const WORK: u64 = 2;

/// Twelve a minute, first come first served, with no daily limit and no hold. Nothing is said of
/// what follows a limit response; here the comment goes to the end of the line and nothing is ever
/// dropped before it is too old.
#[derive(Clone, Copy, Debug)]
pub struct PerMinute;

impl Model for PerMinute {
    fn name(&self) -> &'static str {
        "12 a minute"
    }

    fn about(&self) -> &'static str {
        "12 a minute in turn; no daily limit, no hold; what is refused goes to the end of the line"
    }

    fn play(&self, trace: &Trace, meta: &mut Meta) -> Outcome {
        let mut arrivals = trace.arrivals.iter().copied().enumerate().peekable();
        let mut line = VecDeque::new();
        let mut now = next_minute(trace.start());
        let mut requests = RECORD * trace.arrivals.len() as u64;
        while arrivals.peek().is_some() || !line.is_empty() {
            while let Some((comment, _)) = arrivals.next_if(|&(_, at)| at <= now) {
                line.push_back(comment);
            }
            requests += LOOK;
            for _ in 0..EACH_MINUTE.min(line.len()) {
                let Some(comment) = line.pop_front() else { break };
                requests += WORK;
                if let Answer::Limited { .. } = meta.call(now, comment) {
                    line.push_back(comment);
                }
            }
            now = now + MINUTE;
        }
        meta.outcome(requests)
    }
}

fn next_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_secs(at.as_millis().div_ceil(60_000) * 60)
}
