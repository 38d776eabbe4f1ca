//! Deliver: queued sends become Graph calls, inside the account's budget.
//!
//! Each step is safe to be the last one: a unit is taken before a claim, a claim is recorded before
//! the call, an outcome before the message goes. What a crash leaves is found by its lease.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use spillway_core::budget::{Bound, Budget, Decision, Denial, Grant, GrantId, Role, Want};
use spillway_core::campaign::Campaign;
use spillway_core::hold::HoldCause;
use spillway_core::id::AccountId;
use spillway_core::message::Values;
use spillway_core::quota::{Action, GRANT_LIFE};
use spillway_core::send::{
    CancelReason, Earlier, FAILURES_MAX, FailReason, Outcome, Stage, Step, Waiting,
};
use spillway_core::time::{CLOCK_BOUND, Timestamp, clock_agrees};
use spillway_meta::error::{ThrottleScope, Verdict};
use spillway_meta::graph::{CONNECT_TIMEOUT, CallError, Sent};
use tracing::{error, info, warn};

use crate::account::{Account, Directory};
use crate::clock::Clock;
use crate::grant::GrantIds;
use crate::memory::Memory;
use crate::port::{Backlogs, Budgets, Cursors, Graph, Queued, Saved, SendQueue, Sends, StoreError};
use crate::ticket::Ticket;

/// A denial up to this far off is waited for on the queue; beyond it the send is parked.
const WAIT_ON_QUEUE: Duration = Duration::from_secs(60);

/// A budget seen this long ago still decides; a denial from an older one is checked against the
/// stored budget first, since a hold may have been lifted.
const BUDGET_FRESH: Duration = Duration::from_secs(30);

/// Races for the budget that one decision may lose before it waits.
const BUDGET_TRIES: usize = 6;

/// Races that a write which must not be lost, a hold or its end, may lose.
const HOLD_TRIES: usize = 50;

/// The wait after losing every race for the budget.
const CONTENDED_WAIT: Duration = Duration::from_secs(2);

/// The wait after a call that could not be written: Meta cannot be reached.
const UNREACHABLE_WAIT: Duration = Duration::from_secs(60);

/// How long a process grants nothing after a server's date showed its clock to be off. Its messages
/// go to others meanwhile.
const CLOCK_DISTRUSTED: Duration = Duration::from_secs(600);

/// The wait of a message that a process with a wrong clock met.
const CLOCK_WAIT: Duration = Duration::from_secs(30);

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
    pub budgets: Arc<dyn Budgets>,
    /// Their pace cursors, moved on when a budget is full.
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
    /// What this process remembers.
    pub warm: Warm,
}

/// What a warm process remembers between invocations.
pub struct Warm {
    /// The budget last seen, and when.
    budgets: Memory<AccountId, (Budget, Timestamp)>,
    denials: Memory<(AccountId, Action), Denial>,
    /// On the monotonic clock: until then this process's wall clock is not to be trusted.
    clock_distrusted_until: Mutex<Duration>,
}

