//! Sends: their entries and the batches that list them, claims, and ends.

use spillway_core::id::{AccountId, CommentId, OnceKey, SendId};
use spillway_core::send::{Address, CancelReason, Outcome, PendingSend, Stage, Step};
use spillway_core::time::{CLOCK_BOUND, Timestamp};
use spillway_service::outbox_batch::{OutboxBatch, OutboxLine, Slot};
use spillway_service::outbox_key::OutboxKey;
use spillway_service::port::Closed;
use spillway_service::send_task::SendTask;

use super::{Caller, ClockState, Watch};
use crate::meta::millis;
use crate::scenario::{Post, Theme, Told};
use crate::stored::LAG_MAX;
use crate::world::World;
use spillway_memory::tables::Recording;
use spillway_meta::webhook::CommentEvent;

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

/// How long an invocation may be at work on the sends of an account that was removed, in
/// milliseconds.
const UNDER_WAY_MAX: u64 = 60_000;

/// How long a campaign may be unknown to a process, in milliseconds: it looks every five seconds,
/// and a read may lag.
pub(super) const CAMPAIGN_UNKNOWN: u64 = 5000 + LAG_MAX;

impl Watch {
    /// Whether the last claim of a send is not this invocation's.
    pub(crate) fn is_claimed_beside(&self, invocation: u64, send: &SendId) -> bool {
        self.claims.get(send).is_some_and(|claim| claim.invocation != invocation)
    }

    /// How often a send was claimed.
    pub(crate) fn attempts(&self, send: &SendId) -> u32 {
        self.claims.get(send).map_or(0, |claim| claim.nth)
    }
}

impl World {
    /// A new batch was written.
    pub(crate) fn saw_batch(&mut self, caller: Caller, batch: &OutboxBatch) {
        self.check_clock(caller, format_args!("batch {:?} is written", batch.outbox_key));
        self.check_mark(&batch.account, format_args!("batch {:?} is written", batch.outbox_key));
    }

    /// An entry was made.
    pub(crate) fn saw_entry(&mut self, made: &PendingSend, outbox_key: &OutboxKey) {
        let send = &made.id;
        if let Address::Comment { id, .. } = &made.to
            && !made.class.is_public()
        {
            self.saw_answer(id, send);
        }
        match (self.scenario.theme, &made.to) {
            (Theme::Triggers, _) => self.saw_answer_to_event(send),
            (Theme::Talks, Address::Person(_)) => self.saw_turn(send, made.not_before),
            _ => {}
        }
        let tally = self.tally_of(send);
        tally.matched += 1;
        tally.waiting += 1;
        self.check_mark(&send.account, format_args!("{send} waits"));
        // Until now it did not wait, and whoever dropped its line did not know better.
        if !self.tables.is_listed(send, outbox_key) {
            self.broken(format!("{send} waits, and no batch lists it"));
        }
    }

    /// The tally that a send counts in.
    fn tally_of(&mut self, send: &SendId) -> &mut super::Tally {
        if send.key.is_public_reply() { &mut self.watch.public } else { &mut self.watch.tally }
    }

    /// Whether an echo has ended a send.
    pub(crate) fn was_closed(&self, send: &SendId) -> bool {
        self.watch.closed.contains(send)
    }

    /// A send was made for a comment, or a comment took another one's place in it.
    pub(crate) fn saw_answer(&mut self, comment: &CommentId, send: &SendId) {
        let key = (send.account.clone(), comment.clone());
        let sends = self.watch.answers.entry(key).or_default();
        if !sends.contains(send) {
            sends.push(send.clone());
        }
        if sends.len() > 2 {
            let sends = sends.clone();
            self.broken(format!("{comment} has the sends {sends:?}"));
        }
    }

    /// The send that answers a comment: of two, the one that has not found the other.
    pub(crate) fn send_of(&self, account: &AccountId, comment: &CommentId) -> SendId {
        let sends = self.watch.answers.get(&(account.clone(), comment.clone()));
        let gives_way = |send: &&SendId| {
            let entry = self.tables.entries.get(send);
            let outcome = entry.and_then(|entry| entry.ended()).map(|(outcome, _)| outcome);
            let is_claimed = entry
                .and_then(Recording::waiting)
                .is_some_and(|send| matches!(send.stage, Stage::Sending { .. }));
            match outcome {
                _ if is_claimed || self.watch.accepted.contains_key(send) => 0,
                Some(Outcome::Cancelled { reason: CancelReason::Repeat }) => 2,
                _ => 1,
            }
        };
        let send = sends.and_then(|sends| sends.iter().min_by_key(gives_way)).cloned();
        send.unwrap_or_else(|| SendId { account: account.clone(), key: OnceKey::comment(comment) })
    }

