//! `spillway send`: the sends of an account, one by one: looked at, cancelled, brought back.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use spillway_core::id::{AccountId, CampaignId, EventId, SendId};
use spillway_core::send::{Earlier, FailReason, Lane, Outcome, PendingSend, Stage};
use spillway_core::time::Timestamp;
use spillway_service::admin::sends::{Cancelled, CancelledAll, State, Stored};

use crate::confirm::Consent;
use crate::deployment::{Deployment, Where};
use crate::output::{Output, Paint, instant, note, paint, table, when};
use crate::progress::Progress;

/// What is done with sends.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List an account's sends
    List(ListOptions),
    /// Show everything that is stored about one send
    #[command(after_help = "\
Example:
  spillway send show 17841400000000001/17890000000000001

The id is account/comment, as in the field `send` of the logs. Entries are kept for ten days. Names and
texts are not shown; the text of a DM is stored nowhere.")]
    Show {
        /// The send: account/comment
        #[arg(value_parser = send_id)]
        send: SendId,
    },
    /// Cancel waiting sends
    Cancel(CancelOptions),
    /// Repeat failed sends, where no second DM can result
    #[command(after_help = "\
Examples:
  spillway send retry 17841400000000001/17890000000000001
  spillway send list --account 17841400000000001 --state failed --json |
    jq -r '.sends[].send' | xargs spillway send retry

Only answers to comments can be repeated: Meta refuses a second private reply to a comment, unless its
servers failed after the first. A message to a person has no such guard. By reason:
  recipient, thread_owner  may succeed, if the person or the other app has changed something
  bad_request              may succeed with another text (`spillway campaign apply`)
  refused                  may succeed, if the cause of Meta's refusal of this send has changed
  comment_gone             may succeed, if Meta meant the account because its token could not see it
  no_answer                may succeed; if the first one had arrived, it ends as sent
  unknown                  may arrive twice: look into the conversation first. The command asks before it repeats it
  reply_refused            never: the comment has a reply, or is too old
  window_closed            never
