//! `spillway contact`: people who were written to, forgotten at their wish.

use anyhow::{Result, bail};
use clap::Subcommand;
use spillway_core::id::{AccountId, RecipientId};

use crate::confirm::Consent;
use crate::deployment::Where;
use crate::output::Output;
use crate::progress::Progress;

/// What is done with people.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Forget a person: cancel what waits for them, take them out of what is stored
    #[command(after_help = "\
Example:
  spillway contact forget 2978593885678283 --account 17841400000000001 --yes

The person is named by their id, as webhooks name it (`from.id`). What waits for them is cancelled first;
then their id is taken out of the entries of DMs that they were sent, and these go within the hour (DynamoDB
may take two days to delete them). What stays until ten days after each comment is a keyed hash of its id: so
that neither a repeated delivery nor a backfill writes to them again. A call under way is not stopped: run it
again when it says so. Reads the whole table of sends, which has no index by person.")]
    Forget {
        /// The person's id
        person: String,
        /// Whose contact they are
        #[arg(long, value_name = "ID")]
        account: String,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Forgets.
pub(crate) async fn run(command: Command, place: &Where, output: Output) -> Result<()> {
    let Command::Forget { person, account, consent } = command;
    let deployment = place.open().await?;
    consent.ask(&format!(
        "what waits for person {person} is cancelled, and account {account} forgets them"
    ))?;
    let (account, person) = (AccountId::new(account), RecipientId::new(person));
    let progress = Progress::unbounded("entries looked at");
    let looked_at = |entries| progress.advance(entries);
    let forgotten = deployment.operator.forget(&account, &person, looked_at).await?;
    progress.finish();
    let shown = serde_json::json!({
        "account": account.as_str(),
        "cancelled": forgotten.waiting.done,
        "under_way": forgotten.waiting.left,
        "entries": forgotten.entries,
    });
    output.print(&shown, || {
        format!(
            "{} waiting sends are cancelled; {} entries name the person no more\n",
            forgotten.waiting.done, forgotten.entries
        )
    })?;
    if forgotten.waiting.left > 0 {
        bail!(
            "{} calls are under way: forget the person again in a minute",
            forgotten.waiting.left
        );
    }
    Ok(())
}
