//! `spillway send`: the sends of an account, one by one: looked at, cancelled, brought back.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use spillway_core::hold::HoldCause;
use spillway_core::id::{AccountId, CampaignId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::meta_error::LastRefusal;
use spillway_core::send::{PendingSend, Stage};
use spillway_core::status::Why;
use spillway_core::time::Timestamp;
use spillway_service::accounts_file::is_number;
use spillway_service::admin::send_view::{Happened, SendHistory, SendView};
use spillway_service::admin::sends::{Cancelled, CancelledAll, RetriedView, State, Stored};
use spillway_service::admin::talk::TalkView;
use spillway_service::admin::wait::{Wait, Waits};

use crate::arguments;
use crate::confirm::Consent;
use crate::deployment::{Deployment, Where};
use crate::exit::WrongUsage;
use crate::output::{Columns, Output, Paint, Times, counted, note, paint};
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

The id is account/comment, or account/key as in `send list` and in the logs: what answers a message or a story
reply has a key alone. A comment that has no key of its own is looked for among all sends. A key that names a
person who was forgotten is shown as `f.` and a hash, and found by that. An entry is kept for
the campaign's `once_for`, 90 days unless it says otherwise; one that counts by comment for ten days. The text
of a DM is stored nowhere: what is
shown is the campaign's text of this variant as it is now, with {username} and {keyword} in their places, since
what was sent there is deleted when the send ends. Which variant it is, is chosen with the call.")]
    Show {
        /// The send: account/comment or account/key
        #[arg(value_parser = send_id)]
        send: SendId,
    },
    /// Cancel waiting sends
    Cancel(CancelOptions),
    /// Repeat failed sends; it asks where the DM may have arrived
    #[command(after_help = "\
Examples:
  spillway send retry 17841400000000001/17890000000000001
  spillway send list 17841400000000001 --state failed --json |
    jq -r '.sends[].send' | xargs spillway send retry

Meta refuses a second private reply to a comment, unless its servers failed after the first. A message to a
person has no such guard: what may have arrived (no_answer, unknown) is not repeated. By reason or state:
  recipient, thread_owner  may succeed, if the person or the other app has changed something
  bad_request              may succeed with another text (`spillway campaign apply`)
  refused                  may succeed, if the cause of Meta's refusal of this send has changed
  comment_gone             may succeed, if Meta meant the account because its token could not see it
  no_answer                may succeed: Meta refused it for now, again and again
  unknown                  may arrive twice: look into the conversation first. The command asks before it repeats it
  reply_refused            never: the comment has a reply, or is too old
  window_closed            never
Nothing is repeated past its deadline, and nothing goes to a person who was forgotten. The person's name and the keyword are deleted when a send ends, so
the text uses the fallbacks of its placeholders.")]
    Retry {
        /// The sends: account/comment or account/key
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
  spillway send list 17841400000000001
  spillway send list 17841400000000001 --state failed --limit 500 --json
  spillway send list 17841400000000001 --campaign guide --state parked
  spillway send list 17841400000000001 --person 5260000000000011 --state sent --since 1d

Waiting sends are listed in the order in which they will go out: all that waits for the account is read. Ended
sends are kept for the campaign's `once_for` (90 days unless it says otherwise; ten days where `once_per` is
a comment). They have no index: the whole table of sends is read for them, until the limit is reached. A
person's name is deleted when their send ends, so --username finds waiting sends alone; --person, the id that
Meta has for them in this account, finds ended ones too (with --state).")]
pub(crate) struct ListOptions {
    /// Whose sends
    #[arg(value_parser = arguments::account)]
    account: AccountId,
    /// Only sends in this state
    #[arg(long, value_enum, default_value_t = Wanted::Waiting)]
    state: Wanted,
    /// Only sends of this campaign
    #[arg(long, value_name = "CAMPAIGN", value_parser = arguments::campaign)]
    campaign: Option<CampaignId>,
    /// Only sends to the person with this id
    #[arg(long, value_name = "ID", value_parser = arguments::person)]
    person: Option<RecipientId>,
    /// Only sends that wait for the person with this name
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Only sends that were matched within this time, such as `1d` or `2h`
    #[arg(long, value_name = "SPAN", value_parser = arguments::span)]
    since: Option<Duration>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = arguments::limit, allow_negative_numbers = true)]
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// All that wait: parked, queued, sending, and unknown ones that have not ended
    Waiting,
    /// Without a slot yet
    Parked,
    /// With a slot
    Queued,
    /// Claimed: the call may be under way
    Sending,
    /// Nothing shows whether it arrived: it waits for evidence, or has ended without
    Unknown,
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
  spillway send cancel 17841400000000001 --campaign guide