    /// Whether a comment was told of by somebody who has, or had, another send.
    pub(crate) fn is_repeat(&self, account: &AccountId, comment: &CommentId) -> bool {
        if self.scenario.theme != Theme::Repeats {
            return false;
        }
        let Some(author) = self.meta.author(comment) else { return false };
        // A send is named before it is recorded.
        let is_named = self.tables.answered.contains_key(&(account.clone(), author.clone()));
        is_named
            || self.watch.answers.keys().any(|(of, other)| {
                of == account && other != comment && self.meta.author(other) == Some(author)
            })
    }

    /// Whether more than one send was made for a comment.
    pub(crate) fn was_told_without_author(&self, account: &AccountId, comment: &CommentId) -> bool {
        let sends = self.watch.answers.get(&(account.clone(), comment.clone()));
        sends.is_some_and(|sends| sends.len() > 1)
    }

    /// A send that had failed waits again.
    pub(crate) fn saw_reopened(&mut self, send: &SendId, outbox_key: &OutboxKey) {
        self.watch.tally.failed -= 1;
        self.watch.tally.waiting += 1;
        self.check_mark(&send.account, format_args!("{send} waits again"));
        if !self.tables.is_listed(send, outbox_key) {
            self.broken(format!("{send} waits again, and no batch lists it"));
        }
    }

    fn check_mark(&mut self, account: &AccountId, what: std::fmt::Arguments<'_>) {
        if !self.tables.marks.contains_key(account) {
            self.broken(format!("{what}, and its account has no mark"));
        }
    }

    /// A batch was written again, or removed.
    pub(crate) fn saw_rewrite(&mut self, caller: Caller, before: &OutboxBatch, next: &OutboxBatch) {
        for line in &before.lines {
            let (send, outbox_key) = (before.id_of(line), before.key_of(line));
            let is_kept = next.lines.iter().any(|kept| next.key_of(kept) == outbox_key);
            if !is_kept && self.tables.waiting_at(&outbox_key, &send).is_some() {
                self.broken(format!("{send} waits, and its line is dropped"));
            }
        }
        for line in &next.lines {
            let outbox_key = next.key_of(line);
            match before.lines.iter().find(|old| before.key_of(old) == outbox_key) {
                Some(old) if old.slot != line.slot => self.check_slot(caller, next, line),
                Some(_) => {}
                None => self.broken(format!("{} is put on an old batch", next.id_of(line))),
            }
        }
    }

    /// Whoever gives a send a slot knows where it stands, or stood a moment ago.
    fn check_slot(&mut self, caller: Caller, batch: &OutboxBatch, line: &OutboxLine) {
        // Its entry was missing when it was looked up, and may have been made since.
        let known = line.slot.filter(|&slot| slot != Slot::UNKNOWN);
        let Some(Slot { due, epoch }) = known else { return };
        let send = batch.id_of(line);
        self.check_due(caller, &send, due);
        let stands = self.tables.waiting_at(&batch.key_of(line), &send).map(|send| send.epoch);
        if let Some(now) = stands.filter(|&now| now < epoch) {
            self.broken(format!("{send} has a slot at epoch {epoch}, and stands at {now}"));
        }
    }

    /// The answer to a claim, or to a step of a claimed send, was lost: nobody goes on with it.
    pub(crate) fn saw_step_lost(&mut self, send: &SendId) {
        self.watch.open_claims.remove(send);
    }

