//! `spillway events`: what happened to accounts, from their journals.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use spillway_core::id::AccountId;
use spillway_core::journal::{Event, RemovedBy};
use spillway_core::meta_error::MetaError;
use spillway_core::time::Timestamp;
use spillway_service::admin::events::EventView;
use spillway_service::app::app_journal;

use crate::arguments;
use crate::deployment::Where;
use crate::output::{Columns, Output, Times, counted, heard};

/// Whose events, and how far back.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway events                                    all accounts, the last day
  spillway events 17841400000000001 --since 7d       one account, the last week
  spillway events --json | jq -c '.events[] | select(.event == \"limit_met\")'

The newest come first. Times are by the clocks of the account, or in UTC where the listed accounts have
different ones. Holds of the whole app have the name `app` in place of an account. Journals are kept for 90
days. `spillway send show` shows what became of a single send.")]
pub(crate) struct Options {
    /// Only this account, or `app`
    #[arg(value_parser = account)]
    account: Option<AccountId>,
    /// How far back
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = arguments::span, allow_hyphen_values = true)]
    since: Duration,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = arguments::limit, allow_negative_numbers = true)]
    limit: usize,
}

/// Reads an account's id, or the name that the app has in its place.
fn account(text: &str) -> Result<AccountId, String> {
    let app = app_journal();
    if text.trim() == app.as_str() { Ok(app) } else { arguments::account(text) }
}

#[derive(Serialize)]
struct Report {
    events: Vec<EventView>,
}

/// Tells.
pub(crate) async fn run(options: &Options, place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    let now = deployment.clock.now();
    let only = options.account.as_ref();
    let admin = &deployment.admin.accounts;
    let events = admin.events(only, now - options.since, options.limit).await?;
    if let Some(account) = only.filter(|account| **account != app_journal())
        && events.iter().all(|event| event.account != *account)
    {
        // One that was removed has a journal too.
        admin.connected(account).await?;
    }
    let report = Report { events };
    let times = deployment.times_of_all(report.events.iter().map(|event| &event.account)).await?;
    output.print(&report, || {
        let row = |EventView { at, account, what }: &EventView| {
            [times.at(*at), account.to_string(), said(what, &times)]
        };
        let rows: Vec<[String; 3]> = report.events.iter().map(row).collect();
        let empty = "nothing happened in that time; --since looks further back";
        output.table(&COLUMNS, &rows, empty)
    })
}

const COLUMNS: Columns<3> = Columns { heads: ["WHEN", "ACCOUNT", "WHAT"], least_first: &[] };

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

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    #[test]
    fn events_are_told_in_words() {
        let utc = Times::utc(NOW);
        let until = NOW + Duration::from_secs(60);
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
        let until = NOW + Duration::from_secs(3600);
        let link =
            said(&Event::CampaignHeld { campaign: "guide".into(), until, error: None }, &utc);
        assert!(link.starts_with("campaign `guide` is on hold (Meta refuses its link"), "{link}");
        let fields = vec!["comments".to_owned(), "messages".to_owned()];
        let lost = said(&Event::SubscriptionLost { fields }, &utc);
        assert_eq!(lost, "no longer subscribed to comments, messages");
    }
}
