//! The backlog scan: what an account's outbox batches list, and which of these sends can go now.
//!
//! A batch says when each of its sends is due. The entry is read only of those that are due by now,
//! and of those that are to get a slot.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};
use spillway_core::campaign::{Campaign, Campaigns, Overflow};
use spillway_core::forecast::Expected;
use spillway_core::hold::Holds;
use spillway_core::id::{AccountId, SendId};
use spillway_core::pace::{Cursor, Plan, Probing};
use spillway_core::refusal::{Party, Suspicion};
use spillway_core::send::{
    CancelReason, Class, FAILURES_MAX, FailReason, Lane, Outcome, PendingSend, Stage,
};
use spillway_core::time::{CLOCK_BOUND, Timestamp};

use super::{GATHER, OVERDUE, RECORDING_OVER, WRITES_AT_ONCE};
use crate::outbox_batch::{OutboxBatch, OutboxLine, Slot};
use crate::outbox_key::OutboxKey;
use crate::port::{Entry, Read, Sends, StoreError};

/// Batches read at a time, at least and at most.
const BATCHES: (usize, usize) = (8, 200);

/// The most sends that a scan looks for to release: those of a broadcast have no slots
/// of the horizon's.
const READY_MAX: usize = 500;

/// Ready sends that are looked at to find one that is fit to be a probe.
const PROBES_MAX: usize = 16;

/// Reads an account's batches.
pub(super) struct BacklogScanner<'a> {
    pub(super) sends: &'a dyn Sends,
    pub(super) account: &'a AccountId,
    pub(super) campaigns: &'a Campaigns,
    pub(super) holds: &'a Holds,
    /// Knows how long a broadcast lasts.
    pub(super) cursor: &'a Cursor,
    pub(super) now: Timestamp,
}

/// What the waiting sends of an account come to.
#[derive(Default)]
pub(super) struct BacklogScan {
    /// The batches that were read.
    batches: Vec<OutboxBatch>,
    /// What is to be changed on them.
    edits: BTreeMap<LineIndex, Edit>,
    /// Can be released: parked, or left behind by a crash.
    pub(super) ready: Vec<Ready>,
    /// Have a slot ahead and a message on the queue, for that instant.
    pub(super) outstanding: Vec<(Class, Timestamp)>,
    /// Their lines.
    outstanding_at: Vec<LineIndex>,
    /// Claimed: a call may be under way, or its function may just have died.
    pub(super) claimed: usize,
    /// Wait for a campaign that is paused or on hold, or for the instant before which they may not
    /// go.
    pub(super) held_back: usize,
    /// Of these, those without a slot whose wait has a known end.
    coming: Vec<Coming>,
    /// An attempt of theirs may have reached the person: they are not repeated without evidence.
    pub(super) unknown: Vec<UnknownSend>,
    /// On a batch, and not recorded with it yet, if ever.
    unclear: usize,
    /// Must end, and how.
    pub(super) over: Vec<Ending>,
    /// The earliest deadline of all that wait.
    pub(super) first_deadline: Option<Timestamp>,
    /// The instant when the oldest of them was matched.
    pub(super) oldest: Option<Timestamp>,
    /// The earliest slot of those that have one and have not ended.
    pub(super) first_due: Option<Timestamp>,
    /// Whether there are more than were read.
    pub(super) extent: Extent,
}

/// A send that may not go yet.
#[derive(Clone, Copy, Debug)]
struct Coming {
    /// How a forecast sees it.
    expected: Expected,
    matched_at: Timestamp,
}

impl Coming {
    /// When a run is to give it a slot at the latest. It waits a tenth longer than it has to at most,
    /// and [`GATHER`], so that sends that may go one after the other share a run.
    fn runs_at(&self) -> Timestamp {
        let arrives = self.expected.arrives;
        arrives + (arrives.since(self.matched_at) / 10).min(GATHER)
    }
}

/// A line of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineIndex {
    batch: usize,
    line: usize,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug)]
enum Edit {
    /// Its send has ended, or belongs to another batch.
    Gone,
    /// It has this slot now.
    Slot(Option<Slot>),
}

/// A send that needs a slot.
pub(super) struct Ready {
    pub(super) at: LineIndex,
    pub(super) outbox_key: OutboxKey,
    pub(super) class: Class,
    deadline: Timestamp,
    order: Overflow,
    /// The current send, where it was read.
    pub(super) send: Option<PendingSend>,
}

