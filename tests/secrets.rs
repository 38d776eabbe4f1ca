//! Secrets: what happens while they change or cannot be had, and that none of them shows anywhere.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::Body;
use lambda_http::http::{Method, Request};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use spillway_cloud::dynamo::{DynamoAccounts, Table};
use spillway_cloud::meta::login::{Login, Payer};
use spillway_cloud::secrets::{SecretSource, SecretStore, Secrets, SecretsError};
use spillway_cloud::token::{Kms, TokenKeys};
use spillway_core::id::AccountId;
use spillway_core::upkeep::TokenLife;
use spillway_graph::{Fault, FaultKind};
use spillway_meta::signature::sign;
use spillway_service::port::{AccountChanges, Failure};
use spillway_webhook::Webhook;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use crate::harness::{CREATOR, World, all_said, body, careful, log_to, said};
use crate::loopback;

fn account() -> AccountId {
    AccountId::new(CREATOR)
}

/// A secret that is changed from outside; `None` is one that cannot be read.
#[derive(Clone, Default)]
struct Changing {
    now: Arc<Mutex<Option<Secrets>>>,
    reads: Arc<AtomicU32>,
}

impl Changing {
    fn change(&self, to: Option<(&[&str], &str)>) {
        let secret = |text: &&str| SecretString::from(*text);
        *self.now.lock().unwrap() = to.map(|(app, verify)| Secrets {
            app_secrets: app.iter().map(secret).collect(),
            verify_tokens: vec![secret(&verify)],
        });
    }
}

#[async_trait]
impl SecretSource for Changing {
    async fn read(&self) -> Result<Secrets, SecretsError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let unavailable = || SecretsError::Unavailable {
            id: "the-secret".into(),
            source: Failure::other("gone"),
        };
        self.now.lock().unwrap().clone().ok_or_else(unavailable)
    }
}

/// A webhook over a changing secret.
struct Changed {
    world: World,
    secret: Changing,
    webhook: Webhook,
}

impl Changed {
    async fn start() -> Self {
        let world = World::start(careful()).await;
        let secret = Changing::default();
        let store = SecretStore::new(Arc::new(secret.clone()), world.clock.clone(), Arc::default());
        let webhook = Webhook::new(&world.outside, store);
        Self { world, secret, webhook }
    }

    async fn post(&self, with: &str) -> u16 {
        let body = body(self.world.now().as_secs(), &[]);
        let signature = sign(&SecretString::from(with), &body);
        let request = Request::builder()
            .method(Method::POST)
            .header("x-hub-signature-256", signature)
            .body(Body::from(body))
            .unwrap();
        self.webhook.handle(request).await.status().as_u16()
    }

    async fn shake_hands(&self, with: &str) -> u16 {
        let uri = format!("/?hub.mode=subscribe&hub.verify_token={with}&hub.challenge=1");
        let request = Request::builder().uri(uri).body(Body::Empty).unwrap();
        self.webhook.handle(request).await.status().as_u16()
    }

    fn later(&self, secs: u64) {
        self.world.clock.step(Duration::from_secs(secs));
    }

