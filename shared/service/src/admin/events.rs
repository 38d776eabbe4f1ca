//! What happened to accounts, from their journals.

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use spillway_core::id::AccountId;
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::time::Timestamp;

use super::AdminError;
use super::accounts::AccountAdmin;
use super::instant::{instant, rfc3339};
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
    #[serde(flatten, serialize_with = "with_instants")]
    pub what: Event,
}

/// The fields of events that are instants, in milliseconds in the store.
const INSTANTS: [&str; 4] = ["token_ends", "last_seen", "since", "until"];

/// Serialises an event with its instants as [`rfc3339`] writes them; one that never comes is `null`.
fn with_instants<S: Serializer>(what: &Event, to: S) -> Result<S::Ok, S::Error> {
    let mut event = serde_json::to_value(what).map_err(S::Error::custom)?;
    for name in INSTANTS {
        if let Some(at) = event.get_mut(name)
            && let Some(millis) = at.as_u64()
        {
            *at = rfc3339(Timestamp::from_millis(millis)).into();
        }
    }
    event.serialize(to)
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
    /// Fails if the store does not answer; names the account whose journal cannot be read.
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
            if only != Some(&app_journal()) {
                accounts.push(app_journal());
            }
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

#[cfg(test)]
mod tests {
    use spillway_core::hold::HoldCause;
    use spillway_core::quota::Tier;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    #[test]
    fn every_instant_of_an_event_is_written_as_a_date() {
        let campaign = || "guide".into();
        let events = [
            Event::Connected { token_ends: Some(NOW) },
            Event::TokenRefreshed { token_ends: NOW },
            Event::TokenRefreshFailed { reason: "no".into(), token_ends: Some(NOW) },
            Event::Silent { last_seen: Some(NOW) },
            Event::Backfilled { since: NOW, read: 1, found: 1, unfinished: 0 },
            Event::HoldSet {
                cause: HoldCause::Operator,
                until: Timestamp::NEVER,
                error: None,
                reason: None,
            },
            Event::CampaignHeld { campaign: campaign(), until: NOW, error: None },
            Event::CampaignPaused { campaign: campaign() },
            Event::CampaignRemoved { campaign: campaign() },
            Event::ServerErrors { calls: 721, server_errors: 216 },
            Event::TierChanged { from: Tier::One, to: Tier::Two },
        ];
        for what in events {
            let view = EventView { at: NOW, account: "178".into(), what };
            let json = serde_json::to_value(&view).unwrap();
            for (name, value) in json.as_object().unwrap() {
                assert!(value.as_u64().is_none_or(|n| n < 1_000_000), "{name}: {json}");
            }
            assert_eq!(json["at"], "2026-09-21T14:13:20Z");
        }
        let until = |until| {
            let what =
                Event::HoldSet { cause: HoldCause::Operator, until, error: None, reason: None };
            let view = EventView { at: NOW, account: "178".into(), what };
            serde_json::to_value(view).unwrap()["until"].clone()
        };
        assert_eq!(until(NOW), "2026-09-21T14:13:20Z");
        assert_eq!(until(Timestamp::NEVER), serde_json::Value::Null);
    }
}
