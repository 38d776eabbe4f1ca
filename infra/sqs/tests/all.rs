//! The in-process SQS as the official client sees it: every operation, every modelled error.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry as ChangeEntry,
    DeleteMessageBatchRequestEntry as DeleteEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName as System, MessageSystemAttributeNameForSends,
    MessageSystemAttributeValue, QueueAttributeName as Attribute,
    SendMessageBatchRequestEntry as SendEntry,
};
use spillway_core::time::Timestamp;
use spillway_service::clock::{Clock, SystemClock};
use spillway_sqs::{
    Counts, Fault, LongPoll, NewMessage, Operation, Sqs, queue_arn, redrive_policy, serve,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Stands still until it is stepped.
struct StepClock {
    millis: AtomicU64,
}

impl Clock for StepClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

const START_MILLIS: u64 = 1_800_000_000_000;

/// A server on a port of its own, stopped at the end of the test.
struct Stack {
    sqs: Sqs,
    clock: Arc<StepClock>,
    client: Client,
    base: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Stack {
    /// On a clock that is stepped, with a client that does not retry.
    async fn stepped() -> Self {
        let clock = Arc::new(StepClock { millis: AtomicU64::new(START_MILLIS) });
        Self::start(clock.clone(), clock, LongPoll::Never).await
    }

    /// In real time.
    async fn real() -> Self {
        let unused = Arc::new(StepClock { millis: AtomicU64::new(START_MILLIS) });
        Self::start(Arc::new(SystemClock::new()), unused, LongPoll::Real).await
    }

    async fn start(clock: Arc<dyn Clock>, stepped: Arc<StepClock>, long_poll: LongPoll) -> Self {
        let sqs = Sqs::new(clock, 7, long_poll);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(sqs.clone(), listener, async {
            let _ = stopped.await;
        }));
        let client = client(&base, RetryConfig::disabled());
        Self { sqs, clock: stepped, client, base, stop, server }
    }

    fn pass(&self, secs: u64) {
        self.clock.millis.fetch_add(secs * 1000, Ordering::SeqCst);
    }

    fn url(&self, name: &str) -> String {
        format!("{}/000000000000/{name}", self.base)
    }

    /// A queue with these attributes.
    async fn queue<const N: usize>(
        &self,
        name: &str,
        attributes: [(Attribute, &str); N],
    ) -> String {
        let mut call = self.client.create_queue().queue_name(name);
        for (attribute, value) in attributes {
            call = call.attributes(attribute, value);
        }
        call.send().await.unwrap().queue_url.unwrap()
    }

    async fn send(&self, url: &str, body: &str) {
        self.client.send_message().queue_url(url).message_body(body).send().await.unwrap();
    }

    async fn receive(&self, url: &str) -> Vec<Message> {
        let call = self.client.receive_message().queue_url(url).max_number_of_messages(10);
        let call = call.message_system_attribute_names(System::All);
        call.message_attribute_names("All").send().await.unwrap().messages.unwrap_or_default()
    }

    async fn attribute(&self, url: &str, name: Attribute) -> Option<String> {
        let call = self.client.get_queue_attributes().queue_url(url).attribute_names(name.clone());
        call.send().await.unwrap().attributes.unwrap_or_default().remove(&name)
    }

    fn counts(&self, name: &str) -> (usize, usize, usize) {
        let Counts { visible, in_flight, delayed } = self.sqs.counts(name).unwrap();
        (visible, in_flight, delayed)
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }
}

fn client(base: &str, retry: RetryConfig) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(base)
        .retry_config(retry)
        .build();
    Client::from_conf(config)
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.body().unwrap()).collect()
}

fn code<E: ProvideErrorMetadata, R>(result: Result<impl Sized, SdkError<E, R>>) -> String {
    let Err(error) = result else { panic!("the call succeeded") };
    error.code().unwrap_or_default().to_owned()
}

fn text(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
}

fn send_entry(id: &str, body: &str) -> SendEntry {
    SendEntry::builder().id(id).message_body(body).build().unwrap()
}

