//! What a campaign may let pass for its keyword.

use serde::{Deserialize, Serialize};

/// What may be different in a word that counts as the keyword's. Only letters may: a word with a
/// digit, such as a code, must be the keyword's, and so must a word of less than four letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// An `s` or `es` at the end: `links` for `link`, and `link` for `links`.
    Plurals,
    /// Letters that are written more often: `guiiide` for `guide`.
    RepeatedLetters,
    /// Slips of the keyboard: one letter too many, too few, wrong or swapped with the next. A word
    /// of eight letters may have two.
    Typos,
}

impl Tolerance {
    /// Whether `word` counts as `wanted`.
    fn accepts(self, word: &str, wanted: &str) -> bool {
        match self {
            Self::Plurals => is_plural(word, wanted) || is_plural(wanted, word),
            Self::RepeatedLetters => repeats(word, wanted),
            Self::Typos => {
                let slips = if wanted.chars().count() < 8 { 1 } else { 2 };
                strsim::osa_distance(word, wanted) <= slips
            }
        }
    }
}

/// The length from which a word may differ.
const LETTERS_MIN: usize = 4;

/// Whether `words` contains the words of `wanted` in a row, each with the differences that are
/// tolerated. With `is_whole`, it must contain nothing else.
pub(super) fn nearly(
    words: &[&str],
    wanted: &[&str],
    is_whole: bool,
    tolerate: &[Tolerance],
) -> bool {
    if wanted.is_empty() || is_whole && words.len() != wanted.len() {
        return false;
    }
    let counts = |word: &str, wanted: &str| {
        let is_letters = |text: &str| text.chars().all(char::is_alphabetic);
        word == wanted
            || wanted.chars().count() >= LETTERS_MIN
                && is_letters(word)
                && is_letters(wanted)
                && tolerate.iter().any(|tolerance| tolerance.accepts(word, wanted))
    };
    words
        .windows(wanted.len())
        .any(|run| run.iter().zip(wanted).all(|(word, wanted)| counts(word, wanted)))
}

/// Whether a word is another one with an ending of the plural.
fn is_plural(word: &str, of: &str) -> bool {
    matches!(word.strip_prefix(of), Some("s" | "es"))
}

/// Whether a word is another one with letters that are written more often.
fn repeats(word: &str, wanted: &str) -> bool {
    let (word, wanted) = (runs(word), runs(wanted));
    word.len() == wanted.len()
        && word.iter().zip(&wanted).all(|(run, wanted)| run.0 == wanted.0 && run.1 >= wanted.1)
}

/// The letters of a word, and how often each stands in a row.
fn runs(word: &str) -> Vec<(char, usize)> {
    let letters: Vec<char> = word.chars().collect();
    letters.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lets_its_own_pass() {
        for (tolerance, passes, does_not) in [
            (
                Tolerance::Plurals,
                &[("links", "link"), ("link", "links"), ("flores", "flor")][..],
                &[("linked", "link"), ("lins", "link")][..],
            ),
            (
                Tolerance::RepeatedLetters,
                &[("guiiide", "guide"), ("liiinkkk", "link"), ("boook", "book")],
                &[("bok", "book"), ("guides", "guide"), ("gguiid", "guide")],
            ),
            (
                Tolerance::Typos,
                &[("lnik", "link"), ("lin", "link"), ("linkk", "link"), ("giudebok", "guidebook")],
                &[("lnki", "kiln"), ("gidbk", "guidebook")],
            ),
        ] {
            for (word, wanted) in passes {
                assert!(tolerance.accepts(word, wanted), "{tolerance:?} {word} {wanted}");
            }
            for (word, wanted) in does_not {
                assert!(!tolerance.accepts(word, wanted), "{tolerance:?} {word} {wanted}");
            }
        }
    }

    #[test]
    fn a_code_must_be_exact() {
        let all = [Tolerance::Plurals, Tolerance::RepeatedLetters, Tolerance::Typos];
        assert!(!nearly(&["guide20"], &["guide10"], false, &all));
        assert!(nearly(&["the", "fre", "guides"], &["free", "guide"], false, &all));
        assert!(!nearly(&["the", "free", "guides"], &["free", "guide"], true, &all));
        assert!(!nearly(&["word"], &[], false, &all));
        assert!(!nearly(&["yess"], &["yes"], false, &all));
    }
}
