//! A world for tests: the stack over the wire in virtual time, with a Meta that comments, two
//! accounts that answer, and a view of the stores from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use secrecy::SecretString;
use serde_json::{Value, json};
use spillway_cloud::wiring::Wiring;
use spillway_core::content::Message;
use spillway_core::id::{AccountId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::send::PendingSend;
use spillway_core::time::Timestamp;
use spillway_graph::{CallRecord, Comment, GraphConfig, Surface, UnknownComments, Words};
use spillway_local::clock::SteppedClock;
use spillway_local::driver::{Delivery, Driver};
use spillway_local::fault_injector::KillPoint;
use spillway_local::report::Report;
use spillway_local::setup::{QuotaOptions, load_accounts};
use spillway_local::stack::{Blueprint, Pace, Ports, Stack, queues};
use spillway_meta::graph::{Answered, CallError, CommentItem, Conversation, Page, Profile, Sent};
use spillway_meta::signature::sign;
use spillway_service::account::Account;
use spillway_service::clock::Clock;
use spillway_service::outbox_batch::{OutboxBatch, OutboxLine};
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::{Entry, Graph, Read, Sends, StoreError};
use spillway_sqs::Counts;
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Subscriber};

use crate::privileges::assert_allowed;

/// An account with the campaign `guide`: a keyword, and three texts.
pub(crate) const CREATOR: &str = "17841400000000001";
/// An account whose one campaign takes every comment.
pub(crate) const OTHER: &str = "17841400000000002";

/// Monday, 7 September 2026, 17:00 UTC.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_788_800_400);

/// What this thread logs goes to `subscriber` until the guard is dropped.
pub(crate) fn log_to(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    // While a process has a single subscriber, tracing asks the thread that comes by a log line
    // first whether anybody wants it, and a no of another test's thread is remembered for all.
    static SECOND: LazyLock<Dispatch> =
        LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));
    LazyLock::force(&SECOND);
    tracing::subscriber::set_default(subscriber)
}

/// Quotas: calls and recipients.
pub(crate) fn quotas(calls: &str, recipients: &str) -> QuotaOptions {
    QuotaOptions {
        calls: calls.parse().unwrap(),
        replies: "750/1h".parse().unwrap(),
        recipients: recipients.parse().unwrap(),
    }
}

/// The default ones.
pub(crate) fn careful() -> QuotaOptions {
    quotas("200/1h", "1000/24h")
}

/// A comment as somebody writes it.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) id: String,
    pub(crate) account: &'static str,
    pub(crate) author: String,
    pub(crate) username: Option<String>,
    pub(crate) text: String,
    pub(crate) surface: Surface,
}

impl Said {
    /// The send of a comment that is its author's first.
    pub(crate) fn send(&self) -> SendId {
        let person = RecipientId::new(self.author.as_str());
        SendId { account: self.account.into(), key: OnceKey::person(&person) }
    }
}

/// The `n`th comment: by a person of its own, and wanted by the creator's campaign.
pub(crate) fn said(n: u32) -> Said {
    Said {
        id: format!("1789{n:013}"),
        account: CREATOR,
        author: format!("52600000{n:08}"),
        username: Some(format!("viewer.{n}")),
        text: "the guide please".into(),
        surface: Surface::Post,
    }
}

/// Comments of these numbers.
pub(crate) fn all_said(numbers: impl IntoIterator<Item = u32>) -> Vec<Said> {
    numbers.into_iter().map(said).collect()
}

impl Said {
    pub(crate) fn on(self, account: &'static str) -> Self {
        Self { account, ..self }
    }

    pub(crate) fn by(self, author: &str) -> Self {
        Self { author: author.into(), ..self }
    }

    pub(crate) fn saying(self, text: &str) -> Self {
        Self { text: text.into(), ..self }
    }

    pub(crate) fn live(self) -> Self {
        Self { surface: Surface::Live, ..self }
    }

    /// The webhook field that tells it.
    pub(crate) fn field(&self) -> &'static str {
        match self.surface {
            Surface::Post => "comments",
            Surface::Live => "live_comments",
        }
    }

    /// What the webhook says of it.
    pub(crate) fn value(&self) -> Value {
        json!({
            "id": self.id,
            "from": { "id": self.author, "username": self.username },
            "media": { "id": "17900000000000001", "media_product_type": "REELS" },
            "text": self.text,
        })
    }

    pub(crate) fn made_at(&self, created_at: Timestamp) -> Comment {
        Comment {
            id: self.id.as_str().into(),
            account: self.account.into(),
            media: "17900000000000001".into(),
            author: self.author.as_str().into(),
            created_at,
            surface: self.surface,
        }
    }
}

