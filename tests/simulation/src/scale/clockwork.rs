//! The clockwork: steps of virtual time in which deliveries, messages and the schedule find their
//! processes.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use spillway_core::time::Timestamp;
use spillway_meta::webhook::{Delivery, Event};
use spillway_service::clock::Clock;
use spillway_service::deliver::{Deliver, Job};
use spillway_service::ingest::{Ingest, Ingested};
use spillway_service::release::Release;
use spillway_service::send_task::SendTask;

use super::plan::MINUTE;
use super::pool::Pool;
use super::process::{release, sender, webhook};
use super::store::Shared;
use crate::dice::Dice;
use crate::process::Function;
use crate::queue::Received;

/// The length of a step, in milliseconds.
const STEP: u64 = 100;

/// How the queues' messages are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather {
    /// A step is so many times as long, and so is what an invocation takes: one account then fills
    /// as many batches and processes as so many. Steps must go into a minute.
    pub(crate) stretch: u64,
    /// Messages in a batch of sends at most.
    pub(crate) batch: usize,
}

impl Gather {
    /// As template.yaml has it.
    pub(crate) const DEFAULT: Self = Self { stretch: 1, batch: 10 };
}

/// How long invocations take, in milliseconds: with the calls to Meta for the sender.
const WEBHOOK_LASTS: u64 = 200;
const SENDER_LASTS: u64 = 500;
const RELEASE_LASTS: u64 = 300;

/// Invocations at a time: Lambda's own limit of an AWS account, and what template.yaml says.
const WEBHOOKS: usize = 1000;
const SENDERS: usize = 50;
const RELEASES: usize = 20;

/// Time that an invocation has.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Minutes of virtual time so far.
    pub minute: u64,
    /// Minutes in all.
    pub minutes: u64,
    /// Comments recorded so far.
    pub recorded: usize,
    /// DMs written so far.
    pub written: u64,
}

/// Processes, and the world they work on.
pub(crate) struct Clockwork {
    /// The end, in milliseconds after the start.
    all: u64,
    gather: Gather,
    shared: Arc<Shared>,
    /// Draws who works.
    dice: Dice,
    webhooks: Pool<Ingest>,
    senders: Pool<Deliver>,
    releases: Pool<Release>,
    /// The next delivery.
    next: usize,
    tally: Tally,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Deliveries that were answered with 200.
    pub(super) deliveries: usize,
    /// Deliveries, messages and runs that failed.
    pub(super) failed: usize,
    /// Comments that got a slot at once.
    pub(super) queued: usize,
    /// Comments that were parked.
    pub(super) parked: usize,
    /// Release runs.
    pub(super) runs: usize,
    /// Parked sends that got their slot.
    pub(super) released: usize,
    /// Processes of the webhook, the sender and the release function.
    pub(super) processes: [usize; 3],
}

impl Clockwork {
    /// Processes on `shared`, for `all` milliseconds at most.
    pub(crate) fn new(shared: Arc<Shared>, all: u64, gather: Gather, seed: u64) -> Self {
        Self {
            all,
            gather,
            shared,
            dice: Dice::new(seed ^ 0x0090_015e),
            webhooks: Pool::new(WEBHOOKS, WEBHOOK_LASTS * gather.stretch),
            senders: Pool::new(SENDERS, SENDER_LASTS * gather.stretch),
            releases: Pool::new(RELEASES, RELEASE_LASTS * gather.stretch),
            next: 0,
            tally: Tally::default(),
        }
    }

    /// Plays to the end, or until nothing is left to do.
    pub(crate) fn play(mut self, mut each: impl FnMut(Progress)) -> Tally {
        let mut after = 0;
        while after <= self.all && !self.is_over() {
            let now = self.shared.plan.start + after;
            self.shared.pass_to(now);
            self.ingest(after, now);
            self.hear(now);
            if after.is_multiple_of(MINUTE) {
                self.tick(now);
                each(self.progress(after));
            }
            self.release(now);
            self.deliver(now);
            self.shared.store().measure_queues();
            after = self.next_step(after);
        }
        self.tally.processes = [self.webhooks.len(), self.senders.len(), self.releases.len()];
        self.tally
    }

    /// Whether every comment has come and had its end.
    fn is_over(&self) -> bool {
        let store = self.shared.store();
        self.next == self.shared.plan.deliveries.len()
            && store.talks.next_at().is_none()
            && store.waiting() == 0
    }

    /// The next step in which there is something to do, or may be.
    fn next_step(&self, after: u64) -> u64 {
        let minute = (after + 1).next_multiple_of(MINUTE);
        let delivery = self.shared.plan.deliveries.get(self.next).map(|arrival| arrival.at);
        let (message, act) = {
            let store = self.shared.store();
            (store.next_visible(), store.talks.next_at())
        };
        let [message, act] =
            [message, act].map(|at| Some(at?.saturating_sub(self.shared.plan.start)));
        let soonest = [Some(minute), delivery, message, act].into_iter().flatten().min();
        let step = STEP * self.gather.stretch;
        soonest.unwrap_or(minute).next_multiple_of(step).max(after + step)
    }

