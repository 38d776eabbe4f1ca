//! `spillway connect`: an account with its token, sealed, and its campaigns, into the deployment,
//! by a login or with a token at hand; and `spillway new-key`, a new key to seal tokens with.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use spillway_cloud::meta::login::{self, Login, Subscribed};
use spillway_cloud::secrets::SecretSource;
use spillway_core::hold::NewToken;
use spillway_core::id::AccountId;
use spillway_core::profile::Profile;
use spillway_service::accounts_file::{self, NewAccount};
use spillway_service::admin::connect::Connection;

use crate::campaign;
use crate::deployment::Where;
use crate::output::{Output, note};

/// What to connect, and where.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
With a login, for your own app (no page has to exist at the redirect URI: the browser shows the code):

  spillway connect login-url --app-id 990602627938098 --redirect-uri https://example.com/
  spillway connect accounts.toml --app-id 990602627938098 --redirect-uri https://example.com/ \\
    --code 'https://example.com/?code=AQBx...'

The code is exchanged for a token of 60 days, which upkeep renews, and the account is subscribed to
its webhooks. The app's secret is read from the deployment's secret.

With a token that you have. It is read from standard input, so that no process list or shell history
contains it. Upkeep subscribes the account within 15 minutes, and renews the token:

  spillway connect accounts.toml --account 17841400000000001 < token.txt

A file with mistakes is refused as a whole, with every line and reason, before anything is written:

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

New limits apply from the next decision on, new campaigns within a minute."
)]
pub(crate) struct Options {
    #[command(subcommand)]
    login_url: Option<Command>,
    /// TOML file of accounts and campaigns
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// The account of the file to connect, if the file has several and none has logged in
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// The result of a login: the code, or the URL that the browser shows
    #[arg(long, value_name = "CODE", requires_all = ["app_id", "redirect_uri"])]
    code: Option<String>,
    /// The Instagram app's id (App Dashboard, Instagram, API setup with Instagram login)
    #[arg(long, value_name = "ID", requires = "code")]
    app_id: Option<String>,
    /// The redirect URI of the login
    #[arg(long, value_name = "URI", requires = "code")]
    redirect_uri: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Print the URL at which an account's owner logs in and grants the permissions
    #[command(after_help = "\
Example:
  spillway connect login-url --app-id 990602627938098 --redirect-uri https://example.com/

The owner opens the URL, logs in, and is sent to the redirect URI with a code in its query. The code can
be used once, within an hour: pass it to `spillway connect FILE --code`.")]
    LoginUrl(LoginUrl),
}

#[derive(Args)]
struct LoginUrl {
    /// The Instagram app's id (App Dashboard, Instagram, API setup with Instagram login)
    #[arg(long, value_name = "ID")]
    app_id: String,
    /// Where people are sent after the login: one of the app's redirect URIs, letter for letter
    #[arg(long, value_name = "URI")]
    redirect_uri: String,
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
    if let Some(Command::LoginUrl(LoginUrl { app_id, redirect_uri })) = &options.login_url {
        let url = login::login_url(app_id, redirect_uri)?;
        return output.print(&serde_json::json!({ "login_url": url }), || format!("{url}\n"));
    }
    let file = options.file.as_deref().context("name the file of accounts and campaigns")?;
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let accounts = accounts_file::parse(&text, &Profile::careful())
        .map_err(|error| campaign::refuse(&shown, &text, &error))?;
    let wanted = options.account.as_deref().map(AccountId::from);
    match (options.code, options.app_id, options.redirect_uri) {
        (Some(code), Some(app_id), Some(redirect_uri)) => {
            let deployment = place.open().await?;
            let secrets = deployment.secrets.read().await.context(
                "the app's secret is needed to exchange the code: let this user read the \
                 deployment's secret",
            )?;
            let login = Login::new(&deployment.config.graph, secrets.app_secrets)?;
            let code = login::code_in(&code);
            let logged_in = login.redeem(&app_id, &code, &redirect_uri).await?;
            let id = &logged_in.me.account;
            ensure!(
                wanted.is_none_or(|wanted| wanted == *id),
                "account {id} has logged in, and --account names another one: log out of Instagram \
                 and in again with the right one"
            );
            let account = chosen(accounts, Some(id), &shown)?;
            warn_of(&account);
            let subscribed = login.connect(&deployment.wiring, &logged_in, &account).await?;
            if let Subscribed::Later(reason) = &subscribed {
                note(format_args!(
                    "not subscribed to its webhooks yet: {reason}; upkeep does it within a quarter \
                     of an hour"
                ));
            }
            tell(&account, output)
        }
        _ => {
            let account = chosen(accounts, wanted.as_ref(), &shown)?;
            warn_of(&account);
            let token = read_token()?;
            let deployment = place.open().await?;
            let token = deployment.wiring.keys.seal(&account.id, &token).await?;
            let connection = Connection {
                account: &account,
                token: &token,
                lasts: None,
                proof: NewToken::Untried,
                app_scoped: None,
            };
            deployment.admin.accounts.connect(&connection).await?;
            tell(&account, output)
        }
    }
}

/// The account of the file with this id, or the only one.
fn chosen(
    mut accounts: Vec<NewAccount>,
    id: Option<&AccountId>,
    shown: &str,
) -> Result<NewAccount> {
    match id {
        Some(id) => {
            let at = accounts.iter().position(|account| account.id == *id);
            let at = at.with_context(|| {
                format!("{shown} has no account {id}: add an [[account]] with this id")
            })?;
            Ok(accounts.swap_remove(at))
        }
        None if accounts.len() == 1 => Ok(accounts.swap_remove(0)),
        None => bail!("{shown} has several accounts: say which one with --account"),
    }
}

fn warn_of(account: &NewAccount) {
    let (profile, tier) = (account.rules.profile(), account.rules.terms().tier);
    for warning in profile.warnings(tier) {
        note(format_args!("profile `{}`: {warning}", profile.name));
    }
}

fn tell(account: &NewAccount, output: Output) -> Result<()> {
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