/// A send whose last attempt is unknown, or whose claim has ended.
pub(super) struct UnknownSend {
    pub(super) at: LineIndex,
    pub(super) outbox_key: OutboxKey,
    pub(super) ends_at: Timestamp,
    pub(super) wanted: Clearance,
    pub(super) send: PendingSend,
}

/// A send that must end.
pub(super) struct Ending {
    pub(super) at: LineIndex,
    pub(super) outbox_key: OutboxKey,
    pub(super) send: PendingSend,
    pub(super) outcome: Outcome,
}

/// How much of the waiting sends a scan has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Extent {
    #[default]
    All,
    /// Enough to fill the horizon.
    First,
}

/// Whether a send may go by its campaign, and by its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clearance {
    Now,
    /// The campaign is paused, or not before this instant: until then only the send's deadline can
    /// end its wait.
    Later(Option<Timestamp>),
}

impl Clearance {
    /// What is left of it for a send that may not go before this instant.
    fn not_before(self, not_before: Option<Timestamp>, now: Timestamp) -> Self {
        let Some(not_before) = not_before.filter(|&not_before| now < not_before) else {
            return self;
        };
        match self {
            Self::Now => Self::Later(Some(not_before)),
            Self::Later(opens_at) => Self::Later(opens_at.map(|at| at.max(not_before))),
        }
    }
}

/// What an entry says of a line.
enum EntryState {
    Waiting(Box<PendingSend>),
    Ended,
    /// Nothing yet, because the writer of the batch may still be at work. Or nothing that can be
    /// read.
    Unclear,
}

impl BacklogScan {
    /// How many may wait.
    pub(super) fn waiting(&self) -> usize {
        let unclaimed = self.ready.len() + self.outstanding.len() + self.held_back;
        unclaimed + self.claimed + self.unclear + self.over.len() + self.unknown.len()
    }

    /// An unknown send did not arrive: it needs a slot again.
    pub(super) fn repeat(&mut self, unknown: UnknownSend, now: Timestamp) {
        let UnknownSend { at, ends_at, wanted, send, .. } = unknown;
        self.sort_in_ready(at, send, ends_at, wanted, now);
    }

    /// Puts the ready sends in their order.
    pub(super) fn sort_ready(&mut self) {
        self.ready.sort_by(|a, b| a.outbox_key.cmp(&b.outbox_key));
    }

    /// Whether a send that may not go yet will.
    pub(super) fn has_coming(&self) -> bool {
        !self.coming.is_empty()
    }

    /// When a run is to give the first of these a slot.
    pub(super) fn runs_at(&self) -> Option<Timestamp> {
        self.coming.iter().map(Coming::runs_at).min()
    }

    fn batch(&self, at: LineIndex) -> &OutboxBatch {
        &self.batches[at.batch]
    }

    fn line(&self, at: LineIndex) -> &OutboxLine {
        &self.batch(at).lines[at.line]
    }

    /// Whom a line is for, as far as the batch tells.
    fn party_of(&self, at: LineIndex) -> Party {
        Party::new(&self.line(at).key, None, &self.batch(at).content.campaign, None)
    }

    fn outbox_key(&self, at: LineIndex) -> OutboxKey {
        self.batch(at).key_of(self.line(at))
    }

    /// The classes of those that need a slot, in order.
    pub(super) fn classes(&self) -> Vec<Class> {
        self.ready.iter().map(|ready| ready.class).collect()
    }

    /// The DMs among them as a forecast sees them.
    pub(super) fn expected(&self, now: Timestamp) -> Vec<Expected> {
        let expected = |ready: &Ready| {
            let Ready { class, deadline, order, .. } = *ready;
            Expected { class, arrives: now, deadline, order }
        };
        let coming = self.coming.iter().map(|coming| coming.expected);
        let all = self.ready.iter().map(expected).chain(coming);
        all.filter(|expected| !expected.class.is_public()).collect()
    }

