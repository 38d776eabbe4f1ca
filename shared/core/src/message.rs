//! The texts of a campaign: written once, filled in for each person, never over Meta's length.
//!
//! Three placeholders with a fallback each, and links, need no template engine: those that exist bring loops and
//! conditions, and none refuses a text that could become too long.

use std::fmt;

use serde::{Deserialize, Serialize};

use unicode_segmentation::UnicodeSegmentation;

use crate::content::{Link, LinkError, TRACKED, Tracking, link_bytes_max};
use crate::keyword::is_blank;

/// Bytes of UTF-8 in one DM (Meta, Send API for Instagram).
pub const TEXT_BYTES_MAX: usize = 1000;

/// Bytes of a filled-in value: Instagram names have at most 30 characters, and longer keywords and
/// fallbacks are refused where they are written.
pub const VALUE_BYTES_MAX: usize = 64;

/// A text with placeholders: `{username}`, `{keyword}`, each with an optional fallback as in
/// `{username|there}`, and `{first_name|there}`. `{link:https://example.com}` is a link that tells that
/// the person has opened it. `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    source: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value { field: Field, fallback: String, column: usize },
    Link { target: Link, column: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Username,
    Keyword,
    FirstName,
}

/// When a message goes out, as far as that decides what is known of the person.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before the person has written.
    Opening,
    /// After it.
    Conversation,
}

/// What a template is filled in with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'a> {
    /// The person's name, where Meta sent it: with a comment it does, with a message it does not.
    pub username: Option<&'a str>,
    /// The keyword that matched.
    pub keyword: Option<&'a str>,
    /// The person's first name: see [`first_name`].
    pub first_name: Option<&'a str>,
    /// What its links become; they are their targets without it.
    pub tracking: Option<&'a dyn Tracking>,
}

impl Values<'_> {
    /// Returns what is written for a link to `target`.
    pub(crate) fn link(&self, target: &Link) -> String {
        self.tracking.map_or_else(|| target.as_str().to_owned(), |tracking| tracking.link(target))
    }
}

/// Returns the first name in what the User Profile API tells as `name`: the first word of it that has
/// a letter. `None` if there is none, as in a name of emoji.
pub fn first_name(name: &str) -> Option<&str> {
    let words = name.split_whitespace();
    let mut names = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    names.find(|word| word.chars().any(char::is_alphabetic))
}

/// Enough of a text to know which one is meant.
pub(crate) fn beginning(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is wrong with a template. Columns count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No text at all.
    #[error("the message is empty: write what to send")]
    Empty,
    /// A `{` without its `}`, or the other way round.
    #[error(
        "character {column} of the text: a single brace; write `{{{{` or `}}}}` for the character itself"
    )]
    SingleBrace {
        /// Where.
        column: usize,
    },
    /// A placeholder in double braces, which would be sent as it is.
    #[error(
        "character {column} of the text: `{{{{{name}}}}}` would be sent with its braces; write \
         `{{{name}}}` for the value"
    )]
    DoubleBraces {
        /// Where.
        column: usize,
        /// What is between them.
        name: String,
    },
    /// A placeholder that does not exist.
    #[error(
        "character {column} of the text: `{{{name}}}` is not known; there are `{{username}}`, \
         `{{keyword}}`, `{{link:https://…}}` and, in `then`, `{{first_name}}`"
    )]
    UnknownPlaceholder {
        /// Where.
        column: usize,
        /// The name of the placeholder.
        name: String,
    },
    /// It would be empty for somebody of whom no name is known.
    #[error(
        "the message would be empty where Meta does not tell the name: write a text beside \
         `{{username}}` and `{{keyword}}`, or a fallback as in `{{username|friend}}`"
    )]
    CanBeEmpty,
    /// A first name where the person has not written yet. The profile can be read only once they
    /// have (Meta, User Profile API: user consent).
    #[error(
        "character {column} of the text: `{{first_name}}` is known only once the person has written: \
         write `{{username|there}}` here, or use it in `then`"
    )]
    FirstNameTooEarly {
        /// The position of its placeholder.
        column: usize,
    },
    /// A first name without a fallback.
    #[error(
        "character {column} of the text: `{{first_name}}` needs a fallback, since many people have none in their \
         profile: write `{{first_name|there}}`"
    )]
    NoFallback {
        /// The position of its placeholder.
        column: usize,
    },
    /// A fallback that would be cut.
    #[error(
        "character {column} of the text: the fallback has {bytes} bytes and {VALUE_BYTES_MAX} are sent: \
         shorten it"
    )]
    LongFallback {
        /// The position of its placeholder.
        column: usize,
        /// How long it is.
        bytes: usize,
    },
    /// A link to an address that cannot be sent.
    #[error("character {column} of the text: {error}")]
    Link {
        /// The position of its placeholder.
        column: usize,
        /// What is wrong with the address.
        error: LinkError,
    },
    /// It could become longer than a DM may be.
    #[error(
        "the message can become {bytes} bytes long and Meta takes {TEXT_BYTES_MAX}: shorten it \
         (accented letters and emoji take 2 to 4 bytes each)"
    )]
    TooLong {
        /// The longest it can become.
        bytes: usize,
    },
}