#[tokio::test]
async fn queues_are_made_found_and_deleted() {
    let stack = Stack::stepped().await;
    let url = stack.queue("sends", [(Attribute::VisibilityTimeout, "60")]).await;
    assert_eq!(url, stack.url("sends"));
    assert_eq!(stack.queue("sends", []).await, url, "nothing that differs");
    assert_eq!(stack.queue("sends", [(Attribute::VisibilityTimeout, "60")]).await, url);
    let differs = stack.client.create_queue().queue_name("sends");
    let differs = differs.attributes(Attribute::VisibilityTimeout, "61").send().await;
    assert!(differs.unwrap_err().into_service_error().is_queue_name_exists());

    let found = stack.client.get_queue_url().queue_name("sends").send().await.unwrap();
    assert_eq!(found.queue_url(), Some(url.as_str()));
    let missing = stack.client.get_queue_url().queue_name("nope").send().await.unwrap_err();
    let missing = missing.into_service_error();
    assert!(missing.is_queue_does_not_exist());
    assert_eq!(missing.message(), Some("There is no queue named \"nope\"."));

    for name in ["sends-dlq", "events"] {
        stack.queue(name, []).await;
    }
    let listed = stack.client.list_queues().queue_name_prefix("sends").send().await.unwrap();
    assert_eq!(listed.queue_urls(), [url.clone(), stack.url("sends-dlq")]);
    let pages = stack.client.list_queues().max_results(2).into_paginator().items().send();
    let all: Vec<String> = pages.collect::<Result<_, _>>().await.unwrap();
    assert_eq!(all, [stack.url("events"), url.clone(), stack.url("sends-dlq")]);

    stack.client.delete_queue().queue_url(&url).send().await.unwrap();
    let gone = stack.client.delete_queue().queue_url(&url).send().await;
    assert!(gone.unwrap_err().into_service_error().is_queue_does_not_exist());
    let early = stack.client.create_queue().queue_name("sends").send().await;
    assert!(early.unwrap_err().into_service_error().is_queue_deleted_recently());
    stack.pass(60);
    stack.queue("sends", []).await;
    stack.stop().await;
}

#[tokio::test]
async fn queue_names_and_fifo_queues_are_refused_by_name() {
    let stack = Stack::stepped().await;
    for name in ["", "with space", "dot.ted", &"n".repeat(81)] {
        let refused = stack.client.create_queue().queue_name(name).send().await;
        let expected = if name.is_empty() { "MissingParameter" } else { "InvalidParameterValue" };
        assert_eq!(code(refused), expected, "{name:?}");
    }
    let fifo = stack.client.create_queue().queue_name("sends.fifo").send().await;
    assert!(fifo.unwrap_err().into_service_error().is_unsupported_operation());
    let fifo = stack.client.create_queue().queue_name("sends");
    let fifo = fifo.attributes(Attribute::FifoQueue, "true").send().await;
    assert!(fifo.unwrap_err().into_service_error().is_unsupported_operation());
    stack.queue(&"n".repeat(80), []).await;
    stack.stop().await;
}

#[tokio::test]
async fn attributes_are_set_and_read() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", [(Attribute::DelaySeconds, "5")]).await;
    stack.pass(10);
    let set = stack.client.set_queue_attributes().queue_url(&url);
    set.attributes(Attribute::MessageRetentionPeriod, "60").send().await.unwrap();
    stack.send(&url, "m").await;

    let all = stack.client.get_queue_attributes().queue_url(&url);
    let all = all.attribute_names(Attribute::All).send().await.unwrap().attributes.unwrap();
    let expected = HashMap::from([
        (Attribute::ApproximateNumberOfMessages, "0"),
        (Attribute::ApproximateNumberOfMessagesDelayed, "1"),
        (Attribute::ApproximateNumberOfMessagesNotVisible, "0"),
        (Attribute::CreatedTimestamp, "1800000000"),
        (Attribute::DelaySeconds, "5"),
        (Attribute::LastModifiedTimestamp, "1800000010"),
        (Attribute::MaximumMessageSize, "1048576"),
        (Attribute::MessageRetentionPeriod, "60"),
        (Attribute::QueueArn, "arn:aws:sqs:us-east-1:000000000000:q"),
        (Attribute::ReceiveMessageWaitTimeSeconds, "0"),
        (Attribute::SqsManagedSseEnabled, "true"),
        (Attribute::VisibilityTimeout, "30"),
    ]);
    assert_eq!(all, expected.into_iter().map(|(name, value)| (name, value.to_owned())).collect());
    assert_eq!(stack.attribute(&url, Attribute::RedrivePolicy).await, None);

    let unknown = stack.client.get_queue_attributes().queue_url(&url);
    let unknown = unknown.attribute_names(Attribute::from("Nope")).send().await;
    assert!(unknown.unwrap_err().into_service_error().is_invalid_attribute_name());
    let read_only = stack.client.set_queue_attributes().queue_url(&url);
    let read_only = read_only.attributes(Attribute::QueueArn, "x").send().await;
    assert!(read_only.unwrap_err().into_service_error().is_invalid_attribute_name());
    let too_long = stack.client.set_queue_attributes().queue_url(&url);
    let too_long = too_long.attributes(Attribute::DelaySeconds, "901").send().await;
    assert!(too_long.unwrap_err().into_service_error().is_invalid_attribute_value());

    stack.pass(60);
    assert_eq!(stack.counts("q"), (0, 0, 0), "past the retention");
    stack.stop().await;
}