A send whose call may be under way is left alone: it ends within two minutes. A cancelled send cannot be
repeated, and its person counts as answered for as long as the campaign's `once_per` and `once_for` say.")]
pub(crate) struct CancelOptions {
    /// Sends (account/comment or account/key), or an account: all that wait for it
    #[arg(required = true, value_name = "SEND|ACCOUNT", value_parser = target)]
    targets: Vec<Target>,
    /// Of an account, only the sends of this campaign
    #[arg(long, value_name = "CAMPAIGN", value_parser = arguments::campaign)]
    campaign: Option<CampaignId>,
    #[command(flatten)]
    consent: Consent,
}

/// What is to be cancelled.
#[derive(Clone, Debug)]
enum Target {
    /// All sends that wait for an account.
    Account(AccountId),
    /// One.
    Send(SendId),
}

impl CancelOptions {
    /// Returns the account whose sends are cancelled; `None` if sends are named.
    fn account(&self) -> Result<Option<&AccountId>, WrongUsage> {
        let wrong = |text: &str| Err(WrongUsage(text.to_owned()));
        let accounts = self.targets.iter().filter(|target| matches!(target, Target::Account(_)));
        match (accounts.count(), self.targets.as_slice()) {
            (1, [Target::Account(account)]) => Ok(Some(account)),
            (0, _) if self.campaign.is_none() => Ok(None),
            (0, _) => wrong("--campaign chooses among the sends of an account: name the account"),
            _ => wrong("name one account alone, or sends as account/comment or account/key"),
        }
    }

    fn sends(&self) -> Vec<&SendId> {
        let sends = self.targets.iter().filter_map(|target| match target {
            Target::Send(send) => Some(send),
            Target::Account(_) => None,
        });
        sends.collect()
    }
}

fn target(text: &str) -> Result<Target, String> {
    if text.contains('/') {
        send_id(text).map(Target::Send)
    } else {
        arguments::account(text).map(Target::Account)
    }
}

/// Reads account/comment or account/key.
fn send_id(text: &str) -> Result<SendId, String> {
    let parts = text.split_once('/').filter(|(account, event)| {
        is_number(account) && !event.is_empty() && !event.contains(['/', '#', ' '])
    });
    let (account, event) =
        parts.ok_or("a send is named account/comment, or account/key as in `send list`")?;
    Ok(SendId { account: AccountId::new(account), key: OnceKey::new(event) })
}

/// Runs one of them.
pub(crate) async fn run(command: Command, place: &Where, output: Output) -> Result<()> {
    match command {
        Command::List(options) => list(&place.open().await?, &options, output).await,
        Command::Show { send } => show(&place.open().await?, &send, output).await,
        Command::Cancel(options) => {
            let consent = options.consent;
            match options.account()? {
                Some(account) => {
                    let campaign = options.campaign.clone();
                    cancel_all(&place.open().await?, account, campaign, consent, output).await
                }
                None => cancel(&place.open().await?, &options.sends(), consent, output).await,
            }
        }
        Command::Retry { sends, consent } => {
            retry(&place.open().await?, &sends, consent, output).await
        }
    }
}

fn state(shown: &SendView) -> String {
    let colour = match shown.state {
        "sent" => Paint::Good,
        "failed" | "expired" => Paint::Bad,
        _ => Paint::Warn,
    };
    paint(colour, shown.state)
}

fn text(shown: &SendView, held_until: Option<Timestamp>, times: &Times, output: Output) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &output.wrapped(0, &format!("{name:<10} {value}"));
        }
    };
    line("send", Some(shown.send.clone()));
    line("comment", shown.comment.as_ref().map(ToString::to_string));
    line("state", Some(state(shown)));
    line("cause", shown.cause.map(str::to_owned));
    line("campaign", Some(shown.campaign.to_string()));
    line("lane", Some(shown.lane.to_string()));
    line("answers", shown.answers.map(|answers| format!("a {}", answers.replace('_', " "))));
    line("matched", Some(times.when(shown.matched_at)));
    line("not before", shown.not_before.map(|at| times.when(at)));
    let is_put_off = |slot: Timestamp| held_until.is_some_and(|until| until > slot);
    line(
        "slot",
        shown.slot.map(|at| {
            let rest = if is_put_off(at) { ", where it is put off again" } else { "" };
            format!("{}{rest}", times.when(at))
        }),
    );
    line("ended", shown.ended_at.map(|at| times.when(at)));
    line("deadline", shown.deadline.map(|at| times.when(at)));
    line("lease", shown.lease_until.map(|at| times.when(at)));
    line("attempts", Some(shown.attempts.to_string()));
    line("recipient", shown.recipient.as_ref().map(ToString::to_string));
    line("message", shown.message_id.clone());
    line("variant", shown.variant.map(|variant| variant.to_string()));
    line("failures", Some(shown.failures.to_string()));
    let unclear = shown.maybe_sent == Some(true);
    line("note", unclear.then(|| "an earlier attempt may have arrived".to_owned()));
    line("epoch", Some(shown.epoch.to_string()));
    text
}

