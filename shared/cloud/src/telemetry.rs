//! Logs: JSON lines on standard output, as CloudWatch takes them. They carry ids, never texts,
//! names or secrets.

use tracing_subscriber::EnvFilter;

/// Starts logging at `RUST_LOG`'s level, `info` by default.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A second start in one process, as in tests, keeps the first.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .without_time()
        .with_env_filter(filter)
        .try_init();
}
