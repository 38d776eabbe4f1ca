//! What upkeep is asked to do and keeps in mind, and the journal that tells of it.

use super::StoreError;
use async_trait::async_trait;
use spillway_core::id::AccountId;
use spillway_core::journal::JournalEntry;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::Upkeep;
use std::collections::BTreeSet;

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

    /// Forgets these of the deletions that were asked for, because they are void. The account stays
    /// on the list, due as it was.
    async fn forget_deletions(
        &self,
        account: &AccountId,
        codes: &BTreeSet<String>,
    ) -> Result<(), StoreError>;

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
    /// The instant when the account is due.
    pub due: Timestamp,
    /// What the last visit stored.
    pub upkeep: Upkeep,
    /// The instant when its last webhook arrived; up to an hour late.
    pub last_seen: Option<Timestamp>,
    /// The instant when a backfill was last asked for.
    pub backfill_asked_at: Option<Timestamp>,
    /// The instant when its owner last removed the app.
    pub deauthorized_at: Option<Timestamp>,
    /// The codes of the deletions that were asked for and are not done.
    pub delete: BTreeSet<String>,
}
