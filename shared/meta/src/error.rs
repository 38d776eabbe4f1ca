//! What a refusal of the Graph API means, and what the caller must do about it.
//!
//! Meta's errors are told apart by code and subcode, then by the HTTP status. Never by `type`,
//! which is `OAuthException` for nearly everything, and never by `is_transient`, which is also true
//! for throttles. (Meta, Messenger Platform error codes, 25 Jun 2026; Graph API error handling.)

use std::fmt;

use spillway_core::meta_error::MetaError;

use crate::json::Object;

/// From this number on, a number means the same whether it comes as code or as subcode.
const UNIQUE_NUMBER_MIN: i64 = 1_000_000;

/// An error answer. It keeps no message, because a message may quote what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphError {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`; `None` when the answer is not Meta's JSON.
    pub code: Option<i64>,
    /// `error.error_subcode`.
    pub subcode: Option<i64>,
    /// `error.fbtrace_id`, by which Meta's support finds the call.
    pub trace_id: Option<String>,
    /// The id that the message says does not exist or cannot be seen.
    pub object: Option<Box<str>>,
    /// What the message says, where no number tells it from a bad parameter.
    pub says: Option<Says>,
    /// Whether Meta itself wrote the answer: its errors have a code or, a few of them, only a type.
    /// Anything else is of a machine on the way, which may have answered after Meta acted.
    pub is_metas: bool,
}

/// What the message of an error with code 100 says that no number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Says {
    /// This endpoint does not support the HTTP method. So graph.instagram.com refuses an app which
    /// the account has not authorised; for two days in July 2026 it refused every account so.
    MethodUnsupported,
    /// `appsecret_proof` is wrong or missing: no call of the app can succeed.
    ProofInvalid,
    /// The person or the conversation cannot be found.
    NotFound,
}

impl Says {
    fn read(message: &str) -> Option<Self> {
        let message = message.to_lowercase();
        [
            ("unsupported request - method type", Self::MethodUnsupported),
            ("appsecret_proof", Self::ProofInvalid),
            ("cannot be found", Self::NotFound),
        ]
        .into_iter()
        .find_map(|(words, says)| message.contains(words).then_some(says))
    }
}

impl GraphError {
    /// Reads the body of an answer with this HTTP status. Every body is taken: what is not there,
    /// or is not JSON, is `None`.
    pub fn parse(status: u16, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let Some(error) = Object::parse(&body).and_then(|body| body.object("error")) else {
            return Self { status, ..Self::default() };
        };
        let message = error.text("message").unwrap_or_default();
        Self {
            status,
            code: error.number("code"),
            subcode: error.number("error_subcode"),
            trace_id: error.id("fbtrace_id"),
            object: named_object(&message),
            says: Says::read(&message),
            is_metas: error.has("code") || error.has("type"),
        }
    }

    /// What the error means.
    pub fn classify(&self) -> Verdict {
        use ThrottleScope::{Account, App, Recipient as OneRecipient};
        use Verdict::*;

        let is_unique = |number: &i64| *number >= UNIQUE_NUMBER_MIN;
        let subcode =
            self.subcode.filter(is_unique).or(self.code.filter(is_unique)).or(self.subcode);

        match (self.code.unwrap_or_default(), subcode.unwrap_or_default()) {
            // Whatever the subcode.
            (102 | 190, _) => TokenDead,
            (368, _) => Blocked,

            // Subcodes, each finer than its code.
            (_, 1357046) => Ambiguous,
            (_, 2534022 | 2018278 | 2018065) => WindowClosed,
            (_, 2534025 | 2534024) => PrivateReplyRefused,
            (_, 2534037 | 2018300) => ThreadOwner,
            (_, 1893063 | 2534029) => Blocked,
            (_, 2534122) => LinkBlocked,
            (_, 2534077) => TokenDead,
            (_, 2534041 | 2534013 | 1404170 | 2018028 | 2018027 | 2018021) => Permission,
            (_, 1545041 | 2534014 | 2534001 | 2018001 | 2018108 | 2018336) => Recipient,
            (_, 1893015 | 1893016) => Recipient,
            (_, 2018352 | 2018338) => Throttled { scope: OneRecipient },
            (_, 2018022) => Throttled { scope: App },
            (_, 2534040 | 2446079) => Throttled { scope: Account },
            (_, 2534015 | 2018109 | 2018344 | 1609005 | 9000001) => BadRequest,
            // Meta could not fetch the media: worth one more try.
            (_, 2018008 | 2018047 | 2018294) => FetchFailed,
            (_, 2018321) => Transient,
            // More than plain text for somebody who does not follow: it used the only reply up.
            (_, 1545133 | 2534023) => Recipient,
            (100, 33) => CommentGone,
            (613, 1996) => Throttled { scope: App },

            // Codes with no subcode, or with one that says no more.
            // Seen after the DM was made (23 August 2026).
            (1 | 2, _) => Ambiguous,
            // What was asked for was made, and then its wanted form refused.
            (20, 1772107) => Ambiguous,
            (1200, _) => Transient,
            (4 | 341, _) => Throttled { scope: App },
            // 32, 80001 and 80006 count calls of a Page, which is an account's.
            (17 | 32 | 613 | 80000..=80014, _) => Throttled { scope: Account },
            (2022, _) => Blocked,
            (551, _) => Recipient,
            // No consent to read a profile: expected of people who only commented.
            (230, _) => Recipient,
            (10900, _) => PrivateReplyRefused,
            (36103, _) => Permission,
            (10, 0) => MediaUnclear,
            // The app or the kind of login cannot do this at all: the wrong node was called.
            (3, _) => Permission,
            (10 | 200..=299, _) => PermissionUnclear,
            (100, _) if self.says == Some(Says::ProofInvalid) => AppMisconfigured,
            (100, _) if self.says == Some(Says::MethodUnsupported) => Permission,
            (100, 0) if self.says == Some(Says::NotFound) => Recipient,
            (27 | 100 | 506 | 2500, _) => BadRequest,
            _ => self.classify_by_status(),
        }
    }

