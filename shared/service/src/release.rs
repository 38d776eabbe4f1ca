//! Release: parked sends get slots, what a crash left behind is repaired, what is too late expires.
//!
//! A schedule asks [`Release::dispatch`] which accounts are due; each gets a run of its own,
//! [`Release::run`], under a lease.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use spillway_core::budget::Budget;
use spillway_core::campaign::{Campaign, Overflow};
use spillway_core::forecast::{Expected, Outlook, forecast};
use spillway_core::id::{AccountId, SendId};
use spillway_core::learned::Learned;
use spillway_core::pace::{self, Cursor, HORIZON, Plan};
use spillway_core::send::{
    Address, CancelReason, FAILURES_MAX, FailReason, Lane, Outcome, Stage, Step, Waiting,
};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use tracing::{debug, info, warn};

use crate::account::Account;
use crate::clock::{Clock, ClockCheck};
use crate::directory::Directory;
use crate::grant::GrantIds;
use crate::metrics::{Meter, Metric};
use crate::port::{
    Backlogs, Budgets, Cursors, Entry, Mark, Queued, Read, Recorded, ReleaseQueue, Saved,
    SendQueue, Sends, StoreError,
};
use crate::ticket::{Place, SHARDS, Ticket};

/// A mark stays at least this long after the account was last marked, so that whoever has marked
/// it lately need not do so again.
pub const MARK_KEPT: Duration = Duration::from_secs(600);

/// How long a queued send may be overdue before its message is taken for lost. The queue brings a
/// message again within a few minutes of a crash.
pub const OVERDUE: Duration = Duration::from_secs(300);

/// A webhook invocation is over after this time: a send recorded earlier and without an entry was
/// left by a crash.
const RECORDING_OVER: Duration = Duration::from_secs(60);

/// An account that has given out slots is looked at this long before they end: the schedule comes
/// every minute, and the run takes a moment.
const REFILL: Duration = Duration::from_secs(HORIZON.as_secs() / 5);

/// An account with sends on the queue is looked at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(HORIZON.as_secs() - REFILL.as_secs());

/// An account that cannot send for longer is looked at this often, to expire what is too late.
const SWEEP: Duration = Duration::from_secs(3600);

/// Waiting sends read at a time from each part of an account, at least and at most: the fewest are
/// about as many as one read unit pays for.
const PAGE: (usize, usize) = (9, 500);

/// Read of each part beyond its share of the first ones: the parts are not equally full.
const PAGE_SPARE: usize = 2;

/// Waiting sends that a forecast of all reads from each part of an account at most. Beyond so many
/// hardly any could be in time, and one read of them all would ask more of a partition than it gives.
const OUTLOOK_MAX: usize = 25_000;

/// Sends that are stepped at a time.
const STEPS_AT_ONCE: usize = 16;

/// Races for the cursor that a run may lose.
const CURSOR_TRIES: usize = 8;

/// Brings parked sends back.
pub struct Release {
    /// Accounts and their quotas.
    pub directory: Arc<Directory>,
    /// Their budgets: read, never taken from.
    pub budgets: Arc<dyn Budgets>,
    /// Their pace cursors.
    pub cursors: Arc<dyn Cursors>,
    /// Their sends.
    pub sends: Arc<dyn Sends>,
    /// Which accounts have waiting sends.
    pub backlogs: Arc<dyn Backlogs>,
    /// Where sends with a slot go.
    pub queue: Arc<dyn SendQueue>,
    /// Where due accounts go.
    pub runs: Arc<dyn ReleaseQueue>,
    /// Ids for writes.
    pub ids: Arc<GrantIds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is right.
    pub check: Arc<ClockCheck>,
    /// What happens is recorded here.
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

/// What the waiting sends of an account come to.
#[derive(Default)]
struct Survey {
    /// Can be released: parked, or left behind by a crash.
    ready: Vec<(Place, Waiting)>,
    /// Have a slot ahead and a message on the queue, for that instant.
    outstanding: Vec<(Lane, Timestamp)>,
    /// Claimed: a call may be under way, or its function may just have died.
    claimed: usize,
    /// Wait for a paused campaign.
    held_back: usize,
    /// Must end, and how.
    over: Vec<(Place, Waiting, Outcome)>,
    /// The earliest deadline of all that wait.
    first_deadline: Option<Timestamp>,
    /// When the oldest of them was matched.
    oldest: Option<Timestamp>,
    /// The earliest slot of those that have one.
    first_due: Option<Timestamp>,
    /// Whether there are more than were read.
    extent: Extent,
}

/// Whether a send's campaign lets it go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Now,
    /// The campaign is paused: only the send's time can end its wait.
    Later,
}

