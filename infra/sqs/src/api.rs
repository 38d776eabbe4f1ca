//! Each operation of the API: reads the request, checks it as SQS does, calls the queues, and
//! writes the answer.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attributes::{self, name_of_arn, queue_arn};
use super::error::SqsError;
use super::message::{
    AttributeValue, MESSAGE_BYTES_MAX, Message, MessageAttribute, NewMessage, md5_of_attributes,
    md5_of_body,
};
use super::queue::Received;
use super::service::{MoveTask, Sqs};
use super::wire::{self, Operation};

const BATCH_MAX: usize = 10;
const PAGE_MAX: i64 = 1000;
const VISIBILITY_SECONDS: RangeInclusive<i64> = 0..=43_200;

/// Every system attribute that a receive can ask for. Two belong to FIFO queues: known, never set.
const SYSTEM_ATTRIBUTES: [&str; 10] = [
    "All",
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
];

/// One caller's view of the queues: their URLs start as the caller reached the server.
pub(crate) struct Api<'a> {
    pub(crate) sqs: &'a Sqs,
    /// Scheme and authority.
    pub(crate) base: String,
    /// The X-Ray trace that the call belongs to: a message without one of its own joins it.
    pub(crate) trace: Option<String>,
}

impl Api<'_> {
    /// Answers one call.
    pub(crate) async fn call(
        &self,
        operation: Operation,
        body: &[u8],
    ) -> Result<Vec<u8>, SqsError> {
        match operation {
            Operation::CreateQueue => write(self.create_queue(&read(body)?)?),
            Operation::DeleteQueue => {
                let request: wire::QueueRequest = read(body)?;
                done(self.sqs.delete_queue(queue_name(&request.queue_url)?))
            }
            Operation::ListQueues => write(self.list_queues(&read(body)?)?),
            Operation::GetQueueUrl => write(self.get_queue_url(&read(body)?)?),
            Operation::GetQueueAttributes => write(self.get_attributes(&read(body)?)?),
            Operation::SetQueueAttributes => {
                let request: wire::SetQueueAttributesRequest = read(body)?;
                let name = queue_name(&request.queue_url)?;
                done(self.sqs.set_attributes(name, &request.attributes))
            }
            Operation::ListDeadLetterSourceQueues => write(self.list_sources(&read(body)?)?),
            Operation::SendMessage => {
                let request: wire::SendMessageRequest = read(body)?;
                write(self.send(queue_name(&request.queue_url)?, to_new(request.message)?)?)
            }
            Operation::SendMessageBatch => write(self.send_batch(read(body)?)?),
            Operation::ReceiveMessage => write(self.receive(&read(body)?).await?),
            Operation::DeleteMessage => {
                let request: wire::DeleteMessageRequest = read(body)?;
                done(self.delete(queue_name(&request.queue_url)?, &request.receipt_handle))
            }
            Operation::DeleteMessageBatch => {
                write(self.batch(read(body)?, |name, entry: wire::DeleteEntry| {
                    self.delete(name, &entry.receipt_handle).map(|()| wire::Empty {})
                })?)
            }
            Operation::ChangeMessageVisibility => {
                let request: wire::ChangeMessageVisibilityRequest = read(body)?;
                let name = queue_name(&request.queue_url)?;
                done(self.change(name, &request.receipt_handle, request.visibility_timeout))
            }
            Operation::ChangeMessageVisibilityBatch => {
                write(self.batch(read(body)?, |name, entry: wire::ChangeEntry| {
                    self.change(name, &entry.receipt_handle, entry.visibility_timeout)
                        .map(|()| wire::Empty {})
                })?)
            }
            Operation::PurgeQueue => {
                let request: wire::QueueRequest = read(body)?;
                done(self.sqs.purge(queue_name(&request.queue_url)?))
            }
            Operation::StartMessageMoveTask => write(self.start_move(&read(body)?)?),
            Operation::ListMessageMoveTasks => write(self.list_moves(&read(body)?)?),
            Operation::CancelMessageMoveTask => {
                let request: wire::CancelMessageMoveTaskRequest = read(body)?;
                done(self.sqs.cancel_move(needed("TaskHandle", &request.task_handle)?))
            }
        }
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.base, attributes::ACCOUNT)
    }

    fn create_queue(
        &self,
        request: &wire::CreateQueueRequest,
    ) -> Result<wire::QueueUrlResponse, SqsError> {
        let name = needed("QueueName", &request.queue_name)?;
        self.sqs.create(name, &request.attributes)?;
        Ok(wire::QueueUrlResponse { queue_url: self.url(name) })
    }

    fn get_queue_url(
        &self,
        request: &wire::GetQueueUrlRequest,
    ) -> Result<wire::QueueUrlResponse, SqsError> {
        let name = needed("QueueName", &request.queue_name)?;
        self.exists(name)?;
        Ok(wire::QueueUrlResponse { queue_url: self.url(name) })
    }

    fn list_queues(
        &self,
        request: &wire::ListQueuesRequest,
    ) -> Result<wire::ListQueuesResponse, SqsError> {
        let mut names = self.sqs.queue_names();
        names.retain(|name| name.starts_with(&request.queue_name_prefix));
        let (names, next_token) = page(names, request.max_results, request.next_token.as_deref())?;
        let queue_urls = names.iter().map(|name| self.url(name)).collect();
        Ok(wire::ListQueuesResponse { queue_urls, next_token })
    }

    fn list_sources(
        &self,
        request: &wire::ListDeadLetterSourceQueuesRequest,
    ) -> Result<wire::ListDeadLetterSourceQueuesResponse, SqsError> {
        let names = self.sqs.dead_letter_sources(queue_name(&request.queue_url)?)?;
        let (names, next_token) = page(names, request.max_results, request.next_token.as_deref())?;
        let queue_urls = names.iter().map(|name| self.url(name)).collect();
        Ok(wire::ListDeadLetterSourceQueuesResponse { queue_urls, next_token })
    }

    fn get_attributes(
        &self,
        request: &wire::GetQueueAttributesRequest,
    ) -> Result<wire::GetQueueAttributesResponse, SqsError> {
        let mut attributes = self.sqs.attributes(queue_name(&request.queue_url)?)?;
        let asked = &request.attribute_names;
        if let Some(unknown) = asked.iter().find(|name| !attributes::is_known(name)) {
            return Err(SqsError::InvalidAttributeName(unknown.clone()));
        }
        if !asked.iter().any(|name| name == "All") {
            attributes.retain(|name, _| asked.contains(name));
        }
        Ok(wire::GetQueueAttributesResponse { attributes })
    }

    fn send(
        &self,
        queue: &str,
        mut message: NewMessage,
    ) -> Result<wire::SendMessageResponse, SqsError> {
        let trace = message.trace_header.as_deref().map(trace_attribute).unwrap_or_default();
        message.trace_header = message.trace_header.or_else(|| self.trace.clone());
        let md5_of_body = md5_of_body(&message.body);
        let digest = md5_of_attributes(&message.attributes);
        let message_id = self.sqs.send(queue, message)?;
        Ok(wire::SendMessageResponse {
            message_id,
            md5_of_body,
            md5_of_attributes: digest,
            md5_of_system_attributes: md5_of_attributes(&trace),
        })
    }

    fn send_batch(
        &self,
        request: wire::BatchRequest<wire::SendEntry>,
    ) -> Result<wire::BatchResponse<wire::SendMessageResponse>, SqsError> {
        let entries = request.entries.into_iter();
        let entries: Vec<ReadEntry> = entries
            .map(|entry| ReadEntry { id: entry.id, message: to_new(entry.message) })
            .collect();
        let total = entries.iter().filter_map(|entry| entry.message.as_ref().ok());
        let total: usize = total.map(NewMessage::size).sum();
        let request = wire::BatchRequest { queue_url: request.queue_url, entries };
        check_batch(&request.entries)?;
        if total > MESSAGE_BYTES_MAX {
            return Err(SqsError::BatchRequestTooLong(total));
        }
        self.batch(request, |name, entry| self.send(name, entry.message?))
    }

    async fn receive(
        &self,
        request: &wire::ReceiveMessageRequest,
    ) -> Result<wire::ReceiveMessageResponse, SqsError> {
        let queue = queue_name(&request.queue_url)?;
        let default_wait = self.sqs.default_wait(queue)?;
        let max = request.max_number_of_messages.unwrap_or(1);
        let max = in_range("MaxNumberOfMessages", max, 1..=10)?;
        let max = usize::try_from(max).unwrap_or(1);
        let hidden = seconds("VisibilityTimeout", request.visibility_timeout, VISIBILITY_SECONDS)?;
        let wait = seconds("WaitTimeSeconds", request.wait_time_seconds, 0..=20)?;
        let wanted = Wanted::new(request)?;
        let wait = wait.unwrap_or(default_wait);
        let received = self.sqs.receive_within(queue, max, hidden, wait).await?;
        let messages = received.into_iter().map(|received| wanted.write(received)).collect();
        Ok(wire::ReceiveMessageResponse { messages })
    }

    fn delete(&self, queue: &str, receipt_handle: &str) -> Result<(), SqsError> {
        self.sqs.delete(queue, needed("ReceiptHandle", receipt_handle)?)
    }

    fn change(
        &self,
        queue: &str,
        receipt_handle: &str,
        timeout: Option<i64>,
    ) -> Result<(), SqsError> {
        let receipt_handle = needed("ReceiptHandle", receipt_handle)?;
        let timeout = seconds("VisibilityTimeout", timeout, VISIBILITY_SECONDS)?
            .ok_or(SqsError::MissingParameter("VisibilityTimeout"))?;
        self.sqs.change_visibility(queue, receipt_handle, timeout)
    }

    /// Does each entry by itself, and reports each by its id.
    fn batch<E: Entry, S>(
        &self,
        request: wire::BatchRequest<E>,
        mut one: impl FnMut(&str, E) -> Result<S, SqsError>,
    ) -> Result<wire::BatchResponse<S>, SqsError> {
        let queue = queue_name(&request.queue_url)?;
        self.exists(queue)?;
        check_batch(&request.entries)?;
        let mut response = wire::BatchResponse { successful: Vec::new(), failed: Vec::new() };
        for entry in request.entries {
            let id = entry.id().to_owned();
            match one(queue, entry) {
                Ok(answer) => response.successful.push(wire::BatchSuccess { id, answer }),
                Err(error) => response.failed.push(wire::BatchFailure {
                    id,
                    sender_fault: error.wire().fault() == "Sender",
                    code: error.code(),
                    message: error.to_string(),
                }),
            }
        }
        Ok(response)
    }

    fn start_move(
        &self,
        request: &wire::StartMessageMoveTaskRequest,
    ) -> Result<wire::StartMessageMoveTaskResponse, SqsError> {
        let source = arn_name(needed("SourceArn", &request.source_arn)?)?;
        let destination = request.destination_arn.as_deref().map(arn_name).transpose()?;
        let pace = request.max_number_of_messages_per_second;
        let pace =
            pace.map(|pace| in_range("MaxNumberOfMessagesPerSecond", pace, 1..=500)).transpose()?;
        let task_handle = self.sqs.start_move(source, destination, pace)?;
        Ok(wire::StartMessageMoveTaskResponse { task_handle })
    }

    fn list_moves(
        &self,
        request: &wire::ListMessageMoveTasksRequest,
    ) -> Result<wire::ListMessageMoveTasksResponse, SqsError> {
        let source = arn_name(needed("SourceArn", &request.source_arn)?)?;
        let max = in_range("MaxResults", request.max_results.unwrap_or(1), 1..=10)?;
        let tasks = self.sqs.move_tasks(source)?.into_iter();
        let results = tasks.take(usize::try_from(max).unwrap_or(1)).map(move_entry).collect();
        Ok(wire::ListMessageMoveTasksResponse { results })
    }

    fn exists(&self, name: &str) -> Result<(), SqsError> {
        self.sqs.default_wait(name).map(drop)
    }
}

