//! Messages: what a sender gives, what the queue keeps, and the rules both obey.

use std::collections::BTreeMap;
use std::time::Duration;

use md5::{Digest, Md5};
use spillway_core::time::Timestamp;

use super::error::SqsError;

/// The largest message, and the largest batch in total: bodies and attributes, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1_048_576;
/// The longest delay of one message.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(900);

const ATTRIBUTES_MAX: usize = 10;
const ATTRIBUTE_NAME_MAX: usize = 256;
const GROUP_MAX: usize = 128;

/// A typed value that travels beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, with an optional label after a period.
    pub data_type: String,
    /// The value itself.
    pub value: AttributeValue,
}

/// The two forms in which attribute values travel. Numbers travel as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Of the types `String` and `Number`.
    Text(String),
    /// Of the type `Binary`.
    Binary(Vec<u8>),
}

impl AttributeValue {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// A message as its sender gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// The text that is carried.
    pub body: String,
    /// Attributes by name.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// Messages of one group share one turn among the groups.
    pub group: Option<String>,
    /// The X-Ray trace that the message belongs to.
    pub trace_header: Option<String>,
    /// Wins over the delay of the queue, also when it is zero.
    pub delay: Option<Duration>,
}

impl NewMessage {
    /// A message with nothing but a body.
    pub fn new(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// In this group.
    pub fn in_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Receivable only after this long.
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// What counts against the size limits: the body and every part of every attribute.
    pub(crate) fn size(&self) -> usize {
        let attributes: usize = self
            .attributes
            .iter()
            .map(|(name, attribute)| {
                name.len() + attribute.data_type.len() + attribute.value.bytes().len()
            })
            .sum();
        self.body.len() + attributes
    }

    /// Whether SQS would take the message, its size aside: that limit is the queue's.
    pub(crate) fn check(&self) -> Result<(), SqsError> {
        if self.body.is_empty() {
            return Err(SqsError::MissingParameter("MessageBody"));
        }
        check_characters(&self.body)?;
        if let Some(delay) = self.delay
            && delay > DELAY_MAX
        {
            return Err(SqsError::out_of_range("DelaySeconds", delay.as_secs(), 0..=900));
        }
        if let Some(group) = &self.group {
            check_group(group)?;
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            return Err(SqsError::invalid(format!(
                "A message carries at most {ATTRIBUTES_MAX} attributes, not {}.",
                self.attributes.len()
            )));
        }
        self.attributes.iter().try_for_each(|(name, attribute)| check_attribute(name, attribute))
    }
}

/// XML 1.0's characters; SQS was an XML protocol once, and the rule stayed.
fn check_characters(text: &str) -> Result<(), SqsError> {
    let refused = text.chars().find(
        |c| !matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..),
    );
    match refused {
        None => Ok(()),
        Some(c) => Err(SqsError::InvalidMessageContents(c)),
    }
}

fn check_group(group: &str) -> Result<(), SqsError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_punctuation();
    if (1..=GROUP_MAX).contains(&group.len()) && group.chars().all(allowed) {
        return Ok(());
    }
    Err(SqsError::invalid(format!(
        "The MessageGroupId {group:?} is not 1 to {GROUP_MAX} letters, digits and punctuation."
    )))
}

fn check_attribute(name: &str, attribute: &MessageAttribute) -> Result<(), SqsError> {
    check_attribute_name(name)?;
    let refuse = |why: &str| {
        Err(SqsError::invalid(format!("The message attribute {name:?} is invalid: {why}.")))
    };
    let data_type = attribute.data_type.as_str();
    if data_type.len() > ATTRIBUTE_NAME_MAX {
        return refuse("its type is too long");
    }
    if attribute.value.bytes().is_empty() {
        return refuse("its value is empty");
    }
    match (data_type.split('.').next().unwrap_or_default(), &attribute.value) {
        ("String", AttributeValue::Text(text)) => check_characters(text),
        ("Number", AttributeValue::Text(text)) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => refuse("its value is not a number"),
        },
        ("Binary", AttributeValue::Binary(_)) => Ok(()),
        ("String" | "Number" | "Binary", _) => refuse("its value is not of its type"),
        _ => refuse("its type is none of String, Number and Binary"),
    }
}

fn check_attribute_name(name: &str) -> Result<(), SqsError> {
    let lower = name.to_ascii_lowercase();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let ok = (1..=ATTRIBUTE_NAME_MAX).contains(&name.len())
        && name.chars().all(allowed)
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.");
    if ok {
        return Ok(());
    }
    Err(SqsError::invalid(format!("The message attribute name {name:?} is not allowed.")))
}

/// A message as the queue keeps it and hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Stays the same on the way to a dead-letter queue; a move back gives a new one.
    pub id: String,
    /// The text that is carried.
    pub body: String,
    /// Attributes by name.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// The group it was sent in.
    pub group: Option<String>,
    /// The X-Ray trace that the message belongs to.
    pub trace_header: Option<String>,
    /// Retention counts from here, in a dead-letter queue too.
    pub sent_at: Timestamp,
    /// When it was first handed out, if it was.
    pub first_received_at: Option<Timestamp>,
    /// How often it was handed out.
    pub receives: u32,
    /// The queue that gave it up, if one did.
    pub dead_letter_source: Option<String>,
}