/// How much of the waiting sends a survey has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Extent {
    #[default]
    All,
    /// Enough to fill the horizon.
    First,
}

impl Survey {
    fn waiting(&self) -> usize {
        let unclaimed = self.ready.len() + self.outstanding.len() + self.held_back;
        unclaimed + self.claimed + self.over.len()
    }

    fn add(&mut self, part: Self) {
        self.ready.extend(part.ready);
        self.outstanding.extend(part.outstanding);
        self.claimed += part.claimed;
        self.held_back += part.held_back;
        self.over.extend(part.over);
        self.first_deadline = earliest(self.first_deadline, part.first_deadline);
        self.oldest = earliest(self.oldest, part.oldest);
        self.first_due = earliest(self.first_due, part.first_due);
        if part.extent == Extent::First {
            self.extent = Extent::First;
        }
    }
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}

/// How far a part of an account's waiting sends has been read.
struct Part {
    shard: u8,
    /// The last place that was read.
    after: Option<Place>,
    has_more: bool,
}

impl Part {
    const fn new(shard: u8) -> Self {
        Self { shard, after: None, has_more: true }
    }

    /// Its next page.
    async fn turn(
        &mut self,
        sends: &dyn Sends,
        account: &AccountId,
        page_size: usize,
    ) -> Result<Vec<(Place, Waiting)>, StoreError> {
        let page = sends.waiting(account, self.shard, self.after.as_ref(), page_size).await?;
        self.has_more = page.len() >= page_size;
        if let Some((place, _)) = page.last() {
            self.after = Some(place.clone());
        }
        Ok(page)
    }
}

/// What wants a slot.
struct Demand {
    /// Has one already.
    outstanding: Vec<(Lane, Timestamp)>,
    /// The lanes of those that want one, in order.
    lanes: Vec<Lane>,
    /// The same as the forecast sees them.
    expected: Vec<Expected>,
    /// Whether these are all.
    extent: Extent,
    /// When the account was last marked.
    marked_at: Timestamp,
}

/// When the account wants to be looked at again: [`REFILL`] before the next slot, so that sends never
/// run dry, `within` the given time, and not after the first deadline.
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

/// How long a forecast of all that waits is good: reading all of it costs much, and hardly changes what
/// is expected while nothing comes. With every comment that comes, and while some will be late, an
/// hour; else for a third of what is left, twelve hours at most.
fn believed_until(known: &Outlook, demand: &Demand) -> Timestamp {
    let may_have_grown = demand.marked_at + MARK_KEPT > known.seen_at;
    let believed = if may_have_grown || known.late > 0 {
        SWEEP
    } else {
        (known.last.since(known.seen_at) / 3).clamp(SWEEP, 12 * SWEEP)
    };
    known.seen_at + believed
}

/// A send that has a slot again.
struct Brought {
    ticket: Ticket,
    due: Timestamp,
    /// Where it stood.
    from: Stage,
}

