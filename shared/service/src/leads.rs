//! Leads: an e-mail address that somebody gave in a conversation is sealed and stored.

use std::sync::Arc;

use spillway_core::conversation::{Email, Origin};
use spillway_core::id::{CampaignId, RecipientId};
use spillway_core::time::Timestamp;

use crate::account::Account;
use crate::port::{Lead, LeadSealer, Leads, StoreError};

/// Stores addresses, sealed.
#[derive(Clone)]
pub struct LeadCollector {
    /// The store.
    pub store: Arc<dyn Leads>,
    /// Seals them.
    pub sealer: Arc<dyn LeadSealer>,
}

/// An address that somebody gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The campaign that asked for it.
    pub campaign: CampaignId,
    /// The conversation.
    pub origin: Origin,
    /// Who gave it.
    pub person: RecipientId,
    /// The address.
    pub email: Email,
    /// When they wrote it.
    pub at: Timestamp,
}

impl LeadCollector {
    /// Stores an address for as long as the account says. Doing it again changes nothing.
    ///
    /// # Errors
    /// Fails if there is no key to seal it to, or the store does not answer.
    pub async fn collect(&self, account: &Account, given: &Given) -> Result<(), StoreError> {
        let Given { campaign, origin, person, email, at } = given;
        let sealed = self.sealer.seal_lead(&account.id, person, email).await?;
        let lead = Lead {
            campaign: campaign.clone(),
            origin: *origin,
            person: person.clone(),
            at: *at,
            kept_until: *at + account.conversations.leads_for,
            email: sealed,
        };
        self.store.store(&account.id, &lead).await
    }
}
