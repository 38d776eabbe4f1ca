//! A text cut into words, symbols and what is in between.

use std::borrow::Cow;

use icu_properties::props::{
    DefaultIgnorableCodePoint, ExtendedPictographic, GeneralCategory, RegionalIndicator,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use super::address::addresses;
use super::letters::{fold, script};

/// What a piece of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word or a number, folded. In scripts without spaces, a character.
    Word,
    /// An address, folded: nothing matches a part of it.
    Address,
    /// An apostrophe: part of a word, and the end of one.
    Apostrophe,
    /// An emoji, or a sign that can belong to a keyword, as in `C++` and `50%`.
    Symbol,
    /// Any other sign.
    Punctuation,
    /// White space.
    Space,
}

/// The pieces of a text, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Atoms {
    text: String,
    /// What each piece is, and where it ends.
    pieces: Vec<(Kind, usize)>,
}

impl Atoms {
    /// Cuts a text up.
    pub(super) fn new(text: &str) -> Self {
        let text = visible(text);
        let mut atoms = Self::default();
        atoms.text.reserve(text.len());
        atoms.pieces.reserve(text.len() / 2);
        let mut at = 0;
        for address in addresses(&text) {
            atoms.add_plain(&text[at..address.start]);
            atoms.push(Kind::Address, &fold(&text[address.clone()]));
            at = address.end;
        }
        atoms.add_plain(&text[at..]);
        atoms
    }

    /// Each piece: what it is, and its text.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Kind, &str)> {
        let mut from = 0;
        self.pieces.iter().map(move |&(kind, end)| {
            let piece = &self.text[from..end];
            from = end;
            (kind, piece)
        })
    }

    /// Whether there is a piece of a kind.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.pieces.iter().any(|piece| piece.0 == kind)
    }

    /// Bytes of all pieces.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    fn push(&mut self, kind: Kind, piece: &str) {
        self.text.push_str(piece);
        self.pieces.push((kind, self.text.len()));
    }

    fn push_char(&mut self, kind: Kind, piece: char) {
        self.text.push(piece);
        self.pieces.push((kind, self.text.len()));
    }

    fn last(&self) -> Option<Kind> {
        self.pieces.last().map(|piece| piece.0)
    }

    /// Adds a text without addresses.
    fn add_plain(&mut self, text: &str) {
        if !text.chars().any(stands_alone) {
            let letters: Cow<'_, str> = if text.is_ascii() {
                Cow::Borrowed(text)
            } else {
                text.chars().filter_map(plain_letter).collect::<String>().into()
            };
            self.add_words(&fold(&letters));
            return;
        }
        let mut run = String::with_capacity(text.len());
        for cluster in text.graphemes(true) {
            let alone = match cluster.chars().next() {
                // Trade marks, which are no letters.
                Some(c @ ('™' | '℠' | '©' | '®')) if !cluster.contains('\u{fe0f}') => {
                    Some((Kind::Punctuation, c.into()))
                }
                Some(c) if keeps_its_form(c) => Some((Kind::Word, c.into())),
                _ => emoji(cluster).map(|emoji| (Kind::Symbol, emoji)),
            };
            if let Some((kind, piece)) = alone {
                self.add_words(&fold(&run));
                run.clear();
                self.push(kind, &piece);
            } else if cluster.ends_with(KEYCAP) {
                // A digit on a keycap is that digit.
                run.extend(cluster.chars().next());
            } else {
                run.extend(cluster.chars().filter_map(plain_letter));
            }
        }
        self.add_words(&fold(&run));
    }

    /// Adds folded text, word by word. Words are those of Unicode's text segmentation (UAX 29), and
    /// also end at stops, colons, low lines and apostrophes, and where the script changes.
    fn add_words(&mut self, folded: &str) {
        if folded.is_ascii() {
            self.add_segment(folded);
        } else {
            folded.split_word_bounds().for_each(|segment| self.add_segment(segment));
        }
    }

    /// Adds a text that Unicode's segmentation does not divide between letters.
    fn add_segment(&mut self, segment: &str) {
        let mut word = 0..0;
        let mut written_in = None;
        let mut chars = segment.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            let is_word = c.is_ascii_alphanumeric()
                || !c.is_ascii() && (c.is_alphanumeric() || is_combining_mark(c))
                || matches!(c, '.' | ',' | '\'')
                    && segment[word.clone()].ends_with(|c: char| c.is_ascii_digit())
                    && next.is_some_and(|next| next.is_ascii_digit());
            if is_word {
                let script = script(c);
                let changes = script.is_some() && written_in.is_some() && script != written_in;
                if changes {
                    self.push(Kind::Word, &segment[word.clone()]);
                }
                if changes || word.is_empty() {
                    word.start = at;
                }
                word.end = at + c.len_utf8();
                written_in = script.or(written_in);
                continue;
            }
            if !word.is_empty() {
                self.push(Kind::Word, &segment[word]);
            }
            word = 0..0;
            written_in = None;
            let next_is_letter = next.is_some_and(char::is_alphanumeric);
            self.push_char(sign(c, self.last(), next_is_letter), c);
        }
        if !word.is_empty() {
            self.push(Kind::Word, &segment[word]);
        }
    }
}