    fn classify_by_status(&self) -> Verdict {
        match self.status {
            429 => Verdict::Throttled { scope: ThrottleScope::Account },
            401 if self.is_metas => Verdict::TokenDead,
            403 if self.is_metas => Verdict::PermissionUnclear,
            400..=499 if self.is_metas => Verdict::BadRequest,
            _ => Verdict::Ambiguous,
        }
    }
}

impl From<&GraphError> for MetaError {
    fn from(error: &GraphError) -> Self {
        let GraphError { status, code, subcode, ref trace_id, .. } = *error;
        Self { status, code, subcode, trace_id: trace_id.clone() }
    }
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        MetaError::from(self).fmt(f)
    }
}

/// What a failed call means, by what the caller must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Too many calls. Stop all calls in the scope, try again later, and spend none of the send's
    /// attempts. To go on calling makes it longer.
    Throttled {
        /// What must pause.
        scope: ThrottleScope,
    },
    /// Meta failed and a later try may succeed: back off with jitter, a few attempts only.
    Transient,
    /// Meta could not fetch what the message shows: one more try, then it is a bad request.
    FetchFailed,
    /// It may or may not have been sent: nothing is repeated without evidence that it did not
    /// arrive. Meta's refusal of a second private reply was seen to fail after an error of its
    /// servers, so it is no protection.
    Ambiguous,
    /// The account's token is of no use: stop the account until its owner connects it again.
    TokenDead,
    /// The app, or a setting of the account, does not allow the call: stop the account and alert.
    Permission,
    /// No call of the app can succeed until its operator mends its settings: stop the whole app.
    AppMisconfigured,
    /// The code names a permission, and no known subcode says whose: the account's, or this
    /// person's alone. It is the account's if another person's call meets it too.
    PermissionUnclear,
    /// The same, and also the answer for a post that belongs to another account too: it is the
    /// account's if a call for another person on another post meets it too.
    MediaUnclear,
    /// Meta restricts the account for its behaviour: stop it for hours, longer each time, and
    /// alert.
    Blocked,
    /// Meta does not take the link in the text: stop the campaign.
    LinkBlocked,
    /// The person wrote too long ago for this message. Final for this message.
    WindowClosed,
    /// This person cannot be reached now. Final for this send.
    Recipient,
    /// The comment cannot be answered: it was answered already, is older than 7 days, was deleted,
    /// or its broadcast ended. Never try again. After an ambiguous attempt it most likely means
    /// that that one arrived.
    PrivateReplyRefused,
    /// Another app has the conversation: final unless that app hands it over.
    ThreadOwner,
    /// The request is wrong for any sender: final, and a bug or a bad template. Alert.
    BadRequest,
    /// The object of the call does not exist or cannot be seen: for a private reply, the comment
    /// was deleted. Final, unless [`GraphError::object`] names the account: then its id or token is
    /// wrong. If neither is named, several in a row tell.
    CommentGone,
}

