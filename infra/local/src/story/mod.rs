//! The local story: a Reel goes viral, and two to three days of pacing are over in seconds. Time is
//! virtual; the loop steps the clock to whatever is due next and runs one invocation at a time.

pub mod planner;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use spillway_cloud::dynamo::DynamoBacklogs;
use spillway_cloud::wiring::Wiring;
use spillway_core::time::Timestamp;
use spillway_meta::signature::sign;
use spillway_service::clock::Clock;
use spillway_service::port::Backlogs;

use crate::clock::SteppedClock;
use crate::graph::{self, UnknownComments};
use crate::lambda::{Polled, Source, WEBHOOK_PATH};
use crate::report::Report;
use crate::setup::{QuotaOptions, load_accounts, parse_span};
use crate::stack::{Blueprint, Pace, Ports, Stack, listen};
use trace::{Shape, Trace};

/// What the story is about.
#[derive(Args, Clone, Debug)]
pub struct StoryOptions {
    /// Comments that get a DM
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub comments: u32,
    /// The time in which they are written, for instance 10m
    #[arg(long, default_value = "10m", value_parser = parse_span)]
    pub span: Duration,
    /// What everything is drawn from: the same seed, the same story
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Monday, 7 September 2026, 17:00 UTC.
const START: Timestamp = Timestamp::from_secs(1_788_800_400);

/// What an invocation takes in virtual time.
const WEBHOOK_TAKES: Duration = Duration::from_millis(120);
const SENDER_TAKES: Duration = Duration::from_millis(300);
const RELEASE_TAKES: Duration = Duration::from_millis(200);
const SCHEDULE_TAKES: Duration = Duration::from_millis(50);

/// The schedule's period.
const MINUTE: Duration = Duration::from_secs(60);

/// Meta tries a failed delivery again, for 36 hours with growing waits; here, the first few.
const REDELIVERIES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(20),
    Duration::from_secs(120),
    Duration::from_secs(900),
    Duration::from_secs(3600),
];

/// After this much virtual time the story is over, whatever waits: nothing takes longer than a
/// comment can be answered.
const THE_END: Duration = Duration::from_secs(9 * 24 * 3600);

/// A story under way.
pub struct Story {
    /// The stack it plays on.
    pub stack: Arc<Stack>,
    /// Comments that must each get one DM.
    pub expected: u64,
    clock: Arc<SteppedClock>,
    seed: u64,
    webhook_url: String,
    http: reqwest::Client,
    /// Deliveries to come, the next one last, each with how often it failed.
    deliveries: Vec<(trace::Delivery, usize)>,
    backlogs: DynamoBacklogs,
    /// When the schedule finds something due; `None` when that must be looked up.
    next_tick: Option<Option<Timestamp>>,
    last_tick: Timestamp,
}

/// How far a story is.
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

/// What is due next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Delivery,
    Tick,
    Poll(Which),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Releases,
    Sends,
}

impl Story {
    /// Sets the scene.
    ///
    /// # Errors
    /// When the stack does not start.
    pub async fn new(options: &StoryOptions, quotas: &QuotaOptions) -> Result<Self> {
        Self::wrapped(options, quotas, std::convert::identity).await
    }

