//! A text in the form in which keywords are looked for.

use std::ops::Range;

use memchr::memmem;
use unicode_normalization::char::is_combining_mark;

use super::atoms::{Atoms, Kind};
use super::letters::hiragana;

/// What a form has beside words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// Nothing.
    Words,
    /// Emoji and the signs that can belong to a keyword.
    Symbols,
    /// All signs.
    Punctuation,
}

/// Where a match may begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edge {
    /// Nowhere: within a number, an address, an emoji or a letter with its marks.
    Inside,
    /// Between letters.
    Letter,
    /// Between words.
    Word,
}

/// Words with one space between them, however they were separated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    text: String,
    /// One for each offset in the text, its end included.
    edges: Vec<Edge>,
    letters: Letters,
}

/// Which letters a text has, roughly: enough to see that it cannot contain another text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Letters(u64);

impl Letters {
    pub(super) fn of(text: &str) -> Self {
        Self(text.chars().fold(0, |letters, c| letters | 1 << (u32::from(c) % 64)))
    }

    fn has_all(self, of: Self) -> bool {
        of.0 & !self.0 == 0
    }
}

impl Form {
    /// Builds a form out of what a text consists of.
    pub(super) fn new(atoms: &Atoms, detail: Detail) -> Self {
        let mut form =
            Self { text: String::new(), edges: vec![Edge::Word], letters: Letters::default() };
        form.text.reserve(atoms.len());
        form.edges.reserve(atoms.len());
        let mut is_apart = false;
        let mut before = None;
        let mut pieces = atoms.iter().peekable();
        while let Some((kind, piece)) = pieces.next() {
            let next = pieces.peek().map(|(next, _)| *next);
            let is_in_word = before == Some(Kind::Word) && next == Some(Kind::Word);
            before = Some(kind);
            let (is_sign, is_seen) = match kind {
                Kind::Word | Kind::Address => (false, true),
                Kind::Apostrophe if is_in_word => (false, true),
                Kind::Symbol => (true, detail >= Detail::Symbols),
                Kind::Apostrophe | Kind::Punctuation => (true, detail == Detail::Punctuation),
                Kind::Space => (true, false),
            };
            let mention = piece.strip_prefix('@').filter(|_| kind == Kind::Address);
            if let Some(name) = mention.filter(|_| detail == Detail::Punctuation) {
                // Where signs count, `@` is one.
                form.push("@", is_apart, false);
                form.push(name, true, false);
            } else if is_seen {
                form.push(piece, is_apart || is_sign, kind == Kind::Word);
            }
            is_apart = is_sign || is_apart && !is_seen;
        }
        form.letters = Letters::of(&form.text);
        form
    }

    /// Appends a piece, after a space if `is_apart`. Within a piece that `is_word`, a match in any
    /// place may begin and end.
    fn push(&mut self, piece: &str, is_apart: bool, is_word: bool) {
        if is_apart && !self.text.is_empty() {
            self.text.push(' ');
            self.edges.push(Edge::Word);
        }
        let within = |before: char, after: char| {
            if is_word && !is_inside(before, after) { Edge::Letter } else { Edge::Inside }
        };
        if piece.is_ascii() {
            let pairs = piece.as_bytes().windows(2);
            self.edges.extend(pairs.map(|pair| within(pair[0].into(), pair[1].into())));
            self.edges.push(Edge::Word);
            self.text.push_str(piece);
            return;
        }
        let mut before = None;
        for c in piece.chars().map(hiragana) {
            if let (Some(before), Some(edge)) = (before, self.edges.last_mut()) {
                *edge = within(before, c);
            }
            before = Some(c);
            self.text.push(c);
            self.edges.resize(self.text.len() + 1, Edge::Inside);
        }
        if let Some(edge) = self.edges.last_mut() {
            *edge = Edge::Word;
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a match may begin or end at an offset.
    pub(super) fn edge(&self, at: usize) -> Edge {
        self.edges[at]
    }

    /// Whether it may contain a text with these letters.
    pub(super) fn may_have(&self, letters: Letters) -> bool {
        self.letters.has_all(letters)
    }

    /// Finds each occurrence of a text.
    pub(super) fn find<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        let step = wanted.chars().next().map_or(1, char::len_utf8);
        let mut from = 0;
        std::iter::from_fn(move || {
            let at = from + memmem::find(self.text.as_bytes().get(from..)?, wanted.as_bytes())?;
            from = at + step;
            Some(at..at + wanted.len())
        })
    }

    /// The words.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let mut from = 0;
        let ends = (1..self.edges.len()).filter(|&at| self.edges[at] == Edge::Word);
        ends.map(move |end| &self.text[std::mem::replace(&mut from, end)..end])
            .filter(|word| *word != " ")
    }
}

/// Whether no match begins or ends between two characters of a word.
fn is_inside(before: char, after: char) -> bool {
    let in_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '\'');
    !after.is_ascii() && is_combining_mark(after) || in_number(before) && in_number(after)
}