const COLUMNS: Columns<8> = Columns {
    heads: ["SEND", "STATE", "CAUSE", "SLOT OR END", "COMMENT", "CAMPAIGN", "LANE", "DEADLINE"],
    least_first: &[7, 6, 5, 3, 4],
};

async fn list(deployment: &Deployment, options: &ListOptions, output: Output) -> Result<()> {
    let (account, campaign) = (&options.account, options.campaign.as_ref());
    let is_wanted = |id: &CampaignId| campaign.is_none_or(|campaign| campaign == id);
    let limit = options.limit;
    let username = options.username.as_deref().map(|name| name.trim_start_matches('@'));
    let is_theirs =
        |of: Option<&RecipientId>| options.person.as_ref().is_none_or(|person| of == Some(person));
    let since = options.since.map(|span| deployment.clock.now() - span);
    let is_recent = |at: Timestamp| since.is_none_or(|since| at >= since);
    let shown: Vec<SendView> = match options.state {
        Wanted::Waiting | Wanted::Parked | Wanted::Queued | Wanted::Sending => {
            let stands = |send: &PendingSend| match (options.state, send.stage) {
                (Wanted::Parked, stage) => stage == Stage::Parked,
                (Wanted::Queued, stage) => matches!(stage, Stage::Queued { .. }),
                (Wanted::Sending, stage) => matches!(stage, Stage::Sending { .. }),
                _ => true,
            };
            let is_named = |send: &PendingSend| {
                username.is_none_or(|name| {
                    send.username.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(name))
                })
            };
            let wanted = |send: &PendingSend| {
                is_wanted(&send.content.campaign)
                    && stands(send)
                    && is_named(send)
                    && is_theirs(send.to.recipient())
                    && is_recent(send.matched_at)
            };
            let found = deployment.admin.sends.waiting(account, wanted, limit).await?;
            found.iter().map(|(_, send)| SendView::from(send)).collect()
        }
        _ if username.is_some() => {
            let text = "the name is deleted when a send ends: --username finds those that wait";
            return Err(WrongUsage(text.into()).into());
        }
        Wanted::Unknown | Wanted::Sent | Wanted::Failed | Wanted::Expired | Wanted::Cancelled => {
            let state = match options.state {
                Wanted::Unknown => "unknown",
                Wanted::Sent => "sent",
                Wanted::Failed => "failed",
                Wanted::Expired => "expired",
                _ => "cancelled",
            };
            let wanted = |stored: &Stored| {
                stored.state.shown() == state
                    && is_wanted(&stored.content.campaign)
                    && is_recent(stored.matched_at)
                    && is_theirs(stored.recipient().as_ref())
            };
            let sends = &deployment.admin.sends;
            let mut shown = Vec::new();
            // Those that wait for evidence come before those for which none has come in time.
            if options.state == Wanted::Unknown {
                let waits = |send: &PendingSend| {
                    matches!(send.stage, Stage::Unknown(_))
                        && is_wanted(&send.content.campaign)
                        && is_recent(send.matched_at)
                        && is_theirs(send.to.recipient())
                };
                let found = sends.waiting(account, waits, limit).await?;
                shown.extend(found.iter().map(|(_, send)| SendView::from(send)));
            }
            let progress = Progress::unbounded("entries read");
            let looked_at = |entries| progress.advance(entries);
            let left = limit.saturating_sub(shown.len());
            let found = sends.ended(account, wanted, left, looked_at).await?;
            progress.finish();
            shown.extend(found.iter().map(SendView::from));
            shown
        }
    };
    if shown.is_empty() {
        known(deployment, account, campaign).await?;
    }
    let times = deployment.times_of(account).await?;
    output.print(&serde_json::json!({ "sends": shown }), || {
        let row = |shown: &SendView| {
            let shown_at = |at: Option<Timestamp>| at.map_or("-".into(), |at| times.at(at));
            [
                shown.send.clone(),
                state(shown),
                shown.cause.unwrap_or("-").to_owned(),
                shown_at(shown.slot.or(shown.ended_at)),
                shown.comment.as_ref().map_or_else(|| "-".into(), ToString::to_string),
                shown.campaign.to_string(),
                shown.lane.to_string(),
                shown_at(shown.deadline),
            ]
        };
        let rows: Vec<_> = shown.iter().map(row).collect();
        let mut text = output.table(&COLUMNS, &rows, "none");
        if shown.len() == limit {
            let _ = writeln!(text, "(the first {limit}: --limit shows more)");
        }
        text
    })
}

