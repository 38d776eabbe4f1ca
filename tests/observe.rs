//! What operators see: every step of a send under its id, metrics that agree with the stores, a log
//! that stays small, and no text, name or secret in any of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use spillway_cloud::emf::{NAMESPACE, STACK};
use spillway_cloud::telemetry;
use spillway_cloud::wiring::Wiring;
use spillway_core::id::AccountId;
use spillway_graph::{Fault, FaultKind};
use spillway_local::report::Report;
use spillway_local::story::{Story, StoryOptions};
use spillway_meta::signature::sign;
use spillway_meta::signed_request;
use spillway_meta::webhook::PROBE;
use spillway_service::ingest::EntryKeys;
use spillway_service::metrics::{Kind, Metric};
use spillway_sqs::Operation;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::Targets;

use crate::harness::{CREATOR, OTHER, Said, World, all_said, body, careful, log_to, quotas, said};
use crate::upkeep::{end_of_a_token, hour_of_refused_webhooks, webhooks_that_stop};
use spillway_webhook::DELETION_PATH;

/// What a DM on the straight path may cost in CloudWatch Logs, in bytes, metrics included.
const BYTES_PER_DM_MAX: usize = 1024;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

thread_local! {
    /// What the functions have written: each test has a thread of its own.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Written;

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The functions log as in Lambda, at `level`, until the guard is dropped. What stands in for AWS
/// and Meta is no part of it.
fn log_at(level: LevelFilter) -> DefaultGuard {
    log_to(telemetry::subscriber(levels(level), || Written))
}

fn levels(level: LevelFilter) -> Targets {
    let stand_ins = ["spillway_local", "spillway_sqs", "spillway_graph", "dynoxide"]
        .map(|target| (target, LevelFilter::OFF));
    let ours = ["service", "cloud", "meta", "webhook", "sender", "release", "upkeep"]
        .map(|name| (format!("spillway_{name}"), level));
    let levels = Targets::new().with_default(LevelFilter::INFO);
    levels.with_targets(stand_ins).with_targets(ours)
}

fn observed(wiring: Wiring) -> Wiring {
    let write_metrics = Arc::new(|line: &str| writeln!(Written, "{line}").unwrap());
    Wiring { write_metrics, stack: "spillway-production".into(), ..wiring }
}

/// The lines written since the last time, each one JSON.
fn lines() -> Vec<Value> {
    let written = WRITTEN.take();
    let lines = std::str::from_utf8(&written).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn is_metrics(line: &Value) -> bool {
    line.get("_aws").is_some()
}

/// The values of each metric, with those of all labels together, as CloudWatch reads the lines.
#[derive(Debug, Default)]
struct Metrics(BTreeMap<String, Vec<(u64, u64)>>);

impl Metrics {
    fn read(lines: &[Value]) -> Self {
        let mut read = Self::default();
        for line in lines.iter().filter(|line| is_metrics(line)) {
            for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
                assert_eq!(directive["Namespace"], NAMESPACE);
                for metric in directive["Metrics"].as_array().unwrap() {
                    read.add(line, directive, metric);
                }
            }
        }
        read
    }

    fn add(&mut self, line: &Value, directive: &Value, metric: &Value) {
        let name = metric["Name"].as_str().unwrap();
        let known = Metric::ALL.into_iter().map(Metric::definition);
        let known = known.into_iter().find(|known| known.name == name).unwrap();
        assert_eq!(metric["Unit"], format!("{:?}", known.unit));
        let mut dimensions = vec![STACK];
        dimensions.extend(known.dimension);
        assert_eq!(directive["Dimensions"], serde_json::json!([dimensions]));
        for dimension in dimensions {
            let value = line[dimension].as_str().unwrap();
            // An account's id would be a series, and a bill, for each account.
            assert!(!value.is_empty() && !value.contains("178414"), "{dimension} is {value}");
        }
        let all = |of: &Value| -> Vec<u64> {
            of.as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect()
        };
        let values = match &line[name] {
            Value::Number(value) => vec![(value.as_u64().unwrap(), 1)],
            many => all(&many["Values"]).into_iter().zip(all(&many["Counts"])).collect(),
        };
        self.0.entry(name.into()).or_default().extend(values);
    }

    fn sum(&self, metric: Metric) -> u64 {
        assert_eq!(metric.definition().kind, Kind::Sum);
        self.values(metric).iter().map(|(value, _)| value).sum()
    }

    fn samples(&self, metric: Metric) -> u64 {
        self.values(metric).iter().map(|(_, count)| count).sum()
    }

    fn values(&self, metric: Metric) -> &[(u64, u64)] {
        self.0.get(metric.definition().name).map(Vec::as_slice).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_dm_on_the_straight_path_costs_less_than_a_kilobyte_of_logs() {
    let _logs = log_at(LevelFilter::INFO);
    let mut world = World::wrapped(careful(), observed).await;
    assert_eq!(world.say(&[said(1)]).await, 200);
    // What the schedule says in each minute is not for one DM.
    world.pass(MINUTE / 2).await;
    world.each_got_one_dm(&[said(1)]).await;
    let bytes = WRITTEN.with_borrow(Vec::len);
    let lines = lines();
    assert!(bytes < BYTES_PER_DM_MAX, "{bytes} bytes: {lines:#?}");
    let said: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(said, ["queued", "sent"]);
    let written = Metrics::read(&lines);
    assert_eq!((written.sum(Metric::Accepted), written.sum(Metric::Sent)), (1, 1));
}

#[tokio::test]
async fn nothing_is_written_where_nothing_happened() {
    let _logs = log_at(LevelFilter::INFO);
    let mut world = World::wrapped(careful(), observed).await;
    // Connecting the accounts has marked them. Nothing waits, so the marks go.
    world.pass_secs(3600).await;
    assert!(!lines().is_empty());
    world.stack.tick().await;
    assert_eq!(lines(), [Value::Null; 0]);
    // `spillway doctor` probes the webhook with a delivery that tells of nothing.
    assert_eq!(world.post(PROBE.as_bytes()).await, 200);
    let forged = sign(&SecretString::from("another"), PROBE.as_bytes());
    assert_eq!(world.post_raw(PROBE.as_bytes(), Some(&forged)).await, 401);
    let metrics: Vec<Value> = lines().into_iter().filter(is_metrics).collect();
    assert_eq!(metrics, [Value::Null; 0]);
}

/// Anybody can make requests that no secret has signed, and each line is paid for.
#[tokio::test]
async fn forged_requests_write_a_few_lines_a_minute() {
    const FORGED: u64 = 100;
    let world = World::wrapped(careful(), observed).await;
    let written = telemetry::limited(levels(LevelFilter::INFO), || Written, world.clock.clone());
    let _logs = log_to(written);
    lines();
    let unsigned = body(world.now().as_secs(), &[canary(90)]);
    let forged = sign(&SecretString::from("another"), &unsigned);
    let request = signed_request::sign(&"another".into(), CREATOR, world.now());
    let forge = async || {
        assert_eq!(world.post_raw(&unsigned, Some(&forged)).await, 401);
        assert_eq!(world.post_raw(&unsigned, None).await, 401);
        assert_eq!(world.ask_as_meta(DELETION_PATH, &request).await.0, 401);
    };
    for _ in 0..FORGED {
        forge().await;
    }
    let mut all = lines();
    // A warning for each of the two paths, and the metrics.
    assert_eq!(all.len(), 2 + 1, "{all:#?}");
    world.clock.step(MINUTE);
    forge().await;
    all.extend(lines());
    assert_eq!(Metrics::read(&all).sum(Metric::SignatureFailures), 3 * FORGED + 1);
    // The same again, how many warnings were left out, a second label's metrics, and that the secret
    // was read again.
    assert_eq!(all.len(), 2 * (2 + 1) + 2 + 1 + 1, "{all:#?}");
    // What is counted is not lost to what comes next.
    assert_eq!(world.say(&[said(1)]).await, 200);
    all.extend(lines());
    assert_eq!(Metrics::read(&all).sum(Metric::SignatureFailures), 3 * (FORGED + 1));
}

/// Somebody may have an app with many accounts that are connected elsewhere.
#[tokio::test]
async fn accounts_that_are_not_connected_are_one_line_of_the_log() {
    let _logs = log_at(LevelFilter::INFO);
    let world = World::wrapped(careful(), observed).await;
    lines();
    let of = |n: u32| said(n).on(format!("1784149999999{n:04}").leak());
    let all: Vec<Said> = (1..=30).map(of).collect();
    assert_eq!(world.post(&body(world.now().as_secs(), &all)).await, 200);
    let written = lines();
    let warnings: Vec<_> = written.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert_eq!((&warnings[0]["accounts"], &warnings[0]["events"]), (&30.into(), &30.into()));
    assert_eq!(Metrics::read(&written).sum(Metric::UnknownAccounts), 30);
}

/// In the stores' words and in the metrics'.
#[tokio::test]
async fn the_metrics_agree_with_the_stores_and_with_meta() {
    let options = StoryOptions { comments: 60, span: Duration::from_secs(120), seed: 3 };
    let mut story = Story::wrapped(&options, &quotas("20/1h", "1000/24h"), observed).await.unwrap();
    let stack = story.stack.clone();
    for (kind, times) in [
        (FaultKind::RecipientUnavailable, 2),
        (FaultKind::Transient, 3),
        (FaultKind::NoAnswer, 1),
        (FaultKind::Throttled { code: 613, regain_minutes: Some(5) }, 1),
    ] {
        stack.graph.order_fault(Fault::new(kind).times(times));
    }
    let report: Report = story.play(&mut |_| ()).await.unwrap();
    let metrics = Metrics::read(&lines());
    let Report { matched, sent, failed, expired, cancelled, graph_calls, .. } = report;
    assert_eq!((failed, sent + failed), (2, matched), "the faults struck");
    for (metric, expected) in [
        (Metric::Matched, matched),
        (Metric::Sent, sent),
        (Metric::Failed, failed),
        (Metric::Expired, expired),
        (Metric::Cancelled, cancelled),
        (Metric::Held, 1),
    ] {
        assert_eq!(metrics.sum(metric), expected, "{metric:?}");
    }
    assert_eq!(metrics.samples(Metric::GraphLatency), graph_calls);
    let failed = stack.graph.calls().iter().filter(|call| call.status != 200).count() as u64;
    assert_eq!(metrics.sum(Metric::GraphErrors), failed);
    let accepted = metrics.sum(Metric::Accepted);
    assert!(accepted >= matched + metrics.sum(Metric::Duplicates), "{accepted}");
    let headroom = metrics.values(Metric::Headroom);
    assert!(headroom.iter().all(|&(percent, _)| percent <= 100), "{headroom:?}");
}

/// An account that its token does not see, in Meta's words about a missing object, raises the alarm
/// of a dead token.
#[tokio::test]
async fn an_account_that_its_token_does_not_see_raises_an_alarm() {
    let mut world = World::wrapped(careful(), observed).await;
    world.stack.graph.order_fault(Fault::new(FaultKind::AccountUnseen));
    assert_eq!(world.say(&all_said(1..=3)).await, 200);
    world.pass(MINUTE).await;
    let metrics = Metrics::read(&lines());
    let template = crate::template::template();
    let alarm = &template["Resources"]["DeadTokenAlarm"]["Properties"];
    assert_eq!(alarm["MetricName"], Metric::DeadTokens.definition().name);
    assert!(metrics.sum(Metric::DeadTokens) > alarm["Threshold"].as_u64().unwrap());
    assert_eq!((metrics.sum(Metric::Held), metrics.sum(Metric::Failed)), (1, 0));
}

/// Values that must be found nowhere.
const NAME: &str = "canary.name";
const TEXT: &str = "canary text";

/// The `n`th comment, by somebody whose name and words can be found again.
fn canary(n: u32) -> Said {
    let said = said(n).saying(&format!("the guide {TEXT}"));
    Said { username: Some(NAME.into()), ..said }
}

/// A world in which everything goes wrong that the functions have a word for.
struct Trouble {
    world: World,
    /// What must not be found, beside [`NAME`] and [`TEXT`].
    secrets: Vec<String>,
}

impl Trouble {
    async fn start() -> Self {
        let world = World::wrapped(careful(), observed).await;
        let id = AccountId::new(CREATOR);
        let account = world.outside.accounts.load(&id).await.unwrap().unwrap();
        world.outside.keys.prepare(&id, &account.token).await.unwrap();
        let token = world.outside.keys.open(&id, &account.token).unwrap();
        let stack = &world.stack.secrets;
        let exposed = |secret: &SecretString| secret.expose_secret().to_owned();
        let mut secrets: Vec<String> =
            stack.app_secrets.iter().chain(&stack.verify_tokens).map(exposed).collect();
        // A part of every DM's text.
        secrets.extend([exposed(&token), "example.com".into(), "canary token".into()]);
        Self { world, secrets }
    }

    /// Deliveries that are refused or lead to nothing.
    async fn deliver_badly(&self) {
        let Self { world, .. } = self;
        let unsigned = body(world.now().as_secs(), &[canary(90)]);
        let forged = sign(&SecretString::from("another"), &unsigned);
        assert_eq!(world.post_raw(&unsigned, Some(&forged)).await, 401);
        assert_eq!(world.post_raw(&unsigned, None).await, 401);
        assert_eq!(world.post(format!("{{\"{TEXT}\": ").as_bytes()).await, 400);
        let of_nobody = body(1, &[canary(91).on("17841499999999999")]);
        assert_eq!(world.post(&of_nobody).await, 200);
        let without_id = Said { id: format!("/{NAME}/"), ..canary(92) };
        assert_eq!(world.post(&body(world.now().as_secs(), &[without_id])).await, 200);
        let asked = [("hub.mode", "subscribe"), ("hub.verify_token", "canary token")];
        assert_ne!(world.get(&asked).await.0, 200);
    }

    /// The stored send is spoilt in a way whose error would quote the person's name.
    async fn spoil(&self, said: &Said) {
        self.world
            .stack
            .dynamo
            .update_item()
            .table_name(&self.world.stack.config.sends_table)
            .key("id", AttributeValue::S(said.send().to_string()))
            .update_expression("SET body = :body")
            .expression_attribute_values(
                ":body",
                AttributeValue::S(format!(r#"{{"lane":"{NAME}","to":"{TEXT}"}}"#)),
            )
            .send()
            .await
            .unwrap();
    }

    /// Plays it, and gives the comments that were recorded and not spoilt.
    async fn play(&mut self) -> Vec<Said> {
        self.deliver_badly().await;
        let Self { world, .. } = self;
        let graph = &world.stack.graph;
        let all: Vec<Said> = (1..=48).map(canary).collect();
        for (n, kind) in [
            (2, FaultKind::RecipientUnavailable),
            (3, FaultKind::Transient),
            (4, FaultKind::NoAnswer),
            (9, FaultKind::Throttled { code: 613, regain_minutes: Some(2) }),
            (12, FaultKind::TokenDead { subcode: 463 }),
            (16, FaultKind::Blocked),
            (20, FaultKind::Throttled { code: 4, regain_minutes: Some(2) }),
        ] {
            graph.order_fault(Fault::new(kind).for_comment(canary(n).id.as_str()));
        }
        assert_eq!(world.say(&all).await, 200);
        assert_eq!(world.say(&all[..3]).await, 200, "told again");
        let unwanted = canary(64).saying(TEXT);
        assert_eq!(world.say(std::slice::from_ref(&unwanted)).await, 200, "matches nothing");
        let spoilt = canary(60);
        assert_eq!(world.say(std::slice::from_ref(&spoilt)).await, 200);
        self.spoil(&spoilt).await;
        let Self { world, .. } = self;
        world.pass(MINUTE).await;
        // Its message is lost, and its page brings it back.
        world.stack.sqs.fail_next_of(
            Operation::SendMessageBatch,
            spillway_sqs::Fault::Unavailable,
            1,
        );
        let lost = canary(61).on(OTHER);
        assert_eq!(world.say(std::slice::from_ref(&lost)).await, 200);
        world.pass(12 * MINUTE).await;
        let gone = canary(62).on(OTHER);
        world.stack.graph.order_fault(
            Fault::new(FaultKind::Throttled { code: 613, regain_minutes: Some(60) })
                .for_comment(gone.id.as_str()),
        );
        let of_other = [gone.clone(), canary(63).on(OTHER)];
        assert_eq!(world.say(&of_other).await, 200);
        world.pass(5 * MINUTE).await;
        world.disconnect(OTHER).await;
        world.pass(48 * HOUR).await;
        all.into_iter().chain([lost]).chain(of_other).collect()
    }
}

/// An end of a send, as its last line tells it.
const ENDS: [&str; 5] = [
    "sent",
    "sent: an earlier attempt had arrived",
    "sent: a read shows it",
    "sent: its echo has come",
    "ended without being sent",
];

#[tokio::test]
async fn a_send_is_logged_under_one_id_from_its_webhook_to_its_end() {
    let _logs = log_at(LevelFilter::INFO);
    let mut trouble = Trouble::start().await;
    let all = trouble.play().await;
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines() {
        let Some(message) = line["message"].as_str() else { continue };
        if let Some(send) = line["send"].as_str() {
            told.entry(send.into()).or_default().push(message.into());
        }
    }
    for said in &all {
        let id = said.send().to_string();
        let told = told.get(&id).unwrap_or_else(|| panic!("{id} is never named"));
        let (first, last) = (told[0].as_str(), told[told.len() - 1].as_str());
        assert!(["queued", "parked"].contains(&first), "{id}: {told:?}");
        assert!(ENDS.contains(&last), "{id}: {told:?}");
        let ends = told.iter().filter(|message| ENDS.contains(&message.as_str())).count();
        assert_eq!(ends, 1, "{id}: {told:?}");
    }
    let all_told: BTreeSet<&str> = told.values().flatten().map(String::as_str).collect();
    for message in ["put off", "not sent", "released", "overdue: brought back"] {
        assert!(all_told.contains(message), "{message} of {all_told:?}");
    }
}

#[tokio::test]
async fn no_text_name_or_secret_is_logged() {
    let _logs = log_at(LevelFilter::DEBUG);
    let mut trouble = Trouble::start().await;
    trouble.play().await;
    let written = WRITTEN.take();
    let written = std::str::from_utf8(&written).unwrap();
    assert!(written.contains("ingested") && written.contains("left alone"), "what was watched?");
    let secrets = trouble.secrets.iter().map(String::as_str);
    for hidden in secrets.chain([NAME, TEXT, "canary"]) {
        let line = written.lines().find(|line| line.contains(hidden));
        assert_eq!(line, None, "shows {hidden}");
    }
}

/// Of eleven people one a day can be written to, for a week.
async fn too_many() {
    let mut world = World::wrapped(quotas("200/1h", "1/24h"), observed).await;
    assert_eq!(world.say(&all_said(1..=11)).await, 200);
    world.settle().await;
    assert!(world.over(11).await.expired > 0);
}

fn with_a_wrong_clock(wiring: Wiring) -> Wiring {
    let now = wiring.clock.now();
    wiring.check.compare(now, now + HOUR, &*wiring.clock);
    observed(wiring)
}

/// What only an outage writes: the tests of the alarms play those.
const OF_OUTAGES: [&str; 5] =
    ["FailedRecords", "FailedVisits", "KeyFailures", "SecretFailures", "StoppedAccounts"];

fn with_people(wiring: Wiring) -> Wiring {
    Wiring { entry_keys: EntryKeys::Both, ..observed(wiring) }
}

/// Somebody comments twice on a post.
async fn repeats() {
    let mut world = World::wrapped(careful(), with_people).await;
    let again = Said { author: said(1).author, ..said(2) };
    assert_eq!(world.say(&[said(1), again]).await, 200);
    world.settle().await;
    assert_eq!(world.over(1).await.sent, 1);
}

#[tokio::test]
async fn every_metric_is_written_once_there_is_cause() {
    Trouble::start().await.play().await;
    too_many().await;
    repeats().await;
    end_of_a_token(observed).await;
    hour_of_refused_webhooks(observed).await;
    webhooks_that_stop(observed).await;
    let world = World::wrapped(careful(), with_a_wrong_clock).await;
    assert_eq!(world.say(&[said(1)]).await, 500);
    let metrics = Metrics::read(&lines());
    let written: BTreeSet<&str> = metrics.0.keys().map(String::as_str).collect();
    let mut expected: BTreeSet<&str> = Metric::ALL.map(|metric| metric.definition().name).into();
    for outage in OF_OUTAGES {
        assert!(expected.remove(outage), "{outage}");
    }
    assert!(expected.remove("PublicReplies"), "no campaign makes any here");
    assert!(expected.remove("Clicks"), "no campaign has links here");
    assert!(expected.remove("Conversations"), "no campaign has more than an opening here");
    assert!(expected.remove("Outranked"), "no campaigns compete here");
    assert!(expected.remove("TooManyAnswers"), "nobody writes so often here");
    assert_eq!(written, expected);
}
