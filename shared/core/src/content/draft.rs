//! A message as a campaign's file has it, and the same message filled in for one person.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    BUTTON_TEXT_UNITS_MAX, BUTTONS_MAX, CARD_TEXT_UNITS_MAX, Fault, Faults, Link, LinkError,
    QUICK_REPLIES_MAX, TITLE_UNITS_MAX,
};
use crate::keyword::is_blank;
use crate::message::{Template, TemplateError, Values};

/// A message of a conversation: a text, which may have buttons or quick replies, or a card with a
/// picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The text: at most 1,000 bytes when it is filled in, or 640 characters if it has buttons.
    /// Placeholders are `{username|fallback}`, `{keyword|fallback}` and `{first_name|fallback}`, and
    /// `{link:https://example.com/guide}` is a link that tells that the person has opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", regex(pattern = r"\S")))]
    pub text: Option<Template>,
    /// Buttons below the text; at most 3 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 3)))]
    pub buttons: Vec<Button>,
    /// Answers to choose from, each of at most 20 characters; at most 13 of them. They are not shown
    /// on a desktop computer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 13)))]
    pub quick_replies: Vec<String>,
    /// A card with a picture, in the place of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
}

/// A button: it opens a link or, without one, answers the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Button {
    /// What is on it: at most 20 characters, an emoji counted as two or more. No placeholders.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 20)))]
    pub title: String,
    /// What it opens: an `https` address, or `{link:https://example.com/guide}` for one that tells that
    /// the person has opened it. A tap on it is no answer, and opens no window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub url: Option<Link>,
}

