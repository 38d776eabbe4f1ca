//! The upkeep function: a schedule starts a run, which visits the accounts that are due, and tells of
//! leads where there is an event bus.

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
use spillway_service::leads::LeadTeller;
use spillway_service::port::StoreError;
use spillway_service::upkeep::{Kept, Upkeeper};

/// The function's state, built once a process.
pub struct Upkeep {
    upkeeper: Upkeeper,
    teller: Option<LeadTeller>,
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
    /// Leads that were told of.
    pub told: usize,
}

/// Without a deadline from Lambda the invocation is taken to last this long.
const DEADLINE_FALLBACK: Duration = Duration::from_secs(120);

impl Upkeep {
    /// Builds it.
    pub fn new(wiring: &Wiring) -> Self {
        Self {
            upkeeper: wiring.upkeep(),
            teller: wiring.lead_teller(),
            clock: wiring.clock.clone(),
            metrics: wiring.metrics(),
        }
    }

    /// Makes a run; what the event says is of no matter.
    ///
    /// # Errors
    /// Fails if the store, or the event bus, does not answer; the next run tries again.
    pub fn handle(&self, event: LambdaEvent<Value>) -> BoxFuture<'_, Result<Answer, StoreError>> {
        Box::pin(async move {
            let deadline = match event.context.deadline {
                0 => self.clock.now() + DEADLINE_FALLBACK,
                millis => Timestamp::from_millis(millis),
            };
            let told = match &self.teller {
                Some(teller) => teller.tell(deadline).await,
                None => Ok(0),
            };
            let kept = self.upkeeper.run(deadline).await;
            self.metrics.flush();
            let told = told?;
            kept.map(|Kept { visited, failed, left }| Answer { visited, failed, left, told })
        })
    }
}
