//! Sends, the queues that carry them, and the marks of accounts that have some.

use super::{Read, StoreError};
use crate::outbox_batch::OutboxBatch;
use crate::outbox_key::OutboxKey;
use crate::send_task::SendTask;
use async_trait::async_trait;
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, OnceKey, RecipientId, SendId};
use spillway_core::once::Answers;
use spillway_core::send::{Outcome, PendingSend, StandIn, Step};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A mark stays at least this long after the account was last marked, so that a process that has
/// marked it lately need not do so again.
pub const MARK_KEPT: Duration = Duration::from_secs(600);

/// The result of recording a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The send is recorded.
    New,
    /// It was recorded before, so this recording has no effect.
    Duplicate,
}

/// What is known of what may happen only once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// There is no entry: it was never recorded, or not to its end.
    Missing,
    /// Its send waits at this outbox key.
    Waiting(OutboxKey, Box<PendingSend>),
    /// Its send, which was listed at this outbox key, has ended.
    Ended(OutboxKey),
    /// It cannot be read: it is damaged, or was written by a later version. This is logged, and
    /// must not keep other sends from going out.
    Unreadable,
}

impl Entry {
    /// Returns the send if it waits at this outbox key. Once it does not, no later read finds it
    /// there again: a retried send has a new outbox key.
    pub fn waiting_at(self, outbox_key: &OutboxKey) -> Option<PendingSend> {
        match self {
            Self::Waiting(at, send) if at == *outbox_key => Some(*send),
            Self::Missing | Self::Waiting(..) | Self::Ended(_) | Self::Unreadable => None,
        }
    }
}

/// A send to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSend {
    /// Where a batch lists it.
    pub outbox_key: OutboxKey,
    /// The send.
    pub send: PendingSend,
    /// What its person is answered, where its entry is the person's own item.
    pub answered: Option<Answers>,
}

/// What is known before a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    /// Those of the keys that have an entry.
    pub keys: HashSet<OnceKey>,
    /// The people who have an item.
    pub people: HashMap<RecipientId, Person>,
}

/// A person's item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What the person was answered.
    pub answered: Answers,
    /// The first send to the person; missing where all are kept elsewhere.
    pub first: Entry,
}

/// Where a send must be when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndGuard {
    /// At any epoch of the task's outbox key: its caller has claimed it, or its message was seen.
    AnyEpoch,
    /// At the task's epoch: nobody has claimed it.
    SameEpoch,
}

/// What became of a send whose message was seen to have reached its person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It waited, and has ended as sent.
    Ended,
    /// It had ended otherwise, and counts as sent now.
    Corrected,
    /// Nothing was changed: it counted as sent already, or there is no such send.
    Known,
}

/// Sends: an entry for each key that was ever asked for, and batches that list those that may wait.
///
/// A batch is written *before* the entries of its sends, so that everything that waits is found by
/// the release function. The entry decides which of two recordings of one send lives.
#[async_trait]
pub trait Sends: Send + Sync {
    /// Returns those of `keys` that have an entry, and what is known of `people`.
    async fn look_up(
        &self,
        account: &AccountId,
        keys: &[OnceKey],
        people: &[RecipientId],
        read: Read,
    ) -> Result<Lookup, StoreError>;

    /// Replaces what a person was answered, if it still is `before`; `None` where the person has no
    /// item or it does not tell. Returns whether it was. If the answer is lost, ask again: a repeat
    /// is refused.
    async fn replace_answered(
        &self,
        account: &AccountId,
        person: &RecipientId,
        before: Option<&Answers>,
        after: &Answers,
    ) -> Result<bool, StoreError>;

    /// Notes a newer comment for a waiting send, unless a newer one is noted. The entry is kept
    /// until `expires_at` at least.
    async fn put_stand_in(
        &self,
        send: &SendId,
        stand_in: &StandIn,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Writes new batches.
    async fn put_batches(&self, batches: &[OutboxBatch]) -> Result<(), StoreError>;

    /// Makes the entries of sends of one account that a batch lists. Returns the results in the
    /// given order. A send whose result is an error may be recorded all the same; record it again.
    async fn record(&self, sends: &[NewSend]) -> Vec<Result<Recorded, StoreError>>;

    /// Takes `step` if the send still waits at the task's outbox key and epoch, and returns the
    /// send after the step. Returns `None` if it has moved on or ended. `note` is kept for people
    /// to read.
    async fn step(
        &self,
        task: &SendTask,
        step: Step,
        note: StepNote<'_>,
    ) -> Result<Option<PendingSend>, StoreError>;

    /// Ends a send that the caller has claimed, even if it has moved on since. Returns whether it
    /// did: its echo may have ended it before.
    async fn finish(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
    ) -> Result<bool, StoreError>;

    /// Ends a send as [`finish`](Self::finish) or [`finish_unclaimed`](Self::finish_unclaimed) does,
    /// and records the send that follows from its end: both, or neither. If what follows has an
    /// entry already, it only ends the send. A batch lists what follows before.
    async fn finish_followed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
        guard: EndGuard,
        follower: &NewSend,
    ) -> Result<bool, StoreError>;