/// A card with a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Its title: at most 80 characters when it is filled in.
    #[cfg_attr(feature = "schema", schemars(with = "String", regex(pattern = r"\S")))]
    pub title: Template,
    /// What is below the title: at most 80 characters when it is filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", regex(pattern = r"\S")))]
    pub subtitle: Option<Template>,
    /// The `https` address of the picture, which Meta fetches: a PNG or JPEG of at most 8 MB.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub image: Link,
    /// Buttons below it; at most 3 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 3)))]
    pub buttons: Vec<Button>,
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// It says nothing.
    #[error("the message is empty: give it a `text` or a `card`")]
    Empty,
    /// It is of two kinds at once. Meta takes a text or an attachment, not both.
    #[error("a message has a `text` or a `card`, not both: make two messages of it")]
    TextAndCard,
    /// Buttons beside a card.
    #[error("buttons of a card belong into the card: write card = {{ .., buttons = [..] }}")]
    ButtonsBesideCard,
    /// Quick replies beside buttons or a card.
    #[error("a message has `quick_replies` beside a `text` alone: remove them or the rest")]
    QuickRepliesBeside,
    /// Too many buttons.
    #[error("there are {0} buttons and Meta takes {BUTTONS_MAX}: remove some")]
    Buttons(usize),
    /// Too many quick replies.
    #[error("there are {0} quick replies and Meta takes {QUICK_REPLIES_MAX}: remove some")]
    QuickReplies(usize),
    /// Nothing to see on a button.
    #[error("the title is empty: write what is on the button")]
    EmptyTitle,
    /// A title with something that is not sent as it is written.
    #[error("a title has no placeholders and no line breaks: write it as people shall see it")]
    OddTitle,
    /// A title that Meta would cut.
    #[error(
        "the title has {0} characters and Meta takes {TITLE_UNITS_MAX}: shorten it (an emoji counts \
         as two or more)"
    )]
    LongTitle(usize),
    /// A title is there twice.
    #[error("`{0}` is there twice: change one of them")]
    SameTitle(String),
    /// A text with buttons that could become too long.
    #[error(
        "a text with buttons can become {0} characters long and Meta takes {BUTTON_TEXT_UNITS_MAX}: \
         shorten it"
    )]
    LongButtonText(usize),
    /// A text of a card that could become too long.
    #[error(
        "the text of a card can become {0} characters long and Meta takes {CARD_TEXT_UNITS_MAX}: \
         shorten it (a placeholder counts as 64)"
    )]
    LongCardText(usize),
    /// A link where nobody can tap it.
    #[error("nobody can tap a link in the text of a card: write it as the `url` of a button")]
    LinkInCardText,
    /// A text that cannot be sent.
    #[error(transparent)]
    Text(#[from] TemplateError),
    /// An address that cannot be sent.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl Draft {
    /// A message of one text.
    pub fn text(text: Template) -> Self {
        Self { text: Some(text), ..Self::default() }
    }

    /// Returns everything that is wrong with it.
    pub fn faults(&self) -> Vec<Fault<DraftError>> {
        let mut faults = Faults::default();
        self.check(&mut faults);
        faults.found()
    }

    /// Adds everything that is wrong with it.
    pub fn check<E: From<DraftError>>(&self, faults: &mut Faults<E>) {
        let Self { text, buttons, quick_replies, card } = self;
        match (text, card) {
            (None, None) => faults.add(DraftError::Empty),
            (Some(_), Some(_)) => faults.add(DraftError::TextAndCard),
            _ => {}
        }
        if let Some(text) = text {
            let is_long = !buttons.is_empty() && text.units_max() > BUTTON_TEXT_UNITS_MAX;
            faults.field("text", |faults| {
                faults.add_from(check_text(text));
                if is_long {
                    faults.add(DraftError::LongButtonText(text.units_max()));
                }
            });
        }
        if card.is_some() && !buttons.is_empty() {
            faults.field("buttons", |faults| faults.add(DraftError::ButtonsBesideCard));
        }
        check_buttons(buttons, faults);
        let has_more = card.is_some() || !buttons.is_empty();
        faults.field("quick_replies", |faults| {
            if !quick_replies.is_empty() && has_more {
                faults.add(DraftError::QuickRepliesBeside);
            }
            if quick_replies.len() > QUICK_REPLIES_MAX {
                faults.add(DraftError::QuickReplies(quick_replies.len()));
            }
        });
        let mut seen: Vec<&str> = Vec::new();
        faults.items("quick_replies", quick_replies, |faults, title| {
            faults.add_from(check_title(title));
            add_if_seen(title, &seen, faults);
            seen.push(title);
        });
        if let Some(card) = card {
            faults.field("card", |faults| card.check(faults));
        }
    }

    /// Fills it in for one person. Its quick replies and the buttons without a link carry `payload`.
    pub fn fill(&self, values: Values<'_>, payload: &str) -> Message {
        let filled = |buttons: &[Button]| {
            buttons.iter().map(|button| button.filled(values, payload)).collect::<Vec<_>>()
        };
        if let Some(Card { title, subtitle, image, buttons }) = &self.card {
            return Message::Card {
                title: title.fill(values),
                subtitle: subtitle.as_ref().map(|text| text.fill(values)),
                image: image.as_str().to_owned(),
                buttons: filled(buttons),
            };
        }
        let text = self.text.as_ref().map(|text| text.fill(values)).unwrap_or_default();
        if !self.buttons.is_empty() {
            return Message::Buttons { text, buttons: filled(&self.buttons) };
        }
        if !self.quick_replies.is_empty() {
            let titles = self.quick_replies.clone();
            return Message::QuickReplies { text, titles, payload: payload.to_owned() };
        }
        Message::Text(text)
    }

    /// Whether it has a link that tells that the person has opened it.
    pub fn has_tracked_link(&self) -> bool {
        let of_card = self.card.iter().flat_map(|card| &card.buttons);
        let mut urls = self.buttons.iter().chain(of_card).filter_map(|button| button.url.as_ref());
        self.templates().any(Template::has_tracked_link) || urls.any(|url| url.tracked().is_some())
    }

    /// Returns all texts that may have placeholders.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let card = self.card.iter();
        let of_card = card.flat_map(|card| [Some(&card.title), card.subtitle.as_ref()]);
        of_card.chain([self.text.as_ref()]).flatten()
    }
}

impl Card {
    fn check<E: From<DraftError>>(&self, faults: &mut Faults<E>) {
        let texts = [("title", Some(&self.title)), ("subtitle", self.subtitle.as_ref())];
        for (name, text) in texts {
            let Some(text) = text else { continue };
            faults.field(name, |faults| {
                faults.add_from(check_text(text));
                let units = text.units_max();
                if text.has_tracked_link() {
                    faults.add(DraftError::LinkInCardText);
                } else if units > CARD_TEXT_UNITS_MAX {
                    faults.add(DraftError::LongCardText(units));
                }
            });
        }
        faults.field("image", |faults| {
            faults.add_from(self.image.check().map_err(DraftError::from));
        });
        check_buttons(&self.buttons, faults);
    }
}

