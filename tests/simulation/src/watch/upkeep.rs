//! Upkeep: it calls for each account soon after every hold, no token dies, and no account is
//! forgotten.

use std::collections::{BTreeMap, BTreeSet};

use spillway_core::id::{AccountId, CommentId};
use spillway_core::journal::{Event, JournalEntry};
use spillway_core::time::Timestamp;

use super::{Caller, ClockState};
use crate::by_hand::OwnerState;
use crate::meta::Refusal;
use crate::scenario::{Asked, CommentPlan, Surface};
use crate::world::World;

const HOUR: u64 = 3_600_000;

/// How long upkeep may leave an account alone that is not on hold, in milliseconds.
const ALONE_MAX: u64 = 25 * HOUR;

/// A comment may be answered for so long.
const ANSWERABLE: u64 = 7 * 24 * HOUR;

/// What is remembered of upkeep. Instants are in milliseconds since 1970.
#[derive(Default)]
pub(super) struct Kept {
    /// When upkeep last called, or the account was last seen on hold: its own, or the app's.
    busy_at: BTreeMap<AccountId, u64>,
    /// The date of the last webhook that was heard of each account while they had stopped.
    heard_in_silence: BTreeMap<AccountId, u64>,
    /// Comments that Meta has given up to tell of.
    given_up: BTreeSet<CommentId>,
    /// Accounts of which Meta has said that their token is dead.
    refused_token: BTreeSet<AccountId>,
}

impl World {
    /// Upkeep is about to call for an account.
    pub(super) fn saw_upkeep(&mut self, account: &AccountId) {
        self.watch.kept.busy_at.insert(account.clone(), self.now);
    }

    /// Meta has refused a call.
    pub(super) fn saw_token_refused(&mut self, account: &AccountId, refusal: Refusal) {
        if refusal == Refusal::TokenDead {
            self.watch.kept.refused_token.insert(account.clone());
        }
    }

    /// A webhook of `at` was heard of.
    pub(crate) fn saw_heard(&mut self, account: &AccountId, at: Timestamp) {
        let at = at.as_millis();
        if self.meta.is_silent(account, at) || !self.meta.is_subscribed(account, at) {
            self.record.count("heard of late");
            self.watch.kept.heard_in_silence.insert(account.clone(), at);
        }
    }

    /// An account is about to be removed.
    pub(crate) fn saw_removed(&mut self, caller: Caller, account: &AccountId) {
        if !self.is_by_hand(caller.invocation) {
            self.check_left(account, Asked::Delete);
        }
        self.record.count("account removed");
    }

    /// What upkeep acts on is what the account's owner has done last.
    fn check_left(&mut self, account: &AccountId, asked: Asked) {
        let left = self.owner_state(account);
        // While somebody connects it again, what was asked for before may be done first.
        if left != OwnerState::Asked(asked) && left != OwnerState::Connecting {
            self.broken(format!("{account}: {asked:?} is acted on, and the last was {left:?}"));
        }
    }

    /// Everybody knows of a change of an account: from now on nothing is granted where it is not
    /// connected any more.
    pub(crate) fn saw_change_announced(&mut self, account: &AccountId) {
        if !self.is_connected(account) {
            self.watch.removed.entry(account.clone()).or_insert(self.now);
        }
    }

    /// The account is connected again.
    pub(crate) fn saw_connected(&mut self, account: &AccountId) {
        self.record.count("connected again");
        self.watch.removed.remove(account);
        self.watch.kept.busy_at.insert(account.clone(), self.now);
    }

    /// Nothing is granted for an account that is not connected.
    pub(super) fn check_connected(&mut self, account: &AccountId) {
        if let Some(removed) = self.watch.removed.get(account) {
            let ago = self.now - removed;
            self.broken(format!("{account} is granted a call {ago} ms after it was removed"));
        }
    }

    /// An account is taken off upkeep's list.
    pub(crate) fn saw_struck_off(&mut self, account: &AccountId) {
        // Connecting it puts it back.
        if self.is_connected(account) && self.owner_state(account) != OwnerState::Connecting {
            self.broken(format!("{account} is connected, and upkeep of it ends"));
        }
    }

    /// The counters of an account come to an end: nothing of it waits, and no call is under way.
    pub(crate) fn saw_expiring(&mut self, account: &AccountId) {
        self.record.count("counters expire");
        let waiting = self.tables.waiting_of(account).next().map(|send| send.id.clone());
        if let Some(send) = waiting {
            self.broken(format!("the removal of {account} is over, and {send} waits"));
        }
    }