impl TemplateError {
    /// Where it is; `None` if it is about the whole text.
    fn column(&self) -> Option<usize> {
        match *self {
            Self::SingleBrace { column }
            | Self::DoubleBraces { column, .. }
            | Self::UnknownPlaceholder { column, .. }
            | Self::FirstNameTooEarly { column }
            | Self::NoFallback { column }
            | Self::Link { column, .. }
            | Self::LongFallback { column, .. } => Some(column),
            Self::Empty | Self::CanBeEmpty | Self::TooLong { .. } => None,
        }
    }
}

impl Template {
    /// Returns everything that is wrong with a template for a message that may be a person's first,
    /// in the order of the text. What is wrong with a placeholder hides nothing behind it.
    pub fn faults(source: &str) -> Vec<TemplateError> {
        let mut faults = Vec::new();
        let mut chars: Vec<char> = source.chars().collect();
        while let Err(fault) = Self::parse(&chars.iter().collect::<String>()) {
            let column = fault.column();
            let is_double = matches!(fault, TemplateError::DoubleBraces { .. });
            faults.push(fault);
            let Some(rest) = column.and_then(|column| chars.get_mut(column - 1..)) else { break };
            // Its place is kept, so that those behind it are told where they are.
            let end = rest.iter().position(|&c| c == '}').unwrap_or(0) + usize::from(is_double);
            rest.iter_mut().take(end + 1).for_each(|c| *c = 'x');
        }
        faults.sort_by_key(TemplateError::column);
        faults
    }

