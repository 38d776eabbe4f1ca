//! `spillway account`: connected accounts, their limits, and holds by hand.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;
use spillway_core::active_hours::{TimeOfDay, Zone};
use spillway_core::budget::Budget;
use spillway_core::campaign::Running;
use spillway_core::hold::{HoldCause, REASON_BYTES_MAX};
use spillway_core::id::AccountId;
use spillway_core::journal::{Event, JournalEntry, RemovedBy};
use spillway_core::quota::Tier;
use spillway_core::rules::{Rules, Terms};
use spillway_core::time::Timestamp;
use spillway_service::account::Account;
use spillway_service::port::{MaintenanceRecords, MaintenanceSchedule, Removal};

use crate::confirm::Consent;
use crate::deployment::{Deployment, Where};
use crate::limits;
use crate::output::{Output, Paint, instant, note, paint, parse_span, span, table, when};
use crate::progress::Progress;

/// What is done with accounts.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the connected accounts
    #[command(after_help = "\
Examples:
  spillway account list
  spillway account list --json | jq -r '.accounts[] | select(.holds != []) | .account'

This reads the whole state table, since there is no index of accounts.")]
    List,
    /// Show one account: limits, day, campaigns, holds
    #[command(after_help = "Example:\n  spillway account show 17841400000000001")]
    Show {
        /// The account's id, as webhooks name it
        account: String,
    },
    /// Change an account's limits, day or warm-up; shows the change
    Set(SetOptions),
    /// Stop an account by hand: nothing is called until it is resumed
    #[command(after_help = "\
Examples:
  spillway account hold 17841400000000001 --reason \"checking a text\"
  spillway account hold 17841400000000001 --for 2h

New comments are still recorded, and wait. A call that was granted in the last 5 seconds may still be
made. Then none is made until the time is over or `spillway account resume`. Sends that wait beyond their
deadline expire, so do not forget a hold without an end.")]
    Hold {
        /// The account's id
        account: String,
        /// How long, such as 30m or 2h [default: until it is resumed]
        #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
        lasts: Option<Duration>,
        /// A note for others, at most 120 bytes
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End a hold
    #[command(after_help = "\
Examples:
  spillway account resume 17841400000000001
  spillway account resume 17841400000000001 --yes    after a new token, in a script

A hold by hand ends at once. A hold that follows from an answer of Meta's (throttled, blocked, dead
token, missing permission) has an end of its own: resumed, one call goes first and finds out whether it
is over, and if it is not the next hold is longer. That is asked about first, and so is a hold of the
whole app, which the next call of any account then looks into.")]
    Resume {
        /// The account's id
        account: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Cancel an account's waiting sends, and delete its token, limits and campaigns
    #[command(after_help = "\
Example:
  spillway account remove 17841400000000001 --yes

The account is stopped, then every waiting send is cancelled, then its items are deleted. Its calls stay
counted, so connecting it again exceeds no limit. Its webhooks stay subscribed at Meta; deliveries for
it are ignored.")]
    Remove {
        /// The account's id
        account: String,
        #[command(flatten)]
        consent: Consent,
    },
}

/// What to change.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway account set 17841400000000001 --tier 2 --time-zone Europe/Berlin --day-starts 09:00
  spillway account set 17841400000000001 --warm-up-since now --dry-run
  spillway account set 17841400000000001 --profile agency --profiles accounts.toml

The profile says how long the day is active (`spread.active`). Options that are not given change nothing.")]
pub(crate) struct SetOptions {
    /// The account's id
    account: String,
    /// How many people Meta lets it write to in a day: 1 (1,000), 2 (10,000) or 3 (100,000)
    #[arg(long, value_parser = limits::tier)]
    tier: Option<Tier>,
    /// The time zone of its day, such as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<Zone>,
    /// When its day begins, in its time zone
    #[arg(long, value_name = "HH:MM")]
    day_starts: Option<TimeOfDay>,
    /// When it began to send through software: a date such as 2026-11-01, `now`, or `none`
    #[arg(long, value_name = "DATE")]
    warm_up_since: Option<String>,
    /// The limits: careful, meta, or a profile of --profiles
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// TOML file with `[[profile]]` tables
    #[arg(long, value_name = "FILE", requires = "profile")]
    profiles: Option<PathBuf>,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
}