const JOINER: char = '\u{200d}';
const BLACK_FLAG: char = '\u{1f3f4}';
const KEYCAP: char = '\u{20e3}';

/// Leaves out what cannot be seen, save for what holds an emoji together. Makes a space of what is
/// seen as one.
fn visible(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let is_ignored = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let seen = text.chars().filter_map(|c| match c {
        // Fillers of Hangul and Braille's blank.
        '\u{3164}' | '\u{ffa0}' | '\u{2800}' => Some(' '),
        '＠' => Some('@'),
        JOINER | '\u{fe0e}' | '\u{fe0f}' => Some(c),
        _ if is_tag(c) => Some(c),
        _ if is_ignored.contains(c) => None,
        _ => Some(c),
    });
    Cow::Owned(seen.collect())
}

/// Whether a character spells the region of a flag that begins with a black one.
fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0020}'..='\u{e007f}')
}

/// Whether a character may begin or end a piece that is not folded: an emoji, a number that keeps
/// its form, or a trade mark.
fn stands_alone(c: char) -> bool {
    !c.is_ascii()
        && (c == KEYCAP
            || c == '℠'
            || keeps_its_form(c)
            || CodePointSetData::new::<ExtendedPictographic>().contains(c)
            || CodePointSetData::new::<RegionalIndicator>().contains(c))
}

/// Whether a number keeps its form: «10²» is not «102», and «½» is not «1» and «2».
fn keeps_its_form(c: char) -> bool {
    !c.is_ascii()
        && CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::OtherNumber
        && (matches!(c, '²' | '³' | '¹' | '\u{2070}'..='\u{2089}')
            || std::iter::once(c).nfkd().any(|part| part == '\u{2044}'))
}

/// Returns a letter outside an emoji. Those on dark squares and circles become plain.
fn plain_letter(c: char) -> Option<char> {
    let nth = |first: u32| char::from_u32(u32::from('a') + (u32::from(c) - first));
    match c {
        JOINER | '\u{fe0e}' | '\u{fe0f}' => None,
        _ if is_tag(c) => None,
        '\u{1f150}'..='\u{1f169}' => nth(0x1f150),
        '\u{1f170}'..='\u{1f189}' => nth(0x1f170),
        _ => Some(c),
    }
}

/// Returns a grapheme cluster if it is an emoji, without what only changes its look: presentation
/// and skin tone.
fn emoji(cluster: &str) -> Option<String> {
    let first = cluster.chars().next()?;
    let is_flag = CodePointSetData::new::<RegionalIndicator>().contains(first);
    let is_picture = !first.is_ascii()
        && CodePointSetData::new::<ExtendedPictographic>().contains(first)
        // As text, «ℹ» and «Ⓜ» are letters.
        && (cluster.contains('\u{fe0f}') || !is_letter(first));
    if !is_flag && !is_picture {
        return None;
    }
    let decides = |c: &char| match c {
        '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' => false,
        c => !is_tag(*c) || first == BLACK_FLAG,
    };
    let emoji: String = cluster.chars().filter(decides).collect();
    let emoji = emoji.trim_matches(JOINER);
    Some(if emoji.is_empty() { cluster.into() } else { emoji.into() })
}

/// Whether a picture is a letter in a circle or square.
fn is_letter(c: char) -> bool {
    plain_letter(c) != Some(c) || std::iter::once(c).nfkd().all(char::is_alphanumeric)
}

/// Returns what a character between words is.
fn sign(c: char, before: Option<Kind>, next_is_letter: bool) -> Kind {
    let is_symbol = match c {
        '+' | '<' | '=' | '>' | '$' | '%' | '&' | '‰' => true,
        // The one of «C#», not the one of a hashtag.
        '#' => before == Some(Kind::Word) && !next_is_letter,
        _ if c.is_ascii() => false,
        _ => matches!(
            CodePointMapData::<GeneralCategory>::new().get(c),
            GeneralCategory::CurrencySymbol
                | GeneralCategory::MathSymbol
                | GeneralCategory::OtherSymbol
        ),
    };
    match c {
        '\'' => Kind::Apostrophe,
        _ if c.is_whitespace() => Kind::Space,
        _ if is_symbol => Kind::Symbol,
        _ => Kind::Punctuation,
    }
}
