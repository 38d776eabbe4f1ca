//! What goes wrong in a drill.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

/// A trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// DynamoDB refuses every request
    Store,
    /// SQS refuses every request, the pollers' too
    Queue,
    /// The Graph API answers with 5xx or not at all, and some of those DMs arrive
    Graph,
    /// No webhook reaches its function until Meta unsubscribes the account
    Webhooks,
    /// The token has expired, until the account's owner logs in again
    Token,
    /// Functions die in the middle of their work
    Kills,
    /// DynamoDB refuses one request in ten, and half of those take effect all the same
    Patchy,
    /// No schedule starts anything: neither release nor upkeep
    Schedule,
    /// Meta answers every call with a limit response
    Throttle,
    /// Meta blocks an account for what it sends
    Block,
    /// A token nears its end, and must be renewed before
    Renewal,
    /// Meta delivers what it has delivered before, out of order
    Replay,
}

/// Whom a trouble of a kind is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everybody.
    All,
    /// One account.
    Account,
    /// One account, or all of the app's.
    Either,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Store,
        Self::Queue,
        Self::Graph,
        Self::Webhooks,
        Self::Token,
        Self::Kills,
        Self::Patchy,
        Self::Schedule,
        Self::Throttle,
        Self::Block,
        Self::Renewal,
        Self::Replay,
    ];

    /// What it is, for people.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Store => "store: DynamoDB refuses every request",
            Self::Queue => "queue: SQS refuses every request",
            Self::Graph => "graph: Meta answers with 5xx or not at all",
            Self::Webhooks => "webhooks: no delivery is taken",
            Self::Token => "token: expired, then a new login",
            Self::Kills => "kills: functions die at their work",
            Self::Patchy => "patchy: DynamoDB refuses one in ten",
            Self::Schedule => "schedule: nothing is started",
            Self::Throttle => "throttle: Meta's limit responses",
            Self::Block => "block: Meta blocks an account",
            Self::Renewal => "renewal: a token nears its end",
            Self::Replay => "replay: deliveries come again",
        }
    }

    /// The same in a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Queue => "queue",
            Self::Graph => "graph",
            Self::Webhooks => "webhooks",
            Self::Token => "token",
            Self::Kills => "kills",
            Self::Patchy => "patchy",
            Self::Schedule => "schedule",
            Self::Throttle => "throttle",
            Self::Block => "block",
            Self::Renewal => "renewal",
            Self::Replay => "replay",
        }
    }

    /// Whom it is about.
    pub(super) const fn scope(self) -> Scope {
        match self {
            Self::Token | Self::Block | Self::Renewal => Scope::Account,
            Self::Throttle => Scope::Either,
            _ => Scope::All,
        }
    }

    /// How long one that is drawn lasts, at least and at most.
    pub(super) const fn lengths(self) -> (Duration, Duration) {
        let (least, most) = match self {
            Self::Store => (3, 150),
            Self::Queue => (5, 240),
            Self::Graph => (5, 300),
            // Meta gives up after an hour of failures; it learns of the first at the next comment.
            Self::Webhooks => (15, 540),
            Self::Token => (45, 1200),
            Self::Kills => (10, 90),
            Self::Patchy => (20, 240),
            Self::Schedule => (10, 300),
            Self::Throttle => (10, 180),
            Self::Block => (30, 360),
            // Longer than anything that keeps upkeep from its work.
            Self::Renewal => (20 * 60, 26 * 60),
            Self::Replay => (5, 60),
        };
        (minutes(least), minutes(most))
    }

    /// Whether two troubles are about the same thing, which cannot have both at once.
    pub(super) const fn excludes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Store | Self::Patchy, Self::Store | Self::Patchy)
            // What is blocked for its sends is not looked at before they go again.
            | (Self::Token | Self::Renewal | Self::Block, Self::Token | Self::Renewal | Self::Block) => true,
            _ => self as u8 == other as u8,
        }
    }

    /// Whether Meta finds the webhook out while it lasts.
    pub(super) const fn fails_deliveries(self) -> bool {
        matches!(self, Self::Store | Self::Webhooks)
    }
}

pub(super) const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}
