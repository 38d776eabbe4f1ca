//! What some scripts write onto a word.

use super::form::{Edge, Form};
use super::letters::is_hebrew;

/// Hebrew's one-letter words before a noun: and, the, in, to. Then those that are rarer, and begin
/// many words that are shorter than they look: from, that, as.
const HEBREW: ([char; 4], [char; 7]) = (['ו', 'ה', 'ב', 'ל'], ['ו', 'ה', 'ב', 'ל', 'מ', 'ש', 'כ']);

/// Arabic's article, alone and after «in», «as» and «to».
const ARTICLES: [&str; 4] = ["ال", "بال", "كال", "لل"];

/// Arabic's «and» and «then», before a word or its article.
const CONJUNCTIONS: [char; 2] = ['و', 'ف'];

/// The length from which a word of Hebrew or Arabic may have a prefix. Many longer words end in a
/// shorter one.
const LETTERS_MIN: usize = 3;

/// Particles of Korean that only mark the part of speech of what they follow.
const MARKERS: [&str; 4] = ["을", "를", "은", "는"];

/// Particles of Korean.
const PARTICLES: [&str; 26] = [
    "을",
    "를",
    "은",
    "는",
    "이",
    "가",
    "요",
    "좀",
    "도",
    "만",
    "로",
    "으로",
    "와",
    "과",
    "의",
    "에",
    "랑",
    "이랑",
    "하고",
    "까지",
    "부터",
    "에서",
    "이요",
    "입니다",
    "이에요",
    "예요",
];

/// Requests of Korean, which may go on as they like: give, send, ask, apply, want, get, is there,
/// need, wonder, tell, share.
const REQUESTS: [&str; 22] = [
    "주세", "주시", "주십", "주실", "주라", "줘", "보내", "부탁", "신청", "원해", "원합", "받고",
    "받을", "받아", "있나", "있을", "있어", "필요", "궁금", "알려", "달라", "공유",
];

/// Whether a word begins at an offset, apart from what Hebrew and Arabic write before it.
pub(super) fn begins_word(form: &Form, at: usize, word: &str) -> bool {
    if form.edge(at) == Edge::Word {
        return true;
    }
    let before = &form.as_str()[..at];
    let starts = |text: &str| form.edge(text.len()) == Edge::Word;
    let letters = word.chars().count();
    if letters < LETTERS_MIN {
        return false;
    }
    if word.starts_with(is_hebrew) {
        let prefixes = if letters == LETTERS_MIN { &HEBREW.0[..] } else { &HEBREW.1 };
        // One of them, or another one after «and» or «that».
        let Some(before) = before.strip_suffix(prefixes) else { return false };
        return starts(before) || before.strip_suffix(['ו', 'ש']).is_some_and(starts);
    }
    if !word.starts_with(is_arabic) {
        return false;
    }
    let follows =
        |before: &str| starts(before) || before.strip_suffix(CONJUNCTIONS).is_some_and(starts);
    if word.starts_with(ARTICLES[0]) {
        // «In» and «as» go before the article.
        return follows(before) || before.strip_suffix(['ب', 'ك']).is_some_and(follows);
    }
    before.strip_suffix(CONJUNCTIONS).is_some_and(starts)
        || ARTICLES.iter().filter_map(|article| before.strip_suffix(article)).any(follows)
}

/// Whether a word ends at an offset, apart from what Korean writes after it.
pub(super) fn ends_word(form: &Form, at: usize, word: &str) -> bool {
    if form.edge(at) == Edge::Word {
        return true;
    }
    if !word.ends_with(is_hangul) {
        return false;
    }
    let text = form.as_str();
    let Some(end) = (at..=text.len()).find(|&end| form.edge(end) == Edge::Word) else {
        return false;
    };
    // Letters alone, as in «ㅋㅋ» and «ㅠㅠ», are no part of a word.
    let rest = text[at..end].trim_end_matches(is_jamo);
    // One syllable and a particle are many a word: «회의» is no «회».
    let particles = if word.chars().count() == 1 { &MARKERS[..] } else { &PARTICLES };
    is_added(rest, particles)
}

/// Whether a text consists of particles, with or without a request after them. Takes a time in
/// proportion to the text, since one particle can begin another.
fn is_added(text: &str, particles: &[&str]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for at in 0..=text.len() {
        if !reached[at] {
            continue;
        }
        let rest = &text[at..];
        if rest.is_empty() || REQUESTS.iter().any(|request| rest.starts_with(request)) {
            return true;
        }
        for particle in particles.iter().filter(|particle| rest.starts_with(**particle)) {
            reached[at + particle.len()] = true;
        }
    }
    false
}

fn is_arabic(c: char) -> bool {
    matches!(c, '\u{621}'..='\u{64a}' | '\u{671}'..='\u{6d3}')
}

fn is_hangul(c: char) -> bool {
    matches!(c, '가'..='힣')
}

/// Whether a character is a letter of Hangul that is not written into a syllable.
fn is_jamo(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}')
}
