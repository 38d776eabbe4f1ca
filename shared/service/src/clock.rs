//! The clock that handlers take: real in Lambda, stepped in the local story and in simulations.

use std::time::Duration;

use spillway_core::time::Timestamp;

/// Where a use case gets the time from.
pub trait Clock: Send + Sync {
    /// The wall clock. It may be off true time by up to [`spillway_core::time::CLOCK_BOUND`].
    fn now(&self) -> Timestamp;

    /// Time since some fixed instant; never goes back and never jumps.
    fn monotonic(&self) -> Duration;
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
