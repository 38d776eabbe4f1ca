//! The ports: what the use cases need from the world, each trait the size of its callers.
//!
//! A read may lag where a condition decides, because an eventual read costs half. A decision
//! may begin with an old budget: the write on its version then fails, and a denial is checked
//! by a consistent read. That a send has ended at its outbox key never changes. A send that seems
//! parked gets a slot; if it has moved on, its message names an old epoch. All other reads are
//! consistent.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use spillway_core::app::AppBudget;
use spillway_core::budget::{Budget, Revision};
use spillway_core::campaign::{Campaign, Running};
use spillway_core::history::StepNote;
use spillway_core::id::{AccountId, CampaignId, CommentId, MediaId, OnceKey, RecipientId, SendId};
use spillway_core::journal::JournalEntry;
use spillway_core::pace::Cursor;
use spillway_core::rules::Rules;
use spillway_core::send::{Outcome, PendingSend, Step};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_core::upkeep::{TokenLife, Upkeep};
use spillway_meta::graph::{
    self, Answered, CallError, CommentItem, Me, MediaItem, Sent, Subscription,
};

use crate::account::{Account, SealedToken};
use crate::outbox_batch::OutboxBatch;
use crate::outbox_key::OutboxKey;
use crate::send_task::SendTask;

pub use crate::store_error::{Failure, FailureKind, StoreError};

/// The outcome of a write on a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved<T> {
    /// Written; or found to have been written already, by its grant id.
    Done,
    /// Somebody else wrote in between: this is what is stored now.
    Conflict(T),
}

/// How a read sees what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of it.
    Consistent,
    /// As it is stored now, or was a moment ago: an eventually consistent read, at half the read
    /// units.
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

/// Changes to connected accounts. Each raises the account's revision, so that no process decides by
/// what it remembers of an earlier one.
#[async_trait]
pub trait AccountChanges: Send + Sync {
    /// Connects an account, or replaces the limits and the token of a connected one. Its campaigns
    /// are added or replaced; one that is paused stays paused. They are written before the
    /// account, so that no comment finds an account without them. Repeating it is safe.
    async fn connect(
        &self,
        account: &AccountId,
        rules: &Rules,
        token: &SealedToken,
        campaigns: &[Campaign],
    ) -> Result<(), StoreError>;

    /// Changes the limits of a connected account. Returns `false` if it is not connected.
    async fn set_rules(&self, account: &AccountId, rules: &Rules) -> Result<bool, StoreError>;

    /// Adds or replaces the campaigns `put`, and deletes those `removed`, whose waiting sends are
    /// cancelled when their slots come. Returns `false` if the account is not connected. A campaign
    /// and the account's revision change together. After an error some may be changed; repeating
    /// it is safe.
    async fn change_campaigns(
        &self,
        account: &AccountId,
        put: &[Campaign],
        removed: &[CampaignId],
    ) -> Result<bool, StoreError>;

    /// Pauses or resumes a campaign. Returns `false` if the account has no such campaign.
    async fn set_running(
        &self,
        account: &AccountId,
        campaign: &CampaignId,
        running: Running,
    ) -> Result<bool, StoreError>;

    /// Makes the stored settings of an account known to all that decide by them, which every
    /// change does at its end. Without it they are known within
    /// [`REMEMBERED`](crate::account_cache::REMEMBERED). Does nothing if the account is not
    /// connected.
    async fn announce(&self, account: &AccountId) -> Result<(), StoreError>;
}

/// A mark stays at least this long after the account was last marked, so that a process that has
/// marked it lately need not do so again.
pub const MARK_KEPT: Duration = Duration::from_secs(600);

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

    /// Writes `next` as [`Self::save`] does, and moves a person's unit as `moved` says, in one
    /// transaction. Neither is written if the unit has been moved by somebody else.
    async fn save_moved(
        &self,
        account: &AccountId,
        next: &Budget,
        moved: &Moved<'_>,
    ) -> Result<Saved<Budget>, StoreError>;

    /// Returns the instant at which a person's unit was counted, if the person was written to
    /// before (consistently read).
    async fn counted_at(
        &self,
        account: &AccountId,
        person: &RecipientId,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// Notes the instant at which a person's unit was counted, unless a later one is known. If the
    /// note is lost, the person counts as new the next time, which is safe.
    async fn note_counted(
        &self,
        account: &AccountId,
        person: &RecipientId,
        at: Timestamp,
    ) -> Result<(), StoreError>;
}

