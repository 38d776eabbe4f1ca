//! The webhook: what is taken, what is refused, and that every comment asks for one DM, however
//! often and in whatever form it is told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use spillway_cloud::dynamo::DynamoAccounts;
use spillway_cloud::wiring::Wiring;
use spillway_core::budget::Revision;
use spillway_core::id::AccountId;
use spillway_core::send::{Lane, Stage};
use spillway_core::time::Timestamp;
use spillway_local::clock::SteppedClock;
use spillway_local::fault_injector::{Outage, Service};
use spillway_local::lambda::WEBHOOK_TIMEOUT;
use spillway_local::stack::queues;
use spillway_meta::signature::sign;
use spillway_service::account::Account;
use spillway_service::port::{AccountChanges, Accounts, Read, StoreError};
use spillway_sqs::{Fault, Operation};
use tokio::task::JoinSet;

use crate::harness::{
    CREATOR, OTHER, START, Said, World, all_said, body, careful, listen_in, quotas, said, text_for,
};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn the_handshake_is_answered_only_for_our_token() {
    let world = World::start(careful()).await;
    let token = world.stack.secrets.verify_tokens[0].expose_secret().to_owned();
    let ask = async |mode, token, challenge| {
        let query = [("hub.mode", mode), ("hub.verify_token", token), ("hub.challenge", challenge)];
        world.get(&query).await
    };
    assert_eq!(ask("subscribe", &token, "1158201444").await, (200, "1158201444".into()));
    assert_eq!(ask("subscribe", "another", "1158201444").await.0, 403);
    assert_eq!(ask("subscribe", "", "1158201444").await.0, 403);
    assert_eq!(ask("unsubscribe", &token, "1158201444").await.0, 400);
    assert_eq!(ask("subscribe", &token, "<b>").await.0, 400);
    assert_eq!(world.get(&[]).await.0, 400);
    let put = world.driver.http.put(&world.driver.webhook_url).send().await.unwrap();
    assert_eq!(put.status().as_u16(), 405);
}

#[tokio::test]
async fn a_body_that_meta_did_not_sign_changes_nothing() {
    let mut world = World::start(careful()).await;
    let said = [said(1)];
    world.observe(&said);
    let body = body(world.now().as_secs(), &said);
    let another = SecretString::from("another");
    let of_other_bytes = sign(&world.stack.secrets.app_secrets[0], b"{}");
    for signature in [
        None,
        Some(""),
        Some("sha256="),
        Some("sha256=00"),
        Some("sha1=0123456789abcdef0123456789abcdef01234567"),
        Some(sign(&another, &body).as_str()),
        Some(of_other_bytes.as_str()),
    ] {
        assert_eq!(world.post_raw(&body, signature).await, 401, "{signature:?}");
    }
    world.settle().await;
    world.over(0).await;
    assert_eq!(world.calls(), []);
}

#[tokio::test]
async fn every_app_secret_is_accepted() {
    let mut world = World::start(careful()).await;
    let said = all_said(1..=2);
    world.observe(&said);
    for (secret, said) in world.stack.secrets.app_secrets.clone().iter().zip(&said) {
        let body = body(world.now().as_secs(), std::slice::from_ref(said));
        assert_eq!(world.post_raw(&body, Some(&sign(secret, &body))).await, 200);
    }
    world.settle().await;
    world.over(2).await;
    world.each_got_one_dm(&said).await;
}

