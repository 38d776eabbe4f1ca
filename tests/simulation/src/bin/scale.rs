//! `scale`: plays an hour of very many comments and says how hot each partition key became.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use spillway_simulation::scale::{self, Progress, Size};

/// Plays an hour of very many comments to very many accounts through Spillway's use cases, in
/// virtual time, and counts what each DynamoDB partition key, table and queue has to take in a
/// second.
///
/// The exit code is 1 if a key passed 1,000 write units or 3,000 read units in a second, or
/// something failed.
#[derive(Parser)]
#[command(
    name = "scale",
    version,
    after_help = "\
Examples:
  scale                                    10,000 accounts, 1,000,000 comments
  scale --accounts 200 --comments 20000    a small one
  scale --seed 7                           another million
  scale --json                             the figures as JSON

One account in 2,000 goes viral: these get three tenths of all comments, each within five minutes.
How long an invocation takes is assumed (200 ms webhook, 500 ms sender, 300 ms release); how many
run at a time is what template.yaml says."
)]
struct Cli {
    /// Connected accounts
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    accounts: u32,
    /// Comments within the hour
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    comments: u32,
    /// Draw everything from this seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn main() -> ExitCode {
    let Cli { accounts, comments, seed, json } = Cli::parse();
    let report = scale::play(Size { accounts, comments, seed }, tell);
    if json {
        match serde_json::to_string(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        }
    } else {
        print!("{report}")
    }
    if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says on standard error how far it is: on a terminal every minute, else every tenth.
fn tell(progress: Progress) {
    let Progress { minute, minutes, recorded, written } = progress;
    let is_terminal = std::io::stderr().is_terminal();
    let end = if is_terminal && minute < minutes { '\r' } else { '\n' };
    if is_terminal || minute.is_multiple_of(10) {
        eprint!(
            "minute {minute} of {minutes}: {recorded} comments recorded, {written} DMs written{end}"
        );
        let _ = std::io::stderr().flush();
    }
}
