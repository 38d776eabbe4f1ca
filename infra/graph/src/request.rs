//! Reading a call: which account it names, with which token, and what it wants sent to whom or told
//! of which comment.

use serde_json::{Map, Value};
use spillway_core::id::{CommentId, RecipientId};

use super::answer::GraphError;
use super::content::Content;

/// The fields that people have and comments have not (Meta, User Profile API).
pub(super) const PROFILE_FIELDS: [&str; 6] = [
    "name",
    "profile_pic",
    "follower_count",
    "is_user_follow_business",
    "is_business_follow_user",
    "is_verified_user",
];

/// A call as it came over the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'wire> {
    /// The HTTP method.
    pub method: &'wire str,
    /// The path, without the query.
    pub path: &'wire str,
    /// The query, without its question mark.
    pub query: &'wire str,
    /// The `Authorization` header.
    pub authorization: Option<&'wire str>,
    /// The body.
    pub body: &'wire [u8],
}

impl<'wire> Call<'wire> {
    /// The token: of the header, or else of the query.
    pub(super) fn token(&self) -> Option<String> {
        let bearer = self.authorization.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        bearer.or_else(|| self.parameter("access_token"))
    }

    /// The fields that a read asks for; without the parameter Meta gives the usual ones.
    pub(super) fn fields(&self) -> Vec<String> {
        let fields = self.parameter("fields").unwrap_or_else(|| "timestamp".to_owned());
        fields.split(',').map(|field| field.trim().to_owned()).collect()
    }

    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        parameter(self.query, name)
    }

    /// A field of the form that is the body.
    pub(super) fn form_field(&self, name: &str) -> Option<String> {
        parameter(std::str::from_utf8(self.body).ok()?, name)
    }

    /// What the path names.
    pub(super) fn target(&self) -> Target<'wire> {
        let parts: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        match parts[..] {
            [version, account, "messages"] if is_version(version) => match self.method {
                "POST" => Target::Messages(account),
                _ => Target::WrongMethod(account),
            },
            [version, comment, "replies"] if is_version(version) => match self.method {
                "POST" => Target::Reply(comment),
                "GET" => Target::Replies(comment),
                _ => Target::WrongMethod(comment),
            },
            [version, "me"] if is_version(version) && self.method == "GET" => {
                Target::Account(Edge::Me, "me")
            }
            [version, account, "subscribed_apps"] if is_version(version) => {
                Target::Account(Edge::Subscription, account)
            }
            [version, account, "conversations"] if is_version(version) && self.method == "GET" => {
                Target::Account(Edge::Conversations, account)
            }
            [version, account, "media"] if is_version(version) && self.method == "GET" => {
                Target::Account(Edge::Media, account)
            }
            [version, media, "comments"] if is_version(version) && self.method == "GET" => {
                Target::Account(Edge::Comments, media)
            }
            ["refresh_access_token"] => Target::Account(Edge::Refresh, ""),
            ["access_token"] => Target::Account(Edge::LongLived, ""),
            ["oauth", "access_token"] => Target::Account(Edge::Code, ""),
            [version, object] if is_version(version) && self.method == "GET" => {
                let is_of_person = |field: &String| PROFILE_FIELDS.contains(&field.as_str());
                if self.fields().iter().any(is_of_person) {
                    Target::Person(object)
                } else {
                    Target::Object(object)
                }
            }
            [version, object, ..] if is_version(version) => Target::Unknown(object),
            [first, ..] => Target::Unknown(first),
            [] => Target::Unknown(""),
        }
    }
}

