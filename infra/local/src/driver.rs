//! The driver of a stack in virtual time: it steps the clock to whatever is due next, a delivery of
//! Meta's, a minute of the schedule or a message, and runs one invocation at a time.
//!
//! The SDK of the local stack retries nothing, and no timer decides anything. So the same seed
//! gives the same report.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use spillway_cloud::dynamo::DynamoBacklogs;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_graph::EchoDelivery;
use spillway_meta::signature::sign;
use spillway_service::clock::Clock;

use crate::clock::SteppedClock;
use crate::lambda::{Polled, SENDER_BATCH, Source, WEBHOOK_PATH};
use crate::stack::{Stack, listen};

/// What an invocation takes in virtual time.
const WEBHOOK_TAKES: Duration = Duration::from_millis(120);
const SENDER_TAKES: Duration = Duration::from_millis(300);
const RELEASE_TAKES: Duration = Duration::from_millis(200);
const SCHEDULE_TAKES: Duration = Duration::from_millis(50);

/// The schedule's period.
const MINUTE: Duration = Duration::from_secs(60);

/// How long a poller waits after SQS did not answer.
const POLLER_WAITS: Duration = Duration::from_secs(5);

/// What a run of upkeep takes.
const UPKEEP_TAKES: Duration = Duration::from_millis(500);

/// Meta tries a failed delivery again, at once and then with growing waits, for 36 hours (webhooks
/// of the Instagram Platform). When exactly is not documented.
const REDELIVERIES: [Duration; 8] = [
    Duration::from_secs(1),
    Duration::from_secs(20),
    Duration::from_secs(120),
    Duration::from_secs(900),
    Duration::from_secs(3600),
    Duration::from_secs(3 * 3600),
    Duration::from_secs(8 * 3600),
    Duration::from_secs(23 * 3600),
];

/// One POST of Meta's.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When Meta makes it.
    pub at: Timestamp,
    /// Its body.
    pub body: Vec<u8>,
}

/// Lets time pass for a stack.
pub struct Driver {
    /// The stack, under [`Pace::Stepped`](crate::stack::Pace::Stepped).
    pub stack: Arc<Stack>,
    /// Its clock.
    pub clock: Arc<SteppedClock>,
    /// Where the webhook is.
    pub webhook_url: String,
    /// A client for it.
    pub http: reqwest::Client,
    start: Timestamp,
    last_tick: Timestamp,
    /// Deliveries to come, the next one last, each with how often it failed.
    deliveries: Vec<(Delivery, usize)>,
    backlogs: DynamoBacklogs,
    /// Messages that the sender is given at a time. Sends of conversations that are given together
    /// race for slots, and which is first is no matter of the seed.
    pub sends_at_once: i32,
    /// How often upkeep runs; without it never: its calls would be in everybody's counts.
    pub keeps_up_every: Option<Duration>,
    last_upkeep: Timestamp,
    /// Until then no delivery reaches the webhook.
    pub unreachable_until: Timestamp,
    /// Until then no schedule starts anything.
    pub unscheduled_until: Timestamp,
    /// Deliveries that failed.
    pub failed_deliveries: u64,
}

/// How far a play is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Virtual time since the start.
    pub elapsed: Duration,
    /// Deliveries not made yet.
    pub deliveries: usize,
    /// DMs that Meta accepted.
    pub sent: u64,
    /// Messages on the send queue.
    pub queued: usize,
}

/// Is told after each step how far a play is.
pub type Watch<'a> = dyn FnMut(Progress) + Send + 'a;

/// What is due next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Delivery,
    Tick,
    Upkeep,
    Poll(Which),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Releases,
    Sends,
}

impl Driver {
    /// Serves the stack's function URL on loopback. The schedule's minutes count from now.
    ///
    /// # Errors
    /// When nothing can be served.
    pub async fn new(stack: Arc<Stack>, clock: Arc<SteppedClock>) -> Result<Self> {
        let (origin, listener) = listen(0).await?;
        tokio::spawn(stack.clone().serve_function_url(listener, |_, _| ()));
        let start = clock.now();
        Ok(Self {
            webhook_url: format!("{origin}{WEBHOOK_PATH}"),
            http: spillway_meta::http::client().no_proxy().build()?,
            start,
            last_tick: start,
            deliveries: Vec::new(),
            backlogs: DynamoBacklogs { table: stack.state_table() },
            sends_at_once: SENDER_BATCH,
            keeps_up_every: None,
            last_upkeep: start,
            unreachable_until: Timestamp::EPOCH,
            unscheduled_until: Timestamp::EPOCH,
            failed_deliveries: 0,
            clock,
            stack,
        })
    }

    /// Plans deliveries. Those for the same instant are made in the order given.
    pub fn plan(&mut self, deliveries: Vec<Delivery>) {
        let planned = std::mem::take(&mut self.deliveries);
        self.deliveries = deliveries.into_iter().rev().map(|delivery| (delivery, 0)).collect();
        self.deliveries.extend(planned);
        self.deliveries.sort_by_key(|(delivery, _)| Reverse(delivery.at));
    }

    /// Deliveries not made yet.
    pub fn deliveries_left(&self) -> usize {
        self.deliveries.len()
    }

    /// How far the play is.
    pub fn progress(&self) -> Progress {
        let counts = self.stack.sqs.counts(Source::Sends.queue());
        Progress {
            elapsed: self.clock.now().since(self.start),
            deliveries: self.deliveries_left(),
            sent: self.stack.graph.report().accepted,
            queued: counts.map_or(0, |counts| counts.total()),
        }
    }

