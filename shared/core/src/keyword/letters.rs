//! Letters that count as the same: case, accents, width, keyboards and digits do not matter.

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, Script};
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Folds letters for comparison. Runs of ASCII are folded by case alone, which is fast. Only the
/// rest is normalised.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, others) = split(rest, |c| !c.is_ascii());
        let from = folded.len();
        folded.push_str(plain);
        folded[from..].make_ascii_lowercase();

        let (others, after) = split(others, |c| c.is_ascii());
        if !others.is_empty() {
            folded.push_str(&fold_whole(others));
        }
        rest = after;
    }
    if folded.contains('`') {
        folded = folded.replace('`', "'");
    }
    if folded.contains('"') { without_gershayim(&folded) } else { folded }
}

/// Leaves out the quotation marks within words of Hebrew. They mark an abbreviation.
fn without_gershayim(text: &str) -> String {
    let is_within =
        |at: usize| text[..at].ends_with(is_hebrew) && text[at + 1..].starts_with(is_hebrew);
    let left = text.char_indices().filter(|&(at, c)| c != '"' || !is_within(at));
    left.map(|(_, c)| c).collect()
}

/// Whether a folded character is a letter of Hebrew.
pub(super) fn is_hebrew(c: char) -> bool {
    matches!(c, 'א'..='ת')
}

/// Before the first character that `is_next`, and from there.
fn split(text: &str, is_next: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is_next).unwrap_or(text.len()))
}

/// Folds what has more to it than case.
fn fold_whole(text: &str) -> String {
    let letters = text
        .chars()
        // Before NFKD makes a space and an accent of it.
        .map(|c| match c {
            '\u{b4}' => '`',
            // Its capital of its own, which upper case leaves as it is.
            'ẞ' => 'ß',
            c => c,
        })
        .nfkd()
        // Twice: upper case first makes «ß» and «SS», «ς» and «σ», «ı» and «i» the same.
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase);
    let mut folded = String::with_capacity(text.len());
    for c in letters {
        match c {
            // «й» is a letter of its own, not an accented «и».
            '\u{306}' if folded.ends_with('и') => folded.push(c),
            // People type SARA E twice for SARA AE, which looks the same.
            '\u{e40}' if folded.ends_with('\u{e40}') => {
                folded.pop();
                folded.push('\u{e41}');
            }
            _ if is_accent(c) => {}
            _ => match same_as(c) {
                Some(letters) => folded.push_str(letters),
                None => folded.push(digit(c).unwrap_or(c)),
            },
        }
    }
    if is_nfc_quick(folded.chars()) == IsNormalized::Yes { folded } else { folded.nfc().collect() }
}

/// Marks that do not decide a match: accents of Latin, Greek and Cyrillic, vowel points and tatweel
/// of Arabic, and points of Hebrew. Marks of other scripts spell the word.
fn is_accent(c: char) -> bool {
    match c {
        '\u{300}'..='\u{36f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}'
        // Tatweel.
        | '\u{640}' => true,
        '\u{591}'..='\u{5c7}'
        | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}'
        | '\u{670}'
        | '\u{6d6}'..='\u{6ed}'
        | '\u{8ca}'..='\u{8ff}' => is_combining_mark(c),
        _ => false,
    }
}

