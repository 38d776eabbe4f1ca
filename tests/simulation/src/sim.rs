//! The run of one seed: time goes from one event to the next until all has ended or broken.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use spillway_core::id::AccountId;
use spillway_core::send::Stage;
use spillway_memory::tables::Recording;

use crate::lambda::{Attempts, Call, Ended, invoke};
use crate::process::{Function, Process};
use crate::queue::Received;
use crate::record::{Counts, Failure, Listener};
use crate::sabotage::Sabotage;
use crate::scenario::{
    AccountPlan, Asked, Job, Order, Post, Processes, Scenario, Theme, Told, Trouble,
};
use crate::tasks::Tasks;
use crate::watch::Tally;
use crate::world::{Shared, World};

/// One run.
pub(crate) struct Sim {
    pub(crate) shared: Arc<Shared>,
    pub(crate) scenario: Arc<Scenario>,
    sabotage: Sabotage,
    tasks: Tasks<Ended>,
    pools: BTreeMap<Function, Pool>,
    /// What ingest is yet to be told, by time and number.
    posts: BTreeMap<(u64, u64), (Post, Attempts)>,
    posted: u64,
    /// The tools' jobs to come, the next one last.
    jobs: Vec<Job>,
    /// When accounts are changed, the next one last.
    changes: Vec<(u64, AccountId)>,
    /// What people do with accounts that are kept up, the next thing last.
    requests: Vec<(u64, AccountId, Asked)>,
    /// What operators do with each account.
    orders: BTreeMap<AccountId, Orders>,
    last_tick: u64,
    last_upkeep: u64,
    /// When all must have ended.
    end: u64,
}

/// What an operator does with one account, one thing after the other.
#[derive(Default)]
struct Orders {
    /// When each thing is due, in milliseconds since 1970.
    due: VecDeque<(u64, Order)>,
    /// Whether somebody is at work on the first one.
    is_busy: bool,
}

impl Orders {
    /// Those of an account.
    fn of(account: &AccountPlan) -> (AccountId, Self) {
        let due = account.orders.iter().cloned().collect();
        (account.id.clone(), Self { due, is_busy: false })
    }
}

/// The processes of one function.
#[derive(Default)]
struct Pool {
    idle: Vec<Process>,
    busy: usize,
    most: usize,
}

/// How a run went.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// What it was about.
    pub theme: Theme,
    /// Its seed.
    pub seed: u64,
    /// What it was about, in one line.
    pub scenario: String,
    /// What broke, the first thing first.
    pub failures: Vec<Failure>,
    /// How often what happened.
    pub counts: Counts,
    /// How the DMs ended.
    pub tally: Tally,
    /// How the public replies ended.
    pub public: Tally,
    /// When the last DM reached somebody, in milliseconds from the start.
    pub last_dm_ms: u64,
    /// The virtual time it took, in milliseconds.
    pub lasted_ms: u64,
    /// The hash over every event: the same seed gives the same.
    pub hash: u64,
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How often upkeep runs.
const QUARTER: u64 = 15 * MINUTE;

/// Meta's waits before it makes a failed delivery again, and up to a quarter more; the last one is
/// repeated.
const REDELIVERIES: [u64; 7] =
    [SECOND, 20 * SECOND, 2 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR];

/// For how long it does.
const REDELIVERED_FOR: u64 = 36 * HOUR;

/// What breaks in a run with a promise switched off, at most, before it is given up.
const FAILURES_MAX: usize = 50;

/// The number of invocations by which even the busiest run ends: one that does not end in virtual
/// time must not go on for ever in real time.
const INVOCATIONS_MAX: u64 = 2_000_000;

impl Run {
    /// Plays a seed.
    pub fn of(theme: Theme, seed: u64, sabotage: Sabotage, listener: Option<Listener>) -> Self {
        let mut sim = Sim::new(Scenario::new(theme, seed), sabotage, listener);
        sim.play();
        sim.told()
    }

    /// Whether nothing goes wrong in a seed.
    pub fn is_calm(theme: Theme, seed: u64) -> bool {
        Scenario::new(theme, seed).trouble == Trouble::None
    }

    /// Plays a seed of [`Theme::PublicReplies`] whose campaigns make none.
    pub fn without_public_replies(seed: u64) -> Self {
        let scenario = Scenario::new(Theme::PublicReplies, seed).without_public_replies();
        let mut sim = Sim::new(scenario, Sabotage::None, None);
        sim.play();
        sim.told()
    }

    /// A run that ended in a panic.
    pub(crate) fn broken(theme: Theme, seed: u64, failures: Vec<Failure>) -> Self {
        Self {
            theme,
            seed,
            scenario: Scenario::new(theme, seed).to_string(),
            failures,
            counts: Counts::new(),
            tally: Tally::default(),
            public: Tally::default(),
            last_dm_ms: 0,
            lasted_ms: 0,
            hash: 0,
        }
    }
}

