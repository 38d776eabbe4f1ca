//! What a call sends: the body of a message, and the header with the token.

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use spillway_core::content::{self, Action, FilledButton};
use spillway_core::id::{CommentId, RecipientId};

use super::CallError;

/// The body of `POST /{account}/messages`.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    recipient: To<'a>,
    message: Body<'a>,
}

/// Whom it is for: `{"comment_id": ..}` or `{"id": ..}`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum To<'a> {
    CommentId(&'a CommentId),
    Id(&'a RecipientId),
}

/// What it says. Meta takes a text or an attachment, not both (Instagram Login, send messages, 2026).
#[derive(Default, Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quick_replies: Vec<QuickReply<'a>>,
    /// Comes back in the message's echo. Meta takes up to 1,000 characters.
    metadata: &'a str,
}

/// The only kind of attachment that is sent.
#[derive(Serialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
enum Attachment<'a> {
    Template(Template<'a>),
}

/// A button template or a generic template (Instagram Platform, 30 June 2026).
#[derive(Serialize)]
#[serde(tag = "template_type", rename_all = "snake_case")]
enum Template<'a> {
    Button { text: &'a str, buttons: Vec<Button<'a>> },
    Generic { elements: [Element<'a>; 1] },
}

#[derive(Serialize)]
struct Element<'a> {
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subtitle: Option<&'a str>,
    image_url: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    buttons: Vec<Button<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Button<'a> {
    WebUrl { url: &'a str, title: &'a str },
    Postback { title: &'a str, payload: &'a str },
}

/// A quick reply of the only kind that Meta still takes: those that offer the person's own e-mail
/// address or telephone number are refused since 5 October 2026.
#[derive(Serialize)]
#[serde(tag = "content_type", rename_all = "snake_case")]
enum QuickReply<'a> {
    Text { title: &'a str, payload: &'a str },
}

impl<'a> Body<'a> {
    fn of_text(text: &'a str, metadata: &'a str) -> Self {
        Self { text: Some(text), metadata, ..Self::default() }
    }

    fn new(message: &'a content::Message, metadata: &'a str) -> Self {
        let of_template = |template| Self {
            attachment: Some(Attachment::Template(template)),
            metadata,
            ..Self::default()
        };
        match message {
            content::Message::Text(text) => Self::of_text(text, metadata),
            content::Message::Buttons { text, buttons } => {
                of_template(Template::Button { text, buttons: Button::all(buttons) })
            }
            content::Message::QuickReplies { text, titles, payload } => {
                let reply = |title| QuickReply::Text { title, payload };
                let quick_replies = titles.iter().map(String::as_str).map(reply).collect();
                Self { quick_replies, ..Self::of_text(text, metadata) }
            }
            content::Message::Card { title, subtitle, image, buttons } => {
                let buttons = Button::all(buttons);
                let subtitle = subtitle.as_deref();
                let element = Element { title, subtitle, image_url: image, buttons };
                of_template(Template::Generic { elements: [element] })
            }
        }
    }
}

impl<'a> Button<'a> {
    fn all(buttons: &'a [FilledButton]) -> Vec<Self> {
        let button = |FilledButton { title, action }: &'a FilledButton| match action {
            Action::Open(url) => Self::WebUrl { url, title },
            Action::Answer(payload) => Self::Postback { title, payload },
        };
        buttons.iter().map(button).collect()
    }
}

/// The body of `POST /{comment}/replies`.
#[derive(Serialize)]
pub(super) struct PublicReply<'a> {
    pub(super) message: &'a str,
}

impl<'a> Message<'a> {
    /// To the author of a comment.
    pub(super) fn to_comment(
        comment: &'a CommentId,
        message: &'a content::Message,
        metadata: &'a str,
    ) -> Self {
        Self { recipient: To::CommentId(comment), message: Body::new(message, metadata) }
    }

    /// To a person.
    pub(super) fn to_person(
        person: &'a RecipientId,
        message: &'a content::Message,
        metadata: &'a str,
    ) -> Self {
        Self { recipient: To::Id(person), message: Body::new(message, metadata) }
    }
}

/// The value of `Authorization`, which nothing prints.
pub(super) fn bearer(token: &SecretString) -> Result<HeaderValue, CallError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
        .map_err(|_| CallError::InvalidToken)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use spillway_core::content::Draft;
    use spillway_core::message::Values;

    use super::*;

    /// The body for a message as a campaign's file has it.
    fn body(draft: Value) -> String {
        let draft: Draft = serde_json::from_value(draft).expect("draft");
        assert_eq!(draft.faults(), []);
        let message = draft.fill(Values::default(), "spillway1:follow:2:00:0:guide");
        let person = RecipientId::new("526000000000001");
        let message = Message::to_person(&person, &message, "spillway:s.1");
        serde_json::to_string(&message).expect("body")
    }

    fn whole(message: &str) -> String {
        format!(r#"{{"recipient":{{"id":"526000000000001"}},"message":{message}}}"#)
    }

    #[test]
    fn a_text() {
        let text = body(json!({ "text": "Hi \"there\" ä 😀" }));
        let expected = r#"{"text":"Hi \"there\" ä 😀","metadata":"spillway:s.1"}"#;
        assert_eq!(text, whole(expected));
    }

    #[test]
    fn a_text_with_buttons() {
        let buttons = body(json!({
            "text": "Here it is",
            "buttons": [
                { "title": "Open", "url": "https://example.com/guide?a=1&b=2" },
                { "title": "I follow" },
            ],
        }));
        let expected = concat!(
            r#"{"attachment":{"type":"template","payload":{"template_type":"button","#,
            r#""text":"Here it is","buttons":["#,
            r#"{"type":"web_url","url":"https://example.com/guide?a=1&b=2","title":"Open"},"#,
            r#"{"type":"postback","title":"I follow","payload":"spillway1:follow:2:00:0:guide"}"#,
            r#"]}},"metadata":"spillway:s.1"}"#,
        );
        assert_eq!(buttons, whole(expected));
    }

    #[test]
    fn a_text_with_quick_replies() {
        let replies = body(json!({ "text": "Which?", "quick_replies": ["A", "B"] }));
        let expected = concat!(
            r#"{"text":"Which?","quick_replies":["#,
            r#"{"content_type":"text","title":"A","payload":"spillway1:follow:2:00:0:guide"},"#,
            r#"{"content_type":"text","title":"B","payload":"spillway1:follow:2:00:0:guide"}"#,
            r#"],"metadata":"spillway:s.1"}"#,
        );
        assert_eq!(replies, whole(expected));
    }

    #[test]
    fn a_card_with_a_picture() {
        let card = body(json!({ "card": {
            "title": "The guide", "subtitle": "40 pages", "image": "https://example.com/i.png",
            "buttons": [{ "title": "Open", "url": "https://example.com/guide" }],
        } }));
        let expected = concat!(
            r#"{"attachment":{"type":"template","payload":{"template_type":"generic","#,
            r#""elements":[{"title":"The guide","subtitle":"40 pages","#,
            r#""image_url":"https://example.com/i.png","buttons":["#,
            r#"{"type":"web_url","url":"https://example.com/guide","title":"Open"}]}]}},"#,
            r#""metadata":"spillway:s.1"}"#,
        );
        assert_eq!(card, whole(expected));
        let plain =
            body(json!({ "card": { "title": "Hi", "image": "https://example.com/i.png" } }));
        let expected = r#""elements":[{"title":"Hi","image_url":"https://example.com/i.png"}]}}"#;
        assert!(plain.contains(expected), "{plain}");
    }
}
