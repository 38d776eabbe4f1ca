//! Deliveries as Meta makes them, and what may be odd about one.

use std::fmt::{self, Write as _};

use proptest::prelude::*;
use proptest::sample::Index;

/// What an item of the `messaging` form may carry.
const CARRIED: [&str; 12] = [
    "message",
    "message_edit",
    "reaction",
    "postback",
    "referral",
    "optin",
    "read",
    "pass_thread_control",
    "take_thread_control",
    "request_thread_control",
    "app_roles",
    "is_self",
];

/// JSON that may repeat keys, and spell a key or a value in any way.
#[derive(Clone, Debug)]
pub(super) enum Json {
    /// A scalar as it is written.
    Scalar(String),
    List(Vec<Json>),
    /// Keys as they are written, quotes included.
    Object(Vec<(String, Json)>),
}

/// Something odd, done to one value.
#[derive(Clone, Debug)]
pub(super) enum Mutation {
    Replace(Json),
    /// To a list with it alone.
    Wrap,
    /// From an object to a list of its values.
    Unname,
    /// A member or element put in at a place.
    Insert(Index, String, Json),
    /// A member put in at a place which repeats the key of another.
    Repeat(Index, Index, Json),
    Remove(Index),
    Rename(Index, String),
    Swap(Index, Index),
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(raw) => f.write_str(raw),
            Self::List(values) => {
                f.write_char('[')?;
                for (nth, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if nth == 0 { "" } else { "," })?;
                }
                f.write_char(']')
            }
            Self::Object(members) => {
                f.write_char('{')?;
                for (nth, (key, value)) in members.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if nth == 0 { "" } else { ",\n" })?;
                }
                f.write_char('}')
            }
        }
    }
}

impl Json {
    /// Does something odd to one of all its values.
    pub(super) fn mutate(&mut self, at: Index, mutation: &Mutation) {
        let mut nth = at.index(self.count());
        if let Some(value) = self.nth(&mut nth) {
            value.become_odd(mutation);
        }
    }

    fn count(&self) -> usize {
        1 + match self {
            Self::Scalar(_) => 0,
            Self::List(values) => values.iter().map(Self::count).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.count()).sum(),
        }
    }

    fn nth(&mut self, nth: &mut usize) -> Option<&mut Self> {
        if *nth == 0 {
            return Some(self);
        }
        *nth -= 1;
        match self {
            Self::Scalar(_) => None,
            Self::List(values) => values.iter_mut().find_map(|value| value.nth(nth)),
            Self::Object(members) => members.iter_mut().find_map(|(_, value)| value.nth(nth)),
        }
    }

    fn become_odd(&mut self, mutation: &Mutation) {
        match (mutation, &mut *self) {
            (Mutation::Replace(value), _) => *self = value.clone(),
            (Mutation::Wrap, _) => *self = Self::List(vec![self.clone()]),
            (Mutation::Unname, Self::Object(members)) => {
                *self = Self::List(members.drain(..).map(|(_, value)| value).collect());
            }
            (Mutation::Insert(at, key, value), Self::Object(members)) => {
                members.insert(at.index(members.len() + 1), (key.clone(), value.clone()));
            }
            (Mutation::Insert(at, _, value), Self::List(values)) => {
                values.insert(at.index(values.len() + 1), value.clone());
            }
            (Mutation::Repeat(at, of, value), Self::Object(members)) if !members.is_empty() => {
                let (key, _) = members[of.index(members.len())].clone();
                members.insert(at.index(members.len() + 1), (key, value.clone()));
            }
            (Mutation::Remove(at), Self::Object(members)) if !members.is_empty() => {
                members.remove(at.index(members.len()));
            }
            (Mutation::Remove(at), Self::List(values)) if !values.is_empty() => {
                values.remove(at.index(values.len()));
            }
            (Mutation::Rename(at, key), Self::Object(members)) if !members.is_empty() => {
                let at = at.index(members.len());
                members[at].0.clone_from(key);
            }
            (Mutation::Swap(one, other), Self::Object(members)) if !members.is_empty() => {
                let (one, other) = (one.index(members.len()), other.index(members.len()));
                members.swap(one, other);
            }
            _ => {}
        }
    }
}

/// Webhook fields whose changes hold what an item of the `messaging` form holds, and one that does
/// not.
const CONVERSATION_FIELDS: [&str; 6] = [
    "messages",
    "message_echoes",
    "messaging_postbacks",
    "messaging_referral",
    "standby",
    "mentions",
];

