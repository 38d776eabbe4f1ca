//! `spillway lead`: e-mail addresses that people gave in conversations.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use spillway_core::id::AccountId;
use spillway_service::admin::leads::LeadView;

use crate::arguments;
use crate::deployment::{Deployment, Where};
use crate::output::{Columns, Output, Times, note};

/// What is done with leads.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the e-mail addresses that people gave, the newest first
    #[command(after_help = "\
Examples:
  spillway lead list 17841400000000001
  spillway lead list 17841400000000001 --since 1d --json

Addresses are stored sealed: opening them takes the right to use the deployment's KMS key. They are kept for
400 days, or as long as `leads_for` of the account says, and `spillway contact forget` deletes a person's.")]
    List(Options),
    /// Write the e-mail addresses as CSV, the oldest first
    #[command(after_help = "\
Examples:
  spillway lead export 17841400000000001 > leads.csv
  spillway lead export 17841400000000001 --since 7d --json

The columns are email, campaign, person and at. An address that a spreadsheet would take for a formula, since it
begins with `=`, `+`, `-` or `@`, has a `'` before it. The file is for you alone: nothing in it is sealed.")]
    Export(Options),
}

/// Whose addresses, and how far back.
#[derive(Args)]
pub(crate) struct Options {
    /// The account that asked for them
    #[arg(value_parser = arguments::account)]
    account: AccountId,
    /// How far back [default: all that are kept]
    #[arg(long, value_name = "TIME", value_parser = arguments::span, allow_hyphen_values = true)]
    since: Option<Duration>,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, place: &Where, output: Output) -> Result<()> {
    match command {
        Command::List(options) => list(&place.open().await?, &options, output).await,
        Command::Export(options) => export(&place.open().await?, &options, output).await,
    }
}

const COLUMNS: Columns<4> =
    Columns { heads: ["WHEN", "CAMPAIGN", "PERSON", "E-MAIL"], least_first: &[2, 0] };

const NOT_OPENED: &str = "(cannot be opened)";

async fn list(deployment: &Deployment, options: &Options, output: Output) -> Result<()> {
    let mut leads = found(deployment, options).await?;
    leads.reverse();
    let times = deployment.times_of(&options.account).await?;
    output.print(&serde_json::json!({ "leads": leads }), || table(&leads, &times, output))
}

fn table(leads: &[LeadView], times: &Times, output: Output) -> String {
    let row = |lead: &LeadView| {
        let email = lead.email.as_deref().unwrap_or(NOT_OPENED);
        [times.at(lead.at), lead.campaign.to_string(), lead.person.to_string(), email.to_owned()]
    };
    let rows: Vec<_> = leads.iter().map(row).collect();
    output.table(&COLUMNS, &rows, "nobody has given an e-mail address, as far as they are kept")
}

async fn export(deployment: &Deployment, options: &Options, output: Output) -> Result<()> {
    let leads = found(deployment, options).await?;
    let unopened = leads.iter().filter(|lead| lead.email.is_none()).count();
    if unopened > 0 {
        note(format_args!("{unopened} cannot be opened, and are left out of the CSV"));
    }
    output.print(&serde_json::json!({ "leads": leads }), || csv(&leads))
}

async fn found(deployment: &Deployment, options: &Options) -> Result<Vec<LeadView>> {
    let account = deployment.admin.accounts.connected(&options.account).await?;
    let now = deployment.clock.now();
    let since = options.since.map_or_else(Default::default, |since| now - since);
    Ok(deployment.admin.leads.view(&account, since, now).await?)
}

fn csv(leads: &[LeadView]) -> String {
    let mut text = "email,campaign,person,at\r\n".to_owned();
    for LeadView { campaign, person, at, email, .. } in leads {
        let Some(email) = email else { continue };
        let at = spillway_service::admin::rfc3339(*at).unwrap_or_default();
        let cells = [email, campaign.as_str(), person.as_str(), &at].map(cell);
        text += &cells.join(",");
        text += "\r\n";
    }
    text
}

/// A cell of CSV (RFC 4180) that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    let text = format!("{guard}{text}");
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use spillway_core::time::Timestamp;

    use super::*;

    #[test]
    fn csv_has_a_line_for_each_address_and_no_formula() {
        let lead = |email: Option<&str>, campaign: &str| LeadView {
            account: "178".into(),
            campaign: campaign.into(),
            person: "526".into(),
            at: Timestamp::from_secs(1_795_521_600),
            email: email.map(str::to_owned),
        };
        let leads = [
            lead(Some("ana@example.com"), "guide"),
            lead(Some("=1+1@example.com"), "a \"b\", c"),
            lead(None, "guide"),
        ];
        assert_eq!(
            csv(&leads),
            "email,campaign,person,at\r\n\
             ana@example.com,guide,526,2026-11-24T12:00:00Z\r\n\
             '=1+1@example.com,\"a \"\"b\"\", c\",526,2026-11-24T12:00:00Z\r\n"
        );
    }
}
