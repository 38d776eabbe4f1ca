//! `spillway connect`: an account with its token, sealed, and its campaigns, into the deployment,
//! by a login or with a token at hand; and `spillway new-key`, a new key to seal tokens with.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use spillway_cloud::meta::login::{self, Login, Payer, Subscribed};
use spillway_cloud::secrets::SecretSource;
use spillway_core::hold::NewToken;
use spillway_core::id::AccountId;
use spillway_core::profile::Profile;
use spillway_core::rules::Rules;
use spillway_service::accounts_file::{self, AccountsFileError, NewAccount};
use spillway_service::admin::campaigns::Planned;
use spillway_service::admin::connect::{ConnectError, ConnectPlan, Connection, History};
use spillway_service::admin::rfc3339;
use spillway_service::clock::{Clock as _, SystemClock};

use crate::arguments;
use crate::campaign;
use crate::confirm::Consent;
use crate::deployment::{Deployment, Where};
use crate::exit::WrongUsage;
use crate::limits;
use crate::output::{Output, counted, note};
use crate::text_file;

/// What to connect, and where.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
With a login, for your own app (no page has to exist at the redirect URI: the browser shows the code):

  spillway connect login-url --app-id 990602627938098 --redirect-uri https://example.com/
  spillway connect accounts.toml --app-id 990602627938098 --redirect-uri https://example.com/

It asks for the address that the browser shows after the login, without showing it, or reads it from standard
input. So no process list or shell history contains the code. It is exchanged for a token of 60 days, which
upkeep renews, and the account is subscribed to its webhooks. The app's secret is read from the
deployment's secret.

With a token that you have. It is read from standard input, or from the terminal without being shown,
so that no process list or shell history contains it. One call asks Meta whose it is before anything is
stored. Upkeep subscribes the account within 15 minutes, and renews the token:

  spillway connect accounts.toml 17841400000000001 < token.txt

A connected account gets the new token, and keeps what the file does not name. What the file changes is
shown and asked about; --yes is for scripts.

A file with mistakes is refused as a whole, with every line and reason, before anything is written:

  [[account]]
  id = \"17841400000000001\"

  [[account.campaign]]
  id = \"guide\"
  keywords = [\"guide\"]            # leave out to answer every comment
  messages = [\"Hi {username|there}! https://example.com/guide\"]

A new account has the profile `careful`, tier 1, in UTC, and warms up from now on, unless the file says
otherwise. --established is for an account that has sent through software before:

  [[account]]
  id = \"17841400000000001\"
  profile = \"meta\"                # or the name of a [[profile]] of the file
  terms = { tier = 2, time_zone = \"Europe/Berlin\", day_starts = \"09:00\", warm_up_since = 2026-11-01 }

New limits apply from the next decision on, new campaigns within a minute."
)]
pub(crate) struct Options {
    #[command(subcommand)]
    login_url: Option<Command>,
    /// TOML file of accounts and campaigns
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// The account of the file to connect, if the file has several and none has logged in
    #[arg(value_parser = arguments::account)]
    account: Option<AccountId>,
    /// Connect by a login: the Instagram app's id (App Dashboard, Instagram, API setup with Instagram login)
    #[arg(long, value_name = "ID", requires = "redirect_uri", value_parser = arguments::app_id)]
    app_id: Option<String>,
    /// The redirect URI of the login
    #[arg(long, value_name = "URI", requires = "app_id", value_parser = arguments::redirect_uri)]
    redirect_uri: Option<String>,
    /// The account has sent through software before: a new account with a history needs no warm-up
    #[arg(long)]
    established: bool,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Subcommand)]
enum Command {
    /// Print the URL at which an account's owner logs in and grants the permissions
    #[command(after_help = "\
Example:
  spillway connect login-url --app-id 990602627938098 --redirect-uri https://example.com/

The owner opens the URL, logs in, and is sent to the redirect URI with a code in its query. The code can
be used once, within an hour: `spillway connect FILE --app-id ID --redirect-uri URI` asks for it.")]
    LoginUrl(LoginUrl),
}

#[derive(Args)]
struct LoginUrl {
    /// The Instagram app's id (App Dashboard, Instagram, API setup with Instagram login)
    #[arg(long, value_name = "ID", value_parser = arguments::app_id)]
    app_id: String,
    /// Where people are sent after the login: one of the app's redirect URIs, letter for letter
    #[arg(long, value_name = "URI", value_parser = arguments::redirect_uri)]
    redirect_uri: String,
}

/// Makes a new data key.
pub(crate) async fn new_key(place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    let number = deployment.wiring.keys.replace().await?;
    deployment.wiring.sample_keys.replace().await?;
    output.print(&serde_json::json!({ "token_key": number }), || {
        format!(
            "data key {number} seals from now on; connect each account again to have its token \
             under it. Samples of comments are sealed to a new key within ten minutes\n"
        )
    })
}