#[tokio::test]
async fn every_form_of_the_envelope_asks_for_one_dm() {
    let mut world = World::start(careful()).await;
    let now = world.now();
    let entry = |time: Value, said: &Said| json!({ "id": CREATOR, "time": time, "changes": [{ "field": "comments", "value": said.value() }] });
    let envelope = |entry: Value| json!({ "object": "instagram", "entry": [entry] });
    let with = |said: &Said, change: &dyn Fn(&mut Value)| {
        let mut entry = entry(json!(now.as_secs()), said);
        change(&mut entry);
        envelope(entry)
    };
    let value = |entry: &mut Value| entry["changes"][0]["value"].take();

    let mut told: Vec<(&str, Said, Value)> = Vec::new();
    let mut tell = |name, make: &dyn Fn(&Said) -> Value| {
        let said = said(told.len() as u32);
        let body = make(&said);
        told.push((name, said, body));
    };
    tell("changes", &|said| with(said, &|_| ()));
    tell("flat", &|said| {
        with(said, &|entry| {
            let value = value(entry);
            *entry = json!({ "id": CREATOR, "time": now.as_secs(), "field": "comments", "value": value });
        })
    });
    tell("array", &|said| json!([with(said, &|_| ())]));
    tell("flat in an array", &|said| {
        json!([envelope(json!({ "id": CREATOR, "field": "comments", "value": said.value() }))])
    });
    tell("ids as numbers", &|said| {
        with(said, &|entry| {
            let number = |text: &str| json!(text.parse::<u64>().unwrap());
            entry["id"] = number(CREATOR);
            entry["changes"][0]["value"]["id"] = number(&said.id);
            entry["changes"][0]["value"]["from"]["id"] = number(&said.author);
        })
    });
    tell("comment_id", &|said| {
        with(said, &|entry| {
            let mut value = value(entry);
            value["comment_id"] = value["id"].take();
            value.as_object_mut().unwrap().remove("id");
            entry["changes"][0]["value"] = value;
        })
    });
    tell("object page", &|said| {
        let mut envelope = with(said, &|_| ());
        envelope["object"] = json!("page");
        envelope
    });
    tell("time in milliseconds", &|said| envelope(entry(json!(now.as_millis()), said)));
    tell("time as ISO 8601", &|said| envelope(entry(json!("2026-09-07T17:00:00+0000"), said)));
    tell("time as a string", &|said| envelope(entry(json!(now.as_secs().to_string()), said)));
    tell("time 0", &|said| envelope(entry(json!(0), said)));
    tell("time in the far future", &|said| envelope(entry(json!(99_999_999_999_u64), said)));
    tell("no time", &|said| {
        with(said, &|entry| {
            entry.as_object_mut().unwrap().remove("time");
        })
    });
    tell("beside what cannot be read", &|said| {
        let good = entry(json!(now.as_secs()), said);
        json!({ "entry": [
            null, 3, {}, { "id": CREATOR },
            { "id": CREATOR, "changes": [{}, { "field": "comments" }, { "field": "comments", "value": {} }, null] },
            { "id": CREATOR, "messaging": [{ "message": { "mid": "m" } }, 7] },
            good,
        ] })
    });

    for (name, said, body) in &told {
        world.observe(std::slice::from_ref(said));
        assert_eq!(world.post(body.to_string().as_bytes()).await, 200, "{name}");
        assert!(world.told(said).await.is_some(), "{name} asked for nothing");
    }
    // A time that is none gives the whole week, and none lies beyond it.
    let week = Duration::from_secs(7 * 24 * 3600);
    for (_, waiting) in world.waiting(CREATOR).await {
        assert!(waiting.deadline <= now + week, "{waiting:?}");
        assert!(waiting.deadline > now + week - Duration::from_secs(2 * 3600), "{waiting:?}");
    }
    world.settle().await;
    world.over(told.len() as u64).await;
    let told: Vec<Said> = told.into_iter().map(|(_, said, _)| said).collect();
    world.each_got_one_dm(&told).await;
}

#[tokio::test]
async fn a_reply_below_a_comment_asks_for_nothing() {
    let mut world = World::start(careful()).await;
    let said = all_said(1..=2);
    world.observe(&said);
    let body = body(world.now().as_secs(), &said);
    let mut delivery: Value = serde_json::from_slice(&body).unwrap();
    delivery["entry"][0]["changes"][1]["value"]["parent_id"] = json!(said[0].id);
    assert_eq!(world.post(delivery.to_string().as_bytes()).await, 200);
    assert!(world.told(&said[1]).await.is_none());
    world.settle().await;
    world.over(1).await;
    world.each_got_one_dm(&said[..1]).await;
}

#[tokio::test]
async fn what_is_not_ours_is_taken_and_nothing_comes_of_it() {
    let mut world = World::start(careful()).await;
    let elsewhere = "17841499999999999";
    let nothing = [
        said(1).on(elsewhere),
        said(2).by(CREATOR),
        said(3).saying("so good!"),
        said(4).saying("guidelines?"),
        said(5).saying(""),
    ];
    for said in &nothing {
        assert_eq!(world.say(std::slice::from_ref(said)).await, 200);
    }
    assert_eq!(world.say(&nothing).await, 200);
    let other_fields = json!({ "object": "instagram", "entry": [
        { "id": CREATOR, "time": world.now().as_secs(), "changes": [{ "field": "mentions", "value": {} }] },
        { "id": CREATOR, "messaging": [{ "read": {} }] },
        { "id": CREATOR, "changed_fields": ["comments"] },
    ] });
    assert_eq!(world.post(other_fields.to_string().as_bytes()).await, 200);
    // That webhooks come is written down, once an hour, and the first comment that matches nothing,
    // with a sample.
    assert_eq!(world.stack.faults.counts().write_units, 3.0, "something else was written");
    world.settle().await;
    world.over(0).await;
    assert_eq!(world.calls(), []);
}

