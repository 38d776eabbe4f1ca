//! Leads: an e-mail address that somebody gave in a conversation is sealed and stored, and told of on an
//! event bus, if the deployment has one.

use std::sync::Arc;

use futures::future::BoxFuture;
use spillway_core::conversation::{Email, Origin};
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::time::Timestamp;
use tracing::{error, info};

use crate::account::Account;
use crate::account_cache::AccountCache;
use crate::clock::Clock;
use crate::keys;
use crate::port::{Lead, LeadBus, LeadEvent, LeadOpener, LeadSealer, Leads, StoreError};

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

/// Leads of each part that are read at a time.
const PAGE: usize = 100;

/// Tells of leads.
pub struct LeadTeller {
    /// The store.
    pub store: Arc<dyn Leads>,
    /// Opens addresses.
    pub opener: Arc<dyn LeadOpener>,
    /// Takes the events.
    pub bus: Arc<dyn LeadBus>,
    /// Knows who was forgotten.
    pub account_cache: Arc<AccountCache>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl LeadTeller {
    /// Tells of leads that nobody was told of, until none is left or `deadline`. Returns how many. An
    /// event may be told again, under the same id, if this run ends before it is noted.
    ///
    /// # Errors
    /// Fails if the store, the key or the bus does not answer. What was not told is told by a later run.
    pub fn tell(&self, deadline: Timestamp) -> BoxFuture<'_, Result<usize, StoreError>> {
        Box::pin(async move {
            let mut told = 0;
            while self.clock.now() < deadline {
                let untold = self.store.untold(PAGE).await?;
                if untold.is_empty() {
                    break;
                }
                told += self.tell_of(&untold).await?;
            }
            if told > 0 {
                info!(told, "leads were put on the event bus");
            }
            Ok(told)
        })
    }

    async fn tell_of(&self, untold: &[(AccountId, Lead)]) -> Result<usize, StoreError> {
        let mut events = Vec::new();
        for (account, lead) in untold {
            match self.event(account, lead).await? {
                Some(event) => events.push((account, lead, event)),
                None => self.store.told(account, lead).await?,
            }
        }
        let all: Vec<LeadEvent> = events.iter().map(|(.., event)| event.clone()).collect();
        let mut failed = None;
        let mut told = 0;
        for ((account, lead, _), result) in events.iter().zip(self.bus.put(&all).await) {
            match result {
                Ok(()) => {
                    self.store.told(account, lead).await?;
                    told += 1;
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(told), Err)
    }

    /// What tells of a lead; `None` if nothing is to: its account is gone, its person was forgotten,
    /// or it cannot be opened.
    async fn event(&self, id: &AccountId, lead: &Lead) -> Result<Option<LeadEvent>, StoreError> {
        let Lead { campaign, origin, person, at, kept_until, email } = lead;
        let Some(account) = self.account_cache.find(id).await? else { return Ok(None) };
        if account.forgotten.was_written_by(Some(person), *at) || *kept_until <= self.clock.now() {
            return Ok(None);
        }
        let email = match self.opener.open_lead(id, person, email).await {
            Ok(email) => email,
            Err(error @ StoreError::Corrupt { .. }) => {
                error!(account = %id, %error, "a lead cannot be opened: nobody is told of it");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok(Some(LeadEvent {
            id: keys::untold_sk(id, &keys::lead_sk(person, campaign, *origin)),
            account: id.clone(),
            campaign: campaign.clone(),
            person: person.clone(),
            at: *at,
            email,
        }))
    }
}
