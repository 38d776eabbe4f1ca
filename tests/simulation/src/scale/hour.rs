//! The hour: steps of virtual time in which deliveries, messages and the schedule find their
//! processes.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use spillway_core::time::Timestamp;
use spillway_service::clock::Clock;
use spillway_service::deliver::{Deliver, Job};
use spillway_service::ingest::{Ingest, Ingested};
use spillway_service::release::Release;
use spillway_service::ticket::Ticket;

use super::plan::{HOUR, MINUTE, Plan, START, Size};
use super::pool::Pool;
use super::process::{release, sender, webhook};
use super::report::Report;
use super::store::Shared;
use crate::dice::Dice;
use crate::queue::Received;

/// The length of a step, in milliseconds.
const STEP: u64 = 100;

/// All of it: the hour in which comments come, and some time after it.
const ALL: u64 = HOUR + HOUR / 2;

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
pub(super) struct Hour {
    size: Size,
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
pub(super) struct Tally {
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

impl Hour {
    pub(super) fn new(size: Size) -> Self {
        let shared = Shared::new(Plan::new(size), size.viral(), size.seed);
        Self {
            size,
            shared,
            dice: Dice::new(size.seed ^ 0x0090_015e),
            webhooks: Pool::new(WEBHOOKS, WEBHOOK_LASTS),
            senders: Pool::new(SENDERS, SENDER_LASTS),
            releases: Pool::new(RELEASES, RELEASE_LASTS),
            next: 0,
            tally: Tally::default(),
        }
    }

    /// Plays it to its end.
    pub(super) fn play(mut self, mut each: impl FnMut(Progress)) -> Report {
        for after in (0..=ALL).step_by(STEP as usize) {
            self.shared.pass_to(START + after);
            self.ingest(after);
            if after.is_multiple_of(MINUTE) {
                self.tick(START + after);
                each(self.progress(after));
            }
            self.release(START + after);
            self.deliver(START + after);
            self.shared.store().measure_queues();
        }
        self.tally.processes = [self.webhooks.len(), self.senders.len(), self.releases.len()];
        Report::of(self.size, ALL / 1000, self.tally, &self.shared.store())
    }

    fn progress(&self, after: u64) -> Progress {
        Progress {
            minute: after / MINUTE,
            minutes: ALL / MINUTE,
            recorded: self.tally.queued + self.tally.parked,
            written: self.shared.store().written,
        }
    }

    /// The deliveries that have come by now.
    fn ingest(&mut self, after: u64) {
        let Self { shared, dice, webhooks, tally, .. } = self;
        let now = START + after;
        while let Some(arrival) = shared.plan.deliveries.get(self.next) {
            if arrival.at > after {
                return;
            }
            let Some(ingest) = webhooks.invoke(now, dice, |id| webhook(shared, id)) else { return };
            self.next += 1;
            match finish(ingest.ingest(arrival.delivery(now))) {
                Ok(Ingested { queued, parked, .. }) => {
                    tally.deliveries += 1;
                    tally.queued += queued;
                    tally.parked += parked;
                }
                Err(_) => tally.failed += 1,
            }
        }
    }

    /// The schedule.
    fn tick(&mut self, now: u64) {
        let Self { shared, dice, releases, tally, .. } = self;
        let process = releases.invoke(now, dice, |id| release(shared, id));
        // With all at work the next minute's tick does it.
        if let Some(release) = process
            && finish(release.dispatch()).is_err()
        {
            tally.failed += 1;
        }
    }

    /// The accounts on the release queue.
    fn release(&mut self, now: u64) {
        let Self { shared, dice, releases, tally, .. } = self;
        while shared.store().has_accounts() {
            let process = releases.invoke(now, dice, |id| release(shared, id));
            let Some(release) = process else { return };
            let Some(message) = shared.store().receive_account() else { return };
            match finish(release.run(&message.body, deadline(shared))) {
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
        let Self { shared, dice, senders, tally, .. } = self;
        while shared.store().has_tickets() {
            let Some(deliver) = senders.invoke(now, dice, |id| sender(shared, id)) else { return };
            let batch = shared.store().receive_tickets();
            let again = finish(deliver.deliver(jobs(&batch), deadline(shared)));
            tally.failed += again.len();
            for (nth, message) in batch.iter().enumerate() {
                if !again.contains(&nth.to_string()) {
                    shared.store().delete_ticket(message);
                }
            }
        }
    }
}

fn jobs(batch: &[Received<Ticket>]) -> Vec<Job> {
    let job = |(nth, message): (usize, &Received<Ticket>)| Job {
        message_id: nth.to_string(),
        ticket: message.body.clone(),
    };
    batch.iter().enumerate().map(job).collect()
}

fn deadline(clock: &Shared) -> Timestamp {
    clock.now() + TIMEOUT
}

/// What `work` comes to. Its requests are answered at once: when it is pending, it only lets others
/// go first.
fn finish<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(end) = work.as_mut().poll(&mut context) {
            return end;
        }
    }
}
