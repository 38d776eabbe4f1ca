//! Lenient reading of JSON one level at a time, so that an oddity costs its own member and no more.
//!
//! A typed document fails as a whole at the first repeated key, lone surrogate or number where a
//! string was promised. Here an object is a list of unread members, and each member is read by what
//! it is expected to hold, or is absent.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The longest id that is taken for one, in bytes. Meta's have about 17 digits.
const ID_BYTES_MAX: usize = 128;

/// The longest name that is taken for one, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// The members of an object that are not `null`, unread, in their order.
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads one level of `raw`; `None` when it is not an object.
    pub(crate) fn parse(raw: &'a str) -> Option<Self> {
        serde_json::from_str(raw).ok()
    }

    /// The unread member; of a repeated key the last one.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    /// Whether there is such a member and it is not `null`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Every unread member, repeated keys included.
    pub(crate) fn values(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|(_, value)| value.get())
    }

    /// The member as an object.
    pub(crate) fn object(&self, key: &str) -> Option<Object<'a>> {
        self.get(key).and_then(Object::parse)
    }

    /// The member as an array of unread values.
    pub(crate) fn array(&self, key: &str) -> Option<Vec<&'a str>> {
        self.get(key).and_then(array)
    }

    /// The member as an id, see [`id`].
    pub(crate) fn id(&self, key: &str) -> Option<String> {
        self.get(key).and_then(id)
    }

    /// Whether the member is `true`.
    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.get(key) == Some("true")
    }

    /// The member as text, see [`text`].
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(text)
    }

    /// The member as a number, see [`number`].
    pub(crate) fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        self.get(key).and_then(number)
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        let mut members = Vec::new();
        while let Some((Key(key), value)) = map.next_entry::<_, Option<&RawValue>>()? {
            members.extend(value.map(|value| (key, value)));
        }
        Ok(Object(members))
    }
}

/// The values of an array, unread, a `null` as `"null"`; `None` when it is not an array.
pub(crate) fn array(raw: &str) -> Option<Vec<&str>> {
    let values: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(values.into_iter().map(RawValue::get).collect())
}

/// A string. Half of a surrogate pair, which JSON can spell and UTF-8 cannot, becomes U+FFFD.
pub(crate) fn text(raw: &str) -> Option<String> {
    if !raw.starts_with('"') {
        return None;
    }
    serde_json::from_str(raw).or_else(|_| serde_json::from_str(&mend_surrogates(raw))).ok()
}

/// A number, or a string that holds one.
pub(crate) fn number<N: std::str::FromStr>(raw: &str) -> Option<N> {
    if raw.starts_with('"') { text(raw)?.trim().parse().ok() } else { raw.parse().ok() }
}

/// An id that satisfies [`is_id`]: a string, or a whole number with all its digits, however many.
pub(crate) fn id(raw: &str) -> Option<String> {
    let id = if raw.starts_with('"') { text(raw)? } else { raw.to_owned() };
    is_id(&id).then_some(id)
}

/// Whether this can be an id of Meta's: `[A-Za-z0-9_.-]`, first a letter or digit, at most
/// [`ID_BYTES_MAX`]. Such an id is safe as a path segment and as part of a key.
pub(crate) fn is_id(id: &str) -> bool {
    id.len() <= ID_BYTES_MAX
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Whether this can be somebody's name on Instagram, which is stored with a comment: those have at
/// most 30 characters.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
}

/// Replaces the lone surrogates among the escapes of a JSON string by U+FFFD.
fn mend_surrogates(raw: &str) -> String {
    let mut mended = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let (keep, take) = match (code_unit(escape), escape.get(6..).and_then(code_unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (true, 12),
            (Some(0xD800..=0xDFFF), _) => (false, 6),
            (Some(_), _) => (true, 6),
            (None, _) => (true, 2),
        };
        let (escape, after) = escape.split_at_checked(take).unwrap_or((escape, ""));
        mended.push_str(if keep { escape } else { "\\ufffd" });
        rest = after;
    }
    mended.push_str(rest);
    mended
}

/// The UTF-16 code unit of the `\uXXXX` that `escape` begins with.
fn code_unit(escape: &str) -> Option<u16> {
    u16::from_str_radix(escape.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_surrogate_costs_only_itself() {
        for (raw, expected) in [
            (r#""a\ud83d\ude00b""#, "a😀b"),
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            (r#""\\ud83d \ud83dx""#, "\\ud83d \u{fffd}x"),
            (r#""\ud83dé😀""#, "\u{fffd}é😀"),
        ] {
            assert_eq!(text(raw).as_deref(), Some(expected), "{raw}");
        }
    }

    #[test]
    fn only_a_string_is_text() {
        for raw in ["1", "null", "{}", "[]", "true"] {
            assert_eq!(text(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_number_keeps_every_digit_of_an_id() {
        assert_eq!(id("17841436214263005").as_deref(), Some("17841436214263005"));
        assert_eq!(
            id("123456789012345678901234567890").as_deref(),
            Some("123456789012345678901234567890")
        );
        assert_eq!(id(r#""17841436214263005""#).as_deref(), Some("17841436214263005"));
    }

    #[test]
    fn what_cannot_be_an_id_is_none() {
        let long = format!("\"{}\"", "1".repeat(ID_BYTES_MAX + 1));
        for raw in ["-1", r#""""#, r#"".""#, r#""..""#, r#""a/b""#, r#""a b""#, "{}", "[]", &long] {
            assert_eq!(id(raw), None, "{raw}");
        }
    }

    #[test]
    fn the_last_of_a_repeated_key_counts_and_null_is_absent() {
        let object = Object::parse(r#"{"a":1,"a":2,"b":null,"c":"3"}"#).expect("object");
        assert_eq!(object.number("a"), Some(2));
        assert!(!object.has("b"));
        assert_eq!(object.number("c"), Some(3));
        assert_eq!(object.values().count(), 3);
    }
}