/// A person's unit that moves to a later instant.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    /// The person.
    pub person: &'a RecipientId,
    /// The instant at which it was counted.
    pub from: Timestamp,
    /// The instant at which it is counted now.
    pub to: Timestamp,
}

/// The budget of the whole app.
#[async_trait]
pub trait AppBudgets: Send + Sync {
    /// Returns the budget (consistently read), or the default one if none was written.
    async fn load(&self) -> Result<AppBudget, StoreError>;

    /// Writes `next` if the stored version is the one before it.
    async fn save(&self, next: &AppBudget) -> Result<Saved<AppBudget>, StoreError>;
}

/// Pace cursors, one for each account.
#[async_trait]
pub trait Cursors: Send + Sync {
    /// Returns the cursor (consistently read), or the default one if none was written.
    async fn load(&self, account: &AccountId) -> Result<Cursor, StoreError>;

    /// Writes `next` if the stored version is the one before it.
    async fn save(&self, account: &AccountId, next: &Cursor) -> Result<Saved<Cursor>, StoreError>;
}

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

/// Sends: an entry for each key that was ever asked for, and batches that list those that may wait.
///
/// A batch is written *before* the entries of its sends, so that everything that waits is found by
/// the release function. The entry decides which of two recordings of one send lives.
#[async_trait]
pub trait Sends: Send + Sync {
    /// Returns those of `keys` that have an entry. The read may lag, so this only saves work.
    async fn known(
        &self,
        account: &AccountId,
        keys: &[OnceKey],
    ) -> Result<HashSet<OnceKey>, StoreError>;

    /// Writes new batches.
    async fn put_batches(&self, batches: &[OutboxBatch]) -> Result<(), StoreError>;

    /// Makes the entries of sends of one account that a batch lists. Returns the results in the
    /// given order. A send whose result is an error may be recorded all the same; record it again.
    async fn record(&self, sends: &[(OutboxKey, PendingSend)])
    -> Vec<Result<Recorded, StoreError>>;

    /// Takes `step` if the send still waits at the task's outbox key and epoch, and returns the
    /// send after the step. Returns `None` if it has moved on or ended. `note` is kept for people
    /// to read.
    async fn step(
        &self,
        task: &SendTask,
        step: Step,
        note: StepNote<'_>,
    ) -> Result<Option<PendingSend>, StoreError>;

    /// Ends a send that the caller has claimed, even if it has moved on since.
    async fn finish(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        note: StepNote<'_>,
    ) -> Result<(), StoreError>;

