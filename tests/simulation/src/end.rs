//! What must be true when a run has ended.

use std::collections::BTreeMap;

use spillway_core::campaign::Trigger;
use spillway_core::id::{AccountId, OnceKey, RecipientId, SendId};
use spillway_core::once::{OncePer, is_forgotten};
use spillway_core::send::{CancelReason, FailReason, LIVE_REPLY_WINDOW, Lane, Outcome};
use spillway_core::time::Timestamp;

use crate::meta::{Refusal, millis};
use crate::record::Elapsed;
use crate::scenario::{
    AccountPlan, Asks, CommentPlan, MessagePlan, Nature, Scenario, Surface, Theme, Told, Trouble,
};
use crate::world::World;
use spillway_memory::tables::Recording;

/// Attempts that end in nothing sent before a send fails.
const TRANSIENT_TRIES: u32 = 5;

/// Attempts before a send fails that is refused alone.
const REFUSED_TRIES: u32 = 3;

/// Attempts before a send fails whose media cannot be fetched.
const FETCH_TRIES: u32 = 2;
const MINUTE: u64 = 60_000;

/// For how long Meta lets a comment be answered, in milliseconds.
const ANSWERABLE: u64 = 7 * 24 * 60 * MINUTE;

impl World {
    /// Checks the end of a run.
    pub(crate) fn check_end(&mut self) {
        let scenario = self.scenario.clone();
        self.check_nothing_waits();
        for account in &scenario.accounts {
            for comment in &account.comments {
                self.check_comment(account, comment);
                self.check_public_end(&account.id, &comment.id);
            }
            for message in &account.messages {
                self.check_message(account, message);
            }
            self.check_events(account);
            self.check_talks(account);
        }
        let entries = self.tables.entries.keys();
        let stranger = { entries }.find(|send| scenario.account(&send.account).is_none()).cloned();
        if let Some(send) = stranger {
            self.broken(format!("{send} is of an account that is not connected"));
        }
        let all = self.tables.entries.len() as u64;
        let public = self.tables.entries.keys().filter(|send| send.key.is_public_reply()).count();
        if all - public as u64 != self.watch.tally.matched
            || public as u64 != self.watch.public.matched
        {
            let (dms, replies) = (self.watch.tally, self.watch.public);
            self.broken(format!("{all} entries, {public} of public replies, {dms:?} {replies:?}"));
        }
        self.check_recount();
        if scenario.theme == Theme::Repeats {
            self.check_people(&scenario);
        }
        self.check_kept_to_the_end();
        let dead = self.sends.dead();
        self.record.add("dead letter", dead);
        let has_orders = scenario.accounts.iter().any(|account| !account.orders.is_empty());
        if scenario.trouble == Trouble::None && scenario.spells.is_empty() && !has_orders {
            self.check_calm();
        }
        if let Some(within) = scenario.prompt {
            self.check_prompt(&scenario, within);
        }
    }

    /// Everything was sent within so many milliseconds of being told of, and of the holds that
    /// refusals of several people, or the first of one, have earned. At night time stands still.
    fn check_prompt(&mut self, scenario: &Scenario, within: u64) {
        for post in &scenario.posts {
            let sends: Vec<SendId> = match &post.what {
                Told::Comments(comments) => comments
                    .iter()
                    .filter(|comment| scenario.is_prompt(&comment.account, &comment.id))
                    .map(|comment| self.send_of(&comment.account, &comment.id))
                    .collect(),
                Told::Messages(account, messages) if scenario.theme == Theme::Refusals => messages
                    .iter()
                    .map(|new| SendId { account: account.clone(), key: new.key.clone() })
                    .collect(),
                Told::Messages(..) | Told::Echo(_) | Told::Conversations(_) => Vec::new(),
            };
            let is_readable = |send: &SendId| {
                let plan = scenario.account(&send.account);
                plan.is_some_and(|plan| plan.unreadable.is_none())
            };
            for send in sends.into_iter().filter(is_readable) {
                let within = within + self.earned(&send.account);
                let active = scenario.account(&send.account).map(|plan| plan.limits.active());
                let awake = |at: u64| {
                    let (from, to) = (Timestamp::from_millis(post.at), Timestamp::from_millis(at));
                    active.map_or(0, |active| millis(active.active_time(from, to)))
                };
                let took = self.watch.accepted_at(&send).map(awake);
                if took.is_none_or(|took| took > within) {
                    self.broken(format!("{send} went out after {took:?} ms, not within {within}"));
                }
            }
        }
    }

