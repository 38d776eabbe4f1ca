//! What must hold after every step, looked at where it could break: claims, holds, marks, grants
//! and the accounts of sends.

use std::collections::{BTreeMap, BTreeSet};

use spillway_core::budget::Budget;
use spillway_core::hold::Gate;
use spillway_core::id::{AccountId, CommentId, EventId, SendId};
use spillway_core::quota::GRANT_LIFE;
use spillway_core::send::{Outcome, Stage, Step, Waiting};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_service::port::Entry;
use spillway_service::ticket::{Place, Ticket};

use crate::meta::{THERE_MAX, millis};
use crate::world::World;

/// Who makes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The process.
    pub process: u64,
    /// The invocation that it works on.
    pub invocation: u64,
    /// Whether its clock is within the bound.
    pub clock: ClockState,
}

/// Whether a process's clock is within the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockState {
    /// It is.
    Right,
    /// It is not.
    Wrong,
}

/// What is remembered of earlier steps.
#[derive(Default)]
pub struct Watch {
    /// Invocations that have not ended.
    running: BTreeSet<u64>,
    /// The last claim of each send.
    claims: BTreeMap<SendId, Claim>,
    /// What each running invocation was granted.
    grants: BTreeMap<(u64, AccountId), Vec<Granted>>,
    /// The call for each comment that took effect, and who made it.
    accepted: BTreeMap<CommentId, Accepted>,
    /// The invocation whose probe goes first after each account's hold.
    probes: BTreeMap<AccountId, u64>,
    /// Sends by state.
    pub tally: Tally,
}

/// How many sends there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All.
    pub matched: u64,
    /// Those that have not ended.
    pub waiting: u64,
    /// Sent.
    pub sent: u64,
    /// Failed.
    pub failed: u64,
    /// Expired.
    pub expired: u64,
    /// Cancelled.
    pub cancelled: u64,
}

#[derive(Clone, Copy)]
struct Claim {
    epoch: u32,
    invocation: u64,
    /// How many there have been of this send.
    nth: u32,
}

struct Granted {
    units: u32,
    at: u64,
    clock: ClockState,
}

struct Accepted {
    invocation: u64,
    /// Whether its end may be unknown: the answer was lost, or its record failed.
    is_known: bool,
}

/// Longer than any hold: two days and a fifth, or a day as Meta may ask for, and a fifth.
const HOLD_MS_MAX: u64 = 58 * 3_600_000;

/// Longer than any slot is ahead: the horizon, or the longest wait before a retry.
const DUE_MS_MAX: u64 = 20 * 60_000;

impl Watch {
    /// How often a send was claimed.
    pub fn attempts(&self, send: &SendId) -> u32 {
        self.claims.get(send).map_or(0, |claim| claim.nth)
    }
}

impl World {
    /// An invocation begins.
    pub fn invocation_begins(&mut self, invocation: u64) {
        self.watch.running.insert(invocation);
    }

    /// An invocation has ended, of itself or not.
    pub fn invocation_ends(&mut self, invocation: u64) {
        self.watch.running.remove(&invocation);
        self.watch.grants.retain(|(of, _), _| *of != invocation);
    }

    /// A waiting send was written to its place.
    pub fn saw_place(&mut self, account: &AccountId) {
        if !self.tables.marks.contains_key(account) {
            self.broken(format!("a send of {account} waits, and the account has no mark"));
        }
    }

    /// A mark was removed.
    pub fn saw_unmarked(&mut self, account: &AccountId) {
        let left = self.tables.all_waiting(account).count();
        if left > 0 {
            self.broken(format!("{left} sends of {account} wait, and its mark was removed"));
        }
    }

    /// An entry was made.
    pub fn saw_entry(&mut self, send: &SendId, place: &Place) {
        self.watch.tally.matched += 1;
        self.watch.tally.waiting += 1;
        if self.tables.waiting_at(place, send).is_none() {
            self.broken(format!("{send} has an entry and nothing at its place"));
        }
    }

    /// A place is about to be cleared.
    pub fn sees_discard(&mut self, place: &Place, send: &SendId) {
        if self.tables.entry(send) == Entry::Waiting(place.clone()) {
            self.broken(format!("{send} waits, and its place is cleared"));
        }
    }