    /// The first paced lane with a send that has no slot in a plan; a scan that has not read all
    /// knows of more in the last lane that it has read.
    pub(super) fn first_left(&self, plan: &Plan) -> Option<Lane> {
        let left = self.ready.iter().zip(&plan.slots).filter(|(_, slot)| slot.is_none());
        let paced = left.map(|(ready, _)| ready.class.lane).filter(|lane| lane.is_paced()).min();
        paced.or(match self.extent {
            Extent::All => None,
            Extent::First => {
                let lanes = self.ready.iter().map(|ready| ready.class.lane);
                let last = lanes.filter(|&lane| lane != Lane::Public).max();
                Some(last.map_or(Lane::Inbound, |last| last.max(Lane::Inbound)))
            }
        })
    }

    /// The send of a line has ended.
    pub(super) fn strike_out(&mut self, at: LineIndex) {
        self.edits.insert(at, Edit::Gone);
    }

    /// The send of a line gets a slot.
    pub(super) fn give(&mut self, at: LineIndex, slot: Slot) {
        self.edits.insert(at, Edit::Slot(Some(slot)));
    }

    /// Writes the batches that have changed, and returns those lines whose batch
    /// could be written: another run may have been first.
    pub(super) async fn write(
        &mut self,
        sends: &dyn Sends,
    ) -> Result<BTreeSet<LineIndex>, StoreError> {
        let mut next: BTreeMap<usize, OutboxBatch> = BTreeMap::new();
        for (&at, &edit) in self.edits.iter().rev() {
            let batch = next.entry(at.batch).or_insert_with(|| {
                let batch = self.batch(at);
                OutboxBatch { version: batch.version + 1, ..batch.clone() }
            });
            match edit {
                Edit::Gone => drop(batch.lines.remove(at.line)),
                Edit::Slot(slot) => batch.lines[at.line].slot = slot,
            }
        }
        // A line that was due, and has ended, costs less to look at again than its batch to be
        // written. One without a slot would be the first to get one, again and again.
        let matters = |number: usize| {
            let of_batch =
                LineIndex { batch: number, line: 0 }..LineIndex { batch: number + 1, line: 0 };
            self.edits.range(of_batch).any(|(&at, edit)| match edit {
                Edit::Gone => self.line(at).slot.is_none(),
                Edit::Slot(_) => true,
            })
        };
        let writes: Vec<_> = next
            .iter()
            .filter(|(number, batch)| batch.lines.is_empty() || matters(**number))
            .map(|(&number, batch)| async move { Ok((number, sends.rewrite(batch).await?)) })
            .collect();
        let written: Vec<(usize, bool)> =
            stream::iter(writes).buffered(WRITES_AT_ONCE).try_collect().await?;
        let written: BTreeSet<usize> =
            written.into_iter().filter_map(|(number, done)| done.then_some(number)).collect();
        Ok(self.edits.keys().filter(|at| written.contains(&at.batch)).copied().collect())
    }

    /// Takes in a send as it is now, whose time ends then.
    fn sort_in(
        &mut self,
        at: LineIndex,
        send: PendingSend,
        ends_at: Timestamp,
        wanted: Clearance,
        now: Timestamp,
    ) {
        let first = self.first_deadline.map_or(ends_at, |first| first.min(ends_at));
        self.oldest = earliest(self.oldest, Some(send.matched_at));
        if let (Stage::Queued { due }, Clearance::Now) = (send.stage, wanted) {
            self.first_due = earliest(self.first_due, Some(due));
        }
        let outbox_key = self.outbox_key(at);
        let outcome = if is_claimed(&send, now) {
            self.claimed += 1;
            self.first_deadline = Some(first);
            return;
        } else if let Stage::Sending { .. } | Stage::Unknown(_) = send.stage {
            if now < ends_at {
                self.first_deadline = Some(first);
                self.unknown.push(UnknownSend { at, outbox_key, ends_at, wanted, send });
                return;
            }
            Outcome::Failed { reason: FailReason::Unknown }
        } else if ends_at <= now {
            Outcome::Expired
        } else if send.failures >= FAILURES_MAX {
            Outcome::Failed { reason: FailReason::NoAnswer }
        } else {
            self.first_deadline = Some(first);
            self.sort_in_live(at, send, ends_at, wanted, now);
            return;
        };
        self.over.push(Ending { at, outbox_key, send, outcome });
    }

