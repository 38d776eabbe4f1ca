//! What an account's pages list, and what of it can go now.
//!
//! A page tells of each send when it is due; only of those that are due by now, and of those that
//! are to get a slot, is the entry read.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};
use spillway_core::campaign::{Campaigns, Overflow};
use spillway_core::forecast::Expected;
use spillway_core::hold::Holds;
use spillway_core::id::{AccountId, SendId};
use spillway_core::pace::{Cursor, Plan, Probing};
use spillway_core::refusal::{Party, Suspicion};
use spillway_core::send::{
    Address, CancelReason, FAILURES_MAX, FailReason, Lane, Outcome, Stage, Waiting,
};
use spillway_core::time::{CLOCK_BOUND, Timestamp};

use super::{OVERDUE, RECORDING_OVER, WRITES_AT_ONCE};
use crate::page::{Line, Page, Slot};
use crate::port::{Entry, Read, Sends, StoreError};
use crate::ticket::Place;

/// Pages read at a time, at least and at most.
const PAGES: (usize, usize) = (8, 200);

/// Sends that can be released, of which a survey needs no more: those of a broadcast have no slots
/// of the horizon's.
const READY_MAX: usize = 500;

/// Ready sends that are looked at to find one that is fit to be a probe.
const PROBES_MAX: usize = 16;

/// Reads an account's pages.
pub(super) struct Surveyor<'a> {
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
pub(super) struct Survey {
    /// The pages that were read.
    pages: Vec<Page>,
    /// What is to be changed on them.
    edits: BTreeMap<At, Edit>,
    /// Can be released: parked, or left behind by a crash.
    pub(super) ready: Vec<Ready>,
    /// Have a slot ahead and a message on the queue, for that instant.
    pub(super) outstanding: Vec<(Lane, Timestamp)>,
    /// Their lines.
    outstanding_at: Vec<At>,
    /// Claimed: a call may be under way, or its function may just have died.
    pub(super) claimed: usize,
    /// Wait for a campaign that is paused or on hold.
    pub(super) held_back: usize,
    /// Of these, those without a slot whose campaign is on hold, as a forecast sees them.
    coming: Vec<Expected>,
    /// On a page, and not recorded with it yet, if ever.
    unclear: usize,
    /// Must end, and how.
    pub(super) over: Vec<Over>,
    /// The earliest deadline of all that wait.
    pub(super) first_deadline: Option<Timestamp>,
    /// When the oldest of them was matched.
    pub(super) oldest: Option<Timestamp>,
    /// The earliest slot of those that have one and have not ended.
    pub(super) first_due: Option<Timestamp>,
    /// Whether there are more than were read.
    pub(super) extent: Extent,
}

/// A line of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    page: usize,
    line: usize,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug)]
enum Edit {
    /// Its send has ended, or belongs to another page.
    Gone,
    /// It has this slot now.
    Slot(Option<Slot>),
}

/// A send that wants a slot.
pub(super) struct Ready {
    pub(super) at: At,
    pub(super) place: Place,
    pub(super) lane: Lane,
    deadline: Timestamp,
    order: Overflow,
    /// The send as it stands, where that was read.
    pub(super) send: Option<Waiting>,
}

/// A send that must end.
pub(super) struct Over {
    pub(super) at: At,
    pub(super) place: Place,
    pub(super) send: Waiting,
    pub(super) outcome: Outcome,
}

/// How much of the waiting sends a survey has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Extent {
    #[default]
    All,
    /// Enough to fill the horizon.
    First,
}

/// Whether a send's campaign lets it go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Now,
    /// The campaign is paused, or on hold until this instant: before it only the send's time can
    /// end its wait.
    Later(Option<Timestamp>),
}

/// What an entry says of a line.
enum Found {
    Waiting(Box<Waiting>),
    Ended,
    /// Nothing yet: whoever wrote the page may still be at work. Or nothing that can be read.
    Unclear,
}

