//! `spillway account`: connected accounts, their limits, and holds by hand.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use spillway_core::active_hours::{TimeOfDay, Zone};
use spillway_core::hold::HoldCause;
use spillway_core::id::AccountId;
use spillway_core::profile::Profile;
use spillway_core::quota::Tier;
use spillway_core::rules::Rules;
use spillway_core::status::State;
use spillway_core::time::Timestamp;
use spillway_service::admin::Several;
use spillway_service::admin::accounts::{
    AccountView, AppHoldView, HoldView, LimitsView, ResumedView, differences,
};
use spillway_service::admin::removal::RemovedView;
use spillway_service::new_limits::{LimitsError, NewLimits, NewTerms, WarmUpSince};

use crate::arguments;
use crate::confirm::Consent;
use crate::deployment::{Deployment, Where};
use crate::exit::{Unread, WrongUsage};
use crate::limits;
use crate::output::{Columns, Output, Paint, Times, counted, note, paint, span};
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
        #[arg(value_parser = arguments::account)]
        account: AccountId,
    },
    /// Change an account's limits, day or warm-up; shows the change
    Set(SetOptions),
    /// Pause an account by hand: nothing is called until it is resumed
    #[command(after_help = "\
Examples:
  spillway account pause 17841400000000001 --reason \"checking a text\"
  spillway account pause 17841400000000001 --for 2h

New comments are still recorded, and wait. A call that was granted in the last 5 seconds may still be
made. Then none is made until the time is over or `spillway account resume`. Sends that wait beyond their
deadline expire, so remember to end a pause that has no end of its own.")]
    Pause {
        /// The account's id
        #[arg(value_parser = arguments::account)]
        account: AccountId,
        /// How long, such as 30m or 2h [default: until it is resumed]
        #[arg(long = "for", value_name = "TIME", value_parser = arguments::span, allow_hyphen_values = true)]
        lasts: Option<Duration>,
        /// A note for others, at most 120 bytes
        #[arg(long, value_name = "TEXT", value_parser = arguments::reason)]
        reason: Option<String>,
    },
    /// End a pause, or let one call test any other hold now
    #[command(after_help = "\
Examples:
  spillway account resume 17841400000000001
  spillway account resume 17841400000000001 --yes    after a new token, in a script

