//! The `message` of a send: what it shows, and whether Meta takes it. Limits are those of Meta's pages
//! on messages, quick replies and templates (30 June 2026); a character is a UTF-16 code unit, the
//! strictest of the usual counts.

use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::GraphError;

/// The longest text of a message, in bytes of UTF-8.
const TEXT_BYTES_MAX: usize = 1000;

/// The longest metadata of a message, in characters.
const METADATA_CHARS_MAX: usize = 1000;

/// The longest text of a button template, in characters.
const BUTTON_TEXT_CHARS_MAX: usize = 640;

/// The longest title of a button or quick reply, in characters.
const TITLE_CHARS_MAX: usize = 20;

/// The longest title or subtitle of a card, in characters.
const CARD_CHARS_MAX: usize = 80;

/// The longest payload of a button or quick reply, in characters.
const PAYLOAD_CHARS_MAX: usize = 1000;

/// The most buttons of a template or of a card.
const BUTTONS_MAX: usize = 3;

/// The most quick replies of a message.
const QUICK_REPLIES_MAX: usize = 13;

/// The most cards of a generic template.
const CARDS_MAX: usize = 10;

/// Kinds of attachment that are a file of that kind, which Meta fetches.
const MEDIA: [&str; 4] = ["image", "audio", "video", "file"];

/// What a message shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Content {
    /// Its text, or that of a button template; `None` for any other attachment.
    pub text: Option<String>,
    /// The buttons of a button template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Button>,
    /// The answers to choose from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quick_replies: Vec<QuickReply>,
    /// The cards of a generic template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<Card>,
}

/// A button.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Button {
    /// What is on it.
    pub title: String,
    /// The address that it opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What a tap on it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// An answer to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuickReply {
    /// What is on it, and what the tap writes.
    pub title: String,
    /// What a tap on it sends beside.
    pub payload: String,
}

/// A card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Its title.
    pub title: String,
    /// What is below the title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtitle: Option<String>,
    /// The address of its picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The buttons below.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Button>,
}

impl Content {
    /// Whether it is more than a text. Answers to choose from do not count.
    pub(super) fn is_attachment(&self) -> bool {
        self.text.is_none() || !self.buttons.is_empty()
    }

    /// Its text as echoes and conversations tell it: that of a template is not told.
    pub(super) fn told_text(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| self.buttons.is_empty())
    }

    /// Reads `message`.
    ///
    /// # Errors
    /// Fails with what Meta answers if it takes no such message.
    pub(super) fn read(message: &Map<String, Value>) -> Result<Self, GraphError> {
        let metadata = message.get("metadata");
        let is_metadata = |metadata: &Value| {
            metadata.as_str().is_some_and(|text| chars(text) <= METADATA_CHARS_MAX)
        };
        if !metadata.is_none_or(is_metadata) {
            return refused("message.metadata takes up to 1000 characters");
        }
        let attachment = message.get("attachment").or(message.get("attachments"));
        let mut content = match (message.get("text"), attachment) {
            (Some(Value::String(text)), None) if text.is_empty() => {
                return refused("message.text is empty");
            }
            (Some(Value::String(text)), None) if text.len() > TEXT_BYTES_MAX => {
                return refused("message.text is over 1000 bytes of UTF-8");
            }
            (Some(Value::String(text)), None) => {
                Self { text: Some(text.clone()), ..Self::default() }
            }
            (None, Some(Value::Object(attachment))) => Self::of_attachment(attachment)?,
            // Up to ten pictures.
            (None, Some(Value::Array(_))) => Self::default(),
            _ => return refused("message must hold a text or an attachment"),
        };
        content.quick_replies = list(message, "quick_replies", 1..=QUICK_REPLIES_MAX, quick_reply)?;
        Ok(content)
    }

    fn of_attachment(attachment: &Map<String, Value>) -> Result<Self, GraphError> {
        let payload = attachment.get("payload").and_then(Value::as_object);
        let payload = payload.ok_or_else(|| invalid("attachment.payload is missing"))?;
        match attachment.get("type").and_then(Value::as_str) {
            Some("template") => Self::of_template(payload),
            Some(kind) if MEDIA.contains(&kind) => {
                address(payload, "url")?;
                Ok(Self::default())
            }
            _ => refused("attachment.type is not known"),
        }
    }

    fn of_template(payload: &Map<String, Value>) -> Result<Self, GraphError> {
        match payload.get("template_type").and_then(Value::as_str) {
            Some("button") => {
                let text = Some(words(payload, "text", BUTTON_TEXT_CHARS_MAX)?);
                let buttons = list(payload, "buttons", 1..=BUTTONS_MAX, button)?;
                if buttons.is_empty() {
                    return refused("buttons is missing");
                }
                Ok(Self { text, buttons, ..Self::default() })
            }
            Some("generic") => {
                let cards = list(payload, "elements", 1..=CARDS_MAX, card)?;
                if cards.is_empty() {
                    return refused("elements is missing");
                }
                Ok(Self { cards, ..Self::default() })
            }
            _ => refused("template_type is not known"),
        }
    }
}

