//! The functions as `sam build` makes them, in processes of their own, over DynamoDB Local and
//! MiniStack's SQS, KMS and Secrets Manager: from a signed webhook to the DMs, with processes
//! killed where it hurts most.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use spillway_cloud::config::{Config, GRAPH_VERSION};
use spillway_cloud::dynamo::{DynamoAccounts, Table};
use spillway_cloud::schema;
use spillway_cloud::secrets::{Secrets, process_number};
use spillway_cloud::token::Kms;
use spillway_cloud::wiring::Wiring;
use spillway_core::id::{AccountId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::unknown::RetryUnknown;
use spillway_graph::{Comment, GraphConfig, GraphSim, Surface};
use spillway_local::lambda::{
    RELEASE_BATCH, RELEASE_TIMEOUT, SENDER_BATCH, WEBHOOK_TIMEOUT, function_url_event, sqs_event,
};
use spillway_local::setup::{QuotaOptions, load_accounts};
use spillway_meta::signature::sign;
use spillway_service::clock::{Clock, SystemClock};
use spillway_service::ingest::EntryKeys;
use spillway_service::misses::MissSamples;
use spillway_service::port::{AccountChanges, Entry, Read};
use tokio::net::TcpListener;

use crate::adapters::{Clients, create_queue, take};
use crate::gate::{Gate, Then};
use crate::lambda::Function;
use crate::{BUILT, DYNAMODB_URL, MINISTACK_URL, given};

const ACCOUNT: &str = "17841400000000001";
const VERIFY_TOKEN: &str = "a verify token";

/// Shorter than in `template.yaml`, so that what died is soon over; no call begins with less than
/// eleven seconds left.
const SENDER_TIMEOUT: Duration = Duration::from_secs(15);
/// The same of its queue.
const VISIBILITY_SECS: &str = "2";

/// A deployment on this machine, with the Lambda service's part played by hand.
struct Deployment {
    webhook: Function,
    sender: Function,
    release: Function,
    /// What the functions reach DynamoDB through.
    gate: Gate,
    graph: GraphSim,
    /// The ports, from outside.
    outside: Wiring,
    sqs: aws_sdk_sqs::Client,
    config: Config,
    secrets: Secrets,
    /// Bodies that the sender was given.
    seen: Vec<String>,
}

impl Deployment {
    async fn start() -> Self {
        let (dynamodb_url, ministack_url) = (given(DYNAMODB_URL), given(MINISTACK_URL));
        let clients = Clients::new(&dynamodb_url, &ministack_url);
        let process = process_number().unwrap();
        let name = |what: &str| format!("built-{process:016x}-{what}");
        let (sends, state) = (name("sends"), name("state"));
        schema::create_tables(&clients.dynamo, &sends, &state).await.unwrap();
        let queue = async |what: &str, attributes: &[(QueueAttributeName, &str)]| {
            create_queue(&clients.sqs, &name(what), attributes).await
        };
        let dead_letter_queue_url = queue("dead-letters", &[]).await;
        let redrive = json!({
            "deadLetterTargetArn": arn(&clients.sqs, &dead_letter_queue_url).await,
            "maxReceiveCount": 10,
        });
        let visibility = (QueueAttributeName::VisibilityTimeout, VISIBILITY_SECS);
        let redrive = redrive.to_string();
        let redrive = (QueueAttributeName::RedrivePolicy, redrive.as_str());
        let send_queue_url = queue("send", &[visibility.clone(), redrive]).await;
        let release_queue_url = queue("release", &[visibility]).await;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let rate = |text: &str| text.parse().unwrap();
        let quotas = QuotaOptions {
            calls: rate("100/10s"),
            replies: rate("100000/1h"),
            recipients: rate("1000/24h"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let graph = GraphConfig { limits: quotas.limits(), ..GraphConfig::default() };
        let graph = GraphSim::new(graph, clock.clone());
        tokio::spawn(spillway_graph::serve(graph.clone(), listener, pending()));

        let secret = json!({ "app_secrets": ["an app secret"], "verify_tokens": VERIFY_TOKEN });
        let secret = secret.to_string();
        let secrets = Secrets::parse(&SecretString::from(secret.as_str())).unwrap();
        let stored = clients.secrets.create_secret().name(name("secret")).secret_string(secret);
        let stored = stored.send().await.unwrap();
        let kms_key = clients.kms.create_key().send().await.unwrap();
        let kms_key = kms_key.key_metadata.unwrap().arn.unwrap();

        let config = Config {
            sends_table: sends,
            state_table: state,
            send_queue_url,
            dead_letter_queue_url,
            release_queue_url,
            secret_id: stored.arn.unwrap(),
            kms_key: kms_key.clone(),
            stack: "built".into(),
            entry_keys: EntryKeys::default(),
            retry_unknown: RetryUnknown::default(),
            miss_samples: MissSamples::default(),
            link_url: None,
            link_secret_id: None,
            lead_bus: None,
            graph: spillway_meta::graph::GraphConfig { base_url, version: GRAPH_VERSION.into() },
        };
        let account = load_accounts(None, &quotas).unwrap().remove(0);
        let token = SecretString::from("IGAtoken");
        graph.add_account(account.id.clone(), token.expose_secret());
        let Clients { dynamo, sqs, kms, .. } = clients;
        let kms = Arc::new(Kms { client: kms, key: kms_key });
        let outside = Wiring::new(&config, kms, &dynamo, &sqs, clock, process).unwrap();
        let token = outside.keys.seal(&account.id, &token).await.unwrap();
        let accounts = DynamoAccounts { table: Table::new(&dynamo, &config.state_table) };
        accounts.connect(&account.id, &account.rules, &token, &account.campaigns).await.unwrap();

        let gate = Gate::open(&dynamodb_url).await;
        let variables = [
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", gate.url.clone()),
            ("AWS_ENDPOINT_URL_SQS", ministack_url.clone()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", ministack_url.clone()),
            ("AWS_ENDPOINT_URL_KMS", ministack_url),
            ("SPILLWAY_SENDS_TABLE", config.sends_table.clone()),
            ("SPILLWAY_STATE_TABLE", config.state_table.clone()),
            ("SPILLWAY_SEND_QUEUE_URL", config.send_queue_url.clone()),
            ("SPILLWAY_DEAD_LETTER_QUEUE_URL", config.dead_letter_queue_url.clone()),
            ("SPILLWAY_RELEASE_QUEUE_URL", config.release_queue_url.clone()),
            ("SPILLWAY_SECRET_ID", config.secret_id.clone()),
            ("SPILLWAY_KMS_KEY", config.kms_key.clone()),
            ("SPILLWAY_STACK", config.stack.clone()),
            ("SPILLWAY_GRAPH_URL", config.graph.base_url.clone()),
            ("SPILLWAY_GRAPH_VERSION", config.graph.version.clone()),
            ("RUST_LOG", "info".to_owned()),
        ];
        let built = given(BUILT);
        // Cargo runs tests in their package's folder.
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(built);
        let function = |name: &'static str| {
            Function::new(name, built.join(name).join("bootstrap"), &variables)
        };
        Self {
            webhook: function("WebhookFunction"),
            sender: function("SenderFunction"),
            release: function("ReleaseFunction"),
            gate,
            graph,
            outside,
            sqs,
            config,
            secrets,
            seen: Vec::new(),
        }
    }

    /// Makes a request of the function URL: its status and body.
    async fn request(
        &mut self,
        method: Method,
        uri: &str,
        body: &[u8],
        signature: &str,
    ) -> (u64, String) {
        let mut headers = HeaderMap::new();
        headers.insert("x-hub-signature-256", HeaderValue::from_str(signature).unwrap());
        let uri: Uri = uri.parse().unwrap();
        let now = self.outside.clock.now();
        let event = function_url_event(&method, &uri, &headers, body, now);
        let answer = self.webhook.invoke(event, WEBHOOK_TIMEOUT).await;
        let body = answer["body"].as_str().unwrap_or_default().to_owned();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    /// Meta tells of these comments.
    async fn post(&mut self, comments: &[u32]) {
        let now = self.outside.clock.now();
        for &n in comments {
            self.graph.observe_comment(Comment {
                id: comment(n),
                account: ACCOUNT.into(),
                media: "17900000000000001".into(),
                author: author(n),
                created_at: now,
                surface: Surface::Post,
            });
        }
        let change = |n: &u32| {
            json!({ "field": "comments", "value": {
                "id": comment(*n),
                "from": { "id": author(*n).as_str(), "username": format!("viewer.{n}") },
                "media": { "id": "17900000000000001" },
                "text": "guide please",
            }})
        };
        let changes: Vec<Value> = comments.iter().map(change).collect();
        let entry = json!({ "id": ACCOUNT, "time": now.as_secs(), "changes": changes });
        let body = json!({ "object": "instagram", "entry": [entry] }).to_string();
        let signature = sign(&self.secrets.app_secrets[0], body.as_bytes());
        let answer = self.request(Method::POST, "/", body.as_bytes(), &signature).await;
        assert_eq!(answer, (200, "ok".to_owned()));
    }

    /// Takes a batch from a queue, as an event source mapping does; `None` when nothing is there.
    async fn receive(&mut self, url: &str, most: i32) -> Option<Vec<aws_sdk_sqs::types::Message>> {
        let receive = self.sqs.receive_message().queue_url(url).max_number_of_messages(most);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        receive.send().await.unwrap().messages.filter(|messages| !messages.is_empty())
    }

    /// Gives the sender a batch, and deletes what it does not name; whether there was one.
    async fn poll_sends(&mut self) -> bool {
        let url = self.config.send_queue_url.clone();
        let Some(messages) = self.receive(&url, SENDER_BATCH).await else { return false };
        self.seen.extend(messages.iter().filter_map(|message| message.body.clone()));
        let answer = self.sender.invoke(sqs_event(&messages, "send"), SENDER_TIMEOUT).await;
        self.delete(&url, messages, &answer).await;
        true
    }

    /// The same of the release function.
    async fn poll_releases(&mut self) -> bool {
        let url = self.config.release_queue_url.clone();
        let Some(messages) = self.receive(&url, RELEASE_BATCH).await else { return false };
        let answer = self.release.invoke(sqs_event(&messages, "release"), RELEASE_TIMEOUT).await;
        self.delete(&url, messages, &answer).await;
        true
    }

    async fn delete(&self, url: &str, messages: Vec<aws_sdk_sqs::types::Message>, answer: &Value) {
        let failures = answer["batchItemFailures"].as_array().expect("a partial batch response");
        for message in messages {
            let id = message.message_id.unwrap();
            if failures.iter().all(|failure| failure["itemIdentifier"] != id) {
                let handle = message.receipt_handle.unwrap();
                let delete = self.sqs.delete_message().queue_url(url).receipt_handle(handle);
                delete.send().await.unwrap();
            }
        }
    }

    /// Lets the sender work until this is so.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..400 {
            if is_so(self) {
                return;
            }
            if !self.poll_sends().await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        panic!("never: {what}");
    }

    /// Lets the sender work for so long, on whatever comes.
    async fn pass(&mut self, span: Duration) {
        let end = self.outside.clock.monotonic() + span;
        while self.outside.clock.monotonic() < end {
            if !self.poll_sends().await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// The sender is killed when it makes a request that matches.
    async fn kill_sender(&mut self, matches: fn(&str, &Value) -> bool, then: Then) {
        self.gate.wait_for(matches, then);
        let url = self.config.send_queue_url.clone();
        loop {
            let Some(messages) = self.receive(&url, SENDER_BATCH).await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let answer = self.sender.begin(sqs_event(&messages, "send"), SENDER_TIMEOUT).await;
            tokio::select! {
                () = self.gate.struck() => return self.sender.kill(),
                // Messages of earlier ones may come first.
                answer = answer => self.delete(&url, messages, &answer.unwrap().unwrap()).await,
            }
        }
    }

    /// What the schedule's minute brings.
    async fn tick(&mut self) {
        let answer = self.release.invoke(json!({ "dispatch": true }), RELEASE_TIMEOUT).await;
        assert_eq!(answer, json!({ "accounts": 1 }));
        while !self.poll_releases().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Accepted calls, by comment.
    fn dms(&self) -> BTreeMap<CommentId, u32> {
        let mut dms = BTreeMap::new();
        for call in self.graph.calls().into_iter().filter(|call| call.status == 200) {
            *dms.entry(call.comment_id.unwrap()).or_default() += 1;
        }
        dms
    }
}

fn author(n: u32) -> RecipientId {
    RecipientId::new(format!("526{n}"))
}

fn comment(n: u32) -> CommentId {
    CommentId::new(format!("1789{n:013}"))
}

async fn arn(sqs: &aws_sdk_sqs::Client, url: &str) -> String {
    let name = QueueAttributeName::QueueArn;
    let asked = sqs.get_queue_attributes().queue_url(url).attribute_names(name.clone());
    asked.send().await.unwrap().attributes.unwrap()[&name].clone()
}

/// The write that follows Meta's answer.
fn is_record(operation: &str, asked: &Value) -> bool {
    operation == "UpdateItem" && asked["ExpressionAttributeValues"][":outcome"].is_object()
}

/// The write before the call.
fn is_claim(operation: &str, asked: &Value) -> bool {
    let stage = &asked["ExpressionAttributeValues"][":stage"]["S"];
    operation == "UpdateItem" && stage == "sending"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn built_functions_send_each_dm_once_whatever_dies() {
    let mut deployment = Deployment::start().await;

    let challenge = format!(
        "/?hub.mode=subscribe&hub.verify_token={}&hub.challenge=1158201444",
        VERIFY_TOKEN.replace(' ', "%20")
    );
    let answer = deployment.request(Method::GET, &challenge, b"", "none").await;
    assert_eq!(answer, (200, "1158201444".to_owned()));
    let (status, _) = deployment.request(Method::POST, "/", b"{}", "sha256=00").await;
    assert_eq!(status, 401);

    // Six comments, told twice, and a message that nobody can read.
    deployment.post(&[1, 2, 3, 4, 5, 6]).await;
    deployment.post(&[1, 2, 3, 4, 5, 6]).await;
    let poison = deployment.sqs.send_message().queue_url(&deployment.config.send_queue_url);
    poison.message_body("hello").send().await.unwrap();
    deployment.until("six calls", |it| it.graph.calls().len() == 6).await;
    let read = |it: &Deployment| it.seen.iter().any(|body| body == "hello");
    deployment.until("the poison is received", read).await;
    let dead_letters = deployment.config.dead_letter_queue_url.clone();
    assert_eq!(take(&deployment.sqs, &dead_letters).await, ["hello"]);

    // All messages so far were dead letters too, and come back from there.
    let again: Vec<String> = std::mem::take(&mut deployment.seen);
    assert!(again.len() >= 7, "{} messages", again.len());
    for body in again.iter().filter(|body| *body != "hello") {
        let letter = deployment.sqs.send_message().queue_url(&dead_letters).message_body(body);
        letter.send().await.unwrap();
    }
    // MiniStack has no task for it.
    for body in take(&deployment.sqs, &dead_letters).await {
        let message = deployment.sqs.send_message().queue_url(&deployment.config.send_queue_url);
        message.message_body(body).send().await.unwrap();
    }
    deployment.until("they come back", |it| it.seen.len() >= again.len() - 1).await;
    assert_eq!(deployment.graph.calls().len(), 6, "a second call for a DM that was made");

    // One dies with Meta's answer in its hand, the next one after its claim.
    deployment.post(&[7]).await;
    deployment.kill_sender(is_record, Then::Stop).await;
    assert_eq!(deployment.graph.calls().len(), 7);
    deployment.post(&[8]).await;
    deployment.kill_sender(is_claim, Then::StopAfter).await;
    // Their messages come again and say nothing any more; the claims are theirs until they end.
    deployment.pass(SENDER_TIMEOUT + Duration::from_secs(4)).await;
    assert_eq!(deployment.graph.calls().len(), 7);
    let now = deployment.outside.clock.now();
    deployment.outside.backlogs.wake(&AccountId::new(ACCOUNT), now).await.unwrap();
    deployment.tick().await;
    deployment.pass(Duration::from_secs(5)).await;

    // Nobody knows of the last two whether their DMs were made: nothing is repeated without evidence.
    let made = (1..=7).map(|n| (comment(n), 1)).collect::<BTreeMap<_, _>>();
    assert_eq!(deployment.dms(), made);
    assert_eq!(deployment.graph.calls().len(), 7, "an attempt that may have arrived was repeated");
    let send = |n: u32| SendId { account: ACCOUNT.into(), key: OnceKey::person(&author(n)) };
    let sends: Vec<SendId> = (1..=8).map(send).collect();
    let entries = deployment.outside.sends.entries(&sends, Read::Consistent).await.unwrap();
    let (ended, unknown) = entries.split_at(6);
    assert!(ended.iter().all(|entry| matches!(entry, Entry::Ended(_))), "{entries:?}");
    assert!(unknown.iter().all(|entry| matches!(entry, Entry::Waiting(..))), "{entries:?}");
    assert_eq!(deployment.graph.report().violations, []);
}