/// In a few words, for logs.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled { scope: ThrottleScope::App } => "the app makes too many calls",
            Self::Throttled { scope: ThrottleScope::Account } => "the account makes too many calls",
            Self::Throttled { scope: ThrottleScope::Recipient } => {
                "the person got too many messages"
            }
            Self::Transient => "Meta refuses it for now",
            Self::FetchFailed => "Meta could not fetch the media",
            Self::Ambiguous => "it may have been sent",
            Self::TokenDead => "the token is dead",
            Self::Permission => "a permission or a setting is missing",
            Self::AppMisconfigured => "the app's settings are wrong",
            Self::PermissionUnclear => {
                "a permission is missing, or the person cannot be written to"
            }
            Self::MediaUnclear => "a permission is missing, or the post is another account's too",
            Self::Blocked => "Meta restricts the account",
            Self::LinkBlocked => "Meta refuses the link",
            Self::WindowClosed => "the conversation's window is closed",
            Self::Recipient => "the person cannot be reached",
            Self::PrivateReplyRefused => "the comment cannot be answered, or was",
            Self::ThreadOwner => "another app has the conversation",
            Self::BadRequest => "Meta does not take the request",
            Self::CommentGone => "the comment is gone, or cannot be seen",
        })
    }
}

/// What a throttle pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThrottleScope {
    /// Every call of the app, for all accounts.
    App,
    /// Every call for the account.
    Account,
    /// Messages to this person.
    Recipient,
}