    /// Ends a send that nobody has claimed, if it is still at the task's epoch. Returns whether
    /// it was.
    async fn finish_unclaimed(
        &self,
        task: &SendTask,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

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
    /// When it was last marked.
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

/// The calls to Meta's Graph API that delivering needs. Each call gives up after `timeout`.
#[async_trait]
pub trait Graph: Send + Sync {
    /// Decrypts the account's token. It is called before a unit is taken, because it may take
    /// longer than a grant lasts.
    async fn prepare(&self, account: &Account) -> Result<(), StoreError>;

    /// Answers a comment with a DM.
    async fn private_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        text: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError>;

    /// Writes to a person who has written within the last day.
    async fn message(
        &self,
        account: &Account,
        recipient: &RecipientId,
        text: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError>;

    /// Asks when a comment on the account's media was made.
    async fn comment_timestamp(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<Timestamp>>, CallError>;
}

/// The accounts' journals, for people to read. Nothing is decided on them, so a line that could not
/// be written is only logged.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Writes a line. Writing the same line twice leaves one.
    async fn append(&self, entry: &JournalEntry) -> Result<(), StoreError>;

    /// Returns at most `limit` lines of an account from `since` on, the newest first.
    async fn list(
        &self,
        account: &AccountId,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError>;
}

/// Records when the last webhook of an account was sent.
#[async_trait]
pub trait LastSeen: Send + Sync {
    /// Records that Meta sent a webhook of the account at `at`. Where a later one is known, this
    /// changes nothing.
    async fn record_seen(&self, account: &AccountId, at: Timestamp) -> Result<(), StoreError>;
}

/// What upkeep knows about accounts, for readers.
#[async_trait]
pub trait MaintenanceRecords: Send + Sync {
    /// Returns what it knows, or `None` for an account that is not on its list.
    async fn record(&self, account: &AccountId) -> Result<Option<MaintenanceRecord>, StoreError>;

    /// Returns the accounts on its list, by id: all that were connected and not removed since.
    async fn accounts(&self) -> Result<Vec<AccountId>, StoreError>;
}

/// Takes requests to upkeep.
#[async_trait]
pub trait UpkeepRequests: Send + Sync {
    /// Asks for something, and makes the account due at once.
    async fn ask(
        &self,
        account: &AccountId,
        request: &UpkeepRequest,
        now: Timestamp,
    ) -> Result<(), StoreError>;
}

/// The app-scoped ids of accounts, by which Meta's requests name them.
#[async_trait]
pub trait Aliases: Send + Sync {
    /// Returns the account with this app-scoped id (consistently read), or `None` if no account is
    /// known to have it.
    async fn named(&self, app_scoped: &str) -> Result<Option<AccountId>, StoreError>;
}

/// The accounts that upkeep visits, and what it knows about each.
#[async_trait]
pub trait MaintenanceSchedule: LastSeen + MaintenanceRecords + UpkeepRequests {
    /// Puts the account on the list, due at once.
    async fn enroll(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError>;

    /// Returns the accounts that are due, the longest waiting first, each with its due time.
    async fn due(&self, now: Timestamp) -> Result<Vec<(AccountId, Timestamp)>, StoreError>;

    /// Takes an account that is due at `due` for one visit, and makes it due again at `until`.
    /// Returns `None` if another run has it.
    async fn visit(
        &self,
        account: &AccountId,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<Option<MaintenanceRecord>, StoreError>;

    /// Stores what is known now, in the middle of a visit.
    async fn note(&self, account: &AccountId, upkeep: &Upkeep) -> Result<(), StoreError>;

    /// Ends the visit that was to last until `until`. The account is due again at `due`, unless
    /// somebody has asked for something meanwhile.
    async fn settle(
        &self,
        account: &AccountId,
        until: Timestamp,
        upkeep: &Upkeep,
        due: Timestamp,
    ) -> Result<(), StoreError>;

    /// Stores the app-scoped id of an account, by which Meta's requests name it.
    async fn alias(&self, account: &AccountId, app_scoped: &str) -> Result<(), StoreError>;

    /// Takes the account and its app-scoped ids off the list if it is still due at `due`. Returns
    /// whether it is off the list. It stays if a visit, a request or a connection has made it due
    /// at another instant since.
    async fn strike_off(&self, account: &AccountId, due: Timestamp) -> Result<bool, StoreError>;
}

/// A request to upkeep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpkeepRequest {
    /// To read the comments of the last seven days.
    Backfill,
    /// The account's owner has removed the app.
    Deauthorize,
    /// To delete the account. The owner can ask for the state of the deletion by a code.
    Delete {
        /// The code.
        code: String,
    },
}

/// The stored record of an account at the beginning of a visit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceRecord {
    /// When the account is due.
    pub due: Timestamp,
    /// What the last visit stored.
    pub upkeep: Upkeep,
    /// When its last webhook arrived; up to an hour late.
    pub last_seen: Option<Timestamp>,
    /// When a backfill was last asked for.
    pub backfill_asked_at: Option<Timestamp>,
    /// When its owner last removed the app.
    pub deauthorized_at: Option<Timestamp>,
    /// The codes of the deletions that were asked for and are not done.
    pub delete: BTreeSet<String>,
}

/// The tokens of accounts, and when they end.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Returns the token in use and the next one, if there is one. `None` if the account is not
    /// connected.
    async fn load(&self, account: &AccountId) -> Result<Option<KeptToken>, StoreError>;

    /// Stores when the token in use was obtained and when it ends.
    async fn note_life(
        &self,
        account: &AccountId,
        token: &SealedToken,
        life: TokenLife,
    ) -> Result<(), StoreError>;

    /// Stores the next token beside the one in use. Returns `false` if that has been replaced.
    async fn keep_next(
        &self,
        account: &AccountId,
        token: &SealedToken,
        next: &NextToken,
    ) -> Result<bool, StoreError>;

    /// Replaces the token in use by the next one, which has worked. Returns `false` if there is
    /// another next one by now.
    async fn swap(&self, account: &AccountId, next: &NextToken) -> Result<bool, StoreError>;

    /// Deletes the next token, which does not work.
    async fn drop_next(&self, account: &AccountId, next: &NextToken) -> Result<(), StoreError>;
}

/// A stored token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptToken {
    /// The one in use.
    pub token: SealedToken,
    /// Its life.
    pub life: TokenLife,
    /// The one that is to replace it.
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

/// Removes an account's settings, token and campaigns. Release then cancels its waiting sends, and
/// its counters come to an end.
#[async_trait]
pub trait Removal: Send + Sync {
    /// Returns the revision of the account as it is stored now, or `None` if it is not connected.
    /// This reads no more of it: one that cannot be read can be removed.
    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError>;

    /// Removes the account that was read at the revision `seen`, or what an earlier removal has
    /// left of it (`None`: it was not connected). Returns `false`, and removes nothing, if it has
    /// been changed or connected since. Removing it again changes nothing.
    async fn remove(&self, account: &AccountId, seen: Option<Revision>)
    -> Result<bool, StoreError>;

    /// Gives the budget and the cursor of an account that is not connected an end: 32 days after
    /// `now`, when every window is over. Does nothing to a connected account. A later connection
    /// keeps them.
    async fn expire_counters(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError>;
}

/// The requests of owners to delete their accounts, each by the code that the owner was told. What
/// is known of one is kept for a year.
#[async_trait]
pub trait Deletions: Send + Sync {
    /// Returns the state of the request with this code, or `None` if there is none.
    async fn status(&self, code: &str) -> Result<Option<Deletion>, StoreError>;

    /// Notes that the deletion is under way. Noting it again changes nothing.
    async fn asked(&self, code: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Notes that the deletion is done.
    async fn deleted(&self, code: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Keeps a request about an app-scoped id that no account is known to have, until
    /// `request.kept_until`.
    async fn set_aside(
        &self,
        app_scoped: &str,
        request: &UnmatchedRequest,
    ) -> Result<(), StoreError>;

    /// Returns the requests that are kept for this app-scoped id (consistently read).
    async fn unmatched(&self, app_scoped: &str) -> Result<Vec<UnmatchedRequest>, StoreError>;

    /// Keeps a request no longer, because its account is known.
    async fn matched(&self, app_scoped: &str, code: &str) -> Result<(), StoreError>;
}

/// The state of a request for deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When it was asked for; unknown where nothing of the account was stored.
    pub asked_at: Option<Timestamp>,
    /// When it was done.
    pub done_at: Option<Timestamp>,
    /// Until when it is kept, if no account is known to have the id that it names.
    pub kept_until: Option<Timestamp>,
}

/// A request for deletion that names an account by an id which is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedRequest {
    /// The code that the owner was told.
    pub code: String,
    /// When Meta made it, if it says so.
    pub issued_at: Option<Timestamp>,
    /// Until when it is kept.
    pub kept_until: Timestamp,
}

/// The calls to Meta's Graph API that upkeep needs. Each call gives up after `timeout`.
#[async_trait]
pub trait AccountGraph: Send + Sync {
    /// Decrypts the token. It is called before a unit is taken, because it may take longer than a
    /// grant lasts.
    async fn prepare(&self, account: &AccountId, token: &SealedToken) -> Result<(), StoreError>;

    /// Returns the next token, sealed, and for how long it is valid.
    async fn refresh(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<(SealedToken, Option<Duration>)>, CallError>;

    /// Returns the account that the token is for.
    async fn me(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Me>, CallError>;

    /// Reads its conversations, which needs the permission to send messages.
    async fn conversations(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<()>, CallError>;

    /// Returns the webhook fields that the account is subscribed to.
    async fn subscription(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<Subscription>, CallError>;

    /// Subscribes it to these webhook fields.
    async fn subscribe(
        &self,
        account: &AccountId,
        token: &SealedToken,
        fields: &[&str],
        timeout: Duration,
    ) -> Result<Answered<()>, CallError>;

    /// Returns its newest media.
    async fn media(
        &self,
        account: &AccountId,
        token: &SealedToken,
        timeout: Duration,
    ) -> Result<Answered<graph::Page<MediaItem>>, CallError>;

    /// Returns a page of a media's comments.
    async fn comments(
        &self,
        account: &AccountId,
        token: &SealedToken,
        media: &MediaId,
        after: Option<&str>,
        timeout: Duration,
    ) -> Result<Answered<graph::Page<CommentItem>>, CallError>;
}