/// Refuses an account or a campaign that does not exist. What was removed may have left sends.
async fn known(
    deployment: &Deployment,
    account: &AccountId,
    campaign: Option<&CampaignId>,
) -> Result<()> {
    let connected = deployment.admin.accounts.connected(account).await?;
    if let Some(campaign) = campaign.filter(|id| connected.campaigns.get(id).is_none()) {
        bail!(
            "account {account} has no campaign `{campaign}`: `spillway campaign list` names those \
             there are"
        );
    }
    Ok(())
}

async fn find(deployment: &Deployment, send: &SendId) -> Result<Stored> {
    let admin = &deployment.admin.sends;
    if let Some(found) = admin.find(send).await? {
        return Ok(found);
    }
    let comment = CommentId::new(send.key.as_str());
    if is_number(comment.as_str()) {
        let progress = Progress::unbounded("entries read");
        let looked_at = |entries| progress.advance(entries);
        let answering = admin.answering(&send.account, &comment, looked_at).await?;
        progress.finish();
        if let Some(answering) = answering
            && let Some(found) = admin.find(&answering).await?
        {
            return Ok(found);
        }
    }
    if send.key.is_nameless() {
        let progress = Progress::unbounded("entries read");
        let looked_at = |entries| progress.advance(entries);
        let nameless = admin.nameless(send, looked_at).await?;
        progress.finish();
        if let Some(found) = nameless {
            return Ok(found);
        }
    }
    bail!(
        "send {send} is not stored: entries are kept for the campaign's `once_for` (ten days where \
         they count by comment), and only of comments that a campaign wanted and whose author did \
         not have the DM"
    )
}

/// What is kept of its conversation.
fn talk_text(talk: &TalkView, times: &Times, output: Output) -> String {
    let TalkView { place, since, clicked, heard_at } = talk;
    let place = format!("at `{place}` since {}", times.when(*since));
    let heard = heard_at.map_or_else(String::new, |at| {
        format!("; the person's last message or tap was {}", times.when(at))
    });
    let clicked = if *clicked { "; a link was opened" } else { "" };
    output.wrapped(0, &format!("{:<10} {place}{heard}{clicked}", "talk"))
}

async fn show(deployment: &Deployment, send: &SendId, output: Output) -> Result<()> {
    let stored = find(deployment, send).await?;
    let times = deployment.times_of(&send.account).await?;
    let waits = match &stored.state {
        State::Waiting(send) => deployment.admin.overviews.wait_of(send, times.now).await?,
        State::Ended { .. } => None,
    };
    // One that was removed has no texts any more.
    let account = deployment.admin.accounts.connected(&send.account).await.ok();
    let campaign =
        account.as_ref().and_then(|account| account.campaigns.get(&stored.content.campaign));
    let conversation = deployment.admin.sends.talk_of(&stored).await?;
    let told = SendHistory { waits, conversation, ..SendHistory::from(&stored) }
        .with_text(campaign, stored.content.step);
    output.print(&told, || {
        let held_until = told.waits.as_ref().and_then(|wait| wait.until);
        let mut text = text(&told.send, held_until, &times, output);
        if let Some(Wait { why, until, expected_at }) = &told.waits {
            let until = until.map_or_else(String::new, |at| format!(", until {}", times.when(at)));
            text += &output.wrapped(0, &format!("{:<10} {why}{until}", "waits for"));
            if let Some(command) = command(why, &told.send, &send.account) {
                text += &output.wrapped(0, &format!("{:<10} `{command}`", "ends it"));
            }
            if let Some(at) = expected_at {
                text += &output.wrapped(0, &format!("{:<10} ~{}", "goes out", times.when(*at)));
            }
        }
        if let Some(talk) = &told.conversation {
            text += &talk_text(talk, &times, output);
        }
        if let Some(LastRefusal { at, error }) = &stored.last_refusal {
            let refused = format!("{:<10} {error}, {}", "refused", times.when(*at));
            text += &output.wrapped(0, &refused);
        }
        if let Some(dm) = &told.text {
            text.push_str("text, as the campaign says it now\n");
            for line in dm.lines() {
                text += &output.wrapped(2, line);
            }
        }
        text.push_str("history\n");
        for Happened { at, what } in &told.history {
            text += &output.wrapped(2, &format!("{}  {what}", times.when(*at)));
        }
        text
    })
}

