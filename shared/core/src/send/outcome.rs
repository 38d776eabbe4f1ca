//! How a send ends, why, and whether it may be tried again.

use serde::{Deserialize, Serialize};

use super::Earlier;
use crate::id::RecipientId;
use crate::quota::Action;
use crate::time::Timestamp;

/// How a send ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// Delivered.
    Sent {
        /// The person's id, for follow-ups. Unknown where the answer was lost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recipient: Option<RecipientId>,
        /// Meta's message id, which comes back in the echo.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Which of the campaign's texts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variant: Option<u8>,
    },
    /// Meta refused it for good, or it failed too often.
    Failed {
        /// Why.
        reason: FailReason,
    },
    /// Its time ran out.
    Expired,
    /// It is not wanted any more.
    Cancelled {
        /// Why.
        reason: CancelReason,
    },
}

impl Outcome {
    /// Returns the outcome without the ids of the person and of the message, or `None` if it has
    /// neither.
    pub fn without_person(&self) -> Option<Self> {
        match self {
            Self::Sent { recipient: None, message: None, .. }
            | Self::Failed { .. }
            | Self::Expired
            | Self::Cancelled { .. } => None,
            Self::Sent { variant, .. } => {
                Some(Self::Sent { recipient: None, message: None, variant: *variant })
            }
        }
    }

    /// The name of the state, as reports have it. A send whose outcome stayed unknown is stored as
    /// failed, so that the previous version reads it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Failed { reason: FailReason::Unknown } => "unknown",
            _ => self.state(),
        }
    }

    /// The state's name, as stores have it.
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Failed { .. } => "failed",
            Self::Expired => "expired",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// Why a send that has ended, or waits, is not brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRetry {
    /// It waits anyway.
    #[error("it still waits: there is nothing to retry")]
    Waiting,
    /// The person has it.
    #[error("it was sent: a second DM would be one too many")]
    Sent,
    /// It did not fail.
    #[error("it was cancelled: only failed sends are retried")]
    Cancelled,
    /// Its time is over.
    #[error("its deadline has passed: Meta takes no answer to this comment any more")]
    Late,
    /// The window of the conversation is over.
    #[error("it answers a message, and Meta takes an answer for 24 hours alone")]
    Closed,
    /// Nothing keeps a second message to a person from arriving.
    #[error(
        "it may have arrived, and Meta refuses no second message to a person as it refuses a second \
         private reply to a comment"
    )]
    Message,
    /// Whom it is for is not stored any more.
    #[error("the person's id is not kept after its end")]
    Nobody,
    /// Its person is not to be written to.
    #[error("its person was forgotten")]
    Forgotten,
    /// Nothing keeps a second reply from being made.
    #[error("it is a public reply: Meta takes a second one below the comment")]
    PublicReply,
    /// Meta's answer is final.
    #[error("Meta refuses a private reply to this comment for good: it has one, or is too old")]
    Refused,
    /// What is stored does not tell when its time is over.
    #[error("its place cannot be read")]
    OutboxKey,
}

impl Outcome {
    /// Whether a send with this action that ended like this may be tried again at `now`, and what
    /// is then to be believed of earlier attempts. Meta refuses a second private reply to a comment,
    /// so whatever is known of the first, no second DM arrives. A message to a person may be tried
    /// again only if none was sent for sure.
    ///
    /// # Errors
    /// Says why not.
    pub fn retry(
        &self,
        action: Action,
        deadline: Timestamp,
        now: Timestamp,
    ) -> Result<Earlier, NoRetry> {
        let reason = match self {
            Self::Failed { reason } => *reason,
            Self::Sent { .. } => return Err(NoRetry::Sent),
            Self::Expired => return Err(NoRetry::Late),
            Self::Cancelled { .. } => return Err(NoRetry::Cancelled),
        };
        if action == Action::PublicReply {
            return Err(NoRetry::PublicReply);
        }
        if !action.is_private_reply() {
            return match reason {
                _ if deadline <= now => Err(NoRetry::Closed),
                FailReason::WindowClosed => Err(NoRetry::Closed),
                FailReason::NoAnswer | FailReason::Unknown => Err(NoRetry::Message),
                FailReason::ReplyRefused
                | FailReason::CommentGone
                | FailReason::Recipient
                | FailReason::ThreadOwner
                | FailReason::BadRequest
                | FailReason::Refused => Ok(Earlier::NotSent),
            };
        }
        match reason {
            FailReason::ReplyRefused => Err(NoRetry::Refused),
            _ if deadline <= now => Err(NoRetry::Late),
            FailReason::WindowClosed => Err(NoRetry::Late),
            FailReason::NoAnswer | FailReason::Unknown => Ok(Earlier::Unknown),
            // Meta's words for it are also those for an account that the token does not see.
            FailReason::CommentGone
            | FailReason::Recipient
            | FailReason::ThreadOwner
            | FailReason::BadRequest
            | FailReason::Refused => Ok(Earlier::NotSent),
        }
    }
}

/// Why a send failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    /// Meta refuses a private reply to this comment (100/2534025).
    ReplyRefused,
    /// The comment is gone.
    CommentGone,
    /// The person cannot be reached.
    Recipient,
    /// The conversation's window is closed.
    WindowClosed,
    /// Another app owns the conversation.
    ThreadOwner,
    /// Meta does not accept the request.
    BadRequest,
    /// Meta refuses this send alone, in words that would mean its whole account.
    Refused,
    /// The DM may have been made, and nothing has shown whether it was: until its deadline, or until it
    /// was not wanted any more.
    Unknown,
    /// Meta refused it for now, [`FAILURES_MAX`](super::FAILURES_MAX) times. Earlier versions said so
    /// after answers that were lost, too.
    NoAnswer,
}

impl FailReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::ReplyRefused,
        Self::CommentGone,
        Self::Recipient,
        Self::WindowClosed,
        Self::ThreadOwner,
        Self::BadRequest,
        Self::Refused,
        Self::Unknown,
        Self::NoAnswer,
    ];

    /// The word for it, the same in stores, JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReplyRefused => "reply_refused",
            Self::CommentGone => "comment_gone",
            Self::Recipient => "recipient",
            Self::WindowClosed => "window_closed",
            Self::ThreadOwner => "thread_owner",
            Self::BadRequest => "bad_request",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::NoAnswer => "no_answer",
        }
    }
}

/// Why a send was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// Its account is not connected any more.
    AccountRemoved,
    /// Its campaign is gone.
    CampaignRemoved,
    /// By hand.
    Operator,
    /// Its person has, or waits for, all that the campaign gives them.
    Repeat,
    /// Its person has asked to be left alone.
    Stopped,
    /// A human writes to its person.
    TakenOver,
    /// What its person has done meanwhile makes it pointless.
    Overtaken,
    /// Its person does not follow the account, or Meta does not tell.
    NotFollowing,
}

impl CancelReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::AccountRemoved,
        Self::CampaignRemoved,
        Self::Operator,
        Self::Repeat,
        Self::Stopped,
        Self::TakenOver,
        Self::Overtaken,
        Self::NotFollowing,
    ];

    /// The word for it, the same in stores, JSON and text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountRemoved => "account_removed",
            Self::CampaignRemoved => "campaign_removed",
            Self::Operator => "operator",
            Self::Repeat => "repeat",
            Self::Stopped => "stopped",
            Self::TakenOver => "taken_over",
            Self::Overtaken => "overtaken",
            Self::NotFollowing => "not_following",
        }
    }
}