/// Every name that is known, and others, some of them spelled oddly.
const KEYS: [&str; 40] = [
    "object",
    "entry",
    "id",
    "time",
    "changes",
    "messaging",
    "standby",
    "changed_fields",
    "field",
    "value",
    "comment_id",
    "from",
    "text",
    "media",
    "parent_id",
    "username",
    "original_media_id",
    "ad_id",
    "message",
    "message_edit",
    "reaction",
    "postback",
    "referral",
    "optin",
    "read",
    "pass_thread_control",
    "take_thread_control",
    "request_thread_control",
    "is_echo",
    "mid",
    "payload",
    "reply_to",
    "attachments",
    "sender",
    "unknown",
    "",
    "\\u0069d",
    "fi\\u0065ld",
    "\\ud83d",
    "te\\/xt",
];

const ODD: [&str; 30] = [
    "null",
    "true",
    "0",
    "5",
    "-1",
    "-0",
    "1790000000",
    "1790000000123",
    "1790000000.0",
    "1e3",
    "1e999",
    "18446744073709551615",
    "18446744073709551616",
    "17890000000000000000037",
    r#""""#,
    r#""1790000000""#,
    r#"" 17 ""#,
    r#""not an id""#,
    r#""half \ud83d of it""#,
    r#""\ude00\ud83d""#,
    r#""comments""#,
    r#""live_comments""#,
    r#""a\u0000b""#,
    "[]",
    "{}",
    "[null]",
    "[[[{}]]]",
    r#"{"id":"5"}"#,
    r#"{"is_echo":true,"metadata":"spillway:1"}"#,
    r#"{"id":null,"id":"5","message":null,"read":{}}"#,
];

pub(super) fn any_mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let key = || prop::sample::select(&KEYS[..]).prop_map(quoted);
    let usual = prop_oneof![any_id(), any_text(), any_value(), any_message(), any_change()];
    let value = prop_oneof![2 => any_odd(), 1 => usual].boxed();
    prop_oneof![
        value.clone().prop_map(Mutation::Replace),
        Just(Mutation::Wrap),
        Just(Mutation::Unname),
        (at(), key(), value.clone()).prop_map(|(at, key, value)| Mutation::Insert(at, key, value)),
        (at(), at(), value).prop_map(|(at, of, value)| Mutation::Repeat(at, of, value)),
        at().prop_map(Mutation::Remove),
        (at(), key()).prop_map(|(at, key)| Mutation::Rename(at, key)),
        (at(), at()).prop_map(|(one, other)| Mutation::Swap(one, other)),
    ]
}

/// A delivery of comments as Meta makes them.
pub(super) fn any_delivery() -> impl Strategy<Value = Json> {
    delivery(any_entry())
}

/// A delivery in which anything may be.
pub(super) fn any_mixed_delivery() -> impl Strategy<Value = Json> {
    delivery(prop_oneof![any_entry(), any_conversations()].boxed())
}

fn delivery(entry: BoxedStrategy<Json>) -> impl Strategy<Value = Json> {
    object(vec![("entry", list(entry)), ("object?", any_word()), ("new?", any_odd())])
}

fn any_conversations() -> BoxedStrategy<Json> {
    let item = || prop_oneof![3 => any_message(), 1 => any_odd()].boxed();
    let field = prop::sample::select(&CONVERSATION_FIELDS[..]).prop_map(word).boxed();
    let change = object(vec![("field", field), ("value", item())]);
    object(vec![
        ("id", any_id()),
        ("messaging?", list(item())),
        ("standby?", list(item())),
        ("changes?", list(change)),
    ])
}

fn any_entry() -> BoxedStrategy<Json> {
    let carrying = |mut members: Vec<(&'static str, BoxedStrategy<Json>)>| {
        let time = prop_oneof![Just(0), 1_790_000_000..1_790_000_000_999_u64, any::<u64>()];
        let time = time.prop_map(|time| Json::Scalar(time.to_string())).boxed();
        members.extend([("id", any_id()), ("time?", time), ("new?", any_odd())]);
        object(members)
    };
    prop_oneof![
        3 => carrying(vec![("changes", list(any_change()))]),
        1 => carrying(vec![("field", Just(word("comments")).boxed()), ("value", any_value())]),
        1 => carrying(vec![
            ("changes?", list(any_change())),
            ("changed_fields", list(any_word())),
            ("field?", any_field()),
            ("value", any_value()),
        ]),
    ]
    .boxed()
}

fn any_change() -> BoxedStrategy<Json> {
    let comment = object(vec![("field", any_field()), ("value", any_value())]);
    let other = object(vec![("field", any_word()), ("value?", any_message())]);
    prop_oneof![3 => comment, 1 => other].boxed()
}

fn any_value() -> BoxedStrategy<Json> {
    let from = vec![("id?", any_id()), ("username?", any_text()), ("self_ig_scoped_id?", any_id())];
    let media = vec![
        ("id?", any_id()),
        ("media_product_type?", any_word()),
        ("original_media_id?", any_id()),
        ("ad_id?", any_id()),
    ];
    let with = |id, other| {
        object(vec![
            (id, any_id()),
            (other, any_id()),
            ("from?", object(from.clone())),
            ("media?", object(media.clone())),
            ("text?", any_text()),
            ("parent_id?", any_id()),
            ("new?", any_odd()),
        ])
    };
    prop_oneof![with("id", "comment_id?"), with("comment_id", "id?")].boxed()
}

