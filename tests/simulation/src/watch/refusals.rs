//! Whose refusals have put an account on hold: others wait for no longer than that was earned.

use std::collections::{BTreeMap, BTreeSet};

use spillway_core::id::{AccountId, OnceKey, RecipientId, SendId};
use spillway_core::time::Timestamp;

use crate::meta::{Ask, Refusal, millis};
use crate::world::World;

/// The refusals of an account.
#[derive(Default)]
pub(super) struct Refused {
    /// The people whose sends were refused since one went through.
    people: BTreeSet<RecipientId>,
    /// Sends that have put the account on hold.
    sends: BTreeSet<OnceKey>,
    /// The last send that was refused.
    last: Option<OnceKey>,
    /// Until when each hold lasts that was earned, by when it began.
    earned: BTreeMap<Timestamp, Timestamp>,
}

impl World {
    /// Meta has refused a call.
    pub(crate) fn saw_refused(&mut self, account: &AccountId, ask: &Ask, refusal: Refusal) {
        self.record.count(refusal.name());
        self.saw_token_refused(account, refusal);
        let person = match ask {
            Ask::Reply(comment) => self.meta.author(comment).cloned(),
            Ask::Message { person, .. } => Some(person.clone()),
            Ask::Age(_)
            | Ask::Author(_)
            | Ask::Conversation(_)
            | Ask::Profile(_)
            | Ask::PublicReply(_)
            | Ask::Replies(_)
            | Ask::Tool(_)
            | Ask::Keep(_) => None,
        };
        let refused = self.watch.refused.entry(account.clone()).or_default();
        refused.people.extend(person);
        refused.last = ask.event();
    }

    /// A send went through.
    pub(super) fn saw_passed(&mut self, send: &SendId) {
        if let Some(refused) = self.watch.refused.get_mut(&send.account) {
            refused.people.clear();
        }
    }

    /// A hold was written. It is earned by two people, or by a send that was not refused before.
    pub(super) fn saw_held(&mut self, account: &AccountId, since: Timestamp, until: Timestamp) {
        let refused = self.watch.refused.entry(account.clone()).or_default();
        let is_first = refused.last.take().is_some_and(|send| refused.sends.insert(send));
        if is_first || refused.people.len() > 1 {
            refused.earned.insert(since, until);
        }
    }

    /// For how many milliseconds the account was on hold by right.
    pub(crate) fn earned(&self, account: &AccountId) -> u64 {
        let earned = self.watch.refused.get(account).map(|refused| &refused.earned);
        earned.into_iter().flatten().map(|(&since, &until)| millis(until.since(since))).sum()
    }
}