    /// People are told of an account.
    pub(crate) fn saw_told(&mut self, caller: Caller, entry: &JournalEntry) {
        let name = match &entry.what {
            Event::SubscriptionLost { .. } => "told: subscription lost",
            Event::Resubscribed => "told: subscribed again",
            Event::Backfilled { found, unfinished, .. } => {
                self.record.add("found by a backfill", u64::from(*found));
                match unfinished {
                    0 => "told: comments read",
                    _ => "told: comments not read to the end",
                }
            }
            Event::Silent { .. } => "told: silent",
            Event::HeardAgain => "told: heard again",
            Event::TokenRefreshed { .. } => "told: token renewed",
            Event::TokenRefreshFailed { .. } => "told: token not renewed",
            Event::Deauthorized => {
                self.check_left(&entry.account, Asked::Deauthorize);
                "told: deauthorised"
            }
            Event::Removed { .. } => "told: removed",
            Event::TokenDead => {
                let was_refused = self.watch.kept.refused_token.contains(&entry.account);
                if !was_refused && caller.clock == ClockState::Right {
                    let account = &entry.account;
                    self.broken(format!("{account} is told to have a dead token, and it lives"));
                }
                "told: token dead"
            }
            _ => "told: something else",
        };
        self.record.count(name);
    }

    /// A run of upkeep is due: each account has been called for, and its token lives.
    pub(crate) fn check_kept_up(&mut self) {
        let scenario = self.scenario.clone();
        for plan in scenario.accounts.iter().filter(|plan| plan.kept.is_some()) {
            if !self.is_connected(&plan.id) {
                continue;
            }
            self.check_not_alone(&plan.id);
            // Until the account is connected again its token is dead.
            if matches!(
                self.owner_state(&plan.id),
                OwnerState::Untouched | OwnerState::Asked(Asked::Connect)
            ) {
                self.check_token(&plan.id);
            }
        }
    }

    fn check_not_alone(&mut self, account: &AccountId) {
        let now = self.now;
        let of_account = self.tables.budgets.get(account).map(|budget| &budget.holds);
        let of_app = self.tables.app.as_ref().map(|app| &app.holds);
        let holds = [of_account, of_app].into_iter().flatten();
        let until = holds.filter_map(|holds| holds.current.as_ref()).map(|hold| hold.until);
        let until = until.map(|until| until.as_millis().min(now)).max();
        let rough = (self.had_wrong_clocks() && self.is_rough()).then_some(now);
        let busy_at = self.watch.kept.busy_at.entry(account.clone());
        let busy_at = busy_at.or_insert(self.scenario.start);
        // A process whose clock is wrong lets the accounts be that it visits.
        *busy_at = until.max(rough).unwrap_or_default().max(*busy_at);
        let alone = now - *busy_at;
        if alone > ALONE_MAX {
            self.broken(format!("upkeep leaves {account} alone for {alone} ms, and no hold lasts"));
        }
    }

    fn check_token(&mut self, account: &AccountId) {
        let Some(kept) = self.tables.kept.tokens.get(account) else { return };
        match self.meta.token_ends(account, &kept.token) {
            None => self.broken(format!("the token of {account} is none of Meta's")),
            Some(ends) if ends <= self.now => {
                self.broken(format!("the token of {account} has ended, and was not renewed"));
            }
            Some(_) => {}
        }
    }

    /// In the end every account that is kept up is subscribed, and on the list.
    pub(crate) fn check_kept_to_the_end(&mut self) {
        self.check_kept_up();
        let scenario = self.scenario.clone();
        for plan in scenario.accounts.iter().filter(|plan| plan.kept.is_some()) {
            let (account, now) = (&plan.id, self.now);
            let left = self.owner_state(account);
            if left == OwnerState::Connecting {
                self.broken(format!("{account} was to be connected again, and is not"));
            }
            if left == OwnerState::Asked(Asked::Delete) && self.is_connected(account) {
                self.broken(format!("{account} was to be deleted, and is connected"));
            }
            if !self.is_connected(account) {
                continue;
            }
            if !self.tables.kept.listed.contains_key(account) {
                self.broken(format!("{account} is not on upkeep's list"));
            }
            if !self.meta.is_subscribed(account, now) {
                self.broken(format!("{account} is not subscribed any more"));
            }
        }
    }

    /// Meta makes a delivery no more that has failed for too long: it ends the account's
    /// subscription.
    pub(crate) fn gives_up(&mut self, account: &AccountId, comment: &CommentId, at: u64) {
        self.record.count("delivery given up");
        self.event(format_args!("Meta gives up to tell of {comment} of {account}"));
        self.meta.unsubscribe(account, at);
        self.watch.kept.given_up.insert(comment.clone());
    }

    /// Whether nobody can find a comment in time of which no webhook tells: it is too old when the
    /// last hold that the trouble may bring is over, or a webhook came late while none were
    /// delivered and was dated anew, so that they seemed to come.
    pub(crate) fn may_be_missed(&self, account: &AccountId, comment: &CommentPlan) -> bool {
        let CommentPlan { id, made_at, surface, .. } = comment;
        let is_silent = self.meta.is_silent(account, *made_at);
        let is_told = self.meta.is_subscribed(account, *made_at)
            && !is_silent
            && !self.watch.kept.given_up.contains(id);
        let was_heard = self.watch.kept.heard_in_silence.get(account);
        !is_told
            && (matches!(surface, Surface::Live { .. })
                || made_at + ANSWERABLE < self.scenario.found_by()
                || is_silent && was_heard > Some(made_at))
    }
}
