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

/// What follows from Meta's verdict.
pub(super) enum Consequence {
    /// Stop the account; the send waits.
    Hold(HoldCause),
    /// This person is written to too often: wait, at no attempt.
    PutOff,
    /// Try the send again later.
    Retry(Retry),
    /// The send has failed for good.
    End(FailReason),
}

impl From<Verdict> for Consequence {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Throttled { scope: ThrottleScope::Recipient } => Self::PutOff,
            Verdict::Throttled { scope: ThrottleScope::App | ThrottleScope::Account } => {
                Self::Hold(HoldCause::Throttled)
            }
            Verdict::Blocked => Self::Hold(HoldCause::Blocked),
            Verdict::TokenDead => Self::Hold(HoldCause::TokenDead),
            Verdict::Permission => Self::Hold(HoldCause::Permission),
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
