//! What is counted, and the slots that are taken: budgets and cursors.

use super::{Read, Saved, StoreError};
use async_trait::async_trait;
use spillway_core::app::AppBudget;
use spillway_core::budget::Budget;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::pace::Cursor;
use spillway_core::time::Timestamp;

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
