//! A clock that stands still until it is stepped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use spillway_core::time::Timestamp;
use spillway_service::clock::Clock;

/// Virtual time. It never goes back.
#[derive(Debug)]
pub struct SteppedClock(AtomicU64);

impl SteppedClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicU64::new(start.as_millis()))
    }

    /// Steps to `at`, if that lies ahead.
    pub fn step_to(&self, at: Timestamp) {
        self.0.fetch_max(at.as_millis(), Ordering::Relaxed);
    }

    /// Steps on by `span`.
    pub fn step(&self, span: Duration) {
        self.step_to(self.now() + span);
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.now().since(Timestamp::EPOCH)
    }
}
