//! `compare`: what becomes of the same comments under several ways of sending.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use spillway_rivals::table::{self, Colour};
use spillway_rivals::{Trace, compare, models};

/// Plays the same comments under models of several ways of sending, and prints what became of them.
///
/// The models are made from what is publicly said of such tools; they are not their code. Each
/// plays in virtual time against the same small Meta, and the judge counts every call.
#[derive(Parser)]
#[command(
    name = "compare",
    version,
    after_help = "\
Examples:
  compare                                                   tables, one for each scenario
  compare --json | jq -c '.[0].models[] | [.model, .lost]'  what is lost of the first"
)]
struct Cli {
    /// Print one JSON array: a scenario each, with all models
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match print(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(cli: &Cli) -> io::Result<()> {
    let compared = compare(&Trace::scenarios(), &models::all());
    let mut out = io::stdout().lock();
    if cli.json {
        writeln!(out, "{}", serde_json::to_string(&compared)?)
    } else {
        let colour = if out.is_terminal() { Colour::Ansi } else { Colour::Plain };
        write!(out, "{}", table::render(&compared, colour))
    }
}
