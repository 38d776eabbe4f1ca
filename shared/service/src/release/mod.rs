//! Release: parked sends get slots, what a crash left behind is repaired, what is too late expires.
//!
//! A schedule asks [`Release::dispatch`] which accounts are due; each gets a run of its own,
//! [`Release::run`], under a lease.
//!
//! A run forecasts what it has read. If it has read only the first of many sends, it reads all
//! of them once an hour while comments arrive or some will be late, and otherwise when a third
//! of the remaining time has passed, at most after twelve hours. The forecast is kept in the
//! cursor: ingest compares the deadline of a new comment with it, and says at once if it will
//! probably be too late.

mod backlog_scan;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use spillway_core::budget::Budget;
use spillway_core::campaign::{Campaign, Campaigns, Overflow};
use spillway_core::feedback::Feedback;
use spillway_core::forecast::{Expected, Outlook, forecast};
use spillway_core::hold::{Gate, Holds};
use spillway_core::id::AccountId;
use spillway_core::pace::{self, Cursor, HORIZON, Plan, Probing};
use spillway_core::quota::Action;
use spillway_core::send::{Lane, PendingSend, Stage, Step};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_core::unknown::RetryUnknown;
use tracing::{debug, info, warn};

use self::backlog_scan::{BacklogScan, BacklogScanner, Ending, Extent, LineIndex, Ready};
use crate::account::Account;
use crate::account_cache::AccountCache;
use crate::clock::{Clock, ClockCheck};
use crate::converse::End;
use crate::endings::Endings;
use crate::grant::GrantIds;
use crate::metrics::{Meter, Metric};
use crate::outbox_batch::Slot;
use crate::outbox_key::OutboxKey;
use crate::placing::CURSOR_REMEMBERED;
use crate::port::{
    AppBudgets, BacklogMarker, Backlogs, Budgets, Cursors, EchoWatches, EndGuard, MARK_KEPT,
    Queued, ReleaseQueue, Saved, SendQueue, Sends, StoreError,
};
use crate::send_task::SendTask;

/// How long a queued send may be overdue before its message is taken for lost. The queue brings a
/// message again within a few minutes of a crash.
pub const OVERDUE: Duration = Duration::from_secs(300);

/// The writer of a batch has long made the entries of its sends, or died before its answer, after
/// which what told of them tells again.
const RECORDING_OVER: Duration = Duration::from_secs(3600);

/// An account that has given out slots is looked at this long before they end: the schedule comes
/// every minute, and the run takes a moment.
const REFILL: Duration = Duration::from_secs(HORIZON.as_secs() / 5);

/// An account with sends on the queue is looked at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(HORIZON.as_secs() - REFILL.as_secs());

/// Sends that may not go yet wait for each other that long at most.
const GATHER: Duration = Duration::from_secs(HORIZON.as_secs() / 2);

/// When a run has given all that waits in a lane a slot, a webhook may park comments behind it for
/// as long as it believes the cursor that it has read before: the account is looked at again after
/// that.
const BELATED: Duration = Duration::from_secs(2 * CURSOR_REMEMBERED.as_secs());

/// An account that cannot send for longer is looked at this often, to expire what is too late. No
/// marked account is looked at less often.
pub(crate) const SWEEP: Duration = Duration::from_secs(3600);

/// Pending sends that a forecast of all reads at most. Beyond so many hardly any could be in time.
const OUTLOOK_MAX: usize = 100_000;

/// Writes that are under way at a time.
const WRITES_AT_ONCE: usize = 16;

/// Plans that may turn out to have slots for what does not wait.
const PLAN_TRIES: usize = 8;

/// Races for the cursor that a run may lose.
const CURSOR_TRIES: usize = 8;

/// Brings parked sends back.
pub struct Release {
    /// Accounts and their quotas.
    pub account_cache: Arc<AccountCache>,
    /// Their budgets: read, never taken from.
    pub budgets: Arc<dyn Budgets>,
    /// The app's, whose holds leave no slots.
    pub app: Arc<dyn AppBudgets>,
    /// Their pace cursors.
    pub cursors: Arc<dyn Cursors>,
    /// Their sends.
    pub sends: Arc<dyn Sends>,
    /// Marks accounts that have waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Tells which echoes have come.
    pub watches: Arc<dyn EchoWatches>,
    /// How often a DM is repeated that was shown not to have arrived.
    pub retry_unknown: RetryUnknown,
    /// Takes sends that have a slot.
    pub queue: Arc<dyn SendQueue>,
    /// Takes accounts that are due.
    pub runs: Arc<dyn ReleaseQueue>,
    /// Ends sends.
    pub endings: Endings,
    /// Ids for writes.
    pub ids: Arc<GrantIds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is right.
    pub check: Arc<ClockCheck>,
    /// Records what happens.
    pub meter: Arc<Meter>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Parked sends that got a slot.
    pub released: usize,
    /// Sends that a crash had left behind, brought back.
    pub repaired: usize,
    /// Sends ended: too late, failed too often, or their account is gone.
    pub ended: usize,
}