    /// Reads a template as somebody writes it, for a message that may be a person's first.
    ///
    /// # Errors
    /// Says what is wrong and where: see [`TemplateError`].
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        Self::parse_for(Phase::Opening, source)
    }

    /// Reads a template for a message that goes out only after the person has written: it may have
    /// `{first_name}`, with a fallback.
    ///
    /// # Errors
    /// As for [`Self::parse`].
    pub fn parse_later(source: &str) -> Result<Self, TemplateError> {
        Self::parse_for(Phase::Conversation, source)
    }

    fn parse_for(phase: Phase, source: &str) -> Result<Self, TemplateError> {
        let template = Self::read(source)?;
        if is_blank(source) {
            return Err(TemplateError::Empty);
        }
        if let Some((column, name)) = in_double_braces(source) {
            return Err(TemplateError::DoubleBraces { column, name: name.to_owned() });
        }
        for piece in &template.pieces {
            let (field, fallback, column) = match piece {
                Piece::Text(_) => continue,
                Piece::Value { field, fallback, column } => (*field, fallback, *column),
                Piece::Link { target, column } => {
                    let column = *column;
                    let checked = target.check_target();
                    checked.map_err(|error| TemplateError::Link { column, error })?;
                    continue;
                }
            };
            let bytes = fallback.len();
            if field == Field::FirstName && phase == Phase::Opening {
                return Err(TemplateError::FirstNameTooEarly { column });
            }
            if field == Field::FirstName && is_blank(fallback) {
                return Err(TemplateError::NoFallback { column });
            }
            if bytes > VALUE_BYTES_MAX {
                return Err(TemplateError::LongFallback { column, bytes });
            }
        }
        if is_blank(&template.fill(Values::default())) {
            return Err(TemplateError::CanBeEmpty);
        }
        Ok(template)
    }

    /// Whether it has a link that tells that the person has opened it.
    pub fn has_tracked_link(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Link { .. }))
    }

    /// Whether it tells which keyword matched.
    pub fn tells_keyword(&self) -> bool {
        let tells = |piece: &Piece| matches!(piece, Piece::Value { field: Field::Keyword, .. });
        self.pieces.iter().any(tells)
    }

    /// Whether it names the person. No webhook of a message tells a name, so that takes a read of
    /// their profile.
    pub fn tells_name(&self) -> bool {
        let tells = |piece: &Piece| {
            matches!(piece, Piece::Value { field: Field::FirstName | Field::Username, .. })
        };
        self.pieces.iter().any(tells)
    }

    /// Returns the most bytes of UTF-8 that it can have when it is filled in.
    pub fn bytes_max(&self) -> usize {
        self.pieces.iter().map(Piece::bytes_max).sum()
    }

    /// Returns the most UTF-16 code units that it can have when it is filled in.
    pub fn units_max(&self) -> usize {
        let units = |piece: &Piece| match piece {
            Piece::Text(text) => text.encode_utf16().count(),
            piece => piece.bytes_max(),
        };
        self.pieces.iter().map(units).sum()
    }

    /// Whether it names the person, and has nothing to write where no name is known.
    pub fn needs_name(&self) -> bool {
        let needs = |piece: &Piece| match piece {
            Piece::Value { field: Field::FirstName | Field::Username, fallback, .. } => {
                fallback.trim().is_empty()
            }
            Piece::Value { field: Field::Keyword, .. } | Piece::Text(_) | Piece::Link { .. } => {
                false
            }
        };
        self.pieces.iter().any(needs)
    }

    /// Returns the most characters that it can have when it is filled in.
    pub fn chars_max(&self) -> usize {
        let chars = |piece: &Piece| match piece {
            Piece::Text(text) => text.chars().count(),
            piece => piece.bytes_max(),
        };
        self.pieces.iter().map(chars).sum()
    }

    /// Reads a stored template. An earlier version may have stored one that `parse` now refuses.
    fn read(source: &str) -> Result<Self, TemplateError> {
        if source.trim().is_empty() {
            return Err(TemplateError::Empty);
        }
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some(c) = rest.chars().next() {
            let column = 1 + source[..source.len() - rest.len()].chars().count();
            let after = &rest[c.len_utf8()..];
            match c {
                '{' | '}' if after.starts_with(c) => {
                    text.push(c);
                    rest = &after[1..];
                }
                '{' => {
                    let (inside, behind) =
                        after.split_once('}').ok_or(TemplateError::SingleBrace { column })?;
                    if let Some(target) = inside.trim().strip_prefix(TRACKED) {
                        if !text.is_empty() {
                            pieces.push(Piece::Text(std::mem::take(&mut text)));
                        }
                        pieces.push(Piece::Link { target: Link::new(target.trim()), column });
                        rest = behind;
                        continue;
                    }
                    let (name, fallback) = inside.split_once('|').unwrap_or((inside, ""));
                    let field = match name.trim() {
                        "username" => Field::Username,
                        "keyword" => Field::Keyword,
                        "first_name" => Field::FirstName,
                        name => {
                            let name = name.to_owned();
                            return Err(TemplateError::UnknownPlaceholder { column, name });
                        }
                    };
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Value { field, fallback: fallback.to_owned(), column });
                    rest = behind;
                }
                '}' => return Err(TemplateError::SingleBrace { column }),
                c => {
                    text.push(c);
                    rest = after;
                }
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        let bytes = pieces.iter().map(Piece::bytes_max).sum();
        if bytes > TEXT_BYTES_MAX {
            return Err(TemplateError::TooLong { bytes });
        }
        Ok(Self { source: source.to_owned(), pieces })
    }

    /// The text for one person: at most [`TEXT_BYTES_MAX`] bytes.
    pub fn fill(&self, values: Values<'_>) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Link { target, .. } => out.push_str(&values.link(target)),
                Piece::Value { field, fallback, .. } => {
                    let value = match field {
                        Field::Username => values.username,
                        Field::Keyword => values.keyword,
                        Field::FirstName => values.first_name,
                    };
                    let value = value.map(str::trim).filter(|value| !value.is_empty());
                    out.push_str(cut(value.unwrap_or(fallback), VALUE_BYTES_MAX));
                }
            }
        }
        out
    }
}

/// Returns the first placeholder in double braces, with its column.
fn in_double_braces(source: &str) -> Option<(usize, &str)> {
    let mut begin = 0;
    while let Some(at) = source[begin..].find("{{") {
        let open = begin + at;
        let inside = source[open + 2..].split_once("}}").map(|(inside, _)| inside);
        let is_name = |inside: &&str| {
            let name = inside.split('|').next().unwrap_or_default().trim();
            let is_link = name.starts_with(TRACKED);
            is_link
                || !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if let Some(inside) = inside.filter(is_name) {
            return Some((1 + source[..open].chars().count(), inside));
        }
        begin = open + 2;
    }
    None
}

impl Piece {
    fn bytes_max(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Value { .. } => VALUE_BYTES_MAX,
            Self::Link { target, .. } => link_bytes_max(target.as_str().len()),
        }
    }
}

