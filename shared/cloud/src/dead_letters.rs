//! The dead-letter queue as operators see it: looked at without hiding anything for long, moved
//! back, dropped.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName,
    QueueAttributeName,
};
use spillway_core::time::Timestamp;
use spillway_service::admin::dead_letters::{DeadLetter, DeadLetterQueue, Fate, Judge};
use spillway_service::port::StoreError;
use spillway_service::send_task::SendTask;

use crate::failure::{incomplete, unavailable};

/// The dead-letter queue, and the queue of sends that it belongs to.
pub struct DeadLetters {
    /// The client.
    pub client: Client,
    /// The dead-letter queue.
    pub url: String,
    /// The queue of sends.
    pub send_url: String,
}

/// A message as it was received.
struct Received {
    letter: DeadLetter,
    handle: String,
}

/// Messages of a receive, and of a batch.
const BATCH: i32 = 10;

/// How long messages are hidden while they are looked at. A tool that dies meanwhile hides them
/// that long.
const HIDDEN: Duration = Duration::from_secs(60);

/// Receives in a row that find nothing, after which there is nothing: SQS may miss some.
const EMPTY_RECEIVES: usize = 3;

const LOOK: &str = "look at the dead-letter queue";
const COUNT: &str = "count the dead letters";
const MOVE: &str = "move a dead letter";
const DROP: &str = "drop a dead letter";

#[async_trait]
impl DeadLetterQueue for DeadLetters {
    async fn each(&self, limit: usize, judge: &mut Judge<'_>) -> Result<(), StoreError> {
        let mut kept: Vec<String> = Vec::new();
        let worked = self.work(limit, judge, &mut kept).await;
        let shown = self.show(&kept).await;
        worked.and(shown)
    }

    async fn messages(&self) -> Result<u64, StoreError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let asked = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .set_attribute_names(Some(names.to_vec()));
        let answer = asked.send().await.map_err(|error| unavailable(COUNT, error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let number = |name| -> Option<u64> { attributes.get(name)?.parse().ok() };
        let unsaid = || StoreError::unavailable(COUNT, "SQS does not say");
        names.iter().map(number).sum::<Option<u64>>().ok_or_else(unsaid)
    }
}

impl DeadLetters {
    async fn work(
        &self,
        limit: usize,
        judge: &mut Judge<'_>,
        kept: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let mut seen: HashSet<String> = HashSet::new();
        let mut empty = 0;
        while seen.len() < limit && empty < EMPTY_RECEIVES {
            let page = self.receive(limit - seen.len()).await?;
            // Should one fail, the rest of the page is shown again.
            kept.extend(page.iter().map(|received| received.handle.clone()));
            // Where looking takes longer than messages are hidden, the first come again.
            let new = page.into_iter().filter(|received| seen.insert(received.letter.id.clone()));
            let new: Vec<Received> = new.collect();
            empty = if new.is_empty() { empty + 1 } else { 0 };
            for Received { letter, handle } in new {
                match judge(&letter) {
                    Fate::Stays => continue,
                    Fate::Redriven => self.send_back(&letter).await?,
                    Fate::Dropped => {}
                }
                self.delete(&handle).await?;
                kept.retain(|kept| *kept != handle);
            }
        }
        Ok(())
    }

    async fn receive(&self, limit: usize) -> Result<Vec<Received>, StoreError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(limit).unwrap_or(BATCH).min(BATCH))
            .visibility_timeout(i32::try_from(HIDDEN.as_secs()).unwrap_or(60))
            .wait_time_seconds(0)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| unavailable(LOOK, error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(received).collect())
    }

    /// Its send is acted on once, whatever happens here: the message names the send's epoch.
    async fn send_back(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let group = letter.task.as_ref().map(|task| task.send.account.to_string());
        self.client
            .send_message()
            .queue_url(&self.send_url)
            .message_body(&letter.body)
            .set_message_group_id(group)
            .send()
            .await
            .map_err(|error| unavailable(MOVE, error))?;
        Ok(())
    }

    async fn delete(&self, handle: &str) -> Result<(), StoreError> {
        let delete = self.client.delete_message().queue_url(&self.url);
        let deleted = delete.receipt_handle(handle).send().await;
        deleted.map(|_| ()).map_err(|error| unavailable(DROP, error))
    }

    /// Makes messages visible again.
    async fn show(&self, handles: &[String]) -> Result<(), StoreError> {
        for chunk in handles.chunks(BATCH as usize) {
            let mut batch = self.client.change_message_visibility_batch().queue_url(&self.url);
            for (at, handle) in chunk.iter().enumerate() {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(at.to_string())
                    .receipt_handle(handle)
                    .visibility_timeout(0)
                    .build()
                    .map_err(|error| incomplete(LOOK, error))?;
                batch = batch.entries(entry);
            }
            batch.send().await.map_err(|error| unavailable(LOOK, error))?;
        }
        Ok(())
    }
}

fn received(message: Message) -> Option<Received> {
    let sent = message.attributes.as_ref().and_then(|attributes| {
        attributes.get(&MessageSystemAttributeName::SentTimestamp)?.parse().ok()
    });
    let body = message.body.unwrap_or_default();
    let letter = DeadLetter {
        id: message.message_id?,
        task: SendTask::decode(&body).ok(),
        body,
        sent_at: Timestamp::from_millis(sent.unwrap_or(0)),
    };
    Some(Received { letter, handle: message.receipt_handle? })
}