/// In a Lambda function the SDK names the trace in a header, and Lambda finds it in the messages.
#[tokio::test]
async fn a_message_without_a_trace_of_its_own_joins_that_of_its_request() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", []).await;
    let sent = stack.client.send_message().queue_url(&url).message_body("hello").customize();
    let sent = sent.mutate_request(|request| {
        request.headers_mut().insert("x-amzn-trace-id", "Root=1-0-0;Lineage=a:1");
    });
    assert_eq!(sent.send().await.unwrap().md5_of_message_system_attributes(), None);
    let received = stack.receive(&url).await.remove(0);
    let attributes = received.attributes().unwrap();
    assert_eq!(attributes[&System::AwsTraceHeader], "Root=1-0-0;Lineage=a:1");
}

#[tokio::test]
async fn a_message_arrives_with_what_was_asked_for() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", []).await;
    let binary = MessageAttributeValue::builder().data_type("Binary.raw");
    let binary = binary.binary_value(Blob::new([0, 255])).build().unwrap();
    let trace = MessageSystemAttributeValue::builder().data_type("String");
    let trace = trace.string_value("Root=1-5759e988-bd862e3fe1be46a994272793").build().unwrap();
    let trace_name = MessageSystemAttributeNameForSends::AwsTraceHeader;
    let sent = stack.client.send_message().queue_url(&url).message_body("hello");
    let sent = sent.message_group_id("17841400000000000");
    let sent = sent.message_attributes("kind", text("reply")).message_attributes("raw", binary);
    let sent = sent.message_system_attributes(trace_name, trace).send().await.unwrap();
    assert_eq!(sent.md5_of_message_body(), Some("5d41402abc4b2a76b9719d911017c592"));
    assert!(sent.md5_of_message_attributes().is_some());
    assert!(sent.md5_of_message_system_attributes().is_some());

    stack.pass(3);
    let received = stack.receive(&url).await.remove(0);
    assert_eq!(received.message_id(), sent.message_id());
    assert_eq!(received.md5_of_body(), sent.md5_of_message_body());
    assert_eq!(received.md5_of_message_attributes(), sent.md5_of_message_attributes());
    let attributes = received.message_attributes.unwrap();
    assert_eq!(attributes["kind"].string_value(), Some("reply"));
    assert_eq!(attributes["raw"].binary_value(), Some(&Blob::new([0, 255])));
    let system: BTreeMap<String, String> = received
        .attributes
        .unwrap()
        .into_iter()
        .map(|(name, value)| (name.to_string(), value))
        .collect();
    let expected = [
        ("AWSTraceHeader", "Root=1-5759e988-bd862e3fe1be46a994272793"),
        ("ApproximateFirstReceiveTimestamp", "1800000003000"),
        ("ApproximateReceiveCount", "1"),
        ("MessageGroupId", "17841400000000000"),
        ("SenderId", "000000000000"),
        ("SentTimestamp", "1800000000000"),
    ];
    assert_eq!(system, expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into());

    stack.pass(30);
    let plain = stack.client.receive_message().queue_url(&url).send().await.unwrap();
    let plain = &plain.messages()[0];
    assert!(plain.attributes.is_none() && plain.message_attributes.is_none());
    assert!(plain.md5_of_message_attributes().is_none());
    stack.pass(30);
    let some = stack.client.receive_message().queue_url(&url).message_attribute_names("ki.*");
    #[expect(deprecated, reason = "older clients still use the first name of this field")]
    let some = some.attribute_names(Attribute::from("ApproximateReceiveCount"));
    let some = some.send().await.unwrap();
    let some = &some.messages()[0];
    assert_eq!(some.message_attributes().unwrap().keys().collect::<Vec<_>>(), ["kind"]);
    assert_eq!(some.attributes().unwrap()[&System::ApproximateReceiveCount], "3");
    assert_eq!(some.attributes().unwrap().len(), 1);
    stack.stop().await;
}