/// When the account is due for a look again: [`REFILL`] before the next slot, so that sends
/// never run dry, `within` the given time, and not after the first deadline.
fn look_again_at(
    plan: &Plan,
    left: Option<Lane>,
    within: Duration,
    first_deadline: Option<Timestamp>,
    now: Timestamp,
) -> Timestamp {
    let soonest = now + Duration::from_secs(1);
    let next = match left {
        None => now + LOOK_AGAIN,
        Some(_) => (plan.opens_at - REFILL).max(soonest).min(now + within),
    };
    first_deadline.map_or(next, |deadline| next.min(deadline.max(soonest)))
}

/// How long a forecast of all that waits is good: reading all of it costs much, and hardly changes
/// what is expected while nothing comes. With every comment that comes, and while some will be
/// late, an hour; else for a third of what is left, twelve hours at most.
fn believed_until(known: &Outlook, marked_at: Timestamp) -> Timestamp {
    let may_have_grown = marked_at + MARK_KEPT > known.seen_at;
    let believed = if may_have_grown || known.late > 0 {
        SWEEP
    } else {
        (known.last.since(known.seen_at) / 3).clamp(SWEEP, 12 * SWEEP)
    };
    known.seen_at + believed
}

/// The slots of a run.
struct Planned {
    plan: Plan,
    /// The first paced lane that is left without a slot.
    left: Option<Lane>,
    /// A lane in which comments were parked behind others gives slots again.
    opened: bool,
}

/// A send that has a slot again.
struct Brought {
    at: LineIndex,
    task: SendTask,
    due: Timestamp,
    /// Where it stood.
    from: Stage,
}

