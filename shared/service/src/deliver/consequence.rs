//! What follows from Meta's verdict on a call.

use spillway_core::hold::HoldCause;
use spillway_core::send::{FailReason, Stage, Step};
use spillway_meta::error::{ThrottleScope, Verdict};

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
