//! What DynamoDB holds, with the conditions under which the adapters write it. Each method is the
//! effect of one request.

mod kept;

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, GrantId};
use spillway_core::conversation;
use spillway_core::id::{AccountId, OnceKey, RecipientId, SendId};
use spillway_core::misses::{Day, MissDay};
use spillway_core::once::Answers;
use spillway_core::pace::Cursor;
use spillway_core::send::{Address, Lane, Outcome, PendingSend, StandIn, Step};
use spillway_core::time::Timestamp;
use spillway_core::unknown::EchoWatch;
use spillway_service::admin::sends::{State as Stands, Stored};
use spillway_service::keys;
use spillway_service::outbox_batch::OutboxBatch;
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{
    BacklogMarker, Cause, Closed, DUE_AHEAD, EndGuard, Entry, Lead, LeadPage, Moved, NewSend,
    Person, Recorded, Saved, StoredConversation, StoredSample, TurnedOver, Turnover,
};
use spillway_service::send_task::SendTask;

pub use self::kept::{Kept, Listed};
use crate::past::Past;

/// Leads of a page at most.
const LEADS_OF_PAGE: usize = 3;

/// The tables.
#[derive(Default)]
pub struct Tables {
    /// Budgets, by account.
    pub budgets: BTreeMap<AccountId, Budget>,
    /// The same, as eventual reads find them.
    pub budgets_seen: BTreeMap<AccountId, Past<Budget>>,
    /// Where the units of people lie, by account and person.
    pub counted: BTreeMap<(AccountId, RecipientId), Timestamp>,
    /// The app's budget, where it was written.
    pub app: Option<AppBudget>,
    /// Cursors, by account.
    pub cursors: BTreeMap<AccountId, Cursor>,
    /// Watches for echoes, by account.
    pub watches: BTreeMap<AccountId, EchoWatch>,
    /// Tallies of misses, by account and day.
    pub miss_days: BTreeMap<(AccountId, Day), MissDay>,
    /// Samples of misses, by account, day and slot.
    pub miss_samples: BTreeMap<(AccountId, Day, usize), StoredSample>,
    /// Conversations, by account and person.
    pub conversations: BTreeMap<(AccountId, RecipientId), Past<StoredConversation>>,
    /// Leads, by account and sort key.
    pub leads: BTreeMap<(AccountId, String), Lead>,
    /// Those of which nobody was told.
    pub untold: BTreeMap<(AccountId, String), Lead>,
    /// Entries, one a send.
    pub entries: BTreeMap<SendId, Recording>,
    /// What people were answered, by account and person. It lies in one item with the entry of the
    /// first send to the person.
    pub answered: BTreeMap<(AccountId, RecipientId), Past<Answers>>,
    /// When people were forgotten, by account and person: their tombstones.
    pub forgotten: BTreeMap<(AccountId, RecipientId), Timestamp>,
    /// How many of them wait.
    pub waiting: usize,
    /// Batches, by account and outbox key.
    pub batches: BTreeMap<AccountId, BTreeMap<OutboxKey, OutboxBatch>>,
    /// Marks, by account.
    pub marks: BTreeMap<AccountId, Marked>,
    /// What upkeep stores.
    pub kept: Kept,
    /// How far an eventual read may lag, in milliseconds: so long it is kept how entries and
    /// budgets stood.
    pub lag_max: u64,
}

/// An entry.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Its lane.
    pub lane: Lane,
    /// When its own time ends.
    pub deadline: Timestamp,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_at: u64,
    is_forgotten: bool,
    /// The outbox key of its send, and its state.
    stands: Past<(OutboxKey, State)>,
}

/// The state of an entry.
#[derive(Clone, Debug)]
enum State {
    /// Its send waits.
    Waiting(Box<PendingSend>),
    /// Its send has ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// When, in milliseconds since 1970.
        at: u64,
        /// How it stood before.
        send: Box<PendingSend>,
    },
}

