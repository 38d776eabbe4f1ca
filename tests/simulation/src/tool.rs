//! Another tool that shares an account's budget: it charges what it is about to call, and calls.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use spillway_core::quota::GRANT_LIFE;
use spillway_meta::graph::CONNECT_TIMEOUT;
use spillway_service::account::Account;
use spillway_service::account_cache::AccountCache;
use spillway_service::clock::Clock;
use spillway_service::limiter::{Charged, Limiter};

use crate::host::Host;
use crate::meta::Ask;
use crate::sabotage::Sabotage;
use crate::scenario::Job;

/// The tool.
pub(crate) struct Tool {
    /// Accounts.
    pub(crate) account_cache: Arc<AccountCache>,
    /// Their budgets.
    pub(crate) limiter: Limiter,
    /// Whether it charges.
    pub(crate) sabotage: Sabotage,
}

/// How long it waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Tool {
    /// Does a job, if the budget allows all of it.
    pub(crate) async fn run(&self, host: &Host, job: &Job) {
        // Before the charge: the grant's life includes it.
        let usable_until = host.clock.monotonic() + GRANT_LIFE - CONNECT_TIMEOUT;
        let Some(account) = self.charge(job).await else {
            host.shared.world().record.count("job denied");
            return;
        };
        let calls = (0..job.units.get()).map(|_| async {
            if host.clock.monotonic() <= usable_until {
                // Whatever the answer, the job is over.
                let ask = Ask::Tool(job.action);
                let _ = host.call(&account.id, &account.token, ask, TIMEOUT).await;
            }
        });
        join_all(calls).await;
    }

    /// The account, if it was charged.
    async fn charge(&self, job: &Job) -> Option<Arc<Account>> {
        let account = self.account_cache.find(&job.account).await.ok()??;
        if self.sabotage == Sabotage::Charges {
            return Some(account);
        }
        let charged = self.limiter.charge(&account, job.action, job.units).await;
        matches!(charged, Ok(Charged::Granted(_))).then_some(account)
    }
}
