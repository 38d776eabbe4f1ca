//! `spillway`: the operator's tool for a deployment on AWS.

mod connect;
mod forecast;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use spillway_service::clock::{Clock, SystemClock};

/// Operates a Spillway deployment on AWS.
///
/// Credentials and region come from the environment, as with the `aws` command.
#[derive(Parser)]
#[command(name = "spillway", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Connect an account, or replace its token and add or replace its campaigns
    Connect(connect::Options),
    /// Make a new data key: tokens of accounts connected from now on are sealed with it
    NewKey(connect::KeyOptions),
    /// Say when the DMs of a viral day go out, and how many come too late
    Forecast(forecast::Options),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Connect(options) => connect::run(options, cli.json).await,
        Command::NewKey(options) => connect::new_key(options, cli.json).await,
        Command::Forecast(options) => forecast::run(&options, SystemClock::new().now(), cli.json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