#[tokio::test]
async fn sends_are_checked() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", [(Attribute::MaximumMessageSize, "1024")]).await;
    let send = |body: String| stack.client.send_message().queue_url(&url).message_body(body);

    let contents = send("\u{0}".to_owned()).send().await.unwrap_err().into_service_error();
    assert!(contents.is_invalid_message_contents());
    assert_eq!(code(send(String::new()).send().await), "MissingParameter");
    assert_eq!(code(send("x".repeat(1025)).send().await), "InvalidParameterValue");
    let with_attribute = send("x".repeat(1016)).message_attributes("n", text("vv"));
    assert_eq!(code(with_attribute.send().await), "InvalidParameterValue", "1 + 6 + 2 more");
    for delay in [-1, 901] {
        assert_eq!(
            code(send("m".into()).delay_seconds(delay).send().await),
            "InvalidParameterValue"
        );
    }
    let group = send("m".to_owned()).message_group_id("a b").send().await;
    assert_eq!(code(group), "InvalidParameterValue");
    let fifo = send("m".to_owned()).message_deduplication_id("d").send().await;
    assert_eq!(code(fifo), "InvalidParameterValue");
    let elsewhere = stack.client.send_message().queue_url(stack.url("nope")).message_body("m");
    let elsewhere = elsewhere.send().await.unwrap_err().into_service_error();
    assert!(elsewhere.is_queue_does_not_exist());
    assert_eq!(stack.counts("q"), (0, 0, 0), "what is refused has no effect");

    send("x".repeat(1024)).send().await.unwrap();
    send("m".to_owned()).delay_seconds(900).send().await.unwrap();
    assert_eq!(stack.counts("q"), (1, 0, 1));

    let large = stack.queue("large", []).await;
    let send = |body: String| stack.client.send_message().queue_url(&large).message_body(body);
    // Escaped on the wire, twice as long.
    send("\"".repeat(1_048_576)).send().await.unwrap();
    assert_eq!(code(send("x".repeat(1_048_577)).send().await), "InvalidParameterValue");
    stack.stop().await;
}

#[tokio::test]
async fn batches_fail_as_a_whole_or_by_the_entry() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", []).await;
    let send = |entries: Vec<SendEntry>| {
        stack.client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send()
    };
    let whole = |result: Result<_, SdkError<_, _>>| {
        result.map(drop).map_err(SdkError::into_service_error).unwrap_err()
    };
    assert!(whole(send(vec![]).await).is_empty_batch_request());
    let eleven = (0..11).map(|number| send_entry(&number.to_string(), "m")).collect();
    assert!(whole(send(eleven).await).is_too_many_entries_in_batch_request());
    let twins = vec![send_entry("a", "m"), send_entry("a", "m")];
    assert!(whole(send(twins).await).is_batch_entry_ids_not_distinct());
    let odd = vec![send_entry("a b", "m")];
    assert!(whole(send(odd).await).is_invalid_batch_entry_id());
    let half = "x".repeat(524_288);
    let large = vec![send_entry("a", &half), send_entry("b", &half), send_entry("c", "x")];
    assert!(whole(send(large).await).is_batch_request_too_long());
    assert_eq!(stack.counts("q"), (0, 0, 0));

    let late = SendEntry::builder().id("late").message_body("m").delay_seconds(901);
    let mixed = vec![send_entry("good", "m"), send_entry("bad", "\u{1}"), late.build().unwrap()];
    let mixed = send(mixed).await.unwrap();
    assert_eq!(mixed.successful()[0].id(), "good");
    let failed: Vec<_> =
        mixed.failed().iter().map(|f| (f.id(), f.code(), f.sender_fault())).collect();
    let expected =
        [("bad", "InvalidMessageContents", true), ("late", "InvalidParameterValue", true)];
    assert_eq!(failed, expected);

    let handle = stack.receive(&url).await.remove(0).receipt_handle.unwrap();
    let change = |id: &str, handle: &str, timeout| {
        let entry = ChangeEntry::builder().id(id).receipt_handle(handle);
        entry.visibility_timeout(timeout).build().unwrap()
    };
    let changed = stack.client.change_message_visibility_batch().queue_url(&url);
    let changed = changed.entries(change("a", &handle, 5)).entries(change("b", "x", 5));
    let changed = changed.entries(change("c", &handle, 43_201)).send().await.unwrap();
    assert_eq!(changed.successful()[0].id(), "a");
    let codes: Vec<_> = changed.failed().iter().map(|f| (f.id(), f.code())).collect();
    assert_eq!(codes, [("b", "ReceiptHandleIsInvalid"), ("c", "InvalidParameterValue")]);

    let delete = |id: &str, handle: &str| {
        DeleteEntry::builder().id(id).receipt_handle(handle).build().unwrap()
    };
    let deleted = stack.client.delete_message_batch().queue_url(&url);
    let deleted = deleted.entries(delete("a", &handle)).entries(delete("b", "x")).send().await;
    let deleted = deleted.unwrap();
    assert_eq!(deleted.successful()[0].id(), "a");
    assert_eq!(
        (deleted.failed()[0].id(), deleted.failed()[0].code()),
        ("b", "ReceiptHandleIsInvalid")
    );
    assert_eq!(stack.counts("q"), (0, 0, 0));
    stack.stop().await;
}

