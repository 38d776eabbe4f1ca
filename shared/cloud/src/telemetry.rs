//! Logs: JSON lines on standard output, as CloudWatch takes them. They carry ids, never texts,
//! names or secrets. Each line is paid for: it has no time, which CloudWatch knows, and no spans; a
//! warning or error that repeats is written once a minute, with a count.

use std::sync::Arc;

use spillway_service::clock::{Clock, SystemClock};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::repeats::Repeats;

/// Starts logging at `RUST_LOG`'s level, as in `info` or `warn,spillway_service=debug`; `info` by
/// default.
pub fn start() {
    let levels = levels(Targets::new().with_default(LevelFilter::INFO));
    // A second start in one process, as in tests, keeps the first.
    let _ = limited(levels, std::io::stdout, Arc::new(SystemClock::new())).try_init();
}

/// What a function logs at these levels, written to `writer`: of warnings and errors that repeat,
/// one a minute by `clock` for each account, and how many were left out.
pub fn limited<W>(
    levels: Targets,
    writer: W,
    clock: Arc<dyn Clock>,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
{
    let repeats = Repeats::new(clock, writer.clone());
    tracing_subscriber::registry().with(json(writer).with_filter(repeats)).with(levels)
}

/// The same with every line, however often it is repeated.
pub fn subscriber<W>(levels: Targets, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::registry().with(json(writer)).with(levels)
}

fn json<S, W>(writer: W) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .without_time()
        .with_writer(writer)
}

/// What `RUST_LOG` asks for, or else `default`.
pub fn levels(default: Targets) -> Targets {
    let asked = std::env::var("RUST_LOG").ok().filter(|asked| !asked.trim().is_empty());
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(default)
}
