//! What some scripts write onto a word.

use super::form::{Edge, Form};
use super::letters::is_hebrew;

/// Hebrew's one-letter words: and, the, in, to, from, that, as.
const PREFIXES: [char; 7] = ['ו', 'ה', 'ב', 'ל', 'מ', 'ש', 'כ'];

/// Particles of Korean, and the requests that are written onto a word.
const PARTICLES: [&str; 42] = [
    "을",
    "를",
    "이",
    "가",
    "은",
    "는",
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
    "주세요",
    "주세용",
    "주세여",
    "주실",
    "주시",
    "줘",
    "줘요",
    "주라",
    "받고",
    "부탁",
    "부탁해요",
    "부탁드려요",
    "부탁드립니다",
    "보내주세요",
    "원해요",
    "신청",
];

/// Whether a word begins at an offset, Hebrew's prefixes aside.
pub(super) fn begins_word(form: &Form, at: usize) -> bool {
    if form.edge(at) == Edge::Word {
        return true;
    }
    let text = form.as_str();
    if !text[at..].starts_with(is_hebrew) {
        return false;
    }
    // One of them, or another one after «and» or «that».
    let before = &text[..at];
    let Some(before) = before.strip_suffix(PREFIXES) else { return false };
    let starts = |text: &str| form.edge(text.len()) == Edge::Word;
    starts(before) || before.strip_suffix(['ו', 'ש']).is_some_and(starts)
}

/// Whether a word ends at an offset, Korean's particles aside.
pub(super) fn ends_word(form: &Form, at: usize) -> bool {
    if form.edge(at) == Edge::Word {
        return true;
    }
    let text = form.as_str();
    if !text[..at].ends_with(is_hangul) {
        return false;
    }
    let end = (at..=text.len()).find(|&end| form.edge(end) == Edge::Word);
    end.is_some_and(|end| are_particles(&text[at..end]))
}

/// Whether a text consists of particles.
fn are_particles(text: &str) -> bool {
    text.is_empty()
        || PARTICLES.iter().any(|particle| text.strip_prefix(particle).is_some_and(are_particles))
}

fn is_hangul(c: char) -> bool {
    matches!(c, '가'..='힣')
}