    fn progress(&self, after: u64) -> Progress {
        Progress {
            minute: after / MINUTE,
            minutes: self.all / MINUTE,
            recorded: self.tally.queued + self.tally.parked,
            written: self.shared.store().written,
        }
    }

    /// The deliveries that have come by now.
    fn ingest(&mut self, after: u64, now: u64) {
        let Self { shared, dice, webhooks, tally, .. } = self;
        while let Some(arrival) = shared.plan.deliveries.get(self.next) {
            if arrival.at > after {
                return;
            }
            let Some(ingest) = webhooks.invoke(now, dice, |id| webhook(shared, id)) else { return };
            self.next += 1;
            tally.take(shared, ingest, shared.plan.delivery(arrival, now));
        }
    }

    /// What people have done by now: a delivery each.
    fn hear(&mut self, now: u64) {
        let Self { shared, dice, webhooks, tally, .. } = self;
        while shared.store().talks.next_at().is_some_and(|at| at <= now) {
            let Some(ingest) = webhooks.invoke(now, dice, |id| webhook(shared, id)) else { return };
            let Some(event) = shared.store().talks.take(now) else { return };
            let events = vec![Event::Conversation(event)];
            let delivery =
                Delivery { object: Some("instagram".into()), events, skipped: Vec::new() };
            tally.take(shared, ingest, delivery);
        }
    }

    /// The schedule.
    fn tick(&mut self, now: u64) {
        let Self { shared, dice, releases, tally, .. } = self;
        let process = releases.invoke(now, dice, |id| release(shared, id));
        // With all at work the next minute's tick does it.
        let Some(release) = process else { return };
        shared.store().meter.counts.is_tick = true;
        if finish(shared, Function::Release, release.dispatch()).is_err() {
            tally.failed += 1;
        }
        shared.store().meter.counts.is_tick = false;
    }

    /// The accounts on the release queue.
    fn release(&mut self, now: u64) {
        let Self { shared, dice, releases, tally, .. } = self;
        while shared.store().has_accounts() {
            let process = releases.invoke(now, dice, |id| release(shared, id));
            let Some(release) = process else { return };
            let Some(message) = shared.store().receive_account() else { return };
            let work = release.run(&message.body, deadline(shared));
            match finish(shared, Function::Release, work) {
                Ok(done) => {
                    tally.runs += 1;
                    tally.released += done.released;
                    shared.store().delete_account(&message);
                }
                Err(_) => tally.failed += 1,
            }
        }
    }

    /// The messages on the send queue.
    fn deliver(&mut self, now: u64) {
        let Self { shared, dice, senders, tally, gather, .. } = self;
        while shared.store().has_tasks() {
            let Some(deliver) = senders.invoke(now, dice, |id| sender(shared, id)) else { return };
            let batch = shared.store().receive_tasks(gather.batch);
            let work = deliver.deliver(jobs(&batch), deadline(shared));
            let again = finish(shared, Function::Sender, work);
            tally.failed += again.len();
            for (nth, message) in batch.iter().enumerate() {
                if !again.contains(&nth.to_string()) {
                    shared.store().delete_task(message);
                }
            }
        }
    }
}

impl Tally {
    /// The webhook's process takes a delivery.
    fn take(&mut self, shared: &Shared, ingest: &Ingest, delivery: Delivery) {
        match finish(shared, Function::Webhook, ingest.ingest(delivery, deadline(shared))) {
            Ok(Ingested { queued, parked, .. }) => {
                self.deliveries += 1;
                self.queued += queued;
                self.parked += parked;
            }
            Err(_) => self.failed += 1,
        }
    }
}

fn jobs(batch: &[Received<SendTask>]) -> Vec<Job> {
    let job = |(nth, message): (usize, &Received<SendTask>)| Job {
        message_id: nth.to_string(),
        task: message.body.clone(),
    };
    batch.iter().enumerate().map(job).collect()
}

fn deadline(clock: &Shared) -> Timestamp {
    clock.now() + TIMEOUT
}

/// What `work`, an invocation, comes to. A request has its effect at once; its answer takes time on
/// the stopwatch alone.
fn finish<T>(shared: &Shared, function: Function, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    shared.stopwatch.reset();
    loop {
        if let Poll::Ready(end) = work.as_mut().poll(&mut context) {
            let (waited, requests) = (shared.stopwatch.elapsed(), shared.stopwatch.requests());
            shared.store().meter.counts.invoked(function, waited, requests);
            return end;
        }
        shared.stopwatch.advance();
    }
}
