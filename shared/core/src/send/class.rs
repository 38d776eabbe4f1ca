//! The class of a send: its lane, and the action that its call takes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::campaign::Trigger;
use crate::quota::Action;

/// The order of sends within an account, first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Answers to comments on a running broadcast, which are worthless once it has ended.
    Live,
    /// Answers to comments, story replies and keywords in DMs: somebody is waiting for them.
    Inbound,
    /// Further messages in a conversation that the person has opened.
    FollowUp,
    /// Messages that nobody asked for just now.
    Outbound,
    /// Public replies to comments whose DM has ended. They take what the other lanes leave.
    Public,
}

impl Lane {
    /// Every lane, first to last.
    pub const ALL: [Self; 5] =
        [Self::Live, Self::Inbound, Self::FollowUp, Self::Outbound, Self::Public];

    /// The word for it, the same in stores, JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Inbound => "inbound",
            Self::FollowUp => "follow_up",
            Self::Outbound => "outbound",
            Self::Public => "public",
        }
    }

    /// Whether its sends are DMs that keep the pace: neither a broadcast's, which would be
    /// worthless later, nor public replies.
    pub fn is_paced(self) -> bool {
        !matches!(self, Self::Live | Self::Public)
    }

    /// Returns the rank, 0 for the first lane.
    pub const fn rank(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the pace sees of a send: its place in the order, and the call that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// Its lane.
    pub lane: Lane,
    /// What its call is charged to.
    pub action: Action,
}

impl Class {
    /// Answers to comments on a running broadcast.
    pub const LIVE_REPLY: Self = Self { lane: Lane::Live, action: Action::LiveReply };
    /// Answers to comments on posts and Reels.
    pub const PRIVATE_REPLY: Self = Self { lane: Lane::Inbound, action: Action::PrivateReply };
    /// Answers to what a person has written in a conversation: a story reply, a keyword in a DM.
    pub const ANSWER: Self = Self { lane: Lane::Inbound, action: Action::Message };
    /// Further messages in a conversation.
    pub const FOLLOW_UP: Self = Self { lane: Lane::FollowUp, action: Action::Message };
    /// Messages that nobody asked for just now.
    pub const OUTBOUND: Self = Self { lane: Lane::Outbound, action: Action::Message };
    /// Public replies to comments.
    pub const PUBLIC_REPLY: Self = Self { lane: Lane::Public, action: Action::PublicReply };

    /// Every class, by lane.
    pub const ALL: [Self; 6] = [
        Self::LIVE_REPLY,
        Self::PRIVATE_REPLY,
        Self::ANSWER,
        Self::FOLLOW_UP,
        Self::OUTBOUND,
        Self::PUBLIC_REPLY,
    ];

    /// Whether it makes a public reply, and no DM.
    pub fn is_public(self) -> bool {
        self.action == Action::PublicReply
    }

    /// What its sends answer, as far as the call tells: one to a person answers a message.
    pub const fn trigger(self) -> Trigger {
        match self.action {
            Action::LiveReply => Trigger::LiveComment,
            Action::Message => Trigger::Message,
            _ => Trigger::Comment,
        }
    }

    /// Whether a send of this class that has to wait keeps one of `other` waiting. A public reply
    /// takes what no DM could use, so none waits for a DM.
    pub(crate) fn keeps_waiting(self, other: Self) -> bool {
        match (self.lane, other.lane) {
            (Lane::Live, Lane::Live) | (Lane::Public, Lane::Public) => true,
            (Lane::Live | Lane::Public, _) | (_, Lane::Live | Lane::Public) => false,
            (own, behind) => own < behind || own == behind && self.action == other.action,
        }
    }

    /// Returns the class of a send of `lane` whose stored form names no action. Until forms named
    /// it, each lane had one; forms still leave it out where it is that one.
    pub const fn unnamed(lane: Lane) -> Self {
        match lane {
            Lane::Live => Self::LIVE_REPLY,
            Lane::Inbound => Self::PRIVATE_REPLY,
            Lane::FollowUp => Self::FOLLOW_UP,
            Lane::Outbound => Self::OUTBOUND,
            Lane::Public => Self::PUBLIC_REPLY,
        }
    }

    /// Returns the action as stored forms name it: `None` where they leave it out.
    pub fn named_action(self) -> Option<Action> {
        (self != Self::unnamed(self.lane)).then_some(self.action)
    }

    /// Returns the class of a send whose stored form has this lane and perhaps an action.
    pub fn from_stored(lane: Lane, action: Option<Action>) -> Self {
        action.map_or(Self::unnamed(lane), |action| Self { lane, action })
    }
}
