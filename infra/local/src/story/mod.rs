//! The local story: a Reel goes viral, and three days of pacing are over in a minute. Time is
//! virtual. People may answer, and go through a whole conversation.

mod crowd;
pub mod funnel;
mod people;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use futures::future::BoxFuture;
use spillway_cloud::wiring::Wiring;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_service::accounts_file;
use spillway_service::clock::Clock;

use crate::clock::SteppedClock;
use crate::driver::{Driver, Progress, Watch};
use crate::report::Report;
use crate::setup::{AccountLimits, EXAMPLE, parse_span};
use crate::stack::{Blueprint, Pace, Ports, Stack};
use crowd::Crowd;
use funnel::Conversed;
use people::CAMPAIGN;
use spillway_graph::UnknownComments;
use trace::{Arrivals, REEL, Said, Shape, Trace};

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

/// After this much a story of conversations is: people may answer the last DM a day later, and be
/// written to for another two.
const THE_LAST_WORD: Duration = Duration::from_secs(14 * 24 * 3600);

/// A story under way.
pub struct Story {
    /// The stack it plays on.
    pub stack: Arc<Stack>,
    /// Comments that must each get one DM.
    pub expected: u64,
    account: AccountId,
    seed: u64,
    driver: Driver,
    /// Those who answer, where anybody does.
    crowd: Option<Crowd>,
}

impl Story {
    /// Sets the scene.
    ///
    /// # Errors
    /// When the stack does not start.
    pub async fn new(options: &StoryOptions, limits: impl Into<AccountLimits>) -> Result<Self> {
        Self::wrapped(options, limits, std::convert::identity).await
    }

    /// Sets the scene for people who answer.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn conversing(
        options: &StoryOptions,
        limits: impl Into<AccountLimits>,
    ) -> Result<Self> {
        let identity = std::convert::identity;
        let (mut story, comments) = Self::set(options, limits.into(), CAMPAIGN, identity).await?;
        story.driver.sends_at_once = 1;
        let Self { account, stack, seed, .. } = &story;
        story.crowd = Some(Crowd::new(account, &comments, &stack.graph, *seed));
        Ok(story)
    }

    /// As [`Self::new`], with something between the use cases and their ports.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn wrapped(
        options: &StoryOptions,
        limits: impl Into<AccountLimits>,
        wrap: fn(Wiring) -> Wiring,
    ) -> Result<Self> {
        Self::set(options, limits.into(), EXAMPLE, wrap).await.map(|(story, _)| story)
    }

    fn set<'a>(
        options: &'a StoryOptions,
        limits: AccountLimits,
        accounts: &'a str,
        wrap: fn(Wiring) -> Wiring,
    ) -> BoxFuture<'a, Result<(Self, Vec<Said>)>> {
        let AccountLimits { rules, judged } = limits;
        Box::pin(async move {
            let clock = Arc::new(SteppedClock::new(START));
            let mut accounts = accounts_file::parse(accounts, rules.profile())?;
            accounts.iter_mut().for_each(|account| account.rules = rules.clone());
            let account = accounts.first().context("the file has no account")?.id.clone();
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
                account: account.clone(),
                comments: options.comments,
                span: options.span,
                arrivals: Arrivals::Viral,
                start: START,
                media: REEL.into(),
                first: 0,
                seed: options.seed,
            });
            for said in &comments {
                stack.graph.observe_comment(said.comment.clone());
            }
            driver.plan(deliveries);
            let seed = options.seed;
            Ok((Self { stack, expected, account, seed, driver, crowd: None }, comments))
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
            let conversed = match &self.crowd {
                Some(crowd) => Some(Conversed::of(&self.stack, &self.account, crowd).await?),
                None => None,
            };
            Ok(Report { seed: self.seed, conversed, ..report })
        })
    }

    /// How far it is; with conversations, `sent` counts openings alone.
    pub fn progress(&self) -> Progress {
        let progress = self.driver.progress();
        let opened = self.crowd.as_ref().map(|crowd| crowd.opened.len() as u64);
        Progress { sent: opened.unwrap_or(progress.sent), ..progress }
    }

    /// Lets the story go on in real time for as long as it is awaited, so that the console shows what
    /// comes of what people do there.
    ///
    /// # Errors
    /// As [`Self::play`].
    pub fn go_on(&mut self) -> BoxFuture<'_, Result<()>> {
        const LOOKS_EVERY: Duration = Duration::from_millis(500);
        Box::pin(async move {
            let clock = self.driver.clock.clone();
            let mut looks = tokio::time::interval(LOOKS_EVERY);
            looks.tick().await;
            loop {
                let end = clock.now() + LOOKS_EVERY;
                looks.tick().await;
                while self.step_until(end).await? {}
                clock.step_to(end);
            }
        })
    }

    /// Does what is due next; `false` when nothing is.
    ///
    /// # Errors
    /// As [`Self::play`].
    pub fn step(&mut self) -> BoxFuture<'_, Result<bool>> {
        let lasts = if self.crowd.is_some() { THE_LAST_WORD } else { THE_END };
        self.step_until(START + lasts)
    }

    /// As [`Self::step`], for what is due until `end`.
    ///
    /// # Errors
    /// As [`Self::play`].
    pub fn step_until(&mut self, end: Timestamp) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async move {
            let Some(crowd) = &mut self.crowd else { return self.driver.step(end).await };
            let next_act = crowd.next_at().filter(|&at| at <= end);
            if self.driver.step(next_act.unwrap_or(end)).await? {
                crowd.read()?;
                return Ok(true);
            }
            let Some(at) = next_act else { return Ok(false) };
            self.driver.clock.step_to(at);
            let told = crowd.act(self.driver.clock.now());
            self.driver.plan(told);
            Ok(true)
        })
    }
}
