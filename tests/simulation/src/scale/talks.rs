//! People who go through a whole conversation: each answers the opening, and is delivered to if they
//! follow the account. Whoever does not is asked to, follows, and taps the button. Every other one then
//! writes their thanks, so that half of them are due a follow-up.

use std::collections::{BTreeMap, HashSet};

use spillway_core::content::{Action, Message};
use spillway_core::conversation::Follows;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_meta::graph::Profile;
use spillway_meta::webhook::conversation::{self, ConversationEvent, Postback, Thread, What};

use super::plan::MINUTE;

/// How long people take for whatever they do, in milliseconds.
const TAKES: u64 = 2 * MINUTE;

/// Who follows an account when the conversation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followers {
    /// Everybody.
    All,
    /// Nobody.
    None,
}

/// What people do, and what they have done.
#[derive(Default)]
pub(super) struct Talks {
    /// What is yet to be done, in the order of its instants. The number tells two of one instant
    /// apart.
    due: BTreeMap<(u64, u64), ConversationEvent>,
    /// How much has been done or is due.
    count: u64,
    /// Who follows since they were asked to.
    followers: HashSet<(AccountId, RecipientId)>,
}

impl Talks {
    /// The opening has reached somebody.
    pub(super) fn opened(&mut self, account: &AccountId, person: &RecipientId, now: u64) {
        self.write(account, person, now, "yes");
    }

    /// A later message has reached somebody.
    pub(super) fn got(
        &mut self,
        account: &AccountId,
        person: &RecipientId,
        said: &Message,
        now: u64,
    ) {
        let Message::Buttons { buttons, .. } = said else { return };
        let payload = buttons.iter().find_map(|button| match &button.action {
            Action::Answer(payload) => Some(payload.clone()),
            Action::Open(_) => None,
        });
        match payload {
            Some(payload) => {
                self.followers.insert((account.clone(), person.clone()));
                let what = |id| {
                    What::Postback(Postback {
                        id,
                        title: None,
                        payload: Some(payload),
                        referral: None,
                    })
                };
                self.act(account, person, now, what);
            }
            None if is_thankful(person) => self.write(account, person, now, "thanks!"),
            None => {}
        }
    }

    /// What Meta tells of somebody.
    pub(super) fn profile(
        &self,
        account: &AccountId,
        person: &RecipientId,
        before: Followers,
    ) -> Profile {
        let is_follower =
            before == Followers::All || self.followers.contains(&(account.clone(), person.clone()));
        let follows = if is_follower { Follows::Yes } else { Follows::No };
        Profile { follows, ..Profile::UNKNOWN }
    }

    /// When somebody does something next, in milliseconds since 1970.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.due.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Takes what has been done by `now`, one thing at a time.
    pub(super) fn take(&mut self, now: u64) -> Option<ConversationEvent> {
        self.next_at().filter(|&at| at <= now)?;
        self.due.pop_first().map(|(_, event)| event)
    }

    fn write(&mut self, account: &AccountId, person: &RecipientId, now: u64, text: &str) {
        let text = Some(text.to_owned());
        let what = |id| What::Message(conversation::Message { id, text, ..Default::default() });
        self.act(account, person, now, what);
    }

    fn act(
        &mut self,
        account: &AccountId,
        person: &RecipientId,
        now: u64,
        what: impl FnOnce(Option<String>) -> What,
    ) {
        let at = now + TAKES;
        let event = ConversationEvent {
            account: account.clone(),
            sender: Some(person.clone()),
            at: Some(Timestamp::from_millis(at)),
            thread: Thread::Ours,
            is_self: false,
            what: what(Some(format!("act-{}", self.count))),
        };
        self.due.insert((at, self.count), event);
        self.count += 1;
    }
}

/// Every other person is.
fn is_thankful(person: &RecipientId) -> bool {
    person.as_str().ends_with(['1', '3', '5', '7', '9'])
}