impl Release {
    /// Puts every account that is due on the release queue, and says how many.
    ///
    /// # Errors
    /// When the store or the queue does not answer; the next tick tries again.
    pub async fn dispatch(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let marked = self.backlogs.marked().await?;
        let due: Vec<(AccountId, Timestamp)> =
            marked.into_iter().filter(|&(_, due)| due <= now).collect();
        let Some(first) = due.iter().map(|&(_, due)| due).min() else { return Ok(0) };
        self.meter.see_span(Metric::ReleaseBehind, now.since(first));
        let due: Vec<AccountId> = due.into_iter().map(|(account, _)| account).collect();
        self.runs.enqueue(&due).await?;
        Ok(due.len())
    }

    /// Works on one account until `deadline` at most. Does nothing when another run has it.
    ///
    /// # Errors
    /// When the store does not answer. Whatever was done so far stands; the account stays marked.
    pub async fn run(&self, id: &AccountId, deadline: Timestamp) -> Result<Released, StoreError> {
        let now = self.clock.now();
        let lease_until = deadline + 2 * CLOCK_BOUND;
        let Some(mark) = self.backlogs.lease(id, now, lease_until).await? else {
            return Ok(Released::default());
        };
        if !self.check.is_trusted() {
            // To a wrong clock leases have ended and deadlines have passed. The lease just taken
            // ends by the same clock, so it is given back, and the next tick finds the account due.
            self.backlogs.settle(id, &mark, Some(mark.marked_at)).await?;
            return Ok(Released::default());
        }
        self.meter.count(Metric::ReleaseRuns, 1);
        let Some(mut account) = self.directory.find(id).await? else {
            return self.cancel_all(id, &mark, now).await;
        };
        let mut survey = self.survey(&account, now).await?;
        if survey.held_back > 0 {
            // The campaign may have been resumed since the account was read: that woke it, once.
            let known = account.revision;
            account = self.directory.refresh(id).await?.unwrap_or(account);
            if account.revision != known {
                survey = self.survey(&account, now).await?;
            }
        }
        if let Some(oldest) = survey.oldest {
            self.meter.see_span(Metric::OldestWaiting, now.since(oldest));
        }
        if let Some(due) = survey.first_due.filter(|&due| due <= now) {
            self.meter.see_span(Metric::OldestDue, now.since(due));
        }
        // Whatever was there when it was read keeps the mark, also what is about to end: who ends it
        // may die first.
        let waiting = survey.waiting();
        // A message that was lost must be missed in time, also before a long wait.
        let is_idle = survey.outstanding.is_empty() && survey.claimed == 0;
        let within = if is_idle { SWEEP } else { LOOK_AGAIN };
        let mut done = Released { ended: self.end(survey.over, now).await?, ..Released::default() };

        let ready = survey.ready;
        let demand = Demand {
            outstanding: survey.outstanding,
            lanes: ready.iter().map(|(_, send)| send.lane).collect(),
            expected: ready.iter().map(|(_, send)| expected(send, now)).collect(),
            extent: survey.extent,
            marked_at: mark.marked_at,
        };
        let (plan, left) = self.take_slots(&account, now, &demand).await?;
        let chosen = ready.into_iter().zip(&plan.slots).filter_map(|((place, send), slot)| {
            let due = pace::due(&account.rules, &send.id, send.lane, (*slot)?, now);
            Some(((place, send), due))
        });
        // Only those that get a slot: looking at all that were read would cost many times as much. A
        // slot that goes to one that a crash left behind is lost, which is rare.
        let chosen = self.verified(chosen.collect(), now).await?;
        self.queue_all(chosen, now, &mut done).await?;

        let due = match waiting {
            0 if now.since(mark.marked_at) > MARK_KEPT => None,
            _ => Some(look_again_at(&plan, left, within, survey.first_deadline, now)),
        };
        self.backlogs.settle(id, &mark, due).await?;
        debug!(account = %id, released = done.released, repaired = done.repaired, ended = done.ended, ?left, "run over");
        Ok(done)
    }

