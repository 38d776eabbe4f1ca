//! `spillway backfill`: asks upkeep to read an account's comments.

use anyhow::{Context, Result};
use clap::Args;
use spillway_core::id::AccountId;
use spillway_service::port::{MaintenanceSchedule, UpkeepRequest};

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
    #[arg(value_name = "ACCOUNT")]
    account: String,
}

pub(crate) async fn run(options: &Options, place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    let id = AccountId::from(options.account.as_str());
    deployment.wiring.accounts.load(&id).await?.with_context(|| {
        format!("account {id} is not connected; `spillway account list` names those that are")
    })?;
    let now = deployment.clock.now();
    deployment.wiring.maintenance.ask(&id, &UpkeepRequest::Backfill, now).await?;
    output.print(&serde_json::json!({ "account": id.as_str(), "asked_at": now }), || {
        format!("the comments of account {id} are read within a quarter of an hour\n")
    })
}
