//! Refusals, each in all the forms in which Meta words it.

use std::time::Duration;

use spillway_core::id::{AccountId, CommentId};
use spillway_core::send::FailReason;
use spillway_meta::error::GraphError;

use super::Ask;
use crate::dice::Dice;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A limit of the account is reached.
    Limit,
    /// A limit of the whole app is reached.
    AppLimit,
    /// This person has had too many messages.
    RecipientLimit,
    /// The account is restricted for what it sent.
    Blocked,
    /// The token is dead.
    TokenDead,
    /// A permission is missing.
    Permission,
    /// A permission is missing, says the code, and the subcode is not known.
    PermissionUnclear,
    /// The post belongs to another account too.
    SharedMedia,
    /// The link in the text is refused.
    Link,
    /// The token does not see the account, and the answer names it.
    AccountUnseen,
    /// Something is not seen, and the answer does not say what.
    ObjectUnseen,
    /// The request is refused.
    BadRequest,
    /// The person has blocked the account.
    BlockedBy,
    /// What the message shows could not be fetched.
    FetchFailed,
    /// Meta failed, with a page instead of an answer.
    ServerError,
    /// Meta failed and says so.
    Transient,
    /// It may or may not have been sent; it was not.
    Ambiguous,
    /// The comment does not exist.
    CommentGone,
    /// The comment cannot be answered: it has been, or it is too late.
    NotAnswerable,
    /// The person cannot be reached.
    Recipient,
    /// The conversation's window is closed.
    WindowClosed,
    /// Another app has the conversation.
    ThreadOwner,
}

/// HTTP status, code and subcode; 0 stands for none.
type Form = (u16, i64, i64);

impl Refusal {
    const fn forms(self) -> &'static [Form] {
        match self {
            Self::Limit => &[
                (400, 17, 0),
                (400, 32, 0),
                (400, 613, 0),
                (400, 613, 2_534_040),
                (400, 80001, 0),
                (400, 80002, 0),
                (400, 80006, 0),
                (429, 0, 0),
            ],
            Self::AppLimit => &[(400, 4, 0), (400, 341, 0), (400, 613, 1996)],
            Self::RecipientLimit => {
                &[(400, 9, 2_018_352), (400, 100, 2_018_352), (400, 613, 2_018_338)]
            }
            Self::Blocked => {
                &[(400, 368, 0), (403, 10, 1_893_063), (400, 100, 2_534_029), (400, 2022, 0)]
            }
            Self::TokenDead => &[(401, 190, 463), (401, 190, 460), (401, 190, 458), (401, 102, 0)],
            Self::Permission => &[(403, 10, 2_534_041), (400, 100, 2_534_013), (400, 36103, 0)],
            Self::PermissionUnclear => {
                &[(403, 10, 99), (403, 200, 0), (403, 200, 4_242), (403, 299, 7)]
            }
            Self::SharedMedia => &[(403, 10, 0)],
            Self::Link => &[(400, 508, 2_534_122)],
            Self::AccountUnseen | Self::ObjectUnseen => &[(400, 100, 33)],
            Self::BadRequest => &[(400, 100, 0), (400, 2500, 0)],
            Self::BlockedBy => &[(400, 2, 0), (500, 2, 0), (400, 1, 0)],
            Self::FetchFailed => &[(400, 100, 2_018_008), (400, 100, 2_018_294)],
            Self::ServerError => &[(500, 0, 0), (502, 0, 0), (503, 0, 0), (500, 1, 0), (500, 2, 0)],
            Self::Transient => &[(400, 1200, 0), (400, 10, 2_018_321)],
            Self::Ambiguous => &[(500, 1, 1_357_046)],
            Self::CommentGone => &[(400, 100, 33)],
            Self::NotAnswerable => &[(400, 100, 2_534_025), (400, 10900, 0)],
            Self::Recipient => &[(400, 551, 1_545_041), (400, 100, 2_534_014), (400, 551, 0)],
            Self::WindowClosed => &[(403, 10, 2_534_022), (403, 10, 2_018_278)],
            Self::ThreadOwner => &[(400, 100, 2_534_037), (403, 10, 2_018_300)],
        }
    }

    /// One of its forms, and for a limit perhaps the time for which Meta asks to be left alone.
    pub(super) fn drawn(
        self,
        dice: &mut Dice,
        account: &AccountId,
        comment: Option<&CommentId>,
    ) -> (GraphError, Option<Duration>) {
        let form = dice.pick(self.forms());
        let object = match self {
            Self::AccountUnseen => Some(account.as_str()),
            Self::CommentGone => comment.map(CommentId::as_str),
            _ => None,
        };
        let object = object.map(Box::from);
        let names_a_time = matches!(self, Self::Limit | Self::AppLimit) && dice.chance(0.5);
        let minutes = dice.pick(&[1, 5, 30, 60]);
        (
            GraphError { object, ..error(form) },
            names_a_time.then(|| Duration::from_secs(60 * minutes)),
        )
    }

    /// Whether it strikes such a call: a link is only in the texts that answer comments.
    pub(super) const fn concerns(self, ask: &Ask) -> bool {
        match self {
            Self::Link => matches!(ask, Ask::Reply(_)),
            _ => true,
        }
    }

    /// How a send ends that is refused so for good; `None` when the refusal is not for good.
    pub(crate) const fn ends(self) -> Option<FailReason> {
        match self {
            Self::CommentGone => Some(FailReason::CommentGone),
            Self::NotAnswerable => Some(FailReason::ReplyRefused),
            Self::Recipient => Some(FailReason::Recipient),
            Self::WindowClosed => Some(FailReason::WindowClosed),
            Self::ThreadOwner => Some(FailReason::ThreadOwner),
            Self::ObjectUnseen => Some(FailReason::CommentGone),
            Self::BadRequest | Self::FetchFailed => Some(FailReason::BadRequest),
            Self::BlockedBy | Self::ServerError | Self::Ambiguous => Some(FailReason::Unknown),
            Self::Blocked
            | Self::TokenDead
            | Self::Permission
            | Self::PermissionUnclear
            | Self::SharedMedia
            | Self::Link => Some(FailReason::Refused),
            Self::Limit
            | Self::AppLimit
            | Self::RecipientLimit
            | Self::AccountUnseen
            | Self::Transient => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Limit => "meta: limit",
            Self::AppLimit => "meta: app's limit",
            Self::RecipientLimit => "meta: recipient's limit",
            Self::Blocked => "meta: blocked",
            Self::TokenDead => "meta: token dead",
            Self::Permission => "meta: permission",
            Self::PermissionUnclear => "meta: permission unclear",
            Self::SharedMedia => "meta: shared media",
            Self::Link => "meta: link",
            Self::AccountUnseen => "meta: account unseen",
            Self::ObjectUnseen => "meta: object unseen",
            Self::BadRequest => "meta: bad request",
            Self::BlockedBy => "meta: blocked by the person",
            Self::FetchFailed => "meta: fetch failed",
            Self::ServerError => "meta: 5xx before effect",
            Self::Transient => "meta: transient",
            Self::Ambiguous => "meta: ambiguous",
            Self::CommentGone => "meta: comment gone",
            Self::NotAnswerable => "meta: not answerable",
            Self::Recipient => "meta: recipient",
            Self::WindowClosed => "meta: window closed",
            Self::ThreadOwner => "meta: thread owner",
        }
    }
}

