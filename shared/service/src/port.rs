//! The ports: what the use cases need from the world, each trait the size of its callers.
//!
//! A read may lag where a condition decides, because an eventual read costs half. A decision
//! may begin with an old budget: the write on its version then fails, and a denial is checked
//! by a consistent read. That a send has ended at its place never changes. A send that seems
//! parked gets a slot; if it has moved on, its message names an old epoch. All other reads are
//! consistent.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, Revision};
use spillway_core::id::{AccountId, CommentId, EventId, MediaId, RecipientId, SendId};
use spillway_core::journal::JournalEntry;
use spillway_core::pace::Cursor;
use spillway_core::send::{Outcome, Step, Waiting};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_core::upkeep::{TokenLife, Upkeep};
use spillway_meta::graph::{
    self, Answered, CallError, CommentItem, CommentTime, Me, MediaItem, Sent, Subscription,
};

use crate::account::{Account, SealedToken};
use crate::page::Page;
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

/// How a read sees what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of it.
    Consistent,
    /// As it stood some moments ago, for half of the price.
    Eventual,
}

/// Connected accounts.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// The account, or `None` when it is not connected.
    async fn read(&self, account: &AccountId, how: Read) -> Result<Option<Account>, StoreError>;

    /// The same as it is stored now.
    async fn load(&self, account: &AccountId) -> Result<Option<Account>, StoreError> {
        self.read(account, Read::Consistent).await
    }

    /// How many times the account has been changed, as it stood some moments ago; `None` when it
    /// was not connected.
    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError>;
}

/// Budgets, one an account.
#[async_trait]
pub trait Budgets: Send + Sync {
    /// The budget; the default one where none was written.
    async fn read(&self, account: &AccountId, how: Read) -> Result<Budget, StoreError>;

    /// The same as it is stored now.
    async fn load(&self, account: &AccountId) -> Result<Budget, StoreError> {
        self.read(account, Read::Consistent).await
    }

    /// Writes `next` if the stored version is the one before it.
    async fn save(&self, account: &AccountId, next: &Budget) -> Result<Saved<Budget>, StoreError>;

    /// Writes `next` as [`Self::save`] does, and that a person's unit now lies where `moved` says,
    /// in one transaction: neither is written if the unit is not where it was any more.
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

    /// Notes where the unit of a person lies who was written to, unless a later one is known. Lost,
    /// it makes them a new person the next time, which is safe.
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
    /// It is recorded, for good.
    New,
    /// Its event was recorded before; nothing is left of this one.
    Duplicate,
}

/// What is known of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing: it was never recorded to its end.
    Missing,
    /// Its send waits, with this place.
    Waiting(Place, Box<Waiting>),
    /// Its send has ended, which had this place.
    Ended(Place),
    /// It cannot be read: damaged, or of a later version. It is logged, and must not keep others
    /// from being sent.
    Unreadable,
}

impl Entry {
    /// The send, if it waits with this place. Once it does not, no later read finds it there again:
    /// a send that is brought back has a new place.
    pub fn waiting_at(self, place: &Place) -> Option<Waiting> {
        match self {
            Self::Waiting(at, send) if at == *place => Some(*send),
            Self::Missing | Self::Waiting(..) | Self::Ended(_) | Self::Unreadable => None,
        }
    }
}