impl Message {
    /// A message that was never handed out.
    pub(crate) fn sent(id: String, new: NewMessage, now: Timestamp) -> Self {
        Self {
            id,
            body: new.body,
            attributes: new.attributes,
            group: new.group,
            trace_header: new.trace_header,
            sent_at: now,
            first_received_at: None,
            receives: 0,
            dead_letter_source: None,
        }
    }
}

/// The digest by which clients check a body.
pub(crate) fn md5_of_body(body: &str) -> String {
    hex::encode(Md5::digest(body.as_bytes()))
}

/// The digest by which clients check attributes; `None` where there are none. By name in order:
/// name, type, one byte for the form of the value, value; all but the byte with their lengths.
pub(crate) fn md5_of_attributes<'a>(
    attributes: impl IntoIterator<Item = (&'a String, &'a MessageAttribute)>,
) -> Option<String> {
    let sorted: BTreeMap<_, _> = attributes.into_iter().collect();
    if sorted.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    for (name, attribute) in sorted {
        update_with_length(&mut digest, name.as_bytes());
        update_with_length(&mut digest, attribute.data_type.as_bytes());
        let form = match attribute.value {
            AttributeValue::Text(_) => 1,
            AttributeValue::Binary(_) => 2,
        };
        digest.update([form]);
        update_with_length(&mut digest, attribute.value.bytes());
    }
    Some(hex::encode(digest.finalize()))
}

fn update_with_length(digest: &mut Md5, bytes: &[u8]) {
    // Checked messages are far below 4 GiB.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    digest.update(length.to_be_bytes());
    digest.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data_type: &str, value: &str) -> MessageAttribute {
        MessageAttribute {
            data_type: data_type.to_owned(),
            value: AttributeValue::Text(value.to_owned()),
        }
    }

    fn binary(value: &[u8]) -> MessageAttribute {
        MessageAttribute {
            data_type: "Binary".to_owned(),
            value: AttributeValue::Binary(value.to_vec()),
        }
    }

    fn with_attribute(name: &str, attribute: MessageAttribute) -> NewMessage {
        let mut message = NewMessage::new("x");
        message.attributes.insert(name.to_owned(), attribute);
        message
    }

    #[test]
    fn digests_are_those_of_the_written_out_bytes() {
        assert_eq!(md5_of_body("hello"), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(md5_of_attributes(&BTreeMap::new()), None);
        // As AWS answers it.
        let one = BTreeMap::from([("timestamp".to_owned(), text("Number", "1493147359900"))]);
        let expected = "235c5c510d26fb653d073faed50ae77c";
        assert_eq!(md5_of_attributes(&one).as_deref(), Some(expected));
        let attributes = BTreeMap::from([
            ("b".to_owned(), binary(&[0xff])),
            ("a".to_owned(), text("Number", "12")),
        ]);
        let bytes = b"\0\0\0\x01a\0\0\0\x06Number\x01\0\0\0\x0212\
                      \0\0\0\x01b\0\0\0\x06Binary\x02\0\0\0\x01\xff";
        assert_eq!(md5_of_attributes(&attributes), Some(hex::encode(Md5::digest(bytes))));
    }

    #[test]
    fn size_counts_body_names_types_and_values() {
        let message = with_attribute("name", text("String", "value"));
        assert_eq!(message.size(), 1 + 4 + 6 + 5);
    }

    #[test]
    fn messages_that_sqs_takes() {
        for message in [
            NewMessage::new("tab\t newline\n return\r"),
            NewMessage::new("ẞ \u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}"),
            NewMessage::new("x").in_group("account:17841400000000000/comment"),
            NewMessage::new("x").delayed(DELAY_MAX),
            with_attribute("a.b-c_d", text("String.label", "v")),
            with_attribute("n", text("Number", "-1.5e3")),
            with_attribute("b", binary(b"\0")),
        ] {
            assert_eq!(message.check(), Ok(()), "{message:?}");
        }
    }

    #[test]
    fn messages_that_sqs_refuses() {
        for message in [
            NewMessage::new(""),
            NewMessage::new("\0"),
            NewMessage::new("\u{b}"),
            NewMessage::new("\u{fffe}"),
            NewMessage::new("x").in_group(""),
            NewMessage::new("x").in_group("with space"),
            NewMessage::new("x").in_group("g".repeat(129)),
            NewMessage::new("x").delayed(DELAY_MAX + Duration::from_secs(1)),
            with_attribute("AWS.x", text("String", "v")),
            with_attribute("amazon.x", text("String", "v")),
            with_attribute(".x", text("String", "v")),
            with_attribute("x.", text("String", "v")),
            with_attribute("x..y", text("String", "v")),
            with_attribute("x y", text("String", "v")),
            with_attribute("x", text("String", "")),
            with_attribute("x", text("Number", "one")),
            with_attribute("x", text("Number", "inf")),
            with_attribute("x", text("Binary", "v")),
            with_attribute("x", text("Text", "v")),
            with_attribute("x", text("String", "\u{1}")),
        ] {
            assert!(message.check().is_err(), "{message:?}");
        }
        let mut crowded = NewMessage::new("x");
        for number in 0..11 {
            crowded.attributes.insert(format!("a{number}"), text("String", "v"));
        }
        assert!(crowded.check().is_err());
    }
}