impl Recording {
    fn new(outbox_key: &OutboxKey, send: &PendingSend, now: u64) -> Self {
        let waiting = State::Waiting(Box::new(send.clone()));
        let stands = Past::new((outbox_key.clone(), waiting), now);
        let (lane, deadline) = (send.class.lane, send.deadline);
        Self { lane, deadline, recorded_at: now, is_forgotten: false, stands }
    }

    /// The outbox key of its send.
    pub fn outbox_key(&self) -> &OutboxKey {
        &self.stands.stands.0
    }

    fn state(&self) -> &State {
        &self.stands.stands.1
    }

    /// The entry becomes another one, at the same outbox key.
    fn turn(&mut self, state: State, now: u64, lag_max: u64) {
        let outbox_key = self.outbox_key().clone();
        self.stands.turn((outbox_key, state), now, lag_max);
    }

    /// The send, while it waits.
    pub fn waiting(&self) -> Option<&PendingSend> {
        match self.state() {
            State::Waiting(send) => Some(send),
            State::Ended { .. } => None,
        }
    }

    /// How it ended, and when.
    pub fn ended(&self) -> Option<(&Outcome, u64)> {
        match self.state() {
            State::Waiting(_) => None,
            State::Ended { outcome, at, .. } => Some((outcome, *at)),
        }
    }

    /// What operators read of it. Its steps and refusals are not kept.
    pub fn stored(&self, id: &SendId) -> Stored {
        let (send, state) = match self.state() {
            State::Waiting(send) => (send, Stands::Waiting(send.clone())),
            State::Ended { outcome, at, send } => {
                let (outcome, at) = (outcome.clone(), Timestamp::from_millis(*at));
                (send, Stands::Ended { outcome, at })
            }
        };
        let comment = match &send.to {
            Address::Comment { id, .. } => Some(id.clone()),
            Address::Person(_) => None,
        };
        Stored {
            id: id.clone(),
            comment,
            class: send.class,
            content: send.content.clone(),
            trigger: send.trigger(),
            matched_at: send.matched_at,
            outbox_key: self.outbox_key().clone(),
            epoch: send.epoch,
            attempts: send.attempt,
            failures: send.failures,
            steps: Vec::new(),
            last_refusal: None,
            is_forgotten: self.is_forgotten,
            state,
        }
    }
}

/// A mark with its lease.
#[derive(Clone, Debug)]
pub struct Marked {
    version: u64,
    marked_at: Timestamp,
    /// When the account is due for a look.
    pub due: Timestamp,
    lease_until: Option<Timestamp>,
}

/// A value that is written on the condition of its version.
pub trait Versioned: Clone + Default {
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

impl Versioned for EchoWatch {
    fn version(&self) -> u64 {
        self.version
    }

    fn grant(&self) -> GrantId {
        self.grant
    }
}

impl Versioned for MissDay {
    fn version(&self) -> u64 {
        self.version
    }

    fn grant(&self) -> GrantId {
        self.grant
    }
}

/// Whether `next` may be written in the place of `current`: it must be the version before. A failed
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

/// Writes `next` into a table where its version allows it.
pub fn save<K: Ord + Clone, T: Versioned>(
    table: &mut BTreeMap<K, T>,
    key: &K,
    next: &T,
) -> Saved<T> {
    match condition(table.get(key), next) {
        Condition::Failed(current) => return Saved::Conflict(current),
        Condition::Written => {}
        Condition::Holds => {
            table.insert(key.clone(), next.clone());
        }
    }
    Saved::Done
}

impl Tables {
    /// A budget as it stood at `as_of`: an eventual read.
    pub fn budget(&self, account: &AccountId, as_of: u64) -> Budget {
        let seen = self.budgets_seen.get(account).and_then(|budget| budget.at(as_of));
        seen.cloned().unwrap_or_default()
    }