    /// A step was taken.
    pub fn saw_step(&mut self, caller: Caller, ticket: &Ticket, before: Stage, step: Step) {
        let send = &ticket.send;
        if matches!(before, Stage::Sending { .. }) {
            self.check_lease(caller, send);
        }
        match step {
            Step::Claim { .. } => {
                let nth = self.watch.attempts(send) + 1;
                let epoch = ticket.epoch + 1;
                let claim = Claim { epoch, invocation: caller.invocation, nth };
                self.watch.claims.insert(send.clone(), claim);
            }
            Step::To(stage) | Step::Failed(stage) | Step::Lost(stage) => {
                if let Stage::Queued { due } = stage {
                    self.check_due(caller, send, due);
                }
            }
        }
    }

    /// Only the claim's own invocation touches a claimed send, until it is over.
    fn check_lease(&mut self, caller: Caller, send: &SendId) {
        let Some(claim) = self.watch.claims.get(send) else { return };
        let other = claim.invocation;
        if other != caller.invocation && self.watch.running.contains(&other) {
            let by = caller.invocation;
            self.broken(format!("invocation {by} acts on {send}, which {other} has claimed"));
        }
    }

    fn check_due(&mut self, caller: Caller, send: &SendId, due: Timestamp) {
        let ahead = millis(due.since(self.time()));
        if ahead > DUE_MS_MAX && caller.clock == ClockState::Right && !self.had_wrong_clocks() {
            self.broken(format!("{send} is queued for {ahead} ms from now"));
        }
    }

    /// Whether a wrong clock may have moved a cursor or a budget's last instant ahead.
    pub fn had_wrong_clocks(&self) -> bool {
        self.scenario.rates.clock_wrong > 0.0 || self.scenario.rates.clock_jumps > 0.0
    }

    /// A send has ended.
    pub fn saw_end(&mut self, caller: Caller, send: &SendId, outcome: &Outcome) {
        let tally = &mut self.watch.tally;
        tally.waiting -= 1;
        match outcome {
            Outcome::Sent { .. } => tally.sent += 1,
            Outcome::Failed { .. } => tally.failed += 1,
            Outcome::Expired => tally.expired += 1,
            Outcome::Cancelled { .. } => tally.cancelled += 1,
        }
        let Tally { matched, waiting, sent, failed, expired, cancelled } = *tally;
        if sent + failed + expired + cancelled + waiting != matched {
            self.broken(format!("the accounts do not balance: {:?}", self.watch.tally));
        }
        let claim = self.watch.claims.get(send).map(|claim| claim.invocation);
        if let Some(other) = claim
            && other != caller.invocation
            && self.watch.running.contains(&other)
            && let Some(Stage::Sending { .. }) = self.stage(send)
        {
            self.broken(format!("{send} is ended while {other} has claimed it"));
        }
    }

    fn stage(&self, send: &SendId) -> Option<Stage> {
        let place = &self.tables.entries.get(send)?.place;
        self.tables.waiting_at(place, send).map(|send| send.stage)
    }

    /// A budget is written in place of another.
    pub fn saw_budget(
        &mut self,
        caller: Caller,
        account: &AccountId,
        before: &Budget,
        after: &Budget,
    ) {
        if let Some(hold) = &after.holds.current {
            let long = millis(hold.until.since(after.decided_at));
            if long > HOLD_MS_MAX {
                self.broken(format!("a hold of {account} lasts {long} ms"));
            }
            if before.holds.current.as_ref().is_none_or(|before| before.until != hold.until) {
                self.judge_hold(account, hold.until);
            }
        }
        let units = self.granted(account, before, after);
        if units > 0 {
            self.check_hold(caller, account, before, units);
            let granted = Granted { units, at: self.now, clock: caller.clock };
            let key = (caller.invocation, account.clone());
            self.watch.grants.entry(key).or_default().push(granted);
        }
        if before.holds.current.is_some() && after.holds.current.is_none() {
            self.judge_lift(account);
            self.check_lift(caller, account);
        }
    }

    /// How many units the second budget has taken beyond the first.
    fn granted(&self, account: &AccountId, before: &Budget, after: &Budget) -> u32 {
        let Some(plan) = self.scenario.account(account) else { return 0 };
        let at = after.decided_at;
        let profile = plan.account().profile;
        let taken = profile.quotas.iter().map(|quota| {
            let (was, is) = (before.windows.room(quota, at), after.windows.room(quota, at));
            was.saturating_sub(is)
        });
        taken.max().unwrap_or_default()
    }

