//! `spillway`: the operator's tool, for a deployment on AWS or a local stack.

mod account;
mod arguments;
mod backfill;
mod campaign;
mod charge;
mod confirm;
mod connect;
mod console;
mod contact;
mod deployment;
mod dlq;
mod doctor;
mod events;
mod exit;
mod forecast;
mod lead;
mod limits;
mod logs;
mod misses;
mod output;
mod progress;
mod send;
mod status;
mod text_file;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use spillway_service::clock::{Clock, SystemClock};

use crate::deployment::Where;
use crate::exit::Ended;
use crate::logs::LogArgs;
use crate::output::{Output, OutputArgs};

/// Operates a Spillway deployment on AWS, or a local stack.
///
/// A deployment file (`spillway deployment --help`) or the environment says where the deployment
/// is. Credentials and region come from the environment, as with the `aws` command.
#[derive(Parser)]
#[command(name = "spillway", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    logs: LogArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Write a deployment file from a stack's outputs on standard input
    Deployment(deployment::Options),
    /// Connect an account, or replace its token and add or replace its campaigns
    Connect(connect::Options),
    /// Make new keys: a data key, which seals the tokens of accounts that are connected from now on, and a
    /// key pair that samples of comments and e-mail addresses are sealed to
    #[command(after_help = "Example:\n  spillway --deployment prod.env new-key")]
    NewKey,
    /// List, show, change, pause, resume and remove accounts
    #[command(subcommand)]
    Account(account::Command),
    /// Apply, list, show, pause, resume, remove and export campaigns
    #[command(subcommand)]
    Campaign(campaign::Command),
    /// List, show, cancel and retry sends
    #[command(subcommand)]
    Send(send::Command),
    /// Forget people who were written to
    #[command(subcommand)]
    Contact(contact::Command),
    /// List and export the e-mail addresses that people gave in conversations
    #[command(subcommand)]
    Lead(lead::Command),
    /// List, show, move back and drop dead letters
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// Read an account's comments of the last seven days, and answer those that were missed
    Backfill(backfill::Options),
    /// Take units of an account's budget for another tool that shares its token
    Charge(charge::Options),
    /// Show what happened to accounts: holds, limits met, tokens, subscriptions
    Events(events::Options),
    /// Show which comments matched no campaign, how many and why
    Misses(misses::Options),
    /// Show the state of every account, what is left of its quotas, what waits and for how long
    Status(status::Options),
    /// Serve the console on this machine: status, campaigns, sends and plans in a browser
    Console(console::Options),
    /// Check everything between Meta and a sent DM, and say what to do
    Doctor(doctor::Options),
    /// Show when the DMs of a viral day would go out, and how many would be too late
    Forecast(forecast::Options),
    /// Print completions for a shell
    #[command(after_help = "\
Examples:
  spillway completions bash > ~/.local/share/bash-completion/completions/spillway
  spillway completions zsh > \"${fpath[1]}/_spillway\"")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Command {
    /// Whether the command draws on the whole terminal, where logs would run through the picture.
    fn draws(&self) -> bool {
        matches!(self, Self::Status(options) if options.draws())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit::code(run(Cli::parse()).await)
}

async fn run(Cli { command, place, output, logs }: Cli) -> Result<Ended> {
    let output = Output::from(output);
    if !command.draws() {
        logs.start();
    }
    match command {
        Command::Charge(options) => return charge::run(options, &place, output).await,
        Command::Doctor(options) => return doctor::run(options, &place, output).await,
        Command::Deployment(options) => deployment::run(&options, output)?,
        Command::Connect(options) => connect::run(options, &place, output).await?,
        Command::Backfill(options) => backfill::run(&options, &place, output).await?,
        Command::NewKey => connect::new_key(&place, output).await?,
        Command::Account(command) => account::run(command, &place, output).await?,
        Command::Campaign(command) => campaign::run(command, &place, output).await?,
        Command::Misses(options) => misses::run(&options, &place, output).await?,
        Command::Events(options) => events::run(&options, &place, output).await?,
        Command::Console(options) => console::run(options, &place, output).await?,
        Command::Status(options) => status::run(options, &place, output).await?,
        Command::Send(command) => send::run(command, &place, output).await?,
        Command::Contact(command) => contact::run(command, &place, output).await?,
        Command::Lead(command) => lead::run(command, &place, output).await?,
        Command::Dlq(command) => dlq::run(command, &place, output).await?,
        Command::Forecast(options) => forecast::run(&options, SystemClock::new().now(), output)?,
        Command::Completions { shell } => {
            let mut command = Cli::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "spillway", &mut script);
            output::write(&script)?;
        }
    }
    Ok(Ended::Done)
}
