//! Outages against the template's own alarms: which of them tells, and how soon. Metrics are those
//! that the functions write in virtual time; none of this asks CloudWatch.

mod evaluator;
mod expression;
mod parts;
mod rollback;
mod table;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::Value;
use spillway_cloud::telemetry;
use spillway_cloud::wiring::Wiring;
use spillway_core::content::Message;
use spillway_core::id::{CommentId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_graph::{Fault, FaultKind};
use spillway_local::clock::SteppedClock;
use spillway_local::fault_injector::{Function, Outage, Service};
use spillway_local::stack::queues;
use spillway_meta::graph::{Answered, CallError, CommentItem, Conversation, Page, Profile, Sent};
use spillway_meta::signature::sign;
use spillway_meta::webhook::PROBE;
use spillway_service::account::Account;
use spillway_service::clock::{Clock, ClockCheck};
use spillway_service::port::{Graph, StoreError};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use self::evaluator::{Alarm, Recorded, Series};
use crate::harness::{OTHER, START, World, all_said, body, careful, log_to, said};
use crate::template::template;

/// The local stack's name, which its metrics are counted under.
const STACK_NAME: &str = "local";

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const QUARTER: Duration = Duration::from_secs(900);

/// Within this an alarm must tell of an outage.
const TOLD_WITHIN: Duration = QUARTER;

thread_local! {
    /// Lines of metrics that the functions have written: each test has a thread of its own.
    static LINES: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
    /// Whether calls of sends reach Meta.
    static IS_CUT_OFF: Cell<bool> = const { Cell::new(false) };
    /// What the functions know of their clock.
    static CHECK: RefCell<Option<Arc<ClockCheck>>> = const { RefCell::new(None) };
}

/// Writes down metrics, and can cut functions off from Meta and make them doubt their clock.
fn observed(wiring: Wiring) -> Wiring {
    CHECK.set(Some(wiring.check.clone()));
    let write_metrics = Arc::new(|line: &str| {
        let line = serde_json::from_str(line).unwrap();
        LINES.with_borrow_mut(|lines| lines.push(line));
    });
    let graph = Arc::new(CutOff(wiring.graph.clone()));
    Wiring { write_metrics, graph, ..wiring }
}

/// The template's alarms that tell somebody, by their names without the ending.
fn alarms() -> BTreeMap<String, Alarm> {
    let template = template();
    let resources = template["Resources"].as_object().unwrap().iter();
    let alarms = resources.filter(|(name, resource)| {
        resource["Type"] == "AWS::CloudWatch::Alarm" && !name.ends_with("RollbackAlarm")
    });
    let named = alarms.map(|(name, alarm)| {
        let name = name.strip_suffix("Alarm").unwrap();
        (name.to_owned(), Alarm::read(&alarm["Properties"]))
    });
    named.collect()
}

/// A world whose metrics are recorded.
struct Play {
    world: World,
    recorded: Recorded,
    alarms: BTreeMap<String, Alarm>,
    /// How much of what Lambda has observed is recorded.
    taken_in: usize,
    /// Until when the schedule's minutes are.
    seen_until: Timestamp,
}

impl Play {
    async fn start() -> Self {
        let mut world = World::wrapped(careful(), observed).await;
        world.driver.keeps_up_every = Some(QUARTER);
        let alarms = alarms();
        Self { world, recorded: Recorded::default(), alarms, taken_in: 0, seen_until: START }
    }

    /// Lets `span` pass in steps of `slice`, and notes the dead letters after each.
    async fn pass(&mut self, span: Duration, slice: Duration) {
        let end = self.world.now() + span;
        while self.world.now() < end {
            self.world.pass(slice.min(end.since(self.world.now()))).await;
            let dead = self.world.queue(queues::DEAD_LETTERS).total();
            let of = [("QueueName", "DeadLetterQueue")];
            self.add("AWS/SQS", "ApproximateNumberOfMessagesVisible", of, self.world.now(), dead);
        }
    }

    /// Lets everything happen until `end`.
    async fn pass_until(&mut self, end: Timestamp) {
        self.pass(end.since(self.world.now()), HOUR).await;
    }

    /// Lets time pass until `end`, of which two minutes in three hours are played. In a long outage
    /// the others are like these. Upkeep does not run any more, and alarms tell nothing of it.
    async fn skim_until(&mut self, end: Timestamp) {
        self.world.driver.keeps_up_every = None;
        while self.world.now() < end {
            self.world.pass(2 * MINUTE).await;
            let next = self.world.now() + 3 * HOUR - 2 * MINUTE;
            self.world.clock.step_to(next.min(end));
        }
    }

    /// Lets time pass until nothing is due any more. Upkeep does not run.
    async fn settle(&mut self) {
        self.world.driver.keeps_up_every = None;
        self.world.settle().await;
    }

    fn add(
        &mut self,
        namespace: &str,
        name: &str,
        dimensions: [(&str, &str); 1],
        at: Timestamp,
        value: usize,
    ) {
        let dimensions = dimensions.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let series = Series { namespace: namespace.into(), name: name.into(), dimensions };
        self.recorded.add(series, at, value as f64, 1.0);
    }

    /// Takes in what the functions and Lambda have written until now. The driver steps over minutes
    /// in which the schedule would find nothing to do; Lambda counts those too.
    fn take_in(&mut self) {
        for line in LINES.take() {
            self.recorded.read(&line);
        }
        let observed = self.world.stack.lambda_metrics.observed();
        for observed in &observed[self.taken_in..] {
            let function = format!("{:?}Function", observed.function);
            let name = format!("{:?}", observed.metric);
            self.add("AWS/Lambda", &name, [("FunctionName", &function)], observed.at, 1);
        }
        self.taken_in = observed.len();
        let release = format!("{:?}Function", Function::Release);
        while self.seen_until < self.world.now() {
            let of = [("FunctionName", release.as_str())];
            self.add("AWS/Lambda", "Invocations", of, self.seen_until, 1);
            self.seen_until = self.seen_until + MINUTE;
        }
    }

    /// The alarms that go on between `from` and now, and when.
    fn told_since(&mut self, from: Timestamp) -> BTreeMap<String, Timestamp> {
        self.take_in();
        let now = self.world.now();
        let alarms = self.alarms.iter();
        alarms
            .filter_map(|(name, alarm)| {
                // Before there is a whole range of minutes nothing can be said of stopped schedules.
                let from = if name.ends_with("Stopped") { from + alarm.range() } else { from };
                Some((name.clone(), alarm.first_on(&self.recorded, from, now)?))
            })
            .collect()
    }

    /// Exactly these alarms go on after `from`: each of those that ARCHITECTURE.md names for the
    /// failure in time, and others whenever they do.
    fn assert_told(&mut self, from: Timestamp, named: &[&str], others: &[&str]) {
        let told = self.told_since(from);
        let names: BTreeSet<&str> = told.keys().map(String::as_str).collect();
        assert_eq!(names, named.iter().chain(others).copied().collect(), "{told:?}");
        for name in named {
            let after = told[*name].since(from);
            assert!(after <= TOLD_WITHIN, "{name} only after {after:?}: {told:?}");
        }
    }

    /// The alarm goes on within `span` after `from`, whichever others do.
    fn assert_tells(&mut self, name: &str, from: Timestamp, span: Duration) {
        let told = self.told_since(from);
        let at = told.get(name).unwrap_or_else(|| panic!("{name} never goes on: {told:?}"));
        assert!(at.since(from) <= span, "{name} only after {:?}: {told:?}", at.since(from));
    }

    /// Whether an alarm is on now.
    fn is_on(&mut self, name: &str) -> bool {
        self.take_in();
        self.alarms[name].is_on(&self.recorded, self.world.now())
    }

    fn fault(&self, kind: FaultKind, span: Duration) {
        self.world.stack.graph.order_fault(Fault::new(kind).lasting(span));
    }
}

/// Meta as the sender reaches it, or does not.
struct CutOff(Arc<dyn Graph>);

#[async_trait]
impl Graph for CutOff {
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
        if IS_CUT_OFF.get() {
            return Err(CallError::NotWritten);
        }
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

/// Meta is said to have been out for so long at a time.
const LONG_OUTAGE: Duration = Duration::from_secs(60 * 3600);

/// A person who was called meanwhile may have the DM, so that send fails. Every other one waits.
#[tokio::test]
async fn server_errors_of_metas_are_told_and_end_only_the_sends_that_were_called() {
    let mut play = Play::start().await;
    play.fault(FaultKind::ServerError, LONG_OUTAGE);
    play.world.say(&all_said(1..=10)).await;
    play.pass(3 * HOUR, HOUR).await;
    // No send fails before its deadline: until then evidence may come.
    play.assert_told(START, &["StoppedAccount", "MetaFailing"], &[]);
    play.world.driver.keeps_up_every = None;
    play.pass_until(START + LONG_OUTAGE - 3 * HOUR).await;
    play.world.say(&all_said(11..=20)).await;
    play.pass_until(START + LONG_OUTAGE).await;
    assert!(play.is_on("StoppedAccount"), "until its end");
    let failed = play.world.calls().into_iter().filter(|call| call.status == 500);
    let called: BTreeSet<CommentId> = failed.filter_map(|call| call.comment_id).collect();
    let called = called.len() as u64;
    play.settle().await;
    let report = play.world.over(20).await;
    assert_eq!((report.failed, report.sent), (called, 20 - called), "{report:?}");
    assert!(report.sent >= 3, "a hold keeps the others: {report:?}");
}

/// What Meta did not answer may have arrived. Nothing shows that it did not, so it is not repeated.
#[tokio::test]
async fn a_meta_that_does_not_answer_is_told_and_leaves_an_unknown_send() {
    let mut play = Play::start().await;
    play.fault(FaultKind::NoAnswerBeforeEffect, 8 * HOUR);
    play.world.say(&[said(1)]).await;
    play.pass(HOUR, HOUR).await;
    play.assert_told(START, &["MetaFailing"], &[]);
    play.world.driver.keeps_up_every = None;
    play.pass_until(START + 8 * HOUR).await;
    play.settle().await;
    let report = play.world.over_but_for_duplicates(1).await;
    assert_eq!((report.sent, report.failed), (0, 1), "{report:?}");
}

#[tokio::test]
async fn a_meta_that_cannot_be_reached_is_told_and_loses_nothing() {
    let mut play = Play::start().await;
    IS_CUT_OFF.set(true);
    play.world.say(&[said(1)]).await;
    play.pass(HOUR, HOUR).await;
    assert!(play.is_on("MetaFailing"), "as long as it lasts");
    play.assert_told(START, &["MetaFailing"], &[]);
    play.skim_until(START + LONG_OUTAGE).await;
    IS_CUT_OFF.set(false);
    play.settle().await;
    assert_eq!(play.world.over(1).await.sent, 1);
}

/// A throttle is no outage: no alarm tells of it, and nobody is lost to it.
#[tokio::test]
async fn a_meta_that_throttles_for_days_loses_nothing() {
    let mut play = Play::start().await;
    play.fault(FaultKind::Throttled { code: 613, regain_minutes: None }, LONG_OUTAGE);
    play.world.say(&all_said(1..=3)).await;
    play.pass(HOUR, HOUR).await;
    assert_eq!(play.told_since(START), BTreeMap::new());
    play.skim_until(START + LONG_OUTAGE).await;
    play.settle().await;
    assert_eq!(play.world.over(3).await.sent, 3);
}

/// There is time to give the permission back: a comment is lost only when it is seven days old.
#[tokio::test]
async fn a_permission_that_is_withdrawn_is_told_and_costs_what_gets_too_old() {
    let lasts = 8 * 24 * HOUR;
    let mut play = Play::start().await;
    play.fault(FaultKind::Permission, lasts);
    play.world.say(&all_said(1..=4)).await;
    play.pass(2 * HOUR, HOUR).await;
    play.assert_told(START, &["StoppedAccount"], &[]);
    play.skim_until(START + 24 * HOUR).await;
    assert!(play.is_on("StoppedAccount"));
    play.skim_until(START + 6 * 24 * HOUR).await;
    assert_eq!(play.world.report().await.waiting, 4);
    play.world.say(&all_said(5..=6)).await;
    play.skim_until(START + lasts).await;
    play.settle().await;
    let report = play.world.over(6).await;
    assert_eq!((report.expired, report.sent), (4, 2), "{report:?}");
}

#[tokio::test]
async fn a_dead_token_and_a_restricted_account_are_told() {
    for (kind, alarm) in [
        (FaultKind::TokenDead { subcode: 463 }, "DeadToken"),
        (FaultKind::Blocked, "BlockedAccount"),
    ] {
        let mut play = Play::start().await;
        play.fault(kind, 24 * HOUR);
        play.world.say(&all_said(1..=5)).await;
        play.pass(2 * HOUR, HOUR).await;
        play.assert_tells(alarm, START, TOLD_WITHIN);
    }
}

#[tokio::test]
async fn dms_that_are_all_refused_are_told() {
    for kind in [FaultKind::RecipientUnavailable, FaultKind::LinkRefused] {
        let mut play = Play::start().await;
        play.fault(kind.clone(), 24 * HOUR);
        play.world.say(&all_said(1..=30)).await;
        play.pass(2 * HOUR, HOUR).await;
        let expected: &[&str] = match kind {
            FaultKind::LinkRefused => &["StoppedAccount"],
            _ => &["SendsFailing", "SendsFailingSlowly"],
        };
        play.assert_told(START, expected, &[]);
    }
}

/// One refused DM in half an hour is too rare for fifteen minutes, and lost to somebody all the same.
#[tokio::test]
async fn dms_that_are_refused_now_and_then_and_never_sent_are_told_within_hours() {
    let mut play = Play::start().await;
    play.fault(FaultKind::RecipientUnavailable, 24 * HOUR);
    for n in 1..=4 {
        play.world.say(&[said(n)]).await;
        play.pass(HOUR / 2, HOUR / 2).await;
    }
    let told = play.told_since(START);
    assert_eq!(told.keys().collect::<Vec<_>>(), ["SendsFailingSlowly"]);
    play.assert_tells("SendsFailingSlowly", START, 2 * HOUR);
}

thread_local! {
    /// What the functions have logged.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The time by which repeated lines are left out.
    static CLOCK: RefCell<Option<Arc<SteppedClock>>> = const { RefCell::new(None) };
}

struct Log;

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The clock of this thread's play.
struct OfPlay;

impl Clock for OfPlay {
    fn now(&self) -> Timestamp {
        CLOCK.with_borrow(|clock| clock.as_ref().map_or(START, |clock| clock.now()))
    }

    fn monotonic(&self) -> Duration {
        self.now().since(START)
    }
}

#[tokio::test]
async fn a_kms_that_is_gone_is_told_in_a_line_a_minute_and_loses_nothing() {
    let levels = Targets::new().with_target("spillway_service", LevelFilter::WARN);
    let _logs = log_to(telemetry::limited(levels, || Log, Arc::new(OfPlay)));
    let mut play = Play::start().await;
    CLOCK.set(Some(play.world.clock.clone()));
    play.world.stack.keys.set_gone(true);
    play.world.stack.replace_process().unwrap();
    play.world.say(&all_said(1..=3)).await;
    play.pass(HOUR, HOUR).await;
    play.assert_told(START, &["TokenKey"], &["FailedVisit"]);
    assert!(play.is_on("TokenKey"));
    let log = LOG.take();
    let lines = std::str::from_utf8(&log).unwrap().lines().filter(|line| line.contains("put off"));
    let lines = lines.count();
    // Each minute's line, and how many were left out since the one before.
    assert!((30..=122).contains(&lines), "{lines} lines of 180 in an hour");
    play.skim_until(START + 24 * HOUR).await;
    assert_eq!(play.world.report().await.waiting, 3);
    play.world.stack.keys.set_gone(false);
    play.pass(HOUR / 6, HOUR).await;
    assert_eq!(play.world.report().await.sent, 3);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_any_more_is_told() {
    let mut play = Play::start().await;
    play.world.say(&[said(1)]).await;
    play.world.stack.secret_gone.store(true, Ordering::Relaxed);
    let gone_at = play.world.now();
    for n in 2..=15 {
        play.pass(2 * MINUTE, 2 * MINUTE).await;
        assert_eq!(play.world.say(&[said(n)]).await, 200, "it goes on with what it has read");
    }
    play.assert_told(gone_at, &["Secret"], &[]);
}

#[tokio::test]
async fn a_dynamodb_that_is_out_is_told() {
    let mut play = Play::start().await;
    play.world.say(&all_said(1..=10)).await;
    play.world.stack.faults.take_out(Service::DynamoDb, Outage::Whole);
    let out_at = play.world.now();
    for n in 11..=18 {
        let at = play.world.now() + MINUTE;
        play.world.plan(at, &[said(n)]);
        play.pass(2 * MINUTE, 2 * MINUTE).await;
    }
    for alarm in ["WebhookError", "FunctionError"] {
        play.assert_tells(alarm, out_at, TOLD_WITHIN);
    }
}

/// The schedule cannot hand accounts to release. Comments are recorded, and sent afterwards.
#[tokio::test]
async fn an_sqs_that_is_out_is_told_and_loses_nothing() {
    let mut play = Play::start().await;
    play.world.stack.faults.take_out(Service::Sqs, Outage::Whole);
    assert_eq!(play.world.say(&all_said(1..=3)).await, 200);
    play.pass(HOUR, HOUR).await;
    play.assert_told(START, &["FunctionError"], &[]);
    assert!(play.is_on("FunctionError"), "as long as it lasts");
    play.world.stack.faults.bring_back(Service::Sqs);
    play.settle().await;
    assert_eq!(play.world.over(3).await.sent, 3);
}

/// POSTs a delivery that no app secret has signed.
async fn forge(play: &Play) {
    let body = body(play.world.now().as_secs(), &[said(1)]);
    let forged = sign(&SecretString::from("a guess"), &body);
    assert_eq!(play.world.post_raw(&body, Some(&forged)).await, 401);
}

/// What `spillway doctor` POSTs: one probe with the secret that is stored, and one with another.
async fn probe(play: &Play) {
    assert_eq!(play.world.post(PROBE.as_bytes()).await, 200);
    let forged = sign(&SecretString::from("made up"), PROBE.as_bytes());
    assert_eq!(play.world.post_raw(PROBE.as_bytes(), Some(&forged)).await, 401);
}

#[tokio::test]
async fn a_wrong_secret_is_told_and_forged_deliveries_among_right_ones_are_not() {
    let mut play = Play::start().await;
    for n in 1..=10 {
        forge(&play).await;
        play.world.say(&[said(n)]).await;
        forge(&play).await;
        play.pass(2 * MINUTE, 2 * MINUTE).await;
    }
    assert_eq!(play.told_since(START), BTreeMap::new());
    let wrong_since = play.world.now();
    for _ in 0..10 {
        forge(&play).await;
        play.pass(2 * MINUTE, 2 * MINUTE).await;
    }
    play.assert_told(wrong_since, &["Signature"], &[]);
}

/// The doctor from cron neither hides a wrong secret nor raises an alarm in a quiet night.
#[tokio::test]
async fn the_doctor_hides_no_wrong_secret_and_raises_no_alarm() {
    let mut play = Play::start().await;
    for _ in 0..12 {
        probe(&play).await;
        play.pass(5 * MINUTE, 5 * MINUTE).await;
    }
    assert_eq!(play.told_since(START), BTreeMap::new());
    let wrong_since = play.world.now();
    for minute in 0..20 {
        forge(&play).await;
        if minute % 10 == 0 {
            probe(&play).await;
        }
        play.pass(MINUTE, MINUTE).await;
    }
    play.assert_told(wrong_since, &["Signature"], &[]);
}

/// Meta repeats what is refused, at once and then ever more rarely.
#[tokio::test]
async fn a_wrong_secret_is_told_by_the_only_delivery_of_a_night() {
    let mut play = Play::start().await;
    play.pass(2 * HOUR, HOUR).await;
    let wrong_since = play.world.now();
    for again_after in [1, 20, 120, 900].map(Duration::from_secs) {
        forge(&play).await;
        play.pass(again_after, again_after).await;
    }
    play.assert_told(wrong_since, &["Signature"], &[]);
}

/// A few comments a day, and now and then calls that fail, as they do. Upkeep runs as seldom as the
/// alarm about it allows.
#[tokio::test]
async fn a_healthy_month_raises_no_alarm() {
    const DAYS: u32 = 30;
    let mut play = Play::start().await;
    play.world.disconnect(OTHER).await;
    play.world.driver.keeps_up_every = Some(100 * MINUTE);
    let mut said_before = 0;
    for day in 0..DAYS {
        let is_bad = day % 7 == 3;
        let comments = all_said(said_before..said_before + if is_bad { 6 } else { 2 });
        said_before += comments.len() as u32;
        // No more than half of that morning's calls so far.
        for failing in comments.iter().skip(3) {
            let fault = Fault::new(FaultKind::NoAnswer).times(1).for_comment(&*failing.id);
            play.world.stack.graph.order_fault(fault);
        }
        let morning = START + Duration::from_secs(u64::from(day) * 24 * 3600 + 60);
        play.world.plan(morning, &comments);
        play.pass(24 * HOUR, 6 * HOUR).await;
    }
    assert_eq!(play.told_since(START), BTreeMap::new());
    assert_eq!(play.world.report().await.sent, u64::from(said_before));
}
