//! How long work keeps a core busy: the time in which it is polled, not that in which it waits.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// The time that pieces of work have kept a core busy, added up.
#[derive(Debug, Default)]
pub struct Busy(AtomicU64);

impl Busy {
    /// None yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// All of it.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Does `work`, and adds the time for which it is busy.
    pub async fn with<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let began = now();
            let polled: Poll<T> = work.as_mut().poll(context);
            let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.0.fetch_add(nanos, Ordering::Relaxed);
            polled
        })
        .await
    }
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_counted_and_waiting_is_not() {
        let busy = Busy::new();
        let works = Duration::from_millis(20);
        busy.with(async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let began = now();
            while began.elapsed() < works {}
        })
        .await;
        assert!((works..Duration::from_millis(150)).contains(&busy.time()), "{:?}", busy.time());
    }
}