    fn check_nothing_waits(&mut self) {
        let waiting = self.tables.entries.values().filter_map(Recording::waiting);
        let first = { waiting }.next().map(|send| format!("{send:?}"));
        if let Some(first) = first {
            let count = self.tables.waiting;
            self.broken(format!("{count} sends still wait, one of them {first}"));
        }
        let batches = self.tables.batches.values().flat_map(BTreeMap::keys);
        let batches: Vec<String> = batches.map(|outbox_key| format!("{outbox_key:?}")).collect();
        if !batches.is_empty() {
            self.broken(format!("batches are left: {batches:?}"));
        }
        let marks: Vec<AccountId> = self.tables.marks.keys().cloned().collect();
        if !marks.is_empty() {
            self.broken(format!("marks are left: {marks:?}"));
        }
        if !self.sends.is_empty() {
            let left = self.sends.len();
            self.broken(format!("{left} messages are left on the send queue"));
        }
    }

    fn check_comment(&mut self, account: &AccountPlan, comment: &CommentPlan) {
        let send = self.send_of(&account.id, &comment.id);
        let entry = self.tables.entries.get(&send);
        let problem = match entry {
            None if account.unreadable.is_some() || self.watch.early.contains(&send) => None,
            None if self.may_be_missed(&account.id, comment) => None,
            None if account.may_be_forgotten(comment.made_at) => None,
            None if self.was_forgotten(&account.id, comment) => None,
            None if self.is_repeat(&account.id, &comment.id) => None,
            Some(_) if self.was_replaced(&send, comment) => None,
            None if !self.tables.kept.is_connected(&account.id, comment.made_at) => None,
            None if comment.asks == Asks::Wanted && account.removed_at.is_none() => {
                let made_at = Elapsed(comment.made_at - self.scenario.start);
                Some(format!("it was never recorded, and made at {made_at}"))
            }
            None => None,
            Some(_) if comment.asks != Asks::Wanted => Some("nobody wanted an answer".to_owned()),
            Some(entry) => match entry.ended() {
                None => Some("it still waits".to_owned()),
                Some((outcome, at)) => self.judge_outcome(account, comment, outcome, at),
            },
        };
        if let Some(problem) = problem {
            self.broken(format!("{send}: {problem}"));
        }
    }

    /// Whether a webhook that told of a comment could not know whether it was made before its author
    /// was forgotten.
    fn was_forgotten(&self, account: &AccountId, comment: &CommentPlan) -> bool {
        let person = (account.clone(), comment.author.clone());
        let made_at = Timestamp::from_millis(comment.made_at);
        self.tables.forgotten.get(&person).is_some_and(|&at| is_forgotten(at, made_at, false))
    }

    /// Whether a comment is gone that was told without its author: nobody knows any more in whose
    /// item it is named.
    fn is_gone_unnamed(&self, account: &AccountId, comment: &CommentPlan) -> bool {
        let key = OnceKey::comment(&comment.id);
        comment.nature != Nature::Answerable
            && self.tables.entries.contains_key(&SendId { account: account.clone(), key })
    }

    /// Whether a newer comment of its author took the place of a comment that is gone.
    fn was_replaced(&self, send: &SendId, comment: &CommentPlan) -> bool {
        let entry = self.tables.entries.get(send);
        let stored = entry.map(|entry| entry.stored(send));
        let answers = stored.and_then(|stored| stored.comment);
        answers.is_some_and(|answers| answers != comment.id)
            && matches!(comment.nature, Nature::Refused(Refusal::CommentGone, _))
    }

