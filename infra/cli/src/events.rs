//! `spillway events`: what happened to accounts, from their journals.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use spillway_core::id::AccountId;
use spillway_service::admin::events::EventView;
use spillway_service::app::app_journal;

use crate::arguments;
use crate::deployment::Where;
use crate::output::{Columns, Output};

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
        let row =
            |event: &EventView| [times.at(event.at), event.account.to_string(), event.text(&times)];
        let rows: Vec<[String; 3]> = report.events.iter().map(row).collect();
        let empty = "nothing happened in that time; --since looks further back";
        output.table(&COLUMNS, &rows, empty)
    })
}

const COLUMNS: Columns<3> = Columns { heads: ["WHEN", "ACCOUNT", "WHAT"], least_first: &[] };
