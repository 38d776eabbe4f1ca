//! `spillway campaign`: what the accounts answer to, from files and back into files.

mod matching;
mod outcomes;
mod people;
mod send;
mod then;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use spillway_core::campaign::{Campaign, NEXT_POST};
use spillway_core::id::{AccountId, CampaignId, MediaId};
use spillway_core::profile::Profile;
use spillway_core::send::PendingSend;
use spillway_core::time::Timestamp;
use spillway_service::account::Account;
use spillway_service::accounts_file::{self, AccountsFileError, Mistake, NewAccount, Reason};
use spillway_service::admin::Several;
use spillway_service::admin::campaigns::{CampaignView, PlanView, Planned, RunningError};
use spillway_service::admin::plan::{Change, FieldChange, Unnamed};
use spillway_service::conversation_settings::ConversationSettings;
use spillway_service::fields::{self, Field};
use spillway_service::new_limits::NewTerms;

use crate::arguments;
use crate::confirm::Consent;
use crate::deployment::{Deployment, Where};
use crate::exit::{Refused, Unread};
use crate::limits;
use crate::output::{Columns, Output, Paint, Times, counted, paint};
use crate::text_file;

/// What is done with campaigns.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Change campaigns, and limits if the file names them, to what a file says
    Apply(ApplyOptions),
    /// List campaigns
    #[command(after_help = "\
Examples:
  spillway campaign list
  spillway campaign list 17841400000000001 --json

ORDER is the turn in which the account's campaigns are asked: those for certain media first, those that take every
comment last, and otherwise as in the file that was last applied, with those that it does not name behind.")]
    List {
        /// Only this account's
        #[arg(value_parser = arguments::account)]
        account: Option<AccountId>,
    },
    /// Tell which campaign would answer a comment, and why
    Match(matching::MatchOptions),
    /// Count what became of each campaign's sends, and how far people came
    Outcomes(outcomes::OutcomesOptions),
    /// Show one campaign
    #[command(after_help = "Example:\n  spillway campaign show 17841400000000001 guide")]
    Show(Named),
    /// Send a campaign to people whose window is open
    Send(send::SendOptions),
    /// Pause a campaign: it matches nothing, and its sends wait
    #[command(after_help = "\
Example:
  spillway campaign pause 17841400000000001 guide

Within a minute the campaign matches no new comment or message; another campaign that wants it gets it.
Sends that already wait stay until `spillway campaign resume`, or expire at their deadline (seven days
after a comment, 24 hours after a message). A DM whose call is under way is still sent. Applying a file leaves it paused.")]
    Pause(Named),
    /// Resume a paused campaign
    #[command(after_help = "\
Example:
  spillway campaign resume 17841400000000001 guide

Its waiting sends get slots within a minute. Comments and messages of the pause were not matched.")]
    Resume(Named),
    /// Remove a campaign, and cancel its waiting sends
    #[command(after_help = "\
Example:
  spillway campaign remove 17841400000000001 guide --yes

Within a minute the campaign matches no new comment or message. Its waiting sends are cancelled as their slots come,
as when a file is applied with --prune; `spillway send cancel` cancels them at once. A DM whose call is under
way is still sent. `spillway campaign pause` keeps them waiting.")]
    Remove {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        consent: Consent,
    },
    /// Write accounts, limits and campaigns as a file that `apply` reads
    #[command(after_help = "\
Examples:
  spillway campaign export > accounts.toml
  spillway campaign export 17841400000000001 | spillway campaign apply -")]
    Export {
        /// Only this account
        #[arg(value_parser = arguments::account)]
        account: Option<AccountId>,
    },
    /// Print the JSON schema of such files, for editors
    #[command(after_help = "\
Example:
  spillway campaign schema > spillway.schema.json

Then write this as the first line of a file, for editors with Taplo or Even Better TOML:
  #:schema ./spillway.schema.json")]
    Schema,
}