/// Returns what a letter or sign counts as: letters with a stroke as plain ones, ligatures as
/// their letters, letters of Persian, Urdu and Arabic keyboards that look alike as one, and all
/// apostrophes as one.
fn same_as(c: char) -> Option<&'static str> {
    Some(match c {
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'ø' | 'ɵ' => "o",
        'đ' | 'ð' | 'ɖ' | 'ɗ' => "d",
        'ł' | 'ƚ' | 'ɫ' | 'ⱡ' => "l",
        'ħ' | 'ⱨ' => "h",
        'ŧ' | 'ƭ' | 'ⱦ' => "t",
        'ƀ' | 'ɓ' => "b",
        'ȼ' | 'ƈ' => "c",
        'ɇ' => "e",
        'ǥ' | 'ɠ' => "g",
        'ɨ' => "i",
        'ɉ' => "j",
        'ƙ' | 'ⱪ' => "k",
        'ɲ' | 'ƞ' => "n",
        'ᵽ' | 'ƥ' => "p",
        'ɍ' => "r",
        'ʉ' => "u",
        'ʋ' => "v",
        'ɏ' | 'ƴ' => "y",
        'ƶ' | 'ȥ' | 'ⱬ' => "z",
        'ⱥ' => "a",
        // Alef wasla.
        '\u{671}' | '\u{672}' | '\u{673}' => "\u{627}",
        // Alef maksura, Farsi yeh.
        '\u{649}' | '\u{6cc}' => "\u{64a}",
        // Keheh, swash kaf.
        '\u{6a9}' | '\u{6aa}' => "\u{643}",
        // Heh goal, heh doachashmee, ae, teh marbuta and its goal form.
        '\u{6c1}' | '\u{6be}' | '\u{6d5}' | '\u{629}' | '\u{6c3}' => "\u{647}",
        // Decimal and thousands separators of Arabic.
        '\u{66b}' => ".",
        '\u{66c}' => ",",
        '\u{66a}' => "%",
        // Gershayim.
        '\u{5f4}' => "\"",
        '`'
        | '\u{2018}'
        | '\u{2019}'
        | '\u{201b}'
        | '\u{2b9}'..='\u{2bf}'
        | '\u{2c8}'
        | '\u{2032}'
        | '\u{2035}'
        | '\u{55a}'
        | '\u{5f3}'
        | '\u{a78b}'
        | '\u{a78c}' => "'",
        _ => return None,
    })
}

/// Returns the ASCII digit for a decimal digit of any script.
fn digit(c: char) -> Option<char> {
    let category = CodePointMapData::<GeneralCategory>::new();
    let is_digit = |code: u32| category.get32(code) == GeneralCategory::DecimalNumber;
    if !is_digit(c.into()) {
        return None;
    }
    // Unicode lists the ten digits of a script one after the other, from zero.
    let before = (1..).take_while(|n| u32::from(c).checked_sub(*n).is_some_and(is_digit)).count();
    char::from_digit(u32::try_from(before % 10).ok()?, 10)
}

/// Returns the script of a letter. Digits, marks and signs belong to the one around them: `None`.
pub(super) fn script(c: char) -> Option<Script> {
    if c.is_ascii_alphabetic() {
        return Some(Script::Latin);
    }
    if c.is_ascii() {
        return None;
    }
    let script = CodePointMapData::<Script>::new().get(c);
    (script != Script::Common && script != Script::Inherited).then_some(script)
}

/// Returns the hiragana for a katakana.
pub(super) fn hiragana(c: char) -> char {
    match c {
        '\u{30a1}'..='\u{30f6}' => char::from_u32(u32::from(c) - 0x60).unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_letters_combine_with_nothing_that_is_not_ignored() {
        for c in '\u{80}'..=char::MAX {
            let parts: Vec<char> = std::iter::once(c).nfd().collect();
            if let Some(at) = parts.iter().position(char::is_ascii) {
                assert!(at == 0 && parts[1..].iter().all(|&c| is_accent(c)), "{c:?}: {parts:?}");
            }
        }
    }

    #[test]
    fn every_decimal_digit_has_its_value() {
        let category = CodePointMapData::<GeneralCategory>::new();
        let digits = ('\u{80}'..=char::MAX)
            .filter(|&c| category.get(c) == GeneralCategory::DecimalNumber)
            .collect::<Vec<_>>();
        assert!(digits.len() > 600 && digits.len() % 10 == 0);
        for (at, &c) in digits.iter().enumerate() {
            assert_eq!(digit(c), char::from_digit(u32::try_from(at % 10).unwrap(), 10), "{c:?}");
        }
    }

    #[test]
    fn folding_case_leaves_nothing_to_decompose() {
        for c in '\u{80}'..=char::MAX {
            let parts = std::iter::once(c).nfkd();
            let folded: String =
                parts.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
            assert_eq!(folded.nfkd().collect::<String>(), folded, "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn run_by_run_is_as_a_whole(
            text in "([ -~]|[A-Za-z]\\PC|[a-~]\\p{M}{0,2}|\\p{L}|[가-힣ᄀ-ᇿİıßſςﬁＬÅ]){0,20}"
        ) {
            prop_assert_eq!(fold(&text), fold_whole(&text));
        }

        #[test]
        fn twice_is_as_once(text in "(\\PC|\\p{Arabic}|\\p{Hebrew}|\\p{Latin}|\\p{Cyrillic}){0,20}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }
    }
}