/// An account as it is printed.
#[derive(Serialize)]
struct Shown {
    account: String,
    profile: String,
    tier: u8,
    time_zone: String,
    day_starts: String,
    /// Seconds of each day in which it writes.
    active_s: u64,
    warm_up_since: Option<String>,
    campaigns: Vec<ShownCampaign>,
    holds: Vec<ShownHold>,
}

#[derive(Serialize)]
struct ShownCampaign {
    id: String,
    paused_since: Option<String>,
}

#[derive(Serialize)]
struct ShownHold {
    cause: HoldCause,
    since: Option<String>,
    /// `null` until somebody resumes it.
    until: Option<String>,
    reason: Option<String>,
    #[serde(skip)]
    until_at: Timestamp,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    match command {
        Command::List => list(&deployment, output).await,
        Command::Show { account } => show(&deployment, &id(&account), output).await,
        Command::Set(options) => set(&deployment, options, output).await,
        Command::Hold { account, lasts, reason } => {
            hold(&deployment, &id(&account), lasts, reason.as_deref(), output).await
        }
        Command::Resume { account, consent } => {
            resume(&deployment, &id(&account), consent, output).await
        }
        Command::Remove { account, consent } => {
            remove(&deployment, &id(&account), consent, output).await
        }
    }
}

fn id(account: &str) -> AccountId {
    AccountId::new(account.trim())
}

impl Deployment {
    /// A connected account.
    pub(crate) async fn account(&self, id: &AccountId) -> Result<Account> {
        self.wiring.accounts.load(id).await?.with_context(|| {
            format!(
                "account {id} is not connected here: `spillway account list` names those that are"
            )
        })
    }
}

async fn list(deployment: &Deployment, output: Output) -> Result<()> {
    let now = deployment.clock.now();
    let mut shown = Vec::new();
    for id in deployment.wiring.maintenance.accounts().await? {
        // It may have been removed meanwhile.
        let Some(account) = deployment.wiring.accounts.load(&id).await? else { continue };
        let budget = deployment.wiring.budgets.load(&id).await?;
        shown.push(Shown::of(&account, &budget, now));
    }
    output.print(&serde_json::json!({ "accounts": shown }), || {
        let row = |shown: &Shown| {
            [
                shown.account.clone(),
                shown.profile.clone(),
                shown.tier.to_string(),
                shown.campaigns.len().to_string(),
                shown.state(now),
            ]
        };
        let rows: Vec<_> = shown.iter().map(row).collect();
        let none = "no account is connected: `spillway connect --help` says how";
        table(["ACCOUNT", "PROFILE", "TIER", "CAMPAIGNS", "STATE"], &rows, none)
    })
}

async fn show(deployment: &Deployment, id: &AccountId, output: Output) -> Result<()> {
    let account = deployment.account(id).await?;
    let budget = deployment.wiring.budgets.load(id).await?;
    let now = deployment.clock.now();
    for warning in account.rules.profile().warnings(account.rules.terms().tier) {
        note(format_args!("profile `{}`: {warning}", account.rules.profile().name));
    }
    let shown = Shown::of(&account, &budget, now);
    output.print(&shown, || shown.text(now))
}

async fn set(deployment: &Deployment, options: SetOptions, output: Output) -> Result<()> {
    let id = id(&options.account);
    let account = deployment.account(&id).await?;
    let before = account.rules.clone();
    let now = deployment.clock.now();
    let after = changed(&before, &options, now)?;
    let changes = differences(&before, &after);
    let warnings =
        if changes.is_empty() { Vec::new() } else { after.profile().warnings(after.terms().tier) };
    for warning in warnings {
        note(format_args!("profile `{}`: {warning}", after.profile().name));
    }
    let is_written = !changes.is_empty() && !options.dry_run;
    if is_written {
        write_rules(deployment, &account, &after).await?;
        // Other limits, other slots.
        deployment.wiring.backlogs.wake(&id, now).await?;
    }
    let shown = serde_json::json!({
        "account": id.as_str(),
        "changed": is_written,
        "changes": changes,
    });
    output.print(&shown, || {
        let mut text = String::new();
        for change in &changes {
            let _ = writeln!(text, "{:<14} {} -> {}", change.name, change.before, change.after);
        }
        text.push_str(match (changes.is_empty(), options.dry_run) {
            (true, _) => "nothing changes\n",
            (false, true) => "not written: --dry-run\n",
            (false, false) => "written\n",
        });
        text
    })
}

