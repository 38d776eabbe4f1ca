//! The table of verdicts: what follows from Meta's verdict on a call, for the account and for the
//! send.

use spillway_core::hold::HoldCause;
use spillway_core::id::AccountId;
use spillway_core::refusal::{Doubt, Evidence};
use spillway_core::send::{Address, FAILURES_MAX, FailReason, Stage, Step};
use spillway_meta::error::{ThrottleScope, Verdict};
use spillway_meta::graph::CallError;

/// How an attempt that is to be repeated went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It was none: no request was written, or it was turned away at the door.
    Untried,
    /// Definitely not sent.
    Failed,
    /// Not sent: Meta was asked who wrote the comment, and they may have the DM.
    Cleared,
}

impl Retry {
    pub(crate) fn step(self, to: Stage) -> Step {
        match self {
            Self::Untried => Step::To(to),
            Self::Failed => Step::Failed(to),
            Self::Cleared => Step::Cleared(to),
        }
    }
}

/// What follows from Meta's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// Stop all calls of the app; the send waits, at no attempt.
    HoldApp(HoldCause),
    /// Send nothing to this person for a while; the send waits, at no attempt.
    HoldRecipient,
    /// It may be about the account or the campaign: if so the send waits, at no attempt, else this
    /// follows.
    Refused(Evidence, Own),
    /// Only the send is concerned.
    Own(Own),
}

/// What becomes of a send that is refused alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// It was not sent. It is tried again later, up to so many times, and then fails for this reason.
    Retry(u32, FailReason),
    /// It has failed for good.
    End(FailReason),
    /// Nothing is sent to its person for a while; after a few such refusals it fails.
    Space,
    /// The DM may have been made, and a repeat may be made as well: it waits for evidence.
    Unknown,
}

/// Attempts of a send that is refused alone, an hour apart.
pub(crate) const SPACED: u32 = 3;

/// Attempts where Meta could not fetch what the message shows.
const TWO: u32 = 2;

impl Consequence {
    /// Returns what follows for a call of `account`, which is a send to `to` or a read. Nothing is
    /// repeated blindly that may have arrived, private replies included: after an error of its
    /// servers Meta was seen to deliver a second one.
    pub(crate) fn of(call: &CallError, account: &AccountId, to: Option<&Address>) -> Self {
        let clear = |cause| Self::Refused(Evidence::Clear(cause), Own::Space);
        let doubt = |doubt, own| Self::Refused(Evidence::Doubt(doubt), own);
        let error = match call {
            CallError::Refused { error, .. } => Some(error),
            _ => None,
        };
        let is_server_error = error.is_some_and(|error| error.status >= 500);
        match call.verdict() {
            Verdict::Throttled { scope: ThrottleScope::App } => Self::HoldApp(HoldCause::Throttled),
            Verdict::AppMisconfigured => Self::HoldApp(HoldCause::Permission),
            Verdict::Throttled { scope: ThrottleScope::Recipient } => Self::HoldRecipient,
            Verdict::Throttled { scope: ThrottleScope::Account } => clear(HoldCause::Throttled),
            Verdict::Blocked => clear(HoldCause::Blocked),
            Verdict::TokenDead => clear(HoldCause::TokenDead),
            Verdict::Permission => clear(HoldCause::Permission),
            Verdict::Transient
            | Verdict::FetchFailed
            | Verdict::Ambiguous
            | Verdict::PermissionUnclear
            | Verdict::MediaUnclear
            | Verdict::BadRequest
                if is_server_error =>
            {
                doubt(Doubt::Server, Own::Unknown)
            }
            Verdict::PermissionUnclear => doubt(Doubt::Permission, Own::Space),
            Verdict::MediaUnclear => doubt(Doubt::Media, Own::Space),
            Verdict::LinkBlocked => Self::Refused(Evidence::Campaign, Own::Space),
            Verdict::Ambiguous => Self::Own(Own::Unknown),
            // Nothing was sent, and no outage of Meta's is to cost a DM.
            Verdict::Transient => Self::Own(Own::Retry(FAILURES_MAX, FailReason::NoAnswer)),
            Verdict::FetchFailed => Self::Own(Own::Retry(TWO, FailReason::BadRequest)),
            Verdict::WindowClosed => Self::end(FailReason::WindowClosed),
            Verdict::Recipient => Self::end(FailReason::Recipient),
            Verdict::PrivateReplyRefused => Self::end(FailReason::ReplyRefused),
            Verdict::ThreadOwner => Self::end(FailReason::ThreadOwner),
            Verdict::BadRequest => doubt(Doubt::Request, Own::End(FailReason::BadRequest)),
            Verdict::CommentGone => {
                let object = error.and_then(|error| error.object.as_deref());
                match (object, to) {
                    // Its token does not see it.
                    (Some(object), _) if object == account.as_str() => clear(HoldCause::TokenDead),
                    (Some(object), Some(Address::Comment { id, .. })) if object == id.as_str() => {
                        Self::end(FailReason::CommentGone)
                    }
                    _ => doubt(Doubt::Object, Own::End(FailReason::CommentGone)),
                }
            }
        }
    }

    /// Returns what follows for a public reply. Meta may refuse one for what its comment, its media
    /// or the rights of the app allow in public, which says nothing of DMs. A limit, a restriction
    /// and a dead token stop all calls of the account.
    pub(crate) fn of_public_reply(self) -> Self {
        let end = Own::End(FailReason::Refused);
        match self {
            Self::Refused(Evidence::Clear(HoldCause::Permission), _)
            | Self::Refused(Evidence::Doubt(_) | Evidence::Campaign, Own::Space) => Self::Own(end),
            Self::Refused(Evidence::Doubt(_) | Evidence::Campaign, own) => Self::Own(own),
            Self::HoldApp(HoldCause::Permission) => Self::Own(end),
            Self::Refused(Evidence::Clear(_), _)
            | Self::HoldApp(_)
            | Self::HoldRecipient
            | Self::Own(_) => self,
        }
    }

