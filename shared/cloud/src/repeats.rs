//! Repeated warnings and errors: one line a minute, with a count. In an outage each send says the
//! same thing again and again, and logs are paid for by the byte.

use std::collections::HashMap;
use std::fmt::{self, Debug, Write as _};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use spillway_service::clock::Clock;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter};

/// For how long a line that was written is not written again.
const QUIET: Duration = Duration::from_secs(60);

/// Lines that are told apart; with more of them all are forgotten, and written again.
const KNOWN_MAX: usize = 1000;

/// Lets a warning or error through once a minute for each place in the code and each account, and
/// says with the next one how many were left out. Other lines pass.
pub(crate) struct Repeats<W> {
    clock: Arc<dyn Clock>,
    writer: W,
    seen: Mutex<HashMap<Key, Seen>>,
}

/// The place in the code, and the account that the line names.
type Key = (Identifier, String);

struct Seen {
    written_at: Duration,
    left_out: u64,
}

impl<W> Repeats<W> {
    /// A filter that has seen nothing. It writes how many lines were left out to `writer`.
    pub(crate) fn new(clock: Arc<dyn Clock>, writer: W) -> Self {
        Self { clock, writer, seen: Mutex::default() }
    }

    /// Whether a line may be written, and how many like it were left out before.
    fn pass(&self, key: Key) -> (bool, u64) {
        let now = self.clock.monotonic();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= KNOWN_MAX && !seen.contains_key(&key) {
            seen.clear();
        }
        let Some(known) = seen.get_mut(&key) else {
            seen.insert(key, Seen { written_at: now, left_out: 0 });
            return (true, 0);
        };
        if now.saturating_sub(known.written_at) < QUIET {
            known.left_out += 1;
            return (false, 0);
        }
        let left_out = std::mem::take(&mut known.left_out);
        known.written_at = now;
        (true, left_out)
    }
}

impl<S, W> Filter<S> for Repeats<W>
where
    S: Subscriber,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return true;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let Said { message, account } = said;
        let (passes, left_out) = self.pass((metadata.callsite(), account.clone()));
        if left_out > 0 {
            let level = metadata.level().as_str();
            let line = json!({
                "level": level,
                "message": "said more often than it was written",
                "said": message,
                "account": account,
                "left_out": left_out,
            });
            // A log that cannot be written is no reason to fail.
            let _ = writeln!(self.writer.make_writer_for(metadata), "{line}");
        }
        passes
    }
}

/// What a line says, and which account it names.
#[derive(Default)]
struct Said {
    message: String,
    account: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record(field.name(), format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field.name(), format_args!("{value}"));
    }
}

impl Said {
    fn record(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let into = match name {
            "message" => &mut self.message,
            "account" | "send" => &mut self.account,
            _ => return,
        };
        into.clear();
        // Writing to a string does not fail.
        let _ = into.write_fmt(value);
        if name == "send" {
            // A send's id begins with its account's.
            let account = into.find('/').unwrap_or(into.len());
            into.truncate(account);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use spillway_core::time::Timestamp;
    use tracing::{error, info, warn};
    use tracing_subscriber::filter::Targets;

    use crate::telemetry;

    use super::*;

    /// Seconds that are stepped.
    #[derive(Default)]
    struct Seconds(AtomicU64);

    impl Clock for Seconds {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(self.0.load(Ordering::Relaxed))
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn put_off(send: &str) {
        error!(%send, "put off");
    }

    #[test]
    fn a_line_is_written_once_a_minute_with_the_number_of_those_left_out() {
        let (log, clock) = (Log::default(), Arc::<Seconds>::default());
        let writer = log.clone();
        let levels = Targets::new().with_default(Level::INFO);
        let subscriber = telemetry::limited(levels, move || writer.clone(), clock.clone());
        tracing::subscriber::with_default(subscriber, || {
            for second in 0..150 {
                clock.0.store(second, Ordering::Relaxed);
                put_off(&format!("1/{second}"));
                if second % 70 == 0 {
                    put_off("2/1");
                    info!("never left out");
                }
            }
            warn!("another line");
        });
        let written = log.0.lock().unwrap();
        let lines = std::str::from_utf8(&written).unwrap().lines();
        let lines: Vec<serde_json::Value> =
            lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        let said = |of: &str| lines.iter().filter(|line| line["message"] == of).count();
        assert_eq!(said("put off"), 3 + 3, "three minutes of one account, three of the other");
        assert_eq!((said("never left out"), said("another line")), (3, 1));
        let left_out: Vec<_> = lines.iter().filter_map(|line| line["left_out"].as_u64()).collect();
        assert_eq!(left_out, [59, 59]);
        let counted = lines.iter().find(|line| line["left_out"] == 59).unwrap();
        assert_eq!((&counted["said"], &counted["account"]), (&"put off".into(), &"1".into()));
        assert_eq!(counted["level"], "ERROR");
    }
}
