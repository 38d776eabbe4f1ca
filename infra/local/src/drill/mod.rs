//! The chaos drill: days of comments, and one trouble after another. Each commenter gets one DM
//! all the same.
//!
//! The drill believes Meta. A comment is answered when Meta carried out its DM, whatever the
//! entries say; it is lost when there is neither a DM nor an entry. A second call for a comment
//! is wrong, unless the answer to the first came while the store was out or its function died.
//! Drawn days go on after the last one until nobody waits, for as long as a comment can be
//! answered. The loads are such that none needs to be late.
//!
//! An outage of a store or queue is played between SDK and service, for pollers too. Meta's
//! failures are played by the simulated Graph API.

mod days;
mod load;
mod picture;
mod plan;
pub mod report;
mod strike;
pub mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use futures::future::BoxFuture;
use spillway_cloud::wiring::Wiring;
use spillway_core::id::AccountId;
use spillway_core::time::Timestamp;
use spillway_graph::{GraphConfig, UnknownComments};
use spillway_service::accounts_file::NewAccount;
use spillway_service::clock::Clock;

use self::plan::Planned;
use self::report::{DrillReport, Fate, fates};
use self::strike::Happened;
use self::trouble::Trouble;
use crate::clock::SteppedClock;
use crate::driver::{Delivery, Driver, Watch};
use crate::setup::{QuotaOptions, load_accounts};
use crate::stack::{Blueprint, Pace, Ports, Stack};
use crate::story::trace::{Said, Trace};

/// What is drilled.
#[derive(Args, Clone, Debug)]
pub struct DrillOptions {
    /// Days: one that is always the same, or several whose troubles, bursts and accounts are drawn
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=14))]
    pub days: u32,
    /// Comments of a day that get a DM
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub comments: u32,
    /// Only these troubles, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TROUBLES")]
    pub only: Vec<Trouble>,
    /// What everything is drawn from: the same seed, the same drill
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Monday, 7 September 2026, 00:00 UTC.
const START: Timestamp = Timestamp::from_secs(1_788_739_200);

/// How long comments come, for each day of the drill.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// So long after the last day it is over, whatever waits or is lost: a comment can be answered for
/// a week.
const AFTERWARDS: Duration = Duration::from_secs(8 * 24 * 3600);

/// Accounts of a drill of several days.
const ACCOUNTS: [&str; 3] = ["17841400000000001", "17841400000000002", "17841400000000003"];

/// How often the schedule starts upkeep, as in template.yaml.
const UPKEEP_EVERY: Duration = Duration::from_secs(900);

/// Where logins come back to.
const REDIRECT: &str = "https://example.com/";

/// How long after a login that failed the owner logs in again.
const LOG_IN_AGAIN: Duration = Duration::from_secs(900);

/// A drill under way.
pub struct Drill {
    /// The stack it plays on.
    pub stack: Arc<Stack>,
    /// What lets time pass for it.
    pub driver: Driver,
    clock: Arc<SteppedClock>,
    /// The operator's ports: no trouble reaches them.
    outside: Wiring,
    accounts: Vec<NewAccount>,
    comments: Vec<Said>,
    /// What Meta delivers in any case, ascending.
    deliveries: Vec<Delivery>,
    troubles: Vec<Happened>,
    /// The troubles that last, by their places.
    on: BTreeSet<usize>,
    /// What is still to happen by itself, by when; what comes at the same instant in the order
    /// planned.
    moments: BTreeMap<(Timestamp, usize), Moment>,
    planned: usize,
    /// Invocations that died, from when to when.
    killed: Vec<RangeInclusive<Timestamp>>,
    unheard: Vec<Unheard>,
    days: u32,
    seed: u64,
}

/// What happens by itself at an instant.
#[derive(Clone, Copy)]
enum Moment {
    Comment(usize),
    Begin(usize),
    End(usize),
    /// An account's owner logs in again.
    LogIn(usize),
}