impl Release {
    /// Puts every account that is due on the release queue, and says how many.
    ///
    /// # Errors
    /// Fails if the store or the queue does not answer; the next tick tries again.
    pub fn dispatch(&self) -> BoxFuture<'_, Result<usize, StoreError>> {
        Box::pin(async move {
            let now = self.clock.now();
            let marked = self.backlogs.marked().await?;
            let due: Vec<(AccountId, Timestamp)> =
                marked.into_iter().filter(|&(_, due)| due <= now).collect();
            let Some(first) = due.iter().map(|&(_, due)| due).min() else { return Ok(0) };
            self.meter.see_span(Metric::ReleaseBehind, now.since(first));
            let due: Vec<AccountId> = due.into_iter().map(|(account, _)| account).collect();
            self.runs.enqueue(&due).await?;
            Ok(due.len())
        })
    }

    /// Works on one account until `deadline` at most. Does nothing when another run has it.
    ///
    /// # Errors
    /// Fails if the store does not answer. What was done so far remains, and the account keeps its
    /// backlog marker, so that a later run goes on.
    pub fn run<'a>(
        &'a self,
        id: &'a AccountId,
        deadline: Timestamp,
    ) -> BoxFuture<'a, Result<Released, StoreError>> {
        Box::pin(async move {
            let now = self.clock.now();
            let lease_until = deadline + 2 * CLOCK_BOUND;
            let Some(mark) = self.backlogs.lease(id, now, lease_until).await? else {
                return Ok(Released::default());
            };
            if !self.check.is_trusted() {
                // To a wrong clock leases have ended and deadlines have passed. The lease just
                // taken ends by the same clock, so it is given back, and the next tick finds the
                // account due.
                self.backlogs.settle(id, &mark, Some(mark.marked_at)).await?;
                return Ok(Released::default());
            }
            let Some(mut account) = self.account_cache.find(id).await? else {
                return self.cancel_all(id, &mark, now).await;
            };
            let budget = self.budgets.load(id).await?;
            let cursor = self.cursors.load(id).await?;
            let mut scan = self.scan(&account, &budget.holds, &cursor, now).await?;
            if scan.held_back > 0 {
                // The campaign may have been resumed since the account was read: that woke it,
                // once.
                let known = account.revision;
                account = self.account_cache.refresh(id).await?.unwrap_or(account);
                if account.revision != known {
                    scan = self.scan(&account, &budget.holds, &cursor, now).await?;
                }
            }
            if let Some(oldest) = scan.oldest {
                self.meter.see_span(Metric::OldestWaiting, now.since(oldest));
            }
            if let Some(due) = scan.first_due.filter(|&due| due <= now) {
                self.meter.see_span(Metric::OldestDue, now.since(due));
            }
            // All that was there when it was read keeps the marker, also what is about to end: who
            // ends it may die first.
            let waiting = scan.waiting();
            let are_all_unknown = scan.unknown.len() == waiting;
            // A message that was lost must be missed in time, also before a long wait.
            let is_idle = scan.outstanding.is_empty() && scan.claimed == 0;
            // Public replies do not wait for what the account's DMs wait for.
            let has_replies = scan.ready.iter().any(|ready| ready.class.is_public());
            let within = if is_idle && !has_replies { SWEEP } else { LOOK_AGAIN };
            let over = std::mem::take(&mut scan.over);
            let ended = self.end(Some(&account), over, now).await?;
            let mut done = Released { ended: ended.len(), ..Released::default() };
            ended.into_iter().for_each(|at| scan.strike_out(at));
            let asks_at = self.resolve_unknown(&account, &budget.holds, &mut scan, now).await?;

            let Planned { plan, left, opened } =
                self.take_slots(&account, &budget, cursor, now, &mut scan, &mark).await?;
            self.queue_all(&account, &mut scan, &plan, now, &mut done).await?;

            let due = match waiting {
                0 if now.since(mark.marked_at) > MARK_KEPT => None,
                _ => {
                    let mut next = look_again_at(&plan, left, within, scan.first_deadline, now);
                    if are_all_unknown && done.released == 0 {
                        // No message of theirs can be lost, and `asks_at` tells when to decide.
                        let sweep =
                            scan.first_deadline.map_or(now + SWEEP, |at| at.min(now + SWEEP));
                        next = next.max(sweep);
                    }
                    let of_campaign = budget.holds.refusals.campaign_opens_at(now);
                    let opens_at = of_campaign.into_iter().chain(scan.runs_at()).min();
                    opens_at.into_iter().chain(asks_at).chain([next]).min()
                }
            };
            // Until then some may still be parked behind what does not wait any more.
            let due = if opened { due.map(|due| due.min(now + BELATED)) } else { due };
            self.backlogs.settle(id, &mark, due).await?;
            debug!(account = %id, released = done.released, repaired = done.repaired, ended = done.ended, ?left, "run over");
            Ok(done)
        })
    }

    fn scanner<'a>(
        &'a self,
        account: &'a Account,
        holds: &'a Holds,
        cursor: &'a Cursor,
        now: Timestamp,
    ) -> BacklogScanner<'a> {
        let Account { id, campaigns, .. } = account;
        BacklogScanner { sends: &*self.sends, account: id, campaigns, holds, cursor, now }
    }

    /// Reads the account's waiting sends in order, until there are enough to fill the horizon.
    /// Where the newest go first it reads all of them, since those whose time is over come last.
    async fn scan(
        &self,
        account: &Account,
        holds: &Holds,
        cursor: &Cursor,
        now: Timestamp,
    ) -> Result<BacklogScan, StoreError> {
        let gap = account.rules.gap(Action::PrivateReply, now, Feedback::default());
        let enough = 1 + (HORIZON.as_millis() / gap.as_millis().max(1)) as usize;
        let newest_first = |campaign: &Campaign| campaign.overflow == Overflow::NewestFirst;
        let scanner = self.scanner(account, holds, cursor, now);
        if account.campaigns.iter().any(newest_first) {
            scanner.all().await
        } else {
            scanner.first(enough).await
        }
    }

    /// Plans slots and moves the cursor behind them, in one write.
    async fn take_slots(
        &self,
        account: &Account,
        budget: &Budget,
        mut cursor: Cursor,
        now: Timestamp,
        scan: &mut BacklogScan,
        mark: &BacklogMarker,
    ) -> Result<Planned, StoreError> {
        let app = self.app.load().await?;
        let changed = if budget.revision > account.revision {
            self.account_cache.refresh(&account.id).await?
        } else {
            None
        };
        let account = changed.as_deref().unwrap_or(account);
        let budget = &budget.with_app(&account.rules, &account.id, &app, now);
        self.meter.headroom(budget, &account.rules, Action::PrivateReply, now);
        for _ in 0..CURSOR_TRIES {
            let Some(plan) = self.plan(account, budget, &cursor, now, scan).await? else {
                break;
            };
            let left = scan.first_left(&plan);
            let outlook = match left {
                None if !scan.has_coming() => None,
                None | Some(_) => {
                    let marked_at = mark.marked_at;
                    self.outlook(account, budget, &cursor, now, scan, marked_at).await?
                }
            };
            if let Some(Outlook { late, .. }) = outlook {
                self.meter.see(Metric::ForecastLate, late.into());
            }
            let opened = cursor
                .parked
                .is_some_and(|before| left.is_none_or(|left| before.rank() < left.rank()));
            let Some(next) = cursor.after(&plan, left, outlook, self.ids.next()) else {
                return Ok(Planned { plan, left, opened });
            };
            match self.cursors.save(&account.id, &next).await? {
                Saved::Done => return Ok(Planned { plan, left, opened }),
                Saved::Conflict(current) => cursor = current,
            }
        }
        let slots = vec![None; scan.ready.len()];
        let none = Plan { slots, next: cursor.next, opens_at: now };
        let left = scan.first_left(&none);
        Ok(Planned { plan: none, left, opened: false })
    }

    /// A plan in which only what waits indeed has slots: those that get one are looked at first,
    /// since looking at all that were read would cost many times as much. `None` where too many of
    /// them do not wait: the next run, at once, goes on behind those.
    async fn plan(
        &self,
        account: &Account,
        budget: &Budget,
        cursor: &Cursor,
        now: Timestamp,
        scan: &mut BacklogScan,
    ) -> Result<Option<Plan>, StoreError> {
        let scanner = self.scanner(account, &budget.holds, cursor, now);
        for _ in 0..PLAN_TRIES {
            let probing = match budget.holds.gate(now) {
                Gate::Probe | Gate::Closed(..) if budget.holds.current.is_some() => {
                    scanner.choose_probe(scan).await?
                }
                Gate::Open | Gate::Probe | Gate::Closed(..) => {
                    scanner.put_refused_last(scan);
                    Probing::Wanted
                }
            };
            let (outstanding, classes) = (&scan.outstanding, scan.classes());
            let rules = &account.rules;
            let plan = pace::plan(rules, budget, cursor, now, outstanding, &classes, probing);
            if scanner.verify(scan, &plan.slots).await? {
                let is_spent = scan.ready.is_empty() && scan.extent == Extent::First;
                return Ok((!is_spent).then_some(plan));
            }
        }
        Ok(None)
    }

    /// What is to be expected of all that waits. Where the scan has not read all of it, what was
    /// found out last is believed for a while.
    async fn outlook(
        &self,
        account: &Account,
        budget: &Budget,
        cursor: &Cursor,
        now: Timestamp,
        scan: &BacklogScan,
        marked_at: Timestamp,
    ) -> Result<Option<Outlook>, StoreError> {
        let forecast = |expected: &[Expected]| {
            forecast(&account.rules, budget, cursor, now, &scan.outstanding, expected)
        };
        if scan.extent == Extent::All {
            return Ok(Some(Outlook::of(&forecast(&scan.expected(now)), now)));
        }
        if let Some(known) = cursor.outlook.filter(|known| now < believed_until(known, marked_at)) {
            return Ok(Some(known));
        }
        let scanner = self.scanner(account, &budget.holds, cursor, now);
        let expected = scanner.expected(OUTLOOK_MAX).await?;
        let outlook = Outlook::of(&forecast(&expected), now);
        let Outlook { waiting, late, last, .. } = outlook;
        info!(account = %account.id, waiting, late, last_in_s = last.since(now).as_secs(), "outlook");
        Ok(Some(outlook))
    }

    /// Gives sends their slots, writes what has changed on their batches, and puts them on the
    /// queue.
    async fn queue_all(
        &self,
        account: &Account,
        scan: &mut BacklogScan,
        plan: &Plan,
        now: Timestamp,
        done: &mut Released,
    ) -> Result<(), StoreError> {
        let bring = |(ready, slot): (Ready, &Option<Timestamp>)| {
            let Ready { at, outbox_key, send, .. } = ready;
            let (send, slot) = (send?, (*slot)?);
            let due = pace::due(&account.rules, &send.id, send.class.action, slot, now);
            Some(self.bring(at, outbox_key, send, due))
        };
        let ready = std::mem::take(&mut scan.ready);
        let bringing: Vec<_> = ready.into_iter().zip(&plan.slots).filter_map(bring).collect();
        let brought: Vec<Option<Brought>> =
            stream::iter(bringing).buffered(WRITES_AT_ONCE).try_collect().await?;
        let brought: Vec<Brought> = brought.into_iter().flatten().collect();
        for Brought { at, task, due, .. } in &brought {
            scan.give(*at, Slot { due: *due, epoch: task.epoch });
        }
        // Before their messages: were a batch not written, the next run would give them slots
        // again.
        let written = scan.write(&*self.sends).await?;
        let mut messages = Vec::new();
        for Brought { at, task, due, from } in brought {
            if !written.contains(&at) {
                continue;
            }
            match from {
                Stage::Parked => {
                    info!(send = %task.send, "released");
                    done.released += 1;
                }
                Stage::Unknown(_) => {
                    info!(send = %task.send, "it did not arrive: repeated");
                    done.released += 1;
                }
                Stage::Queued { .. } | Stage::Sending { .. } => {
                    warn!(send = %task.send, ?from, "overdue: brought back");
                    self.meter.count(Metric::Repaired, 1);
                    done.repaired += 1;
                }
            }
            messages.push(Queued { task, delay: due.since(now) });
        }
        for (message, result) in messages.iter().zip(self.queue.enqueue(&messages).await) {
            if let Err(error) = result {
                warn!(send = %message.task.send, %error, "could not enqueue; a later run will");
            }
        }
        Ok(())
    }

    /// A task for a send that has a slot; `None` when it has moved on in the meantime. What is
    /// known of its last attempt is written down first; else its batch tells all that is new.
    async fn bring(
        &self,
        at: LineIndex,
        outbox_key: OutboxKey,
        send: PendingSend,
        due: Timestamp,
    ) -> Result<Option<Brought>, StoreError> {
        let mut task = SendTask::new(&send, outbox_key);
        if let Stage::Unknown(_) = send.stage {
            let repeated = Step::Repeated(Stage::Queued { due });
            match self.sends.step(&task, repeated, self.clock.now().into()).await? {
                Some(after) => task = task.renewed(&after),
                None => return Ok(None),
            }
        }
        task.slot = Some(due);
        Ok(Some(Brought { at, task, due, from: send.stage }))
    }

    /// Ends sends that nobody works on; gives the lines of those that it has ended.
    async fn end(
        &self,
        account: Option<&Account>,
        over: Vec<Ending>,
        now: Timestamp,
    ) -> Result<Vec<LineIndex>, StoreError> {
        let ends = over.into_iter().map(|Ending { at, outbox_key, send, outcome }| async move {
            let task = SendTask::new(&send, outbox_key);
            let guard = EndGuard::SameEpoch;
            let end = End { outcome: &outcome, note: now.into(), guard, called_at: now };
            let ended = self.endings.end(account, (&task, &send), end).await?;
            if ended {
                info!(send = %send.id, state = outcome.state(), "ended without being sent");
            }
            Ok::<_, StoreError>(ended.then_some(at))
        });
        let ends: Vec<_> = ends.collect();
        let ended: Vec<Option<LineIndex>> =
            stream::iter(ends).buffered(WRITES_AT_ONCE).try_collect().await?;
        Ok(ended.into_iter().flatten().collect())
    }

    /// The account is not connected any more: nothing of it will be sent.
    async fn cancel_all(
        &self,
        id: &AccountId,
        mark: &BacklogMarker,
        now: Timestamp,
    ) -> Result<Released, StoreError> {
        let (campaigns, holds, cursor) =
            (&Campaigns::default(), &Holds::default(), &Cursor::default());
        let scanner =
            BacklogScanner { sends: &*self.sends, account: id, campaigns, holds, cursor, now };
        let mut scan = scanner.removed().await?;
        let found = scan.waiting();
        let ended = self.end(None, std::mem::take(&mut scan.over), now).await?;
        let done = Released { ended: ended.len(), ..Released::default() };
        ended.into_iter().for_each(|at| scan.strike_out(at));
        scan.write(&*self.sends).await?;
        let due = (found > 0 || now.since(mark.marked_at) <= MARK_KEPT)
            .then(|| now + Duration::from_secs(1));
        self.backlogs.settle(id, mark, due).await?;
        Ok(done)
    }
}