#[tokio::test]
async fn receives_are_checked_and_visibility_changes() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", []).await;
    let receive = || stack.client.receive_message().queue_url(&url);
    for max in [0, 11] {
        let refused = receive().max_number_of_messages(max).send().await;
        assert_eq!(code(refused), "InvalidParameterValue");
    }
    assert_eq!(code(receive().wait_time_seconds(21).send().await), "InvalidParameterValue");
    assert_eq!(code(receive().visibility_timeout(43_201).send().await), "InvalidParameterValue");
    let unknown = receive().message_system_attribute_names(System::from("Nope")).send().await;
    assert_eq!(code(unknown), "InvalidAttributeName");

    stack.send(&url, "m").await;
    let received = receive().visibility_timeout(100).send().await.unwrap();
    let handle = received.messages()[0].receipt_handle().unwrap();
    let change = |handle: &str, timeout| {
        let call = stack.client.change_message_visibility().queue_url(&url);
        call.receipt_handle(handle).visibility_timeout(timeout).send()
    };
    change(handle, 50).await.unwrap();
    assert_eq!(stack.sqs.next_visible("q"), Some(Timestamp::from_millis(START_MILLIS + 50_000)));
    assert_eq!(code(change(handle, 43_201).await), "InvalidParameterValue");
    let foreign = change("foreign", 1).await.unwrap_err().into_service_error();
    assert!(foreign.is_receipt_handle_is_invalid());
    change(handle, 0).await.unwrap();
    assert_eq!(stack.counts("q"), (1, 0, 0));
    let visible = change(handle, 5).await.unwrap_err().into_service_error();
    assert!(visible.is_message_not_inflight());

    let delete =
        |handle: &str| stack.client.delete_message().queue_url(&url).receipt_handle(handle).send();
    let foreign = delete("foreign").await.unwrap_err().into_service_error();
    assert!(foreign.is_receipt_handle_is_invalid());
    let latest = stack.receive(&url).await.remove(0).receipt_handle.unwrap();
    delete(handle).await.unwrap();
    assert_eq!(stack.counts("q"), (0, 1, 0), "an old handle deletes nothing");
    delete(&latest).await.unwrap();
    delete(&latest).await.unwrap();
    assert_eq!(stack.counts("q"), (0, 0, 0));
    stack.stop().await;
}

#[tokio::test]
async fn purge_empties_once_a_minute() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", []).await;
    stack.send(&url, "m").await;
    stack.client.purge_queue().queue_url(&url).send().await.unwrap();
    assert_eq!(stack.counts("q"), (0, 0, 0));
    let again = stack.client.purge_queue().queue_url(&url).send().await;
    assert!(again.unwrap_err().into_service_error().is_purge_queue_in_progress());
    stack.pass(60);
    stack.client.purge_queue().queue_url(&url).send().await.unwrap();
    stack.stop().await;
}

/// Two queues; messages of `q` go to `dlq` after two receives.
async fn with_dead_letters() -> (Stack, String, String) {
    let stack = Stack::stepped().await;
    let dlq = stack.queue("dlq", []).await;
    let policy = redrive_policy("dlq", NonZeroU32::new(2).unwrap());
    let q = stack.queue("q", [(Attribute::RedrivePolicy, policy.as_str())]).await;
    (stack, q, dlq)
}

