//! What happened to accounts, from their journals.

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use spillway_core::id::AccountId;
use spillway_core::journal::{Event, JournalEntry, RemovedBy};
use spillway_core::meta_error::MetaError;
use spillway_core::time::Timestamp;

use super::AdminError;
use super::accounts::AccountAdmin;
use super::instant::{instant, rfc3339};
use super::told::{Times, counted, heard};
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

impl EventView {
    /// Says in words what happened.
    pub fn text(&self, times: &Times) -> String {
        said(&self.what, times)
    }
}

impl AccountAdmin {
    /// Writes into the account's journal who orders what, before it is done.
    ///
    /// # Errors
    /// Fails if the store does not answer: then it should not be done.
    pub fn note_order<'a>(
        &'a self,
        account: &'a AccountId,
        operator: &'a str,
        order: &'a str,
    ) -> BoxFuture<'a, Result<(), AdminError>> {
        Box::pin(async move {
            let what = Event::Ordered { operator: operator.into(), order: order.into() };
            let entry = JournalEntry { at: self.clock.now(), account: account.clone(), what };
            Ok(self.journal.append(&entry).await?)
        })
    }

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

/// What happened, in words.
fn said(event: &Event, times: &Times) -> String {
    let ends = |at: &Option<Timestamp>| {
        at.map_or_else(
            || "its end is not known yet".into(),
            |at| format!("it ends {}", times.when(at)),
        )
    };
    match event {
        Event::Connected { token_ends } => format!("connected; the token: {}", ends(token_ends)),
        Event::TokenRefreshed { token_ends } => {
            format!("the token was renewed; {}", ends(&Some(*token_ends)))
        }
        Event::TokenRefreshFailed { reason, token_ends } => {
            format!("the token could not be renewed ({reason}); {}", ends(token_ends))
        }
        Event::TokenDead => "the token is dead: log in again with `spillway connect`".into(),
        Event::Deauthorized => "its owner removed the app".into(),
        Event::SubscriptionLost { fields } => {
            format!("no longer subscribed to {}", fields.join(", "))
        }
        Event::Resubscribed => "subscribed again".into(),
        Event::Silent { last_seen } => {
            let last = last_seen.map_or_else(|| "never".into(), |at| heard(at, times.now));
            format!("comments came without a webhook; the last webhook: {last}")
        }
        Event::HeardAgain => "webhooks come again".into(),
        Event::HumanWrote { until } => {
            format!("a human wrote to somebody: no campaign does until {}", times.when(*until))
        }
        Event::Backfilled { since, read, found, unfinished } => {
            let since = times.when(*since);
            let rest = match unfinished {
                0 => String::new(),
                n => format!("; Meta refused those of {n} media, which are tried again"),
            };
            format!("comments read back to {since}: {read}, of which {found} had been missed{rest}")
        }
        Event::HoldSet { cause, until, error, reason } => {
            let until = match *until {
                Timestamp::NEVER => "`spillway account resume`".to_owned(),
                until => times.when(until),
            };
            let answered = answered(error.as_ref());
            let reason = reason.as_ref().map_or_else(String::new, |reason| format!("; {reason}"));
            format!("on hold ({cause}) until {until}{answered}{reason}")
        }
        Event::HoldEnded => "the hold ended".into(),
        Event::LimitMet { percent } => {
            format!("a limit was met: those of an hour are lowered to {percent}%")
        }
        Event::CampaignHeld { campaign, until, error } => format!(
            "campaign `{campaign}` is on hold (Meta refuses its link or text) until {}{}",
            times.when(*until),
            answered(error.as_ref())
        ),
        Event::CampaignHoldEnded { campaign } => {
            format!("the hold of campaign `{campaign}` was ended by hand")
        }
        Event::NextPostFound { campaign, media } => {
            format!("campaign `{campaign}` has its post: {media}; its comments are read")
        }
        Event::CampaignAdded { campaign } => format!("campaign `{campaign}` was added"),
        Event::CampaignChanged { campaign, fields } => {
            format!("campaign `{campaign}` was changed: {}", fields.join(", "))
        }
        Event::CampaignPaused { campaign } => format!("campaign `{campaign}` was paused by hand"),
        Event::CampaignResumed { campaign } => format!("campaign `{campaign}` was resumed by hand"),
        Event::CampaignSent { campaign, run, people, operator } => {
            let people = *people as usize;
            let people = if people == 1 { "1 person".into() } else { format!("{people} people") };
            format!("{operator} sends campaign `{campaign}`, run `{run}`, to {people}")
        }
        Event::CampaignRemoved { campaign } => {
            format!("campaign `{campaign}` was removed by hand; what waited for it is cancelled")
        }
        Event::ServerErrors { calls, server_errors } => format!(
            "{server_errors} of about {} of this hour ended in a 5xx of Meta's: those DMs may have \
             been made, and those that nothing has shown yet are `unknown` in `send list`",
            counted(*calls as usize, "call")
        ),
        Event::TierChanged { from, to } => {
            format!("tier {} instead of {}", u8::from(*to), u8::from(*from))
        }
        Event::Removed { by: RemovedBy::Operator } => "removed by hand".into(),
        Event::Removed { by: RemovedBy::Owner } => "removed at its owner's request".into(),
        Event::Ordered { operator, order } => format!("{operator} ordered in the console: {order}"),
        Event::Unknown => "something that a newer version of `spillway` can tell".into(),
    }
}

/// Meta's answer, where one led to the event.
fn answered(error: Option<&MetaError>) -> String {
    error.map_or_else(String::new, |error| format!("; Meta answered {error}"))
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

    #[test]
    fn events_are_told_in_words() {
        let utc = Times::utc(NOW);
        let until = NOW + std::time::Duration::from_secs(60);
        let held = Event::HoldSet { cause: HoldCause::Throttled, until, error: None, reason: None };
        let told = "on hold (throttled) until 2026-09-21 14:14:20 UTC, in 1 min 0 s";
        assert_eq!(said(&held, &utc), told);
        let error = MetaError { status: 400, code: Some(4), ..MetaError::default() };
        let held =
            Event::HoldSet { cause: HoldCause::Throttled, until, error: Some(error), reason: None };
        assert_eq!(said(&held, &utc), format!("{told}; Meta answered status 400, code 4"));
        let silent = Event::Silent { last_seen: None };
        assert!(said(&silent, &utc).ends_with("the last webhook: never"));
        let failing = said(&Event::ServerErrors { calls: 721, server_errors: 216 }, &utc);
        assert!(
            failing.starts_with("216 of about 721 calls of this hour ended in a 5xx"),
            "{failing}"
        );
        let until = NOW + std::time::Duration::from_secs(3600);
        let link =
            said(&Event::CampaignHeld { campaign: "guide".into(), until, error: None }, &utc);
        assert!(link.starts_with("campaign `guide` is on hold (Meta refuses its link"), "{link}");
        let fields = vec!["comments".to_owned(), "messages".to_owned()];
        let lost = said(&Event::SubscriptionLost { fields }, &utc);
        assert_eq!(lost, "no longer subscribed to comments, messages");
    }
}