    /// Reads the account's waiting sends in order, until there are enough to fill the horizon. Where
    /// the newest go first it reads all of them, since those whose time is over stand last.
    async fn survey(&self, account: &Account, now: Timestamp) -> Result<Survey, StoreError> {
        let gap = account.rules.gap(Lane::Inbound.action(), now, Learned::default());
        let enough = 1 + (HORIZON.as_millis() / gap.as_millis().max(1)) as usize;
        let newest_first = |campaign: &Campaign| campaign.overflow == Overflow::NewestFirst;
        if account.campaigns.iter().any(newest_first) {
            return self.read_all(account, usize::MAX, now).await;
        }
        // Each part has about as many of the first ones; one that has fewer is read on.
        let page_size = enough.div_ceil(SHARDS.into()) + PAGE_SPARE;
        let is_enough = |survey: &Survey| {
            let ahead = |&&(lane, due): &&(Lane, Timestamp)| lane != Lane::Live && due > now;
            let slots_taken = survey.outstanding.iter().filter(ahead).count();
            let paced = survey.ready.iter().filter(|(_, send)| send.lane != Lane::Live).count();
            paced >= enough.saturating_sub(slots_taken).max(1) || survey.ready.len() >= PAGE.1
        };
        self.read_first(account, page_size.clamp(PAGE.0, PAGE.1), is_enough, now).await
    }

    /// Reads waiting sends in order, in pages of `page_size` from each part of the account, until it
    /// `is_enough` or there are no more. What can be released is given only as far as all before it
    /// was read.
    async fn read_first(
        &self,
        account: &Account,
        mut page_size: usize,
        is_enough: impl Fn(&Survey) -> bool + Send + Sync,
        now: Timestamp,
    ) -> Result<Survey, StoreError> {
        let mut survey = Survey::default();
        let mut parts: Vec<Part> = (0..SHARDS).map(Part::new).collect();
        let mut read_to = None;
        loop {
            let behind = parts.iter_mut().filter(|part| part.has_more && part.after == read_to);
            let pages = behind.map(|part| part.turn(&*self.sends, &account.id, page_size));
            for page in try_join_all(pages).await? {
                survey.take_in(page, account, now);
            }
            survey.ready.sort_by(|(a, _), (b, _)| a.cmp(b));
            let unread = parts.iter().filter(|part| part.has_more).map(|part| &part.after);
            let Some(Some(furthest_back)) = unread.min() else { return Ok(survey) };
            let known = survey.ready.partition_point(|(place, _)| place <= furthest_back);
            let ahead = survey.ready.split_off(known);
            if is_enough(&survey) {
                survey.extent = Extent::First;
                return Ok(survey);
            }
            survey.ready.extend(ahead);
            // Many that cannot be released are behind each other.
            page_size = (2 * page_size).min(PAGE.1);
            read_to = Some(furthest_back.clone());
        }
    }

    /// Reads waiting sends in order, up to `most` of each part of the account.
    async fn read_all(
        &self,
        account: &Account,
        most: usize,
        now: Timestamp,
    ) -> Result<Survey, StoreError> {
        let parts = (0..SHARDS).map(|shard| async move {
            let mut part = Part::new(shard);
            let mut survey = Survey::default();
            while part.has_more {
                if survey.ready.len() >= most {
                    survey.extent = Extent::First;
                    break;
                }
                let page = part.turn(&*self.sends, &account.id, PAGE.1).await?;
                survey.take_in(page, account, now);
            }
            Ok::<_, StoreError>(survey)
        });
        let mut whole = Survey::default();
        for part in try_join_all(parts).await? {
            whole.add(part);
        }
        whole.ready.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(whole)
    }