/// Writes an account's limits, and a change of tier into its journal.
pub(crate) async fn write_rules(
    deployment: &Deployment,
    account: &Account,
    rules: &Rules,
) -> Result<()> {
    if !deployment.accounts.set_rules(&account.id, rules).await? {
        bail!("account {} was removed meanwhile", account.id);
    }
    let (from, to) = (account.rules.terms().tier, rules.terms().tier);
    if from != to {
        deployment.note(&account.id, Event::TierChanged { from, to }).await?;
    }
    Ok(())
}

impl Deployment {
    /// Writes what happened into an account's journal.
    async fn note(&self, id: &AccountId, what: Event) -> Result<()> {
        let entry = JournalEntry { at: self.clock.now(), account: id.clone(), what };
        Ok(self.wiring.journal.append(&entry).await?)
    }
}

/// One setting, before and after.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub(crate) name: &'static str,
    pub(crate) before: String,
    pub(crate) after: String,
}

fn changed(before: &Rules, options: &SetOptions, now: Timestamp) -> Result<Rules> {
    let profile = match &options.profile {
        None => before.profile().clone(),
        Some(name) => limits::profile(name, options.profiles.as_deref())?,
    };
    let old = before.terms();
    let warm_up_since = match options.warm_up_since.as_deref() {
        None => old.warm_up_since,
        Some("none") => None,
        Some("now") => Some(now),
        Some(date) => Some(date_in(date, options.time_zone.as_ref().unwrap_or(&old.time_zone))?),
    };
    if options.warm_up_since.is_some() && warm_up_since.is_some() {
        ensure!(
            profile.warm_up.is_some(),
            "profile `{}` has no warm-up: leave --warm-up-since out, or choose another profile",
            profile.name
        );
        ensure!(warm_up_since.is_none_or(|since| since <= now), "--warm-up-since is in the future");
    }
    let terms = Terms {
        tier: options.tier.unwrap_or(old.tier),
        time_zone: options.time_zone.clone().unwrap_or_else(|| old.time_zone.clone()),
        day_starts: options.day_starts.unwrap_or(old.day_starts),
        warm_up_since,
    };
    Ok(Rules::new(profile, terms)?)
}

fn date_in(date: &str, zone: &Zone) -> Result<Timestamp> {
    let day: Option<jiff::civil::Date> = date.parse().ok();
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(&zone.to_string()).ok();
    day.zip(zone)
        .and_then(|(day, zone)| day.to_zoned(zone).ok())
        .and_then(|at| u64::try_from(at.timestamp().as_millisecond()).ok())
        .map(Timestamp::from_millis)
        .with_context(|| {
            format!("--warm-up-since `{date}`: write a date such as 2026-11-01, `now` or `none`")
        })
}

/// What differs between two sets of rules, for people.
pub(crate) fn differences(before: &Rules, after: &Rules) -> Vec<Change> {
    let (old, new) = (before.terms(), after.terms());
    let since = |terms: &Terms| {
        terms.warm_up_since.and_then(instant).unwrap_or_else(|| "not warming up".into())
    };
    let tier = |terms: &Terms| u8::from(terms.tier).to_string();
    let (before_profile, after_profile) = (before.profile(), after.profile());
    let is_same_name = before_profile.name == after_profile.name;
    let rows = if is_same_name && before_profile != after_profile { "other figures" } else { "" };
    let profile = |rules: &Rules, with: &str| match with {
        "" => rules.profile().name.clone(),
        with => format!("{} ({with})", rules.profile().name),
    };
    [
        ("profile", profile(before, ""), profile(after, rows)),
        ("tier", tier(old), tier(new)),
        ("time_zone", old.time_zone.to_string(), new.time_zone.to_string()),
        ("day_starts", old.day_starts.to_string(), new.day_starts.to_string()),
        ("warm_up_since", since(old), since(new)),
    ]
    .into_iter()
    .filter(|(_, before, after)| before != after)
    .map(|(name, before, after)| Change { name, before, after })
    .collect()
}

