//! Calls: each under its own claim and grant, and none for a comment that has its reply.

use spillway_core::id::{AccountId, SendId};
use spillway_core::quota::GRANT_LIFE;
use spillway_core::send::{Stage, Waiting};
use spillway_core::time::Timestamp;
use spillway_meta::graph::{CallError, Sent};

use super::sends::Claim;
use super::{Caller, ClockState};
use crate::meta::{Ask, Effect, THERE_MAX, millis};
use crate::world::World;

/// Units that an invocation was granted and has not called with.
pub(super) struct Granted {
    pub(super) units: u32,
    /// When its write took effect.
    pub(super) at: u64,
    pub(super) clock: ClockState,
}

/// A call that took effect.
pub(super) struct Accepted {
    invocation: u64,
    /// Whether its end is known: neither its answer nor the record of it was lost.
    is_known: bool,
}

impl World {
    /// A call arrives at Meta. Gives the instant at which it was granted.
    pub(crate) fn sees_call(
        &mut self,
        caller: Caller,
        account: &AccountId,
        ask: &Ask,
    ) -> Option<Timestamp> {
        if let Some(event) = ask.event() {
            let send = SendId { account: account.clone(), event };
            self.check_claimed(caller, &send);
            self.check_needed(caller, &send);
        }
        self.check_granted(caller, account, ask)
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
            self.broken(format!("{} calls for {send} without a claim", caller.invocation));
        }
    }

    /// A comment that has its reply is called for again only where that may be unknown.
    fn check_needed(&mut self, caller: Caller, send: &SendId) {
        let Some(accepted) = self.watch.accepted.get(send) else { return };
        if accepted.is_known {
            let (first, by) = (accepted.invocation, caller.invocation);
            self.broken(format!("{by} calls for {send}, which has its DM from {first}"));
        }
    }

    /// Every call takes a unit that was granted for it, in time and by a right clock.
    fn check_granted(
        &mut self,
        caller: Caller,
        account: &AccountId,
        ask: &Ask,
    ) -> Option<Timestamp> {
        let key = (caller.invocation, account.clone());
        let latest = self.now.saturating_sub(millis(GRANT_LIFE) + THERE_MAX);
        let grants = self.watch.grants.get_mut(&key);
        let grant = grants.and_then(|grants| {
            grants.iter_mut().find(|grant| grant.units > 0 && grant.at >= latest)
        });
        let Some(grant) = grant else {
            self.broken(format!("a call for {ask} without a grant"));
            return None;
        };
        grant.units -= 1;
        let Granted { at, clock, .. } = *grant;
        if clock != ClockState::Right {
            self.broken(format!("a call for {ask} by a process with a wrong clock"));
        }
        Some(Timestamp::from_millis(at))
    }

    /// A call has taken effect.
    pub(crate) fn saw_accepted(&mut self, caller: Caller, account: &AccountId, ask: &Ask) {
        let Some(event) = ask.event() else { return };
        let send = SendId { account: account.clone(), event };
        let accepted = Accepted { invocation: caller.invocation, is_known: true };
        if let Ask::Reply(comment) = ask
            && self.meta.accepted(comment) > 1
        {
            self.broken(format!("{send} has two replies"));
        }
        self.watch.accepted.insert(send, accepted);
    }

    /// The caller hears what became of its call.
    pub(crate) fn heard(
        &mut self,
        caller: Caller,
        account: &AccountId,
        ask: &Ask,
        effect: Effect,
        says: &Result<Sent, CallError>,
    ) {
        if let (Effect::Done, Err(_), Some(event)) = (effect, says, ask.event()) {
            self.saw_unknown(&SendId { account: account.clone(), event });
        }
        if let Err(call @ CallError::Refused { usage, .. }) = says
            && let Some(wait) = usage.regain
        {
            self.saw_asked(caller, account, call.verdict(), wait);
        }
    }

    /// What became of a call, or the record of it, did not reach where it had to.
    pub(crate) fn saw_unknown(&mut self, send: &SendId) {
        if let Some(accepted) = self.watch.accepted.get_mut(send) {
            accepted.is_known = false;
        }
    }

    /// An invocation died: what became of its calls may be unknown.
    pub(super) fn saw_death(&mut self, invocation: u64) {
        for accepted in self.watch.accepted.values_mut() {
            if accepted.invocation == invocation {
                accepted.is_known = false;
            }
        }
    }
}