A pause ends at once. A hold that follows from an answer of Meta's (throttled, blocked, dead
token, missing permission) has an end of its own: resumed, one call goes first and finds out whether it
is over, and if it is not the next hold is longer. That is asked about first, and so is a hold of the
whole app, which the next call of any account then looks into.")]
    Resume {
        /// The account's id
        #[arg(value_parser = arguments::account)]
        account: AccountId,
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
        #[arg(value_parser = arguments::account)]
        account: AccountId,
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
    #[arg(value_parser = arguments::account)]
    account: AccountId,
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
    #[arg(long, value_name = "DATE", value_parser = since)]
    warm_up_since: Option<Since>,
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

/// Runs one of them.
pub(crate) async fn run(command: Command, place: &Where, output: Output) -> Result<()> {
    match command {
        Command::List => list(&place.open().await?, output).await,
        Command::Show { account } => show(&place.open().await?, &account, output).await,
        Command::Set(options) => set(options, place, output).await,
        Command::Pause { account, lasts, reason } => {
            pause(&place.open().await?, &account, lasts, reason.as_deref(), output).await
        }
        Command::Resume { account, consent } => {
            resume(&place.open().await?, &account, consent, output).await
        }
        Command::Remove { account, consent } => {
            remove(&place.open().await?, &account, consent, output).await
        }
    }
}

const COLUMNS: Columns<5> = Columns {
    heads: ["ACCOUNT", "PROFILE", "TIER", "CAMPAIGNS", "STATE"],
    least_first: &[1, 3, 2],
};

async fn list(deployment: &Deployment, output: Output) -> Result<()> {
    let now = deployment.clock.now();
    let Several { read: shown, unreadable } = deployment.admin.accounts.views(None).await?;
    let listed = serde_json::json!({ "accounts": shown, "unreadable": unreadable });
    output.print(&listed, || {
        let row = |shown: &AccountView| {
            [
                shown.account.to_string(),
                shown.profile.clone(),
                shown.tier.to_string(),
                shown.campaigns.len().to_string(),
                state(shown, now),
            ]
        };
        let rows: Vec<_> = shown.iter().map(row).collect();
        let none = "no account is connected: `spillway connect --help` says how";
        output.table(&COLUMNS, &rows, none)
    })?;
    Ok(Unread::check(unreadable)?)
}

async fn show(deployment: &Deployment, id: &AccountId, output: Output) -> Result<()> {
    let times = deployment.times_of(id).await?;
    for shown in deployment.admin.accounts.views(Some(id)).await?.read {
        shown.notes.iter().for_each(note);
        output.print(&shown, || text(&shown, &times, output))?;
    }
    Ok(())
}

async fn set(options: SetOptions, place: &Where, output: Output) -> Result<()> {
    // What is wrong with it concerns no deployment.
    let profile = match &options.profile {
        None => None,
        Some(name) => Some(limits::profile(name, options.profiles.as_deref())?),
    };
    let deployment = place.open().await?;
    let id = options.account.clone();
    let account = deployment.admin.accounts.connected(&id).await?;
    let now = deployment.clock.now();
    let after = changed(&account.rules, profile, &options, now)?;
    let changes = differences(&account.rules, &after);
    if !changes.is_empty() {
        limits::say_notes([&after]);
    }
    let times = Times { now, zone: after.terms().time_zone.clone() };
    let is_written = !changes.is_empty() && !options.dry_run;
    if is_written {
        deployment.admin.accounts.set(&account, &after).await?;
    }
    let shown = LimitsView { account: id, changed: is_written, changes };
    output.print(&serde_json::json!(shown), || {
        let mut text = String::new();
        for change in &shown.changes {
            let (before, after) = (times.told(&change.before), times.told(&change.after));
            let _ = writeln!(text, "{:<14} {before} -> {after}", change.name);
        }
        text.push_str(match (shown.changes.is_empty(), options.dry_run) {
            (true, _) => "nothing changes\n",
            (false, true) => "not written: --dry-run\n",
            (false, false) => "written\n",
        });
        text
    })
}

fn changed(
    before: &Rules,
    profile: Option<Profile>,
    options: &SetOptions,
    now: Timestamp,
) -> Result<Rules, WrongUsage> {
    let warm_up_since = options.warm_up_since.map(|since| match since {
        Since::Now => WarmUpSince::At(now),
        Since::Said(since) => since,
    });
    let SetOptions { tier, ref time_zone, day_starts, .. } = *options;
    let terms = NewTerms { tier, time_zone: time_zone.clone(), day_starts, warm_up_since };
    NewLimits { profile, terms }.applied_to(before, now).map_err(|error| {
        WrongUsage(match error {
            LimitsError::NoWarmUp(profile) => format!(
                "--warm-up-since: profile `{profile}` has no warm-up: leave it out, or choose another \
                 profile with --profile"
            ),
            LimitsError::Future => {
                "--warm-up-since is in the future: write today's date or an earlier one".to_owned()
            }
            LimitsError::Profile(error) => format!("--profile: {error}"),
        })
    })
}

/// When an account began to send through software, as the command line says it.
#[derive(Clone, Copy, Debug)]
enum Since {
    Now,
    Said(WarmUpSince),
}

fn since(text: &str) -> Result<Since, String> {
    match text {
        "now" => Ok(Since::Now),
        text => text.parse().map(Since::Said).map_err(|_| {
            format!("`{text}` is not a date: write one such as 2026-11-01, `now` or `none`")
        }),
    }
}

async fn pause(
    deployment: &Deployment,
    id: &AccountId,
    lasts: Option<Duration>,
    reason: Option<&str>,
    output: Output,
) -> Result<()> {
    let times = deployment.times_of(id).await?;
    let until = lasts.map_or(Timestamp::NEVER, |lasts| times.now + lasts);
    let held = deployment.admin.accounts.hold(id, until, reason).await?;
    output.print(&held, || {
        let mut text = match lasts {
            Some(_) => format!("{id} is paused until {}\n", times.when(until)),
            None => format!("{id} is paused until `spillway account resume {id}`\n"),
        };
        if let Some(HoldView { since, until, reason, .. }) = &held.replaced {
            let until = match *until {
                Timestamp::NEVER => "without an end".to_owned(),
                until => format!("until {}", times.when(until)),
            };
            let reason = reason.as_deref().unwrap_or("no reason");
            let since = times.at(*since);
            let _ =
                writeln!(text, "it was paused since {since} {until}: {reason}; that is replaced");
        }
        text
    })
}

async fn resume(
    deployment: &Deployment,
    id: &AccountId,
    consent: Consent,
    output: Output,
) -> Result<()> {
    let admin = &deployment.admin.accounts;
    admin.connected(id).await?;
    let times = deployment.times_of(id).await?;
    let app = admin.app_hold().await?;
    if let Some(hold) = &app {
        consent.ask(&format!(
            "the whole app is on hold since Meta's answer ({}) until {}; the next call of any account \
             finds out whether that is over",
            hold.cause,
            times.when(hold.until)
        ))?;
        admin.resume_app(id).await?;
        note("the hold of the whole app is looked into by the next call");
    }
    let holds = admin.holds(id).await?;
    if holds.is_empty() {
        let shown = ResumedView { account: id.clone(), app, ended: Vec::new() };
        return output.print(&shown, || match &shown.app {
            None => format!("{id} is not on hold: there is nothing to end\n"),
            Some(hold) => format!(
                "{id} itself is not on hold, but the whole app is ({}) until {}. The next call of any \
                 account finds out now whether that is over, and if it is, the others follow within \
                 minutes: `spillway status {id}` shows it\n",
                hold.cause,
                times.when(hold.until)
            ),
        });
    }
    if let Some(hold) = holds.iter().find(|hold| hold.cause != HoldCause::Operator) {
        consent.ask(&format!(
            "{id} is on hold since Meta's answer ({}) until {}; one call goes now and finds out \
             whether that is over",
            hold.cause,
            times.when(hold.until)
        ))?;
    }
    admin.resume(id).await?;
    let ended: Vec<HoldCause> = holds.iter().map(|hold| hold.cause).collect();
    let shown = ResumedView { account: id.clone(), app, ended };
    output.print(&shown, || {
        let (by_hand, of_meta): (Vec<HoldCause>, Vec<HoldCause>) =
            shown.ended.iter().partition(|cause| **cause == HoldCause::Operator);
        match (by_hand.is_empty(), of_meta.first()) {
            (_, None) => format!("{id} goes on within a minute: the pause is ended\n"),
            (is_meta_alone, Some(cause)) => format!(
                "{}within a minute one call of {id} finds out whether the hold that follows from Meta's \
                 answer ({cause}) is over; if it is, the others follow step by step\n",
                if is_meta_alone { "" } else { "the pause is ended; " }
            ),
        }
    })
}

async fn remove(
    deployment: &Deployment,
    id: &AccountId,
    consent: Consent,
    output: Output,
) -> Result<()> {
    let removable = deployment.admin.removable(id).await?;
    consent.ask(&format!(
        "this removes account {id} with {}, and cancels {}",
        removable.campaigns.map_or_else(
            || "campaigns of which something cannot be read".to_owned(),
            |campaigns| counted(campaigns, "campaign")
        ),
        counted(removable.waiting, "waiting send")
    ))?;
    let progress = Progress::new("cancelled", removable.waiting);
    let removed = deployment.admin.remove(&removable, |sends| progress.advance(sends)).await?;
    progress.finish();
    output.print(&removed, || {
        let RemovedView { cancelled, under_way, .. } = removed;
        let sends = counted(cancelled, "waiting send");
        let mut text = format!("{id} is removed, and {sends} cancelled\n");
        if under_way > 0 {
            let _ = writeln!(text, "calls under way, which end by themselves: {under_way}");
        }
        text
    })
}

/// The account's state in the words of `spillway status`, and for how long the longest hold lasts.
fn state(shown: &AccountView, now: Timestamp) -> String {
    let state = shown.state;
    let colour = match state {
        State::Healthy => Paint::Good,
        state if state.is_grave() => Paint::Bad,
        _ => Paint::Warn,
    };
    let Some(HoldView { cause, until, .. }) = shown.holds.iter().max_by_key(|hold| hold.until)
    else {
        return paint(colour, state.as_str());
    };
    let mut said = state.to_string();
    if cause.as_str() != state.as_str() {
        said += &format!(", {cause}");
    }
    if *until != Timestamp::NEVER {
        said += &format!(", for {}", span(until.since(now)));
    }
    paint(colour, &said)
}

fn text(shown: &AccountView, times: &Times, output: Output) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text += &output.wrapped(0, &format!("{name:<14} {value}"));
    };
    line("account", shown.account.as_str());
    line("state", &state(shown, times.now));
    for hold in &shown.holds {
        let until = times.when(hold.until);
        let reason = hold.reason.as_deref().map_or(String::new(), |why| format!(": {why}"));
        let since = times.at(hold.since);
        line("hold", &format!("{} since {since}, until {until}{reason}", hold.cause));
    }
    if let Some(AppHoldView { cause, until }) = &shown.app_hold {
        line("hold of app", &format!("{cause}, of all accounts, until {}", times.when(*until)));
    }
    line("profile", &shown.profile);
    line("tier", &shown.tier.to_string());
    let active = span(Duration::from_secs(shown.active_s));
    line("day", &format!("from {} {}, {active}", shown.day_starts, shown.time_zone));
    let warm_up_since = shown.warm_up_since.map(|since| times.at(since));
    line("warm-up since", warm_up_since.as_deref().unwrap_or("not warming up"));
    let words = |words: &[String]| match words {
        [] => "the built-in ones".to_owned(),
        own => format!("{}, and the built-in ones", own.join(", ")),
    };
    line("stop words", &words(&shown.stop_words));
    line("start words", &words(&shown.start_words));
    let takeover = span(Duration::from_secs(shown.takeover_s));
    line("takeover", &format!("{takeover} after a message of yours"));
    line("leads kept", &span(Duration::from_secs(shown.leads_for_s)));
    if let Some(disclosure) = &shown.disclosure {
        line("disclosure", &format!("«{disclosure}»"));
    }
    for campaign in &shown.campaigns {
        let mut said = campaign.id.to_string();
        if let Some(since) = campaign.paused_since {
            said += &format!(", paused since {}", times.at(since));
        }
        if let Some(until) = campaign.held_until {
            said +=
                &format!(", on hold (Meta refuses its link or text) until {}", times.when(until));
        }
        line("campaign", &said);
    }
    text
}