    /// Nothing is granted during a hold, and one probe after it.
    fn check_hold(&mut self, caller: Caller, account: &AccountId, before: &Budget, units: u32) {
        let Some(hold) = &before.holds.current else { return };
        let until = hold.until;
        if self.time() + CLOCK_BOUND < until && caller.clock == ClockState::Right {
            let left = millis(until.since(self.time()));
            self.broken(format!("{account} is granted a call {left} ms before its hold ends"));
        }
        if units > 1 {
            self.broken(format!("{account} is granted {units} calls after a hold, not one"));
        }
        let other = self.watch.probes.insert(account.clone(), caller.invocation);
        if other.is_some_and(|other| self.watch.running.contains(&other)) && hold.probe.is_some() {
            self.broken(format!("two probes of {account} are under way"));
        }
        if let Gate::Closed(..) = before.holds.gate(self.time() + CLOCK_BOUND)
            && caller.clock == ClockState::Right
        {
            self.broken(format!("{account} is granted a call while its gate is closed"));
        }
    }

    /// A hold is ended by its probe.
    fn check_lift(&mut self, caller: Caller, account: &AccountId) {
        if self.watch.probes.get(account) != Some(&caller.invocation) {
            let by = caller.invocation;
            self.broken(format!("invocation {by} ends a hold of {account} without a probe"));
        }
    }

    /// A call arrives at Meta. Gives the instant at which it was granted.
    pub fn sees_call(
        &mut self,
        caller: Caller,
        account: &AccountId,
        comment: &CommentId,
    ) -> Option<Timestamp> {
        let send = SendId { account: account.clone(), event: EventId::from(comment) };
        self.check_claimed(caller, &send);
        self.check_needed(caller, comment);
        self.check_granted(caller, account, comment)
    }

    /// Whoever calls has the send claimed, and nobody has it since.
    fn check_claimed(&mut self, caller: Caller, send: &SendId) {
        let stands = self
            .tables
            .entries
            .get(send)
            .filter(|entry| entry.ended.is_none())
            .and_then(|entry| self.tables.waiting_at(&entry.place, send));
        let is_ours = |found: &Waiting, claim: &Claim| {
            matches!(found.stage, Stage::Sending { .. })
                && found.epoch == claim.epoch
                && claim.invocation == caller.invocation
        };
        let claimed = stands.zip(self.watch.claims.get(send));
        if !claimed.is_some_and(|(found, claim)| is_ours(found, claim)) {
            let by = caller.invocation;
            self.broken(format!("invocation {by} calls for {send} without a claim"));
        }
    }

    /// Every call takes a unit that was granted for it, in time and by a right clock.
    fn check_granted(
        &mut self,
        caller: Caller,
        account: &AccountId,
        comment: &CommentId,
    ) -> Option<Timestamp> {
        let key = (caller.invocation, account.clone());
        let latest = self.now.saturating_sub(millis(GRANT_LIFE) + THERE_MAX);
        let grants = self.watch.grants.get_mut(&key);
        let grant = grants.and_then(|grants| {
            grants.iter_mut().find(|grant| grant.units > 0 && grant.at >= latest)
        });
        let Some(grant) = grant else {
            self.broken(format!("a call for {comment} without a grant"));
            return None;
        };
        grant.units -= 1;
        let Granted { at, clock, .. } = *grant;
        if clock == ClockState::Wrong {
            self.broken(format!("a call for {comment} by a process with a wrong clock"));
        }
        Some(Timestamp::from_millis(at))
    }

    /// A comment that has its reply is called for again only where that may be unknown.
    fn check_needed(&mut self, caller: Caller, comment: &CommentId) {
        let Some(accepted) = self.watch.accepted.get(comment) else { return };
        if accepted.is_known {
            let (first, by) = (accepted.invocation, caller.invocation);
            self.broken(format!("{by} calls for {comment}, which {first} has called for"));
        }
    }

    /// A call has taken effect.
    pub fn saw_accepted(&mut self, caller: Caller, comment: &CommentId) {
        let accepted = Accepted { invocation: caller.invocation, is_known: true };
        self.watch.accepted.insert(comment.clone(), accepted);
        if self.meta.accepted(comment) > 1 {
            self.broken(format!("{comment} has two replies"));
        }
    }

    /// What became of a call, or its record, did not reach where it had to.
    pub fn saw_unknown(&mut self, comment: &CommentId) {
        if let Some(accepted) = self.watch.accepted.get_mut(comment) {
            accepted.is_known = false;
        }
    }

    /// An invocation died: whatever it had called for may be unknown.
    pub fn saw_death(&mut self, invocation: u64) {
        for accepted in self.watch.accepted.values_mut() {
            if accepted.invocation == invocation {
                accepted.is_known = false;
            }
        }
    }
}