/// A time in which Meta told nothing of an account, since it had unsubscribed it.
struct Unheard {
    /// The account's place.
    account: usize,
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Drill {
    /// Sets the scene.
    ///
    /// # Errors
    /// When the stack does not start.
    pub async fn new(options: &DrillOptions, quotas: &QuotaOptions) -> Result<Self> {
        Self::wrapped(options, quotas, std::convert::identity).await
    }

    /// As [`Self::new`], with something between the use cases and their ports.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn wrapped<'a>(
        options: &'a DrillOptions,
        quotas: &'a QuotaOptions,
        wrap: fn(Wiring) -> Wiring,
    ) -> BoxFuture<'a, Result<Self>> {
        Box::pin(async move {
            let clock = Arc::new(SteppedClock::new(START));
            let scene = Scene::of(options, load_accounts(None, quotas)?)?;
            let stack = Stack::start(Blueprint {
                clock: clock.clone(),
                pace: Pace::Stepped,
                accounts: scene.connected,
                graph: GraphConfig {
                    limits: quotas.limits(),
                    seed: options.seed,
                    unknown_comments: UnknownComments::Refuse,
                    ..GraphConfig::default()
                },
                ports: Ports::default(),
                seed: Some(options.seed),
                wrap,
            })
            .await?;
            let stack = Arc::new(stack);
            let Stack { config, keys, dynamo, poller, .. } = &*stack;
            let outside =
                Wiring::new(config, keys.clone(), dynamo, poller, clock.clone(), u64::MAX)?;
            let mut driver = Driver::new(stack.clone(), clock.clone()).await?;
            driver.keeps_up_every = Some(UPKEEP_EVERY);
            let Trace { comments, deliveries, .. } = scene.trace;
            driver.plan(deliveries.clone());
            let mut drill = Self {
                stack,
                driver,
                clock,
                outside,
                troubles: scene.troubles.iter().map(Happened::new).collect(),
                accounts: scene.drilled,
                comments,
                deliveries,
                on: BTreeSet::new(),
                moments: BTreeMap::new(),
                planned: 0,
                killed: Vec::new(),
                unheard: Vec::new(),
                days: options.days,
                seed: options.seed,
            };
            drill.plan_moments();
            Ok(drill)
        })
    }

    /// Plays the days, and what follows until everybody has their DM or nothing helps any more.
    ///
    /// # Errors
    /// When a part of the stack fails in a way that is no part of the drill.
    pub fn play<'a>(&'a mut self, watch: &'a mut Watch<'a>) -> BoxFuture<'a, Result<DrillReport>> {
        Box::pin(async move {
            let last_day_ends = START + DAY * self.days;
            while let Some(((at, _), moment)) = self.moments.pop_first() {
                ensure!(at < last_day_ends + AFTERWARDS, "no end to what happens by itself");
                self.pass(at, watch).await?;
                match moment {
                    Moment::Comment(nth) => self.comment(nth),
                    Moment::Begin(nth) => self.begin(nth).await?,
                    Moment::End(nth) => self.end(nth).await?,
                    Moment::LogIn(account) => self.log_in(account).await?,
                }
            }
            let mut until = last_day_ends;
            loop {
                self.pass(until, watch).await?;
                let fates = fates(self).await?;
                let goes_on = fates.iter().any(|(_, is)| matches!(is, Fate::Waiting | Fate::Lost));
                if !goes_on || until >= last_day_ends + AFTERWARDS {
                    return DrillReport::of(self).await;
                }
                until = until + Duration::from_secs(3600);
            }
        })
    }

    /// Plans all that happens by itself.
    fn plan_moments(&mut self) {
        for nth in 0..self.comments.len() {
            self.plan(self.comments[nth].comment.created_at, Moment::Comment(nth));
        }
        for nth in 0..self.troubles.len() {
            self.plan(self.troubles[nth].begin, Moment::Begin(nth));
            self.plan(self.troubles[nth].end, Moment::End(nth));
        }
    }

    fn plan(&mut self, at: Timestamp, moment: Moment) {
        self.moments.insert((at, self.planned), moment);
        self.planned += 1;
    }

    /// Somebody comments: Meta knows, and tells by the delivery that is planned.
    fn comment(&self, nth: usize) {
        let Said { comment, words, .. } = &self.comments[nth];
        self.stack.graph.say(comment.account.clone(), comment.id.clone(), words.clone());
        self.stack.graph.observe_comment(comment.clone());
    }

    /// Lets time pass until `until`, and everything happen that is due.
    async fn pass(&mut self, until: Timestamp, watch: &mut Watch<'_>) -> Result<()> {
        loop {
            self.order_kill();
            let (was_armed, began) = (self.stack.faults.is_armed(), self.clock.now());
            if !self.driver.step(until).await? {
                break;
            }
            if was_armed && !self.stack.faults.is_armed() {
                self.killed.push(began..=self.clock.now());
            }
            self.look_at_subscription();
            watch(self.driver.progress());
        }
        self.clock.step_to(until);
        Ok(())
    }

    /// Notes when Meta gives up telling of an account, and when it does again.
    fn look_at_subscription(&mut self) {
        let now = self.clock.now();
        for (nth, account) in self.accounts.iter().enumerate() {
            let mut of_account = self.unheard.iter_mut().filter(|gap| gap.account == nth);
            let open = of_account.find(|gap| gap.until.is_none());
            match (open, self.stack.graph.is_subscribed(&account.id)) {
                (None, false) => {
                    self.unheard.push(Unheard { account: nth, from: now, until: None });
                }
                (Some(gap), true) => gap.until = Some(now),
                _ => {}
            }
        }
    }

    /// The account at a place.
    fn account(&self, place: usize) -> &AccountId {
        &self.accounts[place].id
    }
}

/// Who is there, who comments, and what goes wrong.
struct Scene {
    /// The accounts that are connected.
    connected: Vec<NewAccount>,
    /// Of these, those that people comment under.
    drilled: Vec<NewAccount>,
    trace: Trace,
    troubles: Vec<Planned>,
}

impl Scene {
    /// Draws the scene around the accounts of the example.
    fn of(options: &DrillOptions, example: Vec<NewAccount>) -> Result<Self> {
        let DrillOptions { days, comments, ref only, seed } = *options;
        ensure!(!example.is_empty(), "the example has no account");
        let mut kinds = Trouble::ALL.to_vec();
        kinds.retain(|trouble| only.is_empty() || only.contains(trouble));
        if days == 1 {
            let mut troubles = plan::ONE_DAY.to_vec();
            troubles.retain(|one| kinds.contains(&one.trouble));
            ensure!(!troubles.is_empty(), "a single day has none of these troubles: give --days");
            let trace = load::one_day(&example[0].id, comments, seed);
            return Ok(Self {
                drilled: example[..1].to_vec(),
                connected: example,
                trace,
                troubles,
            });
        }
        let drilled: Vec<NewAccount> =
            ACCOUNTS.map(|id| NewAccount { id: id.into(), ..example[0].clone() }).into();
        let ids: Vec<AccountId> = drilled.iter().map(|account| account.id.clone()).collect();
        Ok(Self {
            connected: drilled.clone(),
            trace: load::days(&ids, days, comments, seed),
            troubles: plan::draw(days, drilled.len(), &kinds, seed),
            drilled,
        })
    }
}