fn invalid(what: &str) -> GraphError {
    GraphError::invalid_parameter(what)
}

fn refused<T>(what: &str) -> Result<T, GraphError> {
    Err(invalid(what))
}

fn chars(text: &str) -> usize {
    text.encode_utf16().count()
}

/// A text of 1 to `most` characters.
fn words(of: &Map<String, Value>, name: &str, most: usize) -> Result<String, GraphError> {
    match of.get(name).and_then(Value::as_str) {
        Some(text) if !text.trim().is_empty() && chars(text) <= most => Ok(text.to_owned()),
        _ => refused(&format!("{name} takes 1 to {most} characters")),
    }
}

/// A URL.
fn address(of: &Map<String, Value>, name: &str) -> Result<String, GraphError> {
    let is_url = |url: &&str| {
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        host.is_some_and(|host| !host.is_empty() && !host.contains(char::is_whitespace))
    };
    match of.get(name).and_then(Value::as_str).filter(is_url) {
        Some(url) => Ok(url.to_owned()),
        None => refused(&format!("{name} should represent a valid URL")),
    }
}

/// A list of so many items; empty if it is not there.
fn list<T>(
    of: &Map<String, Value>,
    name: &str,
    count: std::ops::RangeInclusive<usize>,
    read: impl Fn(&Map<String, Value>) -> Result<T, GraphError>,
) -> Result<Vec<T>, GraphError> {
    let Some(items) = of.get(name) else { return Ok(Vec::new()) };
    let items = items.as_array().filter(|items| count.contains(&items.len()));
    let items = items.ok_or_else(|| {
        invalid(&format!("{name} takes {} to {} items", count.start(), count.end()))
    })?;
    let item = |item: &Value| match item.as_object() {
        Some(item) => read(item),
        None => refused(&format!("{name} takes objects")),
    };
    items.iter().map(item).collect()
}

fn button(of: &Map<String, Value>) -> Result<Button, GraphError> {
    let title = words(of, "title", TITLE_CHARS_MAX)?;
    match of.get("type").and_then(Value::as_str) {
        Some("web_url") => Ok(Button { title, url: Some(address(of, "url")?), payload: None }),
        Some("postback") => {
            let payload = Some(words(of, "payload", PAYLOAD_CHARS_MAX)?);
            Ok(Button { title, url: None, payload })
        }
        _ => refused("the type of a button is web_url or postback"),
    }
}

/// Those that offer a person's own e-mail address or telephone number are refused since 5 October 2026.
fn quick_reply(of: &Map<String, Value>) -> Result<QuickReply, GraphError> {
    if of.get("content_type").and_then(Value::as_str) != Some("text") {
        return refused("the content_type of a quick reply is text");
    }
    let title = words(of, "title", TITLE_CHARS_MAX)?;
    Ok(QuickReply { title, payload: words(of, "payload", PAYLOAD_CHARS_MAX)? })
}