    /// A step was taken.
    pub(crate) fn saw_step(&mut self, caller: Caller, task: &SendTask, before: Stage, step: Step) {
        let send = &task.send;
        if matches!(before, Stage::Sending { .. }) {
            self.check_lease(caller, send);
        }
        self.watch.open_claims.remove(send);
        match step {
            Step::Claim { .. } => {
                if self.watch.running.contains(&caller.invocation) {
                    self.watch.open_claims.insert(send.clone(), caller.invocation);
                }
                self.check_clock(caller, format_args!("{send} is claimed"));
                let nth = self.watch.attempts(send) + 1;
                let epoch = task.epoch + 1;
                let claim = Claim { epoch, invocation: caller.invocation, nth };
                self.watch.claims.insert(send.clone(), claim);
            }
            Step::Dated { .. } | Step::Chosen { .. } => {
                if let Some(claim) = self.watch.claims.get_mut(send) {
                    claim.epoch = task.epoch + 1;
                }
            }
            Step::Unknown(_) => {
                let waiting = self.tables.entries.get(send).and_then(Recording::waiting).cloned();
                waiting.iter().for_each(|send| self.saw_doubt(send));
            }
            Step::Looked { .. } => {}
            Step::To(stage)
            | Step::Failed(stage)
            | Step::Lost(stage)
            | Step::Repeated(stage)
            | Step::Replaced(stage)
            | Step::Cleared(stage) => {
                match step {
                    Step::Repeated(_) => self.record.count("repeated"),
                    Step::Replaced(_) => self.record.count("replaced"),
                    _ => {}
                }
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

    /// An echo was told of this send, which had ended as `before` says, or waited.
    pub(crate) fn saw_closed(&mut self, send: &SendId, before: Option<&Outcome>, closed: Closed) {
        let tally = &mut self.watch.tally;
        match (closed, before) {
            (Closed::Known, _) => return,
            (Closed::Ended, _) => tally.waiting -= 1,
            (Closed::Corrected, Some(Outcome::Failed { .. })) => tally.failed -= 1,
            (Closed::Corrected, Some(Outcome::Expired)) => tally.expired -= 1,
            (Closed::Corrected, Some(Outcome::Cancelled { .. })) => tally.cancelled -= 1,
            (Closed::Corrected, Some(Outcome::Sent { .. }) | None) => {}
        }
        tally.sent += 1;
        self.record.count(match closed {
            Closed::Ended => "sent, by its echo",
            Closed::Corrected | Closed::Known => "sent after all, by its echo",
        });
        self.watch.open_claims.remove(send);
        self.watch.closed.insert(send.clone());
        if self.watch.accepted_at(send).is_none() {
            self.broken(format!("{send} is ended by an echo, and nobody was sent anything"));
        }
    }

    /// A send has ended that stood there.
    pub(crate) fn saw_end(
        &mut self,
        caller: Caller,
        task: &SendTask,
        stood: Stage,
        outcome: &Outcome,
    ) {
        let send = &task.send;
        self.watch.open_claims.remove(send);
        let tally = self.tally_of(send);
        tally.waiting -= 1;
        match outcome {
            Outcome::Sent { .. } => tally.sent += 1,
            Outcome::Failed { .. } => tally.failed += 1,
            Outcome::Expired => tally.expired += 1,
            Outcome::Cancelled { .. } => tally.cancelled += 1,
        }
        let tally = *tally;
        if !tally.balances() {
            self.broken(format!("the accounts do not balance: {tally:?}"));
        }
        if *outcome == Outcome::Expired {
            self.check_clock(caller, format_args!("{send} expires"));
            let is_early = self.time() + CLOCK_BOUND < task.deadline;
            if is_early && caller.clock == ClockState::Right {
                self.broken(format!("{send} expires before its deadline"));
            }
        }
        if matches!(stood, Stage::Sending { .. }) {
            self.check_lease(caller, send);
        }
        let is_cancelled = *outcome == Outcome::Cancelled { reason: CancelReason::AccountRemoved };
        if let Some(removed) = self.watch.removed.get(&send.account)
            && removed + UNDER_WAY_MAX < self.now
            && !is_cancelled
        {
            let ago = self.now - removed;
            self.broken(format!("{send} ends as {outcome:?}, its account is gone for {ago} ms"));
        }
    }

    /// Whoever told of something at `began` was told that it is done: what it asks for is recorded.
    pub(crate) fn saw_answered(&mut self, post: &Post, began: u64) {
        let is_forgotten = |comment: &CommentEvent| {
            let author = self.meta.author(&comment.id).cloned();
            author.is_some_and(|author| {
                self.tables.forgotten.contains_key(&(comment.account.clone(), author))
            })
        };
        let wanted: Vec<SendId> = match &post.what {
            Told::Comments(comments) => comments
                .iter()
                .filter(|comment| self.meta.is_wanted(&comment.id) && !is_forgotten(comment))
                .map(|comment| self.send_of(&comment.account, &comment.id))
                .collect(),
            Told::Messages(account, messages) => messages
                .iter()
                .map(|new| SendId { account: account.clone(), key: new.key.clone() })
                .collect(),
            Told::Echo(echo) => {
                self.saw_echo_heard(echo);
                Vec::new()
            }
            Told::Conversations(events) => {
                self.saw_events_answered(events);
                self.saw_acts_heard(events);
                Vec::new()
            }
        };
        for send in wanted {
            // Its key is its comment's: it has no send.
            if self.is_repeat(&send.account, &CommentId::new(send.key.as_str())) {
                continue;
            }
            let plan = self.scenario.account(&send.account);
            let stays =
                plan.is_some_and(|plan| plan.removed_at.is_none() && plan.unreadable.is_none());
            // Whoever looks finds it connected, or not, at some instant in between.
            let stays = stays && !self.tables.kept.was_away(&send.account, began, LAG_MAX);
            if self.tables.entries.contains_key(&send) {
                continue;
            }
            if self.was_unwanted(&send.account, began, self.now) {
                self.record.count("told of while its campaign stopped");
                self.watch.early.insert(send);
                continue;
            }
            if !stays {
                continue;
            }
            let is_unknown = |begins_at| began < begins_at + CAMPAIGN_UNKNOWN;
            if plan.and_then(|plan| plan.begins_at).is_some_and(is_unknown) {
                self.record.count("told before its campaign");
                self.watch.early.insert(send);
            } else {
                self.broken(format!("who told of {send} was told 200, and it is not recorded"));
            }
        }
    }
}