    fn reads(&self) -> u32 {
        self.secret.reads.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn until_an_app_secret_is_stored_a_delivery_is_asked_for_again() {
    let it = Changed::start().await;
    assert_eq!(it.post("one").await, 503, "the secret cannot be read");
    it.secret.change(Some((&[], "sesame")));
    assert_eq!(it.shake_hands("sesame").await, 200);
    assert_eq!(it.post("one").await, 503, "no app secret");
    it.secret.change(Some((&["one"], "sesame")));
    it.later(60);
    assert_eq!(it.post("one").await, 200);
}

#[tokio::test]
async fn a_rotation_needs_no_new_process() {
    let it = Changed::start().await;
    it.secret.change(Some((&["one"], "sesame")));
    assert_eq!(it.post("one").await, 200);
    it.secret.change(Some((&["two", "one"], "tahini")));
    it.later(60);
    // What does not match has them read again, at most once a minute.
    assert_eq!((it.post("two").await, it.reads()), (200, 2));
    assert_eq!((it.post("one").await, it.shake_hands("tahini").await), (200, 200));
    it.secret.change(Some((&["two"], "tahini")));
    for _ in 0..3 {
        assert_eq!((it.post("three").await, it.shake_hands("open").await), (401, 403));
    }
    assert_eq!(it.reads(), 2, "anybody can send what does not match");
    // What still matches is believed for five minutes, and no longer.
    it.later(299);
    assert_eq!((it.post("one").await, it.reads()), (200, 2));
    it.later(1);
    assert_eq!((it.post("one").await, it.reads()), (401, 3));
}

#[tokio::test]
async fn secrets_that_cannot_be_read_again_are_gone_on_with() {
    let it = Changed::start().await;
    it.secret.change(Some((&["one"], "sesame")));
    assert_eq!(it.post("one").await, 200);
    it.secret.change(None);
    for minute in 1..=10 {
        it.later(60);
        assert_eq!((it.post("one").await, it.shake_hands("sesame").await), (200, 200));
        // From the fifth on it is asked for, once a minute.
        assert_eq!(it.reads(), if minute < 5 { 1 } else { minute - 3 });
    }
}

/// What the key is gone for is taken and waits; the use of a key that a process has costs nothing.
#[tokio::test]
async fn without_the_token_key_comments_are_taken_and_nothing_is_called() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=5);
    world.stack.keys.set_gone(true);
    world.stack.replace_process().unwrap();
    assert_eq!(world.say(&all).await, 200);
    world.pass_secs(1200).await;
    assert_eq!(world.calls(), []);
    assert_eq!(world.report().await.waiting, 5);
    world.stack.keys.set_gone(false);
    world.pass_secs(300).await;
    assert_ne!(world.calls(), []);
    world.stack.keys.set_gone(true);
    world.settle().await;
    world.over(5).await;
    world.each_got_one_dm(&all).await;
}

/// KMS, with the key `the-key`: what it encrypts is the context and the key in plain text, turned
/// around.
fn kms(asked: Arc<AtomicU32>) -> Kms {
    let address = loopback::serve(move |_, headers, body| {
        let number = asked.fetch_add(1, Ordering::SeqCst) as u8;
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["EncryptionContext"], json!({ "purpose": "account-tokens" }));
        assert_eq!(body["KeyId"], "the-key");
        let plain = [b"AAAA".repeat(10).as_slice(), &[b'A' + number % 26], b"AA="].concat();
        let plain = String::from_utf8(plain).unwrap();
        let answer = match headers["x-amz-target"].as_str() {
            "TrentService.GenerateDataKey" => {
                assert_eq!(body["KeySpec"], "AES_256");
                json!({ "KeyId": "the-key", "Plaintext": plain, "CiphertextBlob": plain })
            }
            "TrentService.Decrypt" => {
                json!({ "KeyId": "the-key", "Plaintext": body["CiphertextBlob"] })
            }
            other => panic!("{other} is not granted"),
        };
        let json = vec![("content-type", "application/x-amz-json-1.1".to_owned())];
        (200, json, answer.to_string())
    });
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(aws_sdk_kms::config::BehaviorVersion::latest())
        .http_client(spillway_cloud::http::client())
        .region(aws_sdk_kms::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_kms::config::Credentials::new("a", "a", None, None, "a"))
        .endpoint_url(format!("http://{address}"))
        .build();
    Kms { client: aws_sdk_kms::Client::from_conf(config), key: "the-key".into() }
}

