//! Calls: each under its own claim and grant, and none for a comment that has its reply.

use std::collections::BTreeSet;
use std::time::Duration;

use spillway_core::id::{AccountId, OnceKey, SendId};
use spillway_core::quota::{GRANT_LIFE, Quota, QuotaId, Unit};
use spillway_core::send::{PendingSend, Stage};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_meta::error::{ThrottleScope, Verdict};
use spillway_meta::graph::{Answered, CallError, Sent};
use spillway_meta::usage::{Percent, Usage};

use super::sends::Claim;
use super::{Caller, ClockState, Watch};
use crate::meta::{Ask, Effect, THERE_MAX, millis};
use crate::world::World;
use spillway_memory::tables::Recording;

/// Units that an invocation was granted and has not called with.
pub(super) struct Granted {
    pub(super) units: u32,
    /// The quotas that they were taken from.
    pub(super) quotas: BTreeSet<QuotaId>,
    /// When its write took effect.
    pub(super) at: u64,
    pub(super) clock: ClockState,
}

impl Granted {
    /// Whether they were taken from exactly those quotas; from those of people only where somebody
    /// had none.
    fn is_for(&self, counting: &[&Quota], ask: &Ask) -> bool {
        let calls = counting.iter().filter(|quota| quota.unit == Unit::Calls);
        let is_counted = |taken: &QuotaId| counting.iter().any(|quota| quota.id == *taken);
        // Who wrote a comment is asked under the unit of its send.
        calls.into_iter().all(|quota| self.quotas.contains(&quota.id))
            && (matches!(ask, Ask::Author(_)) || self.quotas.iter().all(is_counted))
    }
}

/// A call that took effect.
pub(super) struct Accepted {
    invocation: u64,
    /// When.
    at: u64,
    /// Whether its end is known: neither its answer nor the record of it was lost.
    is_known: bool,
}

/// The time that an answer of Meta's may take, in milliseconds.
const ANSWER_TIME: u64 = 10_000;

/// How long an account stops just below its limit.
const NEAR_LIMIT: Duration = Duration::from_secs(300);

/// Whether an answer says that the call did nothing.
fn is_clear(says: &Result<Answered<Sent>, CallError>) -> bool {
    match says {
        Err(CallError::NotWritten) => true,
        Err(call @ CallError::Refused { error, .. }) => {
            error.status < 500 && call.verdict() != Verdict::Ambiguous
        }
        _ => false,
    }
}

impl Watch {
    /// When the call for a send took effect.
    pub(crate) fn accepted_at(&self, send: &SendId) -> Option<u64> {
        self.accepted.get(send).map(|accepted| accepted.at)
    }
}

impl World {
    /// The send that a call is for, where it sends something.
    fn send_for(&self, caller: Caller, account: &AccountId, ask: &Ask) -> Option<SendId> {
        match ask {
            Ask::Reply(comment) => {
                let sends = self.watch.answers.get(&(account.clone(), comment.clone()));
                let is_callers = |send: &&SendId| {
                    let claim = self.watch.claims.get(send);
                    let waits = self.tables.entries.get(send).and_then(Recording::waiting);
                    claim.is_some_and(|claim| claim.invocation == caller.invocation)
                        && waits.is_some_and(|send| matches!(send.stage, Stage::Sending { .. }))
                };
                let of_caller = sends.and_then(|sends| sends.iter().find(is_callers)).cloned();
                Some(of_caller.unwrap_or_else(|| self.send_of(account, comment)))
            }
            Ask::Message { event, .. } => {
                Some(SendId { account: account.clone(), key: event.clone() })
            }
            Ask::PublicReply(comment) => {
                let key = OnceKey::public_reply(comment);
                Some(SendId { account: account.clone(), key })
            }
            Ask::Age(_)
            | Ask::Author(_)
            | Ask::Conversation(_)
            | Ask::Profile(_)
            | Ask::Replies(_)
            | Ask::Tool(_)
            | Ask::Keep(_) => None,
        }
    }

    /// A call arrives at Meta. Gives the instant at which it was granted.
    pub(crate) fn sees_call(
        &mut self,
        caller: Caller,
        account: &AccountId,
        ask: &Ask,
    ) -> Option<Timestamp> {
        if let Some(send) = self.send_for(caller, account, ask) {
            self.check_claimed(caller, &send);
            self.check_needed(caller, &send);
            self.check_not_early(caller, &send);
        }
        let granted = self.check_granted(caller, account, ask);
        if let Some(granted) = granted {
            self.check_running(account, ask, granted);
        }
        granted
    }

    /// Whoever calls has the send claimed, and nobody has it since.
    fn check_claimed(&mut self, caller: Caller, send: &SendId) {
        let stands = self.tables.entries.get(send).and_then(Recording::waiting);
        let is_ours = |found: &PendingSend, claim: &Claim| {
            matches!(found.stage, Stage::Sending { .. })
                && found.epoch == claim.epoch
                && claim.invocation == caller.invocation
        };
        let claimed = stands.zip(self.watch.claims.get(send));
        // The echo of an earlier attempt may have come since it was claimed.
        if self.watch.closed.contains(send) {
            return;
        }
        if !claimed.is_some_and(|(found, claim)| is_ours(found, claim)) {
            self.broken(format!("{} calls for {send} without a claim", caller.invocation));
        }
    }

