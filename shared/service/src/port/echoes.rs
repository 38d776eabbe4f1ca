//! Which of an account's messages have come back as echoes.

use super::{Read, Saved, StoreError};
use async_trait::async_trait;
use spillway_core::id::AccountId;
use spillway_core::unknown::EchoWatch;

/// The watches for echoes, one an account.
#[async_trait]
pub trait EchoWatches: Send + Sync {
    /// Returns an account's watch; one that was never opened is closed.
    async fn load(&self, account: &AccountId, read: Read) -> Result<EchoWatch, StoreError>;

    /// Writes a watch if the stored version is the one before it.
    async fn save(
        &self,
        account: &AccountId,
        next: &EchoWatch,
    ) -> Result<Saved<EchoWatch>, StoreError>;
}
