//! The texts of a campaign: written once, filled in for each person, never over Meta's length.
//!
//! Two placeholders with a fallback each need no template engine: those that exist bring loops and
//! conditions, and none refuses a text that could become too long.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::keyword::is_blank;
use unicode_segmentation::UnicodeSegmentation;

/// Bytes of UTF-8 in one DM (Meta, Send API for Instagram).
pub const TEXT_BYTES_MAX: usize = 1000;

/// Bytes of a filled-in value: Instagram names have at most 30 characters, and longer keywords and
/// fallbacks are refused where they are written.
pub const VALUE_BYTES_MAX: usize = 64;

/// A text with placeholders: `{username}`, `{keyword}`, each with an optional fallback as in
/// `{username|there}`. `{{` and `}}` are braces.
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Username,
    Keyword,
}

/// What a template is filled in with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'a> {
    /// The person's name, where Meta sent it: with a comment it does, with a message it does not.
    pub username: Option<&'a str>,
    /// The keyword that matched.
    pub keyword: Option<&'a str>,
}

/// What is wrong with a template. Columns count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No text at all.
    #[error("the message is empty: write what to send")]
    Empty,
    /// A `{` without its `}`, or the other way round.
    #[error("column {column}: a single brace; write `{{{{` or `}}}}` for the character itself")]
    SingleBrace {
        /// Where.
        column: usize,
    },
    /// A placeholder in double braces, which would be sent as it is.
    #[error(
        "column {column}: `{{{{{name}}}}}` would be sent with its braces; write `{{{name}}}` for the \
         value"
    )]
    DoubleBraces {
        /// Where.
        column: usize,
        /// What is between them.
        name: String,
    },
    /// A placeholder that does not exist.
    #[error(
        "column {column}: `{{{name}}}` is not known; there are `{{username}}` and `{{keyword}}`"
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
    /// A fallback that would be cut.
    #[error(
        "column {column}: the fallback has {bytes} bytes and {VALUE_BYTES_MAX} are sent: shorten it"
    )]
    LongFallback {
        /// The position of its placeholder.
        column: usize,
        /// How long it is.
        bytes: usize,
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

impl Template {
    /// Reads a template as somebody writes it.
    ///
    /// # Errors
    /// Says what is wrong and where: see [`TemplateError`].
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let template = Self::read(source)?;
        if is_blank(source) {
            return Err(TemplateError::Empty);
        }
        if let Some((column, name)) = in_double_braces(source) {
            return Err(TemplateError::DoubleBraces { column, name: name.to_owned() });
        }
        let fallbacks = template.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Value { fallback, column, .. } => Some((fallback, *column)),
        });
        for (fallback, column) in fallbacks {
            let bytes = fallback.len();
            if bytes > VALUE_BYTES_MAX {
                return Err(TemplateError::LongFallback { column, bytes });
            }
        }
        if is_blank(&template.fill(Values::default())) {
            return Err(TemplateError::CanBeEmpty);
        }
        Ok(template)
    }

    /// Whether it tells which keyword matched.
    pub fn tells_keyword(&self) -> bool {
        let tells = |piece: &Piece| matches!(piece, Piece::Value { field: Field::Keyword, .. });
        self.pieces.iter().any(tells)
    }

    /// Whether it names the person, and has nothing to write where no name is known.
    pub fn needs_username(&self) -> bool {
        self.pieces.iter().any(|piece| match piece {
            Piece::Value { field: Field::Username, fallback, .. } => fallback.trim().is_empty(),
            Piece::Value { field: Field::Keyword, .. } | Piece::Text(_) => false,
        })
    }

    /// Returns the most characters that it can have when it is filled in.
    pub fn chars_max(&self) -> usize {
        let chars = |piece: &Piece| match piece {
            Piece::Text(text) => text.chars().count(),
            Piece::Value { .. } => VALUE_BYTES_MAX,
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
                    let (name, fallback) = inside.split_once('|').unwrap_or((inside, ""));
                    let field = match name.trim() {
                        "username" => Field::Username,
                        "keyword" => Field::Keyword,
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
                Piece::Value { field, fallback, .. } => {
                    let value = match field {
                        Field::Username => values.username,
                        Field::Keyword => values.keyword,
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
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
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
        Template::parse(source).unwrap().fill(Values { username, keyword: Some("guide") })
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
            "column 1: `{user}` is not known; there are `{username}` and `{keyword}`"
        );
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
            if let Ok(template) = Template::parse(&source) {
                let filled = template.fill(Values { username: Some(&name), keyword: Some(&name) });
                prop_assert!(filled.len() <= TEXT_BYTES_MAX);
            }
        }
    }
}
