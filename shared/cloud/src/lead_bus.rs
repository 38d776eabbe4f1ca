//! Leads as events of EventBridge.

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use serde_json::json;
use spillway_service::port::{LeadBus, LeadEvent, StoreError};

use crate::failure::unavailable;

/// What events name as their source, and as what they tell.
const SOURCE: &str = "spillway";
const DETAIL_TYPE: &str = "Lead given";

/// Events of a request at most (Amazon EventBridge, quotas).
const ENTRIES_MAX: usize = 10;

const PUT: &str = "put leads on the event bus";

/// A bus of EventBridge.
pub struct EventBridge {
    /// The client.
    pub client: Client,
    /// The ARN of the bus.
    pub bus: String,
}

#[async_trait]
impl LeadBus for EventBridge {
    async fn put(&self, events: &[LeadEvent]) -> Vec<Result<(), StoreError>> {
        let mut put = Vec::with_capacity(events.len());
        for chunk in events.chunks(ENTRIES_MAX) {
            let entries = chunk.iter().map(|event| self.entry(event)).collect();
            match self.client.put_events().set_entries(Some(entries)).send().await {
                Ok(answer) => {
                    let results = answer.entries().iter().map(result_of);
                    let missing = || Err(StoreError::unavailable(PUT, "no word of this event"));
                    put.extend(results.chain(std::iter::repeat_with(missing)).take(chunk.len()));
                }
                Err(error) => {
                    put.push(Err(unavailable(PUT, error)));
                    let with_it = || Err(StoreError::unavailable(PUT, "its request failed"));
                    put.extend(std::iter::repeat_with(with_it).take(chunk.len() - 1));
                }
            }
        }
        put
    }
}

impl EventBridge {
    fn entry(&self, event: &LeadEvent) -> PutEventsRequestEntry {
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(SOURCE)
            .detail_type(DETAIL_TYPE)
            .detail(json!(event).to_string())
            .build()
    }
}

fn result_of(entry: &PutEventsResultEntry) -> Result<(), StoreError> {
    match entry.error_code() {
        None => Ok(()),
        // The message may quote the event.
        Some(code) => Err(StoreError::unavailable(PUT, code)),
    }
}
