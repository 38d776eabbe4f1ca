//! Budgets and cursors: grants, holds and their probes; time in them does not go back.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use spillway_core::budget::Budget;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::pace::Cursor;
use spillway_core::quota::Quota;
use spillway_core::rules::InForce;
use spillway_core::time::CLOCK_BOUND;
use spillway_meta::error::ThrottleScope;

use super::calls::Granted;
use super::{Caller, ClockState};
use crate::meta::millis;
use crate::scenario::{Trouble, quotas_of};
use crate::world::World;

/// People whose holds an account remembers at most.
const PEOPLE_HELD_MAX: usize = 4;

/// Longer than any hold: two days and a fifth.
const HOLD_MS_MAX: u64 = 58 * 3_600_000;

impl World {
    /// A budget was written in place of another.
    pub(crate) fn saw_budget(
        &mut self,
        caller: Caller,
        account: &AccountId,
        before: &Budget,
        after: &Budget,
    ) {
        if after.decided_at < before.decided_at {
            self.broken(format!("time in the budget of {account} goes back"));
        }
        if before.revision != after.revision {
            self.saw_revision(account, after.revision);
        }
        let granted = self.granted(caller, account, before, after);
        if granted.units > 0 {
            self.check_stop(caller, account, before);
        }
        let probe = |budget: &Budget| budget.holds.current.clone().and_then(|hold| hold.probe);
        // A probe may be of a kind that no quota counts.
        if granted.units > 0 || probe(after).is_some() && probe(before) != probe(after) {
            self.check_hold(caller, account, before, granted.units);
        }
        if granted.units > 0 {
            self.check_connected(account);
            self.check_app_hold(caller, account, after.decided_at);
            let key = (caller.invocation, account.clone());
            self.watch.grants.entry(key).or_default().push(granted);
        }
        self.follow_hold(caller, account, before, after);
        if before.holds != after.holds {
            self.follow_recipients(account, before, after);
        }
    }

    /// The units that the second budget has taken beyond the first.
    fn granted(
        &self,
        caller: Caller,
        account: &AccountId,
        before: &Budget,
        after: &Budget,
    ) -> Granted {
        let rules = self.rules_of(account, after.revision);
        let taken: Vec<(&Quota, u32)> = rules
            .into_iter()
            .flat_map(|rules| quotas_of(rules).into_iter().map(move |quota| (rules, quota)))
            .map(|(rules, quota)| {
                let row = InForce { quota, limit: NonZeroU32::MAX };
                let room =
                    |budget: &Budget| budget.windows.under(rules).room(row, after.decided_at);
                (quota, room(before).saturating_sub(room(after)))
            })
            .filter(|&(_, units)| units > 0)
            .collect();
        Granted {
            units: taken.iter().map(|&(_, units)| units).max().unwrap_or_default(),
            quotas: taken.into_iter().map(|(quota, _)| quota.id.clone()).collect(),
            at: self.now,
            clock: caller.clock,
        }
    }

    /// People are put on hold, and forgotten.
    fn follow_recipients(&mut self, account: &AccountId, before: &Budget, after: &Budget) {
        let scenario = self.scenario.clone();
        let Some(plan) = scenario.account(account) else { return };
        let authors = plan.comments.iter().map(|comment| &comment.author);
        let people: BTreeSet<&RecipientId> =
            authors.chain(plan.messages.iter().map(|plan| &plan.new.recipient)).collect();
        // To a clock that is ahead a hold has ended that ends by then. A hold is written without a new
        // decision.
        let at = after.decided_at.max(self.time() + CLOCK_BOUND);
        let held = |budget: &Budget, person| budget.holds.recipient_held_until(person, at);
        let left = people.iter().filter(|person| held(after, person).is_some()).count();
        for person in people {
            let until = held(after, person);
            if until == held(before, person) {
                continue;
            }
            self.record.count("hold of a person");
            self.judge_recipient(account, person, until);
            if until.is_none() && left < PEOPLE_HELD_MAX {
                self.broken(format!("the hold of {person} is forgotten, and there is room for it"));
            }
        }
    }

    /// Nothing is granted while an operator has stopped the account.
    fn check_stop(&mut self, caller: Caller, account: &AccountId, before: &Budget) {
        let stop = before.holds.by_hand.as_ref();
        let lasts = stop.is_some_and(|stop| self.time() + CLOCK_BOUND < stop.until);
        if lasts && caller.clock == ClockState::Right {
            self.broken(format!("{account} is granted a call, and an operator has stopped it"));
        }
    }

