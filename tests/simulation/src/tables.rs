//! What DynamoDB holds, with the conditions under which the adapters write it. Each method is the
//! effect of one request.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, GrantId};
use spillway_core::id::{AccountId, EventId, RecipientId, SendId};
use spillway_core::pace::Cursor;
use spillway_core::send::{Outcome, Step, Waiting};
use spillway_core::time::Timestamp;
use spillway_service::port::{Entry, Mark, Moved, Recorded, Saved};
use spillway_service::ticket::{Place, Ticket, shard};

use crate::scenario::Scenario;

/// The tables.
#[derive(Default)]
pub(crate) struct Tables {
    /// Budgets, by account.
    pub(crate) budgets: BTreeMap<AccountId, Budget>,
    /// Where the units of people lie, by account and person.
    pub(crate) counted: BTreeMap<(AccountId, RecipientId), Timestamp>,
    /// The app's budget, where it was written.
    pub(crate) app: Option<AppBudget>,
    /// Cursors, by account.
    pub(crate) cursors: BTreeMap<AccountId, Cursor>,
    /// Entries, one an event.
    pub(crate) entries: BTreeMap<SendId, Recording>,
    /// Waiting sends at their places, by account and part of it.
    pub(crate) waiting: BTreeMap<(AccountId, u8), BTreeMap<Place, Waiting>>,
    /// Marks, by account.
    pub(crate) marks: BTreeMap<AccountId, Marked>,
}

/// An entry.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// When it was written, in milliseconds since 1970.
    pub(crate) written_at: u64,
    /// Where its send lies, or lay.
    pub(crate) place: Place,
    /// How it ended, and when.
    pub(crate) ended: Option<(Outcome, u64)>,
}

/// A mark with its lease.
#[derive(Clone, Debug)]
pub(crate) struct Marked {
    version: u64,
    marked_at: Timestamp,
    /// When the account wants to be looked at.
    pub(crate) due: Timestamp,
    lease_until: Option<Timestamp>,
}

/// A value that is written on the condition of its version.
pub(crate) trait Versioned: Clone + Default {
    /// Its version, 0 before the first write.
    fn version(&self) -> u64;
    /// Its last write.
    fn grant(&self) -> GrantId;
}

impl Versioned for Budget {
    fn version(&self) -> u64 {
        self.version
    }

    fn grant(&self) -> GrantId {
        self.grant
    }
}

impl Versioned for AppBudget {
    fn version(&self) -> u64 {
        self.version
    }

    fn grant(&self) -> GrantId {
        self.grant
    }
}

impl Versioned for Cursor {
    fn version(&self) -> u64 {
        self.version
    }

    fn grant(&self) -> GrantId {
        self.grant
    }
}

/// Whether `next` may be written in place of `current`: it must be the version before. A failed
/// condition that shows the write's own grant is that write, tried again.
fn condition<T: Versioned>(current: Option<&T>, next: &T) -> Condition<T> {
    match current {
        Some(current) if current.version() + 1 != next.version() => {
            let ours = current.version() == next.version() && current.grant() == next.grant();
            if ours { Condition::Written } else { Condition::Failed(current.clone()) }
        }
        None if next.version() > 1 => Condition::Failed(T::default()),
        _ => Condition::Holds,
    }
}

enum Condition<T> {
    Holds,
    Written,
    Failed(T),
}

/// Writes `next` into a table where [`condition`] allows it.
pub(crate) fn save<T: Versioned>(
    table: &mut BTreeMap<AccountId, T>,
    account: &AccountId,
    next: &T,
) -> Saved<T> {
    match condition(table.get(account), next) {
        Condition::Failed(current) => return Saved::Conflict(current),
        Condition::Written => {}
        Condition::Holds => {
            table.insert(account.clone(), next.clone());
        }
    }
    Saved::Done
}

