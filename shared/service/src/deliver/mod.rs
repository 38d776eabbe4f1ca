//! Deliver: queued sends become Graph calls, inside the account's budget.
//!
//! Each step is safe to be the last one: a unit is taken before a claim, a claim is recorded before
//! the call, an outcome before the message goes. What a crash leaves is found by its lease.

mod consequence;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::future::join_all;
use spillway_core::budget::{Denial, DenialReason, Role};
use spillway_core::campaign::Campaign;
use spillway_core::feedback::Feedback;
use spillway_core::hold::HoldCause;
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::message::Values;
use spillway_core::pace::Cursor;
use spillway_core::quota::Action;
use spillway_core::refusal::{Doubt, Evidence, Finding, Party};
use spillway_core::send::{
    Address, CancelReason, Earlier, FailReason, Lane, Outcome, PendingSend, REPLY_WINDOW, Stage,
    Step,
};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_meta::error::Verdict;
use spillway_meta::graph::{CallError, Sent};
use spillway_meta::usage::Usage;
use tracing::{error, info, warn};

use self::consequence::{Consequence, Own, Retry, SPACED};
use crate::account::Account;
use crate::account_cache::AccountCache;
use crate::clock::{Clock, ClockCheck, Server};
use crate::grant::GrantIds;
use crate::limiter::{CONTENDED_WAIT, Charged, Limiter, Reservation, Reserved};
use crate::metrics::{Meter, Metric};
use crate::port::{Backlogs, Cursors, Graph, Queued, SendQueue, Sends, StoreError};
use crate::send_task::SendTask;

/// A denial up to this far off is waited for on the queue; beyond it the send is parked.
const WAIT_ON_QUEUE: Duration = Duration::from_secs(60);

/// The wait while Meta cannot be reached, or the account's token not be opened.
const UNREACHABLE_WAIT: Duration = Duration::from_secs(60);

/// The queue's longest delay.
const QUEUE_DELAY_MAX: Duration = Duration::from_secs(900);

/// A webhook may tell of a comment that much later than it was written (Meta, webhooks, 3 March
/// 2026).
const NOTIFIED_LATE_MAX: Duration = Duration::from_secs(36 * 3600);

/// What Meta's answer to a call may take: no call begins with less time for it.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Time kept between a call's end and the invocation's, to record the outcome.
const RECORDING_TIME: Duration = Duration::from_secs(1);

/// A message of the queue.
#[derive(Clone, Debug)]
pub struct Job {
    /// The queue's id for it.
    pub message_id: String,
    /// What it says.
    pub task: SendTask,
}