/// A process that has just seen comments of an account that was not connected yet.
#[tokio::test]
async fn comments_are_answered_from_the_moment_their_account_is_connected() {
    let mut world = World::start(careful()).await;
    let id = AccountId::new(CREATOR);
    let account = world.outside.accounts.load(&id).await.unwrap().unwrap();
    world.disconnect(CREATOR).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    let accounts = DynamoAccounts { table: world.stack.state_table() };
    accounts.connect(&id, &account.rules, &account.token, &[]).await.unwrap();
    assert_eq!(world.say(&[said(2)]).await, 200);
    world.settle().await;
    world.over(1).await;
    world.each_got_one_dm(&[said(2)]).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let world = World::start(careful()).await;
    for body in ["", "hello", "{", "[", "null", "3", "{}", "[]", r#"{"object":"instagram"}"#] {
        assert_eq!(world.post(body.as_bytes()).await, 400, "{body}");
    }
    assert_eq!(world.post(&[0xff, 0xfe, 0x00]).await, 400);
    assert_eq!(world.post(&vec![b'['; 100_000]).await, 400);
}

#[tokio::test]
async fn bodies_are_taken_up_to_five_mebibytes() {
    let mut world = World::start(careful()).await;
    assert_eq!(world.post(&vec![b'x'; 5 * MIB]).await, 400);
    assert_eq!(world.post(&vec![b'x'; 5 * MIB - 1]).await, 400);
    assert_eq!(world.post(&vec![b'x'; 5 * MIB + 1]).await, 413);
    assert_eq!(world.post(&vec![b'x'; 7 * MIB]).await, 413);
    // Each of these takes two bytes in Lambda's event, which has 6 MB at most.
    assert_eq!(world.post(&vec![b'"'; 4 * MIB]).await, 413);

    let said = said(1);
    let mut large = body(world.now().as_secs(), std::slice::from_ref(&said));
    large.resize(5 * MIB, b' ');
    world.observe(std::slice::from_ref(&said));
    assert_eq!(world.post(&large).await, 200);
    world.settle().await;
    world.each_got_one_dm(&[said]).await;
}

#[tokio::test]
async fn a_comment_told_often_gets_one_dm() {
    let mut world = World::start(careful()).await;
    let all = all_said(1..=4);
    world.observe(&all);
    // Twice in one body.
    let twice = body(world.now().as_secs(), &[all[0].clone(), all[1].clone(), all[0].clone()]);
    assert_eq!(world.post(&twice).await, 200);
    // Twice in sequence, and once more in another form.
    assert_eq!(world.post(&twice).await, 200);
    let again =
        json!([{ "entry": [{ "id": CREATOR, "field": "comments", "value": all[0].value() }] }]);
    assert_eq!(world.post(again.to_string().as_bytes()).await, 200);
    // At once.
    let body = body(world.now().as_secs(), &all);
    let signature = sign(&world.stack.secrets.app_secrets[0], &body);
    let mut posts = JoinSet::new();
    for _ in 0..8 {
        let post = world
            .driver
            .http
            .post(&world.driver.webhook_url)
            .header("x-hub-signature-256", &signature)
            .body(body.clone());
        posts.spawn(async move { post.send().await.unwrap().status().as_u16() });
    }
    assert_eq!(posts.join_all().await, [200; 8]);
    world.settle().await;
    // Long after, when the send has ended.
    assert_eq!(world.post(&body).await, 200);
    world.settle().await;
    world.over(4).await;
    world.each_got_one_dm(&all).await;
}

