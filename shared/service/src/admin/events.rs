//! What happened to accounts, from their journals.

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use spillway_core::id::AccountId;
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::time::Timestamp;

use super::AdminError;
use super::accounts::AccountAdmin;
use super::instant::instant;
use crate::app::app_journal;

/// Journals that are read at a time.
const AT_ONCE: usize = 8;

/// Something that happened to an account, or to the whole app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventView {
    /// When.
    #[serde(serialize_with = "instant")]
    pub at: Timestamp,
    /// The account, or `app`.
    pub account: AccountId,
    /// What.
    #[serde(flatten)]
    pub what: Event,
}

impl From<JournalEntry> for EventView {
    fn from(JournalEntry { at, account, what }: JournalEntry) -> Self {
        Self { at, account, what }
    }
}

impl AccountAdmin {
    /// Returns up to `limit` events of an account, or of all, since `since`, the newest first.
    /// Holds of the whole app concern each account, so they are among them.
    ///
    /// # Errors
    /// When the store does not answer; names the account whose journal cannot be read.
    pub fn events<'a>(
        &'a self,
        only: Option<&'a AccountId>,
        since: Timestamp,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<EventView>, AdminError>> {
        Box::pin(async move {
            let mut accounts = match only {
                Some(account) => vec![account.clone()],
                None => self.maintenance.accounts().await?,
            };
            accounts.push(app_journal());
            let reads = accounts.into_iter().map(|account| async move {
                let read = self.journal.list(&account, since, limit).await;
                read.map_err(|error| AdminError::Account(account, error))
            });
            let read: Vec<Vec<JournalEntry>> =
                stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
            let mut events: Vec<EventView> =
                read.into_iter().flatten().map(EventView::from).collect();
            events.sort_by_key(|event| std::cmp::Reverse(event.at));
            events.truncate(limit);
            Ok(events)
        })
    }
}
