//! `spillway backfill`: asks upkeep to read an account's comments.

use anyhow::Result;
use clap::Args;
use spillway_core::id::AccountId;
use spillway_service::admin::rfc3339;

use crate::arguments;
use crate::deployment::Where;
use crate::output::Output;

/// Whose comments.
#[derive(Args)]
#[command(after_help = "\
Example:
  spillway --deployment prod.env backfill 17841400000000001

Upkeep begins within 15 minutes. It reads the comments of the last seven days on the account's newest
media and on those that its campaigns name. Comments that a campaign wants and that have no DM yet get
one; no comment gets two. Reading is charged to the account's calls, and pauses while sends wait. Upkeep
does this by itself after an outage of the webhooks. Ask for it after a mistake in a campaign's keywords,
for example. The account's journal says when it is done.")]
pub(crate) struct Options {
    /// The account
    #[arg(value_parser = arguments::account)]
    account: AccountId,
}

pub(crate) async fn run(options: &Options, place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    let id = &options.account;
    let asked_at = deployment.admin.accounts.backfill(id).await?;
    let asked = serde_json::json!({ "account": id.as_str(), "asked_at": rfc3339(asked_at) });
    output.print(&asked, || {
        format!("the comments of account {id} are read within a quarter of an hour\n")
    })
}
