//! Logs: JSON lines on standard output, as CloudWatch takes them. They carry ids, never texts,
//! names or secrets. Each line is paid for: it has no time, which CloudWatch knows, and no spans.

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging at `RUST_LOG`'s level, as in `info` or `warn,spillway_service=debug`; `info` by
/// default.
pub fn start() {
    let levels = levels(Targets::new().with_default(LevelFilter::INFO));
    // A second start in one process, as in tests, keeps the first.
    let _ = subscriber(levels, std::io::stdout).try_init();
}

/// What a function logs at these levels, written to `writer`.
pub fn subscriber<W>(levels: Targets, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let json = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .without_time();
    tracing_subscriber::registry().with(json.with_writer(writer)).with(levels)
}

/// What `RUST_LOG` asks for, or else `default`.
pub fn levels(default: Targets) -> Targets {
    let asked = std::env::var("RUST_LOG").ok().filter(|asked| !asked.trim().is_empty());
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(default)
}
