//! The release function: each minute a schedule asks which accounts are due; each of them comes
//! back as a message of the release queue and gets a run.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use futures::future::BoxFuture;
use lambda_runtime::LambdaEvent;
use serde::Serialize;
use serde_json::Value;
use spillway_cloud::emf::Metrics;
use spillway_cloud::sqs::ReleaseMessage;
use spillway_cloud::wiring::Wiring;
use spillway_core::time::Timestamp;
use spillway_service::clock::Clock;
use spillway_service::metrics::Metric;
use spillway_service::release::Release;
use tracing::error;

/// The function's state, built once a process.
pub struct Releaser {
    release: Release,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// The answer to either kind of event.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To the schedule.
    Dispatched {
        /// Accounts put on the release queue.
        accounts: usize,
    },
    /// To the queue: the messages to bring again.
    Batch(SqsBatchResponse),
}

/// An event that could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Neither a schedule's event nor a batch of the queue.
    #[error("not an event of the schedule or of the release queue: {0}")]
    Unknown(#[from] serde_json::Error),
    /// The store or queue does not answer.
    #[error(transparent)]
    Store(#[from] spillway_service::port::StoreError),
}

impl EventError {
    /// Whether the same event may be worked on later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::Store(error) => error.is_retryable(),
        }
    }
}

/// Without a deadline from Lambda the invocation is taken to last this long.
const DEADLINE_FALLBACK: Duration = Duration::from_secs(30);

impl Releaser {
    /// Builds it.
    pub fn new(wiring: &Wiring) -> Self {
        Self { release: wiring.release(), clock: wiring.clock.clone(), metrics: wiring.metrics() }
    }

    /// Works on an event: a batch has `Records`, everything else is the schedule.
    ///
    /// # Errors
    /// Fails if the event cannot be read, or for the schedule when the store does not answer.
    pub fn handle(&self, event: LambdaEvent<Value>) -> BoxFuture<'_, Result<Answer, EventError>> {
        Box::pin(async move {
            let answer = self.work_on(event).await;
            self.metrics.flush();
            answer
        })
    }

    async fn work_on(&self, event: LambdaEvent<Value>) -> Result<Answer, EventError> {
        let deadline = match event.context.deadline {
            0 => self.clock.now() + DEADLINE_FALLBACK,
            millis => Timestamp::from_millis(millis),
        };
        if event.payload.get("Records").is_none() {
            return Ok(Answer::Dispatched { accounts: self.release.dispatch().await? });
        }
        let batch: SqsEvent = serde_json::from_value(event.payload)?;
        let mut response = SqsBatchResponse::default();
        for record in batch.records {
            if let Err(error) = self.run(record.body.as_deref().unwrap_or_default(), deadline).await
            {
                error!(message_id = record.message_id, %error, "run failed");
                if let EventError::Store(error) = &error {
                    self.metrics.meter.store_failed(error);
                }
                if !error.is_retryable() {
                    // The schedule names the account again in any case.
                    continue;
                }
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = record.message_id.unwrap_or_default();
                response.batch_item_failures.push(failure);
            }
        }
        let failed = response.batch_item_failures.len();
        self.metrics.meter.count_several_by(Metric::FailedRecords, "Release", failed);
        Ok(Answer::Batch(response))
    }

    async fn run(&self, body: &str, deadline: Timestamp) -> Result<(), EventError> {
        let ReleaseMessage::V1 { account } = serde_json::from_str(body)?;
        self.release.run(&account, deadline).await?;
        Ok(())
    }
}