#[tokio::test]
async fn a_message_received_too_often_is_redriven() {
    let (stack, q, dlq) = with_dead_letters().await;
    let policy = stack.attribute(&q, Attribute::RedrivePolicy).await.unwrap();
    assert_eq!(policy, redrive_policy("dlq", NonZeroU32::new(2).unwrap()));
    let sources = stack.client.list_dead_letter_source_queues().queue_url(&dlq).send().await;
    assert_eq!(sources.unwrap().queue_urls(), std::slice::from_ref(&q));

    stack.send(&q, "poison").await;
    let id = stack.receive(&q).await[0].message_id.clone();
    stack.pass(30);
    assert_eq!(stack.receive(&q).await.len(), 1);
    stack.pass(30);
    assert!(stack.receive(&q).await.is_empty());
    assert_eq!((stack.counts("q"), stack.counts("dlq")), ((0, 0, 0), (1, 0, 0)));
    let dead = stack.receive(&dlq).await.remove(0);
    assert_eq!(dead.message_id, id);
    let attributes = dead.attributes.unwrap();
    assert_eq!(attributes[&System::DeadLetterQueueSourceArn], queue_arn("q"));
    assert_eq!(attributes[&System::SentTimestamp], START_MILLIS.to_string());

    // Without its dead-letter queue, messages are handed out for ever.
    stack.client.delete_queue().queue_url(&dlq).send().await.unwrap();
    stack.send(&q, "again").await;
    for _ in 0..4 {
        assert_eq!(bodies(&stack.receive(&q).await), ["again"]);
        stack.pass(30);
    }
    stack.stop().await;
}

#[tokio::test]
async fn redrive_policies_name_a_queue_that_takes_them() {
    let (stack, q, dlq) = with_dead_letters().await;
    let set = |url: &str, name, policy: &str| {
        let call = stack.client.set_queue_attributes().queue_url(url);
        call.attributes(name, policy).send()
    };
    let three = NonZeroU32::new(3).unwrap();
    for refused in [redrive_policy("nope", three), redrive_policy("q", three), "{}".to_owned()] {
        let refused = set(&q, Attribute::RedrivePolicy, &refused).await;
        assert_eq!(code(refused), "InvalidParameterValue");
    }
    let only = |name| {
        let arn = queue_arn(name);
        format!(r#"{{"redrivePermission":"byQueue","sourceQueueArns":["{arn}"]}}"#)
    };
    set(&dlq, Attribute::RedriveAllowPolicy, &only("other")).await.unwrap();
    let refused = set(&q, Attribute::RedrivePolicy, &redrive_policy("dlq", three)).await;
    assert_eq!(code(refused), "InvalidParameterValue");
    set(&dlq, Attribute::RedriveAllowPolicy, &only("q")).await.unwrap();
    set(&q, Attribute::RedrivePolicy, &redrive_policy("dlq", three)).await.unwrap();
    set(&q, Attribute::RedrivePolicy, "").await.unwrap();
    assert_eq!(stack.attribute(&q, Attribute::RedrivePolicy).await, None);
    stack.stop().await;
}

#[tokio::test]
async fn dead_letters_move_back() {
    let (stack, q, dlq) = with_dead_letters().await;
    stack.send(&q, "poison").await;
    for _ in 0..3 {
        stack.receive(&q).await;
        stack.pass(30);
    }
    assert_eq!(stack.counts("dlq"), (1, 0, 0));
    let start = |source: String| stack.client.start_message_move_task().source_arn(source);
    let not_dead = start(queue_arn("q")).send().await;
    assert_eq!(code(not_dead), "InvalidParameterValue");
    let missing = start(queue_arn("nope")).send().await.unwrap_err().into_service_error();
    assert!(missing.is_resource_not_found_exception());
    let nowhere = start(queue_arn("dlq")).destination_arn(queue_arn("nope")).send().await;
    assert!(nowhere.unwrap_err().into_service_error().is_resource_not_found_exception());

    let started = start(queue_arn("dlq")).max_number_of_messages_per_second(50).send().await;
    let handle = started.unwrap().task_handle.unwrap();
    assert_eq!((stack.counts("q"), stack.counts("dlq")), ((1, 0, 0), (0, 0, 0)));
    let back = stack.receive(&q).await.remove(0).attributes.unwrap();
    assert_eq!(back[&System::ApproximateReceiveCount], "1");
    assert_eq!(back[&System::SentTimestamp], (START_MILLIS + 90_000).to_string());

    // Sent straight to the dead-letter queue, it has nowhere to go back to.
    stack.send(&dlq, "stray").await;
    start(queue_arn("dlq")).send().await.unwrap();
    assert_eq!(stack.counts("dlq"), (1, 0, 0));
    start(queue_arn("dlq")).destination_arn(queue_arn("q")).send().await.unwrap();
    assert_eq!(stack.counts("dlq"), (0, 0, 0));

    let tasks = stack.client.list_message_move_tasks().source_arn(queue_arn("dlq"));
    let tasks = tasks.max_results(10).send().await.unwrap();
    let seen: Vec<_> = tasks
        .results()
        .iter()
        .map(|task| (task.status().unwrap(), task.approximate_number_of_messages_moved()))
        .collect();
    assert_eq!(seen, [("COMPLETED", 1), ("FAILED", 0), ("COMPLETED", 1)]);
    assert_eq!(tasks.results()[1].failure_reason(), Some("CouldNotDetermineMessageSource"));
    assert_eq!(tasks.results()[2].max_number_of_messages_per_second(), Some(50));

    let cancel = |handle: &str| stack.client.cancel_message_move_task().task_handle(handle).send();
    let over = cancel(&handle).await.unwrap_err().into_service_error();
    assert!(over.is_unsupported_operation());
    let unknown = cancel("nope").await.unwrap_err().into_service_error();
    assert!(unknown.is_resource_not_found_exception());
    stack.stop().await;
}

#[tokio::test]
async fn groups_take_turns() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", []).await;
    let entry = |id: &str, group: &str| {
        let entry = SendEntry::builder().id(id).message_body(id);
        entry.message_group_id(group).build().unwrap()
    };
    let batch = stack.client.send_message_batch().queue_url(&url);
    let batch = batch.entries(entry("noisy-0", "noisy")).entries(entry("noisy-1", "noisy"));
    let batch = batch.entries(entry("noisy-2", "noisy")).entries(entry("quiet-0", "quiet"));
    batch.send().await.unwrap();
    let received = stack.receive(&url).await;
    assert_eq!(bodies(&received), ["noisy-0", "quiet-0", "noisy-1", "noisy-2"]);
    stack.stop().await;
}

