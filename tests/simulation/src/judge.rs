//! The judge and what it is told: calls with the instants of their grants, and holds.

use std::collections::HashMap;
use std::time::Duration;

use spillway_core::id::AccountId;
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_judge::{Counted as Counts, Limit, Limits, Rules, Scope};

use crate::scenario::{Counted, Row, Scenario};
use crate::world::World;

/// What the accounts of a scenario are held to.
pub(crate) fn limits(scenario: &Scenario) -> Limits {
    let rules = |rows: &[Row]| Rules::from(rows.iter().map(limit).collect::<Vec<Limit>>());
    let accounts = scenario.accounts.iter();
    let own: HashMap<AccountId, Rules> =
        accounts.map(|plan| (plan.id.clone(), rules(&plan.rows))).collect();
    Limits { own, ..Limits::from(rules(&[])) }
}

fn limit(row: &Row) -> Limit {
    let counts = match row.counts {
        Counted::Calls => Counts::EVERY_CALL,
        Counted::PrivateReplies => Counts::PRIVATE_REPLIES,
        Counted::LiveReplies => Counts::LIVE_REPLIES,
        Counted::Recipients => Counts::DM_RECIPIENTS,
    };
    Limit::new(row.id, counts, Duration::from_millis(row.window), row.limit.get())
}

impl World {
    /// A hold of the account was written that lasts until `until` by the writer's clock; another's
    /// may be ahead of true time.
    pub(crate) fn judge_hold(&mut self, account: &AccountId, until: Timestamp) {
        let now = self.time();
        self.meta.judge.hold(Scope::Account(account.clone()), now, until - CLOCK_BOUND);
    }

    /// The hold of the account was ended by a write.
    pub(crate) fn judge_lift(&mut self, account: &AccountId) {
        let now = self.time();
        self.meta.judge.hold_ended(&Scope::Account(account.clone()), now);
    }

    /// Counts all calls once more, from the log alone: the judge must not have missed any.
    pub(crate) fn check_recount(&mut self) {
        let judge = &self.meta.judge;
        let again = spillway_judge::recount(judge.calls(), judge.holds(), judge.limits());
        if again != judge.report().violations {
            self.broken(format!("the judge and its recount differ: {again:?}"));
        }
    }
}