    /// Those of `chosen` whose entry points at them, each with what came with it. Others are left by
    /// a crash or by a second delivery: made whole or removed.
    async fn verified<T>(
        &self,
        chosen: Vec<((Place, Waiting), T)>,
        now: Timestamp,
    ) -> Result<Vec<((Place, Waiting), T)>, StoreError> {
        // The entry of a send that was parked when it was read may have ended only after a claim, with
        // which the send has moved on: an older state of it that points at the send is as good.
        let is_parked = |((_, send), _): &((Place, Waiting), T)| send.stage == Stage::Parked;
        let read = match chosen.iter().all(is_parked) {
            true => Read::Eventual,
            false => Read::Consistent,
        };
        let ids: Vec<&SendId> = chosen.iter().map(|((_, send), _)| &send.id).collect();
        let mut entries = self.entries(&ids, read).await?;
        let points_at = |entry: &Entry, place: &Place| *entry == Entry::Waiting(place.clone());
        if read == Read::Eventual {
            // One that does not may be older than the place: a send that was brought back by hand has a
            // new one. Nothing is removed on the word of an older state.
            let doubtful: Vec<usize> = (0..chosen.len())
                .filter(|&index| !points_at(&entries[index], &chosen[index].0.0))
                .collect();
            let ids: Vec<&SendId> = doubtful.iter().map(|&index| ids[index]).collect();
            for (index, entry) in
                doubtful.into_iter().zip(self.entries(&ids, Read::Consistent).await?)
            {
                entries[index] = entry;
            }
        }
        let mut kept = Vec::new();
        for (((place, send), with), entry) in chosen.into_iter().zip(entries) {
            let keep = match entry {
                entry if points_at(&entry, &place) => true,
                Entry::Waiting(_) | Entry::Ended => {
                    self.sends.discard(&place, &send.id).await?;
                    false
                }
                // Its webhook may still be at work.
                Entry::Missing if now.since(send.matched_at) < RECORDING_OVER => false,
                Entry::Missing => self.sends.adopt(&place, &send).await? == Recorded::New,
            };
            if keep {
                kept.push(((place, send), with));
            }
        }
        Ok(kept)
    }

    async fn entries(&self, ids: &[&SendId], read: Read) -> Result<Vec<Entry>, StoreError> {
        let ids: Vec<SendId> = ids.iter().map(|&id| id.clone()).collect();
        match ids.is_empty() {
            true => Ok(Vec::new()),
            false => self.sends.entries(&ids, read).await,
        }
    }

    /// Plans slots and moves the cursor behind them, in one write. Gives the plan and the first paced
    /// lane that is left without a slot.
    async fn take_slots(
        &self,
        account: &Account,
        now: Timestamp,
        demand: &Demand,
    ) -> Result<(Plan, Option<Lane>), StoreError> {
        let Demand { outstanding, lanes, .. } = demand;
        let budget = self.budgets.load(&account.id).await?;
        let changed = match budget.revision > account.revision {
            true => self.directory.refresh(&account.id).await?,
            false => None,
        };
        let account = changed.as_deref().unwrap_or(account);
        self.meter.headroom(&budget, &account.rules, Lane::Inbound.action(), now);
        let mut cursor = self.cursors.load(&account.id).await?;
        for _ in 0..CURSOR_TRIES {
            let plan = pace::plan(&account.rules, &budget, &cursor, now, outstanding, lanes);
            let left = demand.first_left(&plan);
            let outlook = match left {
                None => None,
                Some(_) => self.outlook(account, &budget, &cursor, now, demand).await?,
            };
            if let Some(Outlook { late, .. }) = outlook {
                self.meter.see(Metric::ForecastLate, late.into());
            }
            let Some(next) = cursor.after(&plan, left, outlook, self.ids.next()) else {
                return Ok((plan, left));
            };
            match self.cursors.save(&account.id, &next).await? {
                Saved::Done => return Ok((plan, left)),
                Saved::Conflict(current) => cursor = current,
            }
        }
        let none = Plan { slots: vec![None; lanes.len()], next: cursor.next, opens_at: now };
        let left = demand.first_left(&none);
        Ok((none, left))
    }