/// The id in "Object with ID '...' does not exist". An id of Meta's has digits alone, so nothing
/// that was sent is kept.
fn named_object(message: &str) -> Option<Box<str>> {
    let (_, rest) = message.split_once("Object with ID '")?;
    let (id, _) = rest.split_once('\'')?;
    let is_id = !id.is_empty() && id.len() <= 32 && id.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then(|| id.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ThrottleScope::{Account, App};
    use super::Verdict::*;
    use super::*;

    const APP: Verdict = Throttled { scope: App };
    const ACCOUNT: Verdict = Throttled { scope: Account };
    const PERSON: Verdict = Throttled { scope: ThrottleScope::Recipient };

    /// Every error that Meta documents and every one seen in production, in order of their codes.
    /// What has no code of its own is told by its status, further down.
    const TABLE: [(i64, &[Option<i64>], Verdict); 80] = [
        (1, &[None, Some(99)], Ambiguous),
        (1, &[Some(1357046)], Ambiguous),
        (2, &[None], Ambiguous),
        (2, &[Some(1545133), Some(2534023)], Recipient),
        (2, &[Some(2018344)], BadRequest),
        (3, &[None, Some(99)], Permission),
        (4, &[None], APP),
        (4, &[Some(2018022)], APP),
        (9, &[Some(2018352)], PERSON),
        (10, &[None], MediaUnclear),
        (10, &[Some(99)], PermissionUnclear),
        (10, &[Some(2534022)], WindowClosed),
        (10, &[Some(2018278)], WindowClosed),
        (10, &[Some(2018065)], WindowClosed),
        (10, &[Some(2018108)], Recipient),
        (10, &[Some(1893063)], Blocked),
        (10, &[Some(1893015)], Recipient),
        (10, &[Some(1404170)], Permission),
        (10, &[Some(2018336)], Recipient),
        (10, &[Some(2534077)], TokenDead),
        (17, &[None], ACCOUNT),
        (20, &[Some(1772107)], Ambiguous),
        (27, &[None], BadRequest),
        (32, &[None], ACCOUNT),
        (100, &[None], BadRequest),
        (100, &[Some(33)], CommentGone),
        (100, &[Some(2018001)], Recipient),
        (100, &[Some(2018008), Some(2018047), Some(2018294)], FetchFailed),
        (100, &[Some(2018109)], BadRequest),
        (100, &[Some(2534001)], Recipient),
        (100, &[Some(2534013)], Permission),
        (100, &[Some(2534014)], Recipient),
        (100, &[Some(2534015)], BadRequest),
        (100, &[Some(2534024)], PrivateReplyRefused),
        (100, &[Some(2534025)], PrivateReplyRefused),
        (100, &[Some(2534029)], Blocked),
        (100, &[Some(2534037)], ThreadOwner),
        (102, &[None], TokenDead),
        (190, &[None, Some(0), Some(1), Some(2534025)], TokenDead),
        (190, &[Some(458)], TokenDead),
        (190, &[Some(459)], TokenDead),
        (190, &[Some(460)], TokenDead),
        (190, &[Some(463)], TokenDead),
        (190, &[Some(464)], TokenDead),
        (190, &[Some(467)], TokenDead),
        (190, &[Some(492)], TokenDead),
        (200, &[None, Some(99)], PermissionUnclear),
        (200, &[Some(1545041)], Recipient),
        (200, &[Some(2018028), Some(2018027), Some(2018021)], Permission),
        (200, &[Some(2534041)], Permission),
        (230, &[None], Recipient),
        (299, &[None], PermissionUnclear),
        (341, &[None], APP),
        (368, &[None, Some(1390008), Some(2534025)], Blocked),
        (506, &[None], BadRequest),
        (508, &[Some(2534122)], LinkBlocked),
        (551, &[None, Some(1545041)], Recipient),
        (613, &[None, Some(2534040)], ACCOUNT),
        (613, &[Some(1996)], APP),
        (613, &[Some(1893016)], Recipient),
        (613, &[Some(2018338)], PERSON),
        (1200, &[None], Transient),
        (2022, &[None], Blocked),
        (2500, &[None], BadRequest),
        (10900, &[None], PrivateReplyRefused),
        (36103, &[None], Permission),
        (80001, &[None], ACCOUNT),
        (80002, &[None], ACCOUNT),
        (80006, &[None], ACCOUNT),
        (80000, &[None, Some(2446079)], ACCOUNT),
        (80003, &[None, Some(2446079)], ACCOUNT),
        (80004, &[None, Some(2446079)], ACCOUNT),
        (80005, &[None], ACCOUNT),
        (80008, &[None], ACCOUNT),
        (80009, &[None], ACCOUNT),
        (80014, &[None, Some(2446079)], ACCOUNT),
        (1609005, &[None], BadRequest),
        (2018300, &[None], ThreadOwner),
        (2018321, &[None], Transient),
        (9000001, &[None], BadRequest),
    ];

    fn refused(status: u16, code: i64, subcode: Option<i64>) -> GraphError {
        GraphError { status, code: Some(code), subcode, is_metas: true, ..GraphError::default() }
    }

    #[test]
    fn every_documented_error_has_its_verdict_whatever_the_status() {
        for (code, subcodes, verdict) in TABLE {
            for subcode in subcodes {
                for status in [400, 401, 403, 429, 500, 503] {
                    let error = refused(status, code, *subcode);
                    assert_eq!(error.classify(), verdict, "{error}");
                }
            }
        }
    }

    #[test]
    fn a_subcode_that_comes_as_code_means_the_same() {
        for (number, verdict) in [
            (1545041, Recipient),
            (2018300, ThreadOwner),
            (2018321, Transient),
            (2534022, WindowClosed),
            (2534025, PrivateReplyRefused),
            (2534029, Blocked),
            (2534040, ACCOUNT),
        ] {
            assert_eq!(refused(400, number, None).classify(), verdict, "{number}");
            assert_eq!(refused(400, number, Some(33)).classify(), verdict, "{number}/33");
            assert_eq!(refused(400, 100, Some(number)).classify(), verdict, "100/{number}");
        }
    }

    #[test]
    fn an_unknown_error_is_told_by_its_status() {
        for (status, verdict) in [
            (400, BadRequest),
            (401, TokenDead),
            (403, PermissionUnclear),
            (404, BadRequest),
            (429, ACCOUNT),
            (500, Ambiguous),
            (503, Ambiguous),
        ] {
            assert_eq!(refused(status, 424_242, None).classify(), verdict, "{status}");
        }
    }

    #[test]
    fn what_is_not_metas_json_says_nothing_about_the_send() {
        for status in [302, 400, 403, 404, 500, 502, 503, 504] {
            for body in
                ["", "<html>Bad Gateway</html>", "{}", r#"{"error":"x"}"#, "[1]", r#"{"error":{}}"#]
            {
                let error = GraphError::parse(status, body.as_bytes());
                assert_eq!(error, GraphError { status, ..GraphError::default() });
                assert_eq!(error.classify(), Ambiguous, "{status} {body}");
            }
        }
        assert_eq!(GraphError::parse(429, b"").classify(), ACCOUNT);
    }

    #[test]
    fn an_error_of_metas_without_a_code_is_told_by_its_status() {
        let body = br#"{"error":{"message":"Needs to be reviewed","type":"IGApiException"}}"#;
        for (status, verdict) in [
            (400, BadRequest),
            (401, TokenDead),
            (403, PermissionUnclear),
            (429, ACCOUNT),
            (500, Ambiguous),
            (503, Ambiguous),
        ] {
            assert_eq!(GraphError::parse(status, body).classify(), verdict, "{status}");
        }
    }

    #[test]
    fn reads_metas_envelope() {
        let error = GraphError::parse(400, include_bytes!("../fixtures/error.json"));
        assert_eq!(
            error,
            GraphError {
                status: 400,
                code: Some(100),
                subcode: Some(2534025),
                trace_id: Some("AbCdEfGhIjKlMnOpQrStUv-".to_owned()),
                object: None,
                says: None,
                is_metas: true,
            }
        );
        assert_eq!(
            error.to_string(),
            "status 400, code 100/2534025, fbtrace AbCdEfGhIjKlMnOpQrStUv-"
        );
        assert!(!format!("{error:?}").contains("private reply"));
    }

    #[test]
    fn numbers_may_be_strings_and_every_part_may_be_odd() {
        let body = br#"{"error":{"message":"\ud83d","code":"4","error_subcode":null,
            "is_transient":true,"code":"10","error_subcode":"2534022","fbtrace_id":"a b"}}"#;
        let error = GraphError::parse(400, body);
        assert_eq!(error, refused(400, 10, Some(2534022)));
        assert_eq!(error.classify(), WindowClosed);
    }

    #[test]
    fn the_object_that_cannot_be_seen_is_named() {
        let named = |message: &str| {
            let body = serde_json::json!({
                "error": { "message": message, "code": 100, "error_subcode": 33 }
            });
            GraphError::parse(400, body.to_string().as_bytes()).object
        };
        let seen = "Unsupported delete request. Object with ID '18132234304542418' does not exist, \
                    cannot be loaded due to missing permissions";
        assert_eq!(named(seen).as_deref(), Some("18132234304542418"));
        for other in ["", "Object with ID '", "Object with ID ''", "Object with ID 'my text' x"] {
            assert_eq!(named(other), None, "{other}");
        }
    }

    /// The rows of answers that were met in practice, each with the words of its message.
    #[test]
    fn each_answer_met_in_practice_has_its_verdict() {
        let verdict = |code: i64, subcode: Option<i64>, message: &str| {
            let mut error = serde_json::json!({ "code": code, "message": message });
            error["error_subcode"] = subcode.into();
            let body = serde_json::json!({ "error": error });
            GraphError::parse(400, body.to_string().as_bytes()).classify()
        };
        let row = |name: &str, is: Verdict, due: Verdict| assert_eq!(is, due, "{name}");
        row("2/1545133", verdict(2, Some(1545133), ""), Recipient);
        row("2534023", verdict(100, Some(2534023), ""), Recipient);
        row("100/2534001", verdict(100, Some(2534001), ""), Recipient);
        let not_found = "The requested user cannot be found.";
        row("100, cannot be found", verdict(100, None, not_found), Recipient);
        row("100/33, cannot be found", verdict(100, Some(33), not_found), CommentGone);
        let capability = "(#3) Application does not have the capability to make this API call.";
        row("3, capability", verdict(3, None, capability), Permission);
        let proof = "Invalid appsecret_proof provided in the API argument";
        row("100, appsecret_proof", verdict(100, None, proof), AppMisconfigured);
        let method = "Unsupported request - method type: post";
        row("100, method type", verdict(100, None, method), Permission);
        row("20/1772107", verdict(20, Some(1772107), ""), Ambiguous);
        row("190/0", verdict(190, Some(0), "The session has ended"), TokenDead);
        row("10 of one media", verdict(10, None, "(#10)"), MediaUnclear);
    }

    #[test]
    fn is_transient_does_not_make_a_throttle_transient() {
        let body = br#"{"error":{"message":"(#4) limit","code":4,"is_transient":true}}"#;
        assert_eq!(GraphError::parse(400, body).classify(), APP);
    }

    #[test]
    fn an_account_that_did_not_authorise_the_app_is_no_bad_request() {
        for method in ["get", "post", "delete"] {
            let message = format!("Unsupported request - method type: {method}");
            let body = format!(r#"{{"error":{{"message":"{message}","code":100}}}}"#);
            assert_eq!(GraphError::parse(400, body.as_bytes()).classify(), Permission);
        }
        let gone =
            br#"{"error":{"message":"Unsupported get request.","code":100,"error_subcode":33}}"#;
        assert_eq!(GraphError::parse(400, gone).classify(), CommentGone);
    }

    proptest! {
        #[test]
        fn never_panics(status: u16, body: Vec<u8>, code: i64, subcode: Option<i64>) {
            let _ = GraphError::parse(status, &body).classify();
            let _ = refused(status, code, subcode).classify();
        }
    }
}
