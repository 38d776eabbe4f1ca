//! Logs: JSON lines on standard output, as CloudWatch takes them. They carry ids, never texts,
//! names or secrets.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging at `RUST_LOG`'s level, as in `info` or `warn,spillway_service=debug`; `info` by
/// default.
pub fn start() {
    let levels = levels(Targets::new().with_default(LevelFilter::INFO));
    let json = fmt::layer().json().flatten_event(true).with_current_span(false).without_time();
    // A second start in one process, as in tests, keeps the first.
    let _ = tracing_subscriber::registry().with(json).with(levels).try_init();
}

/// What `RUST_LOG` asks for, or else `default`.
pub fn levels(default: Targets) -> Targets {
    let asked = std::env::var("RUST_LOG").ok().filter(|asked| !asked.trim().is_empty());
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(default)
}