impl Tables {
    /// The tables when all accounts of a scenario have been connected.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let leasing = scenario.accounts.iter().filter(|account| account.limits.leases()).count();
        let leasing = u32::try_from(leasing).unwrap_or(u32::MAX);
        let app = AppBudget::default().with_leasing(leasing, GrantId::default());
        Self { app: (leasing > 0).then_some(app), ..Self::default() }
    }

    /// Writes the app's budget on the condition of its version.
    pub(crate) fn save_app(&mut self, next: &AppBudget) -> Saved<AppBudget> {
        match condition(self.app.as_ref(), next) {
            Condition::Failed(current) => return Saved::Conflict(current),
            Condition::Written => {}
            Condition::Holds => self.app = Some(next.clone()),
        }
        Saved::Done
    }

    /// Writes a budget and where a person's unit lies, or neither.
    pub(crate) fn save_moved(
        &mut self,
        account: &AccountId,
        next: &Budget,
        moved: &Moved<'_>,
    ) -> Saved<Budget> {
        let person = (account.clone(), moved.person.clone());
        let is_there = self.counted.get(&person) == Some(&moved.from);
        match condition(self.budgets.get(account), next) {
            Condition::Failed(current) => return Saved::Conflict(current),
            Condition::Written => {}
            Condition::Holds if !is_there => {
                return Saved::Conflict(self.budgets.get(account).cloned().unwrap_or_default());
            }
            Condition::Holds => {
                self.budgets.insert(account.clone(), next.clone());
                self.counted.insert(person, moved.to);
            }
        }
        Saved::Done
    }

    /// Notes where a person's unit lies, unless a later one is known.
    pub(crate) fn note_counted(
        &mut self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) {
        let lies = self.counted.entry((account.clone(), person.clone())).or_insert(at);
        *lies = at.max(*lies);
    }

    /// Writes a waiting send to its place.
    pub(crate) fn put_waiting(&mut self, place: &Place, send: &Waiting) {
        let key = (send.id.account.clone(), shard(&send.id.event));
        self.waiting.entry(key).or_default().insert(place.clone(), send.clone());
    }

    /// Makes an entry for an event that has none.
    pub(crate) fn put_entry(&mut self, place: &Place, send: &SendId, now: u64) -> Recorded {
        match self.entries.get(send) {
            // The write's own, tried again.
            Some(entry) if entry.place == *place => Recorded::New,
            Some(_) => Recorded::Duplicate,
            None => {
                let entry = Recording { written_at: now, place: place.clone(), ended: None };
                self.entries.insert(send.clone(), entry);
                Recorded::New
            }
        }
    }

    /// Removes whatever lies at a place.
    pub(crate) fn remove_waiting(&mut self, place: &Place, send: &SendId) {
        let key = (send.account.clone(), shard(&send.event));
        if let Some(shard) = self.waiting.get_mut(&key) {
            shard.remove(place);
        }
    }

    /// The send at a place.
    pub(crate) fn waiting_at(&self, place: &Place, send: &SendId) -> Option<&Waiting> {
        self.waiting.get(&(send.account.clone(), shard(&send.event)))?.get(place)
    }

    /// Takes a step where the send stands at the ticket's epoch.
    pub(crate) fn step(&mut self, ticket: &Ticket, step: Step) -> Option<Waiting> {
        let key = (ticket.send.account.clone(), shard(&ticket.send.event));
        let send = self.waiting.get_mut(&key)?.get_mut(&ticket.place)?;
        if send.epoch != ticket.epoch {
            return None;
        }
        *send = send.after(step);
        Some(send.clone())
    }

    /// Ends an entry that waits and points at the ticket's place; whether it did.
    pub(crate) fn end_entry(&mut self, ticket: &Ticket, outcome: &Outcome, now: u64) -> bool {
        match self.entries.get_mut(&ticket.send) {
            Some(entry) if entry.ended.is_none() && entry.place == ticket.place => {
                entry.ended = Some((outcome.clone(), now));
                true
            }
            _ => false,
        }
    }

    /// Ends entry and place together, where both conditions hold; whether it did.
    pub(crate) fn end_both(&mut self, ticket: &Ticket, outcome: &Outcome, now: u64) -> bool {
        let at_epoch = self
            .waiting_at(&ticket.place, &ticket.send)
            .is_some_and(|send| send.epoch == ticket.epoch);
        if !at_epoch || !self.end_entry(ticket, outcome, now) {
            return false;
        }
        self.remove_waiting(&ticket.place, &ticket.send);
        true
    }

    /// The events that had an entry at `as_of`: an eventual read.
    pub(crate) fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
        as_of: u64,
    ) -> BTreeSet<EventId> {
        let has_entry = |event: &&EventId| {
            let send = SendId { account: account.clone(), event: (*event).clone() };
            self.entries.get(&send).is_some_and(|entry| entry.written_at <= as_of)
        };
        events.iter().filter(has_entry).cloned().collect()
    }

    /// An entry as it stood at `as_of`: an eventual read. [`u64::MAX`] makes it a consistent one.
    pub(crate) fn entry(&self, send: &SendId, as_of: u64) -> Entry {
        match self.entries.get(send).filter(|entry| entry.written_at <= as_of) {
            None => Entry::Missing,
            Some(Recording { ended: Some((_, at)), .. }) if *at <= as_of => Entry::Ended,
            Some(Recording { place, .. }) => Entry::Waiting(place.clone()),
        }
    }

    /// A page of waiting sends.
    pub(crate) fn page(
        &self,
        account: &AccountId,
        shard: u8,
        after: Option<&Place>,
        limit: usize,
    ) -> Vec<(Place, Waiting)> {
        let Some(shard) = self.waiting.get(&(account.clone(), shard)) else { return Vec::new() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = shard.range((from, Bound::Unbounded)).take(limit);
        page.map(|(place, send)| (place.clone(), send.clone())).collect()
    }

    /// All waiting sends of an account.
    pub(crate) fn all_waiting(
        &self,
        account: &AccountId,
    ) -> impl Iterator<Item = (&Place, &Waiting)> {
        let shards = self.waiting.range((account.clone(), 0)..=(account.clone(), u8::MAX));
        shards.flat_map(|(_, shard)| shard)
    }

    /// Marks an account.
    pub(crate) fn mark(&mut self, account: &AccountId, now: Timestamp) {
        let marked = self.marks.entry(account.clone());
        let blank = Marked { version: 0, marked_at: now, due: now, lease_until: None };
        let marked = marked.or_insert(blank);
        marked.marked_at = now;
        marked.version += 1;
    }

    /// Marks an account that is to be looked at now.
    pub(crate) fn wake(&mut self, account: &AccountId, now: Timestamp) {
        self.mark(account, now);
        if let Some(marked) = self.marks.get_mut(account) {
            marked.due = now;
        }
    }

    /// Leases a marked account whose lease has ended.
    pub(crate) fn lease(
        &mut self,
        account: &AccountId,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<Mark> {
        let marked = self.marks.get_mut(account)?;
        if marked.lease_until.is_some_and(|lease| lease >= now) {
            return None;
        }
        marked.lease_until = Some(until);
        marked.version += 1;
        let Marked { version, marked_at, .. } = *marked;
        Some(Mark { version, marked_at, lease_until: until })
    }

    /// Ends a lease on the condition of the mark's version: due again, or unmarked where `due` is
    /// `None`.
    pub(crate) fn settle(
        &mut self,
        account: &AccountId,
        mark: &Mark,
        due: Option<Timestamp>,
    ) -> Settled {
        let Some(marked) = self.marks.get_mut(account) else { return Settled::Refused };
        if marked.version != mark.version {
            return Settled::Refused;
        }
        match due {
            None => {
                self.marks.remove(account);
                Settled::Unmarked
            }
            Some(due) => {
                marked.due = due;
                marked.lease_until = None;
                Settled::Due
            }
        }
    }

    /// Ends the lease of an account that was marked meanwhile, if it is still that one.
    pub(crate) fn end_lease(&mut self, account: &AccountId, lease_until: Timestamp) {
        if let Some(marked) = self.marks.get_mut(account)
            && marked.lease_until == Some(lease_until)
        {
            marked.lease_until = None;
        }
    }
}

/// What settling came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The mark stays, due at another time.
    Due,
    /// The mark is gone.
    Unmarked,
    /// Somebody marked or leased the account meanwhile.
    Refused,
}
