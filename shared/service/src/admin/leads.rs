//! E-mail addresses that people gave in conversations, opened.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Serialize;
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::time::Timestamp;

use super::AdminError;
use super::instant::instant;
use crate::account::Account;
use crate::port::{LeadOpener, LeadPage, Leads, StoreError};

/// Shows leads.
pub struct LeadAdmin {
    /// The store.
    pub store: Arc<dyn Leads>,
    /// Opens addresses.
    pub opener: Arc<dyn LeadOpener>,
}

/// A lead, opened. Its `Debug` does not show the address.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct LeadView {
    /// The account.
    pub account: AccountId,
    /// The campaign that asked for the address.
    pub campaign: CampaignId,
    /// Who gave it.
    pub person: RecipientId,
    /// When they wrote it.
    #[serde(serialize_with = "instant")]
    pub at: Timestamp,
    /// The address; `None` if it cannot be opened.
    pub email: Option<String>,
}

impl fmt::Debug for LeadView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeadView").field("campaign", &self.campaign).finish_non_exhaustive()
    }
}

impl LeadAdmin {
    /// Returns the leads of an account that came at `since` or later, the oldest first.
    ///
    /// # Errors
    /// Fails if the store does not answer, or the key cannot be used.
    pub fn view<'a>(
        &'a self,
        account: &'a Account,
        since: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<LeadView>, AdminError>> {
        Box::pin(async move {
            let mut shown = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let page = self.store.list(&account.id, since, now, after.as_deref()).await?;
                let LeadPage { leads, next } = page;
                for lead in leads {
                    // A process that did not know it yet may have written it since.
                    if account.forgotten.was_written_by(Some(&lead.person), lead.at) {
                        continue;
                    }
                    let opened =
                        self.opener.open_lead(&account.id, &lead.person, &lead.email).await;
                    let email = match opened {
                        Ok(email) => Some(email),
                        Err(StoreError::Corrupt { .. }) => None,
                        Err(error) => return Err(error.into()),
                    };
                    shown.push(LeadView {
                        account: account.id.clone(),
                        campaign: lead.campaign,
                        person: lead.person,
                        at: lead.at,
                        email,
                    });
                }
                after = next;
                if after.is_none() {
                    break;
                }
            }
            shown.sort_by(|one, other| {
                (one.at, &one.campaign, &one.person).cmp(&(
                    other.at,
                    &other.campaign,
                    &other.person,
                ))
            });
            Ok(shown)
        })
    }
}
