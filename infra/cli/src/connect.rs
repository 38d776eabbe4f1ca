//! `spillway connect`: an account with its token, sealed, and its campaigns, into the deployment;
//! and `spillway new-key`, a new key to seal tokens with.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use spillway_core::id::AccountId;
use spillway_core::profile::Profile;
use spillway_service::accounts_file;

use crate::campaign;
use crate::deployment::Where;
use crate::output::{Output, note};

/// What to connect, and where.
#[derive(Args)]
#[command(after_help = "\
The token is read from standard input, so that it is in no process list and no shell history:

  spillway connect accounts.toml --account 17841400000000001 < token.txt

The file is refused as a whole, with line and reason, before anything is written:

  [[account]]
  id = \"17841400000000001\"

  [[account.campaign]]
  id = \"guide\"
  keywords = [\"guide\"]            # leave out to answer every comment
  messages = [\"Hi {username|there}! https://example.com/guide\"]

An account keeps the profile `careful`, tier 1, in UTC, unless the file says otherwise:

  [[account]]
  id = \"17841400000000001\"
  profile = \"meta\"                # or the name of a [[profile]] of the file
  terms = { tier = 2, time_zone = \"Europe/Berlin\", day_starts = \"09:00\" }

New limits hold from the next decision on, new campaigns within a minute.")]
pub(crate) struct Options {
    /// TOML file of accounts and campaigns
    file: PathBuf,
    /// The account of the file to connect; needed where the file has several
    #[arg(long, value_name = "ID")]
    account: Option<String>,
}

/// Makes a new data key.
pub(crate) async fn new_key(place: &Where, output: Output) -> Result<()> {
    let number = place.open().await?.wiring.keys.replace().await?;
    output.print(&serde_json::json!({ "token_key": number }), || {
        format!(
            "data key {number} seals from now on; connect each account again to have its token \
             under it\n"
        )
    })
}

/// Connects the account.
pub(crate) async fn run(options: Options, place: &Where, output: Output) -> Result<()> {
    let shown = options.file.display();
    let text =
        std::fs::read_to_string(&options.file).with_context(|| format!("cannot read {shown}"))?;
    let mut accounts = accounts_file::parse(&text, &Profile::careful())
        .map_err(|error| campaign::refuse(&shown.to_string(), &text, &error))?;
    let account = match options.account.as_deref().map(AccountId::from) {
        Some(id) => {
            let at = accounts.iter().position(|account| account.id == id);
            accounts.swap_remove(at.with_context(|| format!("{shown} has no account {id}"))?)
        }
        None if accounts.len() == 1 => accounts.swap_remove(0),
        None => bail!("{shown} has several accounts: say which one with --account"),
    };
    let (profile, tier) = (account.rules.profile(), account.rules.terms().tier);
    for warning in profile.warnings(tier) {
        note(format_args!("profile `{}`: {warning}", profile.name));
    }
    let token = read_token()?;

    let deployment = place.open().await?;
    let token = deployment.wiring.keys.seal(&account.id, &token).await?;
    let connecting = &deployment.accounts;
    connecting.connect(&account.id, &account.rules, &token, &account.campaigns).await?;
    let campaigns: Vec<&str> =
        account.campaigns.iter().map(|campaign| campaign.id.as_str()).collect();
    let connected = serde_json::json!({
        "account": account.id.as_str(),
        "profile": account.rules.profile().name,
        "campaigns": campaigns,
    });
    output.print(&connected, || {
        let (id, n, names) = (&account.id, campaigns.len(), campaigns.join(", "));
        format!("connected {id} with {n} campaigns: {names}\n")
    })
}

fn read_token() -> Result<SecretString> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("Paste the account's long-lived access token, then Enter and Ctrl-D:");
    }
    let mut text = String::new();
    stdin.read_to_string(&mut text).context("read the token from standard input")?;
    let token = SecretString::from(text.trim());
    ensure!(
        !token.expose_secret().is_empty() && !token.expose_secret().contains(char::is_whitespace),
        "standard input must hold the token and nothing else"
    );
    Ok(token)
}