Nothing is repeated past its deadline. The person's name and the keyword are deleted when a send ends, so
the text uses the fallbacks of its placeholders.")]
    Retry {
        /// The sends: account/comment
        #[arg(required = true, value_parser = send_id)]
        sends: Vec<SendId>,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Which sends.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway send list --account 17841400000000001
  spillway send list --account 17841400000000001 --state failed --limit 500 --json
  spillway send list --account 17841400000000001 --campaign guide --state parked

Waiting sends are listed in the order in which they will go out. Ended sends are kept for ten days and have
no index: the whole table of sends is read for them, until the limit is reached.")]
pub(crate) struct ListOptions {
    /// Whose sends
    #[arg(long, value_name = "ID")]
    account: String,
    /// Only sends in this state
    #[arg(long, value_enum, default_value_t = Wanted::Waiting)]
    state: Wanted,
    /// Only sends of this campaign
    #[arg(long, value_name = "CAMPAIGN")]
    campaign: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// All that wait: parked, queued and sending
    Waiting,
    /// Without a slot yet
    Parked,
    /// With a slot
    Queued,
    /// Claimed: the call may be under way
    Sending,
    /// Delivered
    Sent,
    /// Failed for good
    Failed,
    /// Too late
    Expired,
    /// Not wanted any more
    Cancelled,
}

/// Which sends to cancel.
#[derive(Args)]
#[command(after_help = "\
Examples:
  spillway send cancel 17841400000000001/17890000000000001 --yes
  spillway send cancel --account 17841400000000001 --campaign guide

A send whose call may be under way is left alone: it ends within two minutes. A cancelled send cannot be
repeated, and its comment is known for ten days, so it gets no other DM.")]
pub(crate) struct CancelOptions {
    /// Sends: account/comment
    #[arg(value_parser = send_id, conflicts_with = "account", required_unless_present = "account")]
    sends: Vec<SendId>,
    /// All waiting sends of this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only those of this campaign
    #[arg(long, value_name = "CAMPAIGN", requires = "account")]
    campaign: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

/// Reads account/comment.
pub(crate) fn send_id(text: &str) -> Result<SendId, String> {
    let parts = text.split_once('/').filter(|(account, event)| {
        !account.is_empty() && !event.is_empty() && !event.contains('/')
    });
    let (account, event) = parts.ok_or("a send is named account/comment, as logs have it")?;
    Ok(SendId { account: AccountId::new(account), event: EventId::new(event) })
}

/// Runs one of them.
pub(crate) async fn run(command: Command, place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    match command {
        Command::List(options) => list(&deployment, &options, output).await,
        Command::Show { send } => show(&deployment, &send, output).await,
        Command::Cancel(options) => cancel(&deployment, options, output).await,
        Command::Retry { sends, consent } => retry(&deployment, &sends, consent, output).await,
    }
}

/// A send as it is printed. What is not known of it, or not any more, is `null`.
#[derive(Serialize)]
struct Shown {
    send: String,
    /// parked, queued or sending while it waits, else how it ended.
    state: &'static str,
    campaign: String,
    lane: Option<&'static str>,
    matched_at: Option<String>,
    deadline: Option<String>,
    /// The slot of a queued send.
    slot: Option<String>,
    /// Until when a claimed one may be under way.
    lease_until: Option<String>,
    epoch: u32,
    attempts: u32,
    failures: u32,
    /// Whether an earlier attempt may have arrived.
    maybe_sent: Option<bool>,
    ended_at: Option<String>,
    /// Why it failed or was cancelled.
    cause: Option<String>,
    #[serde(skip)]
    times: Times,
}

struct Times {
    slot: Option<Timestamp>,
    ended: Option<Timestamp>,
    deadline: Option<Timestamp>,
    matched: Timestamp,
}

impl Shown {
    fn waiting(send: &PendingSend) -> Self {
        let (state, slot, lease) = match send.stage {
            Stage::Parked => ("parked", None, None),
            Stage::Queued { due } => ("queued", Some(due), None),
            Stage::Sending { lease_until } => ("sending", None, Some(lease_until)),
        };
        Self {
            send: send.id.to_string(),
            state,
            campaign: send.campaign.to_string(),
            lane: Some(lane(send.lane)),
            matched_at: instant(send.matched_at),
            deadline: instant(send.deadline),
            slot: slot.and_then(instant),
            lease_until: lease.and_then(instant),
            epoch: send.epoch,
            attempts: send.attempt,
            failures: send.failures,
            maybe_sent: Some(send.earlier == Earlier::Unknown),
            ended_at: None,
            cause: None,
            times: Times {
                slot,
                ended: None,
                deadline: Some(send.deadline),
                matched: send.matched_at,
            },
        }
    }

    fn stored(stored: &Stored) -> Self {
        let (outcome, ended) = match &stored.state {
            State::Waiting(send) => return Self::waiting(send),
            State::Ended { outcome, at } => (outcome, *at),
        };
        let parts = stored.outbox_key.parts();
        let deadline = parts.map(|(_, _, deadline)| deadline);
        Self {
            send: stored.id.to_string(),
            state: stored.state.name(),
            campaign: stored.campaign.to_string(),
            lane: parts.map(|(of, _, _)| lane(of)),
            matched_at: instant(stored.matched_at),
            deadline: deadline.and_then(instant),
            slot: None,
            lease_until: None,
            epoch: stored.epoch,
            attempts: stored.attempts,
            failures: stored.failures,
            maybe_sent: None,
            ended_at: instant(ended),
            cause: cause(outcome),
            times: Times { slot: None, ended: Some(ended), deadline, matched: stored.matched_at },
        }
    }

    fn state(&self) -> String {
        let colour = match self.state {
            "sent" => Paint::Good,
            "failed" | "expired" => Paint::Bad,
            _ => Paint::Warn,
        };
        paint(colour, self.state)
    }

    fn text(&self, now: Timestamp) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(text, "{name:<10} {value}");
            }
        };
        let Times { slot, ended, deadline, matched } = self.times;
        line("send", Some(self.send.clone()));
        line("state", Some(self.state()));
        line("cause", self.cause.clone());
        line("campaign", Some(self.campaign.clone()));
        line("lane", self.lane.map(str::to_owned));
        line("matched", Some(when(matched, now)));
        line("slot", slot.map(|at| when(at, now)));
        line("ended", ended.map(|at| when(at, now)));
        line("deadline", deadline.map(|at| when(at, now)));
        line("lease", self.lease_until.clone());
        line("attempts", Some(self.attempts.to_string()));
        line("failures", Some(self.failures.to_string()));
        let unclear = self.maybe_sent == Some(true);
        line("note", unclear.then(|| "an earlier attempt may have arrived".to_owned()));
        line("epoch", Some(self.epoch.to_string()));
        text
    }
}

fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::Live => "live",
        Lane::Inbound => "inbound",
        Lane::FollowUp => "follow_up",
        Lane::Outbound => "outbound",
    }
}

/// Why it failed or was cancelled, as the stores have it.
fn cause(outcome: &Outcome) -> Option<String> {
    let reason = match outcome {
        Outcome::Failed { reason } => serde_json::to_value(reason),
        Outcome::Cancelled { reason } => serde_json::to_value(reason),
        Outcome::Sent { .. } | Outcome::Expired => return None,
    };
    reason.ok()?.as_str().map(str::to_owned)
}

