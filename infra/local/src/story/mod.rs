//! The local story: a Reel goes viral, and three days of pacing are over in a minute. Time is
//! virtual.

pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use futures::future::BoxFuture;
use spillway_cloud::wiring::Wiring;
use spillway_core::time::Timestamp;
use spillway_service::accounts_file;

use crate::clock::SteppedClock;
use crate::driver::{Driver, Progress, Watch};
use crate::report::Report;
use crate::setup::{AccountLimits, EXAMPLE, parse_span};
use crate::stack::{Blueprint, Pace, Ports, Stack};
use spillway_graph::UnknownComments;
use trace::{Arrivals, REEL, Shape, Trace};

/// What the story is about.
#[derive(Args, Clone, Debug)]
pub struct StoryOptions {
    /// Comments that get a DM
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub comments: u32,
    /// The time in which they are written, for instance 10m
    #[arg(long, default_value = "10m", value_parser = parse_span)]
    pub span: Duration,
    /// Seed of all random choices: the same seed plays the same story
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// When the story begins: Monday, 7 September 2026, 17:00 UTC.
pub const START: Timestamp = Timestamp::from_secs(1_788_800_400);

/// After this much virtual time the story is over, whatever waits: nothing takes longer than a
/// comment can be answered.
const THE_END: Duration = Duration::from_secs(9 * 24 * 3600);

/// A story under way.
pub struct Story {
    /// The stack it plays on.
    pub stack: Arc<Stack>,
    /// Comments that must each get one DM.
    pub expected: u64,
    seed: u64,
    driver: Driver,
}

impl Story {
    /// Sets the scene.
    ///
    /// # Errors
    /// When the stack does not start.
    pub async fn new(options: &StoryOptions, limits: impl Into<AccountLimits>) -> Result<Self> {
        Self::wrapped(options, limits, std::convert::identity).await
    }

    /// As [`Self::new`], with something between the use cases and their ports.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn wrapped<'a>(
        options: &'a StoryOptions,
        limits: impl Into<AccountLimits>,
        wrap: fn(Wiring) -> Wiring,
    ) -> BoxFuture<'a, Result<Self>> {
        let AccountLimits { rules, judged } = limits.into();
        Box::pin(async move {
            let clock = Arc::new(SteppedClock::new(START));
            let mut accounts = accounts_file::parse(EXAMPLE, rules.profile())?;
            accounts.iter_mut().for_each(|account| account.rules = rules.clone());
            let account = accounts.first().context("the example has no account")?.id.clone();
            let stack = Stack::start(Blueprint {
                clock: clock.clone(),
                pace: Pace::Stepped,
                accounts,
                graph: spillway_graph::GraphConfig {
                    limits: judged,
                    seed: options.seed,
                    unknown_comments: UnknownComments::Refuse,
                    ..spillway_graph::GraphConfig::default()
                },
                ports: Ports::default(),
                seed: Some(options.seed),
                wrap,
            })
            .await?;
            let stack = Arc::new(stack);
            let mut driver = Driver::new(stack.clone(), clock).await?;
            let Trace { comments, deliveries, expected } = Trace::draw(&Shape {
                account,
                comments: options.comments,
                span: options.span,
                arrivals: Arrivals::Viral,
                start: START,
                media: REEL.into(),
                first: 0,
                seed: options.seed,
            });
            for said in comments {
                stack.graph.observe_comment(said.comment);
            }
            driver.plan(deliveries);
            Ok(Self { stack, expected, seed: options.seed, driver })
        })
    }

    /// Plays the story to its end: until nothing is due any more.
    ///
    /// # Errors
    /// When a part of the stack fails in a way that is no part of the story.
    pub fn play<'a>(&'a mut self, watch: &'a mut Watch<'a>) -> BoxFuture<'a, Result<Report>> {
        Box::pin(async move {
            while self.step().await? {
                watch(self.progress());
            }
            let report = Report::of(&self.stack).await?;
            Ok(Report { seed: self.seed, ..report })
        })
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.driver.progress()
    }

    /// Does what is due next; `false` when nothing is.
    ///
    /// # Errors
    /// As [`Self::play`].
    pub fn step(&mut self) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async move { self.driver.step(START + THE_END).await })
    }
}
