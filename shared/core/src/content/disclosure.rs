//! The disclosure of an account: that it is no human who writes. Law asks for it at the start of a
//! conversation, after a long lapse, and where automation goes on after a human (Meta, Messenger
//! Platform policy, automated chat experiences, for California and Germany). It is part of the message
//! that it comes before: a message of its own would cost a call, and a comment allows one reply.

use serde::{Deserialize, Serialize};

use super::{BUTTON_TEXT_UNITS_MAX, CARD_TEXT_UNITS_MAX, Card, Draft, Faults, Message};
use crate::keyword::is_blank;
use crate::message::{TEXT_BYTES_MAX, Template};

/// The longest disclosure, in bytes of UTF-8.
pub const DISCLOSURE_BYTES_MAX: usize = 300;

/// What is between a disclosure and a text.
const BEFORE_TEXT: &str = "\n\n";

/// What is between a disclosure and the subtitle of a card.
const BEFORE_SUBTITLE: &str = " ";

/// A disclosure. Its text has no placeholders: each character is sent as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Disclosure(String);

/// What is wrong with a disclosure, or with a message that it comes before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisclosureError {
    /// It has no text.
    #[error("the disclosure is blank: write a text, or \"\" for none")]
    Blank,
    /// It has a character that nobody sees.
    #[error("the disclosure has a control character: write it as people shall read it")]
    Control,
    /// It is longer than [`DISCLOSURE_BYTES_MAX`].
    #[error("the disclosure has {0} bytes, and {DISCLOSURE_BYTES_MAX} are taken: shorten it")]
    Long(usize),
    /// A text that could become too long behind it.
    #[error(
        "behind the account's `disclosure` the text can end {0} bytes long, and Meta takes \
         {TEXT_BYTES_MAX}: shorten one of them"
    )]
    LongText(usize),
    /// A text with buttons that could become too long behind it.
    #[error(
        "behind the account's `disclosure` a text with buttons can end {0} characters long, and Meta \
         takes {BUTTON_TEXT_UNITS_MAX}: shorten one of them"
    )]
    LongButtonText(usize),
    /// A subtitle that could become too long behind it.
    #[error(
        "a card has the account's `disclosure` before its subtitle, which can end {0} characters long, \
         and Meta takes {CARD_TEXT_UNITS_MAX}: shorten one of them, or write a text with buttons"
    )]
    LongSubtitle(usize),
}

