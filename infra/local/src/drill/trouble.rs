//! What goes wrong in a drill, and when.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A trouble. They come one after another, each when the one before is long over.
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
}

impl Trouble {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Store, Self::Queue, Self::Graph, Self::Webhooks, Self::Token, Self::Kills];

    /// From when to when it lasts, since the day's start.
    pub const fn span(self) -> (Duration, Duration) {
        let (begin, minutes) = match self {
            Self::Store => (2, 10),
            Self::Queue => (5, 15),
            Self::Graph => (8, 20),
            // Meta gives up after an hour of failures; it learns of the first at the next comment.
            Self::Webhooks => (11, 90),
            Self::Token => (15, 120),
            Self::Kills => (20, 60),
        };
        let begin = HOUR.saturating_mul(begin);
        (begin, begin.saturating_add(MINUTE.saturating_mul(minutes)))
    }

    /// What it is, for people.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Store => "store: DynamoDB refuses every request",
            Self::Queue => "queue: SQS refuses every request",
            Self::Graph => "graph: Meta answers with 5xx or not at all",
            Self::Webhooks => "webhooks: no delivery is taken",
            Self::Token => "token: expired, then a new login",
            Self::Kills => "kills: functions die at their work",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comes_after_another() {
        for pair in Trouble::ALL.windows(2) {
            let ((_, end), (begin, _)) = (pair[0].span(), pair[1].span());
            assert!(begin > end + HOUR, "{pair:?}");
        }
    }
}
