//! Keywords in comments, in any script: case, accents, width, emoji presentation and skin tones do
//! not matter.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// How a comment must contain a keyword.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// As whole words, one after the other: `link` is in «the link, please», not in «linked».
    #[default]
    Word,
    /// Anywhere, inside a word too.
    Contains,
    /// The comment is the keyword, punctuation aside.
    Exact,
}

/// Text reduced to what matters for a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    text: String,
    /// Whole words with a space before and after each, so that a run of words is a substring.
    words: String,
}

impl Folded {
    /// Folds `text`.
    pub fn new(text: &str) -> Self {
        let text = fold(text);
        let mut words = String::with_capacity(text.len() + 2);
        words.push(' ');
        for word in text.unicode_words() {
            words.push_str(word);
            words.push(' ');
        }
        Self { text, words }
    }

    /// Whether there is nothing to match.
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Whether this text contains `keyword`.
    pub fn has(&self, keyword: &Self, matching: Matching) -> bool {
        if keyword.is_empty() {
            return false;
        }
        // A keyword without a single word is emoji or punctuation, which has no word boundaries.
        let wordless = keyword.words == " ";
        match matching {
            Matching::Exact if wordless => self.text.trim() == keyword.text.trim(),
            Matching::Exact => self.words == keyword.words,
            Matching::Word if !wordless => self.words.contains(&keyword.words),
            Matching::Word | Matching::Contains => self.text.contains(keyword.text.trim()),
        }
    }
}

/// Folds a text for comparison: case, width and accents are ignored. Runs of ASCII are folded by
/// case alone, which is fast, and only the rest is normalised.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, others) = split(rest, |c| !c.is_ascii());
        let from = folded.len();
        folded.push_str(plain);
        folded[from..].make_ascii_lowercase();

        let (others, after) = split(others, |c| c.is_ascii());
        folded.extend(fold_whole(others));
        rest = after;
    }
    folded
}

/// Before the first character that `is_next`, and from there.
fn split(text: &str, is_next: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is_next).unwrap_or(text.len()))
}

/// What has more to it than case.
fn fold_whole(text: &str) -> impl Iterator<Item = char> {
    text.nfkd()
        // Twice: upper case first makes «ß» and «SS», «ς» and «σ», «ı» and «i» the same.
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkd()
        .filter(|&c| !is_ignored(c))
        .nfc()
}

/// Characters that do not decide a match: combining accents, variation selectors, skin tones and
/// what is invisible.
fn is_ignored(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{1f3fb}'..='\u{1f3ff}'
            | '\u{ad}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2060}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn has(comment: &str, keyword: &str, matching: Matching) -> bool {
        Folded::new(comment).has(&Folded::new(keyword), matching)
    }

    #[test]
    fn words_in_any_script() {
        for (comment, keyword) in [
            ("LINK please!", "link"),
            ("the #link, now", "link"),
            ("Quiero la GUÍA", "guia"),
            ("quiero la guía", "GUIA"),
            ("straße", "STRASSE"),
            ("İSTANBUL", "istanbul"),
            ("ΟΔΟΣ", "οδός"),
            ("хочу ССЫЛКУ", "ссылку"),
            ("リンクください", "リンク"),
            ("我要链接谢谢", "链接"),
            ("ขอลิงก์หน่อย", "ลิงก์"),
            ("링크 주세요", "링크"),
            ("أريد الرابط", "الرابط"),
            ("ＬＩＮＫ", "link"),
            ("yes 👍🏽", "👍"),
            ("I ❤️ it", "❤"),
            ("send me the free guide", "free guide"),
        ] {
            assert!(has(comment, keyword, Matching::Word), "{keyword} in {comment}");
        }
    }

    #[test]
    fn a_word_is_not_a_part_of_one() {
        assert!(!has("linked", "link", Matching::Word));
        assert!(has("linked", "link", Matching::Contains));
        assert!(!has("free the guide", "free guide", Matching::Word));
    }

    #[test]
    fn exact_means_nothing_else() {
        assert!(has(" Link! ", "link", Matching::Exact));
        assert!(!has("the link", "link", Matching::Exact));
        assert!(has("🔥", "🔥", Matching::Exact));
    }

    #[test]
    fn nothing_matches_nothing() {
        assert!(!has("anything", " ", Matching::Contains));
        assert!(!has("", "link", Matching::Word));
    }

    #[test]
    fn plain_letters_combine_with_nothing_that_is_not_ignored() {
        for c in '\u{80}'..=char::MAX {
            let parts: Vec<char> = std::iter::once(c).nfd().collect();
            if let Some(at) = parts.iter().position(char::is_ascii) {
                assert!(at == 0 && parts[1..].iter().all(|&c| is_ignored(c)), "{c:?}: {parts:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn run_by_run_is_as_a_whole(
            text in "([ -~]|[A-Za-z]\\PC|[\\x00-\\x7f]\\p{M}{0,2}|\\p{L}|[가-힣ᄀ-ᇿİıßſςﬁＬÅ]){0,20}"
        ) {
            prop_assert_eq!(fold(&text), fold_whole(&text).collect::<String>());
        }

        #[test]
        fn a_text_has_itself(text in "\\PC{1,40}") {
            let folded = Folded::new(&text);
            prop_assume!(!folded.is_empty());
            for matching in [Matching::Word, Matching::Contains, Matching::Exact] {
                prop_assert!(folded.has(&folded, matching));
            }
        }
    }
}
