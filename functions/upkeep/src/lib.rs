//! The upkeep function: a schedule starts a run, which visits the accounts that are due.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use lambda_runtime::LambdaEvent;
use serde::Serialize;
use serde_json::Value;
use spillway_cloud::emf::Metrics;
use spillway_cloud::wiring::Wiring;
use spillway_core::time::Timestamp;
use spillway_service::clock::Clock;
use spillway_service::port::StoreError;
use spillway_service::upkeep::{Kept, Upkeeper};

/// The function's state, built once a process.
pub struct Upkeep {
    upkeeper: Upkeeper,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// The answer to the schedule.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Accounts visited.
    pub visited: usize,
    /// Of these, those whose visit failed: they are due again.
    pub failed: usize,
    /// Accounts that are left for the next run.
    pub left: usize,
}

impl From<Kept> for Answer {
    fn from(Kept { visited, failed, left }: Kept) -> Self {
        Self { visited, failed, left }
    }
}

/// Without a deadline from Lambda the invocation is taken to last this long.
const DEADLINE_FALLBACK: Duration = Duration::from_secs(120);

impl Upkeep {
    /// Builds it.
    pub fn new(wiring: &Wiring) -> Self {
        Self { upkeeper: wiring.upkeep(), clock: wiring.clock.clone(), metrics: wiring.metrics() }
    }

    /// Makes a run; what the event says is of no matter.
    ///
    /// # Errors
    /// Fails if the store does not answer; the next run tries again.
    pub fn handle(&self, event: LambdaEvent<Value>) -> BoxFuture<'_, Result<Answer, StoreError>> {
        Box::pin(async move {
            let deadline = match event.context.deadline {
                0 => self.clock.now() + DEADLINE_FALLBACK,
                millis => Timestamp::from_millis(millis),
            };
            let kept = self.upkeeper.run(deadline).await;
            self.metrics.flush();
            kept.map(Answer::from)
        })
    }
}
