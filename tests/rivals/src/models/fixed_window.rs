//! A counter for each hour of the clock, and jobs that give up.

use std::time::Duration;

use crate::Model;
use crate::meta::{Answer, Meta, REPLIES_PER_HOUR};
use crate::outcome::Outcome;
use crate::timers::Timers;
use crate::trace::Trace;

const REQUEUE_AFTER: Duration = Duration::from_secs(30 * 60);
const REQUEUES_MAX: u32 = 3;
const ATTEMPTS_MAX: u32 = 3;
/// Nothing is said of the time between attempts. A minute is long for such queues.
const ATTEMPT_AFTER: Duration = Duration::from_secs(60);

/// To put a job into the queue.
const ENQUEUE: u64 = 1;
/// To take a job, count it in its hour, and be done with it.
const WORK: u64 = 3;

/// At most 750 in an hour of the clock. What is over is queued again in 30 minutes, three times,
/// and then dropped. After a limit response a job is attempted again, three times in all and
/// counted each time, while the other workers go on.
#[derive(Clone, Copy, Debug)]
pub struct FixedWindow;

#[derive(Default)]
struct Job {
    comment: usize,
    requeues: u32,
    attempts: u32,
}

impl Model for FixedWindow {
    fn name(&self) -> &'static str {
        "fixed hourly window"
    }

    fn about(&self) -> &'static str {
        "750 an hour of the clock; over it again in 30 min, 3 times; 3 attempts, no hold"
    }

    fn play(&self, trace: &Trace, meta: &mut Meta) -> Outcome {
        let job = |(comment, &at)| (at, Job { comment, ..Job::default() });
        let mut jobs = Timers::of(trace.arrivals.iter().enumerate().map(job));
        let mut requests = ENQUEUE * trace.arrivals.len() as u64;
        let (mut hour, mut used) = (0, 0);
        while let Some((now, job)) = jobs.next() {
            requests += WORK;
            if now.as_secs() / 3600 != hour {
                (hour, used) = (now.as_secs() / 3600, 0);
            }
            let again = if used >= REPLIES_PER_HOUR {
                (job.requeues < REQUEUES_MAX)
                    .then(|| (REQUEUE_AFTER, Job { requeues: job.requeues + 1, ..job }))
            } else {
                used += 1;
                let limited = meta.call(now, job.comment) != Answer::Accepted;
                (limited && job.attempts + 1 < ATTEMPTS_MAX)
                    .then(|| (ATTEMPT_AFTER, Job { attempts: job.attempts + 1, ..job }))
            };
            if let Some((after, job)) = again {
                requests += ENQUEUE;
                jobs.set(now + after, job);
            }
        }
        meta.outcome(requests)
    }
}
