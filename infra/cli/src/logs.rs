//! Logs of what happens underneath, on standard error: none unless they are asked for.

use std::io::IsTerminal;

use clap::Args;
use spillway_cloud::telemetry;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How much is logged.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct LogArgs {
    /// Log to standard error: -v what is done, -vv each decision, -vvv what AWS's libraries do too
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

impl LogArgs {
    /// Starts logging at this level, or at what RUST_LOG says.
    pub(crate) fn start(self) {
        let (others, own) = match self.verbose {
            0 => (LevelFilter::OFF, LevelFilter::OFF),
            1 => (LevelFilter::WARN, LevelFilter::INFO),
            2 => (LevelFilter::WARN, LevelFilter::DEBUG),
            _ => (LevelFilter::DEBUG, LevelFilter::TRACE),
        };
        let levels = Targets::new().with_default(others).with_target("spillway", own);
        let to_stderr =
            fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
        tracing_subscriber::registry().with(to_stderr).with(telemetry::levels(levels)).init();
    }
}