    /// The account's budget has been written.
    pub fn see_budget(&mut self, account: &AccountId, now: u64) {
        let Some(budget) = self.budgets.get(account).cloned() else { return };
        match self.budgets_seen.get_mut(account) {
            Some(past) => past.turn(budget, now, self.lag_max),
            None => drop(self.budgets_seen.insert(account.clone(), Past::new(budget, now))),
        }
    }

    /// Writes the app's budget on the condition of its version.
    pub fn save_app(&mut self, next: &AppBudget) -> Saved<AppBudget> {
        match condition(self.app.as_ref(), next) {
            Condition::Failed(current) => return Saved::Conflict(current),
            Condition::Written => {}
            Condition::Holds => self.app = Some(next.clone()),
        }
        Saved::Done
    }

    /// Writes a budget and where a person's unit lies, or neither.
    pub fn save_moved(
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
    pub fn note_counted(&mut self, account: &AccountId, person: &RecipientId, at: Timestamp) {
        let lies = self.counted.entry((account.clone(), person.clone())).or_insert(at);
        *lies = at.max(*lies);
    }

    /// Writes a new batch.
    pub fn put_batch(&mut self, batch: &OutboxBatch) {
        let batches = self.batches.entry(batch.account.clone()).or_default();
        batches.insert(batch.outbox_key.clone(), batch.clone());
    }

    /// Writes a batch on the condition of its version, or removes it when it has no lines; gives
    /// what was there, or `None` where the condition fails.
    pub fn rewrite(&mut self, next: &OutboxBatch) -> Option<OutboxBatch> {
        let batches = self.batches.get_mut(&next.account)?;
        let stored =
            batches.get(&next.outbox_key).filter(|batch| batch.version + 1 == next.version)?;
        let stored = stored.clone();
        if next.lines.is_empty() {
            batches.remove(&next.outbox_key)
        } else {
            batches.insert(next.outbox_key.clone(), next.clone())
        };
        if batches.is_empty() {
            self.batches.remove(&next.account);
        }
        Some(stored)
    }

    /// An account's batches in order.
    pub fn batches(
        &self,
        account: &AccountId,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Vec<OutboxBatch> {
        let Some(batches) = self.batches.get(account) else { return Vec::new() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let batches = batches.range((from, Bound::Unbounded)).take(limit);
        batches.map(|(_, batch)| batch.clone()).collect()
    }

    /// Whether a batch of its account lists a send at this outbox key.
    pub fn is_listed(&self, send: &SendId, outbox_key: &OutboxKey) -> bool {
        let mut batches = self.batches.get(&send.account).into_iter().flat_map(BTreeMap::values);
        batches.any(|batch| {
            let mut of_event = batch.lines.iter().filter(|line| line.key == send.key);
            of_event.any(|line| batch.key_of(line) == *outbox_key)
        })
    }

    /// Makes an entry for an event that has none.
    pub fn put_entry(&mut self, new: &NewSend, now: u64) -> Recorded {
        let NewSend { outbox_key, send, answered } = new;
        let person = send.id.key.of_person().filter(|_| answered.is_some());
        let person = person.map(|person| (send.id.account.clone(), person));
        match self.entries.get(&send.id) {
            // The write's own, tried again.
            Some(entry) if entry.outbox_key() == outbox_key => Recorded::New,
            Some(_) => Recorded::Duplicate,
            None if person.as_ref().is_some_and(|person| self.answered.contains_key(person)) => {
                Recorded::Duplicate
            }
            None => {
                if let (Some(person), Some(answered)) = (person, answered) {
                    self.answered.insert(person, Past::new(answered.clone(), now));
                }
                self.entries.insert(send.id.clone(), Recording::new(outbox_key, send, now));
                self.waiting += 1;
                Recorded::New
            }
        }
    }

    /// The send, if it waits at this outbox key.
    pub fn waiting_at(&self, outbox_key: &OutboxKey, send: &SendId) -> Option<&PendingSend> {
        self.entries.get(send).filter(|entry| entry.outbox_key() == outbox_key)?.waiting()
    }

    /// Takes a step where the send waits at the task's outbox key and epoch.
    pub fn step(&mut self, task: &SendTask, step: Step, now: u64) -> Option<PendingSend> {
        let send = self.waiting_at(&task.outbox_key, &task.send)?;
        let after = (send.epoch == task.epoch).then(|| send.after(step))?;
        let entry = self.entries.get_mut(&task.send)?;
        entry.turn(State::Waiting(Box::new(after.clone())), now, self.lag_max);
        Some(after)
    }

    /// Ends a send that waits at the task's outbox key; whether it did.
    pub fn end(&mut self, task: &SendTask, outcome: &Outcome, now: u64) -> bool {
        let Some(send) = self.waiting_at(&task.outbox_key, &task.send) else { return false };
        let send = Box::new(send.clone());
        let Some(entry) = self.entries.get_mut(&task.send) else { return false };
        let ended = State::Ended { outcome: outcome.clone(), at: now, send };
        entry.turn(ended, now, self.lag_max);
        self.waiting -= 1;
        true
    }

    /// Ends a send as `guard` says, and makes the entry of what follows if there is none; whether it
    /// did, and whether that is new.
    pub fn end_followed(
        &mut self,
        task: &SendTask,
        outcome: &Outcome,
        guard: EndGuard,
        follower: &NewSend,
        now: u64,
    ) -> (bool, Option<Recorded>) {
        let ended = match guard {
            EndGuard::AnyEpoch => self.end(task, outcome, now),
            EndGuard::SameEpoch => self.end_at_epoch(task, outcome, now),
        };
        (ended, ended.then(|| self.put_entry(follower, now)))
    }

    /// A page of an account's leads.
    pub fn lead_page(
        &self,
        account: &AccountId,
        since: Timestamp,
        now: Timestamp,
        after: Option<&str>,
    ) -> LeadPage {
        let is_next = |sk: &str| after.is_none_or(|after| sk > after);
        let mut found = self.leads.iter().filter(|((of, sk), _)| of == account && is_next(sk));
        let page: Vec<_> = found.by_ref().take(LEADS_OF_PAGE).collect();
        let last = page.last().map(|((_, sk), _)| sk.clone());
        let next = last.filter(|_| found.next().is_some());
        let is_shown = |lead: &&Lead| lead.at >= since && now < lead.kept_until;
        let leads = page.into_iter().map(|(_, lead)| lead).filter(is_shown).cloned();
        LeadPage { leads: leads.collect(), next }
    }

    /// Stores a lead, once; from then on it is untold.
    pub fn store_lead(&mut self, account: &AccountId, lead: &Lead) {
        let sk = keys::lead_sk(&lead.person, &lead.campaign, lead.origin);
        self.untold.insert((account.clone(), sk.clone()), lead.clone());
        self.leads.entry((account.clone(), sk)).or_insert_with(|| lead.clone());
    }

    /// Untold leads, at most `limit`.
    pub fn untold_leads(&self, limit: usize) -> Vec<(AccountId, Lead)> {
        let untold = self.untold.iter().take(limit);
        untold.map(|((account, _), lead)| (account.clone(), lead.clone())).collect()
    }

    /// Notes that a lead was told of.
    pub fn tell_lead(&mut self, account: &AccountId, lead: &Lead) {
        let sk = keys::lead_sk(&lead.person, &lead.campaign, lead.origin);
        self.untold.remove(&(account.clone(), sk));
    }

    /// Deletes leads of an account, of one person or all; how many there were.
    pub fn forget_leads(&mut self, account: &AccountId, person: Option<&RecipientId>) -> usize {
        let before = self.leads.len();
        let stays = |(of, _): &(AccountId, String), lead: &mut Lead| {
            of != account || person.is_some_and(|person| lead.person != *person)
        };
        self.leads.retain(stays);
        self.untold.retain(stays);
        before - self.leads.len()
    }

    /// What is kept of a person's conversations, as it stood at `as_of`.
    pub fn conversation(
        &self,
        account: &AccountId,
        person: &RecipientId,
        as_of: u64,
    ) -> StoredConversation {
        let kept = self.conversations.get(&(account.clone(), person.clone()));
        kept.and_then(|kept| kept.at(as_of)).cloned().unwrap_or_default()
    }

    /// Whether a turnover may be written, before anything of it is.
    pub fn may_turn_over(&self, turnover: &Turnover<'_>) -> TurnedOver {
        let Turnover { account, person, version, cause, .. } = *turnover;
        let kept = self.conversations.get(&(account.clone(), person.clone()));
        if kept.map_or(0, |kept| kept.stands.version) != version {
            return TurnedOver::Conflict;
        }
        let Some((task, cause, _)) = cause else { return TurnedOver::Done };
        let stands = self.waiting_at(&task.outbox_key, &task.send);
        let is_ours = stands.is_some_and(|send| match cause {
            Cause::End(_, EndGuard::AnyEpoch) => true,
            Cause::End(_, EndGuard::SameEpoch) | Cause::Step(_) => send.epoch == task.epoch,
        });
        if is_ours { TurnedOver::Done } else { TurnedOver::MovedOn }
    }

    /// Writes a turnover, or nothing of it.
    pub fn turn_over(&mut self, turnover: &Turnover<'_>, now: u64) -> TurnedOver {
        let turned = self.may_turn_over(turnover);
        if turned != TurnedOver::Done {
            return turned;
        }
        match turnover.cause {
            Some((task, Cause::End(outcome, EndGuard::AnyEpoch), _)) => {
                self.end(task, outcome, now);
            }
            Some((task, Cause::End(outcome, EndGuard::SameEpoch), _)) => {
                self.end_at_epoch(task, outcome, now);
            }
            Some((task, Cause::Step(step), _)) => {
                self.step(task, step, now);
            }
            None => {}
        }
        self.put_conversation(turnover, now);
        for new in turnover.new {
            self.put_entry(new, now);
        }
        turned
    }

    /// Writes the state of a turnover that may be written.
    pub fn put_conversation(&mut self, turnover: &Turnover<'_>, now: u64) {
        let Turnover { account, person, version, next, .. } = *turnover;
        let next = StoredConversation { state: next.clone(), version: version + 1 };
        match self.conversations.entry((account.clone(), person.clone())) {
            Slot::Vacant(slot) => {
                slot.insert(Past::new(next, now));
            }
            Slot::Occupied(mut slot) => slot.get_mut().turn(next, now, self.lag_max),
        }
    }

    /// The people of whose conversations something is kept, in the order of their ids.
    pub fn in_conversation(&self, account: &AccountId) -> impl Iterator<Item = &RecipientId> {
        let people = self.conversations.keys().filter(move |(of, _)| of == account);
        people.map(|(_, person)| person)
    }

    /// What is kept of up to `limit` people of an account, after this one.
    pub fn conversations_after(
        &self,
        account: &AccountId,
        after: Option<&RecipientId>,
        limit: usize,
    ) -> Vec<(RecipientId, conversation::State)> {
        let kept = self
            .conversations
            .iter()
            .filter(|((of, person), _)| of == account && after.is_none_or(|after| person > after));
        let of_person = |((_, person), kept): (&(_, RecipientId), &Past<StoredConversation>)| {
            (person.clone(), kept.stands.state.clone())
        };
        kept.map(of_person).take(limit).collect()
    }

    /// Ends a send that waits at the task's outbox key and epoch; whether it did.
    pub fn end_at_epoch(&mut self, task: &SendTask, outcome: &Outcome, now: u64) -> bool {
        let send = self.waiting_at(&task.outbox_key, &task.send);
        send.is_some_and(|send| send.epoch == task.epoch) && self.end(task, outcome, now)
    }

    /// Ends a send as sent, wherever it stands.
    pub fn close(&mut self, id: &SendId, outcome: &Outcome, now: u64) -> Closed {
        let Some(entry) = self.entries.get_mut(id) else { return Closed::Known };
        let (send, outcome, closed) = match entry.state() {
            State::Ended { outcome: Outcome::Sent { .. }, .. } => return Closed::Known,
            State::Waiting(send) => (send.clone(), outcome.clone(), Closed::Ended),
            State::Ended { send, .. } => {
                let outcome = outcome.without_person().unwrap_or_else(|| outcome.clone());
                (send.clone(), outcome, Closed::Corrected)
            }
        };
        entry.turn(State::Ended { outcome, at: now, send }, now, self.lag_max);
        self.waiting -= usize::from(closed == Closed::Ended);
        closed
    }

    /// Those of these sends that had not ended as sent at `as_of`: an eventual read.
    pub fn unsent(&self, sends: &[SendId], as_of: u64) -> Vec<SendId> {
        let is_unsent = |send: &&SendId| {
            let stood = self.entries.get(*send).and_then(|entry| entry.stands.at(as_of));
            let is_sent =
                |state: &State| matches!(state, State::Ended { outcome: Outcome::Sent { .. }, .. });
            stood.is_some_and(|(_, state)| !is_sent(state))
        };
        sends.iter().filter(is_unsent).cloned().collect()
    }

    /// Whether one of these sends has ended as the message that Meta calls `message`.
    pub fn sent_as(&self, sends: &[SendId], message: &str) -> bool {
        sends.iter().any(|send| {
            let stood = self.entries.get(send).and_then(|entry| entry.stands.at(u64::MAX));
            matches!(stood, Some((_, State::Ended { outcome: Outcome::Sent { message: Some(id), .. }, .. }))
                if id == message)
        })
    }

    /// Lets a send wait again at `outbox_key` that has ended as `old` says; whether it did.
    pub fn reopen(
        &mut self,
        old: &Stored,
        outbox_key: &OutboxKey,
        send: &PendingSend,
        now: u64,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&old.id) else { return false };
        let has_ended_so = entry.stored(&old.id).state == old.state;
        if !has_ended_so || *entry.outbox_key() != old.outbox_key || entry.waiting().is_some() {
            return false;
        }
        let waiting = State::Waiting(Box::new(send.clone()));
        entry.stands.turn((outbox_key.clone(), waiting), now, self.lag_max);
        self.waiting += 1;
        true
    }

    /// Takes the person out of an entry that has ended as `old` says; whether it has.
    pub fn forget(&mut self, old: &Stored, now: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&old.id) else { return false };
        let State::Ended { outcome, at, send } = entry.state() else { return false };
        if !matches!(&old.state, Stands::Ended { at: old, .. } if old.as_millis() == *at) {
            return false;
        }
        if let Some(outcome) = outcome.without_person() {
            let ended = State::Ended { outcome, at: *at, send: send.clone() };
            entry.turn(ended, now, self.lag_max);
        }
        entry.is_forgotten = true;
        true
    }

    /// Those of the keys that had an entry at `as_of`: an eventual read.
    pub fn known(&self, account: &AccountId, keys: &[OnceKey], as_of: u64) -> BTreeSet<OnceKey> {
        let has_entry = |key: &&OnceKey| {
            let send = SendId { account: account.clone(), key: (*key).clone() };
            self.entries.get(&send).is_some_and(|entry| entry.stands.at(as_of).is_some())
        };
        keys.iter().filter(has_entry).cloned().collect()
    }

    /// A person's item as it stood at `as_of`: an eventual read.
    pub fn person(&self, account: &AccountId, person: &RecipientId, as_of: u64) -> Option<Person> {
        let item = (account.clone(), person.clone());
        let answered = self.answered.get(&item)?.at(as_of)?.clone();
        let send = SendId { account: account.clone(), key: OnceKey::person(person) };
        Some(Person { answered, first: self.entry(&send, as_of) })
    }

    /// Replaces what a person was answered, if it still is `before`; whether it was.
    pub fn replace_answered(
        &mut self,
        account: &AccountId,
        person: &RecipientId,
        before: Option<&Answers>,
        after: &Answers,
        now: u64,
    ) -> bool {
        let item = (account.clone(), person.clone());
        match (self.answered.get_mut(&item), before) {
            (None, None) => {
                self.answered.insert(item, Past::new(after.clone(), now));
                true
            }
            (Some(past), Some(before)) if past.stands == *before => {
                past.turn(after.clone(), now, self.lag_max);
                true
            }
            _ => false,
        }
    }

    /// Notes a newer comment for a waiting send, unless a newer one is noted.
    pub fn put_stand_in(&mut self, send: &SendId, stand_in: &StandIn, now: u64) {
        let Some(entry) = self.entries.get_mut(send) else { return };
        let Some(waiting) = entry.waiting() else { return };
        let is_newer = |known: &StandIn| known.deadline < stand_in.deadline;
        if waiting.stand_in.as_ref().is_none_or(is_newer) {
            let stand_in = Some(stand_in.clone());
            let next = PendingSend { stand_in, ..waiting.clone() };
            entry.turn(State::Waiting(Box::new(next)), now, self.lag_max);
        }
    }

    /// An entry as it stood at `as_of`: an eventual read. [`u64::MAX`] makes it a consistent one.
    pub fn entry(&self, send: &SendId, as_of: u64) -> Entry {
        let Some(entry) = self.entries.get(send) else { return Entry::Missing };
        match entry.stands.at(as_of) {
            None => Entry::Missing,
            Some((outbox_key, State::Waiting(send))) => {
                Entry::Waiting(outbox_key.clone(), send.clone())
            }
            Some((outbox_key, State::Ended { .. })) => Entry::Ended(outbox_key.clone()),
        }
    }

    /// The sends of an account that wait.
    pub fn waiting_of(&self, account: &AccountId) -> impl Iterator<Item = &PendingSend> {
        let first = SendId { account: account.clone(), key: OnceKey::new("") };
        let entries = self.entries.range(first..);
        entries
            .take_while(move |(send, _)| send.account == *account)
            .filter_map(|(_, entry)| entry.waiting())
    }

    /// Marks an account.
    pub fn mark(&mut self, account: &AccountId, now: Timestamp) {
        let marked = self.marks.entry(account.clone());
        let blank = Marked { version: 0, marked_at: now, due: now, lease_until: None };
        let marked = marked.or_insert(blank);
        marked.marked_at = now;
        marked.version += 1;
    }

    /// Marks an account that is to be looked at now.
    pub fn wake(&mut self, account: &AccountId, now: Timestamp) {
        self.mark(account, now);
        if let Some(marked) = self.marks.get_mut(account) {
            marked.due = now;
        }
    }

    /// Leases a marked account that is due and whose lease has ended.
    pub fn lease(
        &mut self,
        account: &AccountId,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<BacklogMarker> {
        let marked = self.marks.get_mut(account)?;
        if marked.due > now + DUE_AHEAD || marked.lease_until.is_some_and(|lease| lease >= now) {
            return None;
        }
        marked.lease_until = Some(until);
        marked.version += 1;
        let Marked { version, marked_at, .. } = *marked;
        Some(BacklogMarker { version, marked_at, lease_until: until })
    }

    /// Ends a lease on the condition of the mark's version: due again, or unmarked where `due` is
    /// `None`.
    pub fn settle(
        &mut self,
        account: &AccountId,
        mark: &BacklogMarker,
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
    pub fn end_lease(&mut self, account: &AccountId, lease_until: Timestamp) {
        if let Some(marked) = self.marks.get_mut(account)
            && marked.lease_until == Some(lease_until)
        {
            marked.lease_until = None;
        }
    }
}

/// What settling came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The mark stays, due at another time.
    Due,
    /// The mark is gone.
    Unmarked,
    /// Somebody marked or leased the account meanwhile.
    Refused,
}
