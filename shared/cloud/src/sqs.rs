//! The queues on SQS.

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use spillway_core::id::AccountId;
use spillway_service::port::{Failure, Queued, ReleaseQueue, SendQueue, StoreError};

use crate::failure::{failure, unavailable};

/// SQS's own limits.
const BATCH: usize = 10;
const DELAY_SECS_MAX: u64 = 900;

/// Requests under way at a time.
const AT_ONCE: usize = 8;

/// The queue of sends. The account is the message group, so that one account's flood delays
/// nobody else.
pub struct SqsSendQueue {
    /// The client.
    pub client: Client,
    /// The queue.
    pub url: String,
    /// Its dead-letter queue.
    pub dead_letter_url: String,
}

/// The queue of accounts to release.
pub struct SqsReleaseQueue {
    /// The client.
    pub client: Client,
    /// The queue.
    pub url: String,
}

/// A message of the release queue.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "v")]
pub enum ReleaseMessage {
    /// The first format.
    #[serde(rename = "1")]
    V1 {
        /// The account to run.
        account: AccountId,
    },
}

struct Outgoing {
    body: String,
    group: String,
    delay_secs: u64,
}

const SEND: &str = "send messages";

async fn send_all(
    client: &Client,
    url: &str,
    messages: Vec<Outgoing>,
) -> Vec<Result<(), StoreError>> {
    let batches: Vec<_> =
        messages.chunks(BATCH).map(|chunk| send_batch(client, url, chunk)).collect();
    stream::iter(batches).buffered(AT_ONCE).flat_map(stream::iter).collect().await
}

async fn send_batch(client: &Client, url: &str, chunk: &[Outgoing]) -> Vec<Result<(), StoreError>> {
    let failed = |detail: String| StoreError::unavailable(SEND, detail);
    let mut batch = client.send_message_batch().queue_url(url);
    for (at, message) in chunk.iter().enumerate() {
        let delay_secs = i32::try_from(message.delay_secs.min(DELAY_SECS_MAX)).unwrap_or(0);
        let entry = SendMessageBatchRequestEntry::builder()
            .id(at.to_string())
            .message_body(&message.body)
            .message_group_id(&message.group)
            .delay_seconds(delay_secs)
            .build();
        match entry {
            Ok(entry) => batch = batch.entries(entry),
            Err(error) => {
                return chunk.iter().map(|_| Err(failed(error.to_string()))).collect();
            }
        }
    }
    let answer = match batch.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let Failure { kind, said, .. } = failure(error);
            let same = || Failure { kind, said: said.clone(), source: None };
            let failed = || StoreError::Unavailable { what: SEND, source: same() };
            return chunk.iter().map(|_| Err(failed())).collect();
        }
    };
    (0..chunk.len())
        .map(|at| {
            let id = at.to_string();
            if answer.successful().iter().any(|sent| sent.id() == id) {
                Ok(())
            } else {
                let refused = answer.failed().iter().find(|failed| failed.id() == id);
                let code = refused.map_or("not answered", |refused| refused.code());
                Err(failed(code.to_owned()))
            }
        })
        .collect()
}

#[async_trait]
impl SendQueue for SqsSendQueue {
    async fn enqueue(&self, messages: &[Queued]) -> Vec<Result<(), StoreError>> {
        let messages = messages
            .iter()
            .map(|message| Outgoing {
                body: message.task.encode(),
                group: message.task.send.account.to_string(),
                delay_secs: u64::try_from(message.delay.as_millis().div_ceil(1000))
                    .unwrap_or(DELAY_SECS_MAX),
            })
            .collect();
        send_all(&self.client, &self.url, messages).await
    }

    async fn dead_letter(&self, body: &str) -> Result<(), StoreError> {
        self.client
            .send_message()
            .queue_url(&self.dead_letter_url)
            .message_body(body)
            .send()
            .await
            .map_err(|error| unavailable("dead-letter a message", error))?;
        Ok(())
    }
}

#[async_trait]
impl ReleaseQueue for SqsReleaseQueue {
    async fn enqueue(&self, accounts: &[AccountId]) -> Result<(), StoreError> {
        let messages = accounts
            .iter()
            .map(|account| Outgoing {
                body: serde_json::to_string(&ReleaseMessage::V1 { account: account.clone() })
                    .unwrap_or_default(),
                group: account.to_string(),
                delay_secs: 0,
            })
            .collect();
        send_all(&self.client, &self.url, messages).await.into_iter().collect()
    }
}
