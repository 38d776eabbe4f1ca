//! E-mail addresses that people gave in conversations, sealed.

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;
use spillway_core::conversation::{Email, Origin};
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::time::Timestamp;

use super::{SealedText, StoreError};
use crate::admin::instant::instant;

/// The leads of accounts. A lead is known by its person, campaign and origin.
#[async_trait]
pub trait Leads: Send + Sync {
    /// Stores a lead. One that is stored already stays as it is. Where the deployment has an event bus,
    /// the lead is untold from then on.
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

    /// Returns untold leads of all accounts, with these; `limit` of each part at most (consistently
    /// read).
    async fn untold(&self, limit: usize) -> Result<Vec<(AccountId, Lead)>, StoreError>;

    /// Notes that an event has told of a lead, or that none is to.
    async fn told(&self, account: &AccountId, lead: &Lead) -> Result<(), StoreError>;

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

/// Opens what was sealed: the operator's tool, and upkeep where there is an event bus.
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

/// An event that tells of a lead, and how that looks in JSON. Its `Debug` does not show the address.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct LeadEvent {
    /// The same whenever the same lead is told of.
    pub id: String,
    /// The account.
    pub account: AccountId,
    /// The campaign that asked for the address.
    pub campaign: CampaignId,
    /// Who gave it.
    pub person: RecipientId,
    /// When they wrote it.
    #[serde(serialize_with = "instant")]
    pub at: Timestamp,
    /// The address.
    pub email: String,
}

impl fmt::Debug for LeadEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeadEvent").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where a deployment has its leads told.
#[async_trait]
pub trait LeadBus: Send + Sync {
    /// Puts events on the bus; what became of each, in their order. One that failed may be there all
    /// the same.
    async fn put(&self, events: &[LeadEvent]) -> Vec<Result<(), StoreError>>;
}
