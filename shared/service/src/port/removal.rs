//! Accounts that go, and the requests for it.

use super::StoreError;
use async_trait::async_trait;
use spillway_core::budget::Revision;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;

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

    /// Notes that the deletion is under way, and when Meta made the request, if it says so. Noting
    /// it again changes nothing.
    async fn asked(
        &self,
        code: &str,
        issued_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Notes that the deletion is done.
    async fn deleted(&self, code: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Notes that nothing is deleted, because the account was connected after the request was made.
    async fn voided(&self, code: &str, now: Timestamp) -> Result<(), StoreError>;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// The instant when it was asked for; unknown where nothing of the account was stored.
    pub asked_at: Option<Timestamp>,
    /// The instant when Meta made the request, if it says so.
    pub issued_at: Option<Timestamp>,
    /// The instant when it was done.
    pub done_at: Option<Timestamp>,
    /// The instant when it was found to be void: the account was connected after it.
    pub void_at: Option<Timestamp>,
    /// Until when it is kept, if no account is known to have the id that it names.
    pub kept_until: Option<Timestamp>,
}

/// A request for deletion that names an account by an id which is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedRequest {
    /// The code that the owner was told.
    pub code: String,
    /// The instant when Meta made it, if it says so.
    pub issued_at: Option<Timestamp>,
    /// Until when it is kept.
    pub kept_until: Timestamp,
}