/// A campaign of an account.
#[derive(Args)]
pub(crate) struct Named {
    /// The account
    #[arg(value_parser = arguments::account)]
    account: AccountId,
    /// The campaign's id
    #[arg(value_parser = arguments::campaign)]
    campaign: CampaignId,
}

/// What to apply.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway campaign apply accounts.toml --dry-run
  spillway campaign apply accounts.toml
  spillway campaign apply accounts.toml --prune --yes

A file:
  [[account]]
  id = \"17841400000000001\"
  stop_words = [\"basta\"]          # beside those of twenty languages; start_words likewise
  takeover = \"12h\"                # how long a message of your own keeps Spillway out of a thread
  disclosure = \"Automated message\"   # before the first DM, after a lapse and after a takeover; none if left out

  [[account.campaign]]
  id = \"guide\"
  on = [\"comment\", \"live_comment\"]   # or \"story_reply\", \"story_mention\", \"message\", \"referral\"; [] without
                                     # keywords: only `campaign send` begins it
  keywords = [\"guide\", \"guía\"]    # any script; leave out to answer every comment
  matching = \"word\"               # or \"contains\", \"exact\"
  tolerate = [\"plurals\"]         # or \"repeated_letters\", \"typos\"; leave out to be exact
  except = [\"spam\"]               # a comment with one of these is left alone
  media = [\"17900000000000001\"]   # or \"next\", the next post; leave out for all posts, Reels, broadcasts;
                                   # stories for story_reply
  replies = \"top_level\"           # or \"all\": comments below other comments too
  once_per = \"post\"              # or \"comment\", \"campaign\": one DM for each; leave it out for messages,
                                  # mentions and referrals, which are answered each time
  once_for = \"90d\"               # how long that counts; a person gets at most 64 DMs of an account in ten days
  starts = \"2026-12-01\"           # or \"2026-12-01T09:00\", by the account's clocks
  ends = \"2026-12-24\"             # the last day; what waits then is still sent
  overflow = \"oldest_first\"       # or \"newest_first\", \"public_reply\", when not all can go in time
  messages = [\"Hi {username|there}! https://example.com/guide\"]
  public_replies = [\"Sent you a DM, {username|you}!\"]   # after the DM has landed; leave out for none
  public_share = 0.3              # to this share of them; leave out for all
  public_fallback = [\"{username|Hi}, please write me GUIDE\"]   # Meta has refused the DM for good

  [account.campaign.then]         # once the person has answered; leave out for one DM alone
  answer = [\"yes\"]                # leave out to take any answer
  follow = { ask = [\"Follow me first, then tap the button\"], button = \"I follow\" }
  email = { ask = [\"Which e-mail shall I send it to?\"], again = [\"That is none\"] }
  deliver = [{ text = \"Here!\", buttons = [{ title = \"Open\", url = \"https://example.com/guide\" }] },
             { text = \"More?\", quick_replies = [\"Yes\"] },   # or a card:
             { card = { title = \"Guide\", subtitle = \"PDF\", image = \"https://example.com/cover.jpg\" } }]
  follow_up = [{ after = \"20h\", messages = [\"Did you read it?\"], unless = \"answered\" }]

Its accounts must be connected. `profile`, `terms` and [[profile]] are applied if the file names them, and
otherwise stay as they are. A file with mistakes is refused as a whole, with every line and reason
(exit code 4). Applying a file twice changes nothing the second time. Waiting sends get the new texts.
New keywords apply to new comments and messages, within a minute. What answers a message goes out within 24 hours
of it, or not at all. Follow-ups give way to what people ask for: while a backlog takes all that the limits allow,
some are too late. Of several that are late, only the last goes. `{link:https://example.com/guide}` in a text, or as
a `url`, is a link that tells who has opened it, for `unless = \"clicked\"`, if the deployment tracks links. For `starts`
and `ends` a comment counts by the time when it was made where Meta tells that, else by when Meta told of it. Nothing
in `events` tells of a begin or an end.")]
pub(crate) struct ApplyOptions {
    /// TOML file; `-` for standard input
    file: PathBuf,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Remove campaigns that the file does not name, and cancel their waiting sends
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, place: &Where, output: Output) -> Result<()> {
    match command {
        Command::Apply(options) => apply(&options, place, output).await,
        Command::List { account } => list(&place.open().await?, account.as_ref(), output).await,
        Command::Match(options) => matching::run(&options, place, output).await,
        Command::Send(options) => send::run(&options, place, output).await,
        Command::Outcomes(options) => outcomes::run(&options, place, output).await,
        Command::Show(named) => show(&place.open().await?, &named, output).await,
        Command::Pause(named) => pause(&place.open().await?, &named, output).await,
        Command::Resume(named) => resume(&place.open().await?, &named, output).await,
        Command::Remove { named, consent } => {
            remove(&place.open().await?, &named, consent, output).await
        }
        Command::Export { account } => export(&place.open().await?, account.as_ref(), output).await,
        Command::Schema => {
            let schema = accounts_file::schema();
            output.print(&schema, || format!("{schema:#}\n"))
        }
    }
}

/// Refuses a file for its mistakes, each with the line that it is about.
pub(crate) fn refuse(file: &str, text: &str, error: &AccountsFileError) -> anyhow::Error {
    let mut reasons = String::new();
    for Mistake { line, reason } in &error.mistakes {
        let _ = writeln!(reasons, "{file}:{line}: {reason}{}", help(reason));
        if let Some(source) = text.lines().nth(line - 1) {
            // A terminal would act on some, and others would hide or turn what is beside them.
            let is_odd = |c: char| (c.is_control() && c != '\t') || accounts_file::is_invisible(c);
            let source = source.trim_end().replace(is_odd, "\u{fffd}");
            let _ = writeln!(reasons, "  {line} | {source}");
        }
    }
    Refused { file: file.to_owned(), reasons: reasons.trim_end().to_owned() }.into()
}

/// The command that helps with a mistake, if one does.
fn help(reason: &Reason) -> &'static str {
    match reason {
        Reason::OtherFormat(_) => ": `spillway campaign apply --help` shows one",
        Reason::NotConnected(_) => " with `spillway connect`",
        _ => "",
    }
}

/// Refuses links to be tracked where the deployment tracks none.
pub(crate) fn check_links<'a>(
    deployment: &Deployment,
    accounts: impl IntoIterator<Item = &'a NewAccount>,
    (file, text): (&str, &str),
) -> Result<()> {
    if deployment.config.link_url.is_some() {
        return Ok(());
    }
    let mistakes = accounts_file::links_without_deployment(accounts);
    if mistakes.is_empty() {
        return Ok(());
    }
    Err(refuse(file, text, &AccountsFileError { mistakes }))
}

async fn apply(options: &ApplyOptions, place: &Where, output: Output) -> Result<()> {
    let (text, shown) = text_file::read(&options.file)?;
    let wanted = accounts_file::parse(&text, &Profile::careful())
        .map_err(|error| refuse(&shown, &text, &error))?;
    let deployment = place.open().await?;
    check_links(&deployment, &wanted, (&shown, &text))?;
    let unnamed = if options.prune { Unnamed::Go } else { Unnamed::Stay };
    let admin = &deployment.admin.accounts;
    let (planned, mistakes) = admin.plans(&wanted, unnamed).await?;
    if !mistakes.is_empty() {
        return Err(refuse(&shown, &text, &AccountsFileError { mistakes }));
    }
    let is_empty = planned.iter().all(|planned| planned.plan.is_empty());
    let removed: usize = planned.iter().map(|planned| planned.plan.removed().len()).sum();
    let named = |planned: &&Planned| {
        let of_file = wanted.iter().find(|account| account.id == planned.account.id);
        of_file.is_some_and(|account| account.named_limits().is_some())
    };
    limits::say_notes(planned.iter().filter(named).map(Planned::rules));
    // What will change is seen before anybody is asked.
    let now = deployment.clock.now();
    limits::say_campaign_notes(&wanted, now);
    output.print_text(|| planned.iter().map(|planned| plan_text(planned, now)).collect())?;
    if removed > 0 && !options.dry_run {
        let removed = counted(removed, "campaign");
        options.consent.ask(&format!("this removes {removed}, and cancels what waits there"))?;
    }
    let is_written = !is_empty && !options.dry_run;
    if !options.dry_run {
        // Addresses are sealed to this key; accounts of before may have none.
        let asks =
            |campaign: &Campaign| campaign.then.as_ref().is_some_and(|then| then.email.is_some());
        if wanted.iter().any(|account| account.campaigns.iter().any(asks)) {
            deployment.wiring.sample_keys.ensure().await?;
        }
        for planned in &planned {
            admin.apply(planned).await?;
        }
    }
    let accounts: Vec<PlanView> = planned.iter().map(Planned::view).collect();
    let report = serde_json::json!({ "changed": is_written, "accounts": accounts });
    output.print(&report, || {
        match (is_empty, options.dry_run) {
            (true, _) => "nothing changes\n",
            (false, true) => "not written: --dry-run\n",
            (false, false) => "written; it holds within a minute\n",
        }
        .into()
    })
}

pub(crate) fn plan_text(planned: &Planned, now: Timestamp) -> String {
    let times = Times { now, zone: planned.rules().terms().time_zone.clone() };
    let mut text = format!("account {} (line {})\n", planned.account.id, planned.line);
    let mut line = |sign: &str, what: &str| {
        let _ = writeln!(text, "  {sign} {what}");
    };
    for FieldChange { name, before, after } in planned.settings() {
        let (before, after) = (times.told(&before), times.told(&after));
        line(&paint(Paint::Warn, "~"), &format!("{name}: {before} -> {after}"));
    }
    for change in &planned.plan.campaigns {
        match change {
            Change::Added(campaign) => line(
                &paint(Paint::Good, "+"),
                &format!(
                    "campaign {}, {}",
                    campaign.id,
                    counted(campaign.messages.len(), "message")
                ),
            ),
            Change::Changed { to, fields } => {
                line(&paint(Paint::Warn, "~"), &format!("campaign {}", to.id));
                for field in fields {
                    let (name, before, after) = (field.name, &field.before, &field.after);
                    line(" ", &format!("  {name}: {before} -> {after}"));
                }
            }
            Change::Same(id) => line("=", &format!("campaign {id}")),
            Change::Left(id) => {
                line(
                    "=",
                    &format!("campaign {id}, which the file does not name: --prune removes it"),
                );
            }
            Change::Removed(id) => line(&paint(Paint::Bad, "-"), &format!("campaign {id}")),
        }
    }
    if planned.plan.is_reordered {
        let order: Vec<&str> = planned.plan.order.iter().map(|id| id.as_str()).collect();
        line(&paint(Paint::Warn, "~"), &format!("order: {}", order.join(", ")));
    }
    text
}

fn state(shown: &CampaignView) -> String {
    match (shown.state, shown.held_until) {
        ("active", None) => paint(Paint::Good, "active"),
        (state, None) => paint(Paint::Warn, state),
        ("active", Some(_)) => paint(Paint::Warn, "on hold"),
        (state, Some(_)) => paint(Paint::Warn, &format!("{state}, on hold")),
    }
}

fn keywords(campaign: &Campaign) -> String {
    if !campaign.keywords.is_empty() {
        return campaign.keywords.join(", ");
    }
    if campaign.is_by_hand() {
        return "(only `campaign send` begins it)".to_owned();
    }
    let mut nouns: Vec<&str> = campaign.on.iter().map(|trigger| trigger.noun()).collect();
    nouns.dedup();
    format!("(every {})", nouns.join(", "))
}

fn on(campaign: &Campaign) -> String {
    if campaign.is_by_hand() {
        return "none".to_owned();
    }
    let on: Vec<&str> = campaign.on.iter().map(|trigger| trigger.as_str()).collect();
    on.join(", ")
}

const COLUMNS: Columns<9> = Columns {
    heads: ["ACCOUNT", "ORDER", "CAMPAIGN", "STATE", "ON", "MEDIA", "MESSAGES", "THEN", "KEYWORDS"],
    least_first: &[6, 7, 5, 1, 4],
};

async fn list(deployment: &Deployment, account: Option<&AccountId>, output: Output) -> Result<()> {
    let accounts = deployment.admin.accounts.all_connected(account).await?;
    let mut all: Vec<CampaignView> = Vec::new();
    for account in &accounts.read {
        all.extend(deployment.admin.accounts.campaign_views(account, None).await?);
    }
    output.print(&serde_json::json!({ "campaigns": all }), || {
        let row = |shown: &CampaignView| {
            let Campaign { id, media, messages, .. } = &shown.campaign;
            let media = match media.len() {
                0 => "all".to_owned(),
                1 if shown.campaign.is_for_next_post() => NEXT_POST.to_owned(),
                n => n.to_string(),
            };
            let messages = messages.len().to_string();
            [
                shown.account.to_string(),
                shown.order.to_string(),
                id.to_string(),
                state(shown),
                on(&shown.campaign),
                media,
                messages,
                then::parts(shown.campaign.then.as_ref()),
                keywords(&shown.campaign),
            ]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        let none = "there is no campaign: `spillway campaign apply --help` shows a file with one";
        output.table(&COLUMNS, &rows, none)
    })?;
    Ok(Unread::check(accounts.unreadable)?)
}

async fn show(deployment: &Deployment, named: &Named, output: Output) -> Result<()> {
    let account = deployment.admin.accounts.connected(&named.account).await?;
    let campaign = account.campaigns.get(&named.campaign).with_context(|| unknown(named))?;
    let now = deployment.clock.now();
    let shown = deployment.admin.accounts.campaign_views(&account, Some(&campaign.id)).await?;
    let shown = shown.into_iter().next().with_context(|| unknown(named))?;
    let times = Times { now, zone: account.rules.terms().time_zone.clone() };
    output.print(&shown, || {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<10} {value}");
        };
        line("account", shown.account.as_str());
        line("campaign", campaign.id.as_str());
        match shown.paused_since {
            None => line("state", &state(&shown)),
            Some(since) => {
                line("state", &format!("{} since {}", state(&shown), times.when(since)));
            }
        }
        if let Some(until) = shown.held_until {
            let held = "Meta refuses its link or text; it is tried again";
            line("hold", &format!("{held} {}", times.when(until)));
        }
        line("order", &shown.order.to_string());
        if let Some(begins_at) = shown.begins_at {
            line("begins", &times.when(begins_at));
        }
        if let Some(ends_at) = shown.ends_at {
            line("over", &times.when(ends_at));
        }
        if campaign.keywords.is_empty() {
            line("keywords", &keywords(campaign));
        }
        if campaign.is_for_next_post() {
            let awaited = "not published yet";
            line("post", shown.next_post.as_ref().map_or(awaited, MediaId::as_str));
        }
        let is_shown = |field: &Field| !matches!(field.name, "id" | "then");
        for Field { name, values } in fields::of(campaign).into_iter().filter(is_shown) {
            values.iter().for_each(|value| line(name, value));
        }
        let then = campaign.then.as_ref().map(then::lines).unwrap_or_default();
        then.iter().for_each(|step| line("then", step));
        text
    })
}

fn unknown(named: &Named) -> String {
    let Named { campaign, account } = named;
    format!(
        "account {account} has no campaign `{campaign}`: `spillway campaign list` names those there are"
    )
}

/// Says why a campaign was not paused or resumed.
fn not_changed(named: &Named, error: RunningError) -> anyhow::Error {
    match error {
        RunningError::Unknown => anyhow!(unknown(named)),
        RunningError::Removed => anyhow!("campaign `{}` was removed meanwhile", named.campaign),
        RunningError::Account(error) => error.into(),
    }
}

async fn pause(deployment: &Deployment, named: &Named, output: Output) -> Result<()> {
    let Named { account, campaign } = named;
    let changed = deployment.admin.accounts.pause(account, campaign).await;
    let changed = changed.map_err(|error| not_changed(named, error))?;
    output.print(&changed, || {
        if changed.changed {
            format!(
                "campaign {campaign} is paused; what waits for it is held back until its deadline\n"
            )
        } else {
            format!("campaign {campaign} is paused already\n")
        }
    })
}

async fn resume(deployment: &Deployment, named: &Named, output: Output) -> Result<()> {
    let Named { account, campaign } = named;
    let changed = deployment.admin.accounts.resume_campaign(account, campaign).await;
    let changed = changed.map_err(|error| not_changed(named, error))?;
    output.print(&changed, || {
        if changed.hold_ended == Some(true) {
            format!("the hold of campaign {campaign} is ended: it goes on within a minute\n")
        } else if changed.changed {
            format!("campaign {campaign} goes on within a minute\n")
        } else {
            format!("campaign {campaign} is active already\n")
        }
    })
}

async fn remove(
    deployment: &Deployment,
    named: &Named,
    consent: Consent,
    output: Output,
) -> Result<()> {
    let Named { account, campaign } = named;
    let admin = &deployment.admin;
    if admin.accounts.connected(account).await?.campaigns.get(campaign).is_none() {
        bail!(unknown(named));
    }
    let of_campaign = |send: &PendingSend| send.content.campaign == *campaign;
    let waiting = admin.sends.waiting(account, of_campaign, usize::MAX).await?.len();
    consent.ask(&format!(
        "this removes campaign {campaign} of account {account}, and cancels {}",
        counted(waiting, "waiting send")
    ))?;
    let removed = admin.accounts.remove_campaign(account, campaign).await;
    let removed = removed.map_err(|error| not_changed(named, error))?;
    output.print(&removed, || {
        format!(
            "campaign {campaign} is removed; its waiting sends are cancelled as their slots come\n"
        )
    })
}

#[derive(Serialize)]
struct Exported {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profile: Vec<Profile>,
    account: Vec<ExportedAccount>,
}

#[derive(Serialize)]
struct ExportedAccount {
    id: AccountId,
    profile: String,
    #[serde(flatten)]
    conversations: ConversationSettings,
    terms: NewTerms,
    campaign: Vec<Campaign>,
}

async fn export(
    deployment: &Deployment,
    account: Option<&AccountId>,
    output: Output,
) -> Result<()> {
    let Several { read, unreadable } = deployment.admin.accounts.all_connected(account).await?;
    // A file without an account would pass for all there is.
    Unread::check(unreadable)?;
    if read.is_empty() {
        bail!("no account is connected: there is nothing to export");
    }
    let exported = exported(&read);
    let text = toml::to_string(&exported)?;
    output.print(&exported, || text)
}

fn exported(accounts: &[Account]) -> Exported {
    let built_in = [Profile::careful(), Profile::meta()];
    let mut profiles: Vec<Profile> = Vec::new();
    let mut out = Vec::new();
    for account in accounts {
        let mut profile = account.rules.profile().clone();
        // Figures of an earlier version, or of another file's profile of the same name.
        while [&profiles[..], &built_in]
            .concat()
            .iter()
            .any(|known| known.name == profile.name && *known != profile)
        {
            profile.name.push_str("_kept");
        }
        if !built_in.contains(&profile) && !profiles.contains(&profile) {
            profiles.push(profile.clone());
        }
        out.push(ExportedAccount {
            id: account.id.clone(),
            profile: profile.name,
            conversations: account.conversations.clone(),
            terms: account.rules.terms().into(),
            campaign: account.campaigns.iter().cloned().collect(),
        });
    }
    Exported { profile: profiles, account: out }
}

#[cfg(test)]
mod tests {
    use spillway_core::campaign::Campaigns;
    use spillway_core::rules::Terms;
    use spillway_service::account::SealedToken;
    use spillway_service::admin::plan::plan;

    use super::*;

    #[test]
    fn a_campaign_that_is_only_sent_by_hand_is_listed_as_one() {
        let text = "[[account]]\nid = \"178\"\n[[account.campaign]]\nid = \"news\"\non = []\nmessages = [\"Hi\"]";
        let accounts = accounts_file::parse(text, &Profile::careful()).unwrap();
        let campaign = &accounts[0].campaigns[0];
        assert_eq!(on(campaign), "none");
        assert_eq!(keywords(campaign), "(only `campaign send` begins it)");
        assert!(accounts_file::campaign_notes(&accounts, Timestamp::EPOCH).is_empty());
    }

    const FILE: &str = r#"
[[profile]]
name = "agency"
base = "careful"
[[profile.quota]]
id = "calls_hour"
actions = ["private_reply", "live_reply", "read"]
unit = "calls"
window = "1h"
limit = { tier_1 = 100, tier_2 = 150, tier_3 = 200 }

[[account]]
id = "17841400000000001"
profile = "agency"
terms = { tier = 2, time_zone = "Europe/Berlin", day_starts = "09:30", warm_up_since = 1790000000000 }
[[account.campaign]]
id = "guide"
keywords = ["guide", "guía \"now\""]
except = ["spam"]
matching = "contains"
media = ["17900000000000001"]
overflow = "newest_first"
messages = ["Hi {username|there}!\nLook:", "Hello {{}} 🎁"]
[account.campaign.then]
answer = ["yes"]
follow = { ask = ["Follow me"], button = "I follow", unknown = "skip" }
email = { ask = ["Which e-mail?"], tries = 0 }
deliver = [
  { text = "Here", buttons = [{ title = "Open", url = "https://example.com/guide" }] },
  { card = { title = "The guide", image = "https://example.com/guide.png" } },
]
follow_up = [{ after = "1h 30m", messages = ["Read it?"], unless = "never" }]

[[account]]
id = "17841400000000002"
stop_words = ["basta", "lass mich"]
takeover = "1h"
[[account.campaign]]
id = "rest"
messages = ["Thanks!"]
"#;

    fn account(new: NewAccount) -> Account {
        Account {
            id: new.id,
            revision: Default::default(),
            rules: new.rules,
            campaigns: Campaigns::new(new.campaigns),
            token: SealedToken { key: 1, sealed: Vec::new() },
            forgotten: Default::default(),
            conversations: new.conversations.over(&Default::default()),
            albums: Default::default(),
        }
    }

    #[test]
    fn what_is_exported_is_applied_without_a_change() {
        let parsed = accounts_file::parse(FILE, &Profile::careful()).unwrap();
        let accounts: Vec<Account> = parsed.into_iter().map(account).collect();
        let text = toml::to_string(&exported(&accounts)).unwrap();
        let again = accounts_file::parse(&text, &Profile::meta()).unwrap();
        assert_eq!(again.len(), 2, "{text}");
        for (stored, wanted) in accounts.iter().zip(&again) {
            let plan = plan(stored, wanted, Unnamed::Go, Timestamp::NEVER).unwrap();
            assert!(plan.is_empty(), "{plan:?}\n{text}");
        }
    }

    #[test]
    fn a_profile_of_another_version_is_exported_under_another_name() {
        let parsed = accounts_file::parse(FILE, &Profile::careful()).unwrap();
        let mut old = account(parsed.into_iter().nth(1).unwrap());
        let mut profile = old.rules.profile().clone();
        profile.quotas.pop();
        old.rules = spillway_core::rules::Rules::new(profile, Terms::default()).unwrap();
        let exported = exported(&[old]);
        assert_eq!(exported.account[0].profile, "careful_kept");
        let text = toml::to_string(&exported).unwrap();
        assert!(accounts_file::parse(&text, &Profile::careful()).is_ok(), "{text}");
    }
}
