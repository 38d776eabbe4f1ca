//! `spillway status`: what every account is, what is left of its quotas, what waits and until when;
//! once, or as a live view.

pub(crate) mod dead_letters;
mod screen;
mod text;
mod watch;
mod whole;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use spillway_core::id::AccountId;
use spillway_service::admin::Several;
use spillway_service::admin::overview::Overview;
use spillway_service::admin::status::StatusView;
use spillway_service::port::MaintenanceRecords;

use crate::arguments;
use crate::deployment::{Deployment, Where};
use crate::exit::{Unread, WrongUsage};
use crate::output::Output;
use crate::progress::Progress;

pub(crate) use self::text::sentence;
use self::whole::Whole;

/// Whose status, and how often.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway status                                  all accounts, the worst first
  spillway status 17841400000000001                one, with every quota, lane and hour
  spillway status --watch                          a live view; q ends it
  spillway status --json | jq -r '.accounts[] | select(.state != \"healthy\") | .account'

Waiting sends are read from the state table, up to 20,000 for each account. LEFT is the quota with the
least left. A time marked ~ is a forecast. Calls that ended in a 5xx are counted for this
hour and the one before it; the calls that a process made since its last decision are missing.")]
pub(crate) struct Options {
    /// Only this account
    #[arg(value_parser = arguments::account)]
    account: Option<AccountId>,
    /// Refresh continuously, on the whole terminal
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// How often, with --watch
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = arguments::span, requires = "watch", allow_hyphen_values = true)]
    every: Duration,
}

impl Options {
    /// Whether it draws on the whole terminal.
    pub(crate) fn draws(&self) -> bool {
        self.watch
    }
}

/// Looks, once or again and again.
pub(crate) async fn run(options: Options, place: &Where, output: Output) -> Result<()> {
    if options.watch && !std::io::stdout().is_terminal() {
        let instead = "--watch draws on a terminal: use `spillway status --json` in a pipe";
        return Err(WrongUsage(instead.into()).into());
    }
    let deployment = place.open().await?;
    let only = options.account.as_ref();
    if options.watch {
        return watch::run(&deployment, only, options.every).await;
    }
    let overviews = look_once(&deployment, only).await?;
    let now = deployment.clock.now();
    let whole = Whole::look(&deployment).await;
    let seen = Seen { status: StatusView::of(&overviews, now), whole };
    output.print(&seen, || {
        let accounts = match (only, &overviews.read[..]) {
            (Some(_), [overview]) => text::one(overview, now, output),
            (Some(_), []) => String::new(),
            _ => text::all(&overviews.read, now, output),
        };
        accounts + &seen.whole.text(now, output)
    })?;
    Ok(Unread::check(overviews.unreadable)?)
}

/// What is printed.
#[derive(Serialize)]
struct Seen {
    #[serde(flatten)]
    status: StatusView,
    #[serde(flatten)]
    whole: Whole,
}

/// The accounts to look at: all, or `only` that one.
async fn accounts(deployment: &Deployment, only: Option<&AccountId>) -> Result<Vec<AccountId>> {
    match only {
        Some(account) => Ok(vec![account.clone()]),
        None => Ok(deployment.wiring.maintenance.accounts().await?),
    }
}

/// Looks at accounts with a progress bar on standard error.
async fn look_once(deployment: &Deployment, only: Option<&AccountId>) -> Result<Several<Overview>> {
    let accounts = accounts(deployment, only).await?;
    let progress = Progress::new("accounts", accounts.len());
    let found = look(deployment, only, &accounts, |looked_at| progress.advance(looked_at)).await;
    progress.finish();
    found
}

/// Looks at these accounts, and writes nothing on the terminal; the gravest come first.
async fn look(
    deployment: &Deployment,
    only: Option<&AccountId>,
    accounts: &[AccountId],
    looked_at: impl Fn(usize) + Sync,
) -> Result<Several<Overview>> {
    let now = deployment.clock.now();
    let found = deployment.admin.overviews.of_all(accounts, now, &looked_at).await?;
    if let (Some(account), [], []) = (only, &found.read[..], &found.unreadable[..]) {
        bail!("account {account} is not connected: `spillway account list` names those that are");
    }
    Ok(found)
}
