//! The ports: what the use cases need from the world, each trait the size of its callers.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use spillway_core::app::AppBudget;
use spillway_core::budget::Budget;
use spillway_core::id::{AccountId, CommentId, EventId, RecipientId, SendId};
use spillway_core::pace::Cursor;
use spillway_core::send::{Outcome, Step, Waiting};
use spillway_core::time::Timestamp;
use spillway_meta::graph::{CallError, CommentTime, Sent};

use crate::account::Account;
use crate::ticket::{Place, Ticket};

/// A store or queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It did not answer, or not in time, or is throttled: trying again later helps.
    #[error("{what}: {detail}")]
    Unavailable {
        /// The operation.
        what: &'static str,
        /// What it said.
        detail: String,
    },
    /// What is stored cannot be read: trying again does not help.
    #[error("{what}: the stored value cannot be read: {detail}")]
    Corrupt {
        /// The operation.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
}

impl StoreError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// The outcome of a write on a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved<T> {
    /// Written; or found to have been written already, by its grant id.
    Done,
    /// Somebody else wrote in between: this is what stands now.
    Conflict(T),
}

/// Connected accounts.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// The account, or `None` when it is not connected.
    async fn load(&self, account: &AccountId) -> Result<Option<Account>, StoreError>;
}

/// Budgets, one an account.
#[async_trait]
pub trait Budgets: Send + Sync {
    /// The budget as it stands (consistently read); the default one where none was written.
    async fn load(&self, account: &AccountId) -> Result<Budget, StoreError>;

    /// Writes `next` if the stored version is the one before it.
    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError>;

    /// Writes `next` as [`Self::save`] does, and that a person's unit now lies where `moved` says, in
    /// one transaction: neither is written if the unit is not where it was any more.
    async fn save_moved(
        &self,
        account: &AccountId,
        next: &Budget,
        moved: &Moved<'_>,
    ) -> Result<Saved<Budget>, StoreError>;

    /// Where the unit of a person lies who was written to before (consistently read).
    async fn counted_at(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// Notes where the unit of a person lies who was written to, unless a later one is known. Lost, it
    /// makes them a new person the next time, which is safe.
    async fn note_counted(
        &self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<(), StoreError>;
}

/// A person's unit that is counted from another instant on.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    /// The person.
    pub person: &'a RecipientId,
    /// Where it lay.
    pub from: Timestamp,
    /// Where it lies.
    pub to: Timestamp,
}

/// The budget of the whole app.
#[async_trait]
pub trait AppBudgets: Send + Sync {
    /// The budget as it stands (consistently read); the default one where none was written.
    async fn load(&self) -> Result<AppBudget, StoreError>;

    /// Writes `next` if the stored version is the one before it.
    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError>;
}

/// Pace cursors, one an account.
#[async_trait]
pub trait Cursors: Send + Sync {
    /// The cursor as it stands (consistently read); the default one where none was written.
    async fn load(&self, account: &AccountId) -> Result<Cursor, StoreError>;

    /// Writes `next` if the stored version is the one before it.
    async fn save(&self, account: &AccountId, next: &Cursor) -> Result<Saved<Cursor>, StoreError>;
}

/// What recording a send came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is recorded, for good, at its place.
    New,
    /// Its event was recorded before; nothing is left of this one.
    Duplicate,
}

/// How a read sees what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of it.
    Consistent,
    /// As it stood some moments ago, for half of the price.
    Eventual,
}

/// What is known of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing: it was never recorded to its end.
    Missing,
    /// Its send waits, at this place.
    Waiting(Place),
    /// Its send has ended.
    Ended,
}

/// Sends: an entry for each event that was ever matched, and the waiting ones at their places.
///
/// A waiting send is written *before* its entry, so that a crash between the two leaves something
/// that the release function finds. The entry decides which of two recordings of one event lives.
#[async_trait]
pub trait Sends: Send + Sync {
    /// Those of `events` that have an entry. May lag: only good for sparing work.
    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError>;