    /// People get as many DMs as the campaign's rule says, and where nothing goes wrong no fewer.
    fn check_people(&mut self, scenario: &Scenario) {
        for account in &scenario.accounts {
            let per = account.campaigns[0].once(Trigger::Comment).per;
            let mut comments: BTreeMap<&RecipientId, Vec<&CommentPlan>> = BTreeMap::new();
            for comment in &account.comments {
                comments.entry(&comment.author).or_default().push(comment);
            }
            for (person, comments) in comments {
                let accepted: Vec<&CommentPlan> = comments
                    .iter()
                    .copied()
                    .filter(|one| self.meta.accepted(&one.id) > 0)
                    .collect();
                // Told under an ad that does not name its post, a comment is on another post. One
                // whose author nobody names counts by itself.
                let is_of_one = |one: &&&CommentPlan| {
                    (per == OncePer::Campaign || !scenario.is_told_elsewhere(&one.id))
                        && self.meta.named_author(&one.id).is_some()
                };
                let many = accepted.iter().filter(is_of_one).count();
                if scenario.keeps_to_people() && per != OncePer::Comment && many > 1 {
                    self.broken(format!("{person} has {many} DMs"));
                }
                let is_certain = scenario.trouble == Trouble::None
                    && scenario.has_stand_ins()
                    && comments.iter().all(|one| self.meta.named_author(&one.id).is_some())
                    && !comments.iter().any(|one| self.is_gone_unnamed(&account.id, one));
                let can = comments.iter().any(|one| one.nature == Nature::Answerable);
                if is_certain && can && accepted.is_empty() {
                    self.broken(format!("{person} has no DM"));
                }
            }
        }
    }

    fn check_message(&mut self, account: &AccountPlan, message: &MessagePlan) {
        let event = message.new.key.clone();
        let send = SendId { account: account.id.clone(), key: event };
        let problem = match self.tables.entries.get(&send) {
            None if account.unreadable.is_some() => None,
            None if account.removed_at.is_none() => Some("it was never recorded".to_owned()),
            None => None,
            Some(entry) => match entry.ended() {
                None => Some("it still waits".to_owned()),
                Some((outcome, at)) => self.judge_message(account, message, &send, outcome, at),
            },
        };
        if let Some(problem) = problem {
            self.broken(format!("{send}: {problem}"));
        }
    }

    /// What is wrong with how a message ended.
    fn judge_message(
        &self,
        account: &AccountPlan,
        message: &MessagePlan,
        send: &SendId,
        outcome: &Outcome,
        at: u64,
    ) -> Option<String> {
        let is_due = match outcome {
            Outcome::Sent { .. } => self.meta.messages_accepted(send) > 0,
            // Not before its deadline: that was looked at when it ended.
            Outcome::Expired => true,
            Outcome::Cancelled { reason: CancelReason::AccountRemoved } => {
                account.removed_at.is_some_and(|removed| removed <= at)
            }
            Outcome::Cancelled { .. } => false,
            Outcome::Failed { reason } if self.may_fail(&account.id, send, *reason, at) => true,
            Outcome::Failed { reason } => match message.nature {
                Nature::Refused(refusal, from) => refusal.ends() == Some(*reason) && from <= at,
                Nature::Answerable => false,
            },
        };
        (!is_due).then(|| format!("it ended as {outcome:?}"))
    }

    /// Whether what goes wrong may have failed a send that could be answered.
    fn may_fail(&self, account: &AccountId, send: &SendId, reason: FailReason, at: u64) -> bool {
        let was_spelled = self.scenario.spells.iter().any(|spell| {
            let is_theirs = spell.account.as_ref().is_none_or(|only| only == account);
            is_theirs && spell.refusal.ends() == Some(reason) && spell.span.start <= at
        });
        let attempts = self.watch.attempts(send);
        let has_faults = self.scenario.rates.meta > 0.0;
        was_spelled
            || reason == FailReason::Unknown
                && attempts > 0
                && self.scenario.trouble != Trouble::None
            || has_faults
                && match reason {
                    FailReason::Refused => attempts >= REFUSED_TRIES,
                    FailReason::BadRequest => attempts >= FETCH_TRIES,
                    _ => false,
                }
    }

    /// Whether the broadcast of a comment that ended as expired at this instant still went on, as
    /// the comments tell of which Spillway knows.
    fn was_live_at(&self, send: &SendId, at: u64) -> bool {
        let Some(entry) = self.tables.entries.get(send) else { return false };
        let mut told: Vec<u64> = self
            .tables
            .entries
            .range(SendId { account: send.account.clone(), key: OnceKey::new("") }..)
            .take_while(|(other, _)| other.account == send.account)
            .filter(|(_, entry)| entry.lane == Lane::Live)
            .map(|(_, entry)| entry.deadline.as_millis())
            .collect();
        told.sort_unstable();
        let mut last = entry.deadline.as_millis();
        for deadline in told {
            let is_of_it = deadline <= last + millis(LIVE_REPLY_WINDOW);
            // Told long before, so that whoever let it expire could know.
            if is_of_it && deadline + MINUTE < at + millis(LIVE_REPLY_WINDOW) {
                last = last.max(deadline);
            }
        }
        at + MINUTE < last && !self.had_wrong_clocks()
    }

