//! The clock that handlers take: real in Lambda, stepped in the local story and in simulations.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use spillway_core::time::{Timestamp, clock_agrees, clock_surely_agrees};
use tracing::{error, warn};

use crate::port::StoreError;

/// The source of time of a use case.
pub trait Clock: Send + Sync {
    /// The wall clock. It may be off true time by up to [`spillway_core::time::CLOCK_BOUND`].
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed instant. It never goes back and never jumps.
    fn monotonic(&self) -> Duration;
}

/// Whether this process's wall clock can be trusted. The budget's promise holds for clocks within
/// [`CLOCK_BOUND`](spillway_core::time::CLOCK_BOUND); a process beyond it must grant nothing.
#[derive(Debug, Default)]
pub struct ClockCheck {
    /// An instant on the monotonic clock. The clock stays distrusted after it until a date agrees,
    /// because an idle process learns nothing new. `None` if nothing contradicts the clock.
    distrusted_until: Mutex<Option<Duration>>,
    /// The last date of each server.
    dates: Mutex<[Option<Told>; 2]>,
}

/// A date that a server named.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// The whole second that the server's clock showed.
    date: Timestamp,
    /// How long the request took: the server may have named its date at its beginning.
    took: Duration,
    /// When it was answered, on the monotonic clock.
    at: Duration,
}

impl Told {
    /// Whether a clock that shows `now` agrees with this one's for certain, `age` after it was
    /// told.
    fn surely_agrees(&self, now: Timestamp, age: Duration) -> bool {
        let earliest = self.date + age;
        clock_surely_agrees(now, earliest, earliest + Duration::from_secs(1) + self.took)
    }
}

/// Whose date it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// DynamoDB.
    Store,
    /// Meta.
    Meta,
}

/// How long a server's date is extrapolated by the monotonic clock.
const DATE_BELIEVED: Duration = Duration::from_secs(600);

/// The least time for which a process grants nothing after a server's date showed its clock to be
/// wrong. Other processes handle its messages meanwhile.
const DISTRUSTED: Duration = Duration::from_secs(600);

impl ClockCheck {
    /// Stops an operation `what` that must not go by a clock that is off.
    ///
    /// # Errors
    /// Fails if the clock cannot be trusted.
    pub fn require(&self, what: &'static str) -> Result<(), StoreError> {
        if self.is_trusted() {
            return Ok(());
        }
        let detail = "this machine's clock is off by more than a second: set it";
        Err(StoreError::unavailable(what, detail))
    }

    /// Compares the clock with the whole second `date` that the store named in its answer. The
    /// clock showed `before` when the request was made.
    pub fn compare(&self, before: Timestamp, date: Timestamp, clock: &dyn Clock) {
        self.compare_with(Server::Store, before, date, clock);
    }

    /// Compares the clock with a date of `server`: see [`Self::compare`]. A server that contradicts
    /// both this clock and the other server is itself wrong.
    pub fn compare_with(
        &self,
        server: Server,
        before: Timestamp,
        date: Timestamp,
        clock: &dyn Clock,
    ) {
        let (after, monotonic) = (clock.now(), clock.monotonic());
        let other = {
            let mut dates = self.dates.lock().unwrap_or_else(PoisonError::into_inner);
            dates[server as usize] = Some(Told { date, took: after.since(before), at: monotonic });
            dates[1 - server as usize]
        };
        let is_outvoted = other.is_some_and(|told| {
            let age = monotonic.saturating_sub(told.at);
            age < DATE_BELIEVED && told.surely_agrees(after, age)
        });
        if !clock_agrees(before, date, after) && is_outvoted {
            warn!(
                ?server,
                date_ms = date.as_millis(),
                "its clock is off: another one agrees with ours"
            );
            return;
        }
        let mut until = self.distrusted_until.lock().unwrap_or_else(PoisonError::into_inner);
        if clock_agrees(before, date, after) {
            *until = until.filter(|&until| clock.monotonic() < until);
            return;
        }
        error!(
            before_ms = before.as_millis(),
            date_ms = date.as_millis(),
            after_ms = after.as_millis(),
            "this process's clock is off by more than the bound: it grants nothing for a while"
        );
        *until = Some(clock.monotonic() + DISTRUSTED);
    }

    /// Whether nothing contradicts the clock.
    pub fn is_trusted(&self) -> bool {
        self.distrusted_until.lock().unwrap_or_else(PoisonError::into_inner).is_none()
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A clock that is right, and whose monotonic time alone moves.
    #[derive(Default)]
    struct Monotonic(AtomicU64);

    impl Clock for Monotonic {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_790_000_000)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn one_foreign_clock_does_not_outvote_two_that_agree() {
        let (check, clock) = (ClockCheck::default(), Monotonic::default());
        let date = |server, secs: u64| {
            check.compare_with(server, clock.now(), Timestamp::from_secs(secs), &clock);
        };
        date(Server::Store, 1_790_000_000);
        date(Server::Meta, 1_790_000_100);
        assert!(check.is_trusted(), "Meta's is wrong");
        date(Server::Meta, 1_790_000_000);
        date(Server::Store, 1_790_000_100);
        assert!(check.is_trusted(), "the store's is wrong");
        date(Server::Meta, 1_790_000_100);
        assert!(!check.is_trusted(), "both say that this one is");
        // With no other server to agree, the one that contradicts is believed.
        let (check, clock) = (ClockCheck::default(), Monotonic::default());
        let date = |server, secs: u64| {
            check.compare_with(server, clock.now(), Timestamp::from_secs(secs), &clock);
        };
        date(Server::Store, 1_790_000_000);
        clock.0.store(DATE_BELIEVED.as_secs(), Ordering::Relaxed);
        date(Server::Meta, 1_790_000_100);
        assert!(!check.is_trusted());
    }

    #[test]
    fn time_alone_does_not_set_a_clock_right() {
        let (check, clock) = (ClockCheck::default(), Monotonic::default());
        assert!(check.is_trusted());
        let date = |secs: u64| check.compare(clock.now(), Timestamp::from_secs(secs), &clock);
        date(1_790_000_100);
        assert!(!check.is_trusted());
        date(1_790_000_000);
        assert!(!check.is_trusted(), "ten minutes at least");
        clock.0.store(DISTRUSTED.as_secs(), Ordering::Relaxed);
        assert!(!check.is_trusted(), "nothing has shown it to be right");
        date(1_790_000_000);
        assert!(check.is_trusted());
    }
}
