//! How much one core can do: deliveries of many comments, and comments that become DMs.

mod delivery;
mod ports;
mod webhook;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use clap::Parser;
use serde::Serialize;
use spillway_local::setup::{QuotaOptions, Rate};
use spillway_local::story::StoryOptions;

/// Measures how much one core of this machine can do.
///
/// A delivery: the webhook function verifies, parses and matches 1,000 comments, as it does before
/// it asks DynamoDB for anything; beside it the signature alone, and the same bytes read as JSON of
/// any shape, which say how fast the machine is.
///
/// DMs: the local story with limits that bind nothing, from the signed webhook to the recorded
/// outcome, everything in one thread. A core is busy for the functions while their invocations are
/// polled; what of that is spent behind a port is the adapters', the SDK's and the HTTP clients',
/// the rest is ours.
///
/// The exit code is 1 where a target is missed.
#[derive(Parser)]
#[command(after_help = "\
Examples:

  cargo run --profile speed -p spillway-speed --bin throughput
  cargo run --profile speed -p spillway-speed --bin throughput -- --dms 20000 --json")]
struct Options {
    /// DMs to make
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    dms: u32,
    /// Times that the delivery is handled
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Comments of the delivery, and the milliseconds it may take.
const COMMENTS: usize = 1000;
const DELIVERY_MS: f64 = 3.0;

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    webhook: webhook::Report,
    delivery: delivery::Report,
}

impl Report {
    fn misses(&self) -> bool {
        self.webhook.all_ms > DELIVERY_MS
    }
}

#[expect(clippy::print_stdout, reason = "the figures are this command's output")]
fn main() -> Result<ExitCode> {
    let options = Options::parse();
    // One thread: what one part of the stack does, no other does at the same time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rate = |text: &str| text.parse::<Rate>().map_err(Error::msg);
    let quotas = QuotaOptions {
        calls: rate("1000000/1h")?,
        replies: rate("1000000/1h")?,
        recipients: rate("10000000/24h")?,
    };
    let story = StoryOptions { comments: options.dms, span: Duration::from_secs(60), seed: 1 };
    let report = Report {
        webhook: webhook::measure(COMMENTS, options.runs as usize, &quotas)?,
        delivery: runtime.block_on(delivery::measure(&story, &quotas))?,
    };
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", text(&report));
    }
    Ok(if report.misses() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(report: &Report) -> String {
    let Report { webhook, delivery } = report;
    let mut out = String::new();
    let verdict = if report.misses() { "missed" } else { "kept" };
    let _ = writeln!(
        out,
        "A delivery of {} comments, {} KB: verified, parsed and matched in {:.2} ms (target {DELIVERY_MS} \
         ms: {verdict})\n  parsed alone in {:.2} ms; {:.1} times its HMAC alone ({:.2} ms), {:.1} times the same \
         bytes as any JSON ({:.2} ms)\n",
        webhook.comments,
        webhook.bytes / 1000,
        webhook.all_ms,
        webhook.parse_ms,
        webhook.all_ms / webhook.hmac_ms,
        webhook.hmac_ms,
        webhook.all_ms / webhook.json_ms,
        webhook.json_ms,
    );
    let share = |part: f64| 100.0 * part / delivery.all_ms;
    let _ = writeln!(
        out,
        "{} DMs on the local stack: {:.0} a second on one core, {:.2} ms each\n  {:.2} ms ({:.0}%) in \
         the functions, the SDK and HTTP clients included\n  {:.3} ms ({:.1}%) in our own code",
        delivery.dms,
        delivery.dms_a_second,
        delivery.all_ms,
        delivery.functions_ms,
        share(delivery.functions_ms),
        delivery.ours_ms,
        share(delivery.ours_ms),
    );
    out
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn now() -> Instant {
    Instant::now()
}

/// In milliseconds.
fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