/// Connects the account.
pub(crate) async fn run(options: Options, place: &Where, output: Output) -> Result<()> {
    if let Some(Command::LoginUrl(LoginUrl { app_id, redirect_uri })) = &options.login_url {
        let url = login::login_url(app_id, redirect_uri)?;
        return output.print(&serde_json::json!({ "login_url": url }), || format!("{url}\n"));
    }
    let path = options.file.as_deref().filter(|path| *path != Path::new("-"));
    let path = path.ok_or_else(|| {
        let wrong = "name the file of accounts and campaigns: standard input is for the token";
        WrongUsage(wrong.into())
    })?;
    let (text, shown) = text_file::read(path)?;
    let accounts = accounts_file::parse(&text, &Profile::careful())
        .map_err(|error| campaign::refuse(&shown, &text, &error))?;
    let is_wanted =
        |account: &&NewAccount| options.account.as_ref().is_none_or(|wanted| *wanted == account.id);
    limits::say_campaign_notes(accounts.iter().filter(is_wanted), SystemClock::new().now());
    let wanted = options.account;
    let history = if options.established { History::Established } else { History::None };
    let job = Job {
        file: File { shown, text, accounts },
        history,
        consent: options.consent,
        output,
        deployment: place.open().await?,
    };
    match (options.app_id, options.redirect_uri) {
        (Some(app_id), Some(redirect_uri)) => {
            job.by_login(wanted.as_ref(), &app_id, &redirect_uri).await
        }
        _ => job.by_token(wanted.as_ref()).await,
    }
}

/// The file of accounts and campaigns.
struct File {
    shown: String,
    text: String,
    accounts: Vec<NewAccount>,
}

/// An account of a file to be connected.
struct Job {
    file: File,
    history: History,
    consent: Consent,
    output: Output,
    deployment: Deployment,
}

impl Job {
    async fn by_login(
        &self,
        wanted: Option<&AccountId>,
        app_id: &str,
        redirect_uri: &str,
    ) -> Result<()> {
        let deployment = &self.deployment;
        let secrets = deployment.secrets.read().await.context(
            "the app's secret is needed to exchange the code: let this user read the deployment's \
             secret",
        )?;
        let login = Login::new(&deployment.config.graph, secrets.app_secrets)?;
        let gateway = deployment.wiring.gateway();
        // A code is good once: everything that can be asked before it is used is.
        let planned = match (wanted, &self.file.accounts[..]) {
            (None, [_, _, ..]) => None,
            _ => Some(self.plan(self.file.account(wanted)?).await?),
        };
        let account = match &planned {
            Some(plan) => Some(deployment.admin.accounts.payer(&gateway, plan).await?),
            None => None,
        };
        let result = read_secret(
            "Paste the address that the browser shows after the login, then Enter (it is not shown): ",
            "the result of the login: the code, or the address that the browser shows",
        )?;
        let code = &login::code_in(result.expose_secret())?;
        let payer = account.as_ref().map_or(Payer::Unknown, |one| Payer::Account(&gateway, one));
        let logged_in = login.redeem(app_id, code, redirect_uri, payer).await?;
        let id = &logged_in.me.account;
        let plan = match planned {
            Some(plan) => {
                ensure!(
                    plan.settings.account == *id,
                    "account {id} has logged in, and {} is to be connected: log out of Instagram \
                     and in again with the right one",
                    plan.settings.account
                );
                plan
            }
            None => self.plan(self.file.account(Some(id))?).await?,
        };
        let connected = login.connect(&deployment.wiring, &logged_in, &plan.settings).await?;
        deployment.wiring.sample_keys.ensure().await?;
        self.tell(&plan)?;
        match connected {
            Subscribed::Yes => Ok(()),
            Subscribed::Later(reason) => {
                note(format_args!(
                    "not subscribed to its webhooks yet: {reason}; upkeep does it within a quarter \
                     of an hour"
                ));
                Ok(())
            }
            Subscribed::Refused(reason) => bail!(
                "the account is connected, and Meta does not subscribe it to its webhooks: {reason}; \
                 no comment arrives until it does. Upkeep asks again every hour; `spillway doctor {id}` \
                 says what is missing"
            ),
        }
    }

    async fn by_token(&self, wanted: Option<&AccountId>) -> Result<()> {
        let deployment = &self.deployment;
        let plan = self.plan(self.file.account(wanted)?).await?;
        let id = &plan.settings.account;
        let token = read_secret(
            "Paste the account's long-lived access token, then Enter (it is not shown): ",
            "the token",
        )?;
        let gateway = deployment.wiring.gateway();
        let account = deployment.admin.accounts.payer(&gateway, &plan).await?;
        let me = login::check_token(&deployment.config.graph, &gateway, &account, &token).await?;
        let connection = Connection {
            settings: &plan.settings,
            token: &deployment.wiring.keys.seal(id, &token).await?,
            lasts: None,
            proof: NewToken::Works,
            app_scoped: me.app_scoped.as_deref(),
        };
        deployment.admin.accounts.connect(&connection).await?;
        deployment.wiring.sample_keys.ensure().await?;
        self.tell(&plan)
    }

