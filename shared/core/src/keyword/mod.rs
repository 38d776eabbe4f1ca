//! Keywords in comments, in any script.
//!
//! Case, accents, width, the look of an emoji, keyboards, the digits of a script and what cannot be
//! seen do not matter. A comment and a keyword are folded in the same way:
//!
//! - `atoms` cuts a text into words, symbols and what is in between; `address` finds URLs, e-mail
//!   addresses and user names, which are never cut.
//! - `letters` makes letters the same that count as the same.
//! - `form` puts the pieces together again and knows where a match may begin and end.
//! - `affix` knows what Hebrew, Arabic and Korean write onto a word, `tolerance` what a campaign
//!   may let pass.

mod address;
mod affix;
mod atoms;
mod form;
mod letters;
mod tolerance;

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

pub(crate) use self::address::urls;
use self::affix::{begins_word, ends_word};
use self::atoms::{Atoms, Kind};
use self::form::{Detail, Edge, Form, Letters};
pub use self::tolerance::Tolerance;

/// How a comment must contain a keyword.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// As whole words, one after the other: `link` is in «the link, please» and in «link's», not in
    /// «linked».
    #[default]
    Word,
    /// Anywhere, inside a word too, but not inside a number, an emoji, a URL or an e-mail address.
    Contains,
    /// The comment is the keyword, punctuation aside.
    Exact,
}

/// Whether nothing of a text can be seen.
pub fn is_blank(text: &str) -> bool {
    Keyword::new(text).is_empty()
}

/// A keyword, ready to be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyword {
    text: String,
    words: Vec<String>,
    letters: Letters,
    detail: Detail,
}

impl Keyword {
    /// Folds a keyword. Its emoji and its signs that can belong to a word (`C++`, `50%`) must be in
    /// the comment; its punctuation need not, unless there is nothing else.
    pub fn new(word: &str) -> Self {
        let atoms = Atoms::new(word);
        let detail = if atoms.has(Kind::Symbol) {
            Detail::Symbols
        } else if atoms.has(Kind::Word) || atoms.has(Kind::Address) {
            Detail::Words
        } else {
            Detail::Punctuation
        };
        let form = Form::new(&atoms, detail);
        let words = form.words().map(str::to_owned).collect();
        let text = form.as_str();
        Self { text: text.into(), words, letters: Letters::of(text), detail }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// A comment, ready to be searched for keywords.
#[derive(Clone, Debug)]
pub struct Comment {
    atoms: Atoms,
    words: Form,
    symbols: OnceLock<Form>,
    punctuation: OnceLock<Form>,
}

impl Comment {
    /// Folds a comment.
    pub fn new(text: &str) -> Self {
        let atoms = Atoms::new(text);
        let words = Form::new(&atoms, Detail::Words);
        Self { atoms, words, symbols: OnceLock::new(), punctuation: OnceLock::new() }
    }

    fn form(&self, detail: Detail) -> &Form {
        let built = match detail {
            Detail::Words => return &self.words,
            Detail::Symbols => &self.symbols,
            Detail::Punctuation => &self.punctuation,
        };
        built.get_or_init(|| Form::new(&self.atoms, detail))
    }

    /// The comment as it is compared: folded, with its emoji and without its punctuation.
    pub fn folded(&self) -> &str {
        self.form(Detail::Symbols).as_str()
    }

    /// Whether this comment contains a keyword.
    pub fn has(&self, keyword: &Keyword, matching: Matching) -> bool {
        if keyword.is_empty() {
            return false;
        }
        let form = self.form(keyword.detail);
        if !form.may_have(keyword.letters) {
            return false;
        }
        match matching {
            Matching::Exact => form.as_str() == keyword.text,
            Matching::Word => form.find(&keyword.text).any(|at| {
                begins_word(form, at.start, &keyword.text) && ends_word(form, at.end, &keyword.text)
            }),
            Matching::Contains => form
                .find(&keyword.text)
                .any(|at| form.edge(at.start) >= Edge::Letter && form.edge(at.end) >= Edge::Letter),
        }
    }

    /// Whether this comment contains a keyword but for what may be different.
    pub fn has_nearly(
        &self,
        keyword: &Keyword,
        matching: Matching,
        tolerate: &[Tolerance],
    ) -> bool {
        if keyword.is_empty() || tolerate.is_empty() {
            return false;
        }
        let words: Vec<&str> = self.form(keyword.detail).words().collect();
        let wanted: Vec<&str> = keyword.words.iter().map(String::as_str).collect();
        tolerance::nearly(&words, &wanted, matching == Matching::Exact, tolerate)
    }

    /// Returns how many letters this comment is away from containing a keyword; `None` if that is
    /// more than a third of the keyword. A keyword within a word is 0 away. One or two letters are in
    /// many words by chance: only a code that looks alike is near to them.
    pub fn distance(&self, keyword: &Keyword) -> Option<usize> {
        if keyword.is_empty() {
            return None;
        }
        let words: Vec<&str> = self.form(keyword.detail).words().collect();
        let wanted = keyword.words.concat();
        if is_short(&wanted) {
            return words.iter().any(|word| looks_alike(word, &wanted)).then_some(1);
        }
        if self.has(keyword, Matching::Contains) {
            return Some(0);
        }
        let runs = words.windows(keyword.words.len());
        let distance = runs.map(|run| strsim::osa_distance(&run.concat(), &wanted)).min()?;
        (distance <= wanted.chars().count() / 3).then_some(distance)
    }
}

/// Whether a keyword is in other words by chance: it is one character, or two of an alphabet with
/// capitals. Two characters of other scripts may be a whole word, inside others as well.
fn is_short(wanted: &str) -> bool {
    let is_common = |c: char| c.is_lowercase() || c.is_numeric();
    match wanted.chars().count() {
        0 | 1 => true,
        2 => wanted.chars().all(is_common),
        _ => false,
    }
}

/// Whether a word is a code of two characters and looks like the keyword: `O8` for `08`.
fn looks_alike(word: &str, wanted: &str) -> bool {
    let look = |c| match c {
        '0' => 'o',
        '1' | 'i' => 'l',
        '5' => 's',
        '8' => 'b',
        other => other,
    };
    let is_code = |text: &str| text.chars().count() == 2 && text.chars().any(char::is_numeric);
    is_code(word) && is_code(wanted) && word.chars().map(look).eq(wanted.chars().map(look))
}

#[cfg(test)]
mod tests;