impl Sim {
    /// A run that has not begun.
    pub(crate) fn new(scenario: Scenario, sabotage: Sabotage, listener: Option<Listener>) -> Self {
        let scenario = Arc::new(scenario);
        let Processes { webhook, sender, release, tool, upkeep } = scenario.processes;
        let pool = |most| Pool { most, ..Pool::default() };
        let mut sim = Self {
            shared: Shared::new(&scenario, listener),
            sabotage,
            tasks: Tasks::default(),
            pools: BTreeMap::from([
                (Function::Webhook, pool(webhook)),
                (Function::Sender, pool(sender)),
                (Function::Release, pool(release)),
                (Function::Tool, pool(tool)),
                (Function::Upkeep, pool(upkeep)),
                (Function::Operator, pool(2)),
            ]),
            posts: BTreeMap::new(),
            posted: 0,
            changes: scenario.changes(),
            jobs: scenario.jobs.iter().rev().cloned().collect(),
            requests: scenario.requests(),
            orders: scenario.accounts.iter().map(Orders::of).collect(),
            last_tick: scenario.start,
            last_upkeep: scenario.start,
            end: scenario.end,
            scenario: scenario.clone(),
        };
        for post in &scenario.posts {
            sim.post(post.at, post.clone(), Attempts { failed: 0, first: post.at });
        }
        sim
    }

    /// Plays it to its end.
    pub(crate) fn play(&mut self) {
        // With a promise switched off it is also of interest what follows.
        let most = if self.sabotage == Sabotage::None { 1 } else { FAILURES_MAX };
        let goes_on = |sim: &Self| sim.shared.world().record.failures().len() < most;
        while goes_on(self) && self.step() {}
        if goes_on(self) {
            for (account, orders) in &self.orders {
                if let Some((_, order)) = orders.due.front() {
                    self.shared.world().broken(format!("{account}: {order:?} is never done"));
                }
            }
            self.shared.world().check_end();
        }
    }