/// Two processes that know nothing of each other meet the same comments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_race_record_a_comment_once() {
    for round in 0..5 {
        let mut world = World::start(careful()).await;
        let all = all_said(1..=30);
        world.observe(&all);
        let delivery = |said: &[Said]| {
            spillway_meta::webhook::parse(&body(world.now().as_secs(), said)).unwrap()
        };
        let reversed: Vec<Said> = all.iter().rev().cloned().collect();
        let (one, other) = (world.outside.ingest(), world.outside.ingest());
        let (all_at_once, deadline) = (delivery(&all), Timestamp::NEVER);
        let (one, other) = tokio::join!(
            one.ingest(all_at_once, deadline),
            other.ingest(delivery(&reversed), deadline)
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        let recorded = one.queued + one.parked + other.queued + other.parked;
        assert_eq!((recorded, one.duplicate + other.duplicate), (30, 30), "round {round}");
        world.settle().await;
        world.over(30).await;
        world.each_got_one_dm(&all).await;
    }
}

/// Meta waits for its 200 some seconds. How long the requests take is measured by the throughput
/// bench; here it is their number that must not grow.
#[tokio::test]
async fn a_thousand_comments_take_few_requests_beside_their_entries() {
    let world = World::start(careful()).await;
    let all = all_said(0..1000);
    let before = world.stack.faults.counts().requests;
    assert_eq!(world.say(&all).await, 200);
    let requests = world.stack.faults.counts().requests - before;
    // One for each entry, one for each batch of eighteen, twenty that look up the comments and their
    // authors, and few besides.
    assert!(requests <= 1090, "{requests} requests");
    let report = world.report().await;
    assert_eq!((report.matched, report.waiting), (1000, 1000));
    let waiting = world.waiting(CREATOR).await;
    let queued = waiting.iter().filter(|(_, send)| send.stage != Stage::Parked).count();
    assert_eq!(waiting.len(), 1000);
    assert_eq!(world.queue(queues::SEND).total(), queued);
}

thread_local! {
    /// The clock that each look at an account moves on by 50 ms: each test has a thread of its own.
    static MOVED: RefCell<Option<Arc<SteppedClock>>> = const { RefCell::new(None) };
}

/// Every account is connected, as the creator's is; to look at one takes its time.
struct Everybody(Arc<dyn Accounts>);

#[async_trait]
impl Accounts for Everybody {
    async fn read(&self, account: &AccountId, how: Read) -> Result<Option<Account>, StoreError> {
        let creator = self.0.read(&CREATOR.into(), how).await?;
        MOVED.with_borrow(|clock| clock.iter().for_each(|clock| clock.step(LOOK)));
        Ok(creator.map(|creator| Account { id: account.clone(), ..creator }))
    }

    async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError> {
        self.0.revision(account).await
    }
}

const LOOK: Duration = Duration::from_millis(50);

fn everybody(wiring: Wiring) -> Wiring {
    Wiring { accounts: Arc::new(Everybody(wiring.accounts.clone())), ..wiring }
}

/// One delivery for a thousand accounts takes more than the webhook's time.
#[tokio::test]
async fn of_a_delivery_for_many_accounts_what_is_durable_is_answered_for_and_repeats_do_the_rest() {
    const MANY: u32 = 1000;
    let world = World::wrapped(careful(), everybody).await;
    let account = |n: u32| AccountId::new((17_841_500_000_000_000 + u64::from(n)).to_string());
    let comments = (0..MANY).map(|n| {
        let change = json!({ "field": "comments", "value": said(n).value() });
        json!({ "id": account(n), "time": START.as_secs(), "changes": [change] })
    });
    let delivery = json!({ "object": "instagram", "entry": comments.collect::<Vec<_>>() });
    let delivery = delivery.to_string();
    MOVED.set(Some(world.clock.clone()));
    let (mut posts, mut before) = (0, 0);
    loop {
        let began = world.now();
        let status = world.post(delivery.as_bytes()).await;
        posts += 1;
        let took = world.now().since(began);
        assert!(took < WEBHOOK_TIMEOUT, "killed in the middle: {took:?}");
        let known = world.report().await.matched;
        if status == 200 {
            assert_eq!(known, u64::from(MANY));
            break;
        }
        assert_eq!(status, 500, "the rest is wanted again");
        assert!((before + 1..u64::from(MANY)).contains(&known), "{known} after {posts} posts");
        before = known;
    }
    MOVED.set(None);
    assert!((3..8).contains(&posts), "{posts} posts");
    assert_eq!(world.post(delivery.as_bytes()).await, 200);
    let report = world.report().await;
    assert_eq!((report.matched, report.waiting), (MANY.into(), MANY.into()), "each once");
}