    /// Nothing is granted during a hold, and one probe at a time after it.
    fn check_hold(&mut self, caller: Caller, account: &AccountId, before: &Budget, units: u32) {
        let Some(hold) = &before.holds.current else { return };
        let left = millis(hold.until.since(self.time() + CLOCK_BOUND));
        if left > 0 && caller.clock == ClockState::Right {
            self.broken(format!("{account} is granted a call {left} ms before its hold ends"));
        }
        if units > 1 {
            self.broken(format!("{account} is granted {units} calls after a hold, not one"));
        }
        let other = self.watch.probes.insert(account.clone(), caller.invocation);
        if hold.probe.is_some() && other.is_some_and(|other| self.is_running_beside(caller, other))
        {
            self.broken(format!("two probes of {account} are under way"));
        }
    }

    /// A hold begins, is lengthened or ends: at its probe's word.
    fn follow_hold(
        &mut self,
        caller: Caller,
        account: &AccountId,
        before: &Budget,
        after: &Budget,
    ) {
        if self.is_by_hand(caller.invocation) {
            // Connecting an account with a new token ends the hold of the old one, or lets one call
            // find out at once whether another hold is over.
            if before.holds.current != after.holds.current {
                self.judge_lift(account);
            }
            return;
        }
        match (&before.holds.current, &after.holds.current) {
            (None, None) => {}
            (Some(_), None) => {
                self.judge_lift(account);
                if self.watch.probes.get(account) != Some(&caller.invocation) {
                    let by = caller.invocation;
                    self.broken(format!("{by} ends a hold of {account} and is not its probe"));
                }
            }
            (Some(was), Some(is)) if was.until == is.until => {}
            (_, Some(is)) => {
                self.record.count("hold");
                self.judge_hold(account, is.until);
                self.saw_held(account, is.since, is.until);
                let long = millis(is.until.since(after.decided_at));
                if long > HOLD_MS_MAX {
                    self.broken(format!("a hold of {account} lasts {long} ms"));
                }
            }
        }
    }

    /// Meta has asked the caller not to call for the account, or at all, for so long.
    pub(crate) fn saw_asked(
        &mut self,
        caller: Caller,
        account: &AccountId,
        scope: ThrottleScope,
        wait: Duration,
    ) {
        let scope = match scope {
            ThrottleScope::App => None,
            ThrottleScope::Account => Some(account.clone()),
            ThrottleScope::Recipient => return,
        };
        let until = self.time() + wait;
        let asked = self.watch.asked.entry((caller.invocation, scope));
        let asked = asked.or_insert(until);
        *asked = until.max(*asked);
    }

    /// An invocation that Meta has asked to wait has put its accounts on hold for as long, if the
    /// store could be reached.
    pub(super) fn check_asked(&mut self, invocation: u64) {
        if self.scenario.trouble != Trouble::Meta {
            return;
        }
        // An invocation of upkeep may outlast what it was asked for.
        let now = self.time();
        let asked = self.watch.asked.iter();
        let asked = asked.filter(|((of, _), until)| *of == invocation && now < **until);
        let ignored =
            asked.map(|((_, account), &until)| (account, until)).find(|(account, until)| {
                let holds = match account {
                    Some(account) => self.tables.budgets.get(account).map(|budget| &budget.holds),
                    None => self.tables.app.as_ref().map(|app| &app.holds),
                };
                let hold = holds.and_then(|holds| holds.current.as_ref());
                hold.is_none_or(|hold| hold.until < *until)
            });
        if let Some((account, until)) = ignored {
            let left = millis(until.since(self.time()));
            let whose = account.as_ref().map_or("the app", |account| account.as_str());
            self.broken(format!("{whose} is to wait {left} ms more, and is not on hold so long"));
        }
    }

    /// A cursor was written in place of another: slots move forward only.
    pub(crate) fn saw_cursor(&mut self, account: &AccountId, before: &Cursor, after: &Cursor) {
        let pairs = before.next.0.iter().zip(&after.next.0);
        if pairs.into_iter().any(|(before, after)| after < before) {
            self.broken(format!("the cursor of {account} goes back"));
        }
    }
}
