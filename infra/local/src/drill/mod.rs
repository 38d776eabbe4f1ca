//! The chaos drill: a day of comments, and one trouble after another. Whoever commented gets one DM
//! all the same.

pub mod report;
pub mod trouble;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use secrecy::SecretString;
use spillway_cloud::dynamo::DynamoAccounts;
use spillway_cloud::login::Login;
use spillway_cloud::wiring::Wiring;
use spillway_core::seed::seed;
use spillway_core::time::Timestamp;
use spillway_service::accounts_file::NewAccount;
use spillway_service::clock::Clock;

use self::report::{DrillReport, Fate, fates};
use self::trouble::Trouble;
use crate::clock::SteppedClock;
use crate::driver::{Driver, Progress};
use crate::graph::{Fault, FaultKind, GraphConfig, UnknownComments};
use crate::setup::{QuotaOptions, load_accounts};
use crate::stack::{Blueprint, Pace, Ports, Stack};
use crate::story::trace::{Arrivals, Said, Shape, Trace};
use crate::tap::{KillPoint, Service};

/// What is drilled.
#[derive(Args, Clone, Debug)]
pub struct DrillOptions {
    /// Comments of the day that get a DM
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

/// How long comments come.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// After the day, how long somebody who is lost may still be found: upkeep reads the comments of an
/// account that has been quiet for six hours.
const SEARCH: Duration = Duration::from_secs(12 * 3600);

/// After this much virtual time it is over, whatever waits: nothing takes longer than a comment can
/// be answered.
const THE_END: Duration = Duration::from_secs(9 * 24 * 3600);

/// How often the schedule starts upkeep, as in template.yaml.
const UPKEEP_EVERY: Duration = Duration::from_secs(900);

/// Where logins come back to.
const REDIRECT: &str = "https://example.com/";

/// A drill under way.
pub struct Drill {
    /// The stack it plays on.
    pub stack: Arc<Stack>,
    /// What lets time pass for it.
    pub driver: Driver,
    clock: Arc<SteppedClock>,
    /// The ports as whoever operates has them: no trouble reaches them.
    outside: Wiring,
    account: NewAccount,
    comments: Vec<Said>,
    troubles: Vec<Happened>,
    /// The trouble that lasts, by its place.
    now: Option<usize>,
    /// Invocations that died, from when to when.
    killed: Vec<RangeInclusive<Timestamp>>,
    seed: u64,
}

/// A trouble, and what was seen of it.
struct Happened {
    trouble: Trouble,
    begin: Timestamp,
    end: Timestamp,
    struck: u64,
    unsubscribed: Option<Timestamp>,
    resubscribed: Option<Timestamp>,
}

/// What happens by itself at an instant.
enum Moment {
    Comment(usize),
    Begin(usize),
    End(usize),
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
    pub async fn wrapped(
        options: &DrillOptions,
        quotas: &QuotaOptions,
        wrap: fn(Wiring) -> Wiring,
    ) -> Result<Self> {
        let clock = Arc::new(SteppedClock::new(START));
        let accounts = load_accounts(None, quotas)?;
        let account = accounts.first().context("the example has no account")?.clone();
        let stack = Stack::start(Blueprint {
            clock: clock.clone(),
            pace: Pace::Stepped,
            accounts,
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
        let outside = Wiring::new(config, keys.clone(), dynamo, poller, clock.clone(), u64::MAX)?;
        let mut driver = Driver::new(stack.clone(), clock.clone()).await?;
        driver.keeps_up_every = Some(UPKEEP_EVERY);
        let Trace { comments, deliveries, .. } = Trace::draw(&Shape {
            account: account.id.clone(),
            comments: options.comments,
            span: DAY,
            arrivals: Arrivals::Even,
            start: START,
            seed: options.seed,
        });
        driver.plan(deliveries);
        let is_wanted =
            |trouble: &Trouble| options.only.is_empty() || options.only.contains(trouble);
        let troubles = Trouble::ALL.into_iter().filter(is_wanted).map(Happened::new).collect();
        Ok(Self {
            stack,
            driver,
            clock,
            outside,
            account,
            comments,
            troubles,
            now: None,
            killed: Vec::new(),
            seed: options.seed,
        })
    }

    /// Plays the day, and what follows until everybody has their DM or nothing helps any more.
    ///
    /// # Errors
    /// When a part of the stack fails in a way that is no part of the drill.
    pub async fn play(&mut self, mut watch: impl FnMut(Progress)) -> Result<DrillReport> {
        for (at, moment) in self.moments() {
            self.pass(at, &mut watch).await?;
            match moment {
                Moment::Comment(nth) => self.comment(nth),
                Moment::Begin(nth) => self.begin(nth),
                Moment::End(nth) => self.end(nth).await?,
            }
        }
        let mut until = START + DAY;
        loop {
            self.pass(until, &mut watch).await?;
            let fates = fates(self).await?;
            let is_left = |is: Fate| fates.iter().any(|(_, fate)| *fate == is);
            let may_be_found = until < START + DAY + SEARCH;
            let goes_on = is_left(Fate::Waiting) || (is_left(Fate::Lost) && may_be_found);
            if !goes_on || until >= START + THE_END {
                return DrillReport::of(self).await;
            }
            until = until + Duration::from_secs(3600);
        }
    }

    /// All that happens by itself, in its order.
    fn moments(&self) -> Vec<(Timestamp, Moment)> {
        let comments = self.comments.iter().enumerate();
        let comments = comments.map(|(nth, said)| (said.comment.created_at, Moment::Comment(nth)));
        let troubles = self.troubles.iter().enumerate().flat_map(|(nth, happened)| {
            [(happened.begin, Moment::Begin(nth)), (happened.end, Moment::End(nth))]
        });
        let mut moments: Vec<_> = comments.chain(troubles).collect();
        moments.sort_by_key(|(at, _)| *at);
        moments
    }

    /// Somebody comments: Meta knows, and tells by the delivery that is planned.
    fn comment(&self, nth: usize) {
        let Said { comment, words, .. } = &self.comments[nth];
        self.stack.graph.say(comment.id.clone(), words.clone());
        self.stack.graph.observe_comment(comment.clone());
    }

    fn begin(&mut self, nth: usize) {
        let Stack { graph, tap, poller_tap, .. } = &*self.stack;
        let Happened { trouble, begin, end, .. } = self.troubles[nth];
        match trouble {
            Trouble::Store => tap.set_out(Some(Service::DynamoDb)),
            Trouble::Queue => {
                tap.set_out(Some(Service::Sqs));
                poller_tap.set_out(Some(Service::Sqs));
            }
            Trouble::Graph => {
                // Of ten calls one is carried out all the same, and its answer lost.
                let odds = |kind, of_those| {
                    Fault::new(kind).with_probability(of_those, self.seed).lasting(end.since(begin))
                };
                graph.order_fault(odds(FaultKind::ServerError, 0.5));
                graph.order_fault(odds(FaultKind::NoAnswerBeforeEffect, 0.8));
                graph.order_fault(odds(FaultKind::ServerErrorAfterEffect, 0.5));
                graph.order_fault(odds(FaultKind::NoAnswer, 1.0));
            }
            Trouble::Webhooks => self.driver.unreachable_until = end,
            Trouble::Token => graph.set_token_life(&self.account.id, START, self.clock.now()),
            Trouble::Kills => {}
        }
        self.troubles[nth].struck = self.seen(trouble);
        self.now = Some(nth);
    }

    async fn end(&mut self, nth: usize) -> Result<()> {
        let trouble = self.troubles[nth].trouble;
        let before = self.troubles[nth].struck;
        self.troubles[nth].struck = self.seen(trouble) - before;
        self.now = None;
        match trouble {
            Trouble::Store | Trouble::Queue => {
                self.stack.tap.set_out(None);
                self.stack.poller_tap.set_out(None);
            }
            // These end by themselves.
            Trouble::Graph | Trouble::Webhooks => {}
            Trouble::Token => self.log_in().await?,
            Trouble::Kills => self.stack.tap.spare(),
        }
        Ok(())
    }

    /// What a trouble of this kind has let fail since the start.
    fn seen(&self, trouble: Trouble) -> u64 {
        let Stack { graph, tap, poller_tap, .. } = &*self.stack;
        let calls = |is: fn(u16, Option<u32>) -> bool| {
            graph.calls().iter().filter(|call| is(call.status, call.code)).count() as u64
        };
        match trouble {
            Trouble::Store | Trouble::Queue => tap.refused() + poller_tap.refused(),
            Trouble::Graph => calls(|status, _| status == 0 || status >= 500),
            Trouble::Webhooks => self.driver.failed_deliveries,
            Trouble::Token => calls(|_, code| code == Some(190)),
            Trouble::Kills => self.killed.len() as u64,
        }
    }

    /// The account's owner logs in again, and whoever operates connects it: `spillway connect`.
    async fn log_in(&self) -> Result<()> {
        let Stack { graph, config, secrets, dynamo, .. } = &*self.stack;
        let (app, code) = graph.log_in(&self.account.id).context("nobody can log in")?;
        let login = Login::new(&config.graph, secrets.app_secrets.clone())?;
        let logged_in = login.redeem(&app, &SecretString::from(code), REDIRECT).await?;
        ensure!(logged_in.me.account == self.account.id, "another account has logged in");
        let accounts = DynamoAccounts { client: dynamo.clone(), table: config.state_table.clone() };
        login.connect(&self.outside, &accounts, &logged_in, &self.account).await?;
        Ok(())
    }

    /// Lets time pass until `until`, and everything happen that is due.
    async fn pass(&mut self, until: Timestamp, watch: &mut impl FnMut(Progress)) -> Result<()> {
        loop {
            self.order_kill();
            let (was_armed, began) = (self.stack.tap.is_armed(), self.clock.now());
            if !self.driver.step(until).await? {
                break;
            }
            if was_armed && !self.stack.tap.is_armed() {
                self.killed.push(began..=self.clock.now());
            }
            self.look_at_subscription();
            watch(self.driver.progress());
        }
        self.clock.step_to(until);
        Ok(())
    }

    /// While functions are killed, the next one follows when the last has struck.
    fn order_kill(&self) {
        let is_on = self.now.is_some_and(|nth| self.troubles[nth].trouble == Trouble::Kills);
        if !is_on || self.stack.tap.is_armed() {
            return;
        }
        let nth = self.killed.len().to_string();
        let draw = |what: &str, n| seed(&[what, &self.seed.to_string(), &nth]) % n;
        let point = match draw("point", 2) {
            0 => KillPoint::Before,
            _ => KillPoint::After,
        };
        self.stack.tap.kill_at(1 + draw("kill", 30), point);
    }

    /// Notes when Meta gives up telling of the account, and when it does again.
    fn look_at_subscription(&mut self) {
        let (is_told, now) = (self.stack.graph.is_subscribed(&self.account.id), self.clock.now());
        let begun = self.troubles.iter_mut().rfind(|happened| happened.begin <= now);
        let Some(happened) = begun else { return };
        if !is_told {
            happened.unsubscribed.get_or_insert(now);
        } else if happened.unsubscribed.is_some() {
            happened.resubscribed.get_or_insert(now);
        }
    }

    /// Whether what Meta answered then may have been lost with a function, or with the store.
    fn may_be_unrecorded(&self, answered: Timestamp) -> bool {
        let store = self.troubles.iter().filter(|happened| happened.trouble == Trouble::Store);
        let mut store = store.map(|happened| happened.begin..=happened.end);
        store.any(|span| span.contains(&answered))
            || self.killed.iter().any(|span| span.contains(&answered))
    }
}

impl Happened {
    fn new(trouble: Trouble) -> Self {
        let (begin, end) = trouble.span();
        Self {
            trouble,
            begin: START + begin,
            end: START + end,
            struck: 0,
            unsubscribed: None,
            resubscribed: None,
        }
    }
}
