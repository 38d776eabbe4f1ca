//! The AWS JSON 1.0 protocol of SQS: what requests and answers look like.
//!
//! Everything in a request is optional here, so that what is missing is reported by its name.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::error::SqsError;
use super::message::{AttributeValue, MessageAttribute};

/// What the server can be asked for, by the name in the `X-Amz-Target` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the AWS API")]
pub enum Operation {
    CancelMessageMoveTask,
    ChangeMessageVisibility,
    ChangeMessageVisibilityBatch,
    CreateQueue,
    DeleteMessage,
    DeleteMessageBatch,
    DeleteQueue,
    GetQueueAttributes,
    GetQueueUrl,
    ListDeadLetterSourceQueues,
    ListMessageMoveTasks,
    ListQueues,
    PurgeQueue,
    ReceiveMessage,
    SendMessage,
    SendMessageBatch,
    SetQueueAttributes,
    StartMessageMoveTask,
}

impl Operation {
    /// From the whole value of the header.
    pub(crate) fn from_target(target: &str) -> Result<Self, SqsError> {
        let name = target.strip_prefix("AmazonSQS.").unwrap_or_default();
        let value = serde_json::Value::from(name);
        serde_json::from_value(value).map_err(|_| SqsError::UnknownOperation(target.to_owned()))
    }
}

