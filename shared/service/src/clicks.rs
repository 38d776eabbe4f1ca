//! Clicks: the first link of a conversation that its person opens is told to the conversation, which
//! drops what it would have sent for want of it.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::info;

use crate::account_cache::AccountCache;
use crate::converse::Converse;
use crate::links::LinkOwner;
use crate::port::{Clicked, Clicks, StoreError};

/// Takes clicks.
pub struct ClickTaker {
    /// The accounts, with what their campaigns do without a click.
    pub account_cache: Arc<AccountCache>,
    /// Keeps the conversations going.
    pub converse: Arc<Converse>,
}

#[async_trait]
impl Clicks for ClickTaker {
    async fn clicked(&self, owner: &LinkOwner) -> Result<Clicked, StoreError> {
        let LinkOwner { account, person, origin } = owner;
        let Some(account) = self.account_cache.find(account).await? else {
            return Ok(Clicked::NoConversation);
        };
        let told = self.converse.clicked(&account, person, *origin).await?;
        let Some((campaign, clicked)) = told else { return Ok(Clicked::NoConversation) };
        if clicked == Clicked::Counted {
            // The dashboard counts these lines.
            info!(account = %account.id, %campaign, "link opened");
        }
        Ok(clicked)
    }
}