#[tokio::test]
async fn a_deployment_has_one_data_key_until_it_is_replaced() {
    let world = World::start(careful()).await;
    let asked = Arc::new(AtomicU32::new(0));
    let service = Arc::new(kms(asked.clone()));
    let table = "another-state".to_owned();
    spillway_cloud::schema::create_tables(&world.stack.dynamo, "another-sends", &table)
        .await
        .unwrap();
    let keys = || TokenKeys::new(Table::new(&world.stack.dynamo, &table), service.clone());
    let (id, token) = (account(), SecretString::from("IGA-token"));

    // Two that connect the first accounts at once.
    let (one, two) = (keys(), keys());
    let (a, b) = tokio::join!(one.seal(&id, &token), two.seal(&id, &token));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!((a.key, b.key), (1, 1));

    assert_eq!(one.replace().await.unwrap(), 2);
    let c = two.seal(&id, &token).await.unwrap();
    assert_eq!(c.key, 2);

    let sender = keys();
    assert!(sender.open(&id, &a).is_err(), "a grant must not wait for a key");
    let before = asked.load(Ordering::SeqCst);
    for sealed in [&a, &b, &c, &a] {
        sender.prepare(&id, sealed).await.unwrap();
        assert_eq!(sender.open(&id, sealed).unwrap().expose_secret(), "IGA-token");
    }
    assert_eq!(asked.load(Ordering::SeqCst) - before, 2, "each key is decrypted once");
    let of_another = sender.prepare(&AccountId::new("1"), &a).await.unwrap_err();
    assert!(!of_another.is_retryable() && of_another.to_string().contains("spillway connect"));
}

/// What the process logs, for one thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn holds(bytes: &[u8], canary: &str) -> bool {
    bytes.windows(canary.len()).any(|window| window == canary.as_bytes())
}

fn bytes_of(value: &AttributeValue) -> Vec<u8> {
    match value {
        AttributeValue::B(bytes) => bytes.as_ref().to_vec(),
        other => format!("{other:?}").into_bytes(),
    }
}

/// Canaries go the ways of real secrets: connecting, handshakes and deliveries good and bad, calls
/// that work and calls that are refused. Then everything that stays is searched for them.
#[tokio::test]
async fn no_secret_shows_in_logs_errors_or_tables() {
    const TOKEN: &str = "IGAcanary-of-the-account-token";
    const CODE: &str = "AQBcanary-of-a-login";
    const DAY: u64 = 24 * 3600;
    let logged = Logged::default();
    let writer = logged.clone();
    let lines = tracing_subscriber::fmt::layer().json().with_writer(move || writer.clone());
    let levels = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_targets([("spillway_", LevelFilter::TRACE), ("aws_", LevelFilter::DEBUG)]);
    let _here = log_to(tracing_subscriber::registry().with(lines).with(levels));

    let mut world = World::start(careful()).await;
    let id = account();
    let stored = world.outside.accounts.load(&id).await.unwrap().unwrap();
    let accounts = DynamoAccounts { table: world.stack.state_table() };
    let keys = world.outside.keys.clone();
    let token = SecretString::from(TOKEN);
    let sealed = keys.seal(&id, &token).await.unwrap();
    accounts.connect(&id, &stored.rules, &sealed, &[]).await.unwrap();
    world.stack.graph.add_account(id.clone(), TOKEN);
    world.stack.replace_process().unwrap();

    let verify = world.stack.secrets.verify_tokens[0].expose_secret().to_owned();
    let app = world.stack.secrets.app_secrets[0].expose_secret().to_owned();
    // A token that is to be renewed at the first visit; its successor is in nobody's hands but
    // Meta's.
    let life = TokenLife {
        obtained_at: Some(world.now() - Duration::from_secs(40 * DAY)),
        ends_at: Some(world.now() + Duration::from_secs(10 * DAY)),
    };
    world.outside.tokens.note_life(&id, &sealed, life).await.unwrap();
    world.driver.keeps_up_every = Some(Duration::from_secs(900));
    world.pass_secs(901).await;
    world.driver.keeps_up_every = None;
    let renewed = world.outside.tokens.load(&id).await.unwrap().unwrap().token;
    assert_ne!(renewed, sealed, "it was not renewed");
    keys.prepare(&id, &renewed).await.unwrap();
    let renewed = keys.open(&id, &renewed).unwrap().expose_secret().to_owned();
    let login = Login::new(&world.stack.config.graph, world.stack.secrets.app_secrets.clone());
    let code = SecretString::from(CODE);
    let refused = login
        .unwrap()
        .redeem("990", &code, "https://example.com/", Payer::Unknown)
        .await
        .unwrap_err();
    let refused = format!("{refused} {refused:?}");
    let canaries = [TOKEN, verify.as_str(), app.as_str(), renewed.as_str(), CODE];
    let mode = ("hub.mode", "subscribe");
    for challenge in ["1", "<"] {
        let query = [mode, ("hub.verify_token", &verify), ("hub.challenge", challenge)];
        world.get(&query).await;
    }
    world.get(&[mode, ("hub.verify_token", "another")]).await;
    world.post_raw(b"{}", Some(&sign(&SecretString::from("another"), b"{}"))).await;
    world.post(b"hello").await;

    world.say(&all_said(1..=3)).await;
    world.settle().await;
    world.stack.graph.order_fault(Fault::new(FaultKind::Transient));
    world.say(&[said(4)]).await;
    world.settle().await;
    world.stack.keys.set_gone(true);
    world.stack.replace_process().unwrap();
    world.say(&[said(5)]).await;
    world.pass_secs(600).await;
    world.stack.keys.set_gone(false);
    world.stack.graph.disconnect_account(&id);
    world.pass_secs(7200).await;
    let errors = [
        keys.prepare(&AccountId::new("1"), &sealed).await.unwrap_err().to_string(),
        format!("{:?}", keys.seal(&id, &token).await),
        format!("{:?}", world.outside.accounts.load(&id).await.unwrap().unwrap()),
        format!("{:?} {:?}", world.stack.secrets, world.stack.config),
        refused,
    ];

    let logged = logged.0.lock().unwrap().clone();
    for said in ["handshake refused", "signature", "\"sent\"", "token cannot be opened"] {
        assert!(holds(&logged, said), "`{said}` was not logged: the paths were not taken");
    }
    for canary in canaries {
        assert!(canary.len() > 12);
        assert!(!holds(&logged, canary), "{canary} was logged");
        assert!(!errors.iter().any(|error| error.contains(canary)), "{errors:?}");
    }
    let mut seen = 0;
    for table in [&world.stack.config.sends_table, &world.stack.config.state_table] {
        let items = world.stack.dynamo.scan().table_name(table).send().await.unwrap();
        for item in items.items() {
            seen += 1;
            let item: &HashMap<String, AttributeValue> = item;
            for (name, value) in item {
                for canary in canaries {
                    assert!(!holds(&bytes_of(value), canary), "{table}: {canary} in {name}");
                }
            }
        }
    }
    assert!(seen > 8, "{seen} items");
}