/// What says that a message may or may not have been sent.
pub(super) fn ambiguous() -> GraphError {
    error((500, 1, 1_357_046))
}

/// What Meta's servers say when they fail.
pub(super) fn server_error(dice: &mut Dice) -> GraphError {
    error(dice.pick(Refusal::ServerError.forms()))
}

fn error((status, code, subcode): Form) -> GraphError {
    let some = |number: i64| (number != 0).then_some(number);
    GraphError {
        status,
        code: some(code),
        subcode: some(subcode),
        is_metas: code != 0,
        ..GraphError::default()
    }
}

#[cfg(test)]
mod tests {
    use spillway_meta::error::{ThrottleScope, Verdict};

    use super::*;

    #[test]
    fn every_form_means_what_the_refusal_is() {
        let fits = |refusal, verdict| match refusal {
            Refusal::Limit => verdict == Verdict::Throttled { scope: ThrottleScope::Account },
            Refusal::AppLimit => verdict == Verdict::Throttled { scope: ThrottleScope::App },
            Refusal::RecipientLimit => {
                verdict == Verdict::Throttled { scope: ThrottleScope::Recipient }
            }
            Refusal::Blocked => verdict == Verdict::Blocked,
            Refusal::TokenDead => verdict == Verdict::TokenDead,
            Refusal::Permission => verdict == Verdict::Permission,
            Refusal::PermissionUnclear => verdict == Verdict::PermissionUnclear,
            Refusal::SharedMedia => verdict == Verdict::MediaUnclear,
            Refusal::Link => verdict == Verdict::LinkBlocked,
            Refusal::BadRequest => verdict == Verdict::BadRequest,
            Refusal::FetchFailed => verdict == Verdict::FetchFailed,
            Refusal::ServerError | Refusal::Ambiguous | Refusal::BlockedBy => {
                verdict == Verdict::Ambiguous
            }
            Refusal::Transient => verdict == Verdict::Transient,
            Refusal::CommentGone | Refusal::AccountUnseen | Refusal::ObjectUnseen => {
                verdict == Verdict::CommentGone
            }
            Refusal::NotAnswerable => verdict == Verdict::PrivateReplyRefused,
            Refusal::Recipient => verdict == Verdict::Recipient,
            Refusal::WindowClosed => verdict == Verdict::WindowClosed,
            Refusal::ThreadOwner => verdict == Verdict::ThreadOwner,
        };
        for refusal in [
            Refusal::Limit,
            Refusal::AppLimit,
            Refusal::RecipientLimit,
            Refusal::Blocked,
            Refusal::TokenDead,
            Refusal::Permission,
            Refusal::PermissionUnclear,
            Refusal::SharedMedia,
            Refusal::Link,
            Refusal::AccountUnseen,
            Refusal::ObjectUnseen,
            Refusal::BadRequest,
            Refusal::BlockedBy,
            Refusal::FetchFailed,
            Refusal::ServerError,
            Refusal::Transient,
            Refusal::Ambiguous,
            Refusal::CommentGone,
            Refusal::NotAnswerable,
            Refusal::Recipient,
            Refusal::WindowClosed,
            Refusal::ThreadOwner,
        ] {
            for &form in refusal.forms() {
                let verdict = error(form).classify();
                assert!(fits(refusal, verdict), "{refusal:?} {form:?} is taken for {verdict:?}");
            }
        }
    }
}