/// A function that runs out of its time is killed, and Meta delivers again.
#[tokio::test]
async fn a_webhook_that_runs_out_of_time_is_killed() {
    thread_local!(static LATE: Cell<bool> = const { Cell::new(false) });
    /// Recording takes longer than the function may.
    struct Slow(Arc<dyn Accounts>);

    #[async_trait]
    impl Accounts for Slow {
        async fn read(&self, id: &AccountId, how: Read) -> Result<Option<Account>, StoreError> {
            if LATE.get() {
                MOVED.with_borrow(|clock| {
                    clock.iter().for_each(|clock| clock.step(WEBHOOK_TIMEOUT))
                });
            }
            self.0.read(id, how).await
        }

        async fn revision(&self, account: &AccountId) -> Result<Option<Revision>, StoreError> {
            self.0.revision(account).await
        }
    }

    let wrap =
        |wiring: Wiring| Wiring { accounts: Arc::new(Slow(wiring.accounts.clone())), ..wiring };
    let mut world = World::wrapped(careful(), wrap).await;
    MOVED.set(Some(world.clock.clone()));
    LATE.set(true);
    let all = all_said(1..=3);
    assert_eq!(world.say(&all).await, 502);
    assert_eq!(world.waiting(CREATOR).await.len(), 0, "it did nothing more");
    LATE.set(false);
    assert_eq!(world.say(&all).await, 200);
    world.settle().await;
    world.over(3).await;
    world.each_got_one_dm(&all).await;
}

/// The store takes some of a delivery's writes and refuses others.
#[tokio::test]
async fn a_half_failed_delivery_delays_nobody() {
    let mut half = 0;
    for seed in 1..=40 {
        let mut world = World::start(quotas("200/1m", "1000/24h")).await;
        // A slot every five seconds, and each try takes its own.
        let all = all_said(1..=5);
        world.stack.faults.take_out(Service::DynamoDb, Outage::Patchy { seed });
        let mut posts = 1;
        while world.say(&all).await != 200 {
            posts += 1;
            assert!(posts <= 20, "seed {seed}");
        }
        half += u32::from(posts > 1);
        world.stack.faults.bring_back(Service::DynamoDb);
        world.pass_secs(25 * posts + 30).await;
        for said in &all {
            assert_eq!(world.state_of(said).await, "sent", "seed {seed}: {}", said.id);
        }
        world.each_got_one_dm(&all).await;
    }
    assert!(half > 10, "{half}");
}

#[tokio::test]
async fn one_post_for_several_accounts_serves_them_all() {
    let mut world = World::start(careful()).await;
    let all = [said(1), said(2), said(3).on(OTHER).saying("whatever"), said(4).on(OTHER)];
    assert_eq!(world.say(&all).await, 200);
    world.settle().await;
    world.over(4).await;
    world.each_got_one_dm(&all).await;
}

