//! What becomes of jobs that are not attempted now: they end, wait on the queue, or are parked.

use std::time::Duration;

use futures::future::join_all;
use spillway_core::budget::{Denial, DenialReason};
use spillway_core::campaign::{Campaign, Overflow};
use spillway_core::feedback::Feedback;
use spillway_core::id::AccountId;
use spillway_core::pace::Cursor;
use spillway_core::send::{CancelReason, Lane, Outcome, Stage, Step};
use spillway_core::time::Timestamp;
use tracing::{error, info, warn};

use super::apply::note_end;
use super::{Deliver, Job, QUEUE_DELAY_MAX};
use crate::account::Account;
use crate::metrics::Metric;
use crate::port::{Queued, StoreError};
use crate::send_task::SendTask;

/// A denial up to this far off is waited for on the queue; beyond it the send is parked.
const WAIT_ON_QUEUE: Duration = Duration::from_secs(60);

impl Deliver {
    /// Ends the sends of an account that is not connected any more.
    pub(super) async fn cancel_all(&self, jobs: &[Job]) -> Vec<String> {
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
    pub(super) async fn drop_late(&self, account: &Account, jobs: Vec<Job>) -> Vec<Job> {
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
    pub(super) async fn hold_back(
        &self,
        account: &Account,
        jobs: Vec<Job>,
    ) -> (Vec<Job>, Vec<String>) {
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
    pub(super) async fn put_off(
        &self,
        account: &Account,
        denied: &[(&Job, Denial)],
    ) -> Vec<String> {
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
    pub(super) async fn wait_on_queue(&self, job: &Job, wait: Duration) -> Option<String> {
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
    pub(super) async fn enqueue(&self, task: SendTask, delay: Duration) {
        let message = Queued { task, delay };
        for result in self.queue.enqueue(std::slice::from_ref(&message)).await {
            if let Err(error) = result {
                warn!(send = %message.task.send, %error, "could not enqueue; release will");
            }
        }
    }

    /// Gives no paced slot before `until`: new arrivals park at once instead of being denied later.
    /// A lost race only costs those denials.
    pub(super) async fn close_cursor(&self, account: &AccountId, until: Option<Timestamp>) {
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
}