impl Default for Warm {
    fn default() -> Self {
        Self {
            budgets: Memory::new(),
            denials: Memory::new(),
            clock_distrusted_until: Mutex::default(),
        }
    }
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
        let (granted, denied, mut again) = match self.reserve(&account, &jobs, deadline).await {
            Ok(Reserved { reservation, denial }) => {
                let n = reservation.as_ref().map_or(0, |r| r.grant.units as usize).min(jobs.len());
                let (granted, denied) = jobs.split_at(n);
                let again = match denial {
                    Some(denial) if !denied.is_empty() => {
                        self.put_off(&account, denied, &denial).await
                    }
                    _ => Vec::new(),
                };
                (reservation.map(|r| (r, granted.to_vec())), denied.len(), again)
            }
            Err(error) => {
                error!(account = %id, %error, "could not reserve");
                return jobs.into_iter().map(|job| job.message_id).collect();
            }
        };
        if denied > 0 {
            info!(account = %id, denied, "not granted");
        }
        if let Some((reservation, jobs)) = granted {
            again.extend(self.send_granted(&account, &reservation, jobs, deadline).await);
        }
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
        let now = self.clock.now();
        let (late, jobs): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.ticket.deadline <= now);
        if !late.is_empty() {
            // Those that could not be ended are overdue, and release looks at them in any case.
            let _ = self.end_unclaimed(&late, &Outcome::Expired).await;
        }
        jobs
    }

    /// Takes units for as many of the jobs as fit, in one write.
    async fn reserve(
        &self,
        account: &Account,
        jobs: &[Job],
        deadline: Timestamp,
    ) -> Result<Reserved, StoreError> {
        let (Some(first), Some(units)) =
            (jobs.first(), u32::try_from(jobs.len()).ok().and_then(NonZeroU32::new))
        else {
            return Ok(Reserved { reservation: None, denial: None });
        };
        let action = first.ticket.lane.action();
        let key = (account.id.clone(), action);
        let now = self.clock.now();
        if self.is_clock_distrusted() {
            let denial = Denial { bound: Bound::Clock, retry_at: now + CLOCK_WAIT };
            return Ok(Reserved { reservation: None, denial: Some(denial) });
        }
        if let Some(denial) = self.warm.denials.get(&key, now) {
            return Ok(Reserved { reservation: None, denial: Some(denial) });
        }
        let want =
            Want { action, units, first: &first.ticket.send, lease_until: lease_until(deadline) };
        let (mut budget, mut seen_at) = self.budget(&account.id, now).await?;
        let id = self.ids.next();
        for _ in 0..BUDGET_TRIES {
            // Both clocks are read before the write: the grant's life includes it.
            let now = self.clock.now();
            let usable_until = self.clock.monotonic() + GRANT_LIFE - CONNECT_TIMEOUT;
            match budget.decide(&account.profile, &want, now, id) {
                Decision::Denied(denial) => {
                    if now.since(seen_at) > BUDGET_FRESH {
                        (budget, seen_at) = (self.budgets.load(&account.id).await?, now);
                        continue;
                    }
                    self.remember_budget(&account.id, budget, seen_at);
                    self.remember_denial(key, &denial, now);
                    return Ok(Reserved { reservation: None, denial: Some(denial) });
                }
                Decision::Granted(grant, mut next, denial) => {
                    let variants = pick_variants(account, jobs, &grant, &mut next);
                    match self.budgets.save(&account.id, &next).await? {
                        Saved::Done => {
                            self.remember_budget(&account.id, *next, now);
                            let reservation = Reservation { grant, variants, usable_until };
                            return Ok(Reserved { reservation: Some(reservation), denial });
                        }
                        Saved::Conflict(current) => (budget, seen_at) = (current, now),
                    }
                }
            }
        }
        self.warm.budgets.forget(&account.id);
        let bound = match account.profile.counting(action).next() {
            Some(quota) => Bound::Quota(quota.id.clone()),
            None => Bound::Hold(HoldCause::Throttled),
        };
        let retry_at = self.clock.now() + CONTENDED_WAIT;
        Ok(Reserved { reservation: None, denial: Some(Denial { bound, retry_at }) })
    }

    async fn budget(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<(Budget, Timestamp), StoreError> {
        match self.warm.budgets.get(account, now) {
            Some(known) => Ok(known),
            None => Ok((self.budgets.load(account).await?, now)),
        }
    }

    fn remember_budget(&self, account: &AccountId, budget: Budget, seen_at: Timestamp) {
        let now = self.clock.now();
        self.warm.budgets.put(account.clone(), (budget, seen_at), Timestamp::NEVER, now);
    }

    /// Denied traffic costs nothing until the denial ends; for at most a while, because a hold may
    /// be lifted by others.
    fn remember_denial(&self, key: (AccountId, Action), denial: &Denial, now: Timestamp) {
        let until = denial.retry_at.min(now + BUDGET_FRESH);
        self.warm.denials.put(key, denial.clone(), until, now);
    }

    /// Puts off jobs that were not granted: shortly on the queue, else parked. The new message is
    /// sent, or the send parked, before the old message goes.
    async fn put_off(&self, account: &Account, jobs: &[Job], denial: &Denial) -> Vec<String> {
        let now = self.clock.now();
        let wait = denial.retry_at.since(now);
        info!(account = %account.id, jobs = jobs.len(), bound = %denial.bound, wait_ms = wait.as_millis() as u64, "put off");
        if wait <= WAIT_ON_QUEUE {
            let gap = spillway_core::pace::gap(
                &account.profile,
                jobs.first().map_or(Action::PrivateReply, |job| job.ticket.lane.action()),
            );
            let messages: Vec<Queued> = (0u32..)
                .zip(jobs)
                .map(|(n, job)| Queued { ticket: job.ticket.clone(), delay: wait + gap * n })
                .collect();
            return self.enqueue(jobs, &messages).await;
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

    async fn enqueue(&self, jobs: &[Job], messages: &[Queued]) -> Vec<String> {
        let failed = |(job, result): (&Job, Result<(), StoreError>)| match result {
            Ok(()) => None,
            Err(error) => {
                error!(send = %job.ticket.send, %error, "could not enqueue");
                Some(job.message_id.clone())
            }
        };
        jobs.iter().zip(self.queue.enqueue(messages).await).filter_map(failed).collect()
    }

    /// No paced slot before `until`: new arrivals park at once instead of being denied later. A
    /// lost race only costs those denials.
    async fn close_cursor(&self, account: &AccountId, until: Timestamp) {
        let result = async {
            let cursor = self.cursors.load(account).await?;
            match cursor.closed_until(until, self.ids.next()) {
                Some(next) => self.cursors.save(account, &next).await.map(|_| ()),
                None => Ok(()),
            }
        };
        if let Err(error) = result.await {
            warn!(%account, %error, "could not move the cursor");
        }
    }

    /// Claims and calls, one task a send.
    async fn send_granted(
        &self,
        account: &Account,
        reservation: &Reservation,
        jobs: Vec<Job>,
        deadline: Timestamp,
    ) -> Vec<String> {
        let tasks = jobs.iter().zip(&reservation.variants).map(|(job, &variant)| {
            self.send_one(account, reservation, &job.ticket, variant, deadline)
        });
        let results = join_all(tasks).await;
        let mut again = Vec::new();
        let mut unused = 0;
        for (job, result) in jobs.into_iter().zip(results) {
            unused += result.unused;
            if result.fate == Fate::Again {
                again.push(job.message_id);
            }
        }
        if unused > 0 {
            self.refund(account, &reservation.grant, unused).await;
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
        let Some(campaign) = account.campaigns.get(&send.campaign) else {
            let outcome = Outcome::Cancelled { reason: CancelReason::CampaignRemoved };
            return Attempt { fate: self.finish(&ticket, &outcome).await, unused: 1 };
        };
        let timeout = (deadline - RECORDING_TIME).since(self.clock.now());
        if self.clock.monotonic() > reservation.usable_until || timeout.is_zero() {
            warn!(send = %send.id, "the grant ran out before the call");
            let fate = self.requeue(&ticket, &send, Retry::Untried, CONTENDED_WAIT).await;
            return Attempt { fate, unused: 1 };
        }
        let text = fill(campaign, variant, &send);
        let before = self.clock.now();
        let result = self.graph.private_reply(account, &send.comment, &text, timeout).await;
        self.check_clock(before, &result);
        self.settle(account, reservation.grant.role, &ticket, &send, variant, result).await
    }

    /// Compares this process's clock with the date in an answer of Meta's.
    fn check_clock(&self, before: Timestamp, result: &Result<Sent, CallError>) {
        let date = match result {
            Ok(Sent { server_date, .. }) | Err(CallError::Refused { server_date, .. }) => {
                *server_date
            }
            Err(_) => None,
        };
        let after = self.clock.now();
        let Some(date) = date.filter(|&date| !clock_agrees(before, date, after)) else { return };
        error!(
            before_ms = before.as_millis(),
            date_ms = date.as_millis(),
            after_ms = after.as_millis(),
            "this process's clock is off by more than the bound: it grants nothing for a while"
        );
        let until = self.clock.monotonic() + CLOCK_DISTRUSTED;
        *self.warm.clock_distrusted_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn is_clock_distrusted(&self) -> bool {
        let until = self.warm.clock_distrusted_until.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.monotonic() < *until
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
        match verdict.consequence() {
            Consequence::Hold(cause) => {
                let regain = match call {
                    CallError::Refused { regain, .. } => regain,
                    _ => None,
                };
                self.hold(account, cause, regain).await;
                called(self.park(ticket).await)
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
            Ok(Some(next)) => {
                let message = Queued { ticket: ticket.renewed(&next), delay: wait };
                for result in self.queue.enqueue(&[message]).await {
                    if let Err(error) = result {
                        warn!(send = %send.id, %error, "could not enqueue; release will");
                    }
                }
            }
            Ok(None) => warn!(send = %send.id, "moved on while it was claimed"),
            Err(error) => error!(send = %send.id, %error, "could not requeue; the lease will end"),
        }
        Fate::Done
    }

    /// Puts the account on hold. This process stops at once, all others with the write.
    async fn hold(&self, account: &Account, cause: HoldCause, regain: Option<Duration>) {
        let now = self.clock.now();
        let stop = |until| Denial { bound: Bound::Hold(cause), retry_at: until };
        for action in Action::ALL {
            let key = (account.id.clone(), action);
            self.remember_denial(key, &stop(now + BUDGET_FRESH), now);
        }
        let held = self
            .change_budget(&account.id, |budget, id| Some(budget.hold(cause, now, regain, id)))
            .await;
        match held {
            Ok(budget) => {
                let until = budget.holds.current.map_or(now, |hold| hold.until);
                warn!(account = %account.id, ?cause, strikes = budget.holds.strikes, hold_s = until.since(now).as_secs(), "on hold");
                self.close_cursor(&account.id, until).await;
            }
            Err(error) => error!(account = %account.id, %error, "could not record the hold"),
        }
    }

    async fn lift(&self, account: &Account) {
        for action in Action::ALL {
            self.warm.denials.forget(&(account.id.clone(), action));
        }
        let lifted = self
            .change_budget(&account.id, |budget, id| {
                budget.holds.current.is_some().then(|| budget.lift(id))
            })
            .await;
        match lifted {
            Ok(_) => info!(account = %account.id, "hold ended: the probe went through"),
            Err(error) => error!(account = %account.id, %error, "could not end the hold"),
        }
        if let Err(error) = self.backlogs.mark(&account.id, self.clock.now()).await {
            error!(account = %account.id, %error, "could not mark the backlog");
        }
    }

    /// Gives units back. Tried once: a lost refund errs on the safe side.
    async fn refund(&self, account: &Account, grant: &Grant, units: u32) {
        let now = self.clock.now();
        let result = async {
            let (budget, _) = self.budget(&account.id, now).await?;
            let next = budget.refund(&account.profile, grant, units, self.ids.next());
            match self.budgets.save(&account.id, &next).await? {
                Saved::Done => self.remember_budget(&account.id, next, now),
                Saved::Conflict(current) => self.remember_budget(&account.id, current, now),
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = result.await {
            self.warm.budgets.forget(&account.id);
            warn!(account = %account.id, units, %error, "units not given back");
        }
    }

    /// Changes the stored budget, again until it holds; `None` from `change` leaves it.
    async fn change_budget(
        &self,
        account: &AccountId,
        change: impl Fn(&Budget, GrantId) -> Option<Budget> + Send + Sync,
    ) -> Result<Budget, StoreError> {
        let mut budget = self.budgets.load(account).await?;
        let id = self.ids.next();
        for _ in 0..HOLD_TRIES {
            let Some(next) = change(&budget, id) else { return Ok(budget) };
            match self.budgets.save(account, &next).await? {
                Saved::Done => {
                    self.remember_budget(account, next.clone(), self.clock.now());
                    return Ok(next);
                }
                Saved::Conflict(current) => budget = current,
            }
        }
        let detail = format!("lost {HOLD_TRIES} races");
        Err(StoreError::Unavailable { what: "change the budget", detail })
    }
}

/// A decision that has been written, and what was not granted.
struct Reserved {
    reservation: Option<Reservation>,
    denial: Option<Denial>,
}

struct Reservation {
    grant: Grant,
    /// For each granted send, in order, the text it gets.
    variants: Vec<usize>,
    /// On the monotonic clock: no call starts after this. A connection may take
    /// [`CONNECT_TIMEOUT`] more before the request is written.
    usable_until: Duration,
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

fn pick_variants(account: &Account, jobs: &[Job], grant: &Grant, next: &mut Budget) -> Vec<usize> {
    jobs.iter()
        .take(grant.units as usize)
        .map(|Job { ticket: Ticket { send, campaign, .. }, .. }| {
            let variants = account.campaigns.get(campaign).map_or(1, |c| c.messages.len());
            next.rotation.pick(campaign, send, variants)
        })
        .collect()
}

fn fill(campaign: &Campaign, variant: usize, send: &Waiting) -> String {
    let values = Values { username: send.username.as_deref(), keyword: send.keyword.as_deref() };
    // The campaign may have lost messages since the variant was picked.
    campaign.messages[variant % campaign.messages.len()].fill(values)
}

/// How an attempt that is to be repeated went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// No request was written.
    Untried,
    /// Definitely not sent.
    Failed,
    /// Perhaps sent.
    Lost,
}

impl Retry {
    fn step(self, to: Stage) -> Step {
        match self {
            Self::Untried => Step::To(to),
            Self::Failed => Step::Failed(to),
            Self::Lost => Step::Lost(to),
        }
    }
}

/// What follows from Meta's verdict.
enum Consequence {
    Hold(HoldCause),
    Retry(Retry),
    End(FailReason),
}

trait Consequences {
    fn consequence(&self) -> Consequence;
}

impl Consequences for Verdict {
    fn consequence(&self) -> Consequence {
        match self {
            Self::Throttled { scope: ThrottleScope::Recipient } => {
                Consequence::Retry(Retry::Failed)
            }
            Self::Throttled { scope: ThrottleScope::App | ThrottleScope::Account } => {
                Consequence::Hold(HoldCause::Throttled)
            }
            Self::Blocked => Consequence::Hold(HoldCause::Blocked),
            Self::TokenDead => Consequence::Hold(HoldCause::TokenDead),
            Self::Permission => Consequence::Hold(HoldCause::Permission),
            Self::Transient => Consequence::Retry(Retry::Failed),
            Self::Ambiguous => Consequence::Retry(Retry::Lost),
            Self::WindowClosed => Consequence::End(FailReason::WindowClosed),
            Self::Recipient => Consequence::End(FailReason::Recipient),
            Self::PrivateReplyRefused => Consequence::End(FailReason::ReplyRefused),
            Self::ThreadOwner => Consequence::End(FailReason::ThreadOwner),
            Self::BadRequest => Consequence::End(FailReason::BadRequest),
            Self::CommentGone => Consequence::End(FailReason::CommentGone),
        }
    }
}