impl Survey {
    /// How many may wait.
    pub(super) fn waiting(&self) -> usize {
        let unclaimed = self.ready.len() + self.outstanding.len() + self.held_back;
        unclaimed + self.claimed + self.unclear + self.over.len()
    }

    /// Whether sends wait for the end of a campaign's hold.
    pub(super) fn is_more_to_come(&self) -> bool {
        !self.coming.is_empty()
    }

    fn page(&self, at: At) -> &Page {
        &self.pages[at.page]
    }

    fn line(&self, at: At) -> &Line {
        &self.page(at).lines[at.line]
    }

    /// Whom a line is for, as far as the page tells.
    fn party_of(&self, at: At) -> Party {
        Party::new(&self.line(at).event, None, &self.page(at).campaign, None)
    }

    fn place(&self, at: At) -> Place {
        self.page(at).place_of(self.line(at))
    }

    /// The lanes of those that want a slot, in order.
    pub(super) fn lanes(&self) -> Vec<Lane> {
        self.ready.iter().map(|ready| ready.lane).collect()
    }

    /// The same as a forecast sees them.
    pub(super) fn expected(&self, now: Timestamp) -> Vec<Expected> {
        let expected = |ready: &Ready| {
            let Ready { lane, deadline, order, .. } = *ready;
            Expected { lane, arrives: now, deadline, order }
        };
        self.ready.iter().map(expected).chain(self.coming.iter().copied()).collect()
    }

    /// The first paced lane of which a send has no slot in a plan; a survey that has not read all
    /// knows of more in the last lane that it has read.
    pub(super) fn first_left(&self, plan: &Plan) -> Option<Lane> {
        let left = self.ready.iter().zip(&plan.slots).filter(|(_, slot)| slot.is_none());
        let paced = left.map(|(ready, _)| ready.lane).filter(|&lane| lane != Lane::Live).min();
        paced.or(match self.extent {
            Extent::All => None,
            Extent::First => {
                let last = self.ready.iter().map(|ready| ready.lane).max();
                Some(last.map_or(Lane::Inbound, |last| last.max(Lane::Inbound)))
            }
        })
    }

    /// The send of a line has ended.
    pub(super) fn strike_out(&mut self, at: At) {
        self.edits.insert(at, Edit::Gone);
    }

    /// The send of a line gets a slot.
    pub(super) fn give(&mut self, at: At, slot: Slot) {
        self.edits.insert(at, Edit::Slot(Some(slot)));
    }

    /// Writes the pages on which something has changed, and gives those lines of which the page
    /// could be written: another run may have been first.
    pub(super) async fn write(&mut self, sends: &dyn Sends) -> Result<BTreeSet<At>, StoreError> {
        let mut next: BTreeMap<usize, Page> = BTreeMap::new();
        for (&at, &edit) in self.edits.iter().rev() {
            let page = next.entry(at.page).or_insert_with(|| {
                let page = self.page(at);
                Page { version: page.version + 1, ..page.clone() }
            });
            match edit {
                Edit::Gone => drop(page.lines.remove(at.line)),
                Edit::Slot(slot) => page.lines[at.line].slot = slot,
            }
        }
        // A line that was due, and has ended, costs less to look at again than its page to be
        // written. One without a slot would be the first to get one, again and again.
        let matters = |number: usize| {
            let of_page = At { page: number, line: 0 }..At { page: number + 1, line: 0 };
            self.edits.range(of_page).any(|(&at, edit)| match edit {
                Edit::Gone => self.line(at).slot.is_none(),
                Edit::Slot(_) => true,
            })
        };
        let writes: Vec<_> = next
            .iter()
            .filter(|(number, page)| page.lines.is_empty() || matters(**number))
            .map(|(&number, page)| async move { Ok((number, sends.rewrite(page).await?)) })
            .collect();
        let written: Vec<(usize, bool)> =
            stream::iter(writes).buffered(WRITES_AT_ONCE).try_collect().await?;
        let written: BTreeSet<usize> =
            written.into_iter().filter_map(|(number, done)| done.then_some(number)).collect();
        Ok(self.edits.keys().filter(|at| written.contains(&at.page)).copied().collect())
    }

