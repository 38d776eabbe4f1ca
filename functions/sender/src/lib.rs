//! The sender function: batches of the send queue, with partial batch responses.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures::future::BoxFuture;
use futures::future::join_all;
use lambda_runtime::LambdaEvent;
use spillway_cloud::emf::Metrics;
use spillway_cloud::wiring::Wiring;
use spillway_core::time::Timestamp;
use spillway_service::clock::Clock;
use spillway_service::deliver::{Deliver, Job};
use spillway_service::metrics::Metric;
use spillway_service::port::SendQueue;
use spillway_service::send_task::SendTask;
use tracing::error;

/// The function's state, built once a process.
pub struct Sender {
    deliver: Deliver,
    queue: Arc<dyn SendQueue>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// Without a deadline from Lambda the invocation is taken to last this long.
const DEADLINE_FALLBACK: Duration = Duration::from_secs(15);

impl Sender {
    /// Builds it.
    pub fn new(wiring: &Wiring) -> Self {
        Self {
            deliver: wiring.deliver(),
            queue: wiring.queue.clone(),
            clock: wiring.clock.clone(),
            metrics: wiring.metrics(),
        }
    }

    /// Delivers a batch. What the answer does not name is done with and deleted.
    pub fn handle(&self, event: LambdaEvent<SqsEvent>) -> BoxFuture<'_, SqsBatchResponse> {
        Box::pin(async move {
            let deadline = match event.context.deadline {
                0 => self.clock.now() + DEADLINE_FALLBACK,
                millis => Timestamp::from_millis(millis),
            };
            let mut jobs = Vec::new();
            let mut unreadable = Vec::new();
            for record in event.payload.records {
                // A record without an id cannot be reported; Lambda always gives one.
                let message_id = record.message_id.clone().unwrap_or_default();
                match record.body.as_deref().map(SendTask::decode) {
                    Some(Ok(task)) => jobs.push(Job { message_id, task }),
                    Some(Err(error)) => {
                        error!(message_id, %error, "unreadable message: to the dead-letter queue");
                        unreadable.push((message_id, record));
                    }
                    None => error!(message_id, "message without a body dropped"),
                }
            }
            let buried =
                join_all(unreadable.iter().map(|(id, record)| self.dead_letter(id, record))).await;
            let mut again = self.deliver.deliver(jobs, deadline).await;
            again.extend(buried.into_iter().flatten());
            self.metrics.meter.count_several_by(Metric::FailedRecords, "Sender", again.len());
            self.metrics.flush();
            let mut response = SqsBatchResponse::default();
            response.batch_item_failures = again
                .into_iter()
                .filter(|id| !id.is_empty())
                .map(|id| {
                    let mut failure = BatchItemFailure::default();
                    failure.item_identifier = id;
                    failure
                })
                .collect();
            response
        })
    }

    /// Moves a message that will never be readable; its id when that failed.
    async fn dead_letter(&self, message_id: &str, record: &SqsMessage) -> Option<String> {
        let body = record.body.as_deref().unwrap_or_default();
        match self.queue.dead_letter(body).await {
            Ok(()) => None,
            Err(error) => {
                error!(message_id, %error, "could not move the message");
                Some(message_id.to_owned())
            }
        }
    }
}