    fn end(reason: FailReason) -> Self {
        Self::Own(Own::End(reason))
    }
}

#[cfg(test)]
mod tests {
    use spillway_meta::error::GraphError;
    use spillway_meta::usage::Usage;

    use super::*;

    fn refused(status: u16, code: i64, subcode: i64) -> CallError {
        let subcode = (subcode != 0).then_some(subcode);
        let error =
            GraphError { status, code: Some(code), subcode, is_metas: true, ..Default::default() };
        CallError::Refused { error, usage: Usage::default(), server_date: None }
    }

    fn of(call: &CallError, to: &Address) -> Consequence {
        Consequence::of(call, &"17841".into(), Some(to))
    }

    fn comment() -> Address {
        Address::Comment { id: "179".into(), author: None }
    }

    #[test]
    fn what_may_have_been_sent_is_not_made_twice() {
        let person = Address::Person("p".into());
        assert_eq!(of(&CallError::Unknown, &comment()), Consequence::Own(Own::Unknown));
        assert_eq!(of(&CallError::Unknown, &person), Consequence::Own(Own::Unknown));
        let server = Consequence::Refused(Evidence::Doubt(Doubt::Server), Own::Unknown);
        for to in [comment(), person] {
            for (code, subcode) in [
                (0, 0),
                (1, 0),
                (2, 0),
                (1, 99),
                (1, 1_357_046),
                (1200, 0),
                (10, 0),
                (20, 1_772_107),
                (100, 0),
                (200, 99),
            ] {
                assert_eq!(of(&refused(500, code, subcode), &to), server, "{code}/{subcode}");
            }
            for (code, subcode) in [(1, 0), (2, 0), (1, 1_357_046), (20, 1_772_107)] {
                let unknown = Consequence::Own(Own::Unknown);
                assert_eq!(of(&refused(400, code, subcode), &to), unknown, "{code}/{subcode}");
            }
            let app = Consequence::HoldApp(HoldCause::Throttled);
            assert_eq!(of(&refused(500, 4, 0), &to), app, "the code is clear");
        }
    }

    #[test]
    fn an_object_that_cannot_be_seen_is_the_account_the_comment_or_not_known() {
        let gone = |object: Option<&str>| {
            let CallError::Refused { error, usage, server_date } = refused(400, 100, 33) else {
                unreachable!("it is refused")
            };
            let error = GraphError { object: object.map(Box::from), ..error };
            of(&CallError::Refused { error, usage, server_date }, &comment())
        };
        let token = Evidence::Clear(HoldCause::TokenDead);
        assert!(matches!(gone(Some("17841")), Consequence::Refused(of, _) if of == token));
        assert_eq!(gone(Some("179")), Consequence::end(FailReason::CommentGone));
        let doubt = Evidence::Doubt(Doubt::Object);
        for object in [None, Some("5")] {
            let own = Own::End(FailReason::CommentGone);
            assert_eq!(gone(object), Consequence::Refused(doubt, own));
        }
    }

    #[test]
    fn what_was_not_sent_is_tried_again_as_often_as_its_refusal_allows() {
        let tries = |code, subcode| match of(&refused(400, code, subcode), &comment()) {
            Consequence::Own(Own::Retry(tries, _))
            | Consequence::Refused(_, Own::Retry(tries, _)) => tries,
            Consequence::Refused(_, Own::Space) => SPACED,
            _ => 1,
        };
        assert_eq!(tries(2, 0), 1, "also of somebody who has blocked the account");
        assert_eq!([2_018_008, 2_018_047, 2_018_294].map(|subcode| tries(100, subcode)), [2; 3]);
        assert_eq!([tries(1200, 0), tries(2_018_321, 0)], [FAILURES_MAX; 2]);
        assert_eq!([tries(10, 0), tries(200, 99), tries(3, 0)], [SPACED; 3]);
    }

    #[test]
    fn only_what_stops_all_calls_follows_from_a_public_reply() {
        let of = |code, subcode| of(&refused(400, code, subcode), &comment()).of_public_reply();
        let ends = Consequence::end(FailReason::Refused);
        for (code, subcode) in [(10, 0), (200, 99), (3, 0), (508, 2_534_122)] {
            assert_eq!(of(code, subcode), ends, "{code}/{subcode}");
        }
        assert_eq!(of(100, 0), Consequence::end(FailReason::BadRequest));
        for (code, cause) in [(368, HoldCause::Blocked), (190, HoldCause::TokenDead)] {
            let clear = Evidence::Clear(cause);
            assert!(matches!(of(code, 0), Consequence::Refused(held, _) if held == clear));
        }
        let lost = [(500, 0, 0), (400, 1, 0), (400, 20, 1_772_107)];
        for (status, code, subcode) in lost {
            let of = super::Consequence::of(&refused(status, code, subcode), &"1".into(), None);
            assert_eq!(of.of_public_reply(), Consequence::Own(Own::Unknown), "{status} {code}");
        }
    }

    #[test]
    fn a_link_that_is_refused_stops_its_campaign() {
        let link = of(&refused(400, 508, 2_534_122), &comment());
        assert!(matches!(link, Consequence::Refused(Evidence::Campaign, _)));
    }
}