    /// What may not go at once is not called for before.
    fn check_not_early(&mut self, caller: Caller, send: &SendId) {
        let is_early = self.meta.not_before(send).is_some_and(|at| self.time() + CLOCK_BOUND < at);
        if is_early && caller.clock == ClockState::Right && !self.had_wrong_clocks() {
            self.broken(format!("{send} is called for too early"));
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

    /// A call is about to be made: with time for its answer, of an age once, and for a send never
    /// again where nobody knows whether the last one arrived, unless a repeat was allowed.
    pub(crate) fn sees_attempt(
        &mut self,
        caller: Caller,
        account: &AccountId,
        ask: &Ask,
        timeout: u64,
    ) {
        if let Some(send) = self.send_for(caller, account, ask) {
            self.watch.open_claims.remove(&send);
            if timeout < ANSWER_TIME {
                self.broken(format!("{send} is called for with {timeout} ms for the answer"));
            }
        }
        if let Ask::Keep(_) = ask {
            self.saw_upkeep(account);
        }
        if let Ask::Age(comment) = ask {
            let send = self.send_of(account, comment);
            if !self.watch.aged.insert(send.clone()) {
                self.broken(format!("the age of {send} is asked for again"));
            }
        }
        let Some(send) = self.send_for(caller, account, ask) else { return };
        let waiting = self.tables.entries.get(&send).and_then(Recording::waiting);
        let repeats = waiting.map_or(0, |send| send.repeats);
        if !self.watch.unknown.insert(send.clone()) && repeats == 0 {
            self.broken(format!("{send} is made again, and may have arrived before"));
        }
    }

    /// Nobody gets more than one surplus DM, and none where nothing may be repeated.
    fn check_surplus(&mut self, send: &SendId, reached: u32) {
        let allowed = 1 + self.scenario.unknowns.retry.left(0);
        if reached > 1 {
            self.record.count("surplus DM");
        }
        if reached > allowed {
            self.broken(format!("{send} has reached its person {reached} times"));
        }
    }

    /// Every call takes a unit that was granted for it, in time and by a right clock.
    fn check_granted(
        &mut self,
        caller: Caller,
        account: &AccountId,
        ask: &Ask,
    ) -> Option<Timestamp> {
        let action = ask.action(&self.meta);
        let scenario = self.scenario.clone();
        let rules = scenario.account(account).into_iter().flat_map(|plan| plan.limits.quotas());
        // By the rules before a change of them, or by those after it.
        let counting: Vec<Vec<&Quota>> = rules
            .map(|quotas| quotas.into_iter().filter(|quota| quota.counts(action)).collect())
            .collect();
        let is_free = counting.iter().any(Vec::is_empty);
        let key = (caller.invocation, account.clone());
        let latest = self.now.saturating_sub(millis(GRANT_LIFE) + THERE_MAX);
        let grants = self.watch.grants.get_mut(&key);
        let grant = grants.and_then(|grants| {
            grants
                .iter_mut()
                .filter(|grant| grant.units > 0 && grant.at >= latest)
                .find(|grant| counting.iter().any(|counting| grant.is_for(counting, ask)))
        });
        let Some(grant) = grant else {
            if is_free {
                return None;
            }
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
        let Some(send) = self.send_for(caller, account, ask) else { return };
        let accepted = Accepted { invocation: caller.invocation, at: self.now, is_known: true };
        let reached = match ask {
            Ask::Reply(comment) => Some(self.meta.accepted(comment)),
            // How many there are was looked at when it was made.
            Ask::PublicReply(_) => None,
            _ => Some(self.meta.messages_accepted(&send)),
        };
        if let Some(reached) = reached {
            self.check_surplus(&send, reached);
            self.saw_passed(&send);
            self.watch.last_dm = self.now;
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
        says: &Result<Answered<Sent>, CallError>,
    ) {
        if let (Effect::Done, Err(_), Some(send)) =
            (effect, says, self.send_for(caller, account, ask))
        {
            self.saw_unknown(&send);
        }
        if let Some(send) = self.send_for(caller, account, ask)
            && is_clear(says)
        {
            self.watch.unknown.remove(&send);
        }
        // Tools have nobody to tell.
        if matches!(ask, Ask::Tool(_)) {
            return;
        }
        match says {
            Ok(sent) => self.heard_usage(caller, account, &sent.usage),
            Err(call @ CallError::Refused { usage, .. }) => {
                if let (Verdict::Throttled { scope }, Some(wait)) = (call.verdict(), usage.regain) {
                    self.saw_asked(caller, account, scope, wait);
                }
            }
            Err(_) => {}
        }
    }

    /// An answer said how full the limits are: just below them the account stops, or the app.
    fn heard_usage(&mut self, caller: Caller, account: &AccountId, usage: &Usage) {
        let Some(plan) = self.scenario.account(account) else { return };
        let stop = self.rules(plan, self.now).profile().slow_down.stop_percent;
        let is_full =
            |share: Option<Percent>| share.is_some_and(|share| share.get() >= stop.into());
        if is_full(usage.app) {
            self.record.count("usage of the app full");
            self.saw_asked(caller, account, ThrottleScope::App, NEAR_LIMIT);
        } else if is_full(usage.account) {
            self.record.count("usage full");
            self.saw_asked(caller, account, ThrottleScope::Account, NEAR_LIMIT);
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
        self.saw_ends_lost(invocation);
    }

    /// What became of the calls of an invocation may not be recorded.
    pub(crate) fn saw_ends_lost(&mut self, invocation: u64) {
        for accepted in self.watch.accepted.values_mut() {
            if accepted.invocation == invocation {
                accepted.is_known = false;
            }
        }
    }
}