/// What a receive wants to know of each message besides its body.
struct Wanted {
    system: HashSet<String>,
    attributes: Vec<String>,
}

impl Wanted {
    fn new(request: &wire::ReceiveMessageRequest) -> Result<Self, SqsError> {
        let system: HashSet<String> =
            [&request.attribute_names, &request.message_system_attribute_names]
                .into_iter()
                .flatten()
                .cloned()
                .collect();
        let unknown = |name: &&String| !SYSTEM_ATTRIBUTES.contains(&name.as_str());
        if let Some(unknown) = system.iter().find(unknown) {
            return Err(SqsError::InvalidAttributeName(unknown.clone()));
        }
        Ok(Self { system, attributes: request.message_attribute_names.clone() })
    }

    fn write(&self, received: Received) -> wire::ReceivedMessage {
        let Received { message, receipt_handle } = received;
        let attributes = self.system_attributes(&message);
        let wanted: BTreeMap<&String, &MessageAttribute> =
            message.attributes.iter().filter(|(name, _)| self.wants_attribute(name)).collect();
        wire::ReceivedMessage {
            receipt_handle,
            md5_of_body: md5_of_body(&message.body),
            attributes,
            md5_of_attributes: md5_of_attributes(
                wanted.iter().map(|(name, value)| (*name, *value)),
            ),
            message_attributes: wanted
                .into_iter()
                .map(|(name, attribute)| (name.clone(), wire::Attribute::encode(attribute)))
                .collect(),
            message_id: message.id,
            body: message.body,
        }
    }

