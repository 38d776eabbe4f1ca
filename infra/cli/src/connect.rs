//! `spillway connect`: an account with its token, sealed, and its campaigns, into the deployment;
//! and `spillway new-key`, a new key to seal tokens with.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use spillway_cloud::dynamo::DynamoAccounts;
use spillway_cloud::token::{Kms, TokenKeys};
use spillway_core::id::AccountId;
use spillway_core::profile::Profile;
use spillway_service::accounts_file;

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
    #[command(flatten)]
    keys: KeyOptions,
}

/// Where tokens and the keys for them are.
#[derive(Args)]
pub(crate) struct KeyOptions {
    /// Name of the state table (output StateTable of the deployment)
    #[arg(long, env = "SPILLWAY_STATE_TABLE", value_name = "NAME")]
    state_table: String,
    /// ARN of the deployment's KMS key (output KeyArn)
    #[arg(long, env = "SPILLWAY_KMS_KEY", value_name = "ARN")]
    kms_key: String,
}

impl KeyOptions {
    async fn open(self) -> (DynamoAccounts, TokenKeys) {
        let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
        let client = aws_sdk_dynamodb::Client::new(&aws);
        let kms = Kms { client: aws_sdk_kms::Client::new(&aws), key: self.kms_key };
        let keys = TokenKeys::new(client.clone(), self.state_table.clone(), Arc::new(kms));
        (DynamoAccounts { client, table: self.state_table }, keys)
    }
}

/// Makes a new data key.
#[expect(clippy::print_stdout, reason = "the result is this command's output")]
pub(crate) async fn new_key(options: KeyOptions, json: bool) -> Result<()> {
    let (_, keys) = options.open().await;
    let number = keys.replace().await?;
    if json {
        println!("{}", serde_json::json!({ "token_key": number }));
    } else {
        println!(
            "data key {number} seals from now on; connect each account again to have its token \
             under it"
        );
    }
    Ok(())
}

/// Connects the account.
#[expect(clippy::print_stdout, reason = "the result is this command's output")]
pub(crate) async fn run(options: Options, json: bool) -> Result<()> {
    let shown = options.file.display();
    let text =
        std::fs::read_to_string(&options.file).with_context(|| format!("cannot read {shown}"))?;
    let mut accounts = accounts_file::parse(&text, &Profile::careful())
        .with_context(|| format!("{shown} is refused; nothing was changed"))?;
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
        eprintln!("note: profile `{}`: {warning}", profile.name);
    }
    let token = read_token()?;

    let (store, keys) = options.keys.open().await;
    let token = keys.seal(&account.id, &token).await?;
    store.connect(&account.id, &account.rules, &token, &account.campaigns).await?;
    let campaigns: Vec<&str> =
        account.campaigns.iter().map(|campaign| campaign.id.as_str()).collect();
    if json {
        let connected = serde_json::json!({
            "account": account.id.as_str(),
            "profile": account.rules.profile().name,
            "campaigns": campaigns,
        });
        println!("{connected}");
    } else {
        println!(
            "connected {} with {} campaigns: {}",
            account.id,
            campaigns.len(),
            campaigns.join(", ")
        );
    }
    Ok(())
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
