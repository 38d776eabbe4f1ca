//! What a cold start takes: starts each built function again and again before a Runtime API and AWS
//! services of its own, and prints times, memory and size.

mod aws;
mod function;
mod start;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use flate2::Compression;
use flate2::read::DeflateEncoder;
use serde::Serialize;

use crate::function::Function;
use crate::start::Start;

/// Starts each built function cold, many times, and says what that takes.
///
/// First poll: from the start of the process until it asks for an event. First answer: until it has
/// answered one, with AWS so many milliseconds away; the first connection and the secret are in it.
/// Memory: the most that was resident. Size: the binary, deflated, as Lambda is given it.
///
/// The exit code is 1 where a target is missed.
#[derive(Parser)]
#[command(after_help = "\
Examples:

  sam build --parameter-overrides Architecture=x86_64
  cargo run --release -p spillway-speed --bin cold-start
  cargo run --release -p spillway-speed --bin cold-start -- --runs 100 --json")]
struct Options {
    /// The folder that `sam build` has filled
    #[arg(long, default_value = ".aws-sam/build", value_name = "FOLDER")]
    built: PathBuf,
    /// Starts of each function at each distance
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How far away AWS is in turn.
const DISTANCES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(20)];

/// Targets: the first poll in milliseconds, memory and size in megabytes of a million bytes.
const FIRST_POLL_MS: f64 = 25.0;
const MEMORY_MB: f64 = 30.0;
const SIZE_MB: f64 = 4.5;

/// What a function takes.
#[derive(Serialize)]
struct Row {
    function: Function,
    /// Medians in milliseconds.
    first_poll_ms: f64,
    /// The same for each of [`DISTANCES`].
    first_answer_ms: [f64; 2],
    memory_mb: f64,
    size_mb: f64,
}

impl Row {
    fn misses(&self) -> bool {
        self.first_poll_ms > FIRST_POLL_MS || self.memory_mb > MEMORY_MB || self.size_mb > SIZE_MB
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the figures are this command's output")]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let mut rows = Vec::new();
    for function in Function::ALL {
        rows.push(measure(function, &options).await?);
    }
    if options.json {
        println!("{}", serde_json::to_string(&rows)?);
    } else {
        print!("{}", table(&rows));
    }
    let is_missed = rows.iter().any(Row::misses);
    Ok(if is_missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn measure(function: Function, options: &Options) -> Result<Row> {
    let binary = options.built.join(function.resource()).join("bootstrap");
    let size_mb = deflated(&binary)? as f64 / 1e6;
    let (mut polls, mut memory) = (Vec::new(), 0);
    let mut first_answer_ms = [0.0; 2];
    for (distance, median_ms) in DISTANCES.into_iter().zip(&mut first_answer_ms) {
        let aws = aws::serve(distance).await?;
        let mut answers = Vec::new();
        for _ in 0..options.runs {
            let Start { first_poll, first_answer, memory_bytes } =
                start::cold(function, &binary, &aws).await?;
            polls.push(first_poll);
            answers.push(first_answer);
            memory = memory.max(memory_bytes);
        }
        *median_ms = median(answers);
    }
    let memory_mb = memory as f64 / 1e6;
    Ok(Row { function, first_poll_ms: median(polls), first_answer_ms, memory_mb, size_mb })
}

fn deflated(binary: &Path) -> Result<u64> {
    let file = std::fs::File::open(binary)
        .with_context(|| format!("cannot read {}: run `sam build` first", binary.display()))?;
    Ok(std::io::copy(&mut DeflateEncoder::new(file, Compression::default()), &mut std::io::sink())?)
}

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

fn table(rows: &[Row]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<10}{:>12}{:>19}{:>20}{:>10}{:>10}",
        "", "first poll", "first answer, near", "20 ms from AWS", "memory", "size"
    );
    for row in rows {
        let [near, far] = row.first_answer_ms;
        let _ = writeln!(
            out,
            "{:<10}{:>9.1} ms{:>16.1} ms{:>17.1} ms{:>7.1} MB{:>7.2} MB{}",
            row.function.name(),
            row.first_poll_ms,
            near,
            far,
            row.memory_mb,
            row.size_mb,
            if row.misses() { "  missed" } else { "" }
        );
    }
    let _ =
        writeln!(out, "targets   {FIRST_POLL_MS:>9.1} ms{:>55.1} MB{SIZE_MB:>7.2} MB", MEMORY_MB);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle_and_a_missed_target_is_seen() {
        let ms = |ms: &[u64]| median(ms.iter().copied().map(Duration::from_millis).collect());
        assert_eq!(ms(&[30, 10, 20]), 20.0);
        let row = |first_poll_ms, memory_mb, size_mb| Row {
            function: Function::Sender,
            first_poll_ms,
            first_answer_ms: [1.0, 2.0],
            memory_mb,
            size_mb,
        };
        assert!(!row(FIRST_POLL_MS, MEMORY_MB, SIZE_MB).misses());
        for missed in [row(26.0, 1.0, 1.0), row(1.0, 31.0, 1.0), row(1.0, 1.0, 4.6)] {
            assert!(missed.misses());
            assert!(table(&[missed]).contains("missed"));
        }
    }
}
