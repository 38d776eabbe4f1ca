//! `spillway`: the operator's tool for a deployment on AWS.

mod connect;

use anyhow::Result;
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
async fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Command::Connect(options) => connect::run(options, cli.json).await,
    }
}
