//! `spillway`: the operator's tool for a deployment on AWS.

mod connect;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Connect(options) => connect::run(options, cli.json).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