#[tokio::test]
async fn meta_is_told_to_come_again_when_the_store_fails() {
    let mut world = World::start(careful()).await;
    let (before, during) = (all_said(1..=3), all_said(4..=9));
    assert_eq!(world.say(&before).await, 200);
    world.settle().await;

    let table = world.stack.config.sends_table.clone();
    world.stack.dynamo.delete_table().table_name(&table).send().await.unwrap();
    assert!((500..600).contains(&world.say(&during).await));
    let at = world.now();
    world.plan(at, &during);
    world.pass_secs(10).await;
    assert_eq!(world.calls().len(), 3, "called for what was not recorded");

    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
    let attribute =
        AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    world
        .stack
        .dynamo
        .create_table()
        .table_name(&table)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key.build().unwrap())
        .attribute_definitions(attribute.build().unwrap())
        .send()
        .await
        .unwrap();
    world.settle().await;
    for said in &during {
        assert_eq!(world.state_of(said).await, "sent");
    }
    assert_eq!(world.dms().len(), 9);
    assert_eq!(world.stack.graph.report().duplicates, 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn sends_are_not_lost_when_the_queue_fails() {
    for fault in [Fault::Unavailable, Fault::Internal, Fault::LostAnswer] {
        let mut world = World::start(careful()).await;
        let all = all_said(1..=15);
        world.stack.sqs.fail_next_of(Operation::SendMessageBatch, fault, 2);
        assert_eq!(world.say(&all).await, 200, "{fault:?}");
        world.settle().await;
        world.over(15).await;
        world.each_got_one_dm(&all).await;
    }
}

#[tokio::test]
async fn live_comments_go_at_once_however_many_wait() {
    let mut world = World::start(careful()).await;
    let inbound = all_said(1..=100);
    assert_eq!(world.say(&inbound).await, 200);
    world.pass_secs(60).await;
    let live: Vec<Said> = (201..=205).map(|n| said(n).live()).collect();
    assert_eq!(world.say(&live).await, 200);
    let waiting = world.waiting(CREATOR).await;
    let lanes = |lane| waiting.iter().filter(|(_, send)| send.class.lane == lane).count();
    assert_eq!((lanes(Lane::Live), lanes(Lane::Inbound)), (5, waiting.len() - 5));
    assert!(waiting.len() > 80);
    let asked = world.now();
    world.pass_secs(5).await;
    for said in &live {
        assert_eq!(world.state_of(said).await, "sent");
    }
    assert!(world.dms().iter().all(|&(_, at)| at <= asked + Duration::from_secs(5)));
    world.settle().await;
    world.over(105).await;
    world.each_got_one_dm(&[inbound, live].concat()).await;
}

/// Meta takes a hundred live replies a second. A window counts for some seconds longer, so of more
/// than a hundred the rest follows then.
#[tokio::test]
async fn a_hundred_live_comments_are_answered_within_seconds() {
    let mut world = World::start(quotas("5000/1h", "5000/24h")).await;
    let live: Vec<Said> = (1..=240).map(|n| said(n).live()).collect();
    let asked = world.now();
    assert_eq!(world.say(&live).await, 200);
    world.pass_secs(60).await;
    world.each_got_one_dm(&live).await;
    let sent_within = |secs| {
        let end = asked + Duration::from_secs(secs);
        world.dms().iter().filter(|&&(_, at)| at <= end).count()
    };
    let sent = [1, 3, 10, 30].map(sent_within);
    assert!(sent[1] >= 60 && sent[3] == 240, "in 1, 3, 10 and 30 seconds: {sent:?}");
    world.settle().await;
    world.over(240).await;
}

#[tokio::test]
async fn live_comments_have_ten_minutes_and_others_a_week() {
    let world = World::start(careful()).await;
    assert_eq!(world.say(&[said(1), said(2).live()]).await, 200);
    let waiting = world.waiting(CREATOR).await;
    let left: BTreeMap<Lane, Duration> = waiting
        .iter()
        .map(|(_, send)| (send.class.lane, send.deadline.since(world.now())))
        .collect();
    assert_eq!(left[&Lane::Live], Duration::from_secs(600));
    assert_eq!(left[&Lane::Inbound], Duration::from_secs(7 * 24 * 3600 - 3600));
}

#[tokio::test]
async fn texts_take_turns_and_are_filled_in() {
    let mut world = World::wrapped(quotas("750/1h", "1000/24h"), listen_in).await;
    let mut all = all_said(700_000..700_060);
    all[7].username = None;
    all[8].username = Some("  ".into());
    all[9].username = Some("ñandú 🦤 ".repeat(19));
    all[11].username = Some("ñandú 🦤 ".repeat(500));
    all[10].username = Some("{keyword}".into());
    for few in all.chunks(9) {
        assert_eq!(world.say(few).await, 200);
        world.pass_secs(3).await;
    }
    world.settle().await;
    world.over(60).await;
    world.each_got_one_dm(&all).await;

    let mut variants = Vec::new();
    for (comment, _) in world.dms() {
        let said = all.iter().find(|said| said.id == comment.as_str()).unwrap();
        variants.push(world.told(said).await.unwrap().outcome["variant"].as_u64().unwrap());
    }
    assert!(variants.windows(2).all(|pair| pair[0] != pair[1]), "{variants:?}");
    assert!((0..3).all(|variant| variants.contains(&variant)));

    for said in &all {
        let text = text_for(said);
        assert!((1..=1000).contains(&text.len()), "{} bytes", text.len());
        assert!(text.ends_with("https://example.com/guide"), "{text}");
        match said.username.as_deref().map(str::trim) {
            Some("{keyword}") => assert!(text.contains("{keyword}"), "{text}"),
            Some(name) if (1..30).contains(&name.len()) => assert!(text.contains(name), "{text}"),
            Some(name) if (1..=256).contains(&name.len()) => {
                assert!(text.contains("ñandú 🦤 ñandú"), "{text}");
            }
            // There is none, or it is too long to be one.
            _ => assert!(text.contains("there") || text.contains("Hello"), "{text}"),
        }
    }
}
