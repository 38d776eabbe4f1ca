//! Deliver: queued sends become Graph calls, inside the account's budget.
//!
//! Each step is safe to be the last one: a unit is taken before a claim, a claim is recorded before
//! the call, an outcome before the message goes. What a crash leaves is found by its lease.
//!
//! | module | what it does |
//! |---|---|
//! | `put_off` | ends, puts back or parks what is not attempted now |
//! | `attempt` | claims a granted send and calls Meta, unless something speaks against it |
//! | `author`, `age`, `conversation` | look for what speaks against it |
//! | `text` | chooses and fills in what is sent |
//! | `resolution`, `apply` | decide what becomes of the send, and write it |
//! | `look`, `replacement` | look for what may have arrived; let a newer comment stand in |

mod age;
mod apply;
mod attempt;
mod author;
mod conversation;
mod look;
mod put_off;
mod replacement;
mod resolution;
mod text;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::future::join_all;
use spillway_core::budget::Denial;
use spillway_core::id::AccountId;
use spillway_core::send::Class;
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_core::unknown::RetryUnknown;
use tracing::error;

use self::text::choose_text;
use crate::account::Account;
use crate::account_cache::AccountCache;
use crate::clock::{Clock, ClockCheck};
use crate::endings::Endings;
use crate::gateway::Gateway;
use crate::grant::GrantIds;
use crate::ingest::EntryKeys;
use crate::limiter::{CONTENDED_WAIT, Reservation, Reserved};
use crate::metrics::{Meter, Metric};
use crate::port::{Backlogs, Cursors, EchoWatches, Graph, Links, SendQueue, Sends};
use crate::send_task::{Purpose, SendTask};

/// The wait while Meta cannot be reached, or the account's token not be opened.
const UNREACHABLE_WAIT: Duration = Duration::from_secs(60);

/// The queue's longest delay.
const QUEUE_DELAY_MAX: Duration = Duration::from_secs(900);

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

    /// Whether a call that begins now may take its time, and its outcome be recorded.
    fn has_time(&self, deadline: Timestamp) -> bool {
        self.clock.now() + ANSWER_TIME + RECORDING_TIME <= deadline
    }
}

/// Another invocation may believe the lease ended that much before this one does.
fn lease_until(deadline: Timestamp) -> Timestamp {
    deadline + CLOCK_BOUND
}
