//! `spillway dlq`: messages that nobody could work on.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use spillway_cloud::dead_letters::DeadLetters;
use spillway_core::id::{AccountId, CampaignId};
use spillway_service::admin::dead_letters::{self, DeadLetter, DeadLetterView, Redriven};

use crate::arguments;
use crate::confirm::Consent;
use crate::deployment::{Deployment, Where};
use crate::output::{Columns, Output, Times, counted};
use crate::progress::Progress;

/// What is done with the dead-letter queue.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List its messages
    #[command(after_help = "\
Examples:
  spillway dlq list
  spillway dlq list --limit 1000 --json

No send is lost with a message: the send still waits, and the release function enqueues it again. A
message that cannot be read is not Spillway's, or was written by a version long ago. The messages are
visible to others again when this command ends.")]
    List {
        /// At most this many
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = arguments::limit, allow_negative_numbers = true)]
        limit: usize,
    },
    /// Show one message with its body
    #[command(after_help = "Example:\n  spillway dlq show 5fea7756-0ea4-451a-a703-a558b933e274")]
    Show {
        /// Its id, as `list` prints it
        message: String,
    },
    /// Move messages that name a send back to the queue of sends
    #[command(after_help = "\
Examples:
  spillway dlq redrive --all
  spillway dlq redrive 5fea7756-0ea4-451a-a703-a558b933e274

First repair what made them fail: the sender's log says what. A message whose send has moved on is void,
so no DM goes out twice. Messages that cannot be read stay.")]
    Redrive(Which),
    /// Delete messages
    #[command(after_help = "\
Examples:
  spillway dlq drop --all --yes
  spillway dlq drop 5fea7756-0ea4-451a-a703-a558b933e274

No send is lost with a message: the send still waits.")]
    Drop {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        consent: Consent,
    },
}

/// Which messages.
#[derive(Args)]
pub(crate) struct Which {
    /// Ids, as `list` prints them
    #[arg(conflicts_with = "all", required_unless_present = "all")]
    messages: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

impl Which {
    fn has(&self, letter: &DeadLetter) -> bool {
        self.all || self.messages.contains(&letter.id)
    }
}

/// Runs one of them.
pub(crate) async fn run(command: Command, place: &Where, output: Output) -> Result<()> {
    let deployment = place.open().await?;
    let letters = &deployment.dead_letters;
    match command {
        Command::List { limit } => list(&deployment, limit, output).await,
        Command::Show { message } => show(&deployment, &message, output).await,
        Command::Redrive(which) => redrive(letters, &which, output).await,
        Command::Drop { which, consent } => drop_some(letters, &which, consent, output).await,
    }
}

const COLUMNS: Columns<4> =
    Columns { heads: ["MESSAGE", "SENT", "SEND", "CAMPAIGN"], least_first: &[3, 1] };

async fn list(deployment: &Deployment, limit: usize, output: Output) -> Result<()> {
    let shown = dead_letters::list(&deployment.dead_letters, limit).await?;
    let times = times(deployment, &shown).await?;
    output.print(&serde_json::json!({ "messages": shown }), || {
        let row = |shown: &DeadLetterView| {
            let send = shown.send.clone().unwrap_or_else(|| "(cannot be read)".into());
            let sent_at = times.at(shown.sent_at);
            let campaign = shown.campaign.as_ref().map(ToString::to_string).unwrap_or_default();
            [shown.message.clone(), sent_at, send, campaign]
        };
        let rows: Vec<_> = shown.iter().map(row).collect();
        let mut text = output.table(&COLUMNS, &rows, "the dead-letter queue is empty");
        if shown.len() == limit {
            let _ = writeln!(text, "(the first {limit}: --limit shows more)");
        }
        text
    })
}

/// Tells times by the clocks of the accounts whose sends the messages name.
async fn times(deployment: &Deployment, letters: &[DeadLetterView]) -> Result<Times> {
    let sends = letters.iter().filter_map(|letter| letter.send.as_deref());
    let accounts = sends.filter_map(|send| Some(AccountId::new(send.split_once('/')?.0)));
    deployment.times_of_all(accounts.collect::<Vec<_>>().iter()).await
}

async fn show(deployment: &Deployment, message: &str, output: Output) -> Result<()> {
    let found = dead_letters::find(&deployment.dead_letters, message).await?;
    let Some(shown) = found else { anyhow::bail!(missing(message)) };
    let times = times(deployment, std::slice::from_ref(&shown)).await?;
    output.print(&shown, || {
        let mut text = String::new();
        let mut line = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                let _ = writeln!(text, "{name:<10} {value}");
            }
        };
        line("message", Some(&shown.message));
        line("sent", Some(&times.when(shown.sent_at)));
        line("send", Some(shown.send.as_deref().unwrap_or("(cannot be read)")));
        line("campaign", shown.campaign.as_ref().map(CampaignId::as_str));
        line("body", Some(&shown.body));
        text
    })
}

fn missing(message: &str) -> String {
    format!("there is no message {message}, or somebody else is reading it: `spillway dlq list`")
}

async fn redrive(letters: &DeadLetters, which: &Which, output: Output) -> Result<()> {
    let progress = Progress::unbounded("messages looked at");
    let looked_at = |messages| progress.advance(messages);
    let all = dead_letters::redrive(letters, |letter| which.has(letter), looked_at).await?;
    progress.finish();
    let Redriven { redriven: moved, unreadable: unread } = all;
    ensure!(which.all || moved + unread == which.messages.len(), missing("of one of these ids"));
    output.print(&all, || {
        let mut text = format!("moved back to the queue of sends: {}\n", counted(moved, "message"));
        if unread > 0 {
            let _ = writeln!(
                text,
                "left, since it cannot be read: {} (`spillway dlq show`, then `drop`)",
                counted(unread, "message")
            );
        }
        text
    })
}

async fn drop_some(
    letters: &DeadLetters,
    which: &Which,
    consent: Consent,
    output: Output,
) -> Result<()> {
    consent.ask(&if which.all {
        "this deletes all messages of the dead-letter queue".to_owned()
    } else {
        format!("this deletes {}", counted(which.messages.len(), "message"))
    })?;
    let progress = Progress::unbounded("messages looked at");
    let looked_at = |messages| progress.advance(messages);
    let dropped = dead_letters::drop_wanted(letters, |letter| which.has(letter), looked_at).await?;
    progress.finish();
    ensure!(which.all || dropped == which.messages.len(), missing("of one of these ids"));
    output.print(&serde_json::json!({ "dropped": dropped }), || {
        format!("deleted: {}\n", counted(dropped, "message"))
    })
}