/// Sends: an entry for each event that was ever matched, and pages that list those that may wait.
///
/// A page is written *before* the entries of its sends, so that whatever waits is found by the
/// release function. The entry decides which of two recordings of one event lives.
#[async_trait]
pub trait Sends: Send + Sync {
    /// Those of `events` that have an entry. May lag: only good for sparing work.
    async fn known(
        &self,
        account: &AccountId,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, StoreError>;

    /// Writes new pages.
    async fn put_pages(&self, pages: &[Page]) -> Result<(), StoreError>;

    /// Makes the entries of sends of one account that a page lists; answers for each in the order
    /// given. One that failed may be recorded all the same; recording it again is right.
    async fn record(&self, sends: &[(Place, Waiting)]) -> Vec<Result<Recorded, StoreError>>;

    /// Takes `step` if the send still waits at the ticket's place and epoch, and gives the send
    /// after it; `None` when it has moved on or ended. `at` is only kept for people to read.
    async fn step(
        &self,
        ticket: &Ticket,
        step: Step,
        at: Timestamp,
    ) -> Result<Option<Waiting>, StoreError>;

    /// Ends a send that the caller has claimed, wherever it has come to since.
    async fn finish(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Ends a send that nobody has claimed, if it still stands at the ticket's epoch. Says whether
    /// it did.
    async fn finish_unclaimed(
        &self,
        ticket: &Ticket,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// The entries of sends of one account, in the order given.
    async fn entries(&self, sends: &[SendId], read: Read) -> Result<Vec<Entry>, StoreError>;

    /// The account's pages in the order of their places, consistently read: up to `limit` of those
    /// behind `after`.
    async fn pages(
        &self,
        account: &AccountId,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Page>, StoreError>;

    /// Writes `next` if the stored version is the one before it; without lines the page goes. Says
    /// whether it did. Of several callers at most one is told so; if the answer to a removal was
    /// lost, none is.
    async fn rewrite(&self, next: &Page) -> Result<bool, StoreError>;
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

/// By how much the clock of whoever found an account due may be ahead of the clock of its run.
pub const DUE_AHEAD: Duration = Duration::from_secs(2 * CLOCK_BOUND.as_secs());

/// Which accounts have waiting sends, and when the release function should look at them.
#[async_trait]
pub trait Backlogs: Send + Sync {
    /// Marks the account. It is looked at as soon as it is due: as of `now` where it had no mark.
    async fn mark(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError>;

    /// Marks the account, to be looked at as of `now`: something other than its backlog has
    /// changed.
    async fn wake(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError>;

    /// All marked accounts with the instant they are due.
    async fn marked(&self) -> Result<Vec<(AccountId, Timestamp)>, StoreError>;

    /// Takes the account for one run until `until`; `None` when it is taken, not marked, or due
    /// later than [`DUE_AHEAD`] from `now`: what asked for the run has had one.
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

/// The accounts' journals: what happened to each, for people to read. Nothing is decided on them,
/// so a line that could not be written is logged and no more.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Writes a line down. The same line written twice is there once.
    async fn append(&self, entry: &JournalEntry) -> Result<(), StoreError>;

    /// The newest lines of an account, `since` at the earliest, the newest first; at most `limit`.
    async fn list(
        &self,
        account: &AccountId,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError>;
}

/// When webhooks last told of an account.
#[async_trait]
pub trait Hearing: Send + Sync {
    /// A webhook has told of the account.
    async fn heard(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError>;
}

/// What upkeep knows of accounts, for whoever only looks.
#[async_trait]
pub trait Standings: Send + Sync {
    /// What it knows; `None` of an account that is not on its list.
    async fn standing(&self, account: &AccountId) -> Result<Option<Standing>, StoreError>;

    /// The accounts on its list, by id: every one that was connected and not removed since.
    async fn accounts(&self) -> Result<Vec<AccountId>, StoreError>;
}

/// The accounts that upkeep visits, and what it knows of each.
#[async_trait]
pub trait Roster: Hearing {
    /// Puts the account on the list, due at once.
    async fn enroll(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError>;

    /// Accounts that are due, those that have waited longest first, each with the instant it is
    /// due.
    async fn due(&self, now: Timestamp) -> Result<Vec<(AccountId, Timestamp)>, StoreError>;

    /// Takes an account that is due at `due` for one visit: it is due again at `until`. `None` when
    /// another run has it.
    async fn visit(
        &self,
        account: &AccountId,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Standing>, StoreError>;

    /// Writes down what is known now, while the visit goes on.
    async fn note(&self, account: &AccountId, upkeep: &Upkeep) -> Result<(), StoreError>;

    /// Ends the visit that was to last `until`: due again at `due`, unless somebody has asked for
    /// something meanwhile.
    async fn settle(
        &self,
        account: &AccountId,
        until: Timestamp,
        upkeep: &Upkeep,
        due: Timestamp,
    ) -> Result<(), StoreError>;

    /// Asks for something; the account is due at once.
    async fn ask(&self, account: &AccountId, wish: &Wish, now: Timestamp)
    -> Result<(), StoreError>;

    /// Writes down by which id the app alone, and so Meta's requests, name an account of the list.
    async fn alias(&self, account: &AccountId, app_scoped: &str) -> Result<(), StoreError>;

    /// Takes the account off the list, and every id that was written down by which an app names it.
    async fn strike_off(&self, account: &AccountId) -> Result<(), StoreError>;
}

/// What is asked of upkeep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To read the comments of the last seven days.
    Backfill,
    /// To take note that the account's owner has removed the app.
    Deauthorize,
    /// To delete the account, under a code by which its owner asks how that goes.
    Delete {
        /// The code.
        code: String,
    },
}

/// An account as a visit finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What the last visit has left.
    pub upkeep: Upkeep,
    /// When a webhook last told of it; up to an hour late.
    pub last_heard: Option<Timestamp>,
    /// When a backfill was last asked for.
    pub backfill_asked_at: Option<Timestamp>,
    /// When its owner last removed the app.
    pub deauthorized_at: Option<Timestamp>,
    /// Its deletion is asked for, under this code.
    pub delete: Option<String>,
}

/// The tokens of accounts with what is known of their lives.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// The token in use, and the next one if there is one; `None` when the account is not
    /// connected.
    async fn load(&self, account: &AccountId) -> Result<Option<KeptToken>, StoreError>;

    /// Writes down when the token in use was obtained and when it ends.
    async fn note_life(
        &self,
        account: &AccountId,
        token: &SealedToken,
        life: TokenLife,
    ) -> Result<(), StoreError>;

    /// Stores the next token beside the one in use. `false` when that is another one by now.
    async fn keep_next(
        &self,
        account: &AccountId,
        token: &SealedToken,
        next: &NextToken,
    ) -> Result<bool, StoreError>;

    /// The next token has worked: it takes the place of the one in use. `false` when there is
    /// another one by now.
    async fn swap(&self, account: &AccountId, next: &NextToken) -> Result<bool, StoreError>;

    /// The next token does not work: it is forgotten.
    async fn drop_next(&self, account: &AccountId, next: &NextToken) -> Result<(), StoreError>;
}

/// A stored token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptToken {
    /// The one in use.
    pub token: SealedToken,
    /// Its life.
    pub life: TokenLife,
    /// The one that is to take its place.
    pub next: Option<NextToken>,
}

/// A token that has not been used yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextToken {
    /// The token.
    pub token: SealedToken,
    /// Its life.
    pub life: TokenLife,
}

/// Takes an account out of the deployment: settings, token and campaigns. What waits of it is then
/// cancelled by release.
#[async_trait]
pub trait Removal: Send + Sync {
    /// Removes it. Removing it again is right.
    async fn remove(&self, account: &AccountId) -> Result<(), StoreError>;

    /// Notes that a deletion which was asked for under `code` is done.
    async fn deleted(&self, code: &str, now: Timestamp) -> Result<(), StoreError>;
}

/// Meta's Graph API, as far as upkeep goes. Each call gives up after `timeout`.
#[async_trait]
pub trait AccountGraph: Send + Sync {
    /// Makes ready for calls with the token, so that no grant runs out over it.
    async fn prepare(&self, account: &AccountId, token: &SealedToken) -> Result<(), StoreError>;

    /// The next token, sealed, and for how long it is good.
    async fn refresh(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<(SealedToken, Option<Duration>)>, CallError>;

    /// Whom the token is for.
    async fn me(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Me>, CallError>;

    /// Looks into its conversations, which only who may send messages can.
    async fn conversations(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<()>, CallError>;

    /// Which webhooks the account is subscribed to.
    async fn subscription(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Subscription>, CallError>;

    /// Subscribes it to these.
    async fn subscribe(
        &self,
        account: &AccountId,
        token: &SealedToken,
        fields: &[&str],
        timeout: Duration,
    ) -> Result<Answered<()>, CallError>;

    /// Its newest media.
    async fn media(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<graph::Page<MediaItem>>, CallError>;

    /// A page of a media's comments.
    async fn comments(
        &self,
        account: &AccountId,
        token: &SealedToken,
        media: &MediaId,
        after: Option<&str>,
        timeout: Duration,
    ) -> Result<Answered<graph::Page<CommentItem>>, CallError>;
}
