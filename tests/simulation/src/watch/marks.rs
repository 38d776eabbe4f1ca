//! Marks: an account with waiting sends has one, and one run at a time.

use std::time::Duration;

use spillway_core::id::AccountId;
use spillway_core::time::{CLOCK_BOUND, Timestamp};

use super::{Caller, ClockState};
use crate::meta::millis;
use crate::world::World;

/// An account with waiting sends is looked at once an hour at least.
const SWEEP: Duration = Duration::from_secs(3600);

/// What may pass between the instant at which an account is due and its run, when all is calm: the
/// schedule's minute, a message, and the end of a lease that somebody died with.
const LATE: Duration = Duration::from_secs(600);

impl World {
    /// A mark was removed.
    pub(crate) fn saw_unmarked(&mut self, account: &AccountId) {
        let left = self.tables.waiting_of(account).count();
        if left > 0 {
            self.broken(format!("{left} sends of {account} wait, and its mark was removed"));
        }
    }

    /// An account was leased for a run.
    pub(crate) fn saw_lease(&mut self, caller: Caller, account: &AccountId) {
        let other = self.watch.leases.insert(account.clone(), caller.invocation);
        // A wrong clock ends others' leases, before it is told.
        let overlaps = other.filter(|&other| self.is_running_beside(caller, other));
        if let Some(other) = overlaps.filter(|_| !self.had_wrong_clocks()) {
            let by = caller.invocation;
            self.broken(format!("{by} runs for {account} beside {other}"));
        }
    }

    /// A run has ended its lease; the account is due again at `due`, if at all.
    pub(crate) fn saw_settled(
        &mut self,
        caller: Caller,
        account: &AccountId,
        due: Option<Timestamp>,
    ) {
        if self.watch.leases.get(account) == Some(&caller.invocation) {
            self.watch.leases.remove(account);
        }
        let latest = self.time() + SWEEP + CLOCK_BOUND;
        if due.is_some_and(|due| latest < due) && caller.clock == ClockState::Right {
            self.broken(format!("{account} is left alone for more than an hour"));
        }
    }

    /// Once all is calm, an account that is due gets its run.
    pub(crate) fn check_due_runs(&mut self) {
        let calm = Timestamp::from_millis(self.scenario.calm_at) + LATE;
        let latest = self.time() - LATE;
        let overdue = self.tables.marks.iter().find(|(_, marked)| marked.due < latest);
        let overdue = overdue.map(|(account, marked)| (account.clone(), marked.due));
        if let Some((account, due)) = overdue
            && calm < self.time()
            && !self.had_wrong_clocks()
        {
            let late = millis(self.time().since(due));
            self.broken(format!("{account} is due for {late} ms, and nobody looks at it"));
        }
    }
}