#[tokio::test]
async fn on_a_stepped_clock_no_receive_waits() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", [(Attribute::ReceiveMessageWaitTimeSeconds, "20")]).await;
    let call = stack.client.send_message().queue_url(&url).message_body("m").delay_seconds(10);
    call.send().await.unwrap();
    // It would hang here: no one steps the clock.
    assert!(stack.receive(&url).await.is_empty());
    stack.pass(10);
    assert_eq!(bodies(&stack.receive(&url).await), ["m"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_long_poll_ends_with_a_send_with_a_delay_and_with_its_time() {
    let stack = Stack::real().await;
    let url = stack.queue("q", []).await;
    let clock = SystemClock::new();
    let poll = |wait| stack.client.receive_message().queue_url(&url).wait_time_seconds(wait).send();

    let sender = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stack.sqs.send("q", NewMessage::new("sent")).unwrap();
    };
    let (received, ()) = tokio::join!(poll(20), sender);
    assert_eq!(bodies(received.unwrap().messages()), ["sent"]);
    assert!(clock.monotonic() < Duration::from_secs(5), "woken by the send");

    let clock = SystemClock::new();
    let delayed = NewMessage::new("delayed").delayed(Duration::from_secs(1));
    stack.sqs.send("q", delayed).unwrap();
    assert_eq!(bodies(poll(20).await.unwrap().messages()), ["delayed"]);
    let waited = clock.monotonic();
    assert!(waited > Duration::from_millis(900) && waited < Duration::from_secs(5), "{waited:?}");

    let clock = SystemClock::new();
    assert!(poll(1).await.unwrap().messages().is_empty());
    let waited = clock.monotonic();
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(5), "{waited:?}");
    stack.stop().await;
}

