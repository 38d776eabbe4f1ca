//! `spillway campaign send`: an outbound run of a campaign.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde::Serialize;
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::outbound::{LeftOut, RUN_CHARS_MAX, Run};
use spillway_core::send::PendingSend;
use spillway_core::time::Timestamp;
use spillway_service::account::Account;
use spillway_service::admin::Several;
use spillway_service::admin::outbound::{Fate, FateView};

use super::people::{self, Row};
use crate::arguments;
use crate::confirm::Consent;
use crate::deployment::{Deployment, Where};
use crate::exit::{Refused, Unread, WrongUsage};
use crate::output::{Output, Times, counted};
use crate::progress::Progress;
use crate::text_file;

/// What is sent to whom.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway campaign send guide --to people.csv --dry-run
  spillway campaign send guide --to people.csv --run december
  spillway lead export 17841400000000001 | spillway campaign send guide --to - --yes

The list is CSV, with commas, semicolons or tabs. Its first line names the columns; `person` has the ids that webhooks carry (`from.id`), and the
other columns are ignored. A list with mistakes is refused as a whole, with every line and reason (exit code 4).
A person who is listed twice gets one message.

Meta lets an account write to a person for 24 hours after their last message or tap. Spillway knows of it for people
who are in a conversation of a campaign with `then`, and asks Meta about nobody: that would cost a call for each. So
it leaves people out, and says why:
  no_window     they are not known to have written within 24 hours. They may have: of people who only comment, or
                who wrote without being in a conversation, nothing is kept
  too_late      their window closes before it would be their turn
  stopped       they wrote STOP
  taken_over    a human has their thread, until the time that is told
  forgotten     `contact forget` was asked for, and they have not written since
  in_run        an earlier try of this run has a send for them
  has_campaign  the campaign has `once_per = \"campaign\"`, and they have it

What they get is a text of the campaign's `messages`, where `{keyword}` is its first keyword, and what follows in `then`
once they answer. Any campaign can be sent that is not paused, and not outside its `starts` and `ends`; `on` and
`keywords` do not matter. These sends go last: they take the slots that comments, answers and follow-ups leave, and
count as all others do. Window, STOP and takeover are looked at again right before each call. What is not reached before
its window closes expires.

A person gets each run of a campaign once, for ten days at least, so a run that was interrupted is repeated as it is;
another --run reaches them again. A campaign with `once_per = \"campaign\"` has one run, whatever it is called. What a run
sends does not count as the answer to a later comment. `spillway send cancel` stops what waits.")]
pub(crate) struct SendOptions {
    /// The campaign's id
    #[arg(value_parser = arguments::campaign)]
    campaign: CampaignId,
    /// CSV file with a column `person`; `-` for standard input
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The account; needed if several have a campaign of this id
    #[arg(long, value_name = "ID", value_parser = arguments::account)]
    account: Option<AccountId>,
    /// The name of this run: a person gets each run once
    #[arg(long, value_name = "NAME", default_value = "first", value_parser = run_name)]
    run: String,
    /// Only tell who would be written to, and who is left out
    #[arg(long)]
    dry_run: bool,
    /// Who sends it, for the account's events [default: the name of the user]
    #[arg(
        long,
        env = "USER",
        default_value = "operator",
        value_name = "NAME",
        hide_env = true,
        hide_default_value = true
    )]
    operator: String,
    #[command(flatten)]
    consent: Consent,
}

/// Reads the name of a run.
fn run_name(text: &str) -> Result<String, String> {
    let is_name = !text.trim().is_empty()
        && text.chars().count() <= RUN_CHARS_MAX
        && !text.chars().any(char::is_control);
    is_name
        .then(|| text.trim().to_owned())
        .ok_or_else(|| format!("write a name of 1 to {RUN_CHARS_MAX} characters"))
}

/// What a run does, as programs read it.
#[derive(Serialize)]
struct RunView<'a> {
    account: &'a AccountId,
    campaign: &'a CampaignId,
    run: &'a str,
    /// People on the list, each once.
    people: usize,
    /// Rows that name somebody again.
    repeated: usize,
    /// People who are written to.
    reached: usize,
    /// Of these, sends that were recorded now.
    recorded: usize,
    /// How many are left out, by the reason.
    left_out: BTreeMap<&'static str, usize>,
    /// The reasons.
    #[serde(skip)]
    reasons: BTreeMap<&'static str, LeftOut>,
    lines: Vec<LineView>,
}

#[derive(Serialize)]
struct LineView {
    line: usize,
    #[serde(flatten)]
    fate: FateView,
}