/// Delivers sends.
pub struct Deliver {
    /// Accounts, their quotas and tokens.
    pub account_cache: Arc<AccountCache>,
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
    /// What happens is recorded here.
    pub meter: Arc<Meter>,
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
    pub fn deliver(&self, jobs: Vec<Job>, deadline: Timestamp) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            let mut groups: BTreeMap<(AccountId, u8), Vec<Job>> = BTreeMap::new();
            for job in jobs {
                let SendTask { send, lane, .. } = &job.task;
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
        })
    }

    /// Delivers jobs of one account and lane.
    async fn deliver_group(&self, mut jobs: Vec<Job>, deadline: Timestamp) -> Vec<String> {
        jobs.sort_by(|a, b| a.task.outbox_key.cmp(&b.task.outbox_key));
        let Some(first) = jobs.first() else { return Vec::new() };
        let id = first.task.send.account.clone();
        let account = match self.account_cache.find(&id).await {
            Ok(Some(account)) => account,
            Ok(None) => return self.cancel_all(&jobs).await,
            Err(error) => {
                self.meter.store_failed(&error);
                error!(account = %id, %error, "could not read the account");
                return jobs.into_iter().map(|job| job.message_id).collect();
            }
        };
        let jobs = self.drop_late(&id, jobs).await;
        let (jobs, mut again) = self.hold_back(&account, jobs).await;
        if jobs.is_empty() {
            return again;
        }
        if let Err(error) = self.graph.prepare(&account).await {
            error!(account = %id, %error, "the account's token cannot be opened: put off");
            let waits = jobs.iter().map(|job| self.wait_on_queue(job, UNREACHABLE_WAIT));
            again.extend(join_all(waits).await.into_iter().flatten());
            return again;
        }
        if !account.rules.knows_people() {
            again.extend(self.deliver_jobs(&account, &jobs, deadline).await);
            return again;
        }
        // Each person's unit is looked for by itself.
        for job in jobs.chunks(1) {
            again.extend(self.deliver_jobs(&account, job, deadline).await);
        }
        again
    }

    /// Delivers as many of the jobs as are granted, and puts off the others.
    async fn deliver_jobs(
        &self,
        account: &Account,
        jobs: &[Job],
        deadline: Timestamp,
    ) -> Vec<String> {
        if !self.has_time(deadline) {
            let waits = jobs.iter().map(|job| self.wait_on_queue(job, CONTENDED_WAIT));
            return join_all(waits).await.into_iter().flatten().collect();
        }
        let tasks: Vec<&SendTask> = jobs.iter().map(|job| &job.task).collect();
        let reserved = self.limiter.reserve(account, &tasks, lease_until(deadline)).await;
        let Reserved { reservation, denied, changed } = match reserved {
            Ok(reserved) => reserved,
            Err(error) => {
                self.meter.store_failed(&error);
                error!(account = %account.id, %error, "could not reserve");
                return jobs.iter().map(|job| job.message_id.clone()).collect();
            }
        };
        let account = changed.as_deref().unwrap_or(account);
        let denied: Vec<(&Job, Denial)> =
            denied.into_iter().map(|(index, denial)| (&jobs[index], denial)).collect();
        // At once: what was granted must be called soon.
        let (mut again, not_put_off) = futures::join!(
            self.send_granted(account, reservation.as_ref(), jobs, deadline),
            self.put_off(account, &denied),
        );
        again.extend(not_put_off);
        again
    }

    /// Whether a call that begins now may take its time, and its outcome be recorded.
    fn has_time(&self, deadline: Timestamp) -> bool {
        self.clock.now() + ANSWER_TIME + RECORDING_TIME <= deadline
    }

    /// Ends the sends of an account that is not connected any more.
    async fn cancel_all(&self, jobs: &[Job]) -> Vec<String> {
        let outcome = Outcome::Cancelled { reason: CancelReason::AccountRemoved };
        self.end_unclaimed(jobs, &outcome).await
    }

    async fn end_unclaimed(&self, jobs: &[Job], outcome: &Outcome) -> Vec<String> {
        let at = self.clock.now();
        let ends = jobs.iter().map(|job| self.sends.finish_unclaimed(&job.task, outcome, at));
        let ended = join_all(ends).await;
        let failed = |(job, result): (&Job, Result<bool, StoreError>)| match result {
            Ok(ended) => {
                if ended {
                    self.note_end(&job.task, outcome);
                }
                None
            }
            Err(error) => {
                error!(send = %job.task.send, %error, "could not end the send");
                Some(job.message_id.clone())
            }
        };
        jobs.iter().zip(ended).filter_map(failed).collect()
    }

    /// Ends what is past its deadline, and gives the rest.
    async fn drop_late(&self, account: &AccountId, jobs: Vec<Job>) -> Vec<Job> {
        let now = self.clock.now();
        if !self.check.is_trusted() || jobs.iter().all(|job| now < job.task.deadline) {
            return jobs;
        }
        let cursor = if jobs.iter().any(|job| job.task.lane == Lane::Live) {
            // The broadcast may have gone on since.
            match self.cursors.load(account).await {
                // The answer may have shown that the clock is off.
                Ok(cursor) if self.check.is_trusted() => cursor,
                Ok(_) => return jobs,
                Err(error) => {
                    warn!(%account, %error, "not known how long the broadcast lasts");
                    return jobs;
                }
            }
        } else {
            Cursor::default()
        };
        let (late, jobs): (Vec<Job>, Vec<Job>) = jobs
            .into_iter()
            .partition(|job| cursor.deadline(job.task.lane, job.task.deadline) <= now);
        if !late.is_empty() {
            // Those that could not be ended are overdue, and release looks at them in any case.
            let _ = self.end_unclaimed(&late, &Outcome::Expired).await;
        }
        jobs
    }

    /// Parks what waits for a paused campaign, and gives the rest, with the ids of messages that
    /// the queue must bring again.
    async fn hold_back(&self, account: &Account, jobs: Vec<Job>) -> (Vec<Job>, Vec<String>) {
        if jobs.iter().all(|job| !account.campaigns.is_paused(&job.task.campaign)) {
            return (jobs, Vec::new());
        }
        // It may have been resumed since the account was read, and what is parked then waits long.
        let known = self.account_cache.refresh(&account.id).await;
        let campaigns = match &known {
            Ok(Some(account)) => &account.campaigns,
            Ok(None) | Err(_) => &account.campaigns,
        };
        let (paused, jobs): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| campaigns.is_paused(&job.task.campaign));
        let again = self.park_held(account, paused.iter().collect()).await;
        (jobs, again)
    }

    /// Parks sends that wait for something else than the account's budget, and gives the ids of
    /// messages that the queue must bring again.
    async fn park_held(&self, account: &Account, held: Vec<&Job>) -> Vec<String> {
        if held.is_empty() {
            return Vec::new();
        }
        // Marked first: a parked send without a mark would never be looked at.
        match self.backlogs.mark(&account.id, self.clock.now()).await {
            Ok(()) => {
                let parking = held.into_iter().map(|job| self.park_one(job));
                join_all(parking).await.into_iter().flatten().collect()
            }
            Err(error) => {
                error!(account = %account.id, %error, "could not mark the backlog");
                held.into_iter().map(|job| job.message_id.clone()).collect()
            }
        }
    }

    /// Parks one send; gives the message's id if that could not be recorded.
    async fn park_one(&self, job: &Job) -> Option<String> {
        match self.sends.step(&job.task, Step::To(Stage::Parked), self.clock.now()).await {
            Ok(after) => {
                self.meter.count(Metric::Parked, usize::from(after.is_some()));
                None
            }
            Err(error) => {
                error!(send = %job.task.send, %error, "could not park");
                Some(job.message_id.clone())
            }
        }
    }

    /// Puts off jobs that were not granted: shortly on the queue, one slot apart, else parked. The
    /// new message is sent, or the send parked, before the old message goes.
    async fn put_off(&self, account: &Account, denied: &[(&Job, Denial)]) -> Vec<String> {
        let Some((first, _)) = denied.first() else { return Vec::new() };
        let now = self.clock.now();
        let gap = account.rules.gap(first.task.lane.action(), now, Feedback::default());
        let (mut waiting, mut parking, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for (job, denial) in denied {
            let wait = denial.retry_at.since(now);
            self.meter.denied(&denial.reason);
            info!(send = %job.task.send, bound = %denial.reason, wait_ms = wait.as_millis() as u64, "put off");
            let before = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
            match denial.reason {
                // Release would give it a slot that it cannot use.
                DenialReason::RecipientHold => waiting.push(self.wait_on_queue(job, wait)),
                DenialReason::CampaignHold => held.push(*job),
                _ if wait <= WAIT_ON_QUEUE => {
                    waiting.push(self.wait_on_queue(job, wait.saturating_add(gap * before)));
                }
                _ => parking.push((*job, denial)),
            }
        }
        let (waiting, held, mut again) = futures::join!(
            join_all(waiting),
            self.park_held(account, held),
            self.park_denied(account, &parking, now),
        );
        again.extend(waiting.into_iter().flatten().chain(held));
        again
    }

    /// Back on the queue, at another epoch: were the message to name the same one, each copy that
    /// the queue makes of it would come back as two for as long as the denial lasts. Gives the id
    /// of a message that the queue must bring again.
    async fn wait_on_queue(&self, job: &Job, wait: Duration) -> Option<String> {
        let wait = wait.min(QUEUE_DELAY_MAX);
        let now = self.clock.now();
        let due = now + wait;
        match self.sends.step(&job.task, Step::To(Stage::Queued { due }), now).await {
            Ok(Some(next)) => self.enqueue(job.task.renewed(&next), wait).await,
            Ok(None) => info!(send = %job.task.send, "not ours to put off: moved on"),
            Err(error) => {
                error!(send = %job.task.send, %error, "could not put off");
                return Some(job.message_id.clone());
            }
        }
        None
    }

    async fn park_denied(
        &self,
        account: &Account,
        denied: &[(&Job, &Denial)],
        now: Timestamp,
    ) -> Vec<String> {
        let Some(opens_at) = denied.iter().map(|(_, denial)| denial.retry_at).min() else {
            return Vec::new();
        };
        // Marked first: a parked send without a mark would never be looked at.
        if let Err(error) = self.backlogs.wake(&account.id, now).await {
            error!(account = %account.id, %error, "could not mark the backlog");
            return denied.iter().map(|(job, _)| job.message_id.clone()).collect();
        }
        let parked = join_all(denied.iter().map(|(job, _)| self.park_one(job))).await;
        self.close_cursor(&account.id, opens_at).await;
        parked.into_iter().flatten().collect()
    }

    /// Puts a send on the queue whose new epoch is recorded: were its message lost, release would
    /// find it overdue.
    async fn enqueue(&self, task: SendTask, delay: Duration) {
        let message = Queued { task, delay };
        for result in self.queue.enqueue(std::slice::from_ref(&message)).await {
            if let Err(error) = result {
                warn!(send = %message.task.send, %error, "could not enqueue; release will");
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
        let tasks = reservation.granted.iter().map(|&(index, variant)| {
            self.send_one(account, reservation, &jobs[index].task, variant, deadline)
        });
        let results = join_all(tasks).await;
        let mut again = Vec::new();
        let mut unused = 0;
        for (&(index, _), result) in reservation.granted.iter().zip(results) {
            unused += result.unused;
            if result.fate == Fate::Again {
                again.push(jobs[index].message_id.clone());
            }
        }
        if unused > 0 {
            let Reservation { grant, of_app, .. } = &reservation;
            self.limiter.refund(account, grant, of_app, unused).await;
        }
        again
    }

    async fn send_one(
        &self,
        account: &Account,
        reservation: &Reservation,
        task: &SendTask,
        variant: usize,
        deadline: Timestamp,
    ) -> Attempt {
        let claim = Step::Claim { lease_until: lease_until(deadline) };
        let send = match self.sends.step(task, claim, self.clock.now()).await {
            Ok(Some(send)) => send,
            Ok(None) => {
                info!(send = %task.send, epoch = task.epoch, "not ours to send: moved on");
                return Attempt { fate: Fate::Done, unused: 1 };
            }
            Err(error) => {
                // The claim may have been written: its lease tells.
                error!(send = %task.send, %error, "could not claim");
                return Attempt { fate: Fate::Again, unused: 1 };
            }
        };
        let (mut task, mut send) = (task.renewed(&send), send);
        let campaign = match self.campaign(account, &send.campaign).await {
            Ok(Some(campaign)) => campaign,
            Ok(None) => {
                let outcome = Outcome::Cancelled { reason: CancelReason::CampaignRemoved };
                return Attempt { fate: self.finish(&task, &outcome).await, unused: 1 };
            }
            Err(error) => {
                error!(send = %send.id, %error, "could not read the campaign");
                let fate = self.requeue(&task, &send, Retry::Untried, CONTENDED_WAIT).await;
                return Attempt { fate, unused: 1 };
            }
        };
        // It may have been paused since the batch was looked through.
        if account.campaigns.is_paused(&send.campaign) {
            return Attempt { fate: self.park(&task).await, unused: 1 };
        }
        match self.age(account, reservation, &mut task, &mut send, deadline).await {
            Age::InTime => {}
            Age::MovedOn => return Attempt { fate: Fate::Done, unused: 1 },
            Age::TooOld => {
                return Attempt { fate: self.finish(&task, &Outcome::Expired).await, unused: 1 };
            }
            Age::Stopped => return Attempt { fate: self.park(&task).await, unused: 1 },
        }
        // Another call of this process may have met a limit since this one was granted.
        if let Some(denial) = self.limiter.known_hold(&account.id, reservation, Some(&task)) {
            let wait = denial.retry_at.since(self.clock.now()).min(QUEUE_DELAY_MAX);
            let fate = match denial.reason {
                // Release would give it a slot that it cannot use.
                DenialReason::RecipientHold => {
                    self.requeue(&task, &send, Retry::Untried, wait).await
                }
                _ => self.park(&task).await,
            };
            return Attempt { fate, unused: 1 };
        }
        let timeout = (deadline - RECORDING_TIME).since(self.clock.now());
        if self.clock.monotonic() > reservation.usable_until || !self.has_time(deadline) {
            warn!(send = %send.id, "the grant or the invocation's time ran out before the call");
            let fate = self.requeue(&task, &send, Retry::Untried, CONTENDED_WAIT).await;
            return Attempt { fate, unused: 1 };
        }
        let text = fill(&campaign, variant, &send);
        let (before, began) = (self.clock.now(), self.clock.monotonic());
        let result = match &send.to {
            Address::Comment { id, .. } => {
                self.graph.private_reply(account, id, &text, timeout).await
            }
            Address::Person(person) => self.graph.message(account, person, &text, timeout).await,
        };
        self.note_call(account, began, result.as_ref().err());
        self.check_clock(before, server_date(&result));
        self.settle(account, reservation, &task, &send, variant, result).await
    }

    /// Whether a comment can still be answered. A webhook may come up to 36 hours after it, so near
    /// the deadline the comment may be too old. Meta's refusal says so at the price of one call;
    /// only where it could also mean that an earlier attempt arrived is the comment's own time read
    /// first, and charged. It is read once and noted: a read that outlasts the grant would else be
    /// repeated for as long as the send waits.
    async fn age(
        &self,
        account: &Account,
        reservation: &Reservation,
        task: &mut SendTask,
        send: &mut PendingSend,
        deadline: Timestamp,
    ) -> Age {
        let Address::Comment { id, .. } = &send.to else { return Age::InTime };
        let now = self.clock.now();
        let may_be_too_old =
            send.lane == Lane::Inbound && send.deadline.since(now) < NOTIFIED_LATE_MAX;
        if !may_be_too_old || send.earlier == Earlier::NotSent {
            return Age::InTime;
        }
        if let Some(made_at) = send.made_at {
            return Age::of(made_at, now);
        }
        let before_call = (deadline - ANSWER_TIME - RECORDING_TIME).since(now);
        let of_grant = reservation.usable_until.saturating_sub(self.clock.monotonic());
        let timeout = before_call.min(of_grant);
        if timeout.is_zero() {
            return Age::InTime;
        }
        match self.limiter.charge(account, Action::Read, NonZeroU32::MIN).await {
            Ok(Charged::Granted(_)) => {}
            // If it is too old, Meta will say so.
            Ok(Charged::Denied(_)) | Err(_) => return Age::InTime,
        }
        if self.limiter.known_hold(&account.id, reservation, Some(task)).is_some() {
            return Age::Stopped;
        }
        let began = self.clock.monotonic();
        let read = self.graph.comment_timestamp(account, id, timeout).await;
        self.note_call(account, began, read.as_ref().err());
        let mut is_stopped = false;
        let made_at = match read {
            Ok(comment) => {
                self.check_clock(now, comment.server_date);
                self.learn(account, &comment.usage).await;
                comment.created_at.unwrap_or(send.matched_at)
            }
            Err(call) => {
                let regain = usage(&call).regain;
                is_stopped = match Consequence::of(&call, &account.id, &send.to) {
                    Consequence::HoldApp => {
                        self.hold_app(account, regain).await;
                        true
                    }
                    Consequence::Refused(evidence @ Evidence::Clear(_), _) => {
                        self.refused(account, send, evidence, &call).await;
                        true
                    }
                    // It is a read: whether the send is refused too, its own call tells.
                    Consequence::Refused(Evidence::Doubt(_) | Evidence::Campaign, _)
                    | Consequence::HoldRecipient
                    | Consequence::Own(_) => false,
                };
                if is_stopped {
                    warn!(send = %send.id, error = %call, "the comment's time not read");
                }
                send.matched_at
            }
        };
        let dated = Step::Dated { made_at, lease_until: lease_until(deadline) };
        match self.sends.step(task, dated, self.clock.now()).await {
            Ok(Some(next)) => (*task, *send) = (task.renewed(&next), next),
            Ok(None) => {
                warn!(send = %send.id, "moved on while it was claimed");
                return Age::MovedOn;
            }
            Err(error) => {
                error!(send = %send.id, %error, "could not note the comment's time; the lease will end");
                return Age::MovedOn;
            }
        }
        if is_stopped { Age::Stopped } else { Age::of(made_at, now) }
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
        let current = self.account_cache.refresh(&account.id).await?;
        Ok(current.and_then(|account| account.campaigns.get(id).cloned()))
    }

    /// Takes down how a call went that began at this instant of the monotonic clock.
    fn note_call(&self, account: &Account, began: Duration, failed: Option<&CallError>) {
        self.limiter.count_call(&account.id, failed);
        let took = self.clock.monotonic().saturating_sub(began);
        self.meter.see_span(Metric::GraphLatency, took);
        if let Some(call) = failed {
            self.meter.call_failed(call);
        }
    }

    /// Compares this process's clock with the date in an answer of Meta's.
    fn check_clock(&self, before: Timestamp, server_date: Option<Timestamp>) {
        if let Some(date) = server_date {
            self.check.compare_with(Server::Meta, before, date, &*self.clock);
        }
    }

    /// Records what a call came to.
    async fn settle(
        &self,
        account: &Account,
        reservation: &Reservation,
        task: &SendTask,
        send: &PendingSend,
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
                let fate = self.finish(task, &outcome).await;
                let person = send.to.recipient();
                self.limiter.note_written(account, &reservation.grant, person).await;
                self.went_through(account, reservation, Some(send), &sent.usage).await;
                return called(fate);
            }
            Err(call) => call,
        };
        let verdict = call.verdict();
        warn!(send = %send.id, attempt = send.attempt, error = %call, ?verdict, "not sent");
        if call == CallError::NotWritten {
            let fate = self.requeue(task, send, Retry::Untried, UNREACHABLE_WAIT).await;
            return Attempt { fate, unused: 1 };
        }
        let regain = usage(&call).regain;
        let own = match Consequence::of(&call, &account.id, &send.to) {
            Consequence::HoldApp => {
                self.hold_app(account, regain).await;
                return called(self.park(task).await);
            }
            Consequence::HoldRecipient => {
                let until = match send.to.recipient() {
                    Some(person) => self.limiter.hold_recipient(account, person).await,
                    None => None,
                };
                let wait = until.map_or(QUEUE_DELAY_MAX, |until| until.since(self.clock.now()));
                self.went_through(account, reservation, Some(send), &usage(&call)).await;
                let wait = wait.min(QUEUE_DELAY_MAX);
                return called(self.requeue(task, send, Retry::Untried, wait).await);
            }
            Consequence::Refused(evidence, own) => {
                let finding = self.refused(account, send, evidence, &call).await;
                match (finding, own) {
                    (
                        Finding::Account(_) | Finding::Campaign,
                        Own::Retry(..) | Own::End(_) | Own::Space,
                    ) => {
                        // The campaign's hold is not the account's: Meta has answered.
                        if finding == Finding::Campaign {
                            self.went_through(account, reservation, None, &usage(&call)).await;
                        }
                        return called(self.park(task).await);
                    }
                    _ if evidence == Evidence::Doubt(Doubt::Server) => {}
                    // Meta has answered, with no limit.
                    (Finding::Send | Finding::Open, _) => {
                        self.went_through(account, reservation, None, &usage(&call)).await;
                    }
                    (Finding::Account(_) | Finding::Campaign, Own::Unknown) => {}
                }
                own
            }
            Consequence::Own(own) => {
                if let Own::End(_) = own
                    && call != CallError::Unknown
                {
                    self.went_through(account, reservation, Some(send), &usage(&call)).await;
                }
                own
            }
        };
        called(self.alone(account, task, send, own).await)
    }

    /// What becomes of a send that is refused alone.
    async fn alone(
        &self,
        account: &Account,
        task: &SendTask,
        send: &PendingSend,
        own: Own,
    ) -> Fate {
        let reason = match own {
            Own::Retry(retry, tries, _) if send.failures + 1 < tries => {
                let wait = send.after(retry.step(Stage::Parked)).backoff();
                return self.requeue(task, send, retry, wait).await;
            }
            Own::Space if send.failures + 1 < SPACED => {
                let until = match send.to.recipient() {
                    Some(person) => self.limiter.hold_recipient(account, person).await,
                    None => None,
                };
                let wait = until.map_or(QUEUE_DELAY_MAX, |until| until.since(self.clock.now()));
                let wait = wait.min(QUEUE_DELAY_MAX);
                return self.requeue(task, send, Retry::Failed, wait).await;
            }
            Own::Space => FailReason::Refused,
            Own::Retry(_, _, reason) | Own::End(reason) => reason,
            Own::Unknown => FailReason::Unknown,
        };
        // A second private reply to a comment is refused: so the first one arrived.
        let arrived = reason == FailReason::ReplyRefused && send.earlier == Earlier::Unknown;
        let outcome = if arrived {
            info!(send = %send.id, "sent: an earlier attempt had arrived");
            Outcome::Sent { recipient: None, message: None, variant: None }
        } else {
            Outcome::Failed { reason }
        };
        self.finish(task, &outcome).await
    }

    async fn finish(&self, task: &SendTask, outcome: &Outcome) -> Fate {
        match self.sends.finish(task, outcome, self.clock.now()).await {
            Ok(()) => {
                self.note_end(task, outcome);
                Fate::Done
            }
            // The lease ends, and release finds the send with an unknown outcome. The message is
            // void: its epoch has passed.
            Err(error) => {
                error!(send = %task.send, state = outcome.state(), %error, "could not record the outcome");
                Fate::Done
            }
        }
    }

    fn note_end(&self, task: &SendTask, outcome: &Outcome) {
        self.meter.ended(outcome);
        // That it was sent is logged with Meta's answer.
        if !matches!(outcome, Outcome::Sent { .. }) {
            info!(send = %task.send, state = outcome.state(), "ended without being sent");
        }
    }

    async fn park(&self, task: &SendTask) -> Fate {
        match self.sends.step(task, Step::To(Stage::Parked), self.clock.now()).await {
            Ok(Some(_)) => {
                info!(send = %task.send, "parked");
                self.meter.count(Metric::Parked, 1);
            }
            Ok(None) => warn!(send = %task.send, "moved on while it was claimed"),
            Err(error) => {
                error!(send = %task.send, %error, "could not park; the lease will end");
            }
        }
        if let Err(error) = self.backlogs.wake(&task.send.account, self.clock.now()).await {
            error!(send = %task.send, %error, "could not mark the backlog");
        }
        Fate::Done
    }

    /// Back on the queue after `wait`.
    async fn requeue(
        &self,
        task: &SendTask,
        send: &PendingSend,
        retry: Retry,
        wait: Duration,
    ) -> Fate {
        let now = self.clock.now();
        let due = now + wait;
        match self.sends.step(task, retry.step(Stage::Queued { due }), now).await {
            Ok(Some(next)) => self.enqueue(task.renewed(&next), wait).await,
            Ok(None) => warn!(send = %send.id, "moved on while it was claimed"),
            Err(error) => error!(send = %send.id, %error, "could not requeue; the lease will end"),
        }
        Fate::Done
    }

    /// Stops every account.
    async fn hold_app(&self, account: &Account, regain: Option<Duration>) {
        if let Some(until) = self.limiter.hold_app(HoldCause::Throttled, regain).await {
            self.close_cursor(&account.id, until).await;
        }
    }

    /// Takes in that Meta has refused the send, which may stop its account or campaign.
    async fn refused(
        &self,
        account: &Account,
        send: &PendingSend,
        evidence: Evidence,
        call: &CallError,
    ) -> Finding {
        let (party, regain) = (Party::of(send), usage(call).regain);
        let (finding, until) = self.limiter.refused(account, party, evidence, regain).await;
        // That the token does not see the account is said in other words than that it is dead.
        let is_told = call.verdict() == Verdict::TokenDead;
        if finding == Finding::Account(HoldCause::TokenDead) && !is_told {
            self.meter.count(Metric::DeadTokens, 1);
        }
        if let Some(until) = until {
            self.close_cursor(&account.id, until).await;
        }
        finding
    }

    /// A call was answered, by whatever but a limit: a hold that it was the probe of is over, and
    /// the answer may say how near the next one is. `answered` is the send, where the answer shows
    /// that nothing is wrong with its account or campaign.
    async fn went_through(
        &self,
        account: &Account,
        reservation: &Reservation,
        answered: Option<&PendingSend>,
        usage: &Usage,
    ) {
        let Reservation { grant, app_role, .. } = reservation;
        match answered {
            Some(send) => {
                self.limiter.passed(account, &Party::of(send), grant.role, *app_role).await;
            }
            None => self.limiter.lift(account, grant.role, *app_role).await,
        }
        if grant.role == Role::Probe || *app_role == Role::Probe {
            // Asks for the parked sends.
            if let Err(error) = self.backlogs.wake(&account.id, self.clock.now()).await {
                error!(account = %account.id, %error, "could not mark the backlog");
            }
        }
        self.learn(account, usage).await;
    }

    async fn learn(&self, account: &Account, usage: &Usage) {
        if let Some(until) = self.limiter.learn(account, usage).await {
            self.close_cursor(&account.id, until).await;
        }
    }
}

/// Whether a comment can still be answered.
enum Age {
    InTime,
    TooOld,
    /// Asking met a limit.
    Stopped,
    /// The send is not this claim's any more, as far as is known.
    MovedOn,
}

impl Age {
    /// Of a comment that was made then.
    fn of(made_at: Timestamp, now: Timestamp) -> Self {
        if made_at + REPLY_WINDOW <= now { Self::TooOld } else { Self::InTime }
    }
}

/// How full the limits are, from an answer that refused.
fn usage(call: &CallError) -> Usage {
    match call {
        CallError::Refused { usage, .. } => *usage,
        _ => Usage::default(),
    }
}

fn server_date(result: &Result<Sent, CallError>) -> Option<Timestamp> {
    match result {
        Ok(Sent { server_date, .. }) | Err(CallError::Refused { server_date, .. }) => *server_date,
        Err(_) => None,
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

fn fill(campaign: &Campaign, variant: usize, send: &PendingSend) -> String {
    let values = Values { username: send.username.as_deref(), keyword: send.keyword.as_deref() };
    // The campaign may have lost messages since the variant was picked.
    campaign.messages[variant % campaign.messages.len()].fill(values)
}