    /// Ends a send as sent, wherever it stands, because its message was seen. Of one that had ended
    /// otherwise, which may have been forgotten since, the outcome names no person and no message.
    async fn close(
        &self,
        send: &SendId,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<Closed, StoreError>;

    /// Ends a send that nobody has claimed, if it is still at the task's epoch. Returns whether
    /// it was.
    async fn finish_unclaimed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Returns those of `sends` that have an entry and have not ended as sent. The read may lag, so
    /// this only saves work.
    async fn unsent(&self, sends: &[SendId]) -> Result<Vec<SendId>, StoreError>;

    /// Whether one of these sends of one account has ended as the message that Meta calls `message`
    /// (consistently read).
    async fn sent_as(&self, sends: &[SendId], message: &str) -> Result<bool, StoreError>;

    /// Returns the entries of sends of one account, in the given order.
    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError>;

    /// Returns up to `limit` of the account's batches after `after`, in the order of their keys
    /// (consistently read).
    async fn batches(
        &self,
        account: &AccountId,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxBatch>, StoreError>;

    /// Writes `next` if the stored version is the one before it, or deletes the batch if `next` has
    /// no lines. Returns whether it did. At most one of several callers gets `true`; if the answer
    /// to a removal is lost, none does.
    async fn rewrite(&self, next: &OutboxBatch) -> Result<bool, StoreError>;
}

/// A message for the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The send that it names.
    pub task: SendTask,
    /// How long it stays hidden: whole seconds, rounded up, at most 15 minutes.
    pub delay: Duration,
}

/// The queue of sends that have a slot.
#[async_trait]
pub trait SendQueue: Send + Sync {
    /// Puts messages on the queue. Returns the results in the given order.
    async fn enqueue(&self, messages: &[Queued]) -> Vec<Result<(), StoreError>>;

    /// Moves a message that cannot be read to the dead-letter queue.
    async fn dead_letter(&self, body: &str) -> Result<(), StoreError>;
}

/// The queue of accounts to release.
#[async_trait]
pub trait ReleaseQueue: Send + Sync {
    /// One message for each account.
    async fn enqueue(&self, accounts: &[AccountId]) -> Result<(), StoreError>;
}

/// A mark that an account has waiting sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacklogMarker {
    /// The version of the marker, raised by every marking.
    pub version: u64,
    /// The instant when it was last marked.
    pub marked_at: Timestamp,
    /// The end of this run's lease, which also tells it from a later lease.
    pub lease_until: Timestamp,
}

/// The greatest lead of the clock that found an account due over the clock of its run.
pub const DUE_AHEAD: Duration = Duration::from_secs(2 * CLOCK_BOUND.as_secs());

/// Which accounts have waiting sends, and when the release function should look at them.
#[async_trait]
pub trait Backlogs: Send + Sync {
    /// Marks the account. An account without a marker is due at `now`; otherwise its due time
    /// stays.
    async fn mark(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError>;

    /// Marks the account, due at `now`, because something other than its backlog has changed.
    async fn wake(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError>;

    /// Returns all marked accounts, each with the instant at which it is due.
    async fn marked(&self) -> Result<Vec<(AccountId, Timestamp)>, StoreError>;

    /// Takes the account for one run until `until`. Returns `None` if another run has it, if it is
    /// not marked, or if it is due later than [`DUE_AHEAD`] from `now`, because it has had its run.
    async fn lease(
        &self,
        account: &AccountId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<BacklogMarker>, StoreError>;

    /// Ends the run. The account is due again at `due`, or loses its mark. If it was marked again
    /// in the meantime, only the lease ends, if it is still this run's.
    async fn settle(
        &self,
        account: &AccountId,
        mark: &BacklogMarker,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError>;
}
