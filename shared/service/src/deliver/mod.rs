//! Deliver: queued sends become Graph calls, inside the account's budget.
//!
//! Each step is safe to be the last one: a unit is taken before a claim, a claim is recorded before
//! the call, an outcome before the message goes. What a crash leaves is found by its lease.

mod consequence;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use spillway_core::budget::{Denial, Role};
use spillway_core::campaign::Campaign;
use spillway_core::hold::HoldCause;
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::message::Values;
use spillway_core::pace;
use spillway_core::send::{
    CancelReason, Earlier, FAILURES_MAX, FailReason, Outcome, Stage, Step, Waiting,
};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_meta::graph::{CallError, Sent};
use tracing::{error, info, warn};

use self::consequence::{Consequence, Retry};
use crate::account::Account;
use crate::clock::{Clock, ClockCheck};
use crate::directory::Directory;
use crate::grant::GrantIds;
use crate::limiter::{CONTENDED_WAIT, Limiter, Reservation, Reserved};
use crate::port::{Backlogs, Cursors, Graph, Queued, SendQueue, Sends, StoreError};
use crate::ticket::Ticket;

/// A denial up to this far off is waited for on the queue; beyond it the send is parked.
const WAIT_ON_QUEUE: Duration = Duration::from_secs(60);

/// The wait after a call that could not be written: Meta cannot be reached.
const UNREACHABLE_WAIT: Duration = Duration::from_secs(60);

/// The wait of a send whose recipient has had too many messages: the queue's longest delay.
const RECIPIENT_WAIT: Duration = Duration::from_secs(900);

/// Time kept between a call's end and the invocation's, to record the outcome.
const RECORDING_TIME: Duration = Duration::from_secs(1);

/// A message of the queue.
#[derive(Clone, Debug)]
pub struct Job {
    /// The queue's id for it.
    pub message_id: String,
    /// What it says.
    pub ticket: Ticket,
}

/// Delivers sends.
pub struct Deliver {
    /// Accounts, their quotas and tokens.
    pub directory: Arc<Directory>,
    /// Their budgets.
    pub limiter: Limiter,
    /// Their pace cursors, closed while a budget is full.
    pub cursors: Arc<dyn Cursors>,
    /// Their sends.
    pub sends: Arc<dyn Sends>,
    /// Which accounts have waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Where sends wait shortly.
    pub queue: Arc<dyn SendQueue>,
    /// Meta.
    pub graph: Arc<dyn Graph>,
    /// Ids for writes.
    pub ids: Arc<GrantIds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is right: answers of Meta's tell.
    pub check: Arc<ClockCheck>,
}

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// All is recorded: delete it.
    Done,
    /// Something could not be recorded: let the queue bring it again.
    Again,
}

impl Deliver {
    /// Works through a batch until `deadline`, the end of this invocation. Gives the ids of the
    /// messages that the queue must bring again.
    pub async fn deliver(&self, jobs: Vec<Job>, deadline: Timestamp) -> Vec<String> {
        let mut groups: BTreeMap<(AccountId, u8), Vec<Job>> = BTreeMap::new();
        for job in jobs {
            let Ticket { send, lane, .. } = &job.ticket;
            groups.entry((send.account.clone(), lane.rank())).or_default().push(job);
        }
        let runs = groups.into_values().map(|jobs| async move {
            let ids: Vec<String> = jobs.iter().map(|job| job.message_id.clone()).collect();
            // A bug met by one group must not take the others' outcomes with it.
            let run = AssertUnwindSafe(self.deliver_group(jobs, deadline)).catch_unwind().await;
            run.unwrap_or_else(|_| {
                error!(messages = ids.len(), "delivering panicked");
                ids
            })
        });
        join_all(runs).await.into_iter().flatten().collect()
    }

    /// Delivers jobs of one account and lane.
    async fn deliver_group(&self, mut jobs: Vec<Job>, deadline: Timestamp) -> Vec<String> {
        jobs.sort_by(|a, b| a.ticket.place.cmp(&b.ticket.place));
        let Some(first) = jobs.first() else { return Vec::new() };
        let id = first.ticket.send.account.clone();
        let account = match self.directory.find(&id).await {
            Ok(Some(account)) => account,
            Ok(None) => return self.cancel_all(&jobs).await,
            Err(error) => {
                error!(account = %id, %error, "could not read the account");
                return jobs.into_iter().map(|job| job.message_id).collect();
            }
        };
        let jobs = self.drop_late(jobs).await;
        let tickets: Vec<&Ticket> = jobs.iter().map(|job| &job.ticket).collect();
        let reserved = self.limiter.reserve(&account, &tickets, lease_until(deadline)).await;
        let Reserved { reservation, denial } = match reserved {
            Ok(reserved) => reserved,
            Err(error) => {
                error!(account = %id, %error, "could not reserve");
                return jobs.into_iter().map(|job| job.message_id).collect();
            }
        };
        let units = reservation.as_ref().map_or(0, |r| r.grant.units as usize);
        let (granted, denied) = jobs.split_at(units.min(jobs.len()));
        // At once: what was granted must be called soon.
        let (mut again, not_put_off) = futures::join!(
            self.send_granted(&account, reservation.as_ref(), granted, deadline),
            self.put_off(&account, denied, denial.as_ref()),
        );
        again.extend(not_put_off);
        again
    }

