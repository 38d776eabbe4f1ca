//! How a trouble is made, taken back and counted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use secrecy::SecretString;
use spillway_cloud::meta::login::{LoggedIn, Login, Payer};
use spillway_core::seed::seed;
use spillway_core::time::Timestamp;
use spillway_core::upkeep::TokenLife;
use spillway_graph::{Fault, FaultKind};
use spillway_service::admin::connect::NewSettings;
use spillway_service::clock::Clock;

use super::plan::Planned;
use super::trouble::Trouble;
use super::{Drill, LOG_IN_AGAIN, Moment, REDIRECT, START};
use crate::driver::Delivery;
use crate::fault_injector::{KillPoint, Outage, Service};
use crate::stack::Stack;

/// So long Meta delivers what was not taken again (webhooks of the Instagram Platform).
const DELIVERED_AGAIN: Duration = Duration::from_secs(36 * 3600);

/// A trouble, and what was seen of it.
pub(super) struct Happened {
    pub(super) trouble: Trouble,
    /// Whose it is, by the account's place; everybody's without one.
    pub(super) account: Option<usize>,
    pub(super) begin: Timestamp,
    pub(super) end: Timestamp,
    /// How often it struck; while it lasts, how often others of its kind had before.
    pub(super) struck: u64,
}

impl Happened {
    pub(super) fn new(planned: &Planned) -> Self {
        let Planned { trouble, account, begin, end } = *planned;
        Self { trouble, account, begin: START + begin, end: START + end, struck: 0 }
    }

    fn lasts(&self) -> Duration {
        self.end.since(self.begin)
    }
}

impl Drill {
    pub(super) async fn begin(&mut self, nth: usize) -> Result<()> {
        self.troubles[nth].struck = self.seen(nth);
        self.on.insert(nth);
        let Stack { graph, faults, poller_faults, .. } = &*self.stack;
        let Happened { trouble, end, .. } = self.troubles[nth];
        match trouble {
            Trouble::Store => faults.take_out(Service::DynamoDb, Outage::Whole),
            Trouble::Patchy => {
                faults.take_out(Service::DynamoDb, Outage::Patchy { seed: self.seed });
            }
            Trouble::Queue => {
                faults.take_out(Service::Sqs, Outage::Whole);
                poller_faults.take_out(Service::Sqs, Outage::Whole);
            }
            Trouble::Graph | Trouble::Throttle | Trouble::Block => {
                self.faults(nth).into_iter().for_each(|fault| graph.order_fault(fault));
            }
            Trouble::Webhooks => {
                self.driver.unreachable_until = self.driver.unreachable_until.max(end);
            }
            Trouble::Schedule => {
                self.driver.unscheduled_until = self.driver.unscheduled_until.max(end);
            }
            Trouble::Token => {
                self.affected(nth).for_each(|account| graph.end_tokens(self.account(account)));
            }
            Trouble::Renewal => self.near_end(nth).await?,
            Trouble::Replay => self.replay(nth),
            Trouble::Kills => {}
        }
        Ok(())
    }

    pub(super) async fn end(&mut self, nth: usize) -> Result<()> {
        let Happened { trouble, struck: before, .. } = self.troubles[nth];
        self.troubles[nth].struck = self.seen(nth) - before;
        self.on.remove(&nth);
        let Stack { faults, poller_faults, .. } = &*self.stack;
        match trouble {
            Trouble::Store | Trouble::Patchy => faults.bring_back(Service::DynamoDb),
            Trouble::Queue => {
                faults.bring_back(Service::Sqs);
                poller_faults.bring_back(Service::Sqs);
            }
            // These end by themselves.
            Trouble::Graph
            | Trouble::Throttle
            | Trouble::Block
            | Trouble::Webhooks
            | Trouble::Schedule
            | Trouble::Replay => {}
            Trouble::Token => {
                let accounts: Vec<usize> = self.affected(nth).collect();
                accounts.into_iter().for_each(|account| self.plan_login(account, Duration::ZERO));
            }
            Trouble::Renewal => self.see_renewed(nth).await?,
            Trouble::Kills => faults.spare(),
        }
        Ok(())
    }