    /// What is to be expected of all that waits. Where the survey has not read all of it, what was
    /// found out last is believed for a while.
    async fn outlook(
        &self,
        account: &Account,
        budget: &Budget,
        cursor: &Cursor,
        now: Timestamp,
        demand: &Demand,
    ) -> Result<Option<Outlook>, StoreError> {
        let forecast = |expected: &[Expected]| {
            let Demand { outstanding, .. } = demand;
            forecast(&account.rules, budget, cursor, now, outstanding, expected)
        };
        if demand.extent == Extent::All {
            return Ok(Some(Outlook::of(&forecast(&demand.expected), now)));
        }
        if let Some(known) = cursor.outlook.filter(|known| now < believed_until(known, demand)) {
            return Ok(Some(known));
        }
        let all = self.read_all(account, OUTLOOK_MAX, now).await?;
        let expected: Vec<Expected> =
            all.ready.iter().map(|(_, send)| expected(send, now)).collect();
        let outlook = Outlook::of(&forecast(&expected), now);
        let Outlook { waiting, late, last, .. } = outlook;
        info!(account = %account.id, waiting, late, last_in_s = last.since(now).as_secs(), "outlook");
        Ok(Some(outlook))
    }

    /// Gives sends their slots and puts them on the queue.
    async fn queue_all(
        &self,
        chosen: Vec<((Place, Waiting), Timestamp)>,
        now: Timestamp,
        done: &mut Released,
    ) -> Result<(), StoreError> {
        let steps: Vec<_> = chosen
            .into_iter()
            .map(|((place, send), due)| self.give_slot(place, send, due))
            .collect();
        let stepped: Vec<Option<Brought>> =
            stream::iter(steps).buffered(STEPS_AT_ONCE).try_collect().await?;
        let mut messages = Vec::new();
        for Brought { ticket, due, from } in stepped.into_iter().flatten() {
            match from {
                Stage::Parked => done.released += 1,
                Stage::Queued { .. } | Stage::Sending { .. } => done.repaired += 1,
            }
            messages.push(Queued { ticket, delay: due.since(now) });
        }
        for (message, result) in messages.iter().zip(self.queue.enqueue(&messages).await) {
            if let Err(error) = result {
                warn!(send = %message.ticket.send, %error, "could not enqueue; a later run will");
            }
        }
        Ok(())
    }

    /// Gives a send its slot; `None` when it has moved on in the meantime.
    async fn give_slot(
        &self,
        place: Place,
        send: Waiting,
        due: Timestamp,
    ) -> Result<Option<Brought>, StoreError> {
        let to = Stage::Queued { due };
        let step = match send.stage {
            Stage::Sending { .. } => Step::Lost(to),
            Stage::Parked | Stage::Queued { .. } => Step::To(to),
        };
        let ticket = Ticket::new(&send, place);
        let Some(after) = self.sends.step(&ticket, step).await? else { return Ok(None) };
        match send.stage {
            Stage::Parked => info!(send = %send.id, "released"),
            stage => {
                warn!(send = %send.id, ?stage, "overdue: brought back");
                self.meter.count(Metric::Repaired, 1);
            }
        }
        Ok(Some(Brought { ticket: ticket.renewed(&after), due, from: send.stage }))
    }

    async fn end(
        &self,
        over: Vec<(Place, Waiting, Outcome)>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let ends = over.into_iter().map(|(place, send, outcome)| async move {
            let ended = self.end_one(&place, &send, &outcome, now).await?;
            if ended {
                self.meter.ended(&outcome);
                info!(send = %send.id, state = outcome.state(), "ended without being sent");
            }
            Ok::<_, StoreError>(usize::from(ended))
        });
        Ok(try_join_all(ends).await?.into_iter().sum())
    }

    /// Ends a send that nobody works on, if its entry points at it.
    async fn end_one(
        &self,
        place: &Place,
        send: &Waiting,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.verified(vec![((place.clone(), send.clone()), ())], now).await?.is_empty() {
            return Ok(false);
        }
        let ticket = Ticket::new(send, place.clone());
        self.sends.finish_unclaimed(&ticket, outcome, now).await
    }