    /// Does what is due next; `false` when nothing is until `end`, which time does not pass then.
    ///
    /// # Errors
    /// When a part of the stack fails in a way that is no part of the play.
    pub fn step(&mut self, end: Timestamp) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async move {
            let echoes = self.stack.graph.take_echoes().into_iter();
            self.plan(echoes.map(|EchoDelivery { at, body }| Delivery { at, body }).collect());
            let Some((at, due)) = self.next_due().await? else { return Ok(false) };
            if at > end {
                return Ok(false);
            }
            self.clock.step_to(at);
            match due {
                Due::Delivery => self.deliver().await?,
                Due::Tick => {
                    self.last_tick = at;
                    self.stack.tick().await;
                    self.clock.step(SCHEDULE_TAKES);
                }
                Due::Upkeep => {
                    self.last_upkeep = at;
                    self.stack.keep_up().await;
                    self.clock.step(UPKEEP_TAKES);
                }
                Due::Poll(which) => {
                    let (polled, takes) = match which {
                        Which::Sends => {
                            let sends = self.stack.poll_for(Source::Sends, self.sends_at_once);
                            (sends.await?, SENDER_TAKES)
                        }
                        Which::Releases => {
                            (self.stack.poll(Source::Releases).await?, RELEASE_TAKES)
                        }
                    };
                    match polled {
                        Polled::Ran => self.clock.step(takes),
                        Polled::Unanswered => self.clock.step(POLLER_WAITS),
                        Polled::Empty | Polled::Refused => {}
                    }
                }
            }
            Ok(true)
        })
    }

    async fn next_due(&self) -> Result<Option<(Timestamp, Due)>> {
        let visible = |source: Source| self.stack.sqs.next_visible(source.queue());
        let sends = visible(Source::Sends).map(|at| (at, Due::Poll(Which::Sends)));
        let releases = visible(Source::Releases).map(|at| (at, Due::Poll(Which::Releases)));
        let delivery = self.deliveries.last().map(|(delivery, _)| (delivery.at, Due::Delivery));
        let now = self.clock.now();
        let upkeep = self.keeps_up_every.map(|every| self.last_upkeep + every);
        let upkeep = upkeep.map(|at| (at.max(self.unscheduled_until), Due::Upkeep));
        let due = [delivery, upkeep, releases, sends].into_iter().flatten();
        let next = due.map(|(at, due)| (at.max(now), due)).min();
        if next.is_some_and(|(at, _)| at < self.tick_at(Timestamp::EPOCH)) {
            // No account can be due before that: its reads are saved.
            return Ok(next);
        }
        let tick = self.next_tick().await?.map(|at| (at.max(now), Due::Tick));
        Ok(next.into_iter().chain(tick).min())
    }

    /// The next minute in which the schedule finds an account due; the others are stepped over.
    async fn next_tick(&self) -> Result<Option<Timestamp>> {
        let marked = self.backlogs.marked_of(&self.stack.graph.accounts()).await?;
        let due = marked.into_iter().map(|(_, due)| due).min();
        Ok(due.map(|due| self.tick_at(due)))
    }

    /// The schedule's next minute for what is due then.
    fn tick_at(&self, due: Timestamp) -> Timestamp {
        let earliest = due.max(self.last_tick + MINUTE).max(self.unscheduled_until);
        let earliest = earliest.since(self.start).as_millis();
        let minutes = u64::try_from(earliest.div_ceil(MINUTE.as_millis())).unwrap_or(u64::MAX);
        self.start + Duration::from_millis(minutes.saturating_mul(60_000))
    }

    /// Makes the next delivery; one that is not answered with 200 comes again later.
    async fn deliver(&mut self) -> Result<()> {
        let Some((delivery, failures)) = self.deliveries.pop() else { return Ok(()) };
        let accounts = accounts(&delivery.body);
        if !accounts.is_empty() && !accounts.iter().any(|id| self.stack.graph.is_subscribed(id)) {
            // Meta tells an app of nothing that it is not subscribed to.
            return Ok(());
        }
        let is_taken = self.post(&delivery).await?;
        self.clock.step(WEBHOOK_TAKES);
        self.failed_deliveries += u64::from(!is_taken);
        for account in &accounts {
            self.stack.graph.told(account, is_taken);
        }
        if !is_taken && let Some(&wait) = REDELIVERIES.get(failures) {
            let again = Delivery { at: self.clock.now() + wait, ..delivery };
            let place = self.deliveries.partition_point(|(other, _)| other.at > again.at);
            self.deliveries.insert(place, (again, failures + 1));
        }
        Ok(())
    }

    /// Whether the webhook takes the delivery.
    async fn post(&self, delivery: &Delivery) -> Result<bool> {
        if self.clock.now() < self.unreachable_until {
            return Ok(false);
        }
        let secret = self.stack.secrets.app_secrets.first().context("no app secret")?;
        let signature = sign(secret, &delivery.body);
        let answer = self
            .http
            .post(&self.webhook_url)
            .header("content-type", "application/json")
            .header("x-hub-signature-256", signature)
            .body(delivery.body.clone())
            .send()
            .await
            .context("deliver a webhook")?;
        Ok(answer.status() == reqwest::StatusCode::OK)
    }
}

/// The accounts that a delivery tells of.
fn accounts(body: &[u8]) -> BTreeSet<AccountId> {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let entries = body["entry"].as_array().cloned().unwrap_or_default();
    entries.iter().filter_map(|entry| entry["id"].as_str().map(AccountId::from)).collect()
}