/// The command that ends a wait, if one does.
fn command(why: &Waits, send: &SendView, account: &AccountId) -> Option<String> {
    match why {
        Waits::Account(Why::Answer(HoldCause::TokenDead) | Why::TokenOver) => {
            Some("spillway connect".into())
        }
        Waits::Account(Why::ByHand(_)) => Some(format!("spillway account resume {account}")),
        Waits::CampaignPaused | Waits::CampaignHeld => {
            Some(format!("spillway campaign resume {account} {}", send.campaign))
        }
        _ => None,
    }
}

async fn cancel_all(
    deployment: &Deployment,
    account: &AccountId,
    campaign: Option<CampaignId>,
    consent: Consent,
    output: Output,
) -> Result<()> {
    let wanted = |send: &PendingSend| {
        campaign.as_ref().is_none_or(|campaign| *campaign == send.content.campaign)
    };
    let admin = &deployment.admin.sends;
    let waiting = admin.waiting(account, wanted, usize::MAX).await?.len();
    if waiting == 0 {
        known(deployment, account, campaign.as_ref()).await?;
        return shown_cancelled(CancelledAll::default(), output);
    }
    consent.ask(&format!("this cancels {} for good", counted(waiting, "waiting send")))?;
    let progress = Progress::new("cancelled", waiting);
    let all = admin.cancel_waiting(account, wanted, |done| progress.advance(done)).await?;
    progress.finish();
    shown_cancelled(all, output)
}

async fn cancel(
    deployment: &Deployment,
    sends: &[&SendId],
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
    consent.ask(&format!("this cancels {} for good", counted(waiting.len(), "waiting send")))?;
    let mut all = CancelledAll::default();
    for (outbox_key, send) in &waiting {
        let id = &send.id;
        match deployment.admin.sends.cancel(outbox_key, send).await? {
            Cancelled::Done => all.done += 1,
            Cancelled::Claimed(until) => {
                let until = deployment.times_of(&id.account).await?.when(until);
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
    ensure!(all.done > 0, "none of {} was cancelled", counted(sends.len(), "send"));
    Ok(())
}

fn shown_cancelled(all: CancelledAll, output: Output) -> Result<()> {
    let CancelledAll { done, left } = all;
    output.print(&all, || match (done, left) {
        (0, 0) => "nothing waits: nothing to cancel\n".into(),
        (_, 0) => format!("cancelled: {done}\n"),
        _ => format!("cancelled: {done}; {left} had a call under way, or moved on: look again\n"),
    })
}

async fn retry(
    deployment: &Deployment,
    sends: &[SendId],
    consent: Consent,
    output: Output,
) -> Result<()> {
    let admin = &deployment.admin.sends;
    let mut found = Vec::new();
    for send in sends {
        found.push(find(deployment, send).await?);
    }
    let unknown = admin.may_arrive_twice(&found);
    if unknown > 0 {
        consent.ask(&format!(
            "{unknown} of {} may have arrived although Meta's servers failed, and would arrive twice",
            counted(sends.len(), "send")
        ))?;
    }
    let all = admin.retry_all(&found).await;
    let done = all.iter().filter(|one| one.retried).count();
    output.print(&serde_json::json!({ "sends": all }), || {
        let line = |one: &RetriedView| match &one.reason {
            None => format!("{}: waits again\n", one.send),
            Some(reason) => format!("{}: not retried: {reason}\n", one.send),
        };
        all.iter().map(line).collect()
    })?;
    ensure!(done > 0, "none of {} was retried", counted(sends.len(), "send"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_are_named_as_in_logs() {
        let send = send_id("178/179").unwrap();
        assert_eq!((send.account.as_str(), send.key.as_str()), ("178", "179"));
        assert!(
            ["", "178", "/1", "1/", "1/2/3", "me/1", "1/2 3", "1/#"]
                .iter()
                .all(|text| send_id(text).is_err())
        );
    }
}
