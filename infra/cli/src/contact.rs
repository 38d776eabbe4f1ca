//! `spillway contact`: people who were written to, forgotten at their request.

use anyhow::{Result, bail};
use clap::Subcommand;
use spillway_core::id::{AccountId, RecipientId};
use spillway_service::admin::sends::Forgotten;

use crate::arguments;
use crate::confirm::Consent;
use crate::deployment::Where;
use crate::output::{Output, counted};
use crate::progress::Progress;

/// What is done with people.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Forget a person: cancel their waiting sends, and remove them from what is stored
    #[command(after_help = "\
Example:
  spillway contact forget 17841400000000001 2978593885678283 --yes

Name the person by their id, as webhooks do (`from.id`). Their waiting sends are cancelled. Then their id is
removed from the entries of their DMs, which expire within the hour (DynamoDB may take two days to delete
them; until then the key of an entry has it, and `spillway send` shows a hash in its place), and samples of
their comments that matched nothing, their e-mail addresses, and what conversations with them had come to are
deleted; only that they have asked to be left alone is kept, until they write START. A keyed hash of each comment's id stays
for ten days after the comment, and one of the person for nine days, so that neither a repeated delivery nor
a backfill writes to them again. A message that they write from now on is answered. A call under way is not stopped: run the command again if it says so. It reads the whole table of sends, which has no index by person.")]
    Forget {
        /// The account that wrote to the person
        #[arg(value_parser = arguments::account)]
        account: AccountId,
        /// The person's id
        #[arg(value_parser = arguments::person)]
        person: RecipientId,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Forgets.
pub(crate) async fn run(command: Command, place: &Where, output: Output) -> Result<()> {
    let Command::Forget { account, person, consent } = command;
    let deployment = place.open().await?;
    consent.ask(&format!(
        "what waits for person {person} is cancelled, and account {account} forgets them"
    ))?;
    let progress = Progress::unbounded("entries looked at");
    let looked_at = |entries| progress.advance(entries);
    let forgotten = deployment.admin.sends.forget(&account, &person, looked_at).await?;
    progress.finish();
    if forgotten == Forgotten::default() {
        // What an account that was removed has left can be forgotten too.
        deployment.admin.accounts.connected(&account).await?;
        bail!(
            "nothing of account {account} names person {person}: they were forgotten before, or had \
             no DM for as long as entries are kept (`once_for`), or it is not the id that webhooks \
             carry (`from.id`)"
        );
    }
    let shown = serde_json::json!({
        "account": account.as_str(),
        "cancelled": forgotten.waiting.done,
        "under_way": forgotten.waiting.left,
        "entries": forgotten.entries,
        "samples": forgotten.samples,
        "leads": forgotten.leads,
        "conversations": forgotten.conversations,
    });
    output.print(&shown, || {
        format!(
            "cancelled: {}; forgotten: {}, {}, {}, {}\n",
            counted(forgotten.waiting.done, "waiting send"),
            counted(forgotten.entries, "DM"),
            counted(forgotten.samples, "sample"),
            counted(forgotten.leads, "lead"),
            counted(forgotten.conversations, "conversation")
        )
    })?;
    if forgotten.waiting.left > 0 {
        bail!(
            "{} under way: forget the person again in a minute",
            counted(forgotten.waiting.left, "call")
        );
    }
    Ok(())
}