    fn sort_in_live(
        &mut self,
        at: LineIndex,
        send: PendingSend,
        ends_at: Timestamp,
        wanted: Clearance,
        now: Timestamp,
    ) {
        if let Stage::Parked = send.stage {
            // So that the next run need not look at it.
            self.edits.insert(at, Edit::Slot(None));
        } else if let Stage::Queued { due } = send.stage {
            let slot = Slot { due, epoch: send.epoch };
            if self.line(at).slot != Some(slot) {
                self.give(at, slot);
            }
        }
        match send.stage {
            Stage::Queued { due } if now < due + OVERDUE => {
                self.outstanding.push((send.class, due));
                self.outstanding_at.push(at);
            }
            Stage::Queued { .. } | Stage::Parked | Stage::Sending { .. } | Stage::Unknown(_) => {
                self.sort_in_ready(at, send, ends_at, wanted, now);
            }
        }
    }

    fn sort_in_ready(
        &mut self,
        at: LineIndex,
        send: PendingSend,
        ends_at: Timestamp,
        wanted: Clearance,
        now: Timestamp,
    ) {
        match wanted.not_before(send.not_before, now) {
            Clearance::Now => self.ready.push(Ready {
                at,
                outbox_key: self.outbox_key(at),
                class: send.class,
                deadline: ends_at,
                order: send.order,
                send: Some(send),
            }),
            Clearance::Later(opens_at) => {
                self.held_back += 1;
                let PendingSend { class, order, matched_at, .. } = send;
                let coming = |arrives| Coming {
                    expected: Expected { class, arrives, deadline: ends_at, order },
                    matched_at,
                };
                self.coming.extend(opens_at.map(coming));
            }
        }
    }
}

/// What is claimed is nobody else's until the claim's lease has ended.
fn is_claimed(send: &PendingSend, now: Timestamp) -> bool {
    matches!(send.stage, Stage::Sending { lease_until } if now < lease_until + CLOCK_BOUND)
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}