    /// The account is not connected any more: nothing of it will be sent.
    async fn cancel_all(
        &self,
        id: &AccountId,
        mark: &Mark,
        now: Timestamp,
    ) -> Result<Released, StoreError> {
        let mut done = Released::default();
        let mut found = 0;
        for shard in 0..SHARDS {
            let page = self.sends.waiting(id, shard, None, PAGE.1).await?;
            found += page.len();
            let outcome = Outcome::Cancelled { reason: CancelReason::AccountRemoved };
            let over = page
                .into_iter()
                .filter(|(_, send)| !is_claimed(send, now))
                .map(|(place, send)| (place, send, outcome.clone()))
                .collect();
            done.ended += self.end(over, now).await?;
        }
        let due = (found > 0 || now.since(mark.marked_at) <= MARK_KEPT)
            .then(|| now + Duration::from_secs(1));
        self.backlogs.settle(id, mark, due).await?;
        Ok(done)
    }
}

impl Demand {
    /// The first paced lane of which a send has no slot; a survey that has not read all knows of
    /// more in the last lane that it has read.
    fn first_left(&self, plan: &Plan) -> Option<Lane> {
        let left = self.lanes.iter().zip(&plan.slots).filter(|(_, slot)| slot.is_none());
        let paced = left.map(|(&lane, _)| lane).find(|&lane| lane != Lane::Live);
        paced.or(match self.extent {
            Extent::All => None,
            Extent::First => self.lanes.last().map(|&last| last.max(Lane::Inbound)),
        })
    }
}

fn expected(send: &Waiting, now: Timestamp) -> Expected {
    Expected { lane: send.lane, arrives: now, deadline: send.deadline, order: send.order }
}

fn is_claimed(send: &Waiting, now: Timestamp) -> bool {
    matches!(send.stage, Stage::Sending { lease_until } if now < lease_until + CLOCK_BOUND)
}

impl Survey {
    fn take_in(&mut self, page: Vec<(Place, Waiting)>, account: &Account, now: Timestamp) {
        for (place, send) in page {
            let is_paused = account.campaigns.is_paused(&send.campaign);
            let wanted = if is_paused { Wanted::Later } else { Wanted::Now };
            self.sort_in(place, send, wanted, now);
        }
    }

    fn sort_in(&mut self, place: Place, send: Waiting, wanted: Wanted, now: Timestamp) {
        let first = self.first_deadline.map_or(send.deadline, |first| first.min(send.deadline));
        self.oldest = earliest(self.oldest, Some(send.matched_at));
        if let (Stage::Queued { due }, Wanted::Now) = (send.stage, wanted) {
            self.first_due = earliest(self.first_due, Some(due));
        }
        if is_claimed(&send, now) {
            self.claimed += 1;
            self.first_deadline = Some(first);
        } else if send.deadline <= now {
            self.over.push((place, send, Outcome::Expired));
        } else if send.failures >= FAILURES_MAX {
            let outcome = Outcome::Failed { reason: FailReason::NoAnswer };
            self.over.push((place, send, outcome));
        } else if let (Stage::Sending { .. }, Address::Person(_)) = (send.stage, &send.to) {
            // Its call may have been made, and a second message would arrive as well.
            let outcome = Outcome::Failed { reason: FailReason::NoAnswer };
            self.over.push((place, send, outcome));
        } else {
            self.first_deadline = Some(first);
            match send.stage {
                Stage::Queued { due } if now < due + OVERDUE => {
                    self.outstanding.push((send.lane, due));
                }
                Stage::Queued { .. } | Stage::Parked | Stage::Sending { .. } => match wanted {
                    Wanted::Now => self.ready.push((place, send)),
                    Wanted::Later => self.held_back += 1,
                },
            }
        }
    }
}