/// Names one queue and says nothing more: DeleteQueue, PurgeQueue.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct QueueRequest {
    pub(crate) queue_url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateQueueRequest {
    pub(crate) queue_name: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct GetQueueUrlRequest {
    pub(crate) queue_name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueueUrlResponse {
    pub(crate) queue_url: String,
}

/// ListQueues.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ListQueuesRequest {
    pub(crate) queue_name_prefix: String,
    pub(crate) max_results: Option<i64>,
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListQueuesResponse {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ListDeadLetterSourceQueuesRequest {
    pub(crate) queue_url: String,
    pub(crate) max_results: Option<i64>,
    pub(crate) next_token: Option<String>,
}

/// Alone among all answers, this one starts a name with a small letter.
#[derive(Debug, Serialize)]
pub(crate) struct ListDeadLetterSourceQueuesResponse {
    #[serde(rename = "queueUrls")]
    pub(crate) queue_urls: Vec<String>,
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct GetQueueAttributesRequest {
    pub(crate) queue_url: String,
    pub(crate) attribute_names: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetQueueAttributesResponse {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct SetQueueAttributesRequest {
    pub(crate) queue_url: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A message to send; the queue stands beside it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct SendMessageRequest {
    pub(crate) queue_url: String,
    #[serde(flatten)]
    pub(crate) message: MessageToSend,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct MessageToSend {
    pub(crate) message_body: String,
    pub(crate) delay_seconds: Option<i64>,
    pub(crate) message_attributes: BTreeMap<String, Attribute>,
    pub(crate) message_system_attributes: BTreeMap<String, Attribute>,
    pub(crate) message_deduplication_id: Option<String>,
    pub(crate) message_group_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct SendEntry {
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) message: MessageToSend,
}

#[derive(Debug, Serialize)]
pub(crate) struct SendMessageResponse {
    #[serde(rename = "MessageId")]
    pub(crate) message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    pub(crate) md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    pub(crate) md5_of_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    pub(crate) md5_of_system_attributes: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ReceiveMessageRequest {
    pub(crate) queue_url: String,
    /// The older name of the next field; both count.
    pub(crate) attribute_names: Vec<String>,
    pub(crate) message_system_attribute_names: Vec<String>,
    pub(crate) message_attribute_names: Vec<String>,
    pub(crate) max_number_of_messages: Option<i64>,
    pub(crate) visibility_timeout: Option<i64>,
    pub(crate) wait_time_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveMessageResponse {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) messages: Vec<ReceivedMessage>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceivedMessage {
    pub(crate) message_id: String,
    pub(crate) receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    pub(crate) md5_of_body: String,
    pub(crate) body: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<&'static str, String>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    pub(crate) md5_of_attributes: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) message_attributes: BTreeMap<String, Attribute>,
}

/// A message attribute in either direction.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Attribute {
    pub(crate) data_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) string_value: Option<String>,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) binary_value: Option<String>,
}

impl Attribute {
    /// With its value decoded.
    pub(crate) fn decode(self) -> Result<MessageAttribute, SqsError> {
        let value = match (self.string_value, self.binary_value) {
            (Some(text), None) => AttributeValue::Text(text),
            (None, Some(text)) => AttributeValue::Binary(
                STANDARD
                    .decode(text)
                    .map_err(|error| SqsError::Serialization(format!("BinaryValue: {error}")))?,
            ),
            _ => return Err(SqsError::invalid("A message attribute has one value.")),
        };
        Ok(MessageAttribute { data_type: self.data_type, value })
    }

    /// With its value encoded.
    pub(crate) fn encode(attribute: &MessageAttribute) -> Self {
        let (string_value, binary_value) = match &attribute.value {
            AttributeValue::Text(text) => (Some(text.clone()), None),
            AttributeValue::Binary(bytes) => (None, Some(STANDARD.encode(bytes))),
        };
        Self { data_type: attribute.data_type.clone(), string_value, binary_value }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct DeleteMessageRequest {
    pub(crate) queue_url: String,
    pub(crate) receipt_handle: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct DeleteEntry {
    pub(crate) id: String,
    pub(crate) receipt_handle: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ChangeMessageVisibilityRequest {
    pub(crate) queue_url: String,
    pub(crate) receipt_handle: String,
    pub(crate) visibility_timeout: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ChangeEntry {
    pub(crate) id: String,
    pub(crate) receipt_handle: String,
    pub(crate) visibility_timeout: Option<i64>,
}

/// Several entries for one queue, each of which succeeds or fails by itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchRequest<E> {
    #[serde(default)]
    pub(crate) queue_url: String,
    #[serde(default = "Vec::new")]
    pub(crate) entries: Vec<E>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchResponse<S> {
    pub(crate) successful: Vec<BatchSuccess<S>>,
    pub(crate) failed: Vec<BatchFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchSuccess<S> {
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) answer: S,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchFailure {
    pub(crate) id: String,
    pub(crate) sender_fault: bool,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct StartMessageMoveTaskRequest {
    pub(crate) source_arn: String,
    pub(crate) destination_arn: Option<String>,
    pub(crate) max_number_of_messages_per_second: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StartMessageMoveTaskResponse {
    pub(crate) task_handle: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ListMessageMoveTasksRequest {
    pub(crate) source_arn: String,
    pub(crate) max_results: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListMessageMoveTasksResponse {
    pub(crate) results: Vec<MoveTaskEntry>,
}

/// A task that is over; only a running one shows its handle.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MoveTaskEntry {
    pub(crate) status: &'static str,
    pub(crate) source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destination_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_number_of_messages_per_second: Option<i64>,
    pub(crate) approximate_number_of_messages_moved: usize,
    pub(crate) approximate_number_of_messages_to_move: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure_reason: Option<&'static str>,
    pub(crate) started_timestamp: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CancelMessageMoveTaskRequest {
    pub(crate) task_handle: String,
}

/// An answer that says nothing but that it worked.
#[derive(Debug, Serialize)]
pub(crate) struct Empty {}

/// An error as the JSON protocol writes it.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorResponse {
    #[serde(rename = "__type")]
    pub(crate) kind: String,
    pub(crate) message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_operations() {
        let target = |target| Operation::from_target(target).ok();
        assert_eq!(target("AmazonSQS.SendMessage"), Some(Operation::SendMessage));
        for unknown in ["", "SendMessage", "AmazonSQS.", "AmazonSQS.sendMessage", "X.SendMessage"] {
            assert_eq!(target(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn attributes_have_exactly_one_value() {
        let both = Attribute {
            data_type: "String".to_owned(),
            string_value: Some("x".to_owned()),
            binary_value: Some("eA==".to_owned()),
        };
        assert!(both.decode().is_err());
        assert!(Attribute::default().decode().is_err());
        let binary = Attribute { binary_value: Some("eA==".to_owned()), ..Attribute::default() };
        let decoded = binary.decode().unwrap();
        assert_eq!(decoded.value, AttributeValue::Binary(b"x".to_vec()));
        assert_eq!(Attribute::encode(&decoded).binary_value.as_deref(), Some("eA=="));
        let bad = Attribute { binary_value: Some("?".to_owned()), ..Attribute::default() };
        assert!(bad.decode().is_err());
    }
}
