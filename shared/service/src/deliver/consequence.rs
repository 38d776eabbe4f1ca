//! What follows from Meta's verdict on a call.

use spillway_core::hold::HoldCause;
use spillway_core::send::{Address, FailReason, Stage, Step};
use spillway_meta::error::{ThrottleScope, Verdict};
use spillway_meta::graph::CallError;

/// How an attempt that is to be repeated went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// It was none: no request was written, or it was turned away at the door.
    Untried,
    /// Definitely not sent.
    Failed,
    /// Perhaps sent.
    Lost,
}

impl Retry {
    pub(super) fn step(self, to: Stage) -> Step {
        match self {
            Self::Untried => Step::To(to),
            Self::Failed => Step::Failed(to),
            Self::Lost => Step::Lost(to),
        }
    }
}

/// What a hold stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every account.
    App,
    /// The account.
    Account,
    /// Messages to this person.
    Recipient,
}

/// What follows from Meta's verdict.
pub(super) enum Consequence {
    /// Stop all calls in this scope; the send waits, at no attempt.
    Hold(Scope, HoldCause),
    /// Try the send again later.
    Retry(Retry),
    /// The send has failed for good.
    End(FailReason),
}

impl From<ThrottleScope> for Scope {
    fn from(scope: ThrottleScope) -> Self {
        match scope {
            ThrottleScope::App => Self::App,
            ThrottleScope::Account => Self::Account,
            ThrottleScope::Recipient => Self::Recipient,
        }
    }
}

impl Consequence {
    /// What follows for a send to `to`. A private reply whose answer was lost is tried again, since
    /// Meta refuses a second one; a message is not, since it would arrive twice.
    pub(super) fn of(call: &CallError, to: &Address) -> Self {
        let is_lost = match call {
            CallError::Refused { error, .. } => error.status >= 500,
            _ => false,
        };
        match (Self::from(call.verdict()), to) {
            (Self::Retry(Retry::Lost), Address::Person(_)) => Self::End(FailReason::NoAnswer),
            (Self::Retry(_), Address::Person(_)) if is_lost => Self::End(FailReason::NoAnswer),
            (consequence, _) => consequence,
        }
    }
}

impl From<Verdict> for Consequence {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Throttled { scope } => Self::Hold(scope.into(), HoldCause::Throttled),
            Verdict::Blocked => Self::Hold(Scope::Account, HoldCause::Blocked),
            Verdict::TokenDead => Self::Hold(Scope::Account, HoldCause::TokenDead),
            Verdict::Permission => Self::Hold(Scope::Account, HoldCause::Permission),
            Verdict::Transient => Self::Retry(Retry::Failed),
            Verdict::Ambiguous => Self::Retry(Retry::Lost),
            Verdict::WindowClosed => Self::End(FailReason::WindowClosed),
            Verdict::Recipient => Self::End(FailReason::Recipient),
            Verdict::PrivateReplyRefused => Self::End(FailReason::ReplyRefused),
            Verdict::ThreadOwner => Self::End(FailReason::ThreadOwner),
            Verdict::BadRequest => Self::End(FailReason::BadRequest),
            Verdict::CommentGone => Self::End(FailReason::CommentGone),
        }
    }
}

#[cfg(test)]
mod tests {
    use spillway_meta::error::GraphError;
    use spillway_meta::usage::Usage;

    use super::*;

    fn of(call: &CallError, to: &Address) -> String {
        match Consequence::of(call, to) {
            Consequence::Hold(scope, cause) => format!("{scope:?} {cause:?}"),
            Consequence::Retry(retry) => format!("{retry:?}"),
            Consequence::End(reason) => format!("{reason:?}"),
        }
    }

    #[test]
    fn a_message_whose_answer_was_lost_is_not_made_twice() {
        let comment = Address::Comment { id: "c".into(), author: None };
        let person = Address::Person("p".into());
        assert_eq!(of(&CallError::Unknown, &comment), "Lost");
        assert_eq!(of(&CallError::Unknown, &person), "NoAnswer");
        let refused = |status, code| CallError::Refused {
            error: GraphError { status, code: Some(code), ..GraphError::default() },
            usage: Usage::default(),
            server_date: None,
        };
        assert_eq!(of(&refused(500, 2), &comment), "Failed");
        assert_eq!(of(&refused(500, 2), &person), "NoAnswer");
        assert_eq!(of(&refused(400, 2), &person), "Failed");
        assert_eq!(of(&refused(400, 4), &person), "App Throttled");
        assert_eq!(of(&refused(400, 613), &person), "Account Throttled");
    }
}