    /// The accounts that a trouble is about, by their places.
    fn affected(&self, nth: usize) -> impl Iterator<Item = usize> + use<> {
        match self.troubles[nth].account {
            Some(account) => account..account + 1,
            None => 0..self.accounts.len(),
        }
    }

    /// What Meta does to calls during a trouble of its own.
    fn faults(&self, nth: usize) -> Vec<Fault> {
        let happened = &self.troubles[nth];
        let lasting = |kind| Fault {
            account: happened.account.map(|account| self.account(account).clone()),
            ..Fault::new(kind).lasting(happened.lasts())
        };
        match happened.trouble {
            Trouble::Graph => {
                // Of ten calls one is carried out all the same, and its answer lost.
                let odds = |kind, of_those| lasting(kind).with_probability(of_those, self.seed);
                vec![
                    odds(FaultKind::ServerError, 0.5),
                    odds(FaultKind::NoAnswerBeforeEffect, 0.8),
                    odds(FaultKind::ServerErrorAfterEffect, 0.5),
                    odds(FaultKind::NoAnswer, 1.0),
                ]
            }
            Trouble::Throttle => {
                // Sometimes Meta says how long to wait.
                let draw = self.drawn("throttle", nth);
                let regain_minutes = draw.is_multiple_of(2).then_some(5 + draw % 40);
                let code = match (happened.account, regain_minutes) {
                    (None, _) => 4,
                    (Some(_), None) => 613,
                    (Some(_), Some(_)) => 80_002,
                };
                vec![lasting(FaultKind::Throttled { code, regain_minutes })]
            }
            Trouble::Block => vec![lasting(FaultKind::Blocked)],
            _ => Vec::new(),
        }
    }

    /// A number of a trouble's own.
    fn drawn(&self, what: &str, nth: usize) -> u64 {
        seed(&[what, &self.seed.to_string(), &nth.to_string()])
    }

    /// The account's token ends with the trouble.
    async fn near_end(&self, nth: usize) -> Result<()> {
        let obtained_at = START - Duration::from_secs(40 * 24 * 3600);
        let ends_at = self.troubles[nth].end;
        for account in self.affected(nth) {
            let id = self.account(account);
            self.stack.graph.set_token_life(id, obtained_at, ends_at);
            let kept = self.outside.tokens.load(id).await?;
            let life = TokenLife { obtained_at: Some(obtained_at), ends_at: Some(ends_at) };
            if let Some(kept) = kept {
                self.outside.tokens.note_life(id, &kept.token, life).await?;
            }
        }
        Ok(())
    }

    /// Where upkeep has not renewed the token, the owner has to log in again.
    async fn see_renewed(&mut self, nth: usize) -> Result<()> {
        for account in self.affected(nth) {
            let kept = self.outside.tokens.load(self.account(account)).await?;
            let is_over = |ends: Timestamp| ends <= self.clock.now();
            if kept.and_then(|kept| kept.life.ends_at).is_some_and(is_over) {
                self.plan_login(account, Duration::ZERO);
            }
        }
        Ok(())
    }

    /// What was delivered in the last day and a half comes once more, in any order.
    fn replay(&mut self, nth: usize) {
        let Happened { begin, .. } = self.troubles[nth];
        let mut rng = ChaCha8Rng::seed_from_u64(self.drawn("replay", nth));
        let is_recent =
            |delivery: &&Delivery| delivery.at < begin && delivery.at >= begin - DELIVERED_AGAIN;
        let mut again: Vec<Delivery> = self.deliveries.iter().filter(is_recent).cloned().collect();
        again.shuffle(&mut rng);
        for delivery in &mut again {
            delivery.at = begin + self.troubles[nth].lasts().mul_f64(rng.random());
        }
        again.sort_by_key(|delivery| delivery.at);
        self.driver.plan(again);
    }