/// One POST with a change for each comment, notified at `time`.
pub(crate) fn body(time: impl Into<Value>, said: &[Said]) -> Vec<u8> {
    let time = time.into();
    let mut accounts: Vec<&str> = said.iter().map(|said| said.account).collect();
    accounts.dedup();
    let entry = |account: &str| {
        let of_account = said.iter().filter(|said| said.account == account);
        let changes: Vec<Value> = of_account
            .map(|said| json!({ "field": said.field(), "value": said.value() }))
            .collect();
        json!({ "id": account, "time": time, "changes": changes })
    };
    let entries: Vec<Value> = accounts.into_iter().map(entry).collect();
    json!({ "object": "instagram", "entry": entries }).to_string().into_bytes()
}

/// What the table of sends says of a comment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) state: String,
    /// `null` while it waits.
    pub(crate) outcome: Value,
}

impl Told {
    pub(crate) fn reason(&self) -> &str {
        self.outcome["reason"].as_str().unwrap_or_default()
    }
}

/// The world.
pub(crate) struct World {
    pub(crate) stack: Arc<Stack>,
    pub(crate) clock: Arc<SteppedClock>,
    pub(crate) driver: Driver,
    /// The ports, from outside: what goes through them is not counted.
    pub(crate) outside: Wiring,
}

impl World {
    pub(crate) async fn start(quotas: QuotaOptions) -> Self {
        Self::wrapped(quotas, std::convert::identity).await
    }

    pub(crate) async fn wrapped(quotas: QuotaOptions, wrap: fn(Wiring) -> Wiring) -> Self {
        let clock = Arc::new(SteppedClock::new(START));
        let mut stack = Stack::start(Blueprint {
            clock: clock.clone(),
            pace: Pace::Stepped,
            accounts: load_accounts(None, &quotas).unwrap(),
            graph: GraphConfig {
                limits: quotas.limits(),
                unknown_comments: UnknownComments::Refuse,
                ..GraphConfig::default()
            },
            ports: Ports::default(),
            seed: Some(1),
            wrap,
        })
        .await
        .unwrap();
        // The secret before the current one, as after a rotation.
        stack.secrets.app_secrets.push(SecretString::from("an older secret"));
        stack.replace_process().unwrap();
        let stack = Arc::new(stack);
        let driver = Driver::new(stack.clone(), clock.clone()).await.unwrap();
        let outside = Wiring::new(
            &stack.config,
            stack.keys.clone(),
            &stack.dynamo,
            &stack.poller,
            clock.clone(),
            u64::MAX,
        )
        .unwrap();
        Self { stack, clock, driver, outside }
    }