/// Anybody can send what nobody has signed: it must cost no more than the invocation.
#[tokio::test]
async fn a_wrong_signature_costs_no_call_of_aws() {
    let world = World::start(careful()).await;
    let body = body(world.now().as_secs(), &[]);
    let forged = sign(&SecretString::from("a guess"), &body);
    let before = world.stack.faults.counts();
    for _ in 0..100 {
        assert_eq!(world.post_raw(&body, Some(&forged)).await, 401);
        assert_eq!(world.post_raw(&body, None).await, 401);
    }
    assert_eq!(world.stack.faults.counts(), before);
}

/// A question how a deletion goes needs no signature and costs a read.
#[tokio::test]
async fn questions_how_deletions_go_are_bounded() {
    let world = World::start(careful()).await;
    let (origin, _) = world.driver.webhook_url.rsplit_once('/').unwrap();
    let ask = async |code: &str| {
        let url = format!("{origin}/deletion?code={code}");
        world.driver.http.get(url).send().await.unwrap().status().as_u16()
    };
    let code = "0123456789abcdef01234567";
    let before = world.stack.faults.counts().requests;
    assert_eq!(ask(&code[1..]).await, 400);
    for _ in 0..30 {
        assert_eq!(ask(code).await, 404);
    }
    for _ in 0..30 {
        assert_eq!(ask(code).await, 429);
    }
    assert_eq!(world.stack.faults.counts().requests, before + 30);
    world.clock.step(Duration::from_secs(60));
    assert_eq!(ask(code).await, 404);
}