    /// Ends the sends of an account that is not connected any more.
    async fn cancel_all(&self, jobs: &[Job]) -> Vec<String> {
        let outcome = Outcome::Cancelled { reason: CancelReason::AccountRemoved };
        self.end_unclaimed(jobs, &outcome).await
    }

    async fn end_unclaimed(&self, jobs: &[Job], outcome: &Outcome) -> Vec<String> {
        let at = self.clock.now();
        let ends = jobs.iter().map(|job| self.sends.finish_unclaimed(&job.ticket, outcome, at));
        let ended = join_all(ends).await;
        let failed = |(job, result): (&Job, Result<bool, StoreError>)| match result {
            Ok(_) => None,
            Err(error) => {
                error!(send = %job.ticket.send, %error, "could not end the send");
                Some(job.message_id.clone())
            }
        };
        jobs.iter().zip(ended).filter_map(failed).collect()
    }

    /// Ends what is past its deadline, and gives the rest.
    async fn drop_late(&self, jobs: Vec<Job>) -> Vec<Job> {
        if !self.check.is_trusted(self.clock.monotonic()) {
            return jobs;
        }
        let now = self.clock.now();
        let (late, jobs): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.ticket.deadline <= now);
        if !late.is_empty() {
            // Those that could not be ended are overdue, and release looks at them in any case.
            let _ = self.end_unclaimed(&late, &Outcome::Expired).await;
        }
        jobs
    }

    /// Puts off jobs that were not granted: shortly on the queue, else parked. The new message is
    /// sent, or the send parked, before the old message goes.
    async fn put_off(
        &self,
        account: &Account,
        jobs: &[Job],
        denial: Option<&Denial>,
    ) -> Vec<String> {
        let (Some(first), Some(denial)) = (jobs.first(), denial) else { return Vec::new() };
        let now = self.clock.now();
        let wait = denial.retry_at.since(now);
        info!(account = %account.id, jobs = jobs.len(), bound = %denial.bound, wait_ms = wait.as_millis() as u64, "put off");
        if wait <= WAIT_ON_QUEUE {
            let gap = pace::gap(&account.profile, first.ticket.lane.action());
            let waits = (0u32..).zip(jobs).map(|(n, job)| self.wait_on_queue(job, wait + gap * n));
            return join_all(waits).await.into_iter().flatten().collect();
        }
        // Marked first: a parked send without a mark would never be looked at.
        if let Err(error) = self.backlogs.mark(&account.id, now).await {
            error!(account = %account.id, %error, "could not mark the backlog");
            return jobs.iter().map(|job| job.message_id.clone()).collect();
        }
        let steps = jobs.iter().map(|job| self.sends.step(&job.ticket, Step::To(Stage::Parked)));
        let stepped = join_all(steps).await;
        self.close_cursor(&account.id, denial.retry_at).await;
        let failed = |(job, result): (&Job, Result<Option<Waiting>, StoreError>)| match result {
            Ok(_) => None,
            Err(error) => {
                error!(send = %job.ticket.send, %error, "could not park");
                Some(job.message_id.clone())
            }
        };
        jobs.iter().zip(stepped).filter_map(failed).collect()
    }

    /// Back on the queue, at another epoch: were the message to name the same one, each copy that
    /// the queue makes of it would come back as two for as long as the denial lasts. Gives the id
    /// of a message that the queue must bring again.
    async fn wait_on_queue(&self, job: &Job, wait: Duration) -> Option<String> {
        let due = self.clock.now() + wait;
        match self.sends.step(&job.ticket, Step::To(Stage::Queued { due })).await {
            Ok(Some(next)) => self.enqueue(job.ticket.renewed(&next), wait).await,
            Ok(None) => info!(send = %job.ticket.send, "not ours to put off: moved on"),
            Err(error) => {
                error!(send = %job.ticket.send, %error, "could not put off");
                return Some(job.message_id.clone());
            }
        }
        None
    }

    /// Puts a send on the queue whose new epoch is recorded: were its message lost, release would
    /// find it overdue.
    async fn enqueue(&self, ticket: Ticket, delay: Duration) {
        let message = Queued { ticket, delay };
        for result in self.queue.enqueue(std::slice::from_ref(&message)).await {
            if let Err(error) = result {
                warn!(send = %message.ticket.send, %error, "could not enqueue; release will");
            }
        }
    }

    /// No paced slot before `until`: new arrivals park at once instead of being denied later. A
    /// lost race only costs those denials.
    async fn close_cursor(&self, account: &AccountId, until: Timestamp) {
        let result = async {
            let cursor = self.cursors.load(account).await?;
            match cursor.closed(until, self.ids.next()) {
                Some(next) => self.cursors.save(account, &next).await.map(|_| ()),
                None => Ok(()),
            }
        };
        if let Err(error) = result.await {
            warn!(%account, %error, "could not close the cursor");
        }
    }

    /// Claims and calls, one task a send.
    async fn send_granted(
        &self,
        account: &Account,
        reservation: Option<&Reservation>,
        jobs: &[Job],
        deadline: Timestamp,
    ) -> Vec<String> {
        let Some(reservation) = reservation else { return Vec::new() };
        let tasks = jobs.iter().zip(&reservation.variants).map(|(job, &variant)| {
            self.send_one(account, reservation, &job.ticket, variant, deadline)
        });
        let results = join_all(tasks).await;
        let mut again = Vec::new();
        let mut unused = 0;
        for (job, result) in jobs.iter().zip(results) {
            unused += result.unused;
            if result.fate == Fate::Again {
                again.push(job.message_id.clone());
            }
        }
        if unused > 0 {
            self.limiter.refund(account, &reservation.grant, unused).await;
        }
        again
    }

    async fn send_one(
        &self,
        account: &Account,
        reservation: &Reservation,
        ticket: &Ticket,
        variant: usize,
        deadline: Timestamp,
    ) -> Attempt {
        let claim = Step::Claim { lease_until: lease_until(deadline) };
        let send = match self.sends.step(ticket, claim).await {
            Ok(Some(send)) => send,
            Ok(None) => {
                info!(send = %ticket.send, epoch = ticket.epoch, "not ours to send: moved on");
                return Attempt { fate: Fate::Done, unused: 1 };
            }
            Err(error) => {
                // The claim may have been written: its lease tells.
                error!(send = %ticket.send, %error, "could not claim");
                return Attempt { fate: Fate::Again, unused: 1 };
            }
        };
        let ticket = ticket.renewed(&send);
        let campaign = match self.campaign(account, &send.campaign).await {
            Ok(Some(campaign)) => campaign,
            Ok(None) => {
                let outcome = Outcome::Cancelled { reason: CancelReason::CampaignRemoved };
                return Attempt { fate: self.finish(&ticket, &outcome).await, unused: 1 };
            }
            Err(error) => {
                error!(send = %send.id, %error, "could not read the campaign");
                let fate = self.requeue(&ticket, &send, Retry::Untried, CONTENDED_WAIT).await;
                return Attempt { fate, unused: 1 };
            }
        };
        let timeout = (deadline - RECORDING_TIME).since(self.clock.now());
        if self.clock.monotonic() > reservation.usable_until || timeout.is_zero() {
            warn!(send = %send.id, "the grant ran out before the call");
            let fate = self.requeue(&ticket, &send, Retry::Untried, CONTENDED_WAIT).await;
            return Attempt { fate, unused: 1 };
        }
        let text = fill(&campaign, variant, &send);
        let before = self.clock.now();
        let result = self.graph.private_reply(account, &send.comment, &text, timeout).await;
        self.check_clock(before, &result);
        self.settle(account, reservation.grant.role, &ticket, &send, variant, result).await
    }

    /// The campaign of a send. One that this process does not know may be newer than what it
    /// remembers of the account.
    async fn campaign(
        &self,
        account: &Account,
        id: &CampaignId,
    ) -> Result<Option<Campaign>, StoreError> {
        if let Some(known) = account.campaigns.get(id) {
            return Ok(Some(known.clone()));
        }
        let current = self.directory.refresh(&account.id).await?;
        Ok(current.and_then(|account| account.campaigns.get(id).cloned()))
    }

    /// Compares this process's clock with the date in an answer of Meta's.
    fn check_clock(&self, before: Timestamp, result: &Result<Sent, CallError>) {
        if let Ok(Sent { server_date: Some(date), .. })
        | Err(CallError::Refused { server_date: Some(date), .. }) = result
        {
            self.check.compare(before, *date, &*self.clock);
        }
    }

    /// Records what a call came to.
    async fn settle(
        &self,
        account: &Account,
        role: Role,
        ticket: &Ticket,
        send: &Waiting,
        variant: usize,
        result: Result<Sent, CallError>,
    ) -> Attempt {
        let called = |fate| Attempt { fate, unused: 0 };
        let call = match result {
            Ok(sent) => {
                info!(send = %send.id, attempt = send.attempt, "sent");
                let outcome = Outcome::Sent {
                    recipient: sent.recipient,
                    message: sent.message_id,
                    variant: u8::try_from(variant).ok(),
                };
                let fate = self.finish(ticket, &outcome).await;
                if role == Role::Probe {
                    self.lift(account).await;
                }
                return called(fate);
            }
            Err(call) => call,
        };
        let verdict = call.verdict();
        warn!(send = %send.id, attempt = send.attempt, error = %call, ?verdict, "not sent");
        if call == CallError::NotWritten {
            let fate = self.requeue(ticket, send, Retry::Untried, UNREACHABLE_WAIT).await;
            return Attempt { fate, unused: 1 };
        }
        match Consequence::from(verdict) {
            Consequence::Hold(cause) => {
                let regain = match call {
                    CallError::Refused { regain, .. } => regain,
                    _ => None,
                };
                self.hold(account, cause, regain).await;
                called(self.park(ticket).await)
            }
            Consequence::PutOff => {
                called(self.requeue(ticket, send, Retry::Untried, RECIPIENT_WAIT).await)
            }
            Consequence::Retry(retry) if send.failures + 1 < FAILURES_MAX => {
                let wait = send.after(retry.step(Stage::Parked)).backoff();
                called(self.requeue(ticket, send, retry, wait).await)
            }
            Consequence::Retry(_) => {
                let outcome = Outcome::Failed { reason: FailReason::NoAnswer };
                called(self.finish(ticket, &outcome).await)
            }
            Consequence::End(reason) => {
                // A second private reply to a comment is refused: so the first one arrived.
                let arrived =
                    reason == FailReason::ReplyRefused && send.earlier == Earlier::Unknown;
                let outcome = if arrived {
                    Outcome::Sent { recipient: None, message: None, variant: None }
                } else {
                    Outcome::Failed { reason }
                };
                let fate = self.finish(ticket, &outcome).await;
                if role == Role::Probe {
                    self.lift(account).await;
                }
                called(fate)
            }
        }
    }

    async fn finish(&self, ticket: &Ticket, outcome: &Outcome) -> Fate {
        match self.sends.finish(ticket, outcome, self.clock.now()).await {
            Ok(()) => Fate::Done,
            // The lease ends, and release finds the send with an unknown outcome. The message is
            // void: its epoch has passed.
            Err(error) => {
                error!(send = %ticket.send, state = outcome.state(), %error, "could not record the outcome");
                Fate::Done
            }
        }
    }

    async fn park(&self, ticket: &Ticket) -> Fate {
        if let Err(error) = self.sends.step(ticket, Step::To(Stage::Parked)).await {
            error!(send = %ticket.send, %error, "could not park; the lease will end");
        }
        if let Err(error) = self.backlogs.mark(&ticket.send.account, self.clock.now()).await {
            error!(send = %ticket.send, %error, "could not mark the backlog");
        }
        Fate::Done
    }

    /// Back on the queue after `wait`.
    async fn requeue(&self, ticket: &Ticket, send: &Waiting, retry: Retry, wait: Duration) -> Fate {
        let due = self.clock.now() + wait;
        match self.sends.step(ticket, retry.step(Stage::Queued { due })).await {
            Ok(Some(next)) => self.enqueue(ticket.renewed(&next), wait).await,
            Ok(None) => warn!(send = %send.id, "moved on while it was claimed"),
            Err(error) => error!(send = %send.id, %error, "could not requeue; the lease will end"),
        }
        Fate::Done
    }

    async fn hold(&self, account: &Account, cause: HoldCause, regain: Option<Duration>) {
        if let Some(until) = self.limiter.hold(account, cause, regain).await {
            self.close_cursor(&account.id, until).await;
        }
    }

    /// Ends the hold, and asks for the parked sends.
    async fn lift(&self, account: &Account) {
        self.limiter.lift(account).await;
        if let Err(error) = self.backlogs.mark(&account.id, self.clock.now()).await {
            error!(account = %account.id, %error, "could not mark the backlog");
        }
    }
}

/// What became of one granted send.
struct Attempt {
    fate: Fate,
    /// 1 when its unit was not used.
    unused: u32,
}

/// Another invocation may believe the lease ended that much before this one does.
fn lease_until(deadline: Timestamp) -> Timestamp {
    deadline + CLOCK_BOUND
}

fn fill(campaign: &Campaign, variant: usize, send: &Waiting) -> String {
    let values = Values { username: send.username.as_deref(), keyword: send.keyword.as_deref() };
    // The campaign may have lost messages since the variant was picked.
    campaign.messages[variant % campaign.messages.len()].fill(values)
}
