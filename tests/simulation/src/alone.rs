//! The ports of one process in a world in which nothing goes wrong: for tests of the ports
//! themselves.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use spillway_core::campaign::Campaign;
use spillway_core::id::AccountId;
use spillway_memory::Ports;
use spillway_service::account::Account;
use spillway_service::admin::sends::Ledger;
use spillway_service::clock::Clock;
use spillway_service::port::{
    AccountChanges, Accounts, Aliases, AppBudgets, Backlogs, Budgets, Conversations, Cursors,
    Deletions, Leads, MaintenanceSchedule, Misses, ReleaseQueue, Removal, SendQueue, Sends,
};
use spillway_service::send_task::SendTask;

use crate::host::Host;
use crate::meta::{first_token, millis};
use crate::queue::Received;
use crate::scenario::{Rates, Scenario, Theme};
use crate::world::{Shared, World};

/// A process, and its world.
pub struct Alone {
    shared: Arc<Shared>,
    host: Arc<Host>,
    connected: AccountId,
}

impl Alone {
    /// A world in which nothing has happened, with the accounts of a seed.
    pub fn new(seed: u64) -> Self {
        let mut scenario = Scenario::new(Theme::Anything, seed);
        scenario.rates = Rates::default();
        scenario.outages.clear();
        for account in &mut scenario.accounts {
            account.removed_at = None;
            account.begins_at = None;
            account.unreadable = None;
        }
        let connected = scenario.accounts[0].id.clone();
        let shared = Shared::new(&Arc::new(scenario), None);
        shared.world().tables.app = None;
        let host = Host::new(&shared, 0);
        Self { shared, host, connected }
    }

    /// The ports over the tables.
    pub fn ports(
        &self,
    ) -> Arc<
        impl Budgets
        + AppBudgets
        + Cursors
        + Backlogs
        + Removal
        + Deletions
        + Aliases
        + MaintenanceSchedule
        + Misses
        + Leads
        + use<>,
    > {
        Arc::new(Ports(self.host.clone()))
    }

    /// The other ports.
    pub fn host(
        &self,
    ) -> Arc<
        impl Accounts
        + AccountChanges
        + Sends
        + Conversations
        + Ledger
        + SendQueue
        + ReleaseQueue
        + use<>,
    > {
        self.host.clone()
    }

    /// The time.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.host.clock.clone()
    }

    /// One of the accounts.
    pub fn connected(&self) -> AccountId {
        self.connected.clone()
    }

    /// That account is connected again, as it was at first.
    pub async fn connect_again(&self) {
        let scenario = self.shared.world().scenario.clone();
        let planned = scenario.account(&self.connected).map(|plan| plan.account(scenario.start));
        let Some(Account { rules, campaigns, .. }) = planned else { panic!("nobody plans it") };
        let campaigns: Vec<Campaign> = campaigns.iter().cloned().collect();
        let connected =
            self.host.connect(&self.connected, &rules, &first_token(), &campaigns).await;
        connected.unwrap_or_else(|error| panic!("not connected: {error}"));
    }

    /// Does the work to its end; time passes only where it waits.
    ///
    /// # Panics
    /// When it waits for what never comes.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(end) = work.as_mut().poll(&mut context) {
                return end;
            }
            if !self.shared.ring() {
                let next = self.shared.world().next_alarm();
                let Some(next) = next else { panic!("nobody will ever wake it") };
                self.shared.pass_to(next);
            }
        }
    }

    /// Lets time pass.
    pub async fn pass(&self, span: Duration) {
        self.host.sleep(millis(span)).await;
    }

    /// Takes what can be received from the queue of sends.
    pub fn take_sends(&self) -> Vec<SendTask> {
        let mut world = self.shared.world();
        let World { sends, dice, now, .. } = &mut *world;
        let mut taken = Vec::new();
        while let Some(Received { receipt, body }) = sends.receive(*now, 1, dice).pop() {
            sends.delete(receipt);
            taken.push(body);
        }
        taken
    }

    /// Takes what can be received from the queue of accounts to release.
    pub fn take_runs(&self) -> Vec<AccountId> {
        let mut world = self.shared.world();
        let World { releases, dice, now, .. } = &mut *world;
        let mut taken = Vec::new();
        while let Some(Received { receipt, body }) = releases.receive(*now, 1, dice).pop() {
            releases.delete(receipt);
            taken.push(body);
        }
        taken
    }
}
