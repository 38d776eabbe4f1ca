//! Meta's answers: the error envelope, its codes, and the headers that tell how much is used.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use spillway_core::id::{AccountId, CommentId};
use spillway_core::time::Timestamp;

use super::world::{Comment, Refusal, Words};

/// What goes back over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What the caller sees.
    pub reply: Reply,
    /// How much real time passes before it is sent.
    pub after: Duration,
    /// The accepted call whose answer counts as lost until it is delivered.
    pub(super) late: Option<usize>,
}

/// What the caller sees of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// An HTTP answer.
    Http {
        /// The status.
        status: u16,
        /// Headers by lower-case name, `content-type` among them; the server adds `date`.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: String,
    },
    /// The connection closes without a byte.
    Silence,
}

impl Reply {
    /// Status 200 with JSON.
    pub(super) fn accepted(recipient: &str, message: &str) -> Self {
        let body = json!({ "recipient_id": recipient, "message_id": message });
        Self::json(200, body.to_string())
    }

    /// Status 200 with the id of a public reply.
    pub(super) fn replied(reply: &CommentId) -> Self {
        Self::json(200, json!({ "id": reply.as_str() }).to_string())
    }

    /// Status 200 with those fields of a comment, and its id.
    pub(super) fn comment(
        told: &Comment,
        words: &Words,
        fields: &[String],
    ) -> Result<Self, GraphError> {
        let Comment { id, created_at, author, media, .. } = told;
        let mut comment = Map::new();
        for field in fields {
            match field.as_str() {
                "timestamp" => comment.insert(field.clone(), written(*created_at).into()),
                // Meta names the author of some comments and not of others.
                "from" => words.username.as_ref().and_then(|username| {
                    let from = json!({ "id": author.as_str(), "username": username });
                    comment.insert(field.clone(), from)
                }),
                "text" => comment.insert(field.clone(), words.text.clone().into()),
                "media" => comment.insert(field.clone(), json!({ "id": media.as_str() })),
                // It is there below other comments alone, and all here are at the top.
                "id" | "parent_id" => None,
                other => return Err(GraphError::no_such_field(other)),
            };
        }
        comment.insert("id".to_owned(), id.as_str().into());
        Ok(Self::json(200, Value::Object(comment).to_string()))
    }

    /// Meta's error envelope.
    pub(super) fn error(error: &GraphError, trace: &str) -> Self {
        let envelope = Envelope { error: Error { error, fbtrace_id: trace } };
        // Strings and numbers under fixed keys always serialise.
        Self::json(error.status, serde_json::to_string(&envelope).unwrap_or_default())
    }

    /// What a broken front end sends: a page, not the envelope.
    pub(super) fn broken() -> Self {
        Self::Http {
            status: 500,
            headers: vec![("content-type", "text/html; charset=utf-8".to_owned())],
            body: "<!DOCTYPE html><html><body><h1>Sorry, something broke</h1></body></html>\n"
                .to_owned(),
        }
    }

    /// Status 200 with this JSON.
    pub(super) fn read(body: &Value) -> Self {
        Self::json(200, body.to_string())
    }

    fn json(status: u16, body: String) -> Self {
        let headers = vec![("content-type", "application/json; charset=UTF-8".to_owned())];
        Self::Http { status, headers, body }
    }

    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Http { status, .. } => *status,
            Self::Silence => 0,
        }
    }

    pub(super) fn with_header(mut self, header: (&'static str, String)) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.push(header);
        }
        self
    }
}

/// An instant as Meta writes it: in whole seconds, with an offset without a colon.
pub(super) fn written(instant: Timestamp) -> String {
    let millis = i64::try_from(instant.as_millis()).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    instant.strftime("%Y-%m-%dT%H:%M:%S%z").to_string()
}

/// `x-app-usage`. The simulator counts calls; it models no time on Meta's machines.
pub(super) fn app_usage(percent: u32) -> (&'static str, String) {
    let usage = json!({ "call_count": percent, "total_time": 0, "total_cputime": 0 });
    ("x-app-usage", usage.to_string())
}

/// `x-business-use-case-usage`.
pub(super) fn business_usage(
    account: &AccountId,
    kind: &str,
    percent: u32,
    regain_minutes: u64,
) -> (&'static str, String) {
    let usage = json!({
        account.as_str(): [{
            "type": kind,
            "call_count": percent,
            "total_cputime": 0,
            "total_time": 0,
            "estimated_time_to_regain_access": regain_minutes,
        }]
    });
    ("x-business-use-case-usage", usage.to_string())
}