async fn list(deployment: &Deployment, options: &ListOptions, output: Output) -> Result<()> {
    let account = AccountId::new(options.account.trim());
    let campaign = options.campaign.as_deref().map(CampaignId::new);
    let is_wanted = |id: &CampaignId| campaign.as_ref().is_none_or(|campaign| campaign == id);
    let limit = options.limit;
    let shown: Vec<Shown> = match options.state {
        Wanted::Waiting | Wanted::Parked | Wanted::Queued | Wanted::Sending => {
            let stands = |send: &PendingSend| match (options.state, send.stage) {
                (Wanted::Parked, stage) => stage == Stage::Parked,
                (Wanted::Queued, stage) => matches!(stage, Stage::Queued { .. }),
                (Wanted::Sending, stage) => matches!(stage, Stage::Sending { .. }),
                _ => true,
            };
            let wanted = |send: &PendingSend| is_wanted(&send.campaign) && stands(send);
            let found = deployment.operator.waiting(&account, wanted, limit).await?;
            found.iter().map(|(_, send)| Shown::waiting(send)).collect()
        }
        Wanted::Sent | Wanted::Failed | Wanted::Expired | Wanted::Cancelled => {
            let state = match options.state {
                Wanted::Sent => "sent",
                Wanted::Failed => "failed",
                Wanted::Expired => "expired",
                _ => "cancelled",
            };
            let wanted =
                |stored: &Stored| stored.state.name() == state && is_wanted(&stored.campaign);
            ended(deployment, &account, wanted, limit).await?
        }
    };
    let now = deployment.clock.now();
    output.print(&serde_json::json!({ "sends": shown }), || {
        let row = |shown: &Shown| {
            let Times { slot, ended, deadline, .. } = shown.times;
            let at = slot.or(ended).map_or("-".into(), |at| when(at, now));
            [
                shown.send.clone(),
                shown.state(),
                shown.campaign.clone(),
                shown.lane.unwrap_or("-").to_owned(),
                at,
                deadline.map_or("-".into(), |at| when(at, now)),
                shown.cause.clone().unwrap_or_default(),
            ]
        };
        let rows: Vec<_> = shown.iter().map(row).collect();
        let head = ["SEND", "STATE", "CAMPAIGN", "LANE", "SLOT OR END", "DEADLINE", "CAUSE"];
        let mut text = table(head, &rows, "none");
        if shown.len() == limit {
            let _ = writeln!(text, "(the first {limit}: --limit shows more)");
        }
        text
    })
}

/// Looks the whole table of entries through: an index of those that have ended would cost a write
/// unit more for each DM, and nobody but an operator asks.
async fn ended(
    deployment: &Deployment,
    account: &AccountId,
    wanted: impl Fn(&Stored) -> bool,
    limit: usize,
) -> Result<Vec<Shown>> {
    let progress = Progress::unbounded("entries read");
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    while found.len() < limit {
        let page = deployment.operator.ledger.ended(account, after.as_deref()).await?;
        progress.advance(page.looked_at);
        found.extend(page.sends.iter().filter(|stored| wanted(stored)).map(Shown::stored));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    progress.finish();
    found.truncate(limit);
    Ok(found)
}

async fn find(deployment: &Deployment, send: &SendId) -> Result<Stored> {
    deployment.operator.find(send).await?.with_context(|| {
        format!("send {send} is not stored: entries are kept for ten days, and only of comments that a campaign wanted")
    })
}

/// A send with all that happened to it.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    shown: Shown,
    /// In order. Of many steps the last ones are kept.
    history: Vec<Happened>,
}

/// Something that happened to a send.
#[derive(Serialize)]
struct Happened {
    at: Option<String>,
    what: String,
    #[serde(skip)]
    instant: Timestamp,
}

impl Told {
    fn of(stored: &Stored) -> Self {
        let happened =
            |instant_at, what| Happened { at: instant(instant_at), what, instant: instant_at };
        let mut history = vec![happened(stored.matched_at, "matched".to_owned())];
        let first = stored.steps.first().map_or(1, |step| step.epoch);
        if first > 1 {
            let steps = first - 1;
            history.push(happened(stored.matched_at, format!("{steps} steps that are not kept")));
        }
        for step in &stored.steps {
            history.extend(step.slot.map(|slot| happened(slot, "its slot".to_owned())));
            history.push(happened(step.at, step.what.to_string()));
        }
        if let State::Ended { outcome, at } = &stored.state {
            let cause = cause(outcome).map(|cause| format!(": {cause}")).unwrap_or_default();
            history.push(happened(*at, format!("{}{cause}", outcome.state())));
        }
        Self { shown: Shown::stored(stored), history }
    }

    fn text(&self, now: Timestamp) -> String {
        let mut text = self.shown.text(now);
        text.push_str("history\n");
        for Happened { instant, what, .. } in &self.history {
            let _ = writeln!(text, "  {}  {what}", when(*instant, now));
        }
        text
    }
}