impl Disclosure {
    /// Reads a disclosure as somebody writes it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, DisclosureError> {
        if is_blank(text) {
            return Err(DisclosureError::Blank);
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(DisclosureError::Control);
        }
        if text.len() > DISCLOSURE_BYTES_MAX {
            return Err(DisclosureError::Long(text.len()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Puts it before the text of a message, or before the subtitle of a card.
    pub fn before(&self, mut message: Message) -> Message {
        match &mut message {
            Message::Text(text)
            | Message::Buttons { text, .. }
            | Message::QuickReplies { text, .. } => *text = self.before_text(text),
            Message::Card { subtitle, .. } => {
                let behind = subtitle.take().map(|text| format!("{BEFORE_SUBTITLE}{text}"));
                *subtitle = Some(format!("{self}{}", behind.unwrap_or_default()));
            }
        }
        message
    }

    /// Puts it before a text.
    pub fn before_text(&self, text: &str) -> String {
        format!("{self}{BEFORE_TEXT}{text}")
    }

    /// Checks that a text without buttons stays within Meta's limit behind it.
    ///
    /// # Errors
    /// Says how long the text can become.
    pub fn check_text(&self, text: &Template) -> Result<(), DisclosureError> {
        let bytes = self.0.len() + BEFORE_TEXT.len() + text.bytes_max();
        if bytes > TEXT_BYTES_MAX { Err(DisclosureError::LongText(bytes)) } else { Ok(()) }
    }

    /// Adds what is wrong with the texts of a field behind it.
    pub fn check_texts(
        &self,
        field: &'static str,
        texts: &[Template],
        faults: &mut Faults<DisclosureError>,
    ) {
        faults.items(field, texts, |faults, text| faults.add_from(self.check_text(text)));
    }

    /// Checks that a text with buttons stays within Meta's limits behind it.
    ///
    /// # Errors
    /// Says how long the text can become.
    pub fn check_button_text(&self, text: &Template) -> Result<(), DisclosureError> {
        self.check_text(text)?;
        let units = self.units() + BEFORE_TEXT.len() + text.units_max();
        let is_long = units > BUTTON_TEXT_UNITS_MAX;
        if is_long { Err(DisclosureError::LongButtonText(units)) } else { Ok(()) }
    }

    /// Adds what is wrong with a message behind it.
    pub fn check(&self, draft: &Draft, faults: &mut Faults<DisclosureError>) {
        if let Some(text) = &draft.text {
            let has_buttons = !draft.buttons.is_empty();
            faults.field("text", |faults| {
                let checked =
                    if has_buttons { self.check_button_text(text) } else { self.check_text(text) };
                faults.add_from(checked);
            });
        }
        if let Some(Card { subtitle, .. }) = &draft.card {
            let behind = subtitle.as_ref();
            let behind = behind.map_or(0, |text| BEFORE_SUBTITLE.len() + text.units_max());
            let units = self.units() + behind;
            if units > CARD_TEXT_UNITS_MAX {
                faults.field("card", |faults| faults.add(DisclosureError::LongSubtitle(units)));
            }
        }
    }

    fn units(&self) -> usize {
        self.0.encode_utf16().count()
    }
}

impl std::fmt::Display for Disclosure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::message::Values;

    fn bot() -> Disclosure {
        Disclosure::parse("I am a bot.").unwrap()
    }

    fn draft(fields: Value) -> Draft {
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn it_is_put_before_each_kind_of_message() {
        let before = |fields: Value| bot().before(draft(fields).fill(Values::default(), "p"));
        assert_eq!(before(json!({ "text": "Hi" })).text(), "I am a bot.\n\nHi");
        let button = json!([{ "title": "Ok" }]);
        assert_eq!(before(json!({ "text": "Hi", "buttons": button })).text(), "I am a bot.\n\nHi");
        let replies = before(json!({ "text": "Hi", "quick_replies": ["a"] }));
        assert_eq!(replies.text(), "I am a bot.\n\nHi");
        let card = |subtitle: Value| {
            let image = "https://a.example/i.png";
            before(json!({ "card": { "title": "T", "subtitle": subtitle, "image": image } }))
        };
        for (subtitle, expected) in
            [(Value::Null, "I am a bot."), (json!("Read"), "I am a bot. Read")]
        {
            let Message::Card { title, subtitle, .. } = card(subtitle) else { panic!() };
            assert_eq!((&*title, subtitle.as_deref()), ("T", Some(expected)));
        }
    }

    #[test]
    fn mistakes_are_refused() {
        let error = |text: &str| Disclosure::parse(text).unwrap_err();
        assert_eq!(error(" \u{200b}"), DisclosureError::Blank);
        assert_eq!(error("a\u{7}"), DisclosureError::Control);
        assert_eq!(error(&"x".repeat(301)), DisclosureError::Long(301));
        assert_eq!(Disclosure::parse("two\nlines {and} braces").unwrap().as_str().len(), 22);
        let card = json!({ "card": { "title": "T", "image": "https://a.example/i.png",
            "subtitle": "x".repeat(69) } });
        let mut faults = Faults::default();
        bot().check(&draft(card), &mut faults);
        assert_eq!(faults.found()[0].error, DisclosureError::LongSubtitle(81));
    }

    proptest! {
        #[test]
        fn what_is_accepted_never_exceeds_a_limit(
            disclosure in "[a-zé\u{1f600}]{1,75}", text in "[a-zé\u{1f600} ]{0,700}x(\\{username\\|you\\})?",
            name in "\\PC{0,40}", kind in 0..3,
        ) {
            let disclosure = Disclosure::parse(&disclosure).unwrap();
            let fields = match kind {
                0 => json!({ "text": text }),
                1 => json!({ "text": text, "buttons": [{ "title": "Ok" }] }),
                _ => json!({ "card": {
                    "title": "T", "subtitle": text, "image": "https://a.example/i.png" } }),
            };
            // One that is too long by itself is refused before.
            let Ok(draft) = serde_json::from_value::<Draft>(fields) else { return Ok(()) };
            let mut faults = Faults::default();
            disclosure.check(&draft, &mut faults);
            let values = Values { username: Some(&name), ..Values::default() };
            let message = disclosure.before(draft.fill(values, "p"));
            let units = |text: &str| text.encode_utf16().count();
            let fits = match &message {
                Message::Text(text) => text.len() <= TEXT_BYTES_MAX,
                Message::Buttons { text, .. } => {
                    text.len() <= TEXT_BYTES_MAX && units(text) <= BUTTON_TEXT_UNITS_MAX
                }
                Message::Card { subtitle, .. } => {
                    subtitle.as_ref().is_none_or(|text| units(text) <= CARD_TEXT_UNITS_MAX)
                }
                Message::QuickReplies { .. } => unreachable!(),
            };
            prop_assert!(fits || !faults.found().is_empty());
        }
    }
}