/// As much of `text` as fits `bytes_max`, cut between what a reader sees as characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = text
        .grapheme_indices(true)
        .map(|(at, grapheme)| at + grapheme.len())
        .take_while(|&end| end <= bytes_max)
        .last()
        .unwrap_or(0);
    &text[..end]
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(source: String) -> Result<Self, TemplateError> {
        Self::read(&source)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.source
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(source: &str, username: Option<&str>) -> String {
        let values = Values { username, keyword: Some("guide"), ..Values::default() };
        Template::parse(source).unwrap().fill(values)
    }

    #[test]
    fn a_long_text_is_named_by_its_beginning() {
        assert_eq!(beginning("Hi, Ána!"), "Hi, Ána!");
        assert_eq!(beginning(&"é".repeat(60)), "é".repeat(60));
        assert_eq!(beginning(&"é".repeat(1000)), format!("{}…", "é".repeat(60)));
    }

    #[test]
    fn every_fault_of_a_text_is_told_with_its_place() {
        let columns = |source: &str| {
            Template::faults(source).iter().map(TemplateError::column).collect::<Vec<_>>()
        };
        assert_eq!(
            columns("Hi {user}, {{keyword}} and {foo|x} } {"),
            [4, 12, 28, 36, 38].map(Some)
        );
        assert_eq!(columns("{a}{b}"), [Some(1), Some(4)]);
        assert_eq!(columns("Hi {username|there} {{}}"), []);
        assert_eq!(columns(" "), [None]);
        assert_eq!(columns("{"), [Some(1)]);
    }

    proptest! {
        #[test]
        fn a_text_has_a_fault_exactly_if_it_cannot_be_read(
            text in r"([a-z {}|]|\{username\||\{foo|\{\{keyword\}\}){0,30}",
        ) {
            prop_assert_eq!(Template::faults(&text).is_empty(), Template::parse(&text).is_ok());
        }
    }

    #[test]
    fn names_and_keywords_are_filled_in() {
        assert_eq!(fill("Hi {username}, your {keyword}", Some("ana")), "Hi ana, your guide");
        assert_eq!(fill("Hi {username|there}!", None), "Hi there!");
        assert_eq!(fill("Hi {username|there}!", Some("  ")), "Hi there!");
        assert_eq!(fill("{{{username}}}", Some("ana")), "{ana}");
    }

    #[test]
    fn a_name_is_never_read_as_a_template() {
        assert_eq!(fill("Hi {username}", Some("{keyword}")), "Hi {keyword}");
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let error = |source: &str| Template::parse(source).unwrap_err();
        assert_eq!(error("  "), TemplateError::Empty);
        assert_eq!(error("\u{200b}\u{3164}"), TemplateError::Empty);
        assert_eq!(error("\u{2060}{username}"), TemplateError::CanBeEmpty);
        let named = TemplateError::DoubleBraces { column: 4, name: "first_name".into() };
        assert_eq!(error("Hi {{first_name}}"), named);
        assert_eq!(error("é {username"), TemplateError::SingleBrace { column: 3 });
        assert_eq!(error("a } b"), TemplateError::SingleBrace { column: 3 });
        assert_eq!(
            error("{user}"),
            TemplateError::UnknownPlaceholder { column: 1, name: "user".into() }
        );
        let doubled =
            |name: &str, column| TemplateError::DoubleBraces { column, name: name.into() };
        assert_eq!(error("é {{username}}"), doubled("username", 3));
        assert_eq!(error("{{ keyword|it }}"), doubled(" keyword|it ", 1));
        assert!(Template::parse("{{ }} {{a b}} and {{{username}}}").is_ok());
        assert_eq!(error(&"é".repeat(501)), TemplateError::TooLong { bytes: 1002 });
        assert_eq!(
            error("{user}").to_string(),
            "character 1 of the text: `{user}` is not known; there are `{username}`, `{keyword}`, `{link:https://…}` and, in `then`, `{first_name}`"
        );
    }

    #[test]
    fn a_link_is_checked_where_it_is_written_and_counted_as_long_as_it_can_become() {
        let parse = |source: &str| Template::parse(source);
        let link = parse("Here: {link:https://a.example/x|y} {username|you}!").unwrap();
        assert!(
            link.has_tracked_link() && !parse("https://a.example/").unwrap().has_tracked_link()
        );
        // Without a deployment to redirect, as where texts are shown.
        assert_eq!(link.fill(Values::default()), "Here: https://a.example/x|y you!");
        assert_eq!(parse("{link:https://a.example/}").unwrap().units_max(), link_bytes_max(18));
        let error = |source: &str| parse(source).unwrap_err();
        let refused = |error| TemplateError::Link { column: 3, error };
        let http = LinkError::NotHttps("http://a.example".into());
        assert_eq!(error("é {link:http://a.example}"), refused(http));
        assert_eq!(error("é {link:}"), refused(LinkError::NoUrl(String::new())));
        let long = format!("https://a.example/{}", "x".repeat(483));
        assert_eq!(error(&format!("é {{link:{long}}}")), refused(LinkError::TooLong(501)));
        let doubled = "link:https://a.example/";
        let doubled = TemplateError::DoubleBraces { column: 3, name: doubled.into() };
        assert_eq!(error("é {{link:https://a.example/}}"), doubled);
        let full = TEXT_BYTES_MAX - link_bytes_max(18);
        let filled = |bytes: usize| format!("{}{{link:https://a.example/}}", "x".repeat(bytes));
        assert!(parse(&filled(full)).is_ok());
        assert_eq!(error(&filled(full + 1)), TemplateError::TooLong { bytes: 1001 });
        assert_eq!(Template::faults("{a} {link:x} {b}").len(), 3);
    }

    #[test]
    fn a_first_name_is_for_people_who_have_written() {
        let later = |source: &str| Template::parse_later(source);
        let early = TemplateError::FirstNameTooEarly { column: 4 };
        assert_eq!(Template::parse("Hi {first_name|there}"), Err(early));
        for source in ["Hi {first_name}", "Hi {first_name|}", "Hi {first_name| }"] {
            assert_eq!(later(source), Err(TemplateError::NoFallback { column: 4 }), "{source}");
        }
        let greeting = later("Hi {first_name|there}!").unwrap();
        assert!(greeting.tells_name() && later("Hi {username}").unwrap().tells_name());
        assert!(!later("Your {keyword}").unwrap().tells_name());
        assert_eq!(greeting.fill(Values::default()), "Hi there!");
        let ana = Values { first_name: Some("Ana"), ..Values::default() };
        assert_eq!(greeting.fill(ana), "Hi Ana!");
    }

    #[test]
    fn the_first_name_is_the_first_word_with_a_letter() {
        let names = ["Ana Lima", "  ✨ Ana ✨", "🌸", "", "«Ána» x", "李小龙", "— Zoë-Marie K."];
        let first = names.map(first_name);
        let expected =
            [Some("Ana"), Some("Ana"), None, None, Some("Ána"), Some("李小龙"), Some("Zoë-Marie")];
        assert_eq!(first, expected);
    }

    #[test]
    fn what_would_be_empty_or_cut_is_refused_where_it_is_written_and_read_where_it_is_stored() {
        let stored = |source: &str| -> Template {
            serde_json::from_value(serde_json::Value::from(source)).unwrap()
        };
        for empty in ["{username}", " {username| } ", "{keyword}\n{username|}"] {
            assert_eq!(Template::parse(empty), Err(TemplateError::CanBeEmpty), "{empty}");
            assert_eq!(stored(empty).to_string(), empty);
        }
        assert!(
            Template::parse("{username|you}").is_ok() && Template::parse("{username}!").is_ok()
        );
        let fits = format!("Hi {{username|{}}}", "x".repeat(64));
        assert_eq!(fill(&fits, None), format!("Hi {}", "x".repeat(64)));
        let cut = format!("Hi {{username|{}}}", "é".repeat(33));
        assert_eq!(
            Template::parse(&cut),
            Err(TemplateError::LongFallback { column: 4, bytes: 66 })
        );
        assert_eq!(stored(&cut).fill(Values::default()), format!("Hi {}", "é".repeat(32)));
    }

    #[test]
    fn a_cut_keeps_whole_characters() {
        let family = "👨‍👩‍👧";
        assert_eq!(cut(family, family.len()), family);
        assert_eq!(cut(family, family.len() - 1), "");
        assert_eq!(cut("abc", 2), "ab");
    }

    proptest! {
        #[test]
        fn never_over_the_limit(source in "\\PC{0,400}", name in "\\PC{0,400}") {
            if let Ok(template) = Template::parse_later(&source) {
                let name = Some(name.as_str());
                let values = Values {
                    username: name,
                    keyword: name,
                    first_name: name,
                    tracking: None,
                };
                let filled = template.fill(values);
                prop_assert!(filled.len() <= TEXT_BYTES_MAX);
                prop_assert!(filled.encode_utf16().count() <= template.units_max());
            }
        }
    }
}
