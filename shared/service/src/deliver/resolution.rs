//! What is to become of a claimed send: decided here without a store, and written by
//! [`Deliver::apply`](super::Deliver).

use std::time::Duration;

use spillway_core::send::{Earlier, FailReason, Outcome, PendingSend, Stage};
use spillway_meta::graph::Sent;

use super::UNREACHABLE_WAIT;
use crate::gateway::Ruling;
use crate::gateway::consequence::{Own, Retry};

/// What is to become of a claimed send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// It ends.
    Finish(Outcome),
    /// It goes back to the queue for this long.
    Requeue(Retry, Duration),
    /// It waits for release to give it a slot.
    Park,
    /// Its comment is gone: a newer one of the person takes its place, if there is one.
    Replace,
    /// It may have reached its person: it waits for evidence.
    Unknown,
    /// Nothing: the claim is lost, or could not be renewed and will end.
    Leave,
}

impl Resolution {
    /// Whether the call may have reached the person.
    pub(super) const fn may_have_arrived(&self) -> bool {
        use Outcome::{Failed, Sent};
        matches!(
            self,
            Self::Unknown | Self::Finish(Sent { .. } | Failed { reason: FailReason::Unknown })
        )
    }

    /// After Meta accepted the text of this variant.
    pub(super) fn sent(sent: Sent, variant: usize) -> Self {
        Self::Finish(Outcome::Sent {
            recipient: sent.recipient,
            message: sent.message_id,
            variant: u8::try_from(variant).ok(),
        })
    }

    /// After a call that failed.
    pub(super) fn failed(ruling: Ruling, send: &PendingSend) -> Self {
        let own = match ruling {
            Ruling::Untried => return Self::Requeue(Retry::Untried, UNREACHABLE_WAIT),
            Ruling::Held => return Self::Park,
            Ruling::PersonHeld(wait) => return Self::Requeue(Retry::Untried, wait),
            Ruling::Spaced(wait) => return Self::Requeue(Retry::Failed, wait),
            Ruling::Own(own) => own,
        };
        let reason = match own {
            Own::Retry(tries, _) if send.failures + 1 < tries => {
                let wait = send.after(Retry::Failed.step(Stage::Parked)).backoff();
                return Self::Requeue(Retry::Failed, wait);
            }
            Own::Space => FailReason::Refused,
            Own::Retry(_, reason) | Own::End(reason) => reason,
            Own::Unknown => return Self::Unknown,
        };
        if reason == FailReason::CommentGone && send.earlier == Earlier::NotSent {
            return Self::Replace;
        }
        // A second private reply to a comment is refused: so the first one arrived.
        // This refusal means that the comment has its reply: an earlier attempt arrived.
        let arrived = reason == FailReason::ReplyRefused && send.earlier == Earlier::Unknown;
        Self::Finish(if arrived {
            Outcome::Sent { recipient: None, message: None, variant: None }
        } else {
            Outcome::Failed { reason }
        })
    }
}
