//! `spillway doctor`: looks at everything between Meta and a sent DM, and says for each finding
//! what to do. What is found is judged by plain functions; one thing that cannot be looked at stops
//! no other.

mod accounts;
mod finding;
mod queues;
mod schedule;
mod tables;
mod webhook;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use futures::stream::{self, StreamExt};
use serde::Serialize;
use spillway_core::id::AccountId;
use spillway_service::port::MaintenanceRecords;

use self::finding::{Finding, Verdict};
use crate::deployment::{Deployment, Where};
use crate::exit::Ended;
use crate::output::{Output, Paint, counted, paint, span};
use crate::progress::Progress;

/// What to look at.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway doctor                                  everything
  spillway doctor 17841400000000001                everything, but only this account
  spillway doctor --json | jq -r '.findings[] | select(.verdict == \"wrong\") | .do_this'
  spillway doctor > report.txt || mail -s 'Spillway is unwell' you@example.com < report.txt

The doctor uses your AWS credentials, and skips what they do not allow. It sends the webhook a handshake, a
signed empty delivery and a forged one, with the app secret and verify token of the deployment's secret.
For each account it makes up to five calls, charged to the account's budget; without room they are skipped.
Meta's answers have their usual effect: a refused token stops its account.

The exit code is 6 if anything is wrong; warnings alone leave it 0.")]
pub(crate) struct Options {
    /// Only this account
    account: Option<String>,
}

/// Accounts that are looked at a time.
const AT_ONCE: usize = 8;

/// How long one thing may take to be looked at: some calls that are tried three times.
const PATIENCE: Duration = Duration::from_secs(60);

const STORE: &str = "store";
const TABLES: &str = "tables";
const QUEUES: &str = "queues";
const WEBHOOK: &str = "webhook";
const SCHEDULES: &str = "schedules";
const KEYS: &str = "token key";
const CLOCK: &str = "clock";
const ACCOUNTS: &str = "accounts";

/// What is printed.
#[derive(Serialize)]
struct Report {
    /// The worst of them.
    verdict: Verdict,
    findings: Vec<Finding>,
}

/// Looks, and says what was found.
pub(crate) async fn run(options: Options, place: &Where, output: Output) -> Result<Ended> {
    let deployment = place.open().await?;
    let only = options.account.as_deref().map(|id| AccountId::new(id.trim()));
    let findings = look(&deployment, only).await;
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Good);
    let report = Report { verdict, findings };
    output.print(&report, || text(&report.findings))?;
    Ok(if report.verdict == Verdict::Wrong { Ended::Unwell } else { Ended::Done })
}

async fn look(deployment: &Deployment, only: Option<AccountId>) -> Vec<Finding> {
    let progress = Progress::unbounded("things looked at");
    let store = patiently(&progress, STORE, store(deployment)).await;
    let is_open = store.iter().all(|finding| finding.verdict == Verdict::Good);
    let of_store = async {
        if !is_open {
            let failed = store.iter().find_map(|finding| finding.failed);
            let said = "the store cannot be asked";
            let skipped = |check| Finding { failed, ..Finding::skipped(check, said) };
            return [SCHEDULES, KEYS, ACCOUNTS].map(skipped).to_vec();
        }
        let (schedules, keys, accounts) = futures::join!(
            patiently(&progress, SCHEDULES, schedule::check(deployment)),
            patiently(&progress, KEYS, keys(deployment)),
            accounts(deployment, only, &progress),
        );
        [schedules, keys, accounts].concat()
    };
    let (tables, queues, webhook, of_store) = futures::join!(
        patiently(&progress, TABLES, tables::check(deployment)),
        patiently(&progress, QUEUES, queues::check(deployment)),
        patiently(&progress, WEBHOOK, webhook::check(deployment)),
        of_store,
    );
    progress.finish();
    // Last: by now every answer has told its date.
    let clock = clock(deployment, is_open);
    Finding::told_once([store, tables, queues, webhook, of_store, vec![clock]].concat())
}

/// What is found within a while.
async fn patiently(
    progress: &Progress,
    check: &'static str,
    look: impl Future<Output = Vec<Finding>>,
) -> Vec<Finding> {
    let found = tokio::time::timeout(PATIENCE, look).await;
    progress.advance(1);
    found.unwrap_or_else(|_| {
        let said = format!("no answer within {}", span(PATIENCE));
        let do_this = "is the network slow, or the service down? Run the doctor again";
        vec![Finding::wrong(check, said, do_this)]
    })
}

async fn store(deployment: &Deployment) -> Vec<Finding> {
    vec![match deployment.wiring.app.load().await {
        Ok(_) => Finding::good(STORE, "DynamoDB answers: region and credentials are right"),
        Err(error) => Finding::unread(STORE, &error),
    }]
}

async fn keys(deployment: &Deployment) -> Vec<Finding> {
    vec![match deployment.wiring.keys.warm().await {
        Ok(()) => Finding::good(KEYS, "the data key in use can be decrypted"),
        Err(error) => Finding::unread(KEYS, &error),
    }]
}

async fn accounts(
    deployment: &Deployment,
    only: Option<AccountId>,
    progress: &Progress,
) -> Vec<Finding> {
    let ids = match &only {
        Some(account) => vec![account.clone()],
        None => match deployment.wiring.maintenance.accounts().await {
            Ok(ids) => ids,
            Err(error) => return vec![Finding::unread(ACCOUNTS, &error)],
        },
    };
    if ids.is_empty() {
        let said = "none is connected: nobody is answered";
        return vec![Finding::warning(ACCOUNTS, said, "`spillway connect --help`")];
    }
    let looks = ids.iter().map(|id| async move {
        let found = patiently(progress, ACCOUNTS, accounts::check(deployment, id)).await;
        found.into_iter().map(|finding| finding.of(id)).collect::<Vec<_>>()
    });
    let found: Vec<Vec<Finding>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    match (found.concat(), only) {
        (found, Some(account)) if found.is_empty() => vec![accounts::unknown().of(&account)],
        (found, _) => found,
    }
}

/// What the dates of all answers say of this machine's clock.
fn clock(deployment: &Deployment, is_told: bool) -> Finding {
    match (deployment.wiring.check.is_trusted(), is_told) {
        (true, true) => Finding::good(CLOCK, "within a second of the servers' clocks"),
        (true, false) => Finding::skipped(CLOCK, "no server has told the time"),
        (false, _) => Finding::wrong(
            CLOCK,
            "off by more than a second from the servers' clocks: nothing is granted here",
            "set this machine's clock (NTP)",
        ),
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { check, account, verdict, said, do_this, hides, .. } in findings {
        let mark = match verdict {
            Verdict::Good => paint(Paint::Good, "good   "),
            Verdict::Skipped => "skipped".to_owned(),
            Verdict::Warning => paint(Paint::Warn, "warning"),
            Verdict::Wrong => paint(Paint::Bad, "wrong  "),
        };
        let account = account.as_deref().map_or(String::new(), |account| format!("{account} "));
        let _ = writeln!(text, "{mark}  {account}{check}: {said}");
        if let Some(do_this) = do_this {
            let _ = writeln!(text, "         -> {do_this}");
        }
        if !hides.is_empty() {
            let _ =
                writeln!(text, "         not looked at for the same cause: {}", hides.join(", "));
        }
    }
    let count = |of| findings.iter().filter(|finding| finding.verdict == of).count();
    let _ = writeln!(
        text,
        "\n{} good, {} skipped, {}, {} wrong",
        count(Verdict::Good),
        count(Verdict::Skipped),
        counted(count(Verdict::Warning), "warning"),
        count(Verdict::Wrong)
    );
    text
}
