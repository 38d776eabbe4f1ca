//! The simulator's ports promise what the adapters of `shared/cloud` promise.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use spillway_conformance::{Ports, Subject, cases};
use spillway_core::id::AccountId;
use spillway_service::send_task::SendTask;
use spillway_simulation::alone::Alone;

struct Simulated {
    alone: Alone,
    ports: Ports,
}

#[async_trait]
impl Subject for Simulated {
    fn ports(&self) -> &Ports {
        &self.ports
    }

    fn connected(&self) -> AccountId {
        self.alone.connected()
    }

    async fn connect_again(&self) {
        self.alone.connect_again().await;
    }

    async fn take_sends(&self) -> Vec<SendTask> {
        self.alone.take_sends()
    }

    async fn take_runs(&self) -> Vec<AccountId> {
        self.alone.take_runs()
    }

    async fn pass(&self, span: Duration) {
        self.alone.pass(span).await;
    }
}

/// In each of ten seeds others go first.
pub(crate) fn play(case: impl for<'a> Fn(&'a dyn Subject) -> LocalBoxFuture<'a, ()>) {
    for seed in 0..10 {
        let alone = Alone::new(seed);
        let (ports, host) = (alone.ports(), alone.host());
        let ports = Ports {
            accounts: host.clone(),
            changes: host.clone(),
            budgets: ports.clone(),
            app: ports.clone(),
            cursors: ports.clone(),
            sends: host.clone(),
            ledger: host.clone(),
            backlogs: ports.clone(),
            removal: ports.clone(),
            deletions: ports.clone(),
            aliases: ports.clone(),
            misses: ports.clone(),
            conversations: host.clone(),
            leads: ports.clone(),
            maintenance: ports,
            queue: host.clone(),
            runs: host,
            clock: alone.clock(),
        };
        let subject = Simulated { alone, ports };
        subject.alone.run(case(&subject));
    }
}

cases!(crate::conformance::play);