/// Runs it.
pub(super) async fn run(options: &SendOptions, place: &Where, output: Output) -> Result<()> {
    let (text, shown) = text_file::read(&options.to)?;
    let rows = people::parse(&text).map_err(|mistakes| {
        let reasons = mistakes.iter().map(|(line, reason)| format!("{shown}:{line}: {reason}"));
        Refused { file: shown.clone(), reasons: reasons.collect::<Vec<_>>().join("\n") }
    })?;
    let (people, lines) = once_each(&rows);
    let deployment = place.open().await?;
    let account = account(&deployment, options).await?;
    let now = deployment.clock.now();
    let run = Run::new(&account.id, &account.campaigns, &options.campaign, &options.run, now)
        .map_err(|error| anyhow!("account {}: {error}", account.id))?;
    let outbound = &deployment.admin.outbound;
    let progress = Progress::new("people looked at", people.len());
    let looked_at = |count| progress.advance(count);
    let overviews = &deployment.admin.overviews;
    let fates = outbound.look(overviews, &account, &run, &people, &looked_at).await;
    progress.finish();
    let fates = fates.with_context(|| format!("account {}", account.id))?;
    let mut view = RunView {
        account: &account.id,
        campaign: &options.campaign,
        run: &options.run,
        people: people.len(),
        repeated: rows.len() - people.len(),
        reached: 0,
        recorded: 0,
        left_out: BTreeMap::new(),
        reasons: BTreeMap::new(),
        lines: Vec::with_capacity(people.len()),
    };
    let mut sends: Vec<PendingSend> = Vec::new();
    for ((person, line), fate) in people.iter().zip(lines).zip(fates) {
        view.lines.push(LineView { line, fate: FateView::of(person, &fate) });
        match fate {
            Fate::Reached { send, .. } => sends.push(*send),
            Fate::LeftOut(why) => {
                *view.left_out.entry(why.as_str()).or_default() += 1;
                view.reasons.insert(why.as_str(), why);
            }
        }
    }
    view.reached = sends.len();
    let times = Times { now, zone: account.rules.terms().time_zone.clone() };
    // Who is written to is seen before anybody is asked.
    output.print_text(|| view.text(&times))?;
    if !options.dry_run && !sends.is_empty() {
        options.consent.ask(&format!(
            "this writes to {} in the name of account {}",
            people_counted(sends.len()),
            account.id
        ))?;
        let progress = Progress::new("sends recorded", sends.len());
        let recorded = |count| progress.advance(count);
        let new = outbound.record(&run, &options.run, sends, &options.operator, &recorded).await;
        progress.finish();
        view.recorded = new.context("some are not recorded: run the command again")?;
    }
    output.print(&view, || {
        if options.dry_run {
            "nothing is sent: --dry-run\n".into()
        } else if view.reached == 0 {
            "nobody is written to\n".into()
        } else {
            format!("{} recorded; they get slots within a minute\n", counted(view.recorded, "send"))
        }
    })
}

/// Returns each person once, with the line that names them first.
fn once_each(rows: &[Row]) -> (Vec<RecipientId>, Vec<usize>) {
    let mut seen = HashSet::new();
    rows.iter()
        .filter(|row| seen.insert(&row.person))
        .map(|row| (row.person.clone(), row.line))
        .unzip()
}

/// Returns the account that is named, or the only one with the campaign.
async fn account(deployment: &Deployment, options: &SendOptions) -> Result<Account> {
    let SendOptions { account, campaign, .. } = options;
    if let Some(account) = account {
        return Ok(deployment.admin.accounts.connected(account).await?);
    }
    let Several { read, unreadable } = deployment.admin.accounts.all_connected(None).await?;
    Unread::check(unreadable)?;
    let mut having: Vec<Account> =
        read.into_iter().filter(|account| account.campaigns.get(campaign).is_some()).collect();
    match (having.pop(), having.first()) {
        (Some(only), None) => Ok(only),
        (None, _) => bail!(
            "no account has a campaign `{campaign}`: `spillway campaign list` names those there are"
        ),
        (Some(_), Some(first)) => Err(WrongUsage(format!(
            "{} accounts have a campaign `{campaign}`: name one, for instance with `--account {}`",
            having.len() + 1,
            first.id
        ))
        .into()),
    }
}

fn people_counted(count: usize) -> String {
    if count == 1 { "1 person".into() } else { format!("{count} people") }
}

impl RunView<'_> {
    fn text(&self, times: &Times) -> String {
        let Self { account, campaign, run, people, reached, repeated, .. } = self;
        let mut text = format!(
            "campaign {campaign} of account {account}, run {run}: {reached} of {}\n",
            people_counted(*people)
        );
        let mut line = |count: usize, what: &str| {
            let _ = writeln!(text, "{count:>8}  {what}");
        };
        let expected = || self.lines.iter().filter_map(|line| line.fate.expected_at);
        if let (Some(first), Some(last)) = (expected().min(), expected().max()) {
            let told = |at: Timestamp| times.when(at);
            line(
                *reached,
                &format!("are written to: the first {}, the last {}", told(first), told(last)),
            );
        }
        for (why, reason) in &self.reasons {
            line(self.left_out[why], &format!("left out, {why}: {reason}"));
        }
        if *repeated > 0 {
            line(*repeated, "rows name somebody again, who is counted once");
        }
        if !self.left_out.is_empty() {
            text += "`--json` tells of each person, with the line of the list.\n";
        }
        text
    }
}