impl Button {
    fn filled(&self, values: Values<'_>, payload: &str) -> FilledButton {
        let action = match &self.url {
            Some(url) => Action::Open(match url.tracked() {
                Some(target) => values.link(&target),
                None => url.as_str().to_owned(),
            }),
            None => Action::Answer(payload.to_owned()),
        };
        FilledButton { title: self.title.clone(), action }
    }
}

/// Checks a text that goes out after the person has written.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_text(text: &Template) -> Result<(), DraftError> {
    Template::parse_later(&text.to_string()).map(|_| ()).map_err(DraftError::from)
}

/// Checks the title of a button or quick reply.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_title(title: &str) -> Result<(), DraftError> {
    if is_blank(title) {
        return Err(DraftError::EmptyTitle);
    }
    if title.contains(|c: char| c.is_control() || matches!(c, '{' | '}')) {
        return Err(DraftError::OddTitle);
    }
    match title.encode_utf16().count() {
        units if units > TITLE_UNITS_MAX => Err(DraftError::LongTitle(units)),
        _ => Ok(()),
    }
}

fn check_buttons<E: From<DraftError>>(buttons: &[Button], faults: &mut Faults<E>) {
    if buttons.len() > BUTTONS_MAX {
        faults.field("buttons", |faults| faults.add(DraftError::Buttons(buttons.len())));
    }
    let mut seen: Vec<&str> = Vec::new();
    faults.items("buttons", buttons, |faults, button| {
        faults.field("title", |faults| {
            faults.add_from(check_title(&button.title));
            add_if_seen(&button.title, &seen, faults);
        });
        seen.push(&button.title);
        if let Some(url) = &button.url {
            faults.field("url", |faults| {
                faults.add_from(url.check_button().map_err(DraftError::from))
            });
        }
    });
}

fn add_if_seen<E: From<DraftError>>(title: &str, seen: &[&str], faults: &mut Faults<E>) {
    if seen.contains(&title) {
        faults.add(DraftError::SameTitle(title.to_owned()));
    }
}

/// A message for one person, within Meta's limits. Its `Debug` shows no text, since texts name the
/// person.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// A text with buttons.
    Buttons {
        /// The text.
        text: String,
        /// 1 to 3 buttons.
        buttons: Vec<FilledButton>,
    },
    /// A text with answers to choose from.
    QuickReplies {
        /// The text.
        text: String,
        /// 1 to 13 answers.
        titles: Vec<String>,
        /// What comes back with a tap on any of them.
        payload: String,
    },
    /// A card with a picture.
    Card {
        /// Its title.
        title: String,
        /// What is below the title.
        subtitle: Option<String>,
        /// The address of the picture.
        image: String,
        /// Up to 3 buttons.
        buttons: Vec<FilledButton>,
    },
}

impl Message {
    /// A word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Buttons { .. } => "buttons",
            Self::QuickReplies { .. } => "quick_replies",
            Self::Card { .. } => "card",
        }
    }

    /// Returns its text; the title of a card.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Buttons { text, .. } | Self::QuickReplies { text, .. } => text,
            Self::Card { title, .. } => title,
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.kind()).finish()
    }
}

/// A button of a message for one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilledButton {
    /// What is on it.
    pub title: String,
    /// What a tap on it does.
    pub action: Action,
}

