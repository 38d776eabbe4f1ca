//! Sends: their entries and places, claims, and ends.

use spillway_core::id::{EventId, SendId};
use spillway_core::send::{Outcome, Stage, Step};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_service::port::Entry;
use spillway_service::ticket::{Place, Ticket};

use super::{Caller, ClockState, Watch};
use crate::meta::millis;
use crate::scenario::{Post, Told};
use crate::world::World;

/// The last claim of a send.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    pub(super) epoch: u32,
    pub(super) invocation: u64,
    /// How many there have been of this send.
    nth: u32,
}

/// Longer than any slot is ahead: the horizon, or the longest wait before a retry.
const DUE_MS_MAX: u64 = 20 * 60_000;

impl Watch {
    /// How often a send was claimed.
    pub(crate) fn attempts(&self, send: &SendId) -> u32 {
        self.claims.get(send).map_or(0, |claim| claim.nth)
    }
}

impl World {
    /// A waiting send was written to its place.
    pub(crate) fn saw_place(&mut self, caller: Caller, send: &SendId) {
        self.check_clock(caller, format_args!("{send} is recorded"));
        if !self.tables.marks.contains_key(&send.account) {
            self.broken(format!("{send} waits, and its account has no mark"));
        }
    }

    /// An entry was made.
    pub(crate) fn saw_entry(&mut self, send: &SendId, place: &Place) {
        self.watch.tally.matched += 1;
        self.watch.tally.waiting += 1;
        if self.tables.waiting_at(place, send).is_none() {
            self.broken(format!("{send} has an entry and nothing at its place"));
        }
    }

    /// A place is about to be cleared.
    pub(crate) fn sees_discard(&mut self, place: &Place, send: &SendId) {
        if self.tables.entry(send, u64::MAX) == Entry::Waiting(place.clone()) {
            self.broken(format!("{send} waits, and its place is cleared"));
        }
    }

    /// A step was taken.
    pub(crate) fn saw_step(&mut self, caller: Caller, ticket: &Ticket, before: Stage, step: Step) {
        let send = &ticket.send;
        if matches!(before, Stage::Sending { .. }) {
            self.check_lease(caller, send);
        }
        match step {
            Step::Claim { .. } => {
                self.check_clock(caller, format_args!("{send} is claimed"));
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

    /// Nobody but the claim's own invocation touches a claimed send until that is over.
    fn check_lease(&mut self, caller: Caller, send: &SendId) {
        let Some(&Claim { invocation: other, .. }) = self.watch.claims.get(send) else { return };
        if self.is_running_beside(caller, other) {
            let by = caller.invocation;
            self.broken(format!("{by} acts on {send}, which {other} has claimed"));
        }
    }

    /// A queued send has a due time that is not far off.
    fn check_due(&mut self, caller: Caller, send: &SendId, due: Timestamp) {
        let ahead = millis(due.since(self.time()));
        if ahead > DUE_MS_MAX && caller.clock == ClockState::Right && !self.had_wrong_clocks() {
            self.broken(format!("{send} is queued for {ahead} ms from now"));
        }
    }

    /// A send has ended.
    pub(crate) fn saw_end(&mut self, caller: Caller, ticket: &Ticket, outcome: &Outcome) {
        let send = &ticket.send;
        let tally = &mut self.watch.tally;
        tally.waiting -= 1;
        match outcome {
            Outcome::Sent { .. } => tally.sent += 1,
            Outcome::Failed { .. } => tally.failed += 1,
            Outcome::Expired => tally.expired += 1,
            Outcome::Cancelled { .. } => tally.cancelled += 1,
        }
        if !self.watch.tally.balances() {
            self.broken(format!("the accounts do not balance: {:?}", self.watch.tally));
        }
        if *outcome == Outcome::Expired {
            self.check_clock(caller, format_args!("{send} expires"));
            let is_early = self.time() + CLOCK_BOUND < ticket.deadline;
            if is_early && caller.clock == ClockState::Right {
                self.broken(format!("{send} expires before its deadline"));
            }
        }
        if let Some(Stage::Sending { .. }) = self.stage(send) {
            self.check_lease(caller, send);
        }
    }

    fn stage(&self, send: &SendId) -> Option<Stage> {
        let place = &self.tables.entries.get(send)?.place;
        self.tables.waiting_at(place, send).map(|send| send.stage)
    }

    /// Whoever told of something was told that it is done: what it asks for is recorded.
    pub(crate) fn saw_answered(&mut self, post: &Post) {
        let wanted: Vec<SendId> = match &post.what {
            Told::Comments(comments) => comments
                .iter()
                .filter(|comment| self.meta.is_wanted(&comment.id))
                .map(|comment| SendId {
                    account: comment.account.clone(),
                    event: EventId::from(&comment.id),
                })
                .collect(),
            Told::Messages(account, messages) => messages
                .iter()
                .map(|new| SendId { account: account.clone(), event: new.event.clone() })
                .collect(),
        };
        for send in wanted {
            let plan = self.scenario.account(&send.account);
            let stays = plan.is_some_and(|plan| plan.removed_at.is_none());
            if stays && !self.tables.entries.contains_key(&send) {
                self.broken(format!("who told of {send} was told 200, and it is not recorded"));
            }
        }
    }
}