async fn hold(
    deployment: &Deployment,
    id: &AccountId,
    lasts: Option<Duration>,
    reason: Option<&str>,
    output: Output,
) -> Result<()> {
    ensure!(
        reason.is_none_or(|reason| reason.len() <= REASON_BYTES_MAX),
        "the reason has more than {REASON_BYTES_MAX} bytes: shorten it"
    );
    deployment.account(id).await?;
    let now = deployment.clock.now();
    let until = lasts.map_or(Timestamp::NEVER, |lasts| now + lasts);
    deployment.wiring.limiter().stop(id, until, reason).await?;
    let shown = serde_json::json!({ "account": id.as_str(), "until": instant(until) });
    output.print(&shown, || match lasts {
        Some(_) => format!("{id} is on hold until {}\n", when(until, now)),
        None => format!("{id} is on hold until `spillway account resume {id}`\n"),
    })
}

async fn resume(
    deployment: &Deployment,
    id: &AccountId,
    consent: Consent,
    output: Output,
) -> Result<()> {
    deployment.account(id).await?;
    let now = deployment.clock.now();
    let limiter = deployment.wiring.limiter();
    let app = deployment.wiring.app.load().await?;
    let of_app = app
        .holds
        .current
        .as_ref()
        .map(|hold| serde_json::json!({ "cause": hold.cause, "until": instant(hold.until) }));
    if let Some(hold) = &app.holds.current {
        consent.ask(&format!(
            "the whole app is on hold since Meta's answer ({}) until {}; the next call of any account \
             finds out whether that is over",
            name(hold.cause),
            when(hold.until, now)
        ))?;
        limiter.resume_app().await?;
        deployment.wiring.backlogs.wake(id, now).await?;
        note("the hold of the whole app is looked into by the next call");
    }
    let budget = deployment.wiring.budgets.load(id).await?;
    let holds = shown_holds(&budget, now);
    if holds.is_empty() {
        let shown = serde_json::json!({ "account": id.as_str(), "ended": [], "app": of_app });
        return output.print(&shown, || match &app.holds.current {
            None => format!("{id} is not on hold: there is nothing to end\n"),
            Some(hold) => format!(
                "{id} itself is not on hold, but the whole app is ({}) until {}. The next call of any \
                 account finds out now whether that is over, and if it is, the others follow within \
                 minutes: `spillway status {id}` shows it\n",
                name(hold.cause),
                when(hold.until, now)
            ),
        });
    }
    if let Some(hold) = holds.iter().find(|hold| hold.cause != HoldCause::Operator) {
        consent.ask(&format!(
            "{id} is on hold since Meta's answer ({}) until {}; one call goes now and finds out \
             whether that is over",
            name(hold.cause),
            when(hold.until_at, now)
        ))?;
    }
    limiter.resume(id).await?;
    deployment.wiring.backlogs.wake(id, deployment.clock.now()).await?;
    let ended: Vec<HoldCause> = holds.iter().map(|hold| hold.cause).collect();
    let shown = serde_json::json!({ "account": id.as_str(), "ended": ended, "app": of_app });
    output.print(&shown, || {
        let names: Vec<&str> = ended.iter().map(|&cause| name(cause)).collect();
        format!("{id} goes on within a minute; ended: {}\n", names.join(", "))
    })
}

async fn remove(
    deployment: &Deployment,
    id: &AccountId,
    consent: Consent,
    output: Output,
) -> Result<()> {
    let account = deployment.account(id).await?;
    let waiting = deployment.operator.waiting(id, |_| true, usize::MAX).await?.len();
    consent.ask(&format!(
        "account {id} with {} campaigns is removed, and {} waiting sends are cancelled",
        account.campaigns.iter().count(),
        waiting
    ))?;
    let limiter = deployment.wiring.limiter();
    let budget = deployment.wiring.budgets.load(id).await?;
    let stopped = budget.holds.stopped_until(deployment.clock.now());
    if stopped.is_none() {
        limiter.stop(id, Timestamp::NEVER, Some("being removed")).await?;
    }
    let progress = Progress::new("cancelled", waiting);
    let operator = &deployment.operator;
    let first = operator.cancel_waiting(id, |_| true, |done| progress.advance(done)).await?;
    progress.finish();
    deployment.wiring.removal.remove(id).await?;
    deployment.wiring.maintenance.strike_off(id).await?;
    deployment.note(id, Event::Removed { by: RemovedBy::Operator }).await?;
    // What came meanwhile; the release function cancels what comes to light later.
    let more = operator.cancel_waiting(id, |_| true, |_| ()).await?;
    let cancelled = first.done + more.done;
    deployment.wiring.backlogs.wake(id, deployment.clock.now()).await?;
    if stopped.is_none() {
        limiter.resume_stop(id).await?;
    }
    let shown = serde_json::json!({
        "account": id.as_str(),
        "cancelled": cancelled,
        "under_way": more.left,
    });
    output.print(&shown, || {
        let mut text = format!("{id} is removed; {cancelled} waiting sends are cancelled\n");
        if more.left > 0 {
            let _ = writeln!(text, "{} had a call under way: they end by themselves", more.left);
        }
        text
    })
}