    /// What a trouble of this kind has let fail since the start.
    fn seen(&self, nth: usize) -> u64 {
        let Stack { graph, faults, poller_faults, .. } = &*self.stack;
        let Happened { trouble, account, begin, .. } = self.troubles[nth];
        let account = account.map(|account| self.account(account));
        let calls = |is: fn(u16, Option<u32>) -> bool| {
            let calls = graph.calls();
            let of_it = calls.iter().filter(|call| account.is_none_or(|id| call.account == *id));
            of_it.filter(|call| is(call.status, call.code)).count() as u64
        };
        let refused = |service| faults.refused(service) + poller_faults.refused(service);
        match trouble {
            Trouble::Store | Trouble::Patchy => refused(Service::DynamoDb),
            Trouble::Queue => refused(Service::Sqs),
            Trouble::Graph => calls(|status, _| status == 0 || status >= 500),
            Trouble::Webhooks => self.driver.failed_deliveries,
            Trouble::Token => calls(|_, code| code == Some(190)),
            Trouble::Throttle => calls(|_, code| matches!(code, Some(4 | 613 | 80_002))),
            Trouble::Block => calls(|_, code| code == Some(10)),
            Trouble::Kills => self.killed.len() as u64,
            // Each minute that the schedule lets pass.
            Trouble::Schedule => self.clock.now().since(begin).as_secs() / 60,
            // A token that must be replaced.
            Trouble::Renewal => u64::from(self.clock.now() > begin),
            Trouble::Replay => {
                let is_past = |delivery: &&Delivery| delivery.at < begin;
                let is_recent = |delivery: &&Delivery| delivery.at >= begin - DELIVERED_AGAIN;
                let again = self.deliveries.iter().filter(is_past).filter(is_recent);
                if self.clock.now() > begin { again.count() as u64 } else { 0 }
            }
        }
    }

    fn plan_login(&mut self, account: usize, wait: Duration) {
        self.plan(self.clock.now() + wait, Moment::LogIn(account));
    }

    /// The account's owner logs in again, and the operator connects it: `spillway connect`.
    /// What fails is tried again.
    pub(super) async fn log_in(&mut self, account: usize) -> Result<()> {
        let is_store_out = self.on.iter().any(|&nth| self.troubles[nth].trouble == Trouble::Store);
        let logged_in = if is_store_out { None } else { self.redeem(account).await? };
        let Some(logged_in) = logged_in else {
            self.plan_login(account, LOG_IN_AGAIN);
            return Ok(());
        };
        let new = &self.accounts[account];
        ensure!(logged_in.me.account == new.id, "another account has logged in");
        let login = self.login()?;
        login.connect(&self.outside, &logged_in, &NewSettings::from(new)).await?;
        Ok(())
    }

    fn login(&self) -> Result<Login> {
        let Stack { config, secrets, .. } = &*self.stack;
        Ok(Login::new(&config.graph, secrets.app_secrets.clone())?)
    }

    /// Returns `None` where Meta does not answer.
    async fn redeem(&self, account: usize) -> Result<Option<LoggedIn>> {
        let login = self.stack.graph.log_in(self.account(account));
        let (app, code) = login.context("nobody can log in")?;
        Ok(self
            .login()?
            .redeem(&app, &SecretString::from(code), REDIRECT, Payer::Unknown)
            .await
            .ok())
    }

    /// While functions are killed, the next one follows when the last has struck.
    pub(super) fn order_kill(&self) {
        let is_on = self.on.iter().any(|&nth| self.troubles[nth].trouble == Trouble::Kills);
        if !is_on || self.stack.faults.is_armed() {
            return;
        }
        let nth = self.killed.len();
        let point = match self.drawn("point", nth) % 2 {
            0 => KillPoint::Before,
            _ => KillPoint::After,
        };
        self.stack.faults.kill_at(1 + self.drawn("kill", nth) % 30, point);
    }

    /// Whether what Meta answered then may have been lost with a function, or with the store.
    pub(super) fn may_be_unrecorded(&self, answered: Timestamp) -> bool {
        let is_of_store =
            |happened: &&Happened| matches!(happened.trouble, Trouble::Store | Trouble::Patchy);
        let mut store = self.troubles.iter().filter(is_of_store);
        store.any(|happened| (happened.begin..=happened.end).contains(&answered))
            || self.killed.iter().any(|span| span.contains(&answered))
    }
}
