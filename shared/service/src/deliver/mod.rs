//! Deliver: queued sends become Graph calls, inside the account's budget.
//!
//! Each step is safe to be the last one: a unit is taken before a claim, a claim is recorded before
//! the call, an outcome before the message goes. What a crash leaves is found by its lease.

mod author;
mod conversation;
mod look;
mod replacement;
mod resolution;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::future::join_all;
use spillway_core::budget::{Denial, DenialReason};
use spillway_core::campaign::{Campaign, Overflow};
use spillway_core::content::{Disclosure, Draft, Message, Tracking};
use spillway_core::feedback::Feedback;
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, CommentId, RecipientId};
use spillway_core::message::Values;
use spillway_core::meta_error::MetaError;
use spillway_core::pace::Cursor;
use spillway_core::quota::Action;
use spillway_core::rotation::Rotation;
use spillway_core::send::{
    Address, CancelReason, Class, Earlier, FailReason, Lane, Outcome, PendingSend, REPLY_WINDOW,
    Stage, Step,
};
use spillway_core::stamp::Stamp;
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_core::unknown::{RetryUnknown, UnknownAttempt};
use spillway_meta::graph::{Answered, CallError, Profile, Sent};
use tracing::{error, info, warn};

use self::resolution::Resolution;
use crate::account::Account;
use crate::account_cache::AccountCache;
use crate::clock::{Clock, ClockCheck};
use crate::converse::{End, payload};
use crate::echo::open_watch;
use crate::endings::Endings;
use crate::gateway::consequence::Retry;
use crate::gateway::read;
use crate::gateway::{Gateway, NoAnswer, Ruled, Ruling};
use crate::grant::GrantIds;
use crate::ingest::EntryKeys;
use crate::limiter::{CONTENDED_WAIT, Reservation, Reserved};
use crate::links::{LinkOwner, MessageLinks};
use crate::metrics::{Meter, Metric};
use crate::port::{
    Backlogs, Cursors, EchoWatches, EndGuard, Graph, Links, Queued, SendQueue, Sends, StoreError,
};
use crate::send_task::{Purpose, SendTask};

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
    /// Makes the calls, within the accounts' budgets.
    pub gateway: Gateway,
    /// Their pace cursors, closed while a budget is full.
    pub cursors: Arc<dyn Cursors>,
    /// Their sends.
    pub sends: Arc<dyn Sends>,
    /// Marks accounts that have waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Holds sends that wait for a short time.
    pub queue: Arc<dyn SendQueue>,
    /// Meta.
    pub graph: Arc<dyn Graph>,
    /// Where it is noted which echoes come.
    pub watches: Arc<dyn EchoWatches>,
    /// How often a DM is repeated that was shown not to have arrived.
    pub retry_unknown: RetryUnknown,
    /// What writes tracked links.
    pub links: Arc<dyn Links>,
    /// Ends sends.
    pub endings: Endings,
    /// Ids for writes.
    pub ids: Arc<GrantIds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is right: answers of Meta's tell.
    pub check: Arc<ClockCheck>,
    /// Records what happens.
    pub meter: Arc<Meter>,
    /// Under which keys entries are made.
    pub entry_keys: EntryKeys,
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
            let mut groups: BTreeMap<(Purpose, AccountId, Class), Vec<Job>> = BTreeMap::new();
            for job in jobs {
                let SendTask { send, class, purpose, .. } = &job.task;
                let group = (*purpose, send.account.clone(), *class);
                groups.entry(group).or_default().push(job);
            }
            let runs = groups.into_iter().map(|((purpose, ..), jobs)| async move {
                let ids: Vec<String> = jobs.iter().map(|job| job.message_id.clone()).collect();
                // A bug met by one group must not take the others' outcomes with it.
                let run = async {
                    match purpose {
                        Purpose::Send => self.deliver_group(jobs, deadline).await,
                        Purpose::Look => self.look_for_all(jobs, deadline).await,
                    }
                };
                let run = AssertUnwindSafe(run).catch_unwind().await;
                run.unwrap_or_else(|_| {
                    error!(messages = ids.len(), "delivering panicked");
                    ids
                })
            });
            join_all(runs).await.into_iter().flatten().collect()
        })
    }

    /// Delivers jobs of one account and class.
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
        let jobs = self.drop_late(&account, jobs).await;
        let (jobs, mut again) = self.hold_back(&account, jobs).await;
        if jobs.is_empty() {
            return again;
        }
        if let Err(error) = self.graph.prepare(&account).await {
            self.meter.count(Metric::KeyFailures, 1);
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
        let reserved = self
            .gateway
            .limiter
            .reserve(account, &tasks, lease_until(deadline), &choose_text)
            .await;
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
                    self.meter.ended(job.task.class, outcome);
                    note_end(&job.task, outcome);
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

    /// Ends what is past its deadline, and gives the rest. What something follows, a public reply or
    /// a conversation, release ends: a message does not tell whom it answers.
    async fn drop_late(&self, account: &Account, jobs: Vec<Job>) -> Vec<Job> {
        let Account { id: account, campaigns, .. } = account;
        let now = self.clock.now();
        if !self.check.is_trusted() || jobs.iter().all(|job| now < job.task.deadline) {
            return jobs;
        }
        let cursor = if jobs.iter().any(|job| job.task.class.lane == Lane::Live) {
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
            .partition(|job| cursor.deadline(job.task.class.lane, job.task.deadline) <= now);
        let is_public_instead = |campaign: Option<&Campaign>| {
            campaign.is_some_and(|campaign| campaign.overflow == Overflow::PublicReply)
        };
        let is_replaced = |job: &Job| {
            let campaign = campaigns.get(&job.task.content.campaign);
            let is_told = job.task.content.step.is_later();
            is_told || is_public_instead(campaign) && !job.task.class.is_public()
        };
        let (replaced, late): (Vec<Job>, Vec<Job>) = late.into_iter().partition(is_replaced);
        if let Some(Job { task, .. }) = replaced.first() {
            self.wake(task).await;
        }
        if !late.is_empty() {
            // Those that could not be ended are overdue, and release looks at them in any case.
            let _ = self.end_unclaimed(&late, &Outcome::Expired).await;
        }
        jobs
    }

    /// Parks what waits for a paused campaign, and gives the rest, with the ids of messages that
    /// the queue must bring again.
    async fn hold_back(&self, account: &Account, jobs: Vec<Job>) -> (Vec<Job>, Vec<String>) {
        if jobs.iter().all(|job| !account.campaigns.is_paused(&job.task.content.campaign)) {
            return (jobs, Vec::new());
        }
        // It may have been resumed since the account was read, and what is parked then waits long.
        let known = self.account_cache.refresh(&account.id).await;
        let campaigns = match &known {
            Ok(Some(account)) => &account.campaigns,
            Ok(None) | Err(_) => &account.campaigns,
        };
        let (paused, jobs): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| campaigns.is_paused(&job.task.content.campaign));
        let again = self.park_held(account, paused.iter().collect()).await;
        (jobs, again)
    }

    /// Parks sends that wait for something else than the account's budget, and gives the ids of
    /// messages that the queue must bring again.
    async fn park_held(&self, account: &Account, held: Vec<&Job>) -> Vec<String> {
        if held.is_empty() {
            return Vec::new();
        }
        // Marked first: a parked send without a marker would never be looked at.
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
        match self.sends.step(&job.task, Step::To(Stage::Parked), self.clock.now().into()).await {
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
        let gap = account.rules.gap(first.task.class.action, now, Feedback::default());
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
        match self.sends.step(&job.task, Step::To(Stage::Queued { due }), now.into()).await {
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
        if denied.iter().any(|(job, _)| job.task.class.is_public()) {
            // They are all of one class, and say nothing of the room for DMs.
            return self.park_held(account, denied.iter().map(|&(job, _)| job).collect()).await;
        }
        // Marked first: a parked send without a marker would never be looked at.
        if let Err(error) = self.backlogs.wake(&account.id, now).await {
            error!(account = %account.id, %error, "could not mark the backlog");
            return denied.iter().map(|(job, _)| job.message_id.clone()).collect();
        }
        let parked = join_all(denied.iter().map(|(job, _)| self.park_one(job))).await;
        self.close_cursor(&account.id, Some(opens_at)).await;
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

    /// Gives no paced slot before `until`: new arrivals park at once instead of being denied later.
    /// A lost race only costs those denials.
    async fn close_cursor(&self, account: &AccountId, until: Option<Timestamp>) {
        let Some(until) = until else { return };
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
            self.gateway.limiter.refund(account, grant, of_app, unused).await;
        }
        again
    }

    /// Claims a send, attempts it, and records what becomes of it.
    async fn send_one(
        &self,
        account: &Account,
        reservation: &Reservation,
        task: &SendTask,
        variant: usize,
        deadline: Timestamp,
    ) -> Recorded {
        let mut claimed = match self.claim(task, variant, deadline).await {
            Ok(claimed) => claimed,
            Err(fate) => return Recorded { fate, unused: 1 },
        };
        let called = self.attempt(account, reservation, &mut claimed, deadline).await;
        let Claimed { send, variant, .. } = &claimed;
        let unused = match called {
            Err(NotSent::Uncalled(resolution)) => {
                self.note_undisclosed(account, &claimed, &resolution).await;
                self.apply(account, &claimed, resolution, None).await;
                1
            }
            Err(NotSent::Asked(resolution)) => {
                self.apply(account, &claimed, resolution, None).await;
                0
            }
            // Recorded at once, so that a crash leaves no doubt about it.
            Ok(Answered { value, usage, .. }) => {
                info!(send = %send.id, attempt = send.attempt, "sent");
                self.apply(account, &claimed, Resolution::sent(value, *variant), None).await;
                let held_until = self.gateway.sent(account, reservation, send, &usage).await;
                self.close_cursor(&account.id, held_until).await;
                0
            }
            Err(NotSent::Failed(failed)) => {
                let verdict = failed.verdict();
                warn!(send = %send.id, attempt = send.attempt, error = %failed, %verdict, "not sent");
                let Ruled { ruling, held_until } =
                    self.gateway.not_sent(account, reservation, send, &failed).await;
                self.close_cursor(&account.id, held_until).await;
                let resolution = Resolution::failed(ruling, send);
                if let Resolution::Finish(Outcome::Sent { .. }) = resolution {
                    info!(send = %send.id, "sent: an earlier attempt had arrived");
                }
                self.note_undisclosed(account, &claimed, &resolution).await;
                let error = failed.meta_error();
                self.apply(account, &claimed, resolution, error.as_ref()).await;
                u32::from(ruling == Ruling::Untried)
            }
        };
        Recorded { fate: Fate::Done, unused }
    }

    /// Takes the send for this invocation.
    async fn claim(
        &self,
        task: &SendTask,
        variant: usize,
        deadline: Timestamp,
    ) -> Result<Claimed, Fate> {
        let claim = Step::Claim { lease_until: lease_until(deadline) };
        let called_at = self.clock.now();
        match self.sends.step(task, claim, called_at.into()).await {
            Ok(Some(send)) => {
                let task = task.renewed(&send);
                Ok(Claimed { task, send, variant, called_at, discloses: false })
            }
            Ok(None) => {
                info!(send = %task.send, epoch = task.epoch, "not ours to send: moved on");
                Err(Fate::Done)
            }
            Err(error) => {
                // The claim may have been written: its lease tells.
                error!(send = %task.send, %error, "could not claim");
                Err(Fate::Again)
            }
        }
    }

    /// Calls Meta for a claimed send, unless something speaks against it: then the error says what
    /// becomes of the send, and its unit is unused.
    async fn attempt(
        &self,
        account: &Account,
        reservation: &Reservation,
        claimed: &mut Claimed,
        deadline: Timestamp,
    ) -> Result<Answered<Sent>, NotSent> {
        let campaign = self.campaign(account, &claimed.send).await?;
        self.check_wanted(account, &claimed.send).await?;
        self.check_author(account, &campaign, reservation, &claimed.send, deadline).await?;
        self.check_age(account, reservation, claimed, deadline).await?;
        let profile = self.know_person(account, &campaign, reservation, claimed, deadline).await?;
        let links = self.links(account, &campaign, &claimed.send).await.map_err(|error| {
            error!(send = %claimed.send.id, %error, "its links cannot be written: put off");
            Resolution::Requeue(Retry::Untried, UNREACHABLE_WAIT)
        })?;
        let Claimed { send, variant, .. } = &*claimed;
        if !send.may_be_called() {
            // An earlier version would have repeated it blindly.
            return Err(Resolution::Unknown.into());
        }
        if !self.has_time(deadline) {
            return Err(Resolution::Requeue(Retry::Untried, CONTENDED_WAIT).into());
        }
        let message = fill(&campaign, *variant, send, profile.as_ref(), links.as_ref());
        let Some(message) = message else {
            let reason = CancelReason::CampaignRemoved;
            return Err(Resolution::Finish(Outcome::Cancelled { reason }).into());
        };
        let message = self.disclosed(account, claimed, message).await?;
        claimed.called_at = self.clock.now();
        let Claimed { task, send, variant, .. } = &*claimed;
        let (addressee, variant) = (addressee(send)?, *variant);
        let timeout = (deadline - RECORDING_TIME).since(self.clock.now());
        let stamp = Stamp { key: send.id.key.clone(), variant: u8::try_from(variant).ok() };
        let stamp = stamp.encode();
        let call = async || match addressee {
            Addressee::Author(comment) => {
                self.graph.private_reply(account, comment, &message, &stamp, timeout).await
            }
            Addressee::Person(person) => {
                self.graph.message(account, person, &message, &stamp, timeout).await
            }
            Addressee::Thread(comment) => {
                self.graph.public_reply(account, comment, message.text(), timeout).await
            }
        };
        let called = self.gateway.call(account, reservation, Some(task), call).await;
        called.map_err(|no_answer| match no_answer {
            NoAnswer::Failed(failed) => NotSent::Failed(failed),
            NoAnswer::TooLate => {
                warn!(send = %send.id, "the grant ended before the call");
                Resolution::Requeue(Retry::Untried, CONTENDED_WAIT).into()
            }
            // Release would give it a slot that it cannot use.
            NoAnswer::Held(Denial { reason: DenialReason::RecipientHold, retry_at }) => {
                let wait = retry_at.since(self.clock.now()).min(QUEUE_DELAY_MAX);
                Resolution::Requeue(Retry::Untried, wait).into()
            }
            NoAnswer::Held(_) => Resolution::Park.into(),
        })
    }

    /// Returns what writes the links of a send's message. `None` if it has none to be tracked, the
    /// deployment tracks none, or it is not known whom it reaches: it has the addresses themselves.
    async fn links(
        &self,
        account: &Account,
        campaign: &Campaign,
        send: &PendingSend,
    ) -> Result<Option<MessageLinks>, StoreError> {
        let drafts = campaign.drafts(send.content.step);
        let Some(person) = send.to.recipient() else { return Ok(None) };
        if send.class.is_public() || !drafts.iter().any(Draft::has_tracked_link) {
            return Ok(None);
        }
        let Some(linker) = self.links.linker().await? else { return Ok(None) };
        let (account, person) = (account.id.clone(), person.clone());
        let origin = send.origin();
        Ok(Some(MessageLinks { linker, owner: LinkOwner { account, person, origin } }))
    }

    /// Checks that a comment can still be answered. A webhook may come up to 36 hours after it, so
    /// near the deadline the comment may be too old. Meta's refusal says so at the price of one
    /// call; only where it could also mean that an earlier attempt arrived is the comment's own
    /// time read first, and charged. It is read once and noted: a read that outlasts the grant
    /// would else be repeated for as long as the send waits.
    async fn check_age(
        &self,
        account: &Account,
        reservation: &Reservation,
        claimed: &mut Claimed,
        deadline: Timestamp,
    ) -> Result<(), Resolution> {
        let now = self.clock.now();
        let Claimed { task, send, .. } = claimed;
        let Address::Comment { id, .. } = &send.to else { return Ok(()) };
        let may_be_too_old =
            send.class.lane == Lane::Inbound && send.deadline.since(now) < NOTIFIED_LATE_MAX;
        if !may_be_too_old || send.earlier == Earlier::NotSent {
            return Ok(());
        }
        if let Some(made_at) = send.made_at {
            return in_time(made_at, now);
        }
        let before_call = (deadline - ANSWER_TIME - RECORDING_TIME).since(now);
        let of_grant = reservation.usable_until.saturating_sub(self.clock.monotonic());
        let timeout = before_call.min(of_grant);
        if timeout.is_zero() {
            return Ok(());
        }
        let read = async |timeout| self.graph.comment_timestamp(account, id, timeout).await;
        let read = self.gateway.read_for(account, &send.id, timeout, read).await;
        let (made_at, is_stopped) = match read {
            Ok(made_at) => (made_at.unwrap_or(send.matched_at), false),
            Err(failed @ read::NoAnswer::Failed(_)) => {
                warn!(send = %send.id, reason = failed.reason(), "the comment's time not read");
                (send.matched_at, !failed.is_of_the_call())
            }
            // If it is too old, Meta will say so.
            Err(_) => return Ok(()),
        };
        let dated = Step::Dated { made_at, lease_until: lease_until(deadline) };
        match self.sends.step(task, dated, self.clock.now().into()).await {
            Ok(Some(next)) => (*task, *send) = (task.renewed(&next), next),
            Ok(None) => {
                warn!(send = %send.id, "moved on while it was claimed");
                return Err(Resolution::Leave);
            }
            Err(error) => {
                error!(send = %send.id, %error, "could not note the comment's time; the lease will end");
                return Err(Resolution::Leave);
            }
        }
        if is_stopped { Err(Resolution::Park) } else { in_time(made_at, now) }
    }

    /// Returns the campaign of a send, unless it is paused or removed. One that this process does
    /// not know may be newer than what it remembers of the account.
    async fn campaign(
        &self,
        account: &Account,
        send: &PendingSend,
    ) -> Result<Campaign, Resolution> {
        let id = &send.content.campaign;
        let campaign = match account.campaigns.get(id) {
            Some(known) => Ok(Some(known.clone())),
            None => self
                .account_cache
                .refresh(&account.id)
                .await
                .map(|current| current.and_then(|account| account.campaigns.get(id).cloned())),
        };
        match campaign {
            // It may have been paused since the batch was looked through.
            Ok(Some(_)) if account.campaigns.is_paused(id) => Err(Resolution::Park),
            Ok(Some(campaign)) => Ok(campaign),
            Ok(None) => {
                let reason = CancelReason::CampaignRemoved;
                Err(Resolution::Finish(Outcome::Cancelled { reason }))
            }
            Err(error) => {
                error!(send = %send.id, %error, "could not read the campaign");
                Err(Resolution::Requeue(Retry::Untried, CONTENDED_WAIT))
            }
        }
    }

    /// Records what becomes of a claimed send, with the answer by which Meta refused it.
    async fn apply(
        &self,
        account: &Account,
        Claimed { task, send, called_at, .. }: &Claimed,
        resolution: Resolution,
        error: Option<&MetaError>,
    ) {
        let note = StepNote { at: self.clock.now(), error };
        match resolution {
            Resolution::Finish(outcome) => {
                self.finish(account, (task, send), (&outcome, *called_at), note).await;
            }
            Resolution::Requeue(retry, wait) => self.requeue(task, send, (retry, wait), note).await,
            Resolution::Park => self.park(task, note).await,
            Resolution::Replace => self.replace(account, task, send, note).await,
            Resolution::Unknown => self.wait_for_evidence(task, note).await,
            Resolution::Leave => {}
        }
    }

    async fn finish(
        &self,
        account: &Account,
        (task, send): (&SendTask, &PendingSend),
        (outcome, called_at): (&Outcome, Timestamp),
        note: StepNote<'_>,
    ) {
        let end = End { outcome, note, guard: EndGuard::AnyEpoch, called_at };
        match self.endings.end(Some(account), (task, send), end).await {
            Ok(true) => {
                note_end(task, outcome);
                if matches!(outcome, Outcome::Cancelled { reason: CancelReason::Stopped }) {
                    self.let_ask_again(send).await;
                }
            }
            Ok(false) => info!(send = %task.send, "it has ended already: its echo was first"),
            // The lease ends, and release finds the send with an unknown outcome. The message is
            // void: its epoch has passed.
            Err(error) => {
                error!(send = %task.send, state = outcome.state(), %error, "could not record the outcome");
            }
        }
    }

    /// The attempt may have reached the person: the send waits for what shows whether it has.
    async fn wait_for_evidence(&self, task: &SendTask, note: StepNote<'_>) {
        let attempt = UnknownAttempt::new(note.at);
        match self.sends.step(task, Step::Unknown(attempt), note).await {
            Ok(Some(_)) => {
                info!(send = %task.send, "it may have arrived: waits for evidence");
                // A public reply has no echo.
                if !task.class.is_public() {
                    let account = &task.send.account;
                    open_watch(&*self.watches, account, &self.ids, note.at).await;
                }
            }
            Ok(None) => info!(send = %task.send, "it has ended already: its echo was first"),
            Err(error) => {
                error!(send = %task.send, %error, "could not note the attempt; the lease will end");
            }
        }
    }

    async fn park(&self, task: &SendTask, note: StepNote<'_>) {
        match self.sends.step(task, Step::To(Stage::Parked), note).await {
            Ok(Some(_)) => {
                info!(send = %task.send, "parked");
                self.meter.count(Metric::Parked, 1);
            }
            Ok(None) => warn!(send = %task.send, "moved on while it was claimed"),
            Err(error) => {
                error!(send = %task.send, %error, "could not park; the lease will end");
            }
        }
        self.wake(task).await;
    }

    /// Asks release for the account's parked sends.
    async fn wake(&self, task: &SendTask) {
        if let Err(error) = self.backlogs.wake(&task.send.account, self.clock.now()).await {
            error!(send = %task.send, %error, "could not mark the backlog");
        }
    }

    /// Back on the queue after `wait`.
    async fn requeue(
        &self,
        task: &SendTask,
        send: &PendingSend,
        (retry, wait): (Retry, Duration),
        note: StepNote<'_>,
    ) {
        let due = note.at + wait;
        match self.sends.step(task, retry.step(Stage::Queued { due }), note).await {
            Ok(Some(next)) => self.enqueue(task.renewed(&next), wait).await,
            Ok(None) => warn!(send = %send.id, "moved on while it was claimed"),
            Err(error) => error!(send = %send.id, %error, "could not requeue; the lease will end"),
        }
    }
}

fn note_end(task: &SendTask, outcome: &Outcome) {
    // That it was sent is logged with Meta's answer.
    if !matches!(outcome, Outcome::Sent { .. }) {
        info!(send = %task.send, state = outcome.state(), "ended without being sent");
    }
}

/// Whether a comment that was made then can still be answered.
fn in_time(made_at: Timestamp, now: Timestamp) -> Result<(), Resolution> {
    if made_at + REPLY_WINDOW <= now { Err(Resolution::Finish(Outcome::Expired)) } else { Ok(()) }
}

/// Whom a call names.
enum Addressee<'a> {
    /// The author of this comment, by a private reply.
    Author(&'a CommentId),
    /// A person, by a message.
    Person(&'a RecipientId),
    /// Everybody who reads this comment, by a public reply.
    Thread(&'a CommentId),
}

/// Returns whom the call of a send names. A send that would make another call than the one that its
/// unit was taken for is not made.
fn addressee(send: &PendingSend) -> Result<Addressee<'_>, Resolution> {
    match (&send.to, send.class.action) {
        (Address::Comment { id, .. }, Action::PrivateReply | Action::LiveReply) => {
            Ok(Addressee::Author(id))
        }
        (Address::Comment { id, .. }, Action::PublicReply) => Ok(Addressee::Thread(id)),
        (Address::Person(person), Action::Message) => Ok(Addressee::Person(person)),
        (_, action) => {
            error!(send = %send.id, ?action, "its action does not fit whom it is for");
            Err(Resolution::Finish(Outcome::Failed { reason: FailReason::BadRequest }))
        }
    }
}

/// A send that this invocation has claimed, and the task that its next step needs.
struct Claimed {
    task: SendTask,
    send: PendingSend,
    /// Which of the campaign's texts it gets.
    variant: usize,
    /// When its call began.
    called_at: Timestamp,
    /// Whether its message begins with the account's disclosure.
    discloses: bool,
}

/// Why a claimed send was not sent.
enum NotSent {
    /// Something speaks against the call, so that it was not made.
    Uncalled(Resolution),
    /// The unit was used to ask who wrote the comment.
    Asked(Resolution),
    /// The call has failed.
    Failed(CallError),
}

impl From<Resolution> for NotSent {
    fn from(resolution: Resolution) -> Self {
        Self::Uncalled(resolution)
    }
}

/// What was recorded of one granted send.
struct Recorded {
    fate: Fate,
    /// 1 when its unit was not used.
    unused: u32,
}

/// Another invocation may believe the lease ended that much before this one does.
fn lease_until(deadline: Timestamp) -> Timestamp {
    deadline + CLOCK_BOUND
}

/// Chooses the text of a send: of its campaign's, one that was not used last.
fn choose_text(account: &Account, task: &SendTask, rotation: &mut Rotation) -> usize {
    let SendTask { send, content, .. } = task;
    let campaign = account.campaigns.get(&content.campaign);
    let variants = campaign.map_or(1, |campaign| campaign.drafts(content.step).len());
    rotation.pick(content, send, variants)
}

/// Returns the message of a send; `None` if its campaign has none for this step any more.
fn fill(
    campaign: &Campaign,
    variant: usize,
    send: &PendingSend,
    profile: Option<&Profile>,
    links: Option<&MessageLinks>,
) -> Option<Message> {
    // The campaign may have lost messages since the variant was picked.
    let drafts = campaign.drafts(send.content.step);
    let variant = variant.checked_rem(drafts.len())?;
    Some(drafts[variant].fill(values(send, profile, links), &payload(send)))
}

/// Every text that a send may have, as far as its names are known: with the account's disclosure, and
/// without.
fn fill_all(
    account: &Account,
    campaign: &Campaign,
    send: &PendingSend,
    links: Option<&MessageLinks>,
) -> Vec<String> {
    let fill = |draft: &Draft| draft.fill(values(send, None, links), "").text().to_owned();
    let plain: Vec<String> = campaign.drafts(send.content.step).iter().map(fill).collect();
    let disclosure = account.conversations.disclosure.iter().filter(|_| !send.class.is_public());
    let before = |disclosure: &Disclosure| {
        plain.iter().map(|text| disclosure.before_text(text)).collect::<Vec<_>>()
    };
    let disclosed: Vec<String> = disclosure.flat_map(before).collect();
    [plain, disclosed].concat()
}

fn values<'a>(
    send: &'a PendingSend,
    profile: Option<&'a Profile>,
    links: Option<&'a MessageLinks>,
) -> Values<'a> {
    let username = profile.and_then(|profile| profile.username.as_deref());
    Values {
        username: send.username.as_deref().or(username),
        keyword: send.keyword.as_deref(),
        first_name: profile.and_then(|profile| profile.first_name.as_deref()),
        tracking: links.map(|links| links as &dyn Tracking),
    }
}