#[tokio::test]
async fn shutdown_ends_long_polls() {
    let stack = Stack::real().await;
    let url = stack.queue("q", []).await;
    let clock = SystemClock::new();
    let call = stack.client.receive_message().queue_url(&url).wait_time_seconds(20);
    let poll = tokio::spawn(call.send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    stack.stop().await;
    assert!(poll.await.unwrap().unwrap().messages().is_empty());
    assert!(clock.monotonic() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_stack_is_woken_when_something_is_sent() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", []).await;
    let woken = Arc::new(Mutex::new(None));
    let waiter = async {
        let arrival = stack.sqs.arrivals().notified();
        assert_eq!(stack.sqs.next_visible("q"), None);
        arrival.await;
        *woken.lock().unwrap() = stack.sqs.next_visible("q");
    };
    tokio::join!(waiter, stack.send(&url, "m"));
    assert_eq!(*woken.lock().unwrap(), Some(Timestamp::from_millis(START_MILLIS)));
    assert_eq!((stack.sqs.next_visible("nope"), stack.sqs.counts("nope")), (None, None));
    stack.stop().await;
}

#[tokio::test]
async fn faults_before_the_effect_leave_nothing_behind() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", []).await;
    let send = || stack.client.send_message().queue_url(&url).message_body("m").send();
    stack.sqs.fail_next(Fault::Unavailable, 1);
    assert_eq!(code(send().await), "ServiceUnavailable");
    stack.sqs.fail_next_of(Operation::SendMessage, Fault::Internal, 2);
    assert!(stack.receive(&url).await.is_empty(), "another operation is not struck");
    assert_eq!(code(send().await), "InternalFailure");
    stack.sqs.clear_faults();
    assert_eq!(stack.counts("q"), (0, 0, 0));
    send().await.unwrap();

    stack.sqs.fail_next(Fault::Unavailable, 1);
    let retrying = client(&stack.base, RetryConfig::standard());
    retrying.send_message().queue_url(&url).message_body("m").send().await.unwrap();
    assert_eq!(stack.counts("q"), (2, 0, 0), "the client retries what was unavailable");
    stack.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_a_send_that_happened() {
    let stack = Stack::stepped().await;
    let url = stack.queue("q", []).await;
    stack.sqs.fail_next(Fault::LostAnswer, 1);
    let lost = stack.client.send_message().queue_url(&url).message_body("m").send().await;
    let lost = lost.unwrap_err();
    assert!(matches!(lost, SdkError::DispatchFailure(_)), "{lost:?}");
    assert_eq!(stack.counts("q"), (1, 0, 0));

    stack.sqs.fail_next(Fault::LostAnswer, 1);
    let retrying = client(&stack.base, RetryConfig::standard());
    retrying.send_message().queue_url(&url).message_body("m").send().await.unwrap();
    assert_eq!(stack.counts("q"), (3, 0, 0), "a retry after a lost answer sends twice");
    stack.stop().await;
}

#[tokio::test]
async fn the_same_seed_and_calls_give_the_same_ids() {
    let run = || async {
        let stack = Stack::stepped().await;
        let url = stack.queue("q", []).await;
        stack.send(&url, "m").await;
        let message = stack.receive(&url).await.remove(0);
        stack.stop().await;
        (message.message_id, message.receipt_handle)
    };
    assert_eq!(run().await, run().await);
}

#[tokio::test]
async fn what_is_not_the_protocol_is_refused() {
    let stack = Stack::stepped().await;
    let post = |target: &str, body: &'static str| {
        let request = spillway_meta::http::client().build().unwrap().post(&stack.base);
        request.header("x-amz-target", target).body(body).send()
    };
    let unknown = post("AmazonSQS.Nope", "{}").await.unwrap();
    assert_eq!(unknown.status(), 400);
    assert_eq!(unknown.headers()["x-amzn-query-error"], "InvalidAction;Sender");
    let form = post("", "Action=ListQueues").await.unwrap();
    assert_eq!(form.status(), 400);
    let broken = post("AmazonSQS.ListQueues", "{").await.unwrap();
    assert_eq!(broken.headers()["content-type"], "application/x-amz-json-1.0");
    let broken = broken.text().await.unwrap();
    assert!(
        broken.starts_with(r#"{"__type":"com.amazonaws.sqs#SerializationException""#),
        "{broken}"
    );
    let missing = post("AmazonSQS.PurgeQueue", "{}").await.unwrap();
    assert_eq!(missing.headers()["x-amzn-query-error"], "MissingParameter;Sender");
    stack.stop().await;
}