    /// What is wrong with how a comment's send ended.
    fn judge_outcome(
        &self,
        account: &AccountPlan,
        comment: &CommentPlan,
        outcome: &Outcome,
        at: u64,
    ) -> Option<String> {
        let accepted = self.meta.accepted(&comment.id);
        let send = self.send_of(&account.id, &comment.id);
        let is_live = matches!(comment.surface, Surface::Live { .. });
        let was = if accepted > 0 { "it was sent" } else { "it was not sent" };
        let wrong = |what: &str| Some(format!("it {what}, and {was}"));
        match outcome {
            // Another send to the same person said the same at the same time.
            Outcome::Sent { message, .. }
                if accepted == 0
                    && self.has_message(&account.id, &comment.author, message.as_deref()) =>
            {
                None
            }
            // After the broadcast a lost answer stays unknown.
            Outcome::Sent { .. } if accepted == 0 && !is_live => wrong("counts as sent"),
            Outcome::Sent { .. } => None,
            // A send may end while the fate of an attempt is unknown.
            Outcome::Expired if is_live => {
                if self.was_live_at(&send, at) {
                    wrong("expired in mid-broadcast")
                } else {
                    None
                }
            }
            Outcome::Expired if self.had_wrong_clocks() => None,
            Outcome::Expired if self.scenario.may_expire(account) => None,
            // Where nobody else's send was left to show that it is alone with it.
            Outcome::Expired if is_refused_alone(comment.nature) => None,
            Outcome::Expired => wrong("expired"),
            Outcome::Cancelled { reason: CancelReason::AccountRemoved } => {
                let is_planned = account.removed_at.is_some_and(|removed| removed <= at);
                if is_planned || self.tables.kept.was_removed(&account.id, at) {
                    None
                } else {
                    wrong("was cancelled")
                }
            }
            Outcome::Cancelled {
                reason: reason @ (CancelReason::CampaignRemoved | CancelReason::Operator),
            } => {
                if self.was_cancelled_by_hand(&account.id, &comment.author, *reason, at) {
                    None
                } else {
                    wrong("was cancelled")
                }
            }
            Outcome::Cancelled { reason: CancelReason::Repeat } => {
                if self.was_told_without_author(&account.id, &comment.id)
                    || self.scenario.theme == Theme::Repeats
                {
                    None
                } else {
                    wrong("counts as a repeat")
                }
            }
            Outcome::Cancelled { reason: CancelReason::Stopped }
                if self.scenario.theme == Theme::Talks && accepted == 0 =>
            {
                None
            }
            Outcome::Cancelled { .. } => wrong("was cancelled for what its person did"),
            Outcome::Failed { reason } => {
                let reason = *reason;
                let is_due = match (reason, comment.nature) {
                    (FailReason::NoAnswer, _) => self.watch.attempts(&send) >= TRANSIENT_TRIES,
                    _ if self.may_fail(&account.id, &send, reason, at) => true,
                    // The broadcast is over.
                    (FailReason::ReplyRefused, _) if is_live => true,
                    // It was told of so late that Meta found it too old first.
                    (FailReason::ReplyRefused, _) if comment.made_at + ANSWERABLE <= at => true,
                    // Also after a lost answer to a call that went through.
                    (_, Nature::Refused(refusal, from)) => {
                        refusal.ends() == Some(reason) && from <= at
                    }
                    (_, Nature::Answerable) => false,
                };
                if is_due { None } else { wrong(&format!("failed for {reason:?}")) }
            }
        }
    }
}

impl World {
    /// Where nothing goes wrong, every call has its purpose.
    fn check_calm(&mut self) {
        let count = |of: &str| self.record.counts().get(of).copied().unwrap_or_default();
        let calls = count("calls") - count("repeated");
        let tally = self.watch.tally;
        let asked = self.record.counts().contains_key("calls for an author");
        if calls != tally.sent + tally.failed && !asked {
            self.broken(format!("{calls} calls, and {tally:?}"));
        }
    }
}

impl World {
    /// Whether a request to the store may have failed.
    pub(crate) fn has_store_trouble(&self) -> bool {
        matches!(self.scenario.trouble, Trouble::Store | Trouble::Brink | Trouble::All)
    }
}

/// Whether a send is refused in words that would mean its account.
fn is_refused_alone(nature: Nature) -> bool {
    matches!(nature, Nature::Refused(refusal, _) if refusal.ends() == Some(FailReason::Refused))
}