/// An error as Meta words it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct GraphError {
    #[serde(skip)]
    pub(super) status: u16,
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    pub(super) code: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_subcode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_transient: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_user_title: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_user_msg: Option<&'static str>,
}

#[derive(Serialize)]
struct Envelope<'answer> {
    error: Error<'answer>,
}

#[derive(Serialize)]
struct Error<'answer> {
    #[serde(flatten)]
    error: &'answer GraphError,
    fbtrace_id: &'answer str,
}

impl GraphError {
    fn new(status: u16, code: u32, text: &str) -> Self {
        Self {
            status,
            message: format!("(#{code}) {text}"),
            kind: "OAuthException",
            code,
            error_subcode: None,
            is_transient: None,
            error_user_title: None,
            error_user_msg: None,
        }
    }

    fn subcode(mut self, subcode: u32) -> Self {
        self.error_subcode = Some(subcode);
        self
    }

    fn of_instagram(mut self) -> Self {
        self.kind = "IGApiException";
        self
    }

    fn transient(mut self) -> Self {
        self.is_transient = Some(true);
        self
    }

    fn for_the_user(mut self, title: &'static str, text: &'static str) -> Self {
        self.is_transient = Some(false);
        self.error_user_title = Some(title);
        self.error_user_msg = Some(text);
        self
    }

    pub(super) fn invalid_parameter(what: &str) -> Self {
        Self::new(400, 100, &format!("Invalid parameter: {what}")).of_instagram()
    }

    pub(super) fn wrong_method(method: &str) -> Self {
        let text = format!("Unsupported request - method type: {}", method.to_lowercase());
        Self { message: text, ..Self::new(400, 100, "") }.of_instagram()
    }

    pub(super) fn unknown_path() -> Self {
        Self::new(400, 2500, "Unknown path components")
    }

    pub(super) fn no_such_field(field: &str) -> Self {
        Self::new(400, 100, &format!("Tried accessing nonexisting field ({field})")).of_instagram()
    }

    pub(super) fn human_agent() -> Self {
        let text = "The tag HUMAN_AGENT takes a feature that this app was not approved for";
        Self::new(403, 10, text).of_instagram()
    }

    pub(super) fn no_such_object(object: &str) -> Self {
        let text = format!("Object with ID '{object}' does not exist or is not visible");
        Self::new(400, 100, &text).subcode(33).of_instagram()
    }

    pub(super) fn link_refused() -> Self {
        Self::new(400, 508, "The link in the message is not allowed").subcode(2_534_122)
    }

    pub(super) fn token_missing() -> Self {
        Self::new(401, 190, "An access token is required")
    }

    pub(super) fn token_dead(subcode: u32) -> Self {
        let text = match subcode {
            458 => "The app was removed from this account",
            463 => "The access token has expired",
            467 => "The access token is invalid",
            _ => "The access token cannot be used",
        };
        Self::new(401, 190, text).subcode(subcode)
    }

    pub(super) fn bad_code() -> Self {
        Self::new(400, 100, "Invalid authorization code, or it was used before")
    }

    pub(super) fn too_young() -> Self {
        Self::new(400, 100, "The token is not old enough to be refreshed")
    }

    pub(super) fn not_thread_owner() -> Self {
        Self::new(400, 100, "The token's account does not own this thread").subcode(2_534_037)
    }

    pub(super) fn refusal(refusal: Refusal, object: &str) -> Self {
        match refusal {
            Refusal::NoSuchObject => Self::no_such_object(object),
            Refusal::NotAnswerable => {
                Self::new(400, 100, "The comment is invalid for a private reply").subcode(2_534_025)
            }
            Refusal::NotRepliable => {
                Self::new(400, 100, "Nobody can reply to this comment").of_instagram()
            }
            Refusal::TextOnly => Self::text_only(),
            Refusal::NoConsent => Self::no_consent(),
            Refusal::Blocked => Self::recipient_unavailable(),
            Refusal::NoSuchPerson => {
                Self::new(400, 100, "No matching Instagram user").subcode(2_534_014)
            }
            Refusal::ConversationClosed => {
                Self::new(403, 10, "Sent outside of the allowed window").subcode(2_534_022)
            }
        }
    }