async fn show(deployment: &Deployment, send: &SendId, output: Output) -> Result<()> {
    let told = Told::of(&find(deployment, send).await?);
    let now = deployment.clock.now();
    output.print(&told, || told.text(now))
}

async fn cancel(deployment: &Deployment, options: CancelOptions, output: Output) -> Result<()> {
    let Some(account) = &options.account else {
        return cancel_named(deployment, &options.sends, options.consent, output).await;
    };
    let account = AccountId::new(account.trim());
    let campaign = options.campaign.as_deref().map(CampaignId::new);
    let wanted =
        |send: &PendingSend| campaign.as_ref().is_none_or(|campaign| *campaign == send.campaign);
    let waiting = deployment.operator.waiting(&account, wanted, usize::MAX).await?.len();
    if waiting == 0 {
        return shown_cancelled(CancelledAll::default(), output);
    }
    options.consent.ask(&format!("{waiting} waiting sends are cancelled for good"))?;
    let progress = Progress::new("cancelled", waiting);
    let operator = &deployment.operator;
    let all = operator.cancel_waiting(&account, wanted, |done| progress.advance(done)).await?;
    progress.finish();
    shown_cancelled(all, output)
}

async fn cancel_named(
    deployment: &Deployment,
    sends: &[SendId],
    consent: Consent,
    output: Output,
) -> Result<()> {
    let mut waiting = Vec::new();
    for send in sends {
        let Stored { outbox_key, state, .. } = find(deployment, send).await?;
        match state {
            State::Waiting(send) => waiting.push((outbox_key, *send)),
            state @ State::Ended { .. } => {
                bail!("send {send} does not wait: it is {}", state.name())
            }
        }
    }
    consent.ask(&format!("{} waiting sends are cancelled for good", waiting.len()))?;
    let mut all = CancelledAll::default();
    for (outbox_key, send) in &waiting {
        let id = &send.id;
        match deployment.operator.cancel(outbox_key, send).await? {
            Cancelled::Done => all.done += 1,
            Cancelled::Claimed(until) => {
                let until = when(until, deployment.clock.now());
                note(format_args!("{id} is left alone: its call may be under way until {until}"));
                all.left += 1;
            }
            Cancelled::MovedOn => {
                note(format_args!("{id} moved on meanwhile: look with `spillway send show {id}`"));
                all.left += 1;
            }
        }
    }
    shown_cancelled(all, output)?;
    ensure!(all.done > 0, "none of {} was cancelled", sends.len());
    Ok(())
}

fn shown_cancelled(all: CancelledAll, output: Output) -> Result<()> {
    let CancelledAll { done, left } = all;
    output.print(&serde_json::json!({ "cancelled": done, "left": left }), || match (done, left) {
        (0, 0) => "nothing waits: nothing to cancel\n".into(),
        (_, 0) => format!("cancelled: {done}\n"),
        _ => format!("cancelled: {done}; {left} had a call under way, or moved on: look again\n"),
    })
}

#[derive(Serialize)]
struct Retried {
    send: String,
    retried: bool,
    reason: Option<String>,
}

async fn retry(
    deployment: &Deployment,
    sends: &[SendId],
    consent: Consent,
    output: Output,
) -> Result<()> {
    let mut unknown = 0;
    for send in sends {
        let stored = deployment.operator.find(send).await?;
        let ended = stored.and_then(|stored| match stored.state {
            State::Ended { outcome, .. } => Some(outcome),
            State::Waiting(_) => None,
        });
        unknown += usize::from(ended == Some(Outcome::Failed { reason: FailReason::Unknown }));
    }
    if unknown > 0 {
        consent.ask(&format!(
            "{unknown} of {} may have arrived although Meta's servers failed, and would arrive twice",
            sends.len()
        ))?;
    }
    let mut all = Vec::new();
    for send in sends {
        let result = deployment.operator.retry(send).await;
        let reason = result.as_ref().err().map(ToString::to_string);
        all.push(Retried { send: send.to_string(), retried: result.is_ok(), reason });
    }
    let done = all.iter().filter(|one| one.retried).count();
    output.print(&serde_json::json!({ "sends": all }), || {
        let line = |one: &Retried| match &one.reason {
            None => format!("{}: waits again\n", one.send),
            Some(reason) => format!("{}: not retried: {reason}\n", one.send),
        };
        all.iter().map(line).collect()
    })?;
    ensure!(done > 0, "none of {} was retried", sends.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_are_named_as_in_logs() {
        let send = send_id("178/179").unwrap();
        assert_eq!((send.account.as_str(), send.event.as_str()), ("178", "179"));
        assert!(["", "178", "/1", "1/", "1/2/3"].iter().all(|text| send_id(text).is_err()));
    }
}
