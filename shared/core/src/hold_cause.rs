//! Why accounts are put on hold.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an account is on hold. The cause decides how long the hold lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldCause {
    /// Meta answered that a limit is reached: wait as long as it says, or a minute, doubling up to
    /// an hour.
    Throttled,
    /// Meta restricts the account for what it sent: six hours, doubling up to two days.
    Blocked,
    /// The token is dead; only a new login helps. Probed after an hour, doubling up to a day, so
    /// that a repaired account resumes by itself.
    TokenDead,
    /// A permission or an account setting is missing. Probed like a dead token.
    Permission,
    /// Meta reports a usage just below its limit: stopped before the limit is met, for five minutes
    /// or as long as Meta says. No strike.
    NearLimit,
    /// Meta refuses the requests of one person after the other: ten minutes, doubling up to six
    /// hours.
    Refusing,
    /// Meta's servers fail for one person after the other, and each call may have made its DM all
    /// the same: five minutes, doubling up to an hour.
    Failing,
    /// Somebody who operates the account stopped it by hand: see [`ByHand`](crate::hold::ByHand). No strike, and no
    /// probe after it.
    Operator,
}

impl HoldCause {
    /// Every cause.
    pub const ALL: [Self; 8] = [
        Self::Throttled,
        Self::Blocked,
        Self::TokenDead,
        Self::Permission,
        Self::NearLimit,
        Self::Refusing,
        Self::Failing,
        Self::Operator,
    ];

    /// The word for it, the same in stores, JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Blocked => "blocked",
            Self::TokenDead => "token_dead",
            Self::Permission => "permission",
            Self::NearLimit => "near_limit",
            Self::Refusing => "refusing",
            Self::Failing => "failing",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for HoldCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_one_word() {
        for cause in HoldCause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
        }
    }
}