fn any_message() -> BoxedStrategy<Json> {
    let person = || object(vec![("id", any_id())]);
    let carried = prop::sample::select(&CARRIED[..]);
    let carried = prop_oneof![9 => carried, 1 => Just("new")];
    let carried = (carried, prop_oneof![3 => any_content(), 1 => any_text(), 1 => any_odd()]);
    let others = object(vec![
        ("sender?", person()),
        ("recipient?", person()),
        ("timestamp?", any_odd()),
        ("read?", any_odd()),
    ]);
    (others, prop::collection::vec(carried, 0..3))
        .prop_map(|(mut item, carried)| {
            if let Json::Object(members) = &mut item {
                let carried = carried.into_iter().map(|(name, text)| (quoted(name), text));
                members.extend(carried);
            }
            item
        })
        .boxed()
}

/// What a message, tap, referral or anything else in a conversation may hold.
fn any_content() -> BoxedStrategy<Json> {
    let tap = object(vec![("payload?", any_text())]);
    let story = object(vec![("id?", any_id()), ("url?", any_text())]);
    let to = object(vec![("story?", story), ("mid?", any_text())]);
    let kind = prop_oneof![Just(word("story_mention")), Just(word("image")), any_word()].boxed();
    let attachment = object(vec![("type?", kind), ("payload?", any_odd())]);
    let referral =
        object(vec![("ref?", any_text()), ("source?", any_text()), ("ad_id?", any_id())]);
    object(vec![
        ("mid?", any_text()),
        ("text?", any_text()),
        ("title?", any_text()),
        ("payload?", any_text()),
        ("quick_reply?", tap),
        ("reply_to?", to),
        ("attachments?", list(attachment)),
        ("referral?", referral.clone()),
        ("is_echo?", any_odd()),
        ("is_deleted?", any_odd()),
        ("is_self?", any_odd()),
        ("num_edit?", any_odd()),
        ("ref?", any_text()),
    ])
}

fn any_field() -> BoxedStrategy<Json> {
    let comments = prop_oneof![Just(word("comments")), Just(word("live_comments"))];
    prop_oneof![4 => comments, 1 => any_word()].boxed()
}

fn any_word() -> BoxedStrategy<Json> {
    prop_oneof!["[a-z_]{0,12}", Just("mentions".to_owned())].prop_map(|text| word(&text)).boxed()
}

fn any_id() -> BoxedStrategy<Json> {
    prop_oneof!["[1-9][0-9]{0,16}", "[0-9]{15}_[0-9]{15}"].prop_map(|id| word(&id)).boxed()
}

/// Escaped as Meta does, or as others would.
fn any_text() -> BoxedStrategy<Json> {
    let texts = prop_oneof![any::<String>(), Just("\u{1f64f}".to_owned()), "[ -~é]{0,20}"];
    (texts, any::<bool>())
        .prop_map(|(text, ascii)| {
            let raw = serde_json::to_string(&text).unwrap();
            Json::Scalar(if ascii { escaped(&raw) } else { raw })
        })
        .boxed()
}

fn escaped(raw: &str) -> String {
    let mut out = String::new();
    for c in raw.chars() {
        match c {
            '/' => out.push_str("\\/"),
            c if c.is_ascii() => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out
}

fn any_odd() -> BoxedStrategy<Json> {
    prop::sample::select(&ODD[..]).prop_map(|raw| Json::Scalar(raw.to_owned())).boxed()
}

fn list(of: BoxedStrategy<Json>) -> BoxedStrategy<Json> {
    prop::collection::vec(of, 0..4).prop_map(Json::List).boxed()
}

/// An object with these members in any order; one whose name ends in `?` may be missing or null.
fn object(members: Vec<(&'static str, BoxedStrategy<Json>)>) -> BoxedStrategy<Json> {
    let member = |(name, value): (&'static str, BoxedStrategy<Json>)| {
        let key = quoted(name.trim_end_matches('?'));
        let null = Just(Json::Scalar("null".to_owned()));
        let value = if name.ends_with('?') {
            prop_oneof![3 => value.prop_map(Some), 1 => null.prop_map(Some), 1 => Just(None)]
                .boxed()
        } else {
            value.prop_map(Some).boxed()
        };
        value.prop_map(move |value| value.map(|value| (key.clone(), value)))
    };
    let members: Vec<_> = members.into_iter().map(member).collect();
    members
        .prop_map(|members| members.into_iter().flatten().collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(Json::Object)
        .boxed()
}

fn word(text: &str) -> Json {
    Json::Scalar(quoted(text))
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