    /// Shows what connecting changes, and asks about it if the account is connected already.
    async fn plan(&self, account: &NewAccount) -> Result<ConnectPlan> {
        let File { shown, text, .. } = &self.file;
        campaign::check_links(&self.deployment, [account], (shown, text))?;
        let admin = &self.deployment.admin.accounts;
        let plan = admin.plan_connection(account, self.history).await;
        let plan = plan.map_err(|error| match error {
            ConnectError::Refused(mistake) => {
                let error = AccountsFileError { mistakes: vec![mistake] };
                campaign::refuse(&self.file.shown, &self.file.text, &error)
            }
            ConnectError::Store(error) => error.into(),
        })?;
        // A file that names no limits has a new account begin with the usual ones.
        if account.named_limits().is_some() {
            limits::say_notes(plan.rules());
        }
        let Some(planned) = &plan.changes else { return Ok(plan) };
        if self.history == History::Established {
            note("the account is connected already: --established changes nothing");
        }
        if !planned.plan.is_empty() {
            let now = self.deployment.clock.now();
            self.output.print_text(|| campaign::plan_text(planned, now))?;
            let id = &planned.account.id;
            self.consent.ask(&format!("account {id} is connected, and the file changes it"))?;
        }
        Ok(plan)
    }

    fn tell(&self, plan: &ConnectPlan) -> Result<()> {
        let ConnectPlan { settings, changes } = plan;
        let campaigns: Vec<&str> =
            settings.campaigns.iter().map(|campaign| campaign.id.as_str()).collect();
        let rules = plan.rules();
        let since = rules.and_then(|rules| rules.terms().warm_up_since);
        let connected = serde_json::json!({
            "account": settings.account,
            "is_new": changes.is_none(),
            "profile": rules.map(|rules| &rules.profile().name),
            "warm_up_since": since.and_then(rfc3339),
            "campaigns": campaigns,
            "changes": changes.as_ref().map(Planned::view),
        });
        self.output.print(&connected, || {
            let id = &settings.account;
            match changes {
                Some(planned) if planned.plan.is_empty() => {
                    format!("{id} has a new token; nothing else changes\n")
                }
                Some(_) => format!("{id} has a new token, and what is shown above is written\n"),
                None => {
                    let n = counted(campaigns.len(), "campaign");
                    let names = campaigns.join(", ");
                    let warm_up = rules.map_or_else(String::new, |rules| warming_up(id, rules));
                    format!("connected {id} with {n}: {names}\n{warm_up}")
                }
            }
        })
    }
}

/// Says how a new account warms up.
fn warming_up(id: &AccountId, rules: &Rules) -> String {
    let Some((warm_up, since)) = rules.profile().warm_up.zip(rules.terms().warm_up_since) else {
        return String::new();
    };
    const DAY: Duration = Duration::from_secs(86_400);
    let over = since + DAY * u32::try_from(warm_up.over_on()).unwrap_or(u32::MAX);
    let over = rules.terms().time_zone.local(over).map(|over| over.date().to_string());
    let over = over.unwrap_or_default();
    format!(
        "it warms up: {}% of its limits on the first day, all of them from {over} on. For an \
         account that has sent through software before: `spillway account set {id} \
         --warm-up-since none`\n",
        warm_up.from_percent
    )
}

impl File {
    /// The account with this id, or the only one.
    fn account(&self, id: Option<&AccountId>) -> Result<&NewAccount> {
        match (id, &self.accounts[..]) {
            (Some(id), accounts) => {
                accounts.iter().find(|account| account.id == *id).with_context(|| {
                    format!("{} has no account {id}: add an [[account]] with this id", self.shown)
                })
            }
            (None, [account]) => Ok(account),
            (None, _) => {
                let several = format!("{} has several accounts: name one after it", self.shown);
                Err(WrongUsage(several).into())
            }
        }
    }
}

/// Reads a secret from standard input: from a terminal with a prompt, and without showing it.
fn read_secret(prompt: &str, what: &str) -> Result<SecretString> {
    let mut stdin = std::io::stdin();
    let text = if stdin.is_terminal() {
        rpassword::prompt_password(prompt).context("read from the terminal")?
    } else {
        let mut text = String::new();
        stdin.read_to_string(&mut text).context("read standard input")?;
        text
    };
    let secret = SecretString::from(text.trim());
    ensure!(
        !secret.expose_secret().is_empty() && !secret.expose_secret().contains(char::is_whitespace),
        "standard input must hold {what}, and nothing else"
    );
    Ok(secret)
}
