//! `simulate`: plays seeds and says what broke.

use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use spillway_simulation::{Run, Sabotage, Theme, Totals, optimum, seeds};

/// Plays Spillway's use cases in virtual time: processes run at the same time, and requests,
/// messages, clocks and Meta fail, all from a seed.
///
/// What must always hold is looked at after every step. The exit code is 1 if something broke.
#[derive(Parser)]
#[command(
    name = "simulate",
    version,
    after_help = "\
Examples:
  simulate                          a thousand seeds
  simulate --seeds 5000..20000      others
  simulate --seed 42                one, and how it went
  simulate --seed 42 --trace        every event of it, with the virtual time
  simulate --seeds 1..101 --json    the sums as JSON
  simulate --theme campaign         comments that come while a campaign runs
  simulate --theme crowd            deliveries at the same instant
  simulate --theme upkeep           days of upkeep, with lost subscriptions and ending tokens
  simulate --optimum                bursts at full size beside the best plan

The tests play 500 seeds, or as many as SPILLWAY_SEEDS says:
  SPILLWAY_SEEDS=50000 cargo test --release -p spillway-simulation"
)]
struct Cli {
    /// Play these seeds, from the first up to but not including the last
    #[arg(long, value_name = "A..B", value_parser = parse_seeds, default_value = "1..1001")]
    seeds: Range<u64>,
    /// Play this seed alone
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// What the seeds are about
    #[arg(long, value_enum, default_value_t)]
    theme: Theme,
    /// Print every event
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Play bursts at full size instead, each at many instants, and compare them with the best plan
    #[arg(long, conflicts_with_all = ["seeds", "seed", "theme"])]
    optimum: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let form = "write A..B, for instance 1..1001";
    let (from, to) = text.split_once("..").ok_or(form)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}`: {form}"));
    let seeds = number(from)?..number(to)?;
    if seeds.is_empty() { Err(format!("`{text}` has no seed: {form}")) } else { Ok(seeds) }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let held = match cli.seed {
        _ if cli.optimum => measure(&cli),
        Some(seed) => play_one(&cli, seed),
        None => play_many(&cli),
    };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays one seed; whether all held.
#[expect(clippy::print_stdout, reason = "the trace and the report are this program's output")]
fn play_one(cli: &Cli, seed: u64) -> Result<bool, serde_json::Error> {
    let listener = || -> Box<dyn FnMut(&str) + Send> { Box::new(|line| println!("{line}")) };
    let run = seeds::play(cli.theme, seed, Sabotage::None, cli.trace.then(listener));
    if cli.json {
        println!("{}", serde_json::to_string(&run)?)
    } else {
        print!("{run}")
    }
    Ok(run.failures.is_empty())
}

/// Plays many seeds; whether all held.
#[expect(clippy::print_stdout, reason = "the report is this program's output")]
#[expect(clippy::disallowed_methods, reason = "how long it takes is a matter of real time")]
fn play_many(cli: &Cli) -> Result<bool, serde_json::Error> {
    let began = std::time::Instant::now();
    let mut totals = Totals::default();
    seeds::play_all(cli.theme, cli.seeds.clone(), Sabotage::None, |run| {
        totals.add(&run);
        tell(&run, &totals, began.elapsed());
    });
    let totals = totals.took(began.elapsed());
    if cli.json {
        println!("{}", serde_json::to_string(&totals)?)
    } else {
        print!("{totals}")
    }
    Ok(totals.broken.is_empty())
}

/// Plays all bursts; whether all came near the best plan.
#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn measure(cli: &Cli) -> Result<bool, serde_json::Error> {
    let mut held = true;
    for burst in optimum::BURSTS {
        for begin in optimum::Begin::all() {
            let measured = burst.measure(begin);
            held &= measured.is_good();
            if cli.json {
                println!("{}", serde_json::to_string(&measured)?)
            } else {
                println!("{measured}")
            }
        }
    }
    Ok(held)
}

/// Says on standard error what broke and, on a terminal, how far it is.
fn tell(run: &Run, totals: &Totals, time: Duration) {
    if !run.failures.is_empty() {
        eprint!("{run}");
    } else if totals.seeds.is_multiple_of(100) && std::io::stderr().is_terminal() {
        eprint!("{} seeds, {} broken, {} s\r", totals.seeds, totals.broken.len(), time.as_secs());
        let _ = std::io::stderr().flush();
    }
}