    pub(super) fn throttled(code: u32) -> Self {
        match code {
            4 => Self::new(400, 4, "Application request limit reached").transient(),
            17 => Self::new(400, 17, "User request limit reached").transient(),
            32 => Self::new(400, 32, "Page request limit reached"),
            613 => Self::new(400, 613, "Calls to this api have exceeded the rate limit"),
            _ => Self::new(400, code, "There have been too many calls to this account"),
        }
    }

    /// 613 as messaging gives it.
    pub(super) fn messaging_throttled() -> Self {
        Self::throttled(613).subcode(2_534_040)
    }

    pub(super) fn try_again() -> Self {
        Self::new(400, 1200, "Temporary send message failure. Please try again later.").transient()
    }

    pub(super) fn ambiguous() -> Self {
        Self::new(500, 1, "Received invalid JSON reply").subcode(1_357_046)
    }

    pub(super) fn blocked() -> Self {
        Self::new(403, 10, "The account is restricted").subcode(1_893_063).for_the_user(
            "Sending restricted",
            "You are temporarily restricted from sending messages",
        )
    }

    pub(super) fn permission() -> Self {
        Self::new(403, 200, "The app lacks a permission for this")
    }

    /// An error that was ordered.
    pub(super) fn ordered(
        status: u16,
        code: u32,
        subcode: Option<u32>,
        message: Option<&str>,
    ) -> Self {
        let mut error = Self::new(status, code, "This error was ordered");
        error.error_subcode = subcode;
        if let Some(message) = message {
            message.clone_into(&mut error.message);
        }
        error
    }

    /// More than a text in a private reply to somebody who does not follow the account.
    pub(super) fn text_only() -> Self {
        let text = "This message cannot be sent to somebody who does not follow the account";
        Self::new(400, 2, text).subcode(1_545_133)
    }

    pub(super) fn no_consent() -> Self {
        Self::new(403, 230, "User consent is required to access user profile").of_instagram()
    }

    pub(super) fn recipient_unavailable() -> Self {
        Self::new(400, 551, "This person is not receiving messages from you right now")
            .subcode(1_545_041)
            .for_the_user("Message not sent", "This person isn't available right now")
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::Surface;
    use super::*;

    #[test]
    fn the_envelope_has_metas_fields_in_metas_order() {
        let Reply::Http { status, body, .. } = Reply::error(&GraphError::blocked(), "Atrace")
        else {
            panic!("an error is an answer");
        };
        assert_eq!(status, 403);
        assert_eq!(
            body,
            concat!(
                r#"{"error":{"message":"(#10) The account is restricted","type":"OAuthException","#,
                r#""code":10,"error_subcode":1893063,"is_transient":false,"#,
                r#""error_user_title":"Sending restricted","#,
                r#""error_user_msg":"You are temporarily restricted from sending messages","#,
                r#""fbtrace_id":"Atrace"}}"#
            )
        );
    }

    #[test]
    fn a_comments_time_is_in_metas_form() {
        let fields = ["timestamp".to_owned()];
        let at = Timestamp::from_millis(1_795_521_600_999);
        let comment = Comment {
            id: "17".into(),
            account: "178".into(),
            media: "179".into(),
            author: "526".into(),
            created_at: at,
            surface: Surface::Post,
        };
        let words = Words { username: Some("ana".into()), ..Words::default() };
        let tells = |words, fields: &[String]| match Reply::comment(&comment, words, fields) {
            Ok(Reply::Http { status: 200, body, .. }) => Some(body),
            _ => None,
        };
        let from = ["from".to_owned()];
        let named = tells(&words, &from).map(|body| serde_json::from_str(&body).unwrap());
        let by = json!({ "from": { "id": "526", "username": "ana" }, "id": "17" });
        assert_eq!(named, Some(by));
        let nobody = Words::default();
        assert_eq!(tells(&nobody, &from).as_deref(), Some(r#"{"id":"17"}"#));
        let Some(body) = tells(&words, &fields) else {
            panic!("a known field is told");
        };
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(told, json!({ "timestamp": "2026-11-24T12:00:00+0000", "id": "17" }));
        assert!(Reply::comment(&comment, &words, &["likes".to_owned()]).is_err());
    }

    #[test]
    fn absent_fields_are_left_out() {
        let Reply::Http { body, .. } = Reply::error(&GraphError::unknown_path(), "A") else {
            panic!("an error is an answer");
        };
        assert!(!body.contains("null") && !body.contains("error_subcode"), "{body}");
    }
}