    /// By its name, by the start of its name, or as one of all.
    fn wants_attribute(&self, name: &str) -> bool {
        self.attributes.iter().any(|asked| match asked.strip_suffix(".*") {
            Some(start) => name.starts_with(start),
            None => asked == "All" || asked == name,
        })
    }

    fn system_attributes(&self, message: &Message) -> BTreeMap<&'static str, String> {
        let millis = |at: spillway_core::time::Timestamp| at.as_millis().to_string();
        let source = message.dead_letter_source.as_deref().map(queue_arn);
        let all = [
            ("AWSTraceHeader", message.trace_header.clone()),
            ("ApproximateFirstReceiveTimestamp", message.first_received_at.map(millis)),
            ("ApproximateReceiveCount", Some(message.receives.to_string())),
            ("DeadLetterQueueSourceArn", source),
            ("MessageGroupId", message.group.clone()),
            ("SenderId", Some(attributes::ACCOUNT.to_owned())),
            ("SentTimestamp", Some(millis(message.sent_at))),
        ];
        let wanted = |name: &str| self.system.contains("All") || self.system.contains(name);
        all.into_iter()
            .filter(|(name, _)| wanted(name))
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// Something with an id of its own in a batch.
trait Entry {
    fn id(&self) -> &str;
}

/// A message to send, or why it cannot be one.
struct ReadEntry {
    id: String,
    message: Result<NewMessage, SqsError>,
}

impl Entry for ReadEntry {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Entry for wire::DeleteEntry {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Entry for wire::ChangeEntry {
    fn id(&self) -> &str {
        &self.id
    }
}

/// What is wrong with a batch as a whole.
fn check_batch<E: Entry>(entries: &[E]) -> Result<(), SqsError> {
    if entries.is_empty() {
        return Err(SqsError::EmptyBatchRequest);
    }
    if entries.len() > BATCH_MAX {
        return Err(SqsError::TooManyEntriesInBatchRequest(entries.len()));
    }
    let mut seen = HashSet::new();
    for id in entries.iter().map(Entry::id) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !(1..=80).contains(&id.len()) || !id.chars().all(allowed) {
            return Err(SqsError::InvalidBatchEntryId(id.to_owned()));
        }
        if !seen.insert(id) {
            return Err(SqsError::BatchEntryIdsNotDistinct(id.to_owned()));
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, SqsError> {
    serde_json::from_slice(body).map_err(|error| SqsError::Serialization(error.to_string()))
}

fn write(answer: impl Serialize) -> Result<Vec<u8>, SqsError> {
    serde_json::to_vec(&answer).map_err(|error| SqsError::Serialization(error.to_string()))
}

fn done(result: Result<(), SqsError>) -> Result<Vec<u8>, SqsError> {
    result.and_then(|()| write(wire::Empty {}))
}

fn needed<'a>(name: &'static str, value: &'a str) -> Result<&'a str, SqsError> {
    if value.is_empty() { Err(SqsError::MissingParameter(name)) } else { Ok(value) }
}

/// The queue that a URL names, whatever host it was made for.
fn queue_name(url: &str) -> Result<&str, SqsError> {
    let url = needed("QueueUrl", url)?;
    Ok(url.trim_end_matches('/').rsplit('/').next().unwrap_or(url))
}

fn arn_name(arn: &str) -> Result<&str, SqsError> {
    name_of_arn(arn).ok_or_else(|| SqsError::invalid(format!("{arn:?} is no queue's ARN.")))
}

fn in_range(name: &str, value: i64, range: RangeInclusive<i64>) -> Result<i64, SqsError> {
    if range.contains(&value) { Ok(value) } else { Err(SqsError::out_of_range(name, value, range)) }
}

fn seconds(
    name: &str,
    value: Option<i64>,
    range: RangeInclusive<i64>,
) -> Result<Option<Duration>, SqsError> {
    let Some(value) = value else { return Ok(None) };
    Ok(Some(Duration::from_secs(in_range(name, value, range)?.unsigned_abs())))
}

/// The part of a sorted list after the token, which is the last name of the part before.
fn page(
    names: Vec<String>,
    max_results: Option<i64>,
    token: Option<&str>,
) -> Result<(Vec<String>, Option<String>), SqsError> {
    let max = in_range("MaxResults", max_results.unwrap_or(PAGE_MAX), 1..=PAGE_MAX)?;
    let max = usize::try_from(max).unwrap_or(1);
    let after = names.into_iter().filter(|name| token.is_none_or(|token| name.as_str() > token));
    let mut names: Vec<String> = after.take(max + 1).collect();
    // Only a caller that set the size of its pages expects another page.
    let more = names.len() > max && max_results.is_some();
    names.truncate(max);
    let token = if more { names.last().cloned() } else { None };
    Ok((names, token))
}

fn to_new(message: wire::MessageToSend) -> Result<NewMessage, SqsError> {
    if message.message_deduplication_id.is_some() {
        return Err(SqsError::invalid("MessageDeduplicationId is for FIFO queues only."));
    }
    let delay = seconds("DelaySeconds", message.delay_seconds, 0..=900)?;
    let attributes = message.message_attributes.into_iter();
    let attributes = attributes
        .map(|(name, attribute)| Ok((name, attribute.decode()?)))
        .collect::<Result<_, SqsError>>()?;
    let mut trace_header = None;
    for (name, attribute) in message.message_system_attributes {
        match (name.as_str(), attribute.data_type.as_str(), attribute.string_value) {
            ("AWSTraceHeader", "String", Some(value)) => trace_header = Some(value),
            _ => {
                return Err(SqsError::invalid(format!(
                    "The system attribute {name:?} is not the text AWSTraceHeader."
                )));
            }
        }
    }
    let (body, group) = (message.message_body, message.message_group_id);
    Ok(NewMessage { body, attributes, group, trace_header, delay })
}

/// The trace as the attribute that it travels as.
fn trace_attribute(value: &str) -> BTreeMap<String, MessageAttribute> {
    let value = AttributeValue::Text(value.to_owned());
    let attribute = MessageAttribute { data_type: "String".to_owned(), value };
    BTreeMap::from([("AWSTraceHeader".to_owned(), attribute)])
}

fn move_entry(task: MoveTask) -> wire::MoveTaskEntry {
    let failed = task.failed();
    wire::MoveTaskEntry {
        status: if failed { "FAILED" } else { "COMPLETED" },
        source_arn: queue_arn(&task.source),
        destination_arn: task.destination.as_deref().map(queue_arn),
        max_number_of_messages_per_second: task.messages_per_second,
        approximate_number_of_messages_moved: task.moved,
        approximate_number_of_messages_to_move: task.to_move,
        failure_reason: failed.then_some("CouldNotDetermineMessageSource"),
        started_timestamp: task.started_at.as_millis(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_named_by_the_end_of_their_url() {
        for url in ["http://localhost:1/000000000000/q", "http://elsewhere/q/", "q"] {
            assert_eq!(queue_name(url), Ok("q"), "{url}");
        }
        assert_eq!(queue_name(""), Err(SqsError::MissingParameter("QueueUrl")));
    }

    #[test]
    fn pages_follow_each_other() {
        let names = || ["a", "b", "c"].map(str::to_owned).to_vec();
        let (first, token) = page(names(), Some(2), None).unwrap();
        assert_eq!((first.len(), token.as_deref()), (2, Some("b")));
        let (second, token) = page(names(), Some(2), token.as_deref()).unwrap();
        assert_eq!((second, token), (vec!["c".to_owned()], None));
        assert!(page(names(), Some(0), None).is_err());
        assert!(page(names(), Some(1001), None).is_err());
    }
}