/// What a path names. Each holds the segment that stands where the account belongs, or the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'wire> {
    Messages(&'wire str),
    /// A public reply to a comment.
    Reply(&'wire str),
    /// The public replies to a comment.
    Replies(&'wire str),
    /// To be looked at. All objects but comments and people are unknown to the simulator.
    Object(&'wire str),
    /// A person, whose profile is read.
    Person(&'wire str),
    /// What is kept up of an account.
    Account(Edge, &'wire str),
    WrongMethod(&'wire str),
    Unknown(&'wire str),
}

/// What is asked about or for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// Who the token is for.
    Me,
    /// Its webhooks: GET, POST or DELETE.
    Subscription,
    /// Its conversations; the simulator returns none.
    Conversations,
    /// Its media.
    Media,
    /// The comments of a media.
    Comments,
    /// The next token.
    Refresh,
    /// A token of 60 days for one of an hour.
    LongLived,
    /// A token of an hour for a login's code.
    Code,
}

impl Target<'_> {
    pub(super) fn object(&self) -> &str {
        match self {
            Self::Messages(object)
            | Self::Reply(object)
            | Self::Replies(object)
            | Self::Object(object)
            | Self::Person(object)
            | Self::Account(_, object)
            | Self::WrongMethod(object)
            | Self::Unknown(object) => object,
        }
    }
}

/// `v26.0` and its like.
fn is_version(segment: &str) -> bool {
    let numbers = segment.strip_prefix('v').and_then(|rest| rest.split_once('.'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| unescaped(&value.replace('+', " ")))
}

/// Undoes percent-encoding. What is not a valid escape stays as it is.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The author of a comment.
    Comment(CommentId),
    /// A person.
    Person(RecipientId),
}

/// The body of a send: whom it is for, wherever that can be read, and what is wrong with the rest.
/// A bad message is charged like a good one, so its recipient matters too.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) to: Option<To>,
    pub(super) content: Content,
    pub(super) metadata: Option<String>,
    pub(super) fault: Option<GraphError>,
}

impl Body {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let Ok(Value::Object(body)) = serde_json::from_slice(bytes) else {
            let fault = GraphError::invalid_parameter("The body must be a JSON object");
            return Self { fault: Some(fault), ..Self::default() };
        };
        let to = match recipient(&body) {
            Ok(to) => Some(to),
            Err(fault) => return Self { fault: Some(fault), ..Self::default() },
        };
        match message(&body) {
            Ok((message, content)) => {
                let metadata = message.get("metadata").and_then(Value::as_str).map(str::to_owned);
                Self { to, content, metadata, fault: None }
            }
            Err(fault) => Self { to, fault: Some(fault), ..Self::default() },
        }
    }
}

/// The text of a public reply: of the query, of a form, or of JSON.
pub(super) fn reply_text(call: &Call<'_>) -> Result<String, GraphError> {
    let json = || {
        let body: Value = serde_json::from_slice(call.body).ok()?;
        Some(body.get("message")?.as_str()?.to_owned())
    };
    let text = call.parameter("message").or_else(json).or_else(|| call.form_field("message"));
    let text = text.filter(|text| !text.trim().is_empty());
    text.ok_or_else(|| GraphError::invalid_parameter("message is missing"))
}

fn recipient(body: &Map<String, Value>) -> Result<To, GraphError> {
    let invalid = || GraphError::invalid_parameter("recipient must hold a comment_id or an id");
    let recipient = body.get("recipient").and_then(Value::as_object).ok_or_else(invalid)?;
    match (recipient.get("comment_id"), recipient.get("id")) {
        (Some(Value::String(id)), None) if !id.is_empty() => Ok(To::Comment(CommentId::new(id))),
        (None, Some(Value::String(id))) if !id.is_empty() => Ok(To::Person(RecipientId::new(id))),
        _ => Err(invalid()),
    }
}

fn message(body: &Map<String, Value>) -> Result<(&Map<String, Value>, Content), GraphError> {
    if body.get("tag").and_then(Value::as_str) == Some("HUMAN_AGENT") {
        return Err(GraphError::human_agent());
    }
    let message = body.get("message").and_then(Value::as_object);
    let message = message.ok_or_else(|| GraphError::invalid_parameter("message is missing"))?;
    Content::read(message).map(|content| (message, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'wire>(method: &'wire str, path: &'wire str) -> Call<'wire> {
        Call { method, path, query: "", authorization: None, body: b"" }
    }

    #[test]
    fn paths() {
        let target = |path| call("POST", path).target();
        assert_eq!(target("/v26.0/17/messages"), Target::Messages("17"));
        assert_eq!(target("/v26.0/17/replies"), Target::Reply("17"));
        assert_eq!(call("GET", "/v26.0/17/replies").target(), Target::Replies("17"));
        assert_eq!(target("/v26/17/messages"), Target::Unknown("v26"));
        assert_eq!(target("/"), Target::Unknown(""));
        assert_eq!(target("/v26.0/17"), Target::Unknown("17"));
        assert_eq!(call("GET", "/v26.0/17/messages").target(), Target::WrongMethod("17"));
        assert_eq!(call("GET", "/v26.0/17").target(), Target::Object("17"));
        let query = "fields=name%2Cusername";
        let profile = Call { query, ..call("GET", "/v26.0/17") };
        assert_eq!(profile.target(), Target::Person("17"));
    }

    #[test]
    fn fields() {
        let mut call = call("GET", "/v26.0/17");
        assert_eq!(call.fields(), ["timestamp"]);
        call.query = "fields=id%2Ctimestamp,text&access_token=x";
        assert_eq!(call.fields(), ["id", "timestamp", "text"]);
    }

    #[test]
    fn tokens() {
        let mut call = call("POST", "/");
        assert_eq!(call.token(), None);
        call.query = "a=b&access_token=x%7Cy%2";
        assert_eq!(call.token().as_deref(), Some("x|y%2"));
        call.authorization = Some("bearer IGA");
        assert_eq!(call.token().as_deref(), Some("IGA"));
    }

    #[test]
    fn a_bad_message_still_names_its_recipient() {
        let body = Body::read(br#"{"recipient":{"comment_id":"1"},"message":{"text":""}}"#);
        assert_eq!(body.to, Some(To::Comment("1".into())));
        assert!(body.fault.is_some());
    }

    #[test]
    fn one_recipient() {
        let fault = |json: &str| Body::read(json.as_bytes()).fault.is_some();
        assert!(!fault(r#"{"recipient":{"id":"1"},"message":{"text":"x"}}"#));
        assert!(fault(r#"{"recipient":{"id":"1","comment_id":"2"},"message":{"text":"x"}}"#));
        assert!(fault(r#"{"recipient":{"id":1},"message":{"text":"x"}}"#));
        assert!(fault(r#"{"message":{"text":"x"}}"#));
        assert!(fault("[]"));
        assert!(fault("{"));
    }
}
