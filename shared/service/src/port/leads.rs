//! E-mail addresses that people gave in conversations, sealed.

use super::{SealedText, StoreError};
use async_trait::async_trait;
use spillway_core::conversation::{Email, Origin};
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::time::Timestamp;

/// The leads of accounts. A lead is known by its person, campaign and origin.
#[async_trait]
pub trait Leads: Send + Sync {
    /// Stores a lead. One that is stored already stays as it is.
    async fn store(&self, account: &AccountId, lead: &Lead) -> Result<(), StoreError>;

    /// Returns leads that came at `since` or later, in no order, after the key that the page before
    /// has named (consistently read). Those that are older than they are kept may be stored still, and
    /// are not returned.
    async fn list(
        &self,
        account: &AccountId,
        since: Timestamp,
        now: Timestamp,
        after: Option<&str>,
    ) -> Result<LeadPage, StoreError>;

    /// Deletes a person's leads. Returns how many there were.
    async fn forget(&self, account: &AccountId, person: &RecipientId) -> Result<usize, StoreError>;

    /// Deletes all leads of an account.
    async fn delete(&self, account: &AccountId) -> Result<(), StoreError>;
}

/// A lead as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The campaign that asked for the address.
    pub campaign: CampaignId,
    /// The conversation.
    pub origin: Origin,
    /// Who gave it.
    pub person: RecipientId,
    /// When they wrote it.
    pub at: Timestamp,
    /// Until when it is kept.
    pub kept_until: Timestamp,
    /// The address.
    pub email: SealedText,
}

/// Some leads of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeadPage {
    /// The leads. There may be none though others follow.
    pub leads: Vec<Lead>,
    /// The key after which the next page begins; `None` for the last one.
    pub next: Option<String>,
}

/// Seals addresses to the newest public key of the deployment.
#[async_trait]
pub trait LeadSealer: Send + Sync {
    /// Seals an address that `person` gave to `account`.
    ///
    /// # Errors
    /// Fails if there is no key yet, which connecting an account or applying a file makes: an address
    /// is not dropped for that.
    async fn seal_lead(
        &self,
        account: &AccountId,
        person: &RecipientId,
        email: &Email,
    ) -> Result<SealedText, StoreError>;
}

/// Opens what was sealed: the operator's tool, and nothing else.
#[async_trait]
pub trait LeadOpener: Send + Sync {
    /// Opens an address that was sealed for `account` and `person`.
    async fn open_lead(
        &self,
        account: &AccountId,
        person: &RecipientId,
        email: &SealedText,
    ) -> Result<String, StoreError>;
}