    /// Takes in a send as it stands, whose time ends then.
    fn sort_in(
        &mut self,
        at: At,
        send: Waiting,
        ends_at: Timestamp,
        wanted: Wanted,
        now: Timestamp,
    ) {
        let first = self.first_deadline.map_or(ends_at, |first| first.min(ends_at));
        self.oldest = earliest(self.oldest, Some(send.matched_at));
        if let (Stage::Queued { due }, Wanted::Now) = (send.stage, wanted) {
            self.first_due = earliest(self.first_due, Some(due));
        }
        let failed = Outcome::Failed { reason: FailReason::NoAnswer };
        let outcome = if is_claimed(&send, now) {
            self.claimed += 1;
            self.first_deadline = Some(first);
            return;
        } else if ends_at <= now {
            Outcome::Expired
        } else if send.failures >= FAILURES_MAX {
            failed
        } else if let (Stage::Sending { .. }, Address::Person(_)) = (send.stage, &send.to) {
            // Its call may have been made, and a second message would arrive as well.
            failed
        } else {
            self.first_deadline = Some(first);
            self.sort_in_live(at, send, ends_at, wanted, now);
            return;
        };
        self.over.push(Over { at, place: self.place(at), send, outcome });
    }

    fn sort_in_live(
        &mut self,
        at: At,
        send: Waiting,
        ends_at: Timestamp,
        wanted: Wanted,
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
                self.outstanding.push((send.lane, due));
                self.outstanding_at.push(at);
            }
            Stage::Queued { .. } | Stage::Parked | Stage::Sending { .. } => match wanted {
                Wanted::Now => self.ready.push(Ready {
                    at,
                    place: self.place(at),
                    lane: send.lane,
                    deadline: ends_at,
                    order: send.order,
                    send: Some(send),
                }),
                Wanted::Later(opens_at) => {
                    self.held_back += 1;
                    let Waiting { lane, order, .. } = send;
                    let coming = |arrives| Expected { lane, arrives, deadline: ends_at, order };
                    self.coming.extend(opens_at.map(coming));
                }
            },
        }
    }
}

/// What is claimed is nobody else's until the claim's lease has ended.
fn is_claimed(send: &Waiting, now: Timestamp) -> bool {
    matches!(send.stage, Stage::Sending { lease_until } if now < lease_until + CLOCK_BOUND)
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}