    /// As [`Self::new`], with something between the use cases and their ports.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn wrapped(
        options: &StoryOptions,
        quotas: &QuotaOptions,
        wrap: fn(Wiring) -> Wiring,
    ) -> Result<Self> {
        let clock = Arc::new(SteppedClock::new(START));
        let accounts = load_accounts(None, quotas)?;
        let account = accounts.first().context("the example has no account")?.id.clone();
        let stack = Stack::start(Blueprint {
            clock: clock.clone(),
            pace: Pace::Stepped,
            accounts,
            graph: graph::GraphConfig {
                limits: quotas.limits(),
                seed: options.seed,
                unknown_comments: UnknownComments::Refuse,
                ..graph::GraphConfig::default()
            },
            ports: Ports::default(),
            seed: Some(options.seed),
            wrap,
        })
        .await?;
        let stack = Arc::new(stack);
        let (origin, listener) = listen(0).await?;
        tokio::spawn(stack.clone().serve_function_url(listener, |_, _| ()));

        let Trace { comments, mut deliveries, expected } = Trace::draw(&Shape {
            account,
            comments: options.comments,
            span: options.span,
            start: START,
            seed: options.seed,
        });
        for comment in comments {
            stack.graph.observe_comment(comment);
        }
        deliveries.reverse();
        Ok(Self {
            expected,
            seed: options.seed,
            webhook_url: format!("{origin}{WEBHOOK_PATH}"),
            http: reqwest::Client::builder().no_proxy().build()?,
            deliveries: deliveries.into_iter().map(|delivery| (delivery, 0)).collect(),
            backlogs: DynamoBacklogs {
                client: stack.dynamo.clone(),
                table: stack.config.state_table.clone(),
            },
            next_tick: None,
            last_tick: START,
            clock,
            stack,
        })
    }

    /// Plays the story to its end: until nothing is due any more.
    ///
    /// # Errors
    /// When a part of the stack fails in a way that is no part of the story.
    pub async fn play(&mut self, mut watch: impl FnMut(Progress)) -> Result<Report> {
        while self.step().await? {
            watch(self.progress());
        }
        let report = Report::of(&self.stack).await?;
        Ok(Report { seed: self.seed, ..report })
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let counts = self.stack.sqs.counts(Source::Sends.queue());
        Progress {
            elapsed: self.clock.now().since(START),
            deliveries: self.deliveries.len(),
            sent: self.stack.graph.report().accepted,
            queued: counts.map_or(0, |counts| counts.total()),
        }
    }

    /// Does what is due next; `false` when nothing is.
    ///
    /// # Errors
    /// As [`Self::play`].
    pub async fn step(&mut self) -> Result<bool> {
        let Some((at, due)) = self.next_due().await? else { return Ok(false) };
        if at > START + THE_END {
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
            Due::Poll(which) => {
                let (source, takes) = match which {
                    Which::Sends => (Source::Sends, SENDER_TAKES),
                    Which::Releases => (Source::Releases, RELEASE_TAKES),
                };
                if self.stack.poll(source).await? == Polled::Ran {
                    self.clock.step(takes);
                }
            }
        }
        self.next_tick = None;
        Ok(true)
    }

    async fn next_due(&mut self) -> Result<Option<(Timestamp, Due)>> {
        let visible = |source: Source| self.stack.sqs.next_visible(source.queue());
        let sends = visible(Source::Sends).map(|at| (at, Due::Poll(Which::Sends)));
        let releases = visible(Source::Releases).map(|at| (at, Due::Poll(Which::Releases)));
        let delivery = self.deliveries.last().map(|(delivery, _)| (delivery.at, Due::Delivery));
        let tick = self.next_tick().await?.map(|at| (at, Due::Tick));
        let now = self.clock.now();
        let due = [delivery, tick, releases, sends].into_iter().flatten();
        Ok(due.map(|(at, due)| (at.max(now), due)).min())
    }

    /// The next minute in which the schedule finds an account due; the others are stepped over.
    async fn next_tick(&mut self) -> Result<Option<Timestamp>> {
        if let Some(known) = self.next_tick {
            return Ok(known);
        }
        let marked = self.backlogs.marked().await?;
        let due = marked.into_iter().map(|(_, due)| due).min();
        let tick = due.map(|due| {
            let earliest = due.max(self.last_tick + MINUTE).since(START).as_millis();
            let minute = MINUTE.as_millis();
            let minutes = u64::try_from(earliest.div_ceil(minute)).unwrap_or(u64::MAX);
            START + Duration::from_millis(minutes.saturating_mul(60_000))
        });
        self.next_tick = Some(tick);
        Ok(tick)
    }

    /// Makes the next delivery; one that is not answered with 200 comes again later.
    async fn deliver(&mut self) -> Result<()> {
        let Some((delivery, failures)) = self.deliveries.pop() else { return Ok(()) };
        let secret = self.stack.secrets.app_secrets.first().context("no app secret")?;
        let answer = self
            .http
            .post(&self.webhook_url)
            .header("content-type", "application/json")
            .header("x-hub-signature-256", sign(secret, &delivery.body))
            .body(delivery.body.clone())
            .send()
            .await
            .context("deliver a webhook")?;
        self.clock.step(WEBHOOK_TAKES);
        if answer.status() != reqwest::StatusCode::OK
            && let Some(&wait) = REDELIVERIES.get(failures)
        {
            let again = trace::Delivery { at: self.clock.now() + wait, ..delivery };
            let place = self.deliveries.partition_point(|(other, _)| other.at > again.at);
            self.deliveries.insert(place, (again, failures + 1));
        }
        Ok(())
    }
}