    /// What broke first.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.shared.world().record.failures().first().cloned()
    }

    /// How it went.
    fn told(&self) -> Run {
        let world = self.shared.world();
        Run {
            theme: self.scenario.theme,
            seed: self.scenario.seed,
            scenario: self.scenario.to_string(),
            failures: world.record.failures().to_vec(),
            counts: world.record.counts().clone(),
            tally: world.watch.tally,
            public: world.watch.public,
            last_dm_ms: world.watch.last_dm.saturating_sub(self.scenario.start),
            lasted_ms: world.now - self.scenario.start,
            hash: world.record.hash(),
        }
    }

    /// Does one thing; whether there is more to do.
    fn step(&mut self) -> bool {
        let echoes = self.shared.world().echoes();
        for (at, echo) in echoes {
            let post = Post { at, what: Told::Echo(echo) };
            self.post(at, post, Attempts { failed: 0, first: at });
        }
        let own = self.shared.world().own_comments();
        for post in own {
            self.post(post.at, post.clone(), Attempts { failed: 0, first: post.at });
        }
        let acts = self.shared.world().acts_to_tell();
        for post in acts {
            self.post(post.at, post.clone(), Attempts { failed: 0, first: post.at });
        }
        let ready = self.tasks.ready();
        if ready > 0 {
            let nth = if ready > 1 { self.shared.world().dice.index(ready) } else { 0 };
            if let Some(ended) = self.tasks.go_on(nth) {
                self.take_back(ended);
            }
            return true;
        }
        self.shared.ring() || self.start_what_is_due() || self.let_time_pass()
    }

    fn take_back(&mut self, ended: Ended) {
        let Ended { function, process, refused, order } = ended;
        let now = self.shared.now();
        if let Some(pool) = self.pools.get_mut(&function) {
            pool.busy -= 1;
            pool.idle.extend(process);
        }
        if let Some((post, attempts)) = refused {
            self.post_again(now, post, attempts);
        }
        if let Some((account, order, is_done)) = order {
            let orders = self.orders.entry(account).or_default();
            orders.is_busy = false;
            if !is_done {
                // The operator sees that it may have failed, and does it again.
                let wait = self.shared.world().dice.between(SECOND..=2 * MINUTE);
                orders.due.push_front((now + wait, order));
            }
        }
    }

    fn post(&mut self, at: u64, post: Post, attempts: Attempts) {
        self.posted += 1;
        self.posts.insert((at, self.posted), (post, attempts));
    }

    fn post_again(&mut self, now: u64, post: Post, attempts: Attempts) {
        let wait = REDELIVERIES[attempts.failed.min(REDELIVERIES.len() - 1)];
        let wait = wait + self.shared.world().dice.between(0..=wait / 4);
        let Some(post) = self.not_given_up(now + wait, post, attempts) else { return };
        if now + wait > attempts.first + REDELIVERED_FOR {
            self.shared.world().broken("a delivery failed for 36 hours".into());
        }
        self.shared.world().record.count("redelivered");
        self.post(now + wait, post, Attempts { failed: attempts.failed + 1, ..attempts });
    }

    /// What of a failed delivery Meta makes again at `again_at`. It may lose patience before.
    fn not_given_up(&self, again_at: u64, mut post: Post, attempts: Attempts) -> Option<Post> {
        let Told::Comments(comments) = &mut post.what else { return Some(post) };
        comments.retain(|comment| {
            let plan = self.scenario.account(&comment.account);
            let patience = plan.and_then(|plan| plan.kept.as_ref()?.patience);
            let ends = patience.map(|patience| attempts.first + patience);
            let ends = ends.filter(|&ends| ends <= again_at);
            if let Some(ends) = ends {
                self.shared.world().gives_up(&comment.account, &comment.id, ends);
            }
            ends.is_none()
        });
        (!comments.is_empty()).then_some(post)
    }

    /// Starts one invocation that is due; whether there was one.
    fn start_what_is_due(&mut self) -> bool {
        let now = self.shared.now();
        if let Some((at, account)) = self.changes.last()
            && *at <= now
        {
            self.shared.world().announce(account);
            self.changes.pop();
            return true;
        }
        if self.posts.first_key_value().is_some_and(|(&(at, _), _)| at <= now)
            && let Some((_, (post, attempts))) = self.posts.pop_first()
        {
            let Some(post) = self.delivered(post, attempts) else { return true };
            if self.has_room(Function::Webhook) {
                self.start(Call::Post(self.sabotage.post(post), attempts))
            } else {
                // Lambda has no process for it: 429.
                self.post_again(now, post, attempts)
            }
            return true;
        }
        if self.next_tick().is_some_and(|at| at <= now) && self.has_room(Function::Release) {
            self.last_tick = now;
            self.shared.world().check_due_runs();
            self.start(Call::Tick);
            return true;
        }
        self.start_upkeep(now)
            || self.start_job(now)
            || self.receive_sends()
            || self.receive_release()
    }

    /// What Meta delivers at first; what it does not it never will.
    fn delivered(&self, post: Post, attempts: Attempts) -> Option<Post> {
        if attempts.failed > 0 {
            return Some(post);
        }
        let mut world = self.shared.world();
        let delivered = world.meta.delivers(&post);
        if delivered.is_none() {
            world.record.count("never delivered");
        }
        delivered
    }

    fn start_upkeep(&mut self, now: u64) -> bool {
        if self.requests.last().is_some_and(|&(at, ..)| at <= now)
            && let Some((at, account, asked)) = self.requests.pop()
        {
            match asked {
                Asked::Connect => {
                    self.orders.entry(account).or_default().due.push_back((at, Order::Connect));
                }
                asked => self.shared.world().asked(&account, asked),
            }
            return true;
        }
        if self.start_order(now) {
            return true;
        }
        if !self.has_room(Function::Upkeep) || self.next_upkeep().is_none_or(|at| at > now) {
            return false;
        }
        self.last_upkeep = now;
        let is_repeated = {
            let mut world = self.shared.world();
            world.check_kept_up();
            let rate = world.scenario.rates.message_repeated;
            world.strikes(rate)
        };
        self.start(Call::Upkeep);
        // The schedule may start two.
        if is_repeated && self.has_room(Function::Upkeep) {
            self.start(Call::Upkeep);
        }
        true
    }

    /// When an operator does the next thing with some account.
    fn next_order(&self) -> Option<u64> {
        let idle = self.orders.values().filter(|orders| !orders.is_busy);
        idle.filter_map(|orders| orders.due.front()).map(|&(at, _)| at).min()
    }

    fn start_order(&mut self, now: u64) -> bool {
        if !self.has_room(Function::Operator) {
            return false;
        }
        let is_due = |orders: &Orders| {
            !orders.is_busy && orders.due.front().is_some_and(|&(at, _)| at <= now)
        };
        let due = self.orders.iter_mut().find(|(_, orders)| is_due(orders));
        let Some((account, orders)) = due else { return false };
        let Some((_, order)) = orders.due.pop_front() else { return false };
        orders.is_busy = true;
        let account = account.clone();
        self.start(Call::Order(account, self.sabotage.order(order, now)));
        true
    }

    /// The next quarter of an hour in which upkeep finds an account due; the others are stepped
    /// over.
    fn next_upkeep(&self) -> Option<u64> {
        let world = self.shared.world();
        let due = world.tables.kept.listed.values().map(|listed| listed.due.as_millis()).min()?;
        let earliest = due.saturating_sub(SECOND).max(self.last_upkeep + 1) - self.scenario.start;
        Some(self.scenario.start + earliest.div_ceil(QUARTER) * QUARTER)
    }

    fn start_job(&mut self, now: u64) -> bool {
        if !self.has_room(Function::Tool) || self.jobs.last().is_none_or(|job| job.at > now) {
            return false;
        }
        if let Some(job) = self.jobs.pop() {
            self.start(Call::Tool(job));
        }
        true
    }

    fn receive_sends(&mut self) -> bool {
        if !self.has_room(Function::Sender) {
            return false;
        }
        let mut world = self.shared.world();
        let Some(most) = world.poll() else { return false };
        let World { sends, dice, now, .. } = &mut *world;
        let batch = sends.receive(*now, most, dice);
        for Received { receipt, .. } in &batch {
            world.may_repeat(*receipt);
        }
        drop(world);
        if !batch.is_empty() {
            self.start(Call::Sends(batch));
        }
        true
    }

    fn receive_release(&mut self) -> bool {
        if !self.has_room(Function::Release) {
            return false;
        }
        let mut world = self.shared.world();
        if world.releases.next_visible().is_none_or(|at| at > world.now) {
            return false;
        }
        let World { releases, dice, now, .. } = &mut *world;
        let message = releases.receive(*now, 1, dice).pop();
        drop(world);
        if let Some(message) = message {
            self.start(Call::Release(message));
        }
        true
    }

    fn has_room(&self, function: Function) -> bool {
        self.pools.get(&function).is_some_and(|pool| pool.busy < pool.most)
    }

    fn start(&mut self, call: Call) {
        let function = call.function();
        let Some(pool) = self.pools.get_mut(&function) else { return };
        pool.busy += 1;
        let process = self.shared.world().pick_idle(&mut pool.idle);
        let process = process.filter(Process::thaw);
        let process =
            process.unwrap_or_else(|| Process::start(&self.shared, function, self.sabotage));
        self.tasks.spawn(Box::pin(invoke(process, call)));
    }

    /// The next minute in which the schedule finds an account due; the others are stepped over.
    fn next_tick(&self) -> Option<u64> {
        let world = self.shared.world();
        let due = world.tables.marks.values().map(|marked| marked.due.as_millis()).min()?;
        // The process's clock may be ahead by that much.
        let earliest = due.saturating_sub(SECOND).max(self.last_tick + 1) - self.scenario.start;
        Some(self.scenario.start + earliest.div_ceil(MINUTE) * MINUTE)
    }

    /// Whether all must have ended by `next`: a send whose attempt is unknown may wait until its
    /// deadline, and a mark stands for ten minutes after what it was for.
    fn is_over_by(&mut self, next: u64) -> bool {
        if next > self.end {
            let world = self.shared.world();
            let waiting = world.tables.entries.values().filter_map(Recording::waiting);
            let unknown = waiting.filter(|send| matches!(send.stage, Stage::Unknown(_)));
            let last = unknown.map(|send| send.deadline.as_millis() + 2 * HOUR).max();
            let ended = world.tables.entries.values().filter_map(Recording::ended);
            let ended = ended.map(|(_, at)| at + 30 * MINUTE).max();
            self.end = self.end.max(last.unwrap_or_default()).max(ended.unwrap_or_default());
        }
        next > self.end
    }

    /// Steps to whatever is due next; `false` when nothing is, or all must have ended.
    fn let_time_pass(&mut self) -> bool {
        let tick = self.next_tick().filter(|_| self.has_room(Function::Release));
        let post = self.posts.keys().next().map(|&(at, _)| at);
        let change = self.changes.last().map(|&(at, _)| at);
        let upkeep = self.next_upkeep().filter(|_| self.has_room(Function::Upkeep));
        let request = self.requests.last().map(|&(at, ..)| at);
        let order = self.next_order().filter(|_| self.has_room(Function::Operator));
        let job = self.jobs.last().map(|job| job.at).filter(|_| self.has_room(Function::Tool));
        let world = self.shared.world();
        let sends = world.sends.next_visible().filter(|_| self.has_room(Function::Sender));
        let releases = world.releases.next_visible().filter(|_| self.has_room(Function::Release));
        let next =
            [world.next_alarm(), tick, post, job, sends, releases, change, upkeep, request, order]
                .into_iter()
                .flatten()
                .min();
        drop(world);
        let Some(next) = next else { return false };
        if self.is_over_by(next) || self.shared.world().invocations() > INVOCATIONS_MAX {
            return false;
        }
        self.shared.pass_to(next);
        true
    }
}
