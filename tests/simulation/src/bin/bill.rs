//! `bill`: counts what DMs use, and says what a million of them cost.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use spillway_simulation::bill::{self, LIST, Prices, Report};

/// Plays workloads through Spillway's use cases in virtual time, counts requests and units, and
/// prints what a million DMs cost at AWS list prices.
///
/// The exit code is 1 if the price list cannot be used. A target that is missed is printed as such.
#[derive(Parser)]
#[command(
    name = "bill",
    version,
    after_help = "\
Examples:
  bill                         with the prices of us-east-1
  bill --prices frankfurt.toml with a list of your own; --print-prices prints one to start from
  bill --json                  all figures as JSON

A fleet is 1,000 accounts, each with deliveries of 5 comments. Of these 50, 20 and 10 are played; messages
gather for as much longer before a batch is taken (100 ms for 1,000 accounts), and processes are at
work for as much longer, so that batches are as full and processes as many. «batch of 1» is the same with each message in a batch of its own. «viral» is one account, whose
DMs are 18 s apart. All keep the profile `careful` in tier 2. «straight»: each comment has its slot at
once. «8 h» and «3 days»: all comments come within ten minutes, and the last one waits so long.

A conversation is a comment, its DM, an answer two minutes later, a read of whether the person follows, the
delivery, and for every other person a follow-up after two hours; the others write their thanks. Where the
person «is asked» to follow, there are a DM, a tap and a read more. 200 begin on each account, one every two
minutes, so that each message goes at once. What a person does has 1 KB of logs at most, as a DM has.

Counted: units by the size of items, requests (ten messages each; none comes near 64 KB), batches,
invocations. Assumed: an answer of DynamoDB takes 5 ms, of SQS 10 ms, 300 ms for Meta; what an
invocation asks for at a time it waits for together. It takes 0.3 ms of a whole core, and 0.15 ms for
each request; a function has as much of one as its memory is of 1,769 MB. Memory is that of
template.yaml; no cold starts, and nothing of the upkeep function's runs. The surcharge for message
groups is counted for all requests with messages. A DM has 1 KB of logs at most, sends 1.5 KB to Meta, and leaves 400 bytes for ninety days."
)]
struct Cli {
    /// Price list to use instead of its own
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print the price list, with its sources, and nothing else
    #[arg(long, conflicts_with_all = ["prices", "json"])]
    print_prices: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn run(cli: &Cli) -> Result<(), String> {
    if cli.print_prices {
        print!("{LIST}");
        return Ok(());
    }
    let list = match &cli.prices {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?,
        None => LIST.to_owned(),
    };
    let prices = Prices::read(&list).map_err(|error| error.to_string())?;
    let report =
        Report::new(prices, bill::count_all(&bill::WORKLOADS), bill::count_conversations());
    if cli.json {
        println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?)
    } else {
        print!("{report}")
    }
    Ok(())
}
