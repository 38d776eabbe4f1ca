//! The judge and what it is told: calls with the instants of their grants, and holds.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use spillway_core::id::{AccountId, RecipientId};
use spillway_core::quota;
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_judge::{Action, Limit, Limits, Rules, Scope};

use crate::scenario::Scenario;
use crate::world::World;

/// What the accounts of a scenario are held to, and the app where it is.
pub(crate) fn limits(scenario: &Scenario) -> Limits {
    let accounts = scenario.accounts.iter();
    let own: HashMap<AccountId, Rules> =
        accounts.map(|plan| (plan.id.clone(), plan.limits.judged.clone())).collect();
    let app = scenario.app.map(|row| {
        let [share, ..] = row.limits.map(NonZeroU32::get);
        let count = u32::try_from(scenario.accounts.len()).unwrap_or(u32::MAX);
        let window = Duration::from_millis(row.window);
        Limit::new(row.id, row.counts.counts(), window, share.saturating_mul(count))
    });
    Limits { own, app, each: Rules::from(Vec::new()) }
}

/// What the judge calls an action.
pub(crate) fn action(action: quota::Action) -> Action {
    match action {
        quota::Action::PrivateReply => Action::PrivateReply,
        quota::Action::LiveReply => Action::LivePrivateReply,
        quota::Action::Message => Action::Message,
        quota::Action::PublicReply => Action::PublicReply,
        quota::Action::Read => Action::Read,
        quota::Action::Publish => Action::Publish,
        quota::Action::Follow => Action::Follow,
    }
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

    /// A hold of one person was written, or none is in force any more.
    pub(crate) fn judge_recipient(
        &mut self,
        account: &AccountId,
        person: &RecipientId,
        until: Option<Timestamp>,
    ) {
        let now = self.time();
        let scope = Scope::Recipient(account.clone(), person.clone());
        match until {
            Some(until) => self.meta.judge.hold(scope, now, until - CLOCK_BOUND),
            None => self.meta.judge.hold_ended(&scope, now),
        }
    }

    /// The app was put on hold until `until` by the writer's clock; everybody knows of it at
    /// `known`.
    pub(crate) fn judge_app_hold(&mut self, known: Timestamp, until: Timestamp) {
        self.meta.judge.hold(Scope::App, known, until - CLOCK_BOUND);
    }

    /// The hold of the app was ended by a write.
    pub(crate) fn judge_app_lift(&mut self) {
        let now = self.time();
        self.meta.judge.hold_ended(&Scope::App, now);
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