/// A cause as people and programs read it.
pub(crate) fn name(cause: HoldCause) -> &'static str {
    match cause {
        HoldCause::Throttled => "throttled",
        HoldCause::Blocked => "blocked",
        HoldCause::TokenDead => "token dead",
        HoldCause::Permission => "permission missing",
        HoldCause::NearLimit => "near limit",
        HoldCause::Refusing => "refusing everybody",
        HoldCause::Failing => "failing",
        HoldCause::Operator => "by hand",
    }
}

fn shown_holds(budget: &Budget, now: Timestamp) -> Vec<ShownHold> {
    let at = now.max(budget.decided_at);
    let by_hand = budget.holds.by_hand.iter().map(|stop| ShownHold {
        cause: HoldCause::Operator,
        since: instant(stop.since),
        until: instant(stop.until),
        reason: stop.reason.clone(),
        until_at: stop.until,
    });
    let others = budget.holds.current.iter().map(|hold| ShownHold {
        cause: hold.cause,
        since: instant(hold.since),
        until: instant(hold.until),
        reason: None,
        until_at: hold.until,
    });
    by_hand.chain(others).filter(|hold| at < hold.until_at).collect()
}

impl Shown {
    fn of(account: &Account, budget: &Budget, now: Timestamp) -> Self {
        let (profile, terms) = (account.rules.profile(), account.rules.terms());
        let campaigns = account.campaigns.iter().map(|campaign| ShownCampaign {
            id: campaign.id.to_string(),
            paused_since: match account.campaigns.running(&campaign.id) {
                Running::Active => None,
                Running::PausedSince(since) => instant(since),
            },
        });
        let day = Duration::from_secs(86_400);
        Self {
            account: account.id.to_string(),
            profile: profile.name.clone(),
            tier: terms.tier.into(),
            time_zone: terms.time_zone.to_string(),
            day_starts: terms.day_starts.to_string(),
            active_s: profile.spread.map_or(day, |spread| spread.active).as_secs(),
            warm_up_since: terms.warm_up_since.and_then(instant),
            campaigns: campaigns.collect(),
            holds: shown_holds(budget, now),
        }
    }

    fn state(&self, now: Timestamp) -> String {
        let hold = |hold: &ShownHold| match hold.until {
            None => format!("on hold, {}", name(hold.cause)),
            Some(_) => {
                format!("on hold, {}, for {}", name(hold.cause), span(hold.until_at.since(now)))
            }
        };
        match self.holds.iter().max_by_key(|hold| hold.until_at) {
            None => paint(Paint::Good, "sending"),
            Some(longest) if longest.cause == HoldCause::Operator => {
                paint(Paint::Warn, &hold(longest))
            }
            Some(longest) => paint(Paint::Bad, &hold(longest)),
        }
    }

    fn text(&self, now: Timestamp) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<14} {value}");
        };
        line("account", &self.account);
        line("state", &self.state(now));
        for hold in &self.holds {
            let until = when(hold.until_at, now);
            let reason = hold.reason.as_deref().map_or(String::new(), |why| format!(": {why}"));
            let since = hold.since.as_deref().unwrap_or_default();
            line("hold", &format!("{} since {since}, until {until}{reason}", name(hold.cause)));
        }
        line("profile", &self.profile);
        line("tier", &self.tier.to_string());
        let active = span(Duration::from_secs(self.active_s));
        line("day", &format!("from {} {}, {active}", self.day_starts, self.time_zone));
        line("warm-up since", self.warm_up_since.as_deref().unwrap_or("not warming up"));
        for campaign in &self.campaigns {
            match &campaign.paused_since {
                None => line("campaign", &campaign.id),
                Some(since) => line("campaign", &format!("{}, paused since {since}", campaign.id)),
            }
        }
        text
    }
}
