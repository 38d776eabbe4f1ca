//! What calls ask for, and what a limit counts of them.

use std::fmt;

use serde::Serialize;

/// What a call asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A DM that answers a comment on a post or Reel.
    PrivateReply,
    /// A DM that answers a comment on a live broadcast.
    LivePrivateReply,
    /// A DM to a person.
    Message,
    /// A public answer under a comment.
    PublicReply,
    /// A read.
    Read,
    /// Publishing a post.
    Publish,
    /// Following an account.
    Follow,
    /// Anything else, unreadable calls included.
    Other,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 8] = [
        Self::PrivateReply,
        Self::LivePrivateReply,
        Self::Message,
        Self::PublicReply,
        Self::Read,
        Self::Publish,
        Self::Follow,
        Self::Other,
    ];

    /// Whether it is bound to the hours in which the account is awake: a DM is, except on a live
    /// broadcast, which is over by then.
    pub fn keeps_active_hours(self) -> bool {
        matches!(self, Self::PrivateReply | Self::Message)
    }
}

/// Any set of actions.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ActionSet(u8);

impl ActionSet {
    /// All of them.
    pub const EVERY: Self = Self::of(&Action::ALL);

    /// These.
    pub const fn of(actions: &[Action]) -> Self {
        let mut bits = 0;
        let mut next = 0;
        while next < actions.len() {
            bits |= 1 << actions[next] as u8;
            next += 1;
        }
        Self(bits)
    }

    /// Whether `action` is one of them.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }
}

impl fmt::Debug for ActionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Action::ALL.iter().filter(|action| self.contains(**action))).finish()
    }
}

/// What a limit counts. Refused calls count like accepted ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The actions it looks at.
    pub actions: ActionSet,
    /// What it counts of them.
    pub unit: Unit,
}

/// Calls, or the people they reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Each call once.
    Calls,
    /// Each person once in a window, however many calls. A call for nobody known counts nothing.
    Recipients,
}

impl Counted {
    /// Calls of every kind, malformed ones included.
    pub const EVERY_CALL: Self = Self { actions: ActionSet::EVERY, unit: Unit::Calls };
    /// Private replies to comments on posts and Reels.
    pub const PRIVATE_REPLIES: Self = Self::calls(&[Action::PrivateReply]);
    /// Private replies to comments on a live broadcast.
    pub const LIVE_REPLIES: Self = Self::calls(&[Action::LivePrivateReply]);
    /// DMs of every kind.
    pub const DMS: Self = Self::calls(&DMS);
    /// People whom a DM was for.
    pub const DM_RECIPIENTS: Self = Self::recipients(&DMS);

    /// Calls of these kinds.
    pub const fn calls(actions: &[Action]) -> Self {
        Self { actions: ActionSet::of(actions), unit: Unit::Calls }
    }

    /// People whom a call of these kinds was for.
    pub const fn recipients(actions: &[Action]) -> Self {
        Self { actions: ActionSet::of(actions), unit: Unit::Recipients }
    }
}

/// The actions that put a DM into somebody's inbox.
const DMS: [Action; 3] = [Action::PrivateReply, Action::LivePrivateReply, Action::Message];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        for action in Action::ALL {
            assert!(ActionSet::EVERY.contains(action));
            assert_eq!(Counted::DMS.actions.contains(action), DMS.contains(&action));
        }
        assert_eq!(format!("{:?}", ActionSet::of(&[Action::Read])), "{Read}");
    }
}
