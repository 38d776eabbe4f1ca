//! The clock that handlers take: real in Lambda, stepped in the local story and in simulations.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use spillway_core::time::{Timestamp, clock_agrees};
use tracing::error;

/// Where a use case gets the time from.
pub trait Clock: Send + Sync {
    /// The wall clock. It may be off true time by up to [`spillway_core::time::CLOCK_BOUND`].
    fn now(&self) -> Timestamp;

    /// Time since some fixed instant; never goes back and never jumps.
    fn monotonic(&self) -> Duration;
}

/// Whether this process's wall clock can be trusted. The budget's promise holds for clocks within
/// [`CLOCK_BOUND`](spillway_core::time::CLOCK_BOUND); a process beyond it must grant nothing.
#[derive(Debug, Default)]
pub struct ClockCheck {
    /// On the monotonic clock.
    distrusted_until: Mutex<Duration>,
}

/// How long a process grants nothing after a server's date showed its clock to be off. Its messages
/// go to others meanwhile.
const DISTRUSTED: Duration = Duration::from_secs(600);

impl ClockCheck {
    /// Compares the clock, which showed `before` when a request was made and is read now that it
    /// was answered, with the whole second `date` that the server named.
    pub fn compare(&self, before: Timestamp, date: Timestamp, clock: &dyn Clock) {
        let after = clock.now();
        if clock_agrees(before, date, after) {
            return;
        }
        error!(
            before_ms = before.as_millis(),
            date_ms = date.as_millis(),
            after_ms = after.as_millis(),
            "this process's clock is off by more than the bound: it grants nothing for a while"
        );
        let until = clock.monotonic() + DISTRUSTED;
        *self.distrusted_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Whether nothing spoke against it lately.
    pub fn is_trusted(&self, monotonic: Duration) -> bool {
        monotonic >= *self.distrusted_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

#[expect(clippy::disallowed_methods, reason = "this is the edge where time comes from")]
impl SystemClock {
    /// Starts the monotonic clock at zero.
    pub fn new() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the edge where time comes from")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_1970 =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::EPOCH + since_1970
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