    /// Records sends of one account. Answers in the order given. On an error some may be recorded
    /// and others not; recording all again is right.
    async fn record(&self, sends: &[(Place, Waiting)]) -> Result<Vec<Recorded>, StoreError>;

    /// Takes `step` if the send still stands at the ticket's epoch, and gives the send after it;
    /// `None` when it has moved on or ended.
    async fn step(&self, ticket: &Ticket, step: Step) -> Result<Option<Waiting>, StoreError>;

    /// Ends a send that the caller has claimed: first in its entry, then at its place.
    async fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Ends a send that nobody has claimed, if it still stands at the ticket's epoch: entry and
    /// place at once. Says whether it did.
    async fn finish_unclaimed(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// The entries of sends of one account, in the order given.
    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError>;

    /// Makes the entry for a waiting send that has none. `Duplicate` when another has one.
    async fn adopt(&self, place: &Place, send: &Waiting) -> Result<Recorded, StoreError>;

    /// Removes a waiting send that its entry does not point at, or that has ended.
    async fn discard(&self, place: &Place, send: &SendId) -> Result<(), StoreError>;

    /// Waiting sends of one part of the account in the order of their places, consistently read:
    /// up to `limit` of those behind `after`.
    async fn waiting(
        &self,
        account: &AccountId,
        shard: u8,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<(Place, Waiting)>, StoreError>;
}

/// A message for the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// What it says.
    pub ticket: Ticket,
    /// How long it stays hidden: whole seconds, rounded up, at most 15 minutes.
    pub delay: Duration,
}

/// The queue of sends that have a slot.
#[async_trait]
pub trait SendQueue: Send + Sync {
    /// Puts messages on the queue; answers for each in the order given.
    async fn enqueue(&self, messages: &[Queued]) -> Vec<Result<(), StoreError>>;

    /// Puts a message that nobody can read where people look for such: the dead-letter queue.
    async fn bury(&self, body: &str) -> Result<(), StoreError>;
}

/// The queue of accounts to release.
#[async_trait]
pub trait ReleaseQueue: Send + Sync {
    /// One message for each account.
    async fn enqueue(&self, accounts: &[AccountId]) -> Result<(), StoreError>;
}

/// A mark that an account has waiting sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Changes with every marking.
    pub version: u64,
    /// When it was last marked.
    pub marked_at: Timestamp,
    /// Until when this run has the account. It tells its lease from a later one.
    pub lease_until: Timestamp,
}

/// Which accounts have waiting sends, and when the release function should look at them.
#[async_trait]
pub trait Backlogs: Send + Sync {
    /// Marks the account. It is looked at as soon as it is due: as of `now` where it had no mark.
    async fn mark(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError>;

    /// Marks the account, to be looked at as of `now`: something other than its backlog has changed.
    async fn wake(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError>;

    /// All marked accounts with the instant they are due.
    async fn marked(&self) -> Result<Vec<(AccountId, Timestamp)>, StoreError>;

    /// Takes the account for one run until `until`; `None` when it is taken or not marked.
    async fn lease(
        &self,
        account: &AccountId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Mark>, StoreError>;

    /// Ends the run: due again at `due`, or unmarked. When the account was marked again in the
    /// meantime, only the lease ends, if it is still this run's.
    async fn settle(
        &self,
        account: &AccountId,
        mark: &Mark,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError>;
}

/// Meta's Graph API, as far as delivering goes. Each call gives up after `timeout`.
#[async_trait]
pub trait Graph: Send + Sync {
    /// Makes ready for calls of the account: opens its token. Done before a unit is taken, so that
    /// no grant runs out over it.
    async fn prepare(&self, account: &Account) -> Result<(), StoreError>;

    /// Answers a comment with a DM.
    async fn private_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        text: &str,
        timeout: Duration,
    ) -> Result<Sent, CallError>;

    /// Writes to a person who has written within the last day.
    async fn message(
        &self,
        account: &Account,
        recipient: &RecipientId,
        text: &str,
        timeout: Duration,
    ) -> Result<Sent, CallError>;

    /// Asks when a comment on the account's media was made.
    async fn comment_timestamp(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<CommentTime, CallError>;
}