impl BacklogScanner<'_> {
    /// Reads in order until there are enough sends to fill the horizon, of which it holds `enough`.
    /// What can be released is given only as far as all before it was read.
    pub(super) async fn first(&self, enough: usize) -> Result<BacklogScan, StoreError> {
        let is_enough = |scan: &BacklogScan| {
            let ahead =
                |&&(class, due): &&(Class, Timestamp)| class.lane.is_paced() && due > self.now;
            let slots_taken = scan.outstanding.iter().filter(ahead).count();
            let paced = scan.ready.iter().filter(|ready| ready.class.lane.is_paced()).count();
            paced >= enough.saturating_sub(slots_taken).max(1) || scan.ready.len() >= READY_MAX
        };
        // A delivery of a few comments fills a part of a batch.
        self.read(enough.div_ceil(4).clamp(BATCHES.0, BATCHES.1), is_enough).await
    }

    /// Reads all of them.
    pub(super) async fn all(&self) -> Result<BacklogScan, StoreError> {
        self.read(BATCHES.1, |_| false).await
    }

    /// Reads batches, `count` at first, until it `is_enough` or there are no more.
    async fn read(
        &self,
        mut count: usize,
        is_enough: impl Fn(&BacklogScan) -> bool + Send + Sync,
    ) -> Result<BacklogScan, StoreError> {
        let mut scan = BacklogScan::default();
        let mut after: Option<OutboxKey> = None;
        // Those of the batches read so far that may sort after some of the next batch's.
        let mut beyond: Vec<Ready> = Vec::new();
        loop {
            let batches = self.sends.batches(self.account, after.as_ref(), count).await?;
            let is_last = batches.len() < count;
            after = batches.last().map(|batch| batch.outbox_key.clone()).or(after);
            // All that is known already sorts before these.
            let known = scan.ready.len();
            scan.ready.append(&mut beyond);
            self.take_in(&mut scan, batches).await?;
            scan.ready[known..].sort_by(|a, b| a.outbox_key.cmp(&b.outbox_key));
            let read_to = match &after {
                Some(read_to) if !is_last => read_to,
                _ => return Ok(scan),
            };
            let is_known = |ready: &Ready| ready.outbox_key <= *read_to;
            let known = known + scan.ready[known..].partition_point(is_known);
            beyond = scan.ready.split_off(known);
            if is_enough(&scan) {
                scan.extent = Extent::First;
                self.read_public(&mut scan, after).await?;
                return Ok(scan);
            }
            // Many that cannot be released are behind each other.
            count = (2 * count).min(BATCHES.1);
        }
    }

    /// Reads public replies too where the scan has not come to them: they do not wait for DMs.
    async fn read_public(
        &self,
        scan: &mut BacklogScan,
        read_to: Option<OutboxKey>,
    ) -> Result<(), StoreError> {
        let before = OutboxKey::before_lane(Lane::Public);
        if !self.campaigns.iter().any(Campaign::replies_in_public)
            || read_to.is_some_and(|read_to| read_to >= before)
        {
            return Ok(());
        }
        let batches = self.sends.batches(self.account, Some(&before), BATCHES.1).await?;
        let known = scan.ready.len();
        self.take_in(scan, batches).await?;
        scan.ready[known..].sort_by(|a, b| a.outbox_key.cmp(&b.outbox_key));
        Ok(())
    }

    /// The first sends of an account that is not connected any more: all that can end has to.
    pub(super) async fn removed(&self) -> Result<BacklogScan, StoreError> {
        let batches = self.sends.batches(self.account, None, BATCHES.1).await?;
        let mut scan = BacklogScan { batches, ..BacklogScan::default() };
        let numbered = scan.batches.iter().enumerate();
        let lines: Vec<LineIndex> = numbered
            .flat_map(|(batch, of)| (0..of.lines.len()).map(move |line| LineIndex { batch, line }))
            .collect();
        let found = self.look_up(&scan, &lines, |_| false).await?;
        for (at, found) in lines.into_iter().zip(found) {
            match found {
                EntryState::Waiting(send) if is_claimed(&send, self.now) => scan.claimed += 1,
                EntryState::Waiting(send) => {
                    let outcome = Outcome::Cancelled { reason: CancelReason::AccountRemoved };
                    let outbox_key = scan.outbox_key(at);
                    scan.over.push(Ending { at, outbox_key, send: *send, outcome });
                }
                EntryState::Ended => scan.strike_out(at),
                EntryState::Unclear => scan.unclear += 1,
            }
        }
        Ok(scan)
    }

    /// The waiting sends without a slot as a forecast sees them, up to about `most`.
    pub(super) async fn expected(&self, most: usize) -> Result<Vec<Expected>, StoreError> {
        let mut expected = Vec::new();
        let mut after: Option<OutboxKey> = None;
        loop {
            let batches = self.sends.batches(self.account, after.as_ref(), BATCHES.1).await?;
            for batch in batches.iter().filter(|batch| !batch.class.is_public()) {
                let (class, order) = (batch.class, batch.order());
                let ends_at = |line: &OutboxLine| self.cursor.deadline(class.lane, line.deadline);
                let is_waiting =
                    |line: &&OutboxLine| line.slot.is_none() && ends_at(line) > self.now;
                let wanted = self.wanted(batch);
                expected.extend(batch.lines.iter().filter(is_waiting).filter_map(|line| {
                    let arrives = match wanted.not_before(line.not_before, self.now) {
                        Clearance::Now => self.now,
                        Clearance::Later(opens_at) => opens_at?,
                    };
                    Some(Expected { class, arrives, deadline: ends_at(line), order })
                }));
            }
            if batches.len() < BATCHES.1 || expected.len() >= most {
                return Ok(expected);
            }
            after = batches.last().map(|batch| batch.outbox_key.clone());
        }
    }

    fn wanted(&self, batch: &OutboxBatch) -> Clearance {
        let held = self.holds.refusals.campaign_held_until(&batch.content.campaign, self.now);
        match held {
            _ if self.campaigns.is_paused(&batch.content.campaign) => Clearance::Later(None),
            Some(until) => Clearance::Later(Some(until)),
            None => Clearance::Now,
        }
    }

    /// Puts sends that have put the account on hold behind the others.
    pub(super) fn put_refused_last(&self, scan: &mut BacklogScan) {
        let mut ready = std::mem::take(&mut scan.ready);
        ready.sort_by_key(|ready| {
            let goes_last = self.holds.refusals.goes_last(&scan.party_of(ready.at));
            (ready.class.is_public(), goes_last)
        });
        scan.ready = ready;
    }

    /// Puts the ready send first that is the fittest to find out whether a hold is over, and says
    /// whether it has to: not if one as fit has a slot; and one that was refused waits until the
    /// hold's end for another to come.
    pub(super) async fn choose_probe(&self, scan: &mut BacklogScan) -> Result<Probing, StoreError> {
        // A DM finds out, not a public reply.
        let (public, outstanding): (Vec<LineIndex>, Vec<LineIndex>) =
            std::mem::take(&mut scan.outstanding_at)
                .into_iter()
                .partition(|&at| scan.batch(at).class.is_public());
        let found = self.look_up(scan, &outstanding, |_| true).await?;
        scan.outstanding_at = outstanding.into_iter().chain(public).collect();
        let has_slot = found.iter().filter_map(|found| match found {
            EntryState::Waiting(send) => Some(self.holds.suspicion(send, self.now)),
            EntryState::Ended | EntryState::Unclear => None,
        });
        let has_slot = has_slot.filter(|&fitness| fitness != Suspicion::Held).min();
        // The person of a send is known from its entry alone.
        let looked_at = vec![Some(self.now); scan.ready.len().min(PROBES_MAX)];
        self.verify(scan, &looked_at).await?;
        let mut ready = std::mem::take(&mut scan.ready);
        let suspicion = |ready: &Ready| match &ready.send {
            Some(send) => self.holds.suspicion(send, self.now),
            None => self.holds.refusals.suspicion(&scan.party_of(ready.at)),
        };
        ready.sort_by_key(|ready| (ready.class.is_public(), suspicion(ready)));
        let fittest = ready.first().filter(|ready| !ready.class.is_public()).map(suspicion);
        scan.ready = ready;
        let is_early = !self.holds.is_open(self.now);
        Ok(match (fittest, has_slot) {
            (None, _) => Probing::NotNow,
            (Some(ready), Some(has_slot)) if has_slot <= ready => Probing::NotNow,
            (Some(Suspicion::Person | Suspicion::Held), _) if is_early => Probing::NotNow,
            _ => Probing::Wanted,
        })
    }

    async fn take_in(
        &self,
        scan: &mut BacklogScan,
        batches: Vec<OutboxBatch>,
    ) -> Result<(), StoreError> {
        let mut unknown = Vec::new();
        for batch in batches {
            let number = scan.batches.len();
            let wanted = self.wanted(&batch);
            let (class, order) = (batch.class, batch.order());
            scan.batches.push(batch);
            let batch = &scan.batches[number];
            let mut outstanding = Vec::new();
            let mut outstanding_at = Vec::new();
            let (mut ready, mut held_back, mut coming) = (Vec::new(), 0, Vec::new());
            let ends_at = |line: &OutboxLine| self.cursor.deadline(class.lane, line.deadline);
            for (index, line) in batch.lines.iter().enumerate() {
                let at = LineIndex { batch: number, line: index };
                match line.slot {
                    Some(Slot { due, .. }) if self.now < due => {
                        outstanding.push((class, due));
                        outstanding_at.push(at);
                    }
                    None if self.now < ends_at(line) => {
                        let deadline = ends_at(line);
                        match wanted.not_before(line.not_before, self.now) {
                            Clearance::Now => ready.push(Ready {
                                at,
                                outbox_key: batch.key_of(line),
                                class,
                                deadline,
                                order,
                                send: None,
                            }),
                            Clearance::Later(opens_at) => {
                                held_back += 1;
                                let matched_at = batch.matched_at;
                                let of_line = |arrives| Coming {
                                    expected: Expected { class, arrives, deadline, order },
                                    matched_at,
                                };
                                coming.extend(opens_at.map(of_line));
                            }
                        }
                    }
                    Some(_) | None => unknown.push((at, wanted)),
                }
            }
            let deadlines = batch.lines.iter().map(ends_at);
            let deadline = deadlines.filter(|&deadline| self.now < deadline).min();
            if ready.len() + held_back + outstanding.len() > 0 {
                scan.first_deadline = earliest(scan.first_deadline, deadline);
                scan.oldest = earliest(scan.oldest, Some(batch.matched_at));
            }
            scan.outstanding.extend(outstanding);
            scan.outstanding_at.extend(outstanding_at);
            scan.ready.extend(ready);
            scan.held_back += held_back;
            scan.coming.extend(coming);
        }
        let lines: Vec<LineIndex> = unknown.iter().map(|&(at, _)| at).collect();
        for ((at, wanted), found) in
            unknown.into_iter().zip(self.look_up(scan, &lines, |_| false).await?)
        {
            match found {
                EntryState::Waiting(send) => {
                    let send = scan.line(at).stands(*send);
                    let ends_at = self.cursor.deadline(send.class.lane, send.deadline);
                    scan.sort_in(at, send, ends_at, wanted, self.now);
                }
                EntryState::Ended => scan.strike_out(at),
                EntryState::Unclear => scan.unclear += 1,
            }
        }
        Ok(())
    }

    /// What the entries say of these lines. A read may lag: that a send has ended at its outbox key
    /// is believed in any case, since it never changes, and of the rest what `believed` says.
    async fn look_up(
        &self,
        scan: &BacklogScan,
        lines: &[LineIndex],
        believed: impl Fn(&PendingSend) -> bool,
    ) -> Result<Vec<EntryState>, StoreError> {
        let mut entries = self.entries(scan, lines, Read::Eventual).await?;
        let is_doubtful = |index: &usize| {
            let outbox_key = scan.outbox_key(lines[*index]);
            match &entries[*index] {
                Entry::Ended(ended) => *ended != outbox_key,
                Entry::Waiting(waits, send) => *waits != outbox_key || !believed(send),
                Entry::Missing | Entry::Unreadable => true,
            }
        };
        let doubtful: Vec<usize> = (0..lines.len()).filter(is_doubtful).collect();
        let again: Vec<LineIndex> = doubtful.iter().map(|&index| lines[index]).collect();
        let current = self.entries(scan, &again, Read::Consistent).await?;
        for (index, entry) in doubtful.into_iter().zip(current) {
            entries[index] = entry;
        }
        let found = lines.iter().zip(entries).map(|(&at, entry)| {
            let outbox_key = scan.outbox_key(at);
            let is_over = self.now.since(scan.batch(at).written_at) >= RECORDING_OVER;
            match entry {
                Entry::Ended(ended) if ended == outbox_key => EntryState::Ended,
                Entry::Waiting(waits, send) if waits == outbox_key => EntryState::Waiting(send),
                // Another recording was first, and none makes a second entry.
                Entry::Waiting(..) => EntryState::Ended,
                // To be recorded, or brought back, unless the writer of the batch has died.
                Entry::Missing | Entry::Ended(_) if is_over => EntryState::Ended,
                Entry::Missing | Entry::Ended(_) | Entry::Unreadable => EntryState::Unclear,
            }
        });
        Ok(found.collect())
    }

    async fn entries(
        &self,
        scan: &BacklogScan,
        lines: &[LineIndex],
        read: Read,
    ) -> Result<Vec<Entry>, StoreError> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<SendId> =
            lines.iter().map(|&at| scan.batch(at).id_of(scan.line(at))).collect();
        self.sends.entries(&ids, read).await
    }

    /// Looks at those of the ready sends that get one of `slots`, takes out what was recorded
    /// elsewhere or is not yet, has ended by hand or has moved on, and says whether all may have
    /// theirs.
    pub(super) async fn verify(
        &self,
        scan: &mut BacklogScan,
        slots: &[Option<Timestamp>],
    ) -> Result<bool, StoreError> {
        let slotted = scan.ready.iter().zip(slots).enumerate();
        let unread: Vec<usize> = slotted
            .filter(|(_, (ready, slot))| slot.is_some() && ready.send.is_none())
            .map(|(index, _)| index)
            .collect();
        let lines: Vec<LineIndex> = unread.iter().map(|&index| scan.ready[index].at).collect();
        // One that has moved on since, which only a run whose lease has ended does or somebody by
        // hand, gets a task with which nothing can be sent, and is found overdue.
        let is_parked = |send: &PendingSend| send.stage == Stage::Parked;
        let found = self.look_up(scan, &lines, is_parked).await?;
        let mut out = Vec::new();
        for ((index, at), found) in unread.into_iter().zip(lines).zip(found) {
            match found {
                EntryState::Waiting(send) if send.stage == Stage::Parked => {
                    scan.ready[index].send = Some(*send);
                    continue;
                }
                // The next run looks at it.
                EntryState::Waiting(send) => {
                    scan.give(at, Slot { due: self.now, epoch: send.epoch });
                }
                EntryState::Ended => scan.strike_out(at),
                EntryState::Unclear => scan.give(at, Slot::UNKNOWN),
            }
            out.push(index);
        }
        for index in out.iter().rev() {
            scan.ready.remove(*index);
        }
        Ok(out.is_empty())
    }
}