    /// A webhook has died with batches of these comments written, and none of their entries.
    pub(crate) async fn half_recorded(quotas: QuotaOptions, said: &[Said]) -> Self {
        for requests in 1..80 {
            let world = Self::start(quotas).await;
            world.stack.faults.kill_at(requests, KillPoint::Before);
            assert_eq!(world.say(said).await, 502);
            if !world.batches(said[0].account).await.is_empty() {
                for said in said {
                    assert!(world.told(said).await.is_none(), "no death leaves batches alone");
                }
                return world;
            }
        }
        panic!("no death leaves batches");
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets Meta know comments, written now.
    pub(crate) fn observe(&self, said: &[Said]) {
        self.observe_at(self.now(), said);
    }

    /// Lets Meta know comments, written then.
    pub(crate) fn observe_at(&self, at: Timestamp, said: &[Said]) {
        for said in said {
            self.stack.graph.observe_comment(said.made_at(at));
            let words = Words { text: said.text.clone(), username: said.username.clone() };
            self.stack.graph.say(said.account, &*said.id, words);
        }
    }

    /// Somebody writes comments, and Meta tells of them in one POST. Its status.
    pub(crate) async fn say(&self, said: &[Said]) -> u16 {
        self.observe(said);
        self.post(&body(self.now().as_secs(), said)).await
    }

    /// Plans a POST for `at`, with the comments written then; it comes again when it fails.
    pub(crate) fn plan(&mut self, at: Timestamp, said: &[Said]) {
        self.observe_at(at, said);
        self.driver.plan(vec![Delivery { at, body: body(at.as_secs(), said) }]);
    }

    /// POSTs a body with Meta's signature.
    pub(crate) async fn post(&self, body: &[u8]) -> u16 {
        let signature = sign(&self.stack.secrets.app_secrets[0], body);
        self.post_raw(body, Some(&signature)).await
    }

    /// POSTs a body with this signature.
    pub(crate) async fn post_raw(&self, body: &[u8], signature: Option<&str>) -> u16 {
        let mut request = self.driver.http.post(&self.driver.webhook_url).body(body.to_vec());
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// GETs the webhook's URL with this query: status and body.
    pub(crate) async fn get(&self, query: &[(&str, &str)]) -> (u16, String) {
        let url = reqwest::Url::parse_with_params(&self.driver.webhook_url, query).unwrap();
        let answer = self.driver.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Lets `span` pass, and everything happen that is due in it.
    pub(crate) async fn pass(&mut self, span: Duration) {
        let end = self.now() + span;
        while self.driver.step(end).await.unwrap() {}
        self.clock.step_to(end);
    }

    pub(crate) async fn pass_secs(&mut self, secs: u64) {
        self.pass(Duration::from_secs(secs)).await;
    }

    /// Lets time pass until nothing is due any more.
    pub(crate) async fn settle(&mut self) {
        // What is unknown waits for its deadline.
        let end = START + Duration::from_secs(12 * 24 * 3600);
        while self.driver.step(end).await.unwrap() {}
    }

    pub(crate) async fn report(&self) -> Report {
        Report::of(&self.stack).await.unwrap()
    }

    /// The report, once everything is over: each of `matched` comments has come to its end, nothing
    /// is left anywhere, no limit was crossed, and no comment was called for after its DM.
    pub(crate) async fn over(&self, matched: u64) -> Report {
        let report = self.over_but_for_duplicates(matched).await;
        assert_eq!(report.duplicates, 0, "{report:?}");
        report
    }

    /// As [`Self::over`], save that calls for comments that had their DM are not looked at.
    pub(crate) async fn over_but_for_duplicates(&self, matched: u64) -> Report {
        let report = self.report().await;
        assert_eq!(report.matched, matched, "{report:?}");
        let ended = report.sent + report.failed + report.expired + report.cancelled;
        assert_eq!((ended, report.waiting), (matched, 0), "{report:?}");
        assert_eq!((report.violations, report.disagreements), (0, 0), "{report:?}");
        assert_eq!(self.stack.graph.recount(), []);
        self.nothing_is_left().await;
        report
    }

    pub(crate) async fn nothing_is_left(&self) {
        for account in [CREATOR, OTHER] {
            assert_eq!(self.batches(account).await, [], "batches of {account}");
        }
        assert_eq!(self.outside.backlogs.marked().await.unwrap(), [], "marks");
        assert_eq!(self.queue(queues::SEND).total(), 0, "send queue");
        assert_eq!(self.queue(queues::RELEASE).total(), 0, "release queue");
    }

    /// What became of a comment; `None` when it never matched.
    pub(crate) async fn told(&self, said: &Said) -> Option<Told> {
        let answer = self
            .stack
            .dynamo
            .get_item()
            .table_name(&self.stack.config.sends_table)
            .key("id", AttributeValue::S(said.send().to_string()))
            .consistent_read(true)
            .send()
            .await
            .unwrap();
        let item = answer.item?;
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let outcome = text("outcome").map(|json| serde_json::from_str(&json).unwrap());
        Some(Told { state: text("state").unwrap(), outcome: outcome.unwrap_or_default() })
    }

    /// The state of a comment that matched.
    pub(crate) async fn state_of(&self, said: &Said) -> String {
        self.told(said).await.unwrap_or_else(|| panic!("{} never matched", said.id)).state
    }

    /// Sends that wait, in the order of their keys.
    pub(crate) async fn waiting(&self, account: &str) -> Vec<(OutboxKey, PendingSend)> {
        waiting(&*self.outside.sends, &AccountId::new(account)).await
    }

    /// The batches that list what may wait, in the order of their keys.
    pub(crate) async fn batches(&self, account: &str) -> Vec<OutboxBatch> {
        self.outside.sends.batches(&AccountId::new(account), None, 100_000).await.unwrap()
    }

    pub(crate) fn calls(&self) -> Vec<CallRecord> {
        self.stack.graph.calls()
    }

    /// When the comments of accepted calls got their DMs, in the order of the calls.
    pub(crate) fn dms(&self) -> Vec<(CommentId, Timestamp)> {
        let accepted = self.calls().into_iter().filter(|call| call.status == 200);
        // A read answers no comment.
        let dm = |call: CallRecord| Some((call.comment_id?, Timestamp::from_millis(call.at_ms)));
        accepted.filter_map(dm).collect()
    }

    /// Each of these comments has got one DM, and no other has.
    pub(crate) async fn each_got_one_dm(&self, said: &[Said]) {
        let mut dms: BTreeMap<CommentId, u32> = BTreeMap::new();
        for (comment, _) in self.dms() {
            *dms.entry(comment).or_default() += 1;
        }
        let expected: BTreeMap<CommentId, u32> =
            said.iter().map(|said| (CommentId::new(said.id.as_str()), 1)).collect();
        assert_eq!(dms, expected);
        for said in said {
            assert_eq!(self.state_of(said).await, "sent", "{}", said.id);
        }
    }

    pub(crate) fn queue(&self, name: &str) -> Counts {
        self.stack.sqs.counts(name).unwrap()
    }

    /// The bodies of the messages that are visible on the send queue, which stay there.
    pub(crate) fn peek(&self) -> Vec<String> {
        let received = self.stack.sqs.receive(queues::SEND, 10, Some(Duration::ZERO)).unwrap();
        received.into_iter().map(|received| received.message.body).collect()
    }

    pub(crate) async fn delete_item(&self, pk: &str, sk: &str) {
        self.stack
            .dynamo
            .delete_item()
            .table_name(&self.stack.config.state_table)
            .key("pk", AttributeValue::S(pk.into()))
            .key("sk", AttributeValue::S(sk.into()))
            .send()
            .await
            .unwrap();
    }

    /// The account is not connected any more.
    pub(crate) async fn disconnect(&self, account: &str) {
        self.delete_item(&format!("account#{account}"), "settings").await;
    }
}

/// Sends that wait, in the order of their keys: those that an account's batches list, as their
/// entries have them.
pub(crate) async fn waiting(
    sends: &dyn Sends,
    account: &AccountId,
) -> Vec<(OutboxKey, PendingSend)> {
    let batches = sends.batches(account, None, 100_000).await.unwrap();
    let listed: Vec<(&OutboxBatch, &OutboxLine)> = batches
        .iter()
        .flat_map(|batch| batch.lines.iter().map(move |line| (batch, line)))
        .collect();
    let ids: Vec<SendId> = listed.iter().map(|(batch, line)| batch.id_of(line)).collect();
    let entries = sends.entries(&ids, Read::Consistent).await.unwrap();
    let of_line = |((batch, line), entry): ((&OutboxBatch, &OutboxLine), Entry)| {
        let outbox_key = batch.key_of(line);
        Some((outbox_key.clone(), line.stands(entry.waiting_at(&outbox_key)?)))
    };
    let mut waiting: Vec<_> = listed.into_iter().zip(entries).filter_map(of_line).collect();
    waiting.sort_by(|(a, _), (b, _)| a.cmp(b));
    waiting
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_allowed(&self.stack);
        }
    }
}

/// What Meta was asked to send, by comment. Tests that listen use comments of their own.
static TEXTS: Mutex<BTreeMap<CommentId, String>> = Mutex::new(BTreeMap::new());

/// The last text sent for a comment, under [`listen_in`].
pub(crate) fn text_for(said: &Said) -> String {
    let texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    texts.get(&CommentId::new(said.id.as_str())).cloned().unwrap_or_default()
}

/// Writes down what is sent.
pub(crate) fn listen_in(wiring: Wiring) -> Wiring {
    Wiring { graph: Arc::new(Listening(wiring.graph.clone())), ..wiring }
}

struct Listening(Arc<dyn Graph>);

#[async_trait]
impl Graph for Listening {
    async fn prepare(&self, account: &Account) -> Result<(), StoreError> {
        self.0.prepare(account).await
    }