/// What a tap on a button does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It opens this address. No webhook tells of it.
    Open(String),
    /// It sends this payload to the account.
    Answer(String),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::content::{PAYLOAD_BYTES_MAX, Segment};
    use crate::message::TEXT_BYTES_MAX;

    fn draft(fields: Value) -> Draft {
        serde_json::from_value(fields).unwrap()
    }

    fn errors(fields: Value) -> Vec<DraftError> {
        draft(fields).faults().into_iter().map(|fault| fault.error).collect()
    }

    #[test]
    fn the_four_kinds_are_filled_in() {
        let values = Values { username: Some("ana"), ..Values::default() };
        let fill = |fields: Value| draft(fields).fill(values, "p");
        assert_eq!(fill(json!({ "text": "Hi {username}" })), Message::Text("Hi ana".into()));
        let buttons = json!([{ "title": "Open", "url": "https://a.example/" }, { "title": "Ok" }]);
        let open = Action::Open("https://a.example/".into());
        let filled = vec![
            FilledButton { title: "Open".into(), action: open },
            FilledButton { title: "Ok".into(), action: Action::Answer("p".into()) },
        ];
        assert_eq!(
            fill(json!({ "text": "Here", "buttons": buttons })),
            Message::Buttons { text: "Here".into(), buttons: filled.clone() }
        );
        assert_eq!(
            fill(json!({ "text": "Which?", "quick_replies": ["A", "B"] })),
            Message::QuickReplies {
                text: "Which?".into(),
                titles: vec!["A".into(), "B".into()],
                payload: "p".into()
            }
        );
        let card = json!({ "title": "{username}'s guide", "image": "https://a.example/i.png",
                           "buttons": buttons });
        assert_eq!(
            fill(json!({ "card": card })),
            Message::Card {
                title: "ana's guide".into(),
                subtitle: None,
                image: "https://a.example/i.png".into(),
                buttons: filled,
            }
        );
    }

    #[test]
    fn each_limit_is_kept_and_the_value_beyond_it_is_refused() {
        let title = |title: &str| check_title(title);
        assert_eq!(title(&"é".repeat(20)), Ok(()));
        assert_eq!(title(&"é".repeat(21)), Err(DraftError::LongTitle(21)));
        let family = "👩\u{200d}👩\u{200d}👧";
        let graphemes = format!("Send me the guide: {family}");
        assert_eq!(title(&graphemes), Err(DraftError::LongTitle(27)), "20 for a reader");
        assert_eq!(title(&format!("Send it {family}")), Ok(()));
        assert_eq!(title("\u{200b}"), Err(DraftError::EmptyTitle));
        for odd in ["Hi {username}", "a\nb"] {
            assert_eq!(title(odd), Err(DraftError::OddTitle));
        }
        let with_button = |text: &str| errors(json!({ "text": text, "buttons": [{"title": "a"}] }));
        assert_eq!(with_button(&"x".repeat(640)), []);
        assert_eq!(with_button(&"x".repeat(641)), [DraftError::LongButtonText(641)]);
        let named = format!("{} {{username}}", "x".repeat(600));
        assert_eq!(with_button(&named), [DraftError::LongButtonText(665)], "the longest name");
        assert_eq!(errors(json!({ "text": "x".repeat(1000) })), []);
        let replies = |count: usize| {
            let titles: Vec<String> = (0..count).map(|n| n.to_string()).collect();
            errors(json!({ "text": "Which?", "quick_replies": titles }))
        };
        assert_eq!(replies(13), []);
        assert_eq!(replies(14), [DraftError::QuickReplies(14)]);
        let buttons = |count: usize| {
            let all: Vec<Value> = (0..count).map(|n| json!({ "title": n.to_string() })).collect();
            errors(json!({ "text": "Which?", "buttons": all }))
        };
        assert_eq!(buttons(3), []);
        assert_eq!(buttons(4), [DraftError::Buttons(4)]);
        let card = |title: &str| {
            errors(json!({ "card": { "title": title, "image": "https://a.example/i.png" } }))
        };
        assert_eq!(card(&"x".repeat(80)), []);
        assert_eq!(card(&"x".repeat(81)), [DraftError::LongCardText(81)]);
        let named = DraftError::LongCardText(84);
        assert_eq!(card(&format!("{}{{username|you}}", "x".repeat(20))), [named]);
    }

    #[test]
    fn a_text_of_three_bytes_a_letter_is_counted_in_bytes() {
        let long = "क".repeat(400);
        let refused = serde_json::from_value::<Draft>(json!({ "text": long })).unwrap_err();
        assert!(refused.to_string().contains("1200 bytes"), "{refused}");
    }

    #[test]
    fn mixed_kinds_and_faults_within_are_all_told_with_their_way() {
        let card = json!({ "title": "Guide", "image": "http://a.example/i.png" });
        let mixed = draft(json!({
            "text": "Hi {first_name}", "card": card, "quick_replies": ["A", "A"],
            "buttons": [{ "title": "Open", "url": "example.com" }],
        }));
        let told: Vec<String> = mixed
            .faults()
            .iter()
            .map(|fault| {
                let way = fault.path.iter().map(|segment| match segment {
                    Segment::Field(name) => format!(".{name}"),
                    Segment::Item(at) => format!("[{at}]"),
                });
                format!("{}: {}", way.collect::<String>(), fault.error)
            })
            .collect();
        let begins = [
            ": a message has a `text` or a `card`",
            ".text: character 4 of the text: `{first_name}` needs",
            ".buttons: buttons of a card belong",
            ".buttons[0].url: `example.com` is no URL",
            ".quick_replies: a message has `quick_replies` beside",
            ".quick_replies[1]: `A` is there twice",
            ".card.image: `http://a.example/i.png` does not begin",
        ];
        assert_eq!(told.len(), begins.len(), "{told:#?}");
        assert!(told.iter().zip(begins).all(|(told, begin)| told.starts_with(begin)), "{told:#?}");
        assert_eq!(errors(json!({})), [DraftError::Empty]);
    }

    fn drafts() -> impl Strategy<Value = Draft> {
        let text = prop_oneof!["\\PC{0,90}", "[ab€🙂]{0,700}"];
        let text = (text, prop::sample::select(vec!["", "{username}", "{first_name|you}"]));
        let text = text.prop_filter_map("no template", |(text, value)| {
            Template::parse_later(&format!("{text}{value}")).ok()
        });
        let button = ("\\PC{0,22}", any::<bool>()).prop_map(|(title, opens)| Button {
            title,
            url: opens.then(|| Link::new("https://a.example/")),
        });
        let buttons = prop::collection::vec(button, 0..5).boxed();
        let titles = prop::collection::vec("\\PC{0,22}", 0..15);
        let card = (text.clone(), prop::option::of(text.clone()), buttons.clone()).prop_map(
            |(title, subtitle, buttons)| Card {
                title,
                subtitle,
                image: Link::new("https://a.example/i.png"),
                buttons,
            },
        );
        prop_oneof![
            (text.clone(), buttons)
                .prop_map(|(text, buttons)| Draft { buttons, ..Draft::text(text) }),
            (text, titles)
                .prop_map(|(text, quick_replies)| Draft { quick_replies, ..Draft::text(text) }),
            card.prop_map(|card| Draft { card: Some(card), ..Draft::default() }),
        ]
    }

    /// Meta's limits in the counts that a server of Meta's may use.
    fn is_within_limits(message: &Message) -> bool {
        let units = |text: &str| text.encode_utf16().count();
        let titled = |title: &String| (1..=20).contains(&units(title));
        let buttons_are = |buttons: &[FilledButton], least| {
            (least..=3).contains(&buttons.len())
                && buttons.iter().all(|button| {
                    titled(&button.title)
                        && match &button.action {
                            Action::Open(url) => url.starts_with("https://"),
                            Action::Answer(payload) => payload.len() <= PAYLOAD_BYTES_MAX,
                        }
                })
        };
        match message {
            Message::Text(text) => (1..=TEXT_BYTES_MAX).contains(&text.len()),
            Message::Buttons { text, buttons } => units(text) <= 640 && buttons_are(buttons, 1),
            Message::QuickReplies { text, titles, payload } => {
                text.len() <= TEXT_BYTES_MAX
                    && titles.len() <= 13
                    && titles.iter().all(titled)
                    && payload.len() <= PAYLOAD_BYTES_MAX
            }
            Message::Card { title, subtitle, buttons, .. } => {
                units(title) <= 80
                    && subtitle.as_deref().is_none_or(|text| units(text) <= 80)
                    && buttons_are(buttons, 0)
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_draft_without_faults_never_exceeds_a_limit(
            draft in drafts(), name in "\\PC{0,100}",
        ) {
            prop_assume!(draft.faults().is_empty());
            let name = Some(name.as_str());
            let values = Values { username: name, keyword: name, first_name: name, tracking: None };
            for values in [values, Values::default()] {
                let message = draft.fill(values, &"p".repeat(PAYLOAD_BYTES_MAX));
                prop_assert!(is_within_limits(&message), "{message:?}");
            }
        }

        #[test]
        fn a_draft_is_stored_and_read(draft in drafts()) {
            let stored = serde_json::to_string(&draft).unwrap();
            prop_assert_eq!(serde_json::from_str::<Draft>(&stored).unwrap(), draft);
        }
    }
}