impl Surveyor<'_> {
    /// Reads in order until there are enough sends to fill the horizon, of which it holds `enough`.
    /// What can be released is given only as far as all before it was read.
    pub(super) async fn first(&self, enough: usize) -> Result<Survey, StoreError> {
        let is_enough = |survey: &Survey| {
            let ahead = |&&(lane, due): &&(Lane, Timestamp)| lane != Lane::Live && due > self.now;
            let slots_taken = survey.outstanding.iter().filter(ahead).count();
            let paced = survey.ready.iter().filter(|ready| ready.lane != Lane::Live).count();
            paced >= enough.saturating_sub(slots_taken).max(1) || survey.ready.len() >= READY_MAX
        };
        // A delivery of a few comments fills a part of a page.
        self.read(enough.div_ceil(4).clamp(PAGES.0, PAGES.1), is_enough).await
    }

    /// Reads all of them.
    pub(super) async fn all(&self) -> Result<Survey, StoreError> {
        self.read(PAGES.1, |_| false).await
    }

    /// Reads pages, `count` at first, until it `is_enough` or there are no more.
    async fn read(
        &self,
        mut count: usize,
        is_enough: impl Fn(&Survey) -> bool + Send + Sync,
    ) -> Result<Survey, StoreError> {
        let mut survey = Survey::default();
        let mut after: Option<Place> = None;
        // Those of the pages read so far that may stand behind some of the next page's.
        let mut beyond: Vec<Ready> = Vec::new();
        loop {
            let pages = self.sends.pages(self.account, after.as_ref(), count).await?;
            let is_last = pages.len() < count;
            after = pages.last().map(|page| page.place.clone()).or(after);
            // Whatever is known already stands before all of these.
            let known = survey.ready.len();
            survey.ready.append(&mut beyond);
            self.take_in(&mut survey, pages).await?;
            survey.ready[known..].sort_by(|a, b| a.place.cmp(&b.place));
            let read_to = match &after {
                Some(read_to) if !is_last => read_to,
                _ => return Ok(survey),
            };
            let is_known = |ready: &Ready| ready.place <= *read_to;
            let known = known + survey.ready[known..].partition_point(is_known);
            beyond = survey.ready.split_off(known);
            if is_enough(&survey) {
                survey.extent = Extent::First;
                return Ok(survey);
            }
            // Many that cannot be released are behind each other.
            count = (2 * count).min(PAGES.1);
        }
    }

    /// The first sends of an account that is not connected any more: all that can end has to.
    pub(super) async fn removed(&self) -> Result<Survey, StoreError> {
        let pages = self.sends.pages(self.account, None, PAGES.1).await?;
        let mut survey = Survey { pages, ..Survey::default() };
        let numbered = survey.pages.iter().enumerate();
        let lines: Vec<At> = numbered
            .flat_map(|(page, of)| (0..of.lines.len()).map(move |line| At { page, line }))
            .collect();
        let found = self.look_up(&survey, &lines, |_| false).await?;
        for (at, found) in lines.into_iter().zip(found) {
            match found {
                Found::Waiting(send) if is_claimed(&send, self.now) => survey.claimed += 1,
                Found::Waiting(send) => {
                    let outcome = Outcome::Cancelled { reason: CancelReason::AccountRemoved };
                    let place = survey.place(at);
                    survey.over.push(Over { at, place, send: *send, outcome });
                }
                Found::Ended => survey.strike_out(at),
                Found::Unclear => survey.unclear += 1,
            }
        }
        Ok(survey)
    }

    /// The waiting sends without a slot as a forecast sees them, up to about `most`.
    pub(super) async fn expected(&self, most: usize) -> Result<Vec<Expected>, StoreError> {
        let mut expected = Vec::new();
        let mut after: Option<Place> = None;
        loop {
            let pages = self.sends.pages(self.account, after.as_ref(), PAGES.1).await?;
            for page in &pages {
                let (lane, order) = page.kind();
                let ends_at = |line: &Line| self.cursor.deadline(lane, line.deadline);
                let is_waiting = |line: &&Line| line.slot.is_none() && ends_at(line) > self.now;
                let arrives = match self.wanted(page) {
                    Wanted::Now => self.now,
                    Wanted::Later(Some(opens_at)) => opens_at,
                    Wanted::Later(None) => continue,
                };
                expected.extend(page.lines.iter().filter(is_waiting).map(|line| Expected {
                    lane,
                    arrives,
                    deadline: ends_at(line),
                    order,
                }));
            }
            if pages.len() < PAGES.1 || expected.len() >= most {
                return Ok(expected);
            }
            after = pages.last().map(|page| page.place.clone());
        }
    }

    fn wanted(&self, page: &Page) -> Wanted {
        let held = self.holds.refusals.campaign_held_until(&page.campaign, self.now);
        match held {
            _ if self.campaigns.is_paused(&page.campaign) => Wanted::Later(None),
            Some(until) => Wanted::Later(Some(until)),
            None => Wanted::Now,
        }
    }

    /// Puts sends that have put the account on hold behind the others.
    pub(super) fn put_refused_last(&self, survey: &mut Survey) {
        let mut ready = std::mem::take(&mut survey.ready);
        ready.sort_by_key(|ready| self.holds.refusals.goes_last(&survey.party_of(ready.at)));
        survey.ready = ready;
    }

    /// Puts the ready send first that is the fittest to find out whether a hold is over, and says
    /// whether it has to: not if one as fit has a slot; and one that was refused waits until the
    /// hold's end for another to come.
    pub(super) async fn choose_probe(&self, survey: &mut Survey) -> Result<Probing, StoreError> {
        let outstanding = std::mem::take(&mut survey.outstanding_at);
        let found = self.look_up(survey, &outstanding, |_| true).await?;
        survey.outstanding_at = outstanding;
        let has_slot = found.iter().filter_map(|found| match found {
            Found::Waiting(send) => Some(self.holds.suspicion(send, self.now)),
            Found::Ended | Found::Unclear => None,
        });
        let has_slot = has_slot.filter(|&fitness| fitness != Suspicion::Held).min();
        // The person of a send is known from its entry alone.
        let looked_at = vec![Some(self.now); survey.ready.len().min(PROBES_MAX)];
        self.verify(survey, &looked_at).await?;
        let mut ready = std::mem::take(&mut survey.ready);
        let suspicion = |ready: &Ready| match &ready.send {
            Some(send) => self.holds.suspicion(send, self.now),
            None => self.holds.refusals.suspicion(&survey.party_of(ready.at)),
        };
        ready.sort_by_key(suspicion);
        let fittest = ready.first().map(suspicion);
        survey.ready = ready;
        let is_early = !self.holds.is_open(self.now);
        Ok(match (fittest, has_slot) {
            (None, _) => Probing::NotNow,
            (Some(ready), Some(has_slot)) if has_slot <= ready => Probing::NotNow,
            (Some(Suspicion::Person | Suspicion::Held), _) if is_early => Probing::NotNow,
            _ => Probing::Wanted,
        })
    }

    async fn take_in(&self, survey: &mut Survey, pages: Vec<Page>) -> Result<(), StoreError> {
        let mut unknown = Vec::new();
        for page in pages {
            let number = survey.pages.len();
            let wanted = self.wanted(&page);
            let (lane, order) = page.kind();
            survey.pages.push(page);
            let page = &survey.pages[number];
            let (mut ready, mut outstanding) = (Vec::new(), Vec::new());
            let mut outstanding_at = Vec::new();
            let ends_at = |line: &Line| self.cursor.deadline(lane, line.deadline);
            for (index, line) in page.lines.iter().enumerate() {
                let at = At { page: number, line: index };
                match line.slot {
                    Some(Slot { due, .. }) if self.now < due => {
                        outstanding.push((lane, due));
                        outstanding_at.push(at);
                    }
                    None if self.now < ends_at(line) => ready.push(Ready {
                        at,
                        place: page.place_of(line),
                        lane,
                        deadline: ends_at(line),
                        order,
                        send: None,
                    }),
                    Some(_) | None => unknown.push((at, wanted)),
                }
            }
            let deadlines = page.lines.iter().map(ends_at);
            let deadline = deadlines.filter(|&deadline| self.now < deadline).min();
            if ready.len() + outstanding.len() > 0 {
                survey.first_deadline = earliest(survey.first_deadline, deadline);
                survey.oldest = earliest(survey.oldest, Some(page.matched_at));
            }
            survey.outstanding.extend(outstanding);
            survey.outstanding_at.extend(outstanding_at);
            match wanted {
                Wanted::Now => survey.ready.extend(ready),
                Wanted::Later(opens_at) => {
                    survey.held_back += ready.len();
                    survey.coming.extend(opens_at.into_iter().flat_map(|arrives| {
                        let expected = move |ready: &Ready| {
                            let Ready { lane, deadline, order, .. } = *ready;
                            Expected { lane, arrives, deadline, order }
                        };
                        ready.iter().map(expected)
                    }));
                }
            }
        }
        let lines: Vec<At> = unknown.iter().map(|&(at, _)| at).collect();
        for ((at, wanted), found) in
            unknown.into_iter().zip(self.look_up(survey, &lines, |_| false).await?)
        {
            match found {
                Found::Waiting(send) => {
                    let send = survey.line(at).stands(*send);
                    let ends_at = self.cursor.deadline(send.lane, send.deadline);
                    survey.sort_in(at, send, ends_at, wanted, self.now);
                }
                Found::Ended => survey.strike_out(at),
                Found::Unclear => survey.unclear += 1,
            }
        }
        Ok(())
    }

    /// What the entries say of these lines. A read may lag: that a send has ended at its place is
    /// believed in any case, since it never changes, and of the rest what `believed` says.
    async fn look_up(
        &self,
        survey: &Survey,
        lines: &[At],
        believed: impl Fn(&Waiting) -> bool,
    ) -> Result<Vec<Found>, StoreError> {
        let mut entries = self.entries(survey, lines, Read::Eventual).await?;
        let is_doubtful = |index: &usize| {
            let place = survey.place(lines[*index]);
            match &entries[*index] {
                Entry::Ended(ended) => *ended != place,
                Entry::Waiting(waits, send) => *waits != place || !believed(send),
                Entry::Missing | Entry::Unreadable => true,
            }
        };
        let doubtful: Vec<usize> = (0..lines.len()).filter(is_doubtful).collect();
        let again: Vec<At> = doubtful.iter().map(|&index| lines[index]).collect();
        let current = self.entries(survey, &again, Read::Consistent).await?;
        for (index, entry) in doubtful.into_iter().zip(current) {
            entries[index] = entry;
        }
        let found = lines.iter().zip(entries).map(|(&at, entry)| {
            let place = survey.place(at);
            let is_over = self.now.since(survey.page(at).written_at) >= RECORDING_OVER;
            match entry {
                Entry::Ended(ended) if ended == place => Found::Ended,
                Entry::Waiting(waits, send) if waits == place => Found::Waiting(send),
                // Another recording was first, and none makes a second entry.
                Entry::Waiting(..) => Found::Ended,
                // To be recorded, or brought back, unless whoever wrote the page has died over it.
                Entry::Missing | Entry::Ended(_) if is_over => Found::Ended,
                Entry::Missing | Entry::Ended(_) | Entry::Unreadable => Found::Unclear,
            }
        });
        Ok(found.collect())
    }

    async fn entries(
        &self,
        survey: &Survey,
        lines: &[At],
        read: Read,
    ) -> Result<Vec<Entry>, StoreError> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<SendId> =
            lines.iter().map(|&at| survey.page(at).id_of(survey.line(at))).collect();
        self.sends.entries(&ids, read).await
    }

    /// Looks at those of the ready sends that get one of `slots`, takes out what was recorded
    /// elsewhere or is not yet, has ended by hand or has moved on, and says whether all may have
    /// theirs.
    pub(super) async fn verify(
        &self,
        survey: &mut Survey,
        slots: &[Option<Timestamp>],
    ) -> Result<bool, StoreError> {
        let slotted = survey.ready.iter().zip(slots).enumerate();
        let unread: Vec<usize> = slotted
            .filter(|(_, (ready, slot))| slot.is_some() && ready.send.is_none())
            .map(|(index, _)| index)
            .collect();
        let lines: Vec<At> = unread.iter().map(|&index| survey.ready[index].at).collect();
        // One that has moved on since, which only a run whose lease has ended does or somebody by
        // hand, gets a ticket with which nothing can be sent, and is found overdue.
        let is_parked = |send: &Waiting| send.stage == Stage::Parked;
        let found = self.look_up(survey, &lines, is_parked).await?;
        let mut out = Vec::new();
        for ((index, at), found) in unread.into_iter().zip(lines).zip(found) {
            match found {
                Found::Waiting(send) if send.stage == Stage::Parked => {
                    survey.ready[index].send = Some(*send);
                    continue;
                }
                // The next run looks at it.
                Found::Waiting(send) => {
                    survey.give(at, Slot { due: self.now, epoch: send.epoch });
                }
                Found::Ended => survey.strike_out(at),
                Found::Unclear => survey.give(at, Slot::UNKNOWN),
            }
            out.push(index);
        }
        for index in out.iter().rev() {
            survey.ready.remove(*index);
        }
        Ok(out.is_empty())
    }
}