    async fn private_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        message: &Message,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        let written = (comment.clone(), message.text().to_owned());
        TEXTS.lock().unwrap_or_else(PoisonError::into_inner).extend([written]);
        self.0.private_reply(account, comment, message, metadata, timeout).await
    }

    async fn message(
        &self,
        account: &Account,
        recipient: &RecipientId,
        message: &Message,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        self.0.message(account, recipient, message, metadata, timeout).await
    }

    async fn public_reply(
        &self,
        account: &Account,
        comment: &CommentId,
        text: &str,
        timeout: Duration,
    ) -> Result<Answered<Sent>, CallError> {
        self.0.public_reply(account, comment, text, timeout).await
    }

    async fn replies(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Page<CommentItem>>, CallError> {
        self.0.replies(account, comment, timeout).await
    }

    async fn comment_timestamp(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<Timestamp>>, CallError> {
        self.0.comment_timestamp(account, comment, timeout).await
    }

    async fn comment_author(
        &self,
        account: &Account,
        comment: &CommentId,
        timeout: Duration,
    ) -> Result<Answered<Option<RecipientId>>, CallError> {
        self.0.comment_author(account, comment, timeout).await
    }

    async fn conversation(
        &self,
        account: &Account,
        person: &RecipientId,
        timeout: Duration,
    ) -> Result<Answered<Option<Conversation>>, CallError> {
        self.0.conversation(account, person, timeout).await
    }

    async fn profile(
        &self,
        account: &Account,
        person: &RecipientId,
        timeout: Duration,
    ) -> Result<Answered<Profile>, CallError> {
        self.0.profile(account, person, timeout).await
    }
}