fn card(of: &Map<String, Value>) -> Result<Card, GraphError> {
    let title = words(of, "title", CARD_CHARS_MAX)?;
    let has = |name: &str| of.contains_key(name);
    let subtitle = has("subtitle").then(|| words(of, "subtitle", CARD_CHARS_MAX)).transpose()?;
    let image = has("image_url").then(|| address(of, "image_url")).transpose()?;
    let buttons = list(of, "buttons", 1..=BUTTONS_MAX, button)?;
    if subtitle.is_none() && image.is_none() && buttons.is_empty() {
        return refused("an element takes more than a title");
    }
    Ok(Card { title, subtitle, image, buttons })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(message: Value) -> Result<Content, GraphError> {
        Content::read(message.as_object().unwrap())
    }

    fn buttons(text: &str, buttons: Value) -> Result<Content, GraphError> {
        let payload = json!({ "template_type": "button", "text": text, "buttons": buttons });
        read(json!({ "attachment": { "type": "template", "payload": payload } }))
    }

    fn cards(elements: Value) -> Result<Content, GraphError> {
        let payload = json!({ "template_type": "generic", "elements": elements });
        read(json!({ "attachment": { "type": "template", "payload": payload } }))
    }

    fn postback(title: &str, payload: &str) -> Value {
        json!({ "type": "postback", "title": title, "payload": payload })
    }

    fn replies(count: usize, title: &str) -> Value {
        json!(vec![json!({ "content_type": "text", "title": title, "payload": "p" }); count])
    }

    #[test]
    fn text_is_measured_in_bytes() {
        let takes = |text: &str| read(json!({ "text": text })).is_ok();
        assert!(takes(&"a".repeat(1000)) && !takes(&"a".repeat(1001)));
        assert!(takes(&"\u{e4}".repeat(500)) && !takes(&"\u{e4}".repeat(501)));
        assert!(!takes(""));
    }

    #[test]
    fn either_text_or_attachment() {
        let image = json!({ "type": "image", "payload": { "url": "https://a.example/i.png" } });
        let content = read(json!({ "attachment": image })).unwrap();
        assert!(content.is_attachment() && content.told_text().is_none());
        for message in [
            json!({ "attachment": image, "text": "x" }),
            json!({ "attachment": {} }),
            json!({ "attachment": { "type": "image", "payload": { "url": "i.png" } } }),
            json!({ "attachment": { "type": "hologram", "payload": {} } }),
            json!({}),
        ] {
            assert!(read(message.clone()).is_err(), "{message}");
        }
    }

    #[test]
    fn buttons_are_one_to_three_within_their_limits() {
        let one = |button: Value| buttons("x", json!([button]));
        let content = one(postback("I follow", "p")).unwrap();
        assert!(content.is_attachment());
        assert_eq!((content.text.as_deref(), content.told_text()), (Some("x"), None));
        assert!(
            one(json!({ "type": "web_url", "title": "Go", "url": "https://a.example" })).is_ok()
        );
        assert!(one(json!({ "type": "web_url", "title": "Go", "url": "a.example" })).is_err());
        assert!(one(json!({ "type": "phone_number", "title": "Go", "payload": "+1" })).is_err());
        assert!(one(postback(&"a".repeat(20), &"p".repeat(1000))).is_ok());
        assert!(one(postback(&"a".repeat(21), "p")).is_err());
        assert!(one(postback(&"\u{1f600}".repeat(11), "p")).is_err());
        assert!(one(postback("a", &"p".repeat(1001))).is_err());
        assert!(one(postback("a", "")).is_err());
        let many = |count: usize| buttons("x", json!(vec![postback("a", "p"); count]));
        assert!(many(3).is_ok() && many(0).is_err() && many(4).is_err());
        let long = |length: usize| buttons(&"a".repeat(length), json!([postback("a", "p")]));
        assert!(long(640).is_ok() && long(641).is_err());
        let none = json!({ "template_type": "button", "text": "x" });
        assert!(read(json!({ "attachment": { "type": "template", "payload": none } })).is_err());
    }

    #[test]
    fn quick_replies_are_at_most_thirteen() {
        let with = |replies: Value| read(json!({ "text": "x", "quick_replies": replies }));
        let content = with(replies(13, "A")).unwrap();
        assert_eq!(content.quick_replies.len(), 13);
        assert!(!content.is_attachment() && content.told_text() == Some("x"));
        assert!(with(replies(14, "A")).is_err() && with(replies(0, "A")).is_err());
        assert!(with(replies(1, &"a".repeat(21))).is_err());
        assert!(with(json!([{ "content_type": "user_email" }])).is_err());
        assert!(with(json!([{ "content_type": "text", "title": "A" }])).is_err(), "no payload");
    }

    #[test]
    fn cards_are_at_most_ten() {
        let card = json!({
            "title": "The guide", "subtitle": "40 pages", "image_url": "https://a.example/i.png",
            "buttons": [postback("Get it", "p")],
        });
        let content = cards(json!([card])).unwrap();
        assert_eq!(content.cards[0].buttons[0].payload.as_deref(), Some("p"));
        assert!(content.is_attachment() && content.text.is_none());
        assert!(cards(json!(vec![card.clone(); 10])).is_ok());
        assert!(cards(json!(vec![card; 11])).is_err());
        for card in [
            json!({ "title": "alone" }),
            json!({ "title": "a".repeat(81), "subtitle": "b" }),
            json!({ "title": "a", "subtitle": "b".repeat(81) }),
            json!({ "title": "a", "image_url": "i.png" }),
            json!({ "subtitle": "b" }),
        ] {
            assert!(cards(json!([card])).is_err(), "{card}");
        }
        assert!(cards(json!([])).is_err());
    }
}
